//! What the price list promises, model by model, as tables to read without Rust: what a documented request means, what it costs, what
//! is refused, and who is asked for it in which words.

use std::time::Duration;

use domain::{
    Catalogue, Moment,
    catalogue::{Model, ParamType, Resolved},
    price::{Frozen, PriceFactor},
};
use serde_json::{Map, Value, json};

const URL: &str = "https://a/1";
/// What a line says of the milliseconds of a sound that it names.
const LASTS: &str = "(lasts)";

/// A line of a table: a model by one of its names, what was sent beside what must be there, and what is expected.
struct Line {
    name: &'static str,
    sent: Map<String, Value>,
    expected: &'static str,
}

/// `name {json} => expected`
fn lines(table: &'static str) -> Vec<Line> {
    let read = |line: &'static str| {
        let (left, expected) = line.split_once(" => ").unwrap();
        let (name, sent) = left.split_once(' ').unwrap();
        let sent = serde_json::from_str(sent).unwrap();
        Line {
            name,
            sent,
            expected,
        }
    };
    let rows = table
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    rows.map(read).collect()
}

// === impl Line ===

impl Line {
    fn model<'c>(&self, catalogue: &'c Catalogue) -> &'c Model {
        catalogue.find(self.name).unwrap()
    }

    fn resolve(&self, model: &Model) -> Result<Resolved, String> {
        let mut sent = Map::new();
        for param in model.params.iter().filter(|param| param.required) {
            let value = match &param.of {
                ParamType::Text { .. } => "a fox",
                ParamType::Url => URL,
                // Whatever else must be there stands in the line.
                ParamType::Choice { .. }
                | ParamType::Integer { .. }
                | ParamType::Number { .. }
                | ParamType::Boolean
                | ParamType::Urls { .. }
                | ParamType::Task(_)
                | ParamType::Sound { .. }
                | ParamType::Items { .. } => continue,
            };
            sent.insert(param.name.clone(), json!(value));
        }
        sent.extend(self.sent.clone());
        // How long its sound lasts, which nobody sends.
        let lasts = sent.remove(LASTS).and_then(|millis| millis.as_u64());
        let lasts = Duration::from_millis(lasts.unwrap_or(1));
        let resolved = model.resolve_as(self.name, sent).and_then(|resolved| {
            let mut counted = model.counted();
            counted.try_fold(resolved, |resolved, counted| {
                model.count(resolved, &counted, lasts)
            })
        });
        resolved.map_err(|problems| {
            let messages = problems.into_iter().map(|problem| problem.message);
            messages.collect::<Vec<_>>().join("; ")
        })
    }
}

/// Holds what a function says of each line of a table against what it expects.
fn check(table: &'static str, says: impl Fn(&Line, &Model) -> String) {
    let catalogue = Catalogue::built_in().unwrap();
    let lines = lines(table);
    assert!(!lines.is_empty());
    for line in lines {
        let told = says(&line, line.model(&catalogue));
        assert_eq!(told, line.expected, "{} {:?}", line.name, line.sent);
    }
}

#[test]
fn a_request_means_what_the_page_says() {
    check(include_str!("documented/means.txt"), |line, model| {
        Value::Object(line.resolve(model).unwrap()).to_string()
    });
}

#[test]
fn a_request_costs_what_the_price_list_says() {
    check(include_str!("documented/costs.txt"), |line, model| {
        let resolved = line.resolve(model).unwrap();
        let frozen = Frozen::of(model, &resolved, Moment::default(), PriceFactor::ONE).unwrap();
        frozen.ceiling().unwrap().to_string()
    });
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    check(include_str!("documented/refused.txt"), |line, model| {
        line.resolve(model).unwrap_err()
    });
}

#[test]
fn each_request_finds_those_who_serve_it_in_order() {
    check(include_str!("documented/asked.txt"), |line, model| {
        let resolved = line.resolve(model).unwrap();
        let names = model.candidates(&resolved).map(|route| &*route.model);
        names.collect::<Vec<&str>>().join(" ")
    });
}

#[test]
fn a_provider_is_asked_in_its_own_words() {
    let catalogue = Catalogue::built_in().unwrap();
    for line in lines(include_str!("documented/inputs.txt")) {
        let model = line.model(&catalogue);
        let resolved = line.resolve(model).unwrap();
        let (name, input) = line.expected.split_once(' ').unwrap();
        let input: Value = serde_json::from_str(input).unwrap();
        let mut routes = model.candidates(&resolved);
        let route = routes.find(|route| route.model == name).unwrap();
        assert_eq!(
            Value::Object(route.input(&resolved)),
            input,
            "{}",
            line.name
        );
    }
}

#[test]
fn every_model_of_tasks_stands_in_the_price_list() {
    let catalogue = Catalogue::built_in().unwrap();
    let listed = [
        lines(include_str!("documented/means.txt")),
        lines(include_str!("documented/costs.txt")),
    ];
    for model in catalogue.models() {
        let is_here = |line: &Line| line.model(&catalogue).slug == model.slug;
        let is_of_tasks = model.chat.is_none() && model.embedding.is_none();
        for table in &listed {
            assert_eq!(table.iter().any(is_here), is_of_tasks, "{}", model.slug);
        }
    }
}

#[test]
fn a_row_of_a_provider_names_what_there_is() {
    let text = include_str!("../../catalogue/grok-video.toml");
    let row = "without = [\"image_urls[1]\"]";
    assert!(text.contains(row));
    for (place, told) in [
        ("image_urls[7]", "no such element"),
        ("images", "not a parameter"),
    ] {
        let text = text.replace(row, &format!("without = [\"{place}\"]"));
        let error = Catalogue::parse(&[("a.toml", &text)])
            .unwrap_err()
            .to_string();
        assert!(error.contains(told), "{place}: {error}");
    }
}
