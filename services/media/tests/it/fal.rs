//! A provider that speaks the wire of fal's queue, and does at every moment what a test wants.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use domain::Catalogue;
use serde_json::json;

use crate::{fakes::PNG, house::House};

/// What it answers to a cancel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cancel {
    /// That it was asked to.
    #[default]
    Asked,
    /// That, and the job ends as cancelled.
    Stops,
    /// That the job is done.
    TooLate,
    /// Nothing that can be understood; the job goes on.
    Lost,
    /// Nothing that can be understood; the job ends as cancelled.
    LostAndStops,
}

/// How its jobs stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Jobs {
    /// So many are before each.
    #[default]
    Wait,
    Done,
    Stopped,
}

/// The queue.
#[derive(Clone, Default)]
pub(crate) struct Fal(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    origin: String,
    cancel: Cancel,
    jobs: Jobs,
    submits: usize,
    cancels: usize,
}

impl Fal {
    pub(crate) async fn start() -> Self {
        let fal = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        fal.0.lock().unwrap().origin = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/{*path}", axum::routing::any(answer))
            .with_state(fal.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "a test's server ends with the test"
        )]
        tokio::spawn(async move { axum::serve(listener, router).await });
        fal
    }

    /// A house whose one model it serves, and then the house's own provider: for live keys.
    pub(crate) fn serving(&self, house: House, deadline: u32) -> House {
        let (fal, bfl) = (
            self.0.lock().unwrap().origin.clone(),
            house.provider.origin(),
        );
        let sections = format!(
            "[providers.fal]\napi_key = 'k'\nbase_url = '{fal}'\n[providers.bfl]\napi_key = 'k'\nbase_url = '{bfl}/bfl'"
        );
        house
            .with_sections(&sections)
            .with_catalogue(Arc::new(catalogue(deadline)))
    }

    pub(crate) fn answer_cancels(&self, cancel: Cancel) {
        self.0.lock().unwrap().cancel = cancel;
    }

    pub(crate) fn set_jobs(&self, jobs: Jobs) {
        self.0.lock().unwrap().jobs = jobs;
    }

    pub(crate) fn submits(&self) -> usize {
        self.0.lock().unwrap().submits
    }

    pub(crate) fn cancels(&self) -> usize {
        self.0.lock().unwrap().cancels
    }
}

/// flux-2, which fal serves first and its maker second, and which can be cancelled while it runs.
fn catalogue(deadline: u32) -> Catalogue {
    let text = include_str!("../../../../crates/domain/catalogue/flux-2.toml");
    let (ours, _) = text.split_once("[[providers]]").unwrap();
    let deadline = format!("deadline_seconds = {deadline}");
    let ours = ours.replace("deadline_seconds = 300", &deadline);
    let ours = ours.replace("cancel = \"queued\"", "cancel = \"running\"");
    let route = |name: &str, model: &str| {
        format!("[[providers]]\nadapter = \"{name}\"\nprovider = \"{name}\"\nmodel = \"{model}\"\n")
    };
    let text = format!(
        "{ours}{}{}",
        route("fal", "fal-ai/fox"),
        route("bfl", "flux-2-pro")
    );
    Catalogue::parse(&[("flux-2.toml", &text)]).unwrap()
}

async fn answer(State(fal): State<Fal>, Path(path): Path<String>, request: Request) -> Response {
    let mut book = fal.0.lock().unwrap();
    if path == "file.png" {
        return ([("content-type", "image/png")], PNG).into_response();
    }
    if *request.method() == Method::POST {
        book.submits += 1;
        return Json(json!({ "request_id": book.submits.to_string() })).into_response();
    }
    if *request.method() == Method::PUT {
        assert!(path.ends_with("/cancel"), "{path}");
        return book.cancelled();
    }
    if path.ends_with("/status") {
        book.status()
    } else {
        book.result()
    }
}

impl Book {
    fn cancelled(&mut self) -> Response {
        self.cancels += 1;
        if matches!(self.cancel, Cancel::Stops | Cancel::LostAndStops) {
            self.jobs = Jobs::Stopped;
        }
        let told = |status, word: &str| (status, Json(json!({ "status": word }))).into_response();
        match self.cancel {
            Cancel::Asked | Cancel::Stops => told(StatusCode::ACCEPTED, "CANCELLATION_REQUESTED"),
            Cancel::TooLate => told(StatusCode::BAD_REQUEST, "ALREADY_COMPLETED"),
            Cancel::Lost | Cancel::LostAndStops => {
                (StatusCode::BAD_GATEWAY, "oops").into_response()
            }
        }
    }

    fn status(&self) -> Response {
        let status = match self.jobs {
            Jobs::Wait => json!({ "status": "IN_QUEUE", "queue_position": 3 }),
            Jobs::Done => json!({ "status": "COMPLETED" }),
            Jobs::Stopped => {
                json!({ "status": "COMPLETED", "error": "cancelled", "error_type": "client_cancelled" })
            }
        };
        Json(status).into_response()
    }

    fn result(&self) -> Response {
        let (status, result) = match self.jobs {
            Jobs::Wait => (400, json!({ "detail": "Request is still in progress" })),
            Jobs::Done => {
                let url = format!("{}/file.png", self.origin);
                (200, json!({ "image": { "url": url } }))
            }
            Jobs::Stopped => (499, json!({ "detail": "cancelled" })),
        };
        (StatusCode::from_u16(status).unwrap(), Json(result)).into_response()
    }
}
