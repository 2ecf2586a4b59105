//! How much a request can use at most, in tokens, and how much of it the balance affords. Pure.
//!
//! Input: half the bytes of the request's text (media excluded), plus a fixed sum per media part. No tokenizer in use makes
//! more than one token of two bytes of ordinary text; where one did, the difference would be our loss, never the customer's.
//! Output: what the request names, else the model's default; both include reasoning. `n` choices multiply the output.

use domain::{Micros, MoneyError, catalogue::ChatLimits, price::Price};

use crate::request::Request;

/// The most a request can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    /// Tokens of input.
    pub(crate) input: u64,
    /// Tokens of output of one choice, reasoning included.
    pub(crate) output: u64,
    /// Choices.
    pub(crate) choices: u64,
}

/// What to ask billing for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    /// The highest price.
    pub(crate) amount: Micros,
    /// The price of the smallest answer that is worth having.
    pub(crate) floor: Micros,
}

// === impl Bound ===

impl Bound {
    /// The bound of a request to a model with these limits.
    pub(crate) fn of(request: &Request, limits: &ChatLimits) -> Self {
        let text = u64::try_from(request.text_bytes)
            .unwrap_or(u64::MAX)
            .div_ceil(2);
        let media = request.media_parts.saturating_mul(limits.media_part);
        Self {
            input: text.saturating_add(media),
            output: request.max_output.unwrap_or(limits.default_output_bound),
            choices: request.choices,
        }
    }

    /// What to hold: the highest price, and the price with only `least_output` tokens of output, if that is less.
    ///
    /// # Errors
    /// When the sums do not fit.
    pub(crate) fn terms(&self, price: &Price, least_output: u64) -> Result<Terms, MoneyError> {
        let least = self.output.min(least_output);
        Ok(Terms {
            amount: price.ceiling(self.input, self.output.saturating_mul(self.choices))?,
            floor: price.ceiling(self.input, least.saturating_mul(self.choices))?,
        })
    }

    /// The output of one choice that `granted` pays for: the limit the provider is given.
    pub(crate) fn affordable(&self, price: &Price, granted: Micros) -> u64 {
        let each = price
            .affordable_output(granted, self.input)
            .checked_div(self.choices)
            .unwrap_or(0);
        self.output.min(each)
    }
}

#[cfg(test)]
mod tests {
    use domain::Catalogue;
    use proptest::prelude::*;

    use super::*;
    use crate::request;

    fn bound(body: &str) -> Bound {
        let catalogue = Catalogue::built_in().unwrap();
        let limits = catalogue.find("gemini").unwrap().chat.unwrap();
        Bound::of(&request::parse(body.as_bytes(), 8).unwrap(), &limits)
    }

    #[test]
    fn text_counts_half_its_bytes_and_media_a_fixed_sum() {
        let body = r#"{"model":"gemini","messages":[{"role":"user","content":"hi"}]}"#;
        assert_eq!(
            bound(body),
            Bound {
                input: u64::try_from(body.len()).unwrap().div_ceil(2),
                output: 8192,
                choices: 1
            }
        );
        let image = format!(
            r#"{{"type":"image_url","image_url":{{"url":"data:{}"}}}}"#,
            "A".repeat(100_000)
        );
        let with_image = format!(
            r#"{{"model":"gemini","messages":[{{"role":"user","content":[{image}]}}],"n":3,"max_tokens":100}}"#
        );
        let got = bound(&with_image);
        assert_eq!((got.output, got.choices), (100, 3));
        assert!((4096..4200).contains(&got.input), "{}", got.input);
    }

    proptest! {
        #[test]
        fn what_is_granted_is_enough_for_what_is_sent(input in 0_u64..100_000, output in 1_u64..65_536, choices in 1_u64..9, short in 0_i64..10_000_000) {
            let catalogue = Catalogue::built_in().unwrap();
            let price = &catalogue.find("gemini").unwrap().price;
            let bound = Bound { input, output, choices };
            let terms = bound.terms(price, 256).unwrap();
            prop_assert!(terms.floor <= terms.amount);
            prop_assert_eq!(bound.affordable(price, terms.amount), output);
            let granted = terms.floor.max(Micros::new(terms.amount.get() - short));
            let sent = bound.affordable(price, granted);
            prop_assert!(sent >= output.min(256));
            prop_assert!(price.ceiling(input, sent * choices).unwrap() <= granted);
        }
    }
}
