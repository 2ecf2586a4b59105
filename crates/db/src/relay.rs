//! The relay: tells what the outbox holds, at least once, as soon as its ring is heard.

use std::{sync::Arc, time::Duration};

use chassis::{Tasks, clock::micros, config::duration, telemetry::causes};
use futures::{StreamExt as _, future::BoxFuture, stream};
use serde::Deserialize;
use tokio::sync::Notify;
use tracing::{Instrument as _, info_span, warn};

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
        while !stop.is_stopping() {
            match self.step(topic, deliver).await {
                Ok(0) => {}
                // There may be more.
                Ok(_) => continue,
                Err(error) => warn!(error = %causes(&error), topic, "cannot read the outbox"),
            }
            tokio::select! {
                () = bell.notified() => {}
                () = tokio::time::sleep(self.limits.poll) => {}
                () = stop.stopping() => {}
            }
        }
    }

    /// Tells what of a topic is due now, and says how many rows that were.
    ///
    /// # Errors
    /// When the outbox cannot be read or written.
    pub async fn step(&self, topic: &str, deliver: &Deliver) -> Result<usize, Error> {
        if !outbox::any_due(self.db.reader(), topic).await? {
            return Ok(0);
        }
        let (limit, claim) = (i64::from(self.limits.batch), micros(self.limits.claim));
        let topic = topic.to_owned();
        let rows = self
            .db
            .write(move |connection| {
                Box::pin(async move {
                    outbox::claim(connection, &topic, limit, claim)
                        .await
                        .map_err(Error::from)
                })
            })
            .await?;
        let count = rows.len();
        stream::iter(rows)
            .for_each_concurrent(self.limits.concurrency, |row| {
                self.tell(row, deliver).in_current_span()
            })
            .await;
        Ok(count)
    }

    async fn tell(&self, row: Row, deliver: &Deliver) {
        let (id, attempts) = (row.id, row.attempts);
        let told = deliver(row).await;
        let wait = micros(self.backoff(attempts));
        let noted: Result<(), Error> = self
            .db
            .write(move |connection| {
                Box::pin(async move {
                    match told {
                        Ok(()) => outbox::done(connection, id).await?,
                        Err(RetryLater) => outbox::put_off(connection, id, wait).await?,
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use chassis::config::Settings;

    use super::*;
    use crate::outbox::NewRow;

    async fn relay(path: &std::path::Path) -> Relay {
        let settings = Settings::from_toml("[outbox]\nmax_backoff = '1ms'");
        let limits = settings.section("database").unwrap();
        let db = Db::open(path, &[outbox::MIGRATION], &limits, &Tasks::default())
            .await
            .unwrap();
        Relay::new(db, settings.section("outbox").unwrap(), &["settle"])
    }

    async fn enqueue(relay: &Relay, id: u8) {
        let row = NewRow {
            id: [id; 16],
            topic: "settle",
            subject: [9; 16],
            payload: vec![id],
        };
        let written: Result<(), Error> = relay
            .db
            .write(move |connection| {
                Box::pin(async move { Ok(outbox::enqueue(connection, row).await?) })
            })
            .await;
        written.unwrap();
    }

    #[tokio::test]
    async fn a_row_is_told_until_it_is_taken_and_then_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let relay = relay(&directory.path().join("a.db")).await;
        enqueue(&relay, 1).await;
        enqueue(&relay, 2).await;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let deliver: Deliver = {
            let seen = Arc::clone(&seen);
            Arc::new(move |row| {
                seen.lock().unwrap().push((row.payload[0], row.attempts));
                // The first row is refused twice.
                let outcome = if row.payload == [1] && row.attempts < 2 {
                    Err(RetryLater)
                } else {
                    Ok(())
                };
                Box::pin(std::future::ready(outcome))
            })
        };
        while seen.lock().unwrap().len() < 4 {
            relay.step("settle", &deliver).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(relay.step("settle", &deliver).await.unwrap(), 0);
        let mut seen = seen.lock().unwrap().clone();
        seen.sort_unstable();
        assert_eq!(seen, [(1, 0), (1, 1), (1, 2), (2, 0)]);
    }

    #[tokio::test]
    async fn a_claim_of_a_dead_process_can_be_ended() {
        let directory = tempfile::tempdir().unwrap();
        let relay = relay(&directory.path().join("a.db")).await;
        enqueue(&relay, 1).await;
        let claimed: Result<Vec<Row>, Error> = relay
            .db
            .write(|connection| {
                Box::pin(
                    async move { Ok(outbox::claim(connection, "settle", 10, 60_000_000).await?) },
                )
            })
            .await;
        assert_eq!(claimed.unwrap().len(), 1);
        let deliver: Deliver = Arc::new(|_row| Box::pin(std::future::ready(Ok(()))));
        assert_eq!(relay.step("settle", &deliver).await.unwrap(), 0);
        let forgot: Result<(), Error> = relay
            .db
            .write(|connection| {
                Box::pin(async move { Ok(outbox::forget_claims(connection).await?) })
            })
            .await;
        forgot.unwrap();
        assert_eq!(relay.step("settle", &deliver).await.unwrap(), 1);
    }
}
