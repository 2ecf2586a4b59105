//! Checks `messages` and counts what is media in them. Pure, in one pass over the text; contents are not unescaped.

use std::fmt;

use domain::Problem;
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    Media,
    elsewhere::{self, Scope},
    mention,
    pick::{Pick, Picked, string},
};

/// The roles of OpenAI's chat protocol.
const ROLES: [&str; 6] = [
    "system",
    "developer",
    "user",
    "assistant",
    "tool",
    "function",
];
/// Parts whose payload is media: counted as a fixed sum, not by their bytes. A type we do not know counts both ways.
const MEDIA: [&str; 3] = ["image_url", "input_audio", "video_url"];
/// A part that is a document.
const DOCUMENT: &str = "file";
/// Parts that are text.
const TEXT: [&str; 2] = ["text", "refusal"];
/// So many problems are told; a request with more of them has one cause.
const MAX_PROBLEMS: usize = 16;

/// What the messages hold.
#[derive(Debug, Default)]
pub(crate) struct Messages<'t> {
    /// The whole body, in which they stand.
    text: &'t str,
    /// How many there are.
    pub(crate) count: usize,
    /// Media parts.
    pub(crate) media: Media,
    /// Bytes of the media parts, which are not text.
    pub(crate) media_bytes: usize,
    /// What is wrong.
    pub(crate) problems: Vec<Problem>,
}

/// A list whose elements are objects with these members; what is in each is handed to `take` with its index.
pub(super) struct Each<const N: usize, F> {
    pub(super) pick: Pick<N>,
    /// The index of the element being read: where an error is.
    pub(super) at: usize,
    pub(super) take: F,
}

/// What is found in an element of a list.
pub(super) enum Found<'n, 'de, const N: usize> {
    /// A member that is not among the names; those come first.
    Other(&'n str, &'de RawValue),
    /// The members.
    Picked(Picked<'de, N>),
}

// === impl Messages ===

impl<'t> Messages<'t> {
    /// Reads the value of `messages`, which is a part of `text`.
    pub(crate) fn read(text: &'t str, raw: &RawValue) -> Self {
        let mut messages = Self::of(text);
        if !raw.get().starts_with('[') {
            messages.problem("messages", "be a list of messages");
            return messages;
        }
        let read = messages.each().read(raw.get());
        if let Err(index) = read {
            messages.problem(&format!("messages[{index}]"), ONE_OBJECT);
        } else {
            messages.end();
        }
        messages
    }

    /// The messages of a text that are yet to be read from it.
    pub(super) fn of(text: &'t str) -> Self {
        Self {
            text,
            ..Self::default()
        }
    }

    /// Takes the messages, one after another.
    fn each<'de>(&mut self) -> Each<2, impl FnMut(usize, Found<'_, 'de, 2>)> {
        Each {
            pick: Pick(["role", "content"]),
            at: 0,
            take: |index: usize, found: Found<'_, 'de, 2>| {
                self.count = index.saturating_add(1);
                let path = format_args!("messages[{index}]");
                match found {
                    Found::Other(name, raw) => {
                        let urls = &mut self.media.urls;
                        let looked = elsewhere::of_member(urls, (Scope::Message, &path), name, raw);
                        self.note(looked);
                    }
                    Found::Picked([role, content]) => self.message(&path, role, content),
                }
            },
        }
    }

    fn end(&mut self) {
        if self.count == 0 {
            self.problem("messages", "hold at least one message");
        }
    }

    fn message(
        &mut self,
        path: &fmt::Arguments<'_>,
        role: Option<&RawValue>,
        content: Option<&RawValue>,
    ) {
        let role = match role.map(|raw| string(raw).ok_or(())) {
            None => {
                self.push(Problem::missing(format!("{path}.role")));
                return;
            }
            Some(Ok(role)) if ROLES.contains(&role.as_ref()) => role,
            Some(_) => {
                let allowed = format!("be one of {}", ROLES.join(", "));
                self.problem(&format!("{path}.role"), &allowed);
                return;
            }
        };
        // An assistant's message may hold tool calls, a refusal or audio instead.
        let optional = matches!(role.as_ref(), "assistant" | "function");
        match content.map(|raw| (raw, raw.get().as_bytes().first())) {
            Some((_, Some(b'"'))) => {}
            Some((raw, Some(b'['))) => self.parts(path, raw),
            None | Some((_, Some(b'n'))) if optional => {}
            None | Some((_, Some(b'n'))) => self.push(Problem::missing(format!("{path}.content"))),
            Some(_) => self.problem(&format!("{path}.content"), "be a text or a list of parts"),
        }
    }

    fn parts(&mut self, path: &fmt::Arguments<'_>, raw: &RawValue) {
        let mut sizes = Vec::new();
        // The size of a part is needed, which only its raw text has.
        let parts: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
        for (index, part) in parts.into_iter().enumerate() {
            let size = part.get().len();
            let path = format_args!("{path}.content[{index}]");
            let mut has_more = false;
            let names = Pick(["type", "text", "image_url", "file"]);
            let read = names.with_rest(|_: &str, _: &RawValue| has_more = true);
            match read.read(part.get()) {
                Err(_) => self.problem(&path.to_string(), ONE_OBJECT),
                Ok(([kind, text, image, file], _)) => {
                    if let Some(kind) = self.part(&path, kind, text) {
                        sizes.push((kind, size));
                        self.name_file(&path, kind, image, file);
                        has_more |= image.is_some() || file.is_some();
                        self.look(&path, (kind, has_more), part);
                    }
                }
            }
        }
        for (kind, size) in sizes {
            self.count_part(kind, size);
        }
    }

    /// Notes the URLs of a part. Of a text it has to be read again only where there is more than that.
    fn look(
        &mut self,
        path: &fmt::Arguments<'_>,
        (kind, has_more): (PartKind, bool),
        part: &RawValue,
    ) {
        let scope = match (kind, has_more) {
            (PartKind::Text, false) => return,
            (PartKind::Text, true) => Scope::Text,
            (PartKind::Media | PartKind::Document | PartKind::Other, _) => Scope::Part,
        };
        let looked = elsewhere::of_part(&mut self.media.urls, (scope, path), part);
        self.note(looked);
    }

    fn note(&mut self, looked: Result<(), Problem>) {
        if let Err(problem) = looked {
            self.push(problem);
        }
    }

    fn part(
        &mut self,
        path: &fmt::Arguments<'_>,
        kind: Option<&RawValue>,
        text: Option<&RawValue>,
    ) -> Option<PartKind> {
        let Some(kind) = kind else {
            self.push(Problem::missing(format!("{path}.type")));
            return None;
        };
        let Some(kind) = string(kind) else {
            self.problem(
                &format!("{path}.type"),
                "be a text, such as text or image_url",
            );
            return None;
        };
        if kind == "text" && text.and_then(string).is_none() {
            self.problem(&format!("{path}.text"), "be a text");
        }
        Some(PartKind::of(&kind))
    }

    /// Notes the file of ours that a part names, if it names one.
    fn name_file(
        &mut self,
        path: &fmt::Arguments<'_>,
        kind: PartKind,
        image: Option<&RawValue>,
        file: Option<&RawValue>,
    ) {
        let mentioned = match (kind, image, file) {
            (PartKind::Media, Some(image), _) => mention::of_image(self.text, path, image),
            (PartKind::Document, _, Some(file)) => mention::of_document(self.text, path, file),
            (PartKind::Media | PartKind::Document | PartKind::Text | PartKind::Other, _, _) => {
                return;
            }
        };
        match mentioned {
            Ok(mentioned) => self.media.files.extend(mentioned),
            Err(problem) => self.push(problem),
        }
    }

    fn count_part(&mut self, kind: PartKind, size: usize) {
        match kind {
            PartKind::Text => return,
            PartKind::Media => self.media_bytes = self.media_bytes.saturating_add(size),
            PartKind::Document => {
                self.media_bytes = self.media_bytes.saturating_add(size);
                self.media.documents = self.media.documents.saturating_add(1);
            }
            PartKind::Other => {}
        }
        self.media.parts = self.media.parts.saturating_add(1);
    }

    fn problem(&mut self, param: &str, allowed: &str) {
        self.push(Problem::invalid(param, allowed));
    }

    fn push(&mut self, problem: Problem) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }
}

/// What the text of a list's element must be.
const ONE_OBJECT: &str = "be one object that names no field twice";

/// How a part of a message is counted.
#[derive(Clone, Copy)]
enum PartKind {
    Text,
    Media,
    Document,
    Other,
}

// === impl PartKind ===

impl PartKind {
    fn of(word: &str) -> Self {
        if TEXT.contains(&word) {
            Self::Text
        } else if word == DOCUMENT {
            Self::Document
        } else if MEDIA.contains(&word) {
            Self::Media
        } else {
            Self::Other
        }
    }
}

/// In one pass with the body; what is no list of messages ends the pass.
impl<'de> DeserializeSeed<'de> for Messages<'_> {
    type Value = Self;

    fn deserialize<D: Deserializer<'de>>(mut self, reader: D) -> Result<Self, D::Error> {
        (&mut self.each()).deserialize(reader)?;
        self.end();
        Ok(self)
    }
}

// === impl Each ===

impl<'de, const N: usize, F> Each<N, F>
where
    F: FnMut(usize, Found<'_, 'de, N>),
{
    /// Reads a list; the error is the index of the element that is not such an object.
    pub(super) fn read(mut self, text: &'de str) -> Result<(), usize> {
        let mut reader = serde_json::Deserializer::from_str(text);
        (&mut self).deserialize(&mut reader).map_err(|_| self.at)
    }
}

impl<'de, const N: usize, F> DeserializeSeed<'de> for &mut Each<N, F>
where
    F: FnMut(usize, Found<'_, 'de, N>),
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_seq(self)
    }
}

impl<'de, const N: usize, F> Visitor<'de> for &mut Each<N, F>
where
    F: FnMut(usize, Found<'_, 'de, N>),
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        loop {
            let (at, take) = (self.at, &mut self.take);
            let rest = |name: &str, raw: &'de RawValue| take(at, Found::Other(name, raw));
            let Some((picked, _)) = list.next_element_seed(self.pick.with_rest(rest))? else {
                return Ok(());
            };
            (self.take)(self.at, Found::Picked(picked));
            self.at = self.at.saturating_add(1);
        }
    }
}
