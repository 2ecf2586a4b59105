//! From what a customer sent to resolved parameters: all violations at once, every default filled in.

use serde_json::{Map, Value};

use super::{
    Model, Param, Resolved,
    model::VARIANT,
    param::{names, read_fields},
};
use crate::{Problem, ProblemKind};

impl Model {
    /// Checks parameters and fills in defaults; `name` is what the customer called the model. `model`, `callback_url` and the labels
    /// `user` and `metadata` are not parameters: take them out before.
    ///
    /// # Errors
    /// Everything wrong with the request, in the order of the model's file, unknown fields last.
    pub fn resolve_as(
        &self,
        name: &str,
        mut sent: Map<String, Value>,
    ) -> Result<Resolved, Vec<Problem>> {
        if self.variants().any(|(variant, _)| variant == name) {
            sent.insert(VARIANT.to_owned(), Value::String(name.to_owned()));
        }
        self.resolve(sent)
    }

    /// The same for a model that was called by its slug.
    ///
    /// # Errors
    /// As [`Model::resolve_as`].
    pub fn resolve(&self, mut sent: Map<String, Value>) -> Result<Resolved, Vec<Problem>> {
        let read = read_fields("", &self.params, &mut sent);
        let unknown = sent.keys().map(|name| self.unknown(name));
        let resolved = match read {
            Ok(resolved) => resolved,
            Err(mut problems) => {
                problems.extend(unknown);
                return Err(problems);
            }
        };
        let problems: Vec<Problem> = self.problems(&resolved).chain(unknown).collect();
        if problems.is_empty() {
            Ok(resolved)
        } else {
            Err(problems)
        }
    }

    /// What its rules forbid of these parameters, and what cannot be counted of them.
    pub(super) fn problems<'a>(&'a self, resolved: &'a Resolved) -> impl Iterator<Item = Problem> {
        let forbidden = self.rules.iter().flat_map(|rule| rule.problems(resolved));
        forbidden.chain(self.uncountable(resolved))
    }

    /// Every URL among resolved parameters, with its path: `input_urls[2]`. Nobody calls one that was not checked.
    pub fn urls<'a>(&'a self, resolved: &'a Resolved) -> impl Iterator<Item = (String, &'a str)> {
        self.inputs(resolved).map(|input| (input.param, input.text))
    }

    /// The same parameters with others in the place of URLs, where there are some.
    #[must_use]
    pub fn with_urls(
        &self,
        resolved: &Resolved,
        other: impl Fn(&str) -> Option<String>,
    ) -> Resolved {
        let mut replaced = resolved.clone();
        for param in &self.params {
            if let Some(value) = replaced.get_mut(&param.name) {
                param.replace_urls(value, &other);
            }
        }
        replaced
    }

    fn unknown(&self, name: &str) -> Problem {
        let is_sent = |param: &&Param| param.name != VARIANT && !param.ours;
        let own = self.params.iter().filter(is_sent);
        let own: Vec<_> = own.cloned().collect();
        Problem {
            kind: ProblemKind::Unknown,
            param: name.to_owned(),
            message: format!(
                "{name} is not a parameter of {}; it takes model, {}, callback_url, user, metadata",
                self.slug,
                names(&own)
            ),
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
            &json!({"prompt": "a fox", "seed": null, "input_urls": []}),
            r#"{"prompt":"a fox","aspect_ratio":"1:1","type":"pro","resolution":"1K","output_format":"png"}"#,
        );
    }

    #[test]
    fn what_is_meant_is_taken_however_it_is_written() {
        check(
            &json!({"prompt": "a fox", "seed": "7", "resolution": "2k", "type": "FLEX", "output_format": "PNG"}),
            r#"{"prompt":"a fox","aspect_ratio":"1:1","type":"flex","resolution":"2K","seed":7,"output_format":"png"}"#,
        );
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_fraction_of_nothing() {
        check(
            &json!({"prompt": "a fox", "seed": 7.0}),
            r#"{"prompt":"a fox","aspect_ratio":"1:1","type":"pro","resolution":"1K","seed":7,"output_format":"png"}"#,
        );
        let catalogue = Catalogue::built_in().unwrap();
        let model = catalogue.find("hailuo-2-3").unwrap();
        let sent = json!({"prompt": "a fox", "image": "https://a.example/1.png", "duration": 10.0});
        let resolved = model.resolve(sent.as_object().unwrap().clone()).unwrap();
        assert_eq!(resolved["duration"], "10");
    }

    #[test]
    fn every_violation_is_named_at_once() {
        check(
            &json!({"type": "max", "seed": 1.5, "resolution": 2, "input_urls": ["ftp://x", "https://y"], "promt": "a"}),
            "prompt is required\n\
             type must be one of pro, flex\n\
             resolution must be one of 1K, 2K\n\
             seed must be a whole number from 0 to 4294967295\n\
             input_urls[0] must be an http(s) URL, or the id of a file\n\
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
        let other = |url: &str| {
            url.contains("b.example")
                .then(|| "https://d.example/".to_owned())
        };
        let replaced = model.with_urls(&resolved, other);
        assert_eq!(replaced["prompt"], resolved["prompt"]);
        assert_eq!(replaced["image_url"], resolved["image_url"]);
        assert_eq!(
            replaced["input_urls"],
            json!(["https://d.example/", "http://c.example/3.png"])
        );
        let file = crate::FileId::from_slice(&[7; 16]).unwrap().to_string();
        let named = json!({"prompt": "a fox", "image_url": file, "input_urls": [file]});
        assert!(model.resolve(named.as_object().unwrap().clone()).is_ok());
        let wrong = json!({"prompt": "a fox", "image_url": "file_x"});
        assert!(model.resolve(wrong.as_object().unwrap().clone()).is_err());
        let wrong = json!({"prompt": "a fox", "image_url": ["https://a.example/1.png"]});
        let problems = model
            .resolve(wrong.as_object().unwrap().clone())
            .unwrap_err();
        assert_eq!(
            problems[0].message,
            "image_url must be an http(s) URL, or the id of a file"
        );
    }
}
