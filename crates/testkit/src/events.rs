//! Server-sent events, read as they come.

use std::pin::Pin;

use anyhow::{Context as _, Result, bail};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use serde_json::Value;

type Pieces = Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>> + Send>>;

/// An open stream of events. Dropping it closes the connection, as a client that goes away does.
pub struct Events {
    pieces: Pieces,
    unread: BytesMut,
}

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its name; empty when it has none.
    pub name: String,
    /// Its id; empty when it has none.
    pub id: String,
    /// Its data.
    pub data: String,
}

// === impl Events ===

impl Events {
    /// The events of an answer.
    pub fn of(response: reqwest::Response) -> Self {
        Self {
            pieces: response.bytes_stream().boxed(),
            unread: BytesMut::new(),
        }
    }

    /// The next event; `None` at the end. Comments (heartbeats) are passed over.
    ///
    /// # Errors
    /// When the connection breaks, or the stream ends inside an event.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(at) = self.unread.windows(2).position(|pair| pair == b"\n\n") {
                let block = self.unread.split_to(at.saturating_add(2));
                let event = Event::parse(&String::from_utf8_lossy(&block));
                if event != Event::default() {
                    return Ok(Some(event));
                }
                continue;
            }
            match self.pieces.next().await {
                Some(piece) => self
                    .unread
                    .extend_from_slice(&piece.context("the stream broke")?),
                None if self.unread.is_empty() => return Ok(None),
                None => bail!("the stream ended inside an event"),
            }
        }
    }

    /// All that is left.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn rest(&mut self) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await? {
            events.push(event);
        }
        Ok(events)
    }
}

// === impl Event ===

impl Event {
    fn parse(block: &str) -> Self {
        let mut event = Self::default();
        for line in block.lines() {
            match line.split_once(": ") {
                Some(("event", name)) => name.clone_into(&mut event.name),
                Some(("id", id)) => id.clone_into(&mut event.id),
                Some(("data", data)) => event.data.push_str(data),
                Some(_) | None => {}
            }
        }
        event
    }

    /// The data as JSON.
    ///
    /// # Errors
    /// When it is not.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.data).with_context(|| format!("not JSON: {}", self.data))
    }

    /// The text of a chat chunk's first choice.
    ///
    /// # Errors
    /// When the data is not JSON.
    pub fn content(&self) -> Result<String> {
        let text = self.json()?;
        let text = text
            .pointer("/choices/0/delta/content")
            .and_then(Value::as_str);
        Ok(text.unwrap_or_default().to_owned())
    }
}
