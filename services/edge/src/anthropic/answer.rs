//! A whole answer in Anthropic's form.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::wire::{Call, Chat, Choice, Part, Usage};

/// Translates what chat answered. `None`: it is no object.
pub(crate) fn translated(body: &[u8], id: &str) -> Option<Bytes> {
    let chat = Chat::parse(body)?;
    let choice = chat.choice();
    let content = choice
        .map(|choice| content(choice.message()))
        .unwrap_or_default();
    let calls = content
        .iter()
        .filter(|block| block["type"] == "tool_use")
        .count();
    let mut message = json!({
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": chat.model(),
        "content": content,
        "stop_reason": stop_reason(choice.and_then(Choice::finish_reason), calls),
        "stop_sequence": null,
        "usage": to_json(chat.usage().unwrap_or_default()),
    });
    if let (Some(credits), Some(message)) = (chat.credits(), message.as_object_mut()) {
        message.insert("credits_consumed".to_owned(), credits.clone());
    }
    if let Some(message) = message.as_object_mut() {
        message.extend(
            chat.notes()
                .map(|(name, note)| (name.to_owned(), note.clone())),
        );
    }
    serde_json::to_vec(&message).ok().map(Bytes::from)
}

fn content(part: Part<'_>) -> Vec<Value> {
    let mut blocks: Vec<Value> = part.signed().map(thinking).collect();
    // What nobody signed is a thought all the same.
    if blocks.is_empty() && !part.thought().is_empty() {
        blocks.push(json!({ "type": "thinking", "thinking": part.thought(), "signature": "" }));
    }
    let text = part.text();
    if !text.is_empty() {
        blocks.push(json!({ "type": "text", "text": text }));
    }
    blocks.extend(
        part.calls()
            .enumerate()
            .map(|(place, one)| call(place, one)),
    );
    blocks
}

fn call(place: usize, call: Call<'_>) -> Value {
    let id = call
        .id()
        .map_or_else(|| format!("toolu_{place}"), str::to_owned);
    // A model may write what is no JSON: then there is no input that could be handed on.
    let input = serde_json::from_str(&call.arguments());
    tool_use(
        call,
        &id,
        input.unwrap_or_else(|_| Value::Object(Map::new())),
    )
}

/// A call's block. Google's models want `extra_content` back with the tool's result, as it came.
pub(super) fn tool_use(call: Call<'_>, id: &str, input: Value) -> Value {
    let mut block = json!({ "type": "tool_use", "id": id, "name": call.name().unwrap_or_default(), "input": input });
    if let (Some(extra), Some(block)) = (call.extra(), block.as_object_mut()) {
        block.insert("extra_content".to_owned(), extra.clone());
    }
    block
}

/// A signed thought's block: without its place, which Anthropic's form has no word for.
pub(super) fn thinking(detail: &Value) -> Value {
    let word = |name: &str| detail.get(name).and_then(Value::as_str);
    match word("signature") {
        Some(signature) => {
            json!({ "type": "thinking", "thinking": word("thinking").unwrap_or_default(), "signature": signature })
        }
        None => json!({ "type": "redacted_thinking", "data": word("data") }),
    }
}

/// Tokens in Anthropic's classes: what was read from a cache is no part of the input there.
pub(super) fn to_json(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.input.saturating_sub(usage.cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached,
        "output_tokens": usage.output,
    })
}

/// Why an answer ended, in Anthropic's words. Providers call tools and say `stop` where the tool was named in the request.
pub(super) fn stop_reason(finish_reason: Option<&str>, calls: usize) -> &'static str {
    match finish_reason {
        Some("length") => "max_tokens",
        Some("content_filter") => "refusal",
        Some("tool_calls" | "function_call") => "tool_use",
        Some(_) | None if calls > 0 => "tool_use",
        Some(_) | None => "end_turn",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_content_has_its_block() {
        let body = json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{ "index": 0, "finish_reason": "tool_calls", "message": {
                "role": "assistant", "content": "Hm.", "reasoning_content": "let me see",
                "tool_calls": [
                    { "id": "call_1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } },
                    { "id": "call_2", "type": "function", "function": { "name": "g", "arguments": "{\"a\":" } },
                ],
            }}],
            "usage": { "prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14,
                       "prompt_tokens_details": { "cached_tokens": 3 } },
            "credits_consumed": 0.5, "finish_code": "credit_limit_reached", "usage_source": "estimate",
        });
        let answer = translated(body.to_string().as_bytes(), "msg_1").unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(
            answer,
            json!({
                "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
                "content": [
                    { "type": "thinking", "thinking": "let me see", "signature": "" },
                    { "type": "text", "text": "Hm." },
                    { "type": "tool_use", "id": "call_1", "name": "f", "input": { "a": 1 } },
                    { "type": "tool_use", "id": "call_2", "name": "g", "input": {} },
                ],
                "stop_reason": "tool_use", "stop_sequence": null,
                "usage": { "input_tokens": 7, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 3, "output_tokens": 4 },
                "credits_consumed": 0.5, "finish_code": "credit_limit_reached", "usage_source": "estimate",
            })
        );
        assert_eq!(translated(b"[]", "msg_1"), None);
    }

    #[test]
    fn signed_thoughts_are_whole_blocks() {
        let details = json!([
            { "type": "thinking", "thinking": "let me see", "signature": "s", "after_text": 0 },
            { "type": "redacted_thinking", "data": "d" },
            { "type": "reasoning.text", "text": "another maker's" },
        ]);
        let message = json!({ "content": "Hm.", "reasoning_content": "let me see", "reasoning_details": details });
        let body = json!({ "choices": [{ "message": message, "finish_reason": "stop" }] });
        let answer = translated(body.to_string().as_bytes(), "msg_1").unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(
            answer["content"],
            json!([
                { "type": "thinking", "thinking": "let me see", "signature": "s" },
                { "type": "redacted_thinking", "data": "d" },
                { "type": "text", "text": "Hm." },
            ])
        );
    }

    #[test]
    fn what_is_odd_is_left_out_and_the_rest_is_told() {
        for (body, content, output) in [
            (json!({ "choices": [], "model": null }), json!([]), 0),
            (
                json!({ "choices": [{ "message": { "content": [{ "type": "text", "text": "a" }, { "text": "b" }] } }] }),
                json!([{ "type": "text", "text": "ab" }]),
                0,
            ),
            (
                json!({
                    "choices": [{ "finish_reason": "stop", "message": { "tool_calls": [
                        { "index": null, "id": "", "function": { "name": "f", "arguments": { "a": 1 } }, "extra_content": { "google": 1 } },
                    ]}}],
                    "usage": { "prompt_tokens": 10, "completion_tokens": null, "total_tokens": 45 },
                }),
                json!([{ "type": "tool_use", "id": "toolu_0", "name": "f", "input": { "a": 1 }, "extra_content": { "google": 1 } }]),
                35,
            ),
        ] {
            let answer = translated(body.to_string().as_bytes(), "msg_1").unwrap();
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            assert_eq!(answer["content"], content, "{body}");
            assert_eq!(answer["usage"]["output_tokens"], output, "{body}");
        }
    }

    #[test]
    fn reasons_are_anthropics() {
        for (theirs, expected) in [
            (Some("stop"), "end_turn"),
            (Some("length"), "max_tokens"),
            (Some("tool_calls"), "tool_use"),
            (Some("content_filter"), "refusal"),
            (Some("something_new"), "end_turn"),
            (None, "end_turn"),
        ] {
            assert_eq!(stop_reason(theirs, 0), expected, "{theirs:?}");
        }
        assert_eq!(stop_reason(Some("stop"), 1), "tool_use");
        assert_eq!(stop_reason(Some("length"), 1), "max_tokens");
    }
}
