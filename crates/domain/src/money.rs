//! Money: whole micro-credits. There is no float in this module, and none may enter it.

use std::fmt;

use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::value::RawValue;

/// Micro-credits in one credit.
const PER_CREDIT: i64 = 1_000_000;
/// Decimal places of a credit.
const PLACES: usize = 6;

/// An amount in micro-credits: 1 credit = 1 000 000. Arithmetic is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(i64);

/// Why an amount could not be computed or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The result does not fit in 64 bits.
    #[error("amount out of range")]
    Overflow,
    /// Not a plain decimal number.
    #[error("not a plain decimal number")]
    NotANumber,
    /// More than six places behind the point.
    #[error("more than 6 decimal places")]
    TooPrecise,
}

// === impl Micros ===

impl Micros {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Wraps a count of micro-credits.
    pub const fn new(micros: i64) -> Self {
        Self(micros)
    }

    /// The count of micro-credits.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Whole credits.
    pub const fn from_credits(credits: i32) -> Self {
        // 2^31 × 10^6 fits in 63 bits.
        #[expect(
            clippy::as_conversions,
            clippy::arithmetic_side_effects,
            reason = "widening, const, and cannot overflow"
        )]
        Self(credits as i64 * PER_CREDIT)
    }

    /// Adds.
    ///
    /// # Errors
    /// When the sum does not fit.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.0
            .checked_add(other.0)
            .map(Self)
            .ok_or(MoneyError::Overflow)
    }

    /// Subtracts.
    ///
    /// # Errors
    /// When the difference does not fit.
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.0
            .checked_sub(other.0)
            .map(Self)
            .ok_or(MoneyError::Overflow)
    }

    /// The price of `count` units at this price each.
    ///
    /// # Errors
    /// When the product does not fit.
    pub fn times(self, count: u64) -> Result<Self, MoneyError> {
        i64::try_from(count)
            .ok()
            .and_then(|count| self.0.checked_mul(count))
            .map(Self)
            .ok_or(MoneyError::Overflow)
    }

    /// Changes the sign.
    ///
    /// # Errors
    /// For the one amount that has no opposite.
    pub fn negate(self) -> Result<Self, MoneyError> {
        self.0.checked_neg().map(Self).ok_or(MoneyError::Overflow)
    }

    /// Reads credits as written in JSON: `10`, `10.5`, `-0.000001`, `1e-06` (so Python writes the smallest amount). At most six
    /// decimal places, and no float on the way.
    ///
    /// # Errors
    /// When the text is something else, or too large.
    pub fn parse_credits(text: &str) -> Result<Self, MoneyError> {
        let (sign, rest) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let (digits, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let exponent_digits = exponent.trim_start_matches(['+', '-']);
        if !plain(whole) || !plain(fraction) || !plain(exponent_digits) {
            return Err(MoneyError::NotANumber);
        }
        let exponent: i32 = exponent.parse().map_err(|_| MoneyError::NotANumber)?;
        shifted(whole, fraction, exponent)?
            .checked_mul(sign)
            .map(Self)
            .ok_or(MoneyError::Overflow)
    }
}

/// Micro-credits of `whole.fraction` credits with the point moved by `exponent` places.
fn shifted(whole: &str, fraction: &str, exponent: i32) -> Result<i64, MoneyError> {
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Ok(0);
    }
    // How many zeros stand between the last digit that counts and the place of the micro-credit.
    let length = |text: &str| i32::try_from(text.len()).map_err(|_| MoneyError::Overflow);
    let dropped = length(digits)?.saturating_sub(length(significant)?);
    let places = i32::try_from(PLACES).map_err(|_| MoneyError::Overflow)?;
    let zeros = places
        .saturating_add(exponent)
        .saturating_sub(length(fraction)?)
        .saturating_add(dropped);
    let zeros = u32::try_from(zeros).map_err(|_| MoneyError::TooPrecise)?;
    let significant: i64 = significant.parse().map_err(|_| MoneyError::Overflow)?;
    10_i64
        .checked_pow(zeros)
        .and_then(|power| significant.checked_mul(power))
        .ok_or(MoneyError::Overflow)
}

impl fmt::Display for Micros {
    /// Credits, exact, without trailing zeros: `10.5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let micros = self.0.unsigned_abs();
        let per_credit = PER_CREDIT.unsigned_abs();
        let whole = micros.checked_div(per_credit).unwrap_or(0);
        let fraction = micros.checked_rem(per_credit).unwrap_or(0);
        let text = format!("{sign}{whole}.{fraction:0PLACES$}");
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl Serialize for Micros {
    /// As a JSON number of credits, exact to six places. Only for `serde_json`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.to_string())
            .map_err(S::Error::custom)?
            .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credits_are_read_and_written_exactly() {
        let check = |text: &str, micros: i64, written: &str| {
            let amount = Micros::parse_credits(text).unwrap();
            assert_eq!(amount, Micros::new(micros));
            assert_eq!(amount.to_string(), written);
            assert_eq!(serde_json::to_string(&amount).unwrap(), written);
        };
        check("0", 0, "0");
        check("10", 10_000_000, "10");
        check("10.5", 10_500_000, "10.5");
        check("-0.000001", -1, "-0.000001");
        check("0.1", 100_000, "0.1");
        check("1e-06", 1, "0.000001");
        check("-2.5E+1", -25_000_000, "-25");
        check("1.50e0", 1_500_000, "1.5");
        check("0e9", 0, "0");
        check("100e-8", 1, "0.000001");
        check("9223372036854.775807", i64::MAX, "9223372036854.775807");
    }

    #[test]
    fn what_is_not_an_amount_is_refused() {
        for (text, error) in [
            ("", MoneyError::NotANumber),
            ("1e", MoneyError::NotANumber),
            ("1e+-3", MoneyError::NotANumber),
            ("1e-7", MoneyError::TooPrecise),
            ("1e13", MoneyError::Overflow),
            ("1e2000000000", MoneyError::Overflow),
            ("1.", MoneyError::NotANumber),
            (".5", MoneyError::NotANumber),
            ("+1", MoneyError::NotANumber),
            ("NaN", MoneyError::NotANumber),
            ("0.0000001", MoneyError::TooPrecise),
            ("9223372036854.775808", MoneyError::Overflow),
            ("99999999999999999999", MoneyError::Overflow),
        ] {
            assert_eq!(Micros::parse_credits(text), Err(error), "{text}");
        }
    }

    #[test]
    fn arithmetic_refuses_to_wrap() {
        assert_eq!(
            Micros::new(i64::MAX).plus(Micros::new(1)),
            Err(MoneyError::Overflow)
        );
        assert_eq!(
            Micros::new(i64::MIN).minus(Micros::new(1)),
            Err(MoneyError::Overflow)
        );
        assert_eq!(Micros::new(i64::MIN).negate(), Err(MoneyError::Overflow));
        assert_eq!(Micros::new(2).times(u64::MAX), Err(MoneyError::Overflow));
    }
}
