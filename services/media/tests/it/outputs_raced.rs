//! Two jobs of one task whose files come at about the same time: what the task has ended with stays what it is.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::Method,
    response::{IntoResponse as _, Response},
    routing::any,
};
use db::Engine;
use domain::Catalogue;
use serde_json::json;
use testkit::Bucket;
use tokio::sync::Notify;

use crate::{
    fakes::{FILM, PNG},
    house::{House, eventually},
    life,
    operator::force,
};

/// A provider, by fal's wire, whose jobs are done at once: the first makes a picture, which comes when it is told to, the others films.
#[derive(Clone, Default)]
struct Provider {
    origin: String,
    submits: Arc<AtomicUsize>,
    fetched: Arc<AtomicUsize>,
    word: Arc<Notify>,
}

impl Provider {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Self {
            origin: format!("http://{}", listener.local_addr().unwrap()),
            ..Self::default()
        };
        let router = Router::new()
            .route("/{*path}", any(answer))
            .with_state(provider.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "a test's server ends with the test"
        )]
        tokio::spawn(async move { axum::serve(listener, router).await });
        provider
    }
}

async fn answer(
    State(provider): State<Provider>,
    Path(path): Path<String>,
    request: Request,
) -> Response {
    if let Some((_, job)) = path.split_once("/requests/") {
        let file = format!("{}/file/{job}", provider.origin);
        return match job.split_once('/') {
            Some(_) => Json(json!({ "status": "COMPLETED" })).into_response(),
            None => Json(json!({ "images": [{ "url": file }] })).into_response(),
        };
    }
    if *request.method() == Method::POST {
        let job = provider.submits.fetch_add(1, Ordering::SeqCst) + 1;
        return Json(json!({ "request_id": job.to_string() })).into_response();
    }
    provider.fetched.fetch_add(1, Ordering::SeqCst);
    if path == "file/1" {
        provider.word.notified().await;
        PNG.into_response()
    } else {
        FILM.into_response()
    }
}

/// A model that this provider alone serves.
fn catalogue() -> Arc<Catalogue> {
    let text = include_str!("../../../../crates/domain/catalogue/flux-2.toml");
    let (ours, _) = text.split_once("[[providers]]").unwrap();
    let route = "[[providers]]\nadapter = \"fal\"\nprovider = \"fal\"\nmodel = \"a/b\"\n";
    let text = format!("{ours}{route}");
    Arc::new(Catalogue::parse(&[("flux-2.toml", &text)]).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_a_job_that_was_given_up_replaces_none() {
    let provider = Provider::start().await;
    let bucket = Bucket::start().await.unwrap();
    let house = House::new(Engine::Sqlite, vec![])
        .await
        .with_bucket(&bucket)
        .with_catalogue(catalogue());
    let origin = Some(provider.origin.clone());
    let first = house.start_with_sandbox(origin.clone()).await;
    let task = first.accepted().await;
    eventually("the first job's file is fetched", async || {
        provider.fetched.load(Ordering::SeqCst) == 1
    })
    .await;
    force(&first, task).await.unwrap();
    let view = first.reaches(task, "completed").await;
    assert_eq!(view["attempts"], 2);
    assert_eq!(life::read_with_head(&first, task, None).await.1, FILM);
    // The step that is at the first one's file goes on to its end.
    provider.word.notify_one();
    first.dies().await;
    let second = house.start_with_sandbox(origin).await.of(&first);
    assert_eq!(life::read_with_head(&second, task, None).await.1, FILM);
}
