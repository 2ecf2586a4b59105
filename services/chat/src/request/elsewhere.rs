//! What a request names that is elsewhere. Of a part of a message that is every URL in it, whatever the part is called and wherever in it
//! the URL stands, so that a kind of part that providers learn tomorrow is looked at as well; of all else, what its name says is a URL, or
//! the bytes of something and begins as a URL. Pure.
//!
//! What cannot be looked at to its end is refused: a provider may read it less strictly than this does.

use std::{borrow::Cow, fmt, fmt::Write as _};

use domain::Problem;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::mention;

/// A URL of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    /// The field that names it.
    pub(crate) param: String,
    pub(crate) url: String,
}

/// The most URLs of a request.
pub(super) const MOST: usize = 256;
/// The longest path of a field that names one, in bytes.
const MAX_PATH: usize = 256;
/// So many problems are told; a request with more of them has one cause.
const MAX_PROBLEMS: usize = 16;
/// How a member's name ends whose text is a URL, whatever it looks like.
const NAMES: [&str; 4] = ["url", "urls", "uri", "uris"];
/// The names of members whose texts are bytes, or the URL of them: what begins as one is one, whatever follows.
const BYTES: [&str; 9] = [
    "file_data",
    "data",
    "source",
    "src",
    "image",
    "images",
    "audio",
    "video",
    "file",
];
/// What no one fetches, whatever it looks like.
const FILE_NAME: &str = "filename";
/// The parts' members that are what the model reads.
const TEXTS: [&str; 2] = ["text", "refusal"];
/// The members of a request that describe to the model what it may write, with examples of it.
const SCHEMAS: [&str; 2] = ["functions", "response_format"];
/// What an earlier answer says that it was taken from.
const CITED: &str = "annotations";
/// What other texts begin with, if they are URLs that somebody might fetch: a scheme of so many letters.
const SCHEME: std::ops::RangeInclusive<usize> = 2..=16;
/// What is said of what cannot be looked at.
const PLAIN: &str = "be plain JSON: no number beyond those of 64 bits, no half of a surrogate pair, and not nested deeper than 100 levels";

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// A part that is not text: all of it.
    Part,
    /// A part that is text: what it has beside that.
    Text,
    /// A member of a message.
    Message,
    /// A member of the request.
    Body,
}

/// What is named beside the messages.
#[derive(Debug, Default)]
pub(super) struct Rest {
    pub(super) urls: Vec<Elsewhere>,
    pub(super) problems: Vec<Problem>,
}

/// Notes the URLs of a part, which stands at `path`.
///
/// # Errors
/// What is wrong with a part of which not all can be looked at.
pub(super) fn of_part(
    urls: &mut Vec<Elsewhere>,
    (scope, path): (Scope, &fmt::Arguments<'_>),
    part: &RawValue,
) -> Result<(), Problem> {
    let look = Look::new(urls, (scope, path));
    let read = look.read(Kind::of(scope, ""), part);
    read.map_err(|allowed| Problem::invalid(path.to_string(), allowed))
}

/// Notes the URLs of a member of what stands at `path`.
///
/// # Errors
/// What is wrong with a member of which not all can be looked at.
pub(super) fn of_member(
    urls: &mut Vec<Elsewhere>,
    (scope, path): (Scope, &fmt::Arguments<'_>),
    name: &str,
    value: &RawValue,
) -> Result<(), Problem> {
    let is_skipped = match scope {
        Scope::Message => name == CITED,
        Scope::Body => SCHEMAS.contains(&name),
        Scope::Part | Scope::Text => false,
    };
    let (first, kind) = (value.get().as_bytes().first(), Kind::of(scope, name));
    let is_text = first == Some(&b'"');
    let may_name = matches!(first, Some(b'{' | b'[')) || (is_text && kind != Kind::Never);
    if is_skipped || !may_name {
        return Ok(());
    }
    let mut look = Look::new(urls, (scope, path));
    look.stack.push(Segment::Name(Cow::Borrowed(name)));
    look.read(kind, value).map_err(|allowed| {
        let dot = if path.as_str() == Some("") { "" } else { "." };
        let name: String = name.chars().take(MAX_PATH / 4).collect();
        Problem::invalid(format!("{path}{dot}{name}"), allowed)
    })
}

/// What is found, and how far the reading is.
struct Look<'u, 'de> {
    urls: &'u mut Vec<Elsewhere>,
    scope: Scope,
    /// Where all of it stands.
    path: &'u fmt::Arguments<'u>,
    /// Where in it the value stands that is being read.
    stack: Vec<Segment<'de>>,
    /// What must be otherwise for the reading to go on.
    allowed: Option<String>,
}

/// A step on the way to a value.
enum Segment<'de> {
    Name(Cow<'de, str>),
    Index(usize),
}

/// What a member's name says of the texts in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// URLs.
    Url,
    /// Bytes, or URLs of them.
    Bytes,
    /// Nothing.
    Any,
    /// That they are no URLs.
    Never,
}

/// A value.
struct Place<'l, 'u, 'de> {
    look: &'l mut Look<'u, 'de>,
    kind: Kind,
}

/// The name of a member, without a copy where it can be had.
struct Name;

// === impl Rest ===

impl Rest {
    /// Looks at a member of the request.
    pub(super) fn look(&mut self, name: &str, value: &RawValue) {
        let place = (Scope::Body, &format_args!(""));
        let looked = of_member(&mut self.urls, place, name, value);
        if let Err(problem) = looked
            && self.problems.len() < MAX_PROBLEMS
        {
            self.problems.push(problem);
        }
    }
}

// === impl Kind ===

impl Kind {
    fn of(scope: Scope, name: &str) -> Self {
        if NAMES.iter().any(|end| ends_with(name, end)) {
            Self::Url
        } else if BYTES.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            Self::Bytes
        } else if scope != Scope::Part || name.eq_ignore_ascii_case(FILE_NAME) {
            Self::Never
        } else {
            Self::Any
        }
    }

    /// Whether a text is a URL.
    fn is_url(self, text: &str) -> bool {
        match self {
            Self::Never => false,
            _ if mention::is_file(text) || is_data(text) => false,
            Self::Url => true,
            Self::Bytes => has_scheme(text),
            // What has words behind it is a sentence that begins with a URL.
            Self::Any => has_scheme(text) && !text.trim().contains(char::is_whitespace),
        }
    }
}

// === impl Look ===

impl<'u, 'de> Look<'u, 'de> {
    fn new(urls: &'u mut Vec<Elsewhere>, (scope, path): (Scope, &'u fmt::Arguments<'u>)) -> Self {
        Self {
            urls,
            scope,
            path,
            stack: Vec::new(),
            allowed: None,
        }
    }

    /// Reads a value; the error says what it must be.
    fn read(mut self, kind: Kind, value: &'de RawValue) -> Result<(), String> {
        let place = Place {
            look: &mut self,
            kind,
        };
        let mut reader = serde_json::Deserializer::from_str(value.get());
        let read = place.deserialize(&mut reader);
        read.map_err(|_| self.allowed.unwrap_or_else(|| PLAIN.to_owned()))
    }

    /// Whether a member of the value that is being read is not looked into.
    fn skips(&self, name: &str) -> bool {
        match (self.scope, self.stack.as_slice()) {
            (Scope::Text, []) => TEXTS.contains(&name),
            (Scope::Body, [Segment::Name(list), Segment::Index(_)]) => {
                list == "tools" && name == "function"
            }
            (Scope::Part | Scope::Text | Scope::Message | Scope::Body, _) => false,
        }
    }

    fn note(&mut self, url: &str) -> Result<(), String> {
        if self.urls.len() >= MOST {
            return Err(format!("not name more URLs: a request may name {MOST}"));
        }
        let param = self.here().ok_or_else(|| {
            format!("name URLs in fields whose paths are of at most {MAX_PATH} bytes")
        })?;
        let url = url.to_owned();
        self.urls.push(Elsewhere { param, url });
        Ok(())
    }

    /// The path of the value that is being read, unless it is too long.
    fn here(&self) -> Option<String> {
        let mut path = self.path.to_string();
        for segment in &self.stack {
            match segment {
                Segment::Name(name) if path.len().saturating_add(name.len()) >= MAX_PATH => {
                    return None;
                }
                Segment::Name(name) if path.is_empty() => path.push_str(name),
                Segment::Name(name) => write!(path, ".{name}").ok()?,
                Segment::Index(index) => write!(path, "[{index}]").ok()?,
            }
        }
        (path.len() <= MAX_PATH).then_some(path)
    }
}

// === impl Place ===

impl<'de> DeserializeSeed<'de> for Place<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        if !self.kind.is_url(text) {
            return Ok(());
        }
        self.look.note(text).map_err(|allowed| {
            self.look.allowed = Some(allowed);
            E::custom("it cannot be noted")
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key_seed(Name)? {
            if self.look.skips(&name) {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            let kind = Kind::of(self.look.scope, &name);
            self.look.stack.push(Segment::Name(name));
            let look = &mut *self.look;
            members.next_value_seed(Place { look, kind })?;
            self.look.stack.pop();
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let (mut index, kind) = (0_usize, self.kind);
        loop {
            self.look.stack.push(Segment::Index(index));
            let look = &mut *self.look;
            let item = items.next_element_seed(Place { look, kind })?;
            self.look.stack.pop();
            if item.is_none() {
                return Ok(());
            }
            index = index.saturating_add(1);
        }
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

// === impl Name ===

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// Whether a name ends so, in letters of either case.
fn ends_with(name: &str, end: &str) -> bool {
    let start = name.len().checked_sub(end.len());
    let last = start.and_then(|start| name.get(start..));
    last.is_some_and(|last| last.eq_ignore_ascii_case(end))
}

/// Whether it brings its bytes itself.
fn is_data(text: &str) -> bool {
    let scheme = text.get(..5);
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
}

/// Whether it begins as a URL does, behind what readers of URLs leave out.
fn has_scheme(text: &str) -> bool {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c.is_control());
    let Some(end) = text
        .bytes()
        .take(SCHEME.end().saturating_add(1))
        .position(|byte| byte == b':')
    else {
        return false;
    };
    let (scheme, rest) = text.split_at(end);
    let is_scheme = SCHEME.contains(&end)
        && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let leads_on = rest.starts_with(":/") || rest.starts_with(":\\");
    is_scheme && (leads_on || scheme.to_ascii_lowercase().starts_with("http"))
}

#[cfg(test)]
mod tests;
