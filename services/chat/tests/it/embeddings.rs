//! Embeddings: held by their input, charged by what the provider counted, and refused where they cannot be.

use domain::Mode;
use proto::{Fault, chat::v1::CompleteRequest, code};
use serde_json::{Value, json};

use crate::{
    app::{App, Collected},
    provider::{End, Reply},
};

const ASK: &str =
    r#"{"model":"text-embedding-3-small","metadata":{"team":"red"},"input":["a fox","a bear"]}"#;
const ANSWER: &str = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.6,0.8]},
    {"object":"embedding","index":1,"embedding":"AACAPwAAAAA="}],"model":"text-embedding-3-small",
    "usage":{"prompt_tokens":7,"total_tokens":7}}"#;

fn request(body: &str) -> CompleteRequest {
    CompleteRequest {
        route: "embeddings".to_owned(),
        ..App::request(body, Mode::Test, &[])
    }
}

async fn collect(app: &App, body: &str) -> Collected {
    Collected::of(app.send(request(body)).await.unwrap()).await
}

async fn refused(app: &App, body: &str) -> Fault {
    Fault::from(app.send(request(body)).await.expect_err("a failure"))
}

#[tokio::test]
async fn the_answer_is_the_providers_and_its_input_is_charged() {
    let app = App::answering(Reply::whole(200, ANSWER)).await;
    let quote = app.quote(request(ASK)).await.unwrap();
    let answer = collect(&app, ASK).await;
    let (data, charged) = answer.end();
    assert_eq!(charged, 7 * 2);
    let mut expected: Value = serde_json::from_str(ANSWER).unwrap();
    expected["credits_consumed"] = json!(0.000_014);
    assert_eq!(serde_json::from_str::<Value>(&data[0]).unwrap(), expected);

    let asked = app.provider.asked();
    assert_eq!(asked[0].path, "/openai/v1/embeddings");
    let sent: Value = serde_json::from_str(&asked[0].body).unwrap();
    assert_eq!(
        sent,
        json!({ "model": "text-embedding-3-small", "input": ["a fox", "a bear"] })
    );
    let (captured, receipt) = app.billing.captured();
    assert_eq!(captured, charged);
    assert_eq!(receipt["route"], "embeddings");
    assert_eq!(receipt["usage"]["input"], 7);
    assert_eq!(receipt["tags"]["metadata"]["team"], "red");
    assert!(!receipt.to_string().contains("fox"), "no content");
    // Two bytes of the body at most for a token, at two micro-credits.
    let most = i64::try_from(ASK.len().div_ceil(2)).unwrap() * 2;
    assert_eq!(app.billing.books().holds[0].amount, most);
    assert_eq!(quote.max, most);
    app.settled().await;
}

#[tokio::test]
async fn what_is_no_answer_costs_nothing() {
    for (reply, expected) in [
        (
            Reply::whole(200, r#"{"object":"list","data":[]}"#),
            code::UPSTREAM_FAILED,
        ),
        (
            Reply::whole(200, r#"{"choices":[]}"#),
            code::UPSTREAM_FAILED,
        ),
        (Reply::whole(200, "[]"), code::UPSTREAM_FAILED),
        (
            Reply::whole(
                400,
                r#"{"error":{"message":"no such dimensions","type":"invalid_request_error"}}"#,
            ),
            code::UPSTREAM_REFUSED,
        ),
        (
            Reply {
                end: End::Break,
                ..Reply::whole(200, ANSWER)
            },
            code::UPSTREAM_FAILED,
        ),
    ] {
        let app = App::answering(reply).await;
        let fault = refused(&app, ASK).await;
        assert_eq!(fault.code, expected, "{}", fault.message);
        assert_eq!(app.billing.books().settles[0].amount, 0);
        app.settled().await;
    }
}

#[tokio::test]
async fn usage_that_is_not_told_is_counted() {
    let silent = r#"{"data":[{"embedding":[1.0]}]}"#;
    let app = App::answering(Reply::whole(200, silent)).await;
    let (_, charged) = collect(&app, ASK).await.end();
    let request: Value = serde_json::from_str(ASK).unwrap();
    let inputs = request["input"].as_array().unwrap().iter();
    let tokens = inputs.map(|text| testkit::tokens(text.as_str().unwrap()).unwrap());
    assert_eq!(charged, tokens.sum::<i64>() * 2);
    let (_, receipt) = app.billing.captured();
    assert_eq!(receipt["estimated"], "no_usage");
    app.settled().await;
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_before_anything_is_held() {
    let app = App::start().await;
    let many = json!({ "model": "text-embedding-3-small", "input": vec!["a"; 513] }).to_string();
    for (body, expected, told) in [
        (many.as_str(), code::INVALID_PARAMETER, "at most 512 inputs"),
        (
            r#"{"model":"text-embedding-3-small"}"#,
            code::MISSING_PARAMETER,
            "input",
        ),
        (
            r#"{"model":"gemini","input":"x"}"#,
            code::UNKNOWN_MODEL,
            "/api/v1/chat/completions",
        ),
        (
            r#"{"model":"nobody","input":"x"}"#,
            code::UNKNOWN_MODEL,
            "text-embedding-3-large",
        ),
    ] {
        let fault = refused(&app, body).await;
        assert_eq!(fault.code, expected, "{}", fault.message);
        assert!(fault.message.contains(told), "{}", fault.message);
    }
    let elsewhere = app
        .refused(r#"{"model":"text-embedding-3-small","messages":[{"role":"user","content":"x"}]}"#)
        .await;
    assert_eq!(elsewhere.code, code::UNKNOWN_MODEL);
    assert!(app.billing.books().holds.is_empty());
    app.settled().await;
}
