//! A request of the Responses API in the words of chat completions.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use domain::OperationId;
use proto::Fault;
use serde_json::{Map, Value, json};

use super::{input, item, settings};
use crate::translate::{Wrong, given, object};

/// Fields that change nothing here: hints for what is not served, and what only other fields need.
const LEFT_OUT: [&str; 5] = [
    "max_tool_calls",
    "prompt_cache_retention",
    "prompt_cache_options",
    "stream_options",
    "moderation",
];
/// Fields that mean the same in both, by both names; two of them are ours.
const SAME: [(&str, &str); 11] = [
    ("model", "model"),
    ("models", "models"),
    ("provider", "provider"),
    ("max_output_tokens", "max_completion_tokens"),
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("parallel_tool_calls", "parallel_tool_calls"),
    ("metadata", "metadata"),
    ("user", "user"),
    ("safety_identifier", "safety_identifier"),
    ("prompt_cache_key", "prompt_cache_key"),
];
/// What a response says of its request, and what it says where the request says nothing: JSON.
const ECHOED: [(&str, &str); 20] = [
    ("background", "false"),
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("previous_response_id", "null"),
    ("prompt_cache_key", "null"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("safety_identifier", "null"),
    ("service_tier", "\"default\""),
    ("store", "true"),
    ("temperature", "null"),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("top_logprobs", "0"),
    ("top_p", "null"),
    ("truncation", "\"disabled\""),
    ("user", "null"),
];

/// The fields of a request.
pub(crate) type Fields = Map<String, Value>;
/// Items of kept responses, by their ids.
pub(crate) type Found = HashMap<String, Value>;

/// A request that was read.
#[derive(Debug)]
pub(crate) struct Asked {
    /// What chat is asked, but for the messages.
    pub(super) chat: Map<String, Value>,
    /// The instructions, which are no part of the conversation.
    pub(super) instructions: Option<Value>,
    /// What it adds to the conversation.
    pub(super) messages: Vec<Value>,
    /// The response that it goes on from.
    pub(crate) previous: Option<String>,
    /// Whether its answer is to be kept.
    pub(super) store: bool,
    /// What its response says of it.
    pub(super) echo: Map<String, Value>,
}

/// The fields of a request, and the responses whose items it refers to, each once.
///
/// # Errors
/// When it is no object.
pub(crate) fn fields(body: &Bytes) -> Result<(Fields, Vec<OperationId>), Fault> {
    let fields = object(body)?;
    let items = fields.get("input").and_then(Value::as_array);
    let (mut responses, mut known) = (Vec::new(), HashSet::new());
    for item in items.into_iter().flatten() {
        let made = item::referred(item).and_then(item::maker_of);
        responses.extend(made.filter(|made| known.insert(*made)));
    }
    Ok((fields, responses))
}

/// Reads a request. Items that it only refers to are among those that were `found`.
///
/// # Errors
/// Everything that cannot be said in the words of chat, and what is no request at all. The rest chat checks.
pub(crate) fn read(mut fields: Fields, found: &Found) -> Result<Asked, Fault> {
    let mut wrong = Wrong::default();
    let echo = echo(&fields);
    let mut chat = Map::new();
    for (theirs, ours) in SAME {
        if let Some(value) = given(&mut fields, theirs) {
            chat.insert(ours.to_owned(), value);
        }
    }
    let previous = previous(&mut fields, &mut wrong);
    let instructions = instructions(&mut fields, &mut wrong);
    let messages = match given(&mut fields, "input") {
        Some(input) => input::messages(input, found, &mut wrong),
        // A conversation may go on with nothing but other instructions.
        None if previous.is_some() => Vec::new(),
        None => {
            wrong.missing("input");
            Vec::new()
        }
    };
    settings::tools(&mut fields, &mut chat, &mut wrong);
    settings::text(&mut fields, &mut chat, &mut wrong);
    settings::reasoning(&mut fields, &mut chat, &mut wrong);
    settings::logprobs(&mut fields, &mut chat, &mut wrong);
    settings::service_tier(&mut fields, &mut chat);
    let store = flag(&mut fields, "store", &mut wrong).unwrap_or(true);
    stream(&mut fields, &mut chat, &mut wrong);
    not_served(&mut fields, &mut wrong);
    for name in LEFT_OUT {
        fields.remove(name);
    }
    wrong.unknown(&fields);
    wrong.done()?;
    Ok(Asked {
        chat,
        instructions,
        messages,
        previous,
        store,
        echo,
    })
}

fn echo(fields: &Map<String, Value>) -> Map<String, Value> {
    let said = ECHOED.iter().map(|(name, absent)| {
        let value = fields.get(*name).filter(|value| !value.is_null());
        let absent = || serde_json::from_str(absent).unwrap_or_default();
        ((*name).to_owned(), value.cloned().unwrap_or_else(absent))
    });
    said.collect()
}

/// A field that is true or false.
fn flag(fields: &mut Map<String, Value>, name: &str, wrong: &mut Wrong) -> Option<bool> {
    match given(fields, name)? {
        Value::Bool(flag) => Some(flag),
        Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            wrong.invalid(name, "be true or false");
            None
        }
    }
}

fn previous(fields: &mut Map<String, Value>, wrong: &mut Wrong) -> Option<String> {
    match given(fields, "previous_response_id")? {
        Value::String(id) => Some(id),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            wrong.invalid("previous_response_id", "be the id of a response");
            None
        }
    }
}

fn instructions(fields: &mut Map<String, Value>, wrong: &mut Wrong) -> Option<Value> {
    match given(fields, "instructions")? {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(json!({ "role": "system", "content": text })),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            wrong.invalid("instructions", "be a text");
            None
        }
    }
}

fn stream(fields: &mut Map<String, Value>, chat: &mut Map<String, Value>, wrong: &mut Wrong) {
    if flag(fields, "stream", wrong) == Some(true) {
        chat.insert("stream".to_owned(), true.into());
        let usage = json!({ "include_usage": true });
        chat.insert("stream_options".to_owned(), usage);
    }
}

/// What would be another answer without it.
fn not_served(fields: &mut Map<String, Value>, wrong: &mut Wrong) {
    if flag(fields, "background", wrong) == Some(true) {
        let allowed = "be false: a response is waited for here, or streamed";
        wrong.invalid("background", allowed);
    }
    let truncation = given(fields, "truncation");
    if truncation.is_some_and(|word| word != "disabled") {
        let allowed = "be disabled: nothing is left out of a conversation here";
        wrong.invalid("truncation", allowed);
    }
    for (name, allowed) in [
        (
            "conversation",
            "be left out: go on from a response by previous_response_id",
        ),
        ("prompt", "be left out: prompts are not kept here"),
        (
            "context_management",
            "be left out: conversations are not made shorter here",
        ),
    ] {
        if given(fields, name).is_some() {
            wrong.invalid(name, allowed);
        }
    }
}
