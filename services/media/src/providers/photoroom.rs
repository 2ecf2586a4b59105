//! Photoroom (docs.photoroom.com, as of November 2026): a picture's bytes are answered with what stands in it and nothing around that. It
//! fetches nothing.

use async_trait::async_trait;
use http::HeaderName;
use upstream::{Call, Failure, ProviderAnswer, ProviderClient, Verdict};

use super::{
    Access, Answers, Cancelled, MediaProvider, Order, Progress, Started, Takes, at_once,
    bytes::{self, Manner},
    form::Form,
    wire,
};

const KEY: HeaderName = HeaderName::from_static("x-api-key");
/// The field of a picture, whatever it is.
const PICTURE: (&str, &str) = ("image_file", "image_file");

/// They do not say what an error of theirs looks like.
const MANNER: Manner = Manner {
    own: &[],
    errors: None,
};

/// The adapter.
#[derive(Clone, Debug)]
pub(super) struct Photoroom {
    client: ProviderClient,
}

// === impl Photoroom ===

impl Photoroom {
    pub(super) fn new(client: ProviderClient) -> Self {
        Self { client }
    }
}

#[async_trait]
impl MediaProvider for Photoroom {
    fn answers(&self, _model: &str) -> Answers {
        Answers::AtOnce
    }

    fn takes(&self) -> Takes {
        Takes::Bytes
    }

    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure> {
        let url = wire::place(&access.base_url, order.model)?;
        let form = Form::of(order.parameters, PICTURE)?;
        let (headers, body) = form.written(wire::keyed(access, KEY, ""));
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
