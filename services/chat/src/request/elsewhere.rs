//! What a part of a message names that is elsewhere: every URL in it, whatever the part is called and wherever in it the URL stands, so that
//! a kind of part that providers learn tomorrow is looked at as well. Pure.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::mention;

/// A URL of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Elsewhere {
    /// The field that names it.
    pub(crate) param: String,
    pub(crate) url: String,
}

/// How a member's name ends whose text is a URL, whatever it looks like.
const NAMES: [&str; 4] = ["url", "urls", "uri", "uris"];
/// What other texts begin with, if they are URLs that somebody might fetch: a scheme of so many letters.
const SCHEME: std::ops::RangeInclusive<usize> = 2..=16;

/// The URLs in the text of a part, which stands at `path`.
pub(super) fn of_part(path: &fmt::Arguments<'_>, part: &str) -> Vec<Elsewhere> {
    let mut found = Vec::new();
    let place = Place {
        path: path.to_string(),
        is_named: false,
        found: &mut found,
    };
    // What is no JSON was refused before.
    let _ = place.deserialize(&mut serde_json::Deserializer::from_str(part));
    found
}

/// A value, and where it stands.
struct Place<'f> {
    path: String,
    /// Whether its name says that it is a URL.
    is_named: bool,
    found: &'f mut Vec<Elsewhere>,
}

/// The name of a member, without a copy where it can be had.
struct Name;

// === impl Place ===

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if !mention::is_file(text) && !is_data(text) && (self.is_named || has_scheme(text)) {
            self.found.push(Elsewhere {
                param: self.path,
                url: text.to_owned(),
            });
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(name) = members.next_key_seed(Name)? {
            let lower = name.to_ascii_lowercase();
            members.next_value_seed(Place {
                path: format!("{}.{name}", self.path),
                is_named: NAMES.iter().any(|end| lower.ends_with(end)),
                found: &mut *self.found,
            })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0_usize;
        loop {
            let item = Place {
                path: format!("{}[{index}]", self.path),
                is_named: self.is_named,
                found: &mut *self.found,
            };
            if items.next_element_seed(item)?.is_none() {
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
mod tests {
    use super::*;

    #[test]
    fn urls_are_found_wherever_they_stand() {
        for (part, expected) in [
            (
                r#"{"type":"image_url","image_url":{"url":"https://a.example/1"}}"#,
                "image_url.url",
            ),
            (
                r#"{"type":"image_url","image_url":"http:\/\/10.0.0.1/"}"#,
                "image_url",
            ),
            (
                r#"{"type":"audio_url","audio_url":{"url":"odd"}}"#,
                "audio_url.url",
            ),
            (
                r#"{"type":"file","file":{"file_data":"HTTPS://a.example/1.pdf"}}"#,
                "file.file_data",
            ),
            (
                r#"{"type":"file","file":{"file_data":" http:10.0.0.1"}}"#,
                "file.file_data",
            ),
            (
                r#"{"type":"new","frames":["data:,","gopher://10.0.0.1/"]}"#,
                "frames[1]",
            ),
            (r#"{"type":"new","frame_urls":["a"]}"#, "frame_urls[0]"),
            (r#"{"type":"new","imageUri":"a"}"#, "imageUri"),
            (
                r#"{"type":"new","n":1,"b":true,"x":null,"f":1.5,"deep":[[{"Src":"file:///etc/passwd"}]]}"#,
                "deep[0][0].Src",
            ),
        ] {
            let found = of_part(&format_args!("p"), part);
            let params: Vec<_> = found.iter().map(|found| found.param.as_str()).collect();
            assert_eq!(params, [format!("p.{expected}")], "{part}");
        }
    }

    #[test]
    fn what_leads_nowhere_is_none() {
        for part in [
            r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}}"#,
            r#"{"type":"image_url","image_url":{"url":"file_01h455vb4pex5vsknk084sn02q"}}"#,
            r#"{"type":"input_audio","input_audio":{"data":"UklGRiQAAABXQVZF","format":"wav"}}"#,
            r#"{"type":"file","file":{"filename":"C:\\a.pdf","file_data":"data:application/pdf;base64,AAAA"}}"#,
            r#"{"type":"file","file":{"filename":"note: this.pdf"}}"#,
            r#"{"type":"new","at":"12:30","url":null}"#,
        ] {
            assert_eq!(of_part(&format_args!("p"), part), [], "{part}");
        }
    }
}
