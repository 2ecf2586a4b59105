//! Records of songs, and what hosts' codes mean.

use domain::Secret;
use http::{HeaderMap, HeaderValue};
use serde_json::json;

use super::{
    super::for_tests::{access, answering, client},
    *,
};

fn record(value: Value) -> Record {
    serde_json::from_value(value).unwrap()
}

fn song(number: u8, audio: &str, image: &str) -> Value {
    json!({
        "id": format!("song-{number}"), "audioUrl": audio, "imageUrl": image, "title": "Fox", "tags": "folk", "prompt": "la la",
        "modelName": "chirp-v4", "duration": 120.5, "createTime": 1,
    })
}

#[test]
fn a_record_fills_up() {
    let percent = |status: &str| match record(json!({"status": status})).progress().unwrap() {
        Progress::Running { percent, .. } => percent,
        other @ (Progress::Done { .. }
        | Progress::Told { .. }
        | Progress::Failed(_)
        | Progress::Wasted(..)
        | Progress::Missing) => {
            panic!("{other:?}")
        }
    };
    assert_eq!(percent("PENDING"), None);
    assert_eq!(percent("TEXT_SUCCESS"), Some(33));
    assert_eq!(percent("FIRST_SUCCESS"), Some(66));
    assert_eq!(percent("WHATEVER_THEY_ADD"), None);
    // Nothing can be said of songs that a callback did not tell of, and that are not there yet.
    assert_eq!(percent("CALLBACK_EXCEPTION"), None);
}

#[test]
fn songs_come_before_their_pictures_and_name_them() {
    let songs = [
        song(1, "https://a/1.mp3", ""),
        song(2, "https://a/2.mp3", "https://a/2.jpeg"),
        song(3, "", "https://a/3.jpeg"),
    ];
    for status in ["SUCCESS", "CALLBACK_EXCEPTION"] {
        let songs = if status == "SUCCESS" {
            &songs[..]
        } else {
            &songs[..2]
        };
        let record = record(json!({"status": status, "response": {"sunoData": songs}}));
        let Progress::Done { files, about, .. } = record.progress().unwrap() else {
            panic!("not done");
        };
        assert_eq!(
            files,
            ["https://a/1.mp3", "https://a/2.mp3", "https://a/2.jpeg"]
        );
        assert_eq!((about[0].picture, about[1].picture), (None, Some(2)));
        assert!(!about[0].is_part && !about[1].is_part && about[2].is_part);
        assert_eq!(
            Value::Object(about[1].facts.clone()),
            json!({"id": "song-2", "title": "Fox", "tags": "folk", "lyrics": "la la", "model_name": "chirp-v4"})
        );
    }
    // What is charged is two songs.
    for songs in [
        json!(null),
        json!([]),
        json!(songs[..1]),
        json!([songs[0], songs[2]]),
    ] {
        let fewer = |status: &str| {
            record(json!({"status": status, "response": {"sunoData": songs}})).progress()
        };
        assert_eq!(fewer("SUCCESS").unwrap_err().class(), Class::Malformed);
        assert!(matches!(
            fewer("CALLBACK_EXCEPTION"),
            Ok(Progress::Running { .. })
        ));
    }
}

#[test]
fn what_fails_for_its_content_says_so() {
    for (status, code, message, class) in [
        ("SENSITIVE_WORD_ERROR", json!(null), "", Class::Moderated),
        (
            "GENERATE_AUDIO_FAILED",
            json!(400),
            "lyrics",
            Class::Moderated,
        ),
        (
            "GENERATE_AUDIO_FAILED",
            json!("413"),
            "known",
            Class::Moderated,
        ),
        (
            "CREATE_TASK_FAILED",
            json!(500),
            "nsfw words",
            Class::Moderated,
        ),
        ("CREATE_TASK_FAILED", json!(500), "busy", Class::Overloaded),
        ("GENERATE_AUDIO_FAILED", json!(501), "", Class::Overloaded),
    ] {
        let record = record(json!({"status": status, "errorCode": code, "errorMessage": message}));
        let Progress::Failed(failure) = record.progress().unwrap() else {
            panic!("{status} has not failed");
        };
        assert_eq!(failure.class(), class, "{status} {message}");
    }
}

#[tokio::test]
async fn a_look_at_timed_lyrics_orders_none() {
    let words = json!({"code": 200, "msg": "fine", "data": {"alignedWords": [{"word": "la"}]}});
    let (access, asked) = answering(200, &words.to_string()).await;
    let suno = Suno::new(client(), Host::Kie);
    let order = json!({lyrics::TASK: "job", lyrics::CLIP: "clip"});
    let order = Order {
        model: LYRICS,
        parameters: order.as_object().unwrap(),
        callback: None,
    };
    let started = suno.start(&access, &order).await.unwrap();
    assert!(started.text.unwrap().contains("\"text\":\"la\""));
    let looked = suno.check(&access, &started.job).await.unwrap();
    assert!(matches!(looked, Progress::Wasted(..)), "{looked:?}");
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn one_number_means_two_things() {
    let class = |host: Host, code: i64| {
        let envelope = json!({"code": code, "msg": "no"}).to_string();
        let envelope = Envelope::read(envelope.as_bytes()).unwrap();
        envelope.refusal(host.codes()).class()
    };
    assert_eq!(class(Host::Kie, 429), Class::RateLimited);
    assert_eq!(class(Host::SunoApi, 429), Class::Balance);
    assert_eq!(class(Host::SunoApi, 405), Class::RateLimited);
    assert_eq!(class(Host::SunoApi, 430), Class::RateLimited);
    assert_eq!(class(Host::Kie, 402), Class::Balance);
    for host in [Host::Kie, Host::SunoApi] {
        assert_eq!(class(host, 413), Class::Invalid);
    }
}

#[test]
fn an_address_of_theirs_tells_whose_codes_are_meant() {
    let nobodys = "http://127.0.0.1:1/p/";
    for (adapter, address, host) in [
        (Host::SunoApi, "https://api.kie.ai/", Host::Kie),
        (Host::Kie, "https://api.sunoapi.org/", Host::SunoApi),
        (Host::Kie, "https://kie.ai/", Host::Kie),
        (Host::SunoApi, "https://notkie.ai/", Host::SunoApi),
        (Host::Kie, nobodys, Host::Kie),
        (Host::SunoApi, nobodys, Host::SunoApi),
    ] {
        assert_eq!(adapter.at(&Url::parse(address).unwrap()), host, "{address}");
    }
}

#[tokio::test]
async fn kie_signs_the_name_of_a_job() {
    // openssl: HMAC-SHA256 of "task-1.1700000000" with the key "s3cret".
    let signature = "B4hsHGiKZN18ymsJbvZ15G//6z8pWctF2C7wHFUOXRI=";
    let mut access = access("http://127.0.0.1:1/p/");
    access.callback_secret = Some(Secret::new("s3cret"));
    let mut headers = HeaderMap::new();
    headers.insert(
        "x-webhook-timestamp",
        HeaderValue::from_static("1700000000"),
    );
    headers.insert("x-webhook-signature", HeaderValue::from_static(signature));
    for (host, job, expected) in [
        (Host::Kie, "task-1", Heard::Signed),
        // That a job makes pictures is our own word.
        (Host::Kie, "cover task-1", Heard::Signed),
        (Host::Kie, "task-2", Heard::Forged),
        (Host::SunoApi, "task-2", Heard::Unsigned),
    ] {
        let callback = Callback {
            job,
            path: "/c/1",
            headers: &headers,
            body: b"{}",
            now: 1_700_000_000,
        };
        let heard = Suno::new(client(), host).hears(&access, &callback).await;
        assert_eq!(heard, expected, "{host:?} {job}");
    }
}
