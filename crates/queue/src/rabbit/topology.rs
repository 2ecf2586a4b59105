//! What must exist on the broker, declared by every process at every connection, and again while it runs.
//!
//! Every argument is given, also where it is the default of some version: what a queue does must not change when the broker
//! is upgraded. Unknown arguments are accepted in silence by the broker, so `selftest` looks at what they do.

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

use super::{
    config::{Config, is_name},
    link::Failure,
};
use crate::Error;

/// Messages that could not be worked on: kept to be looked at, the oldest dropped first. Nothing is decided from them.
const DEAD_LENGTH: u32 = 100_000;
/// Messages that found no queue: there are some only after somebody deleted one.
const UNROUTED_LENGTH: u32 = 10_000;
/// The topic of the self-test, which no service can have.
pub(super) const SELFTEST: &str = "selftest";
/// A topic has at most this many bytes.
const LONGEST_TOPIC: usize = 100;

/// The names on the broker.
#[derive(Clone, Debug)]
pub(super) struct Names {
    prefix: String,
}

/// What is declared, and with what.
#[derive(Clone, Debug)]
pub(super) struct Topology {
    /// The names.
    pub(super) names: Names,
    topics: Vec<&'static str>,
    max_length: u32,
    delivery_limit: u32,
    group_size: u32,
}

// === impl Names ===

impl Names {
    /// Where everything is published to, its topic the routing key.
    pub(super) fn work(&self) -> String {
        format!("{}.work", self.prefix)
    }

    /// Where messages go that nobody could work on.
    pub(super) fn dead(&self) -> String {
        format!("{}.dead", self.prefix)
    }

    /// Where messages go that found no queue.
    pub(super) fn unrouted(&self) -> String {
        format!("{}.unrouted", self.prefix)
    }

    /// The queue of a topic. Other arguments need another name: the number counts.
    pub(super) fn queue(&self, topic: &str) -> String {
        format!("{}.q.{topic}.v1", self.prefix)
    }

    /// The queue of a topic's dead messages.
    pub(super) fn dead_queue(&self, topic: &str) -> String {
        format!("{}.q.dead.{topic}.v1", self.prefix)
    }

    /// The queue of messages that found none.
    pub(super) fn unrouted_queue(&self) -> String {
        format!("{}.q.unrouted.v1", self.prefix)
    }

    /// Belongs to the one process that tests itself at the moment.
    pub(super) fn selftest_lock(&self) -> String {
        format!("{}.q.selftest-lock.v1", self.prefix)
    }
}

// === impl Topology ===

impl Topology {
    pub(super) fn new(config: &Config, topics: &[&'static str]) -> Result<Self, Error> {
        if let Some(wrong) = topics.iter().find(|topic| !is_topic(topic)) {
            return Err(Error::Setting(format!(
                "{wrong:?} is no topic: lower-case letters, digits, '.', '_' or '-', at most {LONGEST_TOPIC}, none of ours"
            )));
        }
        Ok(Self {
            names: Names {
                prefix: config.prefix.clone(),
            },
            topics: topics.to_vec(),
            max_length: config.max_length,
            delivery_limit: config.delivery_limit,
            group_size: config.group_size,
        })
    }

    /// The topic of this name, if it is one.
    pub(super) fn topic(&self, name: &str) -> Option<&'static str> {
        self.topics.iter().copied().find(|topic| *topic == name)
    }

    /// Whether so many waiting messages explain that the broker refuses more. Once full, a queue takes none until a fifth of
    /// it is free.
    pub(super) fn is_full(&self, waiting: u32) -> bool {
        u64::from(waiting).saturating_mul(10) >= u64::from(self.max_length).saturating_mul(8)
    }

    /// Declares everything. What exists and is the same is left as it is. Returns how many messages found no queue.
    pub(super) async fn declare(&self, channel: &Channel) -> Result<u32, Failure> {
        let unrouted = self.declare_exchanges(channel).await?;
        for topic in &self.topics {
            self.declare_topic(channel, topic).await?;
        }
        Ok(unrouted)
    }

    async fn declare_exchanges(&self, channel: &Channel) -> Result<u32, Failure> {
        let names = &self.names;
        let nothing = FieldTable::default;
        exchange(channel, names.unrouted(), ExchangeKind::Fanout, nothing()).await?;
        let limit = self.kept(UNROUTED_LENGTH);
        let waiting = queue(channel, names.unrouted_queue(), limit).await?;
        bind(channel, names.unrouted_queue(), names.unrouted(), "").await?;
        exchange(channel, names.dead(), ExchangeKind::Topic, nothing()).await?;
        let mut lost_and_found = nothing();
        lost_and_found.insert("alternate-exchange".into(), text(&names.unrouted()));
        exchange(channel, names.work(), ExchangeKind::Topic, lost_and_found).await?;
        Ok(waiting)
    }

    /// Declares one topic: its queue, and where its dead messages go.
    pub(super) async fn declare_topic(
        &self,
        channel: &Channel,
        topic: &str,
    ) -> Result<(), Failure> {
        let names = &self.names;
        let dead = names.dead_queue(topic);
        queue(channel, dead.clone(), self.kept(DEAD_LENGTH)).await?;
        bind(channel, dead, names.dead(), topic).await?;
        queue(channel, names.queue(topic), self.worked()).await?;
        bind(channel, names.queue(topic), names.work(), topic).await
    }

    /// A queue that somebody works on. Without `reject-publish` a full queue would drop its oldest, and dead messages would
    /// be passed on at most once.
    fn worked(&self) -> FieldTable {
        let mut arguments = self.replicated(self.max_length);
        arguments.insert("x-overflow".into(), text("reject-publish"));
        arguments.insert("x-delivery-limit".into(), number(self.delivery_limit));
        let dead = text(&self.names.dead());
        arguments.insert("x-dead-letter-exchange".into(), dead);
        arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
        arguments
    }

    /// A queue that people look at.
    fn kept(&self, length: u32) -> FieldTable {
        let mut arguments = self.replicated(length);
        arguments.insert("x-overflow".into(), text("drop-head"));
        arguments.insert("x-delivery-limit".into(), number(u32::MAX));
        arguments
    }

    fn replicated(&self, length: u32) -> FieldTable {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), text("quorum"));
        arguments.insert("x-max-length".into(), number(length));
        let size = number(self.group_size);
        arguments.insert("x-quorum-initial-group-size".into(), size);
        arguments.insert("x-queue-leader-locator".into(), text("balanced"));
        arguments
    }
}

fn is_topic(name: &str) -> bool {
    let ours = ["dead", "unrouted", "selftest", "selftest-lock"];
    let first = name.split('.').next().unwrap_or(name);
    is_name(name) && name.len() <= LONGEST_TOPIC && !ours.contains(&first)
}

async fn exchange(
    channel: &Channel,
    name: String,
    kind: ExchangeKind,
    arguments: FieldTable,
) -> Result<(), Failure> {
    let options = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    channel
        .exchange_declare(name.as_str().into(), kind, options, arguments)
        .await
        .map_err(|error| Failure::of_declaring("exchange", &name, &error))
}

/// Returns how many messages wait in it.
async fn queue(channel: &Channel, name: String, arguments: FieldTable) -> Result<u32, Failure> {
    channel
        .queue_declare(
            name.as_str().into(),
            QueueDeclareOptions::durable(),
            arguments,
        )
        .await
        .map(|queue| queue.message_count())
        .map_err(|error| Failure::of_declaring("queue", &name, &error))
}

/// Binds a queue to an exchange.
pub(super) async fn bind(
    channel: &Channel,
    queue: String,
    exchange: String,
    key: &str,
) -> Result<(), Failure> {
    let options = QueueBindOptions::default();
    let arguments = FieldTable::default();
    channel
        .queue_bind(
            queue.as_str().into(),
            exchange.into(),
            key.into(),
            options,
            arguments,
        )
        .await
        .map_err(|error| Failure::of_declaring("binding of queue", &queue, &error))
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

fn number(value: u32) -> AMQPValue {
    AMQPValue::LongLongInt(i64::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_a_plain_routing_key_and_none_of_ours() {
        for topic in ["run", "job.image", "webhook.deliver", "a_b-c.1"] {
            assert!(is_topic(topic), "{topic}");
        }
        for wrong in [
            "",
            "*",
            "job.*",
            "job.#",
            "Job",
            "job.",
            ".job",
            "a..b",
            "dead",
            "dead.run",
            "unrouted",
            "selftest",
            "with space",
        ] {
            assert!(!is_topic(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_queue_counts_as_full_until_a_fifth_is_free() {
        let config = Config {
            max_length: 10,
            ..Config::default()
        };
        let topology = Topology::new(&config, &["run"]).unwrap();
        assert!(topology.is_full(11));
        assert!(topology.is_full(8));
        assert!(!topology.is_full(7));
    }
}
