//! Anthropic's Messages API: every outcome, whole and streamed.

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::App;

const PATH: &str = "/anthropic/v1/messages";

fn body(prompt: &str) -> Value {
    json!({ "model": "claude", "max_tokens": 500, "messages": [{ "role": "user", "content": prompt }] })
}

fn streamed(prompt: &str) -> Value {
    let mut body = body(prompt);
    body["stream"] = json!(true);
    body
}

/// What a request is answered, or how the connection broke.
async fn ask(app: &App, body: &Value) -> reqwest::Result<Response> {
    let request = app.post(PATH).header("x-api-key", "any");
    let request = request.header("anthropic-version", "2023-06-01");
    request.json(body).send().await
}

async fn message(app: &App, body: &Value) -> Value {
    let response = ask(app, body).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.json().await.unwrap()
}

/// The data of all events until the end of the stream, and whether it broke.
async fn stream(app: &App, body: &Value) -> (Vec<Value>, reqwest::Result<()>) {
    let mut response = ask(app, body).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    let end = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => text.push_str(std::str::from_utf8(&chunk).unwrap()),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    let events = text.split_terminator("\n\n").map(|event| {
        let (name, data) = event.split_once('\n').unwrap();
        let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(name.strip_prefix("event: ").unwrap(), data["type"]);
        data
    });
    (events.collect(), end)
}

/// The blocks that the events spell, with nothing but their texts, names and inputs.
fn spelled(events: &[Value]) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for event in events {
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert_eq!(event["index"], blocks.len());
                let name = &event["content_block"]["name"];
                blocks.push(name.as_str().unwrap_or_default().to_owned());
            }
            "content_block_delta" => {
                let delta = &event["delta"];
                let fields = ["text", "thinking", "partial_json"];
                let pieces = fields.iter().filter_map(|field| delta[field].as_str());
                blocks.last_mut().unwrap().extend(pieces);
            }
            _ => {}
        }
    }
    blocks
}

#[tokio::test]
async fn a_stream_tells_the_same_as_a_whole_answer() {
    let app = App::start().await;
    let thinking = json!({ "type": "adaptive", "display": "summarized" });
    let mut whole = body("hello [sandbox tokens=100]");
    whole["thinking"] = thinking.clone();
    let whole = message(&app, &whole).await;
    assert!(whole["id"].as_str().unwrap().starts_with("msg_"));
    assert_eq!(
        (&whole["type"], &whole["role"]),
        (&json!("message"), &json!("assistant"))
    );
    assert_eq!(
        (&whole["model"], &whole["stop_reason"]),
        (&json!("claude"), &json!("end_turn"))
    );
    let mut ask = streamed("hello [sandbox tokens=100 chunk_delay=1ms]");
    ask["thinking"] = thinking;
    let (events, end) = stream(&app, &ask).await;
    assert!(end.is_ok());
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds[..3], ["message_start", "ping", "content_block_start"]);
    assert_eq!(
        kinds[kinds.len() - 3..],
        ["content_block_stop", "message_delta", "message_stop"]
    );
    let blocks = &whole["content"];
    assert_eq!(
        spelled(&events),
        [
            blocks[0]["thinking"].as_str().unwrap(),
            blocks[1]["text"].as_str().unwrap()
        ]
    );
    assert!(!blocks[0]["signature"].as_str().unwrap().is_empty());
    let last = &events[events.len() - 2];
    assert_eq!(last["delta"]["stop_reason"], "end_turn");
    assert_eq!(last["usage"]["output_tokens"], 105);
    // The directive is longer there.
    assert_eq!(events[0]["message"]["usage"]["input_tokens"], 11);
    assert_eq!(whole["usage"]["input_tokens"], 7);
}

#[tokio::test]
async fn a_required_tool_is_used_in_both_forms() {
    let app = App::start().await;
    let mut body = body("weather?");
    body["tools"] = json!([{ "name": "get_weather", "input_schema": { "type": "object" } }]);
    body["tool_choice"] = json!({ "type": "any" });
    let whole = message(&app, &body).await;
    assert_eq!(whole["stop_reason"], "tool_use");
    let block = &whole["content"][0];
    assert_eq!(
        (&block["name"], &block["input"]),
        (&json!("get_weather"), &json!({}))
    );
    assert!(block["id"].as_str().unwrap().starts_with("toolu_"));
    body["stream"] = json!(true);
    let (events, end) = stream(&app, &body).await;
    assert!(end.is_ok());
    assert_eq!(spelled(&events), ["get_weather{}"]);
}

#[tokio::test]
async fn refusals_are_spelled_as_anthropic_does() {
    let app = App::start().await;
    for (outcome, status, kind) in [
        ("fail", 500, "api_error"),
        ("rate_limited", 429, "rate_limit_error"),
        ("overloaded", 529, "overloaded_error"),
        ("out_of_balance", 400, "invalid_request_error"),
    ] {
        for body in [body, streamed] {
            let body = body(&format!("[sandbox outcome={outcome}]"));
            let response = ask(&app, &body).await.unwrap();
            assert_eq!(response.status(), status, "{outcome}");
            assert!(response.headers().contains_key("request-id"));
            let pauses = response.headers().contains_key("retry-after");
            assert_eq!(pauses, outcome == "rate_limited");
            let error: Value = response.json().await.unwrap();
            assert_eq!(
                (&error["type"], &error["error"]["type"]),
                (&json!("error"), &json!(kind))
            );
        }
    }
    assert_eq!(app.json("/bill").await["jobs"], 0);
}

#[tokio::test]
async fn who_asks_and_how_is_checked() {
    let app = App::start().await;
    let good = body("hello");
    let with = |headers: &[(&'static str, &'static str)]| {
        let request = app.post(PATH).json(&good);
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        async move { request.send().await.unwrap().status().as_u16() }
    };
    let version = ("anthropic-version", "2023-06-01");
    assert_eq!(with(&[("x-api-key", "k"), version]).await, 200);
    assert_eq!(with(&[version]).await, 401);
    assert_eq!(with(&[("authorization", "Bearer k"), version]).await, 401);
    assert_eq!(with(&[("x-api-key", "k")]).await, 400);
    assert_eq!(
        with(&[("x-api-key", "k"), ("anthropic-version", "2020-01-01")]).await,
        400
    );
    let wrong = json!({ "model": "m", "messages": [] });
    assert_eq!(ask(&app, &wrong).await.unwrap().status(), 400);
}

#[tokio::test]
async fn a_moderated_answer_is_a_refusal() {
    let app = App::start().await;
    let whole = message(&app, &body("[sandbox outcome=moderated]")).await;
    assert_eq!(
        (&whole["stop_reason"], &whole["content"]),
        (&json!("refusal"), &json!([]))
    );
    let (events, end) = stream(&app, &streamed("[sandbox outcome=moderated]")).await;
    assert!(end.is_ok() && spelled(&events).is_empty());
    assert_eq!(events[events.len() - 2]["delta"]["stop_reason"], "refusal");
}

#[tokio::test]
async fn broken_answers_break() {
    let app = App::start().await;
    let malformed = ask(&app, &body("[sandbox outcome=malformed]"))
        .await
        .unwrap();
    assert!(malformed.json::<Value>().await.unwrap_err().is_decode());
    let malformed = ask(&app, &streamed("[sandbox outcome=malformed]"))
        .await
        .unwrap();
    let text = malformed.text().await.unwrap();
    let (_, data) = text.trim_end().split_once("data: ").unwrap();
    assert!(serde_json::from_str::<Value>(data).is_err());
    let cut = ask(&app, &body("[sandbox outcome=cut]")).await.unwrap();
    assert!(cut.bytes().await.is_err());
    let (events, end) = stream(&app, &streamed("[sandbox outcome=cut tokens=40]")).await;
    assert!(end.is_err());
    // Half of the block's 42 events, and the two before them.
    assert_eq!(events.len(), 2 + 21);
    for body in [body, streamed] {
        let vanished = ask(&app, &body("[sandbox outcome=vanish]"))
            .await
            .unwrap_err();
        assert!(
            vanished.is_request() && !vanished.is_timeout(),
            "{vanished:?}"
        );
    }
    app.bill_when(|bill| bill["by_provider"]["anthropic"]["jobs"] == 6)
        .await;
}

#[tokio::test]
async fn a_hanging_answer_never_comes() {
    let app = App::start().await;
    let request = body("[sandbox outcome=hang]");
    let mut answer = Box::pin(ask(&app, &request));
    let accepted = app.bill_when(|bill| bill["jobs"] == 1);
    tokio::select! {
        biased;
        answer = &mut answer => panic!("an answer came: {answer:?}"),
        bill = accepted => assert_eq!(bill["billed"], 0),
    }
    let (stopped, answer) = tokio::join!(app.tasks.stop(crate::PATIENCE), answer);
    assert!(stopped && answer.is_err());
}

#[tokio::test]
async fn more_usage_than_allowed_is_reported() {
    let app = App::start().await;
    let mut body = streamed("[sandbox outcome=overreport]");
    body["max_tokens"] = json!(10);
    let (events, _) = stream(&app, &body).await;
    assert_eq!(events[events.len() - 2]["usage"]["output_tokens"], 1_100);
}
