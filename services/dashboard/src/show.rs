//! How amounts, counts and moments are written on every page behind the door.

use std::fmt;

use chassis::clock;
use domain::Micros;

/// Credits with their digits in groups: `12,345.678`.
pub(crate) fn credits(micros: i64) -> String {
    let text = Micros::new(micros).to_string();
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let (sign, digits) = match whole.strip_prefix('-') {
        Some(digits) => ("−", digits),
        None => ("", whole),
    };
    format!("{sign}{}{rest}", grouped(digits))
}

/// The same as a large figure, for `{{ text|safe }}`: what is below one credit stands smaller.
pub(crate) fn figure(micros: i64) -> String {
    let text = credits(micros);
    match text.split_once('.') {
        Some((whole, rest)) => format!("{whole}<small>.{rest}</small>"),
        None => text,
    }
}

/// A count with its digits in groups.
pub(crate) fn count(count: impl fmt::Display) -> String {
    grouped(&count.to_string())
}

/// A moment: for programs, and for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Time {
    /// RFC 3339.
    pub(crate) iso: String,
    /// `2026-11-30 02:14`, UTC.
    pub(crate) text: String,
}

/// Links to the page before and the page behind; a template includes `app/pager.html` with it as `pager`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pager {
    /// Back to the first page; `None`: this is it.
    pub(crate) first: Option<String>,
    /// What is older; `None`: nothing is.
    pub(crate) older: Option<String>,
}

// === impl Time ===

impl Time {
    /// Of microseconds UTC.
    pub(crate) fn of(micros: i64) -> Self {
        let iso = clock::rfc3339(micros);
        let text = iso.get(..16).unwrap_or(&iso).replace('T', " ");
        Self { iso, text }
    }
}

/// `<time>` as HTML, for `{{ time|safe }}`: nothing of it comes from outside.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<time datetime=\"{}\">{}</time>", self.iso, self.text)
    }
}

fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_stand_in_groups() {
        for (micros, text) in [
            (0, "0"),
            (1_500_000, "1.5"),
            (-1_234_567_000_000, "−1,234,567"),
            (999_000_001, "999.000001"),
        ] {
            assert_eq!(credits(micros), text);
        }
        assert_eq!(count(1_000), "1,000");
        assert_eq!(figure(-1_500_000), "−1<small>.5</small>");
        assert_eq!(figure(2_000_000), "2");
    }

    #[test]
    fn moments_are_for_programs_and_people() {
        let time = Time::of(1_780_000_000_000_000);
        assert_eq!(time.text, "2026-05-28 20:26");
        assert!(time.iso.starts_with("2026-05-28T20:26:40"));
    }
}
