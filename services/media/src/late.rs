//! Looks at jobs that providers had when their tasks ended: by their deadline, or because they were cancelled. What still runs is asked to
//! stop. What succeeded all the same is written down with its run and counted, since it may have been billed; its task has ended, and nobody
//! is charged.

use std::time::Duration;

use chassis::{Tasks, telemetry::causes};
use futures::{StreamExt as _, stream};
use tracing::{Instrument as _, debug, debug_span, info_span, warn};

use crate::{
    Error, Media,
    execute::{Candidate, ask},
    look::its_provider,
    metrics::ByProvider,
    providers::Progress,
    store::{
        self,
        attempt::{Finding, Late, Outcome},
    },
};

/// How often.
const EVERY: Duration = Duration::from_secs(1);
/// Providers asked at once.
const AT_ONCE: usize = 8;

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
    let found = match its_provider(media, &late.task) {
        Some(candidate) => stand(media, &late, &candidate).await,
        None => again(media, &late),
    };
    let (run, looks) = ((late.task.id, late.run.number), late.looks);
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
            "a job ended well after its task had failed; nobody is charged"
        );
        let of = ByProvider { provider };
        media.metrics.late_successes.get_or_create(&of).inc();
    }
    Ok(())
}

/// How the job stands. One that still runs is asked to stop, at the first look.
async fn stand(media: &Media, late: &Late, candidate: &Candidate<'_>) -> Finding {
    let checked = candidate.adapter.check(&candidate.access, &late.job);
    match ask(media, "check", candidate.route, checked).await {
        Ok(Progress::Done { cost, .. }) => Finding {
            outcome: Some(Outcome::Succeeded),
            cost,
            ..Finding::default()
        },
        Ok(Progress::Failed(failure)) => Finding::failed(Outcome::Failed, failure.class().as_str()),
        Ok(Progress::Missing) => Finding::from(Some(Outcome::Failed)),
        Ok(Progress::Running { .. }) => {
            if late.looks == 0 {
                let cancelled = candidate.adapter.cancel(&candidate.access, &late.job);
                let outcome = ask(media, "cancel", candidate.route, cancelled).await;
                debug!(?outcome, "asked to stop what runs late");
            }
            again(media, late)
        }
        Err(failure) => {
            upstream::report(&candidate.route.provider, "check", &failure);
            again(media, late)
        }
    }
}

/// Nothing is known yet: another look, unless there were enough.
fn again(media: &Media, late: &Late) -> Finding {
    let looks = late.looks.saturating_add(1);
    Finding {
        look_at: media
            .config
            .poll
            .late
            .next_look(media.db.now_micros(), looks),
        ..Finding::default()
    }
}
