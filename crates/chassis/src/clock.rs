//! The process's clock and the ids that need it. Waits inside a process use the monotonic clock of tokio instead.

use std::time::{SystemTime, UNIX_EPOCH};

use domain::{Id, ids::Kind};
use uuid::Uuid;

/// Microseconds in a second.
pub const MICROS_PER_SECOND: i64 = 1_000_000;

/// Now, in microseconds UTC.
pub fn now_micros() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_micros()).ok())
        .unwrap_or(0)
}

/// A duration as microseconds; one too long to count becomes the longest there is.
pub fn micros(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A new id: time-ordered, strictly rising within this process.
pub fn mint<K: Kind>() -> Id<K> {
    Id::from_uuid(Uuid::now_v7())
}

/// A moment in microseconds UTC as RFC 3339 with milliseconds.
pub fn rfc3339(micros: i64) -> String {
    use time::{OffsetDateTime, format_description::well_known::Rfc3339};
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros).saturating_mul(1000))
        .ok()
        .and_then(|moment| moment.replace_millisecond(moment.millisecond()).ok())
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise() {
        let mut last = mint::<domain::ids::Task>();
        for _ in 0..10_000 {
            let next = mint();
            assert!(next > last);
            last = next;
        }
    }

    #[test]
    fn moments_are_written_in_utc() {
        assert_eq!(rfc3339(1_790_000_000_123_456), "2026-09-21T14:13:20.123Z");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
    }
}
