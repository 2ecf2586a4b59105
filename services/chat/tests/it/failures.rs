//! Providers that fail before the first byte: free, told in our words, and another one is asked where that is safe.

use std::time::Duration;

use domain::Catalogue;
use proto::{Code, code};
use serde_json::json;

use crate::{
    app::{App, compatible, in_openais_words},
    provider::{End, Reply},
};

const ASK: &str = r#"{"model":"gemini","messages":[{"role":"user","content":"foxes?"}]}"#;
const STREAM: &str =
    r#"{"model":"gemini","messages":[{"role":"user","content":"foxes?"}],"stream":true}"#;
const GOOD: &str = r#"{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;

/// A model that two providers serve.
fn two() -> Catalogue {
    let file = in_openais_words(include_str!(
        "../../../../crates/domain/catalogue/gemini.toml"
    ));
    let second = "\n[[providers]]\nadapter = \"openai\"\nprovider = \"second\"\nmodel = \"m2\"\n";
    Catalogue::parse(&[("two.toml", &format!("{file}{second}"))]).unwrap()
}

async fn check(reply: Reply, expected: Code, says: &str) {
    for ask in [ASK, STREAM] {
        let app = App::answering(reply.clone()).await;
        let fault = app.refused(ask).await;
        assert_eq!(fault.code, expected, "{reply:?}");
        assert!(fault.message.contains(says), "{}", fault.message);
        app.billing.released();
        app.settled().await;
    }
}

#[tokio::test]
async fn every_refusal_of_a_provider_has_its_code_and_none_is_the_customers_own() {
    let openai = |code: &str| {
        format!(
            r#"{{"error":{{"message":"our acme-42 account","type":"x","param":null,"code":"{code}"}}}}"#
        )
    };
    for (status, body, expected) in [
        (401, openai("invalid_api_key"), code::UPSTREAM_FAILED),
        (402, String::new(), code::UPSTREAM_FAILED),
        (403, String::new(), code::UPSTREAM_FAILED),
        (404, openai("model_not_found"), code::UPSTREAM_FAILED),
        (429, openai("insufficient_quota"), code::UPSTREAM_FAILED),
        (500, openai("server_error"), code::UPSTREAM_FAILED),
        (502, "<html>".to_owned(), code::UPSTREAM_FAILED),
        (504, "<html>".to_owned(), code::UPSTREAM_TIMEOUT),
    ] {
        let app = App::answering(Reply::whole(status, &body)).await;
        let fault = app.refused(ASK).await;
        assert_eq!(fault.code, expected, "{status} {body}");
        assert!(
            !fault.message.contains("acme"),
            "our account is nobody's business"
        );
        app.billing.released();
        app.settled().await;
    }
}

#[tokio::test]
async fn what_the_customer_can_mend_is_said_in_the_providers_words() {
    let invalid = r#"[{"error":{"code":400,"message":"temperature is too hot","status":"INVALID_ARGUMENT"}}]"#;
    check(
        Reply::whole(400, invalid),
        code::UPSTREAM_REFUSED,
        "temperature is too hot",
    )
    .await;
    let moderated = r#"{"error":{"message":"not this","type":"invalid_request_error","code":"content_policy_violation"}}"#;
    check(
        Reply::whole(400, moderated),
        code::CONTENT_MODERATED,
        "not this",
    )
    .await;
}

#[tokio::test]
async fn a_busy_provider_says_when_to_come_back() {
    for (status, wait, seconds) in [(429, Some("7"), 7), (503, None, 2), (529, None, 2)] {
        let headers = wait.map(|wait| ("retry-after", wait)).into_iter().collect();
        let app = App::answering(Reply {
            headers,
            ..Reply::whole(status, "")
        })
        .await;
        let fault = app.refused(ASK).await;
        assert_eq!(fault.code, code::UPSTREAM_BUSY);
        assert_eq!(fault.retry_after, Some(Duration::from_secs(seconds)));
        app.settled().await;
    }
}

#[tokio::test]
async fn a_stream_that_does_not_begin_is_a_status() {
    for reply in [
        Reply::stream(
            "data: {\"error\":{\"message\":\"m\",\"code\":500}}\n\n",
            End::Close,
        ),
        Reply::stream("data: [DONE]\n\n", End::Close),
        Reply::stream(": ping\n\n", End::Close),
        Reply::stream("data: nonsense\n\n", End::Hang),
        Reply::stream("", End::Break),
    ] {
        let app = App::answering(reply.clone()).await;
        let fault = app.refused(STREAM).await;
        assert_eq!(fault.code, code::UPSTREAM_FAILED, "{reply:?}");
        app.billing.released();
        app.settled().await;
    }
}

#[tokio::test]
async fn silence_ends_at_a_limit() {
    let settings = "[limits.chat]\nwhole_answer_timeout = '200ms'\n[limits.upstream]\nfirst_byte_timeout = '200ms'";
    for ask in [ASK, STREAM] {
        let app = App::with(settings, compatible()).await;
        app.provider.will(Reply::silence());
        let fault = app.refused(ask).await;
        assert_eq!(fault.code, code::UPSTREAM_TIMEOUT);
        app.billing.released();
        app.settled().await;
    }
}

#[tokio::test]
async fn the_next_provider_is_asked_only_when_nothing_was_accepted() {
    for (status, next) in [
        (401, true),
        (402, true),
        (404, true),
        (429, true),
        (503, true),
        (400, false),
        (502, false),
    ] {
        let app = App::with("", two()).await;
        app.provider.will(Reply::whole(status, ""));
        if next {
            app.provider.will(Reply::whole(200, GOOD));
            assert_eq!(app.collect(ASK).await.head.unwrap().provider, "second");
            let (_, receipt) = app.billing.captured();
            assert_eq!(receipt["provider"], "second");
            assert_eq!(
                receipt["attempts"][1],
                json!({"provider": "second", "outcome": "answered"})
            );
            let asked = app.provider.asked();
            assert_eq!(asked[1].path, "/second/v1/chat/completions");
            assert!(asked[1].body.contains(r#""model":"m2""#));
        } else {
            app.refused(ASK).await;
            assert_eq!(app.provider.asked().len(), 1, "{status}");
        }
        app.settled().await;
    }
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_not_a_timeout() {
    let settings = "[providers.gemini]\napi_key = 'k'\nbase_url = 'http://127.0.0.1:1'";
    let app = App::with(settings, compatible()).await;
    let request = App::request(ASK, domain::Mode::Live, &[]);
    let fault = proto::Fault::from(app.send(request).await.err().unwrap());
    assert_eq!(fault.code, code::UPSTREAM_FAILED);
    assert!(
        fault.message.contains("cannot be reached"),
        "{}",
        fault.message
    );
    app.settled().await;
}
