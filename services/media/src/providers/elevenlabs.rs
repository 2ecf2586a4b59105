//! ElevenLabs (elevenlabs.io, v1, November 2026): one call says a dialogue, and answers with the sound itself, once it is made or, at another
//! address, while it is.
//!
//! They set no limit of requests a minute, only of those at once, whose number is that of the account's plan.

pub(super) mod refusal;
mod scribe;

use async_trait::async_trait;
use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value};
use upstream::{Call, Failure, ProviderClient};
use url::Url;

pub(super) use self::scribe::resold;
use super::{
    Access, Answers, Cancelled, Cost, MediaProvider, Order, Progress, Started, Takes,
    at_once::{self, Heard},
    sound, transcript, wire,
};
use crate::listen::Ear;

const SPEECH: &str = "v1/text-to-dialogue";
/// Where the same is answered piece by piece.
const STREAMED: &str = "v1/text-to-dialogue/stream";
pub(super) const KEY: HeaderName = HeaderName::from_static("xi-api-key");
/// The header with which they name a request, and that in which they say how many characters they bill.
const REQUEST_ID: &str = "request-id";
const CHARACTERS: &str = "character-cost";
/// What they bill a character with, in millionths of a US dollar: their plans differ, and this is of the order of most.
const CHARACTER: i64 = 100;
/// What the sound is to be: it stands in the query. What begins those formats that are samples without a header; behind it is how many a
/// second.
const FORMAT: &str = "output_format";
const SAMPLES: &str = "pcm_";
/// The parameter of a language, and its word for whichever the text is in: they want none then.
const LANGUAGE: &str = "language_code";
const ANY_LANGUAGE: &str = "auto";

/// The adapter.
#[derive(Clone, Debug)]
pub(super) struct ElevenLabs {
    client: ProviderClient,
}

/// What is sent to have something said.
struct Speech {
    url: Url,
    body: Map<String, Value>,
    /// Of a sound that comes without a header: how many samples are a second.
    rate: Option<u32>,
}

// === impl ElevenLabs ===

impl ElevenLabs {
    pub(super) fn new(client: ProviderClient) -> Self {
        Self { client }
    }

    /// Has a dialogue said, and waits for it.
    async fn speak(
        &self,
        access: &Access,
        order: &Order<'_>,
        ear: Option<&Ear>,
    ) -> Result<Started, Failure> {
        let Speech { url, body, rate } = Speech::of(access, order, ear)?;
        let headers = wire::with_json(wire::keyed(access, KEY, ""));
        let call = Call::submit(url, headers, Value::Object(body).to_string().into());
        let reply = match at_once::ask(&self.client, call, refusal::classify).await? {
            Heard::Reply(reply) => reply,
            Heard::Failed(started) => return Ok(started),
        };
        let id = at_once::id(reply.headers(), REQUEST_ID);
        let cost = cost(reply.headers());
        let file = sound::file(reply, rate, ear).await?;
        Ok(at_once::given(&id, vec![file], cost))
    }
}

#[async_trait]
impl MediaProvider for ElevenLabs {
    fn answers(&self, _model: &str) -> Answers {
        Answers::AtOnce
    }

    /// They would fetch a recording, but not from a house that nobody reaches from outside.
    fn takes(&self) -> Takes {
        Takes::Bytes
    }

    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure> {
        if transcript::is_asked(order) {
            scribe::transcribe(&self.client, access, order).await
        } else {
            self.speak(access, order, None).await
        }
    }

    async fn start_aloud(
        &self,
        access: &Access,
        order: &Order<'_>,
        ear: &Ear,
    ) -> Result<Started, Failure> {
        if transcript::is_asked(order) {
            return self.start(access, order).await;
        }
        self.speak(access, order, Some(ear)).await
    }

    async fn check(&self, _: &Access, job: &str) -> Result<Progress, Failure> {
        Ok(at_once::check(job).unwrap_or(Progress::Missing))
    }

    /// Whatever has a job is done.
    async fn cancel(&self, _: &Access, _: &str) -> Result<Cancelled, Failure> {
        Ok(Cancelled::TooLate)
    }
}

// === impl Speech ===

impl Speech {
    /// `ear`: who listens. Only who would hear something has it told piece by piece.
    fn of(access: &Access, order: &Order<'_>, ear: Option<&Ear>) -> Result<Self, Failure> {
        let mut body = order.parameters.clone();
        body.insert("model_id".to_owned(), order.model.into());
        if body.get(LANGUAGE).and_then(Value::as_str) == Some(ANY_LANGUAGE) {
            body.remove(LANGUAGE);
        }
        let format = body.remove(FORMAT);
        let format = format.as_ref().and_then(Value::as_str);
        let rate = format.and_then(|format| format.strip_prefix(SAMPLES)?.parse().ok());
        let is_heard = ear.is_some_and(|ear| ear.wants(sound::kind(rate)));
        let place = if is_heard { STREAMED } else { SPEECH };
        let mut url = wire::place(&access.base_url, place)?;
        if let Some(format) = format {
            url.query_pairs_mut().append_pair(FORMAT, format);
        }
        Ok(Self { url, body, rate })
    }
}

/// What a call costs us, where they say it.
fn cost(headers: &HeaderMap) -> Option<Cost> {
    let characters = headers.get(CHARACTERS)?.to_str().ok()?;
    let characters: i64 = characters.trim().parse().ok()?;
    let micro_usd = characters.checked_mul(CHARACTER)?;
    (micro_usd > 0).then_some(Cost { micro_usd })
}

#[cfg(test)]
mod tests;
