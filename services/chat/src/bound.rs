//! How much a request can use at most, in tokens, and how much of it the balance affords. Pure.
//!
//! Input: half the bytes of the request's text (media excluded), plus a fixed sum per media part, and many times that for a
//! document, whose pages nobody has counted. No tokenizer in use makes
//! more than one token of two bytes of ordinary text; where one did, the difference would be our loss, never the customer's: our own
//! count of an input (`estimate.rs`) ends there too.
//! Output: what the request names, else the model's default; both include reasoning. `n` choices multiply the output.

use domain::{
    Micros, MoneyError, PriceFactor,
    catalogue::ChatLimits,
    price::{Price, TokenBound},
};

use crate::request::Request;

/// So many media parts a document counts as: some hundred pages, at what a media part is for the models that read them.
const PAGES: u64 = 32;

/// The most a request can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    /// Tokens of input that are text.
    pub(crate) text: u64,
    /// Tokens of input that are media, a document being one part.
    pub(crate) media: u64,
    /// Tokens that documents may have beyond that.
    pub(crate) pages: u64,
    /// Tokens of output of one choice, reasoning included.
    pub(crate) output: u64,
    /// Choices.
    pub(crate) choices: u64,
}

/// A price, and what the account pays of it.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    pub(crate) price: Price,
    pub(crate) factor: PriceFactor,
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
    /// The bound of a request that nothing comes out of that is counted.
    pub(crate) fn of_input(request: &Request) -> Self {
        Self {
            text: u64::try_from(request.text_bytes)
                .unwrap_or(u64::MAX)
                .div_ceil(2),
            media: 0,
            pages: 0,
            output: 0,
            choices: 1,
        }
    }

    /// The bound of a request to a model with these limits.
    pub(crate) fn of(request: &Request, limits: &ChatLimits) -> Self {
        Self {
            text: u64::try_from(request.text_bytes)
                .unwrap_or(u64::MAX)
                .div_ceil(2),
            media: request.media.parts.saturating_mul(limits.media_part),
            pages: request
                .media
                .documents
                .saturating_mul(PAGES - 1)
                .saturating_mul(limits.media_part),
            output: request.max_output.unwrap_or(limits.default_output_bound),
            choices: request.choices,
        }
    }

    /// The most tokens of input.
    pub(crate) const fn input(&self) -> u64 {
        let shown = self.text.saturating_add(self.media);
        shown.saturating_add(self.pages)
    }

    /// What to hold: the highest price, and the price with only `least_output` tokens of output, if that is less.
    ///
    /// # Errors
    /// When the sums do not fit.
    pub(crate) fn terms(&self, rate: &Rate, least_output: u64) -> Result<Terms, MoneyError> {
        let least = self.output.min(least_output);
        let ceiling = |output| rate.price.ceiling(self.with_output(output), rate.factor);
        Ok(Terms {
            amount: ceiling(self.output)?,
            floor: ceiling(least)?,
        })
    }

    /// The output of one choice that `granted` pays for: the limit the provider is given.
    pub(crate) fn affordable(&self, rate: &Rate, granted: Micros) -> u64 {
        let each = rate
            .price
            .affordable_output(granted, self.with_output(0), rate.factor)
            .checked_div(self.choices)
            .unwrap_or(0);
        self.output.min(each)
    }

    /// The most that is used when each choice has so much output.
    fn with_output(&self, each: u64) -> TokenBound {
        TokenBound {
            text: self.text,
            media: self.media.saturating_add(self.pages),
            output: each.saturating_mul(self.choices),
        }
    }
}

// === impl Terms ===

impl Terms {
    /// No more than `most`, the customer's own limit.
    ///
    /// # Errors
    /// The floor, when not even that is within the limit.
    pub(crate) fn within(self, most: Option<Micros>) -> Result<Self, Micros> {
        let amount = most.map_or(self.amount, |most| most.min(self.amount));
        if amount < self.floor {
            return Err(self.floor);
        }
        Ok(Self { amount, ..self })
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
                text: u64::try_from(body.len()).unwrap().div_ceil(2),
                media: 0,
                pages: 0,
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
        assert_eq!(got.media, 4096);
        assert!((4096..4200).contains(&got.input()), "{}", got.input());
        // A document may be long: that is held, and charged only if the provider counts it.
        let got = bound(&with_image.replace("image_url", "file"));
        assert_eq!((got.media, got.pages), (4096, 31 * 4096));
        assert!(got.text < 104 && got.input() > 32 * 4096);
    }

    fn gemini(parts: i64) -> Rate {
        let catalogue = Catalogue::built_in().unwrap();
        let model = catalogue.find("gemini").unwrap();
        Rate {
            price: model.prices().next().unwrap().clone(),
            factor: PriceFactor::new(parts).unwrap(),
        }
    }

    #[test]
    fn a_limit_of_the_customers_own_lowers_what_is_held_but_not_below_the_floor() {
        let terms = Terms {
            amount: Micros::new(100),
            floor: Micros::new(40),
        };
        let within = |most: i64| {
            let terms = terms.within(Some(Micros::new(most)));
            terms.map(|terms| terms.amount.get()).map_err(Micros::get)
        };
        assert_eq!(terms.within(None), Ok(terms));
        assert_eq!(
            [within(200), within(70), within(40)],
            [Ok(100), Ok(70), Ok(40)]
        );
        assert_eq!(within(39), Err(40));
    }

    proptest! {
        #[test]
        fn what_is_granted_is_enough_for_what_is_sent(
            text in 0_u64..100_000, media in 0_u64..10_000, output in 1_u64..65_536, choices in 1_u64..9, short in 0_i64..10_000_000,
            parts in 1_i64..=10_000_000,
        ) {
            let rate = gemini(parts);
            let bound = Bound { text, media, pages: media / 2, output, choices };
            let terms = bound.terms(&rate, 256).unwrap();
            prop_assert!(terms.floor <= terms.amount);
            prop_assert_eq!(bound.affordable(&rate, terms.amount), output);
            let granted = terms.floor.max(Micros::new(terms.amount.get() - short));
            let sent = bound.affordable(&rate, granted);
            prop_assert!(sent >= output.min(256));
            prop_assert!(rate.price.ceiling(bound.with_output(sent), rate.factor).unwrap() <= granted);
        }
    }
}
