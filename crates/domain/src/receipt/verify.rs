//! A receipt computed again from its price list: the amount, step by step, or everything that does not fit.

use std::fmt;

use super::Receipt;
use crate::{
    Catalogue, Micros, TokenClass, Usage,
    catalogue::{CHAT_ROUTES, Model},
    charge::Charge,
    price::{Cost, Line, Price},
};

/// A sum that was done again, step by step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arithmetic {
    /// One line for each step.
    pub steps: Vec<String>,
    /// What is charged.
    pub total: Micros,
}

/// What does not fit, said once for each thing.
#[derive(Default)]
struct Misfits(Vec<String>);

/// Computes a receipt again from its price list ([`Catalogue::from_list`]).
///
/// # Errors
/// Everything that does not fit, one sentence each.
pub fn recompute(prices: &Catalogue, receipt: &Receipt) -> Result<Arithmetic, Vec<String>> {
    let mut misfits = Misfits::default();
    misfits.same(
        "price_version",
        receipt.price_version.as_str(),
        prices.version(),
    );
    misfits.done()?;
    let model = model(prices, receipt)?;
    let price = model
        .price_at(receipt.applied.priced_at)
        .ok_or_else(|| vec!["the model has no price".to_owned()])?;
    misfits.applied(receipt, price);
    let free = match receipt.charged {
        Charge::Nothing => true,
        Charge::WhatArrived => receipt.usage.is_empty(),
        Charge::InFull => false,
    };
    let lines = if free {
        misfits.same("usage", &receipt.usage.len(), &0);
        Ok(Vec::new())
    } else {
        lines(receipt, price)
    };
    let lines = lines.map_err(|misfit| vec![misfit])?;
    let cost = Cost::of(lines, price.rounding, receipt.applied.price_factor);
    let mut cost = cost.map_err(|error| vec![format!("the sum cannot be computed: {error}")])?;
    if free {
        // A minimum is for what is charged.
        cost.amount = Micros::ZERO;
    }
    let total = cost.amount.min(Micros::new(receipt.held_microcredits));
    misfits.sums(receipt, &cost, total);
    misfits.done()?;
    Ok(Arithmetic {
        steps: steps(receipt, price, &cost, total),
        total,
    })
}

fn model<'a>(catalogue: &'a Catalogue, receipt: &Receipt) -> Result<&'a Model, Vec<String>> {
    // Chat is asked for in the words of several routes, by the models of one.
    let route = receipt.route.as_str();
    let served = |model: &Model| {
        model.route == route || model.chat.is_some() && CHAT_ROUTES.contains(&route)
    };
    let asked = |model: &&Model| model.slug == receipt.model && served(model);
    let found = catalogue.models().iter().find(asked);
    found.ok_or_else(|| {
        let (model, route) = (&receipt.model, &receipt.route);
        vec![format!("the price list has no model {model} on {route}")]
    })
}

/// The lines of what was used.
fn lines(receipt: &Receipt, price: &Price) -> Result<Vec<Line>, String> {
    let overflow = |error| format!("a line cannot be computed: {error}");
    if price.tokens().is_some() {
        let mut usage = Usage::default();
        for (word, count) in &receipt.usage {
            let class = TokenClass::parse(word)
                .ok_or_else(|| format!("usage names {word}, which is no class of tokens"))?;
            *usage.of_mut(class) = *count;
        }
        let cost = price.cost(usage, receipt.applied.price_factor);
        return cost.map(|cost| cost.lines).map_err(overflow);
    }
    let unit = price.tariff.unit();
    let used = receipt.usage.get(unit).copied();
    let (Some(used), 1) = (used, receipt.usage.len()) else {
        return Err(format!(
            "usage must say how often the price per {unit} is due"
        ));
    };
    // What a text is long is not in the receipt; any other count is bounded by its parameter.
    let parameters = &receipt.applied.parameters;
    let counted = price
        .tariff
        .per()
        .is_none_or(|per| parameters.contains_key(per));
    let rows = price.tariff.rows();
    let row = if counted {
        price.tariff.row(parameters)
    } else {
        let row = rows
            .iter()
            .find(|row| crate::catalogue::matches(&row.when, parameters));
        row.map(|row| (row, used))
    };
    let (row, most) = row.ok_or("no row of the price list matches the parameters")?;
    if used > most {
        return Err(format!("{used} {unit} were charged, of at most {most}"));
    }
    if row.when != receipt.applied.when {
        return Err("another row of the price list matches the parameters".to_owned());
    }
    let line = Line::of(unit, used, row.microcredits);
    line.map(|line| vec![line]).map_err(overflow)
}

fn steps(receipt: &Receipt, price: &Price, cost: &Cost, total: Micros) -> Vec<String> {
    let credits = |micros: i64| Micros::new(micros).to_string();
    let applied = &receipt.applied;
    let since = applied
        .effective_from
        .map_or_else(|| "the beginning".to_owned(), |from| from.to_string());
    let requested = receipt.requested_model.as_ref();
    let other = requested.filter(|requested| **requested != receipt.model);
    let instead = other
        .map(|model| format!(" instead of {model}"))
        .unwrap_or_default();
    let mut steps = vec![format!(
        "{}{instead} on {}, priced {} by list {} (in force since {since})",
        receipt.model, receipt.route, applied.priced_at, receipt.price_version
    )];
    let sum: i64 = cost.lines.iter().map(|line| line.microcredits).sum();
    steps.extend(cost.lines.iter().map(|line| {
        format!(
            "{:<12} {} x {} = {}",
            line.class,
            line.units,
            credits(line.unit_microcredits),
            credits(line.microcredits)
        )
    }));
    if !cost.lines.is_empty() {
        steps.push(format!("{:<12} {}", "sum", credits(sum)));
        let rounding = &price.rounding;
        if rounding.minimum_microcredits > 0 {
            let minimum = credits(rounding.minimum_microcredits);
            steps.push(format!("{:<12} at least {minimum}", "minimum"));
        }
        if rounding.round_up_microcredits > 0 {
            let step = credits(rounding.round_up_microcredits);
            steps.push(format!("{:<12} up to a multiple of {step}", "rounded"));
        }
        let (factor, amount) = (applied.price_factor, cost.amount);
        steps.push(format!("{:<12} x {factor} = {amount}", "price factor"));
    }
    let held = credits(receipt.held_microcredits);
    steps.push(format!("{:<12} {held}, the most that is charged", "held"));
    steps.push(format!(
        "{:<12} {total} ({}: {})",
        "charged",
        receipt.class.as_str(),
        receipt.class.what()
    ));
    steps
}

// === impl Misfits ===

impl Misfits {
    fn same<T: fmt::Debug + PartialEq + ?Sized>(&mut self, what: &str, said: &T, computed: &T) {
        if said != computed {
            self.0.push(format!(
                "{what} is {said:?} in the receipt and {computed:?} by the price list"
            ));
        }
    }

    /// That the price is the one that was in force, and is charged by the table.
    fn applied(&mut self, receipt: &Receipt, price: &Price) {
        let applied = &receipt.applied;
        self.same(
            "effective_from",
            &applied.effective_from,
            &price.effective_from,
        );
        self.same("unit", applied.unit.as_str(), price.tariff.unit());
        self.same("the rounding", &applied.rounding, &price.rounding);
        self.same(
            "charged",
            &receipt.charged,
            &receipt.class.charge(receipt.kind),
        );
    }

    fn sums(&mut self, receipt: &Receipt, cost: &Cost, total: Micros) {
        self.same("lines", &receipt.lines, &cost.lines);
        self.same(
            "cost_microcredits",
            &receipt.cost_microcredits,
            &cost.amount.get(),
        );
        self.same(
            "total_microcredits",
            &receipt.total_microcredits,
            &total.get(),
        );
    }

    fn done(&mut self) -> Result<(), Vec<String>> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(std::mem::take(&mut self.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        Moment, PriceFactor, Tags,
        charge::{Ending, Kind},
        price::{Applied, Frozen},
        receipt::{Subject, UsageSource, token_usage},
    };

    fn chat(factor: &str, ending: Ending) -> Receipt {
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
        if ending.charge(Kind::ChatStream) == Charge::Nothing {
            return receipt.free(ending, Micros::new(5_000));
        }
        let usage = Usage {
            input: 10,
            cached: 2,
            output: 3,
            reasoning: 1,
            ..Usage::default()
        };
        let cost = price.cost(usage, factor).unwrap();
        receipt.paid(ending, (token_usage(usage), cost), Micros::new(5_000))
    }

    fn media() -> Receipt {
        let catalogue = Catalogue::built_in().unwrap();
        let model = catalogue.find("flux-2").unwrap();
        let resolved = json!({"type": "flex", "resolution": "2K", "prompt": "a fox"});
        let resolved = resolved.as_object().unwrap();
        let frozen = Frozen::of(model, resolved, Moment::default(), PriceFactor::ONE).unwrap();
        let (cost, held) = (frozen.cost(1).unwrap(), frozen.ceiling().unwrap());
        let subject = Subject {
            route: model.route.clone(),
            kind: Kind::Media,
            model: model.slug.clone(),
            price_version: catalogue.version().to_owned(),
            applied: frozen.applied,
            tags: Tags::default(),
        };
        let usage = [("call".to_owned(), 1)].into();
        Receipt::of(subject).paid(Ending::Completed, (usage, cost), held)
    }

    /// What a receipt comes to after a change of its JSON.
    fn changed(receipt: &Receipt, path: &str, value: Value) -> Result<Arithmetic, Vec<String>> {
        let mut json: Value = serde_json::from_slice(&receipt.to_json()).unwrap();
        *json
            .pointer_mut(path)
            .unwrap_or_else(|| panic!("no {path}")) = value;
        let receipt = serde_json::from_value(json).unwrap();
        recompute(&Catalogue::built_in().unwrap(), &receipt)
    }

    #[test]
    fn a_receipt_is_computed_again_from_its_own_text() {
        let list = Catalogue::built_in().unwrap();
        for (receipt, total) in [
            (chat("1", Ending::Completed), 500 + 10 + 900 + 300),
            (chat("0.5", Ending::ClientLeft), 855),
            (chat("10", Ending::Completed), 5_000),
            (chat("1", Ending::Overloaded), 0),
            (media(), 24_000_000),
        ] {
            let text = receipt.to_json();
            assert!(!String::from_utf8_lossy(&text).contains("a fox"));
            let read: Receipt = serde_json::from_slice(&text).unwrap();
            assert_eq!(read, receipt);
            let sum = recompute(&list, &read).unwrap();
            assert_eq!((sum.total.get(), receipt.total().get()), (total, total));
        }
    }

    #[test]
    fn a_receipt_of_before_computes_as_one_of_now() {
        let mut now = chat("1", Ending::Completed);
        now.usage_source = Some(UsageSource::Provider);
        let mut json: Value = serde_json::from_slice(&now.to_json()).unwrap();
        assert_eq!(json["usage_source"], "provider");
        json.as_object_mut().unwrap().remove("usage_source");
        let before: Receipt = serde_json::from_value(json).unwrap();
        assert_eq!(before.usage_source, None);
        let list = Catalogue::built_in().unwrap();
        assert_eq!(recompute(&list, &before), recompute(&list, &now));
        for word in ["provider", "tokenizer", "estimate"] {
            let mut json: Value = serde_json::from_slice(&now.to_json()).unwrap();
            json["usage_source"] = word.into();
            let read: Receipt = serde_json::from_value(json).unwrap();
            assert_eq!(read.usage_source.map(UsageSource::as_str), Some(word));
            assert_eq!(recompute(&list, &read), recompute(&list, &now));
        }
    }

    #[test]
    fn chat_is_asked_for_in_the_words_of_several_routes() {
        let list = Catalogue::built_in().unwrap();
        let mut message = chat("1", Ending::Completed);
        message.route = crate::catalogue::MESSAGES_ROUTE.to_owned();
        assert_eq!(recompute(&list, &message).unwrap().total, message.total());
        let mut image = media();
        image.route = message.route;
        assert!(recompute(&list, &image).is_err());
    }

    #[test]
    fn the_arithmetic_is_told_line_by_line() {
        let list = Catalogue::built_in().unwrap();
        let receipt = Receipt {
            requested_model: Some("gemini-pro".to_owned()),
            ..chat("0.5", Ending::UpstreamCut)
        };
        let sum = recompute(&list, &receipt).unwrap();
        let steps = sum.steps.join("\n");
        for step in [
            "gemini instead of gemini-pro on chat/completions, priced ",
            "input        10 x 0.00005 = 0.0005",
            "output       3 x 0.0003 = 0.0009",
            "sum          0.00171",
            "price factor x 0.5 = 0.000855",
            "charged      0.000855 (upstream_cut:",
        ] {
            assert!(steps.contains(step), "{step}\n{steps}");
        }
    }

    #[test]
    fn whatever_is_changed_is_found() {
        let completed = chat("1", Ending::Completed);
        for (path, value) in [
            ("/total_microcredits", json!(1)),
            ("/cost_microcredits", json!(1_709)),
            ("/held_microcredits", json!(3)),
            ("/usage/input", json!(11)),
            ("/usage/cached", json!(0)),
            ("/lines/0/unit_microcredits", json!(49)),
            ("/lines/0/microcredits", json!(499)),
            ("/price_factor", json!(900_000)),
            ("/price_version", json!("0000000000000000")),
            ("/model", json!("flux-2")),
            ("/route", json!("images/generations")),
            ("/unit", json!("call")),
            ("/effective_from", json!("2020-01-01T00:00:00Z")),
            ("/class", json!("overloaded")),
            ("/charged", json!("nothing")),
            ("/kind", json!("media")),
        ] {
            let changed = changed(&completed, path, value);
            // A completed task is charged in full as well: its kind alone changes nothing.
            assert_eq!(changed.is_err(), path != "/kind", "{path}");
        }
        for (path, value) in [
            ("/parameters/type", json!("pro")),
            ("/when/type", json!("pro")),
            ("/usage/call", json!(2)),
            ("/total_microcredits", json!(5_000_000)),
        ] {
            assert!(changed(&media(), path, value).is_err(), "{path}");
        }
        let free = chat("1", Ending::Overloaded);
        assert!(changed(&free, "/total_microcredits", json!(1)).is_err());
        assert!(changed(&free, "/usage", json!({"input": 1})).is_err());
    }
}
