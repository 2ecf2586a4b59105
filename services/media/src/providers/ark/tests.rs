//! Every answer they may give, over a real connection.

use axum::{Router, extract::Request};
use http::StatusCode;

use super::*;
use crate::providers::for_tests::{access, answering, client, shown, stopped, told};

const SEEDREAM: &str = "seedream-4-5-251128";
const SEEDANCE: &str = "seedance-1-5-pro-251215";

async fn submit(access: &Access, model: &str, sent: Value) -> Result<Started, Failure> {
    let parameters = sent.as_object().unwrap().clone();
    let order = Order {
        model,
        parameters: &parameters,
        callback: Some("https://us.example/c/1"),
    };
    Ark::new(client()).start(access, &order).await
}

#[tokio::test]
async fn a_picture_is_where_the_answer_says() {
    let answer = r#"{"model":"seedream-4-5-251128","created":1790000000,"data":[{"url":"https://ark.example/1.jpeg?X-Tos-Expires=86400","size":"2048x2048"}],
        "usage":{"input_images":0,"generated_images":1,"output_tokens":16384,"total_tokens":16384}}"#;
    let (access, asked) = answering(200, answer).await;
    let sent = json!({ "prompt": "a fox", "size": "2048x2048", "image": ["https://a.example/1"], "watermark": false });
    let started = submit(&access, SEEDREAM, sent).await.unwrap();
    assert_eq!(
        started.files,
        ["https://ark.example/1.jpeg?X-Tos-Expires=86400"]
    );
    let (place, headers, body) = asked.lock().unwrap()[0].clone();
    assert_eq!(place, "POST /p/images/generations");
    assert_eq!(headers["authorization"], "Bearer k3y");
    let expected = json!({ "prompt": "a fox", "size": "2048x2048", "image": ["https://a.example/1"], "watermark": false, "model": SEEDREAM, "response_format": "url" });
    assert_eq!(body, expected);
    let ark = Ark::new(client());
    let looked = ark.check(&access, &started.job).await;
    assert_eq!(
        shown(&looked),
        "done https://ark.example/1.jpeg?X-Tos-Expires=86400"
    );
    assert_eq!(
        stopped(&ark.cancel(&access, &started.job).await),
        "too late"
    );
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_picture_may_be_missing_where_all_is_well() {
    let sensitive = r#"{"created":1,"data":[{"error":{"code":"OutputImageSensitiveContentDetected","message":"The output may be sensitive."}}]}"#;
    let (access, _) = answering(200, sensitive).await;
    let failure = submit(&access, SEEDREAM, json!({})).await.unwrap_err();
    assert_eq!(told(&failure), "moderated: The output may be sensitive.");
    let broken = r#"{"created":1,"data":[],"error":{"code":"InternalServiceError","message":"m"}}"#;
    let (access, _) = answering(200, broken).await;
    let started = submit(&access, SEEDREAM, json!({})).await.unwrap();
    let looked = Ark::new(client()).check(&access, &started.job).await;
    assert_eq!(shown(&looked), "failed overloaded");
    for nothing in ["{}", r#"{"data":[{"url":""}]}"#, "<html>"] {
        let (access, _) = answering(200, nothing).await;
        let failure = submit(&access, SEEDREAM, json!({})).await.unwrap_err();
        assert_eq!(told(&failure), "malformed", "{nothing}");
    }
}

#[tokio::test]
async fn a_film_is_a_task() {
    let (access, asked) = answering(200, r#"{"id":"cgt-1"}"#).await;
    let sent = json!({ "prompt": "it runs", "first_frame": "https://a.example/1", "resolution": "720p", "ratio": "16:9", "duration": 8, "generate_audio": false });
    assert_eq!(submit(&access, SEEDANCE, sent).await.unwrap().job, "cgt-1");
    let (place, _, body) = asked.lock().unwrap()[0].clone();
    assert_eq!(place, "POST /p/contents/generations/tasks");
    assert_eq!(
        body,
        json!({
            "model": SEEDANCE,
            "content": [
                { "type": "text", "text": "it runs" },
                { "type": "image_url", "image_url": { "url": "https://a.example/1" }, "role": "first_frame" },
            ],
            "resolution": "720p", "ratio": "16:9", "duration": 8, "generate_audio": false, "callback_url": "https://us.example/c/1",
        })
    );
    for (status, body, expected) in [
        (200, r#"{"id":""}"#, "malformed"),
        (
            400,
            r#"{"error":{"code":"InputImageSensitiveContentDetected","message":"m","type":"BadRequest","param":""}}"#,
            "moderated: m",
        ),
        (
            400,
            r#"{"error":{"code":"InvalidParameter","message":"duration","type":"BadRequest","param":"duration"}}"#,
            "invalid: duration",
        ),
        (
            401,
            r#"{"error":{"code":"AuthenticationError","message":"m"}}"#,
            "auth",
        ),
        (
            403,
            r#"{"error":{"code":"AccountOverdueError","message":"m"}}"#,
            "balance",
        ),
        (
            404,
            r#"{"error":{"code":"ModelNotOpen","message":"m"}}"#,
            "gone",
        ),
        (
            429,
            r#"{"error":{"code":"QuotaExceeded","message":"m"}}"#,
            "balance",
        ),
        (
            429,
            r#"{"error":{"code":"RateLimitExceeded.EndpointRPMExceeded","message":"m"}}"#,
            "rate_limited",
        ),
        (
            500,
            r#"{"error":{"code":"InternalServiceError","message":"m"}}"#,
            "unknown",
        ),
    ] {
        let (access, _) = answering(status, body).await;
        let failure = submit(&access, SEEDANCE, json!({})).await.unwrap_err();
        assert_eq!(told(&failure), expected, "{body}");
    }
}

async fn looked(status: u16, body: &str) -> String {
    let (access, _) = answering(status, body).await;
    shown(&Ark::new(client()).check(&access, "cgt-1").await)
}

#[tokio::test]
async fn a_film_that_is_done_is_where_they_say_and_costs_by_its_sound() {
    for (audio, cost) in [
        (r#","generate_audio":true"#, " 261360"),
        (r#","generate_audio":false"#, " 130680"),
        ("", ""),
    ] {
        let body = format!(
            r#"{{"id":"cgt-1","model":"{SEEDANCE}","status":"succeeded","content":{{"video_url":"https://ark.example/1.mp4"}},
                "usage":{{"completion_tokens":108900}},"error":null{audio},"created_at":1,"updated_at":2}}"#
        );
        let expected = format!("done https://ark.example/1.mp4{cost}");
        assert_eq!(looked(200, &body).await, expected, "{body}");
    }
}

#[tokio::test]
async fn a_film_stands_as_they_say() {
    for (status, body, expected) in [
        (200, r#"{"id":"cgt-1","status":"queued"}"#, "running"),
        (200, r#"{"id":"cgt-1","status":"running"}"#, "running"),
        (200, r#"{"id":"cgt-1","status":"whatever"}"#, "running"),
        // What is nothing loses nothing.
        (
            200,
            r#"{"model":null,"status":"succeeded","content":{"video_url":"https://ark.example/1.mp4"},"usage":null,"generate_audio":null}"#,
            "done https://ark.example/1.mp4",
        ),
        (
            200,
            r#"{"status":"queued","content":null,"error":null,"usage":null}"#,
            "running",
        ),
        (
            200,
            r#"{"status":"succeeded","content":{}}"#,
            "done nothing",
        ),
        (
            200,
            r#"{"status":"failed","error":{"code":"OutputVideoSensitiveContentDetected","message":"m"}}"#,
            "failed moderated: m",
        ),
        (
            200,
            r#"{"status":"failed","error":{"code":"InternalServiceError","message":"m"}}"#,
            "failed overloaded",
        ),
        (
            200,
            r#"{"status":"failed","error":{"code":"InvalidParameter","message":"m"}}"#,
            "failed overloaded",
        ),
        (200, r#"{"status":"expired"}"#, "failed overloaded"),
        (200, r#"{"status":"cancelled"}"#, "failed overloaded"),
        (
            404,
            r#"{"error":{"code":"NotFound","message":"m"}}"#,
            "missing",
        ),
        (404, "<html>", "unknown"),
        (200, "<html>", "malformed"),
    ] {
        assert_eq!(looked(status, body).await, expected, "{body}");
    }
}

#[tokio::test]
async fn only_what_waits_is_cancelled() {
    for (status, calls, expected) in [
        ("queued", 2, "stopped"),
        ("running", 1, "too late"),
        ("succeeded", 1, "too late"),
    ] {
        let body = format!(r#"{{"id":"cgt-1","status":"{status}"}}"#);
        let (access, asked) = answering(200, &body).await;
        let told = Ark::new(client()).cancel(&access, "cgt-1").await;
        assert_eq!(stopped(&told), expected);
        let asked = asked.lock().unwrap();
        let places: Vec<&str> = asked.iter().map(|(place, _, _)| place.as_str()).collect();
        let both = [
            "GET /p/contents/generations/tasks/cgt-1",
            "DELETE /p/contents/generations/tasks/cgt-1",
        ];
        assert_eq!(places, both[..calls]);
    }
}

#[tokio::test]
async fn what_begins_to_run_meanwhile_is_not_cancelled() {
    let runs =
        r#"{"error":{"code":"InvalidAction","message":"the task runs","type":"BadRequest"}}"#;
    let gone = r#"{"error":{"code":"NotFound","message":"m"}}"#;
    let slow = r#"{"error":{"code":"RateLimitExceeded","message":"m"}}"#;
    for (status, body, expected) in [
        (200, "{}", "stopped"),
        (400, runs, "too late"),
        (404, gone, "too late"),
        (404, "<html>", "unknown"),
        (429, slow, "rate_limited"),
        (502, "<html>", "unknown"),
    ] {
        let answer = move |request: Request| async move {
            if request.method() == Method::DELETE {
                return (StatusCode::from_u16(status).unwrap(), body);
            }
            (StatusCode::OK, r#"{"id":"cgt-1","status":"queued"}"#)
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let access = access(&format!("http://{}/p/", listener.local_addr().unwrap()));
        let router = Router::new().fallback(answer);
        #[expect(
            clippy::disallowed_methods,
            reason = "a test's server ends with the test"
        )]
        tokio::spawn(async move { axum::serve(listener, router).await });
        let told = Ark::new(client()).cancel(&access, "cgt-1").await;
        assert_eq!(stopped(&told), expected, "{status} {body}");
    }
}
