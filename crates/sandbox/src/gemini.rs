//! Google's Gemini API. What a request may hold is checked as strictly as Google does, so that a translation that is wrong shows here.
//!
//! The directive is read in the last turn of the user that has a text. A reply says what arrived, so that a caller sees its request
//! come through. Calls, and texts after thinking, are signed; a signature that is not the sandbox's is refused, and so is a call of the
//! running turn that has none. Models that make pictures are apart (`images.rs`).

mod images;
mod refusal;
mod reply;
mod request;
pub(crate) mod veo;
mod wire;

use axum::{
    body::Bytes,
    extract::{Path, Query, State},
    response::Response,
};
use chassis::clock::now_micros;
use futures::{StreamExt as _, stream};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use self::{
    refusal::Refusal,
    reply::{Identity, Reply, SIGNATURE, frame},
    request::Asked,
};
use crate::{
    Sandbox, answer, bill,
    directive::{self, Directive, Outcome},
};

/// The name on the bill.
const PROVIDER: &str = "gemini";

/// What the query may say: a wire type. A credential has no place there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asking {
    alt: Option<String>,
}

/// How the answer travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delivery {
    Whole,
    Stream,
}

/// `POST /gemini/v1beta/models/{model}:{method}`.
pub(crate) async fn generate(
    State(sandbox): State<Sandbox>,
    Path(call): Path<String>,
    Query(asking): Query<Asking>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(model) = call.strip_suffix(":predictLongRunning") {
        return veo::submit(&sandbox, model, &headers, &body).await;
    }
    if let Ok((model, Delivery::Whole)) = delivery(&call, &asking)
        && images::makes(model)
    {
        return match has_key(&headers) {
            Ok(()) => images::generate(&sandbox, model, &body).await,
            Err(refusal) => refusal.response(),
        };
    }
    let understood = delivery(&call, &asking)
        .and_then(|(model, delivery)| Ok((understood(&headers, &body, model)?, delivery)));
    let (asked, delivery) = match understood {
        Ok(understood) => understood,
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
    match (directive.outcome, delivery) {
        (Outcome::Hang, Delivery::Stream) if directive.after.is_some() => {
            streamed(&sandbox, &reply, &directive)
        }
        (Outcome::Hang, _) => answer::hang(&sandbox.tasks).await,
        (Outcome::Vanish, _) => answer::vanish(),
        (Outcome::Malformed, Delivery::Whole) => answer::malformed(),
        (Outcome::Malformed, Delivery::Stream) => {
            let broken = b"data: {\"candidates\": [{\"content\": {\"par\n\n";
            answer::event_stream(stream::iter([Ok(Bytes::from_static(broken))]))
        }
        (Outcome::Cut, Delivery::Whole) => {
            let body = Bytes::from(reply.response().to_string());
            let whole = answer::text(StatusCode::OK, "application/json", body.clone());
            answer::cut(whole, &body)
        }
        (_, Delivery::Whole) => answer::json(StatusCode::OK, &reply.response()),
        (_, Delivery::Stream) => streamed(&sandbox, &reply, &directive),
    }
}

/// `POST /{provider}/v1/models/{model}:{method}`: where else it is spoken.
pub(crate) async fn generate_elsewhere(
    sandbox: State<Sandbox>,
    Path((_, call)): Path<(String, String)>,
    asking: Query<Asking>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    generate(sandbox, Path(call), asking, headers, body).await
}

/// The model and the method of a path.
fn delivery<'a>(call: &'a str, asking: &Asking) -> Result<(&'a str, Delivery), Refusal> {
    let (model, method) = call.rsplit_once(':').ok_or(Refusal::NotFound)?;
    match (method, asking.alt.as_deref()) {
        ("generateContent", None | Some("json")) => Ok((model, Delivery::Whole)),
        ("streamGenerateContent", Some("sse")) => Ok((model, Delivery::Stream)),
        // Google would stream one long list.
        ("streamGenerateContent", _) => Err(Refusal::Invalid(
            "alt: only sse is simulated for streams".to_owned(),
        )),
        _ => Err(Refusal::NotFound),
    }
}

fn has_key(headers: &HeaderMap) -> Result<(), Refusal> {
    let key = headers.get("x-goog-api-key");
    if key.is_none_or(http::HeaderValue::is_empty) {
        return Err(Refusal::NoKey);
    }
    Ok(())
}

fn understood(headers: &HeaderMap, body: &[u8], model: &str) -> Result<Asked, Refusal> {
    has_key(headers)?;
    request::read(body, model).map_err(Refusal::Invalid)
}

/// The reply as server-sent events, one token each; a cut one drops the connection after half of them, unless it says when.
fn streamed(sandbox: &Sandbox, reply: &Reply, directive: &Directive) -> Response {
    let pause = directive.chunk_delay.unwrap_or(sandbox.config.chunk_delay);
    let events = reply.events();
    let half = events.len() / 2;
    let events = stream::iter(events).then(move |event| async move {
        // The timer's grain is a millisecond: no pause must be none.
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        frame(&event)
    });
    answer::let_through(events, (directive, half), &sandbox.tasks)
}

fn identity(asked: &Asked) -> Identity {
    Identity {
        id: format!("{:032x}", rand::random::<u128>()),
        call_id: format!("{:08x}", rand::random::<u32>()),
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
