//! From what was used to what is charged, and the receipt that explains it. Pure.
//!
//! What the provider reports counts. Where it reported nothing (the stream was cut) or nonsense, the usage is estimated from what
//! arrived, low rather than high: the output at four bytes of text a token, the input at half of its bound, which is four bytes a
//! token and half the fixed sum per media part. Either way the charge is at most the hold: what a provider reports beyond it is our loss.

use domain::{Micros, MoneyError, Usage, price::Price};
use serde::Serialize;

use crate::{
    bound::Bound,
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
    /// The cost by class, in the receipt's order.
    classes: Classes,
}

/// Micro-credits by class of token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Classes {
    input: i64,
    cached: i64,
    output: i64,
    reasoning: i64,
}

/// One call to a provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Attempt {
    /// Who was asked.
    pub(crate) provider: String,
    /// `answered`, or the class of the failure.
    pub(crate) outcome: &'static str,
}

/// What the request was for: the fixed part of a receipt.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Subject {
    /// The model's slug.
    pub(crate) model: String,
    /// Who answered, or was asked last.
    pub(crate) provider: String,
    /// The version of the price list.
    pub(crate) price_version: String,
    /// Every call, in order.
    pub(crate) attempts: Vec<Attempt>,
}

#[derive(Serialize)]
struct Receipt<'a> {
    #[serde(flatten)]
    subject: &'a Subject,
    usage: WireUsage,
    estimated: Option<&'static str>,
    microcredits: Classes,
    total_microcredits: i64,
}

#[derive(Serialize)]
struct WireUsage {
    input: u64,
    cached: u64,
    output: u64,
    reasoning: u64,
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

    /// What was used, and why it is an estimate if it is one: `reason`, unless the report was nonsense.
    fn usage(&self, bound: &Bound, reason: &'static str) -> (Usage, Option<&'static str>) {
        if let (Some(usage), false) = (self.usage, self.nonsense) {
            return (usage, None);
        }
        let estimate = Usage {
            input: bound.input.div_ceil(2),
            output: self.content_bytes.div_ceil(BYTES_PER_TOKEN),
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
        price: &Price,
        granted: Micros,
        reason: &'static str,
    ) -> Self {
        let (usage, estimated) = tally.usage(bound, reason);
        let cost = price.tokens(usage);
        let classes = Classes::of(price, usage).unwrap_or_default();
        let over = cost.is_err() || cost.is_ok_and(|cost| cost > granted);
        Self {
            usage,
            estimated,
            amount: cost.map_or(granted, |cost| cost.min(granted)),
            // An estimate above the hold is our own mistake, not the provider's.
            over: over && estimated.is_none(),
            classes,
        }
    }

    /// The JSON that explains the charge. It holds no content.
    pub(crate) fn receipt(&self, subject: &Subject) -> Vec<u8> {
        let Usage {
            input,
            cached,
            output,
            reasoning,
        } = self.usage;
        let receipt = Receipt {
            subject,
            usage: WireUsage {
                input,
                cached,
                output,
                reasoning,
            },
            estimated: self.estimated,
            microcredits: self.classes,
            total_microcredits: self.amount.get(),
        };
        serde_json::to_vec(&receipt).unwrap_or_default()
    }
}

// === impl Classes ===

impl Classes {
    fn of(price: &Price, usage: Usage) -> Result<Self, MoneyError> {
        let one = |usage: Usage| price.tokens(usage).map(Micros::get);
        let none = Usage::default();
        Ok(Self {
            input: one(Usage {
                input: usage.input,
                ..none
            })?,
            cached: one(Usage {
                cached: usage.cached,
                ..none
            })?,
            output: one(Usage {
                output: usage.output,
                ..none
            })?,
            reasoning: one(Usage {
                reasoning: usage.reasoning,
                ..none
            })?,
        })
    }
}

// === impl Subject ===

impl Subject {
    /// The receipt of a release: what was tried, and that nothing is charged.
    pub(crate) fn free(&self, reason: &'static str) -> Vec<u8> {
        #[derive(Serialize)]
        struct Free<'a> {
            #[serde(flatten)]
            subject: &'a Subject,
            free: &'static str,
            total_microcredits: i64,
        }
        let receipt = Free {
            subject: self,
            free: reason,
            total_microcredits: 0,
        };
        serde_json::to_vec(&receipt).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use domain::Catalogue;
    use serde_json::{Value, json};

    use super::*;

    const BOUND: Bound = Bound {
        input: 100,
        output: 50,
        choices: 1,
    };

    /// The bill of a tally with a hold of `granted`.
    fn bill(content_bytes: u64, events: &[&str], granted: i64) -> Bill {
        let catalogue = Catalogue::built_in().unwrap();
        let mut tally = Tally {
            content_bytes,
            ..Tally::default()
        };
        for usage in events {
            tally.report(format!(r#"{{"usage":{usage}}}"#).as_bytes());
        }
        let price = &catalogue.find("gemini").unwrap().price;
        Bill::of(&tally, &BOUND, price, Micros::new(granted), "cut")
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
        let estimate = bill(1_000_000, &[], 20_000);
        assert_eq!(
            (estimate.amount, estimate.over),
            (Micros::new(20_000), false)
        );
    }

    #[test]
    fn the_receipt_adds_up() {
        let subject = Subject {
            model: "gemini".into(),
            provider: "gemini".into(),
            price_version: "v".into(),
            attempts: vec![Attempt {
                provider: "gemini".into(),
                outcome: "answered",
            }],
        };
        let bill = bill(
            0,
            &[r#"{"prompt_tokens":10,"completion_tokens":4}"#],
            20_000,
        );
        let receipt: Value = serde_json::from_slice(&bill.receipt(&subject)).unwrap();
        let expected = json!({
            "model": "gemini", "provider": "gemini", "price_version": "v",
            "attempts": [{"provider": "gemini", "outcome": "answered"}],
            "usage": {"input": 10, "cached": 0, "output": 4, "reasoning": 0},
            "estimated": null,
            "microcredits": {"input": 500, "cached": 0, "output": 1200, "reasoning": 0},
            "total_microcredits": 1700,
        });
        assert_eq!(receipt, expected);
        let free: Value = serde_json::from_slice(&subject.free("auth")).unwrap();
        assert_eq!(
            (&free["free"], &free["total_microcredits"]),
            (&json!("auth"), &json!(0))
        );
    }
}
