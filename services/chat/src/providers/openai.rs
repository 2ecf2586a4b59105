//! OpenAI's chat protocol, as OpenAI, Google's compatible endpoint, vLLM, Ollama and the sandbox speak it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use chassis::config::Access;
use domain::Secret;
use futures::{Stream, StreamExt as _};
use http::header;
use upstream::{Call, Event, Events, Failure, ProviderClient, ReplyBody};

use super::{Adapter, Answer, Chunk, Endpoint, Order, Piece, Unusable, refusal};
use crate::{
    edit::{Wishes, provider_body},
    request::Wanted,
};

/// What ends a stream.
const DONE: &[u8] = b"[DONE]";

/// The adapter.
pub(crate) struct OpenAi {
    client: ProviderClient,
    /// How long the head of an answer may take that is not streamed.
    whole_answer_timeout: Duration,
}

/// Events of the wire as pieces.
struct Wire {
    events: Events<ReplyBody>,
}

// === impl OpenAi ===

impl OpenAi {
    pub(crate) fn new(client: ProviderClient, whole_answer_timeout: Duration) -> Self {
        Self {
            client,
            whole_answer_timeout,
        }
    }
}

#[async_trait]
impl Adapter for OpenAi {
    fn endpoint(&self, access: &Access, model: &str) -> Result<Endpoint, Unusable> {
        endpoint(access, "chat/completions", model)
    }

    async fn ask(&self, endpoint: &Endpoint, order: Order<'_>) -> Result<Answer, Failure> {
        let wishes = Wishes {
            model: &endpoint.model,
            max_output: order.max_output,
            dialect: endpoint.dialect,
        };
        let body = provider_body(order.body, order.request, &wishes);
        let call = Call::post(endpoint.url.clone(), endpoint.headers.clone(), body);
        match order.request.answer {
            Wanted::Whole => {
                let call = call.first_byte_within(self.whole_answer_timeout);
                let reply = self.client.send(call, refusal::classify).await?;
                whole(reply.bytes().await?).map(Answer::Whole)
            }
            Wanted::Stream | Wanted::StreamWithUsage => {
                let reply = self.client.send(call, refusal::classify).await?;
                let mut wire = Wire {
                    events: reply.into_events(),
                };
                match wire.next().await {
                    Some(Ok(Piece::Chunk(first))) => Ok(Answer::Stream(first, wire.boxed())),
                    Some(Ok(Piece::Done)) | None => Err(Failure::malformed("the stream was empty")),
                    Some(Err(failure)) => Err(failure),
                }
            }
        }
    }
}

/// A path below a base URL, and the credential as a bearer token.
pub(super) fn endpoint(access: &Access, path: &str, model: &str) -> Result<Endpoint, Unusable> {
    let bearer = |key: &Secret| Secret::new(format!("Bearer {}", key.expose()));
    let credential = access.key.as_ref().map(bearer);
    let path = format!("{}{path}", access.dialect.prefix);
    Endpoint::new(access, &path, model)?.with_credential(header::AUTHORIZATION, credential.as_ref())
}

/// An answer in one piece: a JSON object with choices, and no error.
fn whole(body: Bytes) -> Result<Chunk, Failure> {
    let chunk = Chunk::of(body);
    let (signs, body) = (chunk.signs, &chunk.data);
    if let Some(failure) = signs.error.then(|| refusal::reported(body)).flatten() {
        return Err(failure);
    }
    match serde_json::from_slice::<Whole>(body) {
        Ok(Whole { choices: Some(_) }) if is_object(body) => Ok(chunk),
        Ok(_) => Err(Failure::malformed("the answer has no choices")),
        Err(_) => Err(Failure::malformed("the answer is not JSON")),
    }
}

/// What makes an answer one.
#[derive(serde::Deserialize)]
struct Whole {
    choices: Option<Vec<serde::de::IgnoredAny>>,
}

fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().starts_with(b"{")
}

// === impl Wire ===

impl Wire {
    /// A piece, or `None` for what keeps the line alive.
    fn piece(event: Event) -> Option<Result<Piece, Failure>> {
        let data = one_line(event.data?);
        if data.trim_ascii() == DONE {
            return Some(Ok(Piece::Done));
        }
        if data.trim_ascii().is_empty() {
            return None;
        }
        let chunk = Chunk::of(data);
        let data = &chunk.data;
        let is_error = event.name.as_deref() == Some(b"error") || chunk.signs.error;
        if let Some(failure) = is_error.then(|| refusal::reported(data)).flatten() {
            return Some(Err(failure));
        }
        // Where the line was cut, the JSON has no end.
        if !is_object(data) || !data.trim_ascii_end().ends_with(b"}") {
            return Some(Err(Failure::malformed("an event is not a JSON object")));
        }
        Some(Ok(Piece::Chunk(chunk)))
    }
}

impl Stream for Wire {
    type Item = Result<Piece, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(self.events.poll_next_unpin(cx)) {
                Some(Ok(event)) => {
                    if let Some(piece) = Self::piece(event) {
                        return Poll::Ready(Some(piece));
                    }
                }
                Some(Err(failure)) => return Poll::Ready(Some(Err(failure))),
                None => return Poll::Ready(None),
            }
        }
    }
}

/// An event is framed again as one line; JSON takes a blank where it takes a line break.
fn one_line(data: Bytes) -> Bytes {
    if memchr::memchr(b'\n', &data).is_none() {
        return data;
    }
    let mut line = BytesMut::from(data.as_ref());
    for byte in line.iter_mut().filter(|byte| **byte == b'\n') {
        *byte = b' ';
    }
    line.freeze()
}
