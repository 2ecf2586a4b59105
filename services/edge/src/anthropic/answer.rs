//! A whole answer in Anthropic's form.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::wire::{Chat, Part, Thought, ToolCall, stop_reason};

/// Translates what chat answered. `None`: it is not what chat answers.
pub(crate) fn translated(body: &[u8], id: &str) -> Option<Bytes> {
    let chat: Chat = serde_json::from_slice(body).ok()?;
    let choice = chat.choices.first()?;
    let mut message = json!({
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": chat.model,
        "content": content(&choice.message),
        "stop_reason": stop_reason(choice.finish_reason.as_deref()),
        "stop_sequence": null,
        "usage": chat.usage.unwrap_or_default().translated(),
    });
    if let (Some(credits), Some(message)) = (chat.credits_consumed, message.as_object_mut()) {
        message.insert("credits_consumed".to_owned(), credits);
    }
    serde_json::to_vec(&message).ok().map(Bytes::from)
}

fn content(part: &Part) -> Vec<Value> {
    let signed = part.reasoning_details.iter().flatten();
    let signed: Vec<Value> = signed.filter_map(Thought::block).collect();
    // What nobody signed is a thought all the same.
    let plain = part.reasoning_content.as_ref();
    let plain = plain.filter(|text| signed.is_empty() && !text.is_empty());
    let plain = plain.map(|text| json!({ "type": "thinking", "thinking": text, "signature": "" }));
    let text = Some(part.text()).filter(|text| !text.is_empty());
    let text = text.map(|text| json!({ "type": "text", "text": text }));
    let calls = part.tool_calls.iter().flatten().map(call);
    let thoughts = signed.into_iter().chain(plain);
    thoughts.chain(text).chain(calls).collect()
}

fn call(call: &ToolCall) -> Value {
    let arguments = call.function.arguments.as_deref().unwrap_or_default();
    // A model may write what is no JSON: then there is no input that could be handed on.
    let input = serde_json::from_str(arguments).unwrap_or_else(|_| Value::Object(Map::new()));
    json!({ "type": "tool_use", "id": call.id, "name": call.function.name, "input": input })
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
            "credits_consumed": 0.5,
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
                "credits_consumed": 0.5,
            })
        );
        assert_eq!(translated(b"[]", "msg_1"), None);
        assert_eq!(translated(b"{}", "msg_1"), None);
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
    fn reasons_are_anthropics() {
        for (theirs, expected) in [
            (Some("stop"), "end_turn"),
            (Some("length"), "max_tokens"),
            (Some("tool_calls"), "tool_use"),
            (Some("content_filter"), "refusal"),
            (Some("something_new"), "end_turn"),
            (None, "end_turn"),
        ] {
            assert_eq!(stop_reason(theirs), expected, "{theirs:?}");
        }
    }
}
