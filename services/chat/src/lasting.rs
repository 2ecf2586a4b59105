//! Which answers may be given again to equal requests: those that ended as their model meant to, or at a limit of the request's own. Not
//! those that were refused, blocked or shortened for want of credit, and none that is not understood. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};

use crate::surface::Surface;

/// The words of `finish_reason` that end a good answer.
const GOOD: [&str; 4] = ["stop", "length", "tool_calls", "function_call"];

/// An answer, or an event of one.
#[derive(Deserialize)]
struct Piece {
    #[serde(default)]
    choices: Option<Vec<Choice>>,
    /// Embeddings.
    #[serde(default)]
    data: Option<Vec<IgnoredAny>>,
    /// Our own word for an end for want of credit.
    #[serde(default)]
    finish_code: Option<IgnoredAny>,
    #[serde(default)]
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u64,
    #[serde(default)]
    finish_reason: Option<String>,
    #[serde(default)]
    message: Option<Said>,
    #[serde(default)]
    delta: Option<Said>,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    refusal: Option<String>,
}

/// Whether an answer may be given again, by all of its pieces.
pub(crate) fn lasts<'a>(surface: Surface, pieces: impl Iterator<Item = &'a Bytes>) -> bool {
    // Each choice, and whether it has ended.
    let mut choices: BTreeMap<u64, bool> = BTreeMap::new();
    let mut embeddings = 0_usize;
    for json in pieces {
        let Ok(piece) = serde_json::from_slice::<Piece>(json) else {
            return false;
        };
        if piece.error.is_some() || piece.finish_code.is_some() {
            return false;
        }
        embeddings = embeddings.max(piece.data.map_or(0, |data| data.len()));
        for choice in piece.choices.unwrap_or_default() {
            if choice.is_bad() {
                return false;
            }
            *choices.entry(choice.index).or_default() |= choice.finish_reason.is_some();
        }
    }
    match surface {
        Surface::Chat | Surface::Messages | Surface::Responses => {
            !choices.is_empty() && choices.values().all(|ended| *ended)
        }
        Surface::Embeddings => embeddings > 0,
    }
}

// === impl Choice ===

impl Choice {
    /// Whether it ended otherwise than well, or holds a refusal.
    fn is_bad(&self) -> bool {
        let said = self.message.iter().chain(&self.delta);
        let mut refusals = said.filter_map(|said| said.refusal.as_deref());
        let finish = self.finish_reason.as_deref();
        finish.is_some_and(|word| !GOOD.contains(&word)) || refusals.any(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(surface: Surface, pieces: &[&'static str]) -> bool {
        let pieces: Vec<Bytes> = pieces
            .iter()
            .map(|piece| Bytes::from_static(piece.as_bytes()))
            .collect();
        lasts(surface, pieces.iter())
    }

    #[test]
    fn whole_answers_last_if_every_choice_ended_well() {
        for (json, expected) in [
            (
                r#"{"choices":[{"finish_reason":"stop","message":{"content":"x","refusal":null}}]}"#,
                true,
            ),
            (
                r#"{"choices":[{"finish_reason":"length"}],"usage":{}}"#,
                true,
            ),
            (
                r#"{"choices":[{"index":0,"finish_reason":"tool_calls"},{"index":1,"finish_reason":"function_call"}]}"#,
                true,
            ),
            (
                r#"{"choices":[{"finish_reason":"stop","message":{"refusal":""}}]}"#,
                true,
            ),
            (
                r#"{"choices":[{"finish_reason":"stop"}],"error":null,"finish_code":null}"#,
                true,
            ),
            // Blocked, whichever of them; refused; a word that is not known.
            (
                r#"{"choices":[{"index":0,"finish_reason":"content_filter"},{"index":1,"finish_reason":"stop"}]}"#,
                false,
            ),
            (
                r#"{"choices":[{"index":0,"finish_reason":"stop"},{"index":1,"finish_reason":"content_filter"}]}"#,
                false,
            ),
            (
                r#"{"choices":[{"finish_reason":"stop","message":{"refusal":"I will not"}}]}"#,
                false,
            ),
            (r#"{"choices":[{"finish_reason":"malfunction"}]}"#, false),
            // For want of credit.
            (
                r#"{"choices":[{"finish_reason":"length"}],"finish_code":"credit_limit_reached"}"#,
                false,
            ),
            // Not to its end, or no answer at all.
            (
                r#"{"choices":[{"index":0,"finish_reason":"stop"},{"index":1,"finish_reason":null}]}"#,
                false,
            ),
            (r#"{"choices":[{"message":{"content":"x"}}]}"#, false),
            (r#"{"choices":[],"usage":{}}"#, false),
            (
                r#"{"choices":[{"finish_reason":"stop"}],"error":{"code":1}}"#,
                false,
            ),
            (r#"{"choices":[{"finish_reason":7}]}"#, false),
            (r#"{"choices":null}"#, false),
            ("[]", false),
            ("", false),
        ] {
            assert_eq!(all(Surface::Chat, &[json]), expected, "{json}");
        }
        assert!(!all(Surface::Chat, &[]));
    }

    #[test]
    fn streams_last_if_every_choice_ended_well() {
        let text = r#"{"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}"#;
        let other = r#"{"choices":[{"index":1,"delta":{"content":"x"}}]}"#;
        let end = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
        let other_end =
            r#"{"choices":[{"index":1,"delta":{},"finish_reason":"tool_calls"}],"usage":{}}"#;
        let blocked = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"content_filter"}]}"#;
        let refused = r#"{"choices":[{"index":0,"delta":{"refusal":"no"},"finish_reason":null}]}"#;
        let usage = r#"{"choices":[],"usage":{"prompt_tokens":1}}"#;
        for (pieces, expected) in [
            (&[text, end][..], true),
            (&[text, end, usage], true),
            (&[text, other, end, other_end], true),
            (&[text, usage], false),
            (&[text, other, end], false),
            (&[text, blocked, usage], false),
            (&[refused, end], false),
            (&[text, end, "broken"], false),
            (&[usage], false),
        ] {
            assert_eq!(all(Surface::Messages, pieces), expected, "{pieces:?}");
        }
    }

    #[test]
    fn embeddings_last_if_there_are_any() {
        for (json, expected) in [
            (
                r#"{"object":"list","data":[{"index":0,"embedding":[0.5]}]}"#,
                true,
            ),
            (r#"{"object":"list","data":[]}"#, false),
            (r#"{"choices":[{"finish_reason":"stop"}]}"#, false),
        ] {
            assert_eq!(all(Surface::Embeddings, &[json]), expected, "{json}");
        }
    }
}
