//! Bria: what it takes and refuses in which words, how a job stands, and whose key its callbacks are signed with.

use std::sync::{Arc, Mutex};

use axum::{Router, extract::Request, http::HeaderMap, routing::post};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{App, PATIENCE};

const CUT_OUT: &str = "/bria/v2/image/edit/remove_background";
const LARGER: &str = "/bria/v2/image/edit/increase_resolution";
const FILM: &str = "/bria/v2/video/edit/remove_background";
const LARGER_FILM: &str = "/bria/v2/video/edit/increase_resolution";
const FOX: &str = "https://a.example/fox.png";

async fn ask(app: &App, path: &str, body: &Value) -> (StatusCode, Value) {
    let request = app.post(path).header("api_token", "k3y").json(body);
    let response = request.send().await.unwrap();
    (response.status(), response.json().await.unwrap_or_default())
}

async fn look(app: &App, id: &str) -> (StatusCode, Value) {
    let request = app.get(&format!("/bria/v2/status/{id}"));
    let response = request.header("api_token", "k3y").send().await.unwrap();
    (response.status(), response.json().await.unwrap_or_default())
}

/// What a job came to.
async fn over(app: &App, path: &str, body: &Value) -> Value {
    let (status, taken) = ask(app, path, body).await;
    assert_eq!(status, 202, "{taken}");
    let id = taken["request_id"].as_str().unwrap();
    let place = format!("{}/bria/v2/status/{id}", app.base);
    assert_eq!(taken["status_url"], place);
    let looking = async {
        loop {
            let (status, told) = look(app, id).await;
            assert_eq!((status, &told["request_id"]), (StatusCode::OK, &json!(id)));
            if told["status"] != "IN_PROGRESS" {
                return told;
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap()
}

#[tokio::test]
async fn what_is_made_is_of_the_kind_that_was_asked_for() {
    let app = App::start().await;
    let film = |more: Value| {
        let mut body = json!({ "video": "https://a.example/fox.mp4?seconds=2" });
        let more = more.as_object().cloned().unwrap();
        body.as_object_mut().unwrap().extend(more);
        body
    };
    for (path, body, name, kind) in [
        (CUT_OUT, json!({ "image": FOX }), "image_url", "image/png"),
        (
            CUT_OUT,
            json!({ "image": "QUJD" }),
            "image_url",
            "image/png",
        ),
        (
            LARGER,
            json!({ "image": FOX, "desired_increase": 4 }),
            "image_url",
            "image/png",
        ),
        (FILM, film(json!({})), "video_url", "video/mp4"),
        (
            FILM,
            film(
                json!({ "background_color": "Transparent", "output_container_and_codec": "webm_vp9" }),
            ),
            "video_url",
            "video/webm",
        ),
        (
            FILM,
            film(
                json!({ "background_color": "Transparent", "output_container_and_codec": "mov_proresks" }),
            ),
            "video_url",
            "video/quicktime",
        ),
        (
            LARGER_FILM,
            film(json!({ "desired_increase": 2, "preserve_audio": true })),
            "video_url",
            "video/mp4",
        ),
    ] {
        let told = over(&app, path, &body).await;
        assert_eq!(told["status"], "COMPLETED", "{told}");
        let link = told["result"][name].as_str().unwrap();
        let place = link.strip_prefix(&app.base).unwrap();
        let file = app.get(place).send().await.unwrap();
        assert_eq!(file.status(), 200, "{link}");
        assert_eq!(file.headers()["content-type"], kind);
        // The key has no business there.
        let leaked = app.get(place).header("api_token", "k3y").send().await;
        assert_eq!(leaked.unwrap().status(), 400);
    }
    let jobs = app.json("/bill/jobs?provider=bria").await;
    let billed = jobs["jobs"].as_array().unwrap().iter();
    let billed: Vec<i64> = billed.map(|job| job["billed"].as_i64().unwrap()).collect();
    assert_eq!(
        billed,
        [18_000, 18_000, 40_000, 280_000, 280_000, 280_000, 280_000]
    );
}

#[tokio::test]
async fn what_is_wrong_is_told() {
    let app = App::start().await;
    for (path, body, words) in [
        (CUT_OUT, json!({}), "image is required"),
        (
            CUT_OUT,
            json!({ "image": "a fox" }),
            "image must be a URL, or a picture in base64",
        ),
        (
            CUT_OUT,
            json!({ "image": FOX, "scale": 2 }),
            "scale is not known",
        ),
        (
            LARGER,
            json!({ "image": FOX, "desired_increase": 3 }),
            "desired_increase must be 2 or 4",
        ),
        (FILM, json!({ "video": "QUJD" }), "video must be a URL"),
        (
            FILM,
            json!({ "video": "https://a.example/fox.mp4?seconds=61" }),
            "video must last 60 seconds at most",
        ),
        // What is said when nothing is said of the codec.
        (
            FILM,
            json!({ "video": FOX, "background_color": "Transparent" }),
            "mp4_h264 has no alpha channel",
        ),
        (
            FILM,
            json!({ "video": FOX, "background_color": "Transparent", "output_container_and_codec": "mov_h265" }),
            "mov_h265 has no alpha channel",
        ),
        (
            FILM,
            json!({ "video": FOX, "background_color": "transparent" }),
            "background_color is wrong",
        ),
    ] {
        let (status, told) = ask(&app, path, &body).await;
        assert_eq!(
            (status.as_u16(), &told["error"]["code"]),
            (422, &json!(422)),
            "{told}"
        );
        assert_eq!(told["error"]["message"], words);
    }
    let (status, _) = ask(&app, "/bria/v2/image/edit/erase", &json!({ "image": FOX })).await;
    assert_eq!(status, 404);
    let nobody = app
        .post(CUT_OUT)
        .json(&json!({ "image": FOX }))
        .send()
        .await;
    assert_eq!(nobody.unwrap().status(), 401);
    assert_eq!(look(&app, "nobodys").await.0, 404);
}

#[tokio::test]
async fn a_directive_stands_in_the_address() {
    let app = App::start().await;
    let steered = |words: &str| json!({ "image": format!("{FOX}?[sandbox {words}]") });
    for (words, status) in [
        ("outcome=rate_limited", 429),
        ("outcome=overloaded", 506),
        ("outcome=out_of_balance", 403),
    ] {
        let (told, body) = ask(&app, CUT_OUT, &steered(words)).await;
        assert_eq!(
            (told.as_u16(), &body["error"]["code"]),
            (status, &json!(status)),
            "{words}"
        );
    }
    for (words, code, message) in [
        ("outcome=fail", 500, "the work failed"),
        (
            "outcome=moderated delay=1ms",
            422,
            "the content moderation flagged it",
        ),
    ] {
        let told = over(&app, CUT_OUT, &steered(words)).await;
        assert_eq!(told["status"], "ERROR", "{words}");
        assert_eq!(
            (&told["error"]["code"], &told["error"]["message"]),
            (&json!(code), &json!(message))
        );
        assert!(told["result"].is_null());
    }
    let (_, lost) = ask(&app, CUT_OUT, &steered("outcome=vanish")).await;
    let (status, _) = look(&app, lost["request_id"].as_str().unwrap()).await;
    assert_eq!(status, 404);
}

/// What came: the headers, and the body.
type Came = Arc<Mutex<Vec<(HeaderMap, Vec<u8>)>>>;

async fn sink() -> (String, Came) {
    let came = Came::default();
    let noted = Arc::clone(&came);
    let take = move |request: Request| async move {
        let (head, body) = request.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        noted.lock().unwrap().push((head.headers, body.to_vec()));
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let router = Router::new().route("/hook", post(take));
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's server ends with the test"
    )]
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, came)
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

#[tokio::test]
async fn callbacks_are_signed_with_a_key_that_is_made_of_the_callers() {
    let app = App::start().await;
    let (url, came) = sink().await;
    let body = json!({ "image": format!("{FOX}?[sandbox outcome=duplicate_callback]"), "webhook_url": url });
    let told = over(&app, CUT_OUT, &body).await;
    let waiting = async {
        loop {
            if came.lock().unwrap().len() == 3 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    let key = mac(b"k3y", b"bria-webhook-signing-v1");
    for (headers, body) in came.lock().unwrap().iter() {
        let heard: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(heard["request_id"], told["request_id"]);
        let text = |name: &str| headers[name].to_str().unwrap();
        let moment = text("bria-webhook-timestamp");
        let message = format!(
            "{}.{moment}.{}",
            text("bria-webhook-id"),
            String::from_utf8_lossy(body)
        );
        let signature = format!("v1={}", STANDARD.encode(mac(&key, message.as_bytes())));
        assert_eq!(text("bria-webhook-signature"), signature);
    }
}
