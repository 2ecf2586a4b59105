//! The provider that a file describes: every state of a job, its refusals, and what it makes.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{App, PATIENCE};

const JOBS: &str = "/rest/jobs";

async fn answered(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.header("x-api-key", "any").send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn submit(app: &App, model: &str, prompt: &str) -> (u16, Value) {
    let body = json!({ "model": model, "input": { "prompt": prompt, "num_images": 2 } });
    answered(app.post(JOBS).json(&body)).await
}

async fn accepted(app: &App, prompt: &str) -> String {
    let (status, body) = submit(app, "picture-1", prompt).await;
    assert_eq!((status, &body["phase"]), (202, &json!("waiting")));
    body["id"].as_str().unwrap().to_owned()
}

async fn finished(app: &App, id: &str) -> (u16, Value) {
    let looking = async {
        loop {
            let (status, body) = answered(app.get(&format!("{JOBS}/{id}"))).await;
            match body["phase"].as_str() {
                Some("waiting") => assert_eq!(body["ahead"], 1),
                Some("working") => assert!(body["done"].as_f64().unwrap() < 1.0),
                _ => return (status, body),
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap()
}

#[tokio::test]
async fn each_model_makes_its_kind() {
    let app = App::start().await;
    for (model, kind, files) in [
        ("picture-1", "image/png", 2),
        ("film-1", "video/mp4", 1),
        ("sound-1", "audio/mpeg", 1),
    ] {
        let (_, body) = submit(&app, model, "a cat [sandbox delay=20ms]").await;
        let (_, body) = finished(&app, body["id"].as_str().unwrap()).await;
        let made = body["files"].as_array().unwrap();
        assert_eq!((&body["phase"], made.len()), (&json!("finished"), files));
        let file = app.client.get(made[0]["href"].as_str().unwrap());
        let file = file.send().await.unwrap();
        assert_eq!(file.headers()["content-type"], kind);
        assert!(!file.bytes().await.unwrap().is_empty());
    }
    assert!(!app.json("/bill/jobs").await.to_string().contains("a cat"));
}

#[tokio::test]
async fn each_outcome_has_its_end_and_its_price() {
    let app = App::start().await;
    for (words, status, phase, code, billed) in [
        ("success", 200, "finished", "", 40_000),
        ("duplicate_callback", 200, "finished", "", 40_000),
        ("late_callback", 200, "finished", "", 40_000),
        ("cut", 200, "finished", "", 40_000),
        ("overreport", 200, "finished", "", 4_000_000),
        ("fail", 200, "broken", "engine", 0),
        ("moderated", 200, "rejected", "policy", 0),
        ("moderated delay=1ms", 200, "rejected", "policy", 0),
        ("vanish", 404, "", "no_job", 40_000),
    ] {
        let id = accepted(&app, &format!("[sandbox outcome={words}]")).await;
        let (told, body) = finished(&app, &id).await;
        assert_eq!(told, status, "{words}");
        assert_eq!(body["phase"].as_str().unwrap_or_default(), phase, "{words}");
        assert_eq!(
            body["problem"]["code"].as_str().unwrap_or_default(),
            code,
            "{words}"
        );
        if phase == "finished" {
            assert_eq!(body["spent"]["micro_usd"], billed, "{words}");
        }
        let jobs = app.json("/bill/jobs?provider=rest").await["jobs"].clone();
        let jobs = jobs.as_array().unwrap();
        let row = jobs.iter().find(|row| row["id"] == json!(id)).unwrap();
        assert_eq!(row["billed"], billed, "{words}");
    }
    let id = accepted(&app, "[sandbox outcome=malformed]").await;
    let request = app.get(&format!("{JOBS}/{id}")).header("x-api-key", "any");
    let response = request.send().await.unwrap();
    assert!(response.json::<Value>().await.unwrap_err().is_decode());
}

#[tokio::test]
async fn refusals_are_not_accepted() {
    let app = App::start().await;
    for (model, prompt, status, code) in [
        (
            "picture-1",
            "[sandbox outcome=rate_limited]",
            429,
            "too_fast",
        ),
        ("picture-1", "[sandbox outcome=overloaded]", 503, "no_room"),
        (
            "picture-1",
            "[sandbox outcome=out_of_balance]",
            402,
            "no_funds",
        ),
        ("picture-1", "", 422, "bad_input"),
        ("picture-2", "a fox", 404, "no_model"),
    ] {
        let (told, body) = submit(&app, model, prompt).await;
        assert_eq!((told, &body["problem"]["code"]), (status, &json!(code)));
    }
    assert_eq!(answered(app.post(JOBS).body("[]")).await.0, 400);
    let id = accepted(&app, "a cat").await;
    let place = format!("{JOBS}/{id}");
    for request in [
        app.post(JOBS),
        app.get(&place),
        app.client.delete(format!("{}{place}", app.base)),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(app.json("/bill").await["jobs"], 1);
}

#[tokio::test]
async fn a_job_can_be_stopped_until_it_is_over() {
    let app = App::start().await;
    let (over, waiting) = (
        accepted(&app, "a cat").await,
        accepted(&app, "[sandbox delay=1h]").await,
    );
    finished(&app, &over).await;
    for (id, status) in [(waiting.as_str(), 204), (&over, 409), ("made-up", 404)] {
        let request = app.client.delete(format!("{}{JOBS}/{id}", app.base));
        let response = request.header("x-api-key", "any").send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{id}");
    }
    let (_, body) = answered(app.get(&format!("{JOBS}/{waiting}"))).await;
    assert_eq!(body["phase"], "waiting");
}

#[tokio::test]
async fn a_typing_error_shows() {
    let app = App::start().await;
    let id = accepted(&app, "[sandbox outcome=fial]").await;
    let (_, body) = finished(&app, &id).await;
    assert!(
        body["sandbox"]
            .as_str()
            .unwrap()
            .contains("not fully understood")
    );
}
