//! What is answered in one piece, and what is kept of it.

use serde_json::{Value, json};

use super::*;

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
        "credits_consumed": 0.5, "usage_source": "provider",
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
            "credits_consumed": 0.5, "usage_source": "provider",
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
