//! How much a model thinks, and whether it shows that. Pure.
//!
//! Models up to 2.5 are given a budget, later ones a level. Those that cannot go without thinking think as little as they can.

use domain::Problem;
use serde::Deserialize;

use super::super::wire::{Safety, Thinking};

/// What `reasoning_effort` may be.
pub(super) const EFFORTS: &str = "be one of none, minimal, low, medium, high, xhigh, max";

/// Tokens of thought for an effort: of models that are given a budget.
const BUDGETS: [(&str, i64); 7] = [
    ("none", 0),
    ("minimal", 512),
    ("low", 1_024),
    ("medium", 8_192),
    ("high", 24_576),
    ("xhigh", 24_576),
    ("max", 24_576),
];
/// Levels for an effort, of all others.
const LEVELS: [(&str, &str); 7] = [
    ("none", MINIMAL),
    ("minimal", MINIMAL),
    ("low", LOW),
    ("medium", "MEDIUM"),
    ("high", "HIGH"),
    ("xhigh", "HIGH"),
    ("max", "HIGH"),
];
const MINIMAL: &str = "MINIMAL";
const LOW: &str = "LOW";

/// The member of `extra_body` that is Google's: a wire type.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Google {
    thinking_config: Option<Given>,
    pub(super) safety_settings: Option<Vec<Safety>>,
}

/// A wire type.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    thinking_budget: Option<i64>,
    thinking_level: Option<String>,
    include_thoughts: Option<bool>,
}

/// Everything a request says of it.
pub(super) struct Thoughts {
    /// `reasoning_effort`.
    pub(super) effort: Option<String>,
    /// `include_thoughts`.
    pub(super) show: Option<bool>,
    pub(super) google: Google,
}

// === impl Google ===

impl Google {
    pub(super) fn include_thoughts(&self) -> Option<bool> {
        self.thinking_config.as_ref()?.include_thoughts
    }
}

// === impl Thoughts ===

impl Thoughts {
    /// Gemini's words for it; `None` where nothing is said.
    pub(super) fn config(self, model: &str) -> Result<Option<Thinking>, Problem> {
        let given = self.google.thinking_config.unwrap_or_default();
        let mut thinking = Thinking {
            include_thoughts: self.show.or(given.include_thoughts),
            thinking_budget: given.thinking_budget,
            thinking_level: given.thinking_level.as_deref().map(level).transpose()?,
        };
        if thinking.thinking_budget.is_some() && thinking.thinking_level.is_some() {
            return Err(Problem::invalid(
                "extra_body.google.thinking_config",
                "have only one of thinking_budget and thinking_level",
            ));
        }
        if let Some(effort) = self.effort {
            if thinking.thinking_budget.is_some() || thinking.thinking_level.is_some() {
                return Err(Problem::invalid(
                    "reasoning_effort",
                    "be left out beside thinking_budget and thinking_level",
                ));
            }
            if model.starts_with("gemini-2") {
                thinking.thinking_budget = Some(budget(&effort, model)?);
            } else {
                thinking.thinking_level = Some(level_of(&effort, model)?);
            }
        }
        Ok((thinking != Thinking::default()).then_some(thinking))
    }
}

fn level(word: &str) -> Result<&'static str, Problem> {
    let mut levels = LEVELS.iter().map(|(_, level)| *level);
    let found = levels.find(|level| level.eq_ignore_ascii_case(word));
    found.ok_or_else(|| {
        Problem::invalid(
            "extra_body.google.thinking_config.thinking_level",
            "be one of minimal, low, medium, high",
        )
    })
}

fn budget(effort: &str, model: &str) -> Result<i64, Problem> {
    let row = BUDGETS.iter().find(|(word, _)| *word == effort);
    let budget = row.map(|(_, budget)| *budget).ok_or_else(unknown)?;
    // 2.5 Pro cannot stop thinking, and has this as its least.
    let least = if model.contains("pro") { 128 } else { 0 };
    Ok(budget.max(least))
}

fn level_of(effort: &str, model: &str) -> Result<&'static str, Problem> {
    let row = LEVELS.iter().find(|(word, _)| *word == effort);
    let level = row.map(|(_, level)| *level).ok_or_else(unknown)?;
    // Only the small models of the third generation can think so little.
    let has_minimal = model.starts_with("gemini-3") && !model.contains("pro");
    Ok(if level == MINIMAL && !has_minimal {
        LOW
    } else {
        level
    })
}

fn unknown() -> Problem {
    Problem::invalid("reasoning_effort", EFFORTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_generation_has_words_of_its_own() {
        for (model, effort, budget, level) in [
            ("gemini-2.5-flash", "none", Some(0), None),
            ("gemini-2.5-pro", "none", Some(128), None),
            ("gemini-2.5-flash", "low", Some(1_024), None),
            ("gemini-2.5-flash", "medium", Some(8_192), None),
            ("gemini-2.5-pro", "max", Some(24_576), None),
            ("gemini-3-flash", "none", None, Some("MINIMAL")),
            ("gemini-3-flash", "minimal", None, Some("MINIMAL")),
            ("gemini-3.1-pro-preview", "minimal", None, Some("LOW")),
            ("gemini-3-flash", "low", None, Some("LOW")),
            ("gemini-3-flash", "medium", None, Some("MEDIUM")),
            ("gemini-3-flash", "xhigh", None, Some("HIGH")),
            ("gemini-4-argon", "none", None, Some("LOW")),
            ("gemini-4-argon", "high", None, Some("HIGH")),
        ] {
            let thoughts = Thoughts {
                effort: Some(effort.to_owned()),
                show: None,
                google: Google::default(),
            };
            let expected = Thinking {
                include_thoughts: None,
                thinking_budget: budget,
                thinking_level: level,
            };
            assert_eq!(
                thoughts.config(model).unwrap(),
                Some(expected),
                "{model} {effort}"
            );
        }
    }
}
