//! Answers in one piece.

use serde_json::{Value, json};

use crate::{
    app::App,
    provider::{End, Reply},
};

const WHOLE: &str = include_str!("../fixtures/openai_whole.json");
const ASK: &str = r#"{"model":"gemini","messages":[{"role":"user","content":"foxes?"}],"seed":7}"#;

#[tokio::test]
async fn the_providers_answer_comes_back_with_the_charge_beside_its_usage() {
    let app = App::answering(Reply::whole(200, WHOLE)).await;
    let answer = app.collect(ASK).await;
    let head = answer.head.as_ref().unwrap();
    assert_eq!((head.provider.as_str(), head.stream), ("gemini", false));
    // 12 input, 8 cached, 7 output, 5 reasoning.
    let charged = 12 * 50 + 8 * 5 + 7 * 300 + 5 * 300;
    let (data, micros) = answer.end();
    assert_eq!(micros, charged);
    let mut expected: Value = serde_json::from_str(WHOLE).unwrap();
    expected["credits_consumed"] = json!(0.00424);
    assert_eq!(data.len(), 1);
    assert_eq!(serde_json::from_str::<Value>(&data[0]).unwrap(), expected);
    assert!(
        data[0].starts_with(WHOLE.trim_end().trim_end_matches('}')),
        "the bytes are the provider's"
    );
    let (captured, receipt) = app.billing.captured();
    assert_eq!(captured, charged);
    assert_eq!(
        receipt["usage"],
        json!({"input": 12, "cached": 8, "output": 7, "reasoning": 5})
    );
    assert_eq!(
        receipt["attempts"],
        json!([{"provider": "gemini", "outcome": "answered"}])
    );
    assert!(
        !receipt.to_string().contains("foxes"),
        "no content in a receipt"
    );
    app.settled().await;
}

#[tokio::test]
async fn the_provider_is_asked_what_the_customer_asked() {
    let app = App::answering(Reply::whole(200, WHOLE)).await;
    app.collect(ASK).await;
    let expected = json!({
        "model": "gemini-3-flash", "messages": [{"role": "user", "content": "foxes?"}], "seed": 7, "max_tokens": 8192,
    });
    assert_eq!(app.provider.body(), expected);
    let asked = app.provider.asked();
    assert_eq!(asked[0].path, "/gemini/v1beta/openai/chat/completions");
    assert_eq!(asked[0].authorization, "Bearer sandbox");
    app.settled().await;
}

#[tokio::test]
async fn an_answer_without_usage_is_counted() {
    let body = r#"{"id":"x","choices":[{"message":{"content":"It\u2019s 12\n\"red\""}}]}"#;
    let app = App::answering(Reply::whole(200, body)).await;
    let (_, charged) = app.collect(ASK).await.end();
    let expected = testkit::cut_cost(ASK, "It\u{2019}s 12\n\"red\"", (50, 300)).unwrap();
    assert_eq!(charged, expected);
    let (_, receipt) = app.billing.captured();
    assert_eq!(receipt["estimated"], "no_usage");
    assert_eq!(receipt["usage_source"], "tokenizer");
    app.settled().await;
}

#[tokio::test]
async fn an_answer_that_is_none_is_free() {
    for reply in [
        Reply::whole(200, "{\"id\": \"x\", \"choi"),
        Reply::whole(200, "<html>"),
        Reply::whole(200, "{}"),
        Reply::whole(200, "[]"),
        Reply::whole(200, ""),
        Reply::whole(
            200,
            r#"{"error":{"code":500,"message":"m","status":"INTERNAL"}}"#,
        ),
        Reply {
            end: End::Break,
            ..Reply::whole(200, WHOLE)
        },
    ] {
        let app = App::answering(reply.clone()).await;
        let fault = app.refused(ASK).await;
        assert_eq!(fault.code, proto::code::UPSTREAM_FAILED, "{reply:?}");
        app.billing.released();
        app.settled().await;
    }
}

#[tokio::test]
async fn a_caller_that_leaves_a_whole_answer_stops_the_provider_and_pays_nothing() {
    let app = App::answering(Reply::silence()).await;
    tokio::select! {
        _ = app.ask(ASK) => panic!("no answer can come"),
        () = crate::app::until("the request", || !app.provider.asked().is_empty()) => {}
    }
    crate::app::until("the stop", || app.provider.stopped() == 1).await;
    app.settled().await;
    assert_eq!(app.billing.released()["class"], "client_left");
}
