//! What is answered event by event.

use bytes::BytesMut;
use proto::{Fault, code};
use serde_json::{Value, json};

use super::*;
use crate::responses::events::Events;

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
        "usage": { "prompt_tokens": 3, "completion_tokens": 2 }, "credits_consumed": 1.5, "finish_code": "c",
    })
}

/// Of everything that a model can do.
fn everything() -> Vec<Value> {
    streamed(
        &json!({ "model": "m", "input": "hi", "stream": true }),
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
    )
}

#[test]
fn a_stream_tells_every_step() {
    let events = everything();
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
}

#[test]
fn a_stream_ends_with_the_whole() {
    let events = everything();
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
    assert_eq!(last["finish_code"], "c");
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
