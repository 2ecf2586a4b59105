//! Black Forest Labs: every state of a job, and its picture.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{App, PATIENCE};

const PRO: &str = "/bfl/v1/flux-2-pro";

async fn submit(app: &App, body: &Value) -> (StatusCode, Value) {
    let request = app.post(PRO).header("x-key", "any").json(body);
    let response = request.send().await.unwrap();
    (response.status(), response.json().await.unwrap())
}

/// A job with this prompt and a PNG of a small size.
async fn accepted(app: &App, prompt: &str) -> Value {
    let body = json!({ "prompt": prompt, "output_format": "png", "width": 128, "height": 64 });
    let (status, answer) = submit(app, &body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

async fn poll(app: &App, url: &str) -> reqwest::Response {
    let request = app.client.get(url).header("x-key", "any");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response
}

/// Polls until the job is no longer pending.
async fn finished(app: &App, job: &Value) -> Value {
    let url = job["polling_url"].as_str().unwrap();
    let polling = async {
        loop {
            let answer: Value = poll(app, url).await.json().await.unwrap();
            if answer["status"] != "Pending" {
                return answer;
            }
            assert!(answer["result"].is_null() && answer["progress"].as_f64().unwrap() < 1.0);
        }
    };
    tokio::time::timeout(PATIENCE, polling).await.unwrap()
}

async fn download(app: &App, answer: &Value) -> reqwest::Response {
    let url = answer["result"]["sample"].as_str().unwrap();
    app.client.get(url).send().await.unwrap()
}

/// Width and height of a PNG that decodes to its end.
fn decoded(bytes: &[u8]) -> (u32, u32) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
        .read_info()
        .unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    (info.width, info.height)
}

#[tokio::test]
async fn a_job_becomes_a_picture_of_the_asked_size() {
    let app = App::start().await;
    let body = json!({
        "prompt": "a cat [sandbox delay=50ms]", "output_format": "png", "width": 1_024, "height": 768, "seed": 7,
    });
    let (_, job) = submit(&app, &body).await;
    assert_eq!(
        (&job["cost"], &job["input_mp"], &job["output_mp"]),
        (&json!(3.0), &json!(0.0), &json!(1.0))
    );
    assert!(job["polling_url"].as_str().unwrap().starts_with(&app.base));
    let answer = finished(&app, &job).await;
    assert_eq!(
        (&answer["status"], &answer["id"]),
        (&json!("Ready"), &job["id"])
    );
    assert_eq!(
        (&answer["result"]["seed"], &answer["progress"]),
        (&json!(7), &json!(1.0))
    );
    assert_eq!(answer["result"]["duration"], 0.05);
    let response = download(&app, &answer).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "image/png");
    assert_eq!(decoded(&response.bytes().await.unwrap()), (1_024, 768));
}

#[tokio::test]
async fn a_job_without_any_wish_is_a_square_jpeg() {
    let app = App::start().await;
    let (_, job) = submit(&app, &json!({ "prompt": "a cat" })).await;
    let answer = finished(&app, &job).await;
    let response = download(&app, &answer).await;
    assert_eq!(response.headers()["content-type"], "image/jpeg");
    let bytes = response.bytes().await.unwrap();
    assert!(bytes.starts_with(&[0xFF, 0xD8, 0xFF]));
}

#[tokio::test]
async fn each_outcome_has_its_end() {
    let app = App::start().await;
    let table = [
        ("outcome=success", "Ready"),
        ("outcome=duplicate_callback", "Ready"),
        ("outcome=late_callback", "Ready"),
        ("outcome=overreport", "Ready"),
        ("outcome=fail", "Error"),
        ("outcome=moderated", "Request Moderated"),
        ("outcome=moderated delay=1ms", "Content Moderated"),
        ("outcome=vanish", "Task not found"),
    ];
    for (words, status) in table {
        let job = accepted(&app, &format!("[sandbox {words}]")).await;
        let answer = finished(&app, &job).await;
        assert_eq!(answer["status"], status, "{words}");
        assert_eq!(answer["result"].is_null(), status != "Ready");
    }
    let cost = accepted(&app, "[sandbox outcome=overreport]").await["cost"].clone();
    assert_eq!(cost, 300.0);
}

#[tokio::test]
async fn a_hanging_job_stays_pending() {
    let app = App::start().await;
    let job = accepted(&app, "[sandbox outcome=hang]").await;
    let url = job["polling_url"].as_str().unwrap();
    let answer: Value = poll(&app, url).await.json().await.unwrap();
    assert_eq!(answer["status"], "Pending");
}

#[tokio::test]
async fn a_malformed_poll_is_no_json() {
    let app = App::start().await;
    let job = accepted(&app, "[sandbox outcome=malformed]").await;
    let response = poll(&app, job["polling_url"].as_str().unwrap()).await;
    assert!(response.json::<Value>().await.unwrap_err().is_decode());
}

#[tokio::test]
async fn a_cut_picture_breaks_off() {
    let app = App::start().await;
    let job = accepted(&app, "[sandbox outcome=cut]").await;
    let response = download(&app, &finished(&app, &job).await).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.bytes().await.is_err());
}

#[tokio::test]
async fn refusals_are_not_accepted() {
    let app = App::start().await;
    for (outcome, status) in [
        ("rate_limited", 429),
        ("overloaded", 503),
        ("out_of_balance", 402),
    ] {
        let prompt = format!("[sandbox outcome={outcome}]");
        let (refused, body) = submit(&app, &json!({ "prompt": prompt })).await;
        assert_eq!(refused, status);
        assert!(body["detail"].is_string());
    }
    assert_eq!(app.json("/bill").await["jobs"], 0);
}

#[tokio::test]
async fn a_wrong_submit_says_all_that_is_wrong() {
    let app = App::start().await;
    let (status, body) = submit(&app, &json!({ "width": 1, "seed": "x" })).await;
    assert_eq!(status, 422);
    let places: Vec<_> = body["detail"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| &v["loc"])
        .collect();
    let expected = [["body", "prompt"], ["body", "width"], ["body", "seed"]];
    assert_eq!(json!(places), json!(expected));
    let request = app
        .post("/bfl/v1/flux-9")
        .header("x-key", "k")
        .json(&json!({ "prompt": "x" }));
    assert_eq!(request.send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_key_is_needed_but_not_for_the_picture() {
    let app = App::start().await;
    let job = accepted(&app, "a cat").await;
    let sample = finished(&app, &job).await["result"]["sample"].clone();
    let sample = sample.as_str().unwrap();
    let requests = [
        app.post(PRO).json(&json!({ "prompt": "a cat" })),
        app.get("/bfl/v1/credits"),
        app.client.get(job["polling_url"].as_str().unwrap()),
        app.get("/bfl/v1/credits").header("x-key", ""),
    ];
    for request in requests {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["detail"], "Not authenticated");
    }
    let leaked = app.client.get(sample).header("x-key", "any");
    assert_eq!(leaked.send().await.unwrap().status(), 400);
    let credits = app.get("/bfl/v1/credits").header("x-key", "any");
    let credits: Value = credits.send().await.unwrap().json().await.unwrap();
    assert!(credits["credits"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let app = App::start().await;
    let unknown = poll(&app, &format!("{}/bfl/v1/get_result?id=made-up", app.base)).await;
    let unknown: Value = unknown.json().await.unwrap();
    assert_eq!(unknown["status"], "Task not found");
    let no_id = app.get("/bfl/v1/get_result").header("x-key", "any");
    assert_eq!(no_id.send().await.unwrap().status(), 422);
    let job = accepted(&app, "[sandbox delay=1h]").await;
    let early = format!(
        "/bfl/delivery/{}.png?se=99999999999",
        job["id"].as_str().unwrap()
    );
    assert_eq!(app.get(&early).send().await.unwrap().status(), 404);
    let done = accepted(&app, "a cat").await;
    let id = done["id"].as_str().unwrap();
    for (file, status) in [
        ("png?se=99999999999", 200),
        ("jpeg?se=99999999999", 404),
        ("png?se=1", 403),
        ("png", 403),
    ] {
        let response = app
            .get(&format!("/bfl/delivery/{id}.{file}"))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), status, "{file}");
    }
}

#[tokio::test]
async fn a_job_survives_a_restart_of_the_sandbox() {
    let app = App::start().await;
    let mut job = accepted(&app, "[sandbox delay=100ms]").await;
    let old = app.base.clone();
    let app = app.restart().await;
    let url = job["polling_url"]
        .as_str()
        .unwrap()
        .replace(&old, &app.base);
    job["polling_url"] = json!(url);
    let answer = finished(&app, &job).await;
    assert_eq!(answer["status"], "Ready");
    let picture = download(&app, &answer).await.bytes().await.unwrap();
    assert_eq!(decoded(&picture), (128, 64));
    assert_eq!(app.json("/bill").await["jobs"], 1);
}

#[tokio::test]
async fn a_typing_error_shows_in_the_details() {
    let app = App::start().await;
    let job = accepted(&app, "[sandbox outcome=fial]").await;
    let answer = finished(&app, &job).await;
    assert_eq!(answer["status"], "Ready");
    assert!(
        answer["details"]["sandbox"]
            .as_str()
            .unwrap()
            .contains("not fully understood")
    );
}

#[tokio::test]
async fn with_a_webhook_the_answer_names_it() {
    let app = App::start().await;
    let body = json!({ "prompt": "a cat", "webhook_url": "https://example.com/hook" });
    let (_, job) = submit(&app, &body).await;
    assert_eq!(
        (&job["status"], &job["webhook_url"]),
        (&json!("Pending"), &body["webhook_url"])
    );
    assert!(job.get("polling_url").is_none());
}
