//! OpenAI's shapes of an answer, whole and in chunks, and what Anthropic's words become in them: reasons of an end, and usage. Pure.

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::{thoughts::Detail, wire};
use crate::{providers::Chunk, scan::scan};

/// Reasons to stop, and OpenAI's. One that is not here is `stop`.
const REASONS: &[(&str, &str)] = &[
    ("end_turn", "stop"),
    ("stop_sequence", "stop"),
    ("pause_turn", "stop"),
    ("max_tokens", "length"),
    ("model_context_window_exceeded", "length"),
    ("tool_use", "tool_calls"),
    ("refusal", "content_filter"),
];

/// OpenAI's `finish_reason`.
pub(super) fn finish_reason(stop_reason: &str) -> &'static str {
    let row = REASONS.iter().find(|(reason, _)| *reason == stop_reason);
    row.map_or("stop", |(_, finish)| finish)
}

/// What all objects of one answer have in common: a wire type.
#[derive(Clone, Default, Serialize)]
pub(super) struct Common {
    pub(super) id: String,
    /// Seconds UTC.
    pub(super) created: i64,
    pub(super) model: String,
}

/// A `chat.completion` or a `chat.completion.chunk`: a wire type.
#[derive(Serialize)]
pub(super) struct Completion<'a, T> {
    #[serde(flatten)]
    pub(super) common: &'a Common,
    pub(super) object: &'static str,
    pub(super) choices: &'a [T],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<Usage>,
}

/// The choice of a whole answer: a wire type.
#[derive(Serialize)]
pub(super) struct Choice {
    pub(super) index: u8,
    pub(super) message: Message,
    pub(super) finish_reason: &'static str,
    pub(super) logprobs: Option<()>,
}

/// The assistant's message: a wire type.
#[derive(Serialize)]
pub(super) struct Message {
    pub(super) role: &'static str,
    pub(super) content: Option<String>,
    pub(super) refusal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tool_calls: Vec<Call>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) reasoning_details: Vec<Detail>,
}

/// The choice of a chunk: a wire type.
#[derive(Serialize)]
pub(super) struct Piece<'a> {
    pub(super) index: u8,
    pub(super) delta: Delta<'a>,
    pub(super) finish_reason: Option<&'static str>,
}

/// What a chunk adds: a wire type.
#[derive(Default, Serialize)]
pub(super) struct Delta<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refusal: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tool_calls: Option<[Call; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_details: Option<[Detail; 1]>,
}

/// A tool call, or a piece of one: a wire type.
#[derive(Default, Serialize)]
pub(super) struct Call {
    /// In chunks only: which of the answer's calls it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) index: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) r#type: Option<&'static str>,
    pub(super) function: Function,
}

#[derive(Default, Serialize)]
pub(super) struct Function {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    pub(super) arguments: String,
}

/// OpenAI's usage: a wire type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
}

/// An object as the rest of chat takes it. A failure to write one cannot happen: there are texts and numbers only.
pub(super) fn chunk<T: Serialize>(completion: &Completion<'_, T>) -> Chunk {
    let data = Bytes::from(serde_json::to_vec(completion).unwrap_or_default());
    Chunk {
        signs: scan(&data),
        data,
    }
}

// === impl Usage ===

impl Usage {
    /// What Anthropic reports, in OpenAI's sums; `None` when it is no report, or one that cannot be.
    pub(super) fn of(reported: &wire::Usage) -> Option<Self> {
        let cached = count(reported.cache_read_input_tokens.as_ref())?;
        let written = count(reported.cache_creation_input_tokens.as_ref())?;
        let details = reported.output_tokens_details.as_ref();
        let reasoning = count(details.and_then(|details| details.thinking_tokens.as_ref()))?;
        let input = reported.input_tokens.as_ref()?.as_u64()?;
        let prompt_tokens = input.checked_add(cached)?.checked_add(written)?;
        let completion_tokens = reported.output_tokens.as_ref()?.as_u64()?;
        Some(Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens.checked_add(completion_tokens)?,
            prompt_tokens_details: PromptDetails {
                cached_tokens: cached,
                cache_write_tokens: written,
            },
            completion_tokens_details: CompletionDetails {
                reasoning_tokens: reasoning,
            },
        })
    }
}

/// A count that may be left out; `None` when it cannot be one.
fn count(value: Option<&Value>) -> Option<u64> {
    value
        .filter(|value| !value.is_null())
        .map_or(Some(0), Value::as_u64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_reason_to_stop_is_one_of_openais() {
        for (reason, expected) in [
            ("end_turn", "stop"),
            ("stop_sequence", "stop"),
            ("pause_turn", "stop"),
            ("max_tokens", "length"),
            ("model_context_window_exceeded", "length"),
            ("tool_use", "tool_calls"),
            ("refusal", "content_filter"),
            ("something_new", "stop"),
        ] {
            assert_eq!(finish_reason(reason), expected, "{reason}");
        }
    }

    #[test]
    fn usage_is_summed_up_as_openai_does() {
        let sums = |usage: Value| {
            let usage: wire::Usage = serde_json::from_value(usage).unwrap();
            let usage = Usage::of(&usage)?;
            let (input, output) = (
                usage.prompt_tokens_details,
                usage.completion_tokens_details.reasoning_tokens,
            );
            Some([
                usage.prompt_tokens,
                input.cached_tokens,
                input.cache_write_tokens,
                usage.completion_tokens,
                output,
                usage.total_tokens,
            ])
        };
        for (usage, expected) in [
            (
                json!({"input_tokens": 5, "cache_creation_input_tokens": 7, "cache_read_input_tokens": 11, "output_tokens": 20,
                    "output_tokens_details": {"thinking_tokens": 8}}),
                Some([23, 11, 7, 20, 8, 43]),
            ),
            (
                json!({"input_tokens": 5, "cache_read_input_tokens": null, "output_tokens": 2, "output_tokens_details": null}),
                Some([5, 0, 0, 2, 0, 7]),
            ),
            (json!({"input_tokens": 5}), None),
            (json!({"output_tokens": 5}), None),
            (json!({"input_tokens": -5, "output_tokens": 5}), None),
            (json!({"input_tokens": 1.5, "output_tokens": 5}), None),
            (json!({"input_tokens": "5", "output_tokens": 5}), None),
            (
                json!({"input_tokens": 5, "output_tokens": 5, "cache_read_input_tokens": {}}),
                None,
            ),
            (json!({"input_tokens": u64::MAX, "output_tokens": 5}), None),
        ] {
            assert_eq!(sums(usage.clone()), expected, "{usage}");
        }
    }
}
