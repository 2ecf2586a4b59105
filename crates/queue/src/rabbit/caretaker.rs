//! Looks after what is on the broker while messages are published: declares what somebody deleted, brings messages that found no
//! queue to theirs, and finds out why the broker refused one.

use std::{collections::HashMap, sync::Arc};

use lapin::{
    Channel, Confirmation, Connection,
    message::BasicGetMessage,
    options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, QueueDeclareOptions},
    types::FieldTable,
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};
use tracing::{info, warn};

use super::{
    Shared,
    link::{Failure, within},
    publisher::{Order, publish},
    selftest,
};
use crate::Error;

/// How many lost messages are brought home in one go.
const BROUGHT_AT_ONCE: u32 = 1_000;

/// What the publisher wants to know or have done.
pub(super) enum Question {
    /// The broker refused this one.
    IsFull(Order),
    /// A message found no queue at all.
    WhatIsMissing,
    /// A message was returned after it had been taken for confirmed.
    Stray {
        /// Its topic.
        topic: &'static str,
        /// What it says.
        id: [u8; 16],
    },
}

/// The one that looks after things, with a channel of its own.
pub(super) struct Caretaker {
    connection: Arc<Connection>,
    channel: Channel,
    questions: mpsc::UnboundedReceiver<Question>,
    /// Returned messages that are published again at the next round.
    strays: Vec<(&'static str, [u8; 16])>,
    /// How many lost messages stay where they are, because their topic is not ours.
    foreign: u32,
}

/// Where a lost message belongs.
enum Home {
    Queue(&'static str, [u8; 16]),
    /// The self-test made it.
    Nowhere,
    /// Another program's topic.
    Unknown,
}

// === impl Caretaker ===

impl Caretaker {
    pub(super) fn new(
        connection: Arc<Connection>,
        channel: Channel,
        questions: mpsc::UnboundedReceiver<Question>,
    ) -> Self {
        Self {
            connection,
            channel,
            questions,
            strays: Vec::new(),
            foreign: 0,
        }
    }

    /// Looks after things until that fails.
    pub(super) async fn run(mut self, shared: &Shared) -> Failure {
        let mut rounds = interval(shared.config.check_interval);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                Some(question) = self.questions.recv() => self.answer(question, shared).await,
                _ = rounds.tick() => self.look(shared).await,
                () = shared.missing.notified() => self.look(shared).await,
            };
            if let Err(failure) = done {
                return failure;
            }
        }
    }

    /// Answers this question and all that have come since, each queue being looked at once.
    async fn answer(&mut self, question: Question, shared: &Shared) -> Result<(), Failure> {
        let mut full = HashMap::new();
        let mut look = false;
        let mut next = Some(question);
        while let Some(question) = next {
            match question {
                Question::IsFull(order) => {
                    let known = full.get(order.topic).copied();
                    let is_full = match known {
                        Some(is_full) => is_full,
                        None => self.is_full(order.topic, shared).await?,
                    };
                    full.insert(order.topic, is_full);
                    order.answer(Err(match is_full {
                        true => Error::Full,
                        false => Error::Unavailable,
                    }));
                }
                Question::WhatIsMissing => look = true,
                Question::Stray { topic, id } => self.strays.push((topic, id)),
            }
            next = self.questions.try_recv().ok();
        }
        match look {
            true => self.look(shared).await,
            false => Ok(()),
        }
    }

    /// The broker does not say why it refuses.
    async fn is_full(&self, topic: &str, shared: &Shared) -> Result<bool, Failure> {
        if self.connection.status().blocked() {
            return Ok(false);
        }
        let name = shared.topology.names.queue(topic);
        let options = QueueDeclareOptions::default().passive();
        let arguments = FieldTable::default();
        let queue = self
            .channel
            .queue_declare(name.as_str().into(), options, arguments);
        let queue = within(shared.config.confirm_timeout, queue).await?;
        Ok(shared.topology.is_full(queue.message_count()))
    }

    /// A broker that takes no messages answers nothing either on this connection: then the next round looks again.
    async fn look(&mut self, shared: &Shared) -> Result<(), Failure> {
        if self.connection.status().blocked() {
            return Ok(());
        }
        let patience = shared.config.confirm_timeout;
        let seen = async {
            let lost = within(patience, shared.topology.declare(&self.channel)).await?;
            self.publish_strays(shared).await?;
            if lost != self.foreign {
                self.bring_home(lost, shared).await?;
            }
            Ok(())
        };
        match seen.await {
            Err(Failure::Away(_)) if self.connection.status().blocked() => Ok(()),
            done => done,
        }
    }

    async fn publish_strays(&mut self, shared: &Shared) -> Result<(), Failure> {
        while let Some((topic, id)) = self.strays.pop() {
            if !self.publish(topic, id, shared).await? {
                self.strays.push((topic, id));
                return Ok(());
            }
        }
        Ok(())
    }

    /// Moves lost messages to their queues, which have just been declared. Each is published before it is taken away.
    async fn bring_home(&mut self, lost: u32, shared: &Shared) -> Result<(), Failure> {
        let mut foreign = Vec::new();
        let mut brought = 0_u32;
        for _ in 0..lost.min(BROUGHT_AT_ONCE) {
            let Some(message) = self.next_lost(shared).await? else {
                break;
            };
            match home(&message, shared) {
                Home::Queue(topic, id) => {
                    if !self.publish(topic, id, shared).await? {
                        // Full: it stays where it is.
                        foreign.push(message);
                        break;
                    }
                    message.acker.ack(BasicAckOptions::default()).await?;
                    brought = brought.saturating_add(1);
                }
                Home::Nowhere => {
                    message.acker.ack(BasicAckOptions::default()).await?;
                }
                Home::Unknown => foreign.push(message),
            }
        }
        self.put_back(foreign).await?;
        self.tell(brought);
        Ok(())
    }

    async fn put_back(&mut self, foreign: Vec<BasicGetMessage>) -> Result<(), Failure> {
        self.foreign = u32::try_from(foreign.len()).unwrap_or(u32::MAX);
        for message in foreign {
            let again = BasicNackOptions {
                requeue: true,
                ..BasicNackOptions::default()
            };
            message.acker.nack(again).await?;
        }
        Ok(())
    }

    fn tell(&self, brought: u32) {
        if brought > 0 {
            info!(brought, "brought lost messages to their queues");
        }
        if self.foreign > 0 {
            warn!(
                messages = self.foreign,
                "there are messages that belong to no topic of this program"
            );
        }
    }

    async fn next_lost(&self, shared: &Shared) -> Result<Option<BasicGetMessage>, Failure> {
        let name = shared.topology.names.unrouted_queue();
        let options = BasicGetOptions::default();
        let message = self.channel.basic_get(name.as_str().into(), options);
        within(shared.config.confirm_timeout, message).await
    }

    /// Whether the broker has it.
    async fn publish(&self, topic: &str, id: [u8; 16], shared: &Shared) -> Result<bool, Failure> {
        let work = shared.topology.names.work();
        let published = publish(&self.channel, &work, topic, id);
        let confirmation = within(shared.config.confirm_timeout, published).await?;
        Ok(matches!(confirmation, Confirmation::Ack(None)))
    }
}

fn home(message: &BasicGetMessage, shared: &Shared) -> Home {
    let key = message.routing_key.as_str();
    let id = <[u8; 16]>::try_from(message.data.as_slice());
    match (shared.topology.topic(key), id) {
        (Some(topic), Ok(id)) => Home::Queue(topic, id),
        _ if key == selftest::NOWHERE => Home::Nowhere,
        _ => Home::Unknown,
    }
}
