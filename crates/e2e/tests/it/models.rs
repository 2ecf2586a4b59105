//! Every model that makes something: it is asked for as the docs show it, makes a file of its kind, and costs what its price says; what
//! fails is free. With test keys the sandbox speaks each provider's own wire, so that every adapter is in it.

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};
use testkit::{Aio, Api, eventually};

const PICTURES: &str = "/images/generations";
const FILMS: &str = "/videos/generations";

/// What a model is asked on its route, and what that costs, in credits.
type Asked = (&'static str, Value, i64);

const FOX: &str = "https://example.com/fox.png";

/// One request for each model, and for some of their parts.
fn asked() -> Vec<Asked> {
    [pictures(), films(), tools()].concat()
}

fn pictures() -> Vec<Asked> {
    vec![
        (PICTURES, json!({ "model": "flux-2", "type": "flex" }), 14),
        (PICTURES, json!({ "model": "gpt-image-1-5" }), 10),
        (
            PICTURES,
            json!({ "model": "gpt-image-1.5", "quality": "high" }),
            28,
        ),
        (PICTURES, json!({ "model": "ideogram-v3" }), 8),
        (PICTURES, json!({ "model": "ideogram-v3-quality" }), 20),
        (PICTURES, json!({ "model": "ideogram-v4" }), 12),
        (PICTURES, json!({ "model": "imagen-4" }), 8),
        (
            PICTURES,
            json!({ "model": "imagen4-ultra", "num_images": 3 }),
            36,
        ),
        (PICTURES, json!({ "model": "seedream-4-5" }), 12),
        (
            PICTURES,
            json!({ "model": "seedream/4.5-edit", "image_urls": [FOX] }),
            12,
        ),
        (PICTURES, json!({ "model": "grok-imagine" }), 5),
        (
            PICTURES,
            json!({ "model": "kling-image-o1", "images": [FOX] }),
            6,
        ),
        (
            PICTURES,
            json!({ "model": "nano-banana-pro", "resolution": "4k" }),
            24,
        ),
        (PICTURES, json!({ "model": "qwen-image" }), 4),
        (PICTURES, json!({ "model": "z-image" }), 1),
    ]
}

fn films() -> Vec<Asked> {
    vec![
        (FILMS, json!({ "model": "kling-3" }), 300),
        (
            FILMS,
            json!({ "model": "kling-3", "mode": "pro", "duration": "15" }),
            1_200,
        ),
        (
            FILMS,
            json!({ "model": "hailuo-2-3", "image": FOX, "duration": 10 }),
            45,
        ),
        (
            FILMS,
            json!({ "model": "wan-2-6", "duration": "5", "resolution": "720p" }),
            80,
        ),
        (
            FILMS,
            json!({ "model": "vidu-q3", "generate_audio": false, "resolution": "540p" }),
            13,
        ),
        (FILMS, json!({ "model": "pixverse-5-6" }), 90),
        (FILMS, json!({ "model": "seedance-1-5-pro" }), 28),
        (FILMS, json!({ "model": "grok-video" }), 24),
        (FILMS, json!({ "model": "veo-3-1" }), 64),
    ]
}

fn tools() -> Vec<Asked> {
    vec![
        (
            "/images/tools/remove-bg",
            json!({ "model": "bg-remover", "image": FOX }),
            1,
        ),
        (
            "/images/tools/upscale",
            json!({ "model": "image-upscale", "image": FOX }),
            1,
        ),
        (
            "/images/tools/face-swap",
            json!({ "model": "face-swap", "image": FOX, "face_image": FOX }),
            4,
        ),
    ]
}

/// The request, steered: by the prompt, or by the query of the picture that a tool is given.
fn steered(body: &Value, directive: &str) -> Value {
    let mut body = body.clone();
    match body["image"].as_str() {
        Some(image) if body["prompt"].is_null() && body["model"] != "hailuo-2-3" => {
            body["image"] = json!(format!("{image}?[sandbox {directive}]").replace(' ', "%20"));
        }
        _ => body["prompt"] = json!(format!("a fox [sandbox {directive}]")),
    }
    body
}

async fn submit(api: &Api, route: &str, body: &Value) -> Result<Value> {
    let accepted = api.post(route, body).await?;
    let accepted = accepted.data(202).with_context(|| body.to_string())?;
    let id = accepted["task_id"].as_str().context("no task_id")?;
    api.ended(id).await
}

#[tokio::test]
async fn every_model_makes_its_files_at_its_price() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(10_000).await?.api;
    let listed = api.get("/models").await?.json()?;
    let listed = listed["data"].as_array().context("no models")?.iter();
    for model in
        listed.filter(|model| model["category"] != "chat" && model["category"] != "embedding")
    {
        let names = [&model["id"]]
            .into_iter()
            .chain(model["aliases"].as_array().into_iter().flatten());
        let names: Vec<&Value> = names.collect();
        let is_asked = asked()
            .iter()
            .any(|(_, body, _)| names.contains(&&body["model"]));
        assert!(is_asked, "nobody asks {model}");
    }
    let made = asked().into_iter().map(async |(route, body, credits)| {
        let task = submit(&api, route, &steered(&body, "delay=10ms")).await?;
        check(&api, &task, credits)
            .await
            .with_context(|| format!("{body}: {task}"))
    });
    try_join_all(made).await?;
    let credits: i64 = asked().iter().map(|(_, _, credits)| credits).sum();
    let settled = api.settled().await?;
    assert_eq!(settled.posted, (10_000 - credits) * 1_000_000);
    aio.finish().await
}

/// The task is completed, has files of its kind, and its receipt says what was paid.
async fn check(api: &Api, task: &Value, credits: i64) -> Result<()> {
    ensure!(task["status"] == "completed", "it is not completed");
    ensure!(
        task["consumed_microcredits"] == credits * 1_000_000,
        "it does not cost {credits}"
    );
    let outputs = task["output"].as_array().context("no output")?;
    let count = task["request"]["num_images"].as_i64().unwrap_or(1);
    ensure!(i64::try_from(outputs.len())? == count, "not {count} files");
    let id = task["task_id"].as_str().context("no id")?;
    for (number, output) in outputs.iter().enumerate() {
        let kind = output["content_type"].as_str().context("no type")?;
        let file = api.get(&format!("/tasks/{id}/files/{number}")).await?.body;
        if task["type"] == "video" {
            ensure!(
                kind == "video/mp4" && file.get(4..8) == Some(b"ftyp"),
                "no film"
            );
            let asked = task["request"]["duration"]
                .as_str()
                .and_then(|word| word.parse().ok());
            let asked = asked.or_else(|| task["request"]["duration"].as_f64());
            let lasts = output["duration_seconds"].as_f64();
            ensure!(asked.is_none() || lasts == asked, "it lasts {lasts:?}");
        } else {
            ensure!(
                kind.starts_with("image/") && is_picture(&file),
                "no picture"
            );
        }
        ensure!(
            output["width"].is_u64() && output["height"].is_u64(),
            "no size"
        );
        ensure!(output["bytes"] == file.len(), "not its length");
    }
    let what = format!("a receipt of {id}");
    let receipt = eventually(&what, async || {
        let found = api.get(&format!("/operations/{id}/receipt")).await?;
        Ok((found.status == 200).then_some(found))
    });
    let receipt = receipt.await?.data(200)?;
    ensure!(
        receipt["charged_microcredits"] == credits * 1_000_000,
        "{receipt}"
    );
    Ok(())
}

/// A PNG that decodes to its last pixel, or what begins as a JPEG or a WebP does.
fn is_picture(file: &[u8]) -> bool {
    let png = || {
        let mut reader = png::Decoder::new(std::io::Cursor::new(file))
            .read_info()
            .ok()?;
        let mut pixels = vec![0; reader.output_buffer_size()?];
        reader.next_frame(&mut pixels).ok()
    };
    file.starts_with(b"\xff\xd8\xff") || file.get(8..12) == Some(b"WEBP") || png().is_some()
}

#[tokio::test]
async fn what_a_model_fails_to_make_is_free() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(10_000).await?.api;
    let failed = asked().into_iter().map(async |(route, body, _)| {
        let task = submit(&api, route, &steered(&body, "outcome=fail delay=10ms")).await?;
        ensure!(
            task["status"] == "failed" && task["consumed_microcredits"] == 0,
            "{body}: {task}"
        );
        Ok(())
    });
    try_join_all(failed).await?;
    let settled = api.settled().await?;
    assert_eq!(
        (settled.posted, settled.held, settled.open_holds),
        (10_000_000_000, 0, 0)
    );
    aio.finish().await
}
