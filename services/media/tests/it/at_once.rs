//! Providers that answer a submit with what they made, and what becomes of a task that one of them does not take.

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::State,
    http::{Method, StatusCode, header::CONTENT_TYPE},
    response::IntoResponse as _,
    routing::get,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chassis::clock::now_micros;
use db::Engine;
use proto::code;
use serde_json::{Value, json};
use sqlx::Row as _;
use tokio::sync::Semaphore;

use crate::{
    engine::Scene,
    files::PNG,
    house::eventually,
    inputs::claims,
    natives::{Asked, built_in, maker_behind, resellers, section, submit},
    operator::stop,
    sandboxed::Sandboxed,
};

const PICTURES: &str = "images/generations";

/// A picture that Google makes, and others.
fn fox() -> Value {
    json!({ "model": "nano-banana-pro", "prompt": "a fox" })
}

/// Serves as long as the test lasts, and says where.
pub(crate) async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's server ends with the test"
    )]
    tokio::spawn(async move { axum::serve(listener, router).await });
    origin
}

/// What is answered where this model is asked for.
pub(crate) type Answer = fn(&str) -> (u16, Value);

/// A provider that answers every request so.
pub(crate) async fn answering(answer: Answer) -> (String, Asked) {
    changing(answer, answer).await
}

/// One that answers the first request so, and others otherwise.
async fn changing(first: Answer, then: Answer) -> (String, Asked) {
    let asked = Asked::default();
    let say = move |State(asked): State<Asked>, Json(body): Json<Value>| async move {
        let mut asked = asked.lock().unwrap();
        let answer = if asked.is_empty() { first } else { then };
        let (status, answer) = answer(body["model"].as_str().unwrap_or_default());
        asked.push(body);
        (StatusCode::from_u16(status).unwrap(), Json(answer)).into_response()
    };
    let router = Router::new().fallback(say).with_state(asked.clone());
    (serve(router).await, asked)
}

fn too_small(_: &str) -> (u16, Value) {
    let error =
        json!({ "code": 400, "message": "the picture is too small", "status": "INVALID_ARGUMENT" });
    (400, json!({ "error": error }))
}

pub(crate) fn too_fast(_: &str) -> (u16, Value) {
    let error = json!({ "code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED" });
    (429, json!({ "error": error }))
}

fn drawn(_: &str) -> (u16, Value) {
    let file = json!({ "mimeType": "image/png", "data": STANDARD.encode(PNG) });
    let content = json!({ "parts": [{ "inlineData": file }] });
    let candidate = json!({ "content": content, "finishReason": "STOP" });
    (
        200,
        json!({ "candidates": [candidate], "responseId": "r1" }),
    )
}

pub(crate) fn no_such_width(_: &str) -> (u16, Value) {
    let detail = json!([{ "loc": ["body"], "msg": "there is no such width", "type": "x" }]);
    (422, json!({ "detail": detail }))
}

#[tokio::test]
async fn one_account_leaves_calls_that_last_to_others() {
    let gate = Arc::new(Semaphore::new(0));
    let (maker, asked) = maker_behind(Arc::clone(&gate)).await;
    let sandboxed = Sandboxed::live_of(built_in(), |house, _| {
        house
            .with_sections(&section("gemini", &maker))
            .with_submit("max_at_once_per_account = 1")
    })
    .await;
    let running = &sandboxed.running;
    let stranger = running.stranger().live();
    let first = submit(running, PICTURES, &fox()).await.unwrap();
    eventually("the first is on its way", async || {
        asked.lock().unwrap().len() == 1
    })
    .await;
    let second = submit(running, PICTURES, &fox()).await.unwrap();
    eventually("the second comes again", async || {
        claims(running, second).await > 1
    })
    .await;
    assert_eq!(asked.lock().unwrap().len(), 1);
    let third = submit(&stranger, PICTURES, &fox()).await.unwrap();
    eventually("another's is on its way", async || {
        asked.lock().unwrap().len() == 2
    })
    .await;
    gate.add_permits(3);
    for (whose, task) in [(running, first), (running, second), (&stranger, third)] {
        let view = whose.reaches(task, "completed").await;
        assert_eq!(view["attempts"], 1);
    }
}

#[tokio::test]
async fn calls_that_last_leave_steps_to_all_else() {
    let gate = Arc::new(Semaphore::new(0));
    let (maker, asked) = maker_behind(Arc::clone(&gate)).await;
    let sandboxed = Sandboxed::live_of(built_in(), |house, sandbox| {
        house
            .with_sections(&section("gemini", &maker))
            .with_sections(&section("fal", &format!("{sandbox}/fal")))
            .with_media("max_steps = 8")
    })
    .await;
    let running = &sandboxed.running;
    let mut waiting = Vec::new();
    for _ in 0..10 {
        let stranger = running.stranger().live();
        let task = submit(&stranger, PICTURES, &fox()).await.unwrap();
        waiting.push((stranger, task));
    }
    // A quarter of the steps wait with their calls; what finds no place goes to somebody else, and so does all else.
    for _ in 0..3 {
        let body = json!({ "model": "flux-2", "prompt": "a fox" });
        let task = submit(running, PICTURES, &body).await.unwrap();
        running.reaches(task, "completed").await;
    }
    eventually("two are on their way", async || {
        asked.lock().unwrap().len() == 2
    })
    .await;
    gate.add_permits(10);
    for (whose, task) in &waiting {
        whose.reaches(*task, "completed").await;
    }
}

#[tokio::test]
async fn what_one_provider_finds_wrong_another_makes() {
    let (maker, asked) = answering(too_small).await;
    let sections = |sandbox: &str| format!("{}{}", section("gemini", &maker), resellers(sandbox));
    let sandboxed = Sandboxed::live(built_in(), sections).await;
    let task = submit(&sandboxed.running, PICTURES, &fox()).await.unwrap();
    let view = sandboxed.running.reaches(task, "completed").await;
    assert_eq!(view["attempts"], 2);
    assert_eq!(asked.lock().unwrap().len(), 1);
    sandboxed.settles(task, &[18_000_000]).await;
}

/// DashScope, when it takes a job and then finds something wrong with it.
async fn picky_later() -> String {
    let answer = |method: Method| async move {
        let output = if method == Method::POST {
            json!({ "task_id": "t1", "task_status": "PENDING" })
        } else {
            json!({ "task_id": "t1", "task_status": "FAILED", "code": "InvalidParameter", "message": "no" })
        };
        Json(json!({ "request_id": "r1", "output": output }))
    };
    serve(Router::new().fallback(answer)).await
}

#[tokio::test]
async fn what_one_provider_finds_wrong_later_another_makes() {
    let maker = picky_later().await;
    let sections =
        |sandbox: &str| format!("{}{}", section("dashscope", &maker), resellers(sandbox));
    let sandboxed = Sandboxed::live(built_in(), sections).await;
    let body = json!({ "model": "wan-2-6", "prompt": "a fox" });
    let task = submit(&sandboxed.running, "videos/generations", &body);
    let task = task.await.unwrap();
    let view = sandboxed.running.reaches(task, "completed").await;
    assert_eq!(view["attempts"], 2);
    sandboxed.settles(task, &[115_000_000]).await;

    let sections = |_: &str| section("dashscope", &maker);
    let sandboxed = Sandboxed::live(built_in(), sections).await;
    let task = submit(&sandboxed.running, "videos/generations", &body);
    let task = task.await.unwrap();
    sandboxed.fails(task, code::UPSTREAM_REFUSED).await;
}

#[tokio::test]
async fn if_all_find_something_wrong_the_first_has_the_word() {
    let (maker, asked) = answering(too_small).await;
    let (other, asked_too) = answering(no_such_width).await;
    let sections = |_: &str| format!("{}{}", section("gemini", &maker), section("fal", &other));
    let sandboxed = Sandboxed::live(built_in(), sections).await;
    let task = submit(&sandboxed.running, PICTURES, &fox()).await.unwrap();
    let view = sandboxed.fails(task, code::UPSTREAM_REFUSED).await;
    assert_eq!(view["error"]["message"], "the picture is too small");
    assert_eq!(view["attempts"], 2);
    let asked = [&asked, &asked_too].map(|asked| asked.lock().unwrap().len());
    assert_eq!(asked, [1, 1]);
}

#[tokio::test]
async fn who_is_only_busy_is_waited_for_whatever_another_finds_wrong() {
    let (maker, asked) = changing(too_fast, drawn).await;
    let (other, asked_too) = answering(no_such_width).await;
    let sections = format!("{}{}", section("gemini", &maker), section("fal", &other));
    let sandboxed = Sandboxed::live_of(built_in(), |house, _| {
        house
            .with_sections(&sections)
            .with_other("max_attempts = 2", "max_attempts = 3")
    })
    .await;
    let task = submit(&sandboxed.running, PICTURES, &fox()).await.unwrap();
    let view = sandboxed.running.reaches(task, "completed").await;
    assert_eq!(view["attempts"], 3);
    let asked = [&asked, &asked_too].map(|asked| asked.lock().unwrap().len());
    assert_eq!(asked, [2, 1], "who has refused it is not asked again");
    sandboxed.settles(task, &[18_000_000]).await;
}

/// OpenAI when it has retired a model, and is too busy for any other.
fn retired_and_busy(model: &str) -> (u16, Value) {
    if model == "gpt-image-1.5" {
        (404, json!({ "error": { "code": "model_not_found" } }))
    } else {
        (503, json!({ "error": { "code": "server_is_overloaded" } }))
    }
}

fn busy(_: &str) -> (u16, Value) {
    (503, json!({ "error": { "code": "server_is_overloaded" } }))
}

#[tokio::test]
async fn who_is_busy_is_not_asked_for_another_of_its_models() {
    let rows: [(Answer, [&str; 2]); 2] = [
        (busy, ["gpt-image-1.5"; 2]),
        (
            retired_and_busy,
            ["gpt-image-1.5", "gpt-image-2.6-sunburst"],
        ),
    ];
    for (answer, expected) in rows {
        let (maker, asked) = answering(answer).await;
        let sections = |_: &str| section("openai", &maker);
        let sandboxed = Sandboxed::live(built_in(), sections).await;
        let body = json!({ "model": "gpt-image-1-5", "prompt": "a fox" });
        let task = submit(&sandboxed.running, PICTURES, &body).await.unwrap();
        sandboxed.fails(task, code::UPSTREAM_BUSY).await;
        let asked = asked.lock().unwrap();
        let models: Vec<&str> = asked
            .iter()
            .map(|body| body["model"].as_str().unwrap())
            .collect();
        assert_eq!(models, expected);
    }
}

#[tokio::test]
async fn one_account_fetches_little_at_once() {
    let (maker, asked) = maker_behind(Arc::new(Semaphore::new(Semaphore::MAX_PERMITS))).await;
    let gate = Arc::new(Semaphore::new(0));
    let seen = Arc::new(Mutex::new(0));
    let (held, count) = (Arc::clone(&gate), Arc::clone(&seen));
    let slow = move || async move {
        *count.lock().unwrap() += 1;
        held.acquire().await.unwrap().forget();
        ([(CONTENT_TYPE, "image/png")], PNG.to_vec())
    };
    let slow = serve(Router::new().route("/slow.png", get(slow))).await;
    let limits = "[limits.files.looks]\nat_once_per_account = 1\n";
    let sections = |_: &str| format!("{}{limits}", section("gemini", &maker));
    let sandboxed = Sandboxed::live(built_in(), sections).await;
    let running = &sandboxed.running;
    let stranger = running.stranger().live();
    let body =
        |url: String| json!({ "model": "nano-banana-pro", "prompt": "a fox", "input_urls": [url] });
    let (slow, quick) = (
        body(format!("{slow}/slow.png")),
        body(format!("{maker}/fox.png")),
    );
    let first = submit(running, PICTURES, &slow).await.unwrap();
    eventually("the first is fetched", async || *seen.lock().unwrap() == 1).await;
    let second = submit(running, PICTURES, &quick).await.unwrap();
    eventually("the second comes again", async || {
        claims(running, second).await > 1
    })
    .await;
    assert!(asked.lock().unwrap().is_empty());
    let third = submit(&stranger, PICTURES, &quick).await.unwrap();
    stranger.reaches(third, "completed").await;
    gate.add_permits(1);
    for task in [first, second] {
        let view = running.reaches(task, "completed").await;
        assert_eq!(view["attempts"], 1);
    }
}

/// More than is decoded at once.
fn large() -> Vec<u8> {
    [PNG, &vec![7; 2 * 1024 * 1024]].concat()
}

#[tokio::test]
async fn a_large_picture_inside_of_an_answer_is_kept_whole() {
    let (maker, _) = answering(|_| {
        let picture = json!({ "b64_json": STANDARD.encode(large()) });
        (200, json!({ "data": [picture] }))
    })
    .await;
    let sections = |_: &str| section("openai", &maker);
    let sandboxed = Sandboxed::live(built_in(), sections).await;
    let body = json!({ "model": "gpt-image-1-5", "prompt": "a fox" });
    let task = submit(&sandboxed.running, PICTURES, &body).await.unwrap();
    sandboxed.running.reaches(task, "completed").await;
    let (_, bytes) = crate::life::read_with_head(&sandboxed.running, task, None).await;
    assert!(bytes == large(), "{} bytes", bytes.len());
}

#[tokio::test]
async fn a_picture_inside_of_an_answer_that_cannot_be_kept_at_once_is_kept_later() {
    let (maker, asked) = maker_behind(Arc::new(Semaphore::new(Semaphore::MAX_PERMITS))).await;
    let sections = |_: &str| section("gemini", &maker);
    let sandboxed = Sandboxed::live(built_in(), sections).await;
    let running = &sandboxed.running;
    let outputs = sandboxed.house.database.directory().join("outputs");
    let away = outputs.with_file_name("away");
    std::fs::rename(&outputs, &away).unwrap();
    std::fs::write(&outputs, "no folder").unwrap();
    let task = submit(running, PICTURES, &fox()).await.unwrap();
    let row = async || {
        let row = sqlx::query("select job, lease_until from task where id = $1")
            .bind(task.to_vec())
            .fetch_one(running.db.reader())
            .await
            .unwrap();
        let (job, lease): (Option<String>, i64) = (row.get(0), row.get(1));
        (job.unwrap_or_default(), lease)
    };
    eventually("it is answered", async || row().await.0 == "given r1").await;
    // Who tries to keep it gives signs of life.
    let (_, before) = row().await;
    eventually("it is being kept", async || row().await.1 > before).await;
    assert_eq!(running.view(task).await.unwrap()["status"], "processing");
    std::fs::remove_file(&outputs).unwrap();
    std::fs::rename(&away, &outputs).unwrap();
    running.reaches(task, "completed").await;
    assert_eq!(asked.lock().unwrap().len(), 1);
    sandboxed.settles(task, &[18_000_000]).await;
}

#[tokio::test]
async fn what_comes_inside_of_a_late_answer_is_counted_once() {
    let gate = Arc::new(Semaphore::new(0));
    let (maker, asked) = maker_behind(Arc::clone(&gate)).await;
    let sections = |_: &str| section("gemini", &maker);
    let sandboxed = Sandboxed::live(built_in(), sections).await;
    let running = &sandboxed.running;
    let task = submit(running, PICTURES, &fox()).await.unwrap();
    eventually("it is on its way", async || {
        asked.lock().unwrap().len() == 1
    })
    .await;
    stop(running, task).await.unwrap();
    gate.add_permits(1);
    let run = async || {
        let row = sqlx::query("select outcome, look_at from attempt where task_id = $1")
            .bind(task.to_vec())
            .fetch_one(running.db.reader())
            .await
            .unwrap();
        let (outcome, look_at): (String, Option<i64>) = (row.get(0), row.get(1));
        (outcome, look_at)
    };
    eventually("it is noted", async || run().await.0 != "unknown").await;
    assert_eq!(run().await, ("succeeded".to_owned(), None));
    sandboxed.settles(task, &[0]).await;
}

#[tokio::test]
async fn what_is_being_kept_is_not_cancelled() {
    let scene = Scene::new(Engine::Sqlite, 300).await;
    let task = scene.runs().await;
    // Its provider has answered with a picture, and somebody keeps it.
    let later = now_micros() + 3_600_000_000;
    let kept: Result<(), media::Error> = scene
        .running
        .db
        .write(move |connection| {
            Box::pin(async move {
                let sql = "update task set job = 'given r1', claims = claims + 1, lease_until = $1, due_at = $1 where id = $2";
                sqlx::query(sql)
                    .bind(later)
                    .bind(task.to_vec())
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
        .await;
    kept.unwrap();
    let fault = scene.running.cancel(task).await.unwrap_err();
    assert_eq!(fault.code, code::NOT_CANCELLABLE);
    let row = sqlx::query("select cancel_asked_at, lease_until from task where id = $1")
        .bind(task.to_vec())
        .fetch_one(scene.running.db.reader())
        .await
        .unwrap();
    let (asked_at, lease): (i64, i64) = (row.get(0), row.get(1));
    assert_eq!((asked_at, lease, scene.fal.cancels()), (0, later, 0));
}
