//! What parameters demand of one another: an edit needs a picture, the longest film is not made in the largest size.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Param, ParamType, Resolved, When, matches, place};
use crate::Problem;

/// One rule: where `when` holds, the others do.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// For requests whose resolved parameters are these.
    #[serde(default, skip_serializing_if = "When::is_empty")]
    pub when: When,
    /// For requests that have all of these, whatever they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<String>,
    /// For requests that have none of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
    /// Parameters that must be there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// Parameters that must not be there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excludes: Vec<String>,
    /// Parameters that are the sum of a field of a list, which is written `list.field`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub sums: Map<String, Value>,
    /// Parameters that may have these values only.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub allows: Map<String, Value>,
    /// The most characters of a text, or of a field of all elements of a list together, which is written `list.field`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub characters: BTreeMap<String, usize>,
    /// The most different values of a field of all elements of a list together, which is written `list.field`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub different: BTreeMap<String, usize>,
}

// === impl Rule ===

impl Rule {
    /// Whether it is about such a request.
    fn is_meant(&self, resolved: &Resolved) -> bool {
        let is_there = |name: &String| place::value(name, resolved).is_some();
        self.with.iter().all(is_there)
            && !self.without.iter().any(is_there)
            && matches(&self.when, resolved)
    }

    /// The most characters that it leaves a text of such a request.
    pub(super) fn most_characters(&self, name: &str, resolved: &Resolved) -> Option<usize> {
        let most = self.characters.get(name).copied()?;
        self.is_meant(resolved).then_some(most)
    }

    /// What a request does that this rule forbids.
    pub(super) fn problems(&self, resolved: &Resolved) -> Vec<Problem> {
        if !self.is_meant(resolved) {
            return Vec::new();
        }
        let needs = self
            .needs
            .iter()
            .filter(|name| !resolved.contains_key(*name));
        let needs = needs.map(|name| Problem {
            message: format!("{name} is required{}", self.condition()),
            ..Problem::missing(name)
        });
        let excludes = self
            .excludes
            .iter()
            .filter(|name| resolved.contains_key(*name));
        let excludes =
            excludes.map(|name| Problem::invalid(name, format!("be left out{}", self.condition())));
        let allows = self.allows.iter().filter_map(|(name, values)| {
            let values = values.as_array()?;
            let is_allowed = resolved
                .get(name)
                .is_none_or(|value| values.contains(value));
            (!is_allowed).then(|| {
                let words: Vec<String> = values.iter().map(plain).collect();
                let allowed = format!("be {}{}", words.join(" or "), self.condition());
                Problem::invalid(name, allowed)
            })
        });
        let sums = self.sums.iter().filter_map(|(name, of)| {
            let of = of.as_str()?;
            let sum = sum(of, resolved)?;
            (resolved.get(name)?.as_i64() != Some(sum)).then(|| {
                let allowed = format!("be {sum}, the sum of {of}{}", self.condition());
                Problem::invalid(name, allowed)
            })
        });
        let characters = self.characters.iter().filter_map(|(name, most)| {
            let length = place::length(name, resolved)?;
            (length > *most).then(|| {
                let allowed = format!(
                    "have at most {most} characters{}; it has {length}",
                    self.condition()
                );
                Problem::invalid(name, allowed)
            })
        });
        let different = self.different.iter().filter_map(|(name, most)| {
            let count = different(name, resolved);
            (count > *most).then(|| {
                let allowed = format!(
                    "have at most {most} different values{}; it has {count}",
                    self.condition()
                );
                Problem::invalid(name, allowed)
            })
        });
        let others = allows.chain(sums).chain(characters).chain(different);
        needs.chain(excludes).chain(others).collect()
    }

    /// That it names what there is.
    pub(super) fn check(&self, params: &[Param]) -> Result<(), String> {
        let find = |name: &String| {
            let param = params.iter().find(|param| param.name == *name);
            param.ok_or_else(|| format!("a rule names {name}, which is not a parameter"))
        };
        for (name, value) in &self.when {
            if !find(name)?.may_be(value) {
                return Err(format!("a rule asks {name} for {value}, which it never is"));
            }
        }
        for name in self.needs.iter().chain(&self.excludes) {
            find(name)?;
        }
        for name in self.with.iter().chain(&self.without) {
            place::param("a rule", name, params)?;
        }
        for name in self.characters.keys() {
            if place::text(name, params).is_none() {
                return Err(format!(
                    "a rule counts the characters of {name}, which is no text"
                ));
            }
        }
        for name in self.different.keys() {
            if field(name, params).is_none() {
                return Err(format!(
                    "a rule tells the values of {name} apart, which is no field of a list"
                ));
            }
        }
        for (name, of) in &self.sums {
            let is_list = of.as_str().is_some_and(|of| is_counted(of, params));
            if !matches!(find(name)?.of, ParamType::Integer { .. }) || !is_list {
                return Err(format!(
                    "a rule sums up for {name} what is no whole number, or no field of a list"
                ));
            }
        }
        for (name, values) in &self.allows {
            let param = find(name)?;
            let values = values.as_array().map(Vec::as_slice).unwrap_or_default();
            if values.is_empty() || !values.iter().all(|value| param.may_be(value)) {
                return Err(format!(
                    "a rule allows {name} values that are not a list of what it can be"
                ));
            }
        }
        Ok(())
    }

    /// ` where resolution is 1080P`, for a customer.
    fn condition(&self) -> String {
        let conditions = self
            .when
            .iter()
            .map(|(name, value)| format!("{name} is {}", plain(value)));
        let given = self.with.iter().map(|name| format!("{name} is given"));
        let missing = self
            .without
            .iter()
            .map(|name| format!("{name} is left out"));
        let conditions: Vec<String> = conditions.chain(given).chain(missing).collect();
        if conditions.is_empty() {
            String::new()
        } else {
            format!(" where {}", conditions.join(" and "))
        }
    }
}

/// The sum of a field of all elements of a list, if the list is there.
fn sum(of: &str, resolved: &Resolved) -> Option<i64> {
    let (list, field) = of.split_once('.')?;
    let items = resolved.get(list)?.as_array()?.iter();
    let numbers = items.filter_map(|item| item.get(field)?.as_i64());
    Some(numbers.fold(0, i64::saturating_add))
}

/// How many different values a field has in all elements of a list, as far as it is there.
fn different(of: &str, resolved: &Resolved) -> usize {
    let (list, field) = of.split_once('.').unwrap_or((of, ""));
    let items = resolved.get(list).and_then(Value::as_array);
    let values = items.into_iter().flatten();
    let values = values.filter_map(|item| item.get(field)).map(plain);
    values.collect::<BTreeSet<_>>().len()
}

/// The field of a list that is written so.
fn field<'p>(of: &str, params: &'p [Param]) -> Option<&'p Param> {
    let (list, field) = of.split_once('.')?;
    let list = params.iter().find(|param| param.name == list)?;
    let ParamType::Items { fields, .. } = &list.of else {
        return None;
    };
    fields.iter().find(|param| param.name == field)
}

/// Whether this is a field of a list, and a whole number in each of its elements.
fn is_counted(of: &str, params: &[Param]) -> bool {
    field(of, params)
        .is_some_and(|param| param.required && matches!(param.of, ParamType::Integer { .. }))
}

/// A word without quotation marks, and anything else as JSON.
fn plain(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::Catalogue;

    const IMAGE: &str = include_str!("../../catalogue/flux-2.toml");

    fn with_rule(rule: &str) -> Result<Catalogue, String> {
        let text = IMAGE.replacen("[price]\n", &format!("[[rules]]\n{rule}\n\n[price]\n"), 1);
        Catalogue::parse(&[("a.toml", &text)]).map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_rule_forbids_is_said_with_its_condition() {
        let flex = json!({"prompt": "a fox", "type": "flex", "seed": 7, "resolution": "2K"});
        for (rule, sent, told) in [
            (
                "needs = [\"seed\"]",
                json!({"prompt": "a fox"}),
                "seed is required",
            ),
            (
                "when = { type = \"flex\" }\nneeds = [\"input_urls\"]",
                flex.clone(),
                "input_urls is required where type is flex",
            ),
            (
                "when = { type = \"flex\", resolution = \"2K\" }\nexcludes = [\"seed\"]",
                flex.clone(),
                "seed must be left out where resolution is 2K and type is flex",
            ),
            (
                "when = { type = \"flex\" }\nallows = { resolution = [\"1K\"], aspect_ratio = [\"1:1\"] }",
                flex.clone(),
                "resolution must be 1K where type is flex",
            ),
            (
                "when = { type = \"pro\" }\nneeds = [\"input_urls\"]",
                flex.clone(),
                "",
            ),
            (
                "when = { seed = 8 }\nneeds = [\"input_urls\"]",
                flex.clone(),
                "",
            ),
            (
                "with = [\"seed\"]\nneeds = [\"input_urls\"]",
                flex.clone(),
                "input_urls is required where seed is given",
            ),
            (
                "with = [\"input_urls[0]\"]\nexcludes = [\"seed\"]",
                flex.clone(),
                "",
            ),
            (
                "without = [\"seed\", \"input_urls\"]\nneeds = [\"input_urls\"]",
                json!({"prompt": "a fox"}),
                "input_urls is required where seed is left out and input_urls is left out",
            ),
            ("without = [\"seed\"]\nneeds = [\"seed\"]", flex.clone(), ""),
            (
                "when = { type = \"flex\" }\ncharacters = { prompt = 4 }",
                flex.clone(),
                "prompt must have at most 4 characters where type is flex; it has 5",
            ),
            ("characters = { prompt = 5 }", flex, ""),
        ] {
            let catalogue = with_rule(rule).unwrap();
            let model = catalogue.find("flux-2").unwrap();
            let problems = model.resolve(sent.as_object().unwrap().clone());
            let problems = problems.err().unwrap_or_default();
            let messages: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
            assert_eq!(messages.join("\n"), told, "{rule}");
        }
    }

    #[test]
    fn shots_last_as_long_as_the_film() {
        let catalogue = Catalogue::built_in().unwrap();
        let model = catalogue.find("kling-3").unwrap();
        let film = |duration: u64, shots: &[u64]| {
            let shots: Vec<_> = shots
                .iter()
                .map(|seconds| json!({"prompt": "a fox", "duration": seconds}))
                .collect();
            let sent = json!({"multi_shots": true, "duration": duration, "multi_prompt": shots});
            let problems = model.resolve(sent.as_object().unwrap().clone());
            let problems = problems.err().unwrap_or_default();
            let messages = problems.into_iter().map(|problem| problem.message);
            messages.collect::<Vec<_>>().join("\n")
        };
        assert_eq!(film(7, &[3, 4]), "");
        let told =
            "duration must be 13, the sum of multi_prompt.duration where multi_shots is true";
        assert_eq!(film(7, &[3, 10]), told);
    }

    #[test]
    fn a_rule_names_what_there_is() {
        for (rule, told) in [
            ("needs = [\"sed\"]", "names sed"),
            ("with = [\"sed\"]\nneeds = [\"seed\"]", "names sed"),
            ("when = { typ = \"pro\" }\nneeds = [\"seed\"]", "names typ"),
            ("when = { type = \"max\" }\nneeds = [\"seed\"]", "never is"),
            ("when = { prompt = \"x\" }\nneeds = [\"seed\"]", "never is"),
            ("sums = { seed = \"input_urls.n\" }", "no field of a list"),
            ("sums = { prompt = \"a.b\" }", "no field of a list"),
            ("sums = { seed = 7 }", "no field of a list"),
            ("without = [\"sed\"]\nneeds = [\"seed\"]", "names sed"),
            ("characters = { seed = 7 }", "seed, which is no text"),
            ("different = { seed = 7 }", "seed apart, which is no field"),
            ("different = { \"prompt.x\" = 7 }", "which is no field"),
            ("characters = { \"prompt.x\" = 7 }", "which is no text"),
            ("allows = { type = [] }", "not a list of what it can be"),
            (
                "allows = { type = \"pro\" }",
                "not a list of what it can be",
            ),
            (
                "allows = { type = [\"max\"] }",
                "not a list of what it can be",
            ),
        ] {
            let error = with_rule(rule).unwrap_err();
            assert!(error.contains(told), "{rule}: {error}");
        }
    }
}
