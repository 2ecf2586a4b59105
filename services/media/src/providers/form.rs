//! `multipart/form-data` (RFC 7578), for providers that take files no other way. Pure.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use upstream::Failure;

use super::wire::{self, Inline};
use crate::outputs::hex;

/// A form that is being written.
#[derive(Debug, Default)]
pub(super) struct Form {
    parts: Vec<Part>,
}

/// Types whose files have other endings than the last part of their type.
const ENDINGS: [(&str, &str); 7] = [
    ("audio/mpeg", "mp3"),
    ("audio/mp4", "m4a"),
    ("audio/x-wav", "wav"),
    ("audio/x-flac", "flac"),
    ("audio/opus", "ogg"),
    // The same boxes: who refuses one by its name takes the other, and looks at its bytes.
    ("video/quicktime", "mp4"),
    ("video/x-m4v", "mp4"),
];

/// One of its parts.
#[derive(Debug)]
struct Part {
    head: String,
    body: Vec<u8>,
}

/// What of a name cannot stand in it.
const UNSAFE: [char; 4] = ['"', '\r', '\n', '\\'];

// === impl Form ===

impl Form {
    /// All parameters, each in a field. Of a picture there are two fields: that of its address, which is what the parameter is called, and
    /// that of its bytes.
    ///
    /// # Errors
    /// When it is a file whose bytes are none.
    pub(super) fn of(
        parameters: &Map<String, Value>,
        (link, file): (&str, &str),
    ) -> Result<Self, Failure> {
        let mut form = Self::default();
        for (name, value) in parameters {
            match value.as_str() {
                Some(url) if name == link => match wire::inline(url) {
                    Some(inline) => form.file(file, inline)?,
                    None => form.text(link, url),
                },
                Some(text) => form.text(name, text),
                None => form.text(name, &value.to_string()),
            }
        }
        Ok(form)
    }

    /// A field with a text.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        let name = plain(name);
        self.parts.push(Part {
            head: format!("Content-Disposition: form-data; name=\"{name}\"\r\n\r\n"),
            body: text.as_bytes().to_vec(),
        });
    }

    /// A field with a file. Who takes it may tell what it is by the ending of its name alone.
    ///
    /// # Errors
    /// When its bytes are none.
    pub(super) fn file(&mut self, name: &str, file: Inline<'_>) -> Result<(), Failure> {
        let body = STANDARD.decode(file.bytes);
        let body = body.map_err(|_| Failure::unsupported(name, "an inline file is not base64"))?;
        let (name, content_type) = (plain(name), plain(file.content_type));
        let ending = ending(&content_type);
        self.parts.push(Part {
            head: format!(
                "Content-Disposition: form-data; name=\"{name}\"; filename=\"{name}.{ending}\"\r\n\
                 Content-Type: {content_type}\r\n\r\n"
            ),
            body,
        });
        Ok(())
    }

    /// A field with what a URL is: the file, where it is one itself, else its text.
    ///
    /// # Errors
    /// When it is a file whose bytes are none.
    pub(super) fn url(&mut self, name: &str, url: &str) -> Result<(), Failure> {
        match wire::inline(url) {
            Some(file) => self.file(name, file),
            None => {
                self.text(name, url);
                Ok(())
            }
        }
    }

    /// The body, and the headers with its type.
    pub(super) fn written(self, mut headers: HeaderMap) -> (HeaderMap, Vec<u8>) {
        let boundary = self.boundary();
        let mut body = Vec::new();
        for part in self.parts {
            body.extend(format!("--{boundary}\r\n{}", part.head).into_bytes());
            body.extend(part.body);
            body.extend(b"\r\n");
        }
        body.extend(format!("--{boundary}--\r\n").into_bytes());
        let kind = format!("multipart/form-data; boundary={boundary}");
        if let Ok(kind) = HeaderValue::from_str(&kind) {
            headers.insert(CONTENT_TYPE, kind);
        }
        (headers, body)
    }

    /// What stands in no part: nobody can write a text that has its own hash in it.
    fn boundary(&self) -> String {
        let mut hash = Sha256::new();
        for part in &self.parts {
            hash.update(part.head.as_bytes());
            hash.update(&part.body);
        }
        hex(hash)
    }
}

/// How the name of a file of this type ends.
pub(crate) fn ending(content_type: &str) -> &str {
    let row = ENDINGS.iter().find(|(kind, _)| *kind == content_type);
    let last = || content_type.rsplit('/').next().unwrap_or_default();
    row.map_or_else(last, |(_, ending)| ending)
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| !UNSAFE.contains(c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_its_texts_and_its_files() {
        let mut form = Form::default();
        form.text("prompt", "a fox\r\n--x");
        form.url("image", "data:image/png;base64,AAEC").unwrap();
        form.url("mask", "https://a.example/1").unwrap();
        form.text("a\"b\r\nc", "1");
        let (headers, body) = form.written(HeaderMap::new());
        let kind = headers[CONTENT_TYPE].to_str().unwrap().to_owned();
        let (_, boundary) = kind.split_once("boundary=").unwrap();
        assert_eq!(boundary.len(), 64);
        let body = String::from_utf8(body).unwrap();
        let parts: Vec<&str> = body.split(&format!("--{boundary}")).collect();
        assert_eq!(
            parts,
            [
                "",
                "\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\na fox\r\n--x\r\n",
                "\r\nContent-Disposition: form-data; name=\"image\"; filename=\"image.png\"\r\nContent-Type: image/png\r\n\r\n\0\u{1}\u{2}\r\n",
                "\r\nContent-Disposition: form-data; name=\"mask\"\r\n\r\nhttps://a.example/1\r\n",
                "\r\nContent-Disposition: form-data; name=\"abc\"\r\n\r\n1\r\n",
                "--\r\n",
            ]
        );
    }

    #[test]
    fn a_picture_has_a_field_for_its_address_and_one_for_its_bytes() {
        let written = |url: &str| {
            let parameters = [
                ("size", "auto".into()),
                ("image_url", url.into()),
                ("n", 1.into()),
            ];
            let parameters =
                parameters.map(|(name, value): (&str, Value)| (name.to_owned(), value));
            let form = Form::of(&Map::from_iter(parameters), ("image_url", "image_file"));
            let (_, body) = form.unwrap().written(HeaderMap::new());
            String::from_utf8(body).unwrap()
        };
        let link = written("https://a.example/1");
        assert!(link.contains("name=\"image_url\"\r\n\r\nhttps://a.example/1\r\n"));
        assert!(link.contains("name=\"n\"\r\n\r\n1\r\n") && !link.contains("image_file"));
        let file = written("data:image/png;base64,AAEC");
        assert!(file.contains("name=\"image_file\"; filename=\"image_file.png\""));
        assert!(file.contains("name=\"size\"\r\n\r\nauto\r\n") && !file.contains("image_url"));
    }

    #[test]
    fn the_name_of_a_file_says_what_it_is() {
        for (content_type, told) in [
            ("audio/x-wav", "wav"),
            ("audio/mpeg", "mp3"),
            ("audio/m4a", "m4a"),
            ("audio/x-flac", "flac"),
            ("video/webm", "webm"),
            ("video/quicktime", "mp4"),
            ("audio/aac", "aac"),
            ("audio/ogg", "ogg"),
            ("image/png", "png"),
        ] {
            assert_eq!(ending(content_type), told);
        }
    }

    #[test]
    fn what_is_not_base64_is_no_file() {
        let failure = Form::default()
            .url("image", "data:image/png;base64,~")
            .unwrap_err();
        assert_eq!(failure.param(), Some("image"));
    }
}
