//! OpenAI's voices (developers.openai.com, API of November 2026): one call says a text, and answers with the sound itself.

mod transcribe;

use async_trait::async_trait;
use serde_json::Value;
use upstream::{Call, Failure, ProviderClient};

use super::{
    Access, Answers, Cancelled, MediaProvider, Order, Progress, Started, Takes,
    at_once::{self, Heard},
    refusal, sound, transcript, wire,
};
use crate::listen::Ear;

const SPEECH: &str = "audio/speech";
/// The format that is samples without a header, and how many of them are a second.
const SAMPLES: (&str, u32) = ("pcm", 24_000);

/// What they take for a recording, by the ending of its name.
const ENDINGS: [&str; 9] = [
    "flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "ogg", "wav", "webm",
];

/// The adapter.
#[derive(Clone, Debug)]
pub(super) struct OpenAiAudio {
    client: ProviderClient,
}

// === impl OpenAiAudio ===

impl OpenAiAudio {
    pub(super) fn new(client: ProviderClient) -> Self {
        Self { client }
    }

    /// Has a text said, and waits for it. What they bill, they do not say. The sound comes while it is made, whoever asks.
    async fn speak(
        &self,
        access: &Access,
        order: &Order<'_>,
        ear: Option<&Ear>,
    ) -> Result<Started, Failure> {
        let url = wire::place(&access.base_url, SPEECH)?;
        let mut body = order.parameters.clone();
        body.insert("model".to_owned(), order.model.into());
        let format = body.get("response_format").and_then(Value::as_str);
        let (samples, rate) = SAMPLES;
        let rate = (format == Some(samples)).then_some(rate);
        let headers = wire::with_json(wire::bearer(access));
        let call = Call::submit(url, headers, Value::Object(body).to_string().into());
        let reply = match at_once::ask(&self.client, call, refusal::classify_at_once).await? {
            Heard::Reply(reply) => reply,
            Heard::Failed(started) => return Ok(started),
        };
        let id = at_once::id(reply.headers(), at_once::REQUEST_ID);
        let file = sound::file(reply, rate, ear).await?;
        Ok(at_once::given(&id, vec![file], None))
    }
}

#[async_trait]
impl MediaProvider for OpenAiAudio {
    fn answers(&self, _model: &str) -> Answers {
        Answers::AtOnce
    }

    fn takes(&self) -> Takes {
        Takes::Bytes
    }

    fn endings(&self) -> Option<&'static [&'static str]> {
        Some(&ENDINGS)
    }

    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure> {
        if transcript::is_asked(order) {
            transcribe::transcribe(&self.client, access, order).await
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

#[cfg(test)]
mod tests;
