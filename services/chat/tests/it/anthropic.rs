//! Anthropic: customers speak OpenAI's protocol, the provider its own, and the money is the same.

use std::fmt::Write as _;

use domain::{Catalogue, Mode};
use proto::{Code, code};
use serde_json::{Value, json};

use crate::{
    app::{App, Collected},
    provider::{End, Reply},
};

const ASK: &str = r#"{"model":"claude-opus-5-5","messages":[{"role":"user","content":"foxes?"}]}"#;
const STREAM: &str =
    r#"{"model":"claude-opus-5-5","messages":[{"role":"user","content":"foxes?"}],"stream":true}"#;
const WITH_USAGE: &str = r#"{"model":"claude-opus-5-5","messages":[{"role":"user","content":"foxes?"}],"stream":true,
    "stream_options":{"include_usage":true},"include_thoughts":true}"#;

/// 7 input, 3 cached, 12 output and 8 reasoning.
const CHARGED: i64 = 7 * 400 + 3 * 40 + 12 * 2000 + 8 * 2000;

fn message(blocks: &Value, reason: &str) -> String {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-5-5", "content": blocks,
        "stop_reason": reason, "stop_sequence": null, "stop_details": null, "usage": usage(20),
    })
    .to_string()
}

fn usage(output: u64) -> Value {
    json!({"input_tokens": 7, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 3, "output_tokens": output,
        "output_tokens_details": {"thinking_tokens": if output > 8 { 8 } else { 0 }}})
}

/// Events as Anthropic writes them.
fn told(events: &[Value]) -> String {
    events.iter().fold(String::new(), |mut text, event| {
        let name = event["type"].as_str().unwrap();
        write!(text, "event: {name}\ndata: {event}\n\n").unwrap();
        text
    })
}

fn start() -> Value {
    let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-5-5", "content": [],
        "stop_reason": null, "usage": usage(1)});
    json!({"type": "message_start", "message": message})
}

fn block(index: u64, block: &Value, deltas: &[Value]) -> Vec<Value> {
    let begin = json!({"type": "content_block_start", "index": index, "content_block": block});
    let deltas = deltas
        .iter()
        .map(|delta| json!({"type": "content_block_delta", "index": index, "delta": delta}));
    let end = json!({"type": "content_block_stop", "index": index});
    [begin].into_iter().chain(deltas).chain([end]).collect()
}

/// A text of four bytes a piece.
fn text(index: u64, pieces: usize) -> Vec<Value> {
    let delta = json!({"type": "text_delta", "text": "abcd"});
    block(
        index,
        &json!({"type": "text", "text": ""}),
        &vec![delta; pieces],
    )
}

fn end(reason: &str) -> Vec<Value> {
    let delta = json!({"stop_reason": reason, "stop_sequence": null});
    vec![
        json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 20, "output_tokens_details": {"thinking_tokens": 8}}}),
        json!({"type": "message_stop"}),
    ]
}

fn error(kind: &str, message: &str) -> Value {
    json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"})
}

/// Thinking, a text and two tool calls.
fn tools() -> String {
    let call = |id: &str| json!({"type": "tool_use", "id": id, "name": "weather", "input": {}});
    let json_delta = |piece: &str| json!({"type": "input_json_delta", "partial_json": piece});
    let thinking = [
        json!({"type": "thinking_delta", "thinking": "Bo"}),
        json!({"type": "thinking_delta", "thinking": "nn?"}),
        json!({"type": "signature_delta", "signature": "c2ln"}),
    ];
    let first = [
        json_delta(""),
        json_delta("{\"city\":"),
        json_delta(" \"Bonn\"}"),
    ];
    let events = [
        vec![start(), json!({"type": "ping"})],
        block(
            0,
            &json!({"type": "thinking", "thinking": "", "signature": ""}),
            &thinking,
        ),
        text(1, 2),
        block(2, &call("toolu_1"), &first),
        block(3, &call("toolu_2"), &[json_delta("")]),
        end("tool_use"),
    ];
    told(&events.concat())
}

async fn ask(reply: Reply, body: &str) -> (App, Collected) {
    let app = App::answering(reply).await;
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
    let blocks = json!([{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "Foxes run."}]);
    let (app, answer) = ask(Reply::whole(200, &message(&blocks, "end_turn")), ASK).await;
    let head = answer.head.as_ref().unwrap();
    assert_eq!((head.provider.as_str(), head.stream), ("anthropic", false));
    let (data, charged) = answer.end();
    assert_eq!(charged, CHARGED);
    let whole = &parsed(&data)[0];
    assert_eq!(whole["object"], "chat.completion");
    assert!(whole["created"].as_i64().unwrap() > 1_700_000_000);
    let details = json!([{"type": "thinking", "thinking": "", "signature": "s", "after_text": 0, "after_calls": 0}]);
    assert_eq!(
        whole["choices"],
        json!([{"index": 0, "finish_reason": "stop", "logprobs": null,
            "message": {"role": "assistant", "content": "Foxes run.", "refusal": null, "reasoning_details": details}}])
    );
    assert_eq!(
        whole["usage"],
        json!({"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30,
            "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 0}, "completion_tokens_details": {"reasoning_tokens": 8}})
    );
    assert_eq!(whole["credits_consumed"], json!(0.04292));
    let (captured, receipt) = app.billing.captured();
    assert_eq!((captured, &receipt["estimated"]), (CHARGED, &Value::Null));
    assert_eq!(
        receipt["attempts"],
        json!([{"provider": "anthropic", "outcome": "answered"}])
    );
}

#[tokio::test]
async fn anthropic_is_asked_in_its_own_words() {
    let whole = Reply::whole(200, &message(&json!([]), "end_turn"));
    let (app, _) = ask(whole, ASK).await;
    let hi = json!([{"type": "text", "text": "foxes?"}]);
    assert_eq!(
        app.provider.body(),
        json!({"model": "claude-opus-5-5", "max_tokens": 8192, "stream": false, "messages": [{"role": "user", "content": hi}]})
    );
    let asked = &app.provider.asked()[0];
    assert_eq!(asked.path, "/anthropic/v1/messages");
    assert_eq!(asked.headers["x-api-key"], "sandbox");
    assert_eq!(asked.headers["anthropic-version"], "2023-06-01");
    assert_eq!(asked.headers["content-type"], "application/json");
    assert!(asked.authorization.is_empty());
}

#[tokio::test]
async fn a_stream_with_thinking_and_parallel_tools() {
    let (app, answer) = ask(Reply::stream(&tools(), End::Close), WITH_USAGE).await;
    let deltas: Vec<Value> = parsed(&answer.data)
        .into_iter()
        .map(|chunk| chunk["choices"][0]["delta"].clone())
        .collect();
    let call = |index: u64, id: &str| json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": {"name": "weather", "arguments": ""}}]});
    let arguments = |index: u64, text: &str| json!({"tool_calls": [{"index": index, "function": {"arguments": text}}]});
    let detail = json!({"type": "thinking", "thinking": "Bonn?", "signature": "c2ln", "after_text": 0, "after_calls": 0});
    let expected = [
        json!({"role": "assistant", "content": ""}),
        json!({"reasoning_content": "Bo"}),
        json!({"reasoning_content": "nn?"}),
        json!({"reasoning_details": [detail]}),
        json!({"content": "abcd"}),
        json!({"content": "abcd"}),
        call(0, "toolu_1"),
        arguments(0, "{\"city\":"),
        arguments(0, " \"Bonn\"}"),
        call(1, "toolu_2"),
        arguments(1, "{}"),
        json!({}),
    ];
    assert_eq!(deltas, expected);
    let last: Value = serde_json::from_str(answer.data.last().unwrap()).unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "tool_calls");
    let (tail, charged) = answer.end();
    let usage = &parsed(&tail)[0];
    assert_eq!(
        (&usage["choices"], &usage["id"]),
        (&json!([]), &json!("msg_1"))
    );
    assert_eq!(usage["usage"]["total_tokens"], 30);
    assert_eq!(
        (usage["credits_consumed"].clone(), charged),
        (json!(0.04292), CHARGED)
    );
    assert_eq!(
        app.provider.body()["thinking"],
        json!({"type": "adaptive", "display": "summarized"})
    );
}

#[tokio::test]
async fn who_did_not_ask_for_thoughts_or_usage_gets_none() {
    let (_app, answer) = ask(Reply::stream(&tools(), End::Close), STREAM).await;
    assert_eq!(answer.end(), (Vec::new(), CHARGED));
    let all = answer.data.join("\n");
    assert!(!all.contains("reasoning_content") && !all.contains("nn?") && !all.contains("usage"));
    assert!(all.contains(r#""signature":"c2ln""#), "{all}");
}

#[tokio::test]
async fn it_does_not_matter_how_the_bytes_come() {
    let (_app, expected) = ask(Reply::stream(&tools(), End::Close), WITH_USAGE).await;
    let mut by_byte = Reply::stream("", End::Close);
    by_byte.pieces = tools().chars().map(String::from).collect();
    let (_app, answer) = ask(by_byte, WITH_USAGE).await;
    let created = |events: &[String]| -> Vec<Value> {
        let without = |mut event: Value| {
            event["created"] = Value::Null;
            event
        };
        parsed(events).into_iter().map(without).collect()
    };
    assert_eq!(created(&answer.data), created(&expected.data));
    assert_eq!(created(&answer.end().0), created(&expected.end().0));
}

#[tokio::test]
async fn a_refusal_of_the_model_is_an_answer() {
    let refused = message(&json!([]), "refusal");
    let (_app, answer) = ask(Reply::whole(200, &refused), ASK).await;
    let (data, charged) = answer.end();
    let choice = &parsed(&data)[0]["choices"][0];
    assert_eq!(
        (&choice["finish_reason"], charged),
        (&json!("content_filter"), CHARGED)
    );
    assert_eq!(choice["message"]["content"], "");
    let events = [vec![start()], text(0, 1), end("refusal")].concat();
    let (_app, answer) = ask(Reply::stream(&told(&events), End::Close), STREAM).await;
    let last: Value = serde_json::from_str(answer.data.last().unwrap()).unwrap();
    assert_eq!(last["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(answer.end().1, CHARGED);
}

#[tokio::test]
async fn each_error_has_its_code_and_is_free() {
    let low = "Your credit balance is too low to access the acme account.";
    for (status, kind, says, expected) in [
        (
            400,
            "invalid_request_error",
            "top_p: too much",
            code::UPSTREAM_REFUSED,
        ),
        (400, "invalid_request_error", low, code::UPSTREAM_FAILED),
        (401, "authentication_error", "acme", code::UPSTREAM_FAILED),
        (402, "billing_error", "acme", code::UPSTREAM_FAILED),
        (403, "permission_error", "acme", code::UPSTREAM_FAILED),
        (404, "not_found_error", "acme", code::UPSTREAM_FAILED),
        (
            413,
            "request_too_large",
            "too large",
            code::UPSTREAM_REFUSED,
        ),
        (429, "rate_limit_error", "acme", code::UPSTREAM_BUSY),
        (500, "api_error", "acme", code::UPSTREAM_FAILED),
        (504, "timeout_error", "acme", code::UPSTREAM_TIMEOUT),
        (529, "overloaded_error", "acme", code::UPSTREAM_BUSY),
    ] {
        for body in [ASK, STREAM] {
            let reply = Reply::whole(status, &error(kind, says).to_string());
            refused(reply, body, expected).await;
        }
    }
}

/// A request that fails before the first byte, for free, without a word of our account.
async fn refused(reply: Reply, body: &str, expected: Code) {
    let app = App::answering(reply.clone()).await;
    let fault = app.refused(body).await;
    assert_eq!(fault.code, expected, "{reply:?}");
    assert!(!fault.message.contains("acme"), "{}", fault.message);
    app.billing.released();
    app.settled().await;
}

#[tokio::test]
async fn what_is_no_answer_is_free() {
    let overloaded = error("overloaded_error", "m");
    for reply in [
        Reply::whole(200, "{\"id\": \"msg_1\", \"conte"),
        Reply::whole(200, "{}"),
        Reply::whole(200, &overloaded.to_string()),
    ] {
        refused(reply, ASK, code::UPSTREAM_FAILED).await;
    }
    for (events, end) in [
        (String::new(), End::Close),
        (told(&[start()]), End::Close),
        (told(&[start()]), End::Break),
        (
            "event: message_start\ndata: {\"type\": \"mess\n\n".to_owned(),
            End::Hang,
        ),
        // Before the first block an error is a status still.
        (told(&[start(), overloaded]), End::Close),
        (told(&[json!({"type": "message_stop"})]), End::Close),
    ] {
        refused(Reply::stream(&events, end), STREAM, code::UPSTREAM_FAILED).await;
    }
}

#[tokio::test]
async fn what_came_of_a_cut_stream_is_charged() {
    let begun = [vec![start()], text(0, 3)].concat();
    let overloaded = [begun.clone(), vec![error("overloaded_error", "m")]].concat();
    let estimate = testkit::cut_cost(STREAM, &"abcd".repeat(3), (400, 2000)).unwrap();
    for (events, end) in [
        (told(&begun), End::Close),
        (told(&begun), End::Break),
        (told(&overloaded), End::Hang),
        (format!("{}data: {{\"type\":\n\n", told(&begun)), End::Hang),
    ] {
        let (app, answer) = ask(Reply::stream(&events, end), STREAM).await;
        assert_eq!(answer.data.len(), 1 + 3, "{end:?}");
        assert_eq!(answer.failed.unwrap().code, code::UPSTREAM_FAILED);
        let (charged, receipt) = app.billing.captured();
        assert_eq!(
            (charged, &receipt["estimated"]),
            (estimate, &json!("upstream_cut"))
        );
    }
    // Before any text it is free.
    let silent = [vec![start()], text(0, 0)].concat();
    let (app, answer) = ask(Reply::stream(&told(&silent), End::Break), STREAM).await;
    assert_eq!(answer.failed.unwrap().code, code::UPSTREAM_FAILED);
    assert_eq!(app.billing.released()["class"], "upstream_cut");
}

#[tokio::test]
async fn a_stream_that_only_lacks_its_last_event_is_whole() {
    let mut events = [vec![start()], text(0, 3), end("end_turn")].concat();
    events.pop();
    let (_app, answer) = ask(Reply::stream(&told(&events), End::Close), STREAM).await;
    assert_eq!(answer.end().1, CHARGED);
}

#[tokio::test]
async fn what_anthropic_cannot_do_is_refused_by_name_and_nobody_is_asked() {
    for (extra, param) in [
        (r#""n":2"#, "n"),
        (r#""logprobs":true"#, "logprobs"),
        (r#""temperature":1.5"#, "temperature"),
        (
            r#""response_format":{"type":"json_object"}"#,
            "response_format",
        ),
    ] {
        let app = App::start().await;
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

#[tokio::test]
async fn another_provider_serves_when_anthropic_cannot() {
    let file = include_str!("../../../../crates/domain/catalogue/claude-opus-5-5.toml");
    let second = "\n[[providers]]\nadapter = \"openai\"\nprovider = \"second\"\nmodel = \"m2\"\n";
    let logprobs = ASK.replacen('{', r#"{"logprobs":true,"#, 1);
    let overloaded = Reply::whole(529, &error("overloaded_error", "m").to_string());
    let good = r#"{"choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
    // What Anthropic is not even asked for, another may do.
    for (ask, first) in [(ASK, Some(overloaded)), (logprobs.as_str(), None)] {
        let two = Catalogue::parse(&[("two.toml", &format!("{file}{second}"))]).unwrap();
        let app = App::with("", two).await;
        first.into_iter().for_each(|reply| app.provider.will(reply));
        app.provider.will(Reply::whole(200, good));
        assert_eq!(app.collect(ask).await.head.unwrap().provider, "second");
        let asked = app.provider.asked();
        let last = asked.last().unwrap();
        assert_eq!(last.path, "/second/v1/chat/completions");
        assert!(last.body.contains("foxes?"));
        app.settled().await;
    }
}
