//! Makers of pictures and films: what each answers, what it refuses and in which words, and what it would bill.

use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::{App, PATIENCE};

const OPENAI: &str = "/openai/v1/images/generations";
const GEMINI: &str = "/gemini/v1beta/models/gemini-3-pro-image:generateContent";
const XAI: &str = "/xai/v1/images/generations";
const XAI_FILMS: &str = "/xai/v1/videos/generations";
const ARK: &str = "/ark/api/v3/images/generations";
const ARK_FILMS: &str = "/ark/api/v3/contents/generations/tasks";
const IDEOGRAM: &str = "/ideogram/v2/image/generate/ideogram-3";

/// What begins a PNG in base64.
const PNG: &str = "iVBORw0KGgo";

/// With the key where each looks for it.
fn asked(app: &App, path: &str, body: &Value) -> RequestBuilder {
    let request = app.post(path).json(body);
    keyed(request, path)
}

fn keyed(request: RequestBuilder, path: &str) -> RequestBuilder {
    if path.starts_with("/ideogram") {
        request.header("api-key", "any")
    } else if path.starts_with("/gemini") {
        request.header("x-goog-api-key", "any")
    } else {
        request.bearer_auth("any")
    }
}

async fn answered(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    (response.status(), response.json().await.unwrap_or_default())
}

/// A request of each wire, with this prompt.
fn request(path: &str, prompt: &str) -> Value {
    match path {
        OPENAI => {
            json!({ "model": "gpt-image-1.5", "prompt": prompt, "quality": "high", "size": "1024x1536" })
        }
        GEMINI => json!({
            "contents": [{ "role": "user", "parts": [{ "text": prompt }] }],
            "generationConfig": { "responseModalities": ["IMAGE"], "imageConfig": { "aspectRatio": "16:9", "imageSize": "1K" } },
        }),
        XAI => {
            json!({ "model": "grok-imagine-image", "prompt": prompt, "aspect_ratio": "1:1", "response_format": "url" })
        }
        XAI_FILMS => {
            json!({ "model": "grok-imagine-video", "prompt": prompt, "duration": 6, "resolution": "480p" })
        }
        ARK => {
            json!({ "model": "seedream-4-5-251128", "prompt": prompt, "size": "2048x2048", "watermark": false })
        }
        ARK_FILMS => json!({
            "model": "seedance-1-5-pro-251215", "content": [{ "type": "text", "text": prompt }],
            "resolution": "720p", "ratio": "16:9", "duration": 8, "generate_audio": false,
        }),
        _ => json!({ "prompt": prompt, "rendering_speed": "turbo", "async": true }),
    }
}

async fn ask(app: &App, path: &str, prompt: &str) -> (StatusCode, Value) {
    answered(asked(app, path, &request(path, prompt))).await
}

/// Looks at a job until it is over.
async fn over(app: &App, place: &str) -> (StatusCode, Value) {
    let looking = async {
        loop {
            let (status, body) = answered(keyed(app.get(place), place)).await;
            let state = body["status"].as_str().unwrap_or_default();
            if !["pending", "queued", "running"].contains(&state) {
                return (status, body);
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap()
}

async fn last_billed(app: &App, provider: &str) -> (Value, Value) {
    let jobs = app.json(&format!("/bill/jobs?provider={provider}")).await;
    let row = jobs["jobs"].as_array().unwrap().last().unwrap().clone();
    (row["model"].clone(), row["billed"].clone())
}

#[tokio::test]
async fn pictures_come_inside_of_answers() {
    let app = App::start().await;
    let (status, body) = ask(&app, OPENAI, "a fox").await;
    assert_eq!(status, 200, "{body}");
    let file = body["data"][0]["b64_json"].as_str().unwrap();
    assert!(file.starts_with(PNG));
    assert_eq!(body["usage"]["output_tokens"], 6_240);
    let price = 10 * 5 + 6_240 * 32;
    let billed = last_billed(&app, "openai").await;
    assert_eq!(billed, (json!("gpt-image-1.5"), json!(price)));

    let mut edit = request(OPENAI, "a fox");
    edit["images"] = json!([{ "image_url": "https://a.example/1.png" }]);
    let path = "/openai/v1/images/edits";
    let (status, body) = answered(asked(&app, path, &edit)).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["usage"]["input_tokens_details"]["image_tokens"], 323);

    let (status, body) = ask(&app, GEMINI, "a fox").await;
    assert_eq!(status, 200, "{body}");
    let parts = body["candidates"][0]["content"]["parts"]
        .as_array()
        .unwrap();
    assert_eq!(parts[0]["thought"], true);
    let file = &parts.last().unwrap()["inlineData"];
    assert!(file["data"].as_str().unwrap().starts_with(PNG), "{file}");
    let billed = last_billed(&app, "gemini").await;
    assert_eq!(billed, (json!("gemini-3-pro-image"), json!(134_000)));
}

#[tokio::test]
async fn pictures_are_where_answers_say() {
    let app = App::start().await;
    for (path, provider, price) in [(XAI, "xai", 20_000), (ARK, "ark", 40_000)] {
        let (status, body) = ask(&app, path, "a fox").await;
        assert_eq!(status, 200, "{body}");
        let url = body["data"][0]["url"].as_str().unwrap();
        let file = app.client.get(url).send().await.unwrap();
        assert_eq!(file.headers()["content-type"], "image/jpeg");
        assert_eq!(last_billed(&app, provider).await.1, price);
    }
    let edit = json!({ "model": "grok-imagine-image", "prompt": "x", "image": { "url": "https://a.example/1" }, "resolution": "2k" });
    let (status, body) = answered(asked(&app, "/xai/v1/images/edits", &edit)).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["usage"]["cost_in_usd_ticks"], 200_000_000);
}

#[tokio::test]
async fn jobs_become_what_was_asked_for() {
    let app = App::start().await;
    let (_, accepted) = ask(&app, XAI_FILMS, "a fox [sandbox delay=20ms]").await;
    let id = accepted["request_id"].as_str().unwrap();
    let (status, body) = over(&app, &format!("/xai/v1/videos/{id}")).await;
    assert_eq!((status.as_u16(), &body["status"]), (200, &json!("done")));
    assert_eq!(body["video"]["duration"], 6);
    assert_eq!(body["usage"]["cost_in_usd_ticks"], 3_000_000_000_i64);
    assert_eq!(last_billed(&app, "xai").await.1, 300_000);

    let (_, accepted) = ask(&app, ARK_FILMS, "a fox [sandbox delay=20ms]").await;
    let id = accepted["id"].as_str().unwrap();
    let (_, body) = over(&app, &format!("{ARK_FILMS}/{id}")).await;
    assert_eq!(body["status"], "succeeded", "{body}");
    let url = body["content"]["video_url"].as_str().unwrap();
    let film = app.client.get(url).send().await.unwrap();
    assert_eq!(film.headers()["content-type"], "video/mp4");
    let tokens = 1_280 * 720 * 24 * 8 / 1_024;
    assert_eq!(body["usage"]["completion_tokens"], tokens);
    assert_eq!(last_billed(&app, "ark").await.1, tokens * 12 / 10);

    let (_, accepted) = ask(&app, IDEOGRAM, "a fox [sandbox delay=20ms]").await;
    let id = accepted["generation_id"].as_str().unwrap();
    let (_, body) = over(&app, &format!("/ideogram/v2/generations/{id}")).await;
    assert_eq!(body["status"], "completed", "{body}");
    assert_eq!(body["usage_cost_usd_micros"], 30_000);
    assert_eq!(body["data"][0]["is_image_safe"], true);
    let url = body["data"][0]["url"].as_str().unwrap();
    assert_eq!(app.client.get(url).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_task_that_waits_is_cancelled_for_nothing() {
    let app = App::start().await;
    let (_, accepted) = ask(&app, ARK_FILMS, "a fox [sandbox delay=1h]").await;
    let place = format!("{ARK_FILMS}/{}", accepted["id"].as_str().unwrap());
    let request = app.client.delete(format!("{}{place}", app.base));
    let (status, _) = answered(keyed(request, &place)).await;
    assert_eq!(status, 200);
    assert_eq!(last_billed(&app, "ark").await.1, 0);
    assert_eq!(over(&app, &place).await.0, 404);
}

#[tokio::test]
async fn refusals_are_said_in_the_words_of_each() {
    let app = App::start().await;
    let (code, status_of) = ("/error/code", "/error/status");
    let (own, why) = ("/code", "/reject_reason");
    for (path, outcome, status, told, expected) in [
        (OPENAI, "rate_limited", 429, code, "rate_limit_exceeded"),
        (OPENAI, "overloaded", 503, code, "server_is_overloaded"),
        (OPENAI, "out_of_balance", 429, code, "insufficient_quota"),
        (OPENAI, "moderated", 400, code, "moderation_blocked"),
        (OPENAI, "fail", 500, code, "-"),
        (GEMINI, "rate_limited", 429, status_of, "RESOURCE_EXHAUSTED"),
        (
            GEMINI,
            "out_of_balance",
            402,
            status_of,
            "RESOURCE_EXHAUSTED",
        ),
        (GEMINI, "fail", 500, status_of, "INTERNAL"),
        (XAI, "out_of_balance", 403, own, "permission-denied"),
        (
            XAI,
            "moderated",
            403,
            own,
            "The caller does not have permission to execute the specified operation",
        ),
        (XAI_FILMS, "overloaded", 503, own, "unavailable"),
        (ARK, "out_of_balance", 403, code, "AccountOverdueError"),
        (ARK, "fail", 500, code, "InternalServiceError"),
        (
            ARK_FILMS,
            "rate_limited",
            429,
            code,
            "RateLimitExceeded.EndpointRPMExceeded",
        ),
        (IDEOGRAM, "out_of_balance", 402, why, "insufficient_funds"),
        (IDEOGRAM, "rate_limited", 429, why, "inflight_limit"),
    ] {
        let prompt = format!("a fox [sandbox outcome={outcome}]");
        let (found, body) = ask(&app, path, &prompt).await;
        assert_eq!(found, status, "{path} {outcome} {body}");
        let said = body.pointer(told).and_then(Value::as_str);
        assert_eq!(said.unwrap_or("-"), expected, "{path} {outcome} {body}");
    }
    // All is well, but for what is missing.
    let (status, body) = ask(&app, GEMINI, "[sandbox outcome=moderated]").await;
    assert_eq!(status, 200);
    assert_eq!(body["candidates"][0]["finishReason"], "IMAGE_SAFETY");
    let (status, body) = ask(&app, ARK, "[sandbox outcome=moderated]").await;
    assert_eq!(status, 200);
    let error = &body["data"][0]["error"]["code"];
    assert_eq!(error, "OutputImageSensitiveContentDetected");
}

#[tokio::test]
async fn what_they_do_not_take_is_refused() {
    let app = App::start().await;
    for (path, field, value, status) in [
        (OPENAI, "model", json!("dall-e-9"), 404),
        (OPENAI, "response_format", json!("url"), 400),
        (OPENAI, "size", json!("1x1"), 400),
        (OPENAI, "prompt", json!(""), 400),
        (OPENAI, "n", json!(2), 400),
        (GEMINI, "contents", json!([]), 400),
        (
            GEMINI,
            "generationConfig",
            json!({ "responseModalities": ["TEXT"] }),
            400,
        ),
        (GEMINI, "images", json!([]), 400),
        (XAI, "size", json!("1024x1024"), 400),
        (XAI, "model", json!("grok-3"), 404),
        (XAI_FILMS, "duration", json!(16), 400),
        (ARK, "size", json!("512x512"), 400),
        (ARK, "model", json!("seedream-9"), 404),
        (ARK, "aspect_ratio", json!("1:1"), 400),
        (ARK_FILMS, "duration", json!(3), 400),
        (ARK_FILMS, "aspect_ratio", json!("16:9"), 400),
        (ARK_FILMS, "content", json!([]), 400),
        (IDEOGRAM, "async", json!(false), 400),
        (IDEOGRAM, "image", json!("https://a.example/1"), 400),
    ] {
        let mut body = request(path, "a fox");
        body[field] = value;
        let (found, told) = answered(asked(&app, path, &body)).await;
        assert_eq!(found, status, "{path} {field} {told}");
        let (found, _) = answered(app.post(path).json(&request(path, "a fox"))).await;
        let is_refused = found == 401 || found == 403;
        assert!(is_refused, "{path} without a key: {found}");
    }
    assert_eq!(app.json("/bill").await["jobs"], 0);
}
