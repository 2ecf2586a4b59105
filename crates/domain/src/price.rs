//! What a request costs: integer tables over resolved parameters, and tokens by class. No expression language, so that a price can
//! be proved to be at most its ceiling, and no float.
//!
//! `lines -> sum -> at least the minimum -> rounded up -> times the account's factor`, the same for what is held and what is
//! charged. Each step keeps the order of amounts, so what costs at most its ceiling before it does so after it.

mod factor;
mod table;
mod token;

use serde::{Deserialize, Serialize};

pub use factor::PriceFactor;
pub use table::{Applied, Frozen, Row};
pub use token::{TokenBound, TokenPrices};

use crate::{Micros, Moment, MoneyError};

/// A model's price, from a moment on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Price {
    /// From when on; `None`: from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_from: Option<Moment>,
    /// What is done with the sum.
    #[serde(flatten)]
    pub rounding: Rounding,
    /// What is counted, and what each of it costs.
    #[serde(flatten)]
    pub tariff: Tariff,
}

/// What is done with the sum of a request's lines, before the account's factor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Rounding {
    /// The least a request costs, micro-credits.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub minimum_microcredits: i64,
    /// The sum is rounded up to a multiple of this, micro-credits; 0: it is not.
    #[serde(default, skip_serializing_if = "is_nothing")]
    pub round_up_microcredits: i64,
}

/// What is counted, and what each of it costs. `per` names the parameter that says how many there can be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "unit", rename_all = "lowercase", deny_unknown_fields)]
pub enum Tariff {
    /// A sum per call: the first row that matches the resolved parameters.
    Call {
        /// The table.
        rows: Vec<Row>,
    },
    /// A sum per picture; without `per` a call makes one.
    Image {
        /// The number of pictures.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        per: Option<String>,
        /// The table.
        rows: Vec<Row>,
    },
    /// A sum per second.
    Second {
        /// The number of seconds, at most.
        per: String,
        /// Whether what was made is measured, and charged so; else what was asked for is.
        #[serde(default, skip_serializing_if = "is_asked")]
        measured: bool,
        /// The table.
        rows: Vec<Row>,
    },
    /// A sum per character.
    Character {
        /// The text; `list.field`: that of every element.
        per: String,
        /// The table.
        rows: Vec<Row>,
    },
    /// Micro-credits per token, by class.
    Token(TokenPrices),
}

/// One line of a sum: so many units at so much each.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Line {
    /// What was counted: `call`, `image`, `second`, `character`, or a class of tokens.
    pub class: String,
    /// How many.
    pub units: u64,
    /// Micro-credits for one.
    pub unit_microcredits: i64,
    /// Micro-credits for all.
    pub microcredits: i64,
}

/// A sum with the lines that make it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// The lines.
    pub lines: Vec<Line>,
    /// Their sum: at least the minimum, rounded, times the factor.
    pub amount: Micros,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
const fn is_nothing(amount: &i64) -> bool {
    *amount == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
const fn is_asked(measured: &bool) -> bool {
    !*measured
}

// === impl Price ===

impl Price {
    /// The prices by token, if it is by token.
    pub const fn tokens(&self) -> Option<&TokenPrices> {
        match &self.tariff {
            Tariff::Token(prices) => Some(prices),
            Tariff::Call { .. }
            | Tariff::Image { .. }
            | Tariff::Second { .. }
            | Tariff::Character { .. } => None,
        }
    }

    /// What no schema can say of the amounts: nothing below zero, nothing free that would lift a ceiling.
    pub(crate) fn check(&self) -> Result<(), String> {
        let Rounding {
            minimum_microcredits: minimum,
            round_up_microcredits: round_up,
        } = self.rounding;
        if minimum < 0 || round_up < 0 {
            return Err("a minimum or a step of rounding must not be below zero".to_owned());
        }
        match self.tokens() {
            Some(_) if round_up > 0 => Err(
                "a price by token is not rounded up: no limit of output would fit it".to_owned(),
            ),
            Some(prices) => prices.check(),
            None => self.check_table(),
        }
    }
}

// === impl Rounding ===

impl Rounding {
    /// What a sum becomes: at least the minimum, rounded up, times the factor.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn amount(&self, sum: Micros, factor: PriceFactor) -> Result<Micros, MoneyError> {
        let sum = sum.get().max(self.minimum_microcredits);
        let step = self.round_up_microcredits;
        let rounded = match step.checked_sub(1) {
            Some(below) if step > 0 => sum
                .checked_add(below)
                .and_then(|more| more.checked_div(step))
                .and_then(|steps| steps.checked_mul(step))
                .ok_or(MoneyError::Overflow)?,
            Some(_) | None => sum,
        };
        factor.of(Micros::new(rounded))
    }
}

// === impl Line ===

impl Line {
    /// So many units at so much each.
    ///
    /// # Errors
    /// When the product does not fit.
    pub fn of(class: &str, units: u64, unit_microcredits: i64) -> Result<Self, MoneyError> {
        Ok(Self {
            class: class.to_owned(),
            units,
            unit_microcredits,
            microcredits: Micros::new(unit_microcredits).times(units)?.get(),
        })
    }
}

// === impl Cost ===

impl Cost {
    /// The sum of these lines.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn of(
        lines: Vec<Line>,
        rounding: Rounding,
        factor: PriceFactor,
    ) -> Result<Self, MoneyError> {
        let amounts = lines.iter().map(|line| Micros::new(line.microcredits));
        let sum = amounts.into_iter().try_fold(Micros::ZERO, Micros::plus)?;
        Ok(Self {
            amount: rounding.amount(sum, factor)?,
            lines,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rounding(minimum: i64, round_up: i64) -> Rounding {
        Rounding {
            minimum_microcredits: minimum,
            round_up_microcredits: round_up,
        }
    }

    #[test]
    fn a_sum_is_lifted_rounded_and_multiplied_in_this_order() {
        let half = PriceFactor::parse("0.5").unwrap();
        for (minimum, round_up, sum, amount) in [
            (0, 0, 1_700, 850),
            (2_000, 0, 1_700, 1_000),
            (0, 1_000, 1_001, 1_000),
            (0, 1_000, 1_000, 500),
            (1_500, 1_000, 1, 1_000),
            (0, 0, 3, 2),
        ] {
            let got = rounding(minimum, round_up).amount(Micros::new(sum), half);
            assert_eq!(got, Ok(Micros::new(amount)), "{sum}");
        }
    }

    #[test]
    fn a_price_with_a_field_nobody_knows_is_refused() {
        let read = |text: &str| toml::from_str::<Price>(text).map_err(|error| error.to_string());
        let good =
            "unit = \"token\"\ninput = 50\ncached = 5\noutput = 300\nminimum_microcredits = 7";
        assert_eq!(read(good).unwrap().rounding, rounding(7, 0));
        for wrong in ["inputs = 3", "minimum = 7"] {
            let error = read(&format!("{good}\n{wrong}")).unwrap_err();
            assert!(error.contains("unknown field"), "{error}");
        }
        assert!(read("unit = \"hour\"\nrows = []").is_err());
    }

    proptest! {
        #[test]
        fn more_never_costs_less(
            less in 0_i64..1_000_000_000, more in 0_i64..1_000_000_000, minimum in 0_i64..1_000_000, step in 0_i64..1_000_000,
            parts in 1_i64..=10_000_000,
        ) {
            let factor = PriceFactor::new(parts).unwrap();
            let amount = |sum| rounding(minimum, step).amount(Micros::new(sum), factor).unwrap();
            prop_assert!(amount(less) <= amount(less + more));
        }
    }
}
