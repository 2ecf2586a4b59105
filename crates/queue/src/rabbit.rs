//! The queue in RabbitMQ: for several processes. Nothing is true there: the broker may lose everything, and the sweepers ring
//! again from SQL.
//!
//! One connection publishes, another consumes, so that a broker that stops publishers does not stop consumers. Each is
//! kept by a loop (`publisher`, `consumer`) that drops it at the first failure, waits, connects again, declares the
//! `topology` and goes on. A message is the sixteen bytes of an id and nothing else.
//!
//! An exchange passes on what it cannot route to a queue for lost messages, and confirms it; `caretaker` brings such
//! messages to their queue as soon as that exists again. So what was confirmed arrives, also after somebody deleted a queue.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use chassis::Tasks;
use lapin::{Connection, uri::AMQPUri};
use tokio::{
    sync::{Notify, oneshot, watch},
    time::{sleep, timeout},
};
use tracing::{info_span, warn};

use self::{
    consumer::Inbox,
    link::Failure,
    publisher::{Lane, Order, Session},
    topology::Topology,
};
use crate::{Delivery, Error, Queue};

mod caretaker;
mod config;
mod consumer;
mod link;
mod look;
mod publisher;
mod selftest;
mod topology;

pub use config::{Config, Reconnect};
pub use look::{Look, look};

/// A queue in RabbitMQ, kept up by tasks of its own until [`Tasks::stopping`].
pub struct RabbitQueue {
    shared: Arc<Shared>,
}

/// What the queue and its loops have in common.
struct Shared {
    config: Config,
    uri: AMQPUri,
    topology: Topology,
    publisher: watch::Sender<State>,
    /// The connection that [`RabbitQueue::connect`] made, until the loop takes it.
    first: Mutex<Option<Session>>,
    consumers: tokio::sync::Mutex<Option<Arc<Connection>>>,
    inboxes: HashMap<&'static str, Inbox>,
    /// Somebody saw that something is missing on the broker.
    missing: Notify,
    tasks: Tasks,
}

/// Whether messages can be published.
#[derive(Clone)]
enum State {
    /// The broker is away.
    Away,
    /// The broker is there and must not be used.
    Refused,
    /// Through this.
    Up(Lane),
    /// Never again: this process stops.
    Closed,
}

// === impl RabbitQueue ===

impl RabbitQueue {
    /// Connects, declares what must exist for these topics, and tries whether the broker does what it should. A broker that
    /// is away does not stand in the way: it is tried again for as long as the process runs.
    ///
    /// # Errors
    /// [`Error::Setting`] when a setting or a topic is wrong; [`Error::Refused`] when the broker is there but refuses us, has a
    /// queue of the same name with other arguments, or behaves in another way than it should.
    pub async fn connect(
        config: Config,
        topics: &[&'static str],
        tasks: Tasks,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared::new(config, topics, tasks)?);
        match publisher::open(&shared).await {
            Ok(session) => {
                shared.publisher.send_replace(State::Up(session.lane()));
                *shared.first() = Some(session);
            }
            Err(Failure::Refused(reason)) => return Err(Error::Refused(reason)),
            Err(Failure::Away(reason)) => warn!(reason, "RabbitMQ is away"),
        }
        let keep = Arc::clone(&shared);
        shared
            .tasks
            .spawn_loop(info_span!("rabbitmq publisher"), move || {
                publisher::keep(Arc::clone(&keep))
            });
        for topic in shared.inboxes.keys().copied() {
            let keep = Arc::clone(&shared);
            shared
                .tasks
                .spawn_loop(info_span!("rabbitmq consumer", topic), move || {
                    consumer::keep(Arc::clone(&keep), topic)
                });
        }
        Ok(Self { shared })
    }
}

#[async_trait]
impl Queue for RabbitQueue {
    async fn publish(&self, topic: &str, id: [u8; 16]) -> Result<(), Error> {
        let topic = self.shared.topic(topic)?;
        let state = self.shared.publisher.borrow().clone();
        match state {
            State::Up(lane) => self.publish_on(&lane, topic, id).await,
            State::Away | State::Refused => Err(Error::Unavailable),
            State::Closed => Err(Error::Closed),
        }
    }

    async fn receive(&self, topic: &str) -> Result<Delivery, Error> {
        let topic = self.shared.topic(topic)?;
        let inbox = self.shared.inboxes.get(topic).ok_or(Error::Closed)?;
        tokio::select! {
            () = self.shared.tasks.stopping() => Err(Error::Closed),
            () = self.shared.refused() => Err(Error::Unavailable),
            delivery = inbox.next() => delivery.ok_or(Error::Closed),
        }
    }

    fn is_available(&self) -> bool {
        match &*self.shared.publisher.borrow() {
            State::Up(lane) => lane.is_open(),
            State::Away | State::Refused | State::Closed => false,
        }
    }
}

impl RabbitQueue {
    async fn publish_on(
        &self,
        lane: &Lane,
        topic: &'static str,
        id: [u8; 16],
    ) -> Result<(), Error> {
        if !lane.is_open() {
            return Err(Error::Unavailable);
        }
        let (reply, outcome) = oneshot::channel();
        let order = Order { topic, id, reply };
        let confirmed = async {
            lane.send(order).await?;
            outcome.await.unwrap_or(Err(Error::Unavailable))
        };
        let patience = self.shared.config.confirm_timeout;
        timeout(patience, confirmed)
            .await
            .unwrap_or(Err(Error::Unavailable))
    }
}

impl fmt::Debug for RabbitQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitQueue")
            .field("prefix", &self.shared.config.prefix)
            .finish_non_exhaustive()
    }
}

// === impl Shared ===

impl Shared {
    fn new(config: Config, topics: &[&'static str], tasks: Tasks) -> Result<Self, Error> {
        let inbox = |topic: &&'static str| (*topic, Inbox::default());
        Ok(Self {
            uri: config.check()?,
            topology: Topology::new(&config, topics)?,
            publisher: watch::Sender::new(State::Away),
            first: Mutex::default(),
            consumers: tokio::sync::Mutex::default(),
            inboxes: topics.iter().map(inbox).collect(),
            missing: Notify::new(),
            config,
            tasks,
        })
    }

    fn topic(&self, name: &str) -> Result<&'static str, Error> {
        let unknown =
            || Error::Setting(format!("the topic {name:?} was not named when connecting"));
        self.topology.topic(name).ok_or_else(unknown)
    }

    fn first(&self) -> std::sync::MutexGuard<'_, Option<Session>> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Completes when the broker has been unusable for a while, so that whoever calls again does so seldom.
    async fn refused(&self) {
        let mut state = self.publisher.subscribe();
        loop {
            let refused = |state: &State| matches!(state, State::Refused);
            // The sender is in `self`.
            let _ = state.wait_for(refused).await;
            let better = state.wait_for(|state| !refused(state));
            tokio::select! {
                () = sleep(self.config.confirm_timeout) => return,
                _ = better => {}
            }
        }
    }
}
