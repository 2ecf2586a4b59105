//! Anthropic's Messages API (`POST /v1/messages`), for customers who speak OpenAI's chat protocol.
//!
//! Here nothing can be passed on as it came: a request is read and written anew, an answer as well. What both sides have is said
//! in the other's words; what Anthropic has no words for is refused, by the name of its parameter; hints are left out.
//!
//! | file | what |
//! |---|---|
//! | `request.rs`, `request/messages.rs` | the request. Pure |
//! | `reply.rs` | an answer in one piece. Pure |
//! | `events.rs` | a stream, event by event. Pure |
//! | `thoughts.rs` | thinking: how it travels to the customer and back, signed and in its place. Pure |
//! | `shape.rs`, `wire.rs` | OpenAI's shapes and the tables of words; Anthropic's shapes |
//! | `refusal.rs` | what errors mean. Pure |
//!
//! No caching of prompts is asked for, so that none is paid for. Thinking is handed on as `reasoning_content` to who asked for it
//! with `include_thoughts`.

mod events;
mod refusal;
mod reply;
mod request;
mod shape;
mod thoughts;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chassis::{
    clock::{MICROS_PER_SECOND, now_micros},
    config::Access,
};
use http::{HeaderName, HeaderValue};
use upstream::{Call, Failure, ProviderClient};

use self::{events::Telling, thoughts::Show};
use super::{Adapter, Answer, Endpoint, Order, Unusable, told};
use crate::request::Wanted;

/// Where the credential stands.
const KEY: HeaderName = HeaderName::from_static("x-api-key");
/// The version of the protocol that is spoken here.
const VERSION: (HeaderName, HeaderValue) = (
    HeaderName::from_static("anthropic-version"),
    HeaderValue::from_static("2023-06-01"),
);

/// The adapter.
pub(crate) struct Anthropic {
    client: ProviderClient,
    /// How long the head of an answer may take that is not streamed.
    whole_answer_timeout: Duration,
}

// === impl Anthropic ===

impl Anthropic {
    pub(crate) fn new(client: ProviderClient, whole_answer_timeout: Duration) -> Self {
        Self {
            client,
            whole_answer_timeout,
        }
    }
}

#[async_trait]
impl Adapter for Anthropic {
    fn endpoint(&self, access: &Access, model: &str) -> Result<Endpoint, Unusable> {
        let (version, of_this) = VERSION;
        let endpoint = Endpoint::new(access, "messages", model)?;
        Ok(endpoint
            .with_credential(KEY, access.key.as_ref())?
            .with(version, of_this))
    }

    fn check(&self, order: Order<'_>) -> Result<(), Failure> {
        body(order, order.request.model.as_str()).map(drop)
    }

    async fn ask(&self, endpoint: &Endpoint, order: Order<'_>) -> Result<Answer, Failure> {
        let body = body(order, &endpoint.model)?;
        let call = Call::post(endpoint.url.clone(), endpoint.headers.clone(), body);
        let show = Show::of(order.request.thoughts);
        let created = now_micros() / MICROS_PER_SECOND;
        match order.request.answer {
            Wanted::Whole => {
                let call = call.first_byte_within(self.whole_answer_timeout);
                let reply = self.client.send(call, refusal::classify).await?;
                let body = reply.bytes().await?;
                reply::whole(&body, show, created).map(Answer::Whole)
            }
            Wanted::Stream | Wanted::StreamWithUsage => {
                let reply = self.client.send(call, refusal::classify).await?;
                told::begun(reply, Telling::new(show, created)).await
            }
        }
    }
}

/// The request in Anthropic's words.
fn body(order: Order<'_>, model: &str) -> Result<Bytes, Failure> {
    request::translate(order, model)
        .map_err(|problem| Failure::unsupported(&problem.param, &problem.message))
}

#[cfg(test)]
mod tests;
