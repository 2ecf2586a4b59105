//! Google's Gemini API: every outcome, whole and streamed, and what is refused.

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::App;

const WHOLE: &str = "/gemini/v1beta/models/gemini-3-flash:generateContent";
const STREAM: &str = "/gemini/v1beta/models/gemini-3-flash:streamGenerateContent?alt=sse";

fn body(prompt: &str) -> Value {
    json!({ "contents": [{ "role": "user", "parts": [{ "text": prompt }] }] })
}

/// What a request is answered, or how the connection broke.
async fn ask(app: &App, path: &str, body: &Value) -> reqwest::Result<Response> {
    let request = app.post(path).header("x-goog-api-key", "any");
    request.json(body).send().await
}

async fn whole(app: &App, body: &Value) -> Value {
    let response = ask(app, WHOLE, body).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    response.json().await.unwrap()
}

/// The data of all events until the end of the stream, and whether it broke.
async fn stream(app: &App, body: &Value) -> (Vec<Value>, reqwest::Result<()>) {
    let mut response = ask(app, STREAM, body).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut text = String::new();
    let end = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => text.push_str(std::str::from_utf8(&chunk).unwrap()),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    let events = text.split_terminator("\n\n");
    let events = events.map(|event| serde_json::from_str(event.strip_prefix("data: ").unwrap()));
    (events.collect::<Result<_, _>>().unwrap(), end)
}

fn said(response: &Value) -> String {
    let parts = response["candidates"][0]["content"]["parts"].as_array();
    let texts = parts.into_iter().flatten();
    texts.filter_map(|part| part["text"].as_str()).collect()
}

#[tokio::test]
async fn a_stream_tells_the_same_as_a_whole_answer() {
    let app = App::start().await;
    let mut ask = body("hello [sandbox tokens=100]");
    ask["generationConfig"] = json!({ "thinkingConfig": { "includeThoughts": true } });
    let answer = whole(&app, &ask).await;
    assert_eq!(answer["modelVersion"], "gemini-3-flash");
    let (events, end) = stream(&app, &ask).await;
    assert!(end.is_ok());
    // Five of thought, a hundred of text, a signature, and the end.
    assert_eq!(events.len(), 5 + 100 + 1 + 1);
    assert_eq!(events.iter().map(said).collect::<String>(), said(&answer));
    let last = events.last().unwrap();
    assert_eq!(last["candidates"][0]["finishReason"], "STOP");
    assert_eq!(last["usageMetadata"], answer["usageMetadata"]);
    let bill = app.bill_when(|bill| bill["jobs"] == 2).await;
    assert_eq!(bill["by_provider"]["gemini"]["repeated"], 1);
}

#[tokio::test]
async fn refusals_are_spelled_as_google_does() {
    let app = App::start().await;
    for (outcome, code, status) in [
        ("fail", 500, "INTERNAL"),
        ("rate_limited", 429, "RESOURCE_EXHAUSTED"),
        ("overloaded", 503, "UNAVAILABLE"),
        ("out_of_balance", 402, "RESOURCE_EXHAUSTED"),
    ] {
        for path in [WHOLE, STREAM] {
            let asked = body(&format!("[sandbox outcome={outcome}]"));
            let response = ask(&app, path, &asked).await.unwrap();
            assert_eq!(response.status(), code, "{outcome}");
            let error: Value = response.json().await.unwrap();
            assert_eq!(
                (&error["error"]["code"], &error["error"]["status"]),
                (&json!(code), &json!(status))
            );
            let delay = error["error"]["details"][0]["retryDelay"].as_str();
            assert_eq!(delay.is_some(), outcome == "rate_limited");
        }
    }
    assert_eq!(app.json("/bill").await["jobs"], 0);
}

#[tokio::test]
async fn broken_answers_break_as_they_should() {
    let app = App::start().await;
    let malformed = body("[sandbox outcome=malformed]");
    let response = ask(&app, WHOLE, &malformed).await.unwrap();
    assert!(response.json::<Value>().await.unwrap_err().is_decode());
    let cut = body("[sandbox outcome=cut tokens=40]");
    assert!(ask(&app, WHOLE, &cut).await.unwrap().bytes().await.is_err());
    let (events, end) = stream(&app, &cut).await;
    assert!(end.is_err());
    assert_eq!(events.len(), 20);
    for path in [WHOLE, STREAM] {
        let error = ask(&app, path, &body("[sandbox outcome=vanish]"))
            .await
            .unwrap_err();
        assert!(error.is_request() && !error.is_timeout(), "{error:?}");
    }
    let hang = body("[sandbox outcome=hang]");
    let mut answer = Box::pin(ask(&app, WHOLE, &hang));
    let accepted = app.bill_when(|bill| bill["jobs"] == 6);
    tokio::select! {
        biased;
        answer = &mut answer => panic!("an answer came: {answer:?}"),
        _ = accepted => {}
    }
    let (stopped, answer) = tokio::join!(app.tasks.stop(crate::PATIENCE), answer);
    assert!(stopped && answer.is_err());
}

#[tokio::test]
async fn embeddings_are_below_googles_compatible_path() {
    let app = App::start().await;
    let request = app
        .post("/gemini/v1beta/openai/embeddings")
        .bearer_auth("any");
    let asked = json!({ "model": "gemini-embedding-001", "input": "a fox" });
    let answer = request.json(&asked).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

/// A request that is refused, whose error says this.
async fn refused(app: &App, (path, body): (&str, &Value), code: u16, says: &str) {
    let response = ask(app, path, body).await.unwrap();
    assert_eq!(response.status(), code, "{body}");
    let error: Value = response.json().await.unwrap();
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains(says), "{says}: {message}");
}

#[tokio::test]
async fn who_is_nobody_or_asks_for_nothing_is_refused() {
    let app = App::start().await;
    let hello = body("hello");
    let bare = app.post(WHOLE).json(&hello).send().await.unwrap();
    assert_eq!(bare.status(), 403);
    let in_url = app.post(&format!("{WHOLE}?key=secret"));
    let asked = in_url.header("x-goog-api-key", "k").json(&hello).send();
    // A credential has no place in a URL.
    assert_eq!(asked.await.unwrap().status(), 400);
    let path = "/gemini/v1beta/models/m:predict";
    refused(&app, (path, &hello), 404, "No such model").await;
    let path = "/gemini/v1beta/models/m:streamGenerateContent";
    refused(&app, (path, &hello), 400, "alt").await;
}

fn contents(contents: &Value) -> Value {
    json!({ "contents": contents })
}

fn model(part: &Value) -> Value {
    json!({ "role": "model", "parts": [part] })
}

fn result(name: &str) -> Value {
    let response = json!({ "id": "1", "name": name, "response": {} });
    json!({ "role": "user", "parts": [{ "functionResponse": response }] })
}

/// A call with this signature, or none.
fn call(signature: Option<&str>) -> Value {
    let mut call = json!({ "functionCall": { "id": "1", "name": "f", "args": {} } });
    if let Some(signature) = signature {
        call["thoughtSignature"] = json!(signature);
    }
    call
}

#[tokio::test]
async fn a_conversation_that_cannot_be_is_refused() {
    let app = App::start().await;
    let user = json!({ "role": "user", "parts": [{ "text": "x" }] });
    let said = model(&json!({ "text": "x" }));
    let (good, unsigned, forged) = (call(Some("c2FuZGJveC1")), call(None), call(Some("mine")));
    let media = |kind: &str, data: &str| {
        let data = json!({ "mimeType": kind, "data": data });
        json!([{ "role": "user", "parts": [{ "inlineData": data }] }])
    };
    for (turns, says) in [
        (json!([]), "contents"),
        (
            json!([{ "role": "assistant", "parts": [] }]),
            "unknown variant",
        ),
        (
            json!([{ "role": "user", "parts": [] }]),
            "must not be empty",
        ),
        (
            json!([{ "role": "user", "parts": [{ "thought": true }] }]),
            "oneof",
        ),
        (json!([{ "role": "user", "parts": [good] }]), "this kind"),
        (json!([user, said]), "ends with a user role"),
        (
            json!([model(&good), result("f")]),
            "immediately after a user turn",
        ),
        (json!([user, model(&good), user]), "equal to the number"),
        (json!([user, result("f")]), "equal to the number"),
        (json!([user, model(&good), result("g")]), "name and the id"),
        (
            json!([user, model(&unsigned), result("f")]),
            "missing a thought_signature",
        ),
        (
            json!([user, model(&forged), result("f")]),
            "Corrupted thought signature",
        ),
        (media("image/gif", "AAAA"), "MIME type"),
        (media("image/png", "A"), "Base64"),
    ] {
        refused(&app, (WHOLE, &contents(&turns)), 400, says).await;
    }
    // A turn of before is not looked at so closely.
    let old = json!([user, model(&unsigned), result("f"), said, user]);
    whole(&app, &contents(&old)).await;
    assert_eq!(app.bill_when(|bill| bill["jobs"] == 1).await["jobs"], 1);
}

#[tokio::test]
async fn a_setting_that_cannot_be_is_refused() {
    let app = App::start().await;
    let config = |config: Value| ("generationConfig", config);
    let both = json!({ "thinkingBudget": 1, "thinkingLevel": "LOW" });
    for ((name, value), says) in [
        (("model", json!("m")), "unknown field"),
        (config(json!({ "temperature": 3 })), "temperature"),
        (
            config(json!({ "stopSequences": ["1", "2", "3", "4", "5", "6"] })),
            "at most 5",
        ),
        (config(json!({ "responseJsonSchema": {} })), "mime type"),
        (config(json!({ "thinkingConfig": both })), "only one"),
        (
            config(json!({ "thinkingConfig": { "thinkingLevel": "MUCH" } })),
            "unknown variant",
        ),
        (
            (
                "safetySettings",
                json!([{ "category": "X", "threshold": "OFF" }]),
            ),
            "unknown variant",
        ),
        (
            (
                "tools",
                json!([{ "functionDeclarations": [{ "name": "1f" }] }]),
            ),
            "Invalid function name",
        ),
        (
            (
                "toolConfig",
                json!({ "functionCallingConfig": { "mode": "ANY" } }),
            ),
            "ANY",
        ),
    ] {
        let mut asked = body("hello");
        asked[name] = value;
        refused(&app, (WHOLE, &asked), 400, says).await;
    }
}
