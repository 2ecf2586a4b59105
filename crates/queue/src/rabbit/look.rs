//! Looking at a broker without using it or changing anything there: for who asks what is wrong.

use std::time::Duration;

use lapin::{
    options::QueueDeclareOptions,
    protocol::{AMQPErrorKind, AMQPSoftError},
    types::FieldTable,
    uri::AMQPUri,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::{
    config::Config,
    link::{Failure, connect, said, within},
    topology::Topology,
};
use crate::Error;

/// What a client says first, by which protocol it speaks.
const PROTOCOL: &[u8] = b"AMQP\x00\x00\x09\x01";
/// The most that a broker's first words may take.
const FIRST_WORDS: u32 = 64 * 1024;
/// How the broker's version begins among what it says of itself: a short text, and then a long one.
const VERSION: &[u8] = b"\x07versionS";

/// What is on a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Its version, if it says one: `3.10.8`.
    pub version: Option<String>,
    /// The queues that are there, each with the messages that wait in it.
    pub waiting: Vec<(String, u32)>,
    /// The queues that are not there: they are made when media starts.
    pub missing: Vec<String>,
}

/// Looks at the broker and at the queues of these topics.
///
/// # Errors
/// In words for people: a setting is wrong, the broker is not there, or it refuses us.
pub async fn look(config: &Config, topics: &[&'static str]) -> Result<Look, String> {
    let said = |error: Error| error.to_string();
    let uri = config.check().map_err(said)?;
    let topology = Topology::new(config, topics).map_err(said)?;
    let looked = look_at(&uri, &topology, topics, config.connect_timeout).await;
    looked.map_err(|failure| failure.to_string())
}

async fn look_at(
    uri: &AMQPUri,
    topology: &Topology,
    topics: &[&'static str],
    patience: Duration,
) -> Result<Look, Failure> {
    let connection = connect(uri, "aio doctor", patience).await?;
    let names = &topology.names;
    let queues = topics
        .iter()
        .flat_map(|topic| [names.queue(topic), names.dead_queue(topic)])
        .chain([names.unrouted_queue()]);
    let (mut waiting, mut missing) = (Vec::new(), Vec::new());
    for queue in queues {
        // A question about a queue that is not there ends its channel.
        let channel = within(patience, connection.create_channel()).await?;
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let asked = channel.queue_declare(queue.as_str().into(), options, FieldTable::default());
        match timeout(patience, asked).await {
            Ok(Ok(found)) => waiting.push((queue, found.message_count())),
            Ok(Err(error)) if is_not_found(&error) => missing.push(queue),
            Ok(Err(error)) => return Err(Failure::of_declaring("queue", &queue, &error)),
            Err(_late) => return Err(Failure::Away(format!("no answer within {patience:?}"))),
        }
    }
    let version = timeout(patience, first_words(uri)).await;
    // A connection that does not close well is closed all the same.
    let _ = connection.close(200, "seen".into()).await;
    Ok(Look {
        version: version
            .ok()
            .and_then(Result::ok)
            .and_then(|words| version_in(&words)),
        waiting,
        missing,
    })
}

fn is_not_found(error: &lapin::Error) -> bool {
    matches!(
        said(error),
        Some(AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND))
    )
}

/// What the broker says of itself to whoever connects. The client library reads it and tells nobody.
async fn first_words(uri: &AMQPUri) -> std::io::Result<Vec<u8>> {
    let place = (uri.authority.host.as_str(), uri.authority.port);
    let mut stream = TcpStream::connect(place).await?;
    stream.write_all(PROTOCOL).await?;
    // A frame: its type, its channel, its length.
    let _kind = stream.read_u8().await?;
    let _channel = stream.read_u16().await?;
    let length = stream.read_u32().await?.min(FIRST_WORDS);
    let mut words = Vec::new();
    stream
        .take(u64::from(length))
        .read_to_end(&mut words)
        .await?;
    Ok(words)
}

fn version_in(words: &[u8]) -> Option<String> {
    let at = words
        .windows(VERSION.len())
        .position(|window| window == VERSION)?;
    let rest = words.get(at.checked_add(VERSION.len())?..)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let version = std::str::from_utf8(rest.get(..length)?).ok()?;
    let plain = version.len() < 64 && version.chars().all(|c| c.is_ascii_graphic());
    plain.then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_among_the_first_words() {
        let words = b"\x00\x0a\x00\x0a\x00\x09\x00\x00\x01\x07productS\x00\x00\x00\x08RabbitMQ\x07versionS\x00\x00\x00\x063.10.8\x00";
        assert_eq!(version_in(words).as_deref(), Some("3.10.8"));
        assert_eq!(version_in(b"\x07versionS\x00\x00\x00\xff3.1"), None);
        assert_eq!(version_in(b"\x07versionS\x00\x00"), None);
        assert_eq!(version_in(b""), None);
    }
}
