//! Whatever the models of tasks take: requests made of the files' own parameters, and what holds for every one of them.

use std::{collections::HashSet, sync::LazyLock};

use domain::{
    Catalogue, FileId, Micros, Moment, TaskId,
    catalogue::{CHAT_ROUTE, EMBEDDINGS_ROUTE, Model, Param, ParamType},
    price::{Frozen, PriceFactor},
};
use proptest::{prelude::*, sample::select, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Map, Number, Value, json};

/// So many requests of each model are looked at, and so many more until every row is reached.
const TRIES: usize = 500;
const MORE_TRIES: usize = 20_000;

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| Catalogue::built_in().unwrap());

fn models() -> Vec<&'static Model> {
    let is_of_tasks =
        |model: &&Model| ![CHAT_ROUTE, EMBEDDINGS_ROUTE].contains(&model.route.as_str());
    CATALOGUE.models().iter().filter(is_of_tasks).collect()
}

/// Any value that a parameter takes.
fn value(param: &Param) -> BoxedStrategy<Value> {
    match &param.of {
        ParamType::Text { min, max } => {
            let lengths = prop_oneof![
                9 => *min..=(*max).min(min + 30),
                1 => Just(*max),
            ];
            lengths.prop_map(|length| json!("é".repeat(length))).boxed()
        }
        ParamType::Choice { values, .. } => select(values.clone()).prop_map(Value::String).boxed(),
        ParamType::Integer { min, max } => prop_oneof![Just(*min), Just(*max), *min..=*max]
            .prop_map(Value::from)
            .boxed(),
        ParamType::Number { min, max } => {
            let whole = |bound: &Number| i32::try_from(bound.as_i64().unwrap_or(1)).unwrap();
            let between = whole(min)..=whole(max);
            prop_oneof![
                Just(Value::Number(min.clone())),
                Just(Value::Number(max.clone())),
                between.prop_map(|number| json!(f64::from(number))),
            ]
            .boxed()
        }
        ParamType::Boolean => any::<bool>().prop_map(Value::Bool).boxed(),
        ParamType::Url => Just(json!("https://a.example/0.png")).boxed(),
        ParamType::Task(_) => {
            Just(json!(TaskId::from_slice(&[7; 16]).unwrap().to_string())).boxed()
        }
        ParamType::Sound { .. } => {
            Just(json!(FileId::from_slice(&[7; 16]).unwrap().to_string())).boxed()
        }
        ParamType::Urls { min, max } => (*min..=*max)
            .prop_map(|count| {
                let url = |index| format!("https://a.example/{index}.png");
                json!((0..count).map(url).collect::<Vec<String>>())
            })
            .boxed(),
        ParamType::Items { min, max, fields } => {
            proptest::collection::vec(object(fields), *min..=*max)
                .prop_map(|items| items.into_iter().map(Value::Object).collect())
                .boxed()
        }
    }
}

/// Any object of these fields, with and without those that may be left out.
fn object(params: &[Param]) -> BoxedStrategy<Map<String, Value>> {
    let field = |param: &Param| {
        let name = param.name.clone();
        let value = value(param).prop_map(move |value| (name.clone(), value));
        // How long a sound lasts is always counted.
        if param.required || param.seconds_of.is_some() {
            value.prop_map(Some).boxed()
        } else {
            proptest::option::of(value).boxed()
        }
    };
    let fields: Vec<_> = params.iter().map(field).collect();
    fields
        .prop_map(|fields| fields.into_iter().flatten().collect())
        .boxed()
}

/// The same, written otherwise: numbers as texts and texts as numbers, other letter case.
fn respelled(params: &[Param], sent: &Map<String, Value>) -> Map<String, Value> {
    let other = |param: &Param, value: &Value| match (&param.of, value) {
        (ParamType::Integer { .. } | ParamType::Number { .. }, number) => json!(number.to_string()),
        (ParamType::Choice { .. }, Value::String(word)) => match word.parse::<Number>() {
            Ok(number) if number.to_string() == *word => Value::Number(number),
            Ok(_) | Err(_) => json!(swapped(word)),
        },
        (ParamType::Items { fields, .. }, Value::Array(items)) => items
            .iter()
            .map(|item| Value::Object(respelled(fields, item.as_object().unwrap())))
            .collect(),
        (_, value) => value.clone(),
    };
    let named = |name: &String| params.iter().find(|param| param.name == *name).unwrap();
    sent.iter()
        .map(|(name, value)| (name.clone(), other(named(name), value)))
        .collect()
}

fn swapped(word: &str) -> String {
    let swap = |letter: char| {
        if letter.is_ascii_uppercase() {
            letter.to_ascii_lowercase()
        } else {
            letter.to_ascii_uppercase()
        }
    };
    word.chars().map(swap).collect()
}

/// Nothing of how a row is written reaches a provider.
fn is_filled_in(value: &Value) -> bool {
    match value {
        Value::String(text) => !text.starts_with('$'),
        Value::Array(items) => items.iter().all(is_filled_in),
        Value::Object(members) => {
            let is_row = ["of", "join", "each"]
                .iter()
                .any(|name| members.contains_key(*name));
            !is_row && members.values().all(is_filled_in)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

/// What customers send of it, and what is ours to say.
fn parted(model: &Model, all: &Map<String, Value>) -> (Map<String, Value>, Map<String, Value>) {
    let ours = |name: &String| {
        model
            .params
            .iter()
            .any(|param| param.ours && param.name == *name)
    };
    let (ours, sent): (Vec<_>, Vec<_>) = all.clone().into_iter().partition(|(name, _)| ours(name));
    (sent.into_iter().collect(), ours.into_iter().collect())
}

/// What must hold for a request; the places of the rows of its price and of its providers, unless it is refused.
fn holds(
    model: &Model,
    all: &Map<String, Value>,
    factor: PriceFactor,
) -> Result<Option<(usize, Vec<usize>)>, TestCaseError> {
    let (sent, ours) = parted(model, all);
    let resolve = |sent| model.inherit(model.resolve(sent)?, &ours);
    let read = resolve(sent.clone());
    let again = resolve(respelled(&model.params, &sent));
    prop_assert_eq!(
        read.as_ref().map_err(Vec::len),
        again.as_ref().map_err(Vec::len)
    );
    let resolved = match read {
        Ok(resolved) => resolved,
        Err(problems) => {
            prop_assert!(!problems.is_empty());
            return Ok(None);
        }
    };
    let twice = resolve(parted(model, &resolved).0);
    prop_assert_eq!(twice.as_ref(), Ok(&resolved));

    let frozen = Frozen::of(model, &resolved, Moment::default(), factor);
    let Some(frozen) = frozen else {
        return Err(TestCaseError::fail("it has no price"));
    };
    let ceiling = frozen.ceiling().unwrap();
    prop_assert!(ceiling > Micros::ZERO);
    for units in [0, 1, frozen.units, u64::MAX] {
        prop_assert!(frozen.cost(units).unwrap().amount <= ceiling);
    }

    let routes: Vec<_> = model.candidates(&resolved).collect();
    prop_assert!(!routes.is_empty(), "nobody serves it");
    for route in &routes {
        let input = Value::Object(route.input(&resolved));
        prop_assert!(
            is_filled_in(&input) && input != json!({}),
            "{} {input}",
            route.model
        );
    }
    let price = model.price_at(Moment::default()).unwrap();
    let (row, _) = price.tariff.row(&resolved).unwrap();
    let rows = price.tariff.rows();
    let row = rows.iter().position(|other| std::ptr::eq(other, row));
    let all = model.providers.iter().enumerate();
    let places = all.filter(|(_, route)| routes.iter().any(|chosen| std::ptr::eq(*chosen, *route)));
    Ok(Some((
        row.unwrap(),
        places.map(|(place, _)| place).collect(),
    )))
}

#[test]
fn every_row_of_every_model_is_reached() {
    let mut runner = TestRunner::deterministic();
    for model in models() {
        let rows = model.price_at(Moment::default()).unwrap().tariff.rows();
        let (mut priced, mut served) = (HashSet::new(), HashSet::new());
        let requests = object(&model.params);
        for tries in 0..TRIES + MORE_TRIES {
            let sent = requests.new_tree(&mut runner).unwrap().current();
            if let Some((row, routes)) = holds(model, &sent, PriceFactor::ONE).unwrap() {
                priced.insert(row);
                served.extend(routes);
            }
            let is_done = priced.len() == rows.len() && served.len() == model.providers.len();
            if tries >= TRIES && is_done {
                break;
            }
        }
        let missed: Vec<_> = (0..rows.len()).filter(|at| !priced.contains(at)).collect();
        assert!(missed.is_empty(), "{}: price rows {missed:?}", model.slug);
        let all = model.providers.iter().enumerate();
        let missed: Vec<_> = all.filter(|(at, _)| !served.contains(at)).collect();
        assert!(missed.is_empty(), "{}: {missed:?}", model.slug);
    }
}

proptest! {
    #[test]
    fn whatever_is_taken_has_a_price_and_somebody_who_serves_it(
        (at, sent) in (0..models().len()).prop_flat_map(|at| (Just(at), object(&models()[at].params))),
        parts in 1_i64..=10_000_000,
    ) {
        let seen = holds(models()[at], &sent, PriceFactor::new(parts).unwrap());
        prop_assert!(seen.is_ok(), "{} {sent:?}: {seen:?}", models()[at].slug);
    }
}
