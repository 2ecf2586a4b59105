//! Lists as PostgreSQL reads them: a whole column of many rows as one text. sqlx's common driver binds no arrays.

use std::fmt::{Display, Write as _};

use crate::store::row::Hex;

/// A list of ids.
pub(super) fn ids(items: impl Iterator<Item = Hex>) -> String {
    optional_ids(items.map(Some))
}

pub(super) fn optional_ids(items: impl Iterator<Item = Option<Hex>>) -> String {
    array(items, |text, id| {
        // Writing to a text does not fail.
        let _ = match id {
            Some(id) => write!(text, r#""\\x{id}""#),
            None => write!(text, "null"),
        };
    })
}

/// A list of numbers, or of words of ours, which hold nothing that must be quoted.
pub(super) fn list(items: impl Iterator<Item = impl Display>) -> String {
    optional(items.map(Some))
}

pub(super) fn optional(items: impl Iterator<Item = Option<impl Display>>) -> String {
    array(items, |text, item| {
        let _ = match item {
            Some(item) => write!(text, "{item}"),
            None => write!(text, "null"),
        };
    })
}

/// A list of texts that may hold anything.
pub(super) fn texts<'a>(items: impl Iterator<Item = &'a str>) -> String {
    array(items, |text, item| {
        text.push('"');
        for character in item.chars() {
            if matches!(character, '"' | '\\') {
                text.push('\\');
            }
            text.push(character);
        }
        text.push('"');
    })
}

/// The text that PostgreSQL reads an array from.
fn array<T>(items: impl Iterator<Item = T>, write: impl Fn(&mut String, T)) -> String {
    let mut text = String::from("{");
    for (place, item) in items.enumerate() {
        if place > 0 {
            text.push(',');
        }
        write(&mut text, item);
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_quoted_as_the_server_reads_them() {
        assert_eq!(list([1, -2].into_iter()), "{1,-2}");
        assert_eq!(list(std::iter::empty::<i64>()), "{}");
        assert_eq!(optional([Some("a"), None].into_iter()), "{a,null}");
        assert_eq!(
            texts(["null", "", r#"{"a":"\"#].into_iter()),
            r#"{"null","","{\"a\":\"\\"}"#
        );
        let id = Hex([0xab; 16]);
        let text = format!(r#"{{"\\x{}",null}}"#, "ab".repeat(16));
        assert_eq!(optional_ids([Some(id), None].into_iter()), text);
    }
}
