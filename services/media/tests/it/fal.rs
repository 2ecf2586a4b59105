//! A provider that speaks the wire of fal's queue, and does at every moment what a test wants.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Instant,
};

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
};
use domain::Catalogue;
use serde_json::json;
use tokio::sync::Notify;

use crate::{fakes::PNG, house::House};

/// What it answers to a cancel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cancel {
    /// That it was asked to.
    #[default]
    Asked,
    /// That, and every job ends as cancelled.
    Stops,
    /// That, and this job alone ends as cancelled.
    StopsThis,
    /// That the job is done.
    TooLate,
    /// Nothing that can be understood; the job goes on.
    Lost,
    /// Nothing that can be understood; the job ends as cancelled.
    LostAndStops,
    /// Nothing at all.
    Silent,
}

/// How its jobs stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Jobs {
    /// So many are before each.
    #[default]
    Wait,
    Done,
    Stopped,
    /// It knows of none.
    Unknown,
    /// It is away.
    Away,
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
    /// The next submit is answered when told to.
    held: Option<Arc<Notify>>,
    /// Jobs that were stopped alone.
    stopped: HashSet<String>,
    /// When it was asked for something else than to take a job.
    asked_at: Vec<Instant>,
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

    /// The next submit is answered when told to.
    pub(crate) fn hold_a_submit(&self, word: &Arc<Notify>) {
        self.0.lock().unwrap().held = Some(Arc::clone(word));
    }

    /// When it was asked how a job stands, or to stop one.
    pub(crate) fn asked_at(&self) -> Vec<Instant> {
        self.0.lock().unwrap().asked_at.clone()
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
    if path == "file.png" {
        return ([("content-type", "image/png")], PNG).into_response();
    }
    if *request.method() == Method::POST {
        let (job, held) = {
            let mut book = fal.0.lock().unwrap();
            book.submits += 1;
            (book.submits.to_string(), book.held.take())
        };
        if let Some(word) = held {
            word.notified().await;
        }
        return Json(json!({ "request_id": job })).into_response();
    }
    let (_, job) = path.split_once("/requests/").unwrap();
    let (job, what) = job.split_once('/').unwrap_or((job, ""));
    if *request.method() == Method::PUT {
        assert_eq!(what, "cancel", "{path}");
        let answer = fal.0.lock().unwrap().cancelled(job);
        return match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        };
    }
    let mut book = fal.0.lock().unwrap();
    book.asked_at.push(Instant::now());
    let jobs = if book.stopped.contains(job) {
        Jobs::Stopped
    } else {
        book.jobs
    };
    if what == "status" {
        status(jobs)
    } else {
        book.result(jobs)
    }
}

impl Book {
    fn cancelled(&mut self, job: &str) -> Option<Response> {
        self.cancels += 1;
        self.asked_at.push(Instant::now());
        if self.cancel == Cancel::StopsThis {
            self.stopped.insert(job.to_owned());
        }
        if matches!(self.cancel, Cancel::Stops | Cancel::LostAndStops) {
            self.jobs = Jobs::Stopped;
        }
        let told = |status, word: &str| (status, Json(json!({ "status": word }))).into_response();
        Some(match self.cancel {
            Cancel::Asked | Cancel::Stops | Cancel::StopsThis => {
                told(StatusCode::ACCEPTED, "CANCELLATION_REQUESTED")
            }
            Cancel::TooLate => told(StatusCode::BAD_REQUEST, "ALREADY_COMPLETED"),
            Cancel::Lost | Cancel::LostAndStops => {
                (StatusCode::BAD_GATEWAY, "oops").into_response()
            }
            Cancel::Silent => return None,
        })
    }

    fn result(&self, jobs: Jobs) -> Response {
        let (status, result) = match jobs {
            Jobs::Wait => (400, json!({ "detail": "Request is still in progress" })),
            Jobs::Done => {
                let url = format!("{}/file.png", self.origin);
                (200, json!({ "image": { "url": url } }))
            }
            Jobs::Stopped => (499, json!({ "detail": "cancelled" })),
            Jobs::Unknown | Jobs::Away => (404, json!({ "detail": "not found" })),
        };
        (StatusCode::from_u16(status).unwrap(), Json(result)).into_response()
    }
}

fn status(jobs: Jobs) -> Response {
    let status = match jobs {
        Jobs::Wait => json!({ "status": "IN_QUEUE", "queue_position": 3 }),
        Jobs::Done => json!({ "status": "COMPLETED" }),
        Jobs::Stopped => {
            json!({ "status": "COMPLETED", "error": "cancelled", "error_type": "client_cancelled" })
        }
        Jobs::Unknown => {
            let words = Json(json!({ "detail": "Not found" }));
            return (StatusCode::NOT_FOUND, words).into_response();
        }
        Jobs::Away => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
    };
    Json(status).into_response()
}
