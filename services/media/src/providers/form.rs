//! `multipart/form-data` (RFC 7578), for providers that take files no other way. Pure.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use sha2::{Digest as _, Sha256};
use upstream::Failure;

use super::wire::{self, Inline};
use crate::outputs::hex;

/// A form that is being written.
#[derive(Debug, Default)]
pub(super) struct Form {
    parts: Vec<Part>,
}

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
    /// A field with a text.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        let name = plain(name);
        self.parts.push(Part {
            head: format!("Content-Disposition: form-data; name=\"{name}\"\r\n\r\n"),
            body: text.as_bytes().to_vec(),
        });
    }

    /// A field with a file.
    ///
    /// # Errors
    /// When its bytes are none.
    pub(super) fn file(&mut self, name: &str, file: Inline<'_>) -> Result<(), Failure> {
        let body = STANDARD.decode(file.bytes);
        let body = body.map_err(|_| Failure::unsupported(name, "an inline file is not base64"))?;
        let (name, content_type) = (plain(name), plain(file.content_type));
        let ending = content_type.rsplit('/').next().unwrap_or_default();
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
    fn what_is_not_base64_is_no_file() {
        let failure = Form::default()
            .url("image", "data:image/png;base64,~")
            .unwrap_err();
        assert_eq!(failure.param(), Some("image"));
    }
}
