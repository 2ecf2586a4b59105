//! Chat: whole answers, streams, and how streams end.

use std::{sync::Arc, time::Duration};

use proto::{
    Fault,
    chat::v1::{Head, Tail, complete_event::Event},
    code,
};
use tokio::sync::Notify;

use crate::{
    fakes::ANSWER,
    house::{House, json, read, say, until},
};

const STREAM: &str = r#"{"model":"gemini","stream":true,"messages":[]}"#;

fn head() -> Event {
    Event::Head(Head {
        provider: "gemini".into(),
        stream: true,
        ..Default::default()
    })
}

fn data(text: &'static str) -> Event {
    Event::Data(text.as_bytes().into())
}

#[tokio::test]
async fn a_whole_answer_says_what_it_cost() {
    let house = House::start().await;
    let body = r#"{"model":"gemini", "messages":[]}"#;
    let key = house.key_with(&[domain::Scope::Inference], |identity| {
        identity.models = vec!["gemini".into()];
    });
    let answer = house.chat(&key.0, body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(answer.headers()["x-aio-cost-credits"], "1.25");
    assert_eq!(answer.headers()["x-aio-provider"], "gemini");
    let operation = answer.headers()["x-aio-operation-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let request_id = answer.headers()["x-request-id"]
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(answer.text().await.unwrap(), ANSWER);
    let asked = house
        .world
        .completions
        .lock()
        .unwrap()
        .first()
        .unwrap()
        .clone();
    assert_eq!(asked.body, body);
    assert_eq!(asked.models, ["gemini"]);
    let context = asked.context.unwrap();
    assert_eq!(context.request_id, request_id);
    assert_eq!(context.key_id, key.1.to_vec());
    let id = domain::OperationId::from_slice(&asked.operation_id).unwrap();
    assert_eq!(id.to_string(), operation);
}

#[tokio::test]
async fn a_kept_answer_says_so_and_names_its_own_operation() {
    let house = House::start().await;
    let key = house.usual_key();
    let script = house.script();
    let operation = chassis::mint::<domain::ids::Operation>();
    let head = Head {
        provider: "gemini".into(),
        stream: true,
        replayed: true,
        operation_id: operation.to_vec().into(),
        model: "gemini".to_owned(),
        cached: None,
    };
    say(&script, Event::Head(head)).await;
    say(&script, Event::Tail(Tail::default())).await;
    let request = house.chat(&key, STREAM).header("idempotency-key", "one");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.headers()["idempotent-replayed"], "true");
    assert_eq!(answer.headers()["x-aio-model"], "gemini");
    assert_eq!(
        answer.headers()["x-aio-operation-id"],
        operation.to_string()
    );
    // One of its own is no replay, whether it has a key or not.
    for value in [Some("one"), None] {
        let mut request = house.chat(&key, "{}");
        if let Some(value) = value {
            request = request.header("idempotency-key", value);
        }
        let answer = request.send().await.unwrap();
        assert!(!answer.headers().contains_key("idempotent-replayed"));
        // What an older version of chat did not say is not made up.
        assert!(!answer.headers().contains_key("x-aio-model"));
        let own = house.world.completions.lock().unwrap().last().cloned();
        let own = own.unwrap();
        assert_eq!(own.idempotency_key, value.unwrap_or_default());
        let id = domain::OperationId::from_slice(&own.operation_id).unwrap();
        assert_eq!(answer.headers()["x-aio-operation-id"], id.to_string());
    }
    let asked = house.world.completions.lock().unwrap().len();
    for bad in ["", &"x".repeat(256)] {
        let request = house.chat(&key, STREAM).header("idempotency-key", bad);
        assert_eq!(read(request).await.0, 400);
    }
    assert_eq!(house.world.completions.lock().unwrap().len(), asked);
}

#[tokio::test]
async fn a_clients_request_id_is_not_believed() {
    let house = House::start().await;
    let request = house
        .chat(&house.usual_key(), "{}")
        .header("x-request-id", "mine");
    assert_ne!(
        request.send().await.unwrap().headers()["x-request-id"],
        "mine"
    );
}

#[tokio::test]
async fn a_stream_is_forwarded_event_by_event() {
    let house = House::start().await;
    let script = house.script();
    say(&script, head()).await;
    say(&script, data(r#"{"n":1}"#)).await;
    let mut answer = house.chat(&house.usual_key(), STREAM).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-cache, no-transform"),
        ("x-accel-buffering", "no"),
        ("x-aio-provider", "gemini"),
    ] {
        assert_eq!(answer.headers()[name], value, "{name}");
    }
    assert!(answer.headers().contains_key("x-aio-operation-id"));
    // The first event is here while the rest is not even said.
    assert_eq!(
        answer.chunk().await.unwrap().unwrap(),
        "data: {\"n\":1}\n\n"
    );
    say(&script, data(r#"{"n":2}"#)).await;
    let last = |text: &'static str| text.as_bytes().into();
    let tail = Tail {
        data: vec![last(r#"{"n":3}"#), last(r#"{"usage":{}}"#)],
        charged: 1,
    };
    say(&script, Event::Tail(tail)).await;
    assert_eq!(
        answer.text().await.unwrap(),
        "data: {\"n\":2}\n\ndata: {\"n\":3}\n\ndata: {\"usage\":{}}\n\ndata: [DONE]\n\n"
    );
}

#[tokio::test]
async fn a_failure_before_the_first_byte_is_a_status() {
    let house = House::start().await;
    let fault = Fault::new(code::UPSTREAM_BUSY, "the provider is busy");
    house.refuse(None, fault.retry_after(Duration::from_millis(2500)));
    let answer = house.chat(&house.usual_key(), STREAM).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "3");
    assert!(!answer.headers().contains_key("x-should-retry"));
    let body = json(answer).await;
    assert_eq!(body["error"]["type"], "unavailable");
    assert_eq!(body["error"]["code"], "upstream_busy");
    assert_eq!(body["error"]["message"], "the provider is busy");
}

#[tokio::test]
async fn an_upstream_that_may_have_been_paid_is_not_asked_again() {
    let house = House::start().await;
    house.refuse(None, Fault::new(code::UPSTREAM_TIMEOUT, "no answer"));
    let answer = house.chat(&house.usual_key(), "{}").send().await.unwrap();
    assert_eq!(answer.status(), 504);
    assert_eq!(answer.headers()["x-should-retry"], "false");
}

#[tokio::test]
async fn a_stream_that_fails_ends_with_an_error_event() {
    let house = House::start().await;
    let key = house.usual_key();
    let fault = Fault::new(code::UPSTREAM_FAILED, "the provider broke off");
    let endings: [Option<Event>; 2] = [Some(Event::Failed(fault.to_wire())), None];
    for (ending, word) in endings.into_iter().zip(["upstream_failed", "internal"]) {
        let script = house.script();
        say(&script, head()).await;
        say(&script, data("{}")).await;
        if let Some(event) = ending {
            say(&script, event).await;
        }
        drop(script);
        let answer = house.chat(&key, STREAM).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let id = answer.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        let text = answer.text().await.unwrap();
        let error = text.strip_prefix("data: {}\n\ndata: ").unwrap();
        let error: serde_json::Value = serde_json::from_str(error.trim_end()).unwrap();
        assert_eq!(error["error"]["code"], word);
        assert_eq!(error["error"]["request_id"], *id);
        assert!(!text.contains("[DONE]"));
    }
}

#[tokio::test]
async fn a_slow_stream_is_kept_alive_from_the_start() {
    let house =
        House::with("[limits.streams]\nfirst_event_wait = '20ms'\nheartbeat = '20ms'").await;
    let (script, gate) = house.gated_script();
    let mut answer = house.chat(&house.usual_key(), STREAM).send().await.unwrap();
    // Chat has said nothing yet, and the head is here.
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert!(answer.headers().contains_key("x-aio-operation-id"));
    for _ in 0..2 {
        assert_eq!(answer.chunk().await.unwrap().unwrap(), ": heartbeat\n\n");
    }
    gate.notify_one();
    say(&script, head()).await;
    say(&script, data("{}")).await;
    say(&script, Event::Tail(Tail::default())).await;
    let text = answer.text().await.unwrap();
    assert!(text.ends_with("data: {}\n\ndata: [DONE]\n\n"), "{text}");
    let metrics = chassis::telemetry::metrics_text(&house.registry);
    assert!(
        !metrics.contains("aio_edge_heartbeats_total 0\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_slow_refusal_of_a_stream_comes_within_it() {
    let house = House::with("limits.streams.first_event_wait = '20ms'").await;
    let gate = Arc::new(Notify::new());
    let fault = Fault::new(code::INSUFFICIENT_CREDITS, "not enough");
    house.refuse(Some(gate.clone()), fault);
    let answer = house.chat(&house.usual_key(), STREAM).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    gate.notify_one();
    let text = answer.text().await.unwrap();
    assert!(text.contains(r#""code":"insufficient_credits""#), "{text}");
    assert!(text.starts_with(": heartbeat\n\n"), "{text}");
}

#[tokio::test]
async fn a_slow_whole_answer_keeps_its_status() {
    let house = House::with("limits.streams.first_event_wait = '0s'").await;
    let gate = Arc::new(Notify::new());
    let fault = Fault::new(code::INSUFFICIENT_CREDITS, "not enough");
    house.refuse(Some(gate.clone()), fault);
    let key = house.usual_key();
    let request = read(house.chat(&key, r#"{"metadata":{"stream":true}}"#));
    let late = async {
        until("chat is asked", async || {
            !house.world.completions.lock().unwrap().is_empty()
        })
        .await;
        gate.notify_one();
    };
    let ((status, body), ()) = tokio::join!(request, late);
    assert_eq!(
        (status, body["error"]["code"].as_str()),
        (402, Some("insufficient_credits"))
    );
}

#[tokio::test]
async fn a_silent_model_does_not_hold_a_stream_for_ever() {
    let house = House::with("[limits.streams]\nheartbeat = '10ms'\nchat_silence = '50ms'").await;
    let script = house.script();
    say(&script, head()).await;
    let answer = house.chat(&house.usual_key(), STREAM).send().await.unwrap();
    let text = answer.text().await.unwrap();
    assert!(text.contains(r#""code":"timeout""#), "{text}");
    tokio::time::timeout(Duration::from_secs(10), script.closed())
        .await
        .unwrap();
}

#[tokio::test]
async fn chat_learns_that_the_client_of_a_whole_answer_left() {
    let house = House::start().await;
    let script = house.script();
    say(
        &script,
        Event::Head(Head {
            provider: "gemini".into(),
            stream: false,
            ..Default::default()
        }),
    )
    .await;
    let key = house.usual_key();
    let request = house
        .chat(&key, "{}")
        .timeout(Duration::from_millis(100))
        .send();
    assert!(request.await.unwrap_err().is_timeout());
    tokio::time::timeout(Duration::from_secs(10), script.closed())
        .await
        .unwrap();
}
