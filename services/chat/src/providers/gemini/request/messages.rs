//! OpenAI's messages as Gemini's turns: what the system says apart, neighbours of one role together, tools' results in a turn of their own
//! right behind their calls. Pure.

use std::{borrow::Cow, collections::HashMap};

use domain::Problem;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    super::wire::{
        Content, FileData, FunctionCall, FunctionResponse, InlineData, Output, Part, Payload, Role,
    },
    Asker,
};
use crate::providers::{
    Urls,
    inputs::{Wanted, media_type},
    said::{self, Audio, Called, File, Message, ToolCall},
};

/// Pictures that are read.
const IMAGES: [&str; 5] = [
    "image/png",
    "image/jpeg",
    "image/webp",
    "image/heic",
    "image/heif",
];
/// Documents that are read.
const PDF: &str = "application/pdf";
/// Sounds that are heard, by OpenAI's formats.
const SOUNDS: [(&str, &str); 6] = [
    ("wav", "audio/wav"),
    ("mp3", "audio/mp3"),
    ("aac", "audio/aac"),
    ("flac", "audio/flac"),
    ("ogg", "audio/ogg"),
    ("aiff", "audio/aiff"),
];
/// What Google takes for the signature of a call that its model did not make.
const UNSIGNED: &str = "skip_thought_signature_validator";
const NOT_A_MESSAGE: &str = "be a message in OpenAI's form";

/// The system's parts, and everybody else's turns.
pub(super) struct Talk<'a> {
    pub(super) system: Vec<Part<'a>>,
    pub(super) contents: Vec<Content<'a>>,
    /// What the last turn is.
    last: Turn,
    /// Names of the functions called so far, by the call's id.
    called: HashMap<String, String>,
    context: Context<'a>,
}

/// What translation needs to know.
#[derive(Clone, Copy)]
struct Context<'a> {
    asker: Asker<'a>,
    urls: Urls<'a>,
}

/// Turns: results of tools are told by the user, but apart.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    None,
    User,
    Model,
    Results,
}

/// `extra_content`: a wire type.
#[derive(Deserialize)]
struct Extra<'a> {
    #[serde(borrow)]
    google: Option<Google<'a>>,
}

/// A wire type.
#[derive(Deserialize)]
struct Google<'a> {
    #[serde(borrow)]
    thought_signature: Cow<'a, str>,
}

/// The URLs of pictures that have to be fetched, with where they stand.
pub(super) fn urls(messages: Vec<&RawValue>) -> Result<Vec<Wanted>, Problem> {
    let mut wanted = Vec::new();
    for (at, raw) in messages.into_iter().enumerate() {
        let path = format!("messages[{at}]");
        let message = read(&path, raw)?;
        for (param, part) in parts(&path, message.content)? {
            if let said::Part::ImageUrl { image_url } = part
                && is_address(&image_url.url)
            {
                wanted.push(Wanted {
                    param: format!("{param}.image_url"),
                    url: image_url.url.into_owned(),
                });
            }
        }
    }
    Ok(wanted)
}

// === impl Talk ===

impl<'a> Talk<'a> {
    /// Translates all messages.
    ///
    /// # Errors
    /// The first thing that cannot be said to Gemini.
    pub(super) fn of(
        messages: Vec<&'a RawValue>,
        asker: Asker<'a>,
        urls: Urls<'a>,
    ) -> Result<Self, Problem> {
        let mut talk = Self {
            system: Vec::new(),
            contents: Vec::new(),
            last: Turn::None,
            called: HashMap::new(),
            context: Context { asker, urls },
        };
        for (at, raw) in messages.into_iter().enumerate() {
            let path = format!("messages[{at}]");
            let message = read(&path, raw)?;
            talk.add(&path, message)?;
        }
        if talk.contents.is_empty() {
            let allowed = "hold a message that is not the system's, and not empty";
            return Err(Problem::invalid("messages", allowed));
        }
        Ok(talk)
    }

    fn add(&mut self, path: &str, message: Message<'a>) -> Result<(), Problem> {
        match message.role.as_str() {
            "system" | "developer" => {
                let texts = texts(path, message.content)?;
                self.system.extend(texts.into_iter().map(text));
            }
            "user" => {
                let said = parts(path, message.content)?.into_iter();
                let parts = said.map(|(param, part)| self.context.part(&param, part));
                let parts = parts.filter_map(Result::transpose);
                let parts = parts.collect::<Result<_, _>>()?;
                self.say(Turn::User, parts);
            }
            "assistant" => {
                let parts = self.assistant(path, message)?;
                self.say(Turn::Model, parts);
            }
            "tool" => {
                let result = self.result(path, message)?;
                self.say(Turn::Results, vec![result]);
            }
            _ => {
                let allowed = "be system, developer, user, assistant or tool for this model";
                return Err(Problem::invalid(format!("{path}.role"), allowed));
            }
        }
        Ok(())
    }

    /// Adds to the last turn if it is of the same kind.
    fn say(&mut self, turn: Turn, mut parts: Vec<Part<'a>>) {
        if parts.is_empty() {
            return;
        }
        match self.contents.last_mut() {
            Some(last) if self.last == turn => last.parts.append(&mut parts),
            Some(_) | None => self.contents.push(Content {
                role: Some(match turn {
                    Turn::Model => Role::Model,
                    Turn::None | Turn::User | Turn::Results => Role::User,
                }),
                parts,
            }),
        }
        self.last = turn;
    }

    /// An assistant's text and calls, each with its signature.
    fn assistant(&mut self, path: &str, message: Message<'a>) -> Result<Vec<Part<'a>>, Problem> {
        let mut parts: Vec<Part<'a>> = texts(path, message.content)?
            .into_iter()
            .chain(message.refusal.map(Cow::Owned))
            .map(text)
            .collect();
        if let Some(signature) = signature(message.extra_content) {
            match parts.last_mut() {
                Some(last) => last.thought_signature = Some(signature),
                None => parts.push(Part {
                    thought_signature: Some(signature),
                    ..text(Cow::Borrowed(""))
                }),
            }
        }
        let calls = message.tool_calls.unwrap_or_default();
        for (at, call) in calls.into_iter().enumerate() {
            let mut part = self.call(&format!("{path}.tool_calls[{at}]"), call)?;
            // Of calls at once the first is signed.
            let unsigned = at == 0 && part.thought_signature.is_none();
            if unsigned && self.context.asker.wants_signatures() {
                part.thought_signature = Some(Cow::Borrowed(UNSIGNED));
            }
            parts.push(part);
        }
        Ok(parts)
    }

    fn call(&mut self, path: &str, call: ToolCall<'a>) -> Result<Part<'a>, Problem> {
        let Some(Called { name, arguments }) = call.function else {
            return Err(Problem::invalid(path, "be the call of a function"));
        };
        let written = match arguments.trim() {
            "" => "{}",
            written => written,
        };
        let args = RawValue::from_string(written.to_owned()).ok();
        let args = args.filter(|args| args.get().starts_with('{'));
        let args = args.ok_or_else(|| {
            let param = format!("{path}.function.arguments");
            Problem::invalid(param, "be a JSON object, written as a text")
        })?;
        self.called.insert(call.id.clone(), name.clone());
        let call_ = FunctionCall {
            id: call.id,
            name,
            args: Cow::Owned(args),
        };
        Ok(Part {
            payload: Payload::FunctionCall(call_),
            thought_signature: signature(call.extra_content),
        })
    }

    fn result(&self, path: &str, message: Message<'a>) -> Result<Part<'a>, Problem> {
        let param = format!("{path}.tool_call_id");
        let Some(id) = message.tool_call_id else {
            return Err(Problem::missing(param));
        };
        let Some(name) = self.called.get(&id) else {
            let allowed = "be the id of a call in an assistant's message before";
            return Err(Problem::invalid(param, allowed));
        };
        let mut texts = texts(path, message.content)?;
        let output = match texts.len() {
            0 => Cow::Borrowed(""),
            1 => texts.remove(0),
            _ => Cow::Owned(texts.concat()),
        };
        Ok(part(Payload::FunctionResponse(FunctionResponse {
            name: name.clone(),
            id,
            response: Output { output },
        })))
    }
}

// === impl Context ===

impl<'a> Context<'a> {
    /// A part of a user's message; none for an empty text.
    fn part(self, path: &str, said: said::Part<'a>) -> Result<Option<Part<'a>>, Problem> {
        let payload = match said {
            said::Part::Text { text } | said::Part::Refusal { refusal: text } => {
                if text.is_empty() {
                    return Ok(None);
                }
                Payload::Text(text)
            }
            said::Part::ImageUrl { image_url } => {
                self.image(&format!("{path}.image_url"), image_url.url)?
            }
            said::Part::InputAudio { input_audio } => sound(path, input_audio)?,
            said::Part::File { file } => document(path, file)?,
            said::Part::Other => {
                let allowed = "be text, image_url, input_audio or file for this model";
                return Err(Problem::invalid(format!("{path}.type"), allowed));
            }
        };
        Ok(Some(part(payload)))
    }

    fn image(self, param: &str, url: Cow<'a, str>) -> Result<Payload<'a>, Problem> {
        if !is_address(&url) {
            return inline(url, &IMAGES).ok_or_else(|| {
                let kinds = IMAGES.join(", ");
                let allowed = format!(
                    "be an http(s) URL, or a data URL in base64, of {kinds} for this model"
                );
                Problem::invalid(param, allowed)
            });
        }
        match self.urls {
            Urls::Fetched(fetched) => match fetched.get(&url) {
                Some(file) => Ok(Payload::InlineData(InlineData {
                    mime_type: Cow::Borrowed(&file.media_type),
                    data: Cow::Borrowed(&file.data),
                })),
                None => Err(Problem::invalid(param, "be a URL that can be fetched")),
            },
            Urls::Shown | Urls::Unfetched => {
                self.asker.inputs.check(param, (&url, self.urls))?;
                Ok(Payload::FileData(FileData { file_uri: url }))
            }
        }
    }
}

fn read<'a>(path: &str, raw: &'a RawValue) -> Result<Message<'a>, Problem> {
    serde_json::from_str(raw.get()).map_err(|_| Problem::invalid(path, NOT_A_MESSAGE))
}

/// The parts of a content, with where they stand; a plain text is one.
fn parts<'a>(
    path: &str,
    content: Option<&'a RawValue>,
) -> Result<Vec<(String, said::Part<'a>)>, Problem> {
    let Some(raw) = content else {
        return Ok(Vec::new());
    };
    let wrong = || {
        let allowed = "be a text or a list of parts";
        Problem::invalid(format!("{path}.content"), allowed)
    };
    if raw.get().starts_with('"') {
        let text: Whole<'a> = serde_json::from_str(raw.get()).map_err(|_| wrong())?;
        return Ok(vec![(String::new(), said::Part::Text { text: text.0 })]);
    }
    let parts: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(|_| wrong())?;
    let parts = parts.into_iter().enumerate().map(|(at, raw)| {
        let path = format!("{path}.content[{at}]");
        let part = serde_json::from_str(raw.get());
        let part = part.map_err(|_| Problem::invalid(&*path, "be a part in OpenAI's form"))?;
        Ok((path, part))
    });
    parts.collect()
}

/// A text, copied only where it holds escapes: a wire type.
#[derive(Deserialize)]
#[serde(transparent)]
struct Whole<'a>(#[serde(borrow)] Cow<'a, str>);

/// A content's texts without the empty ones; nothing else can be in it.
fn texts<'a>(path: &str, content: Option<&'a RawValue>) -> Result<Vec<Cow<'a, str>>, Problem> {
    let mut texts = Vec::new();
    for (_, part) in parts(path, content)? {
        match part {
            said::Part::Text { text } | said::Part::Refusal { refusal: text } => {
                if !text.is_empty() {
                    texts.push(text);
                }
            }
            said::Part::ImageUrl { .. }
            | said::Part::InputAudio { .. }
            | said::Part::File { .. }
            | said::Part::Other => {
                let allowed = "be text in a message of this role for this model";
                return Err(Problem::invalid(format!("{path}.content"), allowed));
            }
        }
    }
    Ok(texts)
}

fn part(payload: Payload<'_>) -> Part<'_> {
    Part {
        payload,
        thought_signature: None,
    }
}

fn text(text: Cow<'_, str>) -> Part<'_> {
    part(Payload::Text(text))
}

fn sound<'a>(path: &str, audio: Audio<'a>) -> Result<Payload<'a>, Problem> {
    let row = SOUNDS.iter().find(|(format, _)| *format == audio.format);
    let Some((_, mime_type)) = row else {
        let formats = SOUNDS.map(|(format, _)| format).join(", ");
        let param = format!("{path}.input_audio.format");
        return Err(Problem::invalid(
            param,
            format!("be one of {formats} for this model"),
        ));
    };
    Ok(Payload::InlineData(InlineData {
        mime_type: Cow::Borrowed(mime_type),
        data: audio.data,
    }))
}

fn document<'a>(path: &str, file: File<'a>) -> Result<Payload<'a>, Problem> {
    inline(file.file_data, &[PDF]).ok_or_else(|| {
        let param = format!("{path}.file.file_data");
        Problem::invalid(param, "be a PDF, as a data URL in base64, for this model")
    })
}

/// A data URL of one of these types. Others would cost more than a part of their kind is held for.
fn inline<'a>(url: Cow<'a, str>, allowed: &[&str]) -> Option<Payload<'a>> {
    let (kind, data) = said::data_url(url)?;
    let kind = media_type(&kind);
    if !allowed.contains(&kind.as_str()) {
        return None;
    }
    Some(Payload::InlineData(InlineData {
        mime_type: Cow::Owned(kind),
        data,
    }))
}

fn is_address(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| {
        scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")
    })
}

/// Google's signature; what other makers leave there is of no use here.
fn signature(extra: Option<&RawValue>) -> Option<Cow<'_, str>> {
    let extra: Extra<'_> = serde_json::from_str(extra?.get()).ok()?;
    let signature = extra.google?.thought_signature;
    (!signature.is_empty()).then_some(signature)
}
