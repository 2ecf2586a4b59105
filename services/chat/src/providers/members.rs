//! The members of a customer's request, for adapters that translate it: read where they stand, as far as they are used. Pure.

use std::{borrow::Cow, collections::HashMap, ops::RangeInclusive};

use domain::{
    Problem,
    json::{MAX_VALUES, values},
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The members of the customer's body.
pub(super) struct Members<'a>(HashMap<Cow<'a, str>, &'a RawValue>);

/// What a provider cannot do: the parameter, the values that ask for nothing, and what it must be.
pub(super) type Cannot = (&'static str, &'static [&'static str], &'static str);

/// The value of `stop`: a wire type.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Many(Vec<String>),
}

/// An element of `tools`: a wire type.
#[derive(Deserialize)]
pub(super) struct WireTool<'a> {
    pub(super) r#type: String,
    #[serde(borrow)]
    pub(super) function: Option<Function<'a>>,
}

/// A wire type.
#[derive(Deserialize)]
pub(super) struct Function<'a> {
    pub(super) name: String,
    pub(super) description: Option<String>,
    #[serde(borrow)]
    pub(super) parameters: Option<&'a RawValue>,
    pub(super) strict: Option<bool>,
}

/// The value of `tool_choice`: a wire type.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum WireChoice {
    Word(String),
    Named { function: NamedFunction },
    Allowed { allowed_tools: AllowedTools },
}

/// A wire type.
#[derive(Deserialize)]
pub(super) struct NamedFunction {
    pub(super) name: String,
}

/// A wire type.
#[derive(Deserialize)]
pub(super) struct AllowedTools {
    pub(super) mode: String,
    pub(super) tools: Vec<AllowedTool>,
}

/// A wire type.
#[derive(Deserialize)]
pub(super) struct AllowedTool {
    pub(super) function: NamedFunction,
}

/// The value of `response_format`: a wire type.
#[derive(Deserialize)]
pub(super) struct ResponseFormat<'a> {
    pub(super) r#type: String,
    #[serde(borrow)]
    pub(super) json_schema: Option<JsonSchema<'a>>,
}

/// A wire type.
#[derive(Deserialize)]
pub(super) struct JsonSchema<'a> {
    #[serde(borrow)]
    pub(super) schema: Option<&'a RawValue>,
}

// === impl Members ===

impl<'a> Members<'a> {
    pub(super) fn read(body: &'a [u8]) -> Result<Self, Problem> {
        if values(body) > MAX_VALUES {
            let allowed = format!("hold at most {MAX_VALUES} values for this model");
            return Err(Problem::invalid("body", allowed));
        }
        serde_json::from_slice(body)
            .map(Self)
            .map_err(|_| Problem::invalid("body", "be one JSON object"))
    }

    /// A member; `null` means "not given".
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        let raw = self.0.get(name).copied();
        raw.filter(|raw| raw.get() != "null")
    }

    /// A member of a type; `allowed` completes the sentence "it must …".
    pub(super) fn get<T: Deserialize<'a>>(
        &self,
        name: &str,
        allowed: &str,
    ) -> Result<Option<T>, Problem> {
        let value = self.raw(name).map(|raw| serde_json::from_str(raw.get()));
        value
            .transpose()
            .map_err(|_| Problem::invalid(name, allowed))
    }

    pub(super) fn list(&self, name: &str) -> Result<Vec<&'a RawValue>, Problem> {
        Ok(self.get(name, "be a list")?.unwrap_or_default())
    }

    /// Refuses what a provider cannot do.
    pub(super) fn refuse(&self, cannot: &[Cannot]) -> Result<(), Problem> {
        for (name, neutral, allowed) in cannot {
            let Some(raw) = self.raw(name).map(RawValue::get) else {
                continue;
            };
            let value: String = raw.split_whitespace().collect();
            if !neutral.contains(&value.as_str()) {
                return Err(Problem::invalid(*name, allowed));
            }
        }
        Ok(())
    }

    /// A number of a range, as it was written.
    pub(super) fn number(
        &self,
        name: &str,
        range: RangeInclusive<f64>,
    ) -> Result<Option<&'a RawValue>, Problem> {
        let (least, most) = (range.start(), range.end());
        let allowed = format!("be a number from {least} to {most} for this model");
        let number: Option<f64> = self.get(name, &allowed)?;
        if number.is_some_and(|number| !range.contains(&number)) {
            return Err(Problem::invalid(name, allowed));
        }
        Ok(self.raw(name))
    }

    pub(super) fn stop(&self) -> Result<Vec<String>, Problem> {
        Ok(match self.get("stop", "be a text or a list of texts")? {
            Some(Stop::One(stop)) => vec![stop],
            Some(Stop::Many(stops)) => stops,
            None => Vec::new(),
        })
    }
}
