//! Speech by its makers: every format is a file that says how long it is, and who resells a model takes over where its maker cannot be asked.

use domain::TaskId;
use proto::code;
use serde_json::{Value, json};

use crate::{
    natives::{built_in, resellers, section, submit},
    sandboxed::{Bill, Sandboxed},
};

const ROUTE: &str = "audio/speech";
/// Two seconds, as the sandbox says it.
const TEXT: &str = "The quick brown fox jumps over";

fn dialogue(more: &Value) -> Value {
    let line = json!([{ "text": TEXT, "voice": "narrator" }]);
    with(json!({ "model": "elevenlabs-v3", "dialogue": line }), more)
}

fn with(mut body: Value, more: &Value) -> Value {
    let members = body.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    body
}

async fn asked(sandboxed: &Sandboxed, body: &Value) -> TaskId {
    submit(&sandboxed.running, ROUTE, body).await.unwrap()
}

#[tokio::test]
async fn every_format_says_how_long_it_is() {
    let sandboxed = Sandboxed::new(built_in()).await;
    let text = |model: &str, more: &Value| with(json!({ "model": model, "input": TEXT }), more);
    for (body, kind, millis, price) in [
        (dialogue(&json!({})), "audio/mpeg", 2.0, 1_000_000),
        (
            dialogue(&json!({ "response_format": "opus" })),
            "audio/ogg",
            2.0,
            1_000_000,
        ),
        (
            dialogue(&json!({ "response_format": "wav" })),
            "audio/wav",
            2.0,
            1_000_000,
        ),
        (text("tts-1", &json!({})), "audio/mpeg", 2.0, 1_000_000),
        (
            text("tts-1-hd", &json!({ "response_format": "opus" })),
            "audio/ogg",
            2.0,
            1_000_000,
        ),
        (
            text("tts-1", &json!({ "response_format": "flac" })),
            "audio/flac",
            2.0,
            1_000_000,
        ),
        (
            text(
                "gpt-4o-mini-tts",
                &json!({ "response_format": "aac", "instructions": "Slowly.", "speed": 0.5 }),
            ),
            "audio/aac",
            4.0,
            1_000_000,
        ),
        (
            text("tts-1", &json!({ "response_format": "wav", "speed": 2 })),
            "audio/wav",
            1.0,
            1_000_000,
        ),
    ] {
        let task = asked(&sandboxed, &body).await;
        let view = sandboxed.running.reaches(task, "completed").await;
        let output = &view["output"][0];
        assert_eq!(
            (&view["type"], &output["content_type"]),
            (&json!("speech"), &json!(kind)),
            "{view}"
        );
        // Some have whole frames only.
        let lasts = output["duration_seconds"].as_f64().unwrap();
        assert!((millis - 0.05..=millis).contains(&lasts), "{view}");
        sandboxed.settles(task, &[price]).await;
    }
}

#[tokio::test]
async fn a_text_is_paid_by_its_characters() {
    let sandboxed = Sandboxed::new(built_in()).await;
    let long = "é".repeat(1_000);
    for (model, price, billed) in [
        ("tts-1", 3_000_000, 15_000),
        ("tts-1-hd", 6_000_000, 30_000),
        ("gpt-4o-mini-tts", 8_000_000, 18_000),
    ] {
        let before = sandboxed.bill("openai").await;
        let task = asked(&sandboxed, &json!({ "model": model, "input": long })).await;
        sandboxed.running.reaches(task, "completed").await;
        sandboxed.settles(task, &[price]).await;
        let after = sandboxed.bill("openai").await;
        assert_eq!(after.billed - before.billed, billed);
    }
    let lines = json!([{ "text": long }, { "text": long, "voice": "Bill" }]);
    let body = json!({ "model": "elevenlabs-v3", "dialogue": lines });
    let task = asked(&sandboxed, &body).await;
    sandboxed.running.reaches(task, "completed").await;
    sandboxed.settles(task, &[56_000_000]).await;
    let billed = Bill {
        jobs: 1,
        billed: 200_000,
    };
    assert_eq!(sandboxed.bill("elevenlabs").await, billed);
}

#[tokio::test]
async fn who_resells_a_dialogue_takes_over_in_the_format_that_they_have() {
    let nobody = section("elevenlabs", "http://127.0.0.1:1/");
    let sections = |sandbox: &str| format!("{nobody}{}", resellers(sandbox));
    let sandboxed = Sandboxed::live(built_in(), sections).await;
    let task = asked(&sandboxed, &dialogue(&json!({}))).await;
    let view = sandboxed.running.reaches(task, "completed").await;
    assert_eq!(view["attempts"], 2, "{view}");
    sandboxed.settles(task, &[1_000_000]).await;
    assert_eq!(sandboxed.bill("kie").await.jobs, 1);
    // Nobody else has that one.
    let task = asked(&sandboxed, &dialogue(&json!({ "response_format": "opus" }))).await;
    sandboxed.fails(task, code::UPSTREAM_FAILED).await;
    assert_eq!(sandboxed.bill("kie").await.jobs, 1);
}

#[tokio::test]
async fn an_account_of_ours_that_is_empty_is_no_customers_concern() {
    let sandboxed = Sandboxed::new(built_in()).await;
    let empty = format!("{TEXT} [sandbox outcome=out_of_balance]");
    let body = json!({ "model": "tts-1", "input": empty });
    let task = asked(&sandboxed, &body).await;
    let view = sandboxed.fails(task, code::UPSTREAM_FAILED).await;
    let message = view["error"]["message"].as_str().unwrap();
    assert!(
        !message.contains("credit") && !message.contains("quota"),
        "{message}"
    );
}
