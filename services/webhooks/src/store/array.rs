//! Lists as PostgreSQL reads them: a whole column of many rows as one text. sqlx's common driver binds no arrays.

use std::fmt::Write as _;

/// A list of bytes.
pub(super) fn bytes<'b>(items: impl Iterator<Item = &'b [u8]>) -> String {
    array(items, |text, item| {
        // Writing to a text does not fail.
        let _ = write!(text, r#""\\x"#);
        for byte in item {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('"');
    })
}

/// A list of numbers.
pub(super) fn numbers(items: impl Iterator<Item = Option<i64>>) -> String {
    array(items, |text, item| {
        let _ = match item {
            Some(number) => write!(text, "{number}"),
            None => write!(text, "null"),
        };
    })
}

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
    fn arrays_are_written_as_the_server_reads_them() {
        let some: [&[u8]; 2] = [&[0xab, 1], &[]];
        assert_eq!(bytes(some.into_iter()), r#"{"\\xab01","\\x"}"#);
        assert_eq!(numbers([Some(-1), None].into_iter()), "{-1,null}");
        assert_eq!(numbers(std::iter::empty()), "{}");
    }
}
