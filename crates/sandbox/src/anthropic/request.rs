//! A request to Anthropic, checked as Anthropic does and read as far as the sandbox answers to it. Pure.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    reply::SIGNATURE,
    wire::{Block, Body, Content, Display, Message, Role, Source, Thinking, ToolChoice},
};
use crate::{
    bill,
    words::{self, Form, clipped, listed},
};

/// A request that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) model: String,
    pub(super) delivery: Delivery,
    /// The most tokens of the answer, thinking included.
    pub(super) limit: u32,
    pub(super) form: Form,
    /// How thinking is shown, if there is any.
    pub(super) thinking: Option<Shown>,
    /// The tool that has to be used.
    pub(super) call: Option<String>,
    pub(super) prompt_tokens: u32,
    /// What arrived, in words.
    pub(super) echo: String,
    /// The text of the last user message that has any, where the directive is.
    pub(super) steering: String,
    pub(super) prompt_hash: String,
}

/// How the answer travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    Whole,
    Stream,
}

/// How thinking is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Summarized,
    Omitted,
}

/// The longest name of a model, and of a tool.
const MAX_NAME: usize = 128;
/// The least budget of thinking.
const LEAST_BUDGET: u32 = 1_024;
/// Images that are read.
const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];
/// Documents that are read.
const PDF: &str = "application/pdf";

/// Reads a request.
///
/// # Errors
/// The first thing that is wrong with it, in Anthropic's way.
pub(super) fn read(body: &[u8]) -> Result<Asked, String> {
    let body: Body = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    body.check()?;
    body.check_turns()?;
    Ok(Asked {
        delivery: if body.stream == Some(true) {
            Delivery::Stream
        } else {
            Delivery::Whole
        },
        limit: body.max_tokens,
        form: body.form(),
        thinking: body.thinking.as_ref().and_then(shown),
        call: body.call()?,
        prompt_tokens: body.prompt_tokens(),
        echo: body.echo(),
        steering: body.steering(),
        prompt_hash: bill::hash(&body.transcript()),
        model: body.model,
    })
}

/// How thinking is shown where nothing is said: summarized with a budget, else omitted.
fn shown(thinking: &Thinking) -> Option<Shown> {
    let (display, usual) = match thinking {
        Thinking::Adaptive { display } => (display, Display::Omitted),
        Thinking::Enabled { display, .. } => (display, Display::Summarized),
        Thinking::Disabled {} => return None,
    };
    Some(match display.unwrap_or(usual) {
        Display::Summarized => Shown::Summarized,
        Display::Omitted => Shown::Omitted,
    })
}

// === impl Body ===

impl Body {
    fn check(&self) -> Result<(), String> {
        if self.model.is_empty() || self.model.len() > MAX_NAME {
            return Err("model: must be a model's name".to_owned());
        }
        if self.max_tokens == 0 {
            return Err("max_tokens: must be greater than or equal to 1".to_owned());
        }
        let fraction =
            |number: Option<f64>| number.is_none_or(|number| (0.0..=1.0).contains(&number));
        if !fraction(self.temperature) || !fraction(self.top_p) {
            return Err("temperature and top_p: must be in the range 0..1".to_owned());
        }
        for (at, tool) in self.tools.iter().flatten().enumerate() {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            let name = &tool.name;
            if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(plain) {
                return Err(format!(
                    "tools.{at}.name: must match '^[a-zA-Z0-9_-]{{1,128}}$'"
                ));
            }
            if tool.input_schema.get("type").and_then(|kind| kind.as_str()) != Some("object") {
                return Err(format!("tools.{at}.input_schema.type: must be 'object'"));
            }
        }
        match self.thinking {
            Some(Thinking::Enabled { budget_tokens, .. })
                if budget_tokens < LEAST_BUDGET || budget_tokens >= self.max_tokens =>
            {
                Err(
                    "thinking.budget_tokens: must be at least 1024 and less than max_tokens"
                        .to_owned(),
                )
            }
            Some(Thinking::Enabled { .. } | Thinking::Adaptive { .. } | Thinking::Disabled {})
            | None => Ok(()),
        }
    }

    fn check_turns(&self) -> Result<(), String> {
        if self.messages.is_empty() {
            return Err("messages: at least one message is required".to_owned());
        }
        let mut called: Vec<&str> = Vec::new();
        for (at, message) in self.messages.iter().enumerate() {
            message.check(at)?;
            message.check_results(at, &called)?;
            called = message.called();
        }
        if called.is_empty() {
            return Ok(());
        }
        Err(without_results(self.messages.len().saturating_sub(1)))
    }

    fn form(&self) -> Form {
        let format = self
            .output_config
            .as_ref()
            .and_then(|config| config.format.as_ref());
        format.map_or(Form::Text, |_| Form::Json)
    }

    /// The tool to use: the named one, or with `any` the first there is.
    fn call(&self) -> Result<Option<String>, String> {
        let mut names = self.tools.iter().flatten().map(|tool| &tool.name);
        let name = match &self.tool_choice {
            Some(ToolChoice::Any { .. }) => names.next(),
            Some(ToolChoice::Tool { name, .. }) => names.find(|known| *known == name),
            Some(ToolChoice::Auto { .. } | ToolChoice::None {}) => {
                let any = names.next().is_some();
                return any.then_some(None).ok_or_else(no_such_tool);
            }
            None => return Ok(None),
        };
        name.map(|name| Some(name.clone())).ok_or_else(no_such_tool)
    }

    fn prompt_tokens(&self) -> u32 {
        let contents = || {
            self.system
                .iter()
                .chain(self.messages.iter().map(|message| &message.content))
        };
        let plain: usize = contents()
            .map(|content| match content {
                Content::Text(text) => text.len(),
                Content::Blocks(blocks) => blocks.iter().map(Block::text_bytes).sum(),
            })
            .sum();
        let tools = self.tools.iter().flatten().map(|tool| {
            let schema = serde_json::Value::from(tool.input_schema.clone()).to_string();
            tool.name.len() + tool.description.as_ref().map_or(0, String::len) + schema.len()
        });
        let media = contents()
            .flat_map(Content::blocks)
            .filter(|block| block.is_media())
            .count();
        words::prompt_tokens(plain + tools.sum::<usize>(), media)
    }

    fn echo(&self) -> String {
        let roles = self.messages.iter().map(|message| message.role.as_str());
        let parts = self
            .messages
            .iter()
            .flat_map(|message| message.content.kinds());
        let mut echo = format!("Sandbox reply. Model: {}.", self.model);
        echo.push_str(&listed(" Messages", roles));
        echo.push_str(&listed(" Parts", parts));
        if let Some(system) = &self.system {
            echo.push_str(&listed(" System", system.kinds()));
        }
        if let Some(tools) = &self.tools {
            echo.push_str(&listed(
                " Tools",
                tools.iter().map(|tool| clipped(&tool.name)),
            ));
        }
        let config = self.output_config.as_ref();
        if config.is_some_and(|config| config.format.is_some()) {
            echo.push_str(" Output format: json_schema.");
        }
        if let Some(effort) = config.and_then(|config| config.effort) {
            echo.push_str(&format!(" Effort: {}.", effort.as_str()));
        }
        echo
    }

    fn steering(&self) -> String {
        let mut users = self
            .messages
            .iter()
            .rev()
            .filter(|message| message.role == Role::User);
        let texts = users.find_map(|message| {
            let texts: Vec<_> = message.content.texts().collect();
            (!texts.is_empty()).then(|| texts.join("\n"))
        });
        texts.unwrap_or_default()
    }

    /// All texts with their roles, for the hash.
    fn transcript(&self) -> String {
        let mut transcript = String::new();
        for text in self.system.iter().flat_map(Content::texts) {
            transcript.push_str(text);
            transcript.push('\n');
        }
        for message in &self.messages {
            transcript.push_str(message.role.as_str());
            for text in message.content.texts() {
                transcript.push('\n');
                transcript.push_str(text);
            }
            transcript.push('\n');
        }
        transcript
    }
}

fn no_such_tool() -> String {
    "tool_choice: asks for a tool that `tools` has not".to_owned()
}

fn without_results(at: usize) -> String {
    format!(
        "messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately after"
    )
}

// === impl Message ===

impl Message {
    fn check(&self, at: usize) -> Result<(), String> {
        if self.content.is_empty() {
            return Err(format!(
                "messages.{at}: all messages must have non-empty content"
            ));
        }
        for (place, block) in self.content.blocks().iter().enumerate() {
            block
                .check(self.role)
                .map_err(|problem| format!("messages.{at}.content.{place}: {problem}"))?;
        }
        Ok(())
    }

    /// Whether its results are those of the calls of the message before, all of them.
    fn check_results(&self, at: usize, called: &[&str]) -> Result<(), String> {
        let results = self
            .content
            .blocks()
            .iter()
            .filter_map(|block| match block {
                Block::ToolResult { tool_use_id, .. } => Some(tool_use_id.as_str()),
                Block::Text { .. }
                | Block::Image { .. }
                | Block::Document { .. }
                | Block::ToolUse { .. }
                | Block::Thinking { .. }
                | Block::RedactedThinking { .. } => None,
            });
        let results: Vec<&str> = results.collect();
        if results.iter().any(|result| !called.contains(result)) {
            return Err(format!(
                "messages.{at}: unexpected `tool_use_id` found in `tool_result` blocks; each must have a `tool_use` in the \
                 previous message"
            ));
        }
        if called.iter().any(|call| !results.contains(call)) {
            return Err(without_results(at.saturating_sub(1)));
        }
        Ok(())
    }

    /// The ids of its calls.
    fn called(&self) -> Vec<&str> {
        let ids = self
            .content
            .blocks()
            .iter()
            .filter_map(|block| match block {
                Block::ToolUse { id, .. } => Some(id.as_str()),
                Block::Text { .. }
                | Block::Image { .. }
                | Block::Document { .. }
                | Block::ToolResult { .. }
                | Block::Thinking { .. }
                | Block::RedactedThinking { .. } => None,
            });
        ids.collect()
    }
}

// === impl Block ===

impl Block {
    fn check(&self, role: Role) -> Result<(), &'static str> {
        match (self, role) {
            (Self::Text { text }, _) if text.is_empty() => {
                Err("text content blocks must be non-empty")
            }
            (Self::Image { source }, Role::User) => source.check(&IMAGES),
            (Self::Document { source, .. }, Role::User) => source.check(&[PDF]),
            (Self::Thinking { signature, .. }, Role::Assistant)
                if !signature.starts_with(SIGNATURE) =>
            {
                Err("Invalid `signature` in `thinking` block")
            }
            (
                Self::ToolUse { .. } | Self::Thinking { .. } | Self::RedactedThinking { .. },
                Role::User,
            )
            | (
                Self::ToolResult { .. } | Self::Image { .. } | Self::Document { .. },
                Role::Assistant,
            ) => Err("a block of this type cannot be in a message of this role"),
            (
                Self::Text { .. }
                | Self::ToolUse { .. }
                | Self::Thinking { .. }
                | Self::RedactedThinking { .. },
                Role::Assistant,
            )
            | (Self::Text { .. } | Self::ToolResult { .. }, Role::User) => Ok(()),
        }
    }
}

// === impl Source ===

impl Source {
    fn check(&self, allowed: &[&str]) -> Result<(), &'static str> {
        match self {
            Self::Base64 { media_type, .. } if !allowed.contains(&media_type.as_str()) => {
                Err("source.base64.media_type: is not supported")
            }
            Self::Base64 { data, .. } if STANDARD.decode(data).is_err() => {
                Err("source.base64: invalid base64 data")
            }
            Self::Url { url } if !url.starts_with("https://") => {
                Err("source.url: only HTTPS URLs are supported")
            }
            Self::Base64 { .. } | Self::Url { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
