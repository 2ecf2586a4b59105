//! The settings of a request in the words of chat completions: tools, the form of the answer, how much is thought.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use crate::translate::{Wrong, given, given_in};

/// What `include` may name. Most of it is of tools that are not served, so there is none of it.
const INCLUDES: [&str; 8] = [
    "reasoning.encrypted_content",
    LOGPROBS,
    "message.input_image.image_url",
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
];
/// How likely each token was.
const LOGPROBS: &str = "message.output_text.logprobs";
/// Tiers that are no wish.
const USUAL_TIERS: [&str; 2] = ["auto", "default"];

/// `tools`, and which of them are to be called.
pub(super) fn tools(
    fields: &mut Map<String, Value>,
    chat: &mut Map<String, Value>,
    wrong: &mut Wrong,
) {
    let mut tools = match given(fields, "tools") {
        None => Vec::new(),
        Some(Value::Array(tools)) => {
            let functions = tools.into_iter().enumerate();
            functions
                .filter_map(|(place, tool)| function(&format!("tools[{place}]"), tool, wrong))
                .collect()
        }
        Some(_) => {
            wrong.invalid("tools", "be a list");
            Vec::new()
        }
    };
    // Chat takes what is about tools beside tools only.
    if tools.is_empty() {
        chat.remove("parallel_tool_calls");
    }
    if let Some(choice) = given(fields, "tool_choice") {
        match choose(choice, &mut tools) {
            Ok(choice) if tools.is_empty() && matches!(choice.as_str(), Some("auto" | "none")) => {}
            Ok(_) if tools.is_empty() => wrong.invalid("tool_choice", OFFERED),
            Ok(choice) => {
                chat.insert("tool_choice".to_owned(), choice);
            }
            Err(allowed) => wrong.invalid("tool_choice", allowed),
        }
    }
    if !tools.is_empty() {
        chat.insert("tools".to_owned(), tools.into());
    }
}

/// One tool of the customer's own.
fn function(path: &str, mut tool: Value, wrong: &mut Wrong) -> Option<Value> {
    if tool.get("type").and_then(Value::as_str) != Some("function") {
        let allowed = "be function: tools that a provider runs are not served here";
        wrong.invalid(&format!("{path}.type"), allowed);
        return None;
    }
    let Some(name) = given_in(&mut tool, "name").filter(Value::is_string) else {
        wrong.missing(&format!("{path}.name"));
        return None;
    };
    let mut function = Map::from_iter([("name".to_owned(), name)]);
    for same in ["description", "parameters", "strict"] {
        if let Some(value) = given_in(&mut tool, same) {
            function.insert(same.to_owned(), value);
        }
    }
    Some(json!({ "type": "function", "function": function }))
}

/// What a choice must be of.
const OFFERED: &str = "name tools that the request has";

fn name_of(tool: &Value) -> Option<&str> {
    tool.pointer("/function/name").and_then(Value::as_str)
}

/// Which tools are called. A choice of several is made by offering no others.
fn choose(mut choice: Value, tools: &mut Vec<Value>) -> Result<Value, &'static str> {
    const ALLOWED: &str = "be auto, none or required, or have the type function with a name, or allowed_tools with mode and tools";
    if let Some("auto" | "none" | "required") = choice.as_str() {
        return Ok(choice);
    }
    match choice.get("type").and_then(Value::as_str) {
        Some("function") => {
            let name = given_in(&mut choice, "name").filter(Value::is_string);
            let name = name.ok_or(ALLOWED)?;
            Ok(json!({ "type": "function", "function": { "name": name } }))
        }
        Some("allowed_tools") => {
            let mode = given_in(&mut choice, "mode").ok_or(ALLOWED)?;
            if !matches!(mode.as_str(), Some("auto" | "required")) {
                return Err(ALLOWED);
            }
            let allowed = choice.get("tools").and_then(Value::as_array);
            let names: HashSet<&str> = allowed
                .ok_or(ALLOWED)?
                .iter()
                .map(|tool| tool.get("name").and_then(Value::as_str))
                .collect::<Option<_>>()
                .ok_or(ALLOWED)?;
            let known: HashSet<&str> = tools.iter().filter_map(name_of).collect();
            if names.is_empty() || !names.is_subset(&known) {
                return Err(OFFERED);
            }
            tools.retain(|tool| name_of(tool).is_some_and(|name| names.contains(name)));
            Ok(mode)
        }
        Some(_) | None => Err(ALLOWED),
    }
}

/// The form of the answer.
pub(super) fn text(
    fields: &mut Map<String, Value>,
    chat: &mut Map<String, Value>,
    wrong: &mut Wrong,
) {
    let Some(mut text) = given(fields, "text") else {
        return;
    };
    if let Some(verbosity) = given_in(&mut text, "verbosity") {
        chat.insert("verbosity".to_owned(), verbosity);
    }
    let Some(mut format) = given_in(&mut text, "format") else {
        return;
    };
    let kind = given_in(&mut format, "type");
    match kind.as_ref().and_then(Value::as_str) {
        Some("text") => {}
        Some("json_object") => {
            let format = json!({ "type": "json_object" });
            chat.insert("response_format".to_owned(), format);
        }
        Some("json_schema") if format.get("schema").is_some_and(Value::is_object) => {
            if let Some(fields) = format.as_object_mut() {
                fields.retain(|_, value| !value.is_null());
            }
            let format = json!({ "type": "json_schema", "json_schema": format });
            chat.insert("response_format".to_owned(), format);
        }
        Some(_) | None => {
            let allowed = "have the type text, json_object, or json_schema with name and schema";
            wrong.invalid("text.format", allowed);
        }
    }
}

/// How much is thought, and whether that is shown.
pub(super) fn reasoning(
    fields: &mut Map<String, Value>,
    chat: &mut Map<String, Value>,
    wrong: &mut Wrong,
) {
    let Some(mut reasoning) = given(fields, "reasoning") else {
        return;
    };
    if !reasoning.is_object() {
        return wrong.invalid("reasoning", "be an object with effort or summary");
    }
    if let Some(effort) = given_in(&mut reasoning, "effort") {
        chat.insert("reasoning_effort".to_owned(), effort);
    }
    let older = given_in(&mut reasoning, "generate_summary");
    match given_in(&mut reasoning, "summary").or(older) {
        None => {}
        Some(word) if matches!(word.as_str(), Some("auto" | "concise" | "detailed")) => {
            chat.insert("include_thoughts".to_owned(), true.into());
        }
        Some(_) => wrong.invalid("reasoning.summary", "be auto, concise or detailed"),
    }
}

/// How likely each token was.
pub(super) fn logprobs(
    fields: &mut Map<String, Value>,
    chat: &mut Map<String, Value>,
    wrong: &mut Wrong,
) {
    let include = given(fields, "include");
    let words = match &include {
        None => &[],
        Some(Value::Array(words)) => words.as_slice(),
        Some(_) => {
            wrong.invalid("include", "be a list");
            &[]
        }
    };
    let known = |word: &Value| word.as_str().is_some_and(|word| INCLUDES.contains(&word));
    if let Some(place) = words.iter().position(|word| !known(word)) {
        let allowed = format!("be one of {}", INCLUDES.join(", "));
        wrong.invalid(&format!("include[{place}]"), &allowed);
    }
    let top = given(fields, "top_logprobs").filter(|top| *top != 0);
    if top.is_some() || words.iter().any(|word| word == LOGPROBS) {
        chat.insert("logprobs".to_owned(), true.into());
    }
    chat.extend(top.map(|top| ("top_logprobs".to_owned(), top)));
}

/// A wish for another tier than the usual one.
pub(super) fn service_tier(fields: &mut Map<String, Value>, chat: &mut Map<String, Value>) {
    let tier = given(fields, "service_tier").filter(|tier| {
        !tier
            .as_str()
            .is_some_and(|tier| USUAL_TIERS.contains(&tier))
    });
    chat.extend(tier.map(|tier| ("service_tier".to_owned(), tier)));
}
