//! Tables of what is understood, and of what is not.

use serde_json::{Value, json};

use super::*;

/// Reads a request with these members.
fn check(extra: &Value) -> Result<Asked, String> {
    let hi = json!([{ "role": "user", "content": "hi there" }]);
    let mut body = json!({ "model": "m", "max_tokens": 9, "messages": hi });
    for (key, value) in extra.as_object().unwrap() {
        body[key] = value.clone();
    }
    read(body.to_string().as_bytes())
}

fn tool(name: &str) -> Value {
    json!({ "name": name, "input_schema": { "type": "object" } })
}

#[test]
fn the_smallest_request() {
    let asked = check(&json!({})).unwrap();
    assert_eq!((asked.delivery, asked.form), (Delivery::Whole, Form::Text));
    assert_eq!((asked.prompt_tokens, asked.limit, asked.call), (2, 9, None));
    assert_eq!(asked.steering, "hi there");
    let echo = "Sandbox reply. Model: m. Messages: 1 (user). Parts: 1 (text).";
    assert_eq!((asked.echo.as_str(), asked.thinking), (echo, None));
}

#[test]
fn everything_arrives() {
    let image = json!({ "type": "base64", "media_type": "image/png", "data": "AAAA" });
    let schema = json!({ "type": "json_schema", "schema": {} });
    let asked = check(&json!({
        "stream": true, "system": [{ "type": "text", "text": "be brief" }], "temperature": 0.5, "top_p": 1, "top_k": 5,
        "stop_sequences": ["x"], "tools": [tool("f"), tool("g")], "tool_choice": { "type": "tool", "name": "g" },
        "thinking": { "type": "adaptive", "display": "summarized" }, "metadata": { "user_id": "u" },
        "output_config": { "effort": "low", "format": schema },
        "messages": [
            { "role": "user", "content": [
                { "type": "text", "text": "[sandbox outcome=fail]" }, { "type": "image", "source": image },
                { "type": "text", "text": "more" },
            ] },
            { "role": "assistant", "content": [
                { "type": "thinking", "thinking": "", "signature": SIGNATURE },
                { "type": "tool_use", "id": "t1", "name": "f", "input": {} },
            ] },
            { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "t1", "content": "four" }] },
        ],
    }))
    .unwrap();
    assert_eq!((asked.delivery, asked.form), (Delivery::Stream, Form::Json));
    assert_eq!(
        (asked.thinking, asked.call.as_deref()),
        (Some(Shown::Summarized), Some("g"))
    );
    assert_eq!(asked.steering, "[sandbox outcome=fail]\nmore");
    assert_eq!(
        asked.echo,
        "Sandbox reply. Model: m. Messages: 3 (user, assistant, user). Parts: 6 (text, image, text, thinking, tool_use, \
         tool_result). System: 1 (text). Tools: 2 (f, g). Output format: json_schema. Effort: low."
    );
    // 8 bytes of the system, 22, 4, 3 and 4 of the messages, 18 of each tool, and one image.
    assert_eq!(asked.prompt_tokens, 258 + 77_u32.div_ceil(4));
}

/// Members of a request, and what the refusal says.
fn refused(rows: &[(Value, &str)]) {
    for (extra, says) in rows {
        let problem = check(extra).unwrap_err();
        assert!(problem.contains(says), "{extra}: {problem}");
    }
}

#[test]
fn what_is_wrong_is_refused() {
    refused(&[
        (json!({ "model": "" }), "model"),
        (json!({ "max_tokens": 0 }), "max_tokens"),
        (json!({ "max_tokens": null }), "expected u32"),
        (json!({ "n": 1 }), "unknown field `n`"),
        (
            json!({ "stream_options": {} }),
            "unknown field `stream_options`",
        ),
        (json!({ "temperature": 1.5 }), "temperature"),
        (json!({ "tools": [tool("a b")] }), "tools.0.name"),
        (
            json!({ "tools": [{ "name": "f", "input_schema": {} }] }),
            "input_schema",
        ),
        (json!({ "tool_choice": { "type": "auto" } }), "tool_choice"),
        (
            json!({ "tools": [tool("f")], "tool_choice": { "type": "tool", "name": "g" } }),
            "tool_choice",
        ),
        (
            json!({ "thinking": { "type": "enabled", "budget_tokens": 9 } }),
            "budget_tokens",
        ),
        (
            json!({ "thinking": { "type": "adaptive", "budget_tokens": 9 } }),
            "budget_tokens",
        ),
        (
            json!({ "output_config": { "effort": "minimal" } }),
            "minimal",
        ),
        (json!({ "metadata": { "team": "red" } }), "team"),
    ]);
    assert!(read(b"{").is_err());
}

#[test]
fn messages_that_are_wrong_are_refused() {
    let user = |content: Value| json!([{ "role": "user", "content": content }]);
    let source = |source: Value| user(json!([{ "type": "image", "source": source }]));
    let thinks = |signature: &str| {
        let thinking = json!({ "type": "thinking", "thinking": "x", "signature": signature });
        json!([{ "role": "assistant", "content": [thinking] }])
    };
    let call = json!({ "role": "assistant", "content": [{ "type": "tool_use", "id": "t", "name": "f", "input": {} }] });
    let result = |id: &str| {
        let result = json!({ "type": "tool_result", "tool_use_id": id, "content": "x" });
        json!({ "role": "user", "content": [result] })
    };
    refused(&[
        (json!({ "messages": [] }), "at least one message"),
        (
            json!({ "messages": [{ "role": "system", "content": "x" }] }),
            "unknown variant `system`",
        ),
        (json!({ "messages": user(json!("")) }), "non-empty content"),
        (json!({ "messages": user(json!([])) }), "non-empty content"),
        (
            json!({ "messages": user(json!([{ "type": "text", "text": "" }])) }),
            "must be non-empty",
        ),
        (
            json!({ "messages": user(json!([{ "type": "image_url" }])) }),
            "did not match",
        ),
        (
            json!({ "messages": source(json!({ "type": "base64", "media_type": "image/tiff", "data": "AAAA" })) }),
            "media_type",
        ),
        (
            json!({ "messages": source(json!({ "type": "base64", "media_type": "image/png", "data": "?" })) }),
            "invalid base64",
        ),
        (
            json!({ "messages": source(json!({ "type": "url", "url": "http://x/y" })) }),
            "HTTPS",
        ),
        (json!({ "messages": thinks("mine") }), "Invalid `signature`"),
        (json!({ "messages": [call] }), "without `tool_result`"),
        (
            json!({ "messages": [call, { "role": "user", "content": "x" }] }),
            "without `tool_result`",
        ),
        (
            json!({ "messages": [call, result("u")] }),
            "unexpected `tool_use_id`",
        ),
        (
            json!({ "messages": [result("t")] }),
            "unexpected `tool_use_id`",
        ),
    ]);
    assert!(check(&json!({ "messages": [call, result("t")] })).is_ok());
}
