//! The two ways of an answer tell the same, however it is cut into events.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::request::{Calls, Wishes};
use super::*;
use crate::providers::{Chunk, Piece, completion::Show, told::Telling as _};

const QUIET: Wishes = Wishes {
    show: Show::AnswerOnly,
    calls: Calls::Many,
};

/// Everything an answer told, as OpenAI's SDKs put it together.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    content: String,
    reasoning: String,
    /// Id, name, arguments and signature.
    calls: Vec<[String; 4]>,
    signature: String,
    finish: String,
    usage: Value,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn signature(value: &Value) -> String {
    text(&value["extra_content"]["google"]["thought_signature"])
}

impl Heard {
    fn take(&mut self, said: &Value) {
        self.content += &text(&said["content"]);
        self.reasoning += &text(&said["reasoning_content"]);
        for call in said["tool_calls"].as_array().into_iter().flatten() {
            let function = &call["function"];
            self.calls.push([
                text(&call["id"]),
                text(&function["name"]),
                text(&function["arguments"]),
                signature(call),
            ]);
        }
        if !signature(said).is_empty() {
            self.signature = signature(said);
        }
    }

    fn of_whole(whole: &Chunk) -> Self {
        let whole: Value = serde_json::from_slice(&whole.data).unwrap();
        let choice = &whole["choices"][0];
        let mut heard = Self {
            finish: text(&choice["finish_reason"]),
            usage: whole["usage"].clone(),
            ..Self::default()
        };
        heard.take(&choice["message"]);
        heard
    }

    fn of_stream(pieces: &[Piece]) -> Self {
        let mut heard = Self::default();
        for (at, piece) in pieces.iter().enumerate() {
            let Piece::Chunk(chunk) = piece else {
                assert_eq!(at + 1, pieces.len(), "nothing follows the end");
                continue;
            };
            let chunk: Value = serde_json::from_slice(&chunk.data).unwrap();
            let choice = &chunk["choices"][0];
            assert_eq!(choice["delta"]["role"].is_string(), at == 0);
            for call in choice["delta"]["tool_calls"]
                .as_array()
                .into_iter()
                .flatten()
            {
                assert_eq!(call["index"], heard.calls.len());
            }
            heard.take(&choice["delta"]);
            heard.finish += &text(&choice["finish_reason"]);
            if chunk.get("usage").is_some() {
                assert_eq!(chunk["choices"], json!([]));
                heard.usage = chunk["usage"].clone();
            }
        }
        heard
    }
}

fn response(parts: &[Value], finish: Option<&str>) -> Value {
    json!({
        "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": finish, "index": 0}],
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 3, "thoughtsTokenCount": 2, "totalTokenCount": 10},
        "modelVersion": "m", "responseId": "r",
    })
}

fn tell(events: &[Value], wishes: Wishes) -> Result<Vec<Piece>, Failure> {
    let mut telling = Telling::new(wishes, 7, 1);
    let mut pieces = Vec::new();
    for event in events {
        pieces.extend(telling.take(event.to_string().as_bytes())?);
    }
    Ok(pieces)
}

fn part() -> impl Strategy<Value = Value> {
    let written = "[ -~äß\\n🎈]{0,12}";
    prop_oneof![
        written.prop_map(|text| json!({"text": text})),
        written.prop_map(|text| json!({"text": text, "thought": true})),
        (written, "[a-zA-Z0-9+/=]{1,9}")
            .prop_map(|(text, signature)| json!({"text": text, "thoughtSignature": signature})),
        (
            "[a-z0-9]{0,5}",
            "[a-z]{1,3}",
            prop::option::of("[a-z]{1,4}")
        )
            .prop_map(|(id, city, signature)| {
                let mut part =
                    json!({"functionCall": {"name": "f", "args": {"city": city, "n": 1.0}}});
                if !id.is_empty() {
                    part["functionCall"]["id"] = json!(id);
                }
                if let Some(signature) = signature {
                    part["thoughtSignature"] = json!(signature);
                }
                part
            }),
        Just(json!({"executableCode": {"code": "x"}})),
    ]
}

proptest! {
    #[test]
    fn a_stream_tells_what_a_whole_answer_tells(
        parts in prop::collection::vec(part(), 0..7), size in 1_usize..4,
        reason in prop::sample::select(vec!["STOP", "MAX_TOKENS", "SAFETY", "OTHER"]),
        show in prop::sample::select(vec![Show::Thoughts, Show::AnswerOnly]),
        calls in prop::sample::select(vec![Calls::One, Calls::Many]),
    ) {
        let wishes = Wishes { show, calls };
        let whole = response(&parts, Some(reason)).to_string();
        let whole = reply::whole(whole.as_bytes(), wishes, 7).unwrap();
        let mut events: Vec<Value> = parts.chunks(size).map(|parts| response(parts, None)).collect();
        events.push(response(&[], Some(reason)));
        let pieces = tell(&events, wishes).unwrap();
        prop_assert!(matches!(pieces.last(), Some(Piece::Done)));
        let heard = Heard::of_stream(&pieces);
        prop_assert_eq!(&heard, &Heard::of_whole(&whole));
        if show == Show::AnswerOnly {
            prop_assert!(heard.reasoning.is_empty());
        }
        if calls == Calls::One {
            prop_assert!(heard.calls.len() <= 1);
        }
        // What is counted where no usage comes is what was told.
        let counted: u64 = pieces.iter().map(|piece| match piece {
            Piece::Chunk(chunk) => chunk.signs.content_bytes,
            Piece::Done => 0,
        }).sum();
        prop_assert_eq!(counted, whole.signs.content_bytes);
    }
}

#[test]
fn nothing_is_told_before_there_is_something_to_tell() {
    let usage = json!({"usageMetadata": {"promptTokenCount": 5}, "responseId": "r"});
    let pieces = tell(std::slice::from_ref(&usage), QUIET).unwrap();
    assert!(pieces.is_empty());
    // More candidates than were asked for are no answer.
    let mut more = response(&[], None);
    more["candidates"][0]["index"] = json!(1);
    let failure = tell(&[usage, more], QUIET).err().unwrap();
    assert_eq!(failure.class(), upstream::Class::Malformed);
}
