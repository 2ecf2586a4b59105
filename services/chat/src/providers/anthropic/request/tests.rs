//! Tables of what a request becomes.

use serde_json::{Value, json};

use super::*;
use crate::{providers::Urls, request};

/// What Anthropic is asked for a request with these members, beside the model and one message.
fn asked(extra: &Value) -> Result<Value, Problem> {
    let mut body = json!({"model": "claude", "messages": [{"role": "user", "content": "hi"}]});
    for (name, value) in extra.as_object().unwrap() {
        body[name] = value.clone();
    }
    let body = Bytes::from(body.to_string());
    let request = request::parse(&body, 8).unwrap();
    let order = Order {
        body: &body,
        request: &request,
        max_output: 99,
        urls: Urls::Shown,
    };
    Ok(serde_json::from_slice(&translate(order, "up")?).unwrap())
}

/// Members of a request, a member of what Anthropic is asked, and its value.
fn check(rows: &[(Value, &str, Value)]) {
    for (extra, name, expected) in rows {
        assert_eq!(asked(extra).unwrap()[*name], *expected, "{extra}");
    }
}

/// Members of a request, their values, and the parameter that is named.
fn refused(rows: &[(&str, Value, &str)]) {
    for (name, value, param) in rows {
        let problem = asked(&json!({*name: value})).unwrap_err();
        assert_eq!(problem.param, *param, "{name}: {value}");
        assert!(
            !problem.message.contains("secret"),
            "no content in an error"
        );
    }
}

#[test]
fn the_smallest_request() {
    let hi = json!([{"type": "text", "text": "hi"}]);
    assert_eq!(
        asked(&json!({})).unwrap(),
        json!({"model": "up", "max_tokens": 99, "stream": false, "messages": [{"role": "user", "content": hi}]})
    );
}

#[test]
fn each_parameter_in_anthropics_words() {
    let schema = json!({"type": "object"});
    check(&[
        (json!({"stream": true}), "stream", json!(true)),
        (json!({"max_tokens": 5000}), "max_tokens", json!(99)),
        (json!({"temperature": 0.25}), "temperature", json!(0.25)),
        (json!({"top_p": 1}), "top_p", json!(1)),
        (json!({"stop": "a"}), "stop_sequences", json!(["a"])),
        (
            json!({"stop": ["a", "b"]}),
            "stop_sequences",
            json!(["a", "b"]),
        ),
        (json!({"stop": null}), "stop_sequences", Value::Null),
        (
            json!({"response_format": {"type": "text"}}),
            "output_config",
            Value::Null,
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}}),
            "output_config",
            json!({"format": {"type": "json_schema", "schema": schema}}),
        ),
        (json!({"user": "u"}), "metadata", json!({"user_id": "u"})),
        (
            json!({"user": "u", "safety_identifier": "s"}),
            "metadata",
            json!({"user_id": "s"}),
        ),
        // Our own labels stay with us, and hints are left out.
        (
            json!({"metadata": {"team": "red"}}),
            "metadata",
            Value::Null,
        ),
        (json!({"seed": 7}), "seed", Value::Null),
    ]);
}

#[test]
fn tools_in_anthropics_words() {
    let tool = json!({"type": "function", "function": {"name": "f", "description": "d", "parameters": {"z": 1, "a": 2}, "strict": true}});
    let bare =
        json!({"type": "function", "function": {"name": "g", "parameters": null, "strict": false}});
    let with_tools = |name: &str, value: Value| json!({"tools": [bare], name: value});
    check(&[
        (
            json!({"tools": [tool]}),
            "tools",
            json!([{"name": "f", "description": "d", "input_schema": {"z": 1, "a": 2}, "strict": true}]),
        ),
        (
            json!({"tools": [bare]}),
            "tools",
            json!([{"name": "g", "input_schema": {"type": "object", "properties": {}}}]),
        ),
        (
            json!({"tool_choice": "auto"}),
            "tool_choice",
            json!({"type": "auto"}),
        ),
        (
            json!({"tool_choice": "none"}),
            "tool_choice",
            json!({"type": "none"}),
        ),
        (
            json!({"tool_choice": "required"}),
            "tool_choice",
            json!({"type": "any"}),
        ),
        (
            json!({"tool_choice": {"type": "function", "function": {"name": "g"}}}),
            "tool_choice",
            json!({"type": "tool", "name": "g"}),
        ),
        (
            with_tools("parallel_tool_calls", json!(false)),
            "tool_choice",
            json!({"type": "auto", "disable_parallel_tool_use": true}),
        ),
        (
            with_tools("parallel_tool_calls", json!(true)),
            "tool_choice",
            Value::Null,
        ),
        (
            json!({"parallel_tool_calls": false}),
            "tool_choice",
            Value::Null,
        ),
        (
            json!({"tools": [bare], "tool_choice": "none", "parallel_tool_calls": false}),
            "tool_choice",
            json!({"type": "none"}),
        ),
    ]);
}

#[test]
fn the_bytes_of_a_schema_are_the_customers() {
    let body = Bytes::from_static(
        br#"{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"z":1.0,  "a":2}}}]}"#,
    );
    let request = request::parse(&body, 8).unwrap();
    let order = Order {
        body: &body,
        request: &request,
        max_output: 9,
        urls: Urls::Shown,
    };
    let asked = translate(order, "up").unwrap();
    let asked = std::str::from_utf8(&asked).unwrap();
    assert!(
        asked.contains(r#""input_schema":{"z":1.0,  "a":2}"#),
        "{asked}"
    );
}

#[test]
fn effort_and_thoughts() {
    let adaptive = |display: &str| json!({"type": "adaptive", "display": display});
    for (effort, thoughts, thinking, expected) in [
        (json!(null), json!(null), Value::Null, Value::Null),
        (json!(null), json!(false), Value::Null, Value::Null),
        (
            json!(null),
            json!(true),
            adaptive("summarized"),
            Value::Null,
        ),
        (
            json!("minimal"),
            json!(null),
            adaptive("omitted"),
            json!("low"),
        ),
        (json!("low"), json!(null), adaptive("omitted"), json!("low")),
        (
            json!("medium"),
            json!(true),
            adaptive("summarized"),
            json!("medium"),
        ),
        (
            json!("high"),
            json!(null),
            adaptive("omitted"),
            json!("high"),
        ),
        (
            json!("xhigh"),
            json!(null),
            adaptive("omitted"),
            json!("xhigh"),
        ),
        (json!("max"), json!(null), adaptive("omitted"), json!("max")),
        (
            json!("none"),
            json!(true),
            json!({"type": "disabled"}),
            Value::Null,
        ),
    ] {
        let asked =
            asked(&json!({"reasoning_effort": effort, "include_thoughts": thoughts})).unwrap();
        assert_eq!(asked["thinking"], thinking, "{effort} {thoughts}");
        assert_eq!(
            asked["output_config"]["effort"], expected,
            "{effort} {thoughts}"
        );
    }
}

#[test]
fn what_cannot_be_said_is_refused_by_its_name() {
    refused(&[
        ("n", json!(2), "n"),
        ("logprobs", json!(true), "logprobs"),
        ("top_logprobs", json!(3), "top_logprobs"),
        ("logit_bias", json!({"7": 1}), "logit_bias"),
        ("frequency_penalty", json!(0.5), "frequency_penalty"),
        ("presence_penalty", json!(-1), "presence_penalty"),
        ("modalities", json!(["text", "audio"]), "modalities"),
        ("audio", json!({"voice": "x"}), "audio"),
        ("web_search_options", json!({}), "web_search_options"),
        ("functions", json!([{"name": "f"}]), "functions"),
        ("function_call", json!("auto"), "function_call"),
        ("temperature", json!(1.5), "temperature"),
        ("temperature", json!("hot"), "temperature"),
        ("top_p", json!(-0.1), "top_p"),
        ("stop", json!(7), "stop"),
        ("tools", json!({}), "tools"),
        (
            "tools",
            json!([{"type": "custom", "custom": {"name": "x"}}]),
            "tools[0]",
        ),
        ("tool_choice", json!("any"), "tool_choice"),
        (
            "tool_choice",
            json!({"type": "allowed_tools"}),
            "tool_choice",
        ),
        (
            "response_format",
            json!({"type": "json_object"}),
            "response_format",
        ),
        (
            "response_format",
            json!({"type": "json_schema"}),
            "response_format",
        ),
        ("reasoning_effort", json!("huge"), "reasoning_effort"),
    ]);
    // What asks for nothing is nothing.
    let nothing = json!({"n": 1, "logprobs": false, "top_logprobs": 0, "logit_bias": {}, "frequency_penalty": 0, "presence_penalty": 0.0,
        "modalities": ["text"], "audio": null, "functions": [], "function_call": null});
    assert_eq!(asked(&nothing).unwrap(), asked(&json!({})).unwrap());
}

#[test]
fn messages_that_cannot_be_said_are_refused_by_their_place() {
    let image = |url: &str| json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]);
    let part =
        |part: Value| json!([{"role": "user", "content": [{"type": "text", "text": "x"}, part]}]);
    refused(&[
        (
            "messages",
            json!([{"role": "function", "name": "f", "content": "x"}]),
            "messages[0].role",
        ),
        (
            "messages",
            json!([{"role": "system", "content": "x"}]),
            "messages",
        ),
        (
            "messages",
            json!([{"role": "user", "content": ""}]),
            "messages",
        ),
        (
            "messages",
            json!([{"role": "tool", "content": "x"}]),
            "messages[0].tool_call_id",
        ),
        (
            "messages",
            image("ftp://x/y.png"),
            "messages[0].content[0].image_url.url",
        ),
        (
            "messages",
            image("data:image/png,raw"),
            "messages[0].content[0].image_url.url",
        ),
        (
            "messages",
            part(json!({"type": "input_audio", "input_audio": {}})),
            "messages[0].content[1].type",
        ),
        (
            "messages",
            part(json!({"type": "file", "file": {"filename": "f"}})),
            "messages[0].content[1].file.file_data",
        ),
        (
            "messages",
            part(json!({"type": "file", "file": {"file_data": "data:text/csv;base64,AAAA"}})),
            "messages[0].content[1].file.file_data",
        ),
        (
            "messages",
            part(json!({"type": "image_url"})),
            "messages[0].content[1]",
        ),
    ]);
}

#[test]
fn calls_that_cannot_be_said_are_refused_by_their_place() {
    let call = |call: Value| json!([{"role": "assistant", "tool_calls": [call]}]);
    refused(&[
        (
            "messages",
            call(json!({"id": "c", "type": "custom"})),
            "messages[0].tool_calls[0]",
        ),
        (
            "messages",
            call(json!({"id": "c", "function": {"name": "f", "arguments": "[1]"}})),
            "messages[0].tool_calls[0].function.arguments",
        ),
        (
            "messages",
            call(json!({"id": "c", "function": {"name": "f", "arguments": "{\"secret\""}})),
            "messages[0].tool_calls[0].function.arguments",
        ),
    ]);
}

#[test]
fn a_talk_with_everything_in_it() {
    let messages = json!([
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [
            {"type": "text", "text": "see"}, {"type": "text", "text": ""},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.jpg"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"}},
        ]},
        {"role": "user", "content": "and"},
        {"role": "developer", "content": [{"type": "text", "text": "be kind"}]},
        {"role": "assistant", "content": "Let me look.", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"z\": 1, \"a\": 2}"}},
            {"id": "c2", "type": "function", "function": {"name": "g", "arguments": ""}},
        ], "reasoning_details": [{"type": "thinking", "thinking": "hm", "signature": "s", "after_text": 0, "after_calls": 0}]},
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "warm"}]},
        {"role": "user", "content": "so?"},
        {"role": "assistant", "content": null, "refusal": "No."},
    ]);
    let asked = asked(&json!({"messages": messages})).unwrap();
    let text = |text: &str| json!({"type": "text", "text": text});
    assert_eq!(asked["system"], json!([text("be brief"), text("be kind")]));
    let base64 =
        |kind: &str, data: &str| json!({"type": "base64", "media_type": kind, "data": data});
    let expected = json!([
        {"role": "user", "content": [
            text("see"),
            {"type": "image", "source": base64("image/png", "AAAA")},
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.jpg"}},
            {"type": "document", "source": base64("application/pdf", "BBBB"), "title": "a.pdf"},
            text("and"),
        ]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            text("Let me look."),
            {"type": "tool_use", "id": "c1", "name": "f", "input": {"z": 1, "a": 2}},
            {"type": "tool_use", "id": "c2", "name": "g", "input": {}},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "c1", "content": [text("sunny")]},
            {"type": "tool_result", "tool_use_id": "c2", "content": [text("warm")]},
            text("so?"),
        ]},
        {"role": "assistant", "content": [text("No.")]},
    ]);
    assert_eq!(asked["messages"], expected);
}
