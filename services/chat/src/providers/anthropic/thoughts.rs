//! Blocks of thinking in OpenAI's shape, where there is no place for them: the field `reasoning_details` of an assistant's message.
//!
//! A model that calls tools while it thinks wants its thinking back, signed and unchanged, with the tools' results. So each block
//! of an answer's thinking is an element of `reasoning_details`, and a customer who sends the assistant's message back as it came
//! has done enough:
//!
//! ```json
//! {"role": "assistant", "content": "Let me look.", "tool_calls": ["…"], "reasoning_details": [
//!   {"type": "thinking", "thinking": "…", "signature": "…", "after_text": 0, "after_calls": 0},
//!   {"type": "redacted_thinking", "data": "…", "after_text": 12, "after_calls": 1}]}
//! ```
//!
//! `after_text` (bytes of `content`) and `after_calls` (elements of `tool_calls`) say what came before the block, so that the
//! order of blocks is not lost. In a stream each element comes once, whole, in the delta of the event that ends the block: the lists
//! of all deltas, joined, are the list of the message. A customer who did not ask for thoughts gets the elements too, with an empty
//! `thinking`, as Anthropic itself omits it: the signature is what counts.

use std::{borrow::Cow, ops::Range};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::wire::{Block, Given, Thought};
pub(super) use crate::providers::completion::Show;

/// One block of thinking: an element of `reasoning_details`. A wire type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Detail {
    #[serde(flatten)]
    pub(super) thought: Thought,
    #[serde(flatten)]
    pub(super) place: Place,
}

/// What of a message came before a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Bytes of its text.
    #[serde(default)]
    pub(super) after_text: usize,
    /// Tool calls.
    #[serde(default)]
    pub(super) after_calls: usize,
}

/// The elements of a customer's `reasoning_details` that are Anthropic's; those of other models are of no use here.
pub(super) fn details(raw: Option<&RawValue>) -> Vec<Detail> {
    let elements: Vec<&RawValue> = raw
        .and_then(|raw| serde_json::from_str(raw.get()).ok())
        .unwrap_or_default();
    let elements = elements.into_iter();
    elements
        .filter_map(|element| serde_json::from_str(element.get()).ok())
        .collect()
}

/// An assistant's text, calls and thinking in the order in which they came.
pub(super) fn in_order<'a>(
    text: &str,
    calls: Vec<Block<'a>>,
    details: Vec<Detail>,
) -> Vec<Block<'a>> {
    let mut blocks = Vec::new();
    let mut calls = calls.into_iter();
    let mut taken = Place::default();
    for Detail { thought, place } in details {
        if push_text(&mut blocks, text, taken.after_text..place.after_text) {
            taken.after_text = place.after_text;
        }
        let missing = place.after_calls.saturating_sub(taken.after_calls);
        blocks.extend(calls.by_ref().take(missing));
        taken.after_calls = taken.after_calls.max(place.after_calls);
        blocks.push(Block::Thought(thought));
    }
    push_text(&mut blocks, text, taken.after_text..text.len());
    blocks.extend(calls);
    blocks
}

/// Adds a piece of the text, if there is such a piece. Anthropic takes no empty one.
fn push_text(blocks: &mut Vec<Block<'_>>, text: &str, range: Range<usize>) -> bool {
    let piece = text.get(range).filter(|piece| !piece.is_empty());
    blocks.extend(piece.map(|piece| Block::Text {
        text: Cow::Owned(piece.to_owned()),
    }));
    piece.is_some()
}

// === impl Thought ===

impl Thought {
    /// The thinking of a block; `None` for any other.
    pub(super) fn of(block: Given, show: Show) -> Option<Self> {
        match block.r#type.as_str() {
            "thinking" => Some(Self::Thinking {
                thinking: match show {
                    Show::Thoughts => block.thinking.unwrap_or_default(),
                    Show::AnswerOnly => String::new(),
                },
                signature: block.signature.unwrap_or_default(),
            }),
            "redacted_thinking" => Some(Self::RedactedThinking {
                data: block.data.unwrap_or_default(),
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn call(id: &str) -> Block<'static> {
        Block::ToolUse {
            id: id.to_owned(),
            name: "f".to_owned(),
            input: RawValue::from_string("{}".to_owned()).unwrap(),
        }
    }

    fn detail(text: usize, calls: usize) -> Value {
        json!({"type": "redacted_thinking", "data": "d", "after_text": text, "after_calls": calls})
    }

    fn order(text: &str, details_: &Value) -> Vec<String> {
        let raw = RawValue::from_string(details_.to_string()).unwrap();
        let blocks = in_order(text, vec![call("a"), call("b")], details(Some(&raw)));
        let word = |block: &Block<'_>| match block {
            Block::Text { text } => text.to_string(),
            Block::ToolUse { id, .. } => format!("<{id}>"),
            Block::Thought(_) => "*".to_owned(),
            Block::Image { .. } | Block::Document { .. } | Block::ToolResult { .. } => {
                panic!("no such block")
            }
        };
        blocks.iter().map(word).collect()
    }

    #[test]
    fn blocks_stand_where_they_stood() {
        for (details, expected) in [
            (json!([]), vec!["Hällo", "<a>", "<b>"]),
            (json!([detail(0, 0)]), vec!["*", "Hällo", "<a>", "<b>"]),
            (
                json!([detail(3, 0), detail(6, 1)]),
                vec!["Hä", "*", "llo", "<a>", "*", "<b>"],
            ),
            // What fits nowhere is kept in its order.
            (
                json!([detail(2, 0), detail(99, 99)]),
                vec!["*", "<a>", "<b>", "*", "Hällo"],
            ),
            (
                json!([detail(6, 2), detail(0, 0)]),
                vec!["Hällo", "<a>", "<b>", "*", "*"],
            ),
        ] {
            assert_eq!(order("Hällo", &details), expected, "{details}");
        }
    }

    #[test]
    fn what_other_models_thought_is_left_out() {
        let theirs =
            json!([{"type": "reasoning.text", "text": "x"}, 7, {"type": "thinking"}, detail(0, 0)]);
        assert_eq!(order("", &theirs), ["*", "<a>", "<b>"]);
        assert_eq!(order("", &json!("x")), ["<a>", "<b>"]);
    }
}
