//! `/operator/tasks`: the media tasks of everybody: found, looked at, put back into the queue, ended.

use std::sync::Arc;

use askama::Template;
use axum::{
    Form,
    extract::{Path, Query, State},
    response::{IntoResponse as _, Redirect},
};
use domain::{TaskId, ids};
use http::StatusCode;
use proto::{
    media::v1::{
        FindTasksRequest, ListUnknownAttemptsRequest, RequeueTaskRequest, ShowTaskRequest,
        StopTaskRequest, UnknownAttempt,
    },
    webhooks::v1::{Delivery, ListDeliveriesRequest},
};
use serde::Deserialize;
use serde_json::Value;

use super::{Cell, PART, Table, Tabs, answered, bytes, href, id_of, maybe_id, moment};
use crate::{
    Site,
    app::Frame,
    page::Page,
    refused::{Answer, Refusal, Refused},
    show::{self, Pager},
    who::{Member, Operates},
};

/// Where the list is.
const PATH: &str = "/operator/tasks";
/// How tasks stand, in customers' words.
const STATES: [&str; 4] = ["queued", "processing", "completed", "failed"];
/// Unknown runs that are shown.
const UNKNOWN: u32 = 20;

/// Which tasks are looked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    status: String,
    model: String,
    provider: String,
    account: String,
    before: String,
}

/// What a link to a task says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Back {
    said: String,
}

/// A task to be put back.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Requeue {
    /// There: also where a provider may have it.
    force: Option<String>,
}

#[derive(Template)]
#[template(path = "app/operator/tasks.html")]
struct List<'s> {
    frame: Frame<'s>,
    tabs: Tabs,
    asked: &'s Asked,
    states: [&'static str; 4],
    table: Table,
    unknown: Table,
    pager: Pager,
}

#[derive(Template)]
#[template(path = "app/operator/task.html")]
struct Html<'s> {
    frame: Frame<'s>,
    tabs: Tabs,
    id: TaskId,
    story: Story,
    /// `None`: webhooks does not answer.
    deliveries: Option<Table>,
    wrong: Option<&'s Refusal>,
}

/// What became of a task, in words.
struct Story {
    state: String,
    is_open: bool,
    account: String,
    facts: Vec<(&'static str, String)>,
    timeline: Vec<(String, String)>,
    runs: Table,
    /// What operators did.
    done: Table,
    files: Table,
}

/// The list.
pub(crate) async fn list(
    State(site): State<Arc<Site>>,
    member: Member<Operates>,
    Query(asked): Query<Asked>,
) -> Answer {
    let before = maybe_id::<ids::Task>(&asked.before)?;
    let account = maybe_id::<ids::Account>(&asked.account)?;
    let request = FindTasksRequest {
        limit: site.config.operator.rows,
        before: bytes(before).into(),
        status: asked.status.clone(),
        model: asked.model.trim().to_owned(),
        provider: asked.provider.trim().to_owned(),
        account_id: bytes(account).into(),
        created_until: 0,
    };
    let mut operators = site.peers.operators.media.clone();
    let found = operators.find_tasks(site.peers.ask(request)).await?;
    let tasks: Vec<Value> = found.into_inner().tasks.iter().map(json).collect();
    let mut media = site.peers.media.clone();
    let request = ListUnknownAttemptsRequest { limit: UNKNOWN };
    let unknown = media.list_unknown_attempts(site.peers.ask(request)).await?;
    let full = u32::try_from(tasks.len()).is_ok_and(|count| count >= site.config.operator.rows);
    let last = tasks
        .last()
        .filter(|_| full)
        .map(|task| text(task, "task_id"));
    let link = |before: &str| {
        let query = [
            ("status", asked.status.as_str()),
            ("model", &asked.model),
            ("provider", &asked.provider),
            ("account", &asked.account),
            ("before", before),
        ];
        href(PATH, &query)
    };
    let columns = [
        "Task", "State", "Model", "Provider", "#Runs", "Made", "Account",
    ];
    let html = List {
        frame: Frame::new(&site, &member, PART, "Jobs"),
        tabs: Tabs(PATH),
        states: STATES,
        table: Table::new("Tasks", &columns)
            .or("There is no such task.")
            .with(tasks.iter().map(row)),
        unknown: unknown_runs(&unknown.into_inner().attempts),
        pager: Pager {
            first: before.map(|_| link("")),
            older: last.map(|last| link(&last)),
        },
        asked: &asked,
    };
    Ok(Page::html(&html).into_response())
}

/// One task.
pub(crate) async fn page(
    State(site): State<Arc<Site>>,
    member: Member<Operates>,
    Path(id): Path<String>,
    Query(back): Query<Back>,
) -> Answer {
    show(&site, &member, id_of(&id)?, (&back.said, None)).await
}

/// Puts it back into the queue.
pub(crate) async fn requeue(
    State(site): State<Arc<Site>>,
    member: Member<Operates>,
    Path(id): Path<String>,
    Form(said): Form<Requeue>,
) -> Answer {
    let id: TaskId = id_of(&id)?;
    let request = RequeueTaskRequest {
        task_id: id.to_vec().into(),
        by: Some(member.by()),
        force: said.force.is_some(),
    };
    let mut operators = site.peers.operators.media.clone();
    let done = operators.requeue_task(site.peers.ask(request)).await;
    back(&site, &member, (id, "requeued"), done.map(drop)).await
}

/// Ends it, free.
pub(crate) async fn stop(
    State(site): State<Arc<Site>>,
    member: Member<Operates>,
    Path(id): Path<String>,
) -> Answer {
    let id: TaskId = id_of(&id)?;
    let request = StopTaskRequest {
        task_id: id.to_vec().into(),
        by: Some(member.by()),
    };
    let mut operators = site.peers.operators.media.clone();
    let done = operators.stop_task(site.peers.ask(request)).await;
    back(&site, &member, (id, "stopped"), done.map(drop)).await
}

async fn back(
    site: &Site,
    member: &Member<Operates>,
    (id, word): (TaskId, &'static str),
    done: Result<(), tonic::Status>,
) -> Answer {
    match done.map_err(Refused::from) {
        Ok(()) => {
            let path = href(&format!("{PATH}/{id}"), &[("said", word)]);
            Ok(Redirect::to(&path).into_response())
        }
        Err(refused) => {
            let wrong = refused.told()?;
            show(site, member, id, ("", Some(&wrong))).await
        }
    }
}

async fn show(
    site: &Site,
    member: &Member<Operates>,
    id: TaskId,
    (said, wrong): (&str, Option<&Refusal>),
) -> Answer {
    let request = ShowTaskRequest {
        task_id: id.to_vec().into(),
    };
    let (mut operators, mut webhooks) = (
        site.peers.operators.media.clone(),
        site.peers.webhooks.clone(),
    );
    let told = ListDeliveriesRequest {
        task_id: id.to_vec().into(),
    };
    let (story, told) = tokio::join!(
        operators.show_task(site.peers.ask(request)),
        answered("webhooks", webhooks.list_deliveries(site.peers.ask(told))),
    );
    let story = json(&story?.into_inner().story);
    let said = match said {
        "requeued" => Some("The task waits in the queue again."),
        "stopped" => Some("The task has ended, and costs its customer nothing."),
        _ => None,
    };
    let html = Html {
        frame: Frame::new(site, member, PART, "A task").saying(said),
        tabs: Tabs(PATH),
        id,
        story: Story::of(&story),
        deliveries: told.map(|told| deliveries(&told.deliveries)),
        wrong,
    };
    let status = wrong.map_or(StatusCode::OK, |wrong| wrong.status);
    Ok(Page::html(&html).with(status).into_response())
}

fn row(task: &Value) -> Vec<Cell> {
    let (id, account) = (text(task, "task_id"), text(task, "account_id"));
    let status = text(task, "status");
    let kind = match status.as_str() {
        "completed" => "good",
        "failed" => "bad",
        _ => "",
    };
    vec![
        Cell::code(&id).to(format!("{PATH}/{id}")),
        Cell::badge(kind, status).over(text(task, "error_code")),
        Cell::text(text(task, "model")).over(text(task, "mode")),
        Cell::text(text(task, "provider")),
        Cell::text(text(task, "attempts")),
        Cell::text(at(task, "created_at")),
        Cell::code(&account).to(format!("/operator/accounts/{account}")),
    ]
}

fn unknown_runs(attempts: &[UnknownAttempt]) -> Table {
    let row = |attempt: &UnknownAttempt| {
        let id = TaskId::from_slice(&attempt.task_id)?;
        Some(vec![
            Cell::code(id.to_string()).to(format!("{PATH}/{id}")),
            Cell::text(attempt.number.to_string()),
            Cell::text(&attempt.provider),
            Cell::time(attempt.submitted_at),
        ])
    };
    Table::new(
        "Runs of unknown outcome",
        &["Task", "#Run", "Provider", "Submitted"],
    )
    .or("There is none: of every submit it is known what became of it.")
    .with(attempts.iter().filter_map(row))
}

fn facts(story: &Value) -> Vec<(&'static str, String)> {
    let credits = |name: &str| story.get(name).and_then(Value::as_i64).map(show::credits);
    let looks = story.get("looks").unwrap_or(&Value::Null);
    let all = [
        ("Model", text(story, "model")),
        ("Mode", text(story, "mode")),
        ("Route", text(story, "route")),
        ("Status for its customer", text(story, "status")),
        ("Provider", text(story, "provider")),
        ("Job there", text(story, "job")),
        ("Progress", text(story, "progress")),
        ("Error", text(story, "error_code")),
        ("Hold", text(story, "hold")),
        (
            "Held, credits",
            credits("held_microcredits").unwrap_or_default(),
        ),
        (
            "Charged, credits",
            credits("consumed_microcredits").unwrap_or_default(),
        ),
        ("Made", at(story, "created_at")),
        ("Deadline", at(story, "deadline_at")),
        ("Ended", at(story, "completed_at")),
        ("Looks", text(looks, "made")),
        ("Next look", at(looks, "next_at")),
        ("A process has it until", at(story, "taken_until")),
        ("Calls back", text(story, "callback")),
    ];
    all.into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

fn deliveries(told: &[Delivery]) -> Table {
    let row = |delivery: &Delivery| {
        let kind = match delivery.state.as_str() {
            "delivered" => "good",
            "dead" => "bad",
            _ => "",
        };
        vec![
            Cell::text(&delivery.r#type),
            Cell::badge(kind, &delivery.state).over(&delivery.last_error),
            Cell::text(delivery.attempts.to_string()),
            Cell::time(delivery.created_at),
            moment(delivery.ended_at),
        ]
    };
    let columns = ["Event", "State", "#Attempts", "Made", "Ended"];
    Table::new("Deliveries", &columns)
        .or("Nobody was told of it.")
        .with(told.iter().map(row))
}

/// A table of a list within a story: its columns, and their fields.
fn table(story: &Value, list: &str, (columns, fields): (&[&'static str], &[&str])) -> Table {
    let row = |item: &Value| {
        let cell = |name: &&str| {
            let moment = name.ends_with("at") || *name == "at";
            Cell::text(if moment {
                at(item, name)
            } else {
                text(item, name)
            })
        };
        fields.iter().map(cell).collect()
    };
    Table::new(list, columns).with(rows(story, list).map(row))
}

/// Media writes it: what is no JSON is nothing.
fn json(text: impl AsRef<[u8]>) -> Value {
    serde_json::from_slice(text.as_ref()).unwrap_or_default()
}

fn rows<'v>(value: &'v Value, list: &str) -> impl Iterator<Item = &'v Value> {
    let rows = value.get(list).and_then(Value::as_array);
    rows.into_iter().flatten()
}

/// A field in words; nothing if there is none.
fn text(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::Bool(yes)) => if *yes { "yes" } else { "no" }.to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A moment in RFC 3339, to the second, as people read it.
fn at(value: &Value, name: &str) -> String {
    let text = text(value, name);
    text.get(..19).unwrap_or(&text).replace('T', " ")
}

// === impl Story ===

impl Story {
    /// Reads what media tells.
    fn of(story: &Value) -> Self {
        Self {
            state: text(story, "state"),
            is_open: story.get("completed_at").is_none_or(Value::is_null),
            facts: facts(story),
            account: text(story, "account_id"),
            timeline: rows(story, "timeline")
                .map(|moment| (at(moment, "at"), text(moment, "what")))
                .collect(),
            runs: table(
                story,
                "runs",
                (
                    &["Run", "Provider", "Outcome", "Submitted", "Asked to stop"],
                    &["number", "provider", "outcome", "submitted_at", "stop"],
                ),
            )
            .or("No provider was asked yet."),
            done: table(
                story,
                "interventions",
                (
                    &["When", "What", "Who", "By which request"],
                    &["at", "action", "by", "request_id"],
                ),
            )
            .or("No operator has touched it."),
            files: table(
                story,
                "files",
                (
                    &["File", "Type", "#Bytes", "Kept until"],
                    &["number", "content_type", "bytes", "expires_at"],
                ),
            )
            .or("It has made no files."),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_words() {
        let task = json!({
            "provider": null, "callback": true, "attempts": 2, "at": "2026-11-30T02:14:05.123456Z",
            "runs": [{ "number": 1, "submitted_at": "2026-11-30T02:14:05Z" }],
        });
        for (name, words) in [
            ("provider", ""),
            ("nothing", ""),
            ("callback", "yes"),
            ("attempts", "2"),
        ] {
            assert_eq!(text(&task, name), words);
        }
        assert_eq!(at(&task, "at"), "2026-11-30 02:14:05");
        let table = table(
            &task,
            "runs",
            (&["Run", "When"], &["number", "submitted_at"]),
        );
        let cells: Vec<_> = table.rows[0]
            .iter()
            .map(|cell| cell.text.as_str())
            .collect();
        assert_eq!(cells, ["1", "2026-11-30 02:14:05"]);
    }
}
