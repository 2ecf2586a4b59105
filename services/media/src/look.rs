//! One look how a task stands at its provider, and all that can come of it: it goes on, it is done and its files are fetched, it has failed
//! and another provider is asked, or it is over.

mod keep;

use std::time::Duration;

use chassis::clock::micros;
use domain::charge::Ending;
use proto::code;
use serde_json::{Map, Value};
use tokio::time::Instant;
use tracing::{info, warn};
use upstream::{Class, Failure, Trust};

pub(crate) use self::keep::{Made, store_outputs};
use crate::{
    Error, Media,
    execute::{Before, Candidate, able, ask, candidates, most_attempts, runs, start},
    finish::Failed,
    inputs,
    metrics::ByProvider,
    moves::Move,
    outputs::Place,
    pace::Call,
    providers::{Cancelled, Cost, Progress},
    state::Event,
    stop::{Run, ask_to_stop},
    store::attempt::{Finding, Outcome},
    task::Task,
    tell, view,
};

/// After so many looks in a row at a job that is done, without a file that it made, there is none.
const EMPTY_AFTER: i64 = 5;
/// How far a job is that is done.
const DONE: i64 = 100;

/// Looks how a task stands at its provider.
pub(crate) async fn look(media: &Media, task: Task) -> Result<(), Error> {
    let (Some(job), Some(candidate)) = (task.job.clone(), its_provider(media, &task)) else {
        // The provider is configured no longer: it may be again before the deadline.
        return look_failed(media, task, None).await;
    };
    let checked = candidate.adapter.check(&candidate.access, &job);
    match ask(media, "check", candidate.route, checked).await {
        Ok(Progress::Running {
            percent,
            position,
            clips,
        }) => {
            if is_to_be_stopped(media, &task, &candidate).await? {
                return media.withdraw(task).await.map(drop);
            }
            let seen = Seen {
                percent,
                position,
                clips,
            };
            still_running(media, task, seen).await
        }
        Ok(Progress::Done { files, cost, .. }) if files.is_empty() => {
            without_files(media, task, cost).await
        }
        Ok(Progress::Done { files, about, cost }) => {
            let headers = candidate.adapter.file_headers(&candidate.access);
            let made = Made {
                files: files.iter().map(|url| Place::Url(url)).collect(),
                about,
                cost,
                lasts: Duration::ZERO,
                trust: Trust::Keyed(&candidate.access.base_url, &headers),
            };
            store_outputs(media, task, made).await
        }
        Ok(Progress::Told { text, cost }) => {
            let headers = candidate.adapter.file_headers(&candidate.access);
            let made = Made {
                files: vec![Place::Text(&text)],
                about: Vec::new(),
                cost,
                lasts: Duration::ZERO,
                trust: Trust::Keyed(&candidate.access.base_url, &headers),
            };
            store_outputs(media, task, made).await
        }
        Ok(Progress::Failed(failure)) => {
            upstream::report(&candidate.route.provider, "job", &failure);
            Box::pin(job_failed(media, task, &failure)).await
        }
        Ok(Progress::Wasted(failure, cost)) => {
            upstream::report(&candidate.route.provider, "job", &failure);
            Box::pin(wasted(media, task, &failure, cost)).await
        }
        Ok(Progress::Missing) => missing(media, task).await,
        Err(failure) => {
            upstream::report(&candidate.route.provider, "check", &failure);
            media.heed(task.mode, &candidate.route.provider, Call::Look, &failure);
            look_failed(media, task, failure.retry_after()).await
        }
    }
}

/// How to reach the provider that has a task; `None` once it is no longer configured.
pub(crate) fn its_provider<'a>(media: &'a Media, task: &Task) -> Option<Candidate<'a>> {
    provider_of(media, task, task.provider.as_deref()?)
}

/// How to reach a provider that has, or had, a task.
pub(crate) fn provider_of<'a>(
    media: &'a Media,
    task: &Task,
    provider: &str,
) -> Option<Candidate<'a>> {
    let mut candidates = candidates(media, task).into_iter();
    candidates.find(|candidate| candidate.route.provider == provider)
}

/// Asks the provider to stop a job whose customer has cancelled the task, if nobody has been answered yet: who was to ask may have died, or
/// had no answer. `true`: it has stopped it, or had, and who heard that did not come to say so.
async fn is_to_be_stopped(media: &Media, task: &Task, at: &Candidate<'_>) -> Result<bool, Error> {
    let (Some(job), true) = (&task.job, task.cancel_asked_at > 0) else {
        return Ok(false);
    };
    let runs = runs(media, task).await?;
    let Some(run) = runs.iter().find(|run| run.number == task.attempts) else {
        return Ok(false);
    };
    if let Some(told) = run.stop {
        return Ok(told == Cancelled::Stopped);
    }
    let time = media.config.poll.cancel.timeout;
    let asked_by = task.cancel_asked_at.saturating_add(micros(time));
    let (provider, since) = (&at.route.provider, Instant::now());
    if asked_by > media.db.now_micros() || !media.may_ask(task.mode, provider, since).await {
        return Ok(false);
    }
    let run = Run {
        task,
        number: task.attempts,
        job,
        time,
    };
    let told = ask_to_stop(media, run, at).await?;
    Ok(matches!(told, Ok(Cancelled::Stopped)))
}

/// The job is over, without a result. Where that is the provider's own doing, another one may be asked; and a customer who asked for it to
/// be cancelled gets that. What one finds wrong another may make, as at a submit.
async fn job_failed(media: &Media, task: Task, failure: &Failure) -> Result<(), Error> {
    let reason = failure.class().as_str();
    let failed = Finding::failed(Outcome::Failed, reason);
    let is_its_own = is_its_own(failure);
    if is_its_own && task.cancel_asked_at > 0 {
        let stopped = Finding::from(Some(Outcome::Failed));
        return media.withdraw_after(task, stopped).await.map(drop);
    }
    let may_pass = is_its_own || failure.class() == Class::Invalid;
    if may_pass && task.cancel_asked_at == 0 && another_is_left(media, &task).await? {
        return pass_on(media, task, failed).await;
    }
    media
        .fail(task, Failed::provider(failure), failed)
        .await
        .map(drop)
}

/// Whether it is the provider's own doing that a job failed, so that its customer can be told that it was cancelled.
fn is_its_own(failure: &Failure) -> bool {
    failure.outcome_known() && failure.another_may_serve()
}

/// The job is over, without a result, and was billed. Asking another provider too could cost us the task twice.
async fn wasted(
    media: &Media,
    task: Task,
    failure: &Failure,
    cost: Option<Cost>,
) -> Result<(), Error> {
    let provider = task.provider.clone().unwrap_or_default();
    let found = Finding {
        cost,
        ..Finding::failed(Outcome::Failed, failure.class().as_str())
    };
    if is_its_own(failure) && task.cancel_asked_at > 0 {
        // We had it stopped.
        return media.withdraw_after(task, found).await.map(drop);
    }
    let (id, why) = (task.id, Failed::wasted(failure));
    if Box::pin(media.fail(task, why, found)).await? {
        media.count_wasted(id, provider, cost);
    }
    Ok(())
}

/// The provider calls the job done, and does not say where the files are. They may be there a moment later.
async fn without_files(media: &Media, task: Task, cost: Option<Cost>) -> Result<(), Error> {
    if task.progress != Some(DONE) {
        // Looks that failed before say nothing of files.
        let due_at = media.next_look(&task);
        let change = Move::seen(task, |task| {
            task.progress = Some(DONE);
            task.poll_failures = 1;
            task.due_at = due_at;
        });
        return media.make(change).await.map(drop);
    }
    if task.poll_failures < EMPTY_AFTER {
        warn!(task.id = %task.id, "the provider calls a job done, without a file");
        return look_failed(media, task, None).await;
    }
    let failure = Failure::malformed("a finished job has no file");
    Box::pin(wasted(media, task, &failure, cost)).await
}

/// Whether there is a provider that did not have the task yet, does not cost more than it brings, and time for it.
async fn another_is_left(media: &Media, task: &Task) -> Result<bool, Error> {
    if task.attempts >= most_attempts(media, task) || task.deadline_at <= media.db.now_micros() {
        return Ok(false);
    }
    let before = Before::of(media, task).await?;
    let others = able(media, task, inputs::linked(media, task).await?);
    Ok(others.iter().any(|other| {
        let provider = &other.route.provider;
        let is_other = Some(provider) != task.provider.as_ref();
        is_other && !other.route.costly && !before.has_failed(provider)
    }))
}

/// Asks the next provider, under the same hold. The one that failed has billed nothing. If this process dies in between, a sweep finds a
/// task that nobody has.
async fn pass_on(media: &Media, task: Task, failed: Finding) -> Result<(), Error> {
    let provider = task.provider.clone().unwrap_or_default();
    let Some(mut passed) = Move::of(task, Event::PassedOn) else {
        return Ok(());
    };
    passed.run = Some(failed);
    let after = &mut passed.after;
    (after.provider, after.job) = (None, None);
    (after.progress, after.queue_position) = (None, None);
    after.clips = Vec::new();
    after.attempts = after.attempts.saturating_add(1);
    after.lease_until = media.lease().until;
    let task = after.clone();
    info!(task.id = %task.id, provider.name = provider, "the job failed; asking another provider");
    if !media.make(passed).await? {
        return Ok(());
    }
    let from = ByProvider { provider };
    media.metrics.passed_on.get_or_create(&from).inc();
    Box::pin(start(media, task)).await
}

/// The provider does not know the job. It may not know it yet.
async fn missing(media: &Media, task: Task) -> Result<(), Error> {
    let runs = runs(media, &task).await?;
    let since = runs.last().map_or(0, |run| run.submitted_at);
    let age = media.db.now_micros().saturating_sub(since);
    if age < micros(media.config.poll.settle_in) {
        return still_running(media, task, Seen::default()).await;
    }
    warn!(task.id = %task.id, "the provider lost the job");
    let lost = Failed::of(Ending::JobLost, code::UPSTREAM_FAILED);
    media
        .fail(task, lost, Some(Outcome::Failed))
        .await
        .map(drop)
}

/// How far a job is.
#[derive(Default)]
struct Seen {
    percent: Option<i64>,
    /// How many jobs are before it.
    position: Option<i64>,
    /// What is known of its songs.
    clips: Vec<Map<String, Value>>,
}

async fn still_running(media: &Media, task: Task, seen: Seen) -> Result<(), Error> {
    let Seen {
        percent,
        position,
        clips,
    } = seen;
    let mut due_at = media.next_look(&task);
    let still_asking = micros(media.config.poll.cancel.timeout);
    if task.cancel_asked_at.saturating_add(still_asking) > media.db.now_micros() {
        // Whoever asks the provider to stop it may die before he does.
        due_at = due_at.min(task.cancel_asked_at.saturating_add(still_asking));
    }
    let moved = (percent.is_some() && percent != task.progress)
        || position != task.queue_position
        || !clips.is_empty() && clips != task.clips;
    let stage_before = view::stage(&task);
    let looked = |task: &mut Task| {
        task.polls = task.polls.saturating_add(1);
        task.poll_failures = 0;
        task.due_at = due_at;
        task.progress = percent.or(task.progress);
        task.queue_position = position;
        if !clips.is_empty() {
            task.clips = clips;
        }
    };
    let mut change = if moved {
        Move::seen(task, looked)
    } else {
        Move::unseen(task, looked)
    };
    let after = &change.after;
    if let Some(stage) = view::stage(after).filter(|stage| Some(*stage) != stage_before) {
        let (now, sealer) = (media.db.now_micros(), media.secrets.content());
        let told = tell::reached(after, stage, (now, sealer))?;
        change.tell.push(told);
    }
    media.make(change).await.map(drop)
}

/// The job may well go on, or be done, while we cannot see it: only the deadline ends it.
async fn look_failed(media: &Media, task: Task, asked: Option<Duration>) -> Result<(), Error> {
    let due_at = media.look_again(&task, asked);
    let change = Move::unseen(task, |task| {
        task.poll_failures = task.poll_failures.saturating_add(1);
        task.due_at = due_at;
    });
    media.make(change).await.map(drop)
}
