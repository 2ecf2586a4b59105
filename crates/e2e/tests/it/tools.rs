//! Tools for pictures, as the docs show them: what each makes, who is asked, and what its receipt says. What is cut out stands on nothing.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Aio, Api};

use crate::natives::{check, receipt};

const REMOVE: &str = "/images/tools/remove-bg";
const SWAP: &str = "/images/tools/face-swap";
const LARGER: &str = "/images/tools/upscale";
/// A picture, with what shall happen to it.
const FOX: &str = "https://example.com/fox.png?[sandbox%20delay=10ms]";
const FACE: &str = "https://example.com/face.png";

async fn made(api: &Api, route: &str, body: &Value) -> Result<(Value, Vec<u8>)> {
    let accepted = api.post(route, body).await?;
    let accepted = accepted.data(202).with_context(|| body.to_string())?;
    ensure!(accepted["status"] == "IN_PROGRESS", "{accepted}");
    let id = accepted["task_id"].as_str().context("no task_id")?;
    let task = api.ended(id).await?;
    ensure!(task["status"] == "completed", "{body}: {task}");
    ensure!(task["type"] == "tool", "{task}");
    let links = task["response"].as_array().context("no links")?;
    ensure!(links.len() == 1, "{task}");
    let file = api.get(&format!("/tasks/{id}/files/0")).await?;
    ensure!(file.status == 200, "{file}");
    Ok((task, file.body.to_vec()))
}

/// Whether a picture is a PNG with some pixels that are nothing, and some that are all there.
fn stands_on_nothing(file: &[u8]) -> Result<bool> {
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info()?;
    let mut pixels = vec![0; reader.output_buffer_size().context("too large")?];
    let info = reader.next_frame(&mut pixels)?;
    let alpha = || pixels.chunks_exact(4).filter_map(|rgba| rgba.last());
    Ok(info.color_type == png::ColorType::Rgba
        && alpha().any(|alpha| *alpha == 0)
        && alpha().any(|alpha| *alpha == u8::MAX))
}

#[tokio::test]
async fn each_tool_makes_what_its_example_asks_for_at_its_price() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let swap = |more: Value| {
        let mut body = json!({ "model": "face-swap", "image": FOX, "face_image": FACE });
        if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
            body.extend(more.clone());
        }
        body
    };
    // The route says which model is meant.
    let cut_out = json!({ "image": FOX });
    let larger = json!({ "model": "image-upscale", "image": FOX });
    let first = json!({ "target_index": 0, "output_format": "png" });
    let png = "image/png";
    let mut spent = 0;
    for (route, body, who, kind, credits) in [
        (REMOVE, cut_out, "kie", png, 1),
        (SWAP, swap(json!({})), "piapi", png, 4),
        (SWAP, swap(first), "piapi", png, 4),
        (SWAP, swap(json!({ "target_index": 10 })), "piapi", png, 4),
        (
            SWAP,
            // Who can be told a format is asked last.
            swap(json!({ "output_format": "jpg" })),
            "piapi",
            png,
            4,
        ),
        (LARGER, larger, "kie", png, 1),
    ] {
        let (task, file) = made(&api, route, &body).await?;
        let output = &task["output"][0];
        ensure!(output["content_type"] == kind, "{body}: {output}");
        ensure!(output["bytes"] == file.len(), "{output}");
        let is_cut_out = kind == png && stands_on_nothing(&file)?;
        ensure!(is_cut_out == (route == REMOVE), "{body}: {output}");
        let receipt = receipt(&api, &task).await?;
        check(&task, &receipt, credits, &json!([[who, "completed"]]))
            .with_context(|| body.to_string())?;
        spent += credits;
    }
    let settled = api.settled().await?;
    assert_eq!(settled.posted, (100 - spent) * 1_000_000);
    aio.finish().await
}

#[tokio::test]
async fn what_no_tool_takes_is_refused_with_what_is_allowed() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let swap = |more: Value| {
        let mut body = json!({ "model": "face-swap", "image": FOX, "face_image": FACE });
        if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
            body.extend(more.clone());
        }
        body
    };
    for (route, body, param, message) in [
        (
            SWAP,
            swap(json!({ "target_index": 11 })),
            "target_index",
            "target_index must be a whole number from 0 to 10",
        ),
        (
            SWAP,
            swap(json!({ "output_format": "gif" })),
            "output_format",
            "output_format must be one of png, jpg, webp",
        ),
        (
            SWAP,
            json!({ "model": "face-swap", "image": FOX }),
            "face_image",
            "face_image is required",
        ),
        (
            REMOVE,
            json!({ "model": "bg-remover" }),
            "image",
            "image is required",
        ),
        (
            LARGER,
            json!({ "model": "image-upscale" }),
            "image",
            "image is required",
        ),
    ] {
        let code = if message.ends_with(" is required") {
            "missing_parameter"
        } else {
            "invalid_parameter"
        };
        let refused = api.post(route, &body).await?;
        let error = refused.error(400, code)?;
        ensure!(error["param"] == param, "{body}: {error}");
        ensure!(error["message"] == message, "{body}: {error}");
    }
    assert_eq!(api.credits().await?.open_holds, 0);
    aio.finish().await
}
