//! What is counted where a provider does not tell its usage: all that was asked and all that came, and no more than that.

use proto::chat::v1::CompleteRequest;
use serde_json::{Value, json};
use testkit::{input_tokens, tokens};

use crate::{
    app::{App, Collected, compatible},
    provider::{End, Reply},
};

/// What Gemini's model file takes a media part for, at most.
const MEDIA_PART: i64 = 4096;

/// An event with this text.
fn said(text: &str) -> String {
    let delta = json!({ "choices": [{ "index": 0, "delta": { "content": text } }] });
    format!("data: {delta}\n\n")
}

/// The receipt of a request whose stream breaks off behind these events.
async fn receipt(settings: &str, body: &Value, events: &str) -> Value {
    let app = App::with(settings, compatible()).await;
    app.provider.will(Reply::stream(events, End::Break));
    let mut body = body.clone();
    body["stream"] = true.into();
    let answer = app.collect(&body.to_string()).await;
    assert!(answer.failed.is_some());
    app.settled().await;
    app.billing.captured().1
}

fn chat(content: &Value) -> Value {
    json!({ "model": "gemini", "messages": [{ "role": "user", "content": content }] })
}

#[tokio::test]
async fn every_kind_of_text_that_came_is_counted_and_what_is_counted_is_in_the_receipt() {
    let delta = |delta: Value| format!("data: {}\n\n", json!({ "choices": [{ "delta": delta }] }));
    let events = [
        said("Füchse \"rot\"\n"),
        delta(json!({ "reasoning_content": " weil\u{1f98a}" })),
        delta(
            json!({ "tool_calls": [{ "index": 0, "function": { "arguments": "{\"a\":[1,2]}" } }] }),
        ),
        delta(json!({ "content": "x", "refusal": " no" })),
    ];
    let body = chat(&json!("foxes?"));
    let receipt = receipt("", &body, &events.concat()).await;
    let text = "Füchse \"rot\"\n weil\u{1f98a}{\"a\":[1,2]}x no";
    assert_eq!(receipt["usage"]["output"], tokens(text).unwrap());
    assert_eq!(
        receipt["usage"]["input"],
        input_tokens(&body.to_string()).unwrap()
    );
    assert_eq!(receipt["usage_source"], "tokenizer");
    assert_eq!(receipt["estimated"], "upstream_cut");
}

#[tokio::test]
async fn media_count_by_half_of_their_fixed_sum_and_schemas_as_they_are_written() {
    let image = format!("data:image/png;base64,{}", "A".repeat(20_000));
    let parts = json!([
        { "type": "text", "text": "What is this?" },
        { "type": "image_url", "image_url": { "url": image } },
        { "type": "file", "file": { "file_data": image } },
    ]);
    let mut body = chat(&parts);
    let tools = json!([{ "type": "function", "function": { "name": "paint", "parameters": { "type": "object" } } }]);
    body["tools"] = tools.clone();
    let text = 3 + 4 + tokens("What is this?").unwrap() + tokens(&tools.to_string()).unwrap();
    let receipt = receipt("", &body, &said("a")).await;
    assert_eq!(receipt["usage"]["input"], text + MEDIA_PART);
}

#[tokio::test]
async fn the_input_is_never_more_than_what_is_held_for_it() {
    // A token a byte.
    let body = chat(&json!("1a2b3c4d5e".repeat(100)));
    let mut asked = body.clone();
    asked["stream"] = true.into();
    let half = i64::try_from(asked.to_string().len().div_ceil(2)).unwrap();
    let receipt = receipt("", &body, &said("a")).await;
    assert!(tokens(&"1a2b3c4d5e".repeat(100)).unwrap() > half);
    assert_eq!(receipt["usage"]["input"], half);
}

/// What is longer than is counted goes on as it began; the receipt says that not all was counted.
#[tokio::test]
async fn of_long_texts_the_beginning_is_counted() {
    let small = "[limits.chat.output.estimate]\noutput_bytes = 4000\ninput_bytes = 3000";
    let (question, answer) = ("Are foxes red? ".repeat(1_000), "Yes. ".repeat(2_000));
    let events = said("Yes. ").repeat(2_000);
    let body = chat(&json!(question));
    for (settings, source) in [("", "tokenizer"), (small, "estimate")] {
        let receipt = receipt(settings, &body, &events).await;
        assert_eq!(receipt["usage_source"], source);
        for (class, whole) in [
            ("input", input_tokens(&body.to_string()).unwrap()),
            ("output", tokens(&answer).unwrap()),
        ] {
            let used = receipt["usage"][class].as_i64().unwrap();
            let exact = source == "tokenizer";
            assert!(
                used == whole || !exact && (used - whole).abs() < whole / 100,
                "{receipt}"
            );
        }
    }
    // Nothing of it, where that is wished: a token for four bytes.
    let none = "[limits.chat.output.estimate]\noutput_bytes = 0\ninput_bytes = 0";
    let receipt = receipt(none, &body, &events).await;
    let used = |class: &str| receipt["usage"][class].as_u64().unwrap();
    assert_eq!(used("output"), u64::try_from(answer.len() / 4).unwrap());
    assert_eq!(
        used("input"),
        u64::try_from(question.len() / 4 + 7).unwrap()
    );
}

#[tokio::test]
async fn a_quote_counts_what_a_cut_stream_is_charged_for() {
    let app = App::start().await;
    let tokens_in = json!({ "model": "text-embedding-3-small", "input": [[1, 2, 3], [4]] });
    let request = CompleteRequest {
        route: "embeddings".to_owned(),
        ..App::request(&tokens_in.to_string(), domain::Mode::Test, &[])
    };
    let quote = app.quote(request).await.unwrap();
    let resolved: Value = serde_json::from_slice(&quote.resolved).unwrap();
    assert_eq!(resolved["input_tokens_expected"], 4);
    let silent = r#"{"data":[{"embedding":[1.0]}]}"#;
    app.provider.will(Reply::whole(200, silent));
    let request = CompleteRequest {
        route: "embeddings".to_owned(),
        ..App::request(&tokens_in.to_string(), domain::Mode::Test, &[])
    };
    let answer = Collected::of(app.send(request).await.unwrap()).await;
    assert_eq!(answer.end().1, 4 * 2);
    app.settled().await;
}
