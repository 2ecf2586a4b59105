//! A whole answer as a response.

use domain::OperationId;
use serde_json::Value;

use super::{
    item::{self, Called, Names, Part, PartKind, Status},
    turn::{Closed, Ended, Turn},
};
use crate::wire::{self, Chat, Choice};

/// Translates what chat answered. `None`: it is no object.
pub(crate) fn read(turn: &Turn, body: &[u8], operation: OperationId) -> Option<Closed> {
    let chat = Chat::parse(body)?;
    let choice = chat.choice();
    let names = Names::of(&super::id_of(operation));
    let output = choice.map(|choice| output(choice, &names));
    let mut ended = Ended {
        model: chat.model().to_owned(),
        ..Ended::default()
    };
    ended.take(&chat);
    Some(turn.close(operation, ended, output.unwrap_or_default()))
}

fn output(choice: Choice<'_>, names: &Names) -> Vec<Value> {
    let said = choice.message();
    let mut output = Vec::new();
    for signed in said.signed() {
        let thought = signed.get("thinking").and_then(Value::as_str);
        let id = names.reasoning(output.len());
        output.push(item::reasoning(
            &id,
            thought.unwrap_or_default(),
            Some(signed),
        ));
    }
    // What nobody signed is a thought all the same.
    if output.is_empty() && !said.thought().is_empty() {
        output.push(item::reasoning(&names.reasoning(0), said.thought(), None));
    }
    let parts = parts(choice, said);
    if !parts.is_empty() {
        let id = names.message(output.len());
        output.push(item::message(&id, &parts, end_of(choice.finish_reason())));
    }
    for call in said.calls() {
        let place = output.len();
        let called = Called::of(call, names, place);
        let status = end_of(choice.finish_reason());
        output.push(called.to_json(&names.call(place), &call.arguments(), status));
    }
    output
}

fn parts(choice: Choice<'_>, said: wire::Part<'_>) -> Vec<Part> {
    let mut parts = Vec::new();
    let texts = [
        (PartKind::Text, said.content()),
        (PartKind::Refusal, said.refusal().to_owned()),
    ];
    for (kind, text) in texts {
        if text.is_empty() {
            continue;
        }
        let logprobs = match kind {
            PartKind::Text => choice.logprobs().to_vec(),
            PartKind::Refusal => Vec::new(),
        };
        parts.push(Part {
            kind,
            text,
            logprobs,
        });
    }
    parts
}

/// How the last item of an answer ended.
pub(super) fn end_of(finish_reason: Option<&str>) -> Status {
    match finish_reason {
        Some("length" | "content_filter") => Status::Incomplete,
        Some(_) | None => Status::Completed,
    }
}
