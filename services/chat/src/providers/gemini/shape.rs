//! OpenAI's shapes of an answer, whole and in chunks, as far as Gemini's need some of their own; and what Gemini's words become in them:
//! reasons of an end, usage, probabilities. Pure.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Number, Value};
use upstream::{Class, Failure, Verdict};

use super::wire;
use crate::providers::completion::{Counts, Usage, count};

/// What an end means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    Stop,
    Length,
    ToolCalls,
    ContentFilter,
    /// There is no answer: the model did not manage to call a function.
    BadCall,
}

/// Reasons to finish, and what they mean. One that is not here is an end like any other.
const REASONS: &[(&str, Finish)] = &[
    ("STOP", Finish::Stop),
    ("FINISH_REASON_UNSPECIFIED", Finish::Stop),
    ("MAX_TOKENS", Finish::Length),
    ("SAFETY", Finish::ContentFilter),
    ("RECITATION", Finish::ContentFilter),
    ("BLOCKLIST", Finish::ContentFilter),
    ("PROHIBITED_CONTENT", Finish::ContentFilter),
    ("SPII", Finish::ContentFilter),
    ("IMAGE_SAFETY", Finish::ContentFilter),
    ("IMAGE_PROHIBITED_CONTENT", Finish::ContentFilter),
    ("IMAGE_RECITATION", Finish::ContentFilter),
    ("LANGUAGE", Finish::Stop),
    ("OTHER", Finish::Stop),
    ("NO_IMAGE", Finish::Stop),
    ("IMAGE_OTHER", Finish::Stop),
    ("MALFORMED_FUNCTION_CALL", Finish::BadCall),
    ("UNEXPECTED_TOOL_CALL", Finish::BadCall),
    ("TOO_MANY_TOOL_CALLS", Finish::BadCall),
];

/// The choice of a whole answer: a wire type.
#[derive(Serialize)]
pub(super) struct Choice<'a> {
    pub(super) index: usize,
    pub(super) message: Message<'a>,
    pub(super) finish_reason: &'static str,
    pub(super) logprobs: Option<Logprobs>,
}

/// The assistant's message: a wire type.
#[derive(Default, Serialize)]
pub(super) struct Message<'a> {
    pub(super) role: &'static str,
    pub(super) content: Option<String>,
    pub(super) refusal: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) extra_content: Option<Extra<'a>>,
}

/// The choice of a chunk: a wire type.
#[derive(Serialize)]
pub(super) struct Piece<'a> {
    pub(super) index: usize,
    pub(super) delta: Delta<'a>,
    pub(super) finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logprobs: Option<Logprobs>,
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
    pub(super) tool_calls: Option<[Call<'a>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) extra_content: Option<Extra<'a>>,
}

/// A tool call; Gemini's come whole: a wire type.
#[derive(Serialize)]
pub(super) struct Call<'a> {
    /// In chunks only: which of the answer's calls it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) index: Option<usize>,
    pub(super) id: Cow<'a, str>,
    pub(super) r#type: &'static str,
    pub(super) function: Function<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) extra_content: Option<Extra<'a>>,
}

/// A wire type.
#[derive(Serialize)]
pub(super) struct Function<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) arguments: &'a str,
}

/// What has no place in OpenAI's form, where Google itself puts it: a wire type.
#[derive(Serialize)]
pub(super) struct Extra<'a> {
    google: Google<'a>,
}

/// A wire type.
#[derive(Serialize)]
struct Google<'a> {
    thought_signature: Cow<'a, str>,
}

/// How likely each token was: a wire type.
#[derive(Serialize)]
pub(super) struct Logprobs {
    content: Vec<Token>,
}

/// A wire type.
#[derive(Serialize)]
struct Token {
    #[serde(flatten)]
    token: Likely,
    top_logprobs: Vec<Likely>,
}

/// A wire type.
#[derive(Serialize)]
struct Likely {
    bytes: Vec<u8>,
    token: String,
    logprob: Number,
}

/// What a blocked prompt is: a refusal of the request.
pub(super) fn blocked(feedback: wire::Feedback<'_>) -> Option<Failure> {
    let reason = feedback.block_reason?.0;
    let message = feedback.block_reason_message.map(|text| text.0);
    let detail = message.unwrap_or_else(|| Cow::Owned(format!("the prompt was blocked: {reason}")));
    Some(Failure::reported(Verdict::with_detail(
        Class::Moderated,
        detail,
    )))
}

/// What Gemini reports, in OpenAI's sums; `None` when it is no report, or one that cannot be. Counts of nothing are left out by Google.
pub(super) fn usage(reported: &wire::Usage) -> Option<Usage> {
    let prompt = reported.prompt_token_count.as_ref()?.as_u64()?;
    let tools = count(reported.tool_use_prompt_token_count.as_ref())?;
    let shown = count(reported.candidates_token_count.as_ref())?;
    let reasoning = count(reported.thoughts_token_count.as_ref())?;
    let total = count(reported.total_token_count.as_ref())?;
    let modalities = reported.prompt_tokens_details.as_ref();
    let mut modalities = modalities.and_then(Value::as_array).into_iter().flatten();
    let sound =
        modalities.find(|part| part.get("modality").and_then(Value::as_str) == Some("AUDIO"));
    let mut usage = Usage::of(Counts {
        prompt: prompt.checked_add(tools)?,
        cached: count(reported.cached_content_token_count.as_ref())?,
        audio: sound.and_then(|sound| count(sound.get("tokenCount"))),
        completion: shown.checked_add(reasoning)?,
        reasoning,
        ..Counts::default()
    })?;
    // What is in the total only was used all the same.
    usage.total_tokens = usage.total_tokens.max(total);
    Some(usage)
}

// === impl Finish ===

impl Finish {
    /// Of Gemini's reason; a stop after calls is one for them.
    pub(super) fn of(reason: &str, calls: usize) -> Self {
        let row = REASONS.iter().find(|(known, _)| *known == reason);
        let finish = row.map_or(Self::Stop, |(_, finish)| *finish);
        if finish == Self::Stop && calls > 0 {
            return Self::ToolCalls;
        }
        finish
    }

    /// OpenAI's `finish_reason`.
    ///
    /// # Errors
    /// When there is no answer.
    pub(super) fn word(self) -> Result<&'static str, Failure> {
        match self {
            Self::Stop => Ok("stop"),
            Self::Length => Ok("length"),
            Self::ToolCalls => Ok("tool_calls"),
            Self::ContentFilter => Ok("content_filter"),
            Self::BadCall => {
                let detail = "the model called a function in no valid form; ask again, or make the tools simpler";
                Err(Failure::reported(Verdict::with_detail(
                    Class::Invalid,
                    detail,
                )))
            }
        }
    }
}

// === impl Extra ===

impl<'a> Extra<'a> {
    pub(super) fn of(signature: Option<wire::Text<'a>>) -> Option<Self> {
        let signature = signature.filter(|text| !text.0.is_empty());
        signature.map(|text| Self {
            google: Google {
                thought_signature: text.0,
            },
        })
    }
}

// === impl Logprobs ===

impl Logprobs {
    /// What it says of them; nothing where it says nonsense, which is no reason to lose an answer.
    pub(super) fn read(result: Option<Value>) -> Option<Self> {
        serde_json::from_value(result?).ok().and_then(Self::of)
    }

    fn of(result: wire::Logprobs) -> Option<Self> {
        let mut tops = result.top_candidates.into_iter();
        let tokens = result.chosen_candidates.into_iter().map(|chosen| Token {
            token: Likely::of(chosen),
            top_logprobs: tops
                .next()
                .map(|top| top.candidates.into_iter().map(Likely::of).collect())
                .unwrap_or_default(),
        });
        let content: Vec<Token> = tokens.collect();
        (!content.is_empty()).then_some(Self { content })
    }
}

// === impl Likely ===

impl Likely {
    fn of(chosen: wire::Chosen) -> Self {
        Self {
            bytes: chosen.token.clone().into_bytes(),
            token: chosen.token,
            // Google leaves out a nought: certain.
            logprob: chosen.log_probability.unwrap_or_else(|| Number::from(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_reason_to_finish_has_its_meaning() {
        for (reason, without_calls, with_calls) in [
            ("STOP", Finish::Stop, Finish::ToolCalls),
            ("FINISH_REASON_UNSPECIFIED", Finish::Stop, Finish::ToolCalls),
            ("MAX_TOKENS", Finish::Length, Finish::Length),
            ("SAFETY", Finish::ContentFilter, Finish::ContentFilter),
            ("RECITATION", Finish::ContentFilter, Finish::ContentFilter),
            ("BLOCKLIST", Finish::ContentFilter, Finish::ContentFilter),
            (
                "PROHIBITED_CONTENT",
                Finish::ContentFilter,
                Finish::ContentFilter,
            ),
            ("SPII", Finish::ContentFilter, Finish::ContentFilter),
            ("IMAGE_SAFETY", Finish::ContentFilter, Finish::ContentFilter),
            (
                "IMAGE_PROHIBITED_CONTENT",
                Finish::ContentFilter,
                Finish::ContentFilter,
            ),
            (
                "IMAGE_RECITATION",
                Finish::ContentFilter,
                Finish::ContentFilter,
            ),
            ("LANGUAGE", Finish::Stop, Finish::ToolCalls),
            ("OTHER", Finish::Stop, Finish::ToolCalls),
            ("NO_IMAGE", Finish::Stop, Finish::ToolCalls),
            ("IMAGE_OTHER", Finish::Stop, Finish::ToolCalls),
            ("MALFORMED_FUNCTION_CALL", Finish::BadCall, Finish::BadCall),
            ("UNEXPECTED_TOOL_CALL", Finish::BadCall, Finish::BadCall),
            ("TOO_MANY_TOOL_CALLS", Finish::BadCall, Finish::BadCall),
            ("SOMETHING_NEW", Finish::Stop, Finish::ToolCalls),
        ] {
            assert_eq!(Finish::of(reason, 0), without_calls, "{reason}");
            assert_eq!(Finish::of(reason, 1), with_calls, "{reason}");
        }
        for (finish, word) in [
            (Finish::Stop, Some("stop")),
            (Finish::Length, Some("length")),
            (Finish::ToolCalls, Some("tool_calls")),
            (Finish::ContentFilter, Some("content_filter")),
            (Finish::BadCall, None),
        ] {
            assert_eq!(finish.word().ok(), word);
        }
        assert_eq!(Finish::BadCall.word().unwrap_err().class(), Class::Invalid);
    }

    #[test]
    fn usage_is_summed_up_as_openai_does() {
        let sums = |usage: Value| {
            let usage = super::usage(&serde_json::from_value(usage).unwrap())?;
            let input = usage.prompt_tokens_details;
            Some([
                usage.prompt_tokens,
                input.cached_tokens,
                input.audio_tokens.unwrap_or_default(),
                usage.completion_tokens,
                usage.completion_tokens_details.reasoning_tokens,
                usage.total_tokens,
            ])
        };
        for (usage, expected) in [
            (
                json!({"promptTokenCount": 10, "cachedContentTokenCount": 4, "toolUsePromptTokenCount": 3, "candidatesTokenCount": 12,
                    "thoughtsTokenCount": 30, "totalTokenCount": 55,
                    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 8}, {"modality": "AUDIO", "tokenCount": 2}]}),
                Some([13, 4, 2, 42, 30, 55]),
            ),
            // Nothing was written.
            (
                json!({"promptTokenCount": 10, "totalTokenCount": 10}),
                Some([10, 0, 0, 0, 0, 10]),
            ),
            (
                json!({"promptTokenCount": 10, "candidatesTokenCount": 2, "totalTokenCount": 20}),
                Some([10, 0, 0, 2, 0, 20]),
            ),
            (
                json!({"promptTokenCount": 10, "candidatesTokenCount": null}),
                Some([10, 0, 0, 0, 0, 10]),
            ),
            (json!({}), None),
            (json!({"candidatesTokenCount": 2}), None),
            (json!({"promptTokenCount": -1}), None),
            (json!({"promptTokenCount": 1.5}), None),
            (json!({"promptTokenCount": "7"}), None),
            (
                json!({"promptTokenCount": 7, "candidatesTokenCount": {}}),
                None,
            ),
            (
                json!({"promptTokenCount": u64::MAX, "candidatesTokenCount": 2}),
                None,
            ),
        ] {
            assert_eq!(sums(usage.clone()), expected, "{usage}");
        }
    }
}
