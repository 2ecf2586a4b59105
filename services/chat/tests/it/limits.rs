//! Answers that end at a limit: whose it was, and providers that do not keep it.

use domain::Mode;
use proto::chat::v1::CompleteRequest;
use serde_json::{Value, json};

use crate::{
    app::{App, Collected, compatible, until},
    provider::{End, Reply},
};

const PLAIN: &str =
    r#"{"model":"gemini","messages":[{"role":"user","content":"foxes?"}],"stream":true}"#;
const WITH_USAGE: &str = r#"{"model":"gemini","messages":[{"role":"user","content":"foxes?"}],"stream":true,"stream_options":{"include_usage":true}}"#;
const WHOLE: &str = r#"{"model":"gemini","messages":[{"role":"user","content":"foxes?"}]}"#;
const USAGE: &str = r#"{"prompt_tokens":10,"completion_tokens":300}"#;

/// What holds this request with so many tokens of output.
fn held(body: &str, output: i64) -> i64 {
    i64::try_from(body.len().div_ceil(2)).unwrap() * 50 + output * 300
}

/// An answer that ends for its length, as the request wants it.
fn cut_short(body: &str) -> Reply {
    if body == WHOLE {
        let choice = r#"{"message":{"content":"hi"},"finish_reason":"length"}"#;
        return Reply::whole(200, &format!(r#"{{"choices":[{choice}],"usage":{USAGE}}}"#));
    }
    let text = format!(
        "data: {{\"choices\":[{{\"delta\":{{\"content\":\"hi\"}}}}]}}\n\n\
         data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"length\"}}]}}\n\n\
         data: {{\"choices\":[],\"usage\":{USAGE}}}\n\ndata: [DONE]\n\n"
    );
    Reply::stream(&text, End::Close)
}

/// Every code that an answer says, anywhere.
fn codes(answer: &Collected) -> Vec<Value> {
    let (tail, _) = answer.end();
    let events = answer.data.iter().chain(&tail);
    let parsed = events.map(|event| serde_json::from_str::<Value>(event).unwrap());
    parsed
        .filter(|event| event.get("finish_code").is_some())
        .inspect(|event| assert_eq!(event["choices"][0]["finish_reason"], "length"))
        .map(|event| event["finish_code"].clone())
        .collect()
}

#[tokio::test]
async fn an_answer_that_credit_cut_short_says_so() {
    for body in [PLAIN, WITH_USAGE, WHOLE] {
        let said = [json!("credit_limit_reached")];
        // The balance affords less than the model's default.
        let app = App::answering(cut_short(body)).await;
        app.billing.books().available = held(body, 300);
        assert_eq!(codes(&app.collect(body).await), said, "{body}");
        assert_eq!(app.provider.body()["max_tokens"], 300);
        app.settled().await;
        // So does the request's own limit of its cost.
        let app = App::answering(cut_short(body)).await;
        let request = CompleteRequest {
            max_cost: held(body, 300),
            ..App::request(body, Mode::Test, &[])
        };
        let answer = Collected::of(app.send(request).await.unwrap()).await;
        assert_eq!(codes(&answer), said, "{body}");
        app.settled().await;
    }
}

#[tokio::test]
async fn an_answer_that_reached_its_own_limit_says_nothing_more() {
    for body in [PLAIN, WITH_USAGE, WHOLE] {
        let own = body.replacen('{', r#"{"max_tokens":300,"#, 1);
        for (asked, output) in [(body, 8_192), (own.as_str(), 300)] {
            let app = App::answering(cut_short(body)).await;
            app.billing.books().available = held(asked, output);
            assert!(codes(&app.collect(asked).await).is_empty(), "{asked}");
            assert_eq!(app.provider.body()["max_tokens"], output);
            app.settled().await;
        }
    }
}

/// A stream of so much text, in events of a hundred bytes.
fn text(bytes: usize) -> String {
    let piece = "1a2b3c4d5e".repeat(10);
    format!("data: {{\"id\":\"c\",\"choices\":[{{\"delta\":{{\"content\":\"{piece}\"}}}}]}}\n\n")
        .repeat(bytes / 100)
}

#[tokio::test]
async fn a_provider_that_goes_on_beyond_its_limit_is_stopped() {
    let limited = "[limits.chat.output]\nmost_token_bytes = 10";
    for (available, code) in [
        (i64::MAX, None),
        (held(WITH_USAGE, 300), Some("credit_limit_reached")),
    ] {
        let app = App::with(limited, compatible()).await;
        app.billing.books().available = available;
        let body = WITH_USAGE.replacen('{', r#"{"max_tokens":400,"#, 1);
        // It would go on for ever.
        app.provider.will(Reply::stream(&text(50_000), End::Hang));
        let answer = app.collect(&body).await;
        until("the stop", || app.provider.stopped() == 1).await;
        let allowed = app.provider.body()["max_tokens"].as_u64().unwrap();
        let events = usize::try_from(allowed * 10 / 100).unwrap() + 1;
        // The one that was too much, and the end of it.
        assert_eq!(answer.data.len(), events + 1);
        let end: Value = serde_json::from_str(answer.data.last().unwrap()).unwrap();
        assert_eq!(end["choices"][0]["finish_reason"], "length");
        assert_eq!(end.get("finish_code").and_then(Value::as_str), code);
        let (tail, charged) = answer.end();
        let usage: Value = serde_json::from_str(tail.last().unwrap()).unwrap();
        assert_eq!(usage["usage_source"], "tokenizer");
        let (captured, receipt) = app.billing.captured();
        assert_eq!(captured, charged);
        // No more output than was allowed, however much came.
        let input = testkit::input_tokens(&body).unwrap();
        let output = i64::try_from(allowed).unwrap();
        assert_eq!(charged, input * 50 + output * 300);
        assert_eq!(receipt["estimated"], "limit_passed");
        assert_eq!(receipt["usage_source"], "tokenizer");
        assert_eq!(receipt["class"], "completed");
        app.settled().await;
    }
}

#[tokio::test]
async fn a_provider_within_its_limit_is_heard_to_its_end() {
    let limited = "[limits.chat.output]\nmost_token_bytes = 10";
    let app = App::with(limited, compatible()).await;
    let body = PLAIN.replacen('{', r#"{"max_tokens":400,"n":2,"#, 1);
    let whole = format!("{}data: [DONE]\n\n", text(2 * 400 * 10));
    app.provider.will(Reply::stream(&whole, End::Close));
    let answer = app.collect(&body).await;
    assert_eq!(answer.data.len(), 80);
    app.settled().await;
    assert_eq!(app.provider.stopped(), 0);
    assert_eq!(app.billing.captured().1["estimated"], "no_usage");
}
