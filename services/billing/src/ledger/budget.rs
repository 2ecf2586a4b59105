//! What a key may spend, and what it has: caps by day, by month and in all. Days and months are UTC's. Pure.
//!
//! A hold counts with what it sets aside, whenever it was made; a charge counts on the day it is made. So what is spent and what
//! is held together never exceed a cap, and what a new day forgets is only what was spent on an older one.

use domain::{Micros, MoneyError};

use super::Refusal;

/// Microseconds of a day. UTC has no other kind in the time that computers count.
const DAY: i64 = 86_400_000_000;
/// The first of January 1970, as astronomers count days.
const UNIX_EPOCH_JULIAN: i32 = 2_440_588;

/// The most a key may spend, where there is such a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// In a day.
    pub day: Option<Micros>,
    /// In a calendar month.
    pub month: Option<Micros>,
    /// In all.
    pub total: Option<Micros>,
}

/// What a key may spend, has spent and holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// What it may.
    pub caps: Caps,
    /// Spent on `day`.
    pub spent_day: Micros,
    /// Spent in `month`.
    pub spent_month: Micros,
    /// Spent in all.
    pub spent_total: Micros,
    /// Set aside by its open holds.
    pub held: Micros,
    /// Days since 1970.
    pub day: i64,
    /// The year's number times twelve, and the month's.
    pub month: i64,
}

// === impl Budget ===

impl Budget {
    /// As it is at this moment: what was spent on another day or in another month counts no more.
    #[must_use]
    pub fn at(mut self, now: i64) -> Self {
        let (day, month) = calendar(now);
        // A clock that goes back must not forget twice.
        if day > self.day {
            self.day = day;
            self.spent_day = Micros::ZERO;
        }
        if month > self.month {
            self.month = month;
            self.spent_month = Micros::ZERO;
        }
        self
    }

    /// What is left of the tightest cap, down to nothing; `None` without caps.
    ///
    /// # Errors
    /// When a sum does not fit.
    pub fn left(&self) -> Result<Option<Micros>, MoneyError> {
        let mut left: Option<Micros> = None;
        for (cap, spent) in [
            (self.caps.day, self.spent_day),
            (self.caps.month, self.spent_month),
            (self.caps.total, self.spent_total),
        ] {
            let Some(cap) = cap else { continue };
            // A cap that was lowered below what is spent leaves nothing.
            let rest = cap.minus(spent)?.minus(self.held)?.max(Micros::ZERO);
            left = Some(left.map_or(rest, |least| least.min(rest)));
        }
        Ok(left)
    }

    /// With one more hold.
    pub(super) fn hold(self, granted: Micros) -> Result<Self, Refusal> {
        Ok(Self {
            held: self.held.plus(granted)?,
            ..self
        })
    }

    /// With a hold ended, and this much of it charged.
    pub(super) fn end(self, granted: Micros, captured: Micros) -> Result<Self, Refusal> {
        let freed = Self {
            held: self.held.minus(granted)?,
            ..self
        };
        freed.spend(captured)
    }

    /// With a charge beside all holds.
    pub(super) fn spend(self, captured: Micros) -> Result<Self, Refusal> {
        Ok(Self {
            spent_day: self.spent_day.plus(captured)?,
            spent_month: self.spent_month.plus(captured)?,
            spent_total: self.spent_total.plus(captured)?,
            ..self
        })
    }
}

/// The UTC day of a moment, in days since 1970, and its month, as the year's number times twelve and the month's.
fn calendar(now: i64) -> (i64, i64) {
    let day = now.div_euclid(DAY);
    let date = i32::try_from(day)
        .ok()
        .and_then(|days| time::Date::from_julian_day(UNIX_EPOCH_JULIAN.saturating_add(days)).ok());
    // A clock beyond the year 9999 is no clock: then there is one endless month.
    let month = date.map_or(i64::MAX, |date| {
        i64::from(date.year())
            .saturating_mul(12)
            .saturating_add(i64::from(u8::from(date.month())))
    });
    (day, month)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn micros(moment: time::OffsetDateTime) -> i64 {
        i64::try_from(moment.unix_timestamp_nanos() / 1_000).unwrap()
    }

    #[test]
    fn days_and_months_are_those_of_utc() {
        for (moment, expected) in [
            (datetime!(1970-01-01 00:00 UTC), (0, 1970 * 12 + 1)),
            (
                datetime!(2024-02-29 23:59:59.999 UTC),
                (19_782, 2024 * 12 + 2),
            ),
            (datetime!(2024-03-01 00:00 UTC), (19_783, 2024 * 12 + 3)),
            (datetime!(2026-12-31 23:59 UTC), (20_818, 2026 * 12 + 12)),
            (datetime!(2027-01-01 00:00 UTC), (20_819, 2027 * 12 + 1)),
        ] {
            assert_eq!(calendar(micros(moment)), expected, "{moment}");
        }
    }

    #[test]
    fn a_new_day_forgets_the_days_spending_and_a_new_month_the_months() {
        let spent = Budget {
            spent_day: Micros::new(3),
            spent_month: Micros::new(5),
            spent_total: Micros::new(7),
            held: Micros::new(2),
            ..Budget::default().at(micros(datetime!(2026-11-29 12:00 UTC)))
        };
        let figures = |budget: Budget| {
            (
                budget.spent_day.get(),
                budget.spent_month.get(),
                budget.spent_total.get(),
                budget.held.get(),
            )
        };
        let same = spent.at(micros(datetime!(2026-11-29 23:59 UTC)));
        assert_eq!(figures(same), (3, 5, 7, 2));
        let next = spent.at(micros(datetime!(2026-11-30 00:00 UTC)));
        assert_eq!(figures(next), (0, 5, 7, 2));
        let month = next.at(micros(datetime!(2026-12-01 00:00 UTC)));
        assert_eq!(figures(month), (0, 0, 7, 2));
        // A clock that goes back forgets nothing and brings nothing back.
        assert_eq!(month.at(micros(datetime!(2026-11-29 12:00 UTC))), month);
    }

    #[test]
    fn the_tightest_cap_counts_and_what_is_held_counts_in_all() {
        let budget = Budget {
            caps: Caps {
                day: Some(Micros::new(10)),
                month: None,
                total: Some(Micros::new(20)),
            },
            spent_day: Micros::new(4),
            spent_total: Micros::new(15),
            held: Micros::new(3),
            ..Budget::default()
        };
        assert_eq!(budget.left().unwrap(), Some(Micros::new(2)));
        let lowered = Budget {
            caps: Caps {
                day: Some(Micros::new(1)),
                ..budget.caps
            },
            ..budget
        };
        assert_eq!(lowered.left().unwrap(), Some(Micros::ZERO));
        assert_eq!(Budget::default().left().unwrap(), None);
    }
}
