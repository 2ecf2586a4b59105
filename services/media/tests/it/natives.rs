//! Models at their makers: who else serves them takes over at one charge, and a maker that fetches nothing is given bytes.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::Catalogue;
use proto::{Fault, code, media::v1::SubmitRequest};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::{
    files::PNG,
    house::{Running, eventually},
    inputs::claims,
    sandboxed::{Bill, Sandboxed},
};

/// A model, what is asked beside a prompt, its makers' rows, and its price in credits.
type Row = (&'static str, Value, i64, i64);

/// Where nobody is.
pub(crate) const NOBODY: &str = "http://127.0.0.1:1/";
const RESELLERS: [&str; 3] = ["kie", "fal", "replicate"];
const MAKERS: [&str; 10] = [
    "ark",
    "dashscope",
    "gemini",
    "ideogram",
    "kling",
    "minimax",
    "openai",
    "pixverse",
    "vidu",
    "xai",
];

macro_rules! film {
    ($name:literal) => {
        include_str!(concat!(
            "../../../../crates/domain/catalogue/",
            $name,
            ".toml"
        ))
    };
}

/// Models whose providers take their time, which a live task gives them.
const SLOW: [&str; 8] = [
    film!("grok-video"),
    film!("hailuo-2-3"),
    film!("kling-3"),
    film!("pixverse-5-6"),
    film!("seedance-1-5-pro"),
    film!("veo-3-1"),
    film!("vidu-q3"),
    film!("wan-2-6"),
];

/// Every model, and none that is waited for.
pub(crate) fn built_in() -> Arc<Catalogue> {
    let quick = |text: &str| {
        let quick = text.replace("usual_seconds = 30\n", "");
        assert_ne!(quick, text);
        ("quick.toml".to_owned(), quick)
    };
    let own: Vec<(String, String)> = SLOW.iter().map(|text| quick(text)).collect();
    Arc::new(Catalogue::with(&own, &[]).unwrap())
}

pub(crate) async fn submit(
    running: &Running,
    route: &str,
    body: &Value,
) -> Result<domain::TaskId, Fault> {
    let request = SubmitRequest {
        route: route.to_owned(),
        ..running.request(&body.to_string(), "")
    };
    let reply = running.send(request).await?;
    Ok(domain::TaskId::from_slice(&reply.task_id).unwrap())
}

pub(crate) fn section(provider: &str, base_url: &str) -> String {
    format!("[providers.{provider}]\napi_key = 'k'\nbase_url = '{base_url}'\n")
}

/// Those who resell, in the sandbox.
pub(crate) fn resellers(sandbox: &str) -> String {
    let section = |name: &&str| section(name, &format!("{sandbox}/{name}"));
    RESELLERS.iter().map(section).collect()
}

#[tokio::test]
async fn a_maker_that_cannot_be_asked_is_followed_at_one_charge() {
    let makers: String = MAKERS.iter().map(|name| section(name, NOBODY)).collect();
    let sections = |sandbox: &str| format!("{makers}{}", resellers(sandbox));
    let sandboxed = Sandboxed::live(built_in(), sections).await;
    let (pictures, films) = ("images/generations", "videos/generations");
    let songs = "audio/music";
    let fox = json!({ "image": "https://example.com/fox.png" });
    let rows: [(&str, Row); 18] = [
        // Of its maker's two rows, one is asked for: the other would say the same.
        (pictures, ("gpt-image-1-5", json!({}), 1, 10)),
        (pictures, ("ideogram-v3", json!({}), 1, 8)),
        (pictures, ("ideogram-v4", json!({}), 1, 12)),
        (pictures, ("imagen-4", json!({}), 1, 8)),
        (pictures, ("nano-banana-pro", json!({}), 1, 18)),
        (pictures, ("seedream-4-5", json!({}), 1, 12)),
        (pictures, ("grok-imagine", json!({}), 1, 5)),
        (pictures, ("kling-image-o1", json!({}), 1, 6)),
        (pictures, ("qwen-image", json!({}), 1, 4)),
        (films, ("grok-video", json!({}), 1, 24)),
        // What two generations of its API have, one is asked for.
        (films, ("kling-3", json!({}), 1, 300)),
        (films, ("hailuo-2-3", fox, 1, 30)),
        (films, ("wan-2-6", json!({}), 1, 115)),
        (films, ("vidu-q3", json!({}), 1, 50)),
        (films, ("pixverse-5-6", json!({}), 1, 90)),
        (films, ("veo-3-1", json!({}), 1, 64)),
        (songs, ("minimax-music", json!({}), 1, 30)),
        (
            films,
            ("seedance-1-5-pro", json!({ "duration": "4" }), 1, 14),
        ),
    ];
    for (route, (model, more, before, credits)) in rows {
        let mut body = json!({ "model": model, "prompt": "a fox" });
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let task = submit(&sandboxed.running, route, &body).await.unwrap();
        let view = sandboxed.running.reaches(task, "completed").await;
        assert_eq!(view["attempts"], before + 1, "{view}");
        sandboxed.settles(task, &[credits * 1_000_000]).await;
    }
}

#[tokio::test]
async fn a_pair_of_keys_opens_the_older_of_two_generations() {
    let sections =
        |sandbox: &str| section("kling", &format!("{sandbox}/kling")).replace("'k'", "'ak:s3cret'");
    let sandboxed = Sandboxed::live(built_in(), sections).await;
    let body = json!({ "model": "kling-3", "prompt": "a fox" });
    let task = submit(&sandboxed.running, "videos/generations", &body);
    let task = task.await.unwrap();
    let view = sandboxed.running.reaches(task, "completed").await;
    assert_eq!(view["attempts"], 1, "the newer one is not asked: {view}");
    sandboxed.settles(task, &[300_000_000]).await;
    let billed = Bill {
        jobs: 1,
        billed: 630_000,
    };
    assert_eq!(sandboxed.bill("kling").await, billed);
}

/// What a maker was asked.
pub(crate) type Asked = Arc<Mutex<Vec<Value>>>;

/// A maker that draws this picture, and a place where it lies as well.
async fn maker() -> (String, Asked) {
    maker_behind(Arc::new(Semaphore::new(Semaphore::MAX_PERMITS))).await
}

/// One that draws as many as it is let to.
pub(crate) async fn maker_behind(gate: Arc<Semaphore>) -> (String, Asked) {
    let asked = Asked::default();
    let picture = || async { ([(CONTENT_TYPE, "image/png")], PNG.to_vec()) };
    let draw = |State(maker): State<(Asked, Arc<Semaphore>)>, Json(body): Json<Value>| async move {
        let (asked, gate) = maker;
        asked.lock().unwrap().push(body);
        gate.acquire().await.unwrap().forget();
        let file = json!({ "mimeType": "image/png", "data": STANDARD.encode(PNG) });
        let parts = json!([{ "text": "Here." }, { "inlineData": file }]);
        Json(
            json!({ "candidates": [{ "content": { "parts": parts }, "finishReason": "STOP" }], "responseId": "r1" }),
        )
    };
    let router = Router::new()
        .route("/fox.png", get(picture))
        .route("/page", get(|| async { "no picture" }))
        .fallback(draw)
        .with_state((asked.clone(), gate));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's server ends with the test"
    )]
    tokio::spawn(async move { axum::serve(listener, router).await });
    (origin, asked)
}

#[tokio::test]
async fn a_maker_that_fetches_nothing_is_given_bytes() {
    let (maker, asked) = maker().await;
    let (at, picture) = (maker.clone(), format!("{maker}/fox.png"));
    let sections = move |sandbox: &str| format!("{}{}", section("gemini", &at), resellers(sandbox));
    let sandboxed = Sandboxed::live(built_in(), sections).await;
    let body = |urls: &[&str]| json!({ "model": "nano-banana-pro", "prompt": "a fox", "input_urls": urls });
    let route = "images/generations";
    let running = &sandboxed.running;
    let task = submit(running, route, &body(&[&picture, &picture]))
        .await
        .unwrap();
    let view = running.reaches(task, "completed").await;
    assert_eq!(view["attempts"], 1);
    // The customer reads what was sent.
    assert_eq!(view["request"]["input_urls"][0], picture);
    let sent = asked.lock().unwrap().pop().unwrap();
    let file = json!({ "inlineData": { "mimeType": "image/png", "data": STANDARD.encode(PNG) } });
    let parts = json!([{ "text": "a fox" }, file, file]);
    assert_eq!(sent["contents"][0]["parts"], parts);
    // What it cannot be given, another provider fetches itself.
    let page = format!("{maker}/page");
    let task = submit(running, route, &body(&[&page])).await.unwrap();
    running.reaches(task, "completed").await;
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_too_large_to_be_given_is_not_given() {
    let (maker, asked) = maker().await;
    let (at, picture) = (maker.clone(), format!("{maker}/fox.png"));
    let sections = move |_: &str| {
        format!(
            "{}[limits.files]\ninline_bytes = 9\n",
            section("gemini", &at)
        )
    };
    let sandboxed = Sandboxed::live(built_in(), sections).await;
    let body = json!({ "model": "nano-banana-pro", "prompt": "a fox", "input_urls": [picture] });
    let task = submit(&sandboxed.running, "images/generations", &body)
        .await
        .unwrap();
    let view = sandboxed.running.reaches(task, "failed").await;
    let message = view["error"]["message"].as_str().unwrap();
    assert!(message.contains("input_urls[0]"), "{message}");
    assert!(message.contains("9 bytes"), "{message}");
    sandboxed.settles(task, &[0]).await;
    assert!(asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_picture_counts_as_often_as_it_is_named() {
    let (maker, asked) = maker().await;
    let (at, picture) = (maker.clone(), format!("{maker}/fox.png"));
    let most = PNG.len() + 9;
    let limits = format!("[limits.files]\ninline_bytes = {most}\n");
    let sections = move |_: &str| format!("{}{limits}", section("gemini", &at));
    let sandboxed = Sandboxed::live(built_in(), sections).await;
    let running = &sandboxed.running;
    let pictures = |times| json!({ "model": "nano-banana-pro", "prompt": "a fox", "input_urls": vec![picture.as_str(); times] });
    let route = "images/generations";
    let once = submit(running, route, &pictures(1)).await.unwrap();
    running.reaches(once, "completed").await;
    let twice = submit(running, route, &pictures(2)).await.unwrap();
    let view = running.reaches(twice, "failed").await;
    let message = view["error"]["message"].as_str().unwrap();
    assert!(message.contains("input_urls[1]"), "{message}");
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn who_finds_no_room_for_bytes_comes_again() {
    let gate = Arc::new(Semaphore::new(0));
    let (maker, asked) = maker_behind(Arc::clone(&gate)).await;
    let (at, picture) = (maker.clone(), format!("{maker}/fox.png"));
    let limits = "[limits.files]\ninline_bytes = 4096\ninline_total_bytes = 4096\n";
    let sections = move |_: &str| format!("{}{limits}", section("gemini", &at));
    let sandboxed = Sandboxed::live(built_in(), sections).await;
    let running = &sandboxed.running;
    let body = json!({ "model": "nano-banana-pro", "prompt": "a fox", "input_urls": [picture] });
    let route = "images/generations";
    let first = submit(running, route, &body).await.unwrap();
    eventually("the first is on its way", async || {
        asked.lock().unwrap().len() == 1
    })
    .await;
    let second = submit(running, route, &body).await.unwrap();
    eventually("the second comes again", async || {
        claims(running, second).await > 1
    })
    .await;
    assert_eq!(asked.lock().unwrap().len(), 1);
    gate.add_permits(2);
    for task in [first, second] {
        let view = running.reaches(task, "completed").await;
        assert_eq!(view["attempts"], 1);
    }
}

#[tokio::test]
async fn a_job_that_is_done_without_a_file_is_given_up_after_some_looks() {
    const AWAY: usize = 5;
    let looks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&looks);
    let look = move || {
        // Looks that are not answered say nothing of files.
        let status = if counted.fetch_add(1, Ordering::Relaxed) < AWAY {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::OK
        };
        let done = json!({ "id": "9", "state": "success", "creations": [], "credits": 100 });
        async move { (status, Json(done)) }
    };
    let taken = || async { Json(json!({ "task_id": "9", "state": "created" })) };
    let router = Router::new()
        .route("/ent/v2/text2video", post(taken))
        .route("/ent/v2/tasks/9/creations", get(look));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's server ends with the test"
    )]
    tokio::spawn(async move { axum::serve(listener, router).await });
    let sections =
        move |sandbox: &str| format!("{}{}", section("vidu", &origin), resellers(sandbox));
    let sandboxed = Sandboxed::live(built_in(), sections).await;
    let body = json!({ "model": "vidu-q3", "prompt": "a fox" });
    let task = submit(&sandboxed.running, "videos/generations", &body)
        .await
        .unwrap();
    let view = sandboxed.fails(task, code::UPSTREAM_FAILED).await;
    // It was billed, so that nobody else is asked.
    assert_eq!(view["attempts"], 1, "{view}");
    assert_eq!(looks.load(Ordering::Relaxed), AWAY + 6);
}

#[tokio::test]
async fn what_came_inside_of_an_answer_may_be_too_large_to_keep() {
    let (maker, _) = maker().await;
    let outputs = "[limits.media.outputs]\nmax_bytes = 9\n";
    let sections = move |_: &str| format!("{}{outputs}", section("gemini", &maker));
    let sandboxed = Sandboxed::live(built_in(), sections).await;
    let body = json!({ "model": "nano-banana-pro", "prompt": "a fox" });
    let task = submit(&sandboxed.running, "images/generations", &body)
        .await
        .unwrap();
    sandboxed.fails(task, code::UPSTREAM_FAILED).await;
}
