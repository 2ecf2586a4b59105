//! OpenAI's messages as Anthropic's: what the system says apart, neighbours of one role together, tools' results with the user. Pure.

use std::borrow::Cow;

use domain::Problem;
use serde_json::value::RawValue;

use super::super::{
    thoughts,
    wire::{Block, Role, Source, Turn},
};
use crate::providers::said::{self, Called, File, Message, Part, ToolCall};

/// The system's blocks, and everybody else's messages.
type Talk<'a> = (Vec<Block<'a>>, Vec<Turn<'a>>);

/// Documents that are read.
const PDF: &str = "application/pdf";

/// Translates all messages.
///
/// # Errors
/// The first thing that cannot be said to Anthropic.
pub(super) fn translate<'a>(messages: Vec<&'a RawValue>) -> Result<Talk<'a>, Problem> {
    let (mut system, mut turns) = (Vec::new(), Vec::new());
    for (at, raw) in messages.into_iter().enumerate() {
        let path = format!("messages[{at}]");
        let message: Message<'a> = serde_json::from_str(raw.get())
            .map_err(|_| Problem::invalid(&*path, "be a message in OpenAI's form"))?;
        match message.role.as_str() {
            "system" | "developer" => system.extend(texts_of(&path, &message)?),
            "user" => say(&mut turns, Role::User, content(&path, message.content)?),
            "assistant" => say(&mut turns, Role::Assistant, assistant(&path, message)?),
            "tool" => say(&mut turns, Role::User, vec![result(&path, message)?]),
            _ => {
                let allowed = "be system, developer, user, assistant or tool for this model";
                return Err(Problem::invalid(format!("{path}.role"), allowed));
            }
        }
    }
    if turns.is_empty() {
        let allowed = "hold a message that is not the system's, and not empty";
        return Err(Problem::invalid("messages", allowed));
    }
    Ok((system, turns))
}

/// Adds to the last message if it is of the same role.
fn say<'a>(turns: &mut Vec<Turn<'a>>, role: Role, mut blocks: Vec<Block<'a>>) {
    match turns.last_mut() {
        Some(last) if last.role == role => last.content.append(&mut blocks),
        Some(_) | None if blocks.is_empty() => {}
        Some(_) | None => turns.push(Turn {
            role,
            content: blocks,
        }),
    }
}

/// Blocks of text; nothing else can be the system's.
fn texts_of<'a>(path: &str, message: &Message<'a>) -> Result<Vec<Block<'a>>, Problem> {
    let blocks = content(path, message.content)?;
    if blocks
        .iter()
        .all(|block| matches!(block, Block::Text { .. }))
    {
        return Ok(blocks);
    }
    let allowed = "be text in a message of this role";
    Err(Problem::invalid(format!("{path}.content"), allowed))
}

fn assistant<'a>(path: &str, message: Message<'a>) -> Result<Vec<Block<'a>>, Problem> {
    let mut text = String::new();
    for block in texts_of(path, &message)? {
        if let Block::Text { text: piece } = block {
            text.push_str(&piece);
        }
    }
    text.push_str(message.refusal.as_deref().unwrap_or_default());
    let calls = message.tool_calls.unwrap_or_default();
    let calls = calls.into_iter().enumerate().map(|(at, call)| {
        let path = format!("{path}.tool_calls[{at}]");
        tool_use(&path, call)
    });
    let calls = calls.collect::<Result<_, _>>()?;
    let details = thoughts::details(message.reasoning_details);
    Ok(thoughts::in_order(&text, calls, details))
}

fn tool_use<'a>(path: &str, call: ToolCall<'_>) -> Result<Block<'a>, Problem> {
    let Some(Called { name, arguments }) = call.function else {
        return Err(Problem::invalid(path, "be the call of a function"));
    };
    let written = if arguments.trim().is_empty() {
        "{}"
    } else {
        arguments.trim()
    };
    let input = RawValue::from_string(written.to_owned()).ok();
    let input = input.filter(|input| input.get().starts_with('{'));
    let input = input.ok_or_else(|| {
        let param = format!("{path}.function.arguments");
        Problem::invalid(param, "be a JSON object, written as a text")
    })?;
    Ok(Block::ToolUse {
        id: call.id,
        name,
        input,
    })
}

fn result<'a>(path: &str, message: Message<'a>) -> Result<Block<'a>, Problem> {
    let content = content(path, message.content)?;
    let tool_use_id = message
        .tool_call_id
        .ok_or_else(|| Problem::missing(format!("{path}.tool_call_id")))?;
    Ok(Block::ToolResult {
        tool_use_id,
        content,
    })
}

/// A content's blocks, without empty texts, which Anthropic refuses.
fn content<'a>(path: &str, content: Option<&'a RawValue>) -> Result<Vec<Block<'a>>, Problem> {
    let Some(raw) = content else {
        return Ok(Vec::new());
    };
    let wrong = || {
        let allowed = "be a text or a list of parts";
        Problem::invalid(format!("{path}.content"), allowed)
    };
    if raw.get().starts_with('"') {
        let text: String = serde_json::from_str(raw.get()).map_err(|_| wrong())?;
        return Ok(text_block(Cow::Owned(text)).into_iter().collect());
    }
    let parts: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| wrong())?;
    let blocks = parts.into_iter().enumerate().map(|(at, raw)| {
        let path = format!("{path}.content[{at}]");
        let part = serde_json::from_str(raw.get());
        let part = part.map_err(|_| Problem::invalid(&*path, "be a part in OpenAI's form"))?;
        block(&path, part)
    });
    let blocks = blocks.filter_map(Result::transpose);
    blocks.collect()
}

fn block<'a>(path: &str, part: Part<'a>) -> Result<Option<Block<'a>>, Problem> {
    match part {
        Part::Text { text } | Part::Refusal { refusal: text } => Ok(text_block(text)),
        Part::ImageUrl { image_url } => image(path, image_url.url).map(Some),
        Part::File { file } => document(path, file).map(Some),
        Part::InputAudio { .. } | Part::Other => {
            let allowed = "be text, image_url or file for this model";
            Err(Problem::invalid(format!("{path}.type"), allowed))
        }
    }
}

fn text_block(text: Cow<'_, str>) -> Option<Block<'_>> {
    (!text.is_empty()).then_some(Block::Text { text })
}

fn image<'a>(path: &str, url: Cow<'a, str>) -> Result<Block<'a>, Problem> {
    let source = if url.starts_with("https://") || url.starts_with("http://") {
        Some(Source::Url { url })
    } else {
        inline(url)
    };
    let source = source.ok_or_else(|| {
        let param = format!("{path}.image_url.url");
        Problem::invalid(param, "be an http(s) URL or a data URL in base64")
    })?;
    Ok(Block::Image { source })
}

fn document<'a>(path: &str, file: File<'a>) -> Result<Block<'a>, Problem> {
    let source = match inline(file.file_data) {
        Some(Source::Base64 { media_type, data }) if media_type == PDF => {
            Some(Source::Base64 { media_type, data })
        }
        Some(Source::Base64 { .. } | Source::Url { .. }) | None => None,
    };
    let source = source.ok_or_else(|| {
        let param = format!("{path}.file.file_data");
        Problem::invalid(param, "be a PDF, as a data URL in base64, for this model")
    })?;
    Ok(Block::Document {
        source,
        title: file.filename.filter(|name| !name.is_empty()),
    })
}

/// `data:image/png;base64,…`
fn inline(url: Cow<'_, str>) -> Option<Source<'_>> {
    said::data_url(url).map(|(media_type, data)| Source::Base64 { media_type, data })
}
