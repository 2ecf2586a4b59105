//! The queue in this process: for one binary and for tests. It lives and dies with the process; the outbox and the sweepers
//! fill it again after a start.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use crate::{Delivery, Error, Queue, Settle};

/// The section `queue`. What a field is when it is left out, its `Default` says, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Messages a topic may hold, those in the hands of receivers included. Default 200 000, as the broker's queues.
    pub capacity: usize,
}

/// A queue that lives and dies with the process.
pub struct MemoryQueue {
    capacity: usize,
    topics: Mutex<Topics>,
}

struct Topics {
    by_name: HashMap<String, Arc<Topic>>,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Open,
    Closed,
}

struct Topic {
    /// One permit for each message that would still fit.
    room: Arc<Semaphore>,
    /// One permit for each message in `messages`.
    ready: Semaphore,
    messages: Mutex<VecDeque<Message>>,
}

struct Message {
    id: [u8; 16],
    /// Held from publish to ack, also in a receiver's hands, so that a message that comes back always finds room.
    _place: OwnedSemaphorePermit,
}

/// A message in a receiver's hands. `None` once it is acknowledged.
struct InHand {
    message: Option<Message>,
    topic: Arc<Topic>,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self { capacity: 200_000 }
    }
}

// === impl MemoryQueue ===

impl MemoryQueue {
    /// An empty queue whose topics hold at most `capacity` unsettled messages each ([`Limits::capacity`]).
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.min(Semaphore::MAX_PERMITS),
            topics: Mutex::new(Topics {
                by_name: HashMap::new(),
                state: State::Open,
            }),
        }
    }

    /// Ends every receiver, waiting or yet to come, and refuses whatever is published from now on. Deliveries already in
    /// hand can still be acknowledged.
    pub fn close(&self) {
        let mut topics = locked(&self.topics);
        topics.state = State::Closed;
        topics.by_name.values().for_each(|topic| topic.close());
    }

    /// A topic exists as soon as somebody names it. Names are constants of the program, so there are few.
    fn topic(&self, name: &str) -> Arc<Topic> {
        let mut topics = locked(&self.topics);
        if let Some(topic) = topics.by_name.get(name) {
            return Arc::clone(topic);
        }
        let topic = Arc::new(Topic::new(self.capacity));
        match topics.state {
            State::Open => {}
            State::Closed => topic.close(),
        }
        topics.by_name.insert(name.to_owned(), Arc::clone(&topic));
        topic
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn publish(&self, topic: &str, id: [u8; 16]) -> Result<(), Error> {
        let topic = self.topic(topic);
        let place = match Arc::clone(&topic.room).try_acquire_owned() {
            Ok(place) => place,
            Err(TryAcquireError::NoPermits) => return Err(Error::Full),
            Err(TryAcquireError::Closed) => return Err(Error::Closed),
        };
        topic.put(Message { id, _place: place });
        Ok(())
    }

    async fn receive(&self, topic: &str) -> Result<Delivery, Error> {
        let topic = self.topic(topic);
        let message = topic.take().await?;
        let id = message.id;
        let in_hand = InHand {
            message: Some(message),
            topic,
        };
        Ok(Delivery::new(id, Box::new(in_hand)))
    }

    fn is_available(&self) -> bool {
        true
    }
}

impl fmt::Debug for MemoryQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryQueue")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

// === impl Topic ===

impl Topic {
    fn new(capacity: usize) -> Self {
        Self {
            room: Arc::new(Semaphore::new(capacity)),
            ready: Semaphore::new(0),
            messages: Mutex::default(),
        }
    }

    fn close(&self) {
        self.room.close();
        self.ready.close();
    }

    /// At the end of the line, also when it comes back: a message nobody can work on must not hold up the others.
    fn put(&self, message: Message) {
        locked(&self.messages).push_back(message);
        self.ready.add_permits(1);
    }

    async fn take(&self) -> Result<Message, Error> {
        loop {
            let permit = self
                .ready
                .acquire()
                .await
                .map_err(|_closed| Error::Closed)?;
            // From here to the return nothing waits, so no cancellation can come between the permit and its message.
            permit.forget();
            if let Some(message) = locked(&self.messages).pop_front() {
                return Ok(message);
            }
        }
    }
}

// === impl InHand ===

#[async_trait]
impl Settle for InHand {
    async fn ack(mut self: Box<Self>) -> Result<(), Error> {
        self.message = None;
        Ok(())
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        if let Some(message) = self.message.take() {
            self.topic.put(message);
        }
    }
}

/// What is behind these locks is whole between any two statements, so a panic elsewhere does not spoil it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use futures::future::join_all;
    use tokio::{sync::mpsc, task::JoinSet, time::timeout};

    use super::*;
    use crate::{SharedQueue, conformance};

    const TOPIC: &str = "work";

    async fn fresh() -> SharedQueue {
        Arc::new(MemoryQueue::new(1_000))
    }

    #[tokio::test(start_paused = true)]
    async fn conforms() {
        conformance::run(fresh).await;
    }

    /// Receivers on four threads that drop every third delivery, while others are cancelled as they wait.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn nothing_is_lost_or_doubled_between_threads() {
        const MESSAGES: u32 = 3_000;
        let queue = Arc::new(MemoryQueue::new(10_000));
        let (acked, mut seen) = mpsc::unbounded_channel();
        let mut receivers = JoinSet::new();
        for _ in 0..8 {
            let (queue, acked) = (Arc::clone(&queue), acked.clone());
            receivers.spawn(receive_impatiently(queue, acked));
        }
        for number in 0..MESSAGES {
            queue.publish(TOPIC, bytes(number)).await.unwrap();
        }
        let mut missing: BTreeSet<_> = (0..MESSAGES).map(bytes).collect();
        while !missing.is_empty() {
            let id = timeout(Duration::from_secs(20), seen.recv()).await;
            let id = id.expect("a message was lost").unwrap();
            assert!(missing.remove(&id), "a message was acked twice");
        }
        queue.close();
        while let Some(ended) = receivers.join_next().await {
            ended.unwrap();
        }
    }

    async fn receive_impatiently(queue: Arc<MemoryQueue>, acked: mpsc::UnboundedSender<[u8; 16]>) {
        for turn in 0_u32.. {
            let patience = Duration::from_micros(u64::from(turn % 50));
            match timeout(patience, queue.receive(TOPIC)).await {
                Err(_cancelled) => {}
                Ok(Ok(dropped)) if turn % 3 == 0 => drop(dropped),
                Ok(Ok(delivery)) => {
                    acked.send(delivery.id).unwrap();
                    delivery.ack().await.unwrap();
                }
                Ok(Err(_closed)) => return,
            }
        }
    }

    fn bytes(number: u32) -> [u8; 16] {
        u128::from(number).to_be_bytes()
    }

    #[tokio::test]
    async fn a_full_topic_refuses_until_a_message_is_acked() {
        let queue = MemoryQueue::new(2);
        queue.publish(TOPIC, [1; 16]).await.unwrap();
        queue.publish(TOPIC, [2; 16]).await.unwrap();
        assert_eq!(queue.publish(TOPIC, [3; 16]).await, Err(Error::Full));

        let in_hand = queue.receive(TOPIC).await.unwrap();
        assert_eq!(
            queue.publish(TOPIC, [3; 16]).await,
            Err(Error::Full),
            "a message in hand keeps its place: it may come back"
        );
        in_hand.ack().await.unwrap();
        queue.publish(TOPIC, [3; 16]).await.unwrap();
    }

    #[tokio::test]
    async fn a_message_comes_back_to_a_full_topic() {
        let queue = MemoryQueue::new(1);
        queue.publish(TOPIC, [1; 16]).await.unwrap();
        drop(queue.receive(TOPIC).await.unwrap());
        assert_eq!(queue.publish(TOPIC, [2; 16]).await, Err(Error::Full));
        assert_eq!(queue.receive(TOPIC).await.unwrap().id, [1; 16]);
    }

    #[tokio::test]
    async fn one_full_topic_does_not_fill_another() {
        let queue = MemoryQueue::new(1);
        queue.publish(TOPIC, [1; 16]).await.unwrap();
        queue.publish("other", [1; 16]).await.unwrap();
    }

    #[tokio::test]
    async fn a_message_that_comes_back_lets_the_others_go_first() {
        let queue = MemoryQueue::new(10);
        queue.publish(TOPIC, [1; 16]).await.unwrap();
        queue.publish(TOPIC, [2; 16]).await.unwrap();
        drop(queue.receive(TOPIC).await.unwrap());
        assert_eq!(queue.receive(TOPIC).await.unwrap().id, [2; 16]);
    }

    #[tokio::test]
    async fn closing_ends_receivers_that_wait_and_that_come_later() {
        let queue = MemoryQueue::new(10);
        let waiting = join_all((0..3).map(|_| queue.receive(TOPIC)));
        let close = async { queue.close() };
        let (ended, ()) = futures::join!(waiting, close);
        for end in ended {
            assert_eq!(end.unwrap_err(), Error::Closed);
        }
        assert_eq!(queue.receive(TOPIC).await.unwrap_err(), Error::Closed);
        assert_eq!(
            queue.receive("unheard of").await.unwrap_err(),
            Error::Closed
        );
    }

    #[tokio::test]
    async fn a_closed_queue_takes_nothing_and_lets_go_of_what_is_in_hand() {
        let queue = MemoryQueue::new(10);
        queue.publish(TOPIC, [1; 16]).await.unwrap();
        queue.publish(TOPIC, [2; 16]).await.unwrap();
        let acked = queue.receive(TOPIC).await.unwrap();
        let dropped = queue.receive(TOPIC).await.unwrap();
        queue.close();
        acked.ack().await.unwrap();
        drop(dropped);
        assert_eq!(queue.publish(TOPIC, [3; 16]).await, Err(Error::Closed));
        assert_eq!(queue.receive(TOPIC).await.unwrap_err(), Error::Closed);
        assert_eq!(
            queue.publish("unheard of", [3; 16]).await,
            Err(Error::Closed)
        );
    }

    #[tokio::test]
    async fn a_delivery_outlives_its_queue() {
        let queue = MemoryQueue::new(10);
        queue.publish(TOPIC, [1; 16]).await.unwrap();
        let in_hand = queue.receive(TOPIC).await.unwrap();
        drop(queue);
        in_hand.ack().await.unwrap();
    }

    #[test]
    fn an_empty_section_has_the_documented_default() {
        let limits: Limits = serde_json::from_str("{}").unwrap();
        assert_eq!(limits, Limits { capacity: 200_000 });
        assert!(serde_json::from_str::<Limits>(r#"{"capasity":1}"#).is_err());
    }
}
