//! Tables: what is counted, what is frozen, and which files are refused.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::Catalogue;

const FLUX: &str = include_str!("../../../catalogue/flux-2.toml");

/// flux-2 with a price of its own, and with parameters to count by.
fn model(price: &str) -> Result<Catalogue, String> {
    let (head, rest) = FLUX.split_once("[price]\n").unwrap();
    let (_, providers) = rest.split_once("[[providers]]\n").unwrap();
    let params = "[[params]]\nname = \"duration\"\ntype = \"choice\"\nvalues = [\"5\", \"10\"]\ndefault = \"5\"\n\n\
                  [[params]]\nname = \"n\"\ntype = \"integer\"\nmin = 1\nmax = 4\ndefault = 1\n\n";
    let text = format!("{head}{params}{price}\n[[providers]]\n{providers}");
    Catalogue::parse(&[("a.toml", &text)]).map_err(|error| match error {
        crate::catalogue::CatalogueError::Invalid { problem, .. } => problem,
        crate::catalogue::CatalogueError::Parse { source, .. } => source.message().to_owned(),
        left_out @ crate::catalogue::CatalogueError::LeftOut { .. } => left_out.to_string(),
    })
}

fn frozen(price: &str, body: Value, factor: &str) -> Frozen {
    let catalogue = model(price).unwrap();
    let model = &catalogue.models()[0];
    let resolved = model.resolve(body.as_object().unwrap().clone()).unwrap();
    let factor = PriceFactor::parse(factor).unwrap();
    Frozen::of(model, &resolved, Moment::default(), factor).unwrap()
}

#[test]
fn flux_2_costs_what_the_price_list_says() {
    let catalogue = Catalogue::built_in().unwrap();
    let model = catalogue.find("flux-2").unwrap();
    for (kind, resolution, credits) in [
        ("pro", "1K", 5),
        ("pro", "2K", 7),
        ("flex", "1K", 14),
        ("flex", "2K", 24),
    ] {
        let resolved = json!({"type": kind, "resolution": resolution});
        let resolved = resolved.as_object().unwrap();
        let frozen = Frozen::of(model, resolved, Moment::default(), PriceFactor::ONE).unwrap();
        assert_eq!(frozen.ceiling(), Ok(Micros::from_credits(credits)));
    }
}

#[test]
fn every_unit_is_counted_by_its_parameter() {
    let row = "[[price.rows]]\nmicrocredits = 2_500_000\n";
    for (price, body, credits) in [
        ("unit = \"call\"", json!({}), "2.5"),
        ("unit = \"image\"", json!({}), "2.5"),
        ("unit = \"image\"\nper = \"n\"", json!({"n": 3}), "7.5"),
        (
            "unit = \"second\"\nper = \"duration\"",
            json!({"duration": "10"}),
            "25",
        ),
        // Half of 5 a second, rounded up per task: 5 seconds cost 13.
        (
            "unit = \"second\"\nper = \"duration\"\nround_up_microcredits = 1_000_000",
            json!({}),
            "13",
        ),
        ("unit = \"character\"\nper = \"prompt\"", json!({}), "12.5"),
        (
            "unit = \"character\"\nper = \"prompt\"\nminimum_microcredits = 20_000_000",
            json!({}),
            "20",
        ),
    ] {
        let mut body = body;
        body["prompt"] = json!("a föx");
        let frozen = frozen(&format!("[price]\n{price}\n{row}"), body, "1");
        assert_eq!(frozen.ceiling().unwrap().to_string(), credits, "{price}");
        assert!(!frozen.applied.parameters.contains_key("prompt"));
    }
}

#[test]
fn what_was_made_is_charged_and_no_more_than_was_held() {
    let price =
        "[price]\nunit = \"second\"\nper = \"duration\"\n[[price.rows]]\nmicrocredits = 3\n";
    let frozen = frozen(price, json!({"prompt": "a fox", "duration": "10"}), "0.5");
    let cost = |units| frozen.cost(units).unwrap().amount.get();
    assert_eq!([cost(1), cost(7), cost(10), cost(99)], [2, 11, 15, 15]);
    assert_eq!(frozen.ceiling().unwrap().get(), 15);
}

#[test]
fn only_seconds_are_charged_as_they_were_made_and_only_where_the_file_says_so() {
    let frozen = |price: &str| {
        let row = "[[price.rows]]\nmicrocredits = 3\n";
        let price = format!("[price]\n{price}\n{row}");
        frozen(&price, json!({"prompt": "a fox"}), "1")
    };
    let seconds = "unit = \"second\"\nper = \"duration\"";
    let asked = frozen(seconds);
    let measured = frozen(&format!("{seconds}\nmeasured = true"));
    assert!(!asked.measured && measured.measured);
    assert_eq!((asked.units, measured.units), (5, 5));
    let written = serde_json::to_value(&asked).unwrap();
    assert!(
        written.get("measured").is_none(),
        "as it was written before"
    );
    assert_eq!(serde_json::from_value::<Frozen>(written).unwrap(), asked);
    let written = serde_json::to_value(&measured).unwrap();
    assert_eq!(serde_json::from_value::<Frozen>(written).unwrap(), measured);
    let error =
        model("[price]\nunit = \"call\"\nmeasured = true\n[[price.rows]]\nmicrocredits = 1\n");
    assert!(error.unwrap_err().contains("measured"));
}

#[test]
fn a_price_that_cannot_be_counted_is_refused() {
    let refused = |price: &str| model(price).unwrap_err();
    let row = "[[price.rows]]\nmicrocredits = 1\n";
    for (price, told) in [
        ("unit = \"second\"\nper = \"seed\"", "the price is per seed"),
        (
            "unit = \"second\"\nper = \"prompt\"",
            "the price is per prompt",
        ),
        ("unit = \"second\"\nper = \"type\"", "the price is per type"),
        ("unit = \"character\"\nper = \"n\"", "the price is per n"),
        ("unit = \"second\"\nper = \"none\"", "the price is per none"),
        ("unit = \"second\"", "missing field `per`"),
        ("unit = \"call\"\nround_up_microcredits = -1", "below zero"),
    ] {
        let error = refused(&format!("[price]\n{price}\n{row}"));
        assert!(error.contains(told), "{price}: {error}");
    }
    for (rows, told) in [
        (
            "when = { type = \"pro\" }\nmicrocredits = 1",
            "the last price row",
        ),
        ("microcredits = 0", "above zero"),
        (
            "when = { typ = \"pro\" }\nmicrocredits = 1",
            "not a parameter",
        ),
        (
            "when = { type = \"max\" }\nmicrocredits = 1",
            "which it never is",
        ),
    ] {
        let last = "[[price.rows]]\nmicrocredits = 1\n";
        let last = if told.starts_with("the last") {
            ""
        } else {
            last
        };
        let error = refused(&format!(
            "[price]\nunit = \"call\"\n[[price.rows]]\n{rows}\n{last}"
        ));
        assert!(error.contains(told), "{rows}: {error}");
    }
}

#[test]
fn the_price_in_force_counts() {
    let price = |from: &str, credits: i64| {
        format!("[[prices]]\n{from}unit = \"call\"\n[[prices.rows]]\nmicrocredits = {credits}\n")
    };
    let (march, may) = (
        "effective_from = \"2026-03-01T00:00:00Z\"\n",
        "effective_from = \"2026-05-01T00:00:00+02:00\"\n",
    );
    let list = [price("", 1), price(march, 2), price(may, 3)].concat();
    let catalogue = model(&list).unwrap();
    let model_of = &catalogue.models()[0];
    let at = |text: &str| {
        let resolved = Resolved::new();
        let at = Moment::parse(text).unwrap();
        let frozen = Frozen::of(model_of, &resolved, at, PriceFactor::ONE).unwrap();
        frozen.unit_microcredits
    };
    assert_eq!(at("2026-02-28T23:59:59.999999Z"), 1);
    assert_eq!(at("2026-03-01T00:00:00Z"), 2);
    assert_eq!(at("2026-04-30T21:59:59Z"), 2);
    assert_eq!(at("2026-04-30T22:00:00Z"), 3);
    let april = Moment::parse("2026-04-01T00:00:00Z").unwrap();
    let listing = serde_json::to_value(model_of.listing(april)).unwrap();
    assert_eq!(listing["price"]["rows"][0]["microcredits"], 2);
    assert_eq!(listing["next_prices"].as_array().unwrap().len(), 1);
    assert_eq!(
        listing["next_prices"][0]["effective_from"],
        "2026-04-30T22:00:00Z"
    );
    for wrong in [
        price(march, 1),
        [price("", 1), price("", 2)].concat(),
        [price("", 1), price(may, 2), price(march, 3)].concat(),
        String::new(),
    ] {
        let error = model(&wrong).unwrap_err();
        assert!(error.contains("effective_from"), "{error}");
    }
}

proptest! {
    #[test]
    fn cost_never_exceeds_the_ceiling_and_more_never_costs_less(
        unit in 1_i64..5_000_000, minimum in 0_i64..9_000_000, step in 0_i64..3_000_000, most in 1_u64..5000, made in 0_u64..9000,
        more in 0_u64..100, parts in 1_i64..=10_000_000,
    ) {
        let mut frozen = frozen("[price]\nunit = \"call\"\n[[price.rows]]\nmicrocredits = 1\n", json!({"prompt": "a fox"}), "1");
        frozen.applied.rounding = Rounding { minimum_microcredits: minimum, round_up_microcredits: step };
        frozen.applied.price_factor = PriceFactor::new(parts).unwrap();
        (frozen.unit_microcredits, frozen.units) = (unit, most);
        let cost = frozen.cost(made).unwrap().amount;
        prop_assert!(cost <= frozen.ceiling().unwrap());
        prop_assert!(cost <= frozen.cost(made + more).unwrap().amount);
    }

    /// Whatever flux-2 takes: each set of resolved parameters has a price, and it is the most that is charged.
    #[test]
    fn every_resolved_request_has_a_price(kind in 0_usize..2, resolution in 0_usize..2, seed in proptest::option::of(0_u32..), parts in 1_i64..=10_000_000) {
        let catalogue = Catalogue::built_in().unwrap();
        let model = catalogue.find("flux-2").unwrap();
        let (kind, resolution) = (["pro", "flex"][kind], ["1K", "2K"][resolution]);
        let body = json!({"prompt": "a fox", "type": kind, "resolution": resolution, "seed": seed});
        let resolved = model.resolve(body.as_object().unwrap().clone()).unwrap();
        let frozen = Frozen::of(model, &resolved, Moment::default(), PriceFactor::new(parts).unwrap()).unwrap();
        prop_assert!(frozen.ceiling().unwrap() > Micros::ZERO);
        prop_assert_eq!(frozen.cost(1).unwrap().amount, frozen.ceiling().unwrap());
    }
}
