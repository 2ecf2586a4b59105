//! Gemini: customers speak OpenAI's protocol, the provider its own, and the money is the same.

use std::fmt::Write as _;

use domain::Mode;
use proto::{Code, Fault, code};
use serde_json::{Value, json};

use crate::{
    app::{App, Collected},
    provider::{End, Reply},
};

const ASK: &str = r#"{"model":"gemini","messages":[{"role":"user","content":"foxes?"}]}"#;
const STREAM: &str =
    r#"{"model":"gemini","messages":[{"role":"user","content":"foxes?"}],"stream":true}"#;
const WITH_USAGE: &str = r#"{"model":"gemini","messages":[{"role":"user","content":"foxes?"}],"stream":true,
    "stream_options":{"include_usage":true},"include_thoughts":true}"#;

/// 7 input, 3 cached, 12 output and 8 reasoning.
const CHARGED: i64 = 7 * 50 + 3 * 5 + 12 * 300 + 8 * 300;

fn usage() -> Value {
    json!({"promptTokenCount": 10, "cachedContentTokenCount": 3, "candidatesTokenCount": 12, "thoughtsTokenCount": 8, "totalTokenCount": 30})
}

/// An answer, or an event.
fn response(parts: &Value, finish: Option<&str>, usage: &Value) -> Value {
    let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
    if let Some(finish) = finish {
        candidate["finishReason"] = json!(finish);
    }
    let mut response =
        json!({"candidates": [candidate], "modelVersion": "gemini-3-flash", "responseId": "r1"});
    if !usage.is_null() {
        response["usageMetadata"] = usage.clone();
    }
    response
}

pub(crate) fn whole(parts: &Value, finish: &str) -> Reply {
    Reply::whole(200, &response(parts, Some(finish), &usage()).to_string())
}

pub(crate) fn text(text: &str) -> Value {
    json!([{"text": text}])
}

fn told(events: &[Value]) -> String {
    events.iter().fold(String::new(), |mut text, event| {
        write!(text, "data: {event}\r\n\r\n").unwrap();
        text
    })
}

/// So many events of four bytes, with running usage.
fn begun(pieces: u64) -> Vec<Value> {
    let so_far = |n: u64| json!({"promptTokenCount": 10, "candidatesTokenCount": n, "totalTokenCount": 10 + n});
    (1..=pieces)
        .map(|n| response(&text("abcd"), None, &so_far(n)))
        .collect()
}

fn call(name: &str, id: Option<&str>) -> Value {
    let mut call = json!({"functionCall": {"name": name, "args": {"city": "Bonn"}}});
    if let Some(id) = id {
        call["functionCall"]["id"] = json!(id);
    }
    call
}

fn error(code: u16, status: &str, message: &str) -> Value {
    json!({"error": {"code": code, "message": message, "status": status}})
}

/// An app whose provider will give this answer.
pub(crate) async fn answering(reply: Reply) -> App {
    let app = App::native("").await;
    app.provider.will(reply);
    app
}

async fn ask(reply: Reply, body: &str) -> (App, Collected) {
    let app = answering(reply).await;
    let answer = app.collect(body).await;
    app.settled().await;
    (app, answer)
}

fn parsed(events: &[String]) -> Vec<Value> {
    let parse = |event: &String| serde_json::from_str(event).unwrap();
    events.iter().map(parse).collect()
}

#[tokio::test]
async fn a_whole_answer_comes_back_in_openais_shape_with_the_charge() {
    let parts = json!([{"text": "hm", "thought": true}, {"text": "Foxes "}, {"text": "run.", "thoughtSignature": "c2ln"}]);
    let (app, answer) = ask(whole(&parts, "STOP"), ASK).await;
    let head = answer.head.as_ref().unwrap();
    assert_eq!((head.provider.as_str(), head.stream), ("gemini", false));
    let (data, charged) = answer.end();
    assert_eq!(charged, CHARGED);
    let whole = &parsed(&data)[0];
    assert_eq!(whole["object"], "chat.completion");
    assert_eq!(
        (&whole["id"], &whole["model"]),
        (&json!("chatcmpl-r1"), &json!("gemini-3-flash"))
    );
    assert!(whole["created"].as_i64().unwrap() > 1_700_000_000);
    assert_eq!(
        whole["choices"],
        json!([{"index": 0, "finish_reason": "stop", "logprobs": null,
            "message": {"role": "assistant", "content": "Foxes run.", "refusal": null,
                "extra_content": {"google": {"thought_signature": "c2ln"}}}}])
    );
    assert_eq!(
        whole["usage"],
        json!({"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30,
            "prompt_tokens_details": {"cached_tokens": 3}, "completion_tokens_details": {"reasoning_tokens": 8}})
    );
    let (captured, receipt) = app.billing.captured();
    assert_eq!((captured, &receipt["estimated"]), (CHARGED, &Value::Null));
    assert_eq!(
        receipt["attempts"],
        json!([{"provider": "gemini", "outcome": "answered"}])
    );
}

#[tokio::test]
async fn google_is_asked_in_its_own_words() {
    let (app, _) = ask(whole(&text("hi"), "STOP"), ASK).await;
    assert_eq!(
        app.provider.body(),
        json!({"contents": [{"role": "user", "parts": [{"text": "foxes?"}]}], "generationConfig": {"maxOutputTokens": 8192}})
    );
    let asked = app.provider.asked();
    assert_eq!(
        asked[0].path,
        "/gemini/v1beta/models/gemini-3-flash:generateContent"
    );
    assert_eq!(
        (asked[0].query.as_str(), asked[0].authorization.as_str()),
        ("", "")
    );
    assert_eq!(asked[0].headers["x-goog-api-key"], "sandbox");
    let events = told(&[response(&text("hi"), Some("STOP"), &usage())]);
    let (app, _) = ask(Reply::stream(&events, End::Close), STREAM).await;
    let asked = app.provider.asked();
    assert_eq!(
        asked[0].path,
        "/gemini/v1beta/models/gemini-3-flash:streamGenerateContent"
    );
    assert_eq!(asked[0].query, "alt=sse");
}

#[tokio::test]
async fn a_stream_comes_in_openais_chunks() {
    let first = json!([{"text": "Bo", "thought": true}, {"text": "nn?", "thought": true}]);
    let mut signed = call("weather", Some("c1"));
    signed["thoughtSignature"] = json!("c2ln");
    let events = [
        response(&first, None, &Value::Null),
        response(
            &text("Let me "),
            None,
            &json!({"promptTokenCount": 10, "candidatesTokenCount": 1}),
        ),
        response(&json!([{"text": "look."}, signed]), None, &Value::Null),
        response(&json!([call("time", None)]), None, &Value::Null),
        response(&text(""), Some("STOP"), &usage()),
    ];
    let (_app, answer) = ask(Reply::stream(&told(&events), End::Close), WITH_USAGE).await;
    let chunks = parsed(&answer.data);
    for chunk in &chunks {
        assert_eq!(
            (&chunk["id"], &chunk["object"]),
            (&json!("chatcmpl-r1"), &json!("chat.completion.chunk"))
        );
    }
    let deltas: Vec<&Value> = chunks
        .iter()
        .map(|chunk| &chunk["choices"][0]["delta"])
        .collect();
    let arguments = "{\"city\":\"Bonn\"}";
    let extra = json!({"google": {"thought_signature": "c2ln"}});
    assert_eq!(
        deltas,
        [
            &json!({"role": "assistant", "content": ""}),
            &json!({"reasoning_content": "Bo"}),
            &json!({"reasoning_content": "nn?"}),
            &json!({"content": "Let me "}),
            &json!({"content": "look."}),
            &json!({"tool_calls": [{"index": 0, "id": "c1", "type": "function",
                "function": {"name": "weather", "arguments": arguments}, "extra_content": extra}]}),
            &json!({"tool_calls": [{"index": 1, "id": "call_r1_0_1", "type": "function",
                "function": {"name": "time", "arguments": arguments}}]}),
            &json!({}),
        ]
    );
    assert_eq!(
        chunks.last().unwrap()["choices"][0]["finish_reason"],
        "tool_calls"
    );
    let (tail, charged) = answer.end();
    let last = &parsed(&tail)[0];
    assert_eq!(
        (&last["choices"], &last["usage"]["total_tokens"]),
        (&json!([]), &json!(30))
    );
    assert_eq!(charged, CHARGED);
}

#[tokio::test]
async fn who_did_not_ask_for_thoughts_or_usage_gets_none() {
    let parts = json!([{"text": "secret", "thought": true}, {"text": "hi"}]);
    let events = told(&[response(&parts, Some("STOP"), &usage())]);
    let (app, answer) = ask(Reply::stream(&events, End::Close), STREAM).await;
    assert_eq!(answer.end(), (Vec::new(), CHARGED));
    let all = answer.data.join("\n");
    assert!(!all.contains("secret") && !all.contains("usage"), "{all}");
    assert!(
        app.provider.body()["generationConfig"]
            .get("thinkingConfig")
            .is_none()
    );
}

#[tokio::test]
async fn it_does_not_matter_how_the_bytes_come() {
    let events = [
        begun(3),
        vec![response(&text("end"), Some("MAX_TOKENS"), &usage())],
    ]
    .concat();
    let events = told(&events);
    let (_app, expected) = ask(Reply::stream(&events, End::Close), WITH_USAGE).await;
    let mut by_byte = Reply::stream("", End::Close);
    by_byte.pieces = events.chars().map(String::from).collect();
    let (_app, answer) = ask(by_byte, WITH_USAGE).await;
    let timeless = |events: &[String]| -> Vec<Value> {
        let without = |mut event: Value| {
            event["created"] = Value::Null;
            event
        };
        parsed(events).into_iter().map(without).collect()
    };
    assert_eq!(timeless(&answer.data), timeless(&expected.data));
    assert_eq!(timeless(&answer.end().0), timeless(&expected.end().0));
}

#[tokio::test]
async fn usage_that_does_not_come_is_estimated() {
    let estimate = testkit::cut_cost(STREAM, "abcdefgh", (50, 300)).unwrap();
    let events = [
        response(&text("abcdefgh"), None, &Value::Null),
        response(&text(""), Some("STOP"), &Value::Null),
    ];
    let (app, answer) = ask(Reply::stream(&told(&events), End::Close), STREAM).await;
    assert_eq!(answer.end().1, estimate);
    assert_eq!(app.billing.captured().1["estimated"], "no_usage");
}

#[tokio::test]
async fn a_blocked_prompt_is_refused_and_free() {
    let blocked = json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 10}});
    for (reply, body) in [
        (Reply::whole(200, &blocked.to_string()), ASK),
        (
            Reply::stream(&told(std::slice::from_ref(&blocked)), End::Close),
            STREAM,
        ),
    ] {
        let fault = refused(reply, body, code::CONTENT_MODERATED).await;
        assert!(
            fault.message.contains("PROHIBITED_CONTENT"),
            "{}",
            fault.message
        );
    }
}

#[tokio::test]
async fn a_block_of_the_answer_is_an_answer() {
    let (_app, answer) = ask(whole(&json!([]), "SAFETY"), ASK).await;
    let (data, charged) = answer.end();
    let choice = &parsed(&data)[0]["choices"][0];
    assert_eq!(
        (&choice["finish_reason"], charged),
        (&json!("content_filter"), CHARGED)
    );
    assert_eq!(choice["message"]["content"], "");
    // Google leaves the content out.
    let mut bare = response(&json!([]), Some("RECITATION"), &usage());
    bare["candidates"][0]
        .as_object_mut()
        .unwrap()
        .remove("content");
    let events = [begun(2), vec![bare]].concat();
    let (_app, answer) = ask(Reply::stream(&told(&events), End::Close), STREAM).await;
    let last: Value = serde_json::from_str(answer.data.last().unwrap()).unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(answer.end().1, CHARGED);
}

#[tokio::test]
async fn each_error_has_its_code_and_is_free() {
    let mut key = error(400, "INVALID_ARGUMENT", "acme: API key not valid.");
    key["error"]["details"] =
        json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]);
    let mut today = error(429, "RESOURCE_EXHAUSTED", "acme");
    today["error"]["details"] =
        json!([{"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}]}]);
    for (status, body, expected) in [
        (
            400,
            error(400, "INVALID_ARGUMENT", "contents: too many"),
            code::UPSTREAM_REFUSED,
        ),
        (400, key, code::UPSTREAM_FAILED),
        (
            400,
            error(400, "FAILED_PRECONDITION", "acme"),
            code::UPSTREAM_FAILED,
        ),
        (
            401,
            error(401, "UNAUTHENTICATED", "acme"),
            code::UPSTREAM_FAILED,
        ),
        (
            402,
            error(402, "RESOURCE_EXHAUSTED", "acme"),
            code::UPSTREAM_FAILED,
        ),
        (
            403,
            error(403, "PERMISSION_DENIED", "acme"),
            code::UPSTREAM_FAILED,
        ),
        (404, error(404, "NOT_FOUND", "acme"), code::UPSTREAM_FAILED),
        (
            429,
            error(429, "RESOURCE_EXHAUSTED", "acme"),
            code::UPSTREAM_BUSY,
        ),
        (429, today, code::UPSTREAM_FAILED),
        (500, error(500, "INTERNAL", "acme"), code::UPSTREAM_FAILED),
        (503, error(503, "UNAVAILABLE", "acme"), code::UPSTREAM_BUSY),
        (
            504,
            error(504, "DEADLINE_EXCEEDED", "acme"),
            code::UPSTREAM_TIMEOUT,
        ),
    ] {
        for ask in [ASK, STREAM] {
            refused(Reply::whole(status, &body.to_string()), ask, expected).await;
        }
    }
}

/// A request that fails before the first byte, for free, without a word of our account.
async fn refused(reply: Reply, body: &str, expected: Code) -> Fault {
    let app = answering(reply.clone()).await;
    let fault = app.refused(body).await;
    assert_eq!(fault.code, expected, "{reply:?}");
    assert!(!fault.message.contains("acme"), "{}", fault.message);
    app.billing.released();
    app.settled().await;
    fault
}

#[tokio::test]
async fn what_is_no_answer_is_free() {
    let overloaded = error(503, "UNAVAILABLE", "m");
    for reply in [
        Reply::whole(200, "{\"candidates\": [{\"conte"),
        Reply::whole(200, "{}"),
        Reply::whole(200, "[]"),
        Reply::whole(200, r#"{"candidates":[]}"#),
        Reply::whole(200, &overloaded.to_string()),
        Reply::whole(200, &json!([overloaded]).to_string()),
    ] {
        refused(reply, ASK, code::UPSTREAM_FAILED).await;
    }
    for (events, end) in [
        (String::new(), End::Close),
        ("data: {\"candidates\": [{\"con\n\n".to_owned(), End::Hang),
        (told(&[overloaded]), End::Close),
        (told(&[json!({"usageMetadata": usage()})]), End::Break),
    ] {
        refused(Reply::stream(&events, end), STREAM, code::UPSTREAM_FAILED).await;
    }
    // A call that the model did not manage is told before anything of it was.
    let bad = response(&json!([]), Some("MALFORMED_FUNCTION_CALL"), &usage());
    refused(
        Reply::whole(200, &bad.to_string()),
        ASK,
        code::UPSTREAM_REFUSED,
    )
    .await;
    refused(
        Reply::stream(&told(&[bad]), End::Close),
        STREAM,
        code::UPSTREAM_REFUSED,
    )
    .await;
}

#[tokio::test]
async fn what_came_of_a_cut_stream_is_charged() {
    let overloaded = [begun(3), vec![error(503, "UNAVAILABLE", "m")]].concat();
    let bad = response(&json!([]), Some("MALFORMED_FUNCTION_CALL"), &usage());
    let bad = [begun(3), vec![bad]].concat();
    let estimate = testkit::cut_cost(STREAM, &"abcd".repeat(3), (50, 300)).unwrap();
    for (events, end) in [
        (told(&begun(3)), End::Close),
        (told(&begun(3)), End::Break),
        (told(&overloaded), End::Hang),
        (told(&bad), End::Hang),
        (format!("{}data: {{\"candi\n\n", told(&begun(3))), End::Hang),
    ] {
        let (app, answer) = ask(Reply::stream(&events, end), STREAM).await;
        assert_eq!(answer.data.len(), 1 + 3, "{end:?}");
        assert!(answer.failed.is_some());
        let (charged, receipt) = app.billing.captured();
        assert_eq!(
            (charged, &receipt["estimated"]),
            (estimate, &json!("upstream_cut"))
        );
    }
}

#[tokio::test]
async fn what_gemini_cannot_do_is_refused_by_name_and_nobody_is_asked() {
    for (extra, param) in [
        (r#""logit_bias":{"1":2}"#, "logit_bias"),
        (r#""temperature":2.5"#, "temperature"),
        (r#""stop":["a","b","c","d","e","f"]"#, "stop"),
        (r#""modalities":["text","audio"]"#, "modalities"),
    ] {
        let app = App::native("").await;
        let body = &ASK.replacen('{', &format!("{{{extra},"), 1);
        let quoted = app.quote(App::request(body, Mode::Test, &[])).await;
        assert_eq!(quoted.unwrap_err().param.as_deref(), Some(param));
        let fault = app.refused(body).await;
        assert_eq!(
            (fault.code, fault.param.as_deref()),
            (code::INVALID_PARAMETER, Some(param))
        );
        assert!(app.provider.asked().is_empty());
        app.billing.released();
        app.settled().await;
    }
}
