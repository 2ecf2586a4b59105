//! From Gemini's answer in one piece to OpenAI's. Pure.

use std::borrow::Cow;

use serde_json::value::RawValue;
use upstream::Failure;

use super::{
    request::Wishes,
    shape::{Call, Choice, Extra, Finish, Function, Logprobs, Message, blocked, usage},
    wire::{Called, Candidate, Given, Response, Text},
};
use crate::providers::{
    Chunk,
    completion::{Common, Completion, Show, chunk},
    refusal,
};

/// A `chat.completion` out of the body of an answer. `created` is the time, in seconds.
///
/// # Errors
/// When it is no answer, reports an error, or says that the prompt was blocked.
pub(super) fn whole(body: &[u8], wishes: Wishes, created: i64) -> Result<Chunk, Failure> {
    let response = read(body)?;
    let common = common(&response, created);
    let candidates = response.candidates.unwrap_or_default();
    if candidates.is_empty() {
        let failure = response.prompt_feedback.and_then(blocked);
        return Err(failure.unwrap_or_else(|| Failure::malformed("the answer has no candidates")));
    }
    let choices = candidates
        .into_iter()
        .map(|candidate| choice(candidate, (wishes, &common)))
        .collect::<Result<Vec<_>, Failure>>()?;
    Ok(chunk(&Completion {
        common: &common,
        object: "chat.completion",
        choices: &choices,
        usage: response.usage_metadata.as_ref().and_then(usage),
    }))
}

/// An answer or an event, unless it is an error.
pub(super) fn read(json: &[u8]) -> Result<Response<'_>, Failure> {
    let no_form = || Failure::malformed("the answer is not a JSON object of a known form");
    // Google may wrap an error in a list of one; a list is nothing else.
    if json.trim_ascii_start().starts_with(b"[") {
        return Err(refusal::reported(json).unwrap_or_else(no_form));
    }
    let response: Response<'_> = serde_json::from_slice(json).map_err(|_| no_form())?;
    if response.error.is_some() {
        return Err(refusal::reported(json).unwrap_or_else(no_form));
    }
    Ok(response)
}

/// What all objects of an answer have in common.
pub(super) fn common(response: &Response<'_>, created: i64) -> Common {
    let text = |text: &Option<Text<'_>>| text.as_ref().map_or("", |text| &text.0).to_owned();
    Common {
        id: format!("chatcmpl-{}", text(&response.response_id)),
        created,
        model: text(&response.model_version),
    }
}

/// A call as OpenAI has it. One that Gemini gave no id gets one that no other call of a conversation has.
pub(super) fn call<'a>(
    called: Called<'a>,
    signature: Option<Text<'a>>,
    (common, choice, number): (&Common, usize, usize),
) -> Call<'a> {
    let given = called.id.map(|id| id.0).filter(|id| !id.is_empty());
    let made = || {
        let answer = common.id.trim_start_matches("chatcmpl-");
        Cow::Owned(format!("call_{answer}_{choice}_{number}"))
    };
    Call {
        index: None,
        id: given.unwrap_or_else(made),
        r#type: "function",
        function: Function {
            name: called.name.unwrap_or_default().0,
            arguments: called.args.map_or("{}", RawValue::get),
        },
        extra_content: Extra::of(signature),
    }
}

fn choice<'a>(
    candidate: Candidate<'a>,
    (wishes, common): (Wishes, &Common),
) -> Result<Choice<'a>, Failure> {
    let mut message = Message {
        role: "assistant",
        ..Message::default()
    };
    let place = (common, candidate.index);
    for part in candidate
        .content
        .unwrap_or_default()
        .parts
        .unwrap_or_default()
    {
        message.take(part, wishes, place);
    }
    if message.tool_calls.is_empty() {
        message.content.get_or_insert_default();
    }
    let reason = candidate.finish_reason.unwrap_or_default();
    let finish = Finish::of(&reason.0, message.tool_calls.len());
    if finish == Finish::ContentFilter {
        message.refusal = candidate.finish_message.map(|text| text.0);
    }
    Ok(Choice {
        index: candidate.index,
        message,
        finish_reason: finish.word()?,
        logprobs: Logprobs::read(candidate.logprobs_result),
    })
}

// === impl Message ===

impl<'a> Message<'a> {
    fn take(&mut self, part: Given<'a>, wishes: Wishes, (common, choice): (&Common, usize)) {
        if let Some(called) = part.function_call {
            let place = (common, choice, self.tool_calls.len());
            if !wishes.calls.allows(self.tool_calls.len()) {
                return;
            }
            self.tool_calls
                .push(call(called, part.thought_signature, place));
            return;
        }
        let text = part.text.unwrap_or_default().0;
        match (part.thought.unwrap_or_default(), wishes.show) {
            (false, _) => append(&mut self.content, &text),
            (true, Show::Thoughts) => append(&mut self.reasoning_content, &text),
            (true, Show::AnswerOnly) => {}
        }
        if let Some(extra) = Extra::of(part.thought_signature) {
            self.extra_content = Some(extra);
        }
    }
}

fn append(text: &mut Option<String>, piece: &str) {
    if !piece.is_empty() {
        text.get_or_insert_default().push_str(piece);
    }
}
