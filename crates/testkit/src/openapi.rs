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
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::Reply;

/// The document of a program, once it was asked for it.
pub(crate) type Told = OnceCell<Document>;

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
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        if taken && !body.is_null() && !exchange.sent.is_empty() {
            let value = serde_json::from_slice(exchange.sent).context("taken, and no JSON")?;
            self.check(
                &route,
                "requestBody/content/application~1json/schema",
                &value,
            )?;
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

    fn check(&self, (path, method): &(&str, String), place: &str, value: &Value) -> Result<()> {
        let path_word = path.replace('/', "~1");
        let reference = format!("#/paths/{path_word}/{method}/{place}");
        let validator = self.validator(&reference)?;
        let wrong: Vec<String> = validator
            .iter_errors(value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .take(5)
            .collect();
        if !wrong.is_empty() {
            bail!("not as {reference} tells: {}\n{value}", wrong.join("; "));
        }
        Ok(())
    }

    fn validator(&self, reference: &str) -> Result<Arc<Validator>> {
        let mut validators = self
            .validators
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = validators.get(reference) {
            return Ok(Arc::clone(known));
        }
        let mut schema = json!({ "$ref": reference });
        for part in ["paths", "components"] {
            schema[part] = self.whole[part].clone();
        }
        let made = jsonschema::draft202012::new(&schema);
        let made = Arc::new(made.with_context(|| format!("{reference} is no schema"))?);
        validators.insert(reference.to_owned(), Arc::clone(&made));
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
