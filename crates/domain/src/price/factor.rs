//! What an account pays of a price: a factor in parts per million, agreed with the operator.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{Micros, MoneyError};

/// Parts that make one.
const PARTS: i64 = 1_000_000;

/// A factor on every price of an account, in parts per million: above zero, at most ten. Applied once per request, rounded up to
/// one micro-credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct PriceFactor(i64);

// === impl PriceFactor ===

impl PriceFactor {
    /// The price as it is listed.
    pub const ONE: Self = Self(PARTS);
    /// The highest.
    pub const MAX: Self = Self(10_000_000);

    /// Wraps parts per million; `None` when they are not allowed.
    pub const fn new(parts_per_million: i64) -> Option<Self> {
        if parts_per_million > 0 && parts_per_million <= Self::MAX.0 {
            Some(Self(parts_per_million))
        } else {
            None
        }
    }

    /// Reads a decimal of at most six places: `0.8`.
    pub fn parse(text: &str) -> Option<Self> {
        Micros::parse_credits(text)
            .ok()
            .and_then(|parts| Self::new(parts.get()))
    }

    /// Parts per million.
    pub const fn parts_per_million(self) -> i64 {
        self.0
    }

    /// What is paid of an amount, rounded up to one micro-credit.
    ///
    /// # Errors
    /// When the amount is below zero, or the product does not fit.
    pub fn of(self, amount: Micros) -> Result<Micros, MoneyError> {
        let parts = u128::try_from(amount.get())
            .ok()
            .and_then(|amount| amount.checked_mul(u128::from(self.0.unsigned_abs())))
            .ok_or(MoneyError::Overflow)?;
        i64::try_from(parts.div_ceil(u128::from(PARTS.unsigned_abs())))
            .map(Micros::new)
            .map_err(|_| MoneyError::Overflow)
    }

    /// The most that may be priced so that what is paid of it is at most `paid`: the other way round.
    pub fn most_for(self, paid: Micros) -> Micros {
        let most = i128::from(paid.get())
            .saturating_mul(i128::from(PARTS))
            .checked_div(i128::from(self.0))
            .unwrap_or(0);
        Micros::new(i64::try_from(most.max(0)).unwrap_or(i64::MAX))
    }
}

impl Default for PriceFactor {
    fn default() -> Self {
        Self::ONE
    }
}

impl fmt::Display for PriceFactor {
    /// As a decimal: `0.8`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Micros::new(self.0).fmt(f)
    }
}

impl<'de> Deserialize<'de> for PriceFactor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = i64::deserialize(deserializer)?;
        Self::new(parts).ok_or_else(|| D::Error::custom("not a price factor in parts per million"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_factor_is_read_exactly_and_kept_within_its_bounds() {
        assert_eq!(
            PriceFactor::parse("0.8").map(PriceFactor::parts_per_million),
            Some(800_000)
        );
        assert_eq!(PriceFactor::parse("10"), Some(PriceFactor::MAX));
        assert_eq!(PriceFactor::parse("1e-6"), PriceFactor::new(1));
        for text in ["0", "-1", "10.000001", "0.0000001", "x", ""] {
            assert_eq!(PriceFactor::parse(text), None, "{text}");
        }
        assert_eq!(PriceFactor::parse("0.80").unwrap().to_string(), "0.8");
    }

    #[test]
    fn a_part_of_a_micro_credit_is_a_whole_one() {
        let half = PriceFactor::parse("0.5").unwrap();
        for (amount, paid) in [(0, 0), (1, 1), (2, 1), (3, 2), (1_700, 850)] {
            assert_eq!(half.of(Micros::new(amount)), Ok(Micros::new(paid)));
        }
        assert_eq!(
            PriceFactor::MAX.of(Micros::new(i64::MAX)),
            Err(MoneyError::Overflow)
        );
    }

    proptest! {
        #[test]
        fn what_may_be_priced_is_the_most_that_may(paid in 0_i64..1_000_000_000_000, parts in 1_i64..=10_000_000) {
            let factor = PriceFactor::new(parts).unwrap();
            let most = factor.most_for(Micros::new(paid));
            prop_assert!(factor.of(most).unwrap() <= Micros::new(paid));
            prop_assert!(factor.of(Micros::new(most.get() + 1)).unwrap() > Micros::new(paid));
        }
    }
}
