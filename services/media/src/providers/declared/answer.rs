//! What an answer means, by the words of the provider's file. Pure.

use serde_json::Value;
use upstream::{Class, Failure, ProviderAnswer, Verdict};
use url::Url;

use super::{
    super::{Cost, Progress, moderated},
    file::{self, File, Standing, Whole},
    path::{Path, word},
    rules::{Errors, Rule},
};

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asking {
    Submit,
    Look,
    Cancel,
}

/// Words for the customer where the provider has none.
const POLICY: &str = "the provider's content policy refused the request or its result";

// === impl File ===

impl File {
    /// How a job stands.
    pub(super) fn progress(
        &self,
        answer: &Value,
        base: &Url,
        most: usize,
    ) -> Result<Progress, Failure> {
        let check = &self.check;
        let Some(state) = check.state.word(answer) else {
            // An answer that says all is well may hold an error all the same.
            return match self.errors.verdict(None, answer) {
                Some(verdict) if verdict.class == Class::Gone => Ok(Progress::Missing),
                Some(verdict) => Err(Failure::reported(verdict)),
                None => Err(Failure::malformed("the answer to a look has no state")),
            };
        };
        Ok(match self.states.get(&state) {
            Some(Standing::Done) => match links(&check.files, answer, base, most) {
                Some(files) => Progress::Done {
                    files,
                    about: Vec::new(),
                    cost: cost(check.cost.as_ref(), answer),
                },
                None => Progress::Failed(Failure::malformed(
                    "a finished job has no file, or too many",
                )),
            },
            Some(Standing::Failed) => {
                Progress::over(self.failure(answer), cost(check.cost.as_ref(), answer))
            }
            Some(Standing::Moderated) => Progress::over(
                moderated(&self.words(answer)),
                cost(check.cost.as_ref(), answer),
            ),
            Some(Standing::Missing) => Progress::Missing,
            // And whatever else they may add: it runs until the deadline.
            Some(Standing::Running) | None => Progress::Running {
                percent: check.progress.as_ref().and_then(|(path, whole)| {
                    let progress = path.one(answer)?;
                    percent(progress, *whole)
                }),
                clips: Vec::new(),
                position: check.position.as_ref().and_then(|path| {
                    let jobs = path.word(answer)?.parse().ok()?;
                    (0..).contains(&jobs).then_some(jobs)
                }),
            },
        })
    }

    fn failure(&self, answer: &Value) -> Failure {
        let verdict = self.errors.verdict(None, answer);
        match verdict {
            Some(verdict) if verdict.class == Class::Moderated => moderated(&self.words(answer)),
            Some(verdict) => Failure::reported(verdict),
            None => Failure::reported(Verdict::of(Class::Overloaded)),
        }
    }

    fn words(&self, answer: &Value) -> String {
        let words = self.errors.message(answer);
        if words.is_empty() {
            POLICY.to_owned()
        } else {
            words
        }
    }
}

// === impl Errors ===

impl Errors {
    /// A refusal by HTTP. That a job is not there, only a rule can say: a gateway's bare 404 says nothing about one that is paid.
    pub(super) fn refusal(&self, answer: &ProviderAnswer<'_>, asking: Asking) -> Option<Verdict> {
        let body: Value = serde_json::from_slice(answer.body).unwrap_or_default();
        let verdict = self.verdict(Some(answer.status.as_u16()), &body);
        let class = Class::of_status(answer.status);
        match verdict {
            Some(verdict) => Some(verdict),
            None if class == Class::Invalid => {
                Some(Verdict::with_detail(class, self.message(&body)))
            }
            None if class == Class::Gone && asking != Asking::Submit => {
                Some(Verdict::of(Class::Unknown))
            }
            None => None,
        }
    }

    /// What the first rule says that fits.
    pub(super) fn verdict(&self, status: Option<u16>, answer: &Value) -> Option<Verdict> {
        let code = self.code.as_ref().and_then(|path| path.word(answer));
        let message = self.message(answer);
        let words = message.to_lowercase();
        let rule = self
            .rules
            .iter()
            .find(|rule| rule.fits(status, code.as_deref(), &words))?;
        Some(Verdict::with_detail(rule.class, message))
    }

    fn message(&self, answer: &Value) -> String {
        let message = self.message.as_ref().and_then(|path| path.word(answer));
        message.unwrap_or_default()
    }
}

// === impl Rule ===

impl Rule {
    fn fits(&self, status: Option<u16>, code: Option<&str>, words: &str) -> bool {
        let has_status = status.is_some_and(|status| self.statuses.contains(&status));
        let has_code = code.is_some_and(|code| self.codes.iter().any(|known| known == code));
        let has_words = self.words.iter().any(|part| words.contains(part));
        (self.statuses.is_empty() || has_status)
            && (self.codes.is_empty() || has_code)
            && (self.words.is_empty() || has_words)
    }
}

/// The links of all files, each once: `None` if there are none, or more than `most`. A link may be relative to the provider's address.
fn links(paths: &[Path], answer: &Value, base: &Url, most: usize) -> Option<Vec<String>> {
    let mut links: Vec<String> = Vec::new();
    for value in paths.iter().flat_map(|path| path.all(answer)) {
        let Some(link) = value.as_str().and_then(|text| link(text, base)) else {
            continue;
        };
        if !links.contains(&link) {
            links.push(link);
        }
        if links.len() > most {
            return None;
        }
    }
    (!links.is_empty()).then_some(links)
}

fn link(text: &str, base: &Url) -> Option<String> {
    let url = if text.starts_with('/') {
        base.join(text)
    } else {
        Url::parse(text)
    };
    let url = url.ok()?;
    matches!(url.scheme(), "http" | "https").then(|| url.to_string())
}

/// What it says that the job cost.
pub(super) fn cost(cost: Option<&file::Cost>, answer: &Value) -> Option<Cost> {
    let cost = cost?;
    Cost::of_credits(cost.path.one(answer)?, cost.micro_usd)
}

/// Read as text: the house has no floats outside the wire.
fn percent(progress: &Value, whole: Whole) -> Option<i64> {
    let text = word(progress)?;
    let text = text.trim_end_matches('%').trim();
    let (units, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits: String = fraction.chars().chain("00".chars()).take(2).collect();
    let (units, hundredths): (i64, i64) = (units.parse().ok()?, digits.parse().ok()?);
    let percent = match whole {
        Whole::Hundred => units,
        Whole::One => units.checked_mul(100)?.checked_add(hundredths)?,
    };
    (0..=100).contains(&percent).then_some(percent)
}

#[cfg(test)]
mod tests_of_answers {
    use serde_json::json;

    use super::*;

    #[test]
    fn progress_is_read_without_a_float() {
        for (progress, whole, expected) in [
            (json!(0.42), Whole::One, Some(42)),
            (json!(0.4), Whole::One, Some(40)),
            (json!(1), Whole::One, Some(100)),
            (json!(1.5), Whole::One, None),
            (json!(42.9), Whole::Hundred, Some(42)),
            (json!("42 %"), Whole::Hundred, Some(42)),
            (json!(101), Whole::Hundred, None),
            (json!(-1), Whole::Hundred, None),
            (json!("soon"), Whole::Hundred, None),
            (json!(1e-7), Whole::One, None),
            (json!([1]), Whole::Hundred, None),
        ] {
            assert_eq!(percent(&progress, whole), expected, "{progress}");
        }
    }
}
