//! The wire form of a request to Anthropic, as strict as Anthropic's own, and plain ways to look at it.

use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    pub(super) model: String,
    pub(super) max_tokens: u32,
    pub(super) messages: Vec<Message>,
    pub(super) system: Option<Content>,
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    #[serde(rename = "top_k")]
    _top_k: Option<u32>,
    #[serde(rename = "stop_sequences")]
    _stop_sequences: Option<Vec<String>>,
    pub(super) stream: Option<bool>,
    pub(super) tools: Option<Vec<Tool>>,
    pub(super) tool_choice: Option<ToolChoice>,
    pub(super) thinking: Option<Thinking>,
    pub(super) output_config: Option<OutputConfig>,
    #[serde(rename = "metadata")]
    _metadata: Option<Metadata>,
    #[serde(rename = "service_tier")]
    _service_tier: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    pub(super) role: Role,
    pub(super) content: Content,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    User,
    Assistant,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Content {
    Text(String),
    Blocks(Vec<Block>),
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Block {
    Text {
        text: String,
    },
    Image {
        source: Source,
    },
    Document {
        source: Source,
        #[serde(rename = "title")]
        _title: Option<String>,
    },
    ToolUse {
        id: String,
        name: String,
        input: Map<String, Value>,
    },
    ToolResult {
        tool_use_id: String,
        content: Option<Content>,
        #[serde(rename = "is_error")]
        _is_error: Option<bool>,
    },
    Thinking {
        thinking: String,
        signature: String,
    },
    RedactedThinking {
        data: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Source {
    Base64 { media_type: String, data: String },
    Url { url: String },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) input_schema: Map<String, Value>,
    #[serde(rename = "strict")]
    _strict: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum ToolChoice {
    Auto {
        #[serde(rename = "disable_parallel_tool_use")]
        _one: Option<bool>,
    },
    Any {
        #[serde(rename = "disable_parallel_tool_use")]
        _one: Option<bool>,
    },
    None {},
    Tool {
        name: String,
        #[serde(rename = "disable_parallel_tool_use")]
        _one: Option<bool>,
    },
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Thinking {
    Adaptive {
        display: Option<Display>,
    },
    Enabled {
        budget_tokens: u32,
        display: Option<Display>,
    },
    Disabled {},
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Display {
    Summarized,
    Omitted,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutputConfig {
    pub(super) effort: Option<Effort>,
    pub(super) format: Option<Format>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Effort {
    Low,
    Medium,
    High,
    Xhigh,
    Max,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Format {
    JsonSchema {
        #[serde(rename = "schema")]
        _schema: Map<String, Value>,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Metadata {
    #[serde(rename = "user_id")]
    _user_id: Option<String>,
}

// === impl Content ===

impl Content {
    pub(super) fn blocks(&self) -> &[Block] {
        match self {
            Self::Text(_) => &[],
            Self::Blocks(blocks) => blocks,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Blocks(blocks) => blocks.is_empty(),
        }
    }

    /// Its texts, without those inside tools' results.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let whole = match self {
            Self::Text(text) => Some(text.as_str()),
            Self::Blocks(_) => None,
        };
        let blocks = self.blocks().iter().filter_map(Block::text);
        whole.into_iter().chain(blocks)
    }

    /// The kinds of its blocks; a plain text is one block.
    pub(super) fn kinds(&self) -> impl Iterator<Item = &'static str> {
        let whole = match self {
            Self::Text(_) => Some("text"),
            Self::Blocks(_) => None,
        };
        whole
            .into_iter()
            .chain(self.blocks().iter().map(Block::kind))
    }
}

// === impl Block ===

impl Block {
    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text { text } = self {
            Some(text)
        } else {
            None
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Image { .. } => "image",
            Self::Document { .. } => "document",
            Self::ToolUse { .. } => "tool_use",
            Self::ToolResult { .. } => "tool_result",
            Self::Thinking { .. } => "thinking",
            Self::RedactedThinking { .. } => "redacted_thinking",
        }
    }

    /// Bytes that the model reads as text.
    pub(super) fn text_bytes(&self) -> usize {
        match self {
            Self::Text { text } => text.len(),
            Self::ToolUse { name, input, .. } => {
                name.len() + Value::from(input.clone()).to_string().len()
            }
            Self::ToolResult { content, .. } => {
                let texts = content.iter().flat_map(Content::texts);
                texts.map(str::len).sum()
            }
            Self::Thinking { thinking, .. } => thinking.len(),
            Self::RedactedThinking { data } => data.len(),
            Self::Image { .. } | Self::Document { .. } => 0,
        }
    }

    pub(super) fn is_media(&self) -> bool {
        matches!(self, Self::Image { .. } | Self::Document { .. })
    }
}

// === impl Role ===

impl Role {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

// === impl Effort ===

impl Effort {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }
}
