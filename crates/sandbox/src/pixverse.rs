//! PixVerse: upload a picture, submit a film, look at it. A film's id is a whole number there (`pixverse/number.rs`).
//!
//! As the real one, it answers almost everything with HTTP 200: what counts is `ErrCode`. A call without a name of its own is refused.

mod number;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    response::Response,
    routing::{get, post},
};
use http::{HeaderMap, StatusCode, Uri, header};
use serde_json::{Map, Value, json};

use self::number::Film;
use crate::{
    Sandbox, answer,
    work::{
        self, Asked, Read, Refused, Standing, Submit,
        fields::{self, Field, Is},
    },
};

/// A refusal: the code, and the words.
type Problem = (u32, &'static str);

const PROVIDER: &str = "pixverse";
const NO_KEY: Problem = (10_005, "the key is not there");
const NO_TRACE: Problem = (400_011, "Ai-trace-id is empty");
const NO_UUID: Problem = (400_013, "Ai-trace-id is wrong");
const NO_FILM: Problem = (500_008, "the film does not exist");
const NO_ROOM: Problem = (500_069, "the load is high");
const NO_FUNDS: Problem = (500_090, "insufficient balance");
const BROKEN: Problem = (99_999, "the sandbox failed");
/// The code of what is wrong with a request.
const WRONG: u32 = 400_017;
/// Micro-US-dollars in one of its credits.
const CREDIT: i64 = 10_000;
/// Credits of five seconds, by quality; eight are two times as many, ten as well.
const FIVE: [(&str, i64); 4] = [("360p", 45), ("540p", 45), ("720p", 60), ("1080p", 120)];
/// What every upload is called: what was in it is not kept.
const PICTURE: i64 = 770_000;
/// Bytes that an upload has besides those of its file, at least.
const AROUND: usize = 100;
const FIELDS: &[Field] = &[
    ("model", Is::OneOf(&["v5.6"])),
    ("prompt", Is::Text(2_048)),
    ("negative_prompt", Is::Words(2_048)),
    ("duration", Is::Whole(5, 10)),
    ("quality", Is::OneOf(&["360p", "540p", "720p", "1080p"])),
    ("seed", Is::Whole(0, 2_147_483_647)),
    ("generate_audio_switch", Is::Switch),
    ("thinking_type", Is::OneOf(&["enabled", "disabled", "auto"])),
];
const RATIO: &[Field] = &[("aspect_ratio", Is::OneOf(&number::RATIOS))];
const OF_PICTURE: &[Field] = &[("img_id", Is::Whole(1, i64::MAX))];

/// Its routes.
pub(crate) fn router() -> Router<Sandbox> {
    Router::new()
        .route("/pixverse/openapi/v2/image/upload", post(upload))
        .route("/pixverse/openapi/v2/video/text/generate", post(submit))
        .route(
            "/pixverse/openapi/v2/video/img/generate",
            post(submit_picture),
        )
        .route("/pixverse/openapi/v2/video/result/{id}", get(look))
}

/// A form with a picture, or with its address.
async fn upload(headers: HeaderMap, body: Bytes) -> Response {
    if let Some(problem) = unnamed(&headers) {
        return told(problem.0, problem.1, &Value::Null);
    }
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let boundary = kind.and_then(|kind| kind.strip_prefix("multipart/form-data; boundary="));
    let text = String::from_utf8_lossy(&body);
    let is_whole = boundary.is_some_and(|boundary| text.ends_with(&format!("--{boundary}--\r\n")));
    let is_picture = ["name=\"image\"; filename=", "name=\"image_url\""]
        .iter()
        .any(|field| text.contains(field));
    if !is_whole || !is_picture || body.len() < AROUND {
        return told(500_031, "the picture cannot be read", &Value::Null);
    }
    let uploaded = json!({ "img_id": PICTURE, "img_url": "https://media.pixverse.example/1.png" });
    told(0, "success", &uploaded)
}

async fn submit(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    accept(&sandbox, &headers, &body, of_text).await
}

async fn submit_picture(
    State(sandbox): State<Sandbox>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    accept(&sandbox, &headers, &body, of_picture).await
}

async fn accept(sandbox: &Sandbox, headers: &HeaderMap, body: &[u8], read: Read) -> Response {
    if let Some((code, words)) = unnamed(headers) {
        return told(code, words, &Value::Null);
    }
    match take(sandbox, body, read).await {
        Ok((id, credits)) => told(0, "success", &json!({ "video_id": id, "credits": credits })),
        Err(why) => refused(why),
    }
}

/// A film's number, and what it costs.
async fn take(sandbox: &Sandbox, body: &[u8], read: Read) -> Result<(i64, i64), Refused> {
    let submit = Submit {
        provider: PROVIDER,
        model: "v5.6",
        body,
    };
    let (asked, input) = submit.read(read)?;
    let job = work::plan(sandbox, &input, asked.made).await?;
    let ratio = work::text(&input, "aspect_ratio");
    let quality = work::text(&input, "quality");
    let film = Film::of(&job, (ratio, quality));
    let id = film.id();
    let job = film.job();
    work::record(
        sandbox,
        (&submit, &input),
        &asked,
        (&id.to_string(), &job, &Value::Null),
    )
    .await?;
    Ok((id, work::billed(job.outcome, asked.price) / CREDIT))
}

fn of_text(sent: &Map<String, Value>) -> Result<Asked, String> {
    let needs = ["model", "prompt", "duration", "quality", "aspect_ratio"];
    film(sent, &needs, &[FIELDS, RATIO].concat())
}

fn of_picture(sent: &Map<String, Value>) -> Result<Asked, String> {
    let needs = ["model", "prompt", "duration", "quality", "img_id"];
    let asked = film(sent, &needs, &[FIELDS, OF_PICTURE].concat())?;
    match sent.get("img_id").and_then(Value::as_i64) {
        Some(PICTURE) => Ok(asked),
        Some(_) | None => Err("img_id is wrong".to_owned()),
    }
}

fn film(sent: &Map<String, Value>, needs: &[&str], known: &[Field]) -> Result<Asked, String> {
    fields::check(sent, needs, known)?;
    let word = |name: &str| sent.get(name).and_then(Value::as_str);
    let quality = word("quality").unwrap_or("720p");
    let seconds = work::seconds(sent.get("duration"), 5);
    if !number::SECONDS.contains(&seconds) || (quality == "1080p" && seconds == 10) {
        return Err("duration is wrong".to_owned());
    }
    let row = FIVE.iter().find(|(name, _)| *name == quality);
    let five = row.map_or(60, |(_, credits)| *credits);
    let times = if seconds == 5 { 1 } else { 2 };
    Ok(Asked {
        made: work::film(word("aspect_ratio"), Some(quality), seconds),
        price: five * times * CREDIT,
        callback: None,
    })
}

async fn look(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    if let Some((code, words)) = unnamed(&headers) {
        return told(code, words, &Value::Null);
    }
    let film = id.parse().ok().and_then(Film::read);
    let Some(job) = film.map(Film::job) else {
        return told(NO_FILM.0, NO_FILM.1, &Value::Null);
    };
    let film = |status: i64, url: &str| {
        let film = json!({
            "id": id.parse::<i64>().unwrap_or_default(), "status": status, "url": url, "prompt": "(the sandbox keeps no prompts)",
            "outputWidth": job.made.width, "outputHeight": job.made.height, "seed": 0,
        });
        told(0, "success", &film)
    };
    match work::standing(&job) {
        Standing::Unknown => told(NO_FILM.0, NO_FILM.1, &Value::Null),
        Standing::Malformed => answer::malformed(),
        Standing::Waiting | Standing::Working => film(5, ""),
        Standing::Failed => film(8, ""),
        Standing::Moderated => film(7, ""),
        Standing::Done => {
            let links = work::links(&sandbox, PROVIDER, &job, (&headers, &uri));
            film(1, links.first().map_or("", String::as_str))
        }
    }
}

/// Whether a text is a UUID of chance, the fourth kind of them.
fn is_chance(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let lengths = parts.iter().map(|part| part.len());
    let is_hex = |part: &&str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
    lengths.eq([8, 4, 4, 4, 12])
        && parts.iter().all(is_hex)
        && parts.get(2).is_some_and(|part| part.starts_with('4'))
}

/// What is missing of a call's own headers, or wrong with them.
fn unnamed(headers: &HeaderMap) -> Option<Problem> {
    let has = |name: &str| headers.get(name).is_some_and(|value| !value.is_empty());
    if !has("api-key") {
        return Some(NO_KEY);
    }
    let trace = headers.get("ai-trace-id");
    match trace.and_then(|trace| trace.to_str().ok()) {
        None | Some("") => Some(NO_TRACE),
        Some(trace) => (!is_chance(trace)).then_some(NO_UUID),
    }
}

fn refused(why: Refused) -> Response {
    let (code, words) = match why {
        Refused::Input(words) => return told(WRONG, &words, &Value::Null),
        // What is before it.
        Refused::TooFast => {
            let body = Bytes::from_static(b"too many requests");
            return answer::text(StatusCode::TOO_MANY_REQUESTS, "text/plain", body);
        }
        Refused::NoRoom => NO_ROOM,
        Refused::NoFunds => NO_FUNDS,
        Refused::NoKey => NO_KEY,
        Refused::Broken => BROKEN,
    };
    told(code, words, &Value::Null)
}

fn told(code: u32, words: &str, resp: &Value) -> Response {
    let body = json!({ "ErrCode": code, "ErrMsg": words, "Resp": resp });
    answer::json(StatusCode::OK, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_named_by_chance() {
        let named = |trace: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert("api-key", http::HeaderValue::from_static("any"));
            if let Some(trace) = trace {
                headers.insert("ai-trace-id", http::HeaderValue::from_static(trace));
            }
            unnamed(&headers)
        };
        assert_eq!(named(None), Some(NO_TRACE));
        assert_eq!(named(Some("")), Some(NO_TRACE));
        assert_eq!(named(Some("one")), Some(NO_UUID));
        // Of time, and not of chance.
        let of_time = "0190f0a0-1111-7111-8111-111111111111";
        assert_eq!(named(Some(of_time)), Some(NO_UUID));
        let of_chance = "0190f0a0-1111-4111-8111-111111111111";
        assert_eq!(named(Some(of_chance)), None);
    }
}
