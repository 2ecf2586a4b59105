//! What a provider reports as used, made disjoint and sane. Pure.
//!
//! OpenAI counts reasoning inside `completion_tokens`; Google's compatible endpoint may leave it out there and have it in
//! `total_tokens` only. So output is `completion_tokens` plus whatever `total_tokens` has beyond prompt and completion.

use domain::Usage;
use serde::Deserialize;
use serde_json::Number;

/// More tokens of a class than any answer has: what is reported beyond is counted as these, so that its price fits.
const MOST: u64 = 1_000_000_000;

/// The usage of an event or an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Reported {
    /// None, or `null`.
    Nothing,
    /// A usage that cannot be: not whole numbers, or below zero, or without the two that matter.
    Nonsense,
    /// A usage that can be, whether it is true or not.
    Usage(Usage),
}

#[derive(Deserialize)]
struct Event {
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
struct WireUsage {
    prompt_tokens: Option<Number>,
    completion_tokens: Option<Number>,
    total_tokens: Option<Number>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<Number>,
    audio_tokens: Option<Number>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<Number>,
    audio_tokens: Option<Number>,
}

/// Reads the top-level `usage` of an event or an answer.
pub(crate) fn read(json: &[u8]) -> Reported {
    match serde_json::from_slice::<Event>(json) {
        Ok(Event { usage: None }) => Reported::Nothing,
        Ok(Event { usage: Some(usage) }) => {
            usage.classes().map_or(Reported::Nonsense, Reported::Usage)
        }
        Err(_) => Reported::Nonsense,
    }
}

// === impl WireUsage ===

impl WireUsage {
    /// The disjoint classes; `None` when a number cannot be a count of tokens. Where a provider counts a token twice, it is taken for
    /// the cheaper: cached before sound, reasoning before sound.
    fn classes(&self) -> Option<Usage> {
        let prompt = self.prompt_tokens.as_ref()?.as_u64()?;
        let completion = count(self.completion_tokens.as_ref())?;
        let total = count(self.total_tokens.as_ref())?;
        let details = self.prompt_tokens_details.as_ref();
        let cached = count(details.and_then(|details| details.cached_tokens.as_ref()))?;
        let heard = count(details.and_then(|details| details.audio_tokens.as_ref()))?;
        let cached = cached.min(prompt);
        let audio_input = heard.min(prompt.saturating_sub(cached));
        let details = self.completion_tokens_details.as_ref();
        let reasoning = count(details.and_then(|details| details.reasoning_tokens.as_ref()))?;
        let spoken = count(details.and_then(|details| details.audio_tokens.as_ref()))?;
        let hidden = total.saturating_sub(prompt.checked_add(completion)?);
        let generated = completion.checked_add(hidden)?;
        let reasoning = reasoning.max(hidden).min(generated);
        let shown = generated.saturating_sub(reasoning);
        let audio_output = spoken.min(shown);
        Some(Usage {
            input: prompt
                .saturating_sub(cached)
                .saturating_sub(audio_input)
                .min(MOST),
            cached: cached.min(MOST),
            audio_input: audio_input.min(MOST),
            output: shown.saturating_sub(audio_output).min(MOST),
            reasoning: reasoning.min(MOST),
            audio_output: audio_output.min(MOST),
        })
    }
}

/// A count that may be left out; `None` when it cannot be one.
fn count(number: Option<&Number>) -> Option<u64> {
    number.map_or(Some(0), Number::as_u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(usage: &str) -> Reported {
        read(format!(r#"{{"choices":[],"usage":{usage}}}"#).as_bytes())
    }

    fn usage(input: u64, cached: u64, output: u64, reasoning: u64) -> Reported {
        Reported::Usage(Usage {
            input,
            cached,
            output,
            reasoning,
            ..Usage::default()
        })
    }

    #[test]
    fn sound_is_a_class_of_its_own() {
        let wire = r#"{"prompt_tokens":100,"completion_tokens":50,"prompt_tokens_details":{"cached_tokens":30,"audio_tokens":80},
            "completion_tokens_details":{"reasoning_tokens":10,"audio_tokens":25}}"#;
        let Reported::Usage(usage) = classes(wire) else {
            panic!("a usage");
        };
        let expected = Usage {
            input: 0,
            cached: 30,
            audio_input: 70,
            output: 15,
            reasoning: 10,
            audio_output: 25,
        };
        assert_eq!(usage, expected);
    }

    #[test]
    fn the_classes_are_disjoint() {
        for (wire, expected) in [
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}"#,
                usage(10, 0, 5, 0),
            ),
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},
                "completion_tokens_details":{"reasoning_tokens":3}}"#,
                usage(6, 4, 2, 3),
            ),
            // Google: reasoning only in the total.
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":45}"#,
                usage(10, 0, 5, 30),
            ),
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":45,"completion_tokens_details":{"reasoning_tokens":30}}"#,
                usage(10, 0, 5, 30),
            ),
            // Nothing generated: some servers leave the field out.
            (
                r#"{"prompt_tokens":10,"total_tokens":10}"#,
                usage(10, 0, 0, 0),
            ),
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":40}}"#,
                usage(0, 10, 5, 0),
            ),
            (
                r#"{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":null}"#,
                usage(10, 0, 5, 0),
            ),
        ] {
            assert_eq!(classes(wire), expected, "{wire}");
        }
    }

    #[test]
    fn what_cannot_be_is_not_believed() {
        for wire in [
            r#"{"prompt_tokens":-1,"completion_tokens":5}"#,
            r#"{"prompt_tokens":1.5,"completion_tokens":5}"#,
            r#"{"prompt_tokens":"7","completion_tokens":5}"#,
            r#"{"prompt_tokens":18446744073709551615,"completion_tokens":5}"#,
            r#"{"completion_tokens":5}"#,
            "7",
        ] {
            assert_eq!(classes(wire), Reported::Nonsense, "{wire}");
        }
        assert_eq!(classes("null"), Reported::Nothing);
        assert_eq!(read(b"{}"), Reported::Nothing);
    }
}
