//! PiAPI's tasks, as far as pictures are changed by them: create one, look how it stands. What a task's state is called, it writes in large and
//! in small letters.

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    response::Response,
    routing::{get, post},
};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use serde_json::{Map, Value, json};

use crate::{
    Sandbox, answer,
    job::Job,
    made::{Kind, Made},
    work::{
        self, Asked, Refused, Standing, Submit,
        fields::{self, Field, Is},
    },
};

/// On the bill and in links.
const PROVIDER: &str = "piapi";
/// Where its key is shown.
const KEY: &str = "x-api-key";
const MODEL: &str = "Qubico/image-toolkit";
/// The sides of what is made.
const SIDE: u16 = 1_024;

/// One thing that it does.
struct Kit {
    name: &'static str,
    needs: &'static [&'static str],
    fields: &'static [Field],
    makes: Kind,
    /// Micro-US-dollars.
    price: i64,
}

const KITS: [Kit; 4] = [
    Kit {
        name: "face-swap",
        needs: &["target_image", "swap_image"],
        fields: &[TARGET, FACE],
        makes: Kind::Png,
        price: 10_000,
    },
    Kit {
        name: "multi-face-swap",
        needs: &[
            "target_image",
            "swap_image",
            "swap_faces_index",
            "target_faces_index",
        ],
        fields: &[
            TARGET,
            FACE,
            ("swap_faces_index", Is::Text(64)),
            ("target_faces_index", Is::Text(64)),
        ],
        makes: Kind::Png,
        price: 20_000,
    },
    Kit {
        name: "background-remove",
        needs: &["image"],
        fields: &[
            IMAGE,
            ("rmbg_model", Is::OneOf(&["RMBG-1.4", "RMBG-2.0", "BEN2"])),
        ],
        makes: Kind::CutOut,
        price: 4_000,
    },
    Kit {
        name: "upscale",
        needs: &["image"],
        fields: &[
            IMAGE,
            ("scale", Is::Whole(2, 10)),
            ("face_enhance", Is::Switch),
        ],
        makes: Kind::Png,
        price: 5_000,
    },
];
const TARGET: Field = ("target_image", Is::Text(usize::MAX));
const FACE: Field = ("swap_image", Is::Text(usize::MAX));
const IMAGE: Field = ("image", Is::Text(usize::MAX));
const FIELDS: &[Field] = &[
    ("model", Is::OneOf(&[MODEL])),
    ("task_type", Is::Text(64)),
    ("input", Is::Object),
    ("config", Is::Object),
];

/// Its routes.
pub(crate) fn router() -> Router<Sandbox> {
    Router::new()
        .route("/piapi/api/v1/task", post(create))
        .route("/piapi/api/v1/task/{id}", get(look))
}

async fn create(State(sandbox): State<Sandbox>, headers: HeaderMap, body: Bytes) -> Response {
    if !has_key(&headers) {
        return refused(Refused::NoKey);
    }
    let sent: Value = serde_json::from_slice(&body).unwrap_or_default();
    let submit = Submit {
        provider: PROVIDER,
        model: work::text(&sent, "task_type").unwrap_or_default(),
        body: &body,
    };
    let told = |id: &str| json!({ "timestamp": 0, "data": task(id, "completed") });
    match work::take(&sandbox, submit, read, told).await {
        Ok((id, job)) => fine(&job.with_word(task(&id, "pending"))),
        Err(why) => refused(why),
    }
}

fn read(sent: &Map<String, Value>) -> Result<Asked, String> {
    fields::check(sent, &["model", "task_type", "input"], FIELDS)?;
    let kind = sent.get("task_type").and_then(Value::as_str);
    let kit = KITS.iter().find(|kit| Some(kit.name) == kind);
    let kit = kit.ok_or_else(|| "invalid task type".to_owned())?;
    let none = Map::new();
    let input = sent.get("input").and_then(Value::as_object);
    let input = input.unwrap_or(&none);
    fields::check(input, kit.needs, kit.fields)?;
    let factor = work::seconds(input.get("scale"), 1);
    let side = SIDE.saturating_mul(factor);
    let hook = sent
        .get("config")
        .and_then(|config| config.get("webhook_config"));
    let hook = hook.and_then(|hook| work::text(hook, "endpoint"));
    Ok(Asked {
        made: Made {
            kind: kit.makes,
            ..work::pictures((side, side), 1)
        },
        price: kit.price,
        callback: hook.map(str::to_owned),
    })
}

async fn look(
    State(sandbox): State<Sandbox>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    if !has_key(&headers) {
        return refused(Refused::NoKey);
    }
    let Some(job) = Job::decode(&id) else {
        return unknown();
    };
    let failed = |words: &str| {
        let error =
            json!({ "code": 10_000, "raw_message": words, "message": words, "detail": null });
        answer::with(task(&id, "Failed"), "error", error)
    };
    match work::standing(&job) {
        Standing::Unknown => unknown(),
        Standing::Malformed => answer::malformed(),
        Standing::Waiting => fine(&task(&id, "Staged")),
        Standing::Working => fine(&task(&id, "processing")),
        Standing::Failed => {
            // Of the answer they may say so as well.
            let (words, code) = ("failed to run the task", 10_000);
            let body = json!({ "code": code, "message": words, "data": failed(words) });
            answer::json(StatusCode::INTERNAL_SERVER_ERROR, &body)
        }
        Standing::Moderated => fine(&failed("the image was flagged by content moderation")),
        Standing::Done => {
            let links = work::links(&sandbox, PROVIDER, &job, (&headers, &uri));
            let output = json!({ "image_url": links.first() });
            fine(&answer::with(task(&id, "Completed"), "output", output))
        }
    }
}

/// A task in any state. Its input is not in the id, so it cannot come back.
fn task(id: &str, status: &str) -> Value {
    json!({
        "task_id": id, "model": MODEL, "task_type": "", "status": status, "input": {}, "output": {}, "config": {},
        "detail": null, "logs": [],
        "meta": { "is_using_private_pool": false, "usage": { "type": "point", "frozen": 0, "consume": 0 } },
        "error": { "code": 0, "raw_message": "", "message": "", "detail": null },
    })
}

fn has_key(headers: &HeaderMap) -> bool {
    !headers.get(KEY).is_none_or(HeaderValue::is_empty)
}

fn fine(task: &Value) -> Response {
    let body = json!({ "code": 200, "message": "success", "data": task });
    answer::json(StatusCode::OK, &body)
}

fn unknown() -> Response {
    refuse(StatusCode::NOT_FOUND, "task not found")
}

fn refused(why: Refused) -> Response {
    match why {
        Refused::Input(words) => refuse(StatusCode::BAD_REQUEST, &words),
        Refused::TooFast => refuse(StatusCode::TOO_MANY_REQUESTS, "too many requests"),
        Refused::NoRoom => refuse(StatusCode::SERVICE_UNAVAILABLE, "no worker is free"),
        Refused::NoFunds => refuse(StatusCode::PAYMENT_REQUIRED, "insufficient credits"),
        Refused::NoKey => refuse(StatusCode::UNAUTHORIZED, "invalid api key"),
        Refused::Broken => refuse(StatusCode::INTERNAL_SERVER_ERROR, "the sandbox failed"),
    }
}

fn refuse(status: StatusCode, words: &str) -> Response {
    let body = json!({ "code": status.as_u16(), "message": words, "data": null });
    answer::json(status, &body)
}
