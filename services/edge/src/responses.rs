//! OpenAI's Responses API in front of chat: a request is written as chat takes it, an answer as OpenAI's SDKs read it. Pure; the wire is
//! that of OpenAI's public reference.
//!
//! | file | what |
//! |---|---|
//! | `request.rs`, `settings.rs`, `input.rs` | a request in the words of chat completions: its fields, what they hold, its items |
//! | `turn.rs` | what is known of a response from its request on, and how it is closed: what is told, and what is kept |
//! | `item.rs` | the items of an answer |
//! | `answer.rs`, `events.rs` | a whole answer; the same, event by event |
//!
//! The items of an answer are items of the next request's input, so what is kept of a conversation is read by the same code.
//! What chat has no words for is refused where the answer would be another one without it (tools that a provider runs, files that only
//! a URL names), and left out where it would not (`max_tool_calls`, `prompt_cache_retention`).

pub(crate) mod answer;
pub(crate) mod events;
mod input;
mod item;
pub(crate) mod request;
mod settings;
#[cfg(test)]
mod tests;
pub(crate) mod turn;

use domain::OperationId;
use proto::Fault;
use serde_json::Value;

use crate::translate;

/// What an operation and a response of the same bits are called.
const PREFIXES: (&str, &str) = ("op_", "resp_");
/// Fields of chat, and what they are called here: chat's own complaints name them.
const NAMES: [(&str, &str); 5] = [
    ("max_completion_tokens", "max_output_tokens"),
    ("messages", "input"),
    ("reasoning_effort", "reasoning.effort"),
    ("response_format", "text.format"),
    ("logprobs", "include"),
];

/// The id of the response that an operation makes.
pub(crate) fn id_of(operation: OperationId) -> String {
    operation.to_string().replacen(PREFIXES.0, PREFIXES.1, 1)
}

/// The operation that made a response.
pub(crate) fn operation_of(id: &str) -> Option<OperationId> {
    let suffix = id.strip_prefix(PREFIXES.1)?;
    OperationId::parse(&format!("{}{suffix}", PREFIXES.0))
}

/// The items of a kept response, by their ids.
pub(crate) fn items(object: &[u8]) -> request::Found {
    let mut object: Value = serde_json::from_slice(object).unwrap_or_default();
    let output = object.get_mut("output").map(Value::take);
    let items = match output {
        Some(Value::Array(items)) => items,
        Some(_) | None => Vec::new(),
    };
    let named = items.into_iter().filter_map(|item| {
        let id = item.get("id")?.as_str()?.to_owned();
        Some((id, item))
    });
    named.collect()
}

/// What chat complains of, by the names that the customer knows.
pub(crate) fn renamed(fault: Fault) -> Fault {
    translate::renamed(fault, &NAMES)
}
