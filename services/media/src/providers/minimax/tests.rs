//! Every answer they may give, over a real connection.

use axum::{Router, extract::Request};
use serde_json::json;

use super::*;
use crate::providers::for_tests::{access, answering, client, shown, told};

fn adapter() -> MiniMax {
    MiniMax::new(client())
}

async fn submit(access: &Access, input: Value) -> Result<Started, Failure> {
    let order = Order {
        model: "MiniMax-Hailuo-2.3",
        parameters: input.as_object().unwrap(),
        callback: Some("https://us.example/c/1"),
    };
    adapter().start(access, &order).await
}

#[tokio::test]
async fn a_film_is_asked_for() {
    let answer = r#"{"task_id":"1760","base_resp":{"status_code":0,"status_msg":"success"}}"#;
    let (access, asked) = answering(200, answer).await;
    let input = json!({ "prompt": "a fox", "first_frame_image": "data:image/png;base64,QUJD", "duration": 6, "resolution": "768P" });
    assert_eq!(submit(&access, input).await.unwrap().job, "1760");
    let (place, headers, body) = asked.lock().unwrap()[0].clone();
    assert_eq!(place, "POST /p/v1/video_generation");
    assert_eq!(headers["authorization"], "Bearer k3y");
    assert_eq!(
        body,
        json!({ "prompt": "a fox", "first_frame_image": "data:image/png;base64,QUJD", "duration": 6, "resolution": "768P",
                "model": "MiniMax-Hailuo-2.3" }),
        "no address to call back, which they would ask first"
    );
    let long = submit(&access, json!({ "prompt": "é".repeat(2_001) })).await;
    assert!(long.unwrap_err().another_may_serve());
    assert_eq!(asked.lock().unwrap().len(), 1, "nobody was asked");
}

/// Answers to a submit, and what is read: the id, or a class and its words.
const SUBMITS: &[(u16, &str, &str)] = &[
    (
        200,
        r#"{"task_id":1760,"base_resp":{"status_code":0}}"#,
        "1760",
    ),
    // Whatever stands beside the id.
    (
        200,
        r#"{"task_id":"1760","status":null,"file":7,"data":[],"base_resp":{"status_code":"0","status_msg":null}}"#,
        "1760",
    ),
    (
        200,
        r#"{"base_resp":{"status_code":"1008","status_msg":null}}"#,
        "balance",
    ),
    (
        200,
        r#"{"task_id":"","base_resp":{"status_code":0,"status_msg":"success"}}"#,
        "malformed",
    ),
    (200, r#"{"task_id":"1760"}"#, "malformed"),
    (200, "<h1>Sorry</h1>", "malformed"),
    // All of these under a status that says all is well.
    (
        200,
        r#"{"base_resp":{"status_code":1004,"status_msg":"login fail"}}"#,
        "auth",
    ),
    (
        200,
        r#"{"base_resp":{"status_code":2049,"status_msg":"invalid api key"}}"#,
        "auth",
    ),
    (
        200,
        r#"{"base_resp":{"status_code":1008,"status_msg":"insufficient balance"}}"#,
        "balance",
    ),
    (
        200,
        r#"{"base_resp":{"status_code":2056,"status_msg":"usage limit"}}"#,
        "balance",
    ),
    (
        200,
        r#"{"base_resp":{"status_code":1002,"status_msg":"rate limit"}}"#,
        "rate_limited",
    ),
    (
        200,
        r#"{"base_resp":{"status_code":1041,"status_msg":"conn limit"}}"#,
        "overloaded",
    ),
    (
        200,
        r#"{"base_resp":{"status_code":1000,"status_msg":"unknown"}}"#,
        "unknown",
    ),
    (
        200,
        r#"{"base_resp":{"status_code":1026,"status_msg":"input new_sensitive"}}"#,
        "moderated: input new_sensitive",
    ),
    (
        200,
        r#"{"base_resp":{"status_code":2013,"status_msg":"invalid params, duration"}}"#,
        "invalid: invalid params, duration",
    ),
    (
        200,
        r#"{"base_resp":{"status_code":4711,"status_msg":"new"}}"#,
        "malformed",
    ),
    (
        200,
        r#"{"base_resp":{"status_code":1013,"status_msg":"internal"}}"#,
        "unknown",
    ),
    (
        200,
        r#"{"base_resp":{"status_code":1028,"status_msg":"plan"}}"#,
        "balance",
    ),
    (
        200,
        r#"{"base_resp":{"status_code":1030,"status_msg":"plan"}}"#,
        "balance",
    ),
    (
        200,
        r#"{"base_resp":{"status_code":1033,"status_msg":"downstream"}}"#,
        "unknown",
    ),
    (
        200,
        r#"{"base_resp":{"status_code":1039,"status_msg":"tokens"}}"#,
        "rate_limited",
    ),
    (
        200,
        r#"{"base_resp":{"status_code":1042,"status_msg":"characters"}}"#,
        "invalid: characters",
    ),
    (
        200,
        r#"{"base_resp":{"status_code":2045,"status_msg":"growth"}}"#,
        "rate_limited",
    ),
    (
        200,
        r#"{"base_resp":{"status_code":2061,"status_msg":"no plan for it"}}"#,
        "auth",
    ),
    // A code that is new, among those that are known.
    (
        200,
        r#"{"base_resp":{"status_code":2077,"status_msg":"new"}}"#,
        "invalid",
    ),
    (
        401,
        r#"{"base_resp":{"status_code":1004,"status_msg":"login fail"}}"#,
        "auth",
    ),
    (500, "oops", "unknown"),
    (429, "slow down", "rate_limited"),
    (502, "<h1>Bad Gateway</h1>", "unknown"),
];

#[tokio::test]
async fn answers_to_a_submit_are_read() {
    for &(status, body, expected) in SUBMITS {
        let (access, asked) = answering(status, body).await;
        let read = match submit(&access, json!({ "prompt": "a fox" })).await {
            Ok(started) => started.job,
            Err(failure) => told(&failure),
        };
        assert_eq!(read, expected, "{status} {body}");
        assert_eq!(asked.lock().unwrap().len(), 1, "a submit is made once");
    }
}

/// Answers to a look, and what is read.
const LOOKS: &[(u16, &str, &str)] = &[
    (
        200,
        r#"{"task_id":"1","status":"Preparing","base_resp":{"status_code":0}}"#,
        "running",
    ),
    (
        200,
        r#"{"task_id":"1","status":"Dreaming","base_resp":{"status_code":0}}"#,
        "running",
    ),
    (
        200,
        r#"{"task_id":"1","status":"Success","file_id":"","base_resp":{"status_code":0}}"#,
        "done nothing",
    ),
    (
        200,
        r#"{"task_id":"1","status":"Fail","base_resp":{"status_code":1027,"status_msg":"output new_sensitive"}}"#,
        "failed moderated: output new_sensitive",
    ),
    (
        200,
        r#"{"task_id":"1","status":"failed","base_resp":{"status_code":1024}}"#,
        "failed overloaded",
    ),
    (
        200,
        r#"{"task_id":"1","status":"Fail","base_resp":{"status_code":0}}"#,
        "failed overloaded",
    ),
    (
        200,
        r#"{"task_id":"1","status":"Fail","base_resp":{"status_code":1008}}"#,
        "failed overloaded",
    ),
    (
        200,
        r#"{"task_id":"1","status":"Fail","base_resp":{"status_code":2077}}"#,
        "failed overloaded",
    ),
    (
        200,
        r#"{"task_id":"1","status":"Unknown","base_resp":{"status_code":0}}"#,
        "missing",
    ),
    (
        200,
        r#"{"base_resp":{"status_code":2013,"status_msg":"invalid params, task_id"}}"#,
        "missing",
    ),
    (
        200,
        r#"{"base_resp":{"status_code":1004,"status_msg":"login fail"}}"#,
        "auth",
    ),
    (
        200,
        r#"{"base_resp":{"status_code":1002,"status_msg":"rate limit"}}"#,
        "rate_limited",
    ),
    (200, r#"{"base_resp":{"status_code":0}}"#, "malformed"),
    (404, "<h1>Not Found</h1>", "unknown"),
    (200, "{", "malformed"),
];

#[tokio::test]
async fn a_task_is_read() {
    for &(status, body, expected) in LOOKS {
        let (access, asked) = answering(status, body).await;
        let outcome = adapter().check(&access, "1").await;
        assert_eq!(shown(&outcome), expected, "{status} {body}");
        let asked = asked.lock().unwrap();
        assert_eq!(asked[0].0, "GET /p/v1/query/video_generation?task_id=1");
    }
}

/// A provider whose task is done, and that answers so for the file.
async fn done(file: &'static str) -> Access {
    let answer = move |request: Request| async move {
        if request.uri().path().ends_with("/files/retrieve") {
            assert_eq!(request.uri().query(), Some("file_id=2059"));
            return file;
        }
        r#"{"task_id":"1","status":"Success","file_id":2059,"video_width":1366,"video_height":768,"base_resp":{"status_code":0}}"#
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}/p/", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer);
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's server ends with the test"
    )]
    tokio::spawn(async move { axum::serve(listener, router).await });
    access(&origin)
}

#[tokio::test]
async fn a_finished_task_leads_to_its_file() {
    for (file, expected) in [
        (
            r#"{"file":{"file_id":2059,"bytes":0,"created_at":1,"filename":"a.mp4","purpose":"video_generation","download_url":"https://v/1.mp4"},"base_resp":{"status_code":0}}"#,
            "done https://v/1.mp4",
        ),
        // Of a film that is paid no answer is the last.
        (
            r#"{"file":{"download_url":null},"base_resp":{"status_code":0}}"#,
            "done nothing",
        ),
        (
            r#"{"file":{"download_url":""},"base_resp":{"status_code":0}}"#,
            "done nothing",
        ),
        (
            r#"{"base_resp":{"status_code":2013,"status_msg":"no file"}}"#,
            "malformed",
        ),
        (r#"{"base_resp":{"status_code":1002}}"#, "rate_limited"),
    ] {
        let outcome = adapter().check(&done(file).await, "1").await;
        assert_eq!(shown(&outcome), expected, "{file}");
    }
}

async fn sing(access: &Access) -> Result<Started, Failure> {
    let input = json!({ "prompt": "folk", "lyrics": "la", "audio_setting": { "format": "mp3" } });
    let order = Order {
        model: "music-2.5",
        parameters: input.as_object().unwrap(),
        callback: Some("https://us.example/c/1"),
    };
    adapter().start(access, &order).await
}

#[tokio::test]
async fn a_song_is_there_when_the_call_ends() {
    let answer = r#"{"data":{"status":2,"audio":"https://a/1.mp3?x=1"},"extra_info":{"music_duration":25364,"music_sample_rate":44100,"music_size":813651},
        "trace_id":"t","base_resp":{"status_code":0,"status_msg":"success"}}"#;
    let (access, asked) = answering(200, answer).await;
    let started = sing(&access).await.unwrap();
    assert_eq!(started.files, ["https://a/1.mp3?x=1"]);
    let (place, _, body) = asked.lock().unwrap()[0].clone();
    assert_eq!(place, "POST /p/v1/music_generation");
    assert_eq!(
        body,
        json!({ "prompt": "folk", "lyrics": "la", "audio_setting": { "format": "mp3" }, "model": "music-2.5", "output_format": "url" })
    );
    let outcome = adapter().check(&access, &started.job).await;
    assert_eq!(shown(&outcome), "done https://a/1.mp3?x=1");
    assert_eq!(asked.lock().unwrap().len(), 1, "nobody is asked for that");
    assert_eq!(adapter().answers("music-2.5"), Answers::AtOnce);
    assert_eq!(adapter().answers("MiniMax-Hailuo-2.3"), Answers::Later);
}

#[tokio::test]
async fn a_song_may_come_by_another_name_or_in_hex_or_not_at_all() {
    for (body, expected) in [
        (
            r#"{"data":{"audio":null,"audio_url":"https://a/1.mp3"},"base_resp":{"status_code":0}}"#,
            "https://a/1.mp3",
        ),
        (
            r#"{"data":{"audio":"6120666f78","audio_url":"https://a/1.mp3"},"base_resp":{"status_code":0}}"#,
            "https://a/1.mp3",
        ),
        (
            r#"{"data":{"status":2,"audio":"6120666f78","audio_url":""},"base_resp":{"status_code":0}}"#,
            "data:audio/mpeg;base64,YSBmb3g=",
        ),
        (
            r#"{"data":{"status":2,"audio":""},"base_resp":{"status_code":0}}"#,
            "malformed",
        ),
        (
            r#"{"data":null,"base_resp":{"status_code":0}}"#,
            "malformed",
        ),
        // It is over, and for nothing.
        (
            r#"{"base_resp":{"status_code":1024,"status_msg":"internal"}}"#,
            "",
        ),
        (
            r#"{"base_resp":{"status_code":2056,"status_msg":"usage limit"}}"#,
            "balance",
        ),
        (
            r#"{"base_resp":{"status_code":1026,"status_msg":"lyrics"}}"#,
            "moderated: lyrics",
        ),
    ] {
        let (access, _) = answering(200, body).await;
        let read = match sing(&access).await {
            Ok(started) => started.files.join(" "),
            Err(failure) => told(&failure),
        };
        assert_eq!(read, expected, "{body}");
    }
}

#[tokio::test]
async fn a_gateways_503_says_nothing_about_a_song() {
    let (access, _) = answering(503, "upstream connect error").await;
    assert_eq!(told(&sing(&access).await.unwrap_err()), "unknown");
    let theirs = r#"{"base_resp":{"status_code":1041,"status_msg":"conn limit"}}"#;
    let (access, _) = answering(503, theirs).await;
    assert_eq!(told(&sing(&access).await.unwrap_err()), "overloaded");
}
