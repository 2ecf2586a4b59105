//! Messages of the Messages API in OpenAI's form: the results of tools are messages of their own there, and go before what else their
//! message says.

use domain::FileId;
use serde_json::{Value, json};

use crate::translate::Wrong;

/// What a block becomes.
enum Piece {
    /// A part of the message's content.
    Part(Value),
    /// A call of a tool.
    Call(Value),
    /// A message of its own.
    Message(Value),
    /// A signed thought.
    Thought(Value),
    /// Nothing: it was wrong, or is not wanted.
    Nothing,
}

/// The system prompt as the first message.
pub(super) fn system(prompt: Option<Value>, wrong: &mut Wrong) -> Option<Value> {
    let text = match prompt? {
        Value::String(text) => text,
        Value::Array(blocks) => {
            let texts = blocks.iter().map(|block| block.get("text")?.as_str());
            let Some(texts) = texts.collect::<Option<Vec<&str>>>() else {
                wrong.invalid("system", "be a text or a list of text blocks");
                return None;
            };
            texts.join("\n\n")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            wrong.invalid("system", "be a text or a list of text blocks");
            return None;
        }
    };
    Some(json!({ "role": "system", "content": text }))
}

/// All messages.
pub(super) fn messages(list: Option<Value>, wrong: &mut Wrong) -> Vec<Value> {
    let Some(list) = list else {
        wrong.missing("messages");
        return Vec::new();
    };
    let Value::Array(list) = list else {
        wrong.invalid("messages", "be a list");
        return Vec::new();
    };
    if list.is_empty() {
        wrong.invalid("messages", "have at least one message");
    }
    let mut messages = Vec::with_capacity(list.len());
    for (place, message) in list.into_iter().enumerate() {
        one(
            &format!("messages[{place}]"),
            message,
            (&mut messages, wrong),
        );
        if wrong.is_full() {
            break;
        }
    }
    messages
}

/// What the blocks of one message come to.
#[derive(Default)]
struct Content {
    parts: Vec<Value>,
    calls: Vec<Value>,
    thoughts: Vec<Value>,
    /// Bytes of the texts so far.
    text_bytes: usize,
}

fn one(path: &str, mut message: Value, (messages, wrong): (&mut Vec<Value>, &mut Wrong)) {
    let content = message.get_mut("content").map(Value::take);
    let role = message
        .get("role")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !matches!(role, "user" | "assistant" | "system") {
        return wrong.invalid(&format!("{path}.role"), "be user or assistant");
    }
    let blocks = match content {
        Some(Value::String(text)) => {
            messages.push(json!({ "role": role, "content": text }));
            return;
        }
        Some(Value::Array(blocks)) if !blocks.is_empty() => blocks,
        Some(_) | None => {
            return wrong.invalid(&format!("{path}.content"), "be a text or a list of blocks");
        }
    };
    let mut content = Content::default();
    for (place, block) in blocks.iter().enumerate() {
        let path = format!("{path}.content[{place}]");
        if !may_say(role, block) {
            wrong.invalid(&path, &format!("be a block that the role {role} can have"));
        }
        let piece = piece(&path, block, wrong);
        if let Piece::Message(message) = piece {
            messages.push(message);
        } else {
            content.take(piece);
        }
        if wrong.is_full() {
            return;
        }
    }
    if role == "assistant" {
        messages.push(content.said());
    } else if !content.parts.is_empty() {
        messages.push(json!({ "role": role, "content": content.parts }));
    }
}

/// Whether a message of this role can have such a block: what has no place in its form must not be left out in silence.
fn may_say(role: &str, block: &Value) -> bool {
    let kind = block.get("type").and_then(Value::as_str);
    match kind.unwrap_or_default() {
        "tool_use" | "thinking" | "redacted_thinking" => role == "assistant",
        "image" | "document" | "tool_result" => role == "user",
        _ => true,
    }
}

// === impl Content ===

impl Content {
    fn take(&mut self, piece: Piece) {
        match piece {
            Piece::Part(part) => {
                let text = part.get("text").and_then(Value::as_str);
                self.text_bytes = self.text_bytes.saturating_add(text.map_or(0, str::len));
                self.parts.push(part);
            }
            Piece::Call(call) => self.calls.push(call),
            Piece::Thought(mut thought) => {
                // What came before it: chat keeps the order of blocks so (`reasoning_details`).
                if let Some(fields) = thought.as_object_mut() {
                    fields.insert("after_text".to_owned(), self.text_bytes.into());
                    fields.insert("after_calls".to_owned(), self.calls.len().into());
                }
                self.thoughts.push(thought);
            }
            Piece::Message(_) | Piece::Nothing => {}
        }
    }

    /// What the model said before.
    fn said(self) -> Value {
        let texts = self
            .parts
            .iter()
            .filter_map(|part| part.get("text")?.as_str());
        let text: String = texts.collect();
        let content = if text.is_empty() && !self.calls.is_empty() {
            Value::Null
        } else {
            text.into()
        };
        let mut message = json!({ "role": "assistant", "content": content });
        for (name, list) in [
            ("tool_calls", self.calls),
            ("reasoning_details", self.thoughts),
        ] {
            if let (false, Some(message)) = (list.is_empty(), message.as_object_mut()) {
                message.insert(name.to_owned(), list.into());
            }
        }
        message
    }
}

fn piece(path: &str, block: &Value, wrong: &mut Wrong) -> Piece {
    let kind = block
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let made = match kind {
        "text" => block
            .get("text")
            .filter(|text| text.is_string())
            .map(|text| Piece::Part(json!({ "type": "text", "text": text }))),
        "image" => image(block).map(Piece::Part),
        "document" => document(block).map(Piece::Part),
        "tool_use" => call(block).map(Piece::Call),
        "tool_result" => result(block).map(Piece::Message),
        // What nobody signed is of no use to anybody.
        "thinking" | "redacted_thinking" => Some(match is_signed(block) {
            Some(()) => Piece::Thought(block.clone()),
            None => Piece::Nothing,
        }),
        _ => {
            let allowed =
                "be a block of type text, image, document, tool_use, tool_result or thinking";
            wrong.invalid(path, allowed);
            return Piece::Nothing;
        }
    };
    made.unwrap_or_else(|| {
        let allowed = match kind {
            "image" => "have a source of type base64 (media_type, data), url or file (file_id)",
            "document" => "have a source of type base64 (media_type, data), text or file (file_id)",
            "tool_use" => "have id, name and input",
            "tool_result" => "have tool_use_id, and content that is a text or text blocks",
            _ => "have a text",
        };
        wrong.invalid(path, allowed);
        Piece::Nothing
    })
}

fn is_signed(block: &Value) -> Option<()> {
    let proof = block.get("signature").or_else(|| block.get("data"))?;
    (!proof.as_str()?.is_empty()).then_some(())
}

fn image(block: &Value) -> Option<Value> {
    let source = block.get("source")?;
    let url = match source.get("type")?.as_str()? {
        "url" => source.get("url")?.as_str()?.to_owned(),
        "base64" => data_url(source)?,
        "file" => FileId::parse(source.get("file_id")?.as_str()?)?.to_string(),
        _ => return None,
    };
    Some(json!({ "type": "image_url", "image_url": { "url": url } }))
}

fn document(block: &Value) -> Option<Value> {
    let source = block.get("source")?;
    match source.get("type")?.as_str()? {
        "text" => Some(json!({ "type": "text", "text": source.get("data")? })),
        "base64" => {
            let name = block
                .get("title")
                .and_then(Value::as_str)
                .unwrap_or("document.pdf");
            let file = json!({ "filename": name, "file_data": data_url(source)? });
            Some(json!({ "type": "file", "file": file }))
        }
        "file" => {
            let mut file = json!({ "file_id": source.get("file_id")?.as_str()? });
            let title = block.get("title").filter(|title| title.is_string());
            if let (Some(title), Some(file)) = (title, file.as_object_mut()) {
                file.insert("filename".to_owned(), title.clone());
            }
            Some(json!({ "type": "file", "file": file }))
        }
        _ => None,
    }
}

fn data_url(source: &Value) -> Option<String> {
    let (kind, data) = (
        source.get("media_type")?.as_str()?,
        source.get("data")?.as_str()?,
    );
    Some(format!("data:{kind};base64,{data}"))
}

fn call(block: &Value) -> Option<Value> {
    let (id, name, input) = (block.get("id")?, block.get("name")?, block.get("input")?);
    let function = json!({ "name": name, "arguments": input.to_string() });
    let mut call = json!({ "id": id, "type": "function", "function": function });
    if let (Some(extra), Some(call)) = (block.get("extra_content"), call.as_object_mut()) {
        call.insert("extra_content".to_owned(), extra.clone());
    }
    Some(call)
}

fn result(block: &Value) -> Option<Value> {
    let text = match block.get("content") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(blocks)) => {
            let texts = blocks.iter().map(|block| block.get("text")?.as_str());
            texts.collect::<Option<Vec<&str>>>()?.join("\n")
        }
        Some(_) => return None,
    };
    // OpenAI's form has no mark for it.
    let failed = block.get("is_error") == Some(&Value::Bool(true));
    let text = if failed {
        format!("Error: {text}")
    } else {
        text
    };
    Some(json!({ "role": "tool", "tool_call_id": block.get("tool_use_id")?, "content": text }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(message: Value) -> Vec<Value> {
        messages(Some(json!([message])), &mut Wrong::default())
    }

    #[test]
    fn results_of_tools_go_before_what_else_is_said() {
        let message = json!({ "role": "user", "content": [
            { "type": "text", "text": "go on" },
            { "type": "tool_result", "tool_use_id": "t1", "content": "sunny" },
            { "type": "tool_result", "tool_use_id": "t2", "is_error": true, "content": [{ "type": "text", "text": "no" }] },
        ]});
        assert_eq!(
            of(message),
            [
                json!({ "role": "tool", "tool_call_id": "t1", "content": "sunny" }),
                json!({ "role": "tool", "tool_call_id": "t2", "content": "Error: no" }),
                json!({ "role": "user", "content": [{ "type": "text", "text": "go on" }] }),
            ]
        );
    }

    #[test]
    fn what_the_model_said_goes_back_with_its_thoughts() {
        let message = json!({ "role": "assistant", "content": [
            { "type": "thinking", "thinking": "hm", "signature": "s" },
            { "type": "text", "text": "Let me look." },
            { "type": "tool_use", "id": "t1", "name": "f", "input": { "a": 1 } },
        ]});
        let call = json!({ "id": "t1", "type": "function", "function": { "name": "f", "arguments": "{\"a\":1}" } });
        assert_eq!(
            of(message),
            [json!({
                "role": "assistant", "content": "Let me look.", "tool_calls": [call],
                "reasoning_details": [{ "type": "thinking", "thinking": "hm", "signature": "s", "after_text": 0, "after_calls": 0 }],
            })]
        );
        let silent = json!({ "role": "assistant", "content": [
            { "type": "tool_use", "id": "t1", "name": "f", "input": {} },
        ]});
        assert_eq!(of(silent)[0]["content"], Value::Null);
    }

    #[test]
    fn what_has_no_place_is_refused_and_mistakes_are_few() {
        let count = |message: Value| {
            let mut wrong = Wrong::default();
            messages(Some(json!([message])), &mut wrong);
            wrong.count()
        };
        let picture = json!({ "type": "image", "source": { "type": "url", "url": "https://x/y" } });
        let call = json!({ "type": "tool_use", "id": "t", "name": "f", "input": {} });
        for (role, content, expected) in [
            ("user", json!([]), 1),
            ("user", json!([call]), 1),
            ("assistant", json!([picture]), 1),
            ("assistant", json!([call]), 0),
            ("user", json!([{ "type": "text", "text": 7 }]), 1),
            ("user", json!(vec![0; 10_000]), 16),
        ] {
            let message = json!({ "role": role, "content": content });
            assert_eq!(count(message), expected, "{role}");
        }
    }

    #[test]
    fn what_googles_models_want_back_is_kept() {
        let message = json!({ "role": "assistant", "content": [
            { "type": "tool_use", "id": "t", "name": "f", "input": {}, "extra_content": { "google": { "thought_signature": "s" } } },
        ]});
        let call = of(message)[0]["tool_calls"][0].take();
        assert_eq!(call["extra_content"]["google"]["thought_signature"], "s");
    }

    #[test]
    fn uploaded_files_are_named_as_chat_names_them() {
        const FILE: &str = "file_01h455vb4pex5vsknk084sn02q";
        let source = json!({ "type": "file", "file_id": FILE });
        let message = json!({ "role": "user", "content": [
            { "type": "image", "source": source },
            { "type": "document", "source": source },
            { "type": "document", "source": source, "title": "a.pdf" },
        ]});
        assert_eq!(
            of(message)[0]["content"],
            json!([
                { "type": "image_url", "image_url": { "url": FILE } },
                { "type": "file", "file": { "file_id": FILE } },
                { "type": "file", "file": { "file_id": FILE, "filename": "a.pdf" } },
            ])
        );
    }

    #[test]
    fn pictures_and_documents_are_data_urls() {
        let source = json!({ "type": "base64", "media_type": "image/png", "data": "AA==" });
        let pdf = json!({ "type": "base64", "media_type": "application/pdf", "data": "BB==" });
        let message = json!({ "role": "user", "content": [
            { "type": "image", "source": source },
            { "type": "image", "source": { "type": "url", "url": "https://x/y.png" } },
            { "type": "document", "source": pdf, "title": "a.pdf" },
            { "type": "document", "source": { "type": "text", "media_type": "text/plain", "data": "plain" } },
        ]});
        let parts = of(message)[0]["content"].take();
        assert_eq!(
            parts,
            json!([
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,AA==" } },
                { "type": "image_url", "image_url": { "url": "https://x/y.png" } },
                { "type": "file", "file": { "filename": "a.pdf", "file_data": "data:application/pdf;base64,BB==" } },
                { "type": "text", "text": "plain" },
            ])
        );
    }
}
