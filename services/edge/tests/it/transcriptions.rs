//! `POST /audio/transcriptions`: a form is taken in as it comes, in every order of its fields; what media hears of it, and what is answered.

use domain::FileId;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::{
    house::{House, read, refusal},
    uploads::{field, file},
};

const KIND: &str = "multipart/form-data; boundary=b";

fn asked(house: &House, key: &str, fields: &[String]) -> RequestBuilder {
    let body = format!("{}--b--\r\n", fields.concat());
    house
        .post("/v1/audio/transcriptions", key, body)
        .header("content-type", KIND)
}

#[tokio::test]
async fn a_form_is_a_task_of_a_file_that_is_there_as_long() {
    let house = House::start().await;
    let key = house.usual_key();
    for (fields, kind, body) in [
        (
            vec![
                file("a.wav", "sound"),
                field("model", "whisper-1"),
                field("response_format", "text"),
            ],
            "text/plain; charset=utf-8",
            "la\n",
        ),
        (
            vec![
                field("model", "whisper-1"),
                field("response_format", "vtt"),
                file("a.wav", "sound"),
            ],
            "text/vtt; charset=utf-8",
            "WEBVTT\n\n00:00:00.000 --> 00:00:03.000\nla\n\n",
        ),
        (
            vec![file("a.wav", "sound"), field("model", "whisper-1")],
            "application/json",
            r#"{"text":"la","usage":{"type":"duration","seconds":3}}"#,
        ),
        (
            vec![
                file("a.wav", "sound"),
                field("model", "whisper-1"),
                field("stream", "true"),
            ],
            "text/event-stream",
            "data: {\"type\":\"transcript.text.delta\",\"delta\":\"la\"}\n\n\
             data: {\"type\":\"transcript.text.done\",\"text\":\"la\",\"usage\":{\"type\":\"duration\",\"seconds\":3}}\n\n\
             data: [DONE]\n\n",
        ),
    ] {
        let answer = asked(&house, &key, &fields).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{kind}");
        assert_eq!(answer.headers()["content-type"], kind);
        assert_eq!(answer.headers()["x-aio-cost-credits"], "2");
        assert!(answer.headers().contains_key("x-aio-operation-id"));
        assert_eq!(answer.text().await.unwrap(), body);
    }
    let submits = house.world.submits.lock().unwrap();
    assert_eq!(submits.len(), 4);
    for submit in submits.iter() {
        let sent: Value = serde_json::from_slice(&submit.body).unwrap();
        assert!(FileId::parse(sent["file"].as_str().unwrap()).is_some());
        assert_eq!(submit.route, "audio/transcriptions");
        assert_eq!(submit.sent_hash.len(), 32);
    }
    let shelf = house.files.shelf();
    assert!(shelf.ends.iter().all(|end| end.briefly));
    assert!(shelf.is_empty(), "nobody needs them any more");
}

#[tokio::test]
async fn what_is_paid_and_cannot_be_read_is_not_asked_for_again() {
    let house = House::start().await;
    let key = house.usual_key();
    for prompt in ["unreadable", "unseen"] {
        let form = [
            file("a.wav", "sound"),
            field("model", "whisper-1"),
            field("prompt", prompt),
        ];
        let answer = asked(&house, &key, &form).send().await.unwrap();
        assert_eq!(answer.status(), 504, "{prompt}");
        assert_eq!(answer.headers()["x-should-retry"], "false", "{prompt}");
        let told = answer.text().await.unwrap();
        assert!(told.contains("/api/v1/tasks/task_"), "{told}");
    }
}

#[tokio::test]
async fn a_form_that_comes_again_is_the_same_whatever_its_file_is_called() {
    let house = House::start().await;
    let key = house.usual_key();
    let form = [file("a.wav", "sound"), field("model", "whisper-1")];
    let again = || asked(&house, &key, &form).header("idempotency-key", "k");
    let first = again().send().await.unwrap();
    let second = again().send().await.unwrap();
    assert_eq!(second.headers()["idempotent-replayed"], "true");
    assert!(!first.headers().contains_key("idempotent-replayed"));
    let submits = house.world.submits.lock().unwrap();
    assert_ne!(submits[0].body, submits[1].body);
    assert_eq!(submits[0].sent_hash, submits[1].sent_hash);
    assert!(house.files.shelf().is_empty());
}

#[tokio::test]
async fn what_is_wrong_with_a_form_names_its_field_and_leaves_no_file() {
    let house = House::with("limits.recordings.max_bytes = 100").await;
    let key = house.usual_key();
    let sound = || file("a.wav", "sound");
    for (fields, status, code, param) in [
        (
            vec![field("model", "whisper-1")],
            400,
            "missing_parameter",
            "file",
        ),
        (vec![sound(), sound()], 400, "invalid_parameter", "file"),
        (
            vec![file("a.wav", &"x".repeat(101)), field("model", "whisper-1")],
            413,
            "body_too_large",
            "file",
        ),
        (
            vec![sound(), field("model", "a"), field("model", "b")],
            400,
            "invalid_parameter",
            "model",
        ),
        (
            vec![sound(), field("response_format", "docx")],
            400,
            "invalid_parameter",
            "response_format",
        ),
        (
            vec![sound(), field("timestamp_granularities[]", "word")],
            400,
            "invalid_parameter",
            "timestamp_granularities[]",
        ),
    ] {
        let (found, body) = read(asked(&house, &key, &fields)).await;
        let error = &body["error"];
        assert_eq!(
            (found, &error["code"], &error["param"]),
            (status, &json!(code), &json!(param)),
            "{body}"
        );
    }
    let many: Vec<String> = (0..33)
        .map(|number| field(&format!("f{number}"), "1"))
        .chain([sound()])
        .collect();
    let refused = refusal(asked(&house, &key, &many)).await;
    assert_eq!(refused, (400, "invalid_parameter".to_owned()));
    let broken = house
        .post("/v1/audio/transcriptions", &key, "--b".to_owned())
        .header("content-type", "multipart/form-data");
    assert_eq!(refusal(broken).await, (400, "invalid_parameter".to_owned()));
    assert!(house.files.shelf().is_empty());
    assert!(house.world.submits.lock().unwrap().is_empty());
}

#[tokio::test]
async fn json_that_names_a_file_is_a_task_unless_it_wants_a_transcript() {
    let house = House::start().await;
    let key = house.usual_key();
    let body = json!({"model": "whisper-1", "file": "file_01h455vb4pex5vsknk084sn02q"});
    let post = |body: &Value| house.post("/v1/audio/transcriptions", &key, body.to_string());
    let (status, answer) = read(post(&body)).await;
    assert_eq!((status, &answer["code"]), (202, &json!(200)), "{answer}");
    let mut verbose = body.clone();
    verbose["response_format"] = json!("verbose_json");
    let (status, answer) = read(post(&verbose)).await;
    assert_eq!(status, 200);
    assert_eq!(
        (&answer["task"], &answer["duration"], &answer["segments"]),
        (&json!("transcribe"), &json!(3.0), &json!([]))
    );
    let submits = house.world.submits.lock().unwrap();
    let sent: Vec<Value> = submits
        .iter()
        .map(|submit| serde_json::from_slice(&submit.body).unwrap())
        .collect();
    assert_eq!(sent, [body, verbose]);
    assert!(submits.iter().all(|submit| submit.sent_hash.is_empty()));
}
