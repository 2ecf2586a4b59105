//! Chat: every outcome, whole and streamed.

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::App;

const GEMINI: &str = "/gemini/v1/chat/completions";
const OPENAI: &str = "/openai/v1/chat/completions";

fn body(prompt: &str) -> Value {
    json!({ "model": "gemini-3-flash", "messages": [{ "role": "user", "content": prompt }] })
}

fn streamed(prompt: &str) -> Value {
    let mut body = body(prompt);
    body["stream"] = json!(true);
    body["stream_options"] = json!({ "include_usage": true });
    body
}

/// What a chat request is answered, or how the connection broke.
async fn ask(app: &App, path: &str, body: &Value) -> reqwest::Result<Response> {
    let request = app.post(path).bearer_auth("any").json(body);
    request.send().await
}

async fn completion(app: &App, prompt: &str) -> Value {
    let response = ask(app, GEMINI, &body(prompt)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.json().await.unwrap()
}

/// The data of all events until the end of the stream, and whether it broke.
async fn events(response: Response) -> (Vec<String>, reqwest::Result<()>) {
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut response = response;
    let mut text = String::new();
    let end = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => text.push_str(std::str::from_utf8(&chunk).unwrap()),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    let events = text.split_terminator("\n\n");
    let data = events.map(|event| event.strip_prefix("data: ").unwrap().to_owned());
    (data.collect(), end)
}

async fn stream(app: &App, body: &Value) -> (Vec<String>, reqwest::Result<()>) {
    events(ask(app, GEMINI, body).await.unwrap()).await
}

fn parse(event: &str) -> Value {
    serde_json::from_str(event).unwrap()
}

/// The text that the content deltas spell.
fn spelled(events: &[String]) -> String {
    let events = events.iter().filter(|event| *event != "[DONE]");
    let deltas = events.map(|event| parse(event)["choices"][0]["delta"]["content"].clone());
    deltas
        .filter_map(|text| text.as_str().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn a_whole_answer_has_openais_shape() {
    let app = App::start().await;
    let answer = completion(&app, "hello").await;
    assert!(answer["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["model"], "gemini-3-flash");
    assert!(answer["created"].as_i64().unwrap() > 1_700_000_000);
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(choice["message"]["role"], "assistant");
    let content = choice["message"]["content"].as_str().unwrap();
    assert_eq!(
        content,
        "Sandbox reply. Model: gemini-3-flash. Messages: 1 (user). Parts: 1 (text)."
    );
    let usage = &answer["usage"];
    assert_eq!(usage["prompt_tokens"], 2);
    assert_eq!(usage["completion_tokens"], content.len().div_ceil(4));
    assert_eq!(usage["total_tokens"], content.len().div_ceil(4) + 2);
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 0);
    assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 0);
}

#[tokio::test]
async fn a_stream_tells_the_same_as_a_whole_answer() {
    let app = App::start().await;
    let whole = completion(&app, "hello [sandbox tokens=200]").await;
    let (events, end) = stream(
        &app,
        &streamed("hello [sandbox tokens=200 chunk_delay=1ms]"),
    )
    .await;
    assert!(end.is_ok());
    assert_eq!(events.last().unwrap(), "[DONE]");
    let chunks: Vec<_> = events[..events.len() - 1]
        .iter()
        .map(|e| parse(e))
        .collect();
    let (usage, chunks) = chunks.split_last().unwrap();
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["completion_tokens"], 200);
    assert_eq!(chunks.len(), 1 + 200 + 1);
    for chunk in chunks {
        assert_eq!(
            (&chunk["id"], &chunk["created"]),
            (&usage["id"], &usage["created"])
        );
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk.get("usage"), Some(&Value::Null));
    }
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let last = &chunks.last().unwrap()["choices"][0];
    assert_eq!(
        (&last["delta"], &last["finish_reason"]),
        (&json!({}), &json!("stop"))
    );
    let content = whole["choices"][0]["message"]["content"].as_str().unwrap();
    // The prompts differ, the echo of them does not.
    assert_eq!(spelled(&events), content);
}

#[tokio::test]
async fn a_stream_without_usage_says_nothing_of_it() {
    let app = App::start().await;
    let mut body = body("hello");
    body["stream"] = json!(true);
    let (events, end) = stream(&app, &body).await;
    assert!(end.is_ok());
    assert_eq!(events.last().unwrap(), "[DONE]");
    let all_silent = events[..events.len() - 1]
        .iter()
        .all(|e| parse(e).get("usage").is_none());
    assert!(all_silent);
}

#[tokio::test]
async fn a_required_tool_is_called_in_both_forms() {
    let app = App::start().await;
    let tool = json!({ "type": "function", "function": { "name": "get_weather" } });
    let mut body = body("weather?");
    body["tools"] = json!([tool]);
    body["tool_choice"] = json!("required");
    let whole: Value = ask(&app, GEMINI, &body)
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let call = &whole["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(call["function"]["name"], "get_weather");
    body["stream"] = json!(true);
    let (events, end) = stream(&app, &body).await;
    assert!(end.is_ok());
    let begin = parse(&events[1])["choices"][0]["delta"]["tool_calls"][0].clone();
    assert_eq!(begin["function"]["name"], "get_weather");
    assert!(begin["id"].as_str().unwrap().starts_with("call_"));
    let arguments = &parse(&events[2])["choices"][0]["delta"]["tool_calls"][0];
    assert_eq!(arguments["function"]["arguments"], "{}");
    assert_eq!(
        parse(&events[3])["choices"][0]["finish_reason"],
        "tool_calls"
    );
}

#[tokio::test]
async fn refusals_are_spelled_as_each_provider_does() {
    let app = App::start().await;
    let table = [
        ("fail", 500, "INTERNAL", 500, "server_error"),
        ("rate_limited", 429, "RESOURCE_EXHAUSTED", 429, "requests"),
        ("overloaded", 503, "UNAVAILABLE", 503, "server_error"),
        (
            "out_of_balance",
            402,
            "RESOURCE_EXHAUSTED",
            429,
            "insufficient_quota",
        ),
    ];
    for (outcome, gemini, word, openai, kind) in table {
        for body in [body, streamed] {
            let body = body(&format!("[sandbox outcome={outcome}]"));
            let response = ask(&app, GEMINI, &body).await.unwrap();
            assert_eq!(response.status(), gemini, "{outcome}");
            assert_eq!(
                response.headers().contains_key("retry-after"),
                outcome == "rate_limited"
            );
            let error: Value = response.json().await.unwrap();
            assert_eq!(error[0]["error"]["code"], gemini);
            assert_eq!(error[0]["error"]["status"], word);
            let response = ask(&app, OPENAI, &body).await.unwrap();
            assert_eq!(response.status(), openai, "{outcome}");
            let error: Value = response.json().await.unwrap();
            assert_eq!(error["error"]["type"], kind);
        }
    }
    assert_eq!(app.json("/bill").await["jobs"], 0);
}

#[tokio::test]
async fn a_wrong_request_is_refused() {
    let app = App::start().await;
    let send = |request: reqwest::RequestBuilder| async { request.send().await.unwrap() };
    let good = body("hello");
    assert_eq!(send(app.post(OPENAI).json(&good)).await.status(), 401);
    assert_eq!(send(app.post(GEMINI).json(&good)).await.status(), 400);
    assert_eq!(
        send(app.post(GEMINI).bearer_auth("k").body("{"))
            .await
            .status(),
        400
    );
    let path = "/No_Name/v1/chat/completions";
    assert_eq!(
        send(app.post(path).bearer_auth("k").json(&good))
            .await
            .status(),
        404
    );
    let empty = json!({ "model": "m", "messages": [] });
    let response = send(app.post(OPENAI).bearer_auth("k").json(&empty)).await;
    assert_eq!(response.status(), 400);
    let error: Value = response.json().await.unwrap();
    assert_eq!(error["error"]["param"], "messages");
}

#[tokio::test]
async fn a_moderated_answer_is_filtered() {
    let app = App::start().await;
    let answer = completion(&app, "[sandbox outcome=moderated]").await;
    assert_eq!(answer["choices"][0]["finish_reason"], "content_filter");
    let (events, end) = stream(&app, &streamed("[sandbox outcome=moderated]")).await;
    assert!(end.is_ok() && spelled(&events).is_empty());
    assert_eq!(
        parse(&events[1])["choices"][0]["finish_reason"],
        "content_filter"
    );
}

#[tokio::test]
async fn a_malformed_answer_is_no_json() {
    let app = App::start().await;
    let response = ask(&app, GEMINI, &body("[sandbox outcome=malformed]"))
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.json::<Value>().await.unwrap_err().is_decode());
    let (events, end) = stream(&app, &streamed("[sandbox outcome=malformed]")).await;
    assert!(end.is_ok());
    assert!(serde_json::from_str::<Value>(&events[0]).is_err());
}

#[tokio::test]
async fn a_cut_answer_breaks_off_in_the_middle() {
    let app = App::start().await;
    let response = ask(&app, GEMINI, &body("[sandbox outcome=cut]"))
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.is_err());
    let (events, end) = stream(&app, &streamed("[sandbox outcome=cut tokens=40]")).await;
    assert!(end.is_err());
    assert_eq!(events.len(), 1 + 20);
    assert!(!spelled(&events).is_empty());
}

#[tokio::test]
async fn a_vanished_answer_never_begins() {
    let app = App::start().await;
    for body in [body, streamed] {
        let error = ask(&app, GEMINI, &body("[sandbox outcome=vanish]"))
            .await
            .unwrap_err();
        assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    }
    // The work was accepted all the same.
    app.bill_when(|bill| bill["jobs"] == 2).await;
}

#[tokio::test]
async fn a_hanging_answer_never_comes() {
    let app = App::start().await;
    let request = body("[sandbox outcome=hang]");
    let mut answer = Box::pin(ask(&app, GEMINI, &request));
    let accepted = app.bill_when(|bill| bill["jobs"] == 1);
    tokio::select! {
        biased;
        answer = &mut answer => panic!("an answer came: {answer:?}"),
        bill = accepted => assert_eq!(bill["billed"], 0),
    }
    // It ends with the process, and does not hold it up.
    let (stopped, answer) = tokio::join!(app.tasks.stop(crate::PATIENCE), answer);
    assert!(stopped && answer.is_err());
}

#[tokio::test]
async fn more_usage_than_allowed_is_reported() {
    let app = App::start().await;
    let mut body = streamed("[sandbox outcome=overreport]");
    body["max_tokens"] = json!(10);
    let (events, _) = stream(&app, &body).await;
    let usage = parse(&events[events.len() - 2])["usage"].clone();
    assert_eq!(usage["completion_tokens"], 1_100);
    assert!(usage["total_tokens"].as_u64().unwrap() > 1_100);
}

#[tokio::test]
async fn a_delay_is_kept() {
    let app = App::start().await;
    let begun = std::time::Instant::now();
    completion(&app, "[sandbox delay=60ms]").await;
    assert!(begun.elapsed().as_millis() >= 60);
    let body = streamed("[sandbox tokens=10 chunk_delay=10ms]");
    let begun = std::time::Instant::now();
    stream(&app, &body).await.1.unwrap();
    assert!(begun.elapsed().as_millis() >= 100);
}
