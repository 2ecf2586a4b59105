//! PixVerse (docs.platform.pixverse.ai, November 2026): upload a picture if there is one, submit a film, look at it.
//!
//! Whatever goes wrong, HTTP mostly says 200: what `ErrCode` says, counts. Their callbacks go to an address that is set in their console, so that
//! a job names none.

use std::ops::RangeInclusive;

use async_trait::async_trait;
use chassis::mint;
use domain::ids;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use upstream::{Call, Class, Failure, ProviderAnswer, ProviderClient, Verdict};

use super::{
    Access, Cancelled, Cost, MediaProvider, Order, Progress, Started, Takes, form::Form, jobs, wire,
};

/// What one of their credits is, in millionths of a US dollar.
const CREDIT: i64 = 10_000;
const UPLOAD: &str = "openapi/v2/image/upload";
const OF_TEXT: &str = "openapi/v2/video/text/generate";
const OF_PICTURE: &str = "openapi/v2/video/img/generate";
const RESULT: &str = "openapi/v2/video/result";
const KEY: HeaderName = HeaderName::from_static("api-key");
/// Names a call. One that comes twice is answered with what the first was.
const TRACE: HeaderName = HeaderName::from_static("ai-trace-id");
/// The parameter of a row's input that is a picture, as the field of an upload is called; and that of an address, which newer pages have.
const PICTURE: &str = "image";
const ADDRESS: &str = "image_url";
/// The longest texts that they take, in characters.
const TEXTS: [(&str, usize); 2] = [("prompt", 2_048), ("negative_prompt", 2_048)];
/// The code of an answer that holds what was asked for, and that of a film they do not have.
const FINE: i64 = 0;
const NOT_FOUND: i64 = 500_008;
/// What their codes mean.
const CODES: &[(i64, Class)] = &[
    // Of a wrong key they give no number; this one was seen.
    (10_005, Class::Auth),
    (400_011, Class::Invalid),
    (400_012, Class::Auth),
    (400_013, Class::Invalid),
    (400_017, Class::Invalid),
    (400_018, Class::Invalid),
    (400_019, Class::Invalid),
    (400_032, Class::Invalid),
    (NOT_FOUND, Class::Gone),
    (500_020, Class::Auth),
    (500_030, Class::Invalid),
    (500_031, Class::Invalid),
    (500_032, Class::Invalid),
    (500_033, Class::Invalid),
    (500_041, Class::Overloaded),
    (500_042, Class::Invalid),
    // Too many at once. Some met it for content, too: it is not tried for ever.
    (500_044, Class::Overloaded),
    (500_054, Class::Moderated),
    (500_060, Class::Balance),
    (500_063, Class::Moderated),
    (500_064, Class::Gone),
    (500_069, Class::Overloaded),
    (500_070, Class::Gone),
    (500_071, Class::Invalid),
    (500_090, Class::Balance),
    // They may have taken the film before that.
    (500_100, Class::Unknown),
    (99_999, Class::Unknown),
];
/// What codes mean that are not among those.
const FAMILIES: &[(RangeInclusive<i64>, Class)] = &[
    (10_000..=10_999, Class::Auth),
    (400_000..=400_999, Class::Invalid),
];

/// The adapter.
#[derive(Clone, Debug)]
pub(super) struct PixVerse {
    client: ProviderClient,
}

/// The wire shape of every answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    #[serde(deserialize_with = "wire::number")]
    err_code: i64,
    #[serde(default, deserialize_with = "wire::lenient")]
    err_msg: String,
    #[serde(default)]
    resp: Value,
}

/// The wire shape of an upload.
#[derive(Deserialize)]
struct Uploaded {
    img_id: Value,
}

/// The wire shape of an accepted film.
#[derive(Deserialize)]
struct Submitted {
    video_id: Value,
    #[serde(default)]
    credits: Value,
}

/// The wire shape of a film.
#[derive(Deserialize)]
struct Film {
    #[serde(deserialize_with = "wire::number")]
    status: i64,
    /// To be read when the film is done, and not before.
    #[serde(default, deserialize_with = "wire::lenient")]
    url: String,
}

// === impl PixVerse ===

impl PixVerse {
    pub(super) fn new(client: ProviderClient) -> Self {
        Self { client }
    }

    /// Brings a picture to them. What fails here is paid by nobody.
    async fn upload(&self, access: &Access, picture: &str) -> Result<Value, Failure> {
        let mut form = Form::default();
        let is_here = wire::inline(picture).is_some();
        form.url(if is_here { PICTURE } else { ADDRESS }, picture)?;
        let url = wire::place(&access.base_url, UPLOAD)?;
        let (headers, body) = form.written(headers(access));
        let call = Call::post(url, headers, body.into());
        let uploaded = async {
            let answer = self.client.send(call, classify).await?.bytes().await?;
            let uploaded: Uploaded = jobs::read::<Envelope>(&answer)?.held()?;
            Ok(uploaded.img_id)
        };
        let uploaded: Result<Value, Failure> = uploaded.await;
        uploaded.map_err(|failure| {
            if failure.outcome_known() {
                failure
            } else {
                Failure::reported(Verdict::of(Class::Overloaded))
            }
        })
    }
}

#[async_trait]
impl MediaProvider for PixVerse {
    fn takes(&self) -> Takes {
        Takes::Bytes
    }

    async fn start(&self, access: &Access, order: &Order<'_>) -> Result<Started, Failure> {
        let mut body = order.parameters.clone();
        for (name, most) in TEXTS {
            jobs::fits((name, body.get(name).and_then(Value::as_str)), most)?;
        }
        body.insert("model".to_owned(), order.model.into());
        let path = match body.remove(PICTURE) {
            Some(Value::String(picture)) => {
                let id = self.upload(access, &picture).await?;
                body.insert("img_id".to_owned(), id);
                OF_PICTURE
            }
            Some(_) | None => OF_TEXT,
        };
        let to = wire::place(&access.base_url, path)?;
        let at = (to, headers(access));
        let body = Value::Object(body);
        let answer = jobs::submit(&self.client, at, &body, classify).await?;
        let envelope: Envelope = jobs::read(&answer)?;
        let submitted: Submitted = envelope.held()?;
        let job = jobs::id(&submitted.video_id);
        let job = job.ok_or_else(|| Failure::malformed("the answer to a submit has no film"))?;
        let cost = Cost::of_credits(&submitted.credits, CREDIT);
        Ok(Started::taken(job, cost))
    }

    async fn check(&self, access: &Access, job: &str) -> Result<Progress, Failure> {
        let from = jobs::below(&access.base_url, RESULT, &[job])?;
        let at = (from, headers(access));
        let envelope: Result<Envelope, Failure> = jobs::get(&self.client, at, classify_look).await;
        let film: Result<Film, Failure> = envelope.and_then(Envelope::held);
        match film {
            Ok(film) => Ok(film.progress()),
            Err(failure) if failure.class() == Class::Gone => Ok(Progress::Missing),
            Err(failure) => Err(failure),
        }
    }

    /// They have no such call.
    async fn cancel(&self, _: &Access, _: &str) -> Result<Cancelled, Failure> {
        Ok(Cancelled::Impossible)
    }
}

/// Our key, and a name for this call alone.
fn headers(access: &Access) -> HeaderMap {
    let mut headers = wire::keyed(access, KEY, "");
    if let Ok(trace) = HeaderValue::from_str(&trace()) {
        headers.insert(TRACE, trace);
    }
    headers
}

/// A new UUID, as they are written, marked as one of chance, which is the kind that they ask for.
fn trace() -> String {
    let bytes = mint::<ids::Task>().to_bytes();
    let mut text = String::new();
    for (place, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&place) {
            text.push('-');
        }
        let byte = match place {
            6 => (byte & 0x0f) | 0x40,
            8 => (byte & 0x3f) | 0x80,
            _ => *byte,
        };
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

fn classify(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    let envelope: Envelope = serde_json::from_slice(answer.body).ok()?;
    envelope.verdict()
}

/// As [`classify`], for a look at a film.
fn classify_look(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    Some(jobs::looked(classify(answer), answer.status))
}

// === impl Envelope ===

impl Envelope {
    fn verdict(&self) -> Option<Verdict> {
        let words = self.err_msg.as_str();
        let known = jobs::verdict(CODES, self.err_code, words);
        known.or_else(|| jobs::of_family(FAMILIES, self.err_code, words))
    }

    /// What it holds, if it is no refusal.
    fn held<T: DeserializeOwned>(self) -> Result<T, Failure> {
        if self.err_code != FINE {
            return Err(jobs::refusal(self.verdict()));
        }
        serde_json::from_value(self.resp)
            .map_err(|_| Failure::malformed("the answer does not hold what was asked for"))
    }
}

// === impl Film ===

impl Film {
    fn progress(&self) -> Progress {
        let over = |class| Progress::Failed(Failure::reported(jobs::of_words(class, "")));
        match self.status {
            1 => {
                let files = Some(self.url.clone()).filter(|url| !url.is_empty());
                jobs::done(files.into_iter().collect(), None)
            }
            // Deleted by somebody, and failed.
            6 | 8 => over(Class::Overloaded),
            7 => over(Class::Moderated),
            // 5, and whatever else they may add: it runs until the deadline.
            _ => jobs::running(),
        }
    }
}

#[cfg(test)]
mod tests;
