//! Prices by table: the first row whose conditions match the resolved parameters, times a number of units that a parameter bounds.

use serde::{Deserialize, Serialize};

use super::{Cost, Line, Price, PriceFactor, Rounding, Tariff, is_asked};
use crate::{
    Micros, Moment, MoneyError,
    catalogue::{Model, Param, ParamType, Resolved, When, has_length, length, matches},
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
    /// Whether as many seconds are charged as were made, and not as were asked for.
    #[serde(default, skip_serializing_if = "is_asked")]
    pub measured: bool,
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

    /// Whether as many seconds are charged as were made, and not as were asked for.
    pub const fn is_measured(&self) -> bool {
        match self {
            Self::Second { measured, .. } => *measured,
            Self::Call { .. } | Self::Image { .. } | Self::Character { .. } | Self::Token(_) => {
                false
            }
        }
    }

    /// The row for these parameters, and the most units they make. `None` when the price is by token.
    pub fn row(&self, resolved: &Resolved) -> Option<(&Row, u64)> {
        let mut rows = self.rows().iter();
        let row = rows.find(|row| matches(&row.when, resolved))?;
        let units = match self.per() {
            None => 1,
            Some(per) => self.units(per, resolved)?,
        };
        Some((row, units))
    }

    fn units(&self, per: &str, resolved: &Resolved) -> Option<u64> {
        if matches!(self, Self::Character { .. }) {
            return u64::try_from(length(per, resolved)?).ok();
        }
        let value = resolved.get(per)?;
        match value.as_str() {
            Some(word) => word.parse().ok(),
            None => value.as_u64(),
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
        if matches!(self.tariff, Tariff::Character { .. }) {
            return if has_length(per, params) {
                Ok(())
            } else {
                Err(uncountable(per))
            };
        }
        let counts = find(per).is_some_and(|param| match &param.of {
            ParamType::Integer { min, .. } => {
                *min > 0 && (param.required || param.default.is_some() || param.is_counted())
            }
            ParamType::Choice { values, .. } => {
                let counts = |word: &String| word.parse::<u64>().is_ok_and(|count| count > 0);
                values.iter().all(counts) && (param.required || param.default.is_some())
            }
            ParamType::Text { .. }
            | ParamType::Number { .. }
            | ParamType::Boolean
            | ParamType::Url
            | ParamType::Urls { .. }
            | ParamType::Task(_)
            | ParamType::Sound { .. }
            | ParamType::Items { .. } => false,
        });
        if counts {
            Ok(())
        } else {
            Err(uncountable(per))
        }
    }
}

fn uncountable(per: &str) -> String {
    format!(
        "the price is per {per}, which must be a parameter that is always there and counts from 1"
    )
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
            measured: price.tariff.is_measured(),
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
            measured: false,
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
mod tests;
