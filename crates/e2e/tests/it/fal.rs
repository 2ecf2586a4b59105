//! Models that fal serves: each ending of its simulation, as a customer sees it.

use anyhow::Result;
use serde_json::json;
use tempfile::TempDir;
use testkit::Aio;

/// What an image of the model below costs, in micro-credits.
const PRICE: i64 = 3_000_000;
const FULL: i64 = 100_000_000;

/// A model in the operator's own directory.
fn model(slug: &str, deadline_seconds: u32) -> String {
    format!(
        r#"
slug = "{slug}"
name = "Fox"
owned_by = "black-forest-labs"
category = "image"
route = "images/generations"
status = "live"
deadline_seconds = {deadline_seconds}
webhook = true
cancel = "queued"

[[params]]
name = "prompt"
type = "text"
min = 1
max = 5000
required = true

[[params]]
name = "num_images"
type = "integer"
min = 1
max = 9

[[params]]
name = "output_format"
type = "choice"
values = ["png", "jpeg"]
default = "png"

[price]
unit = "call"

[[price.rows]]
microcredits = {PRICE}

[[providers]]
adapter = "fal"
provider = "fal"
model = "fal-ai/flux-2-pro"
"#
    )
}

/// A program that offers one model with time enough, and one without.
async fn offering(settings: &[(&str, &str)]) -> Result<(Aio, TempDir)> {
    let directory = tempfile::tempdir()?;
    for (slug, seconds) in [("fox", 120), ("quick-fox", 5)] {
        let path = directory.path().join(format!("{slug}.toml"));
        std::fs::write(path, model(slug, seconds))?;
    }
    let path = directory.path().display().to_string();
    let mut env = vec![("AIO_MODELS__DIRECTORY", path.as_str())];
    env.extend(settings);
    let aio = Aio::with(&env).await?;
    Ok((aio, directory))
}

#[tokio::test]
async fn a_task_ends_with_the_files_that_fal_made() -> Result<()> {
    let (aio, _models) = offering(&[]).await?;
    let api = aio.account(100).await?.api;
    for (extra, files) in [("", 1), (" [sandbox outcome=overreport delay=100ms]", 3)] {
        let body =
            json!({ "model": "fox", "prompt": format!("a fox{extra}"), "num_images": files });
        let task = api.ended(&api.image(&body).await?).await?;
        assert_eq!(task["status"], "completed", "{task}");
        assert_eq!(task["consumed_microcredits"], PRICE);
        let output = task["output"].as_array().map_or(0, Vec::len);
        assert_eq!(output, files, "{task}");
        let first = &task["output"][0];
        assert_eq!(first["content_type"], "image/png");
        assert_eq!(
            (&first["width"], &first["height"]),
            (&json!(1024), &json!(1024))
        );
    }
    assert_eq!(api.settled().await?.posted, FULL - 2 * PRICE);
    aio.finish().await
}

#[tokio::test]
async fn what_fails_at_fal_is_free_and_says_why() -> Result<()> {
    let settings = [
        ("AIO_LIMITS__MEDIA__POLL__SETTLE_IN", "1s"),
        ("AIO_LIMITS__MEDIA__MAX_ATTEMPTS", "2"),
    ];
    let (aio, _models) = offering(&settings).await?;
    let api = aio.account(100).await?.api;
    let cases = [
        ("fox", "fail delay=100ms", 1, "upstream_failed"),
        // Refused before the work, and for its result.
        ("fox", "moderated delay=0s", 1, "content_moderated"),
        ("fox", "moderated delay=100ms", 1, "content_moderated"),
        ("fox", "out_of_balance", 1, "upstream_failed"),
        ("fox", "vanish delay=100ms", 1, "upstream_failed"),
        ("fox", "overloaded", 1, "upstream_busy"),
        ("fox", "success", 9, "upstream_refused"),
        ("quick-fox", "rate_limited", 1, "deadline_exceeded"),
        ("quick-fox", "hang", 1, "deadline_exceeded"),
        ("quick-fox", "malformed", 1, "deadline_exceeded"),
        ("quick-fox", "cut", 1, "deadline_exceeded"),
    ];
    let mut ids = Vec::new();
    for (model, words, images, _) in cases {
        let prompt = format!("a fox [sandbox outcome={words}]");
        let body = json!({ "model": model, "prompt": prompt, "num_images": images });
        ids.push(api.image(&body).await?);
    }
    for ((_, words, _, code), id) in cases.iter().zip(&ids) {
        let task = api.ended(id).await?;
        assert_eq!(task["status"], "failed", "{words}");
        assert_eq!(task["error"]["code"], *code, "{words}: {task}");
        assert_eq!(
            (&task["consumed_microcredits"], &task["held_microcredits"]),
            (&json!(0), &json!(0))
        );
        if *code == "upstream_refused" {
            let told = "Input should be less than or equal to 4";
            assert_eq!(
                task["error"]["message"], told,
                "their words are for the customer"
            );
        }
    }
    let credits = api.settled().await?;
    assert_eq!((credits.posted, credits.available), (FULL, FULL));
    aio.finish().await
}

#[tokio::test]
async fn live_keys_ask_for_a_key_of_fal() -> Result<()> {
    let (aio, _models) = offering(&[]).await?;
    let live = aio.account(1).await?.live(100).await?;
    let body = json!({ "model": "fox", "prompt": "a fox" });
    let reply = live.post("/images/generations", &body).await?;
    let error = reply.error(503, "no_provider")?;
    let message = error["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("providers.fal.api_key") && message.contains("FAL_KEY"),
        "{message}"
    );
    aio.finish().await
}
