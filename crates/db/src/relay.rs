//! The relay: tells what the outbox holds, at least once, as soon as its ring is heard.

use std::{sync::Arc, time::Duration};

use chassis::{
    Tasks,
    clock::micros,
    config::duration,
    telemetry::{self, causes},
};
use futures::{StreamExt as _, future::BoxFuture, stream};
use serde::Deserialize;
use tokio::sync::Notify;
use tracing::{Instrument as _, debug_span, info_span, warn};

use crate::{
    Db, Error,
    outbox::{self, Row},
};

/// It could not be told now. The relay tries again, later each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryLater;

/// Tells one row.
pub type Deliver = Arc<dyn Fn(Row) -> BoxFuture<'static, Result<(), RetryLater>> + Send + Sync>;

/// Limits of a relay: the section `limits.outbox`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelayLimits {
    /// Rows taken at once.
    #[serde(default = "default_batch")]
    pub batch: u32,
    /// Rows told at once.
    #[serde(default = "default_concurrency")]
    pub concurrency: usize,
    /// How often to look without being rung.
    #[serde(default = "default_poll", with = "duration")]
    pub poll: Duration,
    /// How long a claim lasts: longer than telling a batch takes.
    #[serde(default = "default_claim", with = "duration")]
    pub claim: Duration,
    /// The longest wait between two tries.
    #[serde(default = "default_backoff", with = "duration")]
    pub max_backoff: Duration,
}

/// Tells what a service's outbox holds. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Relay {
    db: Db,
    limits: RelayLimits,
    bells: Arc<[(&'static str, Notify)]>,
}

/// How it went with a row.
#[derive(Debug)]
struct Told {
    id: [u8; 16],
    attempts: i64,
    outcome: Result<(), RetryLater>,
}

// === impl Relay ===

impl Relay {
    /// A relay for these topics that is not running yet. Each topic has a loop of its own: one that cannot be told now does not
    /// hold up the others.
    pub fn new(db: Db, limits: RelayLimits, topics: &[&'static str]) -> Self {
        let bells = topics.iter().map(|topic| (*topic, Notify::new())).collect();
        Self { db, limits, bells }
    }

    /// There is something to tell. Call it after the commit.
    pub fn ring(&self) {
        for (_, bell) in self.bells.iter() {
            bell.notify_one();
        }
    }

    /// Tells rows until told to stop.
    pub fn run(&self, tasks: &Tasks, deliver: &Deliver) {
        for index in 0..self.bells.len() {
            let (relay, stop, deliver) = (self.clone(), tasks.clone(), Arc::clone(deliver));
            tasks.spawn_loop(info_span!("outbox"), move || {
                let (relay, stop, deliver) = (relay.clone(), stop.clone(), Arc::clone(&deliver));
                async move {
                    if let Some((topic, bell)) = relay.bells.get(index) {
                        relay.tell_topic(topic, bell, &stop, &deliver).await;
                    }
                }
            });
        }
    }

    async fn tell_topic(&self, topic: &str, bell: &Notify, stop: &Tasks, deliver: &Deliver) {
        let mut failures = 0;
        while !stop.is_stopping() {
            let mut pause = self.limits.poll;
            match self.step(topic, deliver).await {
                Ok(0) => failures = 0,
                // There may be more.
                Ok(_) => {
                    failures = 0;
                    continue;
                }
                Err(error) => {
                    warn!(error = %causes(&error), topic, "cannot read the outbox");
                    pause = pause.max(self.backoff(failures));
                    failures += 1;
                }
            }
            tokio::select! {
                () = bell.notified(), if failures == 0 => {}
                () = tokio::time::sleep(pause) => {}
                () = stop.stopping() => {}
            }
        }
    }

    /// Tells what of a topic is due now, and says how many rows that were.
    ///
    /// # Errors
    /// When the outbox cannot be read or written.
    pub async fn step(&self, topic: &str, deliver: &Deliver) -> Result<usize, Error> {
        let now = self.db.now_micros();
        let due = self.db.read(outbox::any_due(self.db.reader(), topic, now));
        if !due.await? {
            return Ok(0);
        }
        let limit = i64::from(self.limits.batch);
        let until = now.saturating_add(micros(self.limits.claim));
        let topic = topic.to_owned();
        let claimed: Result<Vec<Row>, Error> = self
            .db
            .write(move |connection| {
                Box::pin(async move {
                    Ok(outbox::claim(connection, &topic, limit, (now, until)).await?)
                })
            })
            .await;
        let rows = claimed?;
        let count = rows.len();
        // What is told at about the same time is noted in one commit, while others are being told.
        stream::iter(rows)
            .map(|row| tell(row, deliver).in_current_span())
            .buffer_unordered(self.limits.concurrency)
            .ready_chunks(self.limits.concurrency)
            .for_each_concurrent(2, |told| self.note(told, until).in_current_span())
            .await;
        Ok(count)
    }

    async fn note(&self, mut told: Vec<Told>, claimed: i64) {
        // In one order everywhere: after a claim ran out, two relays may note the same rows.
        told.sort_unstable_by_key(|told| told.id);
        let now = self.db.now_micros();
        let due = |told: &Told| now.saturating_add(micros(self.backoff(told.attempts)));
        let told: Vec<_> = told
            .into_iter()
            .map(|told| (told.id, told.outcome, due(&told)))
            .collect();
        let noted: Result<(), Error> = self
            .db
            .write(move |connection| {
                Box::pin(async move {
                    for (id, outcome, due) in told {
                        match outcome {
                            Ok(()) => outbox::done(connection, id).await?,
                            Err(RetryLater) => {
                                outbox::put_off(connection, id, claimed, due).await?;
                            }
                        }
                    }
                    Ok(())
                })
            })
            .await;
        if let Err(error) = noted {
            // The claim runs out, and it is told once more.
            warn!(error = %causes(&error), "cannot note what was told");
        }
    }

    /// 100 ms, doubled with every try.
    fn backoff(&self, attempts: i64) -> Duration {
        let doublings = u32::try_from(attempts).unwrap_or(u32::MAX).min(16);
        Duration::from_millis(100)
            .saturating_mul(2_u32.saturating_pow(doublings))
            .min(self.limits.max_backoff)
    }
}

/// In the trace of whoever wrote the row.
async fn tell(row: Row, deliver: &Deliver) -> Told {
    let (id, attempts) = (row.id, row.attempts);
    let span = debug_span!(
        "tell",
        otel.name = %format_args!("tell {}", row.topic),
        otel.kind = "producer",
        messaging.system = "outbox",
        messaging.destination.name = row.topic,
    );
    telemetry::adopt_text(&span, &row.trace);
    Told {
        id,
        attempts,
        outcome: deliver(row).instrument(span).await,
    }
}

const fn default_batch() -> u32 {
    200
}

const fn default_concurrency() -> usize {
    32
}

const fn default_poll() -> Duration {
    Duration::from_millis(200)
}

const fn default_claim() -> Duration {
    Duration::from_secs(30)
}

const fn default_backoff() -> Duration {
    Duration::from_secs(10)
}
