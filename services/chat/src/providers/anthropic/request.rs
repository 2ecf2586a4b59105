//! From OpenAI's request to Anthropic's. Pure.
//!
//! | OpenAI | Anthropic |
//! |---|---|
//! | `messages` | `system`, `messages`: see `messages.rs` |
//! | the limit of output | `max_tokens` |
//! | `temperature` (to 1), `top_p`, `stop` | `temperature`, `top_p`, `stop_sequences` |
//! | `tools`, `tool_choice`, `parallel_tool_calls` | `tools`, `tool_choice` |
//! | `response_format` of type `json_schema` | `output_config.format` |
//! | `reasoning_effort`, `include_thoughts` | `output_config.effort`, `thinking` |
//! | `safety_identifier`, else `user` | `metadata.user_id` |
//!
//! What would change the answer and cannot be said is refused, by its name: [`CANNOT`]. Everything else, such as `seed` or `store`, is a
//! hint and left out.

mod messages;

use std::borrow::Cow;

use bytes::Bytes;
use domain::Problem;
use serde_json::value::RawValue;

use super::{
    thoughts::Show,
    wire::{Body, ChoiceKind, Format, Metadata, OutputConfig, Thinking, Tool, ToolChoice},
};
use crate::{
    providers::{
        Order,
        members::{Cannot, Members, ResponseFormat, WireChoice, WireTool},
    },
    request::{Request, Wanted},
};

/// What Anthropic cannot do: the parameter, the values that ask for nothing, and what it must be.
const CANNOT: &[Cannot] = &[
    ("logprobs", &["false"], "be false for this model"),
    ("top_logprobs", &["0"], "be left out for this model"),
    ("logit_bias", &["{}"], "be left out for this model"),
    ("frequency_penalty", &["0", "0.0"], "be 0 for this model"),
    ("presence_penalty", &["0", "0.0"], "be 0 for this model"),
    (
        "modalities",
        &["[\"text\"]"],
        "be [\"text\"] for this model",
    ),
    ("audio", &[], "be left out for this model"),
    ("web_search_options", &[], "be left out for this model"),
    ("functions", &["[]"], "be left out: use tools"),
    ("function_call", &[], "be left out: use tool_choice"),
];

/// Words of `reasoning_effort`, and Anthropic's.
const EFFORTS: &[(&str, &str)] = &[
    ("minimal", "low"),
    ("low", "low"),
    ("medium", "medium"),
    ("high", "high"),
    ("xhigh", "xhigh"),
    ("max", "max"),
];
/// The word that switches thinking off.
const NO_EFFORT: &str = "none";

/// A schema for tools that take nothing.
const NO_PARAMETERS: &str = r#"{"type":"object","properties":{}}"#;

/// A request that is being read.
struct Asked<'a>(Members<'a>);

/// Anthropic's body for a request.
///
/// # Errors
/// The first thing that cannot be said to Anthropic.
pub(super) fn translate(order: Order<'_>, model: &str) -> Result<Bytes, Problem> {
    let members = Members::read(order.body)?;
    members.refuse(CANNOT)?;
    one_choice(order.request)?;
    let (system, turns) = messages::translate(members.list("messages")?)?;
    let members = Asked(members);
    let effort = members.effort()?;
    let tools = members.tools()?;
    let body = Body {
        model,
        max_tokens: order.max_output,
        system,
        messages: turns,
        stream: order.request.answer != Wanted::Whole,
        temperature: members.0.number("temperature", 0.0..=1.0)?,
        top_p: members.0.number("top_p", 0.0..=1.0)?,
        stop_sequences: members.0.stop()?,
        tool_choice: members.tool_choice(&tools)?,
        tools,
        thinking: thinking(effort, Show::of(order.request.thoughts)),
        output_config: members.output_config(effort)?,
        metadata: members.metadata()?,
    };
    let body = serde_json::to_vec(&body);
    body.map(Bytes::from)
        .map_err(|_| Problem::invalid("messages", "be such that they can be sent on"))
}

fn one_choice(request: &Request) -> Result<(), Problem> {
    if request.choices == 1 {
        return Ok(());
    }
    Err(Problem::invalid(
        "n",
        "be 1: this model gives one answer at a time",
    ))
}

/// How much a model thinks is its effort; here it is said whether it does at all, and who reads it.
fn thinking(effort: Option<&'static str>, show: Show) -> Option<Thinking> {
    match (effort, show) {
        (Some(NO_EFFORT), _) => Some(Thinking::Disabled),
        (_, Show::Thoughts) => Some(Thinking::Adaptive {
            display: "summarized",
        }),
        (Some(_), Show::AnswerOnly) => Some(Thinking::Adaptive { display: "omitted" }),
        (None, Show::AnswerOnly) => None,
    }
}

// === impl Members ===

impl<'a> Asked<'a> {
    fn tools(&self) -> Result<Vec<Tool<'a>>, Problem> {
        let tools = self.0.list("tools")?.into_iter().enumerate();
        tools.map(|(at, raw)| tool(at, raw)).collect()
    }

    fn tool_choice(&self, tools: &[Tool<'_>]) -> Result<Option<ToolChoice>, Problem> {
        const ALLOWED: &str =
            "be auto, none, required, or {\"type\":\"function\",\"function\":{\"name\":…}}";
        let kind = match self.0.get("tool_choice", ALLOWED)? {
            None => None,
            Some(WireChoice::Named { function }) => Some(ChoiceKind::Tool {
                name: function.name,
            }),
            Some(WireChoice::Allowed { .. }) => {
                return Err(Problem::invalid("tool_choice", ALLOWED));
            }
            Some(WireChoice::Word(word)) => Some(match word.as_str() {
                "auto" => ChoiceKind::Auto,
                "none" => ChoiceKind::None,
                "required" => ChoiceKind::Any,
                _ => return Err(Problem::invalid("tool_choice", ALLOWED)),
            }),
        };
        let parallel: Option<bool> = self.0.get("parallel_tool_calls", "be true or false")?;
        let one_only = parallel == Some(false) && !tools.is_empty();
        let kind = kind.or_else(|| one_only.then_some(ChoiceKind::Auto));
        Ok(kind.map(|kind| ToolChoice {
            disable_parallel_tool_use: (one_only && kind != ChoiceKind::None).then_some(true),
            kind,
        }))
    }

    /// Anthropic's word for the effort, or [`NO_EFFORT`].
    fn effort(&self) -> Result<Option<&'static str>, Problem> {
        const ALLOWED: &str = "be one of none, minimal, low, medium, high, xhigh, max";
        let Some(word) = self.0.get::<String>("reasoning_effort", ALLOWED)? else {
            return Ok(None);
        };
        if word == NO_EFFORT {
            return Ok(Some(NO_EFFORT));
        }
        let row = EFFORTS.iter().find(|(effort, _)| *effort == word);
        row.map(|(_, effort)| Some(*effort))
            .ok_or_else(|| Problem::invalid("reasoning_effort", ALLOWED))
    }

    fn output_config(
        &self,
        effort: Option<&'static str>,
    ) -> Result<Option<OutputConfig<'a>>, Problem> {
        let config = OutputConfig {
            effort: effort.filter(|effort| *effort != NO_EFFORT),
            format: self.format()?,
        };
        let says_something = config.effort.is_some() || config.format.is_some();
        Ok(says_something.then_some(config))
    }

    fn format(&self) -> Result<Option<Format<'a>>, Problem> {
        const NAME: &str = "response_format";
        let allowed = "be of type text, or of type json_schema with a schema, for this model";
        let Some(format) = self.0.get::<ResponseFormat<'a>>(NAME, allowed)? else {
            return Ok(None);
        };
        let schema = format.json_schema.and_then(|json| json.schema);
        match (format.r#type.as_str(), schema) {
            ("text", _) => Ok(None),
            ("json_schema", Some(schema)) => Ok(Some(Format {
                r#type: "json_schema",
                schema,
            })),
            _ => Err(Problem::invalid(NAME, allowed)),
        }
    }

    fn metadata(&self) -> Result<Option<Metadata>, Problem> {
        let stable: Option<String> = self.0.get("safety_identifier", "be a text")?;
        let user: Option<String> = self.0.get("user", "be a text")?;
        Ok(stable.or(user).map(|user_id| Metadata { user_id }))
    }
}

fn tool(at: usize, raw: &RawValue) -> Result<Tool<'_>, Problem> {
    let wrong = || {
        let allowed = "be of type function, with a function that has a name";
        Problem::invalid(format!("tools[{at}]"), allowed)
    };
    let tool: WireTool<'_> = serde_json::from_str(raw.get()).map_err(|_| wrong())?;
    let function = tool.function.filter(|_| tool.r#type == "function");
    let function = function.ok_or_else(wrong)?;
    let input_schema = match function.parameters {
        Some(schema) => Cow::Borrowed(schema),
        None => RawValue::from_string(NO_PARAMETERS.to_owned())
            .map(Cow::Owned)
            .map_err(|_| wrong())?,
    };
    Ok(Tool {
        name: function.name,
        description: function.description,
        input_schema,
        // What is not strict is not said: older models do not know the word.
        strict: function.strict.filter(|strict| *strict),
    })
}

#[cfg(test)]
mod tests;
