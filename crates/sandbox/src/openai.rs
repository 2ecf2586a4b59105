//! Chat completions in OpenAI's wire form, for every provider that speaks it; Gemini's endpoint has errors of its own.
//!
//! The directive is read in the last user message. A reply says what arrived (model, roles, parts, tools), so that a
//! caller sees its request come through.

mod embeddings;
mod images;
mod refusal;
mod reply;
mod request;
mod speech;
mod transcriptions;
mod wire;

use axum::{
    body::Bytes,
    extract::{Path, State},
    response::Response,
};
use chassis::clock::{MICROS_PER_SECOND, now_micros};
use futures::{StreamExt as _, stream};
use http::{HeaderMap, StatusCode, header};

pub(crate) use self::{
    embeddings::{embed, embed_as_google},
    images::{edit, generate},
    speech::speak,
    transcriptions::transcribe,
};
use self::{
    refusal::{Dialect, Refusal},
    reply::{Identity, Reply, frame},
    request::{Asked, Delivery},
};
use crate::{
    Sandbox, answer, bill,
    directive::{self, Directive, Outcome},
};

/// The longest name of a provider.
const MAX_PROVIDER: usize = 32;

/// `POST /{provider}/v1/chat/completions`.
pub(crate) async fn complete(
    State(sandbox): State<Sandbox>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let dialect = Dialect::of(&provider);
    if !is_name(&provider) {
        return dialect.refuse(&Refusal::UnknownProvider);
    }
    if !has_key(&headers) {
        return dialect.refuse(&Refusal::NoKey);
    }
    let asked = match request::read(&body) {
        Ok(asked) => asked,
        Err(problem) => return dialect.refuse(&Refusal::Invalid(problem)),
    };
    let directive = directive::parse(&asked.steering, &sandbox.config.bounds());
    let reply = Reply::plan(&asked, &directive, identity(&asked));
    let refusal = Refusal::of(directive.outcome);
    if refusal.is_none() {
        sandbox
            .bill
            .record_soon(job(provider, &asked, &reply, directive.outcome));
    }
    tokio::time::sleep(directive.delay.unwrap_or(sandbox.config.chat_delay)).await;
    if let Some(refusal) = refusal {
        return dialect.refuse(&refusal);
    }
    match (directive.outcome, asked.delivery) {
        (Outcome::Hang, Delivery::Stream(_)) if directive.after.is_some() => {
            streamed(&sandbox, reply, &asked, &directive)
        }
        (Outcome::Hang, _) => answer::hang(&sandbox.tasks).await,
        (Outcome::Vanish, _) => answer::vanish(),
        (Outcome::Malformed, Delivery::Whole) => answer::malformed(),
        (Outcome::Malformed, Delivery::Stream(_)) => answer::event_stream(stream::iter([Ok(
            Bytes::from_static(b"data: {\"id\": \"chatcmpl-sandbox\", \"cho\n\n"),
        )])),
        (Outcome::Cut, Delivery::Whole) => {
            let body = Bytes::from(reply.completion().to_string());
            let whole = answer::text(StatusCode::OK, "application/json", body.clone());
            answer::cut(whole, &body)
        }
        (_, Delivery::Whole) => answer::json(StatusCode::OK, &reply.completion()),
        (_, Delivery::Stream(_)) => streamed(&sandbox, reply, &asked, &directive),
    }
}

/// The reply as server-sent events, one token each; a cut one drops the connection after half of them, unless it says when.
fn streamed(sandbox: &Sandbox, reply: Reply, asked: &Asked, directive: &Directive) -> Response {
    let pause = directive.chunk_delay.unwrap_or(sandbox.config.chunk_delay);
    let deltas = reply.deltas();
    let half = deltas.len() / 2 + 1;
    let first = reply.first_chunk(asked.delivery);
    let last = reply.last_chunks(asked.delivery);
    let delivery = asked.delivery;
    let middle = stream::iter(deltas).then(move |delta| {
        let bytes = frame(&reply.chunk(delta, delivery));
        async move {
            // The timer's grain is a millisecond: no pause must be none.
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            bytes
        }
    });
    let events = stream::iter([first])
        .chain(middle)
        .chain(stream::iter(last));
    answer::let_through(events, (directive, half), &sandbox.tasks)
}

fn identity(asked: &Asked) -> Identity {
    Identity {
        id: format!("chatcmpl-{:032x}", rand::random::<u128>()),
        call_id: format!("call_{:016x}", rand::random::<u64>()),
        created: now_micros() / MICROS_PER_SECOND,
        model: asked.model.clone(),
    }
}

fn job(provider: String, asked: &Asked, reply: &Reply, outcome: Outcome) -> bill::Job {
    bill::Job {
        id: reply.id().to_owned(),
        provider,
        model: asked.model.clone(),
        kind: "chat".to_owned(),
        prompt_hash: asked.prompt_hash.clone(),
        at: now_micros(),
        billed: if outcome == Outcome::Hang {
            0
        } else {
            reply.price()
        },
    }
}

/// Any bearer token, or the header of Gemini's own API.
fn has_key(headers: &HeaderMap) -> bool {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    bearer.is_some_and(|token| !token.trim().is_empty())
        || headers
            .get("x-goog-api-key")
            .is_some_and(|key| !key.is_empty())
}

fn is_name(provider: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    provider.len() <= MAX_PROVIDER && provider.bytes().all(plain)
}
