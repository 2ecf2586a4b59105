//! The price calculator, beside what the code of quotes and charges says.

use std::{collections::BTreeMap, time::Duration};

use dashboard::Calculator;
use domain::{
    Micros, Moment, PriceFactor, Usage,
    catalogue::{ParamType, Resolved},
    price::{Frozen, Tariff},
};
use serde_json::json;

use crate::site::Site;

fn asked(fields: &[(&str, &str)]) -> BTreeMap<String, String> {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    fields.iter().map(own).collect()
}

#[tokio::test]
async fn every_model_has_a_price_by_default() {
    let site = Site::new().await;
    for model in site.catalogue.models() {
        let calculator = Calculator::of(model, &asked(&[]), Moment::default());
        assert!(
            calculator.amount() > Some(Micros::ZERO),
            "{}: {calculator:?}",
            model.slug
        );
    }
}

#[tokio::test]
async fn every_row_of_every_table_comes_out_as_a_quote_has_it() {
    let site = Site::new().await;
    let (at, mut compared) = (Moment::default(), 0);
    for model in site.catalogue.models() {
        let price = model.price_at(at).unwrap();
        // What counts seconds of a sound is measured, and has a test of its own.
        if price.tokens().is_some() || model.counted().next().is_some() {
            continue;
        }
        let defaults = model.params.iter();
        let defaults: Resolved = defaults
            .filter_map(|param| {
                // What an earlier task says is the first word until another is chosen.
                let words = if let ParamType::Choice { values, .. } = &param.of {
                    values.as_slice()
                } else {
                    &[]
                };
                let first = words.first().filter(|_| param.ours).map(|word| json!(word));
                Some((param.name.clone(), param.default.clone().or(first)?))
            })
            .collect();
        for row in price.tariff.rows() {
            let words = row.when.iter().map(|(name, value)| {
                let word = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
                (name.clone(), word)
            });
            let calculator = Calculator::of(model, &words.collect(), at);
            let Some(amount) = calculator.amount() else {
                // A rule forbids the defaults beside it, and that is said.
                continue;
            };
            let mut resolved = defaults.clone();
            resolved.extend(row.when.clone());
            let (first, units) = if matches!(price.tariff, Tariff::Character { .. }) {
                (row, 250)
            } else {
                price.tariff.row(&resolved).unwrap()
            };
            let sum = Micros::new(first.microcredits).times(units).unwrap();
            let expected = price.rounding.amount(sum, PriceFactor::ONE).unwrap();
            assert_eq!(amount, expected, "{} {:?}", model.slug, row.when);
            compared += 1;
        }
    }
    assert!(compared > 60, "{compared}");
}

#[tokio::test]
async fn a_film_costs_what_its_hold_is() {
    let site = Site::new().await;
    let model = site.catalogue.find("kling-3").unwrap();
    let sent = json!({"prompt": "a fox", "mode": "pro", "sound": true, "duration": 7});
    let resolved = model.resolve(sent.as_object().unwrap().clone()).unwrap();
    let frozen = Frozen::of(model, &resolved, Moment::default(), PriceFactor::ONE).unwrap();
    let held = frozen.ceiling().unwrap();
    assert_eq!(held, Micros::from_credits(560));
    let page = site
        .page("/models/kling-3?mode=pro&sound=true&duration=7")
        .await;
    assert!(
        page.contains("<output class=\"sum\">560 credits</output>"),
        "{page}"
    );
    let refused = site.page("/models/kling-3?duration=99").await;
    assert!(refused.contains("Such a request is refused"));
    assert!(refused.contains("duration must be"), "{refused}");
}

#[tokio::test]
async fn tokens_cost_what_a_charge_is() {
    let site = Site::new().await;
    let model = site.catalogue.find("gemini").unwrap();
    let fields = asked(&[("input", "12345"), ("cached", "1000"), ("output", "678")]);
    let usage = Usage {
        input: 12_345,
        cached: 1_000,
        output: 678,
        ..Usage::default()
    };
    let price = model.price_at(Moment::default()).unwrap();
    let charged = price.cost(usage, PriceFactor::ONE).unwrap().amount;
    let calculator = Calculator::of(model, &fields, Moment::default());
    assert_eq!(calculator.amount(), Some(charged));
    for wrong in ["-1", "many", "99999999999999999999", "1.5"] {
        let calculator = Calculator::of(model, &asked(&[("input", wrong)]), Moment::default());
        assert_eq!(calculator.amount(), None, "{wrong}");
    }
}

#[tokio::test]
async fn a_recording_costs_by_its_seconds_and_a_text_by_its_characters() {
    let site = Site::new().await;
    let model = site.catalogue.find("whisper-1").unwrap();
    let sent = json!({"file": "file_01h455vb4pex5vsknk084sn02q"});
    let resolved = model.resolve(sent.as_object().unwrap().clone()).unwrap();
    let counted = model.counted().next().unwrap();
    let resolved = model
        .count(resolved, &counted, Duration::from_secs(95))
        .unwrap();
    let frozen = Frozen::of(model, &resolved, Moment::default(), PriceFactor::ONE).unwrap();
    let calculator = Calculator::of(model, &asked(&[("seconds", "95")]), Moment::default());
    assert_eq!(calculator.amount(), Some(frozen.ceiling().unwrap()));
    let model = site.catalogue.find("elevenlabs-v3").unwrap();
    for (characters, credits) in [
        ("1", Some("1")),
        ("1000", Some("28")),
        ("5000", Some("140")),
        ("5001", None),
        ("0", None),
    ] {
        let fields = asked(&[("characters", characters)]);
        let calculator = Calculator::of(model, &fields, Moment::default());
        let amount = calculator.amount().map(|amount| amount.to_string());
        assert_eq!(amount.as_deref(), credits, "{characters}");
    }
}
