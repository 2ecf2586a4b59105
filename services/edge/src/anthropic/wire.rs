//! What chat answers, in OpenAI's form, as far as it is read here. Wire types.

use serde::Deserialize;
use serde_json::Value;

/// An answer, or an event of one.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Chat {
    pub(super) model: String,
    pub(super) choices: Vec<Choice>,
    pub(super) usage: Option<Usage>,
    /// What we add.
    pub(super) credits_consumed: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Choice {
    /// Of a whole answer.
    pub(super) message: Part,
    /// Of an event.
    pub(super) delta: Part,
    pub(super) finish_reason: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Part {
    pub(super) content: Option<String>,
    pub(super) reasoning_content: Option<String>,
    pub(super) refusal: Option<String>,
    pub(super) tool_calls: Option<Vec<ToolCall>>,
    /// Blocks of thinking as Anthropic signed them: chat's own extra.
    pub(super) reasoning_details: Option<Vec<Thought>>,
}

/// A signed block of thinking, whole.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Thought {
    /// What can be read.
    Thinking {
        /// Empty, where nobody asked for it.
        #[serde(default)]
        thinking: String,
        signature: String,
    },
    /// What cannot.
    RedactedThinking { data: String },
    /// Another maker's.
    #[serde(other)]
    Foreign,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ToolCall {
    /// Of an event: which call it goes on with.
    pub(super) index: usize,
    pub(super) id: Option<String>,
    pub(super) function: Function,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Function {
    pub(super) name: Option<String>,
    pub(super) arguments: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Usage {
    prompt_tokens: u64,
    completion_tokens: u64,
    prompt_tokens_details: Option<Details>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Option<u64>,
}

// === impl Part ===

impl Part {
    /// Every text that is not a thought.
    pub(super) fn text(&self) -> String {
        let texts = [&self.content, &self.refusal];
        texts.into_iter().flatten().map(String::as_str).collect()
    }
}

// === impl Thought ===

impl Thought {
    /// The block it was; what another maker means is none.
    pub(super) fn block(&self) -> Option<Value> {
        match self {
            Self::Thinking {
                thinking,
                signature,
            } => Some(
                serde_json::json!({ "type": "thinking", "thinking": thinking, "signature": signature }),
            ),
            Self::RedactedThinking { data } => {
                Some(serde_json::json!({ "type": "redacted_thinking", "data": data }))
            }
            Self::Foreign => None,
        }
    }
}

// === impl Usage ===

impl Usage {
    /// In Anthropic's classes: what was read from a cache is no part of the input there.
    pub(super) fn translated(self) -> Value {
        let cached = self
            .prompt_tokens_details
            .and_then(|known| known.cached_tokens);
        let cached = cached.unwrap_or_default().min(self.prompt_tokens);
        serde_json::json!({
            "input_tokens": self.prompt_tokens.saturating_sub(cached),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": cached,
            "output_tokens": self.completion_tokens,
        })
    }
}

/// Why an answer ended, in Anthropic's words.
pub(super) fn stop_reason(finish_reason: Option<&str>) -> &'static str {
    match finish_reason {
        Some("length") => "max_tokens",
        Some("tool_calls" | "function_call") => "tool_use",
        Some("content_filter") => "refusal",
        Some(_) | None => "end_turn",
    }
}
