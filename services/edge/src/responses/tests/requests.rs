//! What is asked.

use bytes::Bytes;
use proto::{Fault, code};
use serde_json::{Value, json};

use super::*;

#[test]
fn a_request_is_said_in_the_words_of_chat() {
    let body = json!({
        "model": "gemini", "instructions": "be brief", "input": "hi", "max_output_tokens": 100, "temperature": 0.5, "top_p": 0.9,
        "stream": true, "parallel_tool_calls": false, "metadata": { "a": "b" }, "user": "u", "safety_identifier": "s",
        "prompt_cache_key": "k", "service_tier": "flex", "store": false, "truncation": "disabled", "max_tool_calls": 3,
        "tools": [{ "type": "function", "name": "f", "description": "d", "parameters": { "type": "object" }, "strict": true }],
        "tool_choice": { "type": "function", "name": "f" },
        "text": { "verbosity": "low", "format": { "type": "json_schema", "name": "n", "description": null, "schema": { "type": "object" }, "strict": true } },
        "reasoning": { "effort": "low", "summary": "auto" },
        "include": ["message.output_text.logprobs", "reasoning.encrypted_content"], "top_logprobs": 2,
        "models": ["claude"], "provider": { "only": ["p"] }, "background": false, "conversation": null, "stream_options": { "include_obfuscation": false },
    });
    assert_eq!(
        chat(&body),
        json!({
            "messages": [{ "role": "system", "content": "be brief" }, { "role": "user", "content": "hi" }],
            "model": "gemini", "models": ["claude"], "provider": { "only": ["p"] }, "max_completion_tokens": 100, "temperature": 0.5, "top_p": 0.9, "parallel_tool_calls": false,
            "metadata": { "a": "b" }, "user": "u", "safety_identifier": "s", "prompt_cache_key": "k",
            "tool_choice": { "type": "function", "function": { "name": "f" } },
            "tools": [{ "type": "function", "function": { "name": "f", "description": "d", "parameters": { "type": "object" }, "strict": true } }],
            "verbosity": "low",
            "response_format": { "type": "json_schema", "json_schema": { "name": "n", "schema": { "type": "object" }, "strict": true } },
            "reasoning_effort": "low", "include_thoughts": true, "logprobs": true, "top_logprobs": 2, "service_tier": "flex",
            "stream": true, "stream_options": { "include_usage": true },
        })
    );
    assert_eq!(
        chat(
            &json!({ "model": "m", "input": "hi", "service_tier": "auto", "text": { "format": { "type": "text" } } })
        ),
        json!({ "messages": [{ "role": "user", "content": "hi" }], "model": "m" })
    );
}

#[test]
fn tools_are_chosen_among_those_that_are_offered() {
    let with = |choice: Value| {
        let tools =
            json!([{ "type": "function", "name": "f" }, { "type": "function", "name": "g" }]);
        json!({ "model": "m", "input": "hi", "tools": tools, "tool_choice": choice })
    };
    for word in ["auto", "none", "required"] {
        assert_eq!(chat(&with(json!(word)))["tool_choice"], word);
    }
    let some = json!({ "type": "allowed_tools", "mode": "required", "tools": [{ "type": "function", "name": "g" }] });
    let asked = chat(&with(some));
    assert_eq!(asked["tool_choice"], "required");
    assert_eq!(
        asked["tools"],
        json!([{ "type": "function", "function": { "name": "g" } }])
    );
    for choice in [
        json!("some"),
        json!({ "type": "function" }),
        json!({ "type": "web_search" }),
        json!({ "type": "allowed_tools", "mode": "auto", "tools": [{ "name": "h" }] }),
        json!({ "type": "allowed_tools", "mode": "none", "tools": [{ "name": "f" }] }),
        json!({ "type": "allowed_tools", "mode": "auto", "tools": [] }),
    ] {
        assert_eq!(wrong(&with(choice.clone())), ["tool_choice"], "{choice}");
    }
}

#[test]
fn what_is_about_tools_stands_beside_tools_only() {
    let without = |choice: &str| json!({ "model": "m", "input": "hi", "tool_choice": choice, "parallel_tool_calls": true });
    for word in ["auto", "none"] {
        let asked = chat(&without(word));
        assert!(asked.get("tool_choice").is_none() && asked.get("parallel_tool_calls").is_none());
    }
    assert_eq!(wrong(&without("required")), ["tool_choice"]);
}

#[test]
fn messages_have_their_parts() {
    let parts = json!([
        { "type": "input_text", "text": "what is it?" },
        { "type": "input_image", "image_url": "https://x/y.png", "detail": "low" },
        { "type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA==" },
    ]);
    let said = messages(json!([
        { "type": "message", "role": "developer", "content": [{ "type": "input_text", "text": "be brief" }] },
        { "role": "user", "content": parts },
        { "role": "assistant", "content": "Hm." },
        { "type": "message", "role": "assistant", "id": "msg_1", "status": "completed",
          "content": [{ "type": "output_text", "text": "No", "annotations": [] }, { "type": "refusal", "refusal": "." }] },
        { "role": "user", "content": "why?" },
    ]));
    assert_eq!(
        said,
        json!([
            { "role": "system", "content": "be brief" },
            { "role": "user", "content": [
                { "type": "text", "text": "what is it?" },
                { "type": "image_url", "image_url": { "url": "https://x/y.png", "detail": "low" } },
                { "type": "file", "file": { "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA==" } },
            ]},
            { "role": "assistant", "content": "Hm." },
            { "role": "assistant", "content": "No." },
            { "role": "user", "content": "why?" },
        ])
    );
}

#[test]
fn what_the_model_said_and_called_is_one_message() {
    let call = |id: &str| json!({ "type": "function_call", "call_id": id, "name": "f", "arguments": "{}" });
    let called = |id: &str| json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": "{}" } });
    let said = messages(json!([
        { "role": "user", "content": "weather?" },
        { "type": "reasoning", "summary": [], "encrypted_content": "another maker's" },
        { "role": "assistant", "content": "Let me look." },
        call("a"),
        call("b"),
        { "type": "function_call_output", "call_id": "a", "output": "sunny" },
        { "type": "function_call_output", "call_id": "b", "output": [{ "type": "input_text", "text": "rain" }] },
        call("c"),
        { "type": "function_call_output", "call_id": "c", "output": "" },
    ]));
    assert_eq!(
        said,
        json!([
            { "role": "user", "content": "weather?" },
            { "role": "assistant", "content": "Let me look.", "tool_calls": [called("a"), called("b")] },
            { "role": "tool", "tool_call_id": "a", "content": "sunny" },
            { "role": "tool", "tool_call_id": "b", "content": "rain" },
            { "role": "assistant", "content": null, "tool_calls": [called("c")] },
            { "role": "tool", "tool_call_id": "c", "content": "" },
        ])
    );
}

#[test]
fn everything_wrong_is_found() {
    let body = json!({
        "model": "m", "instructions": ["x"], "background": true, "conversation": "conv_1", "prompt": { "id": "p" }, "truncation": "auto",
        "tools": [{ "type": "web_search" }, { "type": "function" }], "include": ["everything"], "store": "yes", "stream": 1,
        "text": { "format": { "type": "json_schema" } }, "reasoning": { "summary": "long" }, "color": "red",
        "previous_response_id": 7,
    });
    assert_eq!(
        wrong(&body),
        [
            "previous_response_id",
            "instructions",
            "input",
            "tools[0].type",
            "tools[1].name",
            "text.format",
            "reasoning.summary",
            "include[0]",
            "store",
            "stream",
            "background",
            "truncation",
            "conversation",
            "prompt",
            "color",
        ]
    );
    for (item, param) in [
        (
            json!({ "type": "item_reference", "id": "msg_1" }),
            "input[0]",
        ),
        (json!({ "type": "web_search_call" }), "input[0].type"),
        (json!({}), "input[0].type"),
        (json!({ "id": "msg_1" }), "input[0]"),
        (json!({ "role": "robot", "content": "x" }), "input[0].role"),
        (json!({ "role": "user" }), "input[0].content"),
        (
            json!({ "role": "user", "content": [{ "type": "input_image", "file_id": "f" }] }),
            "input[0].content[0]",
        ),
        (
            json!({ "role": "user", "content": [{ "type": "input_file", "file_id": "f", "file_data": "d" }] }),
            "input[0].content[0]",
        ),
        (
            json!({ "role": "user", "content": [{ "type": "input_file", "file_url": "https://x/y.pdf" }] }),
            "input[0].content[0]",
        ),
        (
            json!({ "type": "function_call", "call_id": "c", "name": "f", "arguments": {} }),
            "input[0]",
        ),
        (
            json!({ "type": "function_call_output", "output": "x" }),
            "input[0].call_id",
        ),
        (
            json!({ "type": "function_call_output", "call_id": "c", "output": [{ "type": "input_image", "image_url": "u" }] }),
            "input[0].output",
        ),
    ] {
        assert_eq!(wrong(&json!({ "model": "m", "input": [item] })), [param]);
    }
    assert_eq!(wrong(&json!({ "model": "m", "input": [] })), ["input"]);
    let many = vec![json!({}); 1_000];
    assert_eq!(wrong(&json!({ "model": "m", "input": many })).len(), 16);
    let fault = fields(&Bytes::from_static(b"[1]")).unwrap_err();
    assert_eq!(fault.code, code::INVALID_JSON);
}

#[test]
fn chats_complaints_name_what_the_customer_wrote() {
    for (param, message, expected) in [
        (
            "max_completion_tokens",
            "max_completion_tokens must be at most 9",
            ("max_output_tokens", "max_output_tokens must be at most 9"),
        ),
        (
            "messages[3].content",
            "messages[3].content must be a text",
            ("input", "input must be a text"),
        ),
        ("model", "model is required", ("model", "model is required")),
        ("messagesx", "messagesx", ("messagesx", "messagesx")),
    ] {
        let fault = renamed(Fault::new(code::INVALID_PARAMETER, message).param(param));
        let told = (fault.param.as_deref().unwrap(), fault.message.as_str());
        assert_eq!(told, expected);
    }
}

#[test]
fn a_response_has_the_bits_of_its_operation() {
    let id = id_of(operation());
    assert!(id.starts_with("resp_"), "{id}");
    assert_eq!(operation_of(&id), Some(operation()));
    for other in ["", "resp_", "resp_1", &operation().to_string(), "x"] {
        assert_eq!(operation_of(other), None, "{other}");
    }
}

#[test]
fn items_of_kept_responses_may_be_referred_to() {
    let id = id_of(operation());
    let stem = id.strip_prefix("resp_").unwrap();
    let message = json!({ "id": format!("msg_{stem}_0"), "type": "message", "role": "assistant",
        "content": [{ "type": "output_text", "text": "Hi." }] });
    let object = json!({ "id": id, "output": [message, { "type": "message" }] });
    let found = items(object.to_string().as_bytes());
    let body = json!({ "model": "m", "input": [
        { "role": "user", "content": "hi" },
        { "type": "item_reference", "id": format!("msg_{stem}_0") },
        { "id": format!("rs_{stem}_7") },
        { "type": "item_reference", "id": "msg_1" },
    ]});
    let (fields, made) = fields(&Bytes::from(body.to_string())).unwrap();
    assert_eq!(made, [operation()]);
    let fault = read(fields.clone(), &found).unwrap_err();
    let params: Vec<_> = fault.violations.iter().map(|wrong| &wrong.param).collect();
    assert_eq!(params, ["input[2]", "input[3]"]);
    let mut fields = fields;
    fields["input"].as_array_mut().unwrap().truncate(2);
    // What is kept is said once, not as often as it is named.
    let mut twice = fields.clone();
    let again = twice["input"][1].clone();
    twice["input"].as_array_mut().unwrap().push(again);
    let fault = read(twice, &found).unwrap_err();
    assert_eq!(fault.param.as_deref(), Some("input[2]"));
    let (_, body) = Turn::open(read(fields, &found).unwrap(), None);
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        body["messages"],
        json!([{ "role": "user", "content": "hi" }, { "role": "assistant", "content": "Hi." }])
    );
    assert_eq!(items(b"[1]").len() + items(b"{}").len(), 0);
}
