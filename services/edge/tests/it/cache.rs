//! The cache of chat's answers: how a client asks it, and what it is told.

use proto::chat::v1::{Cached, Head, Tail, complete_event::Event};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::{
    fakes::ANSWER,
    house::{House, json as read_json, read, say},
};

const BODY: &str = r#"{"model":"gemini","messages":[]}"#;
const STREAM: &str = r#"{"model":"gemini","stream":true,"messages":[]}"#;
/// Routes, and a body that each takes.
const ROUTES: [(&str, &str); 4] = [
    ("/chat/completions", BODY),
    ("/embeddings", r#"{"model":"e","input":"hi"}"#),
    (
        "/messages",
        r#"{"model":"gemini","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#,
    ),
    (
        "/responses",
        r#"{"model":"gemini","input":"hi","store":false}"#,
    ),
];

fn post(house: &House, key: &str, (path, body): (&str, &str)) -> RequestBuilder {
    house.post(&format!("/api/v1{path}"), key, body.to_owned())
}

#[tokio::test]
async fn what_a_client_asks_for_reaches_chat() {
    let house = House::start().await;
    let key = house.usual_key();
    for route in ROUTES {
        for (value, expected) in [
            (None, None),
            (Some("no-store"), None),
            (Some("on"), Some(0)),
            (Some("max-age=60"), Some(60)),
        ] {
            let mut request = post(&house, &key, route);
            if let Some(value) = value {
                request = request.header("x-aio-cache", value);
            }
            assert_eq!(read(request).await.0, 200, "{route:?}");
            let asked = house.world.completions.lock().unwrap().pop().unwrap();
            assert_eq!(asked.cache_max_age, expected, "{route:?} {value:?}");
        }
        for wrong in ["", "off", "max-age=0", "max-age=1h"] {
            let request = post(&house, &key, route).header("x-aio-cache", wrong);
            let (status, answer) = read(request).await;
            let error = &answer["error"];
            assert_eq!(status, 400, "{route:?} {wrong:?}");
            let message = error["message"].as_str().unwrap();
            assert!(
                message.starts_with("x-aio-cache must be") && message.contains("max-age=<seconds>"),
                "{message}"
            );
            // Anthropic's shape has no param.
            if route.0 != "/messages" {
                assert_eq!(error["param"], "x-aio-cache");
            }
        }
        assert!(house.world.completions.lock().unwrap().is_empty());
    }
}

/// A response that is kept is known by its own id.
#[tokio::test]
async fn a_response_that_is_kept_is_never_anothers() {
    let house = House::start().await;
    let key = house.usual_key();
    for body in [
        json!({ "model": "gemini", "input": "hi" }),
        json!({ "model": "gemini", "input": "hi", "store": true, "stream": true }),
    ] {
        let body = body.to_string();
        let request = post(&house, &key, ("/responses", &body)).header("x-aio-cache", "on");
        let (status, answer) = read(request).await;
        let error = &answer["error"];
        assert_eq!(
            (status, &error["code"], &error["param"]),
            (400, &json!("invalid_parameter"), &json!("x-aio-cache"))
        );
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(r#""store": false"#), "{message}");
        // It is only the cache that it may not ask.
        let request = post(&house, &key, ("/responses", &body)).header("x-aio-cache", "no-store");
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
}

/// The head of what answers this body.
fn head(body: &str, cached: Cached) -> Event {
    Event::Head(Head {
        provider: "gemini".into(),
        stream: body == STREAM,
        operation_id: chassis::mint::<domain::ids::Operation>().to_vec().into(),
        cached: Some(cached),
        ..Default::default()
    })
}

#[tokio::test]
async fn a_client_that_asked_is_told_what_there_was() {
    let house = House::start().await;
    let key = house.usual_key();
    for (stream, body) in [(false, BODY), (true, STREAM)] {
        for (hit, charged) in [(true, 0), (false, 1_500_000)] {
            let script = house.script();
            say(&script, head(body, Cached { hit, age: 61 })).await;
            let tail = Tail {
                data: vec![ANSWER.as_bytes().into()],
                charged,
            };
            say(&script, Event::Tail(tail)).await;
            let request = house.chat(&key, body).header("x-aio-cache", "on");
            let answer = request.send().await.unwrap();
            let said = |name| {
                let value = answer.headers().get(name);
                value.map(|value| value.to_str().unwrap())
            };
            let cost = match (hit, stream) {
                (true, _) => Some("0"),
                (false, false) => Some("1.5"),
                // That is known at its end.
                (false, true) => None,
            };
            let expected = if hit {
                [Some("hit"), Some("61"), cost]
            } else {
                [Some("miss"), None, cost]
            };
            let names = ["x-aio-cache", "age", "x-aio-cost-credits"];
            assert_eq!(names.map(said), expected, "stream {stream}");
            assert!(!answer.headers().contains_key("idempotent-replayed"));
            let _ = answer.bytes().await.unwrap();
        }
    }
    // Who did not ask is told nothing.
    let answer = house.chat(&key, BODY).send().await.unwrap();
    assert!(!answer.headers().contains_key("x-aio-cache"));
    let answer: Value = read_json(answer).await;
    assert!(answer.is_object());
}

/// The head of a stream that leaves before chat has said anything: what is kept would have been found by then.
#[tokio::test]
async fn a_stream_that_is_slow_to_begin_is_a_miss() {
    let house = House::with("limits.streams.first_event_wait = '20ms'").await;
    let key = house.usual_key();
    for (value, told) in [("on", Some("miss")), ("no-store", None)] {
        let (script, gate) = house.gated_script();
        let request = house.chat(&key, STREAM).header("x-aio-cache", value);
        let answer = request.send().await.unwrap();
        let said = answer.headers().get("x-aio-cache");
        assert_eq!(said.map(|value| value.to_str().unwrap()), told);
        gate.notify_one();
        let cached = Cached { hit: false, age: 0 };
        say(&script, head(STREAM, cached)).await;
        say(&script, Event::Tail(Tail::default())).await;
        assert!(answer.text().await.unwrap().contains("[DONE]"));
    }
}
