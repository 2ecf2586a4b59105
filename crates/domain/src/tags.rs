//! Tags: a customer's own labels of a request, by which usage can be looked up. `user` and `metadata` are OpenAI's names for them, and
//! so are the limits of `metadata`. They are kept in the clear, and short enough for a receipt: at most 9 472 characters, none of them a
//! control character, so at most 38 KB as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Problem;

/// Characters of the longest `user`.
const USER_CHARS: usize = 256;
/// Pairs of `metadata`, characters of a name, and of a value (OpenAI's API reference, "metadata").
const PAIRS: usize = 16;
const NAME_CHARS: usize = 64;
const VALUE_CHARS: usize = 512;

/// A request's labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Tags {
    /// The customer's own customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Whatever else the customer sorts by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

/// One label: what usage is looked up by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag {
    /// `user`, or `metadata.` and a name.
    pub name: String,
    /// Its value.
    pub value: String,
}

// === impl Tags ===

impl Tags {
    /// Reads the two fields of a request; `null` is an absent field.
    ///
    /// # Errors
    /// Everything wrong with them.
    pub fn read(user: Option<Value>, metadata: Option<Value>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let tags = Self {
            user: read_user(user, &mut problems),
            metadata: read_metadata(metadata, &mut problems),
        };
        if problems.is_empty() {
            Ok(tags)
        } else {
            Err(problems)
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.user.is_none() && self.metadata.is_empty()
    }

    /// Every label.
    pub fn iter(&self) -> impl Iterator<Item = Tag> {
        let user = self.user.iter().map(|user| Tag::user(user.clone()));
        let pairs = self.metadata.iter();
        user.chain(pairs.map(|(name, value)| Tag::metadata(name, value.clone())))
    }
}

// === impl Tag ===

impl Tag {
    /// The customer's own customer.
    pub fn user(value: String) -> Self {
        Self {
            name: "user".to_owned(),
            value,
        }
    }

    /// A pair of `metadata`.
    pub fn metadata(name: &str, value: String) -> Self {
        Self {
            name: format!("metadata.{name}"),
            value,
        }
    }
}

fn read_user(user: Option<Value>, problems: &mut Vec<Problem>) -> Option<String> {
    match user {
        None | Some(Value::Null) => None,
        Some(Value::String(user)) if is_text(&user, 1, USER_CHARS) => Some(user),
        Some(_) => {
            let allowed = format!("be a text of 1 to {USER_CHARS} characters in one line");
            problems.push(Problem::invalid("user", allowed));
            None
        }
    }
}

/// Whether a label can be that: so many characters, without control characters.
fn is_text(text: &str, least: usize, most: usize) -> bool {
    (least..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

fn read_metadata(metadata: Option<Value>, problems: &mut Vec<Problem>) -> BTreeMap<String, String> {
    let pairs = match metadata {
        None | Some(Value::Null) => return BTreeMap::new(),
        Some(Value::Object(pairs)) if pairs.len() <= PAIRS => pairs,
        Some(_) => {
            let allowed = format!("be an object of at most {PAIRS} pairs");
            problems.push(Problem::invalid("metadata", allowed));
            return BTreeMap::new();
        }
    };
    let mut read = BTreeMap::new();
    for (name, value) in pairs {
        if !is_text(&name, 1, NAME_CHARS) {
            let allowed = format!("have names of 1 to {NAME_CHARS} characters in one line");
            problems.push(Problem::invalid("metadata", allowed));
            continue;
        }
        let text = value.as_str();
        let fits = text.filter(|text| is_text(text, 0, VALUE_CHARS));
        if let Some(value) = fits {
            read.insert(name, value.to_owned());
        } else {
            let allowed = format!("be a text of at most {VALUE_CHARS} characters in one line");
            problems.push(Problem::invalid(format!("metadata.{name}"), allowed));
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What a body's fields come to: every label, or everything wrong.
    fn read(body: &Value) -> Result<Vec<(String, String)>, Vec<String>> {
        match Tags::read(body.get("user").cloned(), body.get("metadata").cloned()) {
            Ok(tags) => Ok(tags.iter().map(|tag| (tag.name, tag.value)).collect()),
            Err(problems) => Err(problems.into_iter().map(|wrong| wrong.message).collect()),
        }
    }

    #[test]
    fn labels_are_read() {
        let none: [(&str, &str); 0] = [];
        for (body, expected) in [
            (json!({}), none.as_slice()),
            (json!({"user": null, "metadata": null}), none.as_slice()),
            (json!({"user": "u-1"}), &[("user", "u-1")]),
            (
                json!({"metadata": {"team": "red", "a": ""}, "user": "u"}),
                &[("user", "u"), ("metadata.a", ""), ("metadata.team", "red")],
            ),
        ] {
            let expected: Vec<_> = expected
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            assert_eq!(read(&body), Ok(expected), "{body}");
        }
    }

    #[test]
    fn everything_wrong_with_labels_is_said() {
        let long = "x".repeat(513);
        let many: serde_json::Map<_, _> = (0..17).map(|n| (n.to_string(), json!("x"))).collect();
        for (body, expected) in [
            (
                json!({"user": 7}),
                "user must be a text of 1 to 256 characters in one line",
            ),
            (
                json!({"user": ""}),
                "user must be a text of 1 to 256 characters in one line",
            ),
            (
                json!({"metadata": "x"}),
                "metadata must be an object of at most 16 pairs",
            ),
            (
                json!({"metadata": many}),
                "metadata must be an object of at most 16 pairs",
            ),
            (
                json!({"metadata": {"": "x"}}),
                "metadata must have names of 1 to 64 characters in one line",
            ),
            (
                json!({"metadata": {"n": 1, "team": long}, "user": []}),
                "user must be a text of 1 to 256 characters in one line\n\
                 metadata.n must be a text of at most 512 characters in one line\n\
                 metadata.team must be a text of at most 512 characters in one line",
            ),
        ] {
            assert_eq!(read(&body).unwrap_err().join("\n"), expected, "{body}");
        }
    }

    #[test]
    fn the_largest_labels_fit_into_a_receipt() {
        // Four bytes each, as no other character needs more as JSON.
        let text = |count: usize| "\u{1F98A}".repeat(count);
        let name = |n: usize| format!("{n:02}{}", text(62));
        let pairs: BTreeMap<_, _> = (0..16).map(|n| (name(n), text(512))).collect();
        let tags = Tags::read(Some(json!(text(256))), Some(json!(pairs))).unwrap();
        assert!(serde_json::to_vec(&tags).unwrap().len() < 38_000);
        for control in ["a\nb", "a\0b"] {
            assert!(Tags::read(Some(json!(control)), None).is_err());
            assert!(Tags::read(None, Some(json!({"a": control}))).is_err());
            assert!(Tags::read(None, Some(json!({control: "a"}))).is_err());
        }
    }
}
