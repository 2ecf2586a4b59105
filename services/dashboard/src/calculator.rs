//! What a request costs, by a form: the parameters that the price depends on are asked for, everything else is filled in, and the sum is made
//! by the code that makes quotes and holds.

use std::{collections::BTreeMap, time::Duration};

use domain::{
    Micros, Moment, MoneyError, PriceFactor, TokenClass, Usage,
    catalogue::{Model, Param, ParamType, Resolved},
    price::{Cost, Frozen, Price, Tariff, TokenPrices},
};
use serde_json::{Map, Value, json};

use crate::{prices, request, view::plain};

/// The field for a number of characters.
const CHARACTERS: &str = "characters";
/// What it holds at first.
const USUAL_CHARACTERS: u64 = 250;
/// What the fields for tokens of input and of output hold at first.
const USUAL_TOKENS: [u64; 2] = [1_000, 500];
/// The most tokens that are calculated with: a thousand times what any model takes.
const MOST_TOKENS: u64 = 1_000_000_000;
/// How many seconds a sound lasts at first.
const USUAL_SECONDS: i64 = 60;

/// What the form asked, and what it costs.
#[derive(Clone, Debug)]
pub struct Calculator {
    fields: Vec<Field>,
    cost: Result<Cost, Vec<String>>,
}

/// A field of the form.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) value: String,
    pub(crate) choice: Choice,
}

/// What may stand in a field.
#[derive(Clone, Debug)]
pub(crate) enum Choice {
    /// One of these.
    Words(Vec<String>),
    /// A whole number.
    Number { min: i64, max: i64 },
}

/// A line of the sum.
#[derive(Clone, Debug)]
pub(crate) struct Sum {
    pub(crate) units: String,
    pub(crate) each: String,
    pub(crate) all: String,
}

// === impl Calculator ===

impl Calculator {
    /// Calculates with what was asked, by name; what is not among it has its default.
    pub fn of(model: &Model, asked: &BTreeMap<String, String>, at: Moment) -> Self {
        let Some(price) = model.price_at(at) else {
            return Self {
                fields: Vec::new(),
                cost: Err(Vec::new()),
            };
        };
        if let Some(prices) = price.tokens() {
            return Self::of_tokens(price, prices, asked);
        }
        let fields = fields(model, &price.tariff, asked);
        let cost = cost(model, &fields, at);
        Self { fields, cost }
    }

    /// What it costs; `None`: such a request is refused.
    pub fn amount(&self) -> Option<Micros> {
        self.cost.as_ref().ok().map(|cost| cost.amount)
    }

    pub(crate) fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Why such a request is refused.
    pub(crate) fn problems(&self) -> &[String] {
        self.cost.as_ref().err().map_or(&[], Vec::as_slice)
    }

    /// The lines of the sum.
    pub(crate) fn lines(&self) -> Vec<Sum> {
        let lines = self.cost.as_ref().map(|cost| cost.lines.as_slice());
        let sum = |line: &domain::price::Line| Sum {
            units: units(line.units, &line.class),
            each: Micros::new(line.unit_microcredits).to_string(),
            all: Micros::new(line.microcredits).to_string(),
        };
        lines.unwrap_or_default().iter().map(sum).collect()
    }

    fn of_tokens(price: &Price, prices: &TokenPrices, asked: &BTreeMap<String, String>) -> Self {
        let [input, output] = USUAL_TOKENS;
        let field = |class: TokenClass| {
            let usual = match class {
                TokenClass::Input => input,
                TokenClass::Output => output,
                TokenClass::Cached
                | TokenClass::Reasoning
                | TokenClass::AudioInput
                | TokenClass::AudioOutput => 0,
            };
            let name = class.as_str();
            Field {
                name: name.to_owned(),
                label: format!("tokens of {}", prices::class_name(class)),
                value: asked
                    .get(name)
                    .cloned()
                    .unwrap_or_else(|| usual.to_string()),
                choice: Choice::Number {
                    min: 0,
                    max: i64::try_from(MOST_TOKENS).unwrap_or(i64::MAX),
                },
            }
        };
        let classes = prices::classes(prices);
        let fields: Vec<Field> = classes.iter().copied().map(field).collect();
        let (mut usage, mut problems) = (Usage::default(), Vec::new());
        for (class, field) in classes.into_iter().zip(&fields) {
            match field.value.parse() {
                Ok(count) if count <= MOST_TOKENS => *usage.of_mut(class) = count,
                Ok(_) | Err(_) => problems.push(format!(
                    "{} must be a whole number from 0 to {MOST_TOKENS}",
                    field.name
                )),
            }
        }
        let cost = if problems.is_empty() {
            price.cost(usage, PriceFactor::ONE).map_err(too_much)
        } else {
            Err(problems)
        };
        Self { fields, cost }
    }
}

/// `5 seconds`, `1000 tokens of input`.
fn units(count: u64, class: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    match TokenClass::ALL.into_iter().find(|of| of.as_str() == class) {
        Some(of) => format!("{count} token{end} of {}", prices::class_name(of)),
        None => format!("{count} {class}{end}"),
    }
}

/// The fields that a table asks for: what its rows look at, and what counts the units.
fn fields(model: &Model, tariff: &Tariff, asked: &BTreeMap<String, String>) -> Vec<Field> {
    let mut names: Vec<&str> = Vec::new();
    let looked_at = tariff.rows().iter().flat_map(|row| row.when.keys());
    for name in looked_at.map(String::as_str).chain(tariff.per()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let params = &model.params;
    let mut fields: Vec<Field> = names
        .into_iter()
        .filter_map(|name| {
            let param = params.iter().find(|param| param.name == name)?;
            field(param, asked)
        })
        .collect();
    if matches!(tariff, Tariff::Character { .. }) {
        let usual = || USUAL_CHARACTERS.to_string();
        fields.push(Field {
            name: CHARACTERS.to_owned(),
            label: CHARACTERS.to_owned(),
            value: asked.get(CHARACTERS).cloned().unwrap_or_else(usual),
            choice: Choice::Number {
                min: 1,
                max: most_characters(model, tariff),
            },
        });
    }
    fields
}

fn field(param: &Param, asked: &BTreeMap<String, String>) -> Option<Field> {
    let (choice, first) = match &param.of {
        ParamType::Choice { values, .. } => {
            (Choice::Words(values.clone()), values.first().cloned()?)
        }
        ParamType::Boolean => {
            let words = ["true", "false"].map(str::to_owned);
            (Choice::Words(words.to_vec()), "false".to_owned())
        }
        ParamType::Integer { min, max } => {
            let first = if param.seconds_of.is_some() {
                USUAL_SECONDS.clamp(*min, *max)
            } else {
                *min
            };
            let choice = Choice::Number {
                min: *min,
                max: *max,
            };
            (choice, first.to_string())
        }
        ParamType::Text { .. }
        | ParamType::Number { .. }
        | ParamType::Url
        | ParamType::Urls { .. }
        | ParamType::Task(_)
        | ParamType::Sound { .. }
        | ParamType::Items { .. } => return None,
    };
    let usual = param.default.as_ref().map_or(first, plain);
    let whose = if param.ours && param.seconds_of.is_none() {
        " of the earlier task"
    } else {
        ""
    };
    Some(Field {
        name: param.name.clone(),
        label: format!("{}{whose}", param.name),
        value: asked.get(&param.name).cloned().unwrap_or(usual),
        choice,
    })
}

/// How long the text may be that is counted.
fn most_characters(model: &Model, tariff: &Tariff) -> i64 {
    let per = tariff.per().unwrap_or_default();
    let of_rules = model
        .rules
        .iter()
        .filter_map(|rule| rule.characters.get(per));
    let text = counted(model, per).map(|param| match &param.of {
        ParamType::Text { max, .. } => *max,
        ParamType::Choice { .. }
        | ParamType::Integer { .. }
        | ParamType::Number { .. }
        | ParamType::Boolean
        | ParamType::Url
        | ParamType::Urls { .. }
        | ParamType::Task(_)
        | ParamType::Sound { .. }
        | ParamType::Items { .. } => usize::MAX,
    });
    let most = of_rules.copied().chain(text).min();
    i64::try_from(most.unwrap_or(usize::MAX)).unwrap_or(i64::MAX)
}

/// The text that is counted: a parameter, or a field of a list.
fn counted<'m>(model: &'m Model, per: &str) -> Option<&'m Param> {
    let (name, field) = per
        .split_once('.')
        .map_or((per, None), |(list, field)| (list, Some(field)));
    let param = model.params.iter().find(|param| param.name == name)?;
    match (&param.of, field) {
        (ParamType::Items { fields, .. }, Some(field)) => {
            fields.iter().find(|param| param.name == field)
        }
        _ => Some(param),
    }
}

/// What a request with these fields costs.
fn cost(model: &Model, fields: &[Field], at: Moment) -> Result<Cost, Vec<String>> {
    let (mut chosen, mut ours) = (Map::new(), Resolved::new());
    for field in fields {
        let param = model.params.iter().find(|param| param.name == field.name);
        let Some(param) = param else {
            chosen.extend(text_of(model, field, at)?);
            continue;
        };
        let value = match (&param.of, field.value.as_str()) {
            (ParamType::Boolean, "true") => json!(true),
            (ParamType::Boolean, "false") => json!(false),
            _ => json!(field.value),
        };
        if param.ours {
            ours.insert(field.name.clone(), value);
        } else {
            chosen.insert(field.name.clone(), value);
        }
    }
    let (_, mut resolved) = request::complete(model, &chosen)?;
    for counted in model.counted() {
        let lasts = ours.remove(counted.name).as_ref().map(plain);
        let lasts = lasts.and_then(|seconds| seconds.parse().ok());
        let lasts =
            lasts.ok_or_else(|| vec![format!("{} must be a whole number", counted.name)])?;
        let lasts = Duration::from_secs(lasts);
        resolved = model.count(resolved, &counted, lasts).map_err(messages)?;
    }
    let resolved = model.inherit(resolved, &ours).map_err(messages)?;
    let frozen = Frozen::of(model, &resolved, at, PriceFactor::ONE);
    let frozen = frozen.ok_or_else(|| vec!["such a request has no price".to_owned()])?;
    frozen.cost(frozen.units).map_err(too_much)
}

/// A text of so many characters, where the model counts it.
fn text_of(model: &Model, field: &Field, at: Moment) -> Result<Map<String, Value>, Vec<String>> {
    let Choice::Number { min, max } = field.choice else {
        return Ok(Map::new());
    };
    let length = field.value.parse::<i64>().ok();
    let length = length.filter(|length| (min..=max).contains(length));
    let length = length.and_then(|length| usize::try_from(length).ok());
    let Some(length) = length else {
        let told = format!("{CHARACTERS} must be a whole number from {min} to {max}");
        return Err(vec![told]);
    };
    let price = model.price_at(at);
    let per = price
        .and_then(|price| price.tariff.per())
        .unwrap_or_default();
    let text = json!("a".repeat(length));
    Ok(match per.split_once('.') {
        None => Map::from_iter([(per.to_owned(), text)]),
        Some((list, name)) => {
            let item = Map::from_iter([(name.to_owned(), text)]);
            Map::from_iter([(list.to_owned(), json!([item]))])
        }
    })
}

fn messages(problems: Vec<domain::Problem>) -> Vec<String> {
    problems
        .into_iter()
        .map(|problem| problem.message)
        .collect()
}

fn too_much(_: MoneyError) -> Vec<String> {
    vec!["this costs more than any balance can hold".to_owned()]
}

// === impl Field ===

impl Field {
    /// The words to choose from; none where a number is asked for.
    pub(crate) fn words(&self) -> &[String] {
        match &self.choice {
            Choice::Words(words) => words,
            Choice::Number { .. } => &[],
        }
    }

    /// The smallest number and the largest.
    pub(crate) const fn bounds(&self) -> (i64, i64) {
        match self.choice {
            Choice::Words(_) => (0, 0),
            Choice::Number { min, max } => (min, max),
        }
    }

    pub(crate) fn is(&self, word: &str) -> bool {
        self.value == word
    }
}
