//! What a queue may deliver that it should not: messages that are none of ours, and ours three times and in the wrong order. Nobody stops
//! working, no task is run twice, and what is none of ours is put aside.

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, QueueBindOptions,
        QueueDeclareOptions,
    },
    types::FieldTable,
};
use testkit::{Aio, Shape, eventually, servers::Rabbit};

use crate::{Length, customer::Customer};

/// Images before, and what the account begins with: credits, and the same in micro-credits.
const CREDITS: i64 = 1_000;
const CREDIT: i64 = CREDITS * 1_000_000;
/// The queue in which copies of everything are kept.
const COPIES: &str = "chaos.copies";
/// Messages among the poison that are no ids.
const NO_IDS: u32 = 5;
/// How often each message comes again.
const TIMES: usize = 3;

/// Puts them where bells ring.
pub(crate) async fn poison(length: Length) -> Result<String> {
    let images = match length {
        Length::Full => 60,
        Length::Quick => 10,
    };
    let rabbit = Rabbit::start().await?;
    let env = [
        ("AIO_RABBITMQ__URL", rabbit.url()),
        ("AIO_RABBITMQ__PREFIX", rabbit.prefix()),
    ];
    let aio = Aio::private_with(Shape::Split, &env).await?;
    let connection = Connection::connect(rabbit.url(), ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let work = format!("{}.work", rabbit.prefix());
    copy_everything(&channel, &work).await?;

    let mut customer = Customer::new(aio.account(CREDITS).await?.api).await?;
    for _ in 0..images {
        customer.image_that_takes("1s").await;
    }
    let copies = copies(&channel, images).await?;
    let key = copies.first().map(|copy| copy.key.clone());
    let key = key.context("no bell rang")?;
    for body in poisons() {
        publish(&channel, &work, &key, &body).await?;
    }
    for copy in copies.iter().rev() {
        for _ in 0..TIMES {
            publish(&channel, &work, &copy.key, &copy.body).await?;
        }
    }
    // Whoever comes after the poison is served, and through the bell as well.
    for _ in 0..images {
        customer.image().await;
    }
    let seen = customer.check(CREDIT, 0).await?;
    let submits = customer.submitted_once(&aio).await?;
    let dead = format!("{}.q.dead.{key}.v1", rabbit.prefix());
    let aside = set_aside(&channel, &dead).await?;
    aio.finish().await?;
    Ok(format!(
        "{} messages that are none of ours, {aside} of them put aside; {} of ours {TIMES} times more, last first; {seen}; {submits}",
        poisons().len(),
        copies.len()
    ))
}

/// One message that was published.
struct Copy {
    key: String,
    body: Vec<u8>,
}

/// Empty, huge, no UTF-8, JSON, almost an id, and an id that nobody has.
fn poisons() -> Vec<Vec<u8>> {
    vec![
        Vec::new(),
        vec![0xff; 1 << 20],
        vec![0xc3, 0x28],
        br#"{"version":99,"task":"?"}"#.to_vec(),
        vec![1; 15],
        vec![7; 16],
    ]
}

/// Has a queue of our own get all that is published from now on.
async fn copy_everything(channel: &Channel, work: &str) -> Result<()> {
    let options = QueueDeclareOptions::default();
    channel
        .queue_declare(COPIES.into(), options, FieldTable::default())
        .await?;
    channel
        .queue_bind(
            COPIES.into(),
            work.into(),
            "#".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await?;
    Ok(())
}

/// So many of the copies.
async fn copies(channel: &Channel, count: usize) -> Result<Vec<Copy>> {
    let mut consumer = channel
        .basic_consume(
            COPIES.into(),
            "chaos".into(),
            BasicConsumeOptions::default(),
            FieldTable::default(),
        )
        .await?;
    let mut copies = Vec::new();
    while copies.len() < count {
        let next = tokio::time::timeout(testkit::PATIENCE, consumer.next()).await;
        let delivery = next.context("too few bells rang")?.context("no more")??;
        delivery.ack(BasicAckOptions::default()).await?;
        copies.push(Copy {
            key: delivery.routing_key.to_string(),
            body: delivery.data.clone(),
        });
    }
    Ok(copies)
}

async fn publish(channel: &Channel, work: &str, key: &str, body: &[u8]) -> Result<()> {
    let options = BasicPublishOptions::default();
    let properties = BasicProperties::default();
    channel
        .basic_publish(work.into(), key.into(), options, body, properties)
        .await?
        .await?;
    Ok(())
}

/// How many messages are where those go that nobody can work on.
async fn set_aside(channel: &Channel, dead: &str) -> Result<u32> {
    let mut most = 0;
    let looked = eventually("what is no id is put aside", async || {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let queue = channel.queue_declare(dead.into(), options, FieldTable::default());
        most = queue.await?.message_count();
        // All but the id that nobody has, which is a doorbell like any other.
        Ok((most >= NO_IDS).then_some(()))
    });
    looked.await?;
    Ok(most)
}
