//! Durations in configuration: `1500ms`, `5s`, `2m`, `1h`, `14d`. For serde's `with`; `with = "duration::positive"` where zero
//! means nothing.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de::Error};

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

/// Writes a duration as [`deserialize`] reads it, in the largest unit that holds it whole. What is below a millisecond is cut.
///
/// # Errors
/// When the serializer fails.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let whole = UNITS.into_iter().rev().find_map(|(unit, each)| {
        let count = millis.checked_div(each)?;
        (count.checked_mul(each)? == millis && count > 0).then_some((count, unit))
    });
    let (count, unit) = whole.unwrap_or((0, "s"));
    serializer.collect_str(&format_args!("{count}{unit}"))
}

/// Durations of more than zero.
pub mod positive {
    use super::{Deserializer, Duration, Error};

    pub use super::serialize;

    /// Reads a duration of more than zero.
    ///
    /// # Errors
    /// When the text is not a whole number and a unit, or zero.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let duration = super::deserialize(deserializer)?;
        if duration.is_zero() {
            return Err(D::Error::custom("a duration must be more than zero"));
        }
        Ok(duration)
    }
}

/// Durations that may be left out.
pub mod maybe {
    use super::{Deserializer, Duration};

    /// Reads a duration of more than zero.
    ///
    /// # Errors
    /// When the text is not a whole number and a unit, or zero.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        super::positive::deserialize(deserializer).map(Some)
    }
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

    #[derive(serde::Serialize)]
    struct Setting(#[serde(serialize_with = "serialize")] Duration);

    #[test]
    fn what_is_written_can_be_read_again() {
        for (millis, text) in [
            (0, "0s"),
            (1, "1ms"),
            (1_500, "1500ms"),
            (90_000, "90s"),
            (7_200_000, "2h"),
            (172_800_000, "2d"),
        ] {
            let duration = Duration::from_millis(millis);
            let written = toml::Value::try_from(Setting(duration)).unwrap();
            assert_eq!(written.as_str(), Some(text));
            assert_eq!(parse(text), Some(duration));
        }
    }

    #[test]
    fn zero_is_refused_where_it_means_nothing() {
        let read = |text: &str| {
            let input: serde::de::value::StrDeserializer<'_, serde::de::value::Error> =
                serde::de::IntoDeserializer::into_deserializer(text);
            positive::deserialize(input)
        };
        assert_eq!(read("5s").ok(), Some(Duration::from_secs(5)));
        assert!(
            read("0s")
                .unwrap_err()
                .to_string()
                .contains("more than zero")
        );
    }
}
