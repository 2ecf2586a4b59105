//! What the tests have in common: queues on a broker, and an operator who reaches past them.

use std::{sync::Arc, time::Duration};

use chassis::Tasks;
use domain::Secret;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    message::BasicGetMessage,
    options::{BasicGetOptions, BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::FieldTable,
};
use queue::{
    Delivery, Error, Queue as _, SharedQueue, conformance,
    rabbit::{Config, RabbitQueue, Reconnect},
};
use testkit::{PATIENCE, eventually, servers::Rabbit};
use tokio::time::timeout;

pub(crate) const TOPIC: &str = "run";
/// How long nothing may come before a topic counts as silent.
pub(crate) const QUIET: Duration = Duration::from_millis(300);

/// Somebody with rights on the broker who is not the program.
pub(crate) struct Operator {
    channel: Channel,
    connection: Connection,
    prefix: String,
}

/// For a broker of this URL, with pauses that suit a test.
pub(crate) fn config(rabbit: &Rabbit) -> Config {
    Config {
        url: Some(Secret::new(rabbit.url())),
        prefix: rabbit.prefix().to_owned(),
        group_size: 1,
        // Several receivers hold several messages.
        prefetch: 16,
        reconnect: Reconnect {
            min: Duration::from_millis(50),
            max: Duration::from_millis(500),
        },
        ..Config::default()
    }
}

pub(crate) async fn connect(config: Config) -> RabbitQueue {
    RabbitQueue::connect(config, &[TOPIC], Tasks::default())
        .await
        .unwrap()
}

pub(crate) async fn receive(queue: &RabbitQueue) -> Delivery {
    timeout(PATIENCE, queue.receive(TOPIC))
        .await
        .expect("nothing was delivered")
        .unwrap()
}

/// Publishes as the relay does: again, until the broker has it.
pub(crate) async fn publish(queue: &RabbitQueue, id: [u8; 16]) {
    let published = async || match queue.publish(TOPIC, id).await {
        Ok(()) => Ok(Some(())),
        Err(Error::Unavailable) => Ok(None),
        Err(other) => Err(other.into()),
    };
    eventually("a message is published", published)
        .await
        .unwrap();
}

pub(crate) async fn is_silent(queue: &RabbitQueue) -> bool {
    timeout(QUIET, queue.receive(TOPIC)).await.is_err()
}

pub(crate) fn id(number: u32) -> [u8; 16] {
    u128::from(number).to_be_bytes()
}

// === impl Operator ===

impl Operator {
    pub(crate) async fn new(rabbit: &Rabbit) -> Self {
        let properties = ConnectionProperties::default();
        let connection = Connection::connect(rabbit.url(), properties).await.unwrap();
        Self {
            channel: connection.create_channel().await.unwrap(),
            connection,
            prefix: rabbit.prefix().to_owned(),
        }
    }

    pub(crate) fn name(&self, rest: &str) -> String {
        format!("{}.{rest}", self.prefix)
    }

    pub(crate) async fn delete(&self, queue: &str) {
        let options = QueueDeleteOptions::default();
        let name = self.name(queue);
        let deleted = self.channel.queue_delete(name.into(), options);
        deleted.await.unwrap();
    }

    pub(crate) async fn declare(&self, queue: &str) {
        let declared = self.try_declare(&self.channel, queue).await;
        declared.unwrap();
    }

    /// Puts a queue with other arguments in the place of ours.
    pub(crate) async fn replace(&self, queue: &str) {
        let replaced = async || {
            // A refusal ends the channel: ours was made again in between.
            let channel = self.connection.create_channel().await?;
            self.delete(queue).await;
            Ok(self.try_declare(&channel, queue).await.ok())
        };
        eventually("the queue is replaced", replaced).await.unwrap();
    }

    async fn try_declare(&self, channel: &Channel, queue: &str) -> lapin::Result<()> {
        let name = self.name(queue);
        let options = QueueDeclareOptions::durable();
        let declared = channel.queue_declare(name.into(), options, FieldTable::default());
        declared.await.map(drop)
    }

    pub(crate) async fn publish(&self, key: &str, body: &[u8]) {
        let published = self.channel.basic_publish(
            self.name("work").into(),
            key.into(),
            BasicPublishOptions::default(),
            body,
            BasicProperties::default().with_delivery_mode(2),
        );
        published.await.unwrap().await.unwrap();
    }

    /// Takes the next message of a queue without settling it.
    pub(crate) async fn get(&self, queue: &str) -> BasicGetMessage {
        let name = self.name(queue);
        let look = async || {
            let options = BasicGetOptions::default();
            Ok(self
                .channel
                .basic_get(name.as_str().into(), options)
                .await?)
        };
        eventually("a message is in the queue", look).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let rabbit = Rabbit::shared().await.unwrap();
    let numbers = std::sync::atomic::AtomicU32::new(0);
    let fresh = async || {
        let number = numbers.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let config = Config {
            prefix: format!("{}.{number}", rabbit.prefix()),
            ..config(&rabbit)
        };
        let queue = RabbitQueue::connect(config, &conformance::TOPICS, Tasks::default());
        let queue: SharedQueue = Arc::new(queue.await.unwrap());
        queue
    };
    conformance::run(fresh).await;
}
