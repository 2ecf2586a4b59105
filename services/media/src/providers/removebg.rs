//! remove.bg (remove.bg/api, v1.0, as of November 2026): a picture, by its address or as a file, is answered with what stands in it and nothing
//! around that.

use async_trait::async_trait;
use http::HeaderName;
use upstream::{Call, Failure, ProviderAnswer, ProviderClient, Verdict};

use super::{
    Access, Answers, Cancelled, MediaProvider, Order, Progress, Started, at_once,
    bytes::{self, Manner, Told},
    form::Form,
    wire,
};

const KEY: HeaderName = HeaderName::from_static("x-api-key");
/// The field of a picture that they fetch, and that of one that is sent.
const PICTURE: (&str, &str) = ("image_url", "image_file");
/// What an answer cost, in credits of theirs, and what one is in small packs.
const COST: Told = ("x-credits-charged", 200_000);

/// What they document of an error.
const MANNER: Manner = Manner {
    own: &[],
    errors: Some("errors"),
};

/// The adapter.
#[derive(Clone, Debug)]
pub(super) struct RemoveBg {
    client: ProviderClient,
}

// === impl RemoveBg ===

impl RemoveBg {
    pub(super) fn new(client: ProviderClient) -> Self {
        Self { client }
    }
}

#[async_trait]
impl MediaProvider for RemoveBg {
    fn answers(&self, _model: &str) -> Answers {
        Answers::AtOnce
    }

    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure> {
        let url = wire::place(&access.base_url, order.model)?;
        let form = Form::of(order.parameters, PICTURE)?;
        let (headers, body) = form.written(wire::keyed(access, KEY, ""));
        let call = Call::submit(url, headers, body.into());
        bytes::ask(&self.client, call, classify, Some(COST)).await
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
