//! What is promised about any bytes, for the fuzzers in `fuzz/` and for the tests that read their corpora. Each promise panics where it is broken.

use serde_json::{Map, Value};

use crate::{
    ApiKey, Catalogue, Micros, Moment, PriceFactor, RedeemCode, TaskId, TokenClass, Usage,
    catalogue::Model,
    price::{Frozen, Price, TokenBound},
};

/// The factors that prices are tried with: as listed, and the highest.
const FACTORS: [PriceFactor; 2] = [PriceFactor::ONE, PriceFactor::MAX];
/// How many units or tokens.
const AMOUNTS: [u64; 5] = [0, 1, 7, 1_000_000, u64::MAX];

/// A model's file that holds together has a price for every request, nothing costs more than was held for it, and the price list that it makes is
/// read as it was written.
pub fn prices(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(catalogue) = Catalogue::parse(&[("fuzzed.toml", text)]) else {
        return;
    };
    let again = Catalogue::from_list(catalogue.list());
    let again = again.as_ref().ok().map(Catalogue::version);
    assert_eq!(again, Some(catalogue.version()));
    for model in catalogue.models() {
        for price in model.prices() {
            by_token(price);
        }
        by_table(model);
    }
}

fn by_token(price: &Price) {
    if price.tokens().is_none() {
        return;
    }
    for (tokens, factor) in AMOUNTS
        .into_iter()
        .flat_map(|tokens| FACTORS.map(|factor| (tokens, factor)))
    {
        let half = tokens.checked_div(2).unwrap_or_default();
        let bound = TokenBound {
            text: half,
            media: half,
            output: tokens,
        };
        let Ok(ceiling) = price.ceiling(bound, factor) else {
            continue;
        };
        assert!(ceiling >= Micros::ZERO, "{ceiling} is held");
        for class in TokenClass::ALL {
            let mut usage = Usage::default();
            *usage.of_mut(class) = half;
            let cost = price.cost(usage, factor);
            let cost = cost.map(|cost| cost.amount);
            assert!(cost.is_ok_and(|cost| cost <= ceiling), "{class:?}");
        }
        let affordable = price.affordable_output(ceiling, bound, factor);
        assert!(affordable >= tokens || price.tokens().is_some_and(|prices| prices.output == 0));
    }
}

fn by_table(model: &Model) {
    let mut sent = Map::new();
    sent.insert("prompt".to_owned(), Value::from("a fox"));
    let resolved = model.resolve(sent).or_else(|_| model.resolve(Map::new()));
    let Ok(resolved) = resolved else { return };
    for factor in FACTORS {
        let frozen = Frozen::of(model, &resolved, Moment::from_micros(0), factor);
        let Some((frozen, ceiling)) = frozen.and_then(|frozen| {
            let ceiling = frozen.ceiling().ok()?;
            Some((frozen, ceiling))
        }) else {
            continue;
        };
        assert!(ceiling >= Micros::ZERO, "{ceiling} is held");
        for units in AMOUNTS {
            let cost = frozen.cost(units).map(|cost| cost.amount);
            assert!(cost.is_ok_and(|cost| cost <= ceiling), "{units} units");
        }
    }
}

/// A word that is read is written as it is understood, and understood as it is written.
pub fn words(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(amount) = Micros::parse_credits(text) {
        assert_eq!(Micros::parse_credits(&amount.to_string()), Ok(amount));
    }
    if let Some(factor) = PriceFactor::parse(text) {
        assert_eq!(PriceFactor::parse(&factor.to_string()), Some(factor));
    }
    if let Some(moment) = Moment::parse(text) {
        assert_eq!(Moment::parse(&moment.to_string()), Some(moment));
    }
    if let Some(id) = TaskId::parse(text) {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(key) = ApiKey::parse(text) {
        assert_eq!(key.expose(), text);
    }
    if let Some(code) = RedeemCode::parse(text) {
        let again = RedeemCode::parse(code.expose());
        assert_eq!(again.as_ref().map(RedeemCode::expose), Some(code.expose()));
    }
}

#[cfg(test)]
mod tests {
    use testkit::fuzzed;

    #[test]
    fn nothing_costs_more_than_was_held() {
        fuzzed("price_tables", super::prices).unwrap();
    }

    #[test]
    fn words_are_written_as_they_are_read() {
        fuzzed("words", super::words).unwrap();
    }
}
