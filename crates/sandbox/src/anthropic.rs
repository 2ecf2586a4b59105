//! Anthropic's Messages API. What a request may hold is checked as strictly as Anthropic does, so that a translation that is wrong
//! shows here.
//!
//! The directive is read in the last user message that has a text. A reply says what arrived, so that a caller sees its request come
//! through. Thinking is signed; a signature that is not the sandbox's is refused.

mod refusal;
mod reply;
mod request;
mod wire;

use axum::{body::Bytes, extract::State, response::Response};
use chassis::clock::now_micros;
use futures::{StreamExt as _, stream};
use http::{HeaderMap, StatusCode};

use self::{
    refusal::Refusal,
    reply::{Identity, Reply, SIGNATURE, frame},
    request::{Asked, Delivery},
};
use crate::{
    Sandbox, answer, bill,
    directive::{self, Directive, Outcome},
};

/// The name on the bill.
const PROVIDER: &str = "anthropic";
/// The version of the protocol.
const VERSION: &str = "2023-06-01";

/// `POST /anthropic/v1/messages`.
pub(crate) async fn complete(
    State(sandbox): State<Sandbox>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asked = match understood(&headers, &body) {
        Ok(asked) => asked,
        Err(refusal) => return refusal.response(),
    };
    let directive = directive::parse(&asked.steering, &sandbox.config.bounds());
    let reply = Reply::plan(&asked, &directive, identity(&asked));
    let refusal = Refusal::of(directive.outcome);
    if refusal.is_none() {
        sandbox
            .bill
            .record_soon(job(&asked, &reply, directive.outcome));
    }
    tokio::time::sleep(directive.delay.unwrap_or(sandbox.config.chat_delay)).await;
    if let Some(refusal) = refusal {
        return refusal.response();
    }
    match (directive.outcome, asked.delivery) {
        (Outcome::Hang, Delivery::Stream) if directive.after.is_some() => {
            streamed(&sandbox, &reply, &directive)
        }
        (Outcome::Hang, _) => answer::hang(&sandbox.tasks).await,
        (Outcome::Vanish, _) => answer::vanish(),
        (Outcome::Malformed, Delivery::Whole) => answer::malformed(),
        (Outcome::Malformed, Delivery::Stream) => {
            let broken = b"event: message_start\ndata: {\"type\": \"message_st\n\n";
            answer::event_stream(stream::iter([Ok(Bytes::from_static(broken))]))
        }
        (Outcome::Cut, Delivery::Whole) => {
            let body = Bytes::from(reply.message().to_string());
            let whole = answer::text(StatusCode::OK, "application/json", body.clone());
            answer::cut(whole, &body)
        }
        (_, Delivery::Whole) => answer::json(StatusCode::OK, &reply.message()),
        (_, Delivery::Stream) => streamed(&sandbox, &reply, &directive),
    }
}

fn understood(headers: &HeaderMap, body: &[u8]) -> Result<Asked, Refusal> {
    let header = |name: &str| headers.get(name).map(http::HeaderValue::as_bytes);
    if header("x-api-key").is_none_or(<[u8]>::is_empty) {
        return Err(Refusal::NoKey);
    }
    match header("anthropic-version") {
        Some(version) if version == VERSION.as_bytes() => {}
        Some(_) => {
            return Err(Refusal::Invalid(
                "anthropic-version: is not a valid version".to_owned(),
            ));
        }
        None => {
            return Err(Refusal::Invalid(
                "anthropic-version: header is required".to_owned(),
            ));
        }
    }
    request::read(body).map_err(Refusal::Invalid)
}

/// The reply as server-sent events, one token each; a cut one drops the connection after half of its blocks' events, unless it says when.
fn streamed(sandbox: &Sandbox, reply: &Reply, directive: &Directive) -> Response {
    let pause = directive.chunk_delay.unwrap_or(sandbox.config.chunk_delay);
    let (first, middle) = (reply.first_events(), reply.block_events());
    let half = first.len() + middle.len() / 2;
    let middle = stream::iter(middle).then(move |event| async move {
        // The timer's grain is a millisecond: no pause must be none.
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        frame(&event)
    });
    let frames = |events: Vec<_>| stream::iter(events).map(|event| frame(&event));
    let events = frames(first)
        .chain(middle)
        .chain(frames(reply.last_events()));
    answer::let_through(events, (directive, half), &sandbox.tasks)
}

fn identity(asked: &Asked) -> Identity {
    Identity {
        id: format!("msg_{:032x}", rand::random::<u128>()),
        call_id: format!("toolu_{:016x}", rand::random::<u64>()),
        signature: format!("{SIGNATURE}{:016x}", rand::random::<u64>()),
        model: asked.model.clone(),
    }
}

fn job(asked: &Asked, reply: &Reply, outcome: Outcome) -> bill::Job {
    bill::Job {
        id: reply.id().to_owned(),
        provider: PROVIDER.to_owned(),
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
