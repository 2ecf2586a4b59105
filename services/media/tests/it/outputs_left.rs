//! What is left of the files of a task that makes several: when it ends without them, and when a process dies between two.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::any,
};
use db::Engine;
use domain::{Catalogue, TaskId};
use proto::code;
use serde_json::json;
use testkit::Bucket;

use crate::{
    database::on_both_engines,
    fakes::PNG,
    house::{House, Running, eventually},
};

on_both_engines! {
    nothing_is_left_of_a_task_that_failed_between_two_files,
    no_file_is_waited_for_beyond_the_deadline,
    a_task_keeps_as_much_as_one_may_and_no_more,
    a_task_whose_process_died_between_two_files_has_both,
    a_task_whose_process_died_between_two_files_has_both_in_a_bucket,
}

/// What becomes of the second file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Second {
    Fails,
    Hangs,
    Comes,
}

/// A provider that makes two files at once, by fal's wire.
#[derive(Clone)]
struct Provider {
    origin: String,
    second: Arc<Mutex<Second>>,
}

impl Provider {
    async fn start(second: Second) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let provider = Self {
            origin: format!("http://{}", listener.local_addr().unwrap()),
            second: Arc::new(Mutex::new(second)),
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

    fn set(&self, second: Second) {
        *self.second.lock().unwrap() = second;
    }
}

async fn answer(State(provider): State<Provider>, Path(path): Path<String>) -> Response {
    let file = |name: &str| json!({ "url": format!("{}/{name}", provider.origin) });
    if path.ends_with("/status") {
        return Json(json!({ "status": "COMPLETED" })).into_response();
    }
    if path.ends_with("/requests/1") {
        return Json(json!({ "images": [file("first"), file("second")] })).into_response();
    }
    if path.starts_with("fal/") {
        return Json(json!({ "request_id": "1" })).into_response();
    }
    let second = *provider.second.lock().unwrap();
    match second {
        Second::Fails if path == "second" => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Second::Hangs if path == "second" => std::future::pending().await,
        Second::Fails | Second::Hangs | Second::Comes => PNG.into_response(),
    }
}

/// A model that this provider alone serves.
fn catalogue(deadline: u32) -> Arc<Catalogue> {
    let text = include_str!("../../../../crates/domain/catalogue/flux-2.toml");
    let (ours, _) = text.split_once("[[providers]]").unwrap();
    let deadline = format!("deadline_seconds = {deadline}");
    let ours = ours.replace("deadline_seconds = 300", &deadline);
    let route = "[[providers]]\nadapter = \"fal\"\nprovider = \"fal\"\nmodel = \"a/b\"\n";
    let text = format!("{ours}{route}");
    Arc::new(Catalogue::parse(&[("flux-2.toml", &text)]).unwrap())
}

/// Names of what lies on the disk of a task.
fn on_disk(house: &House, task: TaskId) -> Vec<String> {
    let folder = house.database.directory().join("outputs");
    let Ok(entries) = std::fs::read_dir(folder.join(task.to_string())) else {
        return Vec::new();
    };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

async fn coming(running: &Running) -> i64 {
    let count = sqlx::query_scalar("select count(*) from output_coming");
    count.fetch_one(running.db.reader()).await.unwrap()
}

async fn nothing_is_left_of_a_task_that_failed_between_two_files(engine: Engine) {
    let provider = Provider::start(Second::Fails).await;
    let house = House::new(engine, vec![])
        .await
        .with_catalogue(catalogue(2));
    let running = house
        .start_with_sandbox(Some(provider.origin.clone()))
        .await;
    let task = running.accepted().await;
    eventually("the first is kept", async || {
        on_disk(&house, task) == ["0"] && coming(&running).await == 2
    })
    .await;
    let view = running.reaches(task, "failed").await;
    assert_eq!(view["error"]["code"], code::DEADLINE_EXCEEDED.word);
    eventually("nothing is left", async || {
        on_disk(&house, task).is_empty() && coming(&running).await == 0
    })
    .await;
}

async fn no_file_is_waited_for_beyond_the_deadline(engine: Engine) {
    let provider = Provider::start(Second::Hangs).await;
    let house = House::new(engine, vec![])
        .await
        .with_other(
            "allow = '127.0.0.1/32'",
            "allow = '127.0.0.1/32'\nidle_timeout = '10m'",
        )
        .with_catalogue(catalogue(2));
    let running = house
        .start_with_sandbox(Some(provider.origin.clone()))
        .await;
    let task = running.accepted().await;
    let view = running.reaches(task, "failed").await;
    assert_eq!(view["error"]["code"], code::DEADLINE_EXCEEDED.word);
    eventually("nothing is left", async || {
        on_disk(&house, task).is_empty() && coming(&running).await == 0
    })
    .await;
}

async fn a_task_keeps_as_much_as_one_may_and_no_more(engine: Engine) {
    let provider = Provider::start(Second::Comes).await;
    let origin = Some(provider.origin.clone());
    let (one, two) = (PNG.len(), 2 * PNG.len());
    for (bounds, status) in [
        (
            format!("max_bytes = {one}\nmax_bytes_per_task = {two}"),
            "completed",
        ),
        (
            format!("max_bytes = {one}\nmax_bytes_per_task = {}", two - 1),
            "failed",
        ),
        ("max_files_per_task = 2".to_owned(), "completed"),
        ("max_files_per_task = 1".to_owned(), "failed"),
    ] {
        let house = House::new(engine, vec![])
            .await
            .with_outputs(&bounds)
            .with_catalogue(catalogue(300));
        let running = house.start_with_sandbox(origin.clone()).await;
        let task = running.accepted().await;
        let view = running.reaches(task, status).await;
        let kept = if status == "completed" { 2 } else { 0 };
        assert_eq!(view["output"].as_array().unwrap().len(), kept, "{bounds}");
        if status == "failed" {
            assert_eq!(view["error"]["code"], code::UPSTREAM_FAILED.word);
        }
        eventually("no more is on the disk", async || {
            on_disk(&house, task).len() == kept
        })
        .await;
    }
}

async fn a_task_whose_process_died_between_two_files_has_both(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let task = dies_between_two_files(house.clone()).await;
    assert_eq!(on_disk(&house, task), ["0", "1"]);
}

async fn a_task_whose_process_died_between_two_files_has_both_in_a_bucket(engine: Engine) {
    let bucket = Bucket::start().await.unwrap();
    let house = House::new(engine, vec![]).await.with_bucket(&bucket);
    let task = dies_between_two_files(house.clone()).await;
    assert_eq!(
        bucket.objects().unwrap(),
        [format!("{task}/0"), format!("{task}/1")]
    );
    assert_eq!(bucket.unfinished().unwrap(), Vec::<String>::new());
    assert_eq!(on_disk(&house, task), Vec::<String>::new());
}

async fn dies_between_two_files(house: House) -> TaskId {
    let provider = Provider::start(Second::Hangs).await;
    let house = house.with_catalogue(catalogue(300));
    let origin = Some(provider.origin.clone());
    let mut apart = house.start_apart_with_sandbox(origin.clone()).await;
    let task = apart.running.accepted().await;
    let before = apart.running.clone();
    eventually("the first is kept, and the second expected", async || {
        coming(&before).await == 2
    })
    .await;
    apart.kill();
    provider.set(Second::Comes);
    let running = house.start_with_sandbox(origin).await.of(&before);
    let view = running.reaches(task, "completed").await;
    assert_eq!(view["output"].as_array().unwrap().len(), 2);
    assert_eq!(coming(&running).await, 0);
    task
}
