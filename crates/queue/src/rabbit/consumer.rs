//! The consuming side: one connection for all topics, and for each topic that somebody receives from one channel with one
//! consumer. What it brings waits in an inbox for whoever calls next.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::{FutureExt as _, StreamExt as _};
use lapin::{
    Acker, Channel, Connection, Consumer,
    message::Delivery as Message,
    options::{
        BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions,
        BasicQosOptions, BasicRejectOptions,
    },
    types::FieldTable,
};
use tokio::{
    sync::{Mutex, Notify, mpsc},
    time::{Instant, interval, sleep, timeout},
};
use tracing::{info, warn};

use super::{
    Shared, State,
    link::{Backoff, Failure, connect, within},
};
use crate::{Delivery, Error, Settle};

/// Messages that wait for a receiver: at most as many as the broker gives unsettled.
pub(super) struct Inbox {
    sender: mpsc::UnboundedSender<([u8; 16], InHand)>,
    receiver: Mutex<mpsc::UnboundedReceiver<([u8; 16], InHand)>>,
    wanted: Notify,
    /// How many wait at the moment.
    receivers: AtomicUsize,
    /// Whether anybody came since the last look.
    visited: AtomicBool,
}

/// Somebody who waits.
struct Receiving<'a>(&'a AtomicUsize);

/// Why a consumer ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Stopping,
    /// Nobody receives: what waited was given back.
    Idle,
    Failed,
}

/// A message in a receiver's hands. Once its channel is gone, so is the broker's patience: it gives the message to another,
/// and nothing said here reaches it.
struct InHand {
    acker: Acker,
    /// The connection lives as long as there is something to settle.
    _channel: Channel,
}

/// A consumer that works.
struct Consuming {
    channel: Channel,
    consumer: Consumer,
}

// === impl Inbox ===

impl Default for Inbox {
    fn default() -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        Self {
            sender,
            receiver: Mutex::new(receiver),
            wanted: Notify::new(),
            receivers: AtomicUsize::new(0),
            visited: AtomicBool::new(false),
        }
    }
}

impl Inbox {
    /// The next message that can still be settled. `None` once the process stops.
    pub(super) async fn next(&self) -> Option<Delivery> {
        let _receiving = Receiving::new(self);
        let mut receiver = self.receiver.lock().await;
        loop {
            let (id, in_hand) = receiver.recv().await?;
            if in_hand.acker.usable() {
                return Some(Delivery::new(id, Box::new(in_hand)));
            }
        }
    }

    /// Completes while somebody receives: only then is anything fetched, for what waits here no other process gets.
    async fn wanted(&self) {
        while self.receivers.load(Ordering::SeqCst) == 0 {
            // What was left to a receiver that went away.
            self.give_back();
            self.wanted.notified().await;
        }
    }

    /// Whether nobody has received since the last look.
    fn is_idle(&self) -> bool {
        let visited = self.visited.swap(false, Ordering::SeqCst);
        !visited && self.receivers.load(Ordering::SeqCst) == 0
    }

    /// Gives back what waits, unless somebody receives: then it is theirs, whichever consumer fetched it. It must not wait for
    /// a receiver, who waits for the consumer that comes only after this.
    fn give_back(&self) {
        if let Ok(mut receiver) = self.receiver.try_lock() {
            while receiver.try_recv().is_ok() {}
        }
    }

    /// Gives back what waits, and takes nothing more. Only while stopping, which ends every wait for a message.
    async fn close(&self) {
        let mut receiver = self.receiver.lock().await;
        receiver.close();
        while receiver.try_recv().is_ok() {}
    }
}

// === impl Receiving ===

impl<'a> Receiving<'a> {
    fn new(inbox: &'a Inbox) -> Self {
        inbox.visited.store(true, Ordering::SeqCst);
        inbox.receivers.fetch_add(1, Ordering::SeqCst);
        inbox.wanted.notify_one();
        Self(&inbox.receivers)
    }
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Keeps a topic's consumer up, whenever somebody receives, until the process stops.
pub(super) async fn keep(shared: Arc<Shared>, topic: &'static str) {
    let Some(inbox) = shared.inboxes.get(topic) else {
        return;
    };
    let mut backoff = Backoff::new(shared.config.reconnect);
    loop {
        let consuming = tokio::select! {
            consuming = ready(&shared, topic, inbox, &mut backoff) => consuming,
            () = shared.tasks.stopping() => break,
        };
        // Whatever was deleted here is missed elsewhere too.
        shared.missing.notify_one();
        info!(topic, "receiving from RabbitMQ");
        let since = Instant::now();
        let ended = consuming.pump(topic, inbox, &shared).await;
        if ended == Ended::Stopping {
            break;
        }
        let pause = pause(topic, ended, since.elapsed(), &mut backoff);
        if timeout(pause, shared.tasks.stopping()).await.is_ok() {
            break;
        }
    }
    inbox.close().await;
}

/// How long to wait before the next consumer.
fn pause(topic: &str, ended: Ended, lived: Duration, backoff: &mut Backoff) -> Duration {
    if ended == Ended::Idle {
        info!(topic, "nobody receives");
        backoff.reset();
        return Duration::ZERO;
    }
    warn!(topic, "no longer receiving from RabbitMQ");
    backoff.pause_after(lived)
}

/// Waits until there is a consumer.
async fn ready(
    shared: &Shared,
    topic: &'static str,
    inbox: &Inbox,
    backoff: &mut Backoff,
) -> Consuming {
    loop {
        inbox.wanted().await;
        // What a broker does that was not tried or did not pass, nobody knows.
        let up = |state: &State| matches!(state, State::Up(_));
        // The sender is in `shared`.
        let _ = shared.publisher.subscribe().wait_for(up).await;
        match open(shared, topic).await {
            Ok(consuming) => return consuming,
            Err(failure) => warn!(topic, %failure, "cannot receive from RabbitMQ"),
        }
        sleep(backoff.pause()).await;
    }
}

async fn open(shared: &Shared, topic: &str) -> Result<Consuming, Failure> {
    let patience = shared.config.connect_timeout;
    let connection = connection(shared).await?;
    let channel = within(patience, connection.create_channel()).await?;
    within(patience, shared.topology.declare_topic(&channel, topic)).await?;
    // First the limit, then the messages.
    let qos = channel.basic_qos(shared.config.prefetch, BasicQosOptions::default());
    within(patience, qos).await?;
    let queue = shared.topology.names.queue(topic);
    let consumer = channel.basic_consume(
        queue.into(),
        "".into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let consumer = within(patience, consumer).await?;
    Ok(Consuming { channel, consumer })
}

/// The one connection of all consumers; made again when it is gone.
async fn connection(shared: &Shared) -> Result<Arc<Connection>, Failure> {
    let mut kept = shared.consumers.lock().await;
    if let Some(connection) = kept.as_ref().filter(|one| one.status().connected()) {
        return Ok(Arc::clone(connection));
    }
    *kept = None;
    let patience = shared.config.connect_timeout;
    let connection = Arc::new(connect(&shared.uri, "aio consumer", patience).await?);
    *kept = Some(Arc::clone(&connection));
    Ok(connection)
}

// === impl Consuming ===

impl Consuming {
    /// Brings messages until the channel ends (the connection failed, or the queue was deleted) or nobody wants them.
    async fn pump(mut self, topic: &str, inbox: &Inbox, shared: &Shared) -> Ended {
        let mut looks = interval(shared.config.idle_hold);
        looks.reset();
        let ended = loop {
            tokio::select! {
                next = self.consumer.next() => match next {
                    Some(Ok(message)) => self.take(message, topic, inbox).await,
                    Some(Err(error)) => {
                        warn!(topic, %error, "receiving failed");
                        return Ended::Failed;
                    }
                    None => return Ended::Failed,
                },
                _ = looks.tick() => if inbox.is_idle() {
                    break Ended::Idle;
                },
                () = shared.tasks.stopping() => break Ended::Stopping,
            }
        };
        let tag = self.consumer.tag();
        let cancelled = self
            .channel
            .basic_cancel(tag, BasicCancelOptions::default());
        // Whether the broker has heard is its own affair: the channel ends with the last delivery in somebody's hands.
        let _ = timeout(shared.config.confirm_timeout, cancelled).await;
        // What came before the broker heard.
        while let Some(Some(Ok(message))) = self.consumer.next().now_or_never() {
            self.take(message, topic, inbox).await;
        }
        inbox.give_back();
        ended
    }

    async fn take(&self, message: Message, topic: &str, inbox: &Inbox) {
        let in_hand = InHand {
            acker: message.acker,
            _channel: self.channel.clone(),
        };
        match <[u8; 16]>::try_from(message.data.as_slice()) {
            Ok(id) => {
                // Nobody receives any more: dropped, it goes back.
                let _ = inbox.sender.send((id, in_hand));
            }
            Err(_not_an_id) => {
                let bytes = message.data.len();
                warn!(
                    topic,
                    bytes, "a message is no id and goes to the dead queue"
                );
                let rejected = in_hand.acker.reject(BasicRejectOptions::default()).await;
                if let Err(error) = rejected {
                    warn!(topic, %error, "it could not be rejected and comes again");
                }
            }
        }
    }
}

// === impl InHand ===

#[async_trait]
impl Settle for InHand {
    async fn ack(self: Box<Self>) -> Result<(), Error> {
        match self.acker.ack(BasicAckOptions::default()).await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Error::Unavailable),
        }
    }
}

impl Drop for InHand {
    /// After an ack this does nothing. The first poll hands the order to the connection, and nobody waits for the rest.
    fn drop(&mut self) {
        if self.acker.usable() {
            let again = BasicNackOptions {
                requeue: true,
                ..BasicNackOptions::default()
            };
            let _ = self.acker.nack(again).now_or_never();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn giving_back_does_not_wait_for_a_receiver() {
        let inbox = Inbox::default();
        assert!(inbox.is_idle());
        let mut next = Box::pin(inbox.next());
        assert!(next.as_mut().now_or_never().is_none());
        inbox.give_back();
        assert!(!inbox.is_idle());
        // So the next consumer is opened.
        assert!(inbox.wanted().now_or_never().is_some());
    }
}
