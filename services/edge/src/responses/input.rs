//! Items of the Responses API as messages of chat: what the model said is one message there, with its calls and thoughts, and here an
//! item for each of them.

use std::collections::HashSet;

use domain::FileId;
use serde_json::{Map, Value, json};

use super::{item, request::Found};
use crate::translate::Wrong;

/// Types of items that have words in chat.
const ITEMS: &str = "message, function_call, function_call_output or reasoning";

/// What a reference must be.
const REFERRED: &str = "refer to an item of a response that is kept for this key's account and mode, or be the item itself";

/// Messages as they are made of items.
#[derive(Default)]
struct Messages {
    done: Vec<Value>,
    /// What the model said last, as far as it was read.
    said: Option<Said>,
}

/// A message of the model's.
#[derive(Default)]
struct Said {
    text: String,
    calls: Vec<Value>,
    thoughts: Vec<Value>,
    last: Last,
}

/// What kind of item came last.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Last {
    Message,
    #[default]
    Other,
}

/// Reads `input`.
pub(super) fn messages(input: Value, found: &Found, wrong: &mut Wrong) -> Vec<Value> {
    let items = match input {
        Value::String(text) => return vec![json!({ "role": "user", "content": text })],
        Value::Array(items) => items,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            wrong.invalid("input", "be a text or a list of items");
            return Vec::new();
        }
    };
    if items.is_empty() {
        wrong.invalid("input", "hold at least one item");
    }
    let mut messages = Messages::default();
    let mut referred = HashSet::new();
    for (place, item) in items.iter().enumerate() {
        let path = format!("input[{place}]");
        match item::referred(item).map(|id| (found.get(id), referred.insert(id))) {
            None => messages.take(&path, item, wrong),
            Some((Some(item), true)) => messages.take(&path, item, wrong),
            // What was said once may be long: it is not said a thousand times by its name.
            Some((Some(_), false)) => wrong.invalid(&path, "refer to an item once"),
            Some((None, _)) => wrong.invalid(&path, REFERRED),
        }
        if wrong.is_full() {
            break;
        }
    }
    messages.end()
}

/// What an answer's items come to in a conversation that goes on.
pub(super) fn said(output: &[Value]) -> Vec<Value> {
    let mut messages = Messages::default();
    // What we wrote ourselves is right.
    let mut wrong = Wrong::default();
    for item in output {
        messages.take("output", item, &mut wrong);
    }
    messages.end()
}

// === impl Messages ===

impl Messages {
    fn take(&mut self, path: &str, item: &Value, wrong: &mut Wrong) {
        let kind = match item.get("type") {
            // SDKs call this the easy form.
            None | Some(Value::Null) if item.get("role").is_some() => "message",
            Some(Value::String(kind)) => kind,
            Some(_) | None => return wrong.invalid(&format!("{path}.type"), &one_of_items()),
        };
        match kind {
            "message" => self.message(path, item, wrong),
            "function_call" => self.call(path, item, wrong),
            "function_call_output" => self.result(path, item, wrong),
            "reasoning" => self.reasoning(item),
            "item_reference" => wrong.invalid(path, REFERRED),
            _ => wrong.invalid(&format!("{path}.type"), &one_of_items()),
        }
    }

    fn message(&mut self, path: &str, item: &Value, wrong: &mut Wrong) {
        let (role, content) = (word(item, "role"), item.get("content"));
        match role {
            Some("assistant") => {
                let text = texts(&format!("{path}.content"), content, wrong);
                self.said().add_text(&text);
            }
            Some("system" | "developer") => {
                let text = texts(&format!("{path}.content"), content, wrong);
                self.push(json!({ "role": "system", "content": text }));
            }
            Some("user") => {
                let content = user(&format!("{path}.content"), content, wrong);
                self.push(json!({ "role": "user", "content": content }));
            }
            Some(_) | None => {
                let allowed = "be user, assistant, system or developer";
                wrong.invalid(&format!("{path}.role"), allowed);
            }
        }
    }

    fn call(&mut self, path: &str, item: &Value, wrong: &mut Wrong) {
        let known = |name| word(item, name);
        let (Some(id), Some(name), Some(arguments)) =
            (known("call_id"), known("name"), known("arguments"))
        else {
            return wrong.invalid(path, "have call_id, name and arguments, which are texts");
        };
        let function = json!({ "name": name, "arguments": arguments });
        let mut call = json!({ "id": id, "type": "function", "function": function });
        let extra = item.get("extra_content").filter(|extra| !extra.is_null());
        if let (Some(extra), Some(call)) = (extra, call.as_object_mut()) {
            call.insert("extra_content".to_owned(), extra.clone());
        }
        let said = self.open();
        said.calls.push(call);
        said.last = Last::Other;
    }

    fn result(&mut self, path: &str, item: &Value, wrong: &mut Wrong) {
        let Some(id) = word(item, "call_id") else {
            return wrong.missing(&format!("{path}.call_id"));
        };
        let text = texts(&format!("{path}.output"), item.get("output"), wrong);
        self.push(json!({ "role": "tool", "tool_call_id": id, "content": text }));
    }

    /// A thought goes back to the model that signed it; what nobody signed is of no use to anybody.
    fn reasoning(&mut self, item: &Value) {
        let signed = word(item, "encrypted_content").and_then(item::opened);
        let said = self.open();
        if let Some(mut thought) = signed {
            let place = [
                ("after_text", said.text.len()),
                ("after_calls", said.calls.len()),
            ];
            for (name, count) in place {
                thought
                    .entry(name.to_owned())
                    .or_insert_with(|| count.into());
            }
            said.thoughts.push(Value::Object(thought));
        }
        said.last = Last::Other;
    }

    /// What the model says, for another text of it: two in a row that nothing connects are two messages.
    fn said(&mut self) -> &mut Said {
        let apart = |said: &Said| said.last == Last::Message && said.calls.is_empty();
        if self.said.as_ref().is_some_and(apart) {
            self.close();
        }
        self.open()
    }

    fn open(&mut self) -> &mut Said {
        self.said.get_or_insert_default()
    }

    fn close(&mut self) {
        self.done.extend(self.said.take().and_then(Said::message));
    }

    fn push(&mut self, message: Value) {
        self.close();
        self.done.push(message);
    }

    fn end(mut self) -> Vec<Value> {
        self.close();
        self.done
    }
}

// === impl Said ===

impl Said {
    fn add_text(&mut self, text: &str) {
        self.text.push_str(text);
        self.last = Last::Message;
    }

    /// As chat has it; nothing where only thoughts were left of it.
    fn message(self) -> Option<Value> {
        if self.text.is_empty() && self.calls.is_empty() && self.last == Last::Other {
            return None;
        }
        let content = if self.text.is_empty() && !self.calls.is_empty() {
            Value::Null
        } else {
            self.text.into()
        };
        let mut message = Map::from_iter([
            ("role".to_owned(), "assistant".into()),
            ("content".to_owned(), content),
        ]);
        for (name, list) in [
            ("tool_calls", self.calls),
            ("reasoning_details", self.thoughts),
        ] {
            if !list.is_empty() {
                message.insert(name.to_owned(), list.into());
            }
        }
        Some(Value::Object(message))
    }
}

fn one_of_items() -> String {
    format!("be {ITEMS}")
}

fn word<'a>(item: &'a Value, name: &str) -> Option<&'a str> {
    item.get(name)?.as_str()
}

/// Content that is text alone.
fn texts(path: &str, content: Option<&Value>, wrong: &mut Wrong) -> String {
    match content {
        Some(Value::String(text)) => return text.clone(),
        Some(Value::Array(parts)) => {
            let texts: Option<Vec<&str>> = parts.iter().map(text_of).collect();
            if let Some(texts) = texts {
                return texts.concat();
            }
        }
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) | None => {}
    }
    wrong.invalid(
        path,
        "be a text, or a list of parts of type input_text, output_text or refusal",
    );
    String::new()
}

fn text_of(part: &Value) -> Option<&str> {
    match word(part, "type")? {
        "input_text" | "output_text" => word(part, "text"),
        "refusal" => word(part, "refusal"),
        _ => None,
    }
}

/// What a customer says.
fn user(path: &str, content: Option<&Value>, wrong: &mut Wrong) -> Value {
    let parts = match content {
        Some(Value::String(text)) => return text.as_str().into(),
        Some(Value::Array(parts)) if !parts.is_empty() => parts,
        Some(_) | None => {
            wrong.invalid(path, "be a text or a list of parts");
            return Value::Null;
        }
    };
    let mut said = Vec::with_capacity(parts.len());
    for (place, given) in parts.iter().enumerate() {
        match part(given) {
            Ok(part) => said.push(part),
            Err(allowed) => wrong.invalid(&format!("{path}[{place}]"), allowed),
        }
        if wrong.is_full() {
            break;
        }
    }
    said.into()
}

fn part(part: &Value) -> Result<Value, &'static str> {
    match word(part, "type").unwrap_or_default() {
        "input_text" | "output_text" => {
            let text = word(part, "text").ok_or("have a text")?;
            Ok(json!({ "type": "text", "text": text }))
        }
        "input_image" => {
            let named = (word(part, "image_url"), word(part, "file_id"));
            let url = match named {
                (Some(url), None) => url,
                (None, Some(id)) if FileId::parse(id).is_some() => id,
                (None, _) | (Some(_), Some(_)) => {
                    return Err(
                        "have an image_url, which is a text, or the file_id of a file of POST /files",
                    );
                }
            };
            let mut image = json!({ "url": url });
            if let (Some(detail), Some(image)) = (word(part, "detail"), image.as_object_mut()) {
                image.insert("detail".to_owned(), detail.into());
            }
            Ok(json!({ "type": "image_url", "image_url": image }))
        }
        "input_file" => {
            let name = word(part, "filename");
            let file = match (word(part, "file_data"), word(part, "file_id"), name) {
                (Some(data), None, name) => {
                    json!({ "filename": name.unwrap_or("document.pdf"), "file_data": data })
                }
                (None, Some(id), Some(name)) => json!({ "file_id": id, "filename": name }),
                (None, Some(id), None) => json!({ "file_id": id }),
                (Some(_), Some(_), _) | (None, None, _) => {
                    return Err(
                        "have file_data or a file_id: files that a URL names are not served here",
                    );
                }
            };
            Ok(json!({ "type": "file", "file": file }))
        }
        "input_audio" => {
            let audio = part.get("input_audio").ok_or("have input_audio")?;
            Ok(json!({ "type": "input_audio", "input_audio": audio }))
        }
        _ => Err("be a part of type input_text, input_image, input_file or input_audio"),
    }
}
