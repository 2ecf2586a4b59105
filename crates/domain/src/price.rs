//! What a request costs: integer tables over resolved parameters. No expression language, so that a price can be proved to
//! be at most its ceiling, and no float.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Micros, MoneyError, Usage, catalogue::Row};

/// A model's price.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "unit", rename_all = "lowercase", deny_unknown_fields)]
pub enum Price {
    /// A sum per call: the first row that matches the resolved parameters.
    Call {
        /// The table.
        rows: Vec<Row>,
    },
    /// Micro-credits per token, by class.
    Token {
        /// Input not read from a cache.
        input: i64,
        /// Input read from a cache; at most the price of input.
        cached: i64,
        /// Output and reasoning.
        output: i64,
    },
}

// === impl Price ===

impl Price {
    /// What one call with these resolved parameters costs: exact, so also the most it can cost.
    /// `None` when no row matches or the price is by token: then the request cannot be served.
    pub fn call(&self, resolved: &Map<String, Value>) -> Option<Micros> {
        self.rows()
            .iter()
            .find(|row| crate::catalogue::matches(&row.when, resolved))
            .map(|row| Micros::new(row.microcredits))
    }

    /// The most a chat request can cost with this many tokens of input and output.
    ///
    /// # Errors
    /// When the sum does not fit, or the price is not by token.
    pub fn ceiling(&self, input_bound: u64, output_bound: u64) -> Result<Micros, MoneyError> {
        self.tokens(Usage {
            input: input_bound,
            output: output_bound,
            ..Usage::default()
        })
    }

    /// The output tokens that `amount` pays for after `input_bound` tokens of input.
    pub fn affordable_output(&self, amount: Micros, input_bound: u64) -> u64 {
        let Self::Token { output, .. } = self else {
            return 0;
        };
        self.ceiling(input_bound, 0)
            .and_then(|input| amount.minus(input))
            .ok()
            .and_then(|rest| rest.get().checked_div(*output))
            .and_then(|tokens| u64::try_from(tokens).ok())
            .unwrap_or(0)
    }

    /// What this usage costs.
    ///
    /// # Errors
    /// When the sum does not fit, or the price is not by token.
    pub fn tokens(&self, usage: Usage) -> Result<Micros, MoneyError> {
        let Self::Token {
            input,
            cached,
            output,
        } = self
        else {
            return Err(MoneyError::NotANumber);
        };
        let (input, cached, output) = (
            Micros::new(*input),
            Micros::new(*cached),
            Micros::new(*output),
        );
        input
            .times(usage.input)?
            .plus(cached.times(usage.cached)?)?
            .plus(output.times(usage.output)?)?
            .plus(output.times(usage.reasoning)?)
    }

    /// The rows of a table price.
    pub(crate) fn rows(&self) -> &[Row] {
        match self {
            Self::Call { rows } => rows,
            Self::Token { .. } => &[],
        }
    }

    /// What no schema can say: no price below zero, no free class that would lift the ceiling, a row for everything.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::Call { rows } => {
                if rows.iter().any(|row| row.microcredits <= 0) {
                    return Err("a price must be above zero".to_owned());
                }
                if rows.last().is_none_or(|row| !row.when.is_empty()) {
                    return Err(
                        "the last price row must have no `when`, so that every request has a price"
                            .to_owned(),
                    );
                }
                Ok(())
            }
            Self::Token {
                input,
                cached,
                output,
            } => {
                if *input <= 0 || *output <= 0 || *cached < 0 || cached > input {
                    return Err(
                        "token prices must be above zero, and cached at most input".to_owned()
                    );
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::Catalogue;

    #[test]
    fn flux_2_costs_what_the_price_list_says() {
        let catalogue = Catalogue::built_in().unwrap();
        let price = &catalogue.find("flux-2").unwrap().price;
        for (kind, resolution, credits) in [
            ("pro", "1K", 5),
            ("pro", "2K", 7),
            ("flex", "1K", 14),
            ("flex", "2K", 24),
        ] {
            let resolved = json!({"type": kind, "resolution": resolution});
            assert_eq!(
                price.call(resolved.as_object().unwrap()),
                Some(Micros::from_credits(credits))
            );
        }
    }

    #[test]
    fn a_million_gemini_tokens_cost_what_the_price_list_says() {
        let catalogue = Catalogue::built_in().unwrap();
        let price = &catalogue.find("gemini").unwrap().price;
        let million = 1_000_000;
        let cost = |usage| price.tokens(usage).unwrap();
        assert_eq!(
            cost(Usage {
                input: million,
                ..Usage::default()
            }),
            Micros::from_credits(50)
        );
        assert_eq!(
            cost(Usage {
                cached: million,
                ..Usage::default()
            }),
            Micros::from_credits(5)
        );
        assert_eq!(
            cost(Usage {
                output: million,
                ..Usage::default()
            }),
            Micros::from_credits(300)
        );
        assert_eq!(
            cost(Usage {
                reasoning: million,
                ..Usage::default()
            }),
            Micros::from_credits(300)
        );
    }

    proptest! {
        #[test]
        fn cost_never_exceeds_the_ceiling(input in 0_u64..1_000_000, cached in 0_u64..1_000_000, output in 0_u64..1_000_000, reasoning in 0_u64..1_000_000) {
            let catalogue = Catalogue::built_in().unwrap();
            let price = &catalogue.find("gemini").unwrap().price;
            let cost = price.tokens(Usage { input, cached, output, reasoning }).unwrap();
            let ceiling = price.ceiling(input + cached, output + reasoning).unwrap();
            prop_assert!(cost <= ceiling);
        }

        #[test]
        fn what_is_affordable_fits(amount in 0_i64..1_000_000_000, input in 0_u64..100_000) {
            let catalogue = Catalogue::built_in().unwrap();
            let price = &catalogue.find("gemini").unwrap().price;
            let output = price.affordable_output(Micros::new(amount), input);
            prop_assert!(output == 0 || price.ceiling(input, output).unwrap() <= Micros::new(amount));
            let more = price.ceiling(input, output + 1).unwrap();
            prop_assert!(more > Micros::new(amount));
        }
    }
}
