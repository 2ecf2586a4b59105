//! From what was used to what is charged, and the receipt that explains it. Pure.
//!
//! What the provider reports counts. Where it reported nothing (the stream was cut) or nonsense, the usage is estimated from what
//! arrived, low rather than high: the output at four bytes of text a token, the input at half of its bound, which is four bytes a
//! token and half the fixed sum per media part. Either way the charge is at most the hold: what a provider reports beyond it is our loss.

use domain::{
    Micros, Usage,
    charge::Ending,
    price::Cost,
    receipt::{Receipt, UsageSource, token_usage},
};

use crate::{
    bound::{Bound, Rate},
    usage::{self, Reported},
};

/// Bytes of generated text that are estimated to be one token.
const BYTES_PER_TOKEN: u64 = 4;

/// What has come so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Bytes of generated text.
    pub(crate) content_bytes: u64,
    /// The latest usage reported; providers that report more than once report running totals.
    usage: Option<Usage>,
    /// Whether the latest report was nonsense.
    nonsense: bool,
}

/// What is charged, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bill {
    /// What was used.
    pub(crate) usage: Usage,
    /// Why the usage is an estimate, if it is one.
    pub(crate) estimated: Option<&'static str>,
    /// What is charged: the cost, or the hold where that is less.
    pub(crate) amount: Micros,
    /// Whether the cost was above the hold.
    pub(crate) over: bool,
    /// The cost with its lines, and the hold.
    cost: Cost,
    granted: Micros,
}

// === impl Tally ===

impl Tally {
    /// The tally of an answer in one piece.
    pub(crate) fn of_whole(json: &[u8], content_bytes: u64) -> Self {
        let mut tally = Self {
            content_bytes,
            ..Self::default()
        };
        tally.report(json);
        tally
    }

    /// Takes the usage of an event that holds one.
    pub(crate) fn report(&mut self, json: &[u8]) {
        match usage::read(json) {
            Reported::Nothing => {}
            Reported::Nonsense => self.nonsense = true,
            Reported::Usage(usage) => {
                self.usage = Some(usage);
                self.nonsense = false;
            }
        }
    }

    /// Whether a provider said what was used, believably.
    pub(crate) fn is_reported(&self) -> bool {
        self.usage.is_some() && !self.nonsense
    }

    /// What was used, and why it is an estimate if it is one: `reason`, unless the report was nonsense. We never count more output than the
    /// provider was allowed.
    fn usage(
        &self,
        bound: &Bound,
        (allowed, reason): (u64, &'static str),
    ) -> (Usage, Option<&'static str>) {
        if let (Some(usage), false) = (self.usage, self.nonsense) {
            return (usage, None);
        }
        let estimate = Usage {
            input: bound.usual_input().div_ceil(2),
            output: self.content_bytes.div_ceil(BYTES_PER_TOKEN).min(allowed),
            ..Usage::default()
        };
        let reason = if self.nonsense {
            "usage_nonsense"
        } else {
            reason
        };
        (estimate, Some(reason))
    }
}

// === impl Bill ===

impl Bill {
    /// What a tally costs, at most `granted`. `reason` says why no usage may have come.
    pub(crate) fn of(
        tally: &Tally,
        bound: &Bound,
        rate: &Rate,
        granted: Micros,
        reason: &'static str,
    ) -> Self {
        let allowed = bound
            .affordable(rate, granted)
            .saturating_mul(bound.choices);
        let (usage, estimated) = tally.usage(bound, (allowed, reason));
        // A sum that does not fit is above any hold.
        let cost = rate.price.cost(usage, rate.factor).unwrap_or(Cost {
            amount: Micros::new(i64::MAX),
            lines: Vec::new(),
        });
        Self {
            usage,
            estimated,
            amount: cost.amount.min(granted),
            // An estimate above the hold is our own mistake, not the provider's.
            over: cost.amount > granted && estimated.is_none(),
            cost,
            granted,
        }
    }

    /// What explains the charge.
    pub(crate) fn receipt(&self, draft: &Receipt, ending: Ending) -> Receipt {
        let used = (token_usage(self.usage), self.cost.clone());
        Receipt {
            usage_source: Some(match self.estimated {
                Some(_) => UsageSource::Estimate,
                None => UsageSource::Provider,
            }),
            estimated: self.estimated.map(str::to_owned),
            ..draft.clone().paid(ending, used, self.granted)
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::{
        Catalogue, Moment, PriceFactor,
        charge::Kind,
        price::Applied,
        receipt::{Subject, recompute},
    };

    use super::*;

    const BOUND: Bound = Bound {
        text: 60,
        media: 40,
        pages: 1_000,
        output: 50,
        choices: 1,
    };

    fn rate() -> Rate {
        let catalogue = Catalogue::built_in().unwrap();
        let model = catalogue.find("gemini").unwrap();
        Rate {
            price: model.prices().next().unwrap().clone(),
            factor: PriceFactor::ONE,
        }
    }

    /// The bill of a tally with a hold of `granted`.
    fn bill(content_bytes: u64, events: &[&str], granted: i64) -> Bill {
        let mut tally = Tally {
            content_bytes,
            ..Tally::default()
        };
        for usage in events {
            tally.report(format!(r#"{{"usage":{usage}}}"#).as_bytes());
        }
        Bill::of(&tally, &BOUND, &rate(), Micros::new(granted), "cut")
    }

    #[test]
    fn the_latest_believable_report_counts() {
        let events = [
            r#"{"prompt_tokens":10,"completion_tokens":1}"#,
            r#"{"prompt_tokens":10,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":2}}"#,
        ];
        let bill = bill(999, &events, 100_000);
        assert_eq!(bill.amount, Micros::new(8 * 50 + 2 * 5 + 4 * 300));
        assert_eq!((bill.estimated, bill.over), (None, false));
    }

    #[test]
    fn what_was_not_reported_is_estimated_low() {
        let cut = bill(9, &[], 100_000);
        assert_eq!(cut.amount, Micros::new(50 * 50 + 3 * 300));
        assert_eq!(cut.estimated, Some("cut"));
        let nonsense = bill(9, &[r#"{"prompt_tokens":-1}"#], 100_000);
        assert_eq!(
            (nonsense.amount, nonsense.estimated),
            (cut.amount, Some("usage_nonsense"))
        );
    }

    #[test]
    fn the_hold_is_the_most_that_is_charged() {
        let over = bill(
            0,
            &[r#"{"prompt_tokens":10,"completion_tokens":1000000}"#],
            20_000,
        );
        assert_eq!((over.amount, over.over), (Micros::new(20_000), true));
        let huge = bill(
            0,
            &[r#"{"prompt_tokens":18446744073709551,"completion_tokens":1844674407370955}"#],
            20_000,
        );
        assert_eq!((huge.amount, huge.over), (Micros::new(20_000), true));
        // An estimate is of no more output than the hold allows beside all of the input.
        let estimate = bill(1_000_000, &[], 1_100 * 50 + 16 * 300);
        assert_eq!(
            (estimate.amount, estimate.over),
            (Micros::new(50 * 50 + 16 * 300), false)
        );
    }

    #[test]
    fn the_receipt_of_any_bill_is_computed_again() {
        let catalogue = Catalogue::built_in().unwrap();
        let draft = Receipt::of(Subject {
            route: "chat/completions".to_owned(),
            kind: Kind::ChatStream,
            model: "gemini".to_owned(),
            price_version: catalogue.version().to_owned(),
            applied: Applied::of_tokens(&rate().price, Moment::default(), rate().factor),
            tags: domain::Tags::default(),
        });
        for (bill, ending) in [
            (
                bill(
                    0,
                    &[r#"{"prompt_tokens":10,"completion_tokens":4}"#],
                    20_000,
                ),
                Ending::Completed,
            ),
            (
                bill(
                    0,
                    &[r#"{"prompt_tokens":10,"completion_tokens":4000}"#],
                    20_000,
                ),
                Ending::Completed,
            ),
            (
                bill(
                    0,
                    &[
                        r#"{"prompt_tokens":18446744073709551,"completion_tokens":1844674407370955}"#,
                    ],
                    20_000,
                ),
                Ending::Completed,
            ),
            (bill(9, &[], 20_000), Ending::ClientLeft),
        ] {
            let receipt = bill.receipt(&draft, ending);
            let sum = recompute(&catalogue, &receipt).unwrap();
            assert_eq!((sum.total, receipt.total()), (bill.amount, bill.amount));
        }
        let free = draft.free(Ending::Auth, Micros::new(7));
        assert_eq!(recompute(&catalogue, &free).unwrap().total, Micros::ZERO);
    }
}
