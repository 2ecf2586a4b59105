//! One step of one task: submit it, or look how it stands. All the branching of a task's life at a provider is here.

use std::time::Duration;

use chassis::{clock::micros, config::Access, telemetry::causes};
use domain::{catalogue::ProviderRoute, charge::Ending};
use proto::code;
use tracing::{error, warn};
use upstream::{Class, EgressError, Failure, Wait};
use url::Url;

use crate::{
    Error, Media,
    finish::Failed,
    moves::Move,
    outputs::Source,
    pace::Call,
    providers::{MediaProvider, Order, Progress},
    state::{Event, State, Step},
    store::{self, attempt::Outcome},
    task::{About, Output, Task},
};

/// What a provider answers for a file that is not there, and after how many such answers in a row it never will be.
const GONE: [u16; 3] = [403, 404, 410];
const GONE_AFTER: i64 = 5;

/// Moves a task on that this worker has the lease of.
pub(crate) async fn execute(media: &Media, task: Task) -> Result<(), Error> {
    match task.state.next() {
        Step::Start => Box::pin(start(media, task)).await,
        Step::Check => Box::pin(check(media, task)).await,
        Step::Rest => Ok(()),
    }
}

/// A provider to use for a task.
struct Candidate<'a> {
    route: &'a ProviderRoute,
    adapter: &'a dyn MediaProvider,
    access: Access,
}

/// Submits a task to the first provider that does not certainly refuse it.
async fn start(media: &Media, task: Task) -> Result<(), Error> {
    let Some(request) = task.request.clone() else {
        return media
            .fail(task, Failed::of(Ending::Internal, code::INTERNAL), None)
            .await
            .map(drop);
    };
    let (mut refusal, mut full) = (None, false);
    for candidate in candidates(media, &task) {
        if !media.enter(&task, &candidate.route.provider).await {
            full = true;
            continue;
        }
        if !note_submit(media, &task, &candidate.route.provider).await? {
            // This worker slept past its lease, and another one has the task.
            return Ok(());
        }
        let input = candidate.route.input(&request.parameters);
        let order = Order {
            model: &candidate.route.model,
            parameters: &input,
            callback: None,
        };
        let provider = candidate.route.provider.clone();
        let started = candidate.adapter.start(&candidate.access, &order);
        match ask(media, "submit", candidate.route, started).await {
            Ok(started) => return accepted(media, task, provider, started.job).await,
            Err(failure) => {
                upstream::report(&provider, "submit", &failure);
                media.heed(task.mode, &provider, Call::Submit, &failure);
                if !failure.another_may_serve() {
                    return refused(media, task, &failure).await;
                }
                refusal = Some(failure);
            }
        }
    }
    match refusal {
        Some(failure) => refused(media, task, &failure).await,
        None if full => media.wait_for_room(task).await,
        None => media
            .fail(
                task,
                Failed::of(Ending::NoProvider, code::NO_PROVIDER),
                None,
            )
            .await
            .map(drop),
    }
}

/// The providers that can be asked, in order. One that is no longer configured is passed over.
fn candidates<'a>(media: &'a Media, task: &Task) -> Vec<Candidate<'a>> {
    let Some(model) = media.catalogue.find(&task.model) else {
        return Vec::new();
    };
    let parameters = task.parameters();
    model
        .candidates(&parameters)
        .filter_map(|route| {
            let adapter = media.providers.get(route.adapter.as_str())?;
            let access = media.accesses.access(task.mode, &route.provider)?;
            Some(Candidate {
                route,
                adapter: adapter.as_ref(),
                access,
            })
        })
        .collect()
}

/// From here on the provider may have it. `false`: the task is no longer this worker's.
async fn note_submit(media: &Media, task: &Task, provider: &str) -> Result<bool, Error> {
    let note = || {
        let (task, provider, lease) = (task.clone(), provider.to_owned(), media.lease());
        media.db.write(move |connection| {
            Box::pin(
                async move { store::attempt::begin(connection, &task, &provider, lease).await },
            )
        })
    };
    media.patiently("note a submit", note).await
}

/// A call to a provider must end some time.
async fn ask<T>(
    media: &Media,
    what: &'static str,
    route: &ProviderRoute,
    call: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let in_time = async {
        tokio::time::timeout(media.config.call_timeout, call)
            .await
            .unwrap_or_else(|_| Err(Failure::timed_out(Wait::End)))
    };
    upstream::traced(what, (&route.provider, &route.model), in_time).await
}

async fn accepted(media: &Media, task: Task, provider: String, job: String) -> Result<(), Error> {
    let now = media.db.now_micros();
    let Some(mut taken) = Move::of(task, Event::Accepted) else {
        return Ok(());
    };
    taken.after.due_at = media.first_look(&taken.after, &provider);
    taken.after.provider = Some(provider);
    taken.after.job = Some(job);
    taken.after.polls = 0;
    taken.after.poll_failures = 0;
    taken.after.started_at = taken.after.started_at.or(Some(now));
    taken.outcome = Some(Outcome::Accepted);
    media.make(taken).await.map(drop)
}

/// No provider took the task. Busy ones are asked again later; what may have been taken is not submitted twice.
async fn refused(media: &Media, task: Task, failure: &Failure) -> Result<(), Error> {
    if !failure.outcome_known() {
        if media
            .fail(
                task,
                Failed::of(Ending::SubmitUnknown, code::SUBMIT_OUTCOME_UNKNOWN),
                None,
            )
            .await?
        {
            media.metrics.unknown_submits.inc();
        }
        return Ok(());
    }
    // A provider that only asks for patience gets it, until the deadline.
    let patience =
        failure.class() == Class::RateLimited || task.attempts < media.config.max_attempts;
    if failure.retryable() && patience {
        return put_back(media, task, failure.retry_after()).await;
    }
    media
        .fail(task, Failed::provider(failure), Some(Outcome::Refused))
        .await
        .map(drop)
}

async fn put_back(media: &Media, task: Task, asked: Option<Duration>) -> Result<(), Error> {
    let doublings = u32::try_from(task.attempts).unwrap_or(u32::MAX).min(5);
    let backoff = Duration::from_millis(250).saturating_mul(2_u32.saturating_pow(doublings));
    let Some(mut back) = Move::of(task, Event::PutBack) else {
        return Ok(());
    };
    back.after.not_before = media
        .db
        .now_micros()
        .saturating_add(micros(asked.unwrap_or(backoff)));
    back.after.due_at = back.after.not_before;
    back.outcome = Some(Outcome::Refused);
    media.make(back).await.map(drop)
}

/// Looks how a task stands at its provider.
async fn check(media: &Media, task: Task) -> Result<(), Error> {
    let by = |candidate: &Candidate<'_>| {
        Some(candidate.route.provider.as_str()) == task.provider.as_deref()
    };
    let (Some(job), Some(candidate)) = (
        task.job.clone(),
        candidates(media, &task).into_iter().find(by),
    ) else {
        // The provider is configured no longer: it may be again before the deadline.
        return look_failed(media, task, None).await;
    };
    let checked = candidate.adapter.check(&candidate.access, &job);
    match ask(media, "check", candidate.route, checked).await {
        Ok(Progress::Running { percent, .. }) => still_running(media, task, percent).await,
        Ok(Progress::Done { files, .. }) => {
            let about = candidate.adapter.about(&candidate.access, &job);
            match ask(media, "about", candidate.route, about).await {
                Ok(about) => {
                    let made = (files.as_slice(), about);
                    store_outputs(media, task, made, &candidate.access.base_url).await
                }
                Err(failure) => look_failed(media, task, failure.retry_after()).await,
            }
        }
        Ok(Progress::Failed(failure)) => {
            upstream::report(&candidate.route.provider, "job", &failure);
            media
                .fail(task, Failed::provider(&failure), Some(Outcome::Failed))
                .await
                .map(drop)
        }
        Ok(Progress::Missing) if is_young(media, &task) => still_running(media, task, None).await,
        Ok(Progress::Missing) => {
            warn!(task.id = %task.id, "the provider lost the job");
            media
                .fail(
                    task,
                    Failed::of(Ending::JobLost, code::UPSTREAM_FAILED),
                    Some(Outcome::Failed),
                )
                .await
                .map(drop)
        }
        Err(failure) => {
            upstream::report(&candidate.route.provider, "check", &failure);
            media.heed(task.mode, &candidate.route.provider, Call::Look, &failure);
            look_failed(media, task, failure.retry_after()).await
        }
    }
}

/// A provider may not know a job in the first moments.
fn is_young(media: &Media, task: &Task) -> bool {
    let since = media
        .db
        .now_micros()
        .saturating_sub(task.started_at.unwrap_or(0));
    since < micros(media.config.poll.settle_in)
}

async fn still_running(media: &Media, task: Task, percent: Option<i64>) -> Result<(), Error> {
    let due_at = media.next_look(&task);
    let looked = |task: &mut Task| {
        task.polls = task.polls.saturating_add(1);
        task.poll_failures = 0;
        task.due_at = due_at;
        task.progress = percent.or(task.progress);
    };
    let moved = percent.is_some() && percent != task.progress;
    let change = if moved {
        Move::seen(task, looked)
    } else {
        Move::unseen(task, looked)
    };
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

/// Fetches what the provider made; only then is the task a success.
async fn store_outputs(
    media: &Media,
    task: Task,
    (files, about): (&[String], Vec<About>),
    origin: &Url,
) -> Result<(), Error> {
    let mut outputs: Vec<Output> = Vec::with_capacity(files.len());
    for (number, url) in (0_u32..).zip(files) {
        match media
            .kept
            .outputs
            .keep(
                Source {
                    task: task.id,
                    number,
                    url,
                    origin,
                },
                media.db.now_micros(),
            )
            .await
        {
            Ok(output) => outputs.push(output),
            Err(error) if is_final(&error, &task) => {
                error!(task.id = %task.id, error = %causes(&error), "an output cannot be kept");
                for kept in &outputs {
                    media.kept.outputs.delete(task.id, kept.number).await?;
                }
                return media
                    .fail(
                        task,
                        Failed::of(Ending::OutputUnusable, code::UPSTREAM_FAILED),
                        Some(Outcome::Failed),
                    )
                    .await
                    .map(drop);
            }
            Err(error) => {
                warn!(task.id = %task.id, error = %causes(&error), "cannot keep an output yet");
                return look_failed(media, task, None).await;
            }
        }
    }
    for (output, about) in outputs.iter_mut().zip(about) {
        output.about = Some(about);
    }
    let (id, count) = (task.id, outputs.len());
    if !media.complete(task, outputs).await? {
        drop_orphans(media, id, count).await?;
    }
    Ok(())
}

/// Whether a file can never be kept: it is none that we keep, it is too large or out of bounds, or its provider keeps saying that it is not
/// there, which in the first moments may only mean that it is not everywhere yet.
fn is_final(error: &Error, task: &Task) -> bool {
    let is_gone = |status: u16| GONE.contains(&status) && task.poll_failures >= GONE_AFTER;
    matches!(
        error,
        Error::NotAnOutput | Error::Fetch(EgressError::TooLarge { .. } | EgressError::Refused(_))
    ) || matches!(error, Error::Fetch(EgressError::Status { status }) if is_gone(status.as_u16()))
}

/// Files of a task that failed meanwhile belong to nobody.
async fn drop_orphans(media: &Media, task: domain::TaskId, count: usize) -> Result<(), Error> {
    let look = || {
        let found = store::task::get(media.db.reader(), task, media.secrets.content());
        media.db.read(found)
    };
    let now = media.patiently("look for orphans", look).await?;
    if now.is_some_and(|task| task.state == State::Failed) {
        for (number, _) in (0_u32..).zip(0..count) {
            media.kept.outputs.delete(task, number).await?;
        }
    }
    Ok(())
}
