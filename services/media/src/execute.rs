//! One step of one task: submit it, or look how it stands. All the branching of a task's life at a provider is here.

use chassis::telemetry::causes;
use std::time::Duration;

use chassis::clock::{micros, now_micros};
use domain::catalogue::ProviderRoute;
use proto::code;
use tracing::{error, warn};
use upstream::{Class, Failure};
use url::Url;

use crate::{
    Error, Media,
    outputs::Source,
    providers::{Access, MediaProvider, Order, Progress},
    state::Step,
    store::{self, attempt::Outcome},
    task::{Output, Task, TaskError},
};

/// Moves a task on that this worker has the lease of.
pub(crate) async fn execute(media: &Media, task: Task) -> Result<(), Error> {
    match task.state.next() {
        Step::Start => start(media, task).await,
        Step::Check => check(media, task).await,
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
async fn start(media: &Media, mut task: Task) -> Result<(), Error> {
    let mut refusal = None;
    for candidate in candidates(media, &task)? {
        task.provider = Some(candidate.route.provider.clone());
        if !note_submit(media, &task, &candidate.route.provider).await? {
            // This worker slept past its lease, and another one has the task.
            return Ok(());
        }
        let order = Order {
            model: &candidate.route.model,
            parameters: &task.request.parameters,
        };
        match candidate.adapter.start(&candidate.access, &order).await {
            Ok(started) => {
                task.job = Some(started.job);
                return accepted(media, task).await;
            }
            Err(failure) if failure.outcome_known() && failure.another_may_serve() => {
                log_failure(&task, &failure, "submit refused");
                refusal = Some(failure);
            }
            Err(failure) => return refused(media, task, failure).await,
        }
    }
    match refusal {
        Some(failure) => refused(media, task, failure).await,
        None => Err(Error::Damaged("no provider")),
    }
}

fn candidates<'a>(media: &'a Media, task: &Task) -> Result<Vec<Candidate<'a>>, Error> {
    let model = media
        .catalogue
        .find(&task.model)
        .ok_or(Error::Damaged("unknown model"))?;
    let routes = model.providers.iter().filter(|route| {
        model
            .candidates(&task.request.parameters)
            .any(|c| std::ptr::eq(c, *route))
    });
    routes
        .map(|route| {
            let adapter = media
                .providers
                .get(route.adapter.as_str())
                .ok_or(Error::Damaged("unknown adapter"))?;
            Ok(Candidate {
                route,
                adapter: adapter.as_ref(),
                access: media.accesses.of(task.mode, &route.provider)?,
            })
        })
        .collect()
}

/// From here on the provider may have it. `false`: the task is no longer this worker's.
async fn note_submit(media: &Media, task: &Task, provider: &str) -> Result<bool, Error> {
    let (task, provider) = (task.clone(), provider.to_owned());
    media
        .db
        .write(move |connection| {
            Box::pin(async move { store::attempt::begin(connection, &task, &provider).await })
        })
        .await
}

async fn accepted(media: &Media, task: Task) -> Result<(), Error> {
    let due_at = now_micros().saturating_add(micros(media.config.poll.first));
    let row = task.clone();
    let kept: bool = media
        .db
        .write(move |connection| {
            Box::pin(async move {
                store::attempt::note(connection, &row, Outcome::Accepted).await?;
                store::task::running(connection, &row, due_at).await
            })
        })
        .await?;
    if kept {
        show_again(media, &task).await?;
    }
    Ok(())
}

/// No provider took the task. Busy ones are asked again later; what may have been taken is not submitted twice.
async fn refused(media: &Media, task: Task, failure: Failure) -> Result<(), Error> {
    log_failure(&task, &failure, "submit failed");
    if !failure.outcome_known() {
        media.metrics.unknown_submits.inc();
        return media
            .fail(task, TaskError::of(code::SUBMIT_OUTCOME_UNKNOWN), None)
            .await
            .map(drop);
    }
    if failure.retryable() && task.attempts < media.config.max_attempts {
        return put_back(media, task, failure.retry_after()).await;
    }
    media
        .fail(task, explain(&failure), Some(Outcome::Refused))
        .await
        .map(drop)
}

async fn put_back(media: &Media, task: Task, asked: Option<Duration>) -> Result<(), Error> {
    let doublings = u32::try_from(task.attempts).unwrap_or(u32::MAX).min(6);
    let backoff = Duration::from_millis(250).saturating_mul(2_u32.saturating_pow(doublings));
    let due_at = now_micros().saturating_add(micros(asked.unwrap_or(backoff)));
    let row = task.clone();
    let kept: bool = media
        .db
        .write(move |connection| {
            Box::pin(async move {
                store::attempt::note(connection, &row, Outcome::Refused).await?;
                store::task::put_back(connection, &row, due_at).await
            })
        })
        .await?;
    if kept {
        show_again(media, &task).await?;
    }
    Ok(())
}

/// Looks how a task stands at its provider.
async fn check(media: &Media, mut task: Task) -> Result<(), Error> {
    let Some(job) = task.job.clone() else {
        return Err(Error::Damaged("no job"));
    };
    let candidate = candidates(media, &task)?
        .into_iter()
        .find(|candidate| Some(candidate.route.provider.as_str()) == task.provider.as_deref())
        .ok_or(Error::Damaged("provider is gone from the catalogue"))?;
    task.polls = task.polls.saturating_add(1);
    match candidate.adapter.check(&candidate.access, &job).await {
        Ok(Progress::Running { percent }) => {
            let moved = percent.is_some() && percent != task.progress;
            let version = task.version.saturating_add(i64::from(moved));
            look_later(
                media,
                Task {
                    progress: percent.or(task.progress),
                    poll_failures: 0,
                    version,
                    ..task
                },
            )
            .await
        }
        Ok(Progress::Done { files }) => {
            store_outputs(media, task, &files, &candidate.access.base_url).await
        }
        Ok(Progress::Failed(failure)) => {
            log_failure(&task, &failure, "job failed");
            media
                .fail(task, explain(&failure), Some(Outcome::Failed))
                .await
                .map(drop)
        }
        Ok(Progress::Missing) if is_young(media, &task) => look_later(media, task).await,
        Ok(Progress::Missing) => {
            warn!(task.id = %task.id, "the provider lost the job");
            media
                .fail(
                    task,
                    TaskError::of(code::UPSTREAM_FAILED),
                    Some(Outcome::Failed),
                )
                .await
                .map(drop)
        }
        Err(failure) => {
            log_failure(&task, &failure, "cannot look at the job");
            look_failed(media, task).await
        }
    }
}

/// A provider may not know a job in the first moments.
fn is_young(media: &Media, task: &Task) -> bool {
    let since = now_micros().saturating_sub(task.started_at.unwrap_or(0));
    since < micros(media.config.poll.settle_in)
}

/// The job may well go on while we cannot see it: only many failures in a row count.
async fn look_failed(media: &Media, task: Task) -> Result<(), Error> {
    let task = Task {
        poll_failures: task.poll_failures.saturating_add(1),
        ..task
    };
    if task.poll_failures >= media.config.poll.max_failures {
        return media
            .fail(
                task,
                TaskError::of(code::UPSTREAM_FAILED),
                Some(Outcome::Failed),
            )
            .await
            .map(drop);
    }
    look_later(media, task).await
}

async fn look_later(media: &Media, task: Task) -> Result<(), Error> {
    let due_at = now_micros().saturating_add(micros(pause(media, &task)));
    let row = task.clone();
    let looked: Result<(), Error> = media
        .db
        .write(move |connection| {
            Box::pin(async move { store::task::looked(connection, &row, due_at).await })
        })
        .await;
    looked?;
    media.show(&task, &[]).await;
    Ok(())
}

/// Each look waits a quarter longer than the one before.
fn pause(media: &Media, task: &Task) -> Duration {
    let longer = |pause: Duration, _| pause.saturating_add(pause.checked_div(4).unwrap_or(pause));
    let looks = 0..task.polls.saturating_add(task.poll_failures).min(16);
    looks
        .fold(media.config.poll.first, longer)
        .min(media.config.poll.longest)
}

/// Fetches what the provider made; only then is the task a success.
async fn store_outputs(
    media: &Media,
    task: Task,
    files: &[String],
    origin: &Url,
) -> Result<(), Error> {
    let mut outputs: Vec<Output> = Vec::with_capacity(files.len());
    for (number, url) in (0_u32..).zip(files) {
        match media
            .outputs
            .keep(Source {
                task: task.id,
                number,
                url,
                origin,
            })
            .await
        {
            Ok(output) => outputs.push(output),
            Err(error @ (Error::Fetch(_) | Error::Store(_))) => {
                warn!(task.id = %task.id, error = %causes(&error), "cannot keep an output yet");
                return look_failed(media, task).await;
            }
            Err(error) => return Err(error),
        }
    }
    media.complete(task, outputs).await.map(drop)
}

/// Shows the row as it is now: its version was raised by the statement.
pub(crate) async fn show_again(media: &Media, task: &Task) -> Result<(), Error> {
    if let Some(task) =
        store::task::get(media.db.reader(), task.id, media.secrets.content()).await?
    {
        media.show(&task, &[]).await;
    }
    Ok(())
}

/// What the customer reads when a provider failed us.
fn explain(failure: &Failure) -> TaskError {
    match failure.class() {
        Class::Invalid => TaskError::new(
            code::UPSTREAM_REFUSED,
            failure.detail().unwrap_or(code::UPSTREAM_REFUSED.cause),
        ),
        Class::Moderated => TaskError::new(
            code::CONTENT_MODERATED,
            failure.detail().unwrap_or(code::CONTENT_MODERATED.cause),
        ),
        Class::RateLimited | Class::Overloaded | Class::NotSent if failure.status().is_some() => {
            TaskError::of(code::UPSTREAM_BUSY)
        }
        Class::Auth
        | Class::Balance
        | Class::RateLimited
        | Class::Overloaded
        | Class::Gone
        | Class::Unknown
        | Class::Malformed
        | Class::NotSent => TaskError::of(code::UPSTREAM_FAILED),
    }
}

/// Our credentials and our balance at a provider are the operator's alarm; the rest is weather.
fn log_failure(task: &Task, failure: &Failure, what: &'static str) {
    let (provider, class, reason) = (
        task.provider.as_deref(),
        failure.class().as_str(),
        failure.reason(),
    );
    let status = failure.status().map(|status| status.as_u16());
    if matches!(failure.class(), Class::Auth | Class::Balance) {
        error!(task.id = %task.id, provider.name = provider, class, status, reason, what, "provider refuses our account");
    } else {
        warn!(task.id = %task.id, provider.name = provider, class, status, reason, what, "provider failed");
    }
}
