//! What a budget says at a moment: what was spent on an older day, or in an older month, counts no more. Pure.

use domain::Micros;
use time::OffsetDateTime;

use crate::store::BudgetRow;

/// Microseconds of a day. UTC has no other kind in the time that computers count.
const DAY: i64 = 86_400_000_000;

impl BudgetRow {
    /// As it is at this moment, in microseconds UTC.
    pub(super) fn at(mut self, now: i64) -> Self {
        let (day, month) = calendar(now);
        if day > self.day {
            self.spent_day = Micros::ZERO;
        }
        if month > self.month {
            self.spent_month = Micros::ZERO;
        }
        self
    }
}

/// The UTC day of a moment, since 1970, and its month: the year times twelve, and the month.
fn calendar(now: i64) -> (i64, i64) {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(now).saturating_mul(1_000));
    // A clock beyond the year 9999 is no clock: then there is one endless month.
    let month = moment.map_or(i64::MAX, |moment| {
        i64::from(moment.year())
            .saturating_mul(12)
            .saturating_add(i64::from(u8::from(moment.month())))
    });
    (now.div_euclid(DAY), month)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::Caps;

    fn micros(moment: OffsetDateTime) -> i64 {
        i64::try_from(moment.unix_timestamp_nanos() / 1_000).unwrap()
    }

    #[test]
    fn what_was_spent_on_another_day_or_in_another_month_counts_no_more() {
        let (day, month) = calendar(micros(datetime!(2026-11-29 12:00 UTC)));
        assert_eq!((day, month), (20_786, 2026 * 12 + 11));
        let row = BudgetRow {
            caps: Caps::default(),
            spent_day: Micros::new(3),
            spent_month: Micros::new(5),
            spent_total: Micros::new(7),
            day,
            month,
        };
        for (moment, expected) in [
            (datetime!(2026-11-29 23:59:59.999 UTC), (3, 5, 7)),
            (datetime!(2026-11-30 00:00 UTC), (0, 5, 7)),
            (datetime!(2026-12-01 00:00 UTC), (0, 0, 7)),
            // A clock that goes back forgets nothing.
            (datetime!(2026-10-01 00:00 UTC), (3, 5, 7)),
        ] {
            let at = row.at(micros(moment));
            let figures = (
                at.spent_day.get(),
                at.spent_month.get(),
                at.spent_total.get(),
            );
            assert_eq!(figures, expected, "{moment}");
        }
    }
}
