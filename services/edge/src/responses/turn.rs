//! What is known of a response from its request on, and how it is closed.

use bytes::Bytes;
use domain::OperationId;
use proto::{Fault, chat::v1::KeptResponse};
use serde_json::{Map, Value, json};

use super::{id_of, input, request::Asked};
use crate::wire::{Chat, Choice, Usage};

/// Milliseconds of a second.
const MILLIS: u64 = 1_000;

/// A response that is being made.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    /// What it says of its request.
    echo: Map<String, Value>,
    /// The model as it was asked for.
    model: String,
    /// The conversation up to the answer, without brackets around it; `None`: the answer is not kept.
    conversation: Option<Bytes>,
}

/// How it ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Ended {
    pub(super) model: String,
    pub(super) finish_reason: Option<String>,
    pub(super) usage: Usage,
    /// What we add: the credits, and what `notes` are.
    pub(super) ours: Map<String, Value>,
}

/// A response that is complete, but for whether it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Closed {
    object: Map<String, Value>,
    /// What is to be kept of it.
    pub(crate) keep: Option<KeptResponse>,
}

/// How a response stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    InProgress,
    Failed,
}

// === impl Turn ===

impl Turn {
    /// Joins what was asked with the conversation that it goes on from, and writes both as chat takes them.
    pub(crate) fn open(asked: Asked, earlier: Option<&[u8]>) -> (Self, Bytes) {
        let earlier = earlier.map(inside).unwrap_or_default();
        let conversation = joined(earlier, &asked.messages);
        let first = asked.instructions.map(|message| message.to_string());
        let mut body = b"{\"messages\":[".to_vec();
        if let Some(first) = &first {
            body.extend_from_slice(first.as_bytes());
        }
        if first.is_some() && !conversation.is_empty() {
            body.push(b',');
        }
        body.extend_from_slice(&conversation);
        body.push(b']');
        for (name, value) in &asked.chat {
            let member = format!(",{}:{value}", Value::from(name.as_str()));
            body.extend_from_slice(member.as_bytes());
        }
        body.push(b'}');
        let model = asked.chat.get("model").and_then(Value::as_str);
        let turn = Self {
            model: model.unwrap_or_default().to_owned(),
            echo: asked.echo,
            conversation: asked.store.then(|| conversation.into()),
        };
        (turn, body.into())
    }

    /// Whether the answer is kept.
    pub(crate) const fn keeps(&self) -> bool {
        self.conversation.is_some()
    }

    /// The response without an end.
    pub(super) fn unended(&self, operation: OperationId, model: &str, standing: Standing) -> Value {
        let status = match standing {
            Standing::InProgress => "in_progress",
            Standing::Failed => "failed",
        };
        let mut object = self.object(operation, model);
        object.insert("status".to_owned(), status.into());
        if standing == Standing::Failed {
            object.insert("store".to_owned(), false.into());
        }
        Value::Object(object)
    }

    /// The response as it ended.
    pub(super) fn close(&self, operation: OperationId, ended: Ended, output: Vec<Value>) -> Closed {
        let mut object = self.object(operation, &ended.model);
        let (status, reason) = status(ended.finish_reason.as_deref());
        object.insert("status".to_owned(), status.into());
        if let Some(reason) = reason {
            let details = json!({ "reason": reason });
            object.insert("incomplete_details".to_owned(), details);
        }
        object.insert("usage".to_owned(), usage(ended.usage));
        object.extend(ended.ours);
        let said = self.conversation.as_ref().map(|_| input::said(&output));
        object.insert("output".to_owned(), output.into());
        let keep = self.conversation.as_ref().zip(said).map(|(before, said)| {
            let conversation = joined(before, &said);
            KeptResponse {
                conversation: [b"[", conversation.as_slice(), b"]"].concat().into(),
                object: Value::Object(object.clone()).to_string().into(),
            }
        });
        Closed { object, keep }
    }

    /// What is the same from its beginning to its end.
    fn object(&self, operation: OperationId, model: &str) -> Map<String, Value> {
        let model = if model.is_empty() { &self.model } else { model };
        let head = json!({
            "id": id_of(operation),
            "object": "response",
            "created_at": created_at(operation),
            "status": null,
            "error": null,
            "incomplete_details": null,
            "model": model,
            "output": [],
            "usage": null,
        });
        let mut object = match head {
            Value::Object(object) => object,
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => Map::new(),
        };
        object.extend(self.echo.clone());
        object
    }
}

// === impl Closed ===

impl Closed {
    /// The response, now that it is known whether it is kept.
    pub(crate) fn told(mut self, kept: Kept) -> Value {
        if kept == Kept::No {
            self.object.insert("store".to_owned(), false.into());
        }
        Value::Object(self.object)
    }

    /// Whether it came to its end.
    pub(super) fn is_complete(&self) -> bool {
        self.object
            .get("status")
            .is_some_and(|status| status == "completed")
    }
}

/// Whether a response is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    Yes,
    No,
}

// === impl Ended ===

impl Ended {
    /// Takes in what an answer, or an event of one, says of its end.
    pub(super) fn take(&mut self, chat: &Chat) {
        if let Some(reason) = chat.choice().and_then(Choice::finish_reason) {
            self.finish_reason = Some(reason.to_owned());
        }
        if let Some(usage) = chat.usage() {
            self.usage = usage;
        }
        let credits = chat.credits().map(|credits| ("credits_consumed", credits));
        let ours = credits.into_iter().chain(chat.notes());
        self.ours
            .extend(ours.map(|(name, value)| (name.to_owned(), value.clone())));
    }
}

/// A failure within a response, in the words of its object.
pub(super) fn error(fault: &Fault) -> Value {
    json!({ "code": fault.code.word, "message": fault.message })
}

/// Seconds since 1970: an id holds the moment at which it was made, so a replay tells the same one.
fn created_at(operation: OperationId) -> u64 {
    let [a, b, c, d, e, f, ..] = operation.to_bytes();
    u64::from_be_bytes([0, 0, a, b, c, d, e, f])
        .checked_div(MILLIS)
        .unwrap_or_default()
}

/// Why an answer ended, in the words of this API.
fn status(finish_reason: Option<&str>) -> (&'static str, Option<&'static str>) {
    match finish_reason {
        Some("length") => ("incomplete", Some("max_output_tokens")),
        Some("content_filter") => ("incomplete", Some("content_filter")),
        Some(_) | None => ("completed", None),
    }
}

fn usage(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.input,
        "input_tokens_details": { "cached_tokens": usage.cached },
        "output_tokens": usage.output,
        "output_tokens_details": { "reasoning_tokens": usage.reasoning },
        "total_tokens": usage.input.saturating_add(usage.output),
    })
}

/// A list without its brackets.
fn inside(list: &[u8]) -> &[u8] {
    let list = list.trim_ascii();
    let open = list.strip_prefix(b"[").unwrap_or_default();
    open.strip_suffix(b"]").unwrap_or_default()
}

/// Elements behind elements, without brackets around them.
fn joined(before: &[u8], more: &[Value]) -> Vec<u8> {
    let mut all = before.to_vec();
    for element in more {
        if !all.is_empty() {
            all.push(b',');
        }
        all.extend_from_slice(element.to_string().as_bytes());
    }
    all
}
