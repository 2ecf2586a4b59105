//! From what a customer sent to resolved parameters: all violations at once, every default filled in.

use serde_json::{Map, Value};

use super::{Model, Param, ParamType, Resolved};
use crate::Problem;

impl Model {
    /// Checks parameters and fills in defaults. `model`, `callback_url` and the labels `user` and `metadata` are not
    /// parameters: take them out before.
    ///
    /// # Errors
    /// Everything wrong with the request, in the order of the model's file, unknown fields last.
    pub fn resolve(&self, mut sent: Map<String, Value>) -> Result<Resolved, Vec<Problem>> {
        let mut resolved = Resolved::new();
        let mut problems = Vec::new();
        for param in &self.params {
            // OpenAI SDKs send null for "not given".
            let value = sent.remove(&param.name).filter(|value| !value.is_null());
            match value.or_else(|| param.default.clone()) {
                None if param.required => problems.push(Problem::missing(&param.name)),
                None => {}
                Some(value) => {
                    problems.extend(param.problems(&value));
                    resolved.insert(param.name.clone(), value);
                }
            }
        }
        problems.extend(sent.keys().map(|name| self.unknown(name)));
        if problems.is_empty() {
            Ok(resolved)
        } else {
            Err(problems)
        }
    }

    /// Every URL among resolved parameters, with its path: `input_urls[2]`. Nobody calls one that was not checked.
    pub fn urls<'a>(&'a self, resolved: &'a Resolved) -> impl Iterator<Item = (String, &'a str)> {
        self.params.iter().flat_map(move |param| {
            let value = resolved.get(&param.name);
            value.map_or_else(Vec::new, |value| param.urls(value))
        })
    }

    fn unknown(&self, name: &str) -> Problem {
        let known: Vec<&str> = self
            .params
            .iter()
            .map(|param| param.name.as_str())
            .collect();
        Problem {
            kind: crate::ProblemKind::Unknown,
            param: name.to_owned(),
            message: format!(
                "{name} is not a parameter of {}; it takes model, {}, callback_url, user, metadata",
                self.slug,
                known.join(", ")
            ),
        }
    }
}

impl Param {
    fn problems(&self, value: &Value) -> Vec<Problem> {
        let name = &self.name;
        let wrong = |allowed: String| vec![Problem::invalid(name, allowed)];
        match (&self.of, value) {
            (ParamType::Text { min, max }, Value::String(text)) => {
                let length = text.chars().count();
                if (*min..=*max).contains(&length) {
                    Vec::new()
                } else {
                    wrong(format!("have {min} to {max} characters; it has {length}"))
                }
            }
            (ParamType::Choice { values }, Value::String(word)) if values.contains(word) => {
                Vec::new()
            }
            (ParamType::Integer { min, max }, Value::Number(number))
                if number.as_i64().is_some_and(|n| (*min..=*max).contains(&n)) =>
            {
                Vec::new()
            }
            (ParamType::Url, value) if is_url(value) => Vec::new(),
            (ParamType::Urls { max }, Value::Array(items)) if items.len() <= *max => {
                url_problems(name, items)
            }
            (of, _) => wrong(of.allowed()),
        }
    }

    /// Whether a resolved request can hold this value here, as far as a price asks.
    pub(crate) fn may_be(&self, value: &Value) -> bool {
        matches!(
            self.of,
            ParamType::Choice { .. } | ParamType::Integer { .. }
        ) && self.problems(value).is_empty()
    }

    fn urls<'a>(&self, value: &'a Value) -> Vec<(String, &'a str)> {
        let name = &self.name;
        match self.of {
            ParamType::Url => value
                .as_str()
                .map(|url| (name.clone(), url))
                .into_iter()
                .collect(),
            ParamType::Urls { .. } => {
                let items = value.as_array().into_iter().flatten().enumerate();
                items
                    .filter_map(|(index, item)| Some((format!("{name}[{index}]"), item.as_str()?)))
                    .collect()
            }
            ParamType::Text { .. } | ParamType::Choice { .. } | ParamType::Integer { .. } => {
                Vec::new()
            }
        }
    }
}

fn is_url(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|url| url.starts_with("https://") || url.starts_with("http://"))
}

fn url_problems(name: &str, items: &[Value]) -> Vec<Problem> {
    items
        .iter()
        .enumerate()
        .filter(|(_, item)| !is_url(item))
        .map(|(index, _)| Problem::invalid(format!("{name}[{index}]"), "be an http(s) URL"))
        .collect()
}

impl ParamType {
    /// Completes "`param` must …".
    fn allowed(&self) -> String {
        match self {
            Self::Text { min, max } => format!("be a text of {min} to {max} characters"),
            Self::Choice { values } => format!("be one of {}", values.join(", ")),
            Self::Integer { min, max } => format!("be a whole number from {min} to {max}"),
            Self::Url => "be an http(s) URL".to_owned(),
            Self::Urls { max } => format!("be a list of at most {max} URLs"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::Catalogue;

    /// Resolves a body for flux-2: the resolved JSON, or the violations line by line.
    fn check(body: &serde_json::Value, expected: &str) {
        let catalogue = Catalogue::built_in().unwrap();
        let model = catalogue.find("flux-2").unwrap();
        let outcome = match model.resolve(body.as_object().unwrap().clone()) {
            Ok(resolved) => serde_json::Value::Object(resolved).to_string(),
            Err(problems) => problems
                .iter()
                .map(|p| p.message.as_str())
                .collect::<Vec<_>>()
                .join("\n"),
        };
        assert_eq!(outcome, expected);
    }

    #[test]
    fn defaults_are_filled_in() {
        check(
            &json!({"prompt": "a fox", "seed": null}),
            r#"{"prompt":"a fox","aspect_ratio":"1:1","type":"pro","resolution":"1K","output_format":"png"}"#,
        );
    }

    #[test]
    fn every_violation_is_named_at_once() {
        check(
            &json!({"type": "max", "seed": 1.5, "resolution": 2, "input_urls": ["ftp://x", "https://y"], "promt": "a"}),
            "prompt is required\n\
             type must be one of pro, flex\n\
             resolution must be one of 1K, 2K\n\
             seed must be a whole number from 0 to 4294967295\n\
             input_urls[0] must be an http(s) URL\n\
             promt is not a parameter of flux-2; it takes model, prompt, aspect_ratio, type, resolution, seed, \
             output_format, input_urls, callback_url, user, metadata",
        );
    }

    #[test]
    fn lengths_count_characters() {
        check(
            &json!({"prompt": "éé"}),
            "prompt must have 3 to 5000 characters; it has 2",
        );
        check(
            &json!({"prompt": "a fox", "input_urls": (0..9).map(|_| "https://a.example/x.png").collect::<Vec<_>>()}),
            "input_urls must be a list of at most 8 URLs",
        );
    }

    #[test]
    fn urls_are_found_by_what_a_parameter_is_and_not_by_its_looks() {
        let file = include_str!("../../catalogue/flux-2.toml");
        let more = "[[params]]\nname = \"image_url\"\ntype = \"url\"\n\n[price]\n";
        let text = file.replacen("[price]\n", more, 1);
        let catalogue = Catalogue::parse(&[("a.toml", &text)]).unwrap();
        let model = catalogue.find("flux-2").unwrap();
        let sent = json!({
            "prompt": "https://no.example/url",
            "image_url": "https://a.example/1.png",
            "input_urls": ["https://b.example/2.png", "http://c.example/3.png"],
        });
        let resolved = model.resolve(sent.as_object().unwrap().clone()).unwrap();
        let urls: Vec<_> = model.urls(&resolved).collect();
        assert_eq!(
            urls,
            [
                ("input_urls[0]".to_owned(), "https://b.example/2.png"),
                ("input_urls[1]".to_owned(), "http://c.example/3.png"),
                ("image_url".to_owned(), "https://a.example/1.png"),
            ]
        );
        let wrong = json!({"prompt": "a fox", "image_url": ["https://a.example/1.png"]});
        let problems = model
            .resolve(wrong.as_object().unwrap().clone())
            .unwrap_err();
        assert_eq!(problems[0].message, "image_url must be an http(s) URL");
    }
}
