//! Models at their makers, who are asked before anybody who resells them. What goes wrong between us and a maker is no customer's: another
//! provider is asked, under one hold.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Aio, Answer, Api, Sink, eventually};

const PICTURES: &str = "/images/generations";
const FILMS: &str = "/videos/generations";
const MUSIC: &str = "/audio/music";
const FOX: &str = "https://example.com/fox.png";

/// A model, who makes it, and what it costs in credits.
type Asked = (&'static str, Value, &'static str, i64);

fn pictures() -> Vec<Asked> {
    vec![
        (PICTURES, json!({ "model": "gpt-image-1-5" }), "openai", 10),
        (PICTURES, json!({ "model": "ideogram-v3" }), "ideogram", 8),
        (PICTURES, json!({ "model": "ideogram-v4" }), "ideogram", 12),
        (PICTURES, json!({ "model": "imagen-4" }), "gemini", 8),
        (
            PICTURES,
            json!({ "model": "nano-banana-pro" }),
            "gemini",
            18,
        ),
        (PICTURES, json!({ "model": "seedream-4-5" }), "ark", 12),
        (PICTURES, json!({ "model": "grok-imagine" }), "xai", 5),
        (PICTURES, json!({ "model": "kling-image-o1" }), "kling", 6),
        (
            PICTURES,
            json!({ "model": "kling-image-o1", "images": [FOX] }),
            "kling",
            6,
        ),
        (PICTURES, json!({ "model": "qwen-image" }), "dashscope", 4),
        (
            PICTURES,
            json!({ "model": "qwen-image", "image_urls": [FOX, FOX] }),
            "dashscope",
            4,
        ),
    ]
}

fn films_and_songs() -> Vec<Asked> {
    vec![
        (FILMS, json!({ "model": "kling-3" }), "kling", 300),
        (
            FILMS,
            json!({ "model": "kling-3", "image": FOX, "sound": false }),
            "kling",
            200,
        ),
        (
            FILMS,
            json!({ "model": "hailuo-2-3", "image": FOX }),
            "minimax",
            30,
        ),
        (FILMS, json!({ "model": "wan-2-6" }), "dashscope", 115),
        (
            FILMS,
            json!({ "model": "wan/2-6-image-to-video", "image_urls": [FOX], "resolution": "720p" }),
            "dashscope",
            80,
        ),
        (FILMS, json!({ "model": "vidu-q3" }), "vidu", 50),
        (
            FILMS,
            json!({ "model": "vidu-q3", "image": FOX }),
            "vidu",
            50,
        ),
        (FILMS, json!({ "model": "pixverse-5-6" }), "pixverse", 90),
        (
            FILMS,
            json!({ "model": "pixverse-5-6", "image": FOX }),
            "pixverse",
            90,
        ),
        (FILMS, json!({ "model": "veo-3-1" }), "gemini", 64),
        (
            FILMS,
            json!({ "model": "veo-3-1", "image_urls": [FOX, FOX] }),
            "gemini",
            64,
        ),
        (MUSIC, json!({ "model": "minimax-music" }), "minimax", 30),
        (FILMS, json!({ "model": "grok-video" }), "xai", 24),
        (FILMS, json!({ "model": "seedance-1-5-pro" }), "ark", 28),
    ]
}

async fn ended(api: &Api, route: &str, body: &Value) -> Result<Value> {
    let mut body = body.clone();
    body["prompt"] = json!("a fox [sandbox delay=10ms]");
    let accepted = api.post(route, &body).await?.data(202)?;
    let id = accepted["task_id"].as_str().context("no id")?;
    api.ended(id).await
}

pub(crate) async fn receipt(api: &Api, task: &Value) -> Result<Value> {
    let id = task["task_id"].as_str().context("no id")?;
    let receipt = eventually("a receipt", async || {
        let found = api.get(&format!("/operations/{id}/receipt")).await?;
        Ok((found.status == 200).then_some(found))
    });
    receipt.await?.data(200)
}

pub(crate) fn check(task: &Value, receipt: &Value, credits: i64, attempts: &Value) -> Result<()> {
    ensure!(task["status"] == "completed", "{task}");
    ensure!(
        receipt["charged_microcredits"] == credits * 1_000_000,
        "{receipt}"
    );
    let told = receipt["receipt"]["attempts"].as_array();
    let told: Vec<Value> = told
        .into_iter()
        .flatten()
        .map(|run| json!([run["provider"], run["outcome"]]))
        .collect();
    ensure!(json!(told) == *attempts, "{receipt}");
    Ok(())
}

#[tokio::test]
async fn each_is_asked_of_its_maker_first() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(2_000).await?.api;
    let mut spent = 0;
    for (route, body, maker, credits) in pictures().into_iter().chain(films_and_songs()) {
        let task = ended(&api, route, &body).await?;
        let receipt = receipt(&api, &task).await?;
        check(&task, &receipt, credits, &json!([[maker, "completed"]]))
            .with_context(|| body.to_string())?;
        spent += credits;
    }
    let settled = api.settled().await?;
    assert_eq!(settled.posted, (2_000 - spent) * 1_000_000);
    aio.finish().await
}

#[tokio::test]
async fn what_a_maker_has_against_us_is_not_told() -> Result<()> {
    // The account there is locked: which is ours, and no customer's.
    let makers = Sink::start(Answer::Status(403)).await?;
    let kie = Sink::start(Answer::Json(json!({
        "code": 200, "msg": "success",
        "data": { "taskId": "1", "state": "fail", "failMsg": "Internal Error", "creditsConsumed": 0 },
    })))
    .await?;
    let (maker, other) = (makers.url("/v1"), kie.url(""));
    let aio = Aio::with(&[
        ("OPENAI_API_KEY", "k"),
        ("AIO_PROVIDERS__OPENAI__BASE_URL", maker.as_str()),
        ("ARK_API_KEY", "k"),
        ("AIO_PROVIDERS__ARK__BASE_URL", maker.as_str()),
        ("KIE_API_KEY", "k"),
        ("AIO_PROVIDERS__KIE__BASE_URL", other.as_str()),
    ])
    .await?;
    let api = aio.account(0).await?.live(100).await?;
    for model in ["gpt-image-1-5", "seedream-4-5"] {
        let task = ended(&api, PICTURES, &json!({ "model": model })).await?;
        ensure!(task["status"] == "failed", "{task}");
        ensure!(task["error"]["code"] == "upstream_failed", "{task}");
        ensure!(task["consumed_microcredits"] == 0, "{task}");
        // The maker, for each of its rows, and then who else has the model.
        ensure!(task["attempts"].as_i64() > Some(1), "{task}");
    }
    aio.finish().await
}
