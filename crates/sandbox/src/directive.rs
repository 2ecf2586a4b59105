//! `[sandbox k=v …]`: how a text tells the sandbox what shall happen to it. Pure: text in, directive out.
//!
//! The keys are `outcome`, `delay`, `tokens`, `chunk_delay`, `after` and `then`. A word that is not understood changes nothing and is
//! reported back, so that a developer sees the typing error. Several directives in one text add up; the last word wins.

use std::time::Duration;

/// What shall happen to a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directive {
    /// How it shall end.
    pub outcome: Outcome,
    /// How long the work takes; `None` for the default of its kind.
    pub delay: Option<Duration>,
    /// How many tokens a chat answer has; `None` for as many as the answer needs.
    pub tokens: Option<u32>,
    /// The pause between two pieces of a streamed answer; `None` for the default.
    pub chunk_delay: Option<Duration>,
    /// How many events of a stream come before it is cut, or before it hangs; `None` for half of them, and for none.
    pub after: Option<u32>,
    /// How what goes on from a song shall end, unless it says so itself.
    pub then: Outcome,
    /// The words that were not understood, shortened, at most [`MAX_MISREAD`] of them.
    pub misread: Vec<String>,
}

/// How a request ends. A wire type: the words are published in `docs/api.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outcome {
    /// As it should.
    #[default]
    Success,
    /// The provider breaks: an internal error, or a failed job.
    Fail,
    /// The content policy refuses.
    Moderated,
    /// Refused at once: too many requests.
    RateLimited,
    /// Refused at once: no capacity.
    Overloaded,
    /// Refused at once: the account at the provider is empty.
    OutOfBalance,
    /// Accepted, and never finished.
    Hang,
    /// An answer that is not JSON.
    Malformed,
    /// Accepted, and lost: the connection drops without an answer, or the job is no longer known.
    Vanish,
    /// Success, reported twice by a provider that calls back.
    DuplicateCallback,
    /// Success, reported long after it by a provider that calls back.
    LateCallback,
    /// Success, with more usage than the request allows.
    Overreport,
    /// The connection drops in the middle of the result.
    Cut,
}

/// The largest values a directive may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The longest `delay` and `chunk_delay`.
    pub max_delay: Duration,
    /// The most `tokens`.
    pub max_tokens: u32,
}

/// How many misread words are reported.
pub const MAX_MISREAD: usize = 8;

/// The longest report of one misread word, in characters.
const MAX_WORD_CHARS: usize = 60;

const OPENING: &str = "[sandbox";

/// Reads every directive in `text`. Without any, the outcome is success.
#[must_use]
pub fn parse(text: &str, bounds: &Bounds) -> Directive {
    let mut directive = Directive::default();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(OPENING) {
        rest = after;
        // `[sandboxes]` is somebody's own word.
        if !after.starts_with(|c: char| c == ']' || c.is_whitespace()) {
            continue;
        }
        let Some((words, after)) = after.split_once(']') else {
            directive.misread(&format!("{OPENING} without ]"));
            break;
        };
        for word in words.split_whitespace() {
            if directive.apply(word, bounds).is_none() {
                directive.misread(word);
            }
        }
        rest = after;
    }
    directive
}

/// A text without its directives: nobody says them aloud.
pub(crate) fn without(text: &str) -> String {
    let (mut said, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once(OPENING) {
        said.push_str(before);
        let is_one = after.starts_with(|c: char| c == ']' || c.is_whitespace());
        let behind = after.split_once(']').filter(|_| is_one);
        rest = match behind {
            Some((_, behind)) => behind,
            None => {
                said.push_str(OPENING);
                after
            }
        };
    }
    said.push_str(rest);
    said.trim().to_owned()
}

// === impl Directive ===

impl Directive {
    /// Takes one `k=v`, or `None` when it is not understood.
    fn apply(&mut self, word: &str, bounds: &Bounds) -> Option<()> {
        let (key, value) = word.split_once('=')?;
        match key {
            "outcome" => self.outcome = Outcome::parse(value)?,
            "delay" => self.delay = Some(duration(value, bounds)?),
            "chunk_delay" => self.chunk_delay = Some(duration(value, bounds)?),
            "tokens" => {
                let tokens = value.parse().ok()?;
                self.tokens = Some((tokens <= bounds.max_tokens).then_some(tokens)?);
            }
            "after" => self.after = Some(value.parse().ok()?),
            "then" => self.then = Outcome::parse(value)?,
            _ => return None,
        }
        Some(())
    }

    fn misread(&mut self, word: &str) {
        if self.misread.len() < MAX_MISREAD {
            self.misread
                .push(word.chars().take(MAX_WORD_CHARS).collect());
        }
    }
}

// === impl Outcome ===

impl Outcome {
    /// All outcomes with their words. The position is the outcome's number inside a job's id: append only.
    pub const ALL: [(Self, &'static str); 13] = [
        (Self::Success, "success"),
        (Self::Fail, "fail"),
        (Self::Moderated, "moderated"),
        (Self::RateLimited, "rate_limited"),
        (Self::Overloaded, "overloaded"),
        (Self::OutOfBalance, "out_of_balance"),
        (Self::Hang, "hang"),
        (Self::Malformed, "malformed"),
        (Self::Vanish, "vanish"),
        (Self::DuplicateCallback, "duplicate_callback"),
        (Self::LateCallback, "late_callback"),
        (Self::Overreport, "overreport"),
        (Self::Cut, "cut"),
    ];

    /// The published word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        let row = Self::ALL.iter().find(|(outcome, _)| *outcome == self);
        row.map_or("success", |(_, word)| word)
    }

    /// Its number inside a job's id.
    pub(crate) fn number(self) -> u8 {
        let position = Self::ALL.iter().position(|row| row.0 == self);
        position.and_then(|n| u8::try_from(n).ok()).unwrap_or(0)
    }

    pub(crate) fn numbered(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).map(|row| row.0)
    }

    fn parse(word: &str) -> Option<Self> {
        let row = Self::ALL.iter().find(|(_, known)| *known == word);
        row.map(|(outcome, _)| *outcome)
    }
}

/// `1500ms`, `2s`, `1m`, within the bound.
fn duration(text: &str, bounds: &Bounds) -> Option<Duration> {
    let duration = chassis::config::duration::parse(text)?;
    (duration <= bounds.max_delay).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        max_delay: Duration::from_secs(60),
        max_tokens: 1_000,
    };

    fn check(text: &str) -> Directive {
        parse(text, &BOUNDS)
    }

    #[test]
    fn a_text_without_a_directive_succeeds() {
        for text in [
            "",
            "a cat",
            "sandbox outcome=fail",
            "[sandboxes outcome=fail]",
            "[sandbox]",
        ] {
            assert_eq!(check(text), Directive::default(), "{text}");
        }
    }

    #[test]
    fn directives_are_not_said_aloud() {
        for (text, said) in [
            ("a fox [sandbox outcome=fail delay=1s]", "a fox"),
            ("[sandbox]a [sandboxes] b[sandbox x] c", "a [sandboxes] b c"),
            ("[sandbox]", ""),
            ("a [sandbox b", "a [sandbox b"),
            ("plain", "plain"),
        ] {
            assert_eq!(without(text), said, "{text}");
        }
    }

    #[test]
    fn every_outcome_has_its_word() {
        for (outcome, word) in Outcome::ALL {
            let directive = check(&format!("a cat [sandbox outcome={word}] on a mat"));
            assert_eq!((directive.outcome, outcome.as_str()), (outcome, word));
            assert!(directive.misread.is_empty());
        }
    }

    #[test]
    fn all_keys_together() {
        let directive = check(
            "x [sandbox outcome=cut  delay=1500ms\ttokens=200 chunk_delay=20ms after=3 then=fail]",
        );
        let expected = Directive {
            outcome: Outcome::Cut,
            delay: Some(Duration::from_millis(1_500)),
            tokens: Some(200),
            chunk_delay: Some(Duration::from_millis(20)),
            after: Some(3),
            then: Outcome::Fail,
            misread: Vec::new(),
        };
        assert_eq!(directive, expected);
    }

    #[test]
    fn directives_add_up_and_the_last_word_wins() {
        let directive = check("[sandbox outcome=fail delay=2s] and [sandbox outcome=hang]");
        assert_eq!(directive.outcome, Outcome::Hang);
        assert_eq!(directive.delay, Some(Duration::from_secs(2)));
    }

    #[test]
    fn what_is_not_understood_is_reported_and_changes_nothing() {
        let words = [
            "outcome=fial",
            "outcome=Fail",
            "outcome=",
            "delay=soon",
            "delay=61s",
            "delay=5",
            "tokens=1001",
            "tokens=-1",
            "chunk_delay=",
            "after=some",
            "then=soon",
            "colour=red",
            "fail",
        ];
        for word in words {
            let directive = check(&format!("[sandbox {word}]"));
            assert_eq!(directive.misread, [word]);
            let silent = Directive {
                misread: Vec::new(),
                ..directive
            };
            assert_eq!(silent, Directive::default(), "{word}");
        }
        assert_eq!(check("[sandbox outcome=fail").misread.len(), 1);
        assert_eq!(check("[sandbox outcome=fail").outcome, Outcome::Success);
    }

    #[test]
    fn the_report_is_bounded() {
        let long = format!("[sandbox {} {}]", "x".repeat(10_000), "y ".repeat(100));
        let misread = check(&long).misread;
        assert_eq!(misread.len(), MAX_MISREAD);
        assert!(misread.iter().all(|word| word.len() <= MAX_WORD_CHARS));
    }
}
