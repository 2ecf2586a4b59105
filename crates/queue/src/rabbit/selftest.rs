//! Tries, on a scratch queue with the same arguments as all others, whether the broker does what we rely on. Brokers accept
//! arguments they do not know, and some mean other things in other versions: then nobody notices until messages are gone.
//!
//! One process at a time: each holds a queue of its own connection while it tries.

use std::time::Duration;

use lapin::{
    Channel, Confirmation, Connection,
    message::BasicGetMessage,
    options::{
        BasicAckOptions, BasicGetOptions, BasicNackOptions, BasicRejectOptions,
        QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
    },
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::FieldTable,
};
use tokio::time::{Instant, sleep, timeout_at};

use super::{
    Shared,
    link::{Failure, said, within},
    publisher::{confirming, publish},
    topology::{SELFTEST, Topology, bind},
};

/// A topic that no queue is bound to.
pub(super) const NOWHERE: &str = "selftest.nowhere";
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// Between two attempts to be the one that tests: the broker and its client log each that fails.
const TURN: Duration = Duration::from_millis(250);
/// How many steps the whole may take the time of one answer for, other processes' tests included.
const STEPS: u32 = 4;

struct Test<'a> {
    channel: &'a Channel,
    topology: &'a Topology,
    deadline: Instant,
}

/// Runs the test, and leaves nothing behind but a message in the queue of lost ones, which is known there.
pub(super) async fn run(connection: &Connection, shared: &Shared) -> Result<(), Failure> {
    let patience = shared.config.connect_timeout;
    let whole = patience.saturating_mul(STEPS);
    let test = async {
        let lock = lock(connection, shared).await?;
        let channel = confirming(connection, patience).await?;
        let test = Test {
            channel: &channel,
            topology: &shared.topology,
            deadline: Instant::now() + patience,
        };
        let outcome = test.all().await;
        let cleared = test.clear().await;
        // The lock is a queue: it goes with its channel's connection, or now.
        let name = shared.topology.names.selftest_lock();
        let options = QueueDeleteOptions::default();
        let deleted = lock.queue_delete(name.into(), options).await;
        outcome?;
        cleared?;
        // Nobody needs them any more; why they do not close is the connection's affair.
        let _ = channel.close(200, "done".into()).await;
        let _ = lock.close(200, "done".into()).await;
        deleted.map(drop).map_err(Failure::from)
    };
    within(whole, test).await
}

/// Waits until no other process tests itself.
async fn lock(connection: &Connection, shared: &Shared) -> Result<Channel, Failure> {
    loop {
        let channel = connection.create_channel().await?;
        let name = shared.topology.names.selftest_lock();
        let options = QueueDeclareOptions::exclusive();
        let declared = channel.queue_declare(name.as_str().into(), options, FieldTable::default());
        match declared.await {
            Ok(_ours) => return Ok(channel),
            Err(error) if is_locked(&error) => sleep(TURN).await,
            Err(error) => return Err(Failure::of_declaring("queue", &name, &error)),
        }
    }
}

fn is_locked(error: &lapin::Error) -> bool {
    let locked = AMQPErrorKind::Soft(AMQPSoftError::RESOURCELOCKED);
    said(error) == Some(&locked)
}

// === impl Test ===

impl Test<'_> {
    async fn all(&self) -> Result<(), Failure> {
        let names = &self.topology.names;
        let (queue, dead) = (names.queue(SELFTEST), names.dead_queue(SELFTEST));
        self.topology.declare_topic(self.channel, SELFTEST).await?;
        for left_over in [&queue, &dead] {
            let options = QueuePurgeOptions::default();
            let purged = self.channel.queue_purge(left_over.as_str().into(), options);
            purged.await?;
        }
        let id = rand::random();
        self.publish(SELFTEST, id).await?;
        let first = self.get(&queue, id, "a published message").await?;
        let again = BasicNackOptions {
            requeue: true,
            ..BasicNackOptions::default()
        };
        first.acker.nack(again).await?;
        let second = self.get(&queue, id, "a message that was put back").await?;
        second.acker.reject(BasicRejectOptions::default()).await?;
        let third = self.get(&dead, id, "a rejected message").await?;
        third.acker.ack(BasicAckOptions::default()).await?;
        self.nothing_vanishes(&queue).await
    }

    /// A message that no queue is bound for goes to the lost ones, where another queue is bound too, so that it can be seen.
    /// One that is published where nothing catches the lost is returned.
    async fn nothing_vanishes(&self, queue: &str) -> Result<(), Failure> {
        let names = &self.topology.names;
        let id = rand::random();
        bind(self.channel, queue.to_owned(), names.unrouted(), "").await?;
        self.publish(NOWHERE, id).await?;
        let lost = self.get(queue, id, "a message without a queue").await?;
        lost.acker.ack(BasicAckOptions::default()).await?;
        let no_queue = names.queue(NOWHERE);
        match publish(self.channel, "", &no_queue, id).await? {
            Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => Ok(()),
            Confirmation::Ack(None) | Confirmation::Nack(None) | Confirmation::NotRequested => {
                Err(Failure::Refused(
                    "the broker does not return a mandatory message that has no queue".to_owned(),
                ))
            }
        }
    }

    async fn publish(&self, key: &str, id: [u8; 16]) -> Result<(), Failure> {
        let work = self.topology.names.work();
        match publish(self.channel, &work, key, id).await? {
            Confirmation::Ack(None) => Ok(()),
            other @ (Confirmation::Ack(_) | Confirmation::Nack(_) | Confirmation::NotRequested) => {
                let how = match other {
                    Confirmation::Ack(_) => "returned",
                    Confirmation::Nack(_) => "refused",
                    Confirmation::NotRequested => "not confirmed",
                };
                Err(Failure::Refused(format!(
                    "a message published with the key {key} to {work} was {how}"
                )))
            }
        }
    }

    /// Looks until this message is there. Others are another test's, which was cut off.
    async fn get(&self, queue: &str, id: [u8; 16], what: &str) -> Result<BasicGetMessage, Failure> {
        let looks = async {
            loop {
                let options = BasicGetOptions::default();
                match self.channel.basic_get(queue.into(), options).await? {
                    Some(message) if message.data == id => return Ok(message),
                    Some(other) => {
                        other.acker.ack(BasicAckOptions::default()).await?;
                    }
                    None => sleep(PAUSE).await,
                }
            }
        };
        match timeout_at(self.deadline, looks).await {
            Ok(found) => found,
            Err(_late) => Err(Failure::Refused(format!(
                "{what} did not come to the queue {queue}: the broker does something else with our arguments"
            ))),
        }
    }

    async fn clear(&self) -> Result<(), Failure> {
        let names = &self.topology.names;
        for queue in [names.queue(SELFTEST), names.dead_queue(SELFTEST)] {
            let options = QueueDeleteOptions::default();
            self.channel.queue_delete(queue.into(), options).await?;
        }
        Ok(())
    }
}
