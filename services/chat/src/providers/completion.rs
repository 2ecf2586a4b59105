//! OpenAI's objects as they are written by adapters that translate: what all of them have in common. Pure.

use serde::Serialize;
use serde_json::Value;

use super::Chunk;

/// Whether the customer wants to read what a model thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Show {
    Thoughts,
    AnswerOnly,
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

/// The function of a tool call, or a piece of it: a wire type.
#[derive(Default, Serialize)]
pub(super) struct Function {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    pub(super) arguments: String,
}

/// OpenAI's usage: a wire type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Usage {
    pub(super) prompt_tokens: u64,
    pub(super) completion_tokens: u64,
    pub(super) total_tokens: u64,
    pub(super) prompt_tokens_details: PromptDetails,
    pub(super) completion_tokens_details: CompletionDetails,
}

/// A wire type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct PromptDetails {
    pub(super) cached_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cache_write_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) audio_tokens: Option<u64>,
}

/// A wire type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct CompletionDetails {
    pub(super) reasoning_tokens: u64,
}

/// What a provider counted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// All of the input, whatever class its tokens are of.
    pub(super) prompt: u64,
    pub(super) cached: u64,
    /// Written to a cache, where the provider counts these.
    pub(super) written: Option<u64>,
    /// Sound, where the provider counts it.
    pub(super) audio: Option<u64>,
    /// All of the output.
    pub(super) completion: u64,
    pub(super) reasoning: u64,
}

/// An object as the rest of chat takes it. A failure to write one cannot happen: there are texts and numbers only.
pub(super) fn chunk<T: Serialize>(completion: &Completion<'_, T>) -> Chunk {
    Chunk::of(serde_json::to_vec(completion).unwrap_or_default().into())
}

/// A count that may be left out; `None` when it cannot be one.
pub(super) fn count(value: Option<&Value>) -> Option<u64> {
    value
        .filter(|value| !value.is_null())
        .map_or(Some(0), Value::as_u64)
}

// === impl Show ===

impl Show {
    /// By the request's `include_thoughts`.
    pub(super) fn of(wanted: Option<bool>) -> Self {
        match wanted {
            Some(true) => Self::Thoughts,
            Some(false) | None => Self::AnswerOnly,
        }
    }
}

// === impl Usage ===

impl Usage {
    /// The sums; `None` when they do not fit.
    pub(super) fn of(counts: Counts) -> Option<Self> {
        Some(Self {
            prompt_tokens: counts.prompt,
            completion_tokens: counts.completion,
            total_tokens: counts.prompt.checked_add(counts.completion)?,
            prompt_tokens_details: PromptDetails {
                cached_tokens: counts.cached,
                cache_write_tokens: counts.written,
                audio_tokens: counts.audio,
            },
            completion_tokens_details: CompletionDetails {
                reasoning_tokens: counts.reasoning,
            },
        })
    }
}
