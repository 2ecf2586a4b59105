//! The wire form of a request to Gemini, as strict as Google's own, and plain ways to look at it.

use serde::Deserialize;
use serde_json::{Map, Value};

/// The body: a wire type.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Body {
    pub(super) contents: Vec<Content>,
    pub(super) system_instruction: Option<Content>,
    #[serde(default)]
    pub(super) tools: Vec<Tools>,
    pub(super) tool_config: Option<ToolConfig>,
    #[serde(default, rename = "safetySettings")]
    _safety_settings: Vec<Safety>,
    #[serde(default)]
    pub(super) generation_config: Config,
}

/// A wire type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Content {
    pub(super) role: Option<Role>,
    pub(super) parts: Vec<Part>,
}

/// A wire type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    User,
    Model,
}

/// A part, of whose payloads there must be one: a wire type.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Part {
    pub(super) text: Option<String>,
    pub(super) inline_data: Option<InlineData>,
    pub(super) file_data: Option<FileData>,
    pub(super) function_call: Option<FunctionCall>,
    pub(super) function_response: Option<FunctionResponse>,
    #[serde(rename = "thought")]
    _thought: Option<bool>,
    pub(super) thought_signature: Option<String>,
}

/// A wire type.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct InlineData {
    pub(super) mime_type: String,
    pub(super) data: String,
}

/// A wire type.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FileData {
    #[serde(rename = "mimeType")]
    _mime_type: Option<String>,
    pub(super) file_uri: String,
}

/// A wire type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FunctionCall {
    pub(super) id: Option<String>,
    pub(super) name: String,
    pub(super) args: Map<String, Value>,
}

/// A wire type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FunctionResponse {
    pub(super) id: Option<String>,
    pub(super) name: String,
    pub(super) response: Map<String, Value>,
}

/// A wire type.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Tools {
    pub(super) function_declarations: Vec<Declaration>,
}

/// A wire type.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Declaration {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) parameters: Option<Map<String, Value>>,
    pub(super) parameters_json_schema: Option<Map<String, Value>>,
}

/// A wire type.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ToolConfig {
    pub(super) function_calling_config: Calling,
}

/// A wire type.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Calling {
    pub(super) mode: Mode,
    #[serde(default)]
    pub(super) allowed_function_names: Vec<String>,
}

/// A wire type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Mode {
    Auto,
    Any,
    None,
    Validated,
}

/// A wire type.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Safety {
    #[serde(rename = "category")]
    _category: Category,
    #[serde(rename = "threshold")]
    _threshold: Threshold,
}

/// A wire type.
#[derive(Debug, Deserialize)]
enum Category {
    #[serde(rename = "HARM_CATEGORY_HARASSMENT")]
    Harassment,
    #[serde(rename = "HARM_CATEGORY_HATE_SPEECH")]
    HateSpeech,
    #[serde(rename = "HARM_CATEGORY_SEXUALLY_EXPLICIT")]
    SexuallyExplicit,
    #[serde(rename = "HARM_CATEGORY_DANGEROUS_CONTENT")]
    DangerousContent,
    #[serde(rename = "HARM_CATEGORY_CIVIC_INTEGRITY")]
    CivicIntegrity,
    #[serde(rename = "HARM_CATEGORY_JAILBREAK")]
    Jailbreak,
}

/// A wire type.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Threshold {
    BlockLowAndAbove,
    BlockMediumAndAbove,
    BlockOnlyHigh,
    BlockNone,
    Off,
}

/// `generationConfig`: a wire type.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Config {
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    #[serde(rename = "topK")]
    _top_k: Option<u32>,
    pub(super) candidate_count: Option<u32>,
    pub(super) max_output_tokens: Option<u32>,
    pub(super) stop_sequences: Vec<String>,
    #[serde(rename = "seed")]
    _seed: Option<i32>,
    pub(super) presence_penalty: Option<f64>,
    pub(super) frequency_penalty: Option<f64>,
    pub(super) response_logprobs: Option<bool>,
    pub(super) logprobs: Option<u32>,
    pub(super) response_mime_type: Option<Mime>,
    pub(super) response_json_schema: Option<Map<String, Value>>,
    pub(super) thinking_config: Option<Thinking>,
}

/// A wire type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum Mime {
    #[serde(rename = "text/plain")]
    Text,
    #[serde(rename = "application/json")]
    Json,
}

/// A wire type.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct Thinking {
    pub(super) include_thoughts: Option<bool>,
    pub(super) thinking_budget: Option<i64>,
    pub(super) thinking_level: Option<Level>,
}

/// A wire type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Level {
    Minimal,
    Low,
    Medium,
    High,
}

// === impl Content ===

impl Content {
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| part.text.as_deref())
    }

    pub(super) fn calls(&self) -> impl Iterator<Item = &FunctionCall> {
        let parts = self.parts.iter();
        parts.filter_map(|part| part.function_call.as_ref())
    }

    pub(super) fn results(&self) -> impl Iterator<Item = &FunctionResponse> {
        let parts = self.parts.iter();
        parts.filter_map(|part| part.function_response.as_ref())
    }

    /// Whether it is the user's, and not only results of tools: with it a turn of the conversation begins.
    pub(super) fn asks(&self) -> bool {
        self.role() == Role::User && self.results().next().is_none()
    }

    pub(super) fn role(&self) -> Role {
        self.role.unwrap_or(Role::User)
    }
}

// === impl Part ===

impl Part {
    /// What it holds, one word for each payload.
    pub(super) fn kinds(&self) -> Vec<&'static str> {
        let kinds = [
            (self.text.is_some(), "text"),
            (self.inline_data.is_some(), "inlineData"),
            (self.file_data.is_some(), "fileData"),
            (self.function_call.is_some(), "functionCall"),
            (self.function_response.is_some(), "functionResponse"),
        ];
        let held = kinds.into_iter().filter(|(held, _)| *held);
        held.map(|(_, kind)| kind).collect()
    }

    /// Bytes that the model reads as text.
    pub(super) fn text_bytes(&self) -> usize {
        let text = self.text.as_ref().map_or(0, String::len);
        let call = self.function_call.as_ref().map_or(0, |call| {
            call.name.len() + Value::from(call.args.clone()).to_string().len()
        });
        let result = self.function_response.as_ref().map_or(0, |result| {
            result.name.len() + Value::from(result.response.clone()).to_string().len()
        });
        text + call + result
    }

    pub(super) fn is_media(&self) -> bool {
        self.inline_data.is_some() || self.file_data.is_some()
    }
}

// === impl Role ===

impl Role {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Model => "model",
        }
    }
}
