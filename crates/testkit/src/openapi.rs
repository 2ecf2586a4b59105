//! The program's own OpenAPI document, with which every exchange of the suite is compared: what it answers, and of what it takes,
//! what it was sent.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http::Method;
use jsonschema::Validator;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::Reply;

/// The document of a program, once it was asked for it.
pub(crate) type Told = OnceCell<Document>;

const FORM: &str = "multipart/form-data";

/// The document.
#[derive(Debug)]
pub(crate) struct Document {
    whole: Value,
    /// By the place of the schema.
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

/// One request and its answer.
pub(crate) struct Exchange<'a> {
    pub(crate) method: &'a Method,
    /// Behind `/api/v1`, or a whole URL, which is not compared.
    pub(crate) path: &'a str,
    pub(crate) sent: &'a Bytes,
    pub(crate) reply: &'a Reply,
}

// === impl Document ===

impl Document {
    /// Reads it.
    pub(crate) fn parse(text: &[u8]) -> Result<Self> {
        let whole: Value = serde_json::from_slice(text)?;
        ensure!(whole["openapi"] == "3.1.0", "no OpenAPI document");
        Ok(Self {
            whole,
            validators: Mutex::default(),
        })
    }

    /// Compares an exchange over a route that the document has.
    pub(crate) fn compare(&self, exchange: &Exchange<'_>) -> Result<()> {
        let Some(route) = self.route(exchange) else {
            return Ok(());
        };
        let operation = &self.whole["paths"][route.0][route.1.as_str()];
        let status = exchange.reply.status;
        let kind = exchange.reply.headers.get("content-type");
        if kind.is_some_and(|kind| kind == "application/json") {
            let named = [status.to_string(), format!("{}XX", status / 100)];
            let told = named
                .iter()
                .find(|name| !operation["responses"][name].is_null());
            let told =
                told.with_context(|| format!("{} {} may not answer {status}", route.1, route.0))?;
            let place = format!("responses/{told}/content/application~1json/schema");
            let value = serde_json::from_slice(&exchange.reply.body).context("no JSON")?;
            self.check(&route, &place, &value)?;
        }
        let taken = (200..300).contains(&status);
        let content = &operation["requestBody"]["content"];
        let body = &content["application/json"]["schema"];
        // Where a form is taken as well, it begins with its boundary.
        let is_form = !content[FORM].is_null() && exchange.sent.starts_with(b"--");
        if taken && !body.is_null() && !is_form && !exchange.sent.is_empty() {
            let sent = serde_json::from_slice(exchange.sent).context("taken, and no JSON")?;
            let place = "requestBody/content/application~1json/schema";
            self.check(&route, place, &self.plainly(body, sent))?;
        }
        Ok(())
    }

    /// The path of the document that is meant, and the method in its words.
    fn route(&self, exchange: &Exchange<'_>) -> Option<(&str, String)> {
        let path = exchange.path.split('?').next()?;
        let method = exchange.method.as_str().to_ascii_lowercase();
        let paths = self.whole["paths"].as_object()?;
        let fits = |template: &&String| {
            !paths[template.as_str()][&method].is_null() && fits(template, path)
        };
        let mut found: Vec<&String> = paths.keys().filter(fits).collect();
        // A path that says every word itself comes before one that varies.
        found.sort_by_key(|template| template.matches('{').count());
        Some((found.first()?.as_str(), method))
    }

    /// A request for a task as the document has it: its words may be written in any case, and its numbers as texts.
    fn plainly(&self, body: &Value, mut sent: Value) -> Value {
        let is_of = |schema: &&Value| {
            let names = schema["properties"]["model"]["enum"].as_array();
            names.is_some_and(|names| names.contains(&sent["model"]))
        };
        let one_of = body["oneOf"].as_array().into_iter().flatten();
        let referred = one_of.filter_map(|one| {
            let pointer = one["$ref"].as_str()?.strip_prefix('#')?;
            self.whole.pointer(pointer)
        });
        let model = referred
            .into_iter()
            .find(is_of)
            .cloned()
            .unwrap_or_default();
        for (name, value) in sent.as_object_mut().into_iter().flatten() {
            let schema = &model["properties"][name.as_str()];
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            let mut words = schema["enum"].as_array().into_iter().flatten();
            let is_it = |word: &&Value| {
                word.as_str()
                    .is_some_and(|word| word.eq_ignore_ascii_case(&text))
            };
            if let Some(word) = words.find(is_it) {
                *value = word.clone();
            } else if schema["type"] == "integer" || schema["type"] == "number" {
                *value = serde_json::from_str(&text).unwrap_or_default();
            }
        }
        sent
    }

    fn check(&self, (path, method): &(&str, String), place: &str, value: &Value) -> Result<()> {
        let path_word = path.replace('/', "~1");
        let pointer = format!("/paths/{path_word}/{method}/{place}");
        let validator = self.validator(&pointer)?;
        let wrong: Vec<String> = validator
            .iter_errors(value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .take(5)
            .collect();
        if !wrong.is_empty() {
            bail!("not as {pointer} tells: {}\n{value}", wrong.join("; "));
        }
        Ok(())
    }

    fn validator(&self, pointer: &str) -> Result<Arc<Validator>> {
        let mut validators = self
            .validators
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = validators.get(pointer) {
            return Ok(Arc::clone(known));
        }
        let mut schema = self.whole.pointer(pointer).cloned().unwrap_or_default();
        ensure!(schema.is_object(), "{pointer} is no schema");
        // What it refers to stands there.
        schema["components"] = self.whole["components"].clone();
        let made = jsonschema::draft202012::new(&schema);
        let made = Arc::new(made.with_context(|| format!("{pointer} is no schema"))?);
        validators.insert(pointer.to_owned(), Arc::clone(&made));
        Ok(made)
    }
}

/// Whether a path of the document can be this one. What varies at the end of `/models` may hold slashes.
fn fits(template: &str, path: &str) -> bool {
    if let Some(name) = path.strip_prefix("/models/") {
        return template == "/models/{id}" && !name.is_empty();
    }
    let (mut words, mut parts) = (template.split('/'), path.split('/'));
    loop {
        match (words.next(), parts.next()) {
            (None, None) => return true,
            (Some(word), Some(part)) if word == part || word.starts_with('{') => {}
            (Some(_), Some(_)) | (Some(_), None) | (None, Some(_)) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use serde_json::json;

    use super::*;

    fn document() -> Document {
        let number = json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"] });
        let content =
            |schema: Value| json!({ "content": { "application/json": { "schema": schema } } });
        let whole = json!({
            "openapi": "3.1.0",
            "paths": { "/things/{id}": { "post": {
                "requestBody": content(json!({ "oneOf": [{ "$ref": "#/components/schemas/model.x" }] })),
                "responses": { "200": content(json!({ "$ref": "#/components/schemas/Number" })) },
            } } },
            "components": { "schemas": {
                "Number": number,
                "model.x": {
                    "type": "object",
                    "properties": { "model": { "enum": ["x"] }, "size": { "enum": ["4K"] }, "n": { "type": "integer" } },
                    "additionalProperties": false,
                },
            } },
        });
        Document::parse(whole.to_string().as_bytes()).unwrap()
    }

    fn compared(path: &str, sent: &Value, status: u16, answered: &Value) -> Result<()> {
        let headers = [("content-type".parse()?, "application/json".parse()?)];
        let reply = Reply {
            status,
            headers: HeaderMap::from_iter(headers),
            body: answered.to_string().into(),
        };
        document().compare(&Exchange {
            method: &Method::POST,
            path,
            sent: &sent.to_string().into(),
            reply: &reply,
        })
    }

    #[test]
    fn what_is_not_as_it_is_told_is_refused() {
        let (sent, good) = (json!({ "model": "x" }), json!({ "n": 1 }));
        compared("/things/1?a=b", &sent, 200, &good).unwrap();
        // As the docs allow it.
        let loosely = json!({ "model": "x", "size": "4k", "n": "3" });
        compared("/things/1", &loosely, 200, &good).unwrap();
        for (sent, status, answered) in [
            (sent.clone(), 200, json!({ "n": "1" })),
            (sent.clone(), 200, json!({})),
            (sent, 402, good.clone()),
            (json!({ "model": "y" }), 200, good.clone()),
            (json!({ "model": "x", "m": 1 }), 200, good.clone()),
        ] {
            let refused = compared("/things/1", &sent, status, &answered);
            assert!(refused.is_err(), "{sent} {status} {answered}");
        }
        assert!(Document::parse(b"{}").is_err());
    }

    #[test]
    fn what_the_document_does_not_have_is_not_compared() {
        compared("/other/1", &json!({}), 200, &json!({})).unwrap();
        compared("/things/1/2", &json!({}), 200, &json!({})).unwrap();
    }
}
