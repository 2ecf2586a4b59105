//! The publishing side: one connection, one channel in confirm mode, and as many messages under way as there are callers.
//!
//! One task alone publishes on the channel: confirms are matched to messages by the order in which they were sent.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, Event,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};
use tracing::{info, warn};

use super::{
    Shared, State,
    caretaker::{Caretaker, Question},
    link::{Backoff, Complaint, Failure, connect, within},
    selftest,
};
use crate::Error;

/// Orders that wait for the task: enough that it never waits for callers.
const ORDERS: usize = 256;
/// Kept on disk, and passed on when dead.
const PERSISTENT: u8 = 2;

/// A message to publish, and who waits for it.
pub(super) struct Order {
    pub(super) topic: &'static str,
    pub(super) id: [u8; 16],
    pub(super) reply: oneshot::Sender<Result<(), Error>>,
}

/// Where orders are given, as long as the connection lives.
#[derive(Clone)]
pub(super) struct Lane {
    orders: mpsc::Sender<Order>,
    connection: Arc<Connection>,
}

/// A connection that is ready to publish.
pub(super) struct Session {
    lane: Lane,
    orders: mpsc::Receiver<Order>,
    channel: Channel,
    caretaker: Caretaker,
    questions: mpsc::UnboundedSender<Question>,
}

/// Why a session ended without a failure.
pub(super) struct Stopped;

// === impl Order ===

impl Order {
    /// Whoever asked may have gone away.
    pub(super) fn answer(self, outcome: Result<(), Error>) {
        let _ = self.reply.send(outcome);
    }
}

// === impl Lane ===

impl Lane {
    /// Whether the broker takes messages, as far as it has said.
    pub(super) fn is_open(&self) -> bool {
        let status = self.connection.status();
        status.connected() && !status.blocked() && !self.orders.is_closed()
    }

    pub(super) async fn send(&self, order: Order) -> Result<(), Error> {
        let ended = |_order| Error::Unavailable;
        self.orders.send(order).await.map_err(ended)
    }
}

// === impl Session ===

impl Session {
    pub(super) fn lane(&self) -> Lane {
        self.lane.clone()
    }

    /// Publishes until the connection fails or the process stops.
    async fn run(mut self, shared: &Shared) -> Result<Stopped, Failure> {
        let connection = self.lane.connection;
        let caretaker = self.caretaker.run(shared);
        let serve = Serve {
            shared,
            channel: &self.channel,
            questions: &self.questions,
            connection: &connection,
        };
        tokio::select! {
            ended = serve.run(&mut self.orders) => ended,
            failure = caretaker => Err(failure),
            failure = broken(&connection) => Err(failure),
        }
    }
}

/// Keeps the publishing side up until the process stops.
pub(super) async fn keep(shared: Arc<Shared>) {
    let mut backoff = Backoff::new(shared.config.reconnect);
    let mut complaint = Complaint::default();
    let mut first = shared.first().take();
    loop {
        let ended = match first.take() {
            Some(session) => session.run(&shared).await,
            None => connect_and_run(&shared, &mut backoff).await,
        };
        let state = match ended {
            Ok(Stopped) => break,
            Err(Failure::Away(reason)) => {
                warn!(reason, "RabbitMQ is away");
                State::Away
            }
            Err(Failure::Refused(reason)) => {
                complaint.make(&reason);
                State::Refused
            }
        };
        shared.publisher.send_replace(state);
        let stopping = shared.tasks.stopping();
        if timeout(backoff.pause(), stopping).await.is_ok() {
            break;
        }
    }
    shared.publisher.send_replace(State::Closed);
}

async fn connect_and_run(shared: &Shared, backoff: &mut Backoff) -> Result<Stopped, Failure> {
    let session = tokio::select! {
        session = open(shared) => session?,
        () = shared.tasks.stopping() => return Ok(Stopped),
    };
    backoff.reset();
    info!("RabbitMQ is there");
    shared.publisher.send_replace(State::Up(session.lane()));
    session.run(shared).await
}

/// Connects, declares everything, and tries it.
pub(super) async fn open(shared: &Shared) -> Result<Session, Failure> {
    let patience = shared.config.connect_timeout;
    let connection = connect(&shared.uri, "aio publisher", patience).await?;
    let connection = Arc::new(connection);
    let control = confirming(&connection, patience).await?;
    within(patience, shared.topology.declare(&control)).await?;
    selftest::run(&connection, shared).await?;
    let channel = confirming(&connection, patience).await?;
    let (orders_in, orders) = mpsc::channel(ORDERS);
    let (questions, asked) = mpsc::unbounded_channel();
    Ok(Session {
        caretaker: Caretaker::new(Arc::clone(&connection), control, asked),
        lane: Lane {
            orders: orders_in,
            connection,
        },
        orders,
        channel,
        questions,
    })
}

/// Opens a channel on which every message is confirmed.
pub(super) async fn confirming(
    connection: &Connection,
    patience: Duration,
) -> Result<Channel, Failure> {
    let channel = within(patience, connection.create_channel()).await?;
    let options = ConfirmSelectOptions::default();
    within(patience, channel.confirm_select(options)).await?;
    Ok(channel)
}

/// Publishes one message and waits for its confirmation.
pub(super) async fn publish(
    channel: &Channel,
    exchange: &str,
    key: &str,
    id: [u8; 16],
) -> lapin::Result<Confirmation> {
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_message_id(format!("{:032x}", u128::from_be_bytes(id)).into());
    let published = channel.basic_publish(exchange.into(), key.into(), options, &id, properties);
    published.await?.await
}

/// Completes when the connection, or a channel of it, has failed.
async fn broken(connection: &Connection) -> Failure {
    let mut events = connection.events_listener();
    if !connection.status().connected() {
        return Failure::Away("the connection is gone".to_owned());
    }
    while let Some(event) = events.next().await {
        if let Event::Error(error) = event {
            return error.into();
        } else if let Event::ConnectionBlocked(reason) = event {
            warn!(reason, "RabbitMQ takes no messages at the moment");
        } else if let Event::ConnectionUnblocked = event {
            info!("RabbitMQ takes messages again");
        }
    }
    Failure::Away("the connection is gone".to_owned())
}

/// The task that publishes.
struct Serve<'a> {
    shared: &'a Shared,
    channel: &'a Channel,
    questions: &'a mpsc::UnboundedSender<Question>,
    connection: &'a Connection,
}

// === impl Serve ===

impl Serve<'_> {
    /// Publishes what is ordered. When the process stops, takes no more orders and waits for the confirmations under way.
    async fn run(&self, orders: &mut mpsc::Receiver<Order>) -> Result<Stopped, Failure> {
        let patience = self.shared.config.confirm_timeout;
        let mut under_way = FuturesUnordered::new();
        let mut progress = Instant::now();
        loop {
            tokio::select! {
                order = orders.recv(), if !orders.is_closed() => {
                    if under_way.is_empty() {
                        progress = Instant::now();
                    }
                    under_way.extend(order.map(|order| self.send(order)));
                }
                Some((order, outcome)) = under_way.next() => {
                    progress = Instant::now();
                    self.settle(order, outcome)?;
                }
                () = sleep_until(progress + patience), if !under_way.is_empty() => {
                    if !self.connection.status().blocked() {
                        let reason = format!("nothing was confirmed within {patience:?}");
                        return Err(Failure::Away(reason));
                    }
                    progress = Instant::now();
                }
                () = self.shared.tasks.stopping() => break,
            }
        }
        self.shared.publisher.send_replace(State::Closed);
        orders.close();
        while let Some(order) = orders.recv().await {
            under_way.push(self.send(order));
        }
        let rest = async {
            while let Some((order, outcome)) = under_way.next().await {
                self.settle(order, outcome)?;
            }
            Ok::<_, Failure>(Stopped)
        };
        within(patience, rest).await.or(Ok(Stopped))
    }

    async fn send(&self, order: Order) -> (Order, lapin::Result<Confirmation>) {
        let work = self.shared.topology.names.work();
        let outcome = publish(self.channel, &work, order.topic, order.id).await;
        (order, outcome)
    }

    fn settle(&self, order: Order, outcome: lapin::Result<Confirmation>) -> Result<(), Failure> {
        match outcome {
            Ok(Confirmation::Ack(None)) => order.answer(Ok(())),
            Ok(Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned))) => {
                let key = returned.routing_key.as_str();
                let own = key == order.topic && returned.data == order.id;
                warn!(topic = key, "RabbitMQ has no queue for a message");
                match own {
                    true => order.answer(Err(Error::Unavailable)),
                    // Several confirmations at once: this one carries what belongs to another, which was taken for confirmed.
                    false => {
                        order.answer(Ok(()));
                        let id = <[u8; 16]>::try_from(returned.data.as_slice());
                        if let (Some(topic), Ok(id)) = (self.shared.topology.topic(key), id) {
                            self.ask(Question::Stray { topic, id });
                        }
                    }
                }
                self.ask(Question::WhatIsMissing);
            }
            Ok(Confirmation::Nack(None)) => self.ask(Question::IsFull(order)),
            Ok(Confirmation::NotRequested) => order.answer(Err(Error::Unavailable)),
            Err(error) => {
                order.answer(Err(Error::Unavailable));
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// The caretaker lives as long as this does.
    fn ask(&self, question: Question) {
        let _ = self.questions.send(question);
    }
}
