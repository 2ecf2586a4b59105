//! kie.ai: every state of a task, its envelope, and what it makes.

use std::collections::HashSet;

use reqwest::{StatusCode, header::AUTHORIZATION};
use serde_json::{Value, json};

use crate::{App, PATIENCE};

const CREATE: &str = "/kie/api/v1/jobs/createTask";
const RECORD: &str = "/kie/api/v1/jobs/recordInfo";
const CREDIT: &str = "/kie/api/v1/chat/credit";

/// The envelope of an answer: HTTP says nothing.
async fn envelope(request: reqwest::RequestBuilder) -> Value {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let envelope: Value = response.json().await.unwrap();
    assert!(envelope["msg"].is_string() && envelope.get("data").is_some());
    envelope
}

async fn create(app: &App, body: &Value) -> Value {
    envelope(app.post(CREATE).bearer_auth("any").json(body)).await
}

/// The id of a small picture with this prompt.
async fn accepted(app: &App, prompt: &str) -> String {
    let body = json!({ "model": "z-image", "input": { "prompt": prompt } });
    task(app, &body).await
}

async fn task(app: &App, body: &Value) -> String {
    let envelope = create(app, body).await;
    assert_eq!(
        (&envelope["code"], &envelope["msg"]),
        (&json!(200), &json!("success"))
    );
    envelope["data"]["taskId"].as_str().unwrap().to_owned()
}

async fn record(app: &App, task: &str) -> Value {
    let request = app.get(&format!("{RECORD}?taskId={task}"));
    envelope(request.bearer_auth("any")).await
}

/// Polls until the task is over, or is no longer known.
async fn finished(app: &App, task: &str) -> Value {
    let polling = async {
        loop {
            let envelope = record(app, task).await;
            let state = envelope["data"]["state"].as_str().unwrap_or("none");
            if !["waiting", "queuing", "generating"].contains(&state) {
                return envelope;
            }
            let data = &envelope["data"];
            assert!(data["progress"].as_i64().unwrap() < 100);
            assert_eq!(
                (&data["resultJson"], &data["completeTime"]),
                (&json!(""), &Value::Null)
            );
        }
    };
    tokio::time::timeout(PATIENCE, polling).await.unwrap()
}

/// Where the files of a finished task are.
fn files(envelope: &Value) -> Vec<String> {
    let results = envelope["data"]["resultJson"].as_str().unwrap();
    let results: Value = serde_json::from_str(results).unwrap();
    serde_json::from_value(results["resultUrls"].clone()).unwrap()
}

async fn download(app: &App, url: &str) -> reqwest::Response {
    app.client.get(url).send().await.unwrap()
}

#[tokio::test]
async fn a_task_becomes_what_was_asked_for() {
    let app = App::start().await;
    let input = json!({ "prompt": "a cat [sandbox delay=50ms]", "image_size": "landscape_16_9", "num_images": "3", "seed": 7 });
    let body = json!({ "model": "ideogram/v3-text-to-image", "input": input, "callBackUrl": "https://example.com/hook" });
    let id = task(&app, &body).await;
    let envelope = finished(&app, &id).await;
    let data = &envelope["data"];
    assert_eq!(
        (&envelope["code"], &data["state"]),
        (&json!(200), &json!("success"))
    );
    assert_eq!(
        (&data["taskId"], &data["model"]),
        (&json!(id), &body["model"])
    );
    assert_eq!(
        (&data["costTime"], &data["creditsConsumed"]),
        (&json!(50), &json!(21))
    );
    let took = data["completeTime"].as_i64().unwrap() - data["createTime"].as_i64().unwrap();
    assert!((50..=51).contains(&took), "{took}");
    let param: Value = serde_json::from_str(data["param"].as_str().unwrap()).unwrap();
    assert_eq!(param["model"], body["model"]);
    assert!(!data.to_string().contains("a cat"));
    let files = files(&envelope);
    assert_eq!(files.iter().collect::<HashSet<_>>().len(), 3);
    for file in &files {
        assert!(file.starts_with(&app.base));
        let response = download(&app, file).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "image/png");
        let bytes = response.bytes().await.unwrap();
        let picture = png::Decoder::new(std::io::Cursor::new(bytes));
        let info = picture.read_info().unwrap().info().size();
        assert_eq!(info, (1_024, 576));
    }
}

#[tokio::test]
async fn every_model_makes_its_kind() {
    let app = App::start().await;
    let url = "https://example.com/a.png";
    let input = json!({
        "prompt": "a fox", "image": url, "image_url": url, "video_url": url, "image_urls": [url], "video_urls": [url],
        "upscale_factor": "2", "task_id": "t", "dialogue": [{ "text": "hello", "voice": "Adam" }], "duration": "2",
    });
    for (model, kind) in [
        ("google/imagen4", "image/png"),
        ("google/imagen4-fast", "image/png"),
        ("google/imagen4-ultra", "image/png"),
        ("nano-banana-pro", "image/png"),
        ("qwen/text-to-image", "image/png"),
        ("z-image", "image/png"),
        ("ideogram/v3-text-to-image", "image/png"),
        ("seedream/4.5-text-to-image", "image/png"),
        ("seedream/4.5-edit", "image/png"),
        ("grok-imagine/text-to-image", "image/png"),
        ("grok-imagine/text-to-video", "video/mp4"),
        ("grok-imagine/image-to-video", "video/mp4"),
        ("kling-3.0/video", "video/mp4"),
        ("hailuo/2-3-image-to-video-standard", "video/mp4"),
        ("hailuo/2-3-image-to-video-pro", "video/mp4"),
        ("wan/2-6-text-to-video", "video/mp4"),
        ("wan/2-6-image-to-video", "video/mp4"),
        ("wan/2-6-video-to-video", "video/mp4"),
        ("bytedance/seedance-1.5-pro", "video/mp4"),
        ("recraft/remove-background", "image/png"),
        ("recraft/crisp-upscale", "image/png"),
        ("topaz/image-upscale", "image/png"),
        ("topaz/video-upscale", "video/mp4"),
        ("elevenlabs/text-to-dialogue-v3", "audio/mpeg"),
        ("grok-imagine/upscale", "image/png"),
    ] {
        let id = task(&app, &json!({ "model": model, "input": input })).await;
        let envelope = finished(&app, &id).await;
        assert_eq!(envelope["data"]["model"], model);
        let files = files(&envelope);
        let response = download(&app, &files[0]).await;
        assert_eq!((response.status(), files.len()), (StatusCode::OK, 1));
        assert_eq!(response.headers()["content-type"], kind, "{model}");
        assert!(!response.bytes().await.unwrap().is_empty());
    }
    let wrong = create(&app, &json!({ "model": "z-image-9", "input": input })).await;
    assert_eq!(
        (&wrong["code"], &wrong["data"]),
        (&json!(404), &Value::Null)
    );
    assert_eq!(app.json("/bill").await["jobs"], 25);
}

#[tokio::test]
async fn each_outcome_has_its_end() {
    let app = App::start().await;
    let table = [
        ("outcome=success", 200, "success", ""),
        ("outcome=duplicate_callback", 200, "success", ""),
        ("outcome=late_callback", 200, "success", ""),
        ("outcome=overreport", 200, "success", ""),
        ("outcome=cut", 200, "success", ""),
        (
            "outcome=fail",
            200,
            "fail",
            "the directive asked for a failure",
        ),
        (
            "outcome=moderated",
            200,
            "fail",
            "The input was flagged as sensitive.",
        ),
        (
            "outcome=moderated delay=1ms",
            200,
            "fail",
            "The output was flagged as sensitive.",
        ),
        ("outcome=vanish", 422, "", ""),
    ];
    for (words, code, state, told) in table {
        let id = accepted(&app, &format!("[sandbox {words}]")).await;
        let envelope = finished(&app, &id).await;
        let data = &envelope["data"];
        assert_eq!(envelope["code"], code, "{words}");
        assert_eq!(data["state"].as_str().unwrap_or_default(), state, "{words}");
        assert_eq!(
            data["failMsg"].as_str().unwrap_or_default(),
            told,
            "{words}"
        );
        assert_eq!(
            data["failCode"].as_str().unwrap_or_default().is_empty(),
            state != "fail"
        );
        let made = data["resultJson"]
            .as_str()
            .is_some_and(|text| !text.is_empty());
        assert_eq!(made, state == "success", "{words}");
    }
}

#[tokio::test]
async fn the_bill_says_what_each_outcome_costs() {
    let app = App::start().await;
    for (outcome, cost, credits) in [
        ("success", 4_000, 1),
        ("overreport", 400_000, 80),
        ("fail", 0, 0),
        ("moderated", 0, 0),
    ] {
        let id = accepted(&app, &format!("[sandbox outcome={outcome}]")).await;
        let record = finished(&app, &id).await;
        assert_eq!(record["data"]["creditsConsumed"], credits, "{outcome}");
        let jobs = app.json("/bill/jobs?provider=kie").await["jobs"].clone();
        let jobs = jobs.as_array().unwrap();
        let row = jobs.iter().find(|row| row["id"] == json!(id)).unwrap();
        assert_eq!(
            (&row["model"], &row["kind"]),
            (&json!("z-image"), &json!("image"))
        );
        assert_eq!(row["billed"], cost, "{outcome}");
    }
    accepted(&app, "[sandbox outcome=hang]").await;
    accepted(&app, "a cat").await;
    accepted(&app, "a cat").await;
    let image = json!({ "image": "https://example.com/a.png" });
    for model in ["recraft/remove-background", "recraft/crisp-upscale"] {
        task(&app, &json!({ "model": model, "input": image })).await;
    }
    let bill = app.json("/bill").await;
    let kie = json!({ "jobs": 9, "billed": 419_500, "repeated": 1 });
    assert_eq!(bill["by_provider"]["kie"], kie);
    assert!(!app.json("/bill/jobs").await.to_string().contains("a cat"));
}

#[tokio::test]
async fn a_hanging_task_goes_on_for_ever() {
    let app = App::start().await;
    let id = accepted(&app, "[sandbox outcome=hang delay=1ms]").await;
    let polling = async { while record(&app, &id).await["data"]["progress"] != 99 {} };
    tokio::time::timeout(PATIENCE, polling).await.unwrap();
    assert_eq!(record(&app, &id).await["data"]["state"], "generating");
    let waiting = accepted(&app, "[sandbox delay=1h]").await;
    assert_eq!(record(&app, &waiting).await["data"]["state"], "waiting");
}

#[tokio::test]
async fn a_malformed_record_is_no_json() {
    let app = App::start().await;
    let id = accepted(&app, "[sandbox outcome=malformed]").await;
    let request = app.get(&format!("{RECORD}?taskId={id}")).bearer_auth("any");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.json::<Value>().await.unwrap_err().is_decode());
}

#[tokio::test]
async fn a_cut_file_breaks_off() {
    let app = App::start().await;
    let id = accepted(&app, "[sandbox outcome=cut]").await;
    let files = files(&finished(&app, &id).await);
    let response = download(&app, &files[0]).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.bytes().await.is_err());
}

#[tokio::test]
async fn refusals_are_not_accepted() {
    let app = App::start().await;
    let input = |prompt: &str| json!({ "model": "z-image", "input": { "prompt": prompt } });
    let table = [
        (input("[sandbox outcome=rate_limited]"), 429),
        (input("[sandbox outcome=overloaded]"), 455),
        (input("[sandbox outcome=out_of_balance]"), 402),
        (input(""), 422),
        (json!({ "model": "z-image", "input": {} }), 422),
        (json!({ "model": "z-image" }), 422),
        (json!({ "model": "z-image", "input": "a fox" }), 422),
        (json!({ "input": { "prompt": "a fox" } }), 422),
        (
            json!({ "model": "recraft/crisp-upscale", "input": { "prompt": "a fox" } }),
            422,
        ),
        (
            json!({ "model": "topaz/image-upscale", "input": { "image_url": "https://a.example/1", "upscale_factor": 2 } }),
            422,
        ),
        (
            json!({ "model": "fal-ai/z-image", "input": { "prompt": "a fox" } }),
            404,
        ),
        (json!([]), 400),
    ];
    for (body, code) in table {
        let envelope = create(&app, &body).await;
        assert_eq!(
            (&envelope["code"], &envelope["data"]),
            (&json!(code), &Value::Null),
            "{body}"
        );
    }
    let missing = create(
        &app,
        &json!({ "model": "seedream/4.5-edit", "input": { "prompt": "a fox" } }),
    )
    .await;
    assert_eq!(
        (&missing["code"], &missing["msg"]),
        (&json!(422), &json!("image_urls is required"))
    );
    let request = app.post(CREATE).bearer_auth("any").body("{");
    assert_eq!(envelope(request).await["code"], 400);
    assert_eq!(app.json("/bill").await["jobs"], 0);
}

#[tokio::test]
async fn a_directive_may_stand_in_the_address_of_an_input() {
    let app = App::start().await;
    let image = "https://example.com/a.png?%5Bsandbox%20outcome=fail%5D";
    let body = json!({ "model": "recraft/crisp-upscale", "input": { "image": image } });
    let id = task(&app, &body).await;
    assert_eq!(finished(&app, &id).await["data"]["state"], "fail");
}

#[tokio::test]
async fn a_key_is_needed_but_not_for_the_file() {
    let app = App::start().await;
    let id = accepted(&app, "a cat").await;
    let files = files(&finished(&app, &id).await);
    for key in [None, Some(""), Some("Bearer "), Some("Token k")] {
        let requests = [
            app.post(CREATE)
                .json(&json!({ "model": "z-image", "input": { "prompt": "x" } })),
            app.get(&format!("{RECORD}?taskId={id}")),
            app.get(CREDIT),
        ];
        for request in requests {
            let request = match key {
                Some(key) => request.header(AUTHORIZATION, key),
                None => request,
            };
            let envelope = envelope(request).await;
            assert_eq!(
                (&envelope["code"], &envelope["data"]),
                (&json!(401), &Value::Null)
            );
        }
    }
    let leaked = app.client.get(&files[0]).bearer_auth("any");
    assert_eq!(
        leaked.send().await.unwrap().status(),
        StatusCode::BAD_REQUEST
    );
    let credit = envelope(app.get(CREDIT).bearer_auth("any")).await;
    assert!(credit["data"].as_i64().unwrap() > 0);
    assert_eq!(app.json("/bill").await["jobs"], 1);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let app = App::start().await;
    let id = accepted(&app, "a cat").await;
    let (number, job) = id.split_at(2);
    for unknown in [
        "made-up",
        "x",
        &format!("99{job}"),
        &format!("%2B1{job}"),
        &format!("{number}x{job}"),
        job,
    ] {
        let envelope = record(&app, unknown).await;
        assert_eq!(
            (&envelope["code"], &envelope["data"]),
            (&json!(422), &Value::Null),
            "{unknown}"
        );
    }
    for path in [RECORD.to_owned(), format!("{RECORD}?taskId=")] {
        let envelope = envelope(app.get(&path).bearer_auth("any")).await;
        assert_eq!(envelope["code"], 422);
    }
    let files = files(&finished(&app, &id).await);
    let (place, _) = files[0].split_once('?').unwrap();
    assert_eq!(download(&app, place).await.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_task_survives_a_restart_of_the_sandbox() {
    let app = App::start().await;
    let id = accepted(&app, "[sandbox delay=100ms]").await;
    let app = app.restart().await;
    let files = files(&finished(&app, &id).await);
    assert_eq!(download(&app, &files[0]).await.status(), StatusCode::OK);
    assert_eq!(app.json("/bill").await["jobs"], 1);
}

#[tokio::test]
async fn a_typing_error_shows_in_the_record() {
    let app = App::start().await;
    let id = accepted(&app, "[sandbox outcome=fial]").await;
    let envelope = finished(&app, &id).await;
    assert_eq!(envelope["data"]["state"], "success");
    let told = envelope["data"]["sandbox"].as_str().unwrap();
    assert!(told.contains("not fully understood"));
}
