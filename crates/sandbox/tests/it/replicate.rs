//! Replicate: every state of a prediction, its refusals, and what it makes.

use reqwest::{StatusCode, header::AUTHORIZATION};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{App, PATIENCE};

/// The version that swaps faces.
const SWAP: &str = "278a81e7ebb22db98bcba54de985d22cc1abeead2754eb1f2af717247be69b34";
const MODEL: &str = "/replicate/v1/models/google/nano-banana-pro/predictions";
const PREDICTIONS: &str = "/replicate/v1/predictions";

async fn create(app: &App, path: &str, body: &Value) -> (StatusCode, Value) {
    let request = app.post(path).bearer_auth("any").json(body);
    answered(request).await
}

async fn answered(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

/// The id of a picture with this prompt.
async fn accepted(app: &App, prompt: &str) -> String {
    let body = json!({ "input": { "prompt": prompt } });
    let (status, body) = create(app, MODEL, &body).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    assert_eq!(
        (&body["status"], &body["version"]),
        (&json!("starting"), &json!("hidden"))
    );
    body["id"].as_str().unwrap().to_owned()
}

async fn look(app: &App, id: &str) -> (StatusCode, Value) {
    let request = app.get(&format!("{PREDICTIONS}/{id}"));
    answered(request.bearer_auth("any")).await
}

/// Looks until the prediction is over, or is no longer known.
async fn finished(app: &App, id: &str) -> (StatusCode, Value) {
    let looking = async {
        loop {
            let (status, body) = look(app, id).await;
            if body["status"] != "starting" && body["status"] != "processing" {
                return (status, body);
            }
            assert_eq!(
                (&body["output"], &body["error"]),
                (&json!(null), &json!(null))
            );
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap()
}

#[tokio::test]
async fn a_prediction_becomes_what_was_asked_for() {
    let app = App::start().await;
    let input = json!({ "prompt": "a cat [sandbox delay=50ms]", "resolution": "2K", "aspect_ratio": "16:9", "output_format": "png" });
    let (_, body) = create(&app, MODEL, &json!({ "input": input })).await;
    let (_, body) = finished(&app, body["id"].as_str().unwrap()).await;
    assert_eq!(body["status"], "succeeded");
    assert_eq!(body["metrics"]["predict_time"], 0.05);
    assert!(body["completed_at"].as_str() > body["created_at"].as_str());
    assert!(!body.to_string().contains("a cat"));
    let response = app.client.get(body["output"].as_str().unwrap());
    let response = response.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "image/png");
    let bytes = response.bytes().await.unwrap();
    let picture = png::Decoder::new(std::io::Cursor::new(bytes));
    let size = picture.read_info().unwrap().info().size();
    assert_eq!(size, (2_048, 1_152));
}

#[tokio::test]
async fn every_model_makes_its_kind_in_its_shape() {
    let app = App::start().await;
    let url = "https://example.com/a.png";
    let input = json!({ "prompt": "a fox", "swap_image": url, "input_image": url, "duration": 4 });
    for (model, kind, lists) in [
        ("google/nano-banana-pro", "image/png", false),
        ("google/imagen-4", "image/png", false),
        ("google/imagen-4-fast", "image/png", false),
        ("google/imagen-4-ultra", "image/png", false),
        ("bytedance/seedream-4.5", "image/png", true),
        ("google/veo-3.1", "video/mp4", false),
        ("google/veo-3.1-fast", "video/mp4", false),
        ("codeplugtech/face-swap", "image/png", false),
    ] {
        let hash = Sha256::digest(model.as_bytes());
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let by_name = format!("/replicate/v1/models/{model}/predictions");
        let is_official = model != "codeplugtech/face-swap";
        let version = if is_official { hash } else { SWAP.to_owned() };
        let (status, _) = create(&app, &by_name, &json!({ "input": input })).await;
        assert_eq!(status == StatusCode::CREATED, is_official, "{model}");
        for version in [version.clone(), format!("{model}:{version}")] {
            let body = json!({ "version": version, "input": input });
            let (status, body) = create(&app, PREDICTIONS, &body).await;
            assert_eq!(status, StatusCode::CREATED, "{body}");
            let (_, body) = finished(&app, body["id"].as_str().unwrap()).await;
            assert_eq!(
                (&body["model"], &body["status"]),
                (&json!(model), &json!("succeeded"))
            );
            assert_eq!(body["output"].is_array(), lists);
            let file = if lists {
                &body["output"][0]
            } else {
                &body["output"]
            };
            let response = app.client.get(file.as_str().unwrap()).send().await.unwrap();
            assert_eq!(response.headers()["content-type"], kind, "{model}");
        }
    }
}

#[tokio::test]
async fn each_outcome_has_its_end_and_its_price() {
    let app = App::start().await;
    for (words, status, state, error, billed) in [
        ("success", 200, "succeeded", "", 150_000),
        ("duplicate_callback", 200, "succeeded", "", 150_000),
        ("late_callback", 200, "succeeded", "", 150_000),
        ("overreport delay=10ms", 200, "succeeded", "", 15_000_000),
        ("cut", 200, "succeeded", "", 150_000),
        (
            "fail",
            200,
            "failed",
            "the directive asked for a failure",
            0,
        ),
        (
            "moderated",
            200,
            "failed",
            "The input was flagged as sensitive. (E005)",
            0,
        ),
        (
            "moderated delay=1ms",
            200,
            "failed",
            "The output was flagged as sensitive. (E005)",
            0,
        ),
        ("vanish", 404, "", "", 150_000),
    ] {
        let id = accepted(&app, &format!("[sandbox outcome={words}]")).await;
        let (code, body) = finished(&app, &id).await;
        assert_eq!(code, status, "{words}");
        assert_eq!(
            body["status"].as_str().unwrap_or_default(),
            state,
            "{words}"
        );
        assert_eq!(body["error"].as_str().unwrap_or_default(), error, "{words}");
        assert_eq!(body["output"].is_string(), state == "succeeded", "{words}");
        if words.starts_with("overreport") {
            assert_eq!(body["metrics"]["predict_time"], 1.0);
        }
        let jobs = app.json("/bill/jobs?provider=replicate").await["jobs"].clone();
        let jobs = jobs.as_array().unwrap();
        let row = jobs.iter().find(|row| row["id"] == json!(id)).unwrap();
        assert_eq!(
            (&row["kind"], &row["billed"]),
            (&json!("image"), &json!(billed)),
            "{words}"
        );
    }
    let id = accepted(&app, "[sandbox outcome=hang delay=1ms]").await;
    let polling = async { while look(&app, &id).await.1["status"] != "processing" {} };
    tokio::time::timeout(PATIENCE, polling).await.unwrap();
    let id = accepted(&app, "[sandbox outcome=malformed]").await;
    let request = app.get(&format!("{PREDICTIONS}/{id}")).bearer_auth("any");
    let response = request.send().await.unwrap();
    assert!(response.json::<Value>().await.unwrap_err().is_decode());
    assert!(!app.json("/bill/jobs").await.to_string().contains("a cat"));
}

#[tokio::test]
async fn refusals_are_not_accepted() {
    let app = App::start().await;
    let input = |prompt: &str| json!({ "input": { "prompt": prompt } });
    let other = "/replicate/v1/models/google/none/predictions";
    let unknown = json!({ "version": "0".repeat(64), "input": { "prompt": "x" } });
    for (path, body, status) in [
        (MODEL, input("[sandbox outcome=rate_limited]"), 429),
        (MODEL, input("[sandbox outcome=overloaded]"), 503),
        (MODEL, input("[sandbox outcome=out_of_balance]"), 402),
        (MODEL, input(""), 422),
        (MODEL, json!({ "input": {} }), 422),
        (MODEL, json!({ "prompt": "a fox" }), 422),
        (MODEL, json!([]), 400),
        (other, input("a fox"), 404),
        (PREDICTIONS, unknown, 422),
        (PREDICTIONS, input("a fox"), 422),
    ] {
        let request = app.post(path).bearer_auth("any").json(&body);
        let response = request.send().await.unwrap();
        let waits = response.headers().contains_key("retry-after");
        assert_eq!(
            (response.status().as_u16(), waits),
            (status, status == 429),
            "{body}"
        );
        let told: Value = response.json().await.unwrap();
        assert_eq!(told["status"], status);
        assert!(told["detail"].is_string() && told["title"].is_string());
    }
    assert_eq!(app.json("/bill").await["jobs"], 0);
}

#[tokio::test]
async fn a_key_is_needed_but_not_for_the_file() {
    let app = App::start().await;
    let id = accepted(&app, "a cat").await;
    let (_, body) = finished(&app, &id).await;
    for key in [None, Some(""), Some("Bearer "), Some("Key k")] {
        for request in [
            app.post(MODEL).json(&json!({ "input": { "prompt": "x" } })),
            app.get(&format!("{PREDICTIONS}/{id}")),
            app.post(&format!("{PREDICTIONS}/{id}/cancel")),
        ] {
            let request = match key {
                Some(key) => request.header(AUTHORIZATION, key),
                None => request,
            };
            assert_eq!(answered(request).await.0, StatusCode::UNAUTHORIZED);
        }
    }
    let leaked = app.client.get(body["output"].as_str().unwrap());
    let leaked = leaked.bearer_auth("any").send().await.unwrap();
    assert_eq!(leaked.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_is_not_there_is_not_found_and_what_is_there_survives_a_restart() {
    let app = App::start().await;
    let id = accepted(&app, "[sandbox delay=100ms]").await;
    let (_, job) = id.split_at(2);
    for unknown in [
        "made-up",
        "x",
        &format!("99{job}"),
        &format!("%2B1{job}"),
        job,
    ] {
        assert_eq!(
            look(&app, unknown).await.0,
            StatusCode::NOT_FOUND,
            "{unknown}"
        );
    }
    let cancel = app.post(&format!("{PREDICTIONS}/{id}/cancel"));
    let (status, body) = answered(cancel.bearer_auth("any")).await;
    assert_eq!((status, &body["id"]), (StatusCode::OK, &json!(id)));
    let app = app.restart().await;
    assert_eq!(finished(&app, &id).await.1["status"], "succeeded");
}

#[tokio::test]
async fn a_typing_error_shows_in_the_logs() {
    let app = App::start().await;
    let id = accepted(&app, "[sandbox outcome=fial]").await;
    let (_, body) = finished(&app, &id).await;
    assert!(
        body["logs"]
            .as_str()
            .unwrap()
            .contains("not fully understood")
    );
}
