//! The two ways of an answer tell the same, however it is cut into events; and what single events become.

use proptest::prelude::*;
use serde_json::{Value, json};
use upstream::Class;

use super::*;
use crate::{
    providers::{Chunk, Piece, told::Telling as _},
    scan::Choices,
    usage::{self, Reported},
};

/// Everything a stream told, as OpenAI's SDKs put it together.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    content: String,
    reasoning: String,
    /// Id, name and arguments.
    calls: Vec<[String; 3]>,
    details: Vec<Value>,
    refusal: Option<String>,
    finish: Option<String>,
    usage: Value,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Heard {
    fn of_message(whole: &Chunk) -> Self {
        let whole: Value = serde_json::from_slice(&whole.data).unwrap();
        assert_eq!(whole["object"], "chat.completion");
        let choice = &whole["choices"][0];
        let message = &choice["message"];
        let calls = message["tool_calls"].as_array().into_iter().flatten();
        Self {
            content: text(&message["content"]),
            reasoning: text(&message["reasoning_content"]),
            calls: calls
                .map(|call| {
                    let function = &call["function"];
                    [
                        text(&call["id"]),
                        text(&function["name"]),
                        text(&function["arguments"]),
                    ]
                })
                .collect(),
            details: message["reasoning_details"]
                .as_array()
                .cloned()
                .unwrap_or_default(),
            refusal: message["refusal"].as_str().map(str::to_owned),
            finish: choice["finish_reason"].as_str().map(str::to_owned),
            usage: whole["usage"].clone(),
        }
    }

    fn of_stream(pieces: &[Piece]) -> Self {
        let mut heard = Self::default();
        for (at, piece) in pieces.iter().enumerate() {
            let Piece::Chunk(chunk) = piece else {
                assert_eq!(at + 1, pieces.len(), "nothing follows the end");
                continue;
            };
            let chunk: Value = serde_json::from_slice(&chunk.data).unwrap();
            assert_eq!(chunk["object"], "chat.completion.chunk");
            assert_eq!(
                (&chunk["id"], &chunk["created"]),
                (&json!("msg_1"), &json!(7))
            );
            let choice = &chunk["choices"][0];
            assert_eq!(choice["delta"]["role"].is_string(), at == 0);
            heard.take(&choice["delta"]);
            if let Some(finish) = choice["finish_reason"].as_str() {
                heard.finish = Some(finish.to_owned());
            }
            if chunk.get("usage").is_some() {
                assert_eq!(chunk["choices"], json!([]));
                heard.usage = chunk["usage"].clone();
            }
        }
        heard
    }

    fn take(&mut self, delta: &Value) {
        self.content += &text(&delta["content"]);
        self.reasoning += &text(&delta["reasoning_content"]);
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let index = usize::try_from(call["index"].as_u64().unwrap()).unwrap();
            if call["id"].is_string() {
                assert_eq!(
                    (index, &call["type"]),
                    (self.calls.len(), &json!("function"))
                );
                let name = text(&call["function"]["name"]);
                self.calls.push([text(&call["id"]), name, String::new()]);
            }
            self.calls[index][2] += call["function"]["arguments"].as_str().unwrap();
        }
        let details = delta["reasoning_details"].as_array();
        self.details.extend(details.into_iter().flatten().cloned());
        if let Some(refusal) = delta["refusal"].as_str() {
            self.refusal = Some(refusal.to_owned());
        }
    }
}

fn message(blocks: &[Value], reason: &str) -> Value {
    let explanation = (reason == "refusal").then_some("not this");
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": blocks,
        "stop_reason": reason, "stop_sequence": null,
        "stop_details": explanation.map(|why| json!({"type": "refusal", "explanation": why})),
        "usage": {"input_tokens": 5, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 2, "output_tokens": 20,
            "output_tokens_details": {"thinking_tokens": 8}, "service_tier": "standard"},
    })
}

/// The text cut into pieces of so many characters, the last one of whatever is left.
fn cut(text: &str, size: usize) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars
        .chunks(size)
        .map(|piece| piece.iter().collect())
        .collect()
}

/// The events that tell a message, as Anthropic sends them.
fn events(message: &Value, size: usize) -> Vec<Value> {
    let mut start = message.clone();
    start["content"] = json!([]);
    start["stop_reason"] = json!(null);
    start["stop_details"] = json!(null);
    start["usage"]["output_tokens"] = json!(1);
    let mut events = vec![
        json!({"type": "message_start", "message": start}),
        json!({"type": "ping"}),
    ];
    for (index, block) in message["content"].as_array().unwrap().iter().enumerate() {
        let mut begin = block.clone();
        let mut deltas = Vec::new();
        let mut spell = |field: &str, kind: &str, name: &str, text: &str| {
            begin[field] = if field == "input" {
                json!({})
            } else {
                json!("")
            };
            let pieces = cut(text, size).into_iter();
            deltas.extend(pieces.map(|piece| json!({"type": kind, name: piece})));
        };
        match block["type"].as_str().unwrap() {
            "text" => spell(
                "text",
                "text_delta",
                "text",
                block["text"].as_str().unwrap(),
            ),
            "thinking" => {
                let thinking = block["thinking"].as_str().unwrap();
                spell("thinking", "thinking_delta", "thinking", thinking);
                let signature = block["signature"].as_str().unwrap();
                spell("signature", "signature_delta", "signature", signature);
            }
            "tool_use" if block["input"] == json!({}) => {
                spell("input", "input_json_delta", "partial_json", "");
            }
            "tool_use" => {
                let input = block["input"].to_string();
                spell("input", "input_json_delta", "partial_json", &input);
            }
            _ => {}
        }
        events.push(json!({"type": "content_block_start", "index": index, "content_block": begin}));
        events.extend(
            deltas.into_iter().map(
                |delta| json!({"type": "content_block_delta", "index": index, "delta": delta}),
            ),
        );
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    events.push(json!({
        "type": "message_delta", "usage": {"output_tokens": 20, "output_tokens_details": {"thinking_tokens": 8}},
        "delta": {"stop_reason": message["stop_reason"], "stop_sequence": null, "stop_details": message["stop_details"]},
    }));
    events.push(json!({"type": "message_stop"}));
    events
}

fn tell(events: &[Value], show: Show) -> Result<Vec<Piece>, Failure> {
    let mut telling = Telling::new(show, 7);
    let mut pieces = Vec::new();
    for event in events {
        pieces.extend(telling.take(event.to_string().as_bytes())?);
    }
    Ok(pieces)
}

fn block() -> impl Strategy<Value = Value> {
    let written = "[ -~äß\\n🎈]{1,12}";
    prop_oneof![
        written.prop_map(|text| json!({"type": "text", "text": text})),
        (written, "[a-zA-Z0-9+/=]{1,9}").prop_map(
            |(thinking, signature)| json!({"type": "thinking", "thinking": thinking, "signature": signature})
        ),
        "[a-z]{1,5}".prop_map(|data| json!({"type": "redacted_thinking", "data": data})),
        ("[a-z0-9]{1,5}", prop::option::of(written)).prop_map(|(id, city)| json!({
            "type": "tool_use", "id": id, "name": "f", "input": city.map_or_else(|| json!({}), |city| json!({"city": city, "n": 1.0})),
        })),
        Just(json!({"type": "something_new", "text": "x"})),
    ]
}

proptest! {
    #[test]
    fn a_stream_tells_what_a_whole_answer_tells(
        blocks in prop::collection::vec(block(), 0..6), size in 1_usize..9,
        reason in prop::sample::select(vec!["end_turn", "max_tokens", "tool_use", "refusal"]),
        show in prop::sample::select(vec![Show::Thoughts, Show::AnswerOnly]),
    ) {
        let message = message(&blocks, reason);
        let whole = reply::whole(message.to_string().as_bytes(), show, 7).unwrap();
        let pieces = tell(&events(&message, size), show).unwrap();
        prop_assert!(matches!(pieces.last(), Some(Piece::Done)));
        let heard = Heard::of_stream(&pieces);
        prop_assert_eq!(&heard, &Heard::of_message(&whole));
        if show == Show::AnswerOnly {
            prop_assert!(heard.reasoning.is_empty());
            let silent = |detail: &Value| detail["thinking"].as_str().is_none_or(str::is_empty);
            prop_assert!(heard.details.iter().all(silent));
        }
        let counted: u64 = pieces.iter().map(|piece| match piece {
            Piece::Chunk(chunk) => chunk.signs.content_bytes,
            Piece::Done => 0,
        }).sum();
        prop_assert_eq!(counted, whole.signs.content_bytes);
    }

    #[test]
    fn thinking_goes_back_as_it_came(blocks in prop::collection::vec(block(), 1..7)) {
        // Calls and texts that follow each other directly may change places, and texts melt together.
        let message = message(&blocks, "tool_use");
        let whole = reply::whole(message.to_string().as_bytes(), Show::Thoughts, 7).unwrap();
        let whole: Value = serde_json::from_slice(&whole.data).unwrap();
        let raw = serde_json::value::to_raw_value(&whole["choices"][0]["message"]["reasoning_details"]).unwrap();
        let details = thoughts::details(Some(&raw));
        let sent: Vec<Value> = details.iter().map(|detail| serde_json::to_value(&detail.thought).unwrap()).collect();
        let thinks = |block: &&Value| block["type"].as_str().unwrap().ends_with("thinking");
        let came: Vec<Value> = blocks.iter().filter(thinks).cloned().collect();
        prop_assert_eq!(sent, came);
    }
}

#[test]
fn the_last_chunks_are_what_the_meter_looks_for() {
    let message = message(&[json!({"type": "text", "text": "hi"})], "end_turn");
    let pieces = tell(&events(&message, 9), Show::AnswerOnly).unwrap();
    let signs: Vec<_> = pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Chunk(chunk) => Some((chunk.signs.choices, chunk.signs.usage)),
            Piece::Done => None,
        })
        .collect();
    let expected = [
        (Choices::Open, false),
        (Choices::Open, false),
        (Choices::Finished, false),
        (Choices::Empty, true),
    ];
    assert_eq!(signs, expected);
    let Some(Piece::Chunk(last)) = pieces.get(3) else {
        panic!("a usage event");
    };
    let Reported::Usage(usage) = usage::read(&last.data) else {
        panic!("a usage");
    };
    let classes = (usage.input, usage.cached, usage.output, usage.reasoning);
    assert_eq!(classes, (5, 2, 12, 8));
}

#[test]
fn an_error_ends_a_stream_and_nothing_is_told_before_the_first_block() {
    let message = message(&[json!({"type": "text", "text": "hi"})], "end_turn");
    let events = events(&message, 9);
    assert!(tell(&events[..2], Show::AnswerOnly).unwrap().is_empty());
    let error = json!({"type": "error", "error": {"type": "overloaded_error", "message": "m"}});
    let failure = tell(&[events[0].clone(), error], Show::AnswerOnly)
        .err()
        .unwrap();
    assert_eq!(failure.class(), Class::Overloaded);
    let cut = Telling::new(Show::AnswerOnly, 7)
        .take(b"{\"type\":\"mess")
        .err();
    assert_eq!(cut.unwrap().class(), Class::Malformed);
}

#[test]
fn usage_that_does_not_come_is_not_made_up() {
    let message = message(&[json!({"type": "text", "text": "hi"})], "end_turn");
    let mut events = events(&message, 9);
    for event in &mut events {
        if event["type"] == "message_delta" {
            event.as_object_mut().unwrap().remove("usage");
        }
    }
    let pieces = tell(&events, Show::AnswerOnly).unwrap();
    assert_eq!(Heard::of_stream(&pieces).usage, Value::Null);
}

#[test]
fn what_is_no_answer_is_told_as_such() {
    let class = |body: &str| {
        reply::whole(body.as_bytes(), Show::AnswerOnly, 7)
            .err()
            .unwrap()
            .class()
    };
    for body in [
        "",
        "<html>",
        "[]",
        "7",
        "{}",
        r#"{"content":7}"#,
        r#"{"content":[{"type":"te"#,
    ] {
        assert_eq!(class(body), Class::Malformed, "{body}");
    }
    let error = r#"{"type":"error","error":{"type":"api_error","message":"m"}}"#;
    assert_eq!(class(error), Class::Overloaded);
}
