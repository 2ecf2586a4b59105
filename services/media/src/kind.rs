//! What a file is, by its bytes: what its sender calls it is not believed. Pure.

use infer::MatcherType;

use crate::measure::is_mpeg_sound;

/// Bytes that are looked at to tell a file's type.
const HEAD_BYTES: usize = 4096;
/// The type of whatever is text, JSON and markup among it.
pub(crate) const TEXT: &str = "text/plain";
/// The one type whose files may be text and are not meant as it. Other types are told by so few letters that a text may begin with them.
const PDF: &str = "application/pdf";
/// The type of sounds that begin with a frame, and no head.
const MPEG: &str = "audio/mpeg";
/// The longest beginning of a character that can be cut off.
const LONGEST_CHARACTER: usize = 4;

/// Looks at a file as it comes.
#[derive(Debug, Default)]
pub(crate) struct Look {
    head: Vec<u8>,
    text: Text,
}

/// Whether all that came so far is text.
#[derive(Debug)]
enum Text {
    /// It is; these bytes begin a character whose end has not come.
    So(Vec<u8>),
    /// It is not.
    Never,
}

// === impl Look ===

impl Look {
    /// The next bytes of the file.
    pub(crate) fn at(&mut self, bytes: &[u8]) {
        let missing = HEAD_BYTES.saturating_sub(self.head.len());
        self.head.extend(bytes.iter().take(missing));
        self.text.goes_on(bytes);
    }

    /// What the file can no longer be helped to be; `None` before enough of it has come.
    pub(crate) fn early(&self) -> Option<&'static str> {
        if self.head.len() < HEAD_BYTES {
            return None;
        }
        let found = binary(&self.head);
        match self.text {
            Text::Never => Some(found.unwrap_or(UNKNOWN)),
            Text::So(_) => found.filter(|kind| *kind == PDF),
        }
    }

    /// How the file begins.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head
    }

    /// What the file is, all of it having come.
    pub(crate) fn whole(&self) -> &'static str {
        let is_text = matches!(&self.text, Text::So(cut) if cut.is_empty());
        let found = binary(&self.head);
        if is_text {
            found.filter(|kind| *kind == PDF).unwrap_or(TEXT)
        } else {
            found.unwrap_or(UNKNOWN)
        }
    }
}

/// The type of what nobody knows.
const UNKNOWN: &str = "application/octet-stream";

/// Whether a list of types, such as `image/*`, has this one.
pub(crate) fn is_among(kind: &str, allowed: &[String]) -> bool {
    let group = kind.split('/').next().unwrap_or_default();
    allowed
        .iter()
        .any(|one| one == kind || one.strip_suffix("/*") == Some(group))
}

/// A type that bytes of its own tell. Markup and scripts are text like any other: nothing here runs or shows them.
fn binary(head: &[u8]) -> Option<&'static str> {
    let Some(found) = infer::get(head) else {
        return is_mpeg_sound(head).then_some(MPEG);
    };
    match found.matcher_type() {
        MatcherType::Text => None,
        MatcherType::App
        | MatcherType::Archive
        | MatcherType::Audio
        | MatcherType::Book
        | MatcherType::Custom
        | MatcherType::Doc
        | MatcherType::Font
        | MatcherType::Image
        | MatcherType::Video => {
            let kind = found.mime_type();
            (!kind.starts_with("text/")).then_some(kind)
        }
    }
}

// === impl Text ===

impl Text {
    fn goes_on(&mut self, bytes: &[u8]) {
        let Self::So(cut) = self else { return };
        let mut rest = bytes;
        // The end of a character that was cut, byte by byte.
        while !cut.is_empty() {
            let Some((next, behind)) = rest.split_first() else {
                return;
            };
            cut.push(*next);
            rest = behind;
            match std::str::from_utf8(cut) {
                Ok(_) => cut.clear(),
                Err(error) if error.error_len().is_none() && cut.len() < LONGEST_CHARACTER => {}
                Err(_) => {
                    *self = Self::Never;
                    return;
                }
            }
        }
        *self = Self::of(rest);
    }

    fn of(bytes: &[u8]) -> Self {
        if bytes.iter().copied().any(is_no_text) {
            return Self::Never;
        }
        match std::str::from_utf8(bytes) {
            Ok(_) => Self::So(Vec::new()),
            Err(error) if error.error_len().is_none() => {
                let cut = bytes.get(error.valid_up_to()..).unwrap_or_default();
                Self::So(cut.to_vec())
            }
            Err(_) => Self::Never,
        }
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::So(Vec::new())
    }
}

/// Bytes that no text has, and most other files do (WHATWG, MIME Sniffing, "binary data byte"): control characters but for tab, line feed,
/// form feed, carriage return and escape.
const fn is_no_text(byte: u8) -> bool {
    matches!(byte, 0x00..=0x08 | 0x0B | 0x0E..=0x1A | 0x1C..=0x1F)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a file is that comes in pieces of this length.
    fn in_pieces(bytes: &[u8], length: usize) -> &'static str {
        let mut look = Look::default();
        for piece in bytes.chunks(length) {
            look.at(piece);
        }
        look.whole()
    }

    #[test]
    fn a_file_is_what_its_bytes_say_however_they_come() {
        let long = "a\u{e4}\u{20ac}\u{1f98a}".repeat(2000);
        let mut spoilt = long.clone().into_bytes();
        spoilt.push(0xff);
        for (bytes, kind) in [
            (&b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"[..], "image/png"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
            (b"GIF89a\x01\0\x01\0", "image/gif"),
            (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
            (b"RIFF\x24\0\0\0WAVEfmt ", "audio/x-wav"),
            (b"ID3\x03\0\0", "audio/mpeg"),
            (b"\xff\xf3\x14\xc0\0\0", "audio/mpeg"),
            (b"\0\0\0\x18ftypmp42\0\0\0\0", "video/mp4"),
            (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01webm", "video/webm"),
            (b"%PDF-1.7\n", "application/pdf"),
            (b"PK\x03\x04\0\0", "application/zip"),
            (b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "application/x-executable"),
            (br#"{"a": [1]}"#, "text/plain"),
            (b"<!DOCTYPE html><html></html>", "text/plain"),
            (b"#!/bin/sh\n", "text/plain"),
            (b"BMI,age\n1,2\n", "text/plain"),
            (b"MZ is text", "text/plain"),
            (b"BZh, said the bee", "text/plain"),
            (b"GIF89a is a format", "text/plain"),
            (b"ID3 tags", "text/plain"),
            (b"CWS: a list", "text/plain"),
            (b"MZ\x90\0\x03\0", "application/vnd.microsoft.portable-executable"),
            (long.as_bytes(), "text/plain"),
            (&spoilt, UNKNOWN),
            (b"half a character \xe2\x82", UNKNOWN),
            (b"a\0b", UNKNOWN),
            (b"PK\x03\x04 a picture, or so they say", "application/zip"),
            (b"a\x1b[1mb\tc\r\n\x0c", "text/plain"),
            (b"a\x01b", UNKNOWN),
        ] {
            for length in [1, 2, 3, 5, 7, 4096, 1 << 20] {
                assert_eq!(in_pieces(bytes, length), kind, "{length}: {:?}", bytes.get(..8));
            }
        }
    }

    #[test]
    fn what_cannot_become_anything_else_is_known_early() {
        let early = |bytes: &[u8]| {
            let mut look = Look::default();
            look.at(bytes);
            look.early()
        };
        let mut picture = b"GIF89a".to_vec();
        picture.resize(5000, 0);
        assert_eq!(early(&picture), Some("image/gif"));
        assert_eq!(early(b"GIF89a"), None);
        assert_eq!(early(&[b'a'; 5000]), None);
        assert_eq!(early(&[b"MZ", &[b'a'; 5000][..]].concat()), None);
        assert_eq!(
            early(&[b"%PDF-", &[b'a'; 5000][..]].concat()),
            Some("application/pdf")
        );
        assert_eq!(early(&[0; 5000]), Some(UNKNOWN));
    }

    #[test]
    fn a_list_may_name_groups() {
        let allowed = ["image/*", "application/pdf"].map(str::to_owned);
        for (kind, is) in [
            ("image/png", true),
            ("application/pdf", true),
            ("application/zip", false),
            ("imagery/png", false),
            ("video/mp4", false),
        ] {
            assert_eq!(is_among(kind, &allowed), is, "{kind}");
        }
    }
}
