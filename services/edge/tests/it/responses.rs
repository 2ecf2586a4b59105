//! OpenAI's Responses API: chat in other words, both ways, and what is kept of it.

use bytes::Bytes;
use domain::Scope;
use proto::{
    Fault,
    billing::v1::Identity,
    chat::v1::{Head, Tail, complete_event::Event},
    code,
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{House, json as read_json, read, refusal, say};

const ASK: &str =
    r#"{"model":"gemini","instructions":"be brief","input":"hi","max_output_tokens":9}"#;
const STREAM: &str = r#"{"model":"gemini","input":"hi","stream":true}"#;
const CHUNK: &[u8] =
    br#"{"model":"m","choices":[{"delta":{"content":"Hi."},"finish_reason":null}]}"#;
const LAST: &[u8] = br#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &[u8] =
    br#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2},"credits_consumed":7}"#;

async fn ask(house: &House, key: &str, body: &str) -> (u16, Value) {
    read(house.post("/api/v1/responses", key, body.to_owned())).await
}

/// The messages that chat was last asked with.
fn messages(house: &House) -> Value {
    let asked = house.world.completions.lock().unwrap().pop().unwrap();
    let mut body: Value = serde_json::from_slice(&asked.body).unwrap();
    body.get_mut("messages").unwrap().take()
}

/// A stream that chat has said up to its end.
async fn whole_stream(house: &House) {
    let script = house.script();
    let head = Head {
        stream: true,
        ..Head::default()
    };
    say(&script, Event::Head(head)).await;
    say(&script, Event::Data(Bytes::from_static(CHUNK))).await;
    let tail = Tail {
        data: vec![Bytes::from_static(LAST), Bytes::from_static(USAGE)],
        charged: 7,
    };
    say(&script, Event::Tail(tail)).await;
}

/// The events of a stream.
async fn stream(house: &House, key: &str) -> Vec<Value> {
    let request = house.post("/api/v1/responses", key, STREAM.to_owned());
    let text = request.send().await.unwrap().text().await.unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

#[tokio::test]
async fn chat_is_asked_in_its_own_words_and_answers_with_a_response() {
    let house = House::start().await;
    let key = house.usual_key();
    let request = house.post("/api/v1/responses", &key, ASK.to_owned());
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let operation = answer.headers()["x-aio-operation-id"].to_str().unwrap();
    let id = operation.replacen("op_", "resp_", 1);
    assert_eq!(answer.headers()["x-aio-cost-credits"], "1.25");
    let response = read_json(answer).await;
    assert_eq!(response["id"], id.as_str());
    assert_eq!(response["output"][0]["content"][0]["text"], "Hi.");
    assert_eq!(response["store"], true);
    let asked = house.world.completions.lock().unwrap().pop().unwrap();
    assert_eq!(asked.route, "responses");
    let body: Value = serde_json::from_slice(&asked.body).unwrap();
    assert_eq!(
        body,
        json!({
            "messages": [{ "role": "system", "content": "be brief" }, { "role": "user", "content": "hi" }],
            "model": "gemini", "max_completion_tokens": 9,
        })
    );
    // It is kept as it was told.
    let path = format!("/api/v1/responses/{id}");
    assert_eq!(read(house.get(&path, &key)).await, (200, response));
}

#[tokio::test]
async fn a_kept_response_is_gone_on_from() {
    let house = House::start().await;
    let key = house.usual_key();
    let (_, first) = ask(&house, &key, ASK).await;
    messages(&house);
    let more = json!({ "model": "gemini", "input": "more", "previous_response_id": first["id"] });
    let (status, second) = ask(&house, &key, &more.to_string()).await;
    assert_eq!(
        (status, &second["previous_response_id"]),
        (200, &first["id"])
    );
    let said = json!([
        { "role": "user", "content": "hi" }, { "role": "assistant", "content": "Hi." }, { "role": "user", "content": "more" },
    ]);
    assert_eq!(messages(&house), said);

    // One that was not kept is not there; nor is one of another account, or one that was deleted.
    let not_kept = json!({ "model": "gemini", "input": "hi", "store": false });
    let (_, third) = ask(&house, &key, &not_kept.to_string()).await;
    assert_eq!(third["store"], false);
    let stranger = house
        .key_with(&[Scope::Inference], |identity| {
            identity.account_id = vec![7; 16].into();
        })
        .0;
    let path = format!("/api/v1/responses/{}", first["id"].as_str().unwrap());
    let gone = (404, "not_found".to_owned());
    assert_eq!(refusal(house.get(&path, &stranger)).await, gone);
    assert_eq!(
        refusal(house.request(Method::DELETE, &path).bearer_auth(&stranger)).await,
        gone
    );
    let deleted = read(house.request(Method::DELETE, &path).bearer_auth(&key)).await;
    assert_eq!(
        deleted,
        (
            200,
            json!({ "id": first["id"], "object": "response", "deleted": true })
        )
    );
    assert_eq!(refusal(house.get(&path, &key)).await, gone);
    let mut told = Vec::new();
    for (key, id) in [
        (&key, &third["id"]),
        (&key, &first["id"]),
        (&stranger, &second["id"]),
        (&key, &json!("resp_1")),
    ] {
        let more = json!({ "model": "gemini", "input": "more", "previous_response_id": id });
        let (status, answer) = ask(&house, key, &more.to_string()).await;
        let error = &answer["error"];
        assert_eq!(
            (status, &error["param"]),
            (404, &json!("previous_response_id"))
        );
        let message = error["message"].as_str().unwrap();
        told.push(message.replace(id.as_str().unwrap(), "ID"));
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0], told[2]);
}

#[tokio::test]
async fn items_of_kept_responses_may_be_referred_to() {
    let house = House::with("limits.bodies.referred = 1").await;
    let key = house.usual_key();
    let (_, first) = ask(&house, &key, ASK).await;
    messages(&house);
    let (_, second) = ask(&house, &key, ASK).await;
    let to = |response: &Value| {
        let id = &response["output"][0]["id"];
        json!({ "type": "item_reference", "id": id })
    };
    let asked = async |key: &str, items: Value| {
        let body = json!({ "model": "gemini", "input": items });
        ask(&house, key, &body.to_string()).await
    };
    let user = json!({ "role": "user", "content": "more" });
    let (status, _) = asked(&key, json!([to(&first), user])).await;
    assert_eq!(status, 200);
    let said = json!([{ "role": "assistant", "content": "Hi." }, user]);
    assert_eq!(messages(&house), said);
    let (status, answer) = asked(&key, json!([to(&first), to(&second)])).await;
    assert_eq!((status, &answer["error"]["param"]), (400, &json!("input")));
    let other = |identity: &mut Identity| identity.account_id = vec![7; 16].into();
    let stranger = house.key_with(&[Scope::Inference], other).0;
    let (status, answer) = asked(&stranger, json!([to(&first)])).await;
    assert_eq!(
        (status, &answer["error"]["param"]),
        (400, &json!("input[0]"))
    );
}

#[tokio::test]
async fn a_stream_is_kept_before_its_last_event() {
    let house = House::start().await;
    let key = house.usual_key();
    whole_stream(&house).await;
    let events = stream(&house, &key).await;
    let (first, last) = (&events[0], events.last().unwrap());
    assert_eq!(first["type"], "response.created");
    assert_eq!(last["type"], "response.completed");
    let response = &last["response"];
    assert_eq!(response["credits_consumed"], 7);
    assert_eq!(response["usage"]["total_tokens"], 5);
    let path = format!("/api/v1/responses/{}", response["id"].as_str().unwrap());
    assert_eq!(read(house.get(&path, &key)).await, (200, response.clone()));
    assert_eq!(
        refusal(house.get(&format!("{path}?stream=true"), &key)).await,
        (400, "invalid_parameter".to_owned())
    );
}

#[tokio::test]
async fn what_cannot_be_kept_is_answered_all_the_same_and_says_so() {
    let house = House::start().await;
    let key = house.usual_key();
    for how in [Ok(false), Err(Fault::of(code::OVERLOADED))] {
        *house.world.keeping.lock().unwrap() = Some(how);
        let (status, response) = ask(&house, &key, ASK).await;
        assert_eq!((status, &response["store"]), (200, &json!(false)));
        assert_eq!(response["output"][0]["content"][0]["text"], "Hi.");
        whole_stream(&house).await;
        let events = stream(&house, &key).await;
        let last = events.last().unwrap();
        assert_eq!(last["type"], "response.completed");
        assert_eq!(last["response"]["store"], false);
    }
    let told = chassis::telemetry::metrics_text(&house.registry);
    assert!(told.contains("aio_edge_unkept_responses_total 4"), "{told}");
}

#[tokio::test]
async fn a_conversation_that_is_too_long_says_so() {
    let house = House::with("limits.bodies.chat = 400").await;
    let key = house.usual_key();
    let text = "x".repeat(300);
    let long = json!({ "model": "gemini", "input": text });
    let (status, first) = ask(&house, &key, &long.to_string()).await;
    assert_eq!(status, 200);
    let more = json!({ "model": "gemini", "input": "more, and more", "previous_response_id": first["id"] });
    let (status, answer) = ask(&house, &key, &more.to_string()).await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (413, &json!("body_too_large"))
    );
    assert_eq!(answer["error"]["param"], "previous_response_id");
}

#[tokio::test]
async fn failures_are_told_in_openais_words_before_and_within_a_stream() {
    let house = House::start().await;
    let key = house.usual_key();
    let (status, answer) = ask(
        &house,
        &key,
        r#"{"model":"gemini","input":[{"type":"web"}],"color":1}"#,
    )
    .await;
    let violations = answer["error"]["violations"].as_array().unwrap();
    let params: Vec<&Value> = violations.iter().map(|wrong| &wrong["param"]).collect();
    assert_eq!(
        (status, params),
        (400, vec![&json!("input[0].type"), &json!("color")])
    );
    let fault = Fault::new(
        code::INVALID_PARAMETER,
        "max_completion_tokens must be at most 5",
    );
    house.refuse(None, fault.param("max_completion_tokens"));
    let (status, answer) = ask(&house, &key, ASK).await;
    assert_eq!(status, 400);
    assert_eq!(
        answer["error"]["message"],
        "max_output_tokens must be at most 5"
    );

    let script = house.script();
    let head = Head {
        stream: true,
        ..Head::default()
    };
    say(&script, Event::Head(head)).await;
    say(&script, Event::Data(Bytes::from_static(CHUNK))).await;
    let failed = Fault::of(code::UPSTREAM_FAILED).to_wire();
    say(&script, Event::Failed(failed)).await;
    let events = stream(&house, &key).await;
    let [.., failed, error] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(failed["type"], "response.failed");
    assert_eq!(error["error"]["code"], "upstream_failed");
    assert!(house.world.responses.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_slow_stream_is_kept_alive_and_fails_within() {
    let house =
        House::with("limits.streams.first_event_wait = '10ms'\nlimits.streams.heartbeat = '10ms'")
            .await;
    let key = house.usual_key();
    let (_script, gate) = house.gated_script();
    let request = house.post("/api/v1/responses", &key, STREAM.to_owned());
    let mut answer = request.send().await.unwrap();
    let first = answer.chunk().await.unwrap().unwrap();
    assert_eq!(first, ": heartbeat\n\n");
    drop(_script);
    gate.notify_one();
    let rest = answer.text().await.unwrap();
    assert!(rest.contains("event: response.created\n"), "{rest}");
    assert!(rest.contains("event: response.failed\n"), "{rest}");
    assert!(rest.trim_end().contains("event: error\n"), "{rest}");
}

#[tokio::test]
async fn a_quote_is_of_what_chat_would_be_asked() {
    let house = House::start().await;
    let key = house.usual_key();
    let (_, first) = ask(&house, &key, ASK).await;
    for (route, body, asked) in [
        (
            "responses",
            json!({ "model": "gemini", "input": "more", "previous_response_id": first["id"] }),
            json!({ "model": "gemini", "messages": [
                { "role": "user", "content": "hi" }, { "role": "assistant", "content": "Hi." }, { "role": "user", "content": "more" },
            ]}),
        ),
        (
            "messages",
            json!({ "model": "gemini", "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] }),
            json!({ "model": "gemini", "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] }),
        ),
    ] {
        let quote = json!({ "route": route, "body": body }).to_string();
        let (status, answer) = read(house.post("/api/v1/quote", &key, quote)).await;
        assert_eq!(status, 200, "{answer}");
        let quoted = house.world.chat_quotes.lock().unwrap().pop().unwrap();
        assert_eq!(quoted.route, route);
        let body: Value = serde_json::from_slice(&quoted.body).unwrap();
        assert_eq!(body, asked);
    }
}
