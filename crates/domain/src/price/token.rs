//! Prices by token: disjoint classes, and the most that can be used of them.

use serde::{Deserialize, Serialize};

use super::{Cost, Line, Price, PriceFactor};
use crate::{Micros, MoneyError, TokenClass, Usage};

/// Micro-credits per token, by class. What names no price of its own costs what the class it is a part of costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TokenPrices {
    /// Input not read from a cache.
    pub input: i64,
    /// Input read from a cache; at most the price of input.
    pub cached: i64,
    /// Output; zero where nothing comes out that is counted.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub output: i64,
    /// Reasoning; else as output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<i64>,
    /// Sound that goes in; else as input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_input: Option<i64>,
    /// Sound that comes out; else as output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audio_output: Option<i64>,
}

/// The most tokens a request can use. Usage is within it when no more of its input is sound than `media`, and all of its input is at
/// most `text` and `media` together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct TokenBound {
    /// Input of text.
    pub text: u64,
    /// Input of pictures and sound.
    pub media: u64,
    /// Output of any class.
    pub output: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
const fn is_zero(price: &i64) -> bool {
    *price == 0
}

// === impl TokenPrices ===

impl TokenPrices {
    /// Micro-credits for one token of a class.
    pub const fn of(&self, class: TokenClass) -> i64 {
        let own = match class {
            TokenClass::Input => Some(self.input),
            TokenClass::Cached => Some(self.cached),
            TokenClass::Output => Some(self.output),
            TokenClass::Reasoning => self.reasoning,
            TokenClass::AudioInput => self.audio_input,
            TokenClass::AudioOutput => self.audio_output,
        };
        match (own, class) {
            (Some(own), _) => own,
            (None, TokenClass::Input | TokenClass::Cached | TokenClass::AudioInput) => self.input,
            (None, TokenClass::Output | TokenClass::Reasoning | TokenClass::AudioOutput) => {
                self.output
            }
        }
    }

    /// The dearest token that media can become.
    fn dearest_media(&self) -> i64 {
        self.of(TokenClass::Input)
            .max(self.of(TokenClass::AudioInput))
    }

    /// The dearest token that can come out.
    fn dearest_output(&self) -> i64 {
        self.of(TokenClass::Output)
            .max(self.of(TokenClass::Reasoning))
            .max(self.of(TokenClass::AudioOutput))
    }

    /// The most the input of a request can cost, before the minimum.
    fn input_bound(&self, text: u64, media: u64) -> Result<Micros, MoneyError> {
        let text = Micros::new(self.input).times(text)?;
        text.plus(Micros::new(self.dearest_media()).times(media)?)
    }

    /// What this usage comes to.
    ///
    /// # Errors
    /// When the sum does not fit.
    pub fn total(&self, usage: Usage) -> Result<Micros, MoneyError> {
        let mut classes = TokenClass::ALL.into_iter();
        classes.try_fold(Micros::ZERO, |sum, class| {
            sum.plus(Micros::new(self.of(class)).times(usage.of(class))?)
        })
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let own = [self.reasoning, self.audio_input, self.audio_output];
        let free = own.into_iter().flatten().any(|price| price <= 0);
        if free || self.input <= 0 || self.output < 0 || self.cached < 0 {
            return Err(
                "token prices must be above zero; those of cached and output may be zero"
                    .to_owned(),
            );
        }
        if self.output == 0 && (self.reasoning.is_some() || self.audio_output.is_some()) {
            return Err("where output costs nothing, no part of it may".to_owned());
        }
        if self.cached > self.input {
            return Err("cached must cost at most what input costs".to_owned());
        }
        Ok(())
    }
}

// === impl Price ===

impl Price {
    /// The most a chat request can cost that uses at most this.
    ///
    /// # Errors
    /// When the sum does not fit, or the price is not by token.
    pub fn ceiling(&self, bound: TokenBound, factor: PriceFactor) -> Result<Micros, MoneyError> {
        let prices = self.tokens().ok_or(MoneyError::NotANumber)?;
        let input = prices.input_bound(bound.text, bound.media)?;
        let output = Micros::new(prices.dearest_output()).times(bound.output)?;
        self.rounding.amount(input.plus(output)?, factor)
    }

    /// The output tokens that `amount` pays for behind the input of `bound`, whose own output does not count.
    pub fn affordable_output(&self, amount: Micros, bound: TokenBound, factor: PriceFactor) -> u64 {
        let affordable = || {
            let prices = self.tokens()?;
            let most = factor.most_for(amount);
            if most.get() < self.rounding.minimum_microcredits {
                return None;
            }
            let input = prices.input_bound(bound.text, bound.media).ok()?;
            let rest = most.minus(input).ok()?.get();
            u64::try_from(rest.checked_div(prices.dearest_output())?).ok()
        };
        affordable().unwrap_or(0)
    }

    /// What this usage costs, with a line for each class that was used.
    ///
    /// # Errors
    /// When the sum does not fit, or the price is not by token.
    pub fn cost(&self, usage: Usage, factor: PriceFactor) -> Result<Cost, MoneyError> {
        let prices = self.tokens().ok_or(MoneyError::NotANumber)?;
        let used = TokenClass::ALL
            .into_iter()
            .filter(|class| usage.of(*class) > 0);
        let lines: Vec<Line> = used
            .map(|class| Line::of(class.as_str(), usage.of(class), prices.of(class)))
            .collect::<Result<_, _>>()?;
        Cost::of(lines, self.rounding, factor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Catalogue, price::Tariff};

    fn gemini() -> Price {
        let catalogue = Catalogue::built_in().unwrap();
        let model = catalogue.find("gemini").unwrap();
        model.prices().next().unwrap().clone()
    }

    #[test]
    fn a_million_gemini_tokens_cost_what_the_price_list_says() {
        for (class, credits) in [
            (TokenClass::Input, 50),
            (TokenClass::Cached, 5),
            (TokenClass::AudioInput, 50),
            (TokenClass::Output, 300),
            (TokenClass::Reasoning, 300),
            (TokenClass::AudioOutput, 300),
        ] {
            let mut usage = Usage::default();
            *usage.of_mut(class) = 1_000_000;
            let cost = gemini().cost(usage, PriceFactor::ONE).unwrap();
            assert_eq!(cost.amount, Micros::from_credits(credits), "{class:?}");
            assert_eq!(cost.lines.len(), 1);
        }
    }

    #[test]
    fn prices_that_would_lift_a_ceiling_are_refused() {
        let good = TokenPrices {
            input: 50,
            cached: 0,
            output: 300,
            reasoning: None,
            audio_input: None,
            audio_output: None,
        };
        assert!(good.check().is_ok());
        assert!(TokenPrices { output: 0, ..good }.check().is_ok());
        for wrong in [
            TokenPrices { cached: 51, ..good },
            TokenPrices { cached: -1, ..good },
            TokenPrices { input: 0, ..good },
            TokenPrices { output: -1, ..good },
            TokenPrices {
                output: 0,
                reasoning: Some(1),
                ..good
            },
            TokenPrices {
                reasoning: Some(0),
                ..good
            },
            TokenPrices {
                audio_input: Some(-1),
                ..good
            },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
    }

    prop_compose! {
        fn price()(
            input in 1_i64..2000, cached in 0_i64..2000, output in 1_i64..2000, reasoning in proptest::option::of(1_i64..4000),
            audio_input in proptest::option::of(1_i64..4000), audio_output in proptest::option::of(1_i64..4000),
            minimum in 0_i64..100_000,
        ) -> Price {
            let cached = cached.min(input);
            let prices = TokenPrices { input, cached, output, reasoning, audio_input, audio_output };
            let mut price = gemini();
            price.tariff = Tariff::Token(prices);
            price.rounding.minimum_microcredits = minimum;
            price
        }
    }

    prop_compose! {
        fn factor()(parts in 1_i64..=10_000_000) -> PriceFactor {
            PriceFactor::new(parts).unwrap()
        }
    }

    prop_compose! {
        /// Usage, and a bound that it is within.
        fn used()(
            classes in proptest::array::uniform6(0_u64..1_000_000), spare in proptest::array::uniform3(0_u64..1000),
            pictures in 0_u64..1000,
        ) -> (Usage, TokenBound) {
            let [input, cached, audio_input, output, reasoning, audio_output] = classes;
            let usage = Usage { input, cached, audio_input, output, reasoning, audio_output };
            // Pictures are media that is counted as input.
            let pictures = pictures.min(input);
            let bound = TokenBound {
                text: input - pictures + cached + spare[0],
                media: audio_input + pictures + spare[1],
                output: output + reasoning + audio_output + spare[2],
            };
            (usage, bound)
        }
    }

    proptest! {
        #[test]
        fn cost_never_exceeds_the_ceiling(price in price(), factor in factor(), (usage, bound) in used()) {
            let cost = price.cost(usage, factor).unwrap();
            prop_assert!(cost.amount <= price.ceiling(bound, factor).unwrap());
        }

        #[test]
        fn the_sum_by_class_is_the_total(price in price(), (usage, _) in used()) {
            let sum: i64 = TokenClass::ALL.into_iter().map(|class| {
                let mut one = Usage::default();
                *one.of_mut(class) = usage.of(class);
                let plain = Price { rounding: Default::default(), ..price.clone() };
                plain.cost(one, PriceFactor::ONE).unwrap().amount.get()
            }).sum();
            let total = price.cost(usage, PriceFactor::ONE).unwrap().amount.get();
            prop_assert_eq!(total, sum.max(price.rounding.minimum_microcredits));
        }

        #[test]
        fn more_usage_never_costs_less(price in price(), factor in factor(), (usage, _) in used(), class in 0_usize..6, more in 0_u64..1000) {
            let before = price.cost(usage, factor).unwrap().amount;
            let mut after = usage;
            *after.of_mut(TokenClass::ALL[class]) += more;
            prop_assert!(before <= price.cost(after, factor).unwrap().amount);
        }

        #[test]
        fn what_is_affordable_fits(price in price(), factor in factor(), amount in 0_i64..10_000_000_000, (_, bound) in used()) {
            let amount = Micros::new(amount);
            let output = price.affordable_output(amount, bound, factor);
            let ceiling = |output| price.ceiling(TokenBound { output, ..bound }, factor).unwrap();
            prop_assert!(output == 0 || ceiling(output) <= amount);
            prop_assert!(ceiling(output + 1) > amount);
        }
    }
}
