//! What operators do: look for tasks of anybody, see what became of one, put one back into the queue, end one. Who did it is written down
//! with what was done. Nothing here charges: a task has one hold, and its end settles it once.

use std::cmp::Reverse;

use chassis::clock::{micros, mint, rfc3339};
use domain::{Micros, Mode, TaskId, ids};
use proto::{Fault, code};
use serde_json::{Map, Value, json};

use crate::{
    Error, Media,
    list::{first_of, states},
    moves::Move,
    providers::shown_name,
    state::State,
    store::{
        self,
        attempt::Finding,
        operator::{self as table, Attempt, Intervention, Search, Take},
    },
    submit::SOON,
    task::{Output, Task},
    tell,
};

/// Tasks of an answer, at most.
const LONGEST_LIST: u32 = 1_000;
/// How often a task that moves on meanwhile is looked at again.
const TRIES: u32 = 5;

/// Which tasks are looked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) limit: u32,
    pub(crate) before: Option<TaskId>,
    /// How they stand, in a customer's word; empty: however.
    pub(crate) status: String,
    pub(crate) model: Option<String>,
    pub(crate) provider: Option<String>,
    pub(crate) account: Option<domain::AccountId>,
    /// Made before then, in microseconds UTC; 0: whenever.
    pub(crate) created_until: i64,
}

/// Who does something.
#[derive(Clone, Debug)]
pub(crate) struct By {
    pub(crate) actor: String,
    pub(crate) request: String,
}

/// What is done where a provider may have the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Nothing.
    Refuses,
    /// The operator has looked there: it is put back all the same.
    IsSettled,
}

/// All that is known of a task.
struct Known {
    task: Task,
    files: Vec<Output>,
    attempts: Vec<Attempt>,
    done: Vec<Intervention>,
}

/// Tasks, the newest first: a line about each.
pub(crate) async fn find(media: &Media, filter: Filter) -> Result<Vec<Value>, Error> {
    let until = match filter.created_until {
        0 => vec![u8::MAX; 16],
        until => first_of(until),
    };
    let before = filter.before.map_or_else(|| until.clone(), TaskId::to_vec);
    let states = match filter.status.as_str() {
        "" => {
            let seen = |state: &State| *state != State::Reserving;
            State::ALL.into_iter().filter(seen).collect()
        }
        status => states(status)?,
    };
    let modes: &[Mode] = match filter.account {
        Some(_) => &[Mode::Test, Mode::Live],
        None => &[Mode::Test],
    };
    let search = Search {
        before: before.min(until),
        account: filter.account,
        model: filter.model,
        provider: filter.provider,
        limit: filter.limit.clamp(1, LONGEST_LIST),
    };
    let (pool, sealer) = (media.db.reader(), media.secrets.content());
    let most = usize::try_from(search.limit).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    for state in states {
        for mode in modes {
            let some = table::find(pool, &search, (state, *mode), sealer);
            found.extend(media.db.read(some).await?);
            found.sort_unstable_by_key(|task| Reverse(task.id));
            // One that moved on between two looks is in both.
            found.dedup_by_key(|task| task.id);
            // No more is in memory than is answered, and once as much.
            found.truncate(most);
        }
    }
    Ok(found.iter().map(|task| line(task).into()).collect())
}

/// What became of a task so far.
pub(crate) async fn show(media: &Media, id: TaskId) -> Result<Value, Error> {
    let (pool, sealer) = (media.db.reader(), media.secrets.content());
    let known = Known {
        task: get(media, id).await?,
        files: media
            .db
            .read(store::output::of_task(pool, id, sealer))
            .await?,
        attempts: media.db.read(table::attempts(pool, id)).await?,
        done: media.db.read(table::interventions(pool, id)).await?,
    };
    Ok(known.story())
}

/// Puts an open task back into the queue.
///
/// # Errors
/// It has ended; a provider may have it, and the doubt is not settled; a process is just submitting it.
pub(crate) async fn requeue(
    media: &Media,
    id: TaskId,
    (by, doubt): (By, Doubt),
) -> Result<Value, Error> {
    let action = match doubt {
        Doubt::Refuses => "requeue",
        Doubt::IsSettled => "force requeue",
    };
    for _ in 0..TRIES {
        let task = open(media, id).await?;
        if doubt == Doubt::Refuses {
            surely_nobodys(media, &task).await?;
        }
        let Some(task) = take(media, &task, Take::FromNobodySubmitting).await? else {
            continue;
        };
        let due_at = media
            .db
            .now_micros()
            .saturating_add(micros(media.config.ring_again));
        let back = |task: &mut Task| {
            task.state = State::Queued;
            task.provider = None;
            task.job = None;
            task.progress = None;
            task.queue_position = None;
            task.clips = Vec::new();
            task.polls = 0;
            task.poll_failures = 0;
            task.not_before = 0;
            task.due_at = due_at;
        };
        // Whoever had it, nobody waits for its job any more.
        let left = (task.state == State::Running).then(|| Finding {
            look_at: media.config.poll.late.at_once(media.db.now_micros()),
            ..Finding::default()
        });
        let mut back = match task.state {
            State::Queued => Move::unseen(task, back),
            State::Reserving
            | State::Starting
            | State::Running
            | State::Completed
            | State::Failed => Move::seen(task, back),
        };
        back.run = left;
        back.by = Some(done(media, by.clone(), action));
        back.tell.push(tell::run(id));
        if media.make(back).await? {
            return show(media, id).await;
        }
    }
    Err(busy(id))
}

/// Ends an open task, free, whoever is at it. A provider that has it is asked to stop it right after (`late.rs`), and what it answers is
/// told with its run; what it has begun may be billed to us all the same.
///
/// # Errors
/// It has ended.
pub(crate) async fn stop(media: &Media, id: TaskId, by: By) -> Result<Value, Error> {
    for _ in 0..TRIES {
        let task = open(media, id).await?;
        let Some(task) = take(media, &task, Take::FromAnybody).await? else {
            continue;
        };
        let by = done(media, by.clone(), "cancel");
        if Box::pin(media.stop(task, by)).await? {
            return show(media, id).await;
        }
    }
    Err(busy(id))
}

async fn get(media: &Media, id: TaskId) -> Result<Task, Error> {
    let task = store::task::get(media.db.reader(), id, media.secrets.content());
    let task = media.db.read(task).await?.filter(Media::is_visible);
    task.ok_or_else(|| Fault::new(code::NOT_FOUND, format!("there is no task {id}")).into())
}

/// A task that has not ended.
async fn open(media: &Media, id: TaskId) -> Result<Task, Error> {
    let task = get(media, id).await?;
    if task.state.is_terminal() {
        let why = format!("the task has ended: it is {}", task.state.public());
        return Err(Fault::new(code::NOT_CANCELLABLE, why).into());
    }
    Ok(task)
}

/// Refuses a task that a provider has, or may have.
async fn surely_nobodys(media: &Media, task: &Task) -> Result<(), Error> {
    let attempts = table::attempts(media.db.reader(), task.id);
    let attempts = media.db.read(attempts).await?;
    let latest = attempts
        .iter()
        .find(|attempt| attempt.number == task.attempts);
    let who = match (task.state, latest) {
        (State::Queued, _) | (State::Starting, None) => return Ok(()),
        (_, Some(latest)) => latest.provider.as_str(),
        (_, None) => task.provider.as_deref().unwrap_or("a provider"),
    };
    let job = task.job.as_deref().map(shown_name);
    let job = job.unwrap_or("nobody knows which");
    let message = format!(
        "{who} may have this task (job: {job}), and would be paid twice: look there, and say force if it has not"
    );
    Err(Fault::new(code::MAY_RUN_TWICE, message).into())
}

async fn take(media: &Media, task: &Task, take: Take) -> Result<Option<Task>, Error> {
    let (task, lease) = (task.clone(), media.lease());
    let sealer = media.secrets.content().clone();
    media
        .db
        .write(move |connection| {
            Box::pin(async move { table::take(connection, (&task, take), lease, &sealer).await })
        })
        .await
}

fn done(media: &Media, by: By, action: &str) -> Intervention {
    Intervention {
        id: mint::<ids::Event>(),
        at: media.db.now_micros(),
        actor: by.actor,
        request: by.request,
        action: action.to_owned(),
    }
}

fn busy(id: TaskId) -> Error {
    let message = format!("{id} is just being submitted, or moves on at this moment");
    Fault::new(code::OVERLOADED, message)
        .retry_after(SOON)
        .into()
}

/// What a list tells of a task.
fn line(task: &Task) -> Map<String, Value> {
    let line = json!({
        "task_id": task.id.to_string(),
        "account_id": task.account.to_string(),
        "mode": task.mode.as_str(),
        "route": task.route,
        "model": task.model,
        "status": task.state.public(),
        "state": task.state.as_str(),
        "provider": task.provider,
        "attempts": task.attempts,
        "error_code": task.error.as_ref().map(|error| &error.code),
        "created_at": rfc3339(task.created_at),
        "completed_at": task.completed_at.map(rfc3339),
        "deadline_at": rfc3339(task.deadline_at),
    });
    if let Value::Object(line) = line {
        line
    } else {
        Map::new()
    }
}

// === impl Known ===

impl Known {
    fn story(&self) -> Value {
        let task = &self.task;
        let mut story = line(task);
        let (held, hold) = match task.state {
            State::Completed => (Micros::ZERO, "captured"),
            State::Failed => (Micros::ZERO, "released"),
            State::Reserving | State::Queued | State::Starting | State::Running => {
                (task.held, "held")
            }
        };
        let more = json!({
            "job": task.job.as_deref().map(shown_name),
            "progress": task.progress,
            "looks": {
                "made": task.polls,
                "failed_in_a_row": task.poll_failures,
                "next_at": (task.state == State::Running).then(|| rfc3339(task.due_at)),
            },
            "taken_until": (task.lease_until > 0).then(|| rfc3339(task.lease_until)),
            "hold": hold,
            "held_microcredits": held.get(),
            "consumed_microcredits": task.charged.get(),
            "callback": task.callback_url().is_some(),
            "runs": self.attempts.iter().map(run).collect::<Vec<_>>(),
            "files": self.files.iter().map(file).collect::<Vec<_>>(),
            "interventions": self.done.iter().map(intervention).collect::<Vec<_>>(),
            "timeline": self.timeline(),
        });
        if let Value::Object(more) = more {
            story.extend(more);
        }
        story.into()
    }

    /// What happened, in order.
    fn timeline(&self) -> Vec<Value> {
        let task = &self.task;
        let mut moments = vec![(task.created_at, "accepted, its price is held".to_owned())];
        moments.extend(self.attempts.iter().map(|run| {
            let what = format!("submitted to {}: {}", run.provider, run.outcome);
            (run.submitted_at, what)
        }));
        let answers = self.attempts.iter().filter_map(|run| {
            let (told, at) = run.stop.as_ref()?;
            Some((
                *at,
                format!("asked to stop, {} answered: {told}", run.provider),
            ))
        });
        moments.extend(answers);
        let due = self.attempts.iter().filter_map(|run| {
            let what = format!("{} is looked at, and asked to stop what runs", run.provider);
            Some((run.look_at?, what))
        });
        moments.extend(due);
        if let Some(at) = task.started_at {
            moments.push((at, "a provider has it".to_owned()));
        }
        moments.extend(self.done.iter().map(|done| {
            let what = format!("{} by {}", done.action, done.actor);
            (done.at, what)
        }));
        if let Some(at) = task.completed_at {
            let why = task.error.as_ref().map(|error| format!(": {}", error.code));
            let what = format!("{}{}", task.state.as_str(), why.unwrap_or_default());
            moments.push((at, what));
        }
        moments.sort_by_key(|(at, _)| *at);
        let told = moments.into_iter();
        told.map(|(at, what)| json!({ "at": rfc3339(at), "what": what }))
            .collect()
    }
}

fn run(run: &Attempt) -> Value {
    json!({
        "number": run.number,
        "provider": run.provider,
        "outcome": run.outcome,
        "submitted_at": rfc3339(run.submitted_at),
        "stop": run.stop.as_ref().map(|(told, _)| told),
        "next_look_at": run.look_at.map(rfc3339),
    })
}

fn file(file: &Output) -> Value {
    json!({
        "number": file.number,
        "content_type": file.content_type,
        "bytes": file.bytes,
        "expires_at": rfc3339(file.expires_at),
    })
}

fn intervention(done: &Intervention) -> Value {
    json!({
        "at": rfc3339(done.at),
        "by": done.actor,
        "request_id": done.request,
        "action": done.action,
    })
}
