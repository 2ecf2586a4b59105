//! The Messages API: chat in Anthropic's words, both ways.

use bytes::Bytes;
use domain::Scope;
use proto::{
    Fault,
    chat::v1::{Head, Tail, complete_event::Event},
    code,
};
use serde_json::{Value, json};

use crate::house::{House, json as read_json, read, say};

const ASK: &str = r#"{"model":"gemini","max_tokens":9,"system":"be brief","messages":[{"role":"user","content":"hi"}]}"#;
const STREAM: &str = r#"{"model":"gemini","max_tokens":9,"stream":true,"messages":[{"role":"user","content":"hi"}]}"#;

fn key(house: &House) -> String {
    house.key(&[Scope::Inference])
}

#[tokio::test]
async fn chat_is_asked_in_its_own_words_and_answers_in_anthropics() {
    let house = House::start().await;
    let ask = house.post("/api/v1/messages", &key(&house), ASK.to_owned());
    let answer = ask.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let operation = answer.headers()["x-aio-operation-id"].to_str().unwrap();
    let id = operation.replacen("op_", "msg_", 1);
    assert_eq!(answer.headers()["x-aio-cost-credits"], "1.25");
    let message = read_json(answer).await;
    assert_eq!(message["id"], id.as_str());
    assert_eq!(
        message["content"],
        json!([{ "type": "text", "text": "Hi." }])
    );
    let asked = house.world.completions.lock().unwrap().pop().unwrap();
    assert_eq!(asked.route, "messages");
    let body: Value = serde_json::from_slice(&asked.body).unwrap();
    assert_eq!(
        body,
        json!({
            "model": "gemini", "max_tokens": 9,
            "messages": [{ "role": "system", "content": "be brief" }, { "role": "user", "content": "hi" }],
        })
    );
}

#[tokio::test]
async fn a_stream_is_told_in_anthropics_events() {
    let house = House::start().await;
    let script = house.script();
    let head = Head {
        stream: true,
        ..Head::default()
    };
    say(&script, Event::Head(head)).await;
    let chunk = br#"{"model":"m","choices":[{"delta":{"content":"Hi."},"finish_reason":null}]}"#;
    say(&script, Event::Data(Bytes::from_static(chunk))).await;
    let last = br#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
    let usage = br#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
    let tail = Tail {
        data: vec![Bytes::from_static(last), Bytes::from_static(usage)],
        charged: 7,
    };
    say(&script, Event::Tail(tail)).await;
    let ask = house.post("/api/v1/messages", &key(&house), STREAM.to_owned());
    let text = ask.send().await.unwrap().text().await.unwrap();
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("event: "))
        .collect();
    assert_eq!(
        names,
        [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    assert!(
        text.contains(r#""output_tokens":2"#) && !text.contains("[DONE]"),
        "{text}"
    );
}

#[tokio::test]
async fn tokens_are_counted_without_a_limit_of_output_and_without_an_answer() {
    let house = House::start().await;
    let body =
        r#"{"model":"gemini","system":"be brief","messages":[{"role":"user","content":"hi"}]}"#;
    let ask = house.post(
        "/api/v1/messages/count_tokens",
        &key(&house),
        body.to_owned(),
    );
    assert_eq!(read(ask).await, (200, json!({ "input_tokens": 7 })));
    let asked = house.world.chat_quotes.lock().unwrap()[0].clone();
    assert_eq!(asked.route, "messages");
    assert_eq!(
        serde_json::from_slice::<Value>(&asked.body).unwrap(),
        json!({
            "model": "gemini",
            "messages": [{ "role": "system", "content": "be brief" }, { "role": "user", "content": "hi" }],
        })
    );
    let wrong = house.post(
        "/api/v1/messages/count_tokens",
        &key(&house),
        r#"{"model":"gemini","messages":7}"#.to_owned(),
    );
    let (status, failed) = read(wrong).await;
    assert_eq!(
        (status, &failed["type"], &failed["error"]["param"]),
        (400, &json!("error"), &json!("messages"))
    );
}

#[tokio::test]
async fn failures_are_told_in_anthropics_words_before_and_within_a_stream() {
    let house = House::start().await;
    let failed = async |key: &str, body: &str| {
        let answer = house.post("/api/v1/messages", key, body.to_owned()).send();
        let answer = answer.await.unwrap();
        let status = answer.status().as_u16();
        let mut body = read_json(answer).await;
        assert_eq!(body["type"], "error");
        assert!(body["request_id"].as_str().unwrap().starts_with("req_"));
        (status, body["error"]["type"].take())
    };
    let key = key(&house);
    assert_eq!(
        failed("aio_x", ASK).await,
        (401, json!("authentication_error"))
    );
    assert_eq!(
        failed(&key, "{}").await,
        (400, json!("invalid_request_error"))
    );
    house.refuse(None, Fault::of(code::INSUFFICIENT_CREDITS));
    assert_eq!(failed(&key, ASK).await, (402, json!("billing_error")));
    house.refuse(None, Fault::of(code::UPSTREAM_BUSY));
    assert_eq!(failed(&key, ASK).await, (503, json!("overloaded_error")));

    let script = house.script();
    let head = Head {
        stream: true,
        ..Head::default()
    };
    say(&script, Event::Head(head)).await;
    say(
        &script,
        Event::Failed(Fault::of(code::UPSTREAM_FAILED).to_wire()),
    )
    .await;
    let ask = house.post("/api/v1/messages", &key, STREAM.to_owned());
    let text = ask.send().await.unwrap().text().await.unwrap();
    assert!(
        text.starts_with("event: error\ndata: {\"type\":\"error\""),
        "{text}"
    );
    assert!(text.contains("api_error"), "{text}");
}

#[tokio::test]
async fn what_chat_complains_of_is_named_as_the_customer_knows_it() {
    let house = House::start().await;
    let key = key(&house);
    let place = "messages[1].content[0].image_url.url";
    let message = format!("{place} must name a picture");
    let fault = Fault::new(code::INVALID_PARAMETER, message).param(place);
    let complained = json!(["messages", "messages must name a picture"]);
    house.refuse(None, fault.clone());
    let ask = house.post("/api/v1/messages", &key, ASK.to_owned());
    let (status, body) = read(ask).await;
    let error = &body["error"];
    assert_eq!(status, 400);
    assert_eq!(json!([error["param"], error["message"]]), complained);

    let script = house.script();
    let head = Head {
        stream: true,
        ..Head::default()
    };
    say(&script, Event::Head(head)).await;
    say(&script, Event::Failed(fault.to_wire())).await;
    let ask = house.post("/api/v1/messages", &key, STREAM.to_owned());
    let text = ask.send().await.unwrap().text().await.unwrap();
    assert!(!text.contains("image_url"), "{text}");
}
