//! MiniMax: a film is submitted, looked at, and found by its file; a song is there when the call ends.
//!
//! As the real one, it answers everything with HTTP 200: what counts is `base_resp`.

use axum::{
    Router,
    body::Bytes,
    extract::{Query, State},
    response::Response,
    routing::{get, post},
};
use http::{HeaderMap, StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    Sandbox, answer,
    at_once::{self, End},
    directive::Outcome,
    job::Job,
    kie::has_key,
    made::{Kind, Made, Sound},
    work::{
        self, Asked, Refused, Standing, Submit,
        fields::{self, Field, Is},
    },
};

/// What a look asks by.
#[derive(Debug, Deserialize)]
struct Ids {
    task_id: Option<String>,
    file_id: Option<String>,
}

/// A refusal: the code, and the words.
type Problem = (u32, &'static str);

const PROVIDER: &str = "minimax";
const NO_KEY: Problem = (1004, "login fail: Please carry the API secret key");
const TOO_FAST: Problem = (1002, "rate limit");
const NO_ROOM: Problem = (1041, "conn limit");
const NO_FUNDS: Problem = (1008, "insufficient balance");
const BROKEN: Problem = (1000, "the sandbox failed");
const SENSITIVE: Problem = (1027, "output new_sensitive");
const FAILED: Problem = (1024, "the directive asked for a failure");
const NO_TASK: Problem = (2013, "invalid params, task_id");
/// The code of what is wrong with a request.
const WRONG: u32 = 2013;
/// What the name of a file begins with.
const FILE: &str = "file-";
/// Micro-US-dollars: of a film by its lines and its seconds, and of a song.
const FILMS: [(&str, u16, i64); 3] = [
    ("768P", 6, 280_000),
    ("768P", 10, 560_000),
    ("1080P", 6, 490_000),
];
const SONG: i64 = 150_000;
/// How long a song is.
const SECONDS: u16 = 12;
/// Without the address that the real one calls back: it would ask that first.
const OF_FILMS: &[Field] = &[
    (
        "model",
        Is::OneOf(&["MiniMax-Hailuo-2.3", "MiniMax-Hailuo-02"]),
    ),
    ("prompt", Is::Text(2_000)),
    ("first_frame_image", Is::Text(usize::MAX)),
    ("prompt_optimizer", Is::Switch),
    ("duration", Is::Whole(6, 10)),
    ("resolution", Is::OneOf(&["768P", "1080P"])),
];
const OF_SONGS: &[Field] = &[
    ("model", Is::OneOf(&["music-2.5"])),
    ("prompt", Is::Text(2_000)),
    ("lyrics", Is::Text(3_500)),
    ("lyrics_optimizer", Is::Switch),
    ("audio_setting", Is::Object),
    ("output_format", Is::OneOf(&["url"])),
];
const SETTING: &[Field] = &[
    ("sample_rate", Is::Whole(16_000, 44_100)),
    ("bitrate", Is::Whole(32_000, 256_000)),
    ("format", Is::OneOf(&["mp3"])),
];

/// Its routes.
pub(crate) fn router() -> Router<Sandbox> {
    Router::new()
        .route("/minimax/v1/video_generation", post(submit))
        .route("/minimax/v1/query/video_generation", get(look))
        .route("/minimax/v1/files/retrieve", get(file))
        .route("/minimax/v1/music_generation", post(sing))
}

async fn submit(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    if !has_key(&headers) {
        return refused(Refused::NoKey);
    }
    let submit = Submit {
        provider: PROVIDER,
        model: "MiniMax-Hailuo-2.3",
        body: &body,
    };
    match work::take(&sandbox, submit, read, |_| Value::Null).await {
        Ok((id, _)) => fine(json!({ "task_id": id })),
        Err(why) => refused(why),
    }
}

fn read(sent: &Map<String, Value>) -> Result<Asked, String> {
    fields::check(sent, &["model", "prompt"], OF_FILMS)?;
    let word = |name: &str| sent.get(name).and_then(Value::as_str);
    let lines = word("resolution").unwrap_or("768P");
    let seconds = work::seconds(sent.get("duration"), 6);
    let row = FILMS.iter().find(|row| (row.0, row.1) == (lines, seconds));
    let (.., price) = row.ok_or_else(|| "invalid params, duration or resolution".to_owned())?;
    Ok(Asked {
        made: work::film(None, Some(lines), seconds),
        price: *price,
        callback: None,
    })
}

async fn look(Query(ids): Query<Ids>, headers: HeaderMap) -> Response {
    if !has_key(&headers) {
        return refused(Refused::NoKey);
    }
    let id = ids.task_id.unwrap_or_default();
    let Some(job) = Job::decode(&id) else {
        return problem(NO_TASK);
    };
    let task = |status: &str| json!({ "task_id": id, "status": status, "file_id": "" });
    match work::standing(&job) {
        Standing::Unknown => problem(NO_TASK),
        Standing::Malformed => answer::malformed(),
        Standing::Waiting => fine(task("Queueing")),
        Standing::Working => fine(task("Processing")),
        Standing::Failed => told(task("Fail"), FAILED.0, FAILED.1),
        Standing::Moderated => told(task("Fail"), SENSITIVE.0, SENSITIVE.1),
        Standing::Done => {
            let task = answer::with(task("Success"), "file_id", json!(file_of(&id)));
            let task = answer::with(task, "video_width", json!(job.made.width));
            fine(answer::with(task, "video_height", json!(job.made.height)))
        }
    }
}

/// `GET /minimax/v1/files/retrieve?file_id=`.
async fn file(
    State(sandbox): State<Sandbox>,
    Query(ids): Query<Ids>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    if !has_key(&headers) {
        return refused(Refused::NoKey);
    }
    let id = ids.file_id.unwrap_or_default();
    let job = id.strip_prefix(FILE).and_then(Job::decode);
    let Some(job) = job.filter(|job| work::standing(job) == Standing::Done) else {
        return told(json!({}), WRONG, "invalid params, file_id");
    };
    let links = work::links(&sandbox, PROVIDER, &job, (&headers, &uri));
    fine(json!({ "file": {
        "file_id": id, "bytes": 0, "filename": "output.mp4", "purpose": "video_generation", "download_url": links.first(),
    } }))
}

/// `POST /minimax/v1/music_generation`: a song, once it has taken its time.
async fn sing(
    State(sandbox): State<Sandbox>,
    headers: HeaderMap,
    uri: Uri,
    body: Bytes,
) -> Response {
    if !has_key(&headers) {
        return refused(Refused::NoKey);
    }
    let submit = Submit {
        provider: PROVIDER,
        model: "music-2.5",
        body: &body,
    };
    let (asked, input) = match submit.read(song) {
        Ok(read) => read,
        Err(why) => return refused(why),
    };
    let order = at_once::Order {
        provider: PROVIDER,
        model: submit.model,
        input: &input,
        made: asked.made,
        price: asked.price,
    };
    match at_once::call(&sandbox, order).await {
        End::Made(job, _) => {
            let links = work::links(&sandbox, PROVIDER, &job, (&headers, &uri));
            fine(json!({
                "data": { "status": 2, "audio": links.first() }, "trace_id": "sandbox",
                "extra_info": { "music_duration": u32::from(SECONDS) * 1_000, "music_channel": 2 },
            }))
        }
        End::Refused(outcome) => problem(without(outcome)),
        End::Broken(answer) => answer,
    }
}

/// Why there is no song.
fn without(outcome: Outcome) -> Problem {
    match outcome {
        Outcome::RateLimited => TOO_FAST,
        Outcome::Overloaded => NO_ROOM,
        Outcome::OutOfBalance => NO_FUNDS,
        Outcome::Moderated => SENSITIVE,
        Outcome::Fail
        | Outcome::Success
        | Outcome::Hang
        | Outcome::Malformed
        | Outcome::Vanish
        | Outcome::DuplicateCallback
        | Outcome::LateCallback
        | Outcome::Overreport
        | Outcome::Cut => FAILED,
    }
}

fn song(sent: &Map<String, Value>) -> Result<Asked, String> {
    fields::check(sent, &["model", "prompt", "output_format"], OF_SONGS)?;
    let has = |name: &str| sent.contains_key(name);
    // Each without the other.
    if has("lyrics") == has("lyrics_optimizer") {
        return Err("invalid params, lyrics".to_owned());
    }
    let setting = sent.get("audio_setting").and_then(Value::as_object);
    let none = Map::new();
    fields::check(setting.unwrap_or(&none), &[], SETTING)?;
    Ok(Asked {
        made: Made {
            kind: Kind::Sound(Sound::Mp3),
            count: 1,
            width: 0,
            height: 0,
            seconds: SECONDS,
        },
        price: SONG,
        callback: None,
    })
}

fn file_of(id: &str) -> String {
    format!("{FILE}{id}")
}

fn refused(why: Refused) -> Response {
    match why {
        Refused::Input(words) => told(json!({}), WRONG, &words),
        Refused::TooFast => problem(TOO_FAST),
        Refused::NoRoom => problem(NO_ROOM),
        Refused::NoFunds => problem(NO_FUNDS),
        Refused::NoKey => problem(NO_KEY),
        Refused::Broken => problem(BROKEN),
    }
}

fn problem((code, words): Problem) -> Response {
    told(json!({}), code, words)
}

fn fine(body: Value) -> Response {
    told(body, 0, "success")
}

fn told(body: Value, code: u32, words: &str) -> Response {
    let base = json!({ "status_code": code, "status_msg": words });
    answer::json(StatusCode::OK, &answer::with(body, "base_resp", base))
}
