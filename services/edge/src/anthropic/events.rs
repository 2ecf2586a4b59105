//! A streamed answer, event by event. Anthropic's blocks come one after another, so what chat says decides which one is open.

use bytes::BytesMut;
use serde_json::{Map, Value, json};

use super::answer::{stop_reason, thinking, to_json, tool_use};
use crate::{
    sse::put_named as put,
    wire::{Call, Chat, Choice, Telling, Usage},
};

/// What was said so far.
pub(crate) struct Events {
    /// The message's id.
    id: String,
    begun: Begun,
    open: Option<Block>,
    /// The place of the next block.
    next: usize,
    /// Tools that were called.
    calls: usize,
    finish_reason: Option<String>,
    usage: Usage,
    credits: Option<Value>,
    /// What else we add.
    notes: Map<String, Value>,
}

/// Whether the message has begun.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    No,
    Yes,
}

/// The block that is open.
enum Block {
    Text,
    Thinking,
    Tool(Telling),
}

// === impl Events ===

impl Events {
    pub(crate) fn new(id: String) -> Self {
        Self {
            id,
            begun: Begun::No,
            open: None,
            next: 0,
            calls: 0,
            finish_reason: None,
            usage: Usage::default(),
            credits: None,
            notes: Map::new(),
        }
    }

    /// Takes in one event of chat. What is no object has nothing in it that could be told.
    pub(crate) fn take(&mut self, data: &[u8], buffer: &mut BytesMut) {
        let Some(chat) = Chat::parse(data) else {
            return;
        };
        self.begin(chat.model(), buffer);
        if let Some(usage) = chat.usage() {
            self.usage = usage;
        }
        if let Some(credits) = chat.credits() {
            self.credits = Some(credits.clone());
        }
        self.notes.extend(
            chat.notes()
                .map(|(name, note)| (name.to_owned(), note.clone())),
        );
        if let Some(choice) = chat.choice() {
            self.choice(choice, buffer);
        }
    }

    /// The answer is complete.
    pub(crate) fn end(&mut self, buffer: &mut BytesMut) {
        self.begin("", buffer);
        self.close(buffer);
        let mut delta = json!({
            "type": "message_delta",
            "delta": {
                "stop_reason": stop_reason(self.finish_reason.as_deref(), self.calls),
                "stop_sequence": null,
            },
            "usage": to_json(self.usage),
        });
        if let Some(delta) = delta.as_object_mut() {
            let credits = self.credits.take();
            delta.extend(credits.map(|credits| ("credits_consumed".to_owned(), credits)));
            delta.append(&mut self.notes);
        }
        put(buffer, "message_delta", &delta);
        put(buffer, "message_stop", &json!({ "type": "message_stop" }));
    }

    fn begin(&mut self, model: &str, buffer: &mut BytesMut) {
        if self.begun == Begun::Yes {
            return;
        }
        self.begun = Begun::Yes;
        let message = json!({
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            // What was read is known at the end.
            "usage": to_json(Usage::default()),
        });
        let start = json!({ "type": "message_start", "message": message });
        put(buffer, "message_start", &start);
    }

    fn choice(&mut self, choice: Choice<'_>, buffer: &mut BytesMut) {
        let delta = choice.delta();
        if !delta.thought().is_empty() {
            self.think(buffer);
            let thought = json!({ "type": "thinking_delta", "thinking": delta.thought() });
            self.go_on(&thought, buffer);
        }
        for detail in delta.signed() {
            self.signed(&thinking(detail), buffer);
        }
        let text = delta.text();
        if !text.is_empty() {
            if !matches!(self.open, Some(Block::Text)) {
                let empty = json!({ "type": "text", "text": "" });
                self.open(Block::Text, &empty, buffer);
            }
            self.go_on(&json!({ "type": "text_delta", "text": text }), buffer);
        }
        for call in delta.calls() {
            self.call(call, buffer);
        }
        if let Some(reason) = choice.finish_reason() {
            self.finish_reason = Some(reason.to_owned());
        }
    }

    fn think(&mut self, buffer: &mut BytesMut) {
        if !matches!(self.open, Some(Block::Thinking)) {
            let empty = json!({ "type": "thinking", "thinking": "", "signature": "" });
            self.open(Block::Thinking, &empty, buffer);
        }
    }

    /// A block of thinking is whole, and comes with what proves it.
    fn signed(&mut self, block: &Value, buffer: &mut BytesMut) {
        match block.get("signature") {
            Some(signature) => {
                self.think(buffer);
                let delta = json!({ "type": "signature_delta", "signature": signature });
                self.go_on(&delta, buffer);
            }
            // Nobody can read it: it is told whole.
            None => self.open(Block::Thinking, block, buffer),
        }
        self.close(buffer);
    }

    fn call(&mut self, call: Call<'_>, buffer: &mut BytesMut) {
        let goes_on = matches!(&self.open, Some(Block::Tool(open)) if open.goes_on_with(call));
        if !goes_on {
            let id = call
                .id()
                .map_or_else(|| format!("toolu_{}", self.next), str::to_owned);
            let tool = Telling::of(call);
            self.open(Block::Tool(tool), &tool_use(call, &id, json!({})), buffer);
            self.calls = self.calls.saturating_add(1);
        }
        let part = call.arguments();
        if part.is_empty() {
            return;
        }
        if let Some(Block::Tool(open)) = &mut self.open {
            open.arguments.push_str(&part);
        }
        self.go_on(
            &json!({ "type": "input_json_delta", "partial_json": part }),
            buffer,
        );
    }

    fn open(&mut self, block: Block, empty: &Value, buffer: &mut BytesMut) {
        self.close(buffer);
        self.open = Some(block);
        let start = json!({
            "type": "content_block_start",
            "index": self.next,
            "content_block": empty,
        });
        put(buffer, "content_block_start", &start);
    }

    fn go_on(&self, delta: &Value, buffer: &mut BytesMut) {
        let delta = json!({ "type": "content_block_delta", "index": self.next, "delta": delta });
        put(buffer, "content_block_delta", &delta);
    }

    fn close(&mut self, buffer: &mut BytesMut) {
        if self.open.take().is_none() {
            return;
        }
        let stop = json!({ "type": "content_block_stop", "index": self.next });
        put(buffer, "content_block_stop", &stop);
        self.next = self.next.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(chunks: &[Value]) -> Vec<Value> {
        let mut events = Events::new("msg_1".to_owned());
        let mut buffer = BytesMut::new();
        for chunk in chunks {
            events.take(chunk.to_string().as_bytes(), &mut buffer);
        }
        events.end(&mut buffer);
        let text = String::from_utf8(buffer.to_vec()).unwrap();
        let events = text.split_terminator("\n\n").map(|event| {
            let (name, data) = event.split_once('\n').unwrap();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
            data
        });
        events.collect()
    }

    fn delta(delta: &Value) -> Value {
        json!({ "model": "m", "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] })
    }

    #[test]
    fn blocks_come_one_after_another() {
        let call = |index: usize, id: Option<&str>, part: &str| {
            let name = id.map(|_| "f");
            delta(
                &json!({ "tool_calls": [{ "index": index, "id": id, "function": { "name": name, "arguments": part } }] }),
            )
        };
        let events = said(&[
            delta(&json!({ "role": "assistant", "content": "" })),
            delta(&json!({ "reasoning_content": "hm" })),
            delta(&json!({ "content": "Let" })),
            delta(&json!({ "content": " me." })),
            call(0, Some("call_1"), ""),
            call(0, None, "{\"a\""),
            call(0, None, ":1}"),
            call(1, Some("call_2"), "{}"),
            json!({ "choices": [{ "delta": {}, "finish_reason": "tool_calls" }], "finish_code": "c" }),
            json!({ "choices": [], "usage": { "prompt_tokens": 5, "completion_tokens": 9 }, "credits_consumed": 0.25 }),
        ]);
        let kinds: Vec<&str> = events.iter().map(|e| e["type"].as_str().unwrap()).collect();
        let block = [
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
        ];
        let expected = [
            &["message_start"][..],
            &block,
            &[block[0], block[1], block[1], block[2]],
            &[block[0], block[1], block[1], block[2]],
            &block,
            &["message_delta", "message_stop"],
        ];
        assert_eq!(kinds, expected.concat());
        assert_eq!(events[0]["message"]["model"], "m");
        let starts = events.iter().filter(|e| e["type"] == "content_block_start");
        let starts: Vec<(&Value, &Value)> = starts
            .map(|e| (&e["index"], &e["content_block"]["type"]))
            .collect();
        let (thinking, text, tool) = (json!("thinking"), json!("text"), json!("tool_use"));
        let places = [json!(0), json!(1), json!(2), json!(3)];
        let kinds = [&thinking, &text, &tool, &tool];
        assert_eq!(starts, places.iter().zip(kinds).collect::<Vec<_>>());
        let json = events.iter().filter(|e| e["index"] == 2);
        let parts = json.filter_map(|e| e["delta"]["partial_json"].as_str());
        assert_eq!(parts.collect::<String>(), "{\"a\":1}");
        let end = &events[events.len() - 2];
        assert_eq!(end["delta"]["stop_reason"], "tool_use");
        assert_eq!(
            (
                &end["usage"]["input_tokens"],
                &end["usage"]["output_tokens"]
            ),
            (&json!(5), &json!(9))
        );
        assert_eq!(end["credits_consumed"], 0.25);
        assert_eq!(end["finish_code"], "c");
        assert_eq!(end.get("usage_source"), None);
    }

    #[test]
    fn a_signature_ends_its_thought() {
        let events = said(&[
            delta(&json!({ "reasoning_content": "hm" })),
            delta(
                &json!({ "reasoning_details": [{ "type": "thinking", "thinking": "hm", "signature": "s" }] }),
            ),
            delta(&json!({ "reasoning_details": [{ "type": "redacted_thinking", "data": "d" }] })),
            delta(&json!({ "content": "Hi." })),
        ]);
        let deltas = events.iter().filter_map(|e| e["delta"]["type"].as_str());
        let expected = ["thinking_delta", "signature_delta", "text_delta"];
        assert_eq!(deltas.collect::<Vec<_>>(), expected);
        let starts = events.iter().filter(|e| e["type"] == "content_block_start");
        let starts: Vec<&Value> = starts.map(|e| &e["content_block"]["type"]).collect();
        assert_eq!(starts, ["thinking", "redacted_thinking", "text"]);
        let stops = events.iter().filter(|e| e["type"] == "content_block_stop");
        assert_eq!(stops.count(), 3);
    }

    #[test]
    fn calls_that_share_an_index_are_told_apart() {
        let call = |id: &str, name: Option<&str>, part: &str| {
            delta(
                &json!({ "tool_calls": [{ "index": 0, "id": id, "function": { "name": name, "arguments": part } }] }),
            )
        };
        for ids in [["a", "b"], ["", ""]] {
            let events = said(&[
                call(ids[0], Some("f"), "{\"city\":"),
                call(ids[0], None, "\"A\"}"),
                call(ids[1], Some("f"), "{\"city\":\"B\"}"),
                json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }] }),
            ]);
            let starts = events.iter().filter(|e| e["type"] == "content_block_start");
            assert_eq!(starts.count(), 2, "{ids:?}");
            let parts: Vec<String> = [0, 1]
                .iter()
                .map(|index| {
                    let parts = events.iter().filter(|e| e["index"] == *index);
                    parts
                        .filter_map(|e| e["delta"]["partial_json"].as_str())
                        .collect()
                })
                .collect();
            assert_eq!(parts, ["{\"city\":\"A\"}", "{\"city\":\"B\"}"]);
            assert_eq!(events[events.len() - 2]["delta"]["stop_reason"], "tool_use");
        }
        // A server that says the name again and again goes on with one call.
        let events = said(&[call("a", Some("f"), "{\"x\""), call("a", Some("f"), ":1}")]);
        let starts = events.iter().filter(|e| e["type"] == "content_block_start");
        assert_eq!(starts.count(), 1);
    }

    #[test]
    fn an_empty_answer_is_a_message_without_content() {
        let kinds: Vec<Value> = said(&[])
            .into_iter()
            .map(|mut e| e["type"].take())
            .collect();
        assert_eq!(kinds, ["message_start", "message_delta", "message_stop"]);
    }
}
