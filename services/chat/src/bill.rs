//! From what was used to what is charged, and the receipt that explains it. Pure.
//!
//! What the provider reports counts. Where it reported nothing (the stream was cut) or nonsense, what arrived is counted here
//! (`estimate.rs`). Either way the charge is at most the hold: what a provider reports beyond it is our loss.

use std::borrow::Cow;

use domain::{
    Micros, Usage,
    charge::Ending,
    price::Cost,
    receipt::{Receipt, UsageSource, token_usage},
};

use crate::{
    bound::{Bound, Rate},
    estimate::Estimate,
    providers::Chunk,
    usage::{self, Reported},
};

/// Room for the first texts of a stream; there is none before they come.
const FIRST_ROOM: usize = 256;

/// What has come so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Bytes of generated text.
    pub(crate) content_bytes: u64,
    /// The latest usage reported; providers that report more than once report running totals.
    usage: Option<Usage>,
    /// Whether the latest report was nonsense.
    nonsense: bool,
    text: Heard,
}

/// The generated text itself, as long as no provider has said how much it is.
#[derive(Debug, Default)]
struct Heard {
    /// As it is written in JSON, escaped.
    text: Vec<u8>,
    /// Bytes of it, unescaped.
    bytes: u64,
    /// How long it may become.
    most: usize,
}

/// Who says what was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Used {
    /// The provider.
    Reported(Usage),
    /// We, and why.
    Estimated(Estimate, &'static str),
}

/// What is charged, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bill {
    /// What was used.
    pub(crate) usage: Usage,
    /// Who counted that.
    pub(crate) source: UsageSource,
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
    /// One that keeps so much text at most.
    pub(crate) fn new(most: usize) -> Self {
        let mut tally = Self::default();
        tally.text.most = most;
        tally
    }

    /// The tally of an answer in one piece.
    pub(crate) fn of_whole(answer: &Chunk, most: usize) -> Self {
        let mut tally = Self::new(most);
        tally.report(&answer.data);
        tally.hear(&answer.text, answer.signs.content_bytes);
        tally
    }

    /// Counts text, as it is written and how long it is, and keeps it while it may have to be counted. What does not fit is kept no more, nor
    /// what comes behind it.
    pub(crate) fn hear(&mut self, text: &[u8], bytes: u64) {
        let gap = self.text.bytes < self.content_bytes;
        self.content_bytes = self.content_bytes.saturating_add(bytes);
        let Heard {
            text: kept, most, ..
        } = &mut self.text;
        let fits = kept.len().saturating_add(text.len()) <= *most;
        if text.is_empty() || gap || !fits || self.usage.is_some() {
            return;
        }
        if kept.is_empty() {
            kept.reserve(FIRST_ROOM.min(*most));
        }
        kept.extend_from_slice(text);
        self.text.bytes = self.text.bytes.saturating_add(bytes);
    }

    /// The text that came, as it is written in JSON, and how many bytes more there were.
    pub(crate) fn heard(&self) -> (Cow<'_, str>, u64) {
        let text = String::from_utf8_lossy(&self.text.text);
        (text, self.content_bytes.saturating_sub(self.text.bytes))
    }

    /// Takes the usage of an event that holds one.
    pub(crate) fn report(&mut self, json: &[u8]) {
        match usage::read(json) {
            Reported::Nothing => {}
            Reported::Nonsense => self.nonsense = true,
            Reported::Usage(usage) => {
                self.usage = Some(usage);
                self.nonsense = false;
                // Whoever has said it once says it again, and then that counts.
                self.text.text = Vec::new();
                self.text.bytes = 0;
            }
        }
    }

    /// Whether a provider said what was used, believably.
    pub(crate) fn is_reported(&self) -> bool {
        self.reported().is_some()
    }

    /// What a provider said was used, if that is believable.
    pub(crate) fn reported(&self) -> Option<Usage> {
        self.usage.filter(|_| !self.nonsense)
    }

    /// Why nothing believable was said: `silence`, unless something else was.
    pub(crate) const fn why(&self, silence: &'static str) -> &'static str {
        if self.nonsense {
            "usage_nonsense"
        } else {
            silence
        }
    }
}

// === impl Used ===

impl Used {
    /// What was used, and why it is an estimate, if it is one. We never count more output than the provider was allowed.
    fn usage(self, allowed: u64) -> (Usage, Option<&'static str>) {
        match self {
            Self::Reported(usage) => (usage, None),
            Self::Estimated(Estimate { input, output }, reason) => {
                let estimate = Usage {
                    input: input.tokens,
                    output: output.tokens.min(allowed),
                    ..Usage::default()
                };
                (estimate, Some(reason))
            }
        }
    }

    fn source(self) -> UsageSource {
        match self {
            Self::Reported(_) => UsageSource::Provider,
            Self::Estimated(estimate, _) => estimate.source(),
        }
    }
}

// === impl Bill ===

impl Bill {
    /// What that costs, at most `granted`.
    pub(crate) fn of(used: Used, bound: &Bound, rate: &Rate, granted: Micros) -> Self {
        let allowed = bound
            .affordable(rate, granted)
            .saturating_mul(bound.choices);
        let (usage, estimated) = used.usage(allowed);
        // A sum that does not fit is above any hold.
        let cost = rate.price.cost(usage, rate.factor).unwrap_or(Cost {
            amount: Micros::new(i64::MAX),
            lines: Vec::new(),
        });
        Self {
            usage,
            source: used.source(),
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
            usage_source: Some(self.source),
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
    use crate::estimate::Counted;

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

    fn counted(tokens: u64) -> Counted {
        Counted {
            tokens,
            source: UsageSource::Tokenizer,
        }
    }

    fn tally(events: &[&str]) -> Tally {
        let mut tally = Tally::default();
        for usage in events {
            tally.report(format!(r#"{{"usage":{usage}}}"#).as_bytes());
        }
        tally
    }

    /// The bill with a hold of `granted`, of so many tokens where these events do not tell how many there were.
    fn bill(output: u64, events: &[&str], granted: i64) -> Bill {
        let tally = tally(events);
        let estimate = Estimate {
            input: counted(50),
            output: counted(output),
        };
        let estimated = || Used::Estimated(estimate, tally.why("cut"));
        let used = tally.reported().map_or_else(estimated, Used::Reported);
        Bill::of(used, &BOUND, &rate(), Micros::new(granted))
    }

    #[test]
    fn text_is_kept_only_as_far_as_it_may_have_to_be_counted() {
        let mut tally = Tally::new(9);
        tally.hear(b"", 0);
        assert_eq!(tally.text.text.capacity(), 0);
        tally.hear(br"ab\n", 3);
        tally.hear(b"cd", 2);
        assert_eq!(tally.heard(), (r"ab\ncd".into(), 0));
        // What does not fit, and what comes behind it.
        tally.hear(b"efgh", 4);
        tally.hear(b"i", 1);
        assert_eq!(
            (tally.heard(), tally.content_bytes),
            ((r"ab\ncd".into(), 5), 10)
        );
        tally.report(br#"{"usage":{"prompt_tokens":10,"completion_tokens":1}}"#);
        tally.hear(b"j", 1);
        assert_eq!(tally.text.text.capacity(), 0);
        assert_eq!(tally.heard(), ("".into(), 11));
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
    fn what_was_not_reported_is_what_was_counted() {
        let cut = bill(3, &[], 100_000);
        assert_eq!(cut.amount, Micros::new(50 * 50 + 3 * 300));
        assert_eq!(
            (cut.estimated, cut.source),
            (Some("cut"), UsageSource::Tokenizer)
        );
        let nonsense = bill(3, &[r#"{"prompt_tokens":-1}"#], 100_000);
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
            (bill(3, &[], 20_000), Ending::ClientLeft),
        ] {
            let receipt = bill.receipt(&draft, ending);
            let sum = recompute(&catalogue, &receipt).unwrap();
            assert_eq!((sum.total, receipt.total()), (bill.amount, bill.amount));
        }
        let free = draft.free(Ending::Auth, Micros::new(7));
        assert_eq!(recompute(&catalogue, &free).unwrap().total, Micros::ZERO);
    }
}
