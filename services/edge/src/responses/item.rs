//! The items of an answer, and their parts.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::OperationId;
use serde_json::{Map, Value, json};

use crate::wire::Call;

/// What signed thoughts of ours begin with: those of others cannot be read here.
const OURS: &str = "aio1.";

/// The names of an answer's items.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// What the answer's own id ends with.
    stem: String,
}

/// How an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    InProgress,
    Completed,
    Incomplete,
}

/// A part of what the model says.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) kind: PartKind,
    pub(super) text: String,
    pub(super) logprobs: Vec<Value>,
}

/// What the model does with a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PartKind {
    Text,
    Refusal,
}

/// A call of a function.
#[derive(Clone, Debug)]
pub(super) struct Called {
    pub(super) call_id: String,
    pub(super) name: String,
    /// What Google's models want back.
    pub(super) extra: Option<Value>,
}

// === impl Names ===

impl Names {
    /// Of the answer with this id.
    pub(super) fn of(response_id: &str) -> Self {
        let stem = response_id.strip_prefix(super::PREFIXES.1);
        Self {
            stem: stem.unwrap_or(response_id).to_owned(),
        }
    }

    pub(super) fn reasoning(&self, place: usize) -> String {
        format!("rs_{}_{place}", self.stem)
    }

    pub(super) fn message(&self, place: usize) -> String {
        format!("msg_{}_{place}", self.stem)
    }

    pub(super) fn call(&self, place: usize) -> String {
        format!("fc_{}_{place}", self.stem)
    }

    /// Of a call that its provider gave no id.
    pub(super) fn call_id(&self, place: usize) -> String {
        format!("call_{}_{place}", self.stem)
    }
}

// === impl Status ===

impl Status {
    const fn word(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
        }
    }
}

// === impl Part ===

impl Part {
    pub(super) fn new(kind: PartKind) -> Self {
        Self {
            kind,
            text: String::new(),
            logprobs: Vec::new(),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        match self.kind {
            PartKind::Text => json!({
                "type": "output_text",
                "text": self.text,
                "annotations": [],
                "logprobs": self.logprobs,
            }),
            PartKind::Refusal => json!({ "type": "refusal", "refusal": self.text }),
        }
    }
}

// === impl Called ===

impl Called {
    pub(super) fn of(call: Call<'_>, names: &Names, place: usize) -> Self {
        Self {
            call_id: call
                .id()
                .map_or_else(|| names.call_id(place), str::to_owned),
            name: call.name().unwrap_or_default().to_owned(),
            extra: call.extra().cloned(),
        }
    }

    pub(super) fn to_json(&self, id: &str, arguments: &str, status: Status) -> Value {
        let mut item = json!({
            "id": id,
            "type": "function_call",
            "status": status.word(),
            "call_id": self.call_id,
            "name": self.name,
            "arguments": arguments,
        });
        if let (Some(extra), Some(item)) = (&self.extra, item.as_object_mut()) {
            item.insert("extra_content".to_owned(), extra.clone());
        }
        item
    }
}

/// The item that an item only refers to.
pub(super) fn referred(item: &Value) -> Option<&str> {
    let kind = item.get("type").filter(|kind| !kind.is_null());
    let refers = match kind {
        Some(kind) => kind == "item_reference",
        None => item.get("role").is_none(),
    };
    item.get("id").filter(|_| refers)?.as_str()
}

/// The operation that made the item with this id; `None`: it is none of ours.
pub(super) fn maker_of(id: &str) -> Option<OperationId> {
    let (_, rest) = id.split_once('_')?;
    let (stem, _) = rest.split_once('_')?;
    super::operation_of(&format!("{}{stem}", super::PREFIXES.1))
}

/// What the model said.
pub(super) fn message(id: &str, parts: &[Part], status: Status) -> Value {
    let content: Vec<Value> = parts.iter().map(Part::to_json).collect();
    json!({
        "id": id,
        "type": "message",
        "status": status.word(),
        "role": "assistant",
        "content": content,
    })
}

/// What the model thought: what of it can be read, and, if its maker signed it, what goes back to it.
pub(super) fn reasoning(id: &str, summary: &str, signed: Option<&Value>) -> Value {
    let summary = match summary {
        "" => json!([]),
        text => json!([summary_part(text)]),
    };
    let mut item = json!({ "id": id, "type": "reasoning", "summary": summary });
    if let (Some(signed), Some(item)) = (signed, item.as_object_mut()) {
        item.insert("encrypted_content".to_owned(), sealed(signed).into());
    }
    item
}

/// A part of what can be read of a thought.
pub(super) fn summary_part(text: &str) -> Value {
    json!({ "type": "summary_text", "text": text })
}

/// A signed thought as a text that clients hand back as it is. It is the customer's own, so nothing is hidden in it.
fn sealed(thought: &Value) -> String {
    format!("{OURS}{}", STANDARD.encode(thought.to_string()))
}

/// The signed thought in such a text; `None`: it is not one of ours.
pub(super) fn opened(text: &str) -> Option<Map<String, Value>> {
    let json = STANDARD.decode(text.strip_prefix(OURS)?).ok()?;
    let thought: Map<String, Value> = serde_json::from_slice(&json).ok()?;
    thought.contains_key("type").then_some(thought)
}
