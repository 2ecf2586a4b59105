//! Bria's second API: a picture or a film without its background, or larger; looked at by its status, which is answered with 200 whatever it says.
//!
//! What an input is, it is taken to be: nothing is fetched that is not of the installation itself.

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    response::Response,
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Map, Value, json};

use crate::{
    Sandbox, answer,
    job::{self, Job},
    made::{Kind, Made},
    signer::Signature,
    work::{
        self, Asked, Read, Refused, Standing, Submit,
        fields::{self, Field, Is},
    },
};

const PROVIDER: &str = "bria";
const KEY: &str = "api_token";
/// Micro-US-dollars for a picture without its background, for a larger one, and for a second of a film.
const CUT_OUT: i64 = 18_000;
const LARGER: i64 = 40_000;
const SECOND: i64 = 140_000;
/// The side of the picture that it is taken to be given, and of the film.
const GIVEN: u16 = 1_024;
const FILM: (u16, u16) = (1_280, 720);
/// The longest film, and how long one is that does not say.
const LONGEST: u16 = 60;
const USUAL: u16 = 4;
/// The longest address, or picture in base64.
const INPUT: usize = 20_000_000;
const COLOURS: &[&str] = &[
    "Transparent",
    "Black",
    "White",
    "Gray",
    "Red",
    "Green",
    "Blue",
    "Yellow",
    "Cyan",
    "Magenta",
    "Orange",
];
const CODECS: &[&str] = &[
    "mp4_h264",
    "mp4_h265",
    "webm_vp9",
    "mov_h265",
    "mov_proresks",
];
/// Those that can be seen through.
const CLEAR: [&str; 2] = ["webm_vp9", "mov_proresks"];
const PICTURES: &[Field] = &[
    ("image", Is::Text(INPUT)),
    ("preserve_alpha", Is::Switch),
    ("sync", Is::Switch),
    ("webhook_url", Is::Text(2_048)),
    ("visual_input_content_moderation", Is::Switch),
    ("visual_output_content_moderation", Is::Switch),
];
const FILMS: &[Field] = &[
    ("video", Is::Text(2_048)),
    ("output_container_and_codec", Is::OneOf(CODECS)),
    ("preserve_audio", Is::Switch),
    ("webhook_url", Is::Text(2_048)),
];
const BACKGROUND: &[Field] = &[
    ("background_color", Is::OneOf(COLOURS)),
    ("auto_zoom", Is::Switch),
];
const FACTOR: &[Field] = &[("desired_increase", Is::Whole(2, 4))];

/// Its routes.
pub(crate) fn router() -> Router<Sandbox> {
    Router::new()
        .route("/bria/v2/{kind}/edit/{what}", post(submit))
        .route("/bria/v2/status/{id}", get(look))
}

async fn submit(
    State(sandbox): State<Sandbox>,
    Path((kind, what)): Path<(String, String)>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Response {
    let Some(key) = key(&headers) else {
        return refused(Refused::NoKey);
    };
    let read: Read = match (&*kind, &*what) {
        ("image", "remove_background") => cut_out,
        ("image", "increase_resolution") => larger_picture,
        ("video", "remove_background") => film_without_background,
        ("video", "increase_resolution") => larger_film,
        _ => return problem(StatusCode::NOT_FOUND, "there is nothing here"),
    };
    let submit = Submit {
        provider: PROVIDER,
        model: &format!("{kind}/{what}"),
        body: &body,
    };
    let told = |id: &str| json!({ "request_id": id, "status": "COMPLETED" });
    let signature = Signature::for_bria(key);
    match work::take_signed(&sandbox, submit, read, told, signature).await {
        Ok((id, _)) => {
            let origin = answer::origin(&headers, &uri).unwrap_or_default();
            let place = format!("{origin}/bria/v2/status/{id}");
            let body = json!({ "request_id": id, "status_url": place });
            answer::json(StatusCode::ACCEPTED, &body)
        }
        Err(why) => refused(why),
    }
}

fn cut_out(sent: &Map<String, Value>) -> Result<Asked, String> {
    picture(sent, &[], (Kind::CutOut, CUT_OUT))
}

fn larger_picture(sent: &Map<String, Value>) -> Result<Asked, String> {
    picture(sent, FACTOR, (Kind::Png, LARGER))
}

fn picture(
    sent: &Map<String, Value>,
    more: &[Field],
    (kind, price): (Kind, i64),
) -> Result<Asked, String> {
    fields::check(sent, &["image"], &[PICTURES, more].concat())?;
    let image = text(sent, "image").unwrap_or_default();
    if !is_address(image) && STANDARD.decode(image).is_err() {
        return Err("image must be a URL, or a picture in base64".to_owned());
    }
    let side = GIVEN.saturating_mul(factor(sent)?);
    Ok(Asked {
        made: Made {
            kind,
            ..work::pictures((side, side), 1)
        },
        price,
        callback: text(sent, "webhook_url").map(str::to_owned),
    })
}

fn film_without_background(sent: &Map<String, Value>) -> Result<Asked, String> {
    film(sent, BACKGROUND)
}

fn larger_film(sent: &Map<String, Value>) -> Result<Asked, String> {
    film(sent, FACTOR)
}

fn film(sent: &Map<String, Value>, more: &[Field]) -> Result<Asked, String> {
    fields::check(sent, &["video"], &[FILMS, more].concat())?;
    if !text(sent, "video").is_some_and(is_address) {
        return Err("video must be a URL".to_owned());
    }
    let seconds = job::length_of(sent.get("video")).unwrap_or(USUAL);
    if seconds > LONGEST {
        return Err(format!("video must last {LONGEST} seconds at most"));
    }
    let codec = text(sent, "output_container_and_codec").unwrap_or("mp4_h264");
    let (is_clear, factor) = (
        text(sent, "background_color") == Some("Transparent"),
        factor(sent)?,
    );
    if is_clear && !CLEAR.contains(&codec) {
        return Err(format!("{codec} has no alpha channel"));
    }
    let kind = match (codec, is_clear) {
        ("webm_vp9", true) => Kind::ClearWebm,
        ("webm_vp9", false) => Kind::Webm,
        ("mov_proresks", true) => Kind::ClearMov,
        ("mov_proresks" | "mov_h265", _) => Kind::Mov,
        _ => Kind::Mp4,
    };
    let (width, height) = FILM;
    let made = Made {
        kind,
        count: 1,
        width: width.saturating_mul(factor),
        height: height.saturating_mul(factor),
        seconds,
    };
    Ok(Asked {
        made: made.fitted(),
        price: SECOND * i64::from(seconds),
        callback: text(sent, "webhook_url").map(str::to_owned),
    })
}

/// How many times larger: 2 or 4, where that is asked for.
fn factor(sent: &Map<String, Value>) -> Result<u16, String> {
    match sent.get("desired_increase").and_then(Value::as_u64) {
        None => Ok(1),
        Some(2) => Ok(2),
        Some(4) => Ok(4),
        Some(_) => Err("desired_increase must be 2 or 4".to_owned()),
    }
}

fn text<'v>(sent: &'v Map<String, Value>, name: &str) -> Option<&'v str> {
    sent.get(name)?.as_str()
}

fn is_address(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

async fn look(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    if key(&headers).is_none() {
        return refused(Refused::NoKey);
    }
    let job = Job::decode(&id);
    let standing = job.as_ref().map_or(Standing::Unknown, work::standing);
    let told = |status: &str, more: (&str, Value)| {
        let body = json!({ "request_id": id, "status": status });
        answer::json(StatusCode::OK, &answer::with(body, more.0, more.1))
    };
    let ended = |code: u16, words: &str| {
        let error = json!({ "code": code, "message": words, "details": "" });
        told("ERROR", ("error", error))
    };
    match (standing, &job) {
        (Standing::Unknown, _) | (_, None) => {
            problem(StatusCode::NOT_FOUND, "there is no such request")
        }
        (Standing::Malformed, _) => answer::malformed(),
        (Standing::Waiting | Standing::Working, _) => told("IN_PROGRESS", ("result", Value::Null)),
        (Standing::Failed, _) => ended(500, "the work failed"),
        (Standing::Moderated, _) => ended(422, "the content moderation flagged it"),
        (Standing::Done, Some(job)) => {
            let links = work::links(&sandbox, PROVIDER, job, (&headers, &uri));
            let name = match job.made.kind.billed_as() {
                "video" => "video_url",
                _ => "image_url",
            };
            let made: Map<String, Value> = links
                .into_iter()
                .map(|link| (name.to_owned(), json!(link)))
                .collect();
            told("COMPLETED", ("result", Value::Object(made)))
        }
    }
}

/// The key that is shown; any is right.
fn key(headers: &HeaderMap) -> Option<&str> {
    let key = headers.get(KEY).and_then(|key| key.to_str().ok());
    key.filter(|key| !key.is_empty())
}

fn refused(why: Refused) -> Response {
    let (status, words) = match &why {
        Refused::Input(words) => (422, words.as_str()),
        Refused::TooFast => (429, "slow down"),
        Refused::NoRoom => (506, "there is no room for more"),
        Refused::NoFunds => (403, "your plan has no more calls"),
        Refused::NoKey => (401, "there is no key"),
        Refused::Broken => (500, "the sandbox failed"),
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    problem(status, words)
}

fn problem(status: StatusCode, words: &str) -> Response {
    let error = json!({ "code": status.as_u16(), "message": words, "details": "" });
    answer::json(status, &json!({ "error": error, "request_id": "sandbox" }))
}
