//! What is kept where: the message itself, and what the limits do.

use std::time::Duration;

use chassis::Tasks;
use domain::Secret;
use queue::{
    Error, Queue as _,
    rabbit::{Config, RabbitQueue},
};
use testkit::{eventually, servers::Rabbit};

use crate::broker::{Operator, TOPIC, config, connect, id, is_silent, publish, receive};

#[tokio::test]
async fn a_message_is_an_id_and_is_kept_on_disk() {
    let rabbit = Rabbit::shared().await.unwrap();
    let queue = connect(config(&rabbit)).await;
    queue.publish(TOPIC, id(7)).await.unwrap();
    let operator = Operator::new(&rabbit).await;
    let message = operator.get("q.run.v1").await;
    assert_eq!(message.data, id(7));
    let properties = &message.properties;
    assert_eq!(*properties.delivery_mode(), Some(2));
    let named = properties.message_id().as_ref().map(|id| id.to_string());
    assert_eq!(named.as_deref(), Some("00000000000000000000000000000007"));
}

#[tokio::test]
async fn a_full_topic_refuses_until_it_is_worked_off() {
    let rabbit = Rabbit::shared().await.unwrap();
    let limited = Config {
        max_length: 5,
        ..config(&rabbit)
    };
    let queue = connect(limited).await;
    // The broker stops a little late.
    let mut published = 0;
    let refusal = loop {
        match queue.publish(TOPIC, id(published)).await {
            Ok(()) => published += 1,
            Err(refusal) => break refusal,
        }
        assert!(published < 100, "there is no limit");
    };
    assert_eq!(refusal, Error::Full);
    assert!(published >= 5, "only {published} fitted");
    assert!(queue.is_available(), "full is not away");
    for _ in 0..published {
        receive(&queue).await.ack().await.unwrap();
    }
    let fits = async || Ok(queue.publish(TOPIC, id(1)).await.ok());
    eventually("there is room again", fits).await.unwrap();
}

#[tokio::test]
async fn a_process_holds_only_so_many() {
    let rabbit = Rabbit::shared().await.unwrap();
    let limited = Config {
        prefetch: 2,
        ..config(&rabbit)
    };
    let queue = connect(limited.clone()).await;
    for number in 0..3 {
        queue.publish(TOPIC, id(number)).await.unwrap();
    }
    let first = receive(&queue).await;
    let _second = receive(&queue).await;
    assert!(is_silent(&queue).await, "more than two are held");
    let other = connect(limited).await;
    let third = receive(&other).await;
    assert_eq!(third.id, id(2), "another process has the rest");
    drop(third);
    first.ack().await.unwrap();
}

#[tokio::test]
async fn what_is_no_id_goes_to_the_dead_queue_and_its_neighbours_arrive() {
    let rabbit = Rabbit::shared().await.unwrap();
    let queue = connect(config(&rabbit)).await;
    let operator = Operator::new(&rabbit).await;
    queue.publish(TOPIC, id(1)).await.unwrap();
    operator.publish(TOPIC, b"").await;
    operator.publish(TOPIC, b"no id").await;
    operator.publish(TOPIC, &[1; 17]).await;
    queue.publish(TOPIC, id(2)).await.unwrap();
    for number in 1..=2 {
        let delivery = receive(&queue).await;
        assert_eq!(delivery.id, id(number));
        delivery.ack().await.unwrap();
    }
    for body in [b"".as_slice(), b"no id", &[1; 17]] {
        let dead = operator.get("q.dead.run.v1").await;
        assert_eq!(dead.data, body);
    }
    assert!(is_silent(&queue).await);
}

#[tokio::test]
async fn a_message_nobody_can_work_on_ends_in_the_dead_queue() {
    let rabbit = Rabbit::shared().await.unwrap();
    let limited = Config {
        delivery_limit: 3,
        prefetch: 2,
        ..config(&rabbit)
    };
    let queue = connect(limited).await;
    queue.publish(TOPIC, id(1)).await.unwrap();
    for _ in 0..4 {
        drop(receive(&queue).await);
    }
    let operator = Operator::new(&rabbit).await;
    let dead = operator.get("q.dead.run.v1").await;
    assert_eq!(dead.data, id(1));
}

#[tokio::test]
async fn two_processes_share_a_topic_and_one_that_no_longer_receives_gives_back() {
    let rabbit = Rabbit::shared().await.unwrap();
    let short = Config {
        idle_hold: Duration::from_millis(200),
        ..config(&rabbit)
    };
    let one = connect(short.clone()).await;
    let other = connect(short).await;
    publish(&one, id(1)).await;
    let held = receive(&other).await;
    assert!(is_silent(&one).await, "two processes hold one message");
    // It may go to either, and `other` never receives again.
    drop(held);
    let again = receive(&one).await;
    assert_eq!(again.id, id(1));
    again.ack().await.unwrap();
}

#[tokio::test]
async fn who_receives_while_the_consumer_is_given_up_gets_the_next_one() {
    let rabbit = Rabbit::shared().await.unwrap();
    let hasty = Config {
        idle_hold: Duration::from_millis(1),
        ..config(&rabbit)
    };
    let queue = connect(hasty).await;
    // Each round is one more chance to begin just between the look and the end of the consumer.
    for number in 0..200 {
        publish(&queue, id(number)).await;
        let delivery = receive(&queue).await;
        assert_eq!(delivery.id, id(number));
        delivery.ack().await.unwrap();
    }
}

#[tokio::test]
async fn a_topic_that_was_not_named_is_refused() {
    let rabbit = Rabbit::shared().await.unwrap();
    let queue = connect(config(&rabbit)).await;
    let refusal = queue.publish("other", id(1)).await.unwrap_err();
    assert!(matches!(refusal, Error::Setting(_)), "{refusal}");
    let refusal = queue.receive("other").await.unwrap_err();
    assert!(matches!(refusal, Error::Setting(_)), "{refusal}");
}

#[tokio::test]
async fn a_queue_with_other_arguments_is_refused_by_name() {
    let rabbit = Rabbit::shared().await.unwrap();
    let operator = Operator::new(&rabbit).await;
    operator.declare("q.run.v1").await;
    let refusal = RabbitQueue::connect(config(&rabbit), &[TOPIC], Tasks::default())
        .await
        .unwrap_err();
    assert!(matches!(refusal, Error::Refused(_)), "{refusal}");
    let name = operator.name("q.run.v1");
    assert!(refusal.to_string().contains(&name), "{refusal}");
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_repeated() {
    let rabbit = Rabbit::shared().await.unwrap();
    let wrong = rabbit.url().replace("guest:guest", "guest:hush");
    let config = Config {
        url: Some(Secret::new(wrong)),
        ..config(&rabbit)
    };
    let refusal = RabbitQueue::connect(config, &[TOPIC], Tasks::default())
        .await
        .unwrap_err();
    assert!(matches!(refusal, Error::Refused(_)), "{refusal}");
    assert!(!refusal.to_string().contains("hush"), "{refusal}");
}
