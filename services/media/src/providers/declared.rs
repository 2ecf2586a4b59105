//! Providers that are described by a file alone: how to submit a job, look at it and stop it, where the answers say what, and what their
//! words mean. docs/operating.md ("Providers without code") is for those who write one.
//!
//! | file | what |
//! |---|---|
//! | `fields.rs` | a TOML table, read field by field |
//! | `file.rs`, `rules.rs` | what a file says; of errors |
//! | `template.rs`, `scan.rs` | what is asked: templates, and what they may be made of |
//! | `path.rs` | where something stands in an answer |
//! | `answer.rs` | what an answer means |
//!
//! A file is read when the program starts; all that is wrong with it is told then. The credential goes into its header, and no template
//! knows it.

mod answer;
mod fields;
mod file;
mod path;
mod rules;
mod scan;
mod template;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use chassis::config::Poll;
use domain::Secret;
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use minijinja::{Value, context};
use serde::Deserialize;
use serde_json::Value as Json;
use tracing::warn;
use upstream::{Call, Class, Failure, ProviderClient, Verdict};

use self::{
    answer::Asking,
    file::{File, Request},
    template::Template,
};
use super::{Access, Cancelled, MediaProvider, Order, Progress, Started};

/// The section `limits.declared`: what providers that are described by a file may cost. What a field is when it is left out, its
/// `Default` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of one template. Default 16 KiB.
    pub template_bytes: usize,
    /// Steps that one template may take. Default 50 000.
    pub template_fuel: u64,
    /// Bytes that one template may become. Default 16 MiB.
    pub body_bytes: usize,
    /// Bytes of an answer. Default 4 MiB.
    pub answer_bytes: usize,
    /// Files of one job. Default 64.
    pub files: usize,
}

/// The providers of an installation that are described by files.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    files: Vec<Arc<File>>,
    limits: Limits,
}

/// All that is wrong with the files of providers, a line each.
#[derive(Debug, thiserror::Error)]
pub struct Mistakes(Vec<String>);

/// The adapter of one file.
#[derive(Clone, Debug)]
pub(super) struct Adapter {
    client: ProviderClient,
    file: Arc<File>,
    limits: Limits,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            template_bytes: 16 * 1024,
            template_fuel: 50_000,
            // Files that travel inside are a third longer there.
            body_bytes: 16 * 1024 * 1024,
            answer_bytes: 4 * 1024 * 1024,
            files: 64,
        }
    }
}

// === impl Mistakes ===

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

// === impl Declared ===

impl Declared {
    /// Reads files, name and text of each.
    ///
    /// # Errors
    /// All that is wrong with all of them.
    pub fn read(files: &[(String, String)], limits: Limits) -> Result<Self, Mistakes> {
        let (mut read, mut wrong) = (Vec::<Arc<File>>::new(), Vec::new());
        for (name, text) in files {
            match file::read(text, limits) {
                Ok(file) if read.iter().any(|other| other.name == file.name) => {
                    wrong.push(format!("{name}: name: {} has a file already", file.name));
                }
                Ok(file) => read.push(Arc::new(file)),
                Err(lines) => {
                    wrong.extend(lines.iter().map(|line| format!("{name}: {line}")));
                }
            }
        }
        if wrong.is_empty() {
            let files = read;
            Ok(Self { files, limits })
        } else {
            Err(Mistakes(wrong))
        }
    }

    /// The names of their adapters, in the order of the files.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.name.as_str())
    }

    /// Whether the file of this name is here; if so, whose wire in the sandbox it speaks.
    pub(crate) fn wire(&self, adapter: &str) -> Option<Option<&str>> {
        let file = self.files.iter().find(|file| file.name == adapter)?;
        Some(file.sandbox.as_deref())
    }

    /// When the provider of this file wants to be looked at.
    pub(crate) fn poll(&self, adapter: &str) -> Option<Poll> {
        let file = self.files.iter().find(|file| file.name == adapter)?;
        Some(file.poll)
    }

    /// An adapter for each.
    pub(super) fn adapters(&self, client: &ProviderClient) -> Vec<(String, Adapter)> {
        let adapter = |file: &Arc<File>| {
            let adapter = Adapter {
                client: client.clone(),
                file: Arc::clone(file),
                limits: self.limits,
            };
            (file.name.clone(), adapter)
        };
        self.files.iter().map(adapter).collect()
    }
}

// === impl Adapter ===

impl Adapter {
    /// What is sent: `None` where a template does not become what it should.
    fn call(&self, request: &Request, values: &Value, access: &Access) -> Option<Call> {
        let path = self.render(&request.path, values)?;
        if let Err(problem) = template::check_path(&path) {
            self.cannot(&request.path, problem);
            return None;
        }
        let url = access.base_url.join(&path).ok()?;
        let mut headers = self.authorised(access);
        for (name, template) in &request.headers {
            let value = HeaderValue::from_str(&self.render(template, values)?).ok()?;
            headers.entry(name).or_insert(value);
        }
        let body = match &request.body {
            None => Vec::new(),
            Some(template) => {
                let body = self.render(template, values)?;
                let Ok(body) = serde_json::from_str::<Json>(&body) else {
                    self.cannot(template, "it does not become JSON");
                    return None;
                };
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                body.to_string().into_bytes()
            }
        };
        Some(Call::new(request.method.clone(), url, headers, body.into()))
    }

    fn render(&self, template: &Template, values: &Value) -> Option<String> {
        let rendered = self.file.templates.render(template, values);
        // The kind alone: what the engine says beside it may quote a value.
        rendered
            .map_err(|error| self.cannot(template, &error.kind().to_string()))
            .ok()
    }

    fn cannot(&self, template: &Template, why: &str) {
        let (provider, field) = (&self.file.name, template.field());
        warn!(
            provider,
            field, why, "a template of a provider's file cannot be used"
        );
    }

    fn authorised(&self, access: &Access) -> HeaderMap {
        let mut headers = access.headers.clone();
        let credential = &self.file.credential;
        let key = access.key.as_ref().map(Secret::expose);
        let value = key.map(|key| HeaderValue::from_str(&format!("{}{key}", credential.prefix)));
        if let Some(Ok(mut value)) = value {
            value.set_sensitive(true);
            headers.entry(&credential.header).or_insert(value);
        }
        headers
    }

    /// Makes a call, and reads its answer as JSON; `None` for one that is none.
    async fn ask(&self, call: Call, asking: Asking) -> Result<Option<Json>, Failure> {
        Ok(self.told(call, asking).await?.1)
    }

    /// The same with the status that it came with.
    async fn told(&self, call: Call, asking: Asking) -> Result<(u16, Option<Json>), Failure> {
        let errors = &self.file.errors;
        let reply = self
            .client
            .send(call, |answer| errors.refusal(answer, asking))
            .await?;
        let status = reply.status().as_u16();
        let bytes = reply.bytes().await?;
        if bytes.len() > self.limits.answer_bytes {
            return Err(Failure::malformed("the answer is too long"));
        }
        Ok((status, serde_json::from_slice(&bytes).ok()))
    }
}

#[async_trait]
impl MediaProvider for Adapter {
    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure> {
        let submit = &self.file.submit;
        let values = context! {
            model => order.model,
            parameters => Value::from_serialize(order.parameters),
            callback_url => order.callback,
        };
        // Nobody was asked; another provider may do better, and this one never will.
        let call = self
            .call(&submit.request, &values, access)
            .ok_or_else(|| Failure::reported(Verdict::of(Class::Gone)))?;
        let answer = self.ask(call.as_submit(), Asking::Submit).await?;
        let answer =
            answer.ok_or_else(|| Failure::malformed("the answer to a submit is no JSON"))?;
        let job = submit.job.word(&answer).filter(|job| !job.is_empty());
        match (job, self.file.errors.verdict(None, &answer)) {
            (Some(job), _) => {
                let cost = answer::cost(submit.cost.as_ref(), &answer);
                Ok(Started::taken(job, cost))
            }
            (None, Some(verdict)) => Err(Failure::reported(verdict)),
            (None, None) => Err(Failure::malformed("the answer to a submit has no job")),
        }
    }

    async fn check(&self, access: &Access, job: &str) -> Result<Progress, Failure> {
        let check = &self.file.check;
        let call = self
            .call(&check.request, &context! { job }, access)
            .ok_or_else(|| Failure::malformed("the job cannot be looked at"))?;
        let answer = match self.ask(call, Asking::Look).await {
            Ok(answer) => answer,
            Err(failure) if failure.class() == Class::Gone => return Ok(Progress::Missing),
            Err(failure) => return Err(failure),
        };
        let answer = answer.ok_or_else(|| Failure::malformed("the answer to a look is no JSON"))?;
        self.file
            .progress(&answer, &access.base_url, self.limits.files)
    }

    async fn cancel(&self, access: &Access, job: &str) -> Result<Cancelled, Failure> {
        let Some(cancel) = &self.file.cancel else {
            return Ok(Cancelled::Impossible);
        };
        let call = self
            .call(&cancel.request, &context! { job }, access)
            .ok_or_else(|| Failure::malformed("the job cannot be stopped"))?;
        let told = self.told(call, Asking::Cancel).await;
        let status = match &told {
            Ok((status, _)) => Some(*status),
            Err(failure) => failure.status().map(|status| status.as_u16()),
        };
        // A provider may well say in a friendly way that it is too late.
        if status.is_some_and(|status| cancel.too_late.contains(&status)) {
            return Ok(Cancelled::TooLate);
        }
        told.map(|_| Cancelled::Stopped)
    }
}

#[cfg(test)]
mod tests;
