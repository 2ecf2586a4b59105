//! Looks at jobs that providers have and no task waits for: those of tasks that have ended by their deadline or were cancelled, that an
//! operator has put back, and those whose submit was answered when their task was another worker's already, or over. What still runs is asked
//! to stop, at every look until its provider has answered. What succeeded all the same is written down with its run and counted, since it may
//! have been billed; nobody is charged. All of it counts as looks of the provider.

use std::time::Duration;

use chassis::{Tasks, clock::micros, telemetry::causes};
use domain::charge::Ending;
use futures::{StreamExt as _, stream};
use tokio::time::Instant;
use tracing::{Instrument as _, debug, debug_span, info_span, warn};

use crate::{
    Error, Media,
    execute::{Candidate, ask},
    look::provider_of,
    metrics::ByProvider,
    pace::Call,
    providers::{Cancelled, Progress, Started},
    stop::{Run, ask_to_stop},
    store::{
        self,
        attempt::{Finding, Late, Outcome},
    },
    task::Task,
};

/// How often.
const EVERY: Duration = Duration::from_secs(1);
/// Providers asked at once.
const AT_ONCE: usize = 8;
/// When a job is looked at whose provider must not be asked now: until then it does not stand before those of others.
const PUT_OFF: Duration = Duration::from_secs(5);

/// Starts the looks. Apart from the sweeper, which must not wait for a provider.
pub(crate) fn start(media: &Media, tasks: &Tasks) {
    let (media, stop) = (media.clone(), tasks.clone());
    tasks.spawn_loop(info_span!("late"), move || {
        let (media, stop) = (media.clone(), stop.clone());
        async move {
            while !stop.is_stopping() {
                let looked = media.db.alone("media.late", || look_at_all(&media)).await;
                match looked {
                    Ok(Some(Err(failure))) => {
                        warn!(error = %causes(&failure), "cannot look at what runs late");
                    }
                    Err(failure) => {
                        warn!(error = %causes(&failure), "cannot look at what runs late");
                    }
                    Ok(Some(Ok(())) | None) => {}
                }
                tokio::select! {
                    () = tokio::time::sleep(EVERY) => {}
                    () = stop.stopping() => {}
                }
            }
        }
    });
}

async fn look_at_all(media: &Media) -> Result<(), Error> {
    let (now, sealer) = (media.db.now_micros(), media.secrets.content());
    let late = store::attempt::late(media.db.reader(), now, sealer);
    let looks = stream::iter(media.db.read(late).await?).map(|late| {
        let span = debug_span!("late", task.id = %late.task.id, otel.kind = "internal");
        look_at(media, late).instrument(span)
    });
    let looks = looks.buffer_unordered(AT_ONCE);
    looks
        .for_each(|looked| async move {
            if let Err(failure) = looked {
                warn!(error = %causes(&failure), "cannot note a look at what runs late");
            }
        })
        .await;
    Ok(())
}

async fn look_at(media: &Media, late: Late) -> Result<(), Error> {
    let (mode, provider) = (late.task.mode, late.run.provider.as_str());
    if !media.may_look(mode, provider).await {
        return put_off(media, &late).await;
    }
    let found = match provider_of(media, &late.task, provider) {
        Some(candidate) => stand(media, &late, &candidate).await?,
        None => again(media, &late),
    };
    let (run, looks) = ((late.task.id, late.run.number), late.run.looks);
    let noted: Result<bool, Error> = media
        .db
        .write(move |connection| {
            Box::pin(async move { store::attempt::looked(connection, run, looks, found).await })
        })
        .await;
    if noted? && found.outcome == Some(Outcome::Succeeded) {
        let provider = late.run.provider;
        warn!(
            task.id = %late.task.id,
            provider.name = provider,
            "a job ended well when nobody waited for it any more; nobody is charged"
        );
        let of = ByProvider { provider };
        media.metrics.late_successes.get_or_create(&of).inc();
    }
    Ok(())
}

async fn put_off(media: &Media, late: &Late) -> Result<(), Error> {
    let run = (late.task.id, late.run.number);
    let until = media.db.now_micros().saturating_add(micros(PUT_OFF));
    let later = Finding {
        look_at: Some(until),
        ..Finding::default()
    };
    media
        .db
        .write(move |connection| {
            Box::pin(async move { store::attempt::note(connection, run, None, later).await })
        })
        .await
}

/// How the job stands. One that still runs is asked to stop.
async fn stand(media: &Media, late: &Late, candidate: &Candidate<'_>) -> Result<Finding, Error> {
    let checked = candidate.adapter.check(&candidate.access, &late.job);
    Ok(match ask(media, "check", candidate.route, checked).await {
        Ok(Progress::Done { cost, .. }) => Finding {
            outcome: Some(Outcome::Succeeded),
            cost,
            ..Finding::default()
        },
        Ok(Progress::Failed(failure)) => Finding::failed(Outcome::Failed, failure.class().as_str()),
        Ok(Progress::Wasted(failure, cost)) => Finding {
            cost,
            ..Finding::failed(Outcome::Failed, failure.class().as_str())
        },
        Ok(Progress::Missing) => Finding::from(Some(Outcome::Failed)),
        Ok(Progress::Running { .. }) => {
            if has_stopped(media, late, candidate).await? {
                Finding::failed(Outcome::Failed, Ending::Cancelled.as_str())
            } else {
                again(media, late)
            }
        }
        Err(failure) => {
            let provider = &candidate.route.provider;
            upstream::report(provider, "check", &failure);
            media.heed(late.task.mode, provider, Call::Look, &failure);
            again(media, late)
        }
    })
}

/// Asks the provider to stop a job that still runs, unless it has said what comes of that. `true`: it has stopped it.
async fn has_stopped(media: &Media, late: &Late, candidate: &Candidate<'_>) -> Result<bool, Error> {
    let has_answered = late.run.stop.is_some_and(Cancelled::is_final);
    let (provider, since) = (&candidate.route.provider, Instant::now());
    if has_answered || !media.may_ask(late.task.mode, provider, since).await {
        return Ok(false);
    }
    let run = Run {
        task: &late.task,
        number: late.run.number,
        job: &late.job,
    };
    let told = ask_to_stop(media, run, candidate).await?;
    debug!(?told, "asked to stop what nobody waits for");
    Ok(matches!(told, Ok(Cancelled::Stopped)))
}

/// Nothing is known yet: another look, unless there were enough.
fn again(media: &Media, late: &Late) -> Finding {
    let looks = late.run.looks.saturating_add(1);
    Finding {
        look_at: media
            .config
            .poll
            .late
            .next_look(media.db.now_micros(), looks),
        ..Finding::default()
    }
}

/// A provider took a job when its task was another worker's already, or over. From now on it is looked at here.
pub(crate) async fn leave(
    media: &Media,
    (task, provider): (Task, String),
    started: Started,
) -> Result<(), Error> {
    let look_at = media.config.poll.late.at_once(media.db.now_micros());
    let (id, name) = (task.id, provider.clone());
    let note = || {
        let (task, provider, started) = (task.clone(), provider.clone(), started.clone());
        media.db.write(move |connection| {
            Box::pin(async move {
                let of = (&task, provider.as_str());
                store::attempt::left(connection, of, &started, look_at).await
            })
        })
    };
    if media
        .patiently("note a job that nobody waits for", note)
        .await?
    {
        warn!(task.id = %id, provider.name = name, "a submit was answered too late: nobody waits for the job");
    }
    Ok(())
}
