//! A text that must not be seen.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};
use zeroize::Zeroizing;

/// A secret text: prints nothing, cannot be serialised, is wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

/// Reads a text. What is no text is refused without being shown.
struct Text;

// === impl Secret ===

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text)
    }
}

impl Visitor<'_> for Text {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret::new(text))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Secret, E> {
        Ok(Secret::new(text))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Secret, E> {
        Err(not_text())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
        Err(not_text())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
        Err(not_text())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Secret, E> {
        Err(not_text())
    }
}

/// Environment variables that look like a number are read as one, which would lose its leading zeros.
fn not_text<E: Error>() -> E {
    E::custom("a secret must be a text: put one that looks like a number in double quotes")
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_text_is_refused_unseen() {
        let read = |json: &str| serde_json::from_str::<Secret>(json);
        assert_eq!(read("\"a\"").unwrap().expose(), "a");
        for json in ["83726154", "-8372", "83.5", "true"] {
            let error = read(json).unwrap_err().to_string();
            assert!(error.starts_with("a secret must be a text"), "{error}");
            assert!(!error.contains(json), "{error}");
        }
    }
}
