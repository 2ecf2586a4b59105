//! Google's Gemini API (`models/{model}:generateContent`), for customers who speak OpenAI's chat protocol.
//!
//! A request is read and written anew, and so is an answer: what both sides have is said in the other's words, what Gemini has no
//! words for is refused, by the name of its parameter; hints are left out.
//!
//! | file | what |
//! |---|---|
//! | `request.rs`, `request/` | the request. Pure |
//! | `reply.rs` | an answer in one piece. Pure |
//! | `events.rs` | a stream, event by event. Pure |
//! | `shape.rs` | OpenAI's shapes, and the tables of words. Pure |
//! | `wire.rs` | Gemini's shapes |
//!
//! **Signatures.** A model that thinks signs its calls, and refuses a conversation without them. They travel where Google's own
//! OpenAI-compatible endpoint has them, in `extra_content.google.thought_signature` of a tool call, or of the message for a text. A
//! customer who sends the assistant's message back as it came has done enough.
//!
//! **URLs.** Gemini takes media inline only: what a URL leads to is fetched before (`inputs.rs`).
//!
//! Errors are read by `refusal.rs`, which knows Google's from its other endpoint.

mod events;
mod reply;
mod request;
mod shape;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chassis::{
    clock::{MICROS_PER_SECOND, now_micros},
    config::Access,
};
use domain::Problem;
use http::HeaderName;
use upstream::{Call, Failure, ProviderClient};

use self::{events::Telling, request::Asker};
use super::{Adapter, Answer, Endpoint, Fetched, Order, Unusable, inputs::Inputs, refusal, told};
use crate::request::Wanted;

/// Where the credential stands: never in the URL, which ends up in logs.
const KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

/// The adapter.
pub(crate) struct Gemini {
    client: ProviderClient,
    inputs: Inputs,
    /// How long the head of an answer may take that is not streamed.
    whole_answer_timeout: Duration,
}

// === impl Gemini ===

impl Gemini {
    pub(super) fn new(
        client: ProviderClient,
        inputs: Inputs,
        whole_answer_timeout: Duration,
    ) -> Self {
        Self {
            client,
            inputs,
            whole_answer_timeout,
        }
    }

    fn body(&self, order: Order<'_>, model: &str) -> Result<Bytes, Failure> {
        let asker = Asker {
            inputs: &self.inputs,
            model,
        };
        asker.translate(order).map_err(|problem| failure(&problem))
    }
}

#[async_trait]
impl Adapter for Gemini {
    /// The address lacks the method, which is another for a stream.
    fn endpoint(&self, access: &Access, model: &str) -> Result<Endpoint, Unusable> {
        let mut endpoint = Endpoint::new(access, "", model)?;
        let mut path = endpoint
            .url
            .path_segments_mut()
            .map_err(|()| Unusable::BaseUrl)?;
        path.pop_if_empty().push("models").push(model);
        drop(path);
        endpoint.with_credential(KEY, access.key.as_ref())
    }

    fn check(&self, order: Order<'_>) -> Result<(), Failure> {
        self.body(order, order.request.model.as_str()).map(drop)
    }

    fn inlines(&self) -> bool {
        true
    }

    async fn fetch(&self, order: Order<'_>) -> Result<Fetched, Failure> {
        let wanted = request::urls(order).map_err(|problem| failure(&problem))?;
        self.inputs.fetch(wanted).await
    }

    async fn ask(&self, endpoint: &Endpoint, order: Order<'_>) -> Result<Answer, Failure> {
        let body = self.body(order, &endpoint.model)?;
        let headers = endpoint.headers.clone();
        let wishes = request::wishes(order);
        let created = now_micros() / MICROS_PER_SECOND;
        let mut url = endpoint.url.clone();
        match order.request.answer {
            Wanted::Whole => {
                url.set_path(&format!("{}:generateContent", endpoint.url.path()));
                let call =
                    Call::post(url, headers, body).first_byte_within(self.whole_answer_timeout);
                let reply = self.client.send(call, refusal::classify).await?;
                let body = reply.bytes().await?;
                reply::whole(&body, wishes, created).map(Answer::Whole)
            }
            Wanted::Stream | Wanted::StreamWithUsage => {
                url.set_path(&format!("{}:streamGenerateContent", endpoint.url.path()));
                url.set_query(Some("alt=sse"));
                let call = Call::post(url, headers, body);
                let reply = self.client.send(call, refusal::classify).await?;
                let choices = order.request.choices;
                told::begun(reply, Telling::new(wishes, created, choices)).await
            }
        }
    }
}

fn failure(problem: &Problem) -> Failure {
    Failure::unsupported(&problem.param, &problem.message)
}

#[cfg(test)]
mod tests;
