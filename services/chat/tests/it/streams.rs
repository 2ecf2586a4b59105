//! Streams that go well.

use serde_json::{Value, json};

use crate::{
    app::{App, Collected},
    provider::{End, Reply},
};

const OPENAI: &str = include_str!("../fixtures/openai_stream.sse");
const GOOGLE: &str = include_str!("../fixtures/google_stream.sse");
const TOOLS: &str = include_str!("../fixtures/tools_stream.sse");

const PLAIN: &str =
    r#"{"model":"gemini","messages":[{"role":"user","content":"foxes?"}],"stream":true}"#;
const WITH_USAGE: &str = r#"{"model":"gemini","messages":[{"role":"user","content":"foxes?"}],"stream":true,"stream_options":{"include_usage":true}}"#;

/// The data of a fixture's events, without `[DONE]`.
fn events(fixture: &str) -> Vec<&str> {
    let data = fixture
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]").collect()
}

async fn stream(fixture: &str, ask: &str) -> (App, Collected) {
    let app = App::answering(Reply::stream(fixture, End::Close)).await;
    let answer = app.collect(ask).await;
    app.settled().await;
    (app, answer)
}

#[tokio::test]
async fn without_include_usage_the_usage_event_is_kept_to_ourselves() {
    let (app, answer) = stream(OPENAI, PLAIN).await;
    let head = answer.head.as_ref().unwrap();
    assert_eq!((head.provider.as_str(), head.stream), ("gemini", true));
    assert_eq!(answer.data, events(OPENAI)[..4]);
    let charged = 10 * 50 + 7 * 300;
    assert_eq!(answer.end(), (Vec::new(), charged));
    assert_eq!(app.billing.captured().0, charged);
    assert_eq!(
        app.provider.body()["stream_options"],
        json!({"include_usage": true})
    );
}

#[tokio::test]
async fn with_include_usage_its_event_comes_last_with_the_charge() {
    let (app, answer) = stream(OPENAI, WITH_USAGE).await;
    assert_eq!(answer.data, events(OPENAI)[..4]);
    let (tail, charged) = answer.end();
    let mut usage: Value = serde_json::from_str(events(OPENAI)[4]).unwrap();
    usage["credits_consumed"] = json!(0.0026);
    assert_eq!(tail.len(), 1);
    assert_eq!(serde_json::from_str::<Value>(&tail[0]).unwrap(), usage);
    assert_eq!(charged, 2600);
    assert_eq!(app.billing.captured().1["estimated"], Value::Null);
}

#[tokio::test]
async fn usage_in_every_event_is_a_running_total_and_the_last_one_waits_for_the_charge() {
    for ask in [PLAIN, WITH_USAGE] {
        let (app, answer) = stream(GOOGLE, ask).await;
        assert_eq!(answer.data, events(GOOGLE)[..1]);
        let (tail, charged) = answer.end();
        assert_eq!(tail.len(), 1);
        let last: Value = serde_json::from_str(&tail[0]).unwrap();
        assert_eq!(last["choices"][0]["delta"]["content"], "es run.");
        assert_eq!(last["credits_consumed"], json!(0.0107));
        // 30 tokens are in the total only: reasoning.
        assert_eq!(charged, 10 * 50 + 4 * 300 + 30 * 300);
        assert_eq!(app.billing.captured().1["usage"]["reasoning"], 30);
    }
}

#[tokio::test]
async fn tools_pass_both_ways_untouched() {
    let tools =
        r#"[{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}]"#;
    let ask = format!(
        r#"{{"model":"gemini","messages":[{{"role":"user","content":"?"}}],"stream":true,"tools":{tools},"tool_choice":"auto"}}"#
    );
    let (app, answer) = stream(TOOLS, &ask).await;
    assert_eq!(answer.data, events(TOOLS)[..3]);
    assert_eq!(answer.end().1, 30 * 50 + 9 * 300);
    assert!(app.provider.asked()[0].body.contains(tools));
}

#[tokio::test]
async fn where_the_provider_reports_nothing_the_usage_event_is_ours() {
    let fixture = OPENAI.replace(
        events(OPENAI)[4],
        r#"{"id":"chatcmpl-2","choices":[],"usage":null}"#,
    );
    let (app, answer) = stream(&fixture, WITH_USAGE).await;
    let (tail, charged) = answer.end();
    let last: Value = serde_json::from_str(tail.last().unwrap()).unwrap();
    let prompt = testkit::input_tokens(WITH_USAGE).unwrap();
    let texts: Vec<Value> = answer
        .data
        .iter()
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    let texts = texts
        .iter()
        .map(|event| &event["choices"][0]["delta"]["content"]);
    let text: String = texts.filter_map(Value::as_str).collect();
    let completion = testkit::tokens(&text).unwrap();
    assert!(text.contains("\"usage\""), "{text}");
    assert_eq!(last["usage"]["completion_tokens"], completion);
    assert_eq!(last["usage"]["prompt_tokens"], prompt);
    assert_eq!(last["id"], "chatcmpl-2");
    assert_eq!(charged, prompt * 50 + completion * 300);
    assert_eq!(app.billing.captured().1["estimated"], "no_usage");
}

#[tokio::test]
async fn a_stream_without_done_is_whole_when_it_is_finished_and_accounted_for() {
    let fixture = OPENAI.replace("data: [DONE]\n\n", "");
    let (_app, answer) = stream(&fixture, WITH_USAGE).await;
    assert_eq!(answer.end().1, 2600);
}

#[tokio::test]
async fn usage_that_is_not_the_last_word_is_sent_on() {
    let [first, text, _, stop, usage] = events(OPENAI)[..] else {
        panic!("five events")
    };
    let order = [first, usage, text, stop, usage];
    let fixture: String = order
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect();
    let (_app, answer) = stream(&format!("{fixture}data: [DONE]\n\n"), WITH_USAGE).await;
    assert_eq!(answer.data, [first, usage, text, stop]);
    assert_eq!(answer.end().0.len(), 1);
}

#[tokio::test]
async fn an_event_of_several_lines_becomes_one_line() {
    let fixture =
        "data: {\"choices\":\ndata: [{\"delta\":{\"content\":\"a\"}}]}\n\ndata: [DONE]\n\n";
    let (_app, answer) = stream(fixture, PLAIN).await;
    assert_eq!(answer.data, [r#"{"choices": [{"delta":{"content":"a"}}]}"#]);
}
