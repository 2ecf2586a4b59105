//! A streamed answer, event by event. Items come one after another, so what chat says decides which one is open.

use bytes::BytesMut;
use domain::OperationId;
use proto::Fault;
use serde_json::{Map, Value, json};

use super::{
    answer::end_of,
    item::{self, Called, Names, Part, PartKind, Status},
    turn::{Closed, Ended, Kept, Standing, Turn, error},
};
use crate::{
    error,
    sse::put_named,
    wire::{Call, Chat, Choice, Telling},
};

/// What was said so far.
pub(crate) struct Events {
    turn: Turn,
    operation: OperationId,
    names: Names,
    begun: Begun,
    open: Option<Item>,
    /// Items that are complete.
    output: Vec<Value>,
    ended: Ended,
    closed: Option<Closed>,
    /// The number of the next event.
    sequence: u64,
}

/// Whether the response has begun.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Begun {
    No,
    Yes,
}

/// The item that is open.
enum Item {
    Reasoning(String),
    /// Its parts, the last of which is open.
    Message(Vec<Part>),
    Call(Called, Telling),
}

// === impl Events ===

impl Events {
    pub(crate) fn new(turn: Turn, operation: OperationId) -> Self {
        Self {
            names: Names::of(&super::id_of(operation)),
            turn,
            operation,
            begun: Begun::No,
            open: None,
            output: Vec::new(),
            ended: Ended::default(),
            closed: None,
            sequence: 0,
        }
    }

    /// Takes in one event of chat. What is no object has nothing in it that could be told.
    pub(crate) fn take(&mut self, data: &[u8], buffer: &mut BytesMut) {
        let Some(chat) = Chat::parse(data) else {
            return;
        };
        if self.begun == Begun::No {
            chat.model().clone_into(&mut self.ended.model);
        }
        self.begin(buffer);
        self.ended.take(&chat);
        if let Some(choice) = chat.choice() {
            self.choice(choice, buffer);
        }
    }

    /// The answer is complete: closes what is open. What is to be kept of it comes back, and [`Events::finish`] goes last.
    pub(crate) fn close(&mut self, buffer: &mut BytesMut) -> Option<proto::chat::v1::KeptResponse> {
        self.begin(buffer);
        self.close_item(end_of(self.ended.finish_reason.as_deref()), buffer);
        let (ended, output) = (self.ended.clone(), std::mem::take(&mut self.output));
        let mut closed = self.turn.close(self.operation, ended, output);
        let keep = closed.keep.take();
        self.closed = Some(closed);
        keep
    }

    /// The last event, now that it is known whether the response is kept.
    pub(crate) fn finish(&mut self, kept: Kept, buffer: &mut BytesMut) {
        let Some(closed) = self.closed.take() else {
            return;
        };
        let name = if closed.is_complete() {
            "response.completed"
        } else {
            "response.incomplete"
        };
        let response = closed.told(kept);
        self.put(name, json!({ "response": response }), buffer);
    }

    /// It failed. The response says so, and then an error, which SDKs raise.
    pub(crate) fn fail(&mut self, fault: &Fault, request_id: &str, buffer: &mut BytesMut) {
        self.begin(buffer);
        // What had come of it was told, and may be charged.
        self.close_item(Status::Incomplete, buffer);
        let mut response = self
            .turn
            .unended(self.operation, &self.ended.model, Standing::Failed);
        if let Some(response) = response.as_object_mut() {
            response.insert("error".to_owned(), error(fault));
            let output = std::mem::take(&mut self.output);
            response.insert("output".to_owned(), output.into());
        }
        self.put("response.failed", json!({ "response": response }), buffer);
        let inside = serde_json::from_slice(&error::json(fault, request_id));
        let mut failed: Map<String, Value> = inside.unwrap_or_default();
        for (name, value) in [
            ("code", json!(fault.code.word)),
            ("message", json!(fault.message)),
            ("param", json!(fault.param)),
        ] {
            failed.insert(name.to_owned(), value);
        }
        self.put("error", Value::Object(failed), buffer);
    }

    fn begin(&mut self, buffer: &mut BytesMut) {
        if self.begun == Begun::Yes {
            return;
        }
        self.begun = Begun::Yes;
        let response = self
            .turn
            .unended(self.operation, &self.ended.model, Standing::InProgress);
        let data = json!({ "response": response });
        self.put("response.created", data.clone(), buffer);
        self.put("response.in_progress", data, buffer);
    }

    fn choice(&mut self, choice: Choice<'_>, buffer: &mut BytesMut) {
        let delta = choice.delta();
        if !delta.thought().is_empty() {
            self.think(delta.thought(), buffer);
        }
        for detail in delta.signed() {
            self.signed(detail, buffer);
        }
        let content = delta.content();
        if !content.is_empty() || !choice.logprobs().is_empty() {
            self.say(PartKind::Text, (&content, choice.logprobs()), buffer);
        }
        if !delta.refusal().is_empty() {
            self.say(PartKind::Refusal, (delta.refusal(), &[]), buffer);
        }
        for call in delta.calls() {
            self.call(call, buffer);
        }
    }

    fn think(&mut self, thought: &str, buffer: &mut BytesMut) {
        if !matches!(self.open, Some(Item::Reasoning(_))) {
            self.open(Item::Reasoning(String::new()), buffer);
        }
        let Some(Item::Reasoning(text)) = &mut self.open else {
            return;
        };
        let first = text.is_empty();
        text.push_str(thought);
        if first {
            let part = json!({ "summary_index": 0, "part": item::summary_part("") });
            self.put_of_item("response.reasoning_summary_part.added", part, buffer);
        }
        let delta = json!({ "summary_index": 0, "delta": thought });
        self.put_of_item("response.reasoning_summary_text.delta", delta, buffer);
    }

    /// A thought is whole, and comes with what proves it. What of it can be read was told before.
    fn signed(&mut self, detail: &Value, buffer: &mut BytesMut) {
        let readable = detail.get("signature").is_some();
        if !(readable && matches!(self.open, Some(Item::Reasoning(_)))) {
            self.open(Item::Reasoning(String::new()), buffer);
        }
        self.close_reasoning(Some(detail), buffer);
    }

    fn say(&mut self, kind: PartKind, (text, logprobs): (&str, &[Value]), buffer: &mut BytesMut) {
        if !matches!(self.open, Some(Item::Message(_))) {
            self.open(Item::Message(Vec::new()), buffer);
        }
        self.open_part(kind, buffer);
        let Some(Item::Message(parts)) = &mut self.open else {
            return;
        };
        let index = parts.len().saturating_sub(1);
        if let Some(part) = parts.last_mut() {
            part.text.push_str(text);
            part.logprobs.extend_from_slice(logprobs);
        }
        let (name, delta) = match kind {
            PartKind::Text => (
                "response.output_text.delta",
                json!({ "content_index": index, "delta": text, "logprobs": logprobs }),
            ),
            PartKind::Refusal => (
                "response.refusal.delta",
                json!({ "content_index": index, "delta": text }),
            ),
        };
        self.put_of_item(name, delta, buffer);
    }

    /// Opens a part of this kind, unless the last one is.
    fn open_part(&mut self, kind: PartKind, buffer: &mut BytesMut) {
        let Some(Item::Message(parts)) = &self.open else {
            return;
        };
        if parts.last().is_some_and(|part| part.kind == kind) {
            return;
        }
        self.close_part(buffer);
        let Some(Item::Message(parts)) = &mut self.open else {
            return;
        };
        let part = Part::new(kind);
        let added = json!({ "content_index": parts.len(), "part": part.to_json() });
        parts.push(part);
        self.put_of_item("response.content_part.added", added, buffer);
    }

    fn call(&mut self, call: Call<'_>, buffer: &mut BytesMut) {
        let goes_on =
            matches!(&self.open, Some(Item::Call(_, telling)) if telling.goes_on_with(call));
        if !goes_on {
            // The item that is open takes a place first.
            self.close_item(Status::Completed, buffer);
            let called = Called::of(call, &self.names, self.output.len());
            self.open(Item::Call(called, Telling::of(call)), buffer);
        }
        let part = call.arguments();
        if part.is_empty() {
            return;
        }
        if let Some(Item::Call(_, telling)) = &mut self.open {
            telling.arguments.push_str(&part);
        }
        let delta = json!({ "delta": part });
        self.put_of_item("response.function_call_arguments.delta", delta, buffer);
    }

    fn open(&mut self, item: Item, buffer: &mut BytesMut) {
        self.close_item(Status::Completed, buffer);
        let id = self.id_of(&item);
        let empty = match &item {
            Item::Reasoning(_) => item::reasoning(&id, "", None),
            Item::Message(_) => item::message(&id, &[], Status::InProgress),
            Item::Call(called, _) => called.to_json(&id, "", Status::InProgress),
        };
        self.open = Some(item);
        self.put_item("response.output_item.added", &empty, buffer);
    }

    /// Closes what is open.
    fn close_item(&mut self, status: Status, buffer: &mut BytesMut) {
        match &self.open {
            None => {}
            Some(Item::Reasoning(_)) => self.close_reasoning(None, buffer),
            Some(Item::Message(_)) => {
                self.close_part(buffer);
                let Some(Item::Message(parts)) = &self.open else {
                    return;
                };
                let id = self.names.message(self.output.len());
                self.done(item::message(&id, parts, status), buffer);
            }
            Some(Item::Call(called, telling)) => {
                let id = self.names.call(self.output.len());
                let item = called.to_json(&id, &telling.arguments, status);
                let all = json!({ "name": called.name, "arguments": telling.arguments });
                self.put_of_item("response.function_call_arguments.done", all, buffer);
                self.done(item, buffer);
            }
        }
    }

    fn close_reasoning(&mut self, signed: Option<&Value>, buffer: &mut BytesMut) {
        let Some(Item::Reasoning(text)) = &self.open else {
            return;
        };
        let text = text.clone();
        if !text.is_empty() {
            let all = json!({ "summary_index": 0, "text": text });
            self.put_of_item("response.reasoning_summary_text.done", all, buffer);
            let part = json!({ "summary_index": 0, "part": item::summary_part(&text) });
            self.put_of_item("response.reasoning_summary_part.done", part, buffer);
        }
        let id = self.names.reasoning(self.output.len());
        self.done(item::reasoning(&id, &text, signed), buffer);
    }

    fn close_part(&mut self, buffer: &mut BytesMut) {
        let Some(Item::Message(parts)) = &self.open else {
            return;
        };
        let Some(part) = parts.last() else {
            return;
        };
        let index = parts.len().saturating_sub(1);
        let done = json!({ "content_index": index, "part": part.to_json() });
        let (name, all) = match part.kind {
            PartKind::Text => (
                "response.output_text.done",
                json!({ "content_index": index, "text": part.text, "logprobs": part.logprobs }),
            ),
            PartKind::Refusal => (
                "response.refusal.done",
                json!({ "content_index": index, "refusal": part.text }),
            ),
        };
        self.put_of_item(name, all, buffer);
        self.put_of_item("response.content_part.done", done, buffer);
    }

    /// The item that is open is complete.
    fn done(&mut self, item: Value, buffer: &mut BytesMut) {
        self.put_item("response.output_item.done", &item, buffer);
        self.open = None;
        self.output.push(item);
    }

    fn id_of(&self, item: &Item) -> String {
        let place = self.output.len();
        match item {
            Item::Reasoning(_) => self.names.reasoning(place),
            Item::Message(_) => self.names.message(place),
            Item::Call(..) => self.names.call(place),
        }
    }

    fn put_item(&mut self, name: &str, item: &Value, buffer: &mut BytesMut) {
        let data = json!({ "output_index": self.output.len(), "item": item });
        self.put(name, data, buffer);
    }

    /// An event about the item that is open.
    fn put_of_item(&mut self, name: &str, mut data: Value, buffer: &mut BytesMut) {
        if let (Some(item), Some(data)) = (&self.open, data.as_object_mut()) {
            data.insert("item_id".to_owned(), self.id_of(item).into());
            data.insert("output_index".to_owned(), self.output.len().into());
        }
        self.put(name, data, buffer);
    }

    /// One event, named as its type.
    fn put(&mut self, name: &str, data: Value, buffer: &mut BytesMut) {
        let mut event = json!({ "type": name, "sequence_number": self.sequence });
        self.sequence = self.sequence.saturating_add(1);
        if let (Some(event), Value::Object(data)) = (event.as_object_mut(), data) {
            event.extend(data);
        }
        put_named(buffer, name, &event);
    }
}
