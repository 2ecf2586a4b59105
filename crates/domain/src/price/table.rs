//! Prices by table: the first row whose conditions match the resolved parameters, times a number of units that a parameter bounds.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Cost, Line, Price, PriceFactor, Rounding, Tariff};
use crate::{
    Micros, Moment, MoneyError,
    catalogue::{Model, Param, ParamType, Resolved, When, matches},
};

/// One row of a price table: the first whose `when` matches is the price.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Resolved parameters this row is for.
    #[serde(default)]
    pub when: When,
    /// Micro-credits for one unit.
    pub microcredits: i64,
}

/// Which price of a model was taken for a request, and how.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Applied {
    /// When the request was accepted: the price in force then counts, whatever comes later.
    pub priced_at: Moment,
    /// Since when that price was in force; `None`: from the beginning.
    #[serde(default)]
    pub effective_from: Option<Moment>,
    /// What is counted: `call`, `image`, `second`, `character`, `token`.
    pub unit: String,
    /// The conditions of the row that matched.
    #[serde(default)]
    pub when: When,
    /// What is done with the sum.
    #[serde(flatten)]
    pub rounding: Rounding,
    /// The account's factor, parts per million.
    pub price_factor: PriceFactor,
    /// The resolved parameters that a price may depend on: words of a list, whole numbers, yes and no, never content.
    pub parameters: Resolved,
}

/// The price of one task, frozen when it was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Frozen {
    /// Which price, and how.
    #[serde(flatten)]
    pub applied: Applied,
    /// Micro-credits for one unit.
    pub unit_microcredits: i64,
    /// The most units there can be.
    pub units: u64,
}

// === impl Tariff ===

impl Tariff {
    /// The word for what is counted.
    pub const fn unit(&self) -> &'static str {
        match self {
            Self::Call { .. } => "call",
            Self::Image { .. } => "image",
            Self::Second { .. } => "second",
            Self::Character { .. } => "character",
            Self::Token(_) => "token",
        }
    }

    /// The rows of a table; none where the price is by token.
    pub fn rows(&self) -> &[Row] {
        match self {
            Self::Call { rows }
            | Self::Image { rows, .. }
            | Self::Second { rows, .. }
            | Self::Character { rows, .. } => rows,
            Self::Token(_) => &[],
        }
    }

    /// The parameter that says how many units there can be.
    pub fn per(&self) -> Option<&str> {
        match self {
            Self::Image { per, .. } => per.as_deref(),
            Self::Second { per, .. } | Self::Character { per, .. } => Some(per),
            Self::Call { .. } | Self::Token(_) => None,
        }
    }

    /// The row for these parameters, and the most units they make. `None` when the price is by token.
    pub fn row(&self, resolved: &Resolved) -> Option<(&Row, u64)> {
        let mut rows = self.rows().iter();
        let row = rows.find(|row| matches(&row.when, resolved))?;
        let units = match self.per() {
            None => 1,
            Some(per) => self.units(resolved.get(per)?)?,
        };
        Some((row, units))
    }

    fn units(&self, value: &Value) -> Option<u64> {
        match (self, value) {
            (Self::Character { .. }, Value::String(text)) => {
                u64::try_from(text.chars().count()).ok()
            }
            (_, Value::String(word)) => word.parse().ok(),
            (_, value) => value.as_u64(),
        }
    }
}

// === impl Price ===

impl Price {
    /// What no schema can say of a table: that everything has a price above zero.
    pub(super) fn check_table(&self) -> Result<(), String> {
        let rows = self.tariff.rows();
        if rows.iter().any(|row| row.microcredits <= 0) {
            return Err("a price must be above zero".to_owned());
        }
        if rows.last().is_none_or(|row| !row.when.is_empty()) {
            return Err(
                "the last price row must have no `when`, so that every request has a price"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// That the parameters it names exist and can be counted by.
    pub(crate) fn fits(&self, params: &[Param]) -> Result<(), String> {
        let find = |name: &str| params.iter().find(|param| param.name == name);
        for (name, value) in self.tariff.rows().iter().flat_map(|row| &row.when) {
            let param = find(name)
                .ok_or_else(|| format!("`when` names {name}, which is not a parameter"))?;
            if !param.may_be(value) {
                return Err(format!("`when` asks {name} for {value}, which it never is"));
            }
        }
        let Some(per) = self.tariff.per() else {
            return Ok(());
        };
        let counts = find(per).is_some_and(|param| match (&self.tariff, &param.of) {
            (Tariff::Character { .. }, ParamType::Text { min, .. }) => *min > 0 && param.required,
            (Tariff::Character { .. }, _) => false,
            (_, ParamType::Integer { min, .. }) => {
                *min > 0 && (param.required || param.default.is_some())
            }
            (_, ParamType::Choice { values }) => {
                let counts = |word: &String| word.parse::<u64>().is_ok_and(|count| count > 0);
                values.iter().all(counts) && (param.required || param.default.is_some())
            }
            (
                _,
                ParamType::Text { .. }
                | ParamType::Number { .. }
                | ParamType::Boolean
                | ParamType::Url
                | ParamType::Urls { .. }
                | ParamType::Items { .. },
            ) => false,
        });
        if counts {
            return Ok(());
        }
        Err(format!(
            "the price is per {per}, which must be a parameter that is always there and counts from 1"
        ))
    }
}

// === impl Applied ===

impl Applied {
    /// A price by token, taken at a moment.
    pub fn of_tokens(price: &Price, priced_at: Moment, factor: PriceFactor) -> Self {
        Self {
            priced_at,
            effective_from: price.effective_from,
            unit: price.tariff.unit().to_owned(),
            when: When::new(),
            rounding: price.rounding,
            price_factor: factor,
            parameters: Resolved::new(),
        }
    }
}

// === impl Frozen ===

impl Frozen {
    /// The price of a model for these parameters at a moment. `None`: it is not by table, and the request cannot be served.
    pub fn of(
        model: &Model,
        resolved: &Resolved,
        priced_at: Moment,
        factor: PriceFactor,
    ) -> Option<Self> {
        let price = model.price_at(priced_at)?;
        let (row, units) = price.tariff.row(resolved)?;
        Some(Self {
            applied: Applied {
                when: row.when.clone(),
                parameters: model.priced(resolved),
                ..Applied::of_tokens(price, priced_at, factor)
            },
            unit_microcredits: row.microcredits,
            units,
        })
    }

    /// A price of one call that nothing more is known of.
    pub fn per_call(price: Micros, priced_at: Moment) -> Self {
        Self {
            applied: Applied {
                priced_at,
                effective_from: None,
                unit: "call".to_owned(),
                when: When::new(),
                rounding: Rounding::default(),
                price_factor: PriceFactor::ONE,
                parameters: Resolved::new(),
            },
            unit_microcredits: price.get(),
            units: 1,
        }
    }

    /// The most it can cost: what is held.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn ceiling(&self) -> Result<Micros, MoneyError> {
        self.cost(self.units).map(|cost| cost.amount)
    }

    /// What it costs when it made so many units; more than its most are counted as those.
    ///
    /// # Errors
    /// When it does not fit.
    pub fn cost(&self, units: u64) -> Result<Cost, MoneyError> {
        let Applied {
            unit,
            rounding,
            price_factor,
            ..
        } = &self.applied;
        let line = Line::of(unit, units.min(self.units), self.unit_microcredits)?;
        Cost::of(vec![line], *rounding, *price_factor)
    }
}

// === impl Model ===

impl Model {
    /// The resolved parameters that a price may depend on: words of a list, whole numbers, yes and no, never content.
    pub fn priced(&self, resolved: &Resolved) -> Resolved {
        let plain = self.params.iter().filter(|param| param.of.is_plain());
        plain
            .filter_map(|param| Some((param.name.clone(), resolved.get(&param.name)?.clone())))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::Catalogue;

    const FLUX: &str = include_str!("../../catalogue/flux-2.toml");

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
            format!(
                "[[prices]]\n{from}unit = \"call\"\n[[prices.rows]]\nmicrocredits = {credits}\n"
            )
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
}
