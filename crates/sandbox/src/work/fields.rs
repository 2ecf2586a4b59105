//! What a request may hold, as a table: a simulator that takes whatever it is sent would not show a translation that is wrong. Pure.

use serde_json::{Map, Value};

/// What a field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Is {
    /// A text of 1 to so many characters.
    Text(usize),
    /// A text that may be empty.
    Words(usize),
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A whole number within bounds.
    Whole(i64, i64),
    /// A number within bounds, which are hundredths.
    Number(i64, i64),
    Switch,
    /// So many texts at most, and at least one.
    Texts(usize),
    Object,
    List,
}

/// A field: its name, and what it is.
pub(crate) type Field = (&'static str, Is);

/// Refuses what is missing, wrong, or not known, the first of it, in words for its sender.
pub(crate) fn check(
    sent: &Map<String, Value>,
    needs: &[&str],
    fields: &[Field],
) -> Result<(), String> {
    let is_there = |name: &&str| sent.get(*name).is_some_and(|value| !value.is_null());
    if let Some(name) = needs.iter().find(|name| !is_there(name)) {
        return Err(format!("{name} is required"));
    }
    for (name, value) in sent.iter().filter(|(_, value)| !value.is_null()) {
        let field = fields.iter().find(|(known, _)| known == name);
        let (_, is) = field.ok_or_else(|| format!("{name} is not known"))?;
        if !is.has(value) {
            return Err(format!("{name} is wrong"));
        }
    }
    Ok(())
}

/// A number in hundredths, the rest of it cut off. Read as text: the house has no floats outside the wire.
pub(crate) fn hundredths(value: &Value) -> Option<i64> {
    let text = value.as_number()?.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let fraction: String = fraction.chars().chain("00".chars()).take(2).collect();
    format!("{whole}{fraction}").parse().ok()
}

// === impl Is ===

impl Is {
    fn has(self, value: &Value) -> bool {
        let length = value.as_str().map(|text| text.chars().count());
        match self {
            Self::Text(most) => length.is_some_and(|length| (1..=most).contains(&length)),
            Self::Words(most) => length.is_some_and(|length| length <= most),
            Self::OneOf(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Self::Whole(least, most) => value
                .as_i64()
                .is_some_and(|number| (least..=most).contains(&number)),
            Self::Number(least, most) => {
                hundredths(value).is_some_and(|number| (least..=most).contains(&number))
            }
            Self::Switch => value.is_boolean(),
            Self::Texts(most) => value.as_array().is_some_and(|texts| {
                (1..=most).contains(&texts.len()) && texts.iter().all(Value::is_string)
            }),
            Self::Object => value.is_object(),
            Self::List => value.is_array(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FIELDS: [Field; 9] = [
        ("text", Is::Text(3)),
        ("words", Is::Words(3)),
        ("one", Is::OneOf(&["a", "b"])),
        ("whole", Is::Whole(1, 9)),
        ("number", Is::Number(25, 400)),
        ("switch", Is::Switch),
        ("texts", Is::Texts(2)),
        ("object", Is::Object),
        ("list", Is::List),
    ];

    #[test]
    fn what_is_wrong_is_named() {
        for (sent, told) in [
            (json!({}), Some("text is required")),
            (json!({ "text": null }), Some("text is required")),
            (json!({ "text": "" }), Some("text is wrong")),
            (json!({ "text": "éééé" }), Some("text is wrong")),
            (json!({ "text": "a", "words": "" }), None),
            (json!({ "text": "a", "one": "c" }), Some("one is wrong")),
            (json!({ "text": "a", "whole": 10 }), Some("whole is wrong")),
            (json!({ "text": "a", "whole": "5" }), Some("whole is wrong")),
            (
                json!({ "text": "a", "number": 0.249 }),
                Some("number is wrong"),
            ),
            (json!({ "text": "a", "number": 4 }), None),
            (
                json!({ "text": "a", "number": "1" }),
                Some("number is wrong"),
            ),
            (json!({ "text": "a", "switch": 1 }), Some("switch is wrong")),
            (json!({ "text": "a", "texts": [] }), Some("texts is wrong")),
            (
                json!({ "text": "a", "texts": ["a", 1] }),
                Some("texts is wrong"),
            ),
            (
                json!({ "text": "a", "object": [] }),
                Some("object is wrong"),
            ),
            (json!({ "text": "a", "list": {} }), Some("list is wrong")),
            (
                json!({ "text": "a", "other": 1 }),
                Some("other is not known"),
            ),
            (
                json!({ "text": "a", "one": "a", "whole": 9, "switch": true, "texts": ["a"], "object": {}, "list": [], "other": null }),
                None,
            ),
        ] {
            let wrong = check(sent.as_object().unwrap(), &["text"], &FIELDS);
            assert_eq!(wrong.err().as_deref(), told, "{sent}");
        }
    }
}
