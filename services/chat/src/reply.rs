//! `credits_consumed` beside `usage`, and what else we say, spliced into the provider's bytes; and the last events where a provider sent
//! none. Pure.

use std::{borrow::Cow, collections::HashMap};

use bytes::{Bytes, BytesMut};
use domain::{Micros, Usage, receipt::UsageSource};
use memchr::memmem;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{bill::Bill, request::Wanted, scan::Finish};

/// Who counted the usage of an answer, beside it, where that was not the provider.
const USAGE_SOURCE: &str = "usage_source";

/// The name of the model.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
}

/// What all events of one stream have in common.
#[derive(Default, Deserialize, Serialize)]
struct Common<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    created: Option<&'a RawValue>,
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
}

#[derive(Serialize)]
struct UsageEvent<'a> {
    #[serde(flatten)]
    common: Common<'a>,
    object: &'static str,
    choices: [(); 0],
    usage: WireUsage,
}

#[derive(Serialize)]
struct FinishEvent<'a> {
    #[serde(flatten)]
    common: Common<'a>,
    object: &'static str,
    choices: [Finished; 1],
}

#[derive(Serialize)]
struct Finished {
    index: u8,
    delta: Empty,
    finish_reason: &'static str,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct WireUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
}

/// The JSON object with what was charged.
pub(crate) fn with_credits(json: &Bytes, charged: Micros) -> Bytes {
    with_member(json, "credits_consumed", &charged.to_string())
}

/// The JSON object whose usage was counted so.
fn with_source(json: &Bytes, source: UsageSource) -> Bytes {
    with_member(json, USAGE_SOURCE, &format!("\"{}\"", source.as_str()))
}

/// The JSON object with one more member behind all others, whose value is JSON; one that a provider put there itself is overwritten.
/// What is not an object stays as it is.
pub(crate) fn with_member(json: &Bytes, name: &str, value: &str) -> Bytes {
    if !json.trim_ascii_start().starts_with(b"{") {
        return json.clone();
    }
    // Looking is cheaper than reading, and providers hardly ever have it.
    let is_there = memmem::find(json, format!("\"{name}\"").as_bytes()).is_some();
    let members = || serde_json::from_slice::<HashMap<Cow<'_, str>, &RawValue>>(json).ok();
    let own = is_there.then(members).flatten();
    let own = own.and_then(|members| members.get(name).map(|own| own.get()));
    if let Some(own) = own {
        let start = own.as_ptr().addr().saturating_sub(json.as_ptr().addr());
        return splice(json, start, start.saturating_add(own.len()), value);
    }
    let Some(close) = json.iter().rposition(|byte| !byte.is_ascii_whitespace()) else {
        return json.clone();
    };
    let before = json.get(..close).unwrap_or_default().trim_ascii_end();
    if json.get(close) != Some(&b'}') || before.is_empty() {
        return json.clone();
    }
    let comma = if before.ends_with(b"{") { "" } else { "," };
    splice(json, close, close, &format!("{comma}\"{name}\":{value}"))
}

/// The model that an answer or an event names.
pub(crate) fn model_of(json: &[u8]) -> Option<Cow<'_, str>> {
    let common = serde_json::from_slice::<Common<'_>>(json).ok()?;
    serde_json::from_str(common.model?.get()).ok()
}

/// The event that ends the choices of a stream whose provider was stopped, in the words of its first event.
pub(crate) fn finish_event(first: &[u8], finish: Finish) -> Bytes {
    let finished = Finished {
        index: 0,
        delta: Empty {},
        finish_reason: finish.as_str(),
    };
    let event = FinishEvent {
        common: serde_json::from_slice(first).unwrap_or_default(),
        object: "chat.completion.chunk",
        choices: [finished],
    };
    serde_json::to_vec(&event).unwrap_or_default().into()
}

/// The JSON object with this name as its `model`, where it has one; what is not an object stays as it is.
pub(crate) fn with_model(json: &Bytes, model: &str) -> Bytes {
    // A list would be read as an object.
    if !json.trim_ascii_start().starts_with(b"{") {
        return json.clone();
    }
    let named = serde_json::from_slice::<Named<'_>>(json).ok();
    let Some(own) = named.and_then(|named| named.model).map(RawValue::get) else {
        return json.clone();
    };
    let start = own.as_ptr().addr().saturating_sub(json.as_ptr().addr());
    let name = serde_json::Value::from(model).to_string();
    splice(json, start, start.saturating_add(own.len()), &name)
}

/// A usage event for a stream whose provider sent none, in the words of its first event.
fn usage_event(first: &[u8], usage: Usage) -> Bytes {
    let prompt_tokens = usage.input.saturating_add(usage.cached);
    let completion_tokens = usage.output.saturating_add(usage.reasoning);
    let event = UsageEvent {
        common: serde_json::from_slice(first).unwrap_or_default(),
        object: "chat.completion.chunk",
        choices: [],
        usage: WireUsage {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens.saturating_add(completion_tokens),
        },
    };
    serde_json::to_vec(&event).unwrap_or_default().into()
}

/// The last events of a stream: what tells of the usage.
pub(crate) fn tail(
    mut kept_back: Vec<Bytes>,
    first: &Bytes,
    usage: Usage,
    wanted: Wanted,
) -> Vec<Bytes> {
    if kept_back.is_empty() && wanted == Wanted::StreamWithUsage {
        kept_back.push(usage_event(first, usage));
    }
    kept_back
}

/// The last events, which say who counted the usage if that was not the provider.
pub(crate) fn explained(mut tail: Vec<Bytes>, bill: Option<&Bill>) -> Vec<Bytes> {
    let estimate = bill.filter(|bill| bill.estimated.is_some());
    if let (Some(bill), Some(last)) = (estimate, tail.last_mut()) {
        *last = with_source(last, bill.source);
    }
    tail
}

fn splice(json: &Bytes, start: usize, end: usize, text: &str) -> Bytes {
    let mut spliced = BytesMut::with_capacity(json.len().saturating_add(text.len()));
    spliced.extend_from_slice(json.get(..start).unwrap_or_default());
    spliced.extend_from_slice(text.as_bytes());
    spliced.extend_from_slice(json.get(end..).unwrap_or_default());
    spliced.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credits_stand_beside_usage_and_nothing_else_changes() {
        for (json, expected) in [
            (r#"{"a": 1}"#, r#"{"a": 1,"credits_consumed":1.5}"#),
            (
                "{\"a\":{\"credits_consumed\":2}\n}\n",
                "{\"a\":{\"credits_consumed\":2}\n,\"credits_consumed\":1.5}\n",
            ),
            (
                r#"{"credits_consumed": 7, "a": 1}"#,
                r#"{"credits_consumed": 1.5, "a": 1}"#,
            ),
            ("{}", r#"{"credits_consumed":1.5}"#),
            ("[1]", "[1]"),
            ("", ""),
        ] {
            let spliced =
                with_credits(&Bytes::from_static(json.as_bytes()), Micros::new(1_500_000));
            assert_eq!(spliced, expected, "{json}");
        }
    }

    #[test]
    fn the_model_is_named_as_we_name_it() {
        for (json, expected) in [
            (
                r#"{"model": "up-1", "x": {"model": "y"}}"#,
                r#"{"model": "slug", "x": {"model": "y"}}"#,
            ),
            (r#"{"x": {"model": "y"}}"#, r#"{"x": {"model": "y"}}"#),
            ("[1]", "[1]"),
            ("", ""),
        ] {
            let named = with_model(&Bytes::from_static(json.as_bytes()), "slug");
            assert_eq!(named, expected);
        }
    }

    #[test]
    fn a_missing_usage_event_is_made_of_the_first_event() {
        let first = br#"{"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"delta":{}}]}"#;
        let usage = Usage {
            input: 3,
            output: 4,
            ..Usage::default()
        };
        let event = usage_event(first, usage);
        assert_eq!(
            event,
            r#"{"id":"c1","created":7,"model":"m","object":"chat.completion.chunk","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#
        );
    }
}
