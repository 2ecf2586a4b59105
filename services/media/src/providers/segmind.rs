//! Segmind (segmind.com, v1, as of November 2026): a model is asked by its name, and answers with a picture.

use async_trait::async_trait;
use http::HeaderName;
use serde_json::Value;
use upstream::{Call, Class, Failure, ProviderAnswer, ProviderClient, Verdict};

use super::{
    Access, Answers, Cancelled, MediaProvider, Order, Progress, Started, at_once,
    bytes::{self, Manner},
    wire,
};

const KEY: HeaderName = HeaderName::from_static("x-api-key");
/// They do not say what an error of theirs looks like; that our account is empty has a status of its own.
const MANNER: Manner = Manner {
    own: &[(406, Class::Balance)],
    errors: None,
};

/// The adapter.
#[derive(Clone, Debug)]
pub(super) struct Segmind {
    client: ProviderClient,
}

// === impl Segmind ===

impl Segmind {
    pub(super) fn new(client: ProviderClient) -> Self {
        Self { client }
    }
}

#[async_trait]
impl MediaProvider for Segmind {
    fn answers(&self, _model: &str) -> Answers {
        Answers::AtOnce
    }

    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure> {
        let url = wire::place(&access.base_url, order.model)?;
        let headers = wire::with_json(wire::keyed(access, KEY, ""));
        let body = Value::Object(order.parameters.clone()).to_string();
        let call = Call::submit(url, headers, body.into());
        bytes::ask(&self.client, call, classify, None).await
    }

    async fn check(&self, _: &Access, job: &str) -> Result<Progress, Failure> {
        Ok(at_once::check(job).unwrap_or(Progress::Missing))
    }

    /// Whatever has a job is done.
    async fn cancel(&self, _: &Access, _: &str) -> Result<Cancelled, Failure> {
        Ok(Cancelled::TooLate)
    }
}

fn classify(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    bytes::verdict(answer, &MANNER)
}

#[cfg(test)]
mod tests;
