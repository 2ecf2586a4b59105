//! fal's queue: every state of a job, its result and its files.

use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::{App, PATIENCE};

const FLUX: &str = "fal-ai/flux-2-pro";
const KEY: &str = "Key any";

fn keyed(request: RequestBuilder) -> RequestBuilder {
    request.header("authorization", KEY)
}

async fn submit(app: &App, model: &str, body: &Value) -> Response {
    let request = keyed(app.post(&format!("/fal/{model}"))).json(body);
    request.send().await.unwrap()
}

async fn submitted(app: &App, model: &str, body: &Value) -> Value {
    let response = submit(app, model, body).await;
    assert_eq!(response.status(), StatusCode::OK, "{body}");
    response.json().await.unwrap()
}

/// A job for a small picture.
async fn accepted(app: &App, prompt: &str) -> Value {
    let size = json!({ "width": 128, "height": 64 });
    let body = json!({ "prompt": prompt, "output_format": "png", "image_size": size, "seed": 7 });
    submitted(app, FLUX, &body).await
}

/// What is at one of a job's URLs.
async fn at(app: &App, job: &Value, url: &str) -> Response {
    let request = keyed(app.client.get(job[url].as_str().unwrap()));
    request.send().await.unwrap()
}

/// Asks for the job's state until it is done, or cannot be told.
async fn finished(app: &App, job: &Value) -> Response {
    let asking = async {
        loop {
            let response = at(app, job, "status_url").await;
            if response.status() != StatusCode::ACCEPTED {
                return response;
            }
            let state: Value = response.json().await.unwrap();
            assert!(["IN_QUEUE", "IN_PROGRESS"].contains(&state["status"].as_str().unwrap()));
            assert_eq!(state["request_id"], job["request_id"]);
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap()
}

/// The result of a job that succeeds.
async fn result(app: &App, job: &Value) -> Value {
    let state: Value = finished(app, job).await.json().await.unwrap();
    assert_eq!(state["status"], "COMPLETED");
    assert!(state.get("error").is_none(), "{state}");
    let response = at(app, job, "response_url").await;
    assert_eq!(response.status(), StatusCode::OK);
    response.json().await.unwrap()
}

async fn download(app: &App, file: &Value) -> Response {
    let url = file["url"].as_str().unwrap();
    app.client.get(url).send().await.unwrap()
}

#[tokio::test]
async fn a_job_becomes_pictures_of_the_asked_size() {
    let app = App::start().await;
    let body = json!({
        "prompt": "a cat [sandbox delay=50ms]", "output_format": "png", "num_images": 2, "seed": 7,
        "image_size": { "width": 1_024, "height": 768 },
    });
    let job = submitted(&app, FLUX, &body).await;
    assert_eq!(
        (&job["status"], &job["queue_position"]),
        (&json!("IN_QUEUE"), &json!(0))
    );
    let result = result(&app, &job).await;
    assert_eq!(result["seed"], 7);
    assert_eq!(result["has_nsfw_concepts"], json!([false, false]));
    assert_eq!(result["timings"]["inference"], 0.05);
    let images = result["images"].as_array().unwrap();
    assert_eq!(images.len(), 2);
    for image in images {
        assert_eq!(
            (&image["width"], &image["height"], &image["content_type"]),
            (&json!(1_024), &json!(768), &json!("image/png"))
        );
        let response = download(&app, image).await;
        assert_eq!(response.headers()["content-type"], "image/png");
        let bytes = response.bytes().await.unwrap();
        let reader = png::Decoder::new(std::io::Cursor::new(&bytes))
            .read_info()
            .unwrap();
        assert_eq!((reader.info().width, reader.info().height), (1_024, 768));
    }
}

/// Every model, where its files are, and what they are.
const MODELS: [(&str, &str, &str); 18] = [
    (FLUX, "images", "image/jpeg"),
    ("fal-ai/flux-2-flex", "images", "image/jpeg"),
    ("fal-ai/nano-banana-pro", "images", "image/png"),
    ("fal-ai/nano-banana-pro/edit", "images", "image/png"),
    ("fal-ai/qwen-image", "images", "image/png"),
    ("fal-ai/z-image/turbo", "images", "image/png"),
    ("fal-ai/ideogram/v3", "images", "image/png"),
    ("fal-ai/imagen4/preview", "images", "image/png"),
    (
        "fal-ai/bytedance/seedream/v4.5/text-to-image",
        "images",
        "image/png",
    ),
    ("fal-ai/bytedance/seedream/v4.5/edit", "images", "image/png"),
    (
        "fal-ai/kling-video/v3/standard/text-to-video",
        "video",
        "video/mp4",
    ),
    ("fal-ai/veo3.1", "video", "video/mp4"),
    ("fal-ai/birefnet/v2", "image", "image/png"),
    ("fal-ai/topaz/upscale/image", "image", "image/jpeg"),
    ("fal-ai/topaz/upscale/video", "video", "video/mp4"),
    ("bria/video/background-removal/v3", "video", "video/webm"),
    ("fal-ai/elevenlabs/tts/eleven-v3", "audio", "audio/mpeg"),
    ("fal-ai/minimax-music/v2.5", "audio", "audio/mpeg"),
];

#[tokio::test]
async fn every_model_has_its_files_in_its_own_place() {
    let app = App::start().await;
    // Each takes what it needs of this.
    let body = &json!({
        "prompt": "a cat", "text": "Hello", "image_url": "https://example.com/a.png", "duration": 2,
        "image_urls": ["https://example.com/a.png"], "video_url": "https://example.com/a.mp4",
    });
    for (model, place, content_type) in MODELS {
        let job = submitted(&app, model, body).await;
        let owner: Vec<&str> = model.split('/').take(2).collect();
        let id = job["request_id"].as_str().unwrap();
        let expected = format!("{}/fal/{}/requests/{id}", app.base, owner.join("/"));
        assert_eq!(job["response_url"], expected, "the app alone names a job");
        let result = result(&app, &job).await;
        let files = &result[place];
        let file = if files.is_array() { &files[0] } else { files };
        assert_eq!(file["content_type"], content_type, "{model}");
        let response = download(&app, file).await;
        assert_eq!(response.status(), StatusCode::OK, "{model}");
        assert_eq!(response.headers()["content-type"], content_type, "{model}");
        assert!(!response.bytes().await.unwrap().is_empty());
    }
    let bill = app.json("/bill/jobs?provider=fal").await;
    let mut kinds: Vec<&str> = bill["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| job["kind"].as_str().unwrap())
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds, ["audio", "image", "video"]);
}

#[tokio::test]
async fn each_outcome_has_its_end() {
    let app = App::start().await;
    let (ok, gone) = (StatusCode::OK, StatusCode::NOT_FOUND);
    let broken = StatusCode::INTERNAL_SERVER_ERROR;
    let policy = StatusCode::UNPROCESSABLE_ENTITY;
    let table = [
        ("outcome=success", ok, ok, None),
        ("outcome=duplicate_callback", ok, ok, None),
        ("outcome=late_callback", ok, ok, None),
        ("outcome=overreport", ok, ok, None),
        ("outcome=fail", ok, broken, Some("internal_server_error")),
        (
            "outcome=moderated delay=0s",
            ok,
            policy,
            Some("content_policy_violation"),
        ),
        ("outcome=vanish", gone, gone, None),
    ];
    for (words, status, result, kind) in table {
        let job = accepted(&app, &format!("[sandbox {words}]")).await;
        let state = finished(&app, &job).await;
        assert_eq!(state.status(), status, "{words}");
        let state: Value = state.json().await.unwrap();
        assert_eq!(state["error_type"].as_str(), kind, "{words}");
        assert_eq!(state["error"].is_string(), kind.is_some(), "{words}");
        let answer = at(&app, &job, "response_url").await;
        assert_eq!(answer.status(), result, "{words}");
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["detail"][0]["type"].as_str(), kind, "{words}");
        assert_eq!(answer["images"].is_array(), result == ok, "{words}");
    }
}

#[tokio::test]
async fn a_refused_result_is_flagged_where_the_model_flags_and_else_an_error() {
    let app = App::start().await;
    let words = "[sandbox outcome=moderated delay=1ms]";
    let job = accepted(&app, words).await;
    let flagged = result(&app, &job).await;
    assert_eq!(flagged["has_nsfw_concepts"], json!([true]));
    let picture = download(&app, &flagged["images"][0]).await;
    assert_eq!(picture.status(), StatusCode::OK);
    let job = submitted(&app, "fal-ai/veo3.1", &json!({ "prompt": words })).await;
    let state: Value = finished(&app, &job).await.json().await.unwrap();
    assert_eq!(state["error_type"], "content_policy_violation");
    let answer = at(&app, &job, "response_url").await;
    assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(answer.headers()["x-fal-retryable"], "false");
}

#[tokio::test]
async fn a_hanging_job_is_never_done_and_has_no_result() {
    let app = App::start().await;
    let job = accepted(&app, "[sandbox outcome=hang]").await;
    let state = at(&app, &job, "status_url").await;
    assert_eq!(state.status(), StatusCode::ACCEPTED);
    let state: Value = state.json().await.unwrap();
    assert_eq!(state["status"], "IN_PROGRESS");
    let early = at(&app, &job, "response_url").await;
    assert_eq!(early.status(), StatusCode::BAD_REQUEST);
    let early: Value = early.json().await.unwrap();
    assert_eq!(early["detail"], "Request is still in progress");
}

#[tokio::test]
async fn a_job_waits_before_it_runs() {
    let app = App::start().await;
    let job = accepted(&app, "[sandbox delay=1h]").await;
    let state: Value = at(&app, &job, "status_url").await.json().await.unwrap();
    assert_eq!(
        (&state["status"], &state["queue_position"]),
        (&json!("IN_QUEUE"), &json!(0))
    );
}

#[tokio::test]
async fn a_malformed_answer_is_no_json() {
    let app = App::start().await;
    let job = accepted(&app, "[sandbox outcome=malformed]").await;
    for url in ["status_url", "response_url"] {
        let response = at(&app, &job, url).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.json::<Value>().await.unwrap_err().is_decode());
    }
}

#[tokio::test]
async fn a_cut_file_breaks_off() {
    let app = App::start().await;
    let job = accepted(&app, "[sandbox outcome=cut]").await;
    let result = result(&app, &job).await;
    let response = download(&app, &result["images"][0]).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.bytes().await.is_err());
}

#[tokio::test]
async fn refusals_are_not_accepted() {
    let app = App::start().await;
    for (outcome, status, words) in [
        ("rate_limited", 429, "Too many requests"),
        ("overloaded", 503, "No runner"),
        ("out_of_balance", 403, "Exhausted balance"),
    ] {
        let body = json!({ "prompt": format!("[sandbox outcome={outcome}]") });
        let response = submit(&app, FLUX, &body).await;
        assert_eq!(response.status(), status);
        let body: Value = response.json().await.unwrap();
        assert!(body["detail"].as_str().unwrap().contains(words), "{body}");
    }
    assert_eq!(app.json("/bill").await["jobs"], 0);
}

#[tokio::test]
async fn a_wrong_input_is_refused_in_their_words() {
    let app = App::start().await;
    let edit = "fal-ai/nano-banana-pro/edit";
    for (model, body, fields) in [
        (FLUX, json!({}), vec!["prompt"]),
        (
            edit,
            json!({ "seed": "x" }),
            vec!["prompt", "image_urls", "seed"],
        ),
        (
            "fal-ai/birefnet/v2",
            json!({ "prompt": "x" }),
            vec!["image_url"],
        ),
        ("fal-ai/topaz/upscale/video", json!({}), vec!["video_url"]),
        ("fal-ai/elevenlabs/tts/eleven-v3", json!({}), vec!["text"]),
    ] {
        let response = submit(&app, model, &body).await;
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let refused: Value = response.json().await.unwrap();
        let items = refused["detail"].as_array().unwrap();
        let places: Vec<&str> = items
            .iter()
            .map(|item| item["loc"][1].as_str().unwrap())
            .collect();
        assert_eq!(places, fields, "{model}");
        assert_eq!(items[0]["type"], "missing");
        assert_eq!(items[0]["msg"], "Field required");
        assert_eq!(items[0]["url"], "https://docs.fal.ai/errors#missing");
    }
    let unknown = submit(&app, "fal-ai/flux-9", &json!({ "prompt": "x" })).await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    assert_eq!(app.json("/bill").await["jobs"], 0);
}

#[tokio::test]
async fn a_key_is_needed_but_not_for_a_file() {
    let app = App::start().await;
    let job = accepted(&app, "a cat").await;
    let result = result(&app, &job).await;
    let path = format!("/fal/{FLUX}");
    let get = |url: &str| app.client.get(job[url].as_str().unwrap());
    for request in [
        app.post(&path).json(&json!({ "prompt": "a cat" })),
        app.post(&path).bearer_auth("any"),
        app.post(&path).header("authorization", "Key "),
        get("status_url"),
        get("response_url"),
        app.client.put(job["cancel_url"].as_str().unwrap()),
    ] {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let body: Value = response.json().await.unwrap();
        assert!(body["detail"].is_string());
    }
    let url = result["images"][0]["url"].as_str().unwrap();
    let leaked = keyed(app.client.get(url)).send().await.unwrap();
    assert_eq!(leaked.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let app = App::start().await;
    let job = accepted(&app, "a cat").await;
    finished(&app, &job).await;
    let id = job["request_id"].as_str().unwrap();
    for (path, status) in [
        (format!("{FLUX}/requests/{id}"), 200),
        (format!("{FLUX}/requests/made-up"), 404),
        (format!("{FLUX}/requests/made-up/status"), 404),
        (format!("{FLUX}/requests/{id}/stream"), 404),
        (format!("{FLUX}/{id}"), 404),
        (format!("fal-ai/flux-9/requests/{id}"), 404),
        // A picture is not this app's to make.
        (format!("fal-ai/veo3.1/requests/{id}"), 404),
        // The whole name of a model does not lead to its jobs.
        (format!("fal-ai/qwen-image/edit/requests/{id}"), 404),
    ] {
        let request = keyed(app.get(&format!("/fal/{path}")));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{path}");
    }
}

#[tokio::test]
async fn cancelling_stops_what_waits() {
    let app = App::start().await;
    let cancel = async |url: &str| {
        let response = keyed(app.client.put(url)).send().await.unwrap();
        let status = response.status().as_u16();
        let body: Value = response.json().await.unwrap();
        (status, body["status"].as_str().unwrap().to_owned())
    };
    let running = accepted(&app, "[sandbox delay=1h]").await;
    let url = running["cancel_url"].as_str().unwrap();
    assert_eq!(
        cancel(url).await,
        (202, "CANCELLATION_REQUESTED".to_owned())
    );
    let state = at(&app, &running, "status_url").await;
    assert_eq!(state.status(), StatusCode::OK);
    let state: Value = state.json().await.unwrap();
    assert_eq!(
        (&state["status"], &state["error_type"]),
        (&json!("COMPLETED"), &json!("client_cancelled"))
    );
    let result = at(&app, &running, "response_url").await;
    assert_eq!(result.status().as_u16(), 499);
    let bill = app.json("/bill").await;
    assert_eq!(bill["by_provider"]["fal"]["billed"], 0);
    let done = accepted(&app, "a cat").await;
    finished(&app, &done).await;
    let url = done["cancel_url"].as_str().unwrap();
    assert_eq!(cancel(url).await, (400, "ALREADY_COMPLETED".to_owned()));
    let made_up = format!("{}/fal/{FLUX}/requests/made-up/cancel", app.base);
    assert_eq!(cancel(&made_up).await, (404, "NOT_FOUND".to_owned()));
    let no_cancel = done["response_url"].as_str().unwrap();
    assert_eq!(cancel(no_cancel).await, (404, "NOT_FOUND".to_owned()));
}

#[tokio::test]
async fn a_job_survives_a_restart_of_the_sandbox() {
    let app = App::start().await;
    let mut job = accepted(&app, "[sandbox delay=100ms]").await;
    let old = app.base.clone();
    let app = app.restart().await;
    for url in ["status_url", "response_url"] {
        job[url] = json!(job[url].as_str().unwrap().replace(&old, &app.base));
    }
    let result = result(&app, &job).await;
    let picture = download(&app, &result["images"][0]).await;
    assert_eq!(picture.status(), StatusCode::OK);
    assert_eq!(app.json("/bill").await["jobs"], 1);
}

#[tokio::test]
async fn a_typing_error_shows_in_the_logs() {
    let app = App::start().await;
    let job = accepted(&app, "[sandbox outcome=fial]").await;
    let state: Value = finished(&app, &job).await.json().await.unwrap();
    assert_eq!(state["status"], "COMPLETED");
    let message = state["logs"][0]["message"].as_str().unwrap();
    assert!(message.contains("not fully understood"));
}

#[tokio::test]
async fn a_directive_in_the_address_of_an_input_counts() {
    let app = App::start().await;
    let url = "https://example.com/a.png?x=[sandbox%20outcome=fail]";
    let body = json!({ "image_url": url });
    let job = submitted(&app, "fal-ai/birefnet/v2", &body).await;
    let state: Value = finished(&app, &job).await.json().await.unwrap();
    assert_eq!(state["error_type"], "internal_server_error");
}

#[tokio::test]
async fn what_was_asked_and_what_it_would_cost_is_on_the_bill() {
    let app = App::start().await;
    let prices = [
        (FLUX, json!({ "prompt": "a", "num_images": 3 }), 90_000, 3),
        (
            FLUX,
            json!({ "prompt": "[sandbox outcome=overreport]" }),
            3_000_000,
            100,
        ),
        (
            "fal-ai/veo3.1",
            json!({ "prompt": "a", "duration": "4s" }),
            1_600_000,
            4,
        ),
        (
            "fal-ai/elevenlabs/tts/eleven-v3",
            json!({ "text": "a" }),
            100_000,
            1,
        ),
    ];
    let mut sum = 0;
    for (model, body, price, units) in prices {
        let job = submitted(&app, model, &body).await;
        sum += price;
        let bill = app.json("/bill").await;
        assert_eq!(bill["by_provider"]["fal"]["billed"], sum, "{model}");
        finished(&app, &job).await;
        let result = at(&app, &job, "response_url").await;
        assert_eq!(
            result.headers()["x-fal-billable-units"],
            units.to_string().as_str()
        );
    }
    for outcome in ["fail", "moderated", "hang"] {
        accepted(&app, &format!("[sandbox outcome={outcome}]")).await;
    }
    let bill = app.json("/bill").await;
    let fal = &bill["by_provider"]["fal"];
    assert_eq!((&fal["billed"], &fal["jobs"]), (&json!(sum), &json!(7)));
    assert_eq!(fal["repeated"], 2, "the prompt `a` came three times");
}
