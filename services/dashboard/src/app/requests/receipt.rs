//! A receipt in words: each line of its arithmetic, and whether it adds up when it is computed again from its price list.

use domain::{
    Catalogue, Micros, PriceFactor, TokenClass,
    charge::{Charge, Ending, Kind},
    receipt::{Attempts, Receipt, recompute},
};
use proto::billing::v1::{GetPriceListRequest, Operation};

use crate::{
    Site,
    prices::class_name,
    refused::{Refusal, Refused},
    show,
    view::plain,
};

/// What a receipt says.
#[derive(Debug)]
pub(super) struct Told {
    receipt: Receipt,
    /// Whether it adds up.
    pub(super) check: Check,
    /// The lines of the sum.
    pub(super) lines: Vec<Step>,
    /// What becomes of the sum: what, how, and what it is then.
    pub(super) then: Vec<(&'static str, String, String)>,
}

/// So many units at so much each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) of: String,
    pub(super) units: String,
    pub(super) each: String,
    pub(super) all: String,
}

/// What came of computing it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// It is what was charged.
    Good,
    /// It is not, and why.
    Bad(Vec<String>),
    /// The price list is not there.
    Unknown,
}

/// A call to a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) number: usize,
    pub(super) provider: String,
    pub(super) model: String,
    pub(super) outcome: String,
    /// What that means; empty: it says so itself.
    pub(super) why: &'static str,
}

/// Indented JSON; empty: it is none.
pub(super) fn pretty(json: &[u8]) -> String {
    serde_json::from_slice::<serde_json::Value>(json)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_default()
}

/// Computes a receipt again, and compares it with what was booked.
fn check(prices: &Catalogue, receipt: &Receipt, operation: &Operation) -> Check {
    let mut wrong = recompute(prices, receipt).err().unwrap_or_default();
    // What came too late is charged as far as the balance reached, and the rest is our loss.
    let booked = operation.charged.saturating_add(operation.written_off);
    if booked != receipt.total_microcredits {
        wrong.push(format!(
            "{} credits were booked, and the receipt says {}",
            Micros::new(booked),
            receipt.total()
        ));
    }
    if wrong.is_empty() {
        Check::Good
    } else {
        Check::Bad(wrong)
    }
}

/// The lines of the sum.
fn lines(receipt: &Receipt) -> Vec<Step> {
    let lines = receipt.lines.iter();
    let line = |line: &domain::price::Line| Step {
        of: match TokenClass::parse(&line.class) {
            Some(class) => format!("tokens, {}", class_name(class)),
            None => line.class.clone(),
        },
        units: show::count(line.units),
        each: show::credits(line.unit_microcredits),
        all: show::credits(line.microcredits),
    };
    lines.map(line).collect()
}

/// What becomes of the sum, step by step, up to what is charged.
fn then(receipt: &Receipt) -> Vec<(&'static str, String, String)> {
    let mut steps = Vec::new();
    let applied = &receipt.applied;
    if !receipt.lines.is_empty() {
        let sum = receipt
            .lines
            .iter()
            .fold(0_i64, |sum, line| sum.saturating_add(line.microcredits));
        steps.push(("Sum", String::new(), show::credits(sum)));
        let rounding = applied.rounding;
        let mut amount = sum;
        if rounding.minimum_microcredits > 0 {
            amount = amount.max(rounding.minimum_microcredits);
            let how = format!("at least {}", show::credits(rounding.minimum_microcredits));
            steps.push(("Minimum", how, show::credits(amount)));
        }
        if rounding.round_up_microcredits > 0 {
            let rounded = rounding.amount(Micros::new(sum), PriceFactor::ONE);
            let how = format!(
                "up to a multiple of {}",
                show::credits(rounding.round_up_microcredits)
            );
            let rounded = rounded.map_or_else(|_| "–".to_owned(), |all| show::credits(all.get()));
            steps.push(("Rounded", how, rounded));
        }
        if applied.price_factor != PriceFactor::ONE {
            let how = format!("× {}, your account's factor", applied.price_factor);
            steps.push(("Price", how, show::credits(receipt.cost_microcredits)));
        }
    }
    let held = show::credits(receipt.held_microcredits);
    steps.push(("Held", "the most that is charged".to_owned(), held));
    steps
}

// === impl Told ===

impl Told {
    /// Reads a receipt and computes it again by the list that it names. `None`: it is no receipt.
    ///
    /// # Errors
    /// When we failed; a list that is not there is [`Check::Unknown`].
    pub(super) async fn read(
        site: &Site,
        operation: &Operation,
        json: &[u8],
    ) -> Result<Option<Self>, Refused> {
        let Ok(receipt) = serde_json::from_slice::<Receipt>(json) else {
            return Ok(None);
        };
        let check = if receipt.price_version == site.catalogue.version() {
            check(&site.catalogue, &receipt, operation)
        } else {
            match list(site, &receipt.price_version).await? {
                Some(prices) => check(&prices, &receipt, operation),
                None => Check::Unknown,
            }
        };
        Ok(Some(Self {
            check,
            lines: lines(&receipt),
            then: then(&receipt),
            receipt,
        }))
    }

    /// Whether a task did it.
    pub(super) fn is_task(&self) -> bool {
        self.receipt.kind == Kind::Media
    }

    /// What was charged, and why so much.
    pub(super) fn charged(&self) -> (String, &'static str) {
        let why = match self.receipt.charged {
            Charge::Nothing => "nothing is charged",
            Charge::WhatArrived => "what had arrived is charged",
            Charge::InFull => "it is charged in full",
        };
        (show::credits(self.receipt.total_microcredits), why)
    }

    /// How it ended: the word, and what it means.
    pub(super) fn ending(&self) -> (&'static str, &'static str) {
        (self.receipt.class.as_str(), self.receipt.class.what())
    }

    /// What else there is to know: name and text.
    pub(super) fn facts(&self) -> Vec<(&'static str, String)> {
        let receipt = &self.receipt;
        let applied = &receipt.applied;
        let since = applied
            .effective_from
            .map(|from| show::Time::of(from.micros()).text);
        let mut facts = vec![
            ("Priced at", show::Time::of(applied.priced_at.micros()).text),
            (
                "Price in force since",
                since.unwrap_or_else(|| "the beginning".to_owned()),
            ),
        ];
        let asked = receipt.requested_model.clone();
        facts.extend(asked.map(|asked| ("Model asked for", asked)));
        let code = receipt.error_code.clone();
        facts.extend(code.map(|code| ("Error code", code)));
        let counted = receipt
            .usage_source
            .map(|source| source.as_str().to_owned());
        facts.extend(counted.map(|source| ("Usage counted by", source)));
        let estimated = receipt.estimated.clone();
        facts.extend(estimated.map(|why| ("Estimated", why)));
        facts
    }

    /// The resolved parameters that the price may depend on: name and value.
    pub(super) fn parameters(&self) -> Vec<(&str, String)> {
        let all = self.receipt.applied.parameters.iter();
        all.map(|(name, value)| (name.as_str(), plain(value)))
            .collect()
    }

    /// The customer's own labels: name and value.
    pub(super) fn labels(&self) -> Vec<(String, String)> {
        let tags = self.receipt.tags.iter();
        tags.map(|tag| (tag.name, tag.value)).collect()
    }

    /// The calls to providers, one by one.
    pub(super) fn calls(&self) -> Vec<Call> {
        let Attempts::Calls(calls) = &self.receipt.attempts else {
            return Vec::new();
        };
        let calls = (1..).zip(calls);
        let call = |(number, call): (usize, &domain::receipt::Attempt)| Call {
            number,
            provider: call.provider.clone(),
            model: call
                .model
                .clone()
                .unwrap_or_else(|| self.receipt.model.clone()),
            outcome: call.outcome.clone(),
            why: Ending::parse(&call.outcome).map_or("", Ending::what),
        };
        calls.map(call).collect()
    }

    /// How often it was run, where the calls are not told one by one.
    pub(super) const fn runs(&self) -> Option<i64> {
        match self.receipt.attempts {
            Attempts::Calls(_) => None,
            Attempts::Runs(runs) => Some(runs),
        }
    }
}

/// A price list that is kept; `None`: it is not, or cannot be read any more.
async fn list(site: &Site, version: &str) -> Result<Option<Catalogue>, Refused> {
    let request = GetPriceListRequest {
        version: version.to_owned(),
    };
    let mut prices = site.peers.prices.clone();
    let reply = prices.get_price_list(site.peers.ask(request)).await;
    match reply {
        Ok(reply) => Ok(Catalogue::from_list(&reply.into_inner().body).ok()),
        Err(status) => {
            let _: Refusal = Refused::from(status).told()?;
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::{
        Moment, Tags, Usage,
        price::Applied,
        receipt::{Subject, token_usage},
    };

    use super::*;

    fn receipt(factor: &str) -> (Catalogue, Receipt) {
        let catalogue = Catalogue::built_in().unwrap();
        let model = catalogue.find("gemini").unwrap();
        let (at, factor) = (Moment::default(), PriceFactor::parse(factor).unwrap());
        let price = model.price_at(at).unwrap();
        let receipt = Receipt::of(Subject {
            route: model.route.clone(),
            kind: Kind::ChatStream,
            model: model.slug.clone(),
            price_version: catalogue.version().to_owned(),
            applied: Applied::of_tokens(price, at, factor),
            tags: Tags::default(),
        });
        let usage = Usage {
            input: 10,
            output: 3,
            ..Usage::default()
        };
        let cost = price.cost(usage, factor).unwrap();
        let used = (token_usage(usage), cost);
        let receipt = receipt.paid(Ending::Completed, used, Micros::new(5_000));
        (catalogue, receipt)
    }

    fn booked(charged: i64, written_off: i64) -> Operation {
        Operation {
            charged,
            written_off,
            ..Operation::default()
        }
    }

    #[test]
    fn the_arithmetic_is_written_out() {
        let (_, receipt) = receipt("0.5");
        let steps = lines(&receipt);
        let find = |name: &str| steps.iter().find(|step| step.of == name).unwrap().clone();
        let (input, output) = (find("tokens, input"), find("tokens, output"));
        assert_eq!(
            (input.units.as_str(), input.each.as_str()),
            ("10", "0.00005")
        );
        assert_eq!(
            (input.all.as_str(), output.all.as_str()),
            ("0.0005", "0.0009")
        );
        let then = then(&receipt);
        let amounts: Vec<_> = then
            .iter()
            .map(|(what, _, all)| (*what, all.as_str()))
            .collect();
        assert_eq!(
            amounts,
            [("Sum", "0.0014"), ("Price", "0.0007"), ("Held", "0.005")]
        );
    }

    #[test]
    fn a_minimum_and_rounding_are_steps() {
        let (_, mut receipt) = receipt("1");
        receipt.applied.rounding.minimum_microcredits = 2_000;
        receipt.applied.rounding.round_up_microcredits = 1_500;
        let then = then(&receipt);
        let amounts: Vec<_> = then
            .iter()
            .map(|(what, _, all)| (*what, all.as_str()))
            .collect();
        let expected = [
            ("Sum", "0.0014"),
            ("Minimum", "0.002"),
            ("Rounded", "0.003"),
            ("Held", "0.005"),
        ];
        assert_eq!(amounts, expected);
    }

    #[test]
    fn what_does_not_add_up_is_found() {
        let (catalogue, mut receipt) = receipt("1");
        assert_eq!(check(&catalogue, &receipt, &booked(1_400, 0)), Check::Good);
        assert_eq!(
            check(&catalogue, &receipt, &booked(1_000, 400)),
            Check::Good
        );
        let Check::Bad(why) = check(&catalogue, &receipt, &booked(1_399, 0)) else {
            panic!("booked too little");
        };
        assert_eq!(
            why,
            ["0.001399 credits were booked, and the receipt says 0.0014"]
        );
        receipt.cost_microcredits = 1;
        assert_ne!(check(&catalogue, &receipt, &booked(1_400, 0)), Check::Good);
    }

    #[test]
    fn json_is_indented_or_nothing() {
        assert_eq!(pretty(br#"{"a":1}"#), "{\n  \"a\": 1\n}");
        assert_eq!(pretty(b""), "");
    }
}
