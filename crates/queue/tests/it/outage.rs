//! A broker that goes away, in each of the ways brokers do.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use domain::Secret;
use queue::{Error, Queue as _, SharedQueue, rabbit::Config};
use testkit::{PATIENCE, eventually, servers::Rabbit};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::JoinSet,
    time::timeout,
};

use crate::broker::{TOPIC, config, connect, id, publish, receive};

const PUBLISHERS: u32 = 8;
/// Enough that the broker dies in the middle.
const BEFORE: usize = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_loses_nothing_it_confirmed() {
    let mut rabbit = Rabbit::start().await.unwrap();
    let queue = Arc::new(connect(config(&rabbit)).await);
    let (confirmed, mut seen) = mpsc::unbounded_channel();
    let mut publishers = JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let (queue, confirmed) = (Arc::clone(&queue), confirmed.clone());
        publishers.spawn(publish_until_it_fails(queue, publisher, confirmed));
    }
    drop(confirmed);
    let mut missing = BTreeSet::new();
    while missing.len() < BEFORE {
        missing.insert(seen.recv().await.unwrap());
    }
    rabbit.kill().unwrap();
    while let Some(id) = timeout(PATIENCE, seen.recv()).await.unwrap() {
        missing.insert(id);
    }
    while let Some(ended) = publishers.join_next().await {
        assert_eq!(ended.unwrap(), Error::Unavailable);
    }
    rabbit.restart().await.unwrap();
    while !missing.is_empty() {
        let delivery = timeout(PATIENCE, receive(&queue)).await;
        let delivery = delivery.expect("a confirmed message was lost");
        missing.remove(&delivery.id);
        delivery.ack().await.unwrap();
    }
}

async fn publish_until_it_fails(
    queue: SharedQueue,
    publisher: u32,
    confirmed: mpsc::UnboundedSender<[u8; 16]>,
) -> Error {
    for number in 0.. {
        let id = id(publisher * 1_000_000 + number);
        match queue.publish(TOPIC, id).await {
            Ok(()) => confirmed.send(id).unwrap(),
            Err(error) => return error,
        }
    }
    Error::Closed
}

#[tokio::test]
async fn a_broker_that_was_stopped_is_found_again_and_what_was_held_comes_again() {
    let mut rabbit = Rabbit::start().await.unwrap();
    let patience = Duration::from_secs(2);
    let queue = connect(Config {
        confirm_timeout: patience,
        ..config(&rabbit)
    })
    .await;
    publish(&queue, id(1)).await;
    let held = receive(&queue).await;
    rabbit.stop().await.unwrap();
    let gone = async || Ok((!queue.is_available()).then_some(()));
    eventually("the queue says that it is away", gone)
        .await
        .unwrap();
    let asked = Instant::now();
    assert_eq!(queue.publish(TOPIC, id(2)).await, Err(Error::Unavailable));
    assert!(asked.elapsed() < patience + patience);
    assert_eq!(held.ack().await, Err(Error::Unavailable));
    // Begins to wait while there is no broker.
    let (again, restarted) = tokio::join!(receive(&queue), rabbit.restart());
    restarted.unwrap();
    assert_eq!(again.id, id(1), "the ack of a lost channel settled nothing");
    again.ack().await.unwrap();
    publish(&queue, id(2)).await;
    let second = receive(&queue).await;
    assert_eq!(second.id, id(2));
    second.ack().await.unwrap();
}

#[tokio::test]
async fn a_broker_that_lost_everything_gets_everything_it_needs() {
    let mut rabbit = Rabbit::start().await.unwrap();
    let queue = connect(config(&rabbit)).await;
    publish(&queue, id(1)).await;
    rabbit.kill().unwrap();
    rabbit.wipe().unwrap();
    // A process that starts meanwhile starts nevertheless.
    let late = connect(config(&rabbit)).await;
    assert!(!late.is_available());
    assert_eq!(late.publish(TOPIC, id(2)).await, Err(Error::Unavailable));
    rabbit.restart().await.unwrap();
    publish(&late, id(2)).await;
    publish(&queue, id(3)).await;
    let mut missing = BTreeSet::from([id(2), id(3)]);
    while !missing.is_empty() {
        let delivery = receive(&queue).await;
        missing.remove(&delivery.id);
        delivery.ack().await.unwrap();
    }
    assert!(queue.is_available() && late.is_available());
}

/// Between the queue and its broker: a network that loses everything for a while, and says nothing.
struct Network {
    url: String,
    lossy: watch::Sender<bool>,
    _links: JoinSet<()>,
}

impl Network {
    async fn to(rabbit: &Rabbit) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap().to_string();
        let (_, address) = rabbit.url().split_once('@').unwrap();
        let (there, _) = address.split_once('/').unwrap();
        let (url, there) = (rabbit.url().replace(there, &here), there.to_owned());
        let lossy = watch::Sender::new(false);
        let mut links = JoinSet::new();
        links.spawn(link(listener, there, lossy.clone()));
        Self {
            url,
            lossy,
            _links: links,
        }
    }
}

async fn link(listener: TcpListener, there: String, lossy: watch::Sender<bool>) {
    let mut links = JoinSet::new();
    loop {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = TcpStream::connect(&there).await.unwrap();
        let mut lossy = lossy.subscribe();
        links.spawn(async move {
            tokio::select! {
                _ = lossy.wait_for(|lossy| *lossy) => {}
                _ = copy_bidirectional(&mut near, &mut far) => return,
            }
            // What was cut stays cut, and neither end hears of it.
            std::future::pending::<()>().await;
        });
    }
}

#[tokio::test]
async fn a_broker_that_falls_silent_is_left_and_found_again() {
    let rabbit = Rabbit::shared().await.unwrap();
    let network = Network::to(&rabbit).await;
    let patience = Duration::from_secs(1);
    let impatient = Config {
        url: Some(Secret::new(network.url.as_str())),
        confirm_timeout: patience,
        connect_timeout: patience * 2,
        // Missed long after a confirmation is.
        heartbeat: patience * 3,
        ..config(&rabbit)
    };
    let queue = connect(impatient.clone()).await;
    publish(&queue, id(1)).await;
    receive(&queue).await.ack().await.unwrap();
    network.lossy.send_replace(true);
    let asked = Instant::now();
    assert_eq!(queue.publish(TOPIC, id(2)).await, Err(Error::Unavailable));
    assert!(asked.elapsed() >= patience, "it was not even tried");
    // A process that starts meanwhile starts nevertheless.
    let late = connect(impatient).await;
    assert!(!late.is_available());
    network.lossy.send_replace(false);
    publish(&queue, id(3)).await;
    publish(&late, id(4)).await;
    let mut missing = BTreeSet::from([id(3), id(4)]);
    while !missing.is_empty() {
        let delivery = receive(&queue).await;
        missing.remove(&delivery.id);
        delivery.ack().await.unwrap();
    }
}
