//! A broker that stays, where things go missing; and a process that stops.

use std::time::Duration;

use chassis::Tasks;
use queue::{
    Error, Queue as _,
    rabbit::{Config, RabbitQueue},
};
use testkit::{PATIENCE, eventually, servers::Rabbit};
use tokio::time::timeout;

use crate::broker::{Operator, TOPIC, config, connect, id, publish, receive};

/// So long that what is made again in a test was not made by the rounds.
const NEVER: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_deleted_queue_comes_back_and_nothing_confirmed_is_lost() {
    let rabbit = Rabbit::shared().await.unwrap();
    let often = Config {
        check_interval: Duration::from_millis(200),
        ..config(&rabbit)
    };
    let queue = connect(often).await;
    let operator = Operator::new(&rabbit).await;
    operator.delete("q.run.v1").await;
    for number in 0..20 {
        publish(&queue, id(number)).await;
    }
    let mut missing: Vec<_> = (0..20).map(id).collect();
    while !missing.is_empty() {
        let delivery = receive(&queue).await;
        missing.retain(|id| *id != delivery.id);
        delivery.ack().await.unwrap();
    }
}

#[tokio::test]
async fn a_queue_deleted_under_its_receivers_comes_back() {
    let rabbit = Rabbit::shared().await.unwrap();
    let seldom = Config {
        check_interval: NEVER,
        ..config(&rabbit)
    };
    let queue = connect(seldom).await;
    publish(&queue, id(1)).await;
    receive(&queue).await.ack().await.unwrap();
    let operator = Operator::new(&rabbit).await;
    operator.delete("q.run.v1").await;
    publish(&queue, id(2)).await;
    let delivery = receive(&queue).await;
    assert_eq!(delivery.id, id(2));
    delivery.ack().await.unwrap();
}

#[tokio::test]
async fn a_message_that_nothing_catches_is_not_confirmed_and_what_is_missing_is_made_again() {
    let rabbit = Rabbit::shared().await.unwrap();
    let seldom = Config {
        check_interval: NEVER,
        ..config(&rabbit)
    };
    let queue = connect(seldom).await;
    let operator = Operator::new(&rabbit).await;
    // The first round comes at once, and may mend it before.
    let returned = async || {
        operator.delete("q.unrouted.v1").await;
        operator.delete("q.run.v1").await;
        let outcome = queue.publish(TOPIC, id(2)).await;
        Ok((outcome == Err(Error::Unavailable)).then_some(()))
    };
    eventually("a message is returned", returned).await.unwrap();
    publish(&queue, id(3)).await;
    let found = async || {
        let delivery = receive(&queue).await;
        let id = delivery.id;
        delivery.ack().await?;
        Ok((id == self::id(3)).then_some(()))
    };
    eventually("the message arrives", found).await.unwrap();
}

#[tokio::test]
async fn a_broker_that_is_made_unusable_is_not_used_until_somebody_mends_it() {
    let rabbit = Rabbit::shared().await.unwrap();
    let often = Config {
        check_interval: Duration::from_millis(100),
        confirm_timeout: Duration::from_millis(500),
        ..config(&rabbit)
    };
    let queue = connect(often).await;
    let operator = Operator::new(&rabbit).await;
    operator.replace("q.run.v1").await;
    let refused = async || Ok((!queue.is_available()).then_some(()));
    eventually("the queue is refused", refused).await.unwrap();
    let end = queue.receive(TOPIC).await.unwrap_err();
    assert_eq!(end, Error::Unavailable);
    assert!(!queue.is_available());
    assert_eq!(queue.publish(TOPIC, id(1)).await, Err(Error::Unavailable));
    operator.delete("q.run.v1").await;
    publish(&queue, id(2)).await;
    let delivery = receive(&queue).await;
    assert_eq!(delivery.id, id(2));
    delivery.ack().await.unwrap();
}

#[tokio::test]
async fn stopping_ends_receivers_and_gives_back_what_waits() {
    let rabbit = Rabbit::shared().await.unwrap();
    let tasks = Tasks::default();
    let queue = RabbitQueue::connect(config(&rabbit), &[TOPIC], tasks.clone());
    let queue = queue.await.unwrap();
    for number in 0..5 {
        publish(&queue, id(number)).await;
    }
    let held = receive(&queue).await;
    assert!(tasks.stop(PATIENCE).await, "its loops did not end");
    held.ack().await.unwrap();
    assert_eq!(queue.receive(TOPIC).await.unwrap_err(), Error::Closed);
    assert_eq!(queue.publish(TOPIC, id(9)).await, Err(Error::Closed));
    assert!(!queue.is_available());
    drop(queue);
    let heir = connect(config(&rabbit)).await;
    let mut missing: Vec<_> = (1..5).map(id).collect();
    while !missing.is_empty() {
        let delivery = timeout(PATIENCE, receive(&heir)).await.unwrap();
        assert_ne!(delivery.id, id(0), "an acked message came back");
        missing.retain(|id| *id != delivery.id);
        delivery.ack().await.unwrap();
    }
}
