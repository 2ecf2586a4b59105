//! The wire form of a chat request, as far as the sandbox looks at it, and plain ways to look. Fields that are not here
//! are left alone.

use serde::Deserialize;
use serde_json::Value;

/// The body: a wire type.
#[derive(Debug, Deserialize)]
pub(super) struct Body {
    pub(super) model: String,
    pub(super) messages: Vec<Message>,
    pub(super) stream: Option<bool>,
    pub(super) stream_options: Option<StreamOptions>,
    pub(super) max_tokens: Option<u32>,
    pub(super) max_completion_tokens: Option<u32>,
    pub(super) n: Option<u32>,
    pub(super) response_format: Option<Kind>,
    pub(super) reasoning_effort: Option<String>,
    pub(super) tools: Option<Vec<Tool>>,
    pub(super) tool_choice: Option<Choice>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Message {
    pub(super) role: Role,
    pub(super) content: Option<Content>,
    pub(super) tool_calls: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    Developer,
    System,
    User,
    Assistant,
    Tool,
    Function,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
pub(super) struct Part {
    pub(super) r#type: String,
    pub(super) text: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct StreamOptions {
    pub(super) include_usage: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Kind {
    pub(super) r#type: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Tool {
    pub(super) function: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Choice {
    Word(String),
    Named { function: Option<Named> },
}

#[derive(Debug, Deserialize)]
pub(super) struct Named {
    pub(super) name: String,
}

// === impl Message ===

impl Message {
    pub(super) fn parts(&self) -> &[Part] {
        match &self.content {
            Some(Content::Parts(parts)) => parts,
            Some(Content::Text(_)) | None => &[],
        }
    }

    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let whole = match &self.content {
            Some(Content::Text(text)) => Some(text.as_str()),
            Some(Content::Parts(_)) | None => None,
        };
        let parts = self.parts().iter().filter_map(|part| part.text.as_deref());
        whole.into_iter().chain(parts)
    }

    /// The parts that are not text.
    pub(super) fn media(&self) -> impl Iterator<Item = &Part> {
        self.parts().iter().filter(|part| part.text.is_none())
    }

    /// The kinds of the parts; a plain text is one part.
    pub(super) fn kinds(&self) -> impl Iterator<Item = &str> {
        let whole = match &self.content {
            Some(Content::Text(_)) => Some("text"),
            Some(Content::Parts(_)) | None => None,
        };
        let parts = self.parts().iter().map(|part| part.r#type.as_str());
        whole.into_iter().chain(parts)
    }
}

// === impl Role ===

impl Role {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Developer => "developer",
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
            Self::Function => "function",
        }
    }
}
