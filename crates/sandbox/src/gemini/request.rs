//! A request to Gemini, checked as Google does and read as far as the sandbox answers to it. Pure.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    reply::SIGNATURE,
    wire::{Body, Config, Content, Level, Mime, Mode, Part, Role, Thinking},
};
use crate::{
    bill,
    words::{self, Form, clipped, listed},
};

/// A request that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) model: String,
    /// The most tokens of one candidate, thoughts included.
    pub(super) limit: u32,
    /// How many candidates.
    pub(super) candidates: u32,
    pub(super) form: Form,
    /// How thoughts are shown, if there are any.
    pub(super) thinking: Option<Shown>,
    /// The functions that have to be called.
    pub(super) calls: Vec<String>,
    pub(super) logprobs: Logprobs,
    pub(super) prompt_tokens: u32,
    /// What arrived, in words.
    pub(super) echo: String,
    /// The text of the user's last turn that has any, where the directive is.
    pub(super) steering: String,
    pub(super) prompt_hash: String,
}

/// How thoughts are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Yes,
    No,
}

/// Whether it is told how likely tokens were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logprobs {
    Wanted,
    Unwanted,
}

/// The longest name of a model, and of a function.
const MAX_NAME: usize = 128;
const MAX_CANDIDATES: u32 = 8;
const MAX_STOPS: usize = 5;
const MAX_LOGPROBS: u32 = 20;
/// The most output where the request does not say.
const OUTPUT: u32 = 65_536;
/// Media that are read.
const MEDIA: [&str; 12] = [
    "image/png",
    "image/jpeg",
    "image/webp",
    "image/heic",
    "image/heif",
    "application/pdf",
    "audio/wav",
    "audio/mp3",
    "audio/aac",
    "audio/flac",
    "audio/ogg",
    "audio/aiff",
];
/// What stands for the signature of a call that no Gemini made.
const UNSIGNED: &str = "skip_thought_signature_validator";

/// Reads a request for a model.
///
/// # Errors
/// The first thing that is wrong with it, in Google's way.
pub(super) fn read(body: &[u8], model: &str) -> Result<Asked, String> {
    if model.is_empty() || model.len() > MAX_NAME {
        return Err("model: unexpected model name format".to_owned());
    }
    let body: Body = serde_json::from_slice(body)
        .map_err(|error| format!("Invalid JSON payload received. {error}"))?;
    body.check_tools()?;
    body.generation_config.check()?;
    body.check_turns(model)?;
    let config = &body.generation_config;
    Ok(Asked {
        model: model.to_owned(),
        limit: config.max_output_tokens.unwrap_or(OUTPUT),
        candidates: config.candidate_count.unwrap_or(1),
        form: match config.response_mime_type {
            Some(Mime::Json) => Form::Json,
            Some(Mime::Text) | None => Form::Text,
        },
        thinking: config.thinking_config.as_ref().and_then(shown),
        calls: body.calls(),
        logprobs: if config.response_logprobs == Some(true) {
            Logprobs::Wanted
        } else {
            Logprobs::Unwanted
        },
        prompt_tokens: body.prompt_tokens(),
        echo: body.echo(model),
        steering: body.steering(),
        prompt_hash: bill::hash(&body.transcript()),
    })
}

/// Whether a model thinks that was told so much.
fn shown(thinking: &Thinking) -> Option<Shown> {
    let asked_to = thinking.thinking_level != Some(Level::Minimal);
    let thinks = asked_to && thinking.thinking_budget != Some(0);
    thinks.then_some(match thinking.include_thoughts {
        Some(true) => Shown::Yes,
        Some(false) | None => Shown::No,
    })
}

// === impl Config ===

impl Config {
    fn check(&self) -> Result<(), String> {
        let in_range =
            |number: Option<f64>, most: f64| number.is_none_or(|n| (0.0..=most).contains(&n));
        let penalty = |number: Option<f64>| number.is_none_or(|n| (-2.0..=2.0).contains(&n));
        let candidates = self.candidate_count.unwrap_or(1);
        let schema = self.response_json_schema.is_some();
        let both = |thinking: &Thinking| {
            thinking.thinking_budget.is_some() && thinking.thinking_level.is_some()
        };
        let rules = [
            (
                in_range(self.temperature, 2.0),
                "temperature must be in the range [0.0, 2.0].",
            ),
            (
                in_range(self.top_p, 1.0),
                "top_p must be in the range [0.0, 1.0].",
            ),
            (
                penalty(self.presence_penalty) && penalty(self.frequency_penalty),
                "penalties must be in the range [-2.0, 2.0].",
            ),
            (
                (1..=MAX_CANDIDATES).contains(&candidates),
                "candidate_count must be in the range [1, 8].",
            ),
            (
                self.max_output_tokens != Some(0),
                "max_output_tokens must be positive.",
            ),
            (
                self.stop_sequences.len() <= MAX_STOPS,
                "stop_sequences must contain at most 5 items.",
            ),
            (
                self.logprobs.is_none_or(|n| n <= MAX_LOGPROBS)
                    && (self.logprobs.is_none() || self.response_logprobs == Some(true)),
                "logprobs must be in the range [0, 20], and needs response_logprobs.",
            ),
            (
                !schema || self.response_mime_type == Some(Mime::Json),
                "response_json_schema needs the mime type application/json.",
            ),
            (
                !self.thinking_config.as_ref().is_some_and(both),
                "You can only set only one of thinking budget and thinking level.",
            ),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(format!("generation_config: {rule}")),
            None => Ok(()),
        }
    }
}

// === impl Body ===

impl Body {
    fn check_tools(&self) -> Result<(), String> {
        let declared: Vec<&str> = self.names().collect();
        for (at, tool) in self
            .tools
            .iter()
            .flat_map(|tools| &tools.function_declarations)
            .enumerate()
        {
            let path = format!("tools[0].function_declarations[{at}]");
            if !is_name(&tool.name) {
                return Err(format!(
                    "{path}.name: Invalid function name. Must start with a letter or an underscore."
                ));
            }
            if tool.parameters.is_some() && tool.parameters_json_schema.is_some() {
                return Err(format!("{path}: only one of the schemas may be set."));
            }
        }
        let Some(config) = &self.tool_config else {
            return Ok(());
        };
        let calling = &config.function_calling_config;
        if calling.mode == Mode::Any && declared.is_empty() {
            return Err(
                "Function calling mode is ANY, but no function_declarations are provided."
                    .to_owned(),
            );
        }
        let names = &calling.allowed_function_names;
        if !names.is_empty() && !matches!(calling.mode, Mode::Any | Mode::Validated) {
            return Err(
                "allowed_function_names should only be set when mode is ANY or VALIDATED."
                    .to_owned(),
            );
        }
        match names.iter().find(|name| !declared.contains(&name.as_str())) {
            Some(name) => Err(format!("allowed_function_names: {name} is not declared.")),
            None => Ok(()),
        }
    }

    fn check_turns(&self, model: &str) -> Result<(), String> {
        let Some(last) = self.contents.last() else {
            return Err("contents: is not specified".to_owned());
        };
        let system = self.system_instruction.iter();
        if system
            .flat_map(|system| &system.parts)
            .any(|part| part.text.is_none())
        {
            return Err("system_instruction: only text is supported.".to_owned());
        }
        if last.role() == Role::Model {
            return Err("Please ensure that the request ends with a user role.".to_owned());
        }
        let running = self.contents.iter().rposition(Content::asks);
        let mut before: Option<&Content> = None;
        for (at, content) in self.contents.iter().enumerate() {
            content.check(at)?;
            content.check_order(before)?;
            // Only the running turn is looked at so closely.
            if !model.starts_with("gemini-2") && running.is_none_or(|running| at > running) {
                content.check_signed(at)?;
            }
            before = Some(content);
        }
        Ok(())
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let tools = self
            .tools
            .iter()
            .flat_map(|tools| &tools.function_declarations);
        tools.map(|tool| tool.name.as_str())
    }

    /// The functions to call: those that are allowed, at once, or else the first there is.
    fn calls(&self) -> Vec<String> {
        let Some(config) = &self.tool_config else {
            return Vec::new();
        };
        let calling = &config.function_calling_config;
        match (calling.mode, calling.allowed_function_names.as_slice()) {
            (Mode::Any, []) => self.names().take(1).map(str::to_owned).collect(),
            (Mode::Any, names) => names.to_vec(),
            (Mode::Auto | Mode::None | Mode::Validated, _) => Vec::new(),
        }
    }

    fn parts(&self) -> impl Iterator<Item = &Part> {
        let contents = self.system_instruction.iter().chain(&self.contents);
        contents.flat_map(|content| &content.parts)
    }

    fn prompt_tokens(&self) -> u32 {
        let plain: usize = self.parts().map(Part::text_bytes).sum();
        let tools = self
            .tools
            .iter()
            .flat_map(|tools| &tools.function_declarations);
        let tools = tools.map(|tool| {
            let schema = tool
                .parameters
                .as_ref()
                .or(tool.parameters_json_schema.as_ref());
            let schema = schema.map_or(0, |schema| {
                serde_json::Value::from(schema.clone()).to_string().len()
            });
            tool.name.len() + tool.description.as_ref().map_or(0, String::len) + schema
        });
        let media = self.parts().filter(|part| part.is_media()).count();
        words::prompt_tokens(plain + tools.sum::<usize>(), media)
    }

    fn echo(&self, model: &str) -> String {
        let kinds = |content: &Content| {
            content
                .parts
                .iter()
                .flat_map(Part::kinds)
                .collect::<Vec<_>>()
        };
        let roles = self.contents.iter().map(|content| content.role().as_str());
        let mut echo = format!("Sandbox reply. Model: {}.", clipped(model));
        echo.push_str(&listed(" Messages", roles));
        echo.push_str(&listed(" Parts", self.contents.iter().flat_map(kinds)));
        if let Some(system) = &self.system_instruction {
            echo.push_str(&listed(" System", kinds(system).into_iter()));
        }
        if !self.tools.is_empty() {
            echo.push_str(&listed(" Tools", self.names().map(clipped)));
        }
        if self.generation_config.response_mime_type == Some(Mime::Json) {
            echo.push_str(" Output format: application/json.");
        }
        echo
    }

    fn steering(&self) -> String {
        let mut users = self.contents.iter().rev();
        let texts = users.find_map(|content| {
            let texts: Vec<_> = content.texts().collect();
            (content.role() == Role::User && !texts.is_empty()).then(|| texts.join("\n"))
        });
        texts.unwrap_or_default()
    }

    /// All texts with their roles, for the hash.
    fn transcript(&self) -> String {
        let mut transcript = String::new();
        for content in self.system_instruction.iter().chain(&self.contents) {
            transcript.push_str(content.role.map_or("", Role::as_str));
            for text in content.texts() {
                transcript.push('\n');
                transcript.push_str(text);
            }
            transcript.push('\n');
        }
        transcript
    }
}

fn is_name(name: &str) -> bool {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
    begins && name.len() <= MAX_NAME && name.chars().all(plain)
}

// === impl Content ===

impl Content {
    fn check(&self, at: usize) -> Result<(), String> {
        if self.parts.is_empty() {
            return Err(format!("contents[{at}].parts: must not be empty."));
        }
        for (place, part) in self.parts.iter().enumerate() {
            part.check(self.role())
                .map_err(|problem| format!("contents[{at}].parts[{place}]: {problem}"))?;
        }
        Ok(())
    }

    /// Calls follow the user or results; results follow their calls, as many and of the same functions.
    fn check_order(&self, before: Option<&Self>) -> Result<(), String> {
        let calls = before.into_iter().flat_map(Self::calls);
        let wanted: Vec<_> = calls.map(|call| (&call.name, &call.id)).collect();
        let results = self.results();
        let given: Vec<_> = results.map(|result| (&result.name, &result.id)).collect();
        if wanted.len() != given.len() {
            return Err(
                "Please ensure that the number of function response parts is equal to the number of function call parts \
                 of the function call turn."
                    .to_owned(),
            );
        }
        if wanted.iter().any(|call| !given.contains(call)) {
            return Err(
                "function_response: must have the name and the id of its function call.".to_owned(),
            );
        }
        let after_user = before.is_some_and(|before| before.role() == Role::User);
        if self.calls().next().is_some() && !after_user {
            return Err(
                "Please ensure that function call turn comes immediately after a user turn or after a function response turn."
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// The first of its calls is signed.
    fn check_signed(&self, at: usize) -> Result<(), String> {
        let call = self.parts.iter().find(|part| part.function_call.is_some());
        if call.is_some_and(|part| part.thought_signature.is_none()) {
            return Err(format!(
                "Function call is missing a thought_signature in functionCall parts, contents[{at}]."
            ));
        }
        Ok(())
    }
}

// === impl Part ===

impl Part {
    fn check(&self, role: Role) -> Result<(), &'static str> {
        let kinds = self.kinds();
        let [kind] = kinds.as_slice() else {
            return Err("required oneof field 'data' must have one initialized field");
        };
        let fits = match role {
            Role::User => *kind != "functionCall",
            Role::Model => matches!(*kind, "text" | "functionCall"),
        };
        if !fits {
            return Err("a part of this kind cannot be in a content of this role.");
        }
        if let Some(signature) = &self.thought_signature
            && !signature.starts_with(SIGNATURE)
            && signature != UNSIGNED
        {
            return Err("Corrupted thought signature.");
        }
        if let Some(media) = &self.inline_data {
            if !MEDIA.contains(&media.mime_type.as_str()) {
                return Err("Unsupported MIME type.");
            }
            if STANDARD.decode(&media.data).is_err() {
                return Err("Base64 decoding failed.");
            }
        }
        // The sandbox fetches nothing; it is shown what would have been fetched.
        let uri = self.file_data.as_ref().map(|file| file.file_uri.as_str());
        if uri.is_some_and(|uri| !uri.starts_with("https://") && !uri.starts_with("http://")) {
            return Err("Unsupported file uri.");
        }
        Ok(())
    }
}
