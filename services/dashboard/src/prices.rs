//! A price as a table for people. The amounts are those of the catalogue, and no sum is made here.

use domain::{
    Micros, TokenClass,
    price::{Price, Tariff, TokenPrices},
};
use serde_json::{Map, Value};

use crate::view::{credits, plain};

/// Prices by token are told by the million.
const MILLION: u64 = 1_000_000;

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PriceRow {
    /// For what.
    pub(crate) of: String,
    /// How much one unit of it costs, credits.
    pub(crate) credits: String,
}

/// A price.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PriceTable<'m> {
    price: &'m Price,
}

/// `mode pro, sound true`.
fn condition(when: &Map<String, Value>) -> String {
    let parts = when
        .iter()
        .map(|(name, value)| format!("{name} {}", plain(value)));
    parts.collect::<Vec<_>>().join(", ")
}

/// A million of them.
fn million(microcredits: i64) -> Micros {
    Micros::new(microcredits)
        .times(MILLION)
        .unwrap_or(Micros::ZERO)
}

/// Classes that have a price of their own, in the order of receipts.
pub(crate) fn classes(prices: &TokenPrices) -> Vec<TokenClass> {
    let has_own = |class: &TokenClass| match class {
        TokenClass::Input | TokenClass::Cached => true,
        TokenClass::Output => prices.output > 0,
        TokenClass::Reasoning => prices.reasoning.is_some(),
        TokenClass::AudioInput => prices.audio_input.is_some(),
        TokenClass::AudioOutput => prices.audio_output.is_some(),
    };
    TokenClass::ALL.into_iter().filter(has_own).collect()
}

/// What a class of tokens is called.
pub(crate) const fn class_name(class: TokenClass) -> &'static str {
    match class {
        TokenClass::Input => "input",
        TokenClass::Cached => "input read from the provider's cache",
        TokenClass::AudioInput => "input of sound",
        TokenClass::Output => "output",
        TokenClass::Reasoning => "reasoning",
        TokenClass::AudioOutput => "output of sound",
    }
}

// === impl PriceTable ===

impl<'m> PriceTable<'m> {
    pub(crate) const fn new(price: &'m Price) -> Self {
        Self { price }
    }

    /// What is counted.
    pub(crate) fn unit(self) -> String {
        if self.price.tokens().is_some() {
            "million tokens".to_owned()
        } else {
            self.price.tariff.unit().to_owned()
        }
    }

    /// The rows, as the catalogue has them: the first that matches counts.
    pub(crate) fn rows(self) -> Vec<PriceRow> {
        if let Some(prices) = self.price.tokens() {
            let row = |class: TokenClass| PriceRow {
                of: class_name(class).to_owned(),
                credits: million(prices.of(class)).to_string(),
            };
            return classes(prices).into_iter().map(row).collect();
        }
        let rows = self.price.tariff.rows();
        let row = |row: &domain::price::Row| PriceRow {
            of: match (row.when.is_empty(), rows.len()) {
                (true, 1) => "any request".to_owned(),
                (true, _) => "anything else".to_owned(),
                (false, _) => condition(&row.when),
            },
            credits: Micros::new(row.microcredits).to_string(),
        };
        rows.iter().map(row).collect()
    }

    /// The least of it, for lists.
    pub(crate) fn from(self) -> String {
        if let Some(prices) = self.price.tokens() {
            let input = credits(million(prices.of(TokenClass::Input)));
            if prices.output == 0 {
                return format!("{input} per million tokens");
            }
            let output = million(prices.of(TokenClass::Output));
            return format!("{input} in, {output} out, per million tokens");
        }
        let rows = self.price.tariff.rows();
        let least = rows.iter().map(|row| row.microcredits).min().unwrap_or(0);
        let from = if rows.len() > 1 { "from " } else { "" };
        format!("{from}{} per {}", credits(Micros::new(least)), self.unit())
    }

    /// What else becomes of the sum.
    pub(crate) fn notes(self) -> Vec<String> {
        let mut notes = Vec::new();
        let (tariff, rounding) = (&self.price.tariff, self.price.rounding);
        if let Some(per) = tariff.per() {
            notes.push(match tariff {
                Tariff::Character { .. } => format!("Times the characters of {per}."),
                Tariff::Second { measured: true, .. } => {
                    format!("Times the seconds of what is made: at most {per}, which are held.")
                }
                Tariff::Second { .. }
                | Tariff::Image { .. }
                | Tariff::Call { .. }
                | Tariff::Token(_) => format!("Times {per}."),
            });
        }
        if rounding.minimum_microcredits > 0 {
            let least = credits(Micros::new(rounding.minimum_microcredits));
            notes.push(format!("A request costs at least {least}."));
        }
        if rounding.round_up_microcredits > 0 {
            let step = credits(Micros::new(rounding.round_up_microcredits));
            notes.push(format!("The sum is rounded up to a multiple of {step}."));
        }
        notes
    }
}
