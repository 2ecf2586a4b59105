//! From resolved parameters to what one provider is sent: its own names, words and constants, as a row of the catalogue says.
//!
//! | in the file | sends |
//! |---|---|
//! | `"$seed"` | the parameter; nothing where it is not there |
//! | `"$image_urls[0]"` | the first of a list |
//! | `{ of = "duration", as = "text" }` | the same as a text (`as = "number"`: a word as a number) |
//! | `{ of = "stability", nearest = [0, 0.5, 1] }` | the nearest of these |
//! | `{ of = "title", or = "Untitled" }` | the same, and this where it is not there |
//! | `{ of = "aspect_ratio", map = { "1:1" = "square" } }` | what the map has for it; a map has every word |
//! | `{ join = ["$style", "$tags"], by = ", ", or = "any" }` | those texts that are there, in one; where none is, the last |
//! | `{ each = "dialogue", send = { line = "$text" } }` | of each object of a list, such a table of its own fields |
//! | a list, a table | the same of its elements; a list whose elements are all missing is missing, and so is a table in a list |
//! | anything else | itself; `"$$5"` is the text `$5` |

use serde_json::{Map, Value};

use super::{Param, ParamType, ProviderRoute, Resolved, place};

/// How a parameter is sent.
struct Sent<'a> {
    of: &'a str,
    /// Another word for each of its own.
    map: Option<&'a Map<String, Value>>,
    /// `text` or `number`.
    form: Option<&'a str>,
    /// What is sent where it is not there.
    or: Option<&'a Value>,
    /// The numbers of which the nearest is sent.
    nearest: Option<&'a [Value]>,
}

/// Texts that are sent as one.
struct Joined<'a> {
    texts: &'a [Value],
    by: &'a str,
    /// What is sent where none of them is there.
    or: Option<&'a Value>,
}

/// A list of objects, each sent as a table of its own.
struct Each<'a> {
    of: &'a str,
    send: Option<&'a Map<String, Value>>,
}

/// A table that is not sent as it is.
enum Form<'a> {
    Sent(Sent<'a>),
    Joined(Joined<'a>),
    Each(Each<'a>),
}

// === impl ProviderRoute ===

impl ProviderRoute {
    /// What the provider is sent: the parameters themselves where the row says nothing.
    pub fn input(&self, resolved: &Resolved) -> Resolved {
        match &self.input {
            None => resolved.clone(),
            Some(input) => table(input, resolved),
        }
    }

    /// That it names what there is.
    pub(super) fn check_input(&self, params: &[Param]) -> Result<(), String> {
        let mut members = self.input.iter().flat_map(Map::values);
        members.try_for_each(|value| check(value, params))
    }
}

fn table(input: &Map<String, Value>, resolved: &Resolved) -> Map<String, Value> {
    let member = |(name, value): (&String, &Value)| Some((name.clone(), sent(value, resolved)?));
    input.iter().filter_map(member).collect()
}

fn sent(value: &Value, resolved: &Resolved) -> Option<Value> {
    match value {
        Value::String(text) => match text.strip_prefix('$') {
            None => Some(value.clone()),
            Some(rest) if rest.starts_with('$') => Some(Value::String(rest.to_owned())),
            Some(name) => place::value(name, resolved).cloned(),
        },
        Value::Array(items) => {
            let there = items.iter().filter_map(|item| element(item, resolved));
            let there: Vec<Value> = there.collect();
            (!there.is_empty() || items.is_empty()).then_some(Value::Array(there))
        }
        Value::Object(members) => match Form::read(members) {
            Some(Form::Sent(one)) => one.value(resolved),
            Some(Form::Joined(joined)) => joined.value(resolved),
            Some(Form::Each(each)) => each.value(resolved),
            None => Some(Value::Object(table(members, resolved))),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(value.clone()),
    }
}

/// An element of a list: a table of which nothing is there is not there.
fn element(item: &Value, resolved: &Resolved) -> Option<Value> {
    let is_empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
    let sent = sent(item, resolved)?;
    (is_empty(item) || !is_empty(&sent)).then_some(sent)
}

fn check(value: &Value, params: &[Param]) -> Result<(), String> {
    match value {
        Value::String(text) => match text.strip_prefix('$') {
            Some(name) if !name.starts_with('$') => find(name, params).map(drop),
            Some(_) | None => Ok(()),
        },
        Value::Array(items) => items.iter().try_for_each(|item| check(item, params)),
        Value::Object(members) => match Form::read(members) {
            Some(Form::Sent(one)) => one.check(members, params),
            Some(Form::Joined(joined)) => joined.check(members, params),
            Some(Form::Each(each)) => each.check(members, params),
            None => members.values().try_for_each(|value| check(value, params)),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

fn find<'p>(name: &str, params: &'p [Param]) -> Result<&'p Param, String> {
    place::param("the input of a provider", name, params)
}

/// The word that a map knows a value by.
fn key(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// The step that is nearest to a number; of two the first.
fn nearest<'v>(steps: &'v [Value], value: &Value) -> Option<&'v Value> {
    let wanted = millionths(value)?;
    let off = |step: &&Value| millionths(step).map_or(u64::MAX, |step| step.abs_diff(wanted));
    steps.iter().min_by_key(off)
}

/// A number of a parameter's size, without a float. What is written with an exponent is next to nothing.
fn millionths(number: &Value) -> Option<i64> {
    const PLACES: usize = 6;
    let text = number.as_number()?.to_string();
    if text.contains(['e', 'E']) {
        return Some(0);
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let fraction: String = fraction
        .chars()
        .chain("000000".chars())
        .take(PLACES)
        .collect();
    format!("{whole}{fraction}").parse().ok()
}

// === impl Form ===

impl<'a> Form<'a> {
    fn read(members: &'a Map<String, Value>) -> Option<Self> {
        let sent = || Sent::read(members).map(Self::Sent);
        let joined = || Joined::read(members).map(Self::Joined);
        let each = || Each::read(members).map(Self::Each);
        sent().or_else(joined).or_else(each)
    }
}

// === impl Sent ===

impl<'a> Sent<'a> {
    fn read(members: &'a Map<String, Value>) -> Option<Self> {
        Some(Self {
            of: members.get("of")?.as_str()?,
            map: members.get("map").and_then(Value::as_object),
            form: members.get("as").and_then(Value::as_str),
            or: members.get("or"),
            nearest: members
                .get("nearest")
                .and_then(Value::as_array)
                .map(Vec::as_slice),
        })
    }

    fn value(&self, resolved: &Resolved) -> Option<Value> {
        let Some(value) = place::value(self.of, resolved) else {
            return self.or.cloned();
        };
        let value = match self.map {
            Some(map) => map.get(&key(value))?.clone(),
            None => match self.nearest {
                Some(steps) => nearest(steps, value).unwrap_or(value).clone(),
                None => value.clone(),
            },
        };
        Some(match self.form {
            Some("text") => Value::String(key(&value)),
            Some(_) => key(&value).parse().map_or(value, Value::Number),
            None => value,
        })
    }

    fn check(&self, members: &Map<String, Value>, params: &[Param]) -> Result<(), String> {
        let param = find(self.of, params)?;
        let of = self.of;
        let known = ["of", "map", "as", "or", "nearest"];
        if let Some(name) = members.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(format!(
                "the input of a provider sends {of} with {name}; known are {}",
                known.join(", ")
            ));
        }
        if self
            .form
            .is_some_and(|form| !["text", "number"].contains(&form))
        {
            return Err(format!(
                "the input of a provider sends {of} as text or as number"
            ));
        }
        if members.contains_key("nearest") {
            let is_number = matches!(
                &param.of,
                ParamType::Integer { .. } | ParamType::Number { .. }
            );
            let steps = self.nearest.unwrap_or_default();
            if !is_number || steps.is_empty() || !steps.iter().all(Value::is_number) {
                return Err(format!(
                    "the input of a provider sends the nearest of some numbers in the place of {of}, and both are numbers"
                ));
            }
        }
        let words = match &param.of {
            ParamType::Choice { values, .. } => values.clone(),
            ParamType::Boolean => ["true", "false"].map(str::to_owned).to_vec(),
            ParamType::Text { .. }
            | ParamType::Integer { .. }
            | ParamType::Number { .. }
            | ParamType::Url
            | ParamType::Urls { .. }
            | ParamType::Task(_)
            | ParamType::Sound { .. }
            | ParamType::Items { .. } => Vec::new(),
        };
        let Some(map) = self.map else {
            return Ok(());
        };
        let has_all = words.iter().all(|word| map.contains_key(word));
        if words.is_empty() || !has_all || map.len() > words.len() {
            return Err(format!(
                "the map of {of} has each of its words once: {}",
                words.join(", ")
            ));
        }
        Ok(())
    }
}

// === impl Joined ===

impl<'a> Joined<'a> {
    fn read(members: &'a Map<String, Value>) -> Option<Self> {
        Some(Self {
            texts: members.get("join")?.as_array()?,
            by: members.get("by").and_then(Value::as_str).unwrap_or(" "),
            or: members.get("or"),
        })
    }

    fn value(&self, resolved: &Resolved) -> Option<Value> {
        let texts = self.texts.iter().filter_map(|text| sent(text, resolved));
        let texts = texts.map(|text| key(&text)).filter(|text| !text.is_empty());
        let texts: Vec<String> = texts.collect();
        if texts.is_empty() {
            return self.or.cloned();
        }
        Some(Value::String(texts.join(self.by)))
    }

    fn check(&self, members: &Map<String, Value>, params: &[Param]) -> Result<(), String> {
        let known = ["join", "by", "or"];
        if let Some(name) = members.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(format!(
                "the input of a provider joins texts with {name}; known are {}",
                known.join(", ")
            ));
        }
        if self.texts.is_empty() || !self.texts.iter().all(Value::is_string) {
            return Err("the input of a provider joins a list of texts".to_owned());
        }
        self.texts.iter().try_for_each(|text| check(text, params))
    }
}

// === impl Each ===

impl<'a> Each<'a> {
    fn read(members: &'a Map<String, Value>) -> Option<Self> {
        Some(Self {
            of: members.get("each")?.as_str()?,
            send: members.get("send").and_then(Value::as_object),
        })
    }

    fn value(&self, resolved: &Resolved) -> Option<Value> {
        let items = place::value(self.of, resolved)?.as_array()?.iter();
        let items = items.filter_map(Value::as_object);
        let send = self.send?;
        let sent = items.map(|item| Value::Object(table(send, item)));
        Some(sent.collect())
    }

    fn check(&self, members: &Map<String, Value>, params: &[Param]) -> Result<(), String> {
        let of = self.of;
        let known = ["each", "send"];
        if let Some(name) = members.keys().find(|name| !known.contains(&name.as_str())) {
            return Err(format!(
                "the input of a provider sends each of {of} with {name}; known are {}",
                known.join(", ")
            ));
        }
        let (ParamType::Items { fields, .. }, Some(send)) = (&find(of, params)?.of, self.send)
        else {
            return Err(format!(
                "the input of a provider sends each of {of} as a table, and that is a list of objects"
            ));
        };
        send.values().try_for_each(|value| check(value, fields))
    }
}

#[cfg(test)]
mod tests;
