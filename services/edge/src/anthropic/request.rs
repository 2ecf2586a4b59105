//! A request of the Messages API in the words of chat completions.

use bytes::Bytes;
use proto::Fault;
use serde_json::{Map, Value, json};

use super::message::{messages, system};
use crate::translate::{Wrong, given, given_in, object};

/// Fields that change nothing that OpenAI's form could say.
const LEFT_OUT: [&str; 6] = [
    "top_k",
    "service_tier",
    "cache_control",
    "context_management",
    "inference_geo",
    "betas",
];
/// Fields that mean the same in both, by both names; two of them are ours.
const SAME: [(&str, &str); 7] = [
    ("model", "model"),
    ("models", "models"),
    ("provider", "provider"),
    ("max_tokens", "max_tokens"),
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("stop_sequences", "stop"),
];
/// From so many tokens of thought on, the effort is called so.
const EFFORTS: [(u64, &str); 3] = [(16_384, "high"), (4_096, "medium"), (0, "low")];

/// Writes a request as chat takes it.
///
/// # Errors
/// Everything that cannot be said in OpenAI's form, and what is no request at all. The rest chat checks.
pub(crate) fn translated(body: &[u8]) -> Result<Bytes, Fault> {
    // Anthropic demands it, and so do its SDKs.
    written(body, &["max_tokens"])
}

/// Writes a request whose tokens are to be counted, which says nothing of the answer, as chat takes it.
///
/// # Errors
/// As [`translated`].
pub(crate) fn to_count(body: &[u8]) -> Result<Bytes, Fault> {
    written(body, &[])
}

fn written(body: &[u8], required: &[&str]) -> Result<Bytes, Fault> {
    let mut fields = object(body)?;
    let mut wrong = Wrong::default();
    let mut chat = Map::new();
    for (theirs, ours) in SAME {
        if let Some(value) = given(&mut fields, theirs) {
            chat.insert(ours.to_owned(), value);
        }
    }
    for name in required {
        if !chat.contains_key(*name) {
            wrong.missing(name);
        }
    }
    let first = system(given(&mut fields, "system"), &mut wrong);
    let rest = messages(given(&mut fields, "messages"), &mut wrong);
    chat.insert(
        "messages".to_owned(),
        first.into_iter().chain(rest).collect(),
    );
    tools(&mut fields, &mut chat, &mut wrong);
    thoughts(&mut fields, &mut chat, &mut wrong);
    stream(&mut fields, &mut chat, &mut wrong);
    if let Some(user) =
        given(&mut fields, "metadata").and_then(|mut about| given_in(&mut about, "user_id"))
    {
        chat.insert("user".to_owned(), user);
    }
    for name in LEFT_OUT {
        fields.remove(name);
    }
    wrong.unknown(&fields);
    wrong.done()?;
    Ok(Value::Object(chat).to_string().into())
}

fn tools(fields: &mut Map<String, Value>, chat: &mut Map<String, Value>, wrong: &mut Wrong) {
    match given(fields, "tools") {
        None => {}
        Some(Value::Array(tools)) => {
            let tools: Vec<Value> = tools
                .into_iter()
                .enumerate()
                .filter_map(|(place, tool)| function(place, tool, wrong))
                .collect();
            if !tools.is_empty() {
                chat.insert("tools".to_owned(), tools.into());
            }
        }
        Some(_) => wrong.invalid("tools", "be a list"),
    }
    let Some(mut choice) = given(fields, "tool_choice") else {
        return;
    };
    let serial = given_in(&mut choice, "disable_parallel_tool_use");
    if serial == Some(Value::Bool(true)) {
        chat.insert("parallel_tool_calls".to_owned(), false.into());
    }
    let name = given_in(&mut choice, "name");
    let choice = match (choice.get("type").and_then(Value::as_str), name) {
        (Some("auto"), _) => json!("auto"),
        (Some("any"), _) => json!("required"),
        (Some("none"), _) => json!("none"),
        (Some("tool"), Some(name)) => json!({ "type": "function", "function": { "name": name } }),
        (Some(_) | None, _) => {
            let allowed = "have the type auto, any, none, or tool with a name";
            return wrong.invalid("tool_choice", allowed);
        }
    };
    chat.insert("tool_choice".to_owned(), choice);
}

/// One tool. Those that Anthropic runs itself have a type and no schema.
fn function(place: usize, mut tool: Value, wrong: &mut Wrong) -> Option<Value> {
    let path = format!("tools[{place}]");
    if tool
        .get("type")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind != "custom")
    {
        wrong.invalid(
            &path,
            "be a tool of your own: tools that a provider runs are not served here",
        );
        return None;
    }
    let (name, schema) = (
        given_in(&mut tool, "name"),
        given_in(&mut tool, "input_schema"),
    );
    let (Some(name), Some(schema)) = (name, schema) else {
        wrong.invalid(&path, "have a name and an input_schema");
        return None;
    };
    let mut function =
        Map::from_iter([("name".to_owned(), name), ("parameters".to_owned(), schema)]);
    for same in ["description", "strict"] {
        if let Some(value) = given_in(&mut tool, same) {
            function.insert(same.to_owned(), value);
        }
    }
    Some(json!({ "type": "function", "function": function }))
}

/// How much is thought, whether that is shown, and the form of the answer.
fn thoughts(fields: &mut Map<String, Value>, chat: &mut Map<String, Value>, wrong: &mut Wrong) {
    if let Some(thinking) = given(fields, "thinking") {
        let budget = thinking.get("budget_tokens").and_then(Value::as_u64);
        match (thinking.get("type").and_then(Value::as_str), budget) {
            (Some("disabled"), _) => {
                chat.insert("reasoning_effort".to_owned(), "none".into());
            }
            (Some("adaptive"), _) => {
                chat.insert("include_thoughts".to_owned(), true.into());
            }
            (Some("enabled"), Some(budget)) => {
                chat.insert("include_thoughts".to_owned(), true.into());
                let effort = EFFORTS.iter().find(|(from, _)| budget >= *from);
                chat.extend(effort.map(|(_, word)| ("reasoning_effort".to_owned(), json!(word))));
            }
            (Some(_) | None, _) => wrong.invalid(
                "thinking",
                "have the type disabled, adaptive, or enabled with budget_tokens",
            ),
        }
    }
    let Some(mut output) = given(fields, "output_config") else {
        return;
    };
    if let Some(effort) = given_in(&mut output, "effort") {
        chat.insert("reasoning_effort".to_owned(), effort);
    }
    let Some(mut format) = given_in(&mut output, "format") else {
        return;
    };
    match given_in(&mut format, "schema") {
        Some(schema) => {
            let schema = json!({ "name": "answer", "schema": schema, "strict": true });
            let format = json!({ "type": "json_schema", "json_schema": schema });
            chat.insert("response_format".to_owned(), format);
        }
        None => wrong.invalid("output_config.format", "be a json_schema with its schema"),
    }
}

fn stream(fields: &mut Map<String, Value>, chat: &mut Map<String, Value>, wrong: &mut Wrong) {
    match given(fields, "stream") {
        None | Some(Value::Bool(false)) => {}
        Some(Value::Bool(true)) => {
            chat.insert("stream".to_owned(), true.into());
            chat.insert(
                "stream_options".to_owned(),
                json!({ "include_usage": true }),
            );
        }
        Some(_) => wrong.invalid("stream", "be true or false"),
    }
}

#[cfg(test)]
mod tests {
    use proto::code;

    use super::*;

    fn chat(body: &Value) -> Result<Value, Vec<String>> {
        match translated(body.to_string().as_bytes()) {
            Ok(body) => Ok(serde_json::from_slice(&body).unwrap()),
            Err(fault) => {
                let params = fault.violations.into_iter().map(|wrong| wrong.param);
                Err(params.chain(fault.param).collect())
            }
        }
    }

    #[test]
    fn a_request_is_said_in_openais_words() {
        let body = json!({
            "model": "gemini", "max_tokens": 100, "temperature": 0.5, "top_k": 3, "stop_sequences": ["END"], "stream": true,
            "models": ["claude"], "provider": { "only": ["p"] },
            "system": [{ "type": "text", "text": "be", "cache_control": { "type": "ephemeral" } }, { "type": "text", "text": "brief" }],
            "messages": [{ "role": "user", "content": "hi" }],
            "tools": [{ "name": "f", "description": "d", "input_schema": { "type": "object" } }],
            "tool_choice": { "type": "any", "disable_parallel_tool_use": true },
            "thinking": { "type": "enabled", "budget_tokens": 5000 },
            "output_config": { "format": { "type": "json_schema", "schema": { "type": "object" } } },
            "metadata": { "user_id": "u" },
        });
        assert_eq!(
            chat(&body),
            Ok(json!({
                "model": "gemini", "models": ["claude"], "provider": { "only": ["p"] },
                "max_tokens": 100, "temperature": 0.5, "stop": ["END"],
                "stream": true, "stream_options": { "include_usage": true },
                "messages": [
                    { "role": "system", "content": "be\n\nbrief" },
                    { "role": "user", "content": "hi" },
                ],
                "tools": [{ "type": "function", "function": { "name": "f", "description": "d", "parameters": { "type": "object" } } }],
                "tool_choice": "required", "parallel_tool_calls": false,
                "include_thoughts": true, "reasoning_effort": "medium",
                "response_format": { "type": "json_schema", "json_schema": { "name": "answer", "schema": { "type": "object" }, "strict": true } },
                "user": "u",
            }))
        );
    }

    #[test]
    fn choices_and_efforts_have_their_words() {
        let with = |name: &str, value: Value| {
            let mut body = json!({ "model": "m", "max_tokens": 1, "messages": [{ "role": "user", "content": "x" }] });
            body.as_object_mut().unwrap().insert(name.to_owned(), value);
            chat(&body).unwrap()
        };
        for (kind, expected) in [("auto", "auto"), ("any", "required"), ("none", "none")] {
            let chat = with("tool_choice", json!({ "type": kind }));
            assert_eq!(chat["tool_choice"], expected);
        }
        let named = with("tool_choice", json!({ "type": "tool", "name": "f" }));
        assert_eq!(named["tool_choice"]["function"]["name"], "f");
        for (budget, expected) in [(1_024, "low"), (4_096, "medium"), (32_000, "high")] {
            let thinking = json!({ "type": "enabled", "budget_tokens": budget });
            assert_eq!(with("thinking", thinking)["reasoning_effort"], expected);
        }
        let off = with("thinking", json!({ "type": "disabled" }));
        assert!(off["reasoning_effort"] == "none" && off.get("include_thoughts").is_none());
    }

    #[test]
    fn everything_wrong_is_found() {
        let body = json!({
            "model": "m", "messages": [], "stream": 1, "color": "red", "tool_choice": { "type": "tool" },
            "tools": [{ "type": "web_search_20250305", "name": "web_search" }, { "name": "f" }],
            "thinking": { "type": "enabled" },
        });
        assert_eq!(
            chat(&body).unwrap_err(),
            [
                "max_tokens",
                "messages",
                "tools[0]",
                "tools[1]",
                "tool_choice",
                "thinking",
                "stream",
                "color",
                "max_tokens"
            ]
        );
        assert_eq!(translated(b"[1]").unwrap_err().code, code::INVALID_JSON);
    }
}
