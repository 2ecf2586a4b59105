//! What customers may send a model that makes something: the parameters, and how a value of theirs is read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::{Earlier, Medium};
use crate::{FileId, Problem, ProblemKind, TaskId};

/// One parameter.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Param {
    /// The field.
    pub name: String,
    /// Older spellings of it that are taken as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// What it holds, and how much of it.
    #[serde(flatten)]
    pub of: ParamType,
    /// What an input is to be; only inputs have one. Without it any file is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Medium>,
    /// Whether it must be there.
    #[serde(default)]
    pub required: bool,
    /// What an absent field means; resolved before the price is computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Whether it is ours to say and no customer's: how long a sound is, what the earlier task has, else the default.
    #[serde(default, skip_serializing_if = "is_theirs")]
    pub ours: bool,
    /// The parameter that names the sound whose seconds it counts, those that have begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_of: Option<String>,
    /// What its provider is sent where it is left out: this fact of the earlier task's output.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inherits: Option<String>,
    /// What becomes of a text that is longer than it may be.
    #[serde(default, skip_serializing_if = "Longer::is_refused")]
    pub longer: Longer,
    /// The text that it is sent behind, as one: both together have no more characters than that one may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
const fn is_theirs(ours: &bool) -> bool {
    !*ours
}

/// What becomes of a text that is longer than it may be.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Longer {
    /// It is a mistake.
    #[default]
    Refused,
    /// Its end counts: as who hears a recording does with what was said before.
    Cut,
}

/// What a parameter holds.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ParamType {
    /// Free text, lengths in characters.
    Text {
        /// Fewest characters.
        min: usize,
        /// Most characters.
        max: usize,
    },
    /// One of a few words. The case of letters does not matter, and a word that is a number may be sent as one.
    Choice {
        /// The words.
        values: Vec<String>,
        /// Other words that are taken for one of them, as older spellings are.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        also: BTreeMap<String, String>,
    },
    /// A whole number, bounds included; also as a text.
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A number, bounds included; also as a text.
    Number {
        /// Smallest.
        min: Number,
        /// Largest.
        max: Number,
    },
    /// Yes or no.
    Boolean,
    /// One http(s) URL, or the id of a file that was uploaded.
    Url,
    /// A list of them.
    Urls {
        /// Fewest URLs, of a list that is there.
        #[serde(default = "one")]
        min: usize,
        /// Most URLs.
        max: usize,
    },
    /// An earlier task of the same account and mode, which this one goes on from.
    Task(Earlier),
    /// A sound, by the id of its file, or an http(s) URL; bounds included.
    Sound {
        /// How many seconds it lasts at least.
        min_seconds: u32,
        /// And at most.
        max_seconds: u32,
    },
    /// A list of objects.
    Items {
        /// Fewest of them.
        min: usize,
        /// Most of them.
        max: usize,
        /// What each of them holds.
        fields: Vec<Param>,
    },
}

const fn one() -> usize {
    1
}

/// What a request has beside its parameters.
const RESERVED: [&str; 3] = ["callback_url", "user", "metadata"];

/// That parameters do not contradict themselves, nor one another.
pub(super) fn check(params: &[Param]) -> Result<(), String> {
    let mut taken = RESERVED.to_vec();
    for param in params {
        for name in std::iter::once(&param.name).chain(&param.aliases) {
            if taken.contains(&name.as_str()) {
                return Err(format!(
                    "the parameter {name} is there twice, or not ours to name"
                ));
            }
            taken.push(name);
        }
        param.check()?;
    }
    Ok(())
}

/// Completes "`param` must …" of an input.
const INPUT: &str = "be an http(s) URL, or the id of a file";

// === impl Param ===

impl Param {
    /// That there is a value for it, and that its default is one as it stands there.
    fn check(&self) -> Result<(), String> {
        let name = &self.name;
        let is_input = matches!(
            &self.of,
            ParamType::Url | ParamType::Urls { .. } | ParamType::Sound { .. }
        );
        if self.kind.is_some() && !is_input {
            return Err(format!("the parameter {name} is no input, and has no kind"));
        }
        if !self.longer.is_refused() && !matches!(self.of, ParamType::Text { .. }) {
            return Err(format!("the parameter {name} is no text, and is not cut"));
        }
        let (in_order, within) = match &self.of {
            ParamType::Text { min, max } | ParamType::Urls { min, max } => (min <= max, Ok(())),
            ParamType::Choice { values, also } => {
                let mut others = also.iter();
                let is_other = |(other, word): (&String, &String)| {
                    values.contains(word) && !values.contains(other)
                };
                (!values.is_empty() && others.all(is_other), Ok(()))
            }
            ParamType::Integer { min, max } => (min <= max, Ok(())),
            ParamType::Number { min, max } => (min.as_f64() <= max.as_f64(), Ok(())),
            ParamType::Items { min, max, fields } => (min <= max, check(fields)),
            ParamType::Sound {
                min_seconds: min,
                max_seconds: max,
            } => (min <= max, Ok(())),
            ParamType::Boolean | ParamType::Url | ParamType::Task(_) => (true, Ok(())),
        };
        within?;
        if !in_order {
            return Err(format!("no value fits the parameter {name}"));
        }
        let Some(default) = &self.default else {
            return Ok(());
        };
        match self.read(name, default.clone()) {
            Ok(read) if read == *default => Ok(()),
            Ok(_) | Err(_) => Err(format!("the default of {name} is none of its values")),
        }
    }

    /// The value of this parameter among those that were sent, which is taken out. `null` is "not given", as OpenAI's SDKs mean it,
    /// and so is an empty list.
    ///
    /// # Errors
    /// When it is there under two of its spellings.
    pub(super) fn take(&self, sent: &mut Map<String, Value>) -> Result<Option<Value>, Problem> {
        let mut found: Option<Value> = None;
        for name in std::iter::once(&self.name).chain(&self.aliases) {
            let value = sent.remove(name).filter(|value| self.is_given(value));
            if value.is_some() && found.is_some() {
                let allowed = format!("be left out where it is given as {name}");
                return Err(Problem::invalid(&self.name, allowed));
            }
            found = found.or(value);
        }
        Ok(found)
    }

    fn is_given(&self, value: &Value) -> bool {
        let is_list = matches!(&self.of, ParamType::Urls { .. } | ParamType::Items { .. });
        !(value.is_null() || is_list && value.as_array().is_some_and(Vec::is_empty))
    }

    /// Reads a value, which stands at `path`, as it is meant: words in our case, numbers as numbers.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn read(&self, path: &str, value: Value) -> Result<Value, Vec<Problem>> {
        let wrong = |allowed: String| Err(vec![Problem::invalid(path, allowed)]);
        let read = match (&self.of, &value) {
            (ParamType::Text { min, max }, Value::String(text)) => {
                let length = text.chars().count();
                if self.longer == Longer::Cut && length > *max {
                    let end = text.chars().skip(length.saturating_sub(*max));
                    return Ok(Value::String(end.collect()));
                }
                if !(*min..=*max).contains(&length) {
                    return wrong(format!("have {min} to {max} characters; it has {length}"));
                }
                Some(value)
            }
            (ParamType::Choice { values, also }, value) => word(values, also, value),
            (ParamType::Integer { min, max }, value) => number(value).filter(|number| {
                let whole = number.as_i64();
                whole.is_some_and(|number| (*min..=*max).contains(&number))
            }),
            (ParamType::Number { min, max }, value) => number(value).filter(|number| {
                let real = number.as_f64();
                real >= min.as_f64() && real <= max.as_f64()
            }),
            (ParamType::Boolean, Value::Bool(_)) => Some(value),
            (ParamType::Url | ParamType::Sound { .. }, url) if is_input(url) => Some(value),
            (ParamType::Task(_), Value::String(id)) if TaskId::parse(id).is_some() => Some(value),
            (ParamType::Urls { min, max }, Value::Array(items))
                if (*min..=*max).contains(&items.len()) =>
            {
                let problems = url_problems(path, items);
                if !problems.is_empty() {
                    return Err(problems);
                }
                Some(value)
            }
            (ParamType::Items { min, max, fields }, Value::Array(items))
                if (*min..=*max).contains(&items.len()) =>
            {
                return read_items(path, fields, value);
            }
            _ => None,
        };
        read.map_or_else(|| wrong(self.allowed()), Ok)
    }

    /// Completes "`param` must …".
    fn allowed(&self) -> String {
        match (&self.of, self.kind) {
            (ParamType::Sound { .. }, Some(kind)) => {
                format!("be the id of a file, {}", kind.name())
            }
            _ => self.of.allowed(),
        }
    }

    /// Whether a resolved request can hold this value here, as far as a condition asks.
    pub(crate) fn may_be(&self, value: &Value) -> bool {
        self.of.is_plain()
            && self
                .read(&self.name, value.clone())
                .is_ok_and(|read| read == *value)
    }

    /// Puts others in the place of URLs, where there are some.
    pub(super) fn replace_urls(&self, value: &mut Value, other: &impl Fn(&str) -> Option<String>) {
        match (&self.of, value) {
            (ParamType::Url | ParamType::Sound { .. }, Value::String(url)) => {
                if let Some(other) = other(url) {
                    *url = other;
                }
            }
            (ParamType::Urls { .. }, Value::Array(items)) => {
                for item in items {
                    if let Some(other) = item.as_str().and_then(other) {
                        *item = Value::String(other);
                    }
                }
            }
            (ParamType::Items { fields, .. }, Value::Array(items)) => {
                for item in items {
                    for field in fields {
                        if let Some(value) = item.get_mut(&field.name) {
                            field.replace_urls(value, other);
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

/// Reads the fields of an object that stands at `path` (empty: the request itself), in the order of `params`. What is left in `sent`
/// is unknown.
pub(super) fn read_fields(
    path: &str,
    params: &[Param],
    sent: &mut Map<String, Value>,
) -> Result<Map<String, Value>, Vec<Problem>> {
    let (mut read, mut problems) = (Map::new(), Vec::new());
    for param in params {
        let at = format!("{path}{}", param.name);
        let given = if param.ours {
            Ok(None)
        } else {
            param.take(sent)
        };
        let value = match given {
            Ok(value) => value.or_else(|| param.default.clone()),
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        match value.map(|value| param.read(&at, value)) {
            None if param.required => problems.push(Problem::missing(&at)),
            None => {}
            Some(Ok(value)) => {
                read.insert(param.name.clone(), value);
            }
            Some(Err(more)) => problems.extend(more),
        }
    }
    if problems.is_empty() {
        Ok(read)
    } else {
        Err(problems)
    }
}

fn read_items(path: &str, fields: &[Param], list: Value) -> Result<Value, Vec<Problem>> {
    let Value::Array(items) = list else {
        return Ok(list);
    };
    let (mut read, mut problems) = (Vec::with_capacity(items.len()), Vec::new());
    for (index, item) in items.into_iter().enumerate() {
        let at = format!("{path}[{index}]");
        let Value::Object(mut sent) = item else {
            problems.push(Problem::invalid(at, "be an object"));
            continue;
        };
        match read_fields(&format!("{at}."), fields, &mut sent) {
            Ok(item) => read.push(Value::Object(item)),
            Err(more) => problems.extend(more),
        }
        problems.extend(sent.keys().map(|name| Problem {
            kind: ProblemKind::Unknown,
            param: format!("{at}.{name}"),
            message: format!("{at} takes {}, not {name}", names(fields)),
        }));
    }
    if problems.is_empty() {
        Ok(Value::Array(read))
    } else {
        Err(problems)
    }
}

/// The names, for a customer.
pub(super) fn names(params: &[Param]) -> String {
    let names: Vec<&str> = params.iter().map(|param| param.name.as_str()).collect();
    names.join(", ")
}

/// One of the words, however its letters are written, or as a number.
fn word(values: &[String], also: &BTreeMap<String, String>, value: &Value) -> Option<Value> {
    let said = match value {
        Value::String(word) => word.clone(),
        Value::Number(_) => number(value)?.to_string(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let same = values.iter().find(|word| **word == said);
    let alike = || values.iter().find(|word| word.eq_ignore_ascii_case(&said));
    let other = || {
        let mut others = also.iter();
        others.find_map(|(other, word)| other.eq_ignore_ascii_case(&said).then_some(word))
    };
    let word = same.or_else(alike).or_else(other);
    word.map(|word| Value::String(word.clone()))
}

/// A number, or a text that is one. JSON does not tell 5.0 from 5, and some languages write the one for the other.
fn number(value: &Value) -> Option<Value> {
    let number: Number = match value {
        Value::Number(number) => number.clone(),
        Value::String(text) => text.parse().ok()?,
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    let text = number.to_string();
    let whole = text.strip_suffix(".0").and_then(|text| text.parse().ok());
    Some(Value::Number(whole.unwrap_or(number)))
}

fn is_input(value: &Value) -> bool {
    value.as_str().is_some_and(|text| {
        text.starts_with("https://") || text.starts_with("http://") || FileId::parse(text).is_some()
    })
}

fn url_problems(name: &str, items: &[Value]) -> Vec<Problem> {
    items
        .iter()
        .enumerate()
        .filter(|(_, item)| !is_input(item))
        .map(|(index, _)| Problem::invalid(format!("{name}[{index}]"), INPUT))
        .collect()
}

// === impl Longer ===

impl Longer {
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands out references"
    )]
    const fn is_refused(&self) -> bool {
        matches!(self, Self::Refused)
    }
}

// === impl ParamType ===

impl ParamType {
    /// Whether a price or a condition may depend on it: words of a list, whole numbers, yes and no, never content.
    pub(crate) const fn is_plain(&self) -> bool {
        match self {
            Self::Choice { .. } | Self::Integer { .. } | Self::Boolean => true,
            Self::Text { .. }
            | Self::Number { .. }
            | Self::Url
            | Self::Urls { .. }
            | Self::Task(_)
            | Self::Sound { .. }
            | Self::Items { .. } => false,
        }
    }

    /// Completes "`param` must …".
    fn allowed(&self) -> String {
        match self {
            Self::Text { min, max } => format!("be a text of {min} to {max} characters"),
            Self::Choice { values, .. } => format!("be one of {}", values.join(", ")),
            Self::Integer { min, max } => format!("be a whole number from {min} to {max}"),
            Self::Number { min, max } => format!("be a number from {min} to {max}"),
            Self::Boolean => "be true or false".to_owned(),
            Self::Url => INPUT.to_owned(),
            Self::Task(Earlier { model, .. }) => {
                format!("be the id of a task that {model} completed")
            }
            Self::Sound { .. } => "be a sound: the id of a file, or an http(s) URL".to_owned(),
            Self::Urls { min: 0 | 1, max } => format!("be a list of at most {max} URLs"),
            Self::Urls { min, max } => format!("be a list of {min} to {max} URLs"),
            Self::Items { min, max, fields } => {
                format!("be a list of {min} to {max} objects of {}", names(fields))
            }
        }
    }
}
