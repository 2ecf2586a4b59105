//! Google's picture models (ai.google.dev, API of November 2026), which are Gemini's: one call answers with the picture, among whatever
//! words it has. They fetch no URL that is not Google's own, so that pictures go in inline.

use async_trait::async_trait;
use http::HeaderName;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use upstream::{Call, Failure, ProviderClient};

use super::{
    Access, Answers, Cancelled, MediaProvider, Order, Progress, Started, Takes,
    at_once::{self, Answer},
    moderated,
    wire::{self, Inline},
};

/// What is said, and what is shown, as the catalogue names it. All else is sent as it stands there.
const PROMPT: &str = "prompt";
const IMAGES: &str = "images";
const KEY: HeaderName = HeaderName::from_static("x-goog-api-key");
/// What ends an answer for its content. Others that bring no picture, `NO_IMAGE` and `IMAGE_OTHER` among them, are a failure of theirs.
const POLICY: [&str; 8] = [
    "SAFETY",
    "RECITATION",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
];
/// What ends an answer that says all it has to say.
const STOP: &str = "STOP";

/// The adapter.
#[derive(Clone, Debug)]
pub(super) struct Gemini {
    client: ProviderClient,
}

/// The wire shape of an answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answered {
    #[serde(default, deserialize_with = "wire::lenient")]
    candidates: Vec<Candidate>,
    #[serde(default, deserialize_with = "wire::lenient")]
    prompt_feedback: Option<Feedback>,
    #[serde(default, deserialize_with = "wire::lenient")]
    response_id: Option<String>,
}

/// The wire shape of what it thinks of a prompt.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    block_reason: Option<String>,
}

/// The wire shape of one answer of several.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    #[serde(default, deserialize_with = "wire::lenient")]
    content: Option<Content>,
    #[serde(default, deserialize_with = "wire::lenient")]
    finish_reason: Option<String>,
}

/// The wire shape of what it says.
#[derive(Deserialize)]
struct Content {
    #[serde(default, deserialize_with = "wire::lenient")]
    parts: Vec<Part>,
}

/// The wire shape of a part of it. What it drew while it thought is none of the answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    #[serde(default, deserialize_with = "wire::lenient")]
    inline_data: Option<InlineData>,
    #[serde(default, deserialize_with = "wire::lenient")]
    thought: Option<bool>,
}

/// The wire shape of a file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct InlineData {
    #[serde(default, deserialize_with = "wire::lenient")]
    mime_type: Option<String>,
    data: String,
}

// === impl Gemini ===

impl Gemini {
    pub(super) fn new(client: ProviderClient) -> Self {
        Self { client }
    }
}

#[async_trait]
impl MediaProvider for Gemini {
    fn answers(&self, _model: &str) -> Answers {
        Answers::AtOnce
    }

    fn takes(&self) -> Takes {
        Takes::Bytes
    }

    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure> {
        let path = format!("models/{}:generateContent", order.model);
        let url = wire::place(&access.base_url, &path)?;
        let headers = wire::with_json(wire::keyed(access, KEY, ""));
        let body = Value::Object(body(order.parameters)).to_string();
        let call = Call::submit(url, headers, body.into());
        let answer = match at_once::submit(&self.client, call).await? {
            Answer::Made(answer, _) => answer,
            Answer::Failed(started) => return Ok(started),
        };
        let answered: Answered = wire::read(&answer, "the answer to a submit is not theirs")?;
        answered.started()
    }

    async fn check(&self, _: &Access, job: &str) -> Result<Progress, Failure> {
        Ok(at_once::check(job).unwrap_or(Progress::Missing))
    }

    /// Whatever has a job is done.
    async fn cancel(&self, _: &Access, _: &str) -> Result<Cancelled, Failure> {
        Ok(Cancelled::TooLate)
    }
}

/// One turn: the words, then the pictures.
fn body(parameters: &Map<String, Value>) -> Map<String, Value> {
    let mut body = parameters.clone();
    let words = wire::take_texts(&mut body, PROMPT).into_iter();
    let words = words.map(|text| json!({ "text": text }));
    let pictures = wire::take_texts(&mut body, IMAGES).into_iter();
    let pictures = pictures.map(|url| picture(&url));
    let parts: Vec<Value> = words.chain(pictures).collect();
    let turn = json!({ "role": "user", "parts": parts });
    body.insert("contents".to_owned(), json!([turn]));
    body
}

/// A picture inline; where it is not, as for test keys, the sandbox is shown its URL.
fn picture(url: &str) -> Value {
    match wire::inline(url) {
        Some(Inline {
            content_type,
            bytes,
        }) => json!({ "inlineData": { "mimeType": content_type, "data": bytes } }),
        None => json!({ "fileData": { "fileUri": url } }),
    }
}

// === impl Answered ===

impl Answered {
    fn started(mut self) -> Result<Started, Failure> {
        let files = self.take_files();
        let id = self.response_id.as_deref().unwrap_or_default();
        if !files.is_empty() {
            // What a picture costs is nowhere in the answer but in tokens, whose prices change.
            return Ok(at_once::given(id, files, None));
        }
        let blocked = self.prompt_feedback.and_then(|told| told.block_reason);
        if blocked.is_some_and(|reason| reason != "BLOCK_REASON_UNSPECIFIED") {
            return Err(moderated(
                "the provider's content policy refused the request",
            ));
        }
        let mut reasons = self.candidates.iter();
        match reasons.find_map(|one| one.finish_reason.as_deref()) {
            Some(reason) if POLICY.contains(&reason) => Err(moderated(
                "the provider's content policy refused the result",
            )),
            // In words alone it says why it does not draw that.
            Some(STOP) => Err(moderated(
                "the provider answered in words, without a picture",
            )),
            Some(_) => Ok(at_once::failed(id)),
            None => Err(Failure::malformed("the answer to a submit has no end")),
        }
    }

    fn take_files(&mut self) -> Vec<String> {
        let candidates = self.candidates.iter_mut();
        let contents = candidates.filter_map(|one| one.content.take());
        let parts = contents.flat_map(|content| content.parts);
        let files = parts
            .filter(|part| part.thought != Some(true))
            .filter_map(|part| part.inline_data);
        let url = |file: InlineData| {
            let kind = file.mime_type.as_deref().unwrap_or("image/png");
            wire::data_url(kind, file.data)
        };
        files.map(url).collect()
    }
}

#[cfg(test)]
mod tests;
