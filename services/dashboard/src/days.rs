//! UTC days, counted since 1970: today, read, and written for people.

use chassis::clock;
use domain::Moment;

/// Microseconds.
pub(crate) const DAY: i64 = 24 * 60 * 60 * 1_000_000;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// The day that it is.
pub(crate) fn today() -> i64 {
    clock::now_micros().div_euclid(DAY)
}

/// When a day begins, in microseconds UTC.
pub(crate) fn begins(day: i64) -> i64 {
    day.saturating_mul(DAY)
}

/// `2026-11-30`.
pub(crate) fn text(day: i64) -> String {
    let mut text = clock::rfc3339(begins(day));
    text.truncate(10);
    text
}

/// `30 Nov`.
pub(crate) fn short(day: i64) -> String {
    let text = text(day);
    let mut parts = text.split('-').skip(1);
    let month = parts.next().and_then(|month| month.parse::<usize>().ok());
    let month = month.and_then(|month| MONTHS.get(month.checked_sub(1)?));
    let day = parts.next().unwrap_or_default().trim_start_matches('0');
    format!("{day} {}", month.unwrap_or(&""))
}

/// Reads `2026-11-30`.
pub(crate) fn parse(text: &str) -> Option<i64> {
    if text.len() != 10 {
        return None;
    }
    let moment = Moment::parse(&format!("{text}T00:00:00Z"))?;
    Some(moment.micros().div_euclid(DAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_and_written() {
        for (day, long, brief) in [
            (0, "1970-01-01", "1 Jan"),
            (20_000, "2024-10-04", "4 Oct"),
            (20_787, "2026-11-30", "30 Nov"),
        ] {
            assert_eq!((text(day).as_str(), short(day).as_str()), (long, brief));
            assert_eq!(parse(long), Some(day));
        }
        for wrong in [
            "",
            "2026-11-31",
            "2026-1-1",
            "yesterday",
            "2026-11-30T00:00:00Z",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
