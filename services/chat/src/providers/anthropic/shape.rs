//! OpenAI's shapes of an answer, whole and in chunks, and what Anthropic's words become in them: reasons of an end, and usage. Pure.

use serde::Serialize;

use super::{thoughts::Detail, wire};
pub(super) use crate::providers::completion::{Common, Completion, Function, Usage, chunk};
use crate::providers::completion::{Counts, count};

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

/// What Anthropic reports, in OpenAI's sums; `None` when it is no report, or one that cannot be.
pub(super) fn usage(reported: &wire::Usage) -> Option<Usage> {
    let details = reported.output_tokens_details.as_ref();
    let cached = count(reported.cache_read_input_tokens.as_ref())?;
    let written = count(reported.cache_creation_input_tokens.as_ref())?;
    let input = reported.input_tokens.as_ref()?.as_u64()?;
    Usage::of(Counts {
        prompt: input.checked_add(cached)?.checked_add(written)?,
        cached,
        written: Some(written),
        completion: reported.output_tokens.as_ref()?.as_u64()?,
        reasoning: count(details.and_then(|details| details.thinking_tokens.as_ref()))?,
        ..Counts::default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

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
            let usage = super::usage(&usage)?;
            let (input, output) = (
                usage.prompt_tokens_details,
                usage.completion_tokens_details.reasoning_tokens,
            );
            Some([
                usage.prompt_tokens,
                input.cached_tokens,
                input.cache_write_tokens?,
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
