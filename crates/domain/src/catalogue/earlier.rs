//! An earlier task that a request goes on from: which it may be, and what of it is taken.

use serde::{Deserialize, Serialize};

use super::{Model, Param, ParamType, Resolved};
use crate::Problem;

/// Which earlier task, of the same account and mode, a parameter may name.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Earlier {
    /// The slug of the model that made it.
    pub model: String,
    /// Other models that may have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub or: Vec<String>,
    /// The parameter that names one of its outputs: a whole number by its place, a text by what its provider calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// The parameter that is a moment of that output, in seconds: behind its beginning and before its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moment: Option<String>,
    /// Whether one task alone goes on from it in this way.
    #[serde(default, skip_serializing_if = "is_often")]
    pub once: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
const fn is_often(once: &bool) -> bool {
    !*once
}

/// That what is said of earlier tasks names what there is.
pub(super) fn check(params: &[Param]) -> Result<(), String> {
    let earlier = || params.iter().filter_map(Param::earlier);
    for earlier in earlier() {
        earlier.check(params)?;
    }
    for param in params {
        let (name, is_found) = (&param.name, param.default.is_some());
        if param.ours && (param.required || !is_found && earlier().next().is_none()) {
            return Err(format!(
                "{name} is ours: it is not required, and has a default or an earlier task to be taken from"
            ));
        }
        if param.inherits.is_some() && earlier().all(|earlier| earlier.output.is_none()) {
            return Err(format!(
                "{name} inherits from an output of an earlier task, and none names one"
            ));
        }
    }
    Ok(())
}

// === impl Earlier ===

impl Earlier {
    /// The slugs of the models that may have made it.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.model)
            .chain(&self.or)
            .map(String::as_str)
    }

    fn check(&self, params: &[Param]) -> Result<(), String> {
        let find = |name: &String| params.iter().find(|param| param.name == *name);
        let (output, moment) = (
            self.output.as_ref().map(find),
            self.moment.as_ref().map(find),
        );
        let names_one = output.is_none_or(|param| {
            param.is_some_and(|param| {
                matches!(param.of, ParamType::Integer { .. } | ParamType::Text { .. })
            })
        });
        let is_within = moment.is_none_or(|param| {
            let is_number = param.is_some_and(|param| matches!(param.of, ParamType::Number { .. }));
            is_number && self.output.is_some()
        });
        if names_one && is_within {
            return Ok(());
        }
        Err(format!(
            "of a task of {}, the output is named by a whole number or a text, and the moment is a number of its seconds",
            self.model
        ))
    }
}

// === impl Param ===

impl Param {
    /// Which earlier task it names, if it names one.
    pub const fn earlier(&self) -> Option<&Earlier> {
        match &self.of {
            ParamType::Task(earlier) => Some(earlier),
            ParamType::Text { .. }
            | ParamType::Choice { .. }
            | ParamType::Integer { .. }
            | ParamType::Number { .. }
            | ParamType::Boolean
            | ParamType::Url
            | ParamType::Urls { .. }
            | ParamType::Sound { .. }
            | ParamType::Items { .. } => None,
        }
    }
}

// === impl Model ===

impl Model {
    /// The same parameters, and what is ours to say of them as the earlier task has it.
    ///
    /// # Errors
    /// What the rules forbid of it.
    pub fn inherit(&self, resolved: Resolved, of: &Resolved) -> Result<Resolved, Vec<Problem>> {
        let mut inherited = resolved;
        for param in self.params.iter().filter(|param| param.ours) {
            if let Some(value) = of.get(&param.name) {
                let value = param.read(&param.name, value.clone())?;
                inherited.insert(param.name.clone(), value);
            }
        }
        let problems: Vec<Problem> = self.problems(&inherited).collect();
        if problems.is_empty() {
            Ok(inherited)
        } else {
            Err(problems)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use crate::{
        Catalogue, Moment,
        price::{Frozen, PriceFactor},
    };

    const EXTEND: &str = include_str!("../../catalogue/suno-extend.toml");
    const SONG: &str = "task_01h455vb4pex5vsknk084sn02q";

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_longer_song_costs_what_its_model_does() {
        let catalogue = Catalogue::built_in().unwrap();
        let model = catalogue.find("suno-extend").unwrap();
        for (song, credits) in [
            ("chirp-v3-5", 5),
            ("chirp-v4-0", 8),
            ("chirp-v4-5", 10),
            ("chirp-v4-5-plus", 10),
            ("chirp-v5", 12),
            ("chirp-v5-5", 12),
        ] {
            let sent = json!({"origin_task_id": SONG, "extend_audio_index": "1"});
            let resolved = model.resolve(object(&sent)).unwrap();
            assert!(!resolved.contains_key("model"), "nobody has said it yet");
            let of = object(&json!({"model": song, "prompt": "la", "make_instrumental": false}));
            let resolved = model.inherit(resolved, &of).unwrap();
            assert_eq!((&resolved["model"], resolved.len()), (&json!(song), 4));
            let frozen = Frozen::of(model, &resolved, Moment::default(), PriceFactor::ONE);
            let held = frozen.unwrap().ceiling().unwrap();
            assert_eq!(held.get(), credits * 1_000_000, "{song}");
        }
    }

    #[test]
    fn what_is_ours_nobody_sends_and_rules_hold_for_it() {
        let catalogue = Catalogue::built_in().unwrap();
        let model = catalogue.find("suno-extend").unwrap();
        let long = "x".repeat(201);
        let sent = json!({
            "origin_task_id": SONG, "extend_audio_index": 0, "custom_mode": true, "prompt": "la", "style": long,
        });
        let mut with_model = object(&sent);
        with_model.insert("model".to_owned(), json!("chirp-v5"));
        let problems = model.resolve(with_model).unwrap_err();
        assert_eq!(problems[0].param, "model");
        let resolved = model.resolve(object(&sent)).unwrap();
        let of = |song: &str| object(&json!({ "model": song }));
        assert!(model.inherit(resolved.clone(), &of("chirp-v5")).is_ok());
        let problems = model.inherit(resolved.clone(), &of("chirp-v3-5"));
        assert_eq!(problems.unwrap_err()[0].param, "style");
        assert!(model.inherit(resolved, &of("chirp-v9")).is_err());
    }

    #[test]
    fn what_is_said_of_earlier_tasks_names_what_there_is() {
        let suno = include_str!("../../catalogue/suno.toml");
        let upload = include_str!("../../catalogue/suno-upload-cover.toml");
        for (line, other) in [
            ("output = \"extend_audio_index\"", "output = \"title\""),
            ("output = \"extend_audio_index\"", "output = \"clip\""),
            ("output = \"extend_audio_index\"", ""),
            (
                "moment = \"extensionStartTime\"",
                "moment = \"extend_audio_index\"",
            ),
            ("ours = true", "ours = true\nrequired = true"),
            ("inherits = \"lyrics\"", "inherits = \"lyrics\""),
        ] {
            assert!(EXTEND.contains(line), "{line}");
            let text = EXTEND.replacen(line, other, 1);
            let files = [("a.toml", &*text), ("b.toml", suno), ("c.toml", upload)];
            let holds = line == other || other == "output = \"title\"";
            assert_eq!(Catalogue::parse(&files).is_ok(), holds, "{line}: {other}");
        }
    }
}
