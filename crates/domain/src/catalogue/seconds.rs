//! How long a sound lasts that a request names, as a parameter that is ours to say: its price is by it, to the second.

use std::time::Duration;

use super::{Model, Param, ParamType, Resolved};
use crate::{FileId, Problem};

/// A parameter that counts the seconds of a sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted<'a> {
    /// The parameter that counts them.
    pub name: &'a str,
    /// The parameter that names the sound.
    pub of: &'a str,
}

// === impl Model ===

impl Model {
    /// What counts the seconds of a sound.
    pub fn counted(&self) -> impl Iterator<Item = Counted<'_>> {
        self.params.iter().filter_map(|param| {
            Some(Counted {
                name: &param.name,
                of: param.seconds_of.as_deref()?,
            })
        })
    }

    /// Sounds whose seconds are counted, and that are not here to be.
    pub(super) fn uncountable<'a>(
        &'a self,
        resolved: &'a Resolved,
    ) -> impl Iterator<Item = Problem> {
        self.counted().filter_map(|counted| {
            let sound = resolved.get(counted.of)?.as_str()?;
            let is_file = FileId::parse(sound).is_some();
            let allowed = "be the id of an uploaded file: it is paid by its seconds, which are counted before";
            (!is_file).then(|| Problem::invalid(counted.of, allowed))
        })
    }

    /// The same parameters, with how long a sound lasts.
    ///
    /// # Errors
    /// When it lasts longer than there may be seconds, or the rules forbid it.
    pub fn count(
        &self,
        mut resolved: Resolved,
        counted: &Counted<'_>,
        lasts: Duration,
    ) -> Result<Resolved, Vec<Problem>> {
        let Some(param) = self.params.iter().find(|param| param.name == counted.name) else {
            return Ok(resolved);
        };
        let seconds = param.read(counted.name, seconds(lasts).into())?;
        resolved.insert(counted.name.to_owned(), seconds);
        let problems: Vec<Problem> = self.problems(&resolved).collect();
        if problems.is_empty() {
            Ok(resolved)
        } else {
            Err(problems)
        }
    }
}

/// The seconds that have begun, one at least.
fn seconds(lasts: Duration) -> u64 {
    let begun = u64::from(lasts.subsec_nanos() > 0);
    lasts.as_secs().saturating_add(begun).max(1)
}

// === impl Param ===

impl Param {
    /// Whether it counts the seconds of a sound.
    pub(crate) const fn is_counted(&self) -> bool {
        self.seconds_of.is_some()
    }

    /// That there is a sound whose seconds it counts, which is always there.
    pub(super) fn check_seconds(&self, params: &[Self]) -> Result<(), String> {
        let (name, Some(of)) = (&self.name, &self.seconds_of) else {
            return Ok(());
        };
        let counts = self.ours && matches!(self.of, ParamType::Integer { min: 1.., .. });
        let sound = params.iter().find(|param| param.name == *of);
        let is_sound = sound.is_some_and(|sound| sound.required && sound.of.seconds().is_some());
        if counts && is_sound && self.default.is_none() {
            return Ok(());
        }
        Err(format!(
            "{name} counts the seconds of {of}: it is ours, a whole number from 1 without a default, and {of} is a sound that is required"
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        Catalogue, Moment,
        price::{Frozen, PriceFactor},
    };

    const WHISPER: &str = include_str!("../../catalogue/whisper-1.toml");

    #[test]
    fn what_is_held_is_exactly_what_the_seconds_cost() {
        let catalogue = Catalogue::built_in().unwrap();
        let model = catalogue.find("whisper-1").unwrap();
        let sent = json!({"file": "file_01h455vb4pex5vsknk084sn02q"});
        let resolved = model.resolve(sent.as_object().unwrap().clone()).unwrap();
        let price = |resolved: &Resolved| {
            let frozen = Frozen::of(model, resolved, Moment::default(), PriceFactor::ONE);
            frozen.map(|frozen| frozen.ceiling().unwrap().get())
        };
        assert_eq!(price(&resolved), None, "nobody has measured it yet");
        let counted = model.counted().next().unwrap();
        assert_eq!((counted.name, counted.of), ("seconds", "file"));
        for (millis, counts) in [(1, 1), (1_000, 1), (1_001, 2), (60_000, 60), (61_500, 62)] {
            let lasts = Duration::from_millis(millis);
            let resolved = model.count(resolved.clone(), &counted, lasts).unwrap();
            assert_eq!(resolved["seconds"], json!(counts), "{millis}");
            assert_eq!(
                price(&resolved),
                Some(250_000_i64.max(counts * 12_500)),
                "{millis}"
            );
        }
        let forever = Duration::from_secs(1_000_000);
        let problems = model.count(resolved, &counted, forever).unwrap_err();
        assert_eq!(problems[0].param, "seconds");
    }

    #[test]
    fn nobody_sends_what_is_counted() {
        let catalogue = Catalogue::built_in().unwrap();
        let model = catalogue.find("whisper-1").unwrap();
        let sent = json!({"file": "file_01h455vb4pex5vsknk084sn02q", "seconds": 1});
        let problems = model.resolve(sent.as_object().unwrap().clone());
        assert_eq!(problems.unwrap_err()[0].param, "seconds");
    }

    #[test]
    fn what_counts_names_a_sound_that_is_there() {
        for (line, other) in [
            ("seconds_of = \"file\"", "seconds_of = \"prompt\""),
            ("seconds_of = \"file\"", "seconds_of = \"nothing\""),
            ("seconds_of = \"file\"", ""),
            (
                "seconds_of = \"file\"",
                "seconds_of = \"file\"\ndefault = 1",
            ),
            ("ours = true", ""),
            ("required = true", ""),
        ] {
            assert!(WHISPER.contains(line), "{line}");
            let text = WHISPER.replacen(line, other, 1);
            let parsed = Catalogue::parse(&[("a.toml", &text)]);
            assert!(parsed.is_err(), "{line}: {other}");
        }
    }
}
