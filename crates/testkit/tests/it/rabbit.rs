//! RabbitMQ: what it confirmed outlives it, until it is wiped.

use anyhow::{Context as _, Result};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use testkit::{
    eventually,
    servers::{Rabbit, SHARED_RABBITMQ},
};

#[tokio::test]
async fn what_is_confirmed_survives_all_but_a_wipe() -> Result<()> {
    let mut server = Rabbit::start().await?;
    let url = server.url().to_owned();
    publish(&url, "kept").await?;
    assert_eq!(waiting(&url, "kept").await?, Some(1));
    // Stopped in order before it is killed: in its first minutes a quorum queue is not yet in the list of queues that a node
    // reads after a kill, and starts anew.
    server.stop().await?;
    server.restart().await?;
    server.kill()?;
    assert!(connect(&url).await.is_err(), "it still answers");
    server.restart().await?;
    // The queue is there at once; what it holds is counted when it has a leader again.
    eventually("the message is there", async || {
        let waiting = waiting(&url, "kept").await?;
        Ok((waiting == Some(1)).then_some(()))
    })
    .await?;
    assert!(server.wipe().is_err(), "wiped while it runs");
    server.stop().await?;
    server.wipe()?;
    server.restart().await?;
    assert_eq!(server.url(), url);
    assert_eq!(waiting(&url, "kept").await?, None);
    publish(&url, "kept").await?;
    Ok(())
}

#[tokio::test]
async fn tests_that_share_a_node_have_names_of_their_own() -> Result<()> {
    let one = Rabbit::shared().await?;
    let queue = format!("{}.q", one.prefix());
    publish(one.url(), &queue).await?;
    assert_eq!(waiting(one.url(), &queue).await?, Some(1));
    let other = Rabbit::shared().await?;
    assert_ne!(other.prefix(), one.prefix());
    let shared = chassis::config::variable_value(SHARED_RABBITMQ).is_some();
    assert_eq!(other.url() == one.url(), shared);
    Ok(())
}

async fn connect(url: &str) -> Result<Channel> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    Ok(connection.create_channel().await?)
}

/// One message in a queue that is made for it.
async fn publish(url: &str, queue: &str) -> Result<()> {
    let channel = connect(url).await?;
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare(queue.into(), options, arguments)
        .await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let properties = BasicProperties::default().with_delivery_mode(2);
    let options = BasicPublishOptions::default();
    let published = channel
        .basic_publish("".into(), queue.into(), options, b"1", properties)
        .await?;
    let confirmed = matches!(published.await?, Confirmation::Ack(_));
    confirmed.then_some(()).context("not confirmed")
}

/// How many messages a queue holds; nothing if there is no such queue.
async fn waiting(url: &str, queue: &str) -> Result<Option<u32>> {
    let channel = connect(url).await?;
    let options = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let declared = channel
        .queue_declare(queue.into(), options, FieldTable::default())
        .await;
    match declared {
        Ok(queue) => Ok(Some(queue.message_count())),
        Err(error) if error.to_string().contains("NOT_FOUND") => Ok(None),
        Err(error) => Err(error.into()),
    }
}
