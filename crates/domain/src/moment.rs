//! A moment in a text: RFC 3339 in UTC, exact to the microsecond.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// Nanoseconds in a microsecond.
const NANOS: i128 = 1000;

/// A moment, in microseconds UTC since 1970; in a text as RFC 3339.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(i64);

// === impl Moment ===

impl Moment {
    /// Wraps microseconds UTC.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds UTC.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339, of any zone: `2026-03-01T00:00:00Z`.
    pub fn parse(text: &str) -> Option<Self> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        // Near the ends of the calendar a zone leads out of it, to where nothing can be written.
        let moment = moment.checked_to_offset(UtcOffset::UTC)?;
        moment.format(&Rfc3339).ok()?;
        let micros = moment.unix_timestamp_nanos().checked_div(NANOS)?;
        i64::try_from(micros).ok().map(Self)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.0).saturating_mul(NANOS);
        let moment = OffsetDateTime::from_unix_timestamp_nanos(nanos).map_err(|_| fmt::Error)?;
        f.write_str(&moment.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom("not a moment in RFC 3339, such as \"2030-01-31T12:00:00Z\"")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_and_written_exactly() {
        for text in [
            "2026-03-01T00:00:00Z",
            "2026-09-21T14:13:20.123456Z",
            "1970-01-01T00:00:00Z",
        ] {
            assert_eq!(Moment::parse(text).unwrap().to_string(), text);
        }
        let east = Moment::parse("2026-03-01T02:00:00+02:00").unwrap();
        assert_eq!(east.to_string(), "2026-03-01T00:00:00Z");
        assert_eq!(Moment::parse("2026-03-01"), None);
        // What a zone leads out of the calendar could not be written.
        assert_eq!(Moment::parse("9999-12-31T23:59:59-00:01"), None);
        assert_eq!(Moment::parse("0000-01-01T00:00:00+00:01"), None);
    }
}
