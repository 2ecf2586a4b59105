//! Tasks that kie.ai serves, before its simulator: what each of its endings is to the customer.

use std::sync::Arc;

use domain::Catalogue;
use proto::code;
use serde_json::json;

use crate::sandboxed::Sandboxed;

/// The model of every test, served by kie.ai alone.
fn catalogue(deadline: u32, model: &str) -> Arc<Catalogue> {
    let text = include_str!("../../../../crates/domain/catalogue/flux-2.toml");
    let (ours, _) = text.split_once("[[providers]]").unwrap();
    let ours = ours.replace(
        "deadline_seconds = 300",
        &format!("deadline_seconds = {deadline}"),
    );
    let route = format!("adapter = \"kie\"\nprovider = \"kie\"\nmodel = \"{model}\"\n");
    let text = format!("{ours}[[providers]]\n{route}");
    Arc::new(Catalogue::parse(&[("flux-2.toml", &text)]).unwrap())
}

#[tokio::test]
async fn a_task_becomes_a_picture() {
    let sandboxed = Sandboxed::new(catalogue(300, "nano-banana-pro")).await;
    let task = sandboxed.asked("delay=50ms").await;
    let view = sandboxed.running.reaches(task, "completed").await;
    assert_eq!(
        (&view["progress"], &view["attempts"]),
        (&json!(100), &json!(1))
    );
    let output = &view["output"][0];
    assert_eq!(
        (&output["width"], &output["height"]),
        (&json!(2_048), &json!(2_048))
    );
    assert_eq!(view["consumed_microcredits"], 7_000_000);
}

#[tokio::test]
async fn a_task_becomes_a_video() {
    let sandboxed = Sandboxed::new(catalogue(300, "kling-3.0/video")).await;
    let task = sandboxed.asked("delay=0ms").await;
    let view = sandboxed.running.reaches(task, "completed").await;
    let output = &view["output"][0];
    assert_eq!(output["content_type"], "video/mp4");
    assert_eq!(output["duration_seconds"], 5.0);
}

#[tokio::test]
async fn failures_are_free_and_have_their_codes() {
    let sandboxed = Sandboxed::new(catalogue(300, "nano-banana-pro")).await;
    for (words, code, attempts, message) in [
        ("outcome=fail", code::UPSTREAM_FAILED, 1, ""),
        (
            "outcome=moderated",
            code::CONTENT_MODERATED,
            1,
            "The input was flagged as sensitive.",
        ),
        (
            "outcome=moderated delay=20ms",
            code::CONTENT_MODERATED,
            1,
            "The output was flagged as sensitive.",
        ),
        ("outcome=out_of_balance", code::UPSTREAM_FAILED, 1, ""),
        ("outcome=overloaded", code::UPSTREAM_FAILED, 2, ""),
        ("outcome=vanish", code::UPSTREAM_FAILED, 1, ""),
    ] {
        let task = sandboxed.asked(words).await;
        let view = sandboxed.fails(task, code).await;
        assert_eq!(view["attempts"], attempts, "{words}");
        let told = view["error"]["message"].as_str().unwrap();
        assert!(message.is_empty() || told == message, "{told}");
    }
}

#[tokio::test]
async fn what_never_ends_is_ended_by_its_deadline() {
    let sandboxed = Sandboxed::new(catalogue(1, "nano-banana-pro")).await;
    let mut tasks = Vec::new();
    for outcome in ["hang", "malformed", "cut", "rate_limited"] {
        tasks.push(sandboxed.asked(&format!("outcome={outcome}")).await);
    }
    for task in tasks {
        sandboxed.fails(task, code::DEADLINE_EXCEEDED).await;
    }
}

#[tokio::test]
async fn an_input_that_it_does_not_take_is_told() {
    let sandboxed = Sandboxed::new(catalogue(300, "seedream/4.5-edit")).await;
    let task = sandboxed.asked("delay=0ms").await;
    let view = sandboxed.fails(task, code::UPSTREAM_REFUSED).await;
    assert_eq!(view["error"]["message"], "image_urls is required");
}

#[tokio::test]
async fn a_model_that_it_does_not_have_is_our_failure() {
    let sandboxed = Sandboxed::new(catalogue(300, "z-image-9")).await;
    let task = sandboxed.asked("delay=0ms").await;
    sandboxed.fails(task, code::UPSTREAM_FAILED).await;
}
