//! `/tasks`: media tasks: what they made, how they went. What is told of one is told as the API tells it (`view.rs`); a page that is open
//! follows its task by asking again for what has changed (`state`).

pub(super) mod filter;
mod story;
mod timeline;
mod view;

use std::sync::Arc;

use askama::Template;
use axum::{
    Json,
    extract::{Path, Query, State},
    response::{IntoResponse as _, Redirect},
    routing::{get, post},
};
use domain::TaskId;
use http::StatusCode;
use proto::media::v1::{CancelTaskRequest, DeleteOutputRequest, GetTaskRequest};
use serde::{Deserialize, Serialize};

use self::{
    filter::{Choices, Wanted},
    story::Story,
    view::{Card, Task},
};
use super::Frame;
use crate::{
    Site,
    page::Page,
    refused::{Answer, Refused},
    router::Row,
    show::Pager,
    who::{Manages, Member},
};

/// Its URLs.
pub(crate) const ROUTES: &[Row] = &[
    ("/tasks", || get(list)),
    ("/tasks/{id}", || get(page)),
    ("/tasks/{id}/state", || get(state)),
    ("/tasks/{id}/cancel", || post(cancel)),
    ("/tasks/{id}/outputs/{index}/delete", || post(delete)),
];

/// Of the navigation.
const PART: &str = "/tasks";

/// What was just done, by the word in the URL.
const SAID: [(&str, &str); 2] = [
    ("cancelled", "The task is cancelled. It costs nothing."),
    (
        "deleted",
        "The file is deleted. Its link leads nowhere any more.",
    ),
];

/// What a link to a task's page says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    said: String,
}

/// What a page that follows a task knows already.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Known {
    after: i64,
}

#[derive(Template)]
#[template(path = "app/tasks/list.html")]
struct ListHtml<'s> {
    frame: Frame<'s>,
    wanted: &'s Wanted,
    choices: Choices<'s>,
    cards: Vec<Card>,
    pager: Pager,
    base_url: String,
}

#[derive(Template)]
#[template(path = "app/tasks/page.html")]
struct PageHtml<'s> {
    frame: Frame<'s>,
    story: &'s Story,
    wrong: Option<&'s str>,
}

/// What changes about a task's page, each part as it stands in the page.
#[derive(Template)]
#[template(path = "app/tasks/now.html")]
struct NowHtml<'s> {
    story: &'s Story,
}

#[derive(Template)]
#[template(path = "app/tasks/outputs.html")]
struct OutputsHtml<'s> {
    story: &'s Story,
}

#[derive(Template)]
#[template(path = "app/tasks/course.html")]
struct CourseHtml<'s> {
    story: &'s Story,
}

/// The answer to a page that follows: what its script does is in `static/app/tasks.js`.
#[derive(Serialize)]
struct Followed {
    version: i64,
    /// When to ask again, in milliseconds; absent: nothing changes any more.
    again: Option<u32>,
    parts: Parts,
}

#[derive(Serialize)]
struct Parts {
    now: String,
    outputs: String,
    course: String,
}

/// `GET /tasks`.
async fn list(
    State(site): State<Arc<Site>>,
    member: Member,
    Query(wanted): Query<Wanted>,
) -> Answer {
    let wanted = wanted.understood(&site);
    let rows = site.config.work.tasks_per_page;
    // One more, to know whether anything is older.
    let request = wanted.request(&site, member.context(), rows.saturating_add(1));
    let mut media = site.peers.media.clone();
    let reply = media.list_tasks(site.peers.ask(request)).await?;
    let views = reply.into_inner().views;
    let mut tasks = Vec::with_capacity(views.len());
    for view in &views {
        tasks.push(Task::read(view)?);
    }
    let rows = usize::try_from(rows).unwrap_or(usize::MAX);
    let is_more = tasks.len() > rows;
    tasks.truncate(rows);
    let last = tasks.last().filter(|_| is_more);
    let older = last.map(|last| wanted.with("before", &last.task_id));
    let html = ListHtml {
        frame: Frame::new(&site, &member, PART, "Tasks"),
        choices: Choices::new(&site),
        cards: tasks.iter().map(|task| Card::of(&site, task)).collect(),
        pager: Pager {
            first: (!wanted.before.is_empty()).then(|| wanted.with("before", "")),
            older,
        },
        wanted: &wanted,
        base_url: site.base_url(),
    };
    Ok(Page::html(&html).into_response())
}

/// `GET /tasks/{id}`.
async fn page(
    State(site): State<Arc<Site>>,
    member: Member,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer {
    let story = Story::tell(&site, &member, look(&site, &member, parse(&id)?).await?).await?;
    let said = SAID.iter().find(|(word, _)| *word == asked.said);
    let said = said.map(|(_, told)| *told);
    Ok(show(&site, &member, &story, said, None).into_response())
}

/// `GET /tasks/{id}/state`: as JSON, for the script of the page; waits for a change as long as that may take.
async fn state(
    State(site): State<Arc<Site>>,
    member: Member,
    Path(id): Path<String>,
    Query(known): Query<Known>,
) -> Answer {
    let id = parse(&id)?;
    let mut task = look(&site, &member, id).await?;
    if task.sequence <= known.after && !task.has_ended() {
        let follow = site.config.work.follow;
        let changed = site.live.wait_task(id, task.sequence, follow);
        tokio::select! {
            // Where the shared state is lost, the page asks again a little later.
            _ = changed => {}
            () = site.tasks.stopping() => {}
        }
        task = look(&site, &member, id).await?;
    }
    let story = Story::tell(&site, &member, task).await?;
    let story = &story;
    let part = |html: Result<String, askama::Error>| html.map_err(|_| Refused::internal());
    let followed = Followed {
        version: story.task.sequence,
        again: story.again(site.db.now_micros()),
        parts: Parts {
            now: part(NowHtml { story }.render())?,
            outputs: part(OutputsHtml { story }.render())?,
            course: part(CourseHtml { story }.render())?,
        },
    };
    Ok(Json(followed).into_response())
}

/// `POST /tasks/{id}/cancel`.
async fn cancel(
    State(site): State<Arc<Site>>,
    member: Member<Manages>,
    Path(id): Path<String>,
) -> Answer {
    let task = parse(&id)?;
    let request = CancelTaskRequest {
        context: Some(member.context()),
        task_id: task.to_vec().into(),
    };
    let mut media = site.peers.media.clone();
    let done = media.cancel_task(site.peers.ask(request)).await;
    match done {
        Ok(_) => Ok(Redirect::to(&format!("{PART}/{task}?said=cancelled")).into_response()),
        Err(status) => refused(&site, &member, task, status).await,
    }
}

/// `POST /tasks/{id}/outputs/{index}/delete`.
async fn delete(
    State(site): State<Arc<Site>>,
    member: Member<Manages>,
    Path((id, index)): Path<(String, u32)>,
) -> Answer {
    let task = parse(&id)?;
    let request = DeleteOutputRequest {
        context: Some(member.context()),
        task_id: task.to_vec().into(),
        index,
    };
    let mut media = site.peers.media.clone();
    let done = media.delete_output(site.peers.ask(request)).await;
    done.map_err(Refused::unknown_alike)?;
    Ok(Redirect::to(&format!("{PART}/{task}?said=deleted")).into_response())
}

/// The task's page, and why what was asked for was not done.
async fn refused(
    site: &Site,
    member: &Member<Manages>,
    task: TaskId,
    status: tonic::Status,
) -> Answer {
    let refusal = Refused::from(status).told()?;
    if refusal.status == StatusCode::NOT_FOUND {
        return Err(Refused::not_found());
    }
    let story = Story::tell(site, member, look(site, member, task).await?).await?;
    let page = show(site, member, &story, None, Some(&refusal.message));
    Ok(page.with(refusal.status).into_response())
}

fn show<N>(
    site: &Site,
    member: &Member<N>,
    story: &Story,
    said: Option<&'static str>,
    wrong: Option<&str>,
) -> Page {
    let frame = Frame::new(site, member, PART, format!("Task {}", story.task.task_id));
    Page::html(&PageHtml {
        frame: frame.saying(said),
        story,
        wrong,
    })
}

/// How a task of theirs stands.
async fn look<N>(site: &Site, member: &Member<N>, id: TaskId) -> Result<Task, Refused> {
    let request = GetTaskRequest {
        context: Some(member.context()),
        task_id: id.to_vec().into(),
    };
    let mut media = site.peers.media.clone();
    let answer = media.get_task(site.peers.ask(request)).await;
    let snapshot = answer.map_err(Refused::unknown_alike)?.into_inner();
    Task::read(&snapshot.view)
}

/// What cannot be an id is as unknown as one that nobody has.
fn parse(id: &str) -> Result<TaskId, Refused> {
    TaskId::parse(id).ok_or_else(Refused::not_found)
}
