//! What every queue must do. Each implementation calls [`run`] from its own tests.
//!
//! The cases are private and named once, in [`run`]: a case that is not listed is dead code and does not build. A queue gets
//! some seconds to deliver, and is believed to be silent after a twentieth of a second; under a paused clock both cost nothing.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a conformance suite reports by panicking"
)]

use std::{collections::BTreeSet, time::Duration};

use futures::future::{join, join_all, pending};
use tokio::time::timeout;

use crate::{Delivery, SharedQueue};

/// The topics that the cases use.
pub const TOPICS: [&str; 3] = ["conformance", "conformance.a", "conformance.b"];
const TOPIC: &str = "conformance";
/// How long a message may take before it counts as lost.
const DEADLINE: Duration = Duration::from_secs(20);
/// How long nothing may come before a topic counts as silent.
const QUIET: Duration = Duration::from_millis(50);

/// Runs every case, each on a fresh queue that has all of [`TOPICS`] and can hold at least 100 messages in each.
///
/// # Panics
/// When the queue breaks a promise.
#[expect(
    clippy::cognitive_complexity,
    reason = "a list: every `.await` counts as a branch"
)]
pub async fn run(fresh: impl AsyncFn() -> SharedQueue) {
    a_published_message_is_received(fresh().await).await;
    a_message_waits_for_its_first_receiver(fresh().await).await;
    a_waiting_receiver_is_woken(fresh().await).await;
    an_acked_message_does_not_return(fresh().await).await;
    a_dropped_message_returns(fresh().await).await;
    a_dropped_message_returns_to_a_receiver_that_waits(fresh().await).await;
    a_message_returns_as_often_as_it_is_dropped(fresh().await).await;
    a_message_returns_when_its_worker_is_cancelled(fresh().await).await;
    a_dropped_message_leaves_its_neighbours_alone(fresh().await).await;
    an_ack_settles_only_its_own_message(fresh().await).await;
    an_unsettled_message_has_one_receiver(fresh().await).await;
    receivers_share_a_topic(fresh().await).await;
    topics_are_separate(fresh().await).await;
    a_cancelled_receive_loses_nothing(fresh().await).await;
    many_cancelled_receives_lose_nothing(fresh().await).await;
    a_message_published_twice_is_delivered_at_least_once(fresh().await).await;
    many_publish_at_once(fresh().await).await;
    a_message_dropped_outside_the_runtime_returns(fresh().await).await;
    it_is_available(fresh().await).await;
}

async fn a_published_message_is_received(queue: SharedQueue) {
    let bytes = [
        0, 1, 2, 3, 127, 128, 200, 255, 0, 10, 13, 34, 92, 226, 130, 172,
    ];
    publish(&queue, TOPIC, bytes).await;
    assert_eq!(receive(&queue, TOPIC).await.id, bytes);
}

async fn a_message_waits_for_its_first_receiver(queue: SharedQueue) {
    publish(&queue, TOPIC, id(1)).await;
    publish(&queue, TOPIC, id(2)).await;
    let first = receive(&queue, TOPIC).await;
    let second = receive(&queue, TOPIC).await;
    let mut ids = [first.id, second.id];
    ids.sort_unstable();
    assert_eq!(ids, [id(1), id(2)]);
}

async fn a_waiting_receiver_is_woken(queue: SharedQueue) {
    // `join` polls in order, so the receiver waits before anything is published.
    let (delivery, ()) = join(receive(&queue, TOPIC), publish(&queue, TOPIC, id(1))).await;
    assert_eq!(delivery.id, id(1));
}

async fn an_acked_message_does_not_return(queue: SharedQueue) {
    publish(&queue, TOPIC, id(1)).await;
    ack(receive(&queue, TOPIC).await).await;
    silent(&queue, TOPIC, "an acked message came back").await;
}

async fn a_dropped_message_returns(queue: SharedQueue) {
    publish(&queue, TOPIC, id(1)).await;
    drop(receive(&queue, TOPIC).await);
    let again = receive(&queue, TOPIC).await;
    assert_eq!(again.id, id(1));
    ack(again).await;
    silent(&queue, TOPIC, "a message came back after its ack").await;
}

async fn a_dropped_message_returns_to_a_receiver_that_waits(queue: SharedQueue) {
    publish(&queue, TOPIC, id(1)).await;
    let held = receive(&queue, TOPIC).await;
    let (again, ()) = join(receive(&queue, TOPIC), async { drop(held) }).await;
    assert_eq!(again.id, id(1));
}

async fn a_message_returns_as_often_as_it_is_dropped(queue: SharedQueue) {
    publish(&queue, TOPIC, id(1)).await;
    for _ in 0..10 {
        assert_eq!(receive(&queue, TOPIC).await.id, id(1));
    }
    ack(receive(&queue, TOPIC).await).await;
    silent(&queue, TOPIC, "there were more messages than one").await;
}

async fn a_message_returns_when_its_worker_is_cancelled(queue: SharedQueue) {
    publish(&queue, TOPIC, id(1)).await;
    let worker = async {
        let _held = receive(&queue, TOPIC).await;
        pending::<()>().await;
    };
    let cancelled = timeout(QUIET, worker).await;
    assert!(cancelled.is_err(), "the worker ended by itself");
    assert_eq!(receive(&queue, TOPIC).await.id, id(1));
}

async fn a_dropped_message_leaves_its_neighbours_alone(queue: SharedQueue) {
    for number in 0..10 {
        publish(&queue, TOPIC, id(number)).await;
    }
    drop(receive(&queue, TOPIC).await);
    holds_once_each(&queue, (0..10).map(id).collect()).await;
}

async fn an_ack_settles_only_its_own_message(queue: SharedQueue) {
    publish(&queue, TOPIC, id(1)).await;
    publish(&queue, TOPIC, id(2)).await;
    let first = receive(&queue, TOPIC).await;
    let second = receive(&queue, TOPIC).await;
    let kept = first.id;
    // The younger one is settled first, so an ack that settles "all up to here" is found out.
    ack(second).await;
    drop(first);
    assert_eq!(receive(&queue, TOPIC).await.id, kept);
}

async fn an_unsettled_message_has_one_receiver(queue: SharedQueue) {
    publish(&queue, TOPIC, id(1)).await;
    let held = receive(&queue, TOPIC).await;
    silent(&queue, TOPIC, "two receivers hold one message").await;
    ack(held).await;
    silent(&queue, TOPIC, "an acked message came back").await;
}

async fn receivers_share_a_topic(queue: SharedQueue) {
    const MESSAGES: u8 = 100;
    let receiver = || async {
        let mut held = Vec::new();
        while let Ok(delivery) = timeout(QUIET, queue.receive(TOPIC)).await {
            held.push(delivery.expect("receive"));
        }
        held
    };
    let publisher = async {
        for number in 0..MESSAGES {
            publish(&queue, TOPIC, id(number)).await;
        }
    };
    let receivers = join_all([receiver(), receiver(), receiver(), receiver()]);
    let (held, ()) = join(receivers, publisher).await;
    let mut missing: BTreeSet<_> = (0..MESSAGES).map(id).collect();
    for delivery in held.into_iter().flatten() {
        assert!(
            missing.remove(&delivery.id),
            "two receivers hold one message"
        );
        ack(delivery).await;
    }
    // What a slow queue had not delivered by then is still there.
    holds_once_each(&queue, missing).await;
}

async fn topics_are_separate(queue: SharedQueue) {
    publish(&queue, "conformance.a", id(1)).await;
    silent(&queue, "conformance.b", "a message changed its topic").await;
    publish(&queue, "conformance.b", id(2)).await;
    let a = receive(&queue, "conformance.a").await;
    let b = receive(&queue, "conformance.b").await;
    assert_eq!((a.id, b.id), (id(1), id(2)));
    ack(b).await;
    drop(a);
    assert_eq!(receive(&queue, "conformance.a").await.id, id(1));
    silent(&queue, "conformance.b", "a message changed its topic").await;
}

async fn a_cancelled_receive_loses_nothing(queue: SharedQueue) {
    silent(&queue, TOPIC, "a fresh queue holds a message").await;
    publish(&queue, TOPIC, id(1)).await;
    assert_eq!(receive(&queue, TOPIC).await.id, id(1));
}

/// Receivers are cancelled at whatever point they have reached, while messages arrive and others wait.
async fn many_cancelled_receives_lose_nothing(queue: SharedQueue) {
    const MESSAGES: u8 = 50;
    let cancelled = async {
        for round in 0..MESSAGES {
            let life = Duration::from_micros(u64::from(round) * 40);
            // Whatever it got is dropped unsettled.
            let _ = timeout(life, queue.receive(TOPIC)).await;
        }
    };
    let publisher = async {
        for number in 0..MESSAGES {
            publish(&queue, TOPIC, id(number)).await;
            tokio::task::yield_now().await;
        }
    };
    join(cancelled, publisher).await;
    holds_once_each(&queue, (0..MESSAGES).map(id).collect()).await;
}

/// A queue may tell doubles apart or not; a relay that was killed before it noted its success publishes again.
async fn a_message_published_twice_is_delivered_at_least_once(queue: SharedQueue) {
    publish(&queue, TOPIC, id(1)).await;
    publish(&queue, TOPIC, id(1)).await;
    ack(receive(&queue, TOPIC).await).await;
    if let Ok(second) = timeout(QUIET, queue.receive(TOPIC)).await {
        ack(second.expect("receive")).await;
    }
    silent(&queue, TOPIC, "two messages became three").await;
}

async fn many_publish_at_once(queue: SharedQueue) {
    const MESSAGES: u8 = 100;
    join_all((0..MESSAGES).map(|number| publish(&queue, TOPIC, id(number)))).await;
    holds_once_each(&queue, (0..MESSAGES).map(id).collect()).await;
}

/// A delivery may be dropped wherever its worker's future is.
async fn a_message_dropped_outside_the_runtime_returns(queue: SharedQueue) {
    publish(&queue, TOPIC, id(1)).await;
    let held = receive(&queue, TOPIC).await;
    let elsewhere = std::thread::spawn(move || drop(held));
    elsewhere.join().expect("dropping panicked");
    assert_eq!(receive(&queue, TOPIC).await.id, id(1));
}

async fn it_is_available(queue: SharedQueue) {
    assert!(queue.is_available(), "a fresh queue is not available");
    publish(&queue, TOPIC, id(1)).await;
    assert!(
        queue.is_available(),
        "a queue that took a message is not available"
    );
}

fn id(number: u8) -> [u8; 16] {
    [number; 16]
}

async fn publish(queue: &SharedQueue, topic: &str, id: [u8; 16]) {
    queue.publish(topic, id).await.expect("publish");
}

async fn receive(queue: &SharedQueue, topic: &str) -> Delivery {
    match timeout(DEADLINE, queue.receive(topic)).await {
        Ok(delivery) => delivery.expect("receive"),
        Err(_late) => panic!("nothing was delivered on {topic} within {DEADLINE:?}"),
    }
}

async fn ack(delivery: Delivery) {
    delivery.ack().await.expect("ack");
}

async fn silent(queue: &SharedQueue, topic: &str, otherwise: &str) {
    let received = timeout(QUIET, queue.receive(topic)).await;
    assert!(received.is_err(), "{otherwise}");
}

/// Receives and acks exactly these messages, in any order, and then nothing more.
async fn holds_once_each(queue: &SharedQueue, mut missing: BTreeSet<[u8; 16]>) {
    while !missing.is_empty() {
        let delivery = receive(queue, TOPIC).await;
        assert!(missing.remove(&delivery.id), "a message came twice");
        ack(delivery).await;
    }
    silent(queue, TOPIC, "a message came twice").await;
}
