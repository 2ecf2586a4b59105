//! From Anthropic's answer in one piece to OpenAI's. Pure.

use serde_json::value::RawValue;
use upstream::Failure;

use super::{
    refusal,
    shape::{Call, Choice, Common, Completion, Function, Message, chunk, finish_reason, usage},
    thoughts::{Detail, Place, Show},
    wire::{self, Given, Thought},
};
use crate::providers::Chunk;

/// A `chat.completion` out of the body of an answer. `created` is the time, in seconds.
///
/// # Errors
/// When it is no answer, or reports an error.
pub(super) fn whole(body: &[u8], show: Show, created: i64) -> Result<Chunk, Failure> {
    let answer: wire::Message = serde_json::from_slice(body)
        .map_err(|_| Failure::malformed("the answer is not JSON, or no message"))?;
    if answer.r#type == "error" {
        return Err(refusal::reported(body));
    }
    let blocks = answer
        .content
        .ok_or_else(|| Failure::malformed("the answer has no content"))?;
    let mut message = Message {
        role: "assistant",
        content: None,
        refusal: answer.stop_details.and_then(|stop| stop.explanation),
        reasoning_content: None,
        tool_calls: Vec::new(),
        reasoning_details: Vec::new(),
    };
    for block in blocks {
        message.take(block, show);
    }
    if message.tool_calls.is_empty() {
        message.content.get_or_insert_default();
    }
    let choice = Choice {
        index: 0,
        message,
        finish_reason: finish_reason(answer.stop_reason.as_deref().unwrap_or_default()),
        logprobs: None,
    };
    let common = Common {
        id: answer.id,
        created,
        model: answer.model,
    };
    Ok(chunk(&Completion {
        common: &common,
        object: "chat.completion",
        choices: &[choice],
        usage: answer.usage.as_ref().and_then(usage),
    }))
}

/// The arguments of a call as a text. A call without any has an empty object.
pub(super) fn arguments(input: Option<&RawValue>) -> String {
    input.map_or("{}", RawValue::get).to_owned()
}

// === impl Message ===

impl Message {
    fn take(&mut self, block: Given, show: Show) {
        match block.r#type.as_str() {
            "text" => append(&mut self.content, &block.text.unwrap_or_default()),
            "tool_use" => self.tool_calls.push(Call {
                index: None,
                id: block.id,
                r#type: Some("function"),
                function: Function {
                    name: block.name,
                    arguments: arguments(block.input.as_deref()),
                },
            }),
            _ => self.think(block, show),
        }
    }

    fn think(&mut self, block: Given, show: Show) {
        let Some(thought) = Thought::of(block, show) else {
            return;
        };
        if let (Thought::Thinking { thinking, .. }, Show::Thoughts) = (&thought, show) {
            append(&mut self.reasoning_content, thinking);
        }
        let place = Place {
            after_text: self.content.as_ref().map_or(0, String::len),
            after_calls: self.tool_calls.len(),
        };
        self.reasoning_details.push(Detail { thought, place });
    }
}

fn append(text: &mut Option<String>, piece: &str) {
    if !piece.is_empty() {
        text.get_or_insert_default().push_str(piece);
    }
}
