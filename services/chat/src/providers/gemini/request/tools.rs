//! Tools, and which of them are called. Pure.

use domain::Problem;
use serde_json::value::RawValue;

use super::super::wire::{Calling, Declaration, Mode, ToolConfig};
use crate::providers::members::{AllowedTools, Members, WireChoice, WireTool};

/// The longest name.
const MAX_NAME: usize = 128;

/// Gemini's declarations of `tools`.
pub(super) fn declarations<'a>(members: &Members<'a>) -> Result<Vec<Declaration<'a>>, Problem> {
    let tools = members.list("tools")?.into_iter().enumerate();
    tools.map(|(at, raw)| declaration(at, raw)).collect()
}

fn declaration(at: usize, raw: &RawValue) -> Result<Declaration<'_>, Problem> {
    let path = format!("tools[{at}]");
    let wrong = || {
        let allowed = "be of type function, with a function that has a name";
        Problem::invalid(&*path, allowed)
    };
    let tool: WireTool<'_> = serde_json::from_str(raw.get()).map_err(|_| wrong())?;
    let function = tool.function.filter(|_| tool.r#type == "function");
    let function = function.ok_or_else(wrong)?;
    if !is_name(&function.name) {
        let allowed = format!(
            "begin with a letter or an underscore, and hold letters, digits, _ . : - only, at most {MAX_NAME}, for this model"
        );
        return Err(Problem::invalid(format!("{path}.function.name"), allowed));
    }
    Ok(Declaration {
        name: function.name,
        description: function.description,
        parameters_json_schema: function.parameters,
        strict: function.strict == Some(true),
    })
}

fn is_name(name: &str) -> bool {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
    begins && name.len() <= MAX_NAME && name.chars().all(plain)
}

/// `toolConfig`: `tool_choice`, and whether calls must be as declared.
pub(super) fn config(
    members: &Members<'_>,
    tools: &[Declaration<'_>],
) -> Result<Option<ToolConfig>, Problem> {
    let _: Option<bool> = members.get("parallel_tool_calls", "be true or false")?;
    let strict = tools.iter().any(|tool| tool.strict);
    let by_itself = if strict { Mode::Validated } else { Mode::Auto };
    let calling = choice(members, by_itself)?.or_else(|| strict.then(|| any_of(by_itself)));
    Ok(calling.map(|function_calling_config| ToolConfig {
        function_calling_config,
    }))
}

fn choice(members: &Members<'_>, by_itself: Mode) -> Result<Option<Calling>, Problem> {
    const NAME: &str = "tool_choice";
    const ALLOWED: &str = "be auto, none, required, {\"type\":\"function\",\"function\":{\"name\":…}}, or \
         {\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":…,\"tools\":[…]}} with mode auto or required";
    let unknown = || Problem::invalid(NAME, ALLOWED);
    Ok(Some(match members.get(NAME, ALLOWED)? {
        None => return Ok(None),
        Some(WireChoice::Named { function }) => Calling {
            mode: Mode::Any,
            allowed_function_names: vec![function.name],
        },
        Some(WireChoice::Allowed {
            allowed_tools: AllowedTools { mode, tools },
        }) => Calling {
            mode: match mode.as_str() {
                // Only so may the model be told which tools, and answer without any.
                "auto" => Mode::Validated,
                "required" => Mode::Any,
                _ => return Err(unknown()),
            },
            allowed_function_names: tools.into_iter().map(|tool| tool.function.name).collect(),
        },
        Some(WireChoice::Word(word)) => any_of(match word.as_str() {
            "auto" => by_itself,
            "none" => Mode::None,
            "required" => Mode::Any,
            _ => return Err(unknown()),
        }),
    }))
}

fn any_of(mode: Mode) -> Calling {
    Calling {
        mode,
        allowed_function_names: Vec::new(),
    }
}
