//! Kling, in both generations of its API: `/kling/text-to-video/kling-3.0` and its like, looked up at `/kling/tasks`; and
//! `/kling/v1/videos/…`, `/kling/v1/images/…`, looked up where they were asked for.
//!
//! It says what is wrong in its own codes, with the statuses that the real one gives them: an empty account is a 429 there.

use axum::{
    Router,
    body::Bytes,
    extract::{Path, Query, State},
    response::Response,
    routing::{get, post},
};
use chassis::clock::{micros, now_micros};
use http::{HeaderMap, StatusCode, Uri, header};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    Sandbox, answer,
    job::Job,
    kie::has_key,
    work::{
        self, Asked, Read, Refused, Standing, Submit,
        fields::{self, Field, Is},
    },
};

/// What `GET /kling/tasks` is asked.
#[derive(Debug, Deserialize)]
struct Ids {
    task_ids: Option<String>,
}

/// A refusal: status, code and words.
#[derive(Debug, Clone, Copy)]
struct Problem(StatusCode, u32, &'static str);

const PROVIDER: &str = "kling";
const NO_KEY: Problem = Problem(StatusCode::UNAUTHORIZED, 1001, "the key is empty");
const NO_TOKEN: Problem = Problem(
    StatusCode::UNAUTHORIZED,
    1002,
    "a token of two keys does not open this",
);
const NO_MODEL: Problem = Problem(StatusCode::NOT_FOUND, 1203, "there is no such model");
const NO_TASK: Problem = Problem(StatusCode::NOT_FOUND, 1203, "there is no such task");
const TOO_FAST: Problem = Problem(StatusCode::TOO_MANY_REQUESTS, 1302, "too fast");
const NO_FUNDS: Problem = Problem(StatusCode::TOO_MANY_REQUESTS, 1102, "the pack is used up");
const NO_ROOM: Problem = Problem(StatusCode::SERVICE_UNAVAILABLE, 5001, "maintenance");
const BROKEN: Problem = Problem(
    StatusCode::INTERNAL_SERVER_ERROR,
    5000,
    "the sandbox failed",
);
/// The code of what is wrong with a request.
const WRONG: u32 = 1201;
/// Micro-US-dollars a second by lines: silent, and with sound.
const SECOND: [(&str, i64, i64); 3] = [
    ("720p", 84_000, 126_000),
    ("1080p", 112_000, 168_000),
    ("4k", 420_000, 420_000),
];
/// Micro-US-dollars a picture.
const PICTURE: i64 = 28_000;
/// Micro-US-dollars in one of its units.
const UNIT: i64 = 140_000;
/// What the modes of the old generation mean.
const MODES: [(&str, &str); 3] = [("std", "720p"), ("pro", "1080p"), ("4k", "4k")];
const RATIOS: &[&str] = &["16:9", "9:16", "1:1"];
const PICTURE_RATIOS: &[&str] = &[
    "16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9", "auto",
];
const SETTINGS: &[Field] = &[
    ("multi_shot", Is::Switch),
    ("audio", Is::OneOf(&["native", "off"])),
    ("resolution", Is::OneOf(&["720p", "1080p", "4k"])),
    ("duration", Is::Whole(3, 15)),
];
const OPTIONS: &[Field] = &[
    ("callback_url", Is::Text(2_048)),
    ("external_task_id", Is::Text(64)),
    ("watermark_info", Is::Object),
];
const OF_TEXT: &[Field] = &[
    ("prompt", Is::Text(3_072)),
    ("settings", Is::Object),
    ("options", Is::Object),
];
const OF_CONTENTS: &[Field] = &[
    ("contents", Is::List),
    ("settings", Is::Object),
    ("options", Is::Object),
];
const OLD: &[Field] = &[
    ("model_name", Is::OneOf(&["kling-v3"])),
    ("prompt", Is::Text(2_500)),
    ("negative_prompt", Is::Words(2_500)),
    ("sound", Is::OneOf(&["on", "off"])),
    ("mode", Is::OneOf(&["std", "pro", "4k"])),
    ("duration", Is::Text(2)),
    ("callback_url", Is::Text(2_048)),
    ("external_task_id", Is::Text(64)),
];
const OLD_PICTURE: &[Field] = &[
    (
        "model_name",
        Is::OneOf(&["kling-image-o1", "kling-v3-omni"]),
    ),
    ("prompt", Is::Text(2_500)),
    ("image_list", Is::List),
    ("resolution", Is::OneOf(&["1k", "2k"])),
    ("aspect_ratio", Is::OneOf(PICTURE_RATIOS)),
    ("n", Is::Whole(1, 9)),
    ("result_type", Is::OneOf(&["single", "series"])),
    ("series_amount", Is::Whole(2, 9)),
    ("callback_url", Is::Text(2_048)),
    ("external_task_id", Is::Text(64)),
];

/// Its routes.
pub(crate) fn router() -> Router<Sandbox> {
    Router::new()
        .route("/kling/text-to-video/{model}", post(of_text))
        .route("/kling/image-to-video/{model}", post(of_picture))
        .route("/kling/tasks", get(look))
        .route("/kling/v1/{what}/{kind}", post(old))
        .route("/kling/v1/{what}/{kind}/{id}", get(old_look))
}

async fn of_text(
    State(sandbox): State<Sandbox>,
    Path(model): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    submit(&sandbox, &headers, (&model, &body), new_of_text).await
}

async fn of_picture(
    State(sandbox): State<Sandbox>,
    Path(model): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    submit(&sandbox, &headers, (&model, &body), new_of_contents).await
}

/// A job of the new generation.
async fn submit(
    sandbox: &Sandbox,
    headers: &HeaderMap,
    (model, body): (&str, &[u8]),
    read: Read,
) -> Response {
    if is_token(headers) {
        return NO_TOKEN.answer();
    }
    if model != "kling-3.0" {
        return NO_MODEL.answer();
    }
    let told = |id: &str| json!({ "id": id, "status": "succeeded", "message": "" });
    match taken(sandbox, headers, (model, body), (read, told)).await {
        Ok((id, job)) => fine(&json!({
            "id": id, "status": "submitted", "external_id": "", "create_time": millis(job.start), "update_time": millis(job.start),
        })),
        Err(why) => refused(why),
    }
}

/// `POST /kling/v1/{videos|images}/{kind}`.
async fn old(
    State(sandbox): State<Sandbox>,
    Path((what, kind)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let read: Read = match (&*what, &*kind) {
        ("videos", "text2video") => old_film,
        ("videos", "image2video") => old_film_of_picture,
        ("images", "omni-image") => old_pictures,
        _ => return NO_MODEL.answer(),
    };
    let told = |id: &str| json!({ "task_id": id, "task_status": "succeed", "task_status_msg": "" });
    match taken(&sandbox, &headers, (&kind, &body), (read, told)).await {
        Ok((id, job)) => fine(&json!({
            "task_id": id, "task_status": "submitted", "task_info": {}, "created_at": millis(job.start), "updated_at": millis(job.start),
        })),
        Err(why) => refused(why),
    }
}

async fn taken(
    sandbox: &Sandbox,
    headers: &HeaderMap,
    (model, body): (&str, &[u8]),
    (read, told): (Read, fn(&str) -> Value),
) -> Result<(String, Job), Refused> {
    if !has_key(headers) {
        return Err(Refused::NoKey);
    }
    let submit = Submit {
        provider: PROVIDER,
        model,
        body,
    };
    work::take(sandbox, submit, read, told).await
}

fn new_of_text(sent: &Map<String, Value>) -> Result<Asked, String> {
    fields::check(sent, &["prompt"], OF_TEXT)?;
    let ratio: &[Field] = &[("aspect_ratio", Is::OneOf(RATIOS))];
    new(sent, &[SETTINGS, ratio].concat())
}

fn new_of_contents(sent: &Map<String, Value>) -> Result<Asked, String> {
    fields::check(sent, &["contents"], OF_CONTENTS)?;
    let contents = sent.get("contents").and_then(Value::as_array);
    let mut frames = 0;
    for part in contents.into_iter().flatten() {
        match (work::text(part, "type"), work::text(part, "url")) {
            (Some("prompt"), None) if work::text(part, "text").is_some() => {}
            (Some("first_frame"), Some(url)) if is_picture(url) => frames += 1,
            _ => return Err("contents are wrong".to_owned()),
        }
    }
    if frames != 1 {
        return Err("a first_frame is required".to_owned());
    }
    new(sent, SETTINGS)
}

/// What is asked for in the words of the new generation.
fn new(sent: &Map<String, Value>, known: &[Field]) -> Result<Asked, String> {
    let none = Map::new();
    let settings = sent.get("settings").and_then(Value::as_object);
    let settings = settings.unwrap_or(&none);
    fields::check(settings, &[], known)?;
    let options = sent.get("options").and_then(Value::as_object);
    fields::check(options.unwrap_or(&none), &[], OPTIONS)?;
    let word = |name: &str| settings.get(name).and_then(Value::as_str);
    let lines = word("resolution").unwrap_or("720p");
    let seconds = work::seconds(settings.get("duration"), 5);
    let callback = options.and_then(|options| options.get("callback_url")?.as_str());
    Ok(Asked {
        made: work::film(word("aspect_ratio"), Some(lines), seconds),
        price: price(lines, word("audio").unwrap_or("off"), seconds),
        callback: callback.map(str::to_owned),
    })
}

fn old_film(sent: &Map<String, Value>) -> Result<Asked, String> {
    let ratio: &[Field] = &[("aspect_ratio", Is::OneOf(RATIOS))];
    of_mode(sent, &["prompt"], &[OLD, ratio].concat())
}

fn old_film_of_picture(sent: &Map<String, Value>) -> Result<Asked, String> {
    let picture: &[Field] = &[("image", Is::Text(usize::MAX))];
    let asked = of_mode(sent, &["image"], &[OLD, picture].concat())?;
    let image = sent.get("image").and_then(Value::as_str);
    if !image.is_some_and(is_picture) {
        return Err("image is wrong".to_owned());
    }
    Ok(asked)
}

/// An address, or base64 without anything before it.
fn is_picture(text: &str) -> bool {
    !text.starts_with("data:")
}

fn of_mode(sent: &Map<String, Value>, needs: &[&str], known: &[Field]) -> Result<Asked, String> {
    fields::check(sent, needs, known)?;
    let word = |name: &str| sent.get(name).and_then(Value::as_str);
    let mode = word("mode").unwrap_or("std");
    let lines = MODES.iter().find(|(name, _)| *name == mode);
    let lines = lines.map_or("720p", |(_, lines)| lines);
    let seconds = work::seconds(sent.get("duration"), 5);
    if !(3..=15).contains(&seconds) {
        return Err("duration is wrong".to_owned());
    }
    Ok(Asked {
        made: work::film(word("aspect_ratio"), Some(lines), seconds),
        price: price(lines, word("sound").unwrap_or("off"), seconds),
        callback: word("callback_url").map(str::to_owned),
    })
}

fn old_pictures(sent: &Map<String, Value>) -> Result<Asked, String> {
    fields::check(sent, &["prompt"], OLD_PICTURE)?;
    let word = |name: &str| sent.get(name).and_then(Value::as_str);
    let is_series = word("result_type") == Some("series");
    if is_series && word("model_name") != Some("kling-v3-omni") {
        return Err("result_type is of kling-v3-omni".to_owned());
    }
    let number = if is_series { "series_amount" } else { "n" };
    let count = sent.get(number).and_then(Value::as_u64).unwrap_or(1);
    let count = u8::try_from(count).unwrap_or(1);
    Ok(Asked {
        made: work::pictures(crate::kie::Asked(sent).picture(), count),
        price: PICTURE * i64::from(count),
        callback: word("callback_url").map(str::to_owned),
    })
}

fn price(lines: &str, sound: &str, seconds: u16) -> i64 {
    let row = SECOND.iter().find(|(name, ..)| *name == lines);
    let (silent, loud) = row.map_or((84_000, 126_000), |(_, silent, loud)| (*silent, *loud));
    let each = if sound == "off" { silent } else { loud };
    each * i64::from(seconds)
}

/// `GET /kling/tasks?task_ids=a,b`: those that there are.
async fn look(
    State(sandbox): State<Sandbox>,
    Query(ids): Query<Ids>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    if !has_key(&headers) {
        return NO_KEY.answer();
    }
    if is_token(&headers) {
        return NO_TOKEN.answer();
    }
    let Some(ids) = ids.task_ids else {
        return wrong("task_ids is required");
    };
    let mut tasks = Vec::new();
    for id in ids.split(',') {
        let Some(job) = Job::decode(id) else { continue };
        let links = || work::links(&sandbox, PROVIDER, &job, (&headers, &uri));
        let (status, message) = match work::standing(&job) {
            Standing::Unknown => continue,
            Standing::Malformed => return answer::malformed(),
            Standing::Waiting => ("submitted", ""),
            Standing::Working => ("processing", ""),
            Standing::Done => ("succeeded", ""),
            Standing::Failed => ("failed", "the directive asked for a failure"),
            Standing::Moderated => ("failed", RISK),
        };
        let (outputs, billing): (Vec<Value>, Value) = if status == "succeeded" {
            let made = |url| json!({ "type": "video", "id": "1", "url": url, "duration": "5.1" });
            let billed = json!([{ "charge_type": "unit", "amount": units(&job) }]);
            (links().into_iter().map(made).collect(), billed)
        } else {
            (Vec::new(), json!([]))
        };
        tasks.push(json!({
            "id": id, "status": status, "message": message, "outputs": outputs, "billing": billing, "external_id": "",
        }));
    }
    fine(&json!(tasks))
}

/// What they say of content that they refuse.
const RISK: &str = "Failure to pass the risk control system";

/// `GET /kling/v1/{videos|images}/{kind}/{id}`.
async fn old_look(
    State(sandbox): State<Sandbox>,
    Path((what, _, id)): Path<(String, String, String)>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    if !has_key(&headers) {
        return NO_KEY.answer();
    }
    let Some(job) = Job::decode(&id) else {
        return NO_TASK.answer();
    };
    let task = |status: &str, words: &str, result: Value| {
        fine(&json!({
            "task_id": id, "task_status": status, "task_status_msg": words, "task_result": result, "task_info": {},
            "final_unit_deduction": if status == "succeed" { units(&job) } else { String::new() },
            "created_at": millis(job.start), "updated_at": millis(now_micros()),
        }))
    };
    match work::standing(&job) {
        Standing::Unknown => NO_TASK.answer(),
        Standing::Malformed => answer::malformed(),
        Standing::Waiting => task("submitted", "", json!({})),
        Standing::Working => task("processing", "", json!({})),
        Standing::Failed => task("failed", "the directive asked for a failure", json!({})),
        Standing::Moderated => task("failed", RISK, json!({})),
        Standing::Done => {
            let links = work::links(&sandbox, PROVIDER, &job, (&headers, &uri));
            let made = |(index, url)| json!({ "index": index, "id": "1", "url": url });
            let made: Vec<Value> = links.into_iter().enumerate().map(made).collect();
            task("succeed", "", json!({ (what): made }))
        }
    }
}

/// What a task costs in their units, as far as its id tells: as if it were silent, and of 1080 lines at most.
fn units(job: &Job) -> String {
    let lines = match job.made.width.min(job.made.height) {
        0..=720 => "720p",
        _ => "1080p",
    };
    let price = match job.made.seconds {
        0 => PICTURE * i64::from(job.made.count),
        seconds => price(lines, "off", seconds),
    };
    let tenths = work::billed(job.outcome, price) * 10 / UNIT;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Whether what is shown was made of two keys: three parts with points between.
fn is_token(headers: &HeaderMap) -> bool {
    let key = headers.get(header::AUTHORIZATION);
    let key = key.and_then(|key| key.to_str().ok());
    key.is_some_and(|key| key.split('.').count() == 3)
}

fn refused(why: Refused) -> Response {
    match why {
        Refused::Input(words) => wrong(&words),
        Refused::TooFast => TOO_FAST.answer(),
        Refused::NoRoom => NO_ROOM.answer(),
        Refused::NoFunds => NO_FUNDS.answer(),
        Refused::NoKey => NO_KEY.answer(),
        Refused::Broken => BROKEN.answer(),
    }
}

fn fine(data: &Value) -> Response {
    let body = json!({ "code": 0, "message": "SUCCEED", "request_id": "sandbox", "data": data });
    answer::json(StatusCode::OK, &body)
}

fn wrong(words: &str) -> Response {
    let body = json!({ "code": WRONG, "message": words, "request_id": "sandbox" });
    answer::json(StatusCode::BAD_REQUEST, &body)
}

/// They count time in milliseconds.
fn millis(at: i64) -> i64 {
    at / micros(std::time::Duration::from_millis(1))
}

// === impl Problem ===

impl Problem {
    fn answer(self) -> Response {
        let body = json!({ "code": self.1, "message": self.2, "request_id": "sandbox" });
        answer::json(self.0, &body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_an_address_or_bare() {
        let new = |url: &str| {
            let frame = json!({ "type": "first_frame", "url": url });
            let words = json!({ "type": "prompt", "text": "a fox" });
            let sent = json!({ "contents": [words, frame] });
            new_of_contents(sent.as_object().unwrap()).map(drop)
        };
        let old = |url: &str| {
            let sent = json!({ "image": url });
            old_film_of_picture(sent.as_object().unwrap()).map(drop)
        };
        for url in ["https://a.example/1", "QUJD"] {
            assert_eq!((new(url), old(url)), (Ok(()), Ok(())));
        }
        let inline = "data:image/png;base64,QUJD";
        assert_eq!(new(inline), Err("contents are wrong".to_owned()));
        assert_eq!(old(inline), Err("image is wrong".to_owned()));
    }

    #[test]
    fn a_film_of_a_picture_begins_with_one() {
        let words = json!({ "type": "prompt", "text": "a fox" });
        let frame = json!({ "type": "first_frame", "url": "https://a.example/1" });
        let last = json!({ "type": "last_frame", "url": "https://a.example/1" });
        for contents in [json!([words]), json!([frame, frame]), json!([frame, last])] {
            let sent = json!({ "contents": contents });
            assert!(new_of_contents(sent.as_object().unwrap()).is_err());
        }
    }
}
