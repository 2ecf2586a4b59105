//! Looks at jobs that providers have and no task waits for: those of tasks that have ended by their deadline or were cancelled, that an
//! operator has put back, that a provider has lost, and those whose submit was answered when their task was another worker's already, or over.
//! What still runs is asked to stop, at every look until its provider has refused. What succeeded all the same is written down with its run
//! and counted, since it may have been billed; nobody is charged. All of it counts as looks of the provider. Only what is answered is counted
//! as one of the few looks that a job is worth: a provider that is away is asked later, and for long.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use chassis::{Tasks, clock::micros, telemetry::causes};
use domain::Mode;
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

/// Providers that have not answered in this round: the others are not kept waiting for them.
#[derive(Default)]
struct Silent(Mutex<HashSet<(Mode, String)>>);

async fn look_at_all(media: &Media) -> Result<(), Error> {
    let (now, sealer) = (media.db.now_micros(), media.secrets.content());
    let late = store::attempt::late(media.db.reader(), now, sealer);
    let silent = Silent::default();
    let looks = stream::iter(media.db.read(late).await?).map(|late| {
        let span = debug_span!("late", task.id = %late.task.id, otel.kind = "internal");
        look_at(media, &silent, late).instrument(span)
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

// === impl Silent ===

impl Silent {
    fn has(&self, whom: &(Mode, String)) -> bool {
        let silent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        silent.contains(whom)
    }

    fn add(&self, whom: (Mode, String)) {
        let mut silent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        silent.insert(whom);
    }
}

/// What a look at a job that nobody waits for came to.
enum Seen {
    /// Its provider has told how it stands.
    Told(Finding),
    /// It is over without a result, and was billed.
    Wasted(Finding),
    /// Its provider has not answered, or has no room for being asked to stop it. The looks that it is worth are for another time.
    Nothing,
    /// Nothing can be told of it before.
    NotBefore(i64),
}

async fn look_at(media: &Media, silent: &Silent, late: Late) -> Result<(), Error> {
    let whom = (late.task.mode, late.run.provider.clone());
    let seen = if silent.has(&whom) {
        Seen::Nothing
    } else if !media.may_look(whom.0, &whom.1).await {
        return put_off(media, &late, soon(media)).await;
    } else {
        match provider_of(media, &late.task, &whom.1) {
            Some(candidate) => stand(media, &late, &candidate).await?,
            // It may be configured again.
            None => Seen::Nothing,
        }
    };
    let (found, is_wasted) = match seen {
        Seen::Told(found) => (found, false),
        Seen::Wasted(found) => (found, true),
        Seen::NotBefore(until) => return put_off(media, &late, until).await,
        Seen::Nothing => {
            silent.add(whom);
            let since = late.task.completed_at.unwrap_or(late.run.submitted_at);
            let (now, settings) = (media.db.now_micros(), &media.config.poll.late);
            match settings.unanswered(now, since) {
                Some(until) => return put_off(media, &late, until).await,
                None => (Finding::default(), false),
            }
        }
    };
    let (run, looks) = ((late.task.id, late.run.number), late.run.looks);
    let noted: Result<bool, Error> = media
        .db
        .write(move |connection| {
            Box::pin(async move { store::attempt::looked(connection, run, looks, found).await })
        })
        .await;
    if !noted? {
        return Ok(());
    }
    if is_wasted && late.run.stop.is_none() && late.task.cancel_asked_at == 0 {
        media.count_wasted(late.task.id, late.run.provider, found.cost);
    } else if found.outcome == Some(Outcome::Succeeded) {
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

/// When there may be room for a call.
fn soon(media: &Media) -> i64 {
    media.db.now_micros().saturating_add(micros(PUT_OFF))
}

async fn put_off(media: &Media, late: &Late, until: i64) -> Result<(), Error> {
    let (run, looks) = ((late.task.id, late.run.number), late.run.looks);
    media
        .db
        .write(move |connection| {
            Box::pin(async move { store::attempt::put_off(connection, run, looks, until).await })
        })
        .await
}

/// How the job stands. One that still runs is asked to stop.
async fn stand(media: &Media, late: &Late, candidate: &Candidate<'_>) -> Result<Seen, Error> {
    let checked = candidate.adapter.check(&candidate.access, &late.job);
    Ok(match ask(media, "check", candidate.route, checked).await {
        // It may say a moment later where they are.
        Ok(Progress::Done { files, .. }) if files.is_empty() => Seen::Told(again(media, late)),
        Ok(Progress::Done { cost, .. } | Progress::Told { cost, .. }) => Seen::Told(Finding {
            outcome: Some(Outcome::Succeeded),
            cost,
            ..Finding::default()
        }),
        Ok(Progress::Failed(failure)) => {
            Seen::Told(Finding::failed(Outcome::Failed, failure.class().as_str()))
        }
        Ok(Progress::Wasted(failure, cost)) => Seen::Wasted(Finding {
            cost,
            ..Finding::failed(Outcome::Failed, failure.class().as_str())
        }),
        Ok(Progress::Missing) => missing(media, late),
        Ok(Progress::Running { .. }) => stop(media, late, candidate).await?,
        Err(failure) => {
            let provider = &candidate.route.provider;
            upstream::report(provider, "check", &failure);
            media.heed(late.task.mode, provider, Call::Look, &failure);
            Seen::Nothing
        }
    })
}

/// The provider does not know the job. It may not know it yet; and one that was not stopped may come back.
fn missing(media: &Media, late: &Late) -> Seen {
    let settle_in = micros(media.config.poll.settle_in);
    let settled = late.run.submitted_at.saturating_add(settle_in);
    if media.db.now_micros() < settled {
        return Seen::NotBefore(settled);
    }
    let look_at = match late.run.stop {
        Some(Cancelled::Stopped) => None,
        Some(Cancelled::Asked | Cancelled::TooLate | Cancelled::Impossible) | None => {
            again(media, late).look_at
        }
    };
    Seen::Told(Finding {
        outcome: Some(Outcome::Failed),
        look_at,
        ..Finding::default()
    })
}

/// Asks the provider to stop a job that still runs, unless it has said that it cannot. That it has, the next look must confirm.
async fn stop(media: &Media, late: &Late, candidate: &Candidate<'_>) -> Result<Seen, Error> {
    if late.run.stop.is_some_and(Cancelled::is_refusal) {
        return Ok(Seen::Told(again(media, late)));
    }
    let (provider, since) = (&candidate.route.provider, Instant::now());
    if !media.may_ask(late.task.mode, provider, since).await {
        return Ok(Seen::Nothing);
    }
    let run = Run {
        task: &late.task,
        number: late.run.number,
        job: &late.job,
        time: media.config.poll.cancel.timeout,
    };
    let told = ask_to_stop(media, run, candidate).await?;
    debug!(?told, "asked to stop what nobody waits for");
    let found = again(media, late);
    Ok(match told {
        Ok(Cancelled::Stopped) if found.look_at.is_none() => {
            Seen::Told(Finding::failed(Outcome::Failed, Ending::Cancelled.as_str()))
        }
        Ok(_) => Seen::Told(found),
        Err(_) => Seen::Nothing,
    })
}

/// It goes on: another look, unless there were enough.
fn again(media: &Media, late: &Late) -> Finding {
    let looks = late.run.looks.saturating_add(1);
    let (now, settings) = (media.db.now_micros(), &media.config.poll.late);
    Finding {
        look_at: settings.next_look(now, looks),
        ..Finding::default()
    }
}

/// A provider took a job when its task was another worker's already, or over. From now on it is looked at here.
pub(crate) async fn leave(
    media: &Media,
    (task, provider): (Task, String),
    started: Started,
) -> Result<(), Error> {
    let (id, name, is_done) = (task.id, provider.clone(), started.is_in_answer());
    let (outcome, look_at) = if is_done {
        // There is nothing to look at.
        (Outcome::Succeeded, None)
    } else {
        let look_at = media.config.poll.late.at_once(media.db.now_micros());
        (Outcome::Accepted, look_at)
    };
    let found = Finding {
        outcome: Some(outcome),
        cost: started.cost,
        look_at,
        ..Finding::default()
    };
    let Started { job, files, .. } = started;
    // What came inside of the answer is nobody's.
    drop(files);
    let note = || {
        let (task, provider, job) = (task.clone(), provider.clone(), job.clone());
        media.db.write(move |connection| {
            Box::pin(async move {
                let of = (&task, provider.as_str());
                store::attempt::left(connection, of, &job, found).await
            })
        })
    };
    if media
        .patiently("note a job that nobody waits for", note)
        .await?
    {
        warn!(task.id = %id, provider.name = name, is_done, "a submit was answered too late: nobody waits for the job");
        if is_done {
            let of = ByProvider { provider };
            media.metrics.late_successes.get_or_create(&of).inc();
        }
    }
    Ok(())
}
