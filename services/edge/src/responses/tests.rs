//! Tables of what is translated, and into what.

use bytes::{Bytes, BytesMut};
use domain::OperationId;
use proto::{Fault, chat::v1::KeptResponse, code};
use serde_json::{Value, json};

use super::{
    answer,
    events::Events,
    id_of, operation_of, renamed,
    request::read,
    turn::{Closed, Kept, Turn},
};

/// The first operation of 2026.
fn operation() -> OperationId {
    OperationId::from_uuid("019b76da-a800-7000-8000-000000000001".parse().unwrap())
}

fn open(body: &Value, earlier: Option<&str>) -> Result<(Turn, Value), Fault> {
    let asked = read(&Bytes::from(body.to_string()))?;
    let (turn, body) = Turn::open(asked, earlier.map(str::as_bytes));
    Ok((turn, serde_json::from_slice(&body).unwrap()))
}

/// What chat is asked.
fn chat(body: &Value) -> Value {
    open(body, None).unwrap().1
}

/// With this input, the messages that chat is sent.
fn messages(input: Value) -> Value {
    chat(&json!({ "model": "m", "input": input }))["messages"].take()
}

/// The fields that are wrong.
fn wrong(body: &Value) -> Vec<String> {
    let fault = open(body, None).unwrap_err();
    let params = fault.violations.into_iter().map(|wrong| wrong.param);
    let params: Vec<String> = params.collect();
    if params.is_empty() {
        fault.param.into_iter().collect()
    } else {
        params
    }
}

fn turn(body: &Value) -> Turn {
    open(body, None).unwrap().0
}

fn closed(turn: &Turn, answer: &Value) -> Closed {
    answer::read(turn, answer.to_string().as_bytes(), operation()).unwrap()
}

fn conversation(kept: &KeptResponse) -> Value {
    serde_json::from_slice(&kept.conversation).unwrap()
}

#[test]
fn a_request_is_said_in_the_words_of_chat() {
    let body = json!({
        "model": "gemini", "instructions": "be brief", "input": "hi", "max_output_tokens": 100, "temperature": 0.5, "top_p": 0.9,
        "stream": true, "parallel_tool_calls": false, "metadata": { "a": "b" }, "user": "u", "safety_identifier": "s",
        "prompt_cache_key": "k", "service_tier": "flex", "store": false, "truncation": "disabled", "max_tool_calls": 3,
        "tools": [{ "type": "function", "name": "f", "description": "d", "parameters": { "type": "object" }, "strict": true }],
        "tool_choice": { "type": "function", "name": "f" },
        "text": { "verbosity": "low", "format": { "type": "json_schema", "name": "n", "schema": { "type": "object" }, "strict": true } },
        "reasoning": { "effort": "low", "summary": "auto" },
        "include": ["message.output_text.logprobs", "reasoning.encrypted_content"], "top_logprobs": 2,
        "background": false, "conversation": null, "stream_options": { "include_obfuscation": false },
    });
    assert_eq!(
        chat(&body),
        json!({
            "messages": [{ "role": "system", "content": "be brief" }, { "role": "user", "content": "hi" }],
            "model": "gemini", "max_completion_tokens": 100, "temperature": 0.5, "top_p": 0.9, "parallel_tool_calls": false,
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
        (json!({ "role": "robot", "content": "x" }), "input[0].role"),
        (json!({ "role": "user" }), "input[0].content"),
        (
            json!({ "role": "user", "content": [{ "type": "input_image", "file_id": "f" }] }),
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
    let fault = read(&Bytes::from_static(b"[1]")).unwrap_err();
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

fn weather() -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m-1",
        "choices": [{ "index": 0, "finish_reason": "tool_calls",
            "logprobs": { "content": [{ "token": "Hm", "logprob": -0.5, "bytes": null, "top_logprobs": [] }] },
            "message": {
                "role": "assistant", "content": "Hm.", "reasoning_content": "let me see",
                "tool_calls": [{ "id": "call_1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" },
                                 "extra_content": { "google": { "thought_signature": "s" } } }],
            },
        }],
        "usage": { "prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14, "prompt_tokens_details": { "cached_tokens": 3 },
                   "completion_tokens_details": { "reasoning_tokens": 2 } },
        "credits_consumed": 0.5,
    })
}

#[test]
fn a_whole_answer_is_a_response() {
    let turn = turn(&json!({
        "model": "m", "input": "hi", "instructions": "be brief", "metadata": { "a": "b" }, "temperature": 1,
        "tools": [{ "type": "function", "name": "f" }],
    }));
    let told = closed(&turn, &weather()).told(Kept::Yes);
    let stem = id_of(operation()).split_off(5);
    assert_eq!(
        told,
        json!({
            "id": format!("resp_{stem}"), "object": "response", "created_at": 1_767_225_600, "status": "completed", "error": null,
            "incomplete_details": null, "model": "m-1",
            "output": [
                { "id": format!("rs_{stem}_0"), "type": "reasoning", "summary": [{ "type": "summary_text", "text": "let me see" }] },
                { "id": format!("msg_{stem}_1"), "type": "message", "status": "completed", "role": "assistant", "content": [
                    { "type": "output_text", "text": "Hm.", "annotations": [],
                      "logprobs": [{ "token": "Hm", "logprob": -0.5, "bytes": null, "top_logprobs": [] }] },
                ]},
                { "id": format!("fc_{stem}_2"), "type": "function_call", "status": "completed", "call_id": "call_1", "name": "f",
                  "arguments": "{\"a\":1}", "extra_content": { "google": { "thought_signature": "s" } } },
            ],
            "usage": { "input_tokens": 10, "input_tokens_details": { "cached_tokens": 3 }, "output_tokens": 4,
                       "output_tokens_details": { "reasoning_tokens": 2 }, "total_tokens": 14 },
            "background": false, "instructions": "be brief", "max_output_tokens": null, "max_tool_calls": null,
            "metadata": { "a": "b" }, "parallel_tool_calls": true, "previous_response_id": null, "prompt_cache_key": null,
            "reasoning": { "effort": null, "summary": null }, "safety_identifier": null, "service_tier": "default", "store": true,
            "temperature": 1, "text": { "format": { "type": "text" } }, "tool_choice": "auto",
            "tools": [{ "type": "function", "name": "f" }], "top_logprobs": 0, "top_p": null, "truncation": "disabled", "user": null,
            "credits_consumed": 0.5,
        })
    );
    assert_eq!(closed(&turn, &weather()).told(Kept::No)["store"], false);
}

#[test]
fn answers_end_for_reasons() {
    let turn = turn(&json!({ "model": "m", "input": "hi" }));
    for (finish_reason, status, reason) in [
        (json!("stop"), "completed", Value::Null),
        (json!("length"), "incomplete", json!("max_output_tokens")),
        (
            json!("content_filter"),
            "incomplete",
            json!("content_filter"),
        ),
        (json!("something_new"), "completed", Value::Null),
        (Value::Null, "completed", Value::Null),
    ] {
        let answer = json!({ "choices": [{ "finish_reason": finish_reason, "message": { "content": "a" } }] });
        let told = closed(&turn, &answer).told(Kept::Yes);
        assert_eq!(told["status"], status);
        assert_eq!(told["incomplete_details"]["reason"], reason);
        assert_eq!(told["output"][0]["status"], status);
    }
}

#[test]
fn what_is_odd_is_left_out_and_the_rest_is_told() {
    let turn = turn(&json!({ "model": "m", "input": "hi" }));
    let told = closed(&turn, &json!({ "choices": [], "model": null })).told(Kept::Yes);
    assert_eq!((&told["model"], &told["output"]), (&json!("m"), &json!([])));
    let answer = json!({
        "choices": [{ "finish_reason": 7, "message": { "content": null, "refusal": "No.", "tool_calls": [
            { "index": null, "id": "", "function": { "name": "f", "arguments": { "a": 1 } } },
        ]}}],
        "usage": { "prompt_tokens": 10, "completion_tokens": null, "total_tokens": 45 },
    });
    let told = closed(&turn, &answer).told(Kept::Yes);
    assert_eq!(
        told["output"][0]["content"],
        json!([{ "type": "refusal", "refusal": "No." }])
    );
    let call = &told["output"][1];
    assert_eq!(call["arguments"], "{\"a\":1}");
    let id = call["call_id"].as_str().unwrap();
    assert!(id.starts_with("call_") && id.ends_with("_1"), "{id}");
    let usage = &told["usage"];
    assert_eq!(
        (
            &usage["output_tokens"],
            &usage["output_tokens_details"]["reasoning_tokens"]
        ),
        (&json!(35), &json!(35))
    );
    assert!(answer::read(&turn, b"[]", operation()).is_none());
}

/// What is kept is what chat would have to be told, by whatever way the answer came.
#[test]
fn what_is_kept_is_the_conversation_without_the_instructions() {
    let body = json!({ "model": "m", "input": "weather?", "instructions": "be brief" });
    let kept = closed(&turn(&body), &weather()).keep.unwrap();
    let said = json!([
        { "role": "user", "content": "weather?" },
        { "role": "assistant", "content": "Hm.", "tool_calls": [
            { "id": "call_1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" },
              "extra_content": { "google": { "thought_signature": "s" } } },
        ]},
    ]);
    assert_eq!(conversation(&kept), said);
    let object: Value = serde_json::from_slice(&kept.object).unwrap();
    assert_eq!(
        (&object["store"], &object["status"]),
        (&json!(true), &json!("completed"))
    );

    let more = json!({
        "model": "m", "instructions": "be long", "previous_response_id": "resp_1",
        "input": [{ "type": "function_call_output", "call_id": "call_1", "output": "sunny" }],
    });
    let earlier = String::from_utf8(kept.conversation.to_vec()).unwrap();
    let (_, chat) = open(&more, Some(&earlier)).unwrap();
    let result = json!({ "role": "tool", "tool_call_id": "call_1", "content": "sunny" });
    let first = json!({ "role": "system", "content": "be long" });
    assert_eq!(chat["messages"], json!([first, said[0], said[1], result]));

    // Nothing new is said, and nothing was.
    let more = json!({ "model": "m", "previous_response_id": "resp_1" });
    assert_eq!(open(&more, Some("[]")).unwrap().1["messages"], json!([]));
    let silent = json!({ "model": "m", "input": "hi", "store": false });
    assert!(closed(&turn(&silent), &weather()).keep.is_none());
}

#[test]
fn signed_thoughts_come_back_in_their_places() {
    let details = json!([
        { "type": "thinking", "thinking": "hm", "signature": "s", "after_text": 0, "after_calls": 0 },
        { "type": "redacted_thinking", "data": "d", "after_text": 3, "after_calls": 0 },
    ]);
    let message =
        json!({ "content": "Hm.", "reasoning_content": "hm", "reasoning_details": details });
    let answer = json!({ "choices": [{ "finish_reason": "stop", "message": message }] });
    let closed = closed(&turn(&json!({ "model": "m", "input": "hi" })), &answer);
    let expected = json!({ "role": "assistant", "content": "Hm.", "reasoning_details": details });
    let kept = closed.keep.clone().unwrap();
    assert_eq!(conversation(&kept)[1], expected);
    let told = closed.told(Kept::Yes);
    assert_eq!(told["output"][0]["summary"][0]["text"], "hm");
    assert_eq!(told["output"][1]["summary"], json!([]));
    // A client that keeps its own conversation sends the items as they came.
    assert_eq!(messages(told["output"].clone()), json!([expected]));
    // One without a place is in the place of its item.
    let text = told["output"][0]["encrypted_content"].as_str().unwrap();
    assert!(text.starts_with("aio1."), "{text}");
}

/// What a stream says, as pairs of name and data.
fn streamed(body: &Value, chunks: &[Value]) -> Vec<Value> {
    let mut events = Events::new(turn(body), operation());
    let mut buffer = BytesMut::new();
    for chunk in chunks {
        events.take(chunk.to_string().as_bytes(), &mut buffer);
    }
    let kept = match events.close(&mut buffer) {
        Some(_) => Kept::Yes,
        None => Kept::No,
    };
    events.finish(kept, &mut buffer);
    told(&buffer)
}

fn told(buffer: &BytesMut) -> Vec<Value> {
    let text = String::from_utf8(buffer.to_vec()).unwrap();
    let events = text.split_terminator("\n\n").enumerate();
    let read = events.map(|(number, event)| {
        let (name, data) = event.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name, format!("event: {}", data["type"].as_str().unwrap()));
        assert_eq!(data["sequence_number"], number);
        data
    });
    read.collect()
}

fn names(events: &[Value]) -> Vec<&str> {
    let names = events.iter().filter_map(|event| event["type"].as_str());
    names
        .map(|name| name.strip_prefix("response.").unwrap_or(name))
        .collect()
}

fn delta(delta: Value) -> Value {
    json!({ "model": "m-1", "choices": [{ "delta": delta, "finish_reason": null }] })
}

fn end(reason: &str) -> Value {
    json!({
        "choices": [{ "delta": {}, "finish_reason": reason }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 2 }, "credits_consumed": 1.5,
    })
}

#[test]
fn a_stream_tells_every_step_and_then_the_whole() {
    let body = json!({ "model": "m", "input": "hi", "stream": true });
    let events = streamed(
        &body,
        &[
            delta(json!({ "reasoning_content": "let " })),
            delta(json!({ "reasoning_content": "me" })),
            delta(
                json!({ "reasoning_details": [{ "type": "thinking", "thinking": "let me", "signature": "s" }] }),
            ),
            delta(json!({ "content": "H" })),
            delta(json!({ "content": "i." })),
            delta(
                json!({ "tool_calls": [{ "index": 0, "id": "c", "function": { "name": "f", "arguments": "" } }] }),
            ),
            delta(json!({ "tool_calls": [{ "index": 0, "function": { "arguments": "{}" } }] })),
            end("tool_calls"),
        ],
    );
    assert_eq!(
        names(&events),
        [
            "created",
            "in_progress",
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "completed",
        ]
    );
    let stem = id_of(operation()).split_off(5);
    assert_eq!(
        events[11],
        json!({ "type": "response.output_text.delta", "sequence_number": 11, "content_index": 0, "delta": "H", "logprobs": [],
                "item_id": format!("msg_{stem}_1"), "output_index": 1 })
    );
    assert_eq!(
        events[18],
        json!({ "type": "response.function_call_arguments.done", "sequence_number": 18, "name": "f", "arguments": "{}",
                "item_id": format!("fc_{stem}_2"), "output_index": 2 })
    );
    assert_eq!(events[0]["response"]["status"], "in_progress");
    assert_eq!(events[0]["response"]["model"], "m-1");
    let last = &events[20]["response"];
    let done: Vec<&Value> = [8, 15, 19]
        .into_iter()
        .map(|at: usize| &events[at]["item"])
        .collect();
    assert_eq!(last["output"], json!(done));
    assert_eq!(
        (&last["status"], &last["store"]),
        (&json!("completed"), &json!(true))
    );
    assert_eq!(
        (&last["usage"]["total_tokens"], &last["credits_consumed"]),
        (&json!(5), &json!(1.5))
    );
    // What is kept of it is what would be kept of the same in one piece.
    let kept = messages(last["output"].clone());
    assert_eq!(kept[0]["content"], "Hi.");
    assert_eq!(kept[0]["tool_calls"][0]["id"], "c");
    assert_eq!(kept[0]["reasoning_details"][0]["signature"], "s");
}

#[test]
fn calls_in_a_row_are_items_in_a_row() {
    let part = |index: u64, id: &str, text: &str| {
        let mut call = json!({ "index": index, "function": { "arguments": text } });
        if !id.is_empty() {
            call["id"] = json!(id);
            call["function"]["name"] = json!("f");
        }
        delta(json!({ "tool_calls": [call] }))
    };
    let body = json!({ "model": "m", "input": "hi" });
    for chunks in [
        // Each with its index, or all with the first.
        [part(0, "a", "{"), part(0, "", "}"), part(1, "b", "{}")],
        [part(0, "a", "{}"), part(0, "b", "{"), part(0, "", "}")],
    ] {
        let events = streamed(&body, &chunks);
        let output = events.last().unwrap()["response"]["output"].clone();
        let calls: Vec<_> = output.as_array().unwrap().iter().collect();
        let told: Vec<_> = calls
            .iter()
            .map(|call| (&call["call_id"], &call["arguments"]))
            .collect();
        assert_eq!(
            told,
            [(&json!("a"), &json!("{}")), (&json!("b"), &json!("{}"))]
        );
    }
}

#[test]
fn refusals_and_likelihoods_are_parts() {
    let token = json!({ "token": "H", "logprob": -0.5, "bytes": [72], "top_logprobs": [] });
    let mut first = delta(json!({ "content": "H" }));
    first["choices"][0]["logprobs"] = json!({ "content": [token] });
    let body = json!({ "model": "m", "input": "hi", "store": false });
    let events = streamed(
        &body,
        &[
            first,
            delta(json!({ "refusal": "No." })),
            end("content_filter"),
        ],
    );
    assert_eq!(
        names(&events),
        [
            "created",
            "in_progress",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "content_part.added",
            "refusal.delta",
            "refusal.done",
            "content_part.done",
            "output_item.done",
            "incomplete",
        ]
    );
    assert_eq!(events[4]["logprobs"], json!([token]));
    assert_eq!(events[8]["content_index"], 1);
    let last = &events[12]["response"];
    assert_eq!(last["incomplete_details"]["reason"], "content_filter");
    assert_eq!(last["store"], false);
    assert_eq!(
        last["output"][0]["content"],
        json!([
            { "type": "output_text", "text": "H", "annotations": [], "logprobs": [token] },
            { "type": "refusal", "refusal": "No." },
        ])
    );
}

#[test]
fn an_empty_answer_is_a_response_too() {
    let body = json!({ "model": "m", "input": "hi" });
    assert_eq!(
        names(&streamed(&body, &[])),
        ["created", "in_progress", "completed"]
    );
    let odd = [
        json!([]),
        json!({ "choices": null }),
        json!({ "choices": [{}] }),
    ];
    assert_eq!(
        names(&streamed(&body, &odd)),
        ["created", "in_progress", "completed"]
    );
}

#[test]
fn a_failure_ends_the_response_and_is_raised_by_sdks() {
    let mut events = Events::new(turn(&json!({ "model": "m", "input": "hi" })), operation());
    let mut buffer = BytesMut::new();
    events.take(
        delta(json!({ "content": "H" })).to_string().as_bytes(),
        &mut buffer,
    );
    let fault = Fault::new(code::UPSTREAM_FAILED, "it broke off");
    events.fail(&fault, "req_1", &mut buffer);
    let told = told(&buffer);
    let [.., failed, error] = told.as_slice() else {
        panic!("{told:?}")
    };
    let response = &failed["response"];
    assert_eq!(
        (&failed["type"], &response["status"]),
        (&json!("response.failed"), &json!("failed"))
    );
    assert_eq!(
        response["error"],
        json!({ "code": "upstream_failed", "message": "it broke off" })
    );
    assert_eq!(response["store"], false);
    assert_eq!(
        (&error["type"], &error["code"]),
        (&json!("error"), &json!("upstream_failed"))
    );
    assert_eq!(error["error"]["request_id"], "req_1");
}
