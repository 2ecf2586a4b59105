//! How long the balance lasts. Pure.

/// Days over which the rate is the mean.
pub(super) const DAYS: i64 = 7;
/// What is longer is not told by days.
const YEAR: i64 = 365;

/// How long a balance lasts at a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing was spent yet, or lately.
    Unknown,
    /// There is nothing to spend.
    Nothing,
    /// Whole days; 0: not one.
    Days(i64),
    /// More than a year.
    Long,
}

/// How long what is available lasts, if as much is spent as in the last [`DAYS`] days. Both in micro-credits.
pub(super) fn left(available: i64, spent: i64) -> Left {
    if available <= 0 {
        return Left::Nothing;
    }
    let days = i128::from(available) * i128::from(DAYS);
    match days.checked_div(i128::from(spent)) {
        Some(days) if spent > 0 => match i64::try_from(days) {
            Ok(days) if days <= YEAR => Left::Days(days),
            Ok(_) | Err(_) => Left::Long,
        },
        Some(_) | None => Left::Unknown,
    }
}

impl Left {
    /// In words.
    pub(super) fn words(self) -> String {
        match self {
            Self::Unknown => "Nothing spent yet".to_owned(),
            Self::Nothing => "None".to_owned(),
            Self::Days(0) => "Less than a day".to_owned(),
            Self::Days(1) => "1 day".to_owned(),
            Self::Days(days) => format!("{days} days"),
            Self::Long => "More than a year".to_owned(),
        }
    }

    /// Whether somebody should do something about it: it ends within a week.
    pub(super) const fn is_short(self) -> bool {
        matches!(self, Self::Nothing | Self::Days(..DAYS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balance_lasts_as_long_as_it_lasts() {
        for (available, spent, words, short) in [
            (0, 0, "None", true),
            (-5, 10, "None", true),
            (100, 0, "Nothing spent yet", false),
            (1, 700, "Less than a day", true),
            (100, 700, "1 day", true),
            (699, 700, "6 days", true),
            (700, 700, "7 days", false),
            (36_500, 700, "365 days", false),
            (36_600, 700, "More than a year", false),
            (i64::MAX, 1, "More than a year", false),
        ] {
            let left = left(available, spent);
            assert_eq!((left.words().as_str(), left.is_short()), (words, short));
        }
    }
}
