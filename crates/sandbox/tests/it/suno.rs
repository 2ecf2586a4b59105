//! Suno at both of its hosts: a record that fills up, its ends, and what the hosts' codes mean.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{App, PATIENCE};

fn order(words: &str) -> Value {
    json!({
        "model": "V5", "customMode": false, "instrumental": false, "prompt": format!("a song of a fox {words}"),
        "callBackUrl": "https://callback.invalid/",
    })
}

async fn envelope(request: reqwest::RequestBuilder) -> Value {
    let response = request.bearer_auth("any").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.json().await.unwrap()
}

async fn submit(app: &App, host: &str, body: &Value) -> Value {
    let path = format!("/{host}/api/v1/generate");
    envelope(app.post(&path).json(body)).await
}

async fn record(app: &App, host: &str, task: &str) -> Value {
    let path = format!("/{host}/api/v1/generate/record-info?taskId={task}");
    envelope(app.get(&path)).await
}

/// Polls until the record has one of these states.
async fn reaches(app: &App, host: &str, task: &str, states: &[&str]) -> Value {
    let polling = async {
        loop {
            let record = record(app, host, task).await;
            if states.contains(&record["data"]["status"].as_str().unwrap_or("none")) {
                return record["data"].clone();
            }
        }
    };
    tokio::time::timeout(PATIENCE, polling).await.unwrap()
}

async fn accepted(app: &App, host: &str, words: &str) -> String {
    let envelope = submit(app, host, &order(words)).await;
    assert_eq!(envelope["code"], 200, "{envelope}");
    envelope["data"]["taskId"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn two_songs_come_one_after_another_each_with_its_picture() {
    let app = App::start().await;
    for host in ["kie", "suno"] {
        let task = accepted(&app, host, "[sandbox delay=600ms]").await;
        let songs = |record: &Value| record["response"]["sunoData"].as_array().unwrap().clone();
        let heard = |record: &Value| {
            let songs = songs(record);
            songs.iter().filter(|song| song["audioUrl"] != "").count()
        };
        let text = reaches(&app, host, &task, &["TEXT_SUCCESS"]).await;
        assert_eq!((songs(&text).len(), heard(&text)), (2, 0));
        let first = reaches(&app, host, &task, &["FIRST_SUCCESS"]).await;
        assert_eq!((songs(&first).len(), heard(&first)), (2, 1));
        let done = reaches(&app, host, &task, &["SUCCESS"]).await;
        assert_eq!(heard(&done), 2);
        for song in songs(&done) {
            for (field, kind) in [("audioUrl", "audio/mpeg"), ("imageUrl", "image/jpeg")] {
                let url = song[field].as_str().unwrap();
                let file = app.client.get(url).send().await.unwrap();
                assert_eq!(file.status(), StatusCode::OK, "{url}");
                assert_eq!(file.headers()["content-type"], kind);
                assert!(!file.bytes().await.unwrap().is_empty());
            }
        }
    }
    let bill = app.json("/bill").await;
    for host in ["kie", "suno"] {
        assert_eq!(bill["by_provider"][host]["billed"], 60_000);
    }
}

#[tokio::test]
async fn each_outcome_has_its_end() {
    let app = App::start().await;
    for (words, status, code) in [
        ("outcome=fail", "GENERATE_AUDIO_FAILED", json!(501)),
        ("outcome=moderated", "SENSITIVE_WORD_ERROR", json!(400)),
        (
            "outcome=moderated delay=1ms",
            "GENERATE_AUDIO_FAILED",
            json!(413),
        ),
        ("outcome=success", "SUCCESS", Value::Null),
    ] {
        let task = accepted(&app, "kie", &format!("[sandbox {words}]")).await;
        let record = reaches(&app, "kie", &task, &[status]).await;
        assert_eq!(record["errorCode"], code, "{words}");
    }
    let task = accepted(&app, "suno", "[sandbox outcome=vanish]").await;
    assert_eq!(record(&app, "suno", &task).await["code"], 404);
    assert_eq!(record(&app, "suno", "0made-up").await["code"], 404);
}

#[tokio::test]
async fn hosts_refuse_in_their_own_codes_and_wrong_orders_alike() {
    let app = App::start().await;
    for (words, kie, suno) in [
        ("outcome=rate_limited", 429, 405),
        ("outcome=out_of_balance", 402, 429),
        ("outcome=overloaded", 455, 455),
    ] {
        let body = order(&format!("[sandbox {words}]"));
        for (host, code) in [("kie", kie), ("suno", suno)] {
            assert_eq!(
                submit(&app, host, &body).await["code"],
                code,
                "{host} {words}"
            );
        }
    }
    let custom = |more: Value| {
        let mut body = order("");
        body["customMode"] = json!(true);
        body.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        body
    };
    for (body, code) in [
        (json!([]), 400),
        (json!({}), 422),
        (custom(json!({"title": "Fox"})), 422),
        (
            custom(json!({"title": "Fox", "style": "x".repeat(1_001)})),
            413,
        ),
        (
            custom(json!({"model": "V4", "title": "Fox", "style": "x".repeat(201)})),
            413,
        ),
        (
            custom(json!({"model": "V9", "title": "Fox", "style": "folk"})),
            422,
        ),
        (
            custom(json!({"callBackUrl": null, "title": "Fox", "style": "folk"})),
            422,
        ),
        (custom(json!({"title": "Fox", "style": "folk"})), 200),
        (
            custom(json!({"title": "Fox", "style": "folk", "prompt": "", "instrumental": true})),
            200,
        ),
    ] {
        assert_eq!(submit(&app, "kie", &body).await["code"], code, "{body}");
    }
    let no_key = app
        .post("/kie/api/v1/generate")
        .json(&order(""))
        .send()
        .await
        .unwrap();
    let no_key: Value = no_key.json().await.unwrap();
    assert_eq!(no_key["code"], 401);
}

async fn posted(app: &App, path: &str, body: &Value) -> Value {
    envelope(app.post(&format!("/kie/api/v1/{path}")).json(body)).await
}

/// The record of an order of songs, once it is done, and the order.
async fn sung(app: &App, words: &str) -> (String, Value) {
    let task = accepted(app, "kie", words).await;
    let record = reaches(app, "kie", &task, &["SUCCESS"]).await;
    (task, record)
}

#[tokio::test]
async fn songs_go_on_from_a_song_and_are_made_of_a_sound() {
    let app = App::start().await;
    let (_, first) = sung(&app, "[sandbox delay=1ms]").await;
    let song = &first["response"]["sunoData"][1]["id"];
    let longer = |more: Value| {
        let mut body = json!({
            "defaultParamFlag": true, "audioId": song, "model": "V5", "callBackUrl": "https://callback.invalid/",
            "prompt": "la", "style": "folk", "title": "Fox", "continueAt": 5,
        });
        let fields = body.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        body
    };
    for (more, code) in [
        (json!({}), 200),
        (
            json!({"defaultParamFlag": false, "prompt": null, "style": null}),
            200,
        ),
        (json!({"audioId": "x-0"}), 422),
        (
            json!({"audioId": format!("{}9", song.as_str().unwrap())}),
            422,
        ),
        (json!({"model": "V4"}), 422),
        (json!({"continueAt": 12}), 422),
        (json!({"continueAt": 0}), 422),
        (json!({"title": null}), 422),
    ] {
        let answer = posted(&app, "generate/extend", &longer(more.clone())).await;
        assert_eq!(answer["code"], code, "{more}: {answer}");
        if code == 200 {
            let task = answer["data"]["taskId"].as_str().unwrap();
            reaches(&app, "kie", task, &["SUCCESS"]).await;
        }
    }
    let sound = json!({
        "uploadUrl": "https://example.com/a.mp3", "customMode": false, "instrumental": false, "model": "V4", "prompt": "folk",
        "callBackUrl": "https://callback.invalid/",
    });
    let answer = posted(&app, "generate/upload-cover", &sound).await;
    let task = answer["data"]["taskId"].as_str().unwrap();
    reaches(&app, "kie", task, &["SUCCESS"]).await;
    let nothing = json!({"customMode": false, "instrumental": false, "model": "V4", "callBackUrl": "https://callback.invalid/"});
    assert_eq!(
        posted(&app, "generate/upload-cover", &nothing).await["code"],
        422
    );
}

#[tokio::test]
async fn a_song_has_its_pictures_once_and_its_words_as_often_as_asked() {
    let app = App::start().await;
    let (task, first) = sung(&app, "[sandbox delay=1ms]").await;
    let order = json!({"taskId": task, "callBackUrl": "https://callback.invalid/"});
    let answer = posted(&app, "suno/cover/generate", &order).await;
    let cover = answer["data"]["taskId"].as_str().unwrap().to_owned();
    let again = posted(&app, "suno/cover/generate", &order).await;
    assert_eq!(
        (&again["code"], &again["data"]["taskId"]),
        (&json!(400), &json!(cover))
    );
    let path = format!("/kie/api/v1/suno/cover/record-info?taskId={cover}");
    let polling = async {
        loop {
            let record = envelope(app.get(&path)).await["data"].clone();
            if record["successFlag"] == 1 {
                return record;
            }
        }
    };
    let record = tokio::time::timeout(PATIENCE, polling).await.unwrap();
    let images = record["response"]["images"].as_array().unwrap();
    assert_eq!(images.len(), 2);
    for url in images {
        let file = app.client.get(url.as_str().unwrap()).send().await.unwrap();
        assert_eq!(file.headers()["content-type"], "image/jpeg");
    }
    let song = &first["response"]["sunoData"][0]["id"];
    let words = json!({"taskId": task, "audioId": song});
    for _ in 0..2 {
        let timed = posted(&app, "generate/get-timestamped-lyrics", &words).await;
        assert_eq!(timed["data"]["alignedWords"][0]["startS"], 0.5, "{timed}");
    }
    for body in [
        json!({"taskId": task, "audioId": "x"}),
        json!({"taskId": "x", "audioId": song}),
        json!([]),
    ] {
        let answer = posted(&app, "generate/get-timestamped-lyrics", &body).await;
        assert_eq!(answer["code"], 404, "{body}");
    }
    let (task, first) = sung(&app, "[sandbox delay=1ms then=fail]").await;
    let words = json!({"taskId": task, "audioId": first["response"]["sunoData"][0]["id"]});
    assert_eq!(
        posted(&app, "generate/get-timestamped-lyrics", &words).await["code"],
        501
    );
}
