//! A job that its provider failed: it goes on elsewhere if it was for nothing, and not if it was billed.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use axum::{Json, Router, extract::State, routing::any};
use db::Engine;
use domain::Catalogue;
use http::Method;
use proto::code;
use serde_json::{Value, json};

use crate::{
    database::on_both_engines,
    house::{House, eventually},
};

on_both_engines!(a_job_that_was_billed_is_not_passed_on);

/// Fails every job, by kie's wire, and says how many credits it took for it.
async fn provider(credits: &Arc<AtomicU32>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new()
        .route("/{*path}", any(answer))
        .with_state(Arc::clone(credits));
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's server ends with the test"
    )]
    tokio::spawn(async move { axum::serve(listener, router).await });
    origin
}

async fn answer(State(credits): State<Arc<AtomicU32>>, method: Method) -> Json<Value> {
    let data = if method == Method::POST {
        json!({ "taskId": "1" })
    } else {
        let credits = credits.load(Ordering::SeqCst);
        json!({ "state": "fail", "failMsg": "Internal Error", "creditsConsumed": credits })
    };
    Json(json!({ "code": 200, "msg": "success", "data": data }))
}

/// flux-2, which kie serves first and its maker second.
fn catalogue() -> Arc<Catalogue> {
    let text = include_str!("../../../../crates/domain/catalogue/flux-2.toml");
    let (ours, _) = text.split_once("[[providers]]").unwrap();
    let route = |name: &str, model: &str| {
        format!("[[providers]]\nadapter = \"{name}\"\nprovider = \"{name}\"\nmodel = \"{model}\"\n")
    };
    let (kie, bfl) = (route("kie", "nano-banana-pro"), route("bfl", "flux-2-pro"));
    let text = format!("{ours}{kie}{bfl}");
    Arc::new(Catalogue::parse(&[("flux-2.toml", &text)]).unwrap())
}

async fn a_job_that_was_billed_is_not_passed_on(engine: Engine) {
    let credits = Arc::new(AtomicU32::new(0));
    let kie = provider(&credits).await;
    let house = House::new(engine, vec![]).await;
    let bfl = house.provider.origin();
    let sections = format!(
        "[providers.kie]\napi_key = 'k'\nbase_url = '{kie}'\n[providers.bfl]\napi_key = 'k'\nbase_url = '{bfl}/bfl'"
    );
    let house = house.with_sections(&sections).with_catalogue(catalogue());
    let running = house.start_with_sandbox(None).await.live();

    let free = running.accepted().await;
    let view = running.reaches(free, "completed").await;
    assert_eq!(view["attempts"], 2);
    assert_eq!(house.provider.submits().len(), 1);

    credits.store(18, Ordering::SeqCst);
    let billed = running.accepted().await;
    let view = running.reaches(billed, "failed").await;
    assert_eq!(view["error"]["code"], code::UPSTREAM_FAILED.word);
    let message = view["error"]["message"].as_str().unwrap();
    assert!(message.contains("no other one was asked"), "{message}");
    assert_eq!(view["attempts"], 1);
    assert_eq!(house.provider.submits().len(), 1, "nobody else is paid");
    eventually("free for the customer", async || {
        house.billing.settled(&billed.to_bytes()) == [0]
    })
    .await;
    let cost: Option<i64> = sqlx::query_scalar("select cost from attempt where task_id = $1")
        .bind(billed.to_vec())
        .fetch_one(running.db.reader())
        .await
        .unwrap();
    assert_eq!(cost, Some(90_000));
}
