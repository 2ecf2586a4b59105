//! Messages of the Messages API in OpenAI's form: the results of tools are messages of their own there, and go before what else their
//! message says.

use serde_json::{Value, json};

use super::request::Wrong;

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
    let list = list.into_iter().enumerate();
    list.flat_map(|(place, message)| one(&format!("messages[{place}]"), message, wrong))
        .collect()
}

fn one(path: &str, mut message: Value, wrong: &mut Wrong) -> Vec<Value> {
    let content = message.get_mut("content").map(Value::take);
    let role = message
        .get("role")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !matches!(role, "user" | "assistant" | "system") {
        wrong.invalid(&format!("{path}.role"), "be user or assistant");
        return Vec::new();
    }
    let blocks = match content {
        Some(Value::String(text)) => return vec![json!({ "role": role, "content": text })],
        Some(Value::Array(blocks)) => blocks,
        Some(_) | None => {
            wrong.invalid(&format!("{path}.content"), "be a text or a list of blocks");
            return Vec::new();
        }
    };
    let (mut parts, mut calls, mut before) = (Vec::new(), Vec::new(), Vec::new());
    let mut thoughts = Vec::new();
    for (place, block) in blocks.into_iter().enumerate() {
        match piece(&format!("{path}.content[{place}]"), &block, wrong) {
            Piece::Part(part) => parts.push(part),
            Piece::Call(call) => calls.push(call),
            Piece::Message(message) => before.push(message),
            Piece::Thought(thought) => thoughts.push(placed(thought, &parts, &calls)),
            Piece::Nothing => {}
        }
    }
    if role == "assistant" {
        before.push(said(&parts, calls, thoughts));
    } else if !parts.is_empty() {
        before.push(json!({ "role": role, "content": parts }));
    }
    before
}

/// A thought with what came before it: chat keeps the order of blocks so (`reasoning_details`).
fn placed(mut thought: Value, parts: &[Value], calls: &[Value]) -> Value {
    if let Some(fields) = thought.as_object_mut() {
        fields.insert("after_text".to_owned(), text(parts).len().into());
        fields.insert("after_calls".to_owned(), calls.len().into());
    }
    thought
}

fn text(parts: &[Value]) -> String {
    let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
    texts.collect()
}

/// What the model said before.
fn said(parts: &[Value], calls: Vec<Value>, thoughts: Vec<Value>) -> Value {
    let text = text(parts);
    let content = if text.is_empty() && !calls.is_empty() {
        Value::Null
    } else {
        text.into()
    };
    let mut message = json!({ "role": "assistant", "content": content });
    for (name, list) in [("tool_calls", calls), ("reasoning_details", thoughts)] {
        if let (false, Some(message)) = (list.is_empty(), message.as_object_mut()) {
            message.insert(name.to_owned(), list.into());
        }
    }
    message
}

fn piece(path: &str, block: &Value, wrong: &mut Wrong) -> Piece {
    let kind = block
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let made = match kind {
        "text" => block
            .get("text")
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
            "image" => "have a source of type base64 (media_type, data) or url",
            "document" => "have a source of type base64 (media_type, data) or text",
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
    Some(json!({ "id": id, "type": "function", "function": function }))
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
                json!({ "role": "tool", "tool_call_id": "t2", "content": "no" }),
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
