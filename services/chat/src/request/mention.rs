//! Where a request names a file that its account has uploaded (`POST /files`): instead of an image's URL, or of a document. Pure.

use std::{fmt, ops::Range};

use bytes::Bytes;
use domain::{FileId, Problem};
use serde_json::value::RawValue;

use super::pick::{Pick, span, string};
use crate::edit::name_start;

/// What ids of files begin with: ours, and those of others, which are not for our providers either. No URL does.
const PREFIXES: [&str; 2] = ["file_", "file-"];

/// A file of ours, named in the place of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) id: FileId,
    /// The field that names it.
    pub(crate) param: String,
    /// The value of that field in the body.
    pub(crate) at: Range<usize>,
    pub(crate) part: Part,
}

/// What it is named as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The URL of an image.
    Image,
    /// A document that is given a name of its own.
    NamedDocument,
    /// A document that is called as it was when it was uploaded.
    Document,
}

/// The file that an `image_url` names. `text` is the whole body.
///
/// # Errors
/// When it is meant to be a file and cannot be one.
pub(super) fn of_image(
    text: &str,
    path: &fmt::Arguments<'_>,
    image: &RawValue,
) -> Result<Option<Mention>, Problem> {
    // Whatever else is wrong with it, those who translate it say, or the provider.
    let Ok([Some(url)]) = Pick(["url"]).read(image.get()) else {
        return Ok(None);
    };
    let Some(word) = string(url).filter(|url| is_file(url)) else {
        return Ok(None);
    };
    let param = format!("{path}.image_url.url");
    mention(text, (param, url), &word, Part::Image).map(Some)
}

/// Whether a text is meant to be the id of a file.
pub(super) fn is_file(text: &str) -> bool {
    PREFIXES.iter().any(|prefix| text.starts_with(prefix))
}

/// The file that a `file` names.
///
/// # Errors
/// When it names one that cannot be ours: a provider must not be asked for its own files, which are the operator's.
pub(super) fn of_document(
    text: &str,
    path: &fmt::Arguments<'_>,
    file: &RawValue,
) -> Result<Option<Mention>, Problem> {
    let picked = Pick(["file_id", "file_data", "filename"]).read(file.get());
    let Ok([id, data, name]) = picked else {
        let allowed = "be one object that names no field twice";
        return Err(Problem::invalid(format!("{path}.file"), allowed));
    };
    let given = |raw: Option<&RawValue>| raw.is_some_and(|raw| raw.get() != "null");
    let Some(id) = id.filter(|id| id.get() != "null") else {
        return Ok(None);
    };
    let param = format!("{path}.file.file_id");
    // Even one that says nothing would come twice.
    if data.is_some() {
        return Err(Problem::invalid(
            param,
            "be left out where file_data is given",
        ));
    }
    let part = match (given(name), name) {
        (true, _) => Part::NamedDocument,
        (false, None) => Part::Document,
        (false, Some(_)) => {
            let param = format!("{path}.file.filename");
            return Err(Problem::invalid(param, "be a text, or be left out"));
        }
    };
    let word = string(id).unwrap_or_default();
    mention(text, (param, id), &word, part).map(Some)
}

fn mention(
    text: &str,
    (param, raw): (String, &RawValue),
    word: &str,
    part: Part,
) -> Result<Mention, Problem> {
    let Some(id) = FileId::parse(word) else {
        return Err(Problem::invalid(
            param,
            "be the id of a file of POST /files",
        ));
    };
    Ok(Mention {
        id,
        param,
        at: span(text, raw.get()),
        part,
    })
}

// === impl Mention ===

impl Mention {
    /// What the file takes the place of in the body: the URL's value, or the whole member that has a document's id.
    pub(crate) fn place(&self, body: &Bytes) -> Range<usize> {
        match self.part {
            Part::Image => self.at.clone(),
            Part::NamedDocument | Part::Document => name_start(body, self.at.start)..self.at.end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Refusal, parse};

    const FILE: &str = "file_01h455vb4pex5vsknk084sn02q";

    fn body(part: &str) -> String {
        format!(
            r#" {{"model":"m","messages":[{{"role":"user","content":[{{"type":"text","text":"{FILE}"}}, {part}]}}]}}"#
        )
    }

    #[test]
    fn files_are_found_where_urls_and_documents_stand() {
        for (part, expected, at) in [
            (
                format!(r#"{{"type":"image_url","image_url":{{"detail":"low", "url" : "{FILE}"}}}}"#),
                Part::Image,
                format!("\"{FILE}\""),
            ),
            (
                r#"{"image_url":{"url":"file\u005f01h455vb4pex5vsknk084sn02q"},"type":"image_url"}"#.to_owned(),
                Part::Image,
                r#""file\u005f01h455vb4pex5vsknk084sn02q""#.to_owned(),
            ),
            (
                format!(r#"{{"type":"file","file":{{"file_id":"{FILE}"}}}}"#),
                Part::Document,
                format!("\"{FILE}\""),
            ),
            (
                format!(r#"{{"type":"file","file":{{"filename":"a.pdf","file_id":"{FILE}"}}}}"#),
                Part::NamedDocument,
                format!("\"{FILE}\""),
            ),
        ] {
            let body = body(&part);
            let request = parse(body.as_bytes(), 8).unwrap();
            let [found] = request.media.files.as_slice() else {
                panic!("{part}: {:?}", request.media.files);
            };
            assert_eq!((found.id.to_string().as_str(), found.part), (FILE, expected));
            assert_eq!(body.get(found.at.clone()), Some(at.as_str()));
            let field = if expected == Part::Image { "image_url.url" } else { "file.file_id" };
            assert_eq!(found.param, format!("messages[0].content[1].{field}"));
            assert_eq!(request.media.parts, 1);
        }
    }

    #[test]
    fn what_names_no_file_is_left_alone() {
        for part in [
            r#"{"type":"image_url","image_url":{"url":"https://example.com/file_1"}}"#,
            r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}"#,
            r#"{"type":"image_url","image_url":"odd"}"#,
            r#"{"type":"file","file":{"file_data":"data:application/pdf;base64,AAAA","file_id":null}}"#,
            r#"{"type":"text","text":"x","file":{"file_id":"file-1"}}"#,
        ] {
            let request = parse(body(part).as_bytes(), 8).unwrap();
            assert!(request.media.files.is_empty(), "{part}");
        }
    }

    #[test]
    fn what_can_be_no_file_of_ours_is_refused() {
        let good = FILE;
        for (part, param) in [
            (
                r#"{"type":"image_url","image_url":{"url":"file_1"}}"#.to_owned(),
                "image_url.url",
            ),
            (
                r#"{"type":"file","file":{"file_id":"file-abc123"}}"#.to_owned(),
                "file.file_id",
            ),
            (
                r#"{"type":"image_url","image_url":{"url":"file-abc123"}}"#.to_owned(),
                "image_url.url",
            ),
            (
                r#"{"type":"file","file":{"file_id":7}}"#.to_owned(),
                "file.file_id",
            ),
            (
                format!(r#"{{"type":"file","file":{{"file_id":"{good}","file_data":"x"}}}}"#),
                "file.file_id",
            ),
            (
                format!(r#"{{"type":"file","file":{{"file_id":"{good}","file_id":"{good}"}}}}"#),
                "file",
            ),
            (
                format!(r#"{{"type":"file","file":{{"file_id":"{good}","filename":null}}}}"#),
                "file.filename",
            ),
        ] {
            let Err(Refusal::Problems(problems)) = parse(body(&part).as_bytes(), 8) else {
                panic!("{part}");
            };
            let params: Vec<_> = problems
                .iter()
                .map(|problem| problem.param.as_str())
                .collect();
            assert_eq!(
                params,
                [format!("messages[0].content[1].{param}")],
                "{part}"
            );
        }
    }
}
