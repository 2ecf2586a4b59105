//! Durations in configuration: `1500ms`, `5s`, `2m`, `1h`, `14d`. For serde's `with`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error};

/// The units, and how many milliseconds each holds.
const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// Reads a duration.
///
/// # Errors
/// When the text is not a whole number and a unit.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| {
        D::Error::custom(format!(
            "{text:?} is not a duration: write 1500ms, 5s, 2m, 1h or 14d"
        ))
    })
}

/// Reads a duration; `None` when the text is not a whole number and a unit.
pub fn parse(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..)?;
    let (_, millis) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
    digits
        .parse::<u64>()
        .ok()?
        .checked_mul(millis)
        .map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, millis) in [
            ("1500ms", Some(1500)),
            ("5s", Some(5000)),
            ("2m", Some(120_000)),
            ("14d", Some(1_209_600_000)),
            ("5", None),
            ("s", None),
            ("", None),
            ("-1s", None),
            ("1.5s", None),
            ("1w", None),
        ] {
            assert_eq!(parse(text), millis.map(Duration::from_millis), "{text}");
        }
    }
}
