//! What a request says of who shall answer it: `models` and `provider`. Both are ours, and no provider sees them. Pure.

use domain::{Problem, ProblemKind};
use serde_json::{Map, Value, value::RawValue};

use super::{Reader, given};

/// The members of `provider`.
const MEMBERS: [&str; 5] = ["order", "only", "ignore", "allow_fallbacks", "sort"];
/// Names in one list of providers at most: there are fewer providers.
const MAX_NAMES: usize = 64;
/// So many mistakes are told of one field.
const MAX_PROBLEMS: usize = 16;
/// Bytes of each of the two fields.
const MAX_BYTES: usize = 16 * 1024;

/// Who shall answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Routing {
    /// What OpenAI groups requests by, so that they find the provider's cache of their beginning: `prompt_cache_key`.
    pub(crate) cache_key: Option<String>,
    /// Further models, in the order in which they are asked.
    pub(crate) models: Vec<String>,
    /// Which of a model's providers, if the request says so.
    pub(crate) provider: Option<Box<Preferences>>,
}

/// Which of a model's providers are asked, and in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Preferences {
    /// These first, in this order.
    pub(crate) order: Vec<String>,
    /// These alone; all where it is empty.
    pub(crate) only: Vec<String>,
    /// Not these.
    pub(crate) ignore: Vec<String>,
    pub(crate) fallbacks: Fallbacks,
    pub(crate) sort: Option<Sort>,
}

/// Whether others are asked than the ones that were wished for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fallbacks {
    /// As everywhere else.
    #[default]
    Allowed,
    /// Those in `order` alone; without one, the provider whose turn it is.
    Refused,
}

/// By what providers are sorted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    /// By their recent time to the first byte.
    Latency,
}

// === impl Preferences ===

impl Preferences {
    /// Whether a provider may be asked.
    pub(crate) fn allows(&self, provider: &str) -> bool {
        let among = |names: &[String]| names.iter().any(|name| name == provider);
        let preferred = match self.fallbacks {
            Fallbacks::Allowed => true,
            Fallbacks::Refused => self.order.is_empty() || among(&self.order),
        };
        preferred && (self.only.is_empty() || among(&self.only)) && !among(&self.ignore)
    }

    /// Its place in the wished order; those that are not named share the last one.
    pub(crate) fn place(&self, provider: &str) -> usize {
        let place = self.order.iter().position(|name| name == provider);
        place.unwrap_or(self.order.len())
    }

    /// What it names that is none of `known`, the providers of `models`.
    pub(crate) fn unknown(&self, known: &[&str], models: &[&str]) -> Vec<Problem> {
        let lists = [
            ("order", &self.order),
            ("only", &self.only),
            ("ignore", &self.ignore),
        ];
        let names = lists.into_iter().flat_map(|(list, names)| {
            let placed = names.iter().enumerate();
            placed.map(move |(place, name)| (list, place, name))
        });
        let strange = names.filter(|(.., name)| !known.contains(&name.as_str()));
        let told = strange.map(|(list, place, _)| {
            let (known, models) = (known.join(", "), models.join(", "));
            let allowed = format!("name a provider of {models}: {known}");
            Problem::invalid(format!("provider.{list}[{place}]"), allowed)
        });
        told.take(MAX_PROBLEMS).collect()
    }
}

// === impl Reader ===

impl Reader {
    /// `models`.
    pub(super) fn models(&mut self, raw: Option<&RawValue>) -> Vec<String> {
        let Some(raw) = given(raw).filter(|raw| self.is_short("models", raw)) else {
            return Vec::new();
        };
        let names: Option<Vec<String>> = serde_json::from_str(raw.get()).ok();
        names.filter(|names| !names.is_empty()).unwrap_or_else(|| {
            let allowed = "be a list of names of models, with at least one";
            self.0.push(Problem::invalid("models", allowed));
            Vec::new()
        })
    }

    /// `provider`.
    pub(super) fn provider(&mut self, raw: Option<&RawValue>) -> Option<Box<Preferences>> {
        let raw = given(raw).filter(|raw| self.is_short("provider", raw))?;
        let Ok(members) = serde_json::from_str::<Map<String, Value>>(raw.get()) else {
            let allowed = format!("be an object of {}", MEMBERS.join(", "));
            self.0.push(Problem::invalid("provider", allowed));
            return None;
        };
        for name in members
            .keys()
            .filter(|name| !MEMBERS.contains(&name.as_str()))
            .take(MAX_PROBLEMS)
        {
            let name: String = name.chars().take(MAX_NAMES).collect();
            self.0.push(Problem {
                kind: ProblemKind::Unknown,
                message: format!(
                    "provider.{name} is not a field here; provider takes {}",
                    MEMBERS.join(", ")
                ),
                param: format!("provider.{name}"),
            });
        }
        let member = |name| members.get(name).filter(|value| !value.is_null());
        Some(Box::new(Preferences {
            order: self.providers("order", member("order")),
            only: self.providers("only", member("only")),
            ignore: self.providers("ignore", member("ignore")),
            fallbacks: self.fallbacks(member("allow_fallbacks")),
            sort: self.sort(member("sort")),
        }))
    }

    /// What is longer is not even looked at: a tree of JSON is many times as large as its text.
    fn is_short(&mut self, name: &str, raw: &RawValue) -> bool {
        let fits = raw.get().len() <= MAX_BYTES;
        if !fits {
            let allowed = format!("have at most {MAX_BYTES} bytes");
            self.0.push(Problem::invalid(name, allowed));
        }
        fits
    }

    fn providers(&mut self, list: &str, value: Option<&Value>) -> Vec<String> {
        let Some(value) = value else {
            return Vec::new();
        };
        let names: Option<Vec<String>> = serde_json::from_value(value.clone()).ok();
        let fits = |names: &Vec<String>| (1..=MAX_NAMES).contains(&names.len());
        names.filter(fits).unwrap_or_else(|| {
            let allowed = format!("be a list of 1 to {MAX_NAMES} names of providers");
            let param = format!("provider.{list}");
            self.0.push(Problem::invalid(param, allowed));
            Vec::new()
        })
    }

    fn fallbacks(&mut self, value: Option<&Value>) -> Fallbacks {
        match value {
            None | Some(Value::Bool(true)) => Fallbacks::Allowed,
            Some(Value::Bool(false)) => Fallbacks::Refused,
            Some(_) => {
                let problem = Problem::invalid("provider.allow_fallbacks", "be true or false");
                self.0.push(problem);
                Fallbacks::Allowed
            }
        }
    }

    fn sort(&mut self, value: Option<&Value>) -> Option<Sort> {
        let word = value?;
        if word.as_str() == Some("latency") {
            return Some(Sort::Latency);
        }
        let allowed = "be \"latency\": a model costs you the same whoever serves it, and throughput is not measured here";
        self.0.push(Problem::invalid("provider.sort", allowed));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn preferences(fallbacks: Fallbacks, lists: [&[&str]; 3]) -> Preferences {
        let [order, only, ignore] =
            lists.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        Preferences {
            order,
            only,
            ignore,
            fallbacks,
            sort: None,
        }
    }

    #[test]
    fn who_may_be_asked_is_whom_every_wish_leaves() {
        let (allowed, refused) = (Fallbacks::Allowed, Fallbacks::Refused);
        for (wishes, left) in [
            (preferences(allowed, [&[], &[], &[]]), "a b c"),
            (preferences(allowed, [&["b"], &[], &[]]), "a b c"),
            (preferences(refused, [&["b", "a"], &[], &[]]), "a b"),
            (preferences(refused, [&[], &[], &[]]), "a b c"),
            (preferences(allowed, [&[], &["a", "c"], &[]]), "a c"),
            (preferences(allowed, [&[], &[], &["a"]]), "b c"),
            (preferences(allowed, [&[], &["a"], &["a"]]), ""),
        ] {
            let those = ["a", "b", "c"]
                .into_iter()
                .filter(|name| wishes.allows(name));
            assert_eq!(those.collect::<Vec<_>>().join(" "), left, "{wishes:?}");
        }
        let order = preferences(allowed, [&["c", "a"], &[], &[]]);
        assert_eq!(["a", "b", "c"].map(|name| order.place(name)), [1, 2, 0]);
    }

    #[test]
    fn a_name_that_no_model_knows_is_told_with_those_it_knows() {
        let wishes = preferences(Fallbacks::Allowed, [&["a", "x"], &["y"], &["b"]]);
        let problems = wishes.unknown(&["a", "b"], &["m", "n"]);
        let told: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
        assert_eq!(
            told,
            [
                "provider.order[1] must name a provider of m, n: a, b",
                "provider.only[0] must name a provider of m, n: a, b",
            ]
        );
    }
}
