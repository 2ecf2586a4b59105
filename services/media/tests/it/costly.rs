//! Providers that cost more than the tool brings: asked where nobody else can serve anybody, and never because of what a customer sends.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, header::RETRY_AFTER},
    response::{IntoResponse as _, Response},
};
use domain::{Catalogue, TaskId};
use proto::code;
use serde_json::json;
use sqlx::Row as _;

use crate::{
    at_once::{answering, no_such_width, serve, too_fast},
    files::PNG,
    house::eventually,
    inputs::claims,
    natives::{NOBODY, section, submit},
    sandboxed::{Bill, Sandboxed},
};

const ROUTE: &str = "images/tools/remove-bg";
const FOX: &str = "https://example.com/fox.png";

/// Live keys for fal, which is there, and for Bria, at whom a picture costs nearly twice what it brings.
async fn before_bria(fal: &str) -> Sandboxed {
    let sections = |sandbox: &str| {
        let bria = section("bria", &format!("{sandbox}/bria/v2"));
        let fal = fal.replace("SANDBOX", sandbox);
        format!("{}{bria}", section("fal", &fal))
    };
    let catalogue = Arc::new(Catalogue::built_in().unwrap());
    Sandboxed::live(catalogue, sections).await
}

async fn asked(sandboxed: &Sandboxed, image: &str) -> TaskId {
    let body = json!({ "model": "bg-remover", "image": image });
    submit(&sandboxed.running, ROUTE, &body).await.unwrap()
}

#[tokio::test]
async fn where_the_others_are_away_it_is_asked_and_what_it_bills_is_known() {
    let sandboxed = before_bria(NOBODY).await;
    let task = asked(&sandboxed, FOX).await;
    let view = sandboxed.running.reaches(task, "completed").await;
    assert_eq!(view["attempts"], 2, "{view}");
    sandboxed.settles(task, &[1_000_000]).await;
    let once = Bill {
        jobs: 1,
        billed: 18_000,
    };
    assert_eq!(sandboxed.bill("bria").await, once);
    let run = sqlx::query("select cost from attempt where task_id = $1 and provider = 'bria'")
        .bind(task.to_vec())
        .fetch_one(sandboxed.running.db.reader())
        .await
        .unwrap();
    assert_eq!(run.get::<i64, _>(0), once.billed, "it does not say so");
}

#[tokio::test]
async fn what_another_finds_wrong_at_once_is_not_made_at_our_loss() {
    let (fal, _) = answering(no_such_width).await;
    let sandboxed = before_bria(&fal).await;
    let task = asked(&sandboxed, FOX).await;
    sandboxed.fails(task, code::UPSTREAM_REFUSED).await;
    assert_eq!(sandboxed.bill("bria").await, Bill::default());
}

#[tokio::test]
async fn what_another_has_failed_is_not_made_at_our_loss() {
    let sandboxed = before_bria("SANDBOX/fal").await;
    let task = asked(&sandboxed, &format!("{FOX}?[sandbox%20outcome=fail]")).await;
    let view = sandboxed.fails(task, code::UPSTREAM_FAILED).await;
    assert_eq!(view["attempts"], 1, "{view}");
    assert_eq!(sandboxed.bill("fal").await.jobs, 1);
    assert_eq!(sandboxed.bill("bria").await, Bill::default());
}

#[tokio::test]
async fn who_only_asks_for_patience_is_waited_for() {
    let (fal, _) = answering(too_fast).await;
    let sandboxed = before_bria(&fal).await;
    let task = asked(&sandboxed, FOX).await;
    eventually("it comes again", async || {
        claims(&sandboxed.running, task).await > 1
    })
    .await;
    assert_eq!(sandboxed.bill("bria").await, Bill::default());
}

/// Those that have been asked before.
type Seen = Arc<Mutex<HashSet<String>>>;

/// Wherever it is asked for the first time, it is busy.
async fn busy_at_first(State(seen): State<Seen>, request: Request) -> Response {
    let is_new = seen.lock().unwrap().insert(request.uri().to_string());
    if is_new {
        let body = json!({ "errors": [{ "title": "Unavailable" }] });
        let soon = [(RETRY_AFTER, "1")];
        return (StatusCode::SERVICE_UNAVAILABLE, soon, Json(body)).into_response();
    }
    PNG.to_vec().into_response()
}

#[tokio::test]
async fn however_many_are_busy_the_task_comes_again() {
    const MOST: usize = 2;
    let names: Vec<String> = (0..MOST + 5).map(|number| format!("p{number}")).collect();
    let seen = Seen::default();
    let router = Router::new()
        .fallback(busy_at_first)
        .with_state(Arc::clone(&seen));
    let there = serve(router).await;
    let row = |name: &String| {
        format!(
            "[[providers]]\nadapter = \"removebg\"\nprovider = \"{name}\"\nmodel = \"removebg\"\n\
             [providers.input]\nimage_url = \"$image\"\n"
        )
    };
    let text = include_str!("../../../../crates/domain/catalogue/image-upscale.toml");
    let (own, _) = text.split_once("[[providers]]").unwrap();
    let rows: String = names.iter().map(row).collect();
    let file = ("own.toml".to_owned(), format!("{own}{rows}"));
    let catalogue = Catalogue::with(&[file], &["image-upscale".to_owned()]).unwrap();
    let sections: String = names
        .iter()
        .map(|name| section(name, &format!("{there}/{name}/")))
        .collect();
    let sandboxed = Sandboxed::live_of(Arc::new(catalogue), |house, _| {
        house.with_sections(&sections)
    })
    .await;
    let body = json!({ "model": "image-upscale", "image": FOX });
    let task = submit(&sandboxed.running, "images/tools/upscale", &body);
    let task = task.await.unwrap();
    let view = sandboxed.running.reaches(task, "completed").await;
    assert_eq!(seen.lock().unwrap().len(), names.len());
    assert_eq!(view["attempts"], names.len() + 1, "{view}");
    sandboxed.settles(task, &[1_000_000]).await;
}
