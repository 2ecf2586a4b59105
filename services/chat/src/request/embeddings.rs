//! A request for embeddings: what routing, price and the edits need, and what is wrong with it. What only the provider knows
//! (`dimensions`, `encoding_format` of a model) passes unchecked.

use domain::Problem;
use serde::de::{Deserializer as _, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    Media, Reader, Refusal, Request, Spans, Wanted, given, not_json,
    pick::{Pick, span},
    read_text,
    routing::Routing,
};

/// The members that are read.
const NAMES: [&str; 4] = ["model", "input", "user", "metadata"];

/// Counts the elements of a list.
struct Count;

/// Reads a body.
///
/// # Errors
/// Everything wrong with it, as far as no model need be known.
pub(crate) fn parse(body: &[u8]) -> Result<Request, Refusal> {
    let text = read_text(body)?;
    let [model, input, user, metadata] = Pick(NAMES)
        .read(text)
        .map_err(|error| not_json(text, &error))?;
    let mut reader = Reader::default();
    let request = Request {
        model: reader.model(model),
        answer: Wanted::Whole,
        max_output: Some(0),
        choices: 1,
        inputs: reader.inputs(input),
        text_bytes: body.len(),
        media: Media::default(),
        thoughts: None,
        tags: reader.tags(user, metadata),
        routing: Routing::default(),
        spans: Spans {
            model: model.map_or(0..0, |raw| span(text, raw.get())),
            metadata: metadata.map(|raw| span(text, raw.get())),
            ..Spans::default()
        },
    };
    reader.done(request)
}

// === impl Reader ===

impl Reader {
    /// How many texts there are: one, a list of them, the tokens of one, or a list of those.
    fn inputs(&mut self, raw: Option<&RawValue>) -> u64 {
        let Some(raw) = given(raw) else {
            self.0.push(Problem::missing("input"));
            return 0;
        };
        let count = inputs(raw.get());
        if count.is_none() {
            let allowed = "be a text, a list of texts, a list of tokens, or a list of such lists; none of them empty";
            self.0.push(Problem::invalid("input", allowed));
        }
        count.unwrap_or(0)
    }
}

fn inputs(json: &str) -> Option<u64> {
    let first = json.strip_prefix('[').map(str::trim_start);
    match (first.and_then(|rest| rest.chars().next()), json) {
        (None, text) => (text.starts_with('"') && text != "\"\"").then_some(1),
        (Some(']'), _) => None,
        // The tokens of one text.
        (Some('0'..='9'), _) => Some(1),
        (Some('"' | '['), _) => {
            let mut reader = serde_json::Deserializer::from_str(json);
            reader.deserialize_seq(Count).ok()
        }
        (Some(_), _) => None,
    }
}

// === impl Count ===

impl<'de> Visitor<'de> for Count {
    type Value = u64;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<u64, A::Error> {
        let mut count: u64 = 0;
        while list.next_element::<IgnoredAny>()?.is_some() {
            count = count.saturating_add(1);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_counted_however_they_are_written() {
        for (json, expected) in [
            (r#""a text""#, Some(1)),
            (r#"["a","b"]"#, Some(2)),
            ("[1, 2, 3]", Some(1)),
            ("[ [1,2], [3] ]", Some(2)),
            (r#""""#, None),
            ("[]", None),
            ("[ ]", None),
            ("7", None),
            ("{}", None),
            ("[{}]", None),
            ("[null]", None),
        ] {
            assert_eq!(inputs(json), expected, "{json}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_at_once() {
        let problems = |body: &str| match parse(body.as_bytes()) {
            Err(Refusal::Problems(problems)) => {
                problems.into_iter().map(|problem| problem.param).collect()
            }
            other => panic!("{other:?}"),
        };
        let found: Vec<String> = problems(r#"{"input":[],"metadata":7}"#);
        assert_eq!(found, ["model", "input", "metadata"]);
        let found: Vec<String> = problems(r#"{"model":"m"}"#);
        assert_eq!(found, ["input"]);
        assert!(matches!(parse(b"[]"), Err(Refusal::NotJson(_))));
    }
}
