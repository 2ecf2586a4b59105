//! An earlier task that a request goes on from: which it may be, and what of it is taken.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Model, Param, ParamType, Resolved, When, matches};
use crate::Problem;

/// The characters between a text and the one that it is sent behind.
const BETWEEN: usize = 2;

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
    /// Parameters of tasks that have nothing of that kind to go on from.
    #[serde(default, skip_serializing_if = "When::is_empty")]
    pub not: When,
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
        let (name, is_found) = (&param.name, param.default.is_some() || param.is_counted());
        if param.ours && (param.required || !is_found && earlier().next().is_none()) {
            return Err(format!(
                "{name} is ours: it is not required, and has a default, a sound or an earlier task to be taken from"
            ));
        }
        param.check_seconds(params)?;
        if param.inherits.is_some() && earlier().all(|earlier| earlier.output.is_none()) {
            return Err(format!(
                "{name} inherits from an output of an earlier task, and none names one"
            ));
        }
        let text = |name: &str| {
            let mut params = params.iter();
            params.any(|param| param.name == name && matches!(param.of, ParamType::Text { .. }))
        };
        if let Some(other) = &param.behind
            && (!text(name) || !text(other) || earlier().next().is_none())
        {
            return Err(format!(
                "{name} is sent behind {other}: both are texts, of what goes on from an earlier task"
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

    /// Whether a task with these parameters has nothing of that kind to go on from.
    pub fn is_refused(&self, parameters: &Resolved) -> bool {
        !self.not.is_empty() && matches(&self.not, parameters)
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

    /// Cuts what is taken from the earlier task, and what is sent behind other texts, to what may be sent. What the customer says goes before
    /// what is taken.
    pub fn fit(&self, resolved: &Resolved, taken: &mut Resolved) {
        for param in self.params.iter().filter(|param| param.inherits.is_some()) {
            if let (Some(text), Some(most)) = (
                text(taken, &param.name),
                self.most_characters(&param.name, resolved),
            ) {
                taken.insert(param.name.clone(), cut(&text, most));
            }
        }
        for param in &self.params {
            let Some(first) = &param.behind else { continue };
            let (Some(own), Some(most)) = (
                text(resolved, &param.name),
                self.most_characters(first, resolved),
            ) else {
                continue;
            };
            let left = |other: &str| {
                let length = other.chars().count().saturating_add(BETWEEN);
                most.saturating_sub(length)
            };
            let room = text(resolved, first).map_or(most, |given| left(&given));
            if let Some(inherited) = text(taken, first) {
                taken.insert(first.clone(), cut(&inherited, left(&own)));
            }
            taken.insert(param.name.clone(), cut(&own, room));
        }
    }

    /// The most characters of a text, where the parameters are these.
    fn most_characters(&self, name: &str, resolved: &Resolved) -> Option<usize> {
        let param = self.params.iter().find(|param| param.name == name)?;
        let ParamType::Text { max, .. } = param.of else {
            return None;
        };
        let rules = self.rules.iter();
        let most = rules.filter_map(|rule| rule.most_characters(name, resolved));
        Some(most.fold(max, usize::min))
    }
}

fn text(of: &Resolved, name: &str) -> Option<String> {
    of.get(name)?.as_str().map(str::to_owned)
}

fn cut(text: &str, most: usize) -> Value {
    text.chars().take(most).collect::<String>().into()
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
    fn what_is_sent_as_one_text_fits() {
        let catalogue = Catalogue::built_in().unwrap();
        let model = catalogue.find("suno-extend").unwrap();
        let x = |count: usize| "x".repeat(count);
        // Of each song's model: what is given as style and as tags, what the song has; what is sent of both.
        for (song, style, tags, has, sent) in [
            ("chirp-v3-5", 200, 200, 0, (200, 0)),
            ("chirp-v3-5", 150, 200, 0, (150, 48)),
            ("chirp-v3-5", 0, 0, 900, (200, 0)),
            ("chirp-v3-5", 0, 150, 900, (48, 150)),
            ("chirp-v3-5", 0, 199, 900, (0, 199)),
            ("chirp-v5", 900, 200, 0, (900, 98)),
            ("chirp-v5", 0, 200, 1_200, (798, 200)),
            ("chirp-v5", 20, 30, 0, (20, 30)),
        ] {
            let mut sent_by = Map::new();
            for (name, count) in [("style", style), ("tags", tags)] {
                if count > 0 {
                    sent_by.insert(name.to_owned(), x(count).into());
                }
            }
            sent_by.insert("model".to_owned(), song.into());
            let mut taken = object(&json!({"prompt": x(6_000)}));
            if has > 0 {
                taken.insert("style".to_owned(), x(has).into());
            }
            model.fit(&sent_by, &mut taken);
            let mut all = sent_by;
            all.extend(taken);
            let length = |name: &str| {
                let text = all.get(name).and_then(Value::as_str);
                text.unwrap_or_default().len()
            };
            let case = format!("{song} {style} {tags} {has}");
            assert_eq!((length("style"), length("tags")), sent, "{case}");
            let lyrics = if song == "chirp-v5" { 5_000 } else { 3_000 };
            assert_eq!(length("prompt"), lyrics, "{case}");
            all.insert("custom_mode".to_owned(), json!(true));
            let mut routes = model.candidates(&all);
            let input = routes.next().unwrap().input(&all);
            let both = input["style"].as_str().unwrap();
            let most = if song == "chirp-v5" { 1_000 } else { 200 };
            assert!(both.len() <= most && !both.ends_with(", "), "{case}");
        }
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
            ("behind = \"style\"", "behind = \"custom_mode\""),
            ("inherits = \"lyrics\"", "inherits = \"lyrics\""),
        ] {
            assert!(EXTEND.contains(line), "{line}");
            let text = EXTEND.replacen(line, other, 1);
            let files = [("a.toml", &*text), ("b.toml", suno), ("c.toml", upload)];
            let holds = line == other || other == "output = \"title\"";
            assert_eq!(Catalogue::parse(&files).is_ok(), holds, "{line}: {other}");
        }
        let lyrics = include_str!("../../catalogue/suno-lyrics.toml");
        let not = "not = { make_instrumental = true }";
        for (other, holds) in [
            (not, true),
            ("not = { make_instrumental = 7 }", false),
            ("not = { instrumental = true }", false),
        ] {
            let text = lyrics.replacen(not, other, 1);
            let files = [
                ("a.toml", &*text),
                ("b.toml", suno),
                ("c.toml", upload),
                ("d.toml", EXTEND),
            ];
            assert_eq!(Catalogue::parse(&files).is_ok(), holds, "{other}");
        }
    }
}
