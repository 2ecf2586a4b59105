//! Films without their background: what can be seen through is so by its bytes, in whichever container was asked for; and what cannot hold an alpha
//! channel is refused before anything is held.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Aio, Api};

const CUT_OUT: &str = "/videos/tools/bg-remover";
const LARGER: &str = "/videos/tools/upscale";
/// The sandbox makes of it what lasts so many seconds.
const FILM: &str = "https://example.com/fox.mp4?seconds=3&[sandbox%20delay=10ms]";
/// Where a film says what it is made of.
const HEAD: usize = 4_096;

/// The task, and the one file that it made.
async fn made(api: &Api, route: &str, body: &Value) -> Result<(Value, Vec<u8>)> {
    let accepted = api.post(route, body).await?.data(202);
    let accepted = accepted.with_context(|| body.to_string())?;
    let id = accepted["task_id"].as_str().context("no task_id")?;
    let task = api.ended(id).await?;
    ensure!(task["status"] == "completed", "{task}");
    let file = api.get(&format!("/tasks/{id}/files/0")).await?;
    ensure!(file.status == 200, "{}", file.status);
    ensure!(task["output"][0]["bytes"] == file.body.len(), "{task}");
    Ok((task, file.body.to_vec()))
}

fn film(more: &Value) -> Value {
    let mut body = json!({ "model": "video-bg-remover", "video": FILM, "max_seconds": 3 });
    if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
        body.extend(more.clone());
    }
    body
}

/// Where these bytes begin first.
fn find(file: &[u8], bytes: &[u8]) -> Option<usize> {
    file.windows(bytes.len()).position(|part| part == bytes)
}

/// What a Matroska file says of its alpha channel (RFC 9559, `AlphaMode`): the last byte of the element, whose length is written in one byte or in
/// four.
fn alpha_mode(file: &[u8]) -> Option<u8> {
    let head = file.get(..HEAD).unwrap_or(file);
    let element = head.get(find(head, &[0x53, 0xC0])?..)?;
    match element.get(2..)? {
        [0x81, mode, ..] | [0x10, 0, 0, 4, 0, 0, 0, mode, ..] => Some(*mode),
        _ => None,
    }
}

/// Whether a WebM is one whose pictures can be seen through: VP9, with pictures beside them that say how opaque they are.
fn is_clear_webm(file: &[u8]) -> bool {
    let has = |bytes: &[u8]| find(file, bytes).is_some();
    has(b"webm") && has(b"V_VP9") && alpha_mode(file) == Some(1) && has(&[0x75, 0xA1])
}

/// Whether a QuickTime film is one whose pictures can be seen through: ProRes 4444, with as many bits of a pixel as it takes, and pictures that hold
/// an alpha channel.
fn is_clear_mov(file: &[u8]) -> bool {
    let behind = |name: &[u8], at: usize| file.get(find(file, name)? + name.len() + at).copied();
    let depth = (behind(b"ap4h", 74), behind(b"ap4h", 75));
    // Of a picture's head: 4:4:4, and what its alpha channel is made of.
    let (colours, alpha) = (behind(b"icpf", 12), behind(b"icpf", 17));
    file.get(4..12) == Some(b"ftypqt  ")
        && depth == (Some(0), Some(32))
        && colours.is_some_and(|byte| byte & 0xC0 == 0xC0)
        && alpha.is_some_and(|byte| byte & 0x0F != 0)
}

#[tokio::test]
async fn a_film_without_its_background_can_be_seen_through() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    for (more, kind, clear) in [
        (json!({}), "video/webm", true),
        (
            json!({ "background": "transparent", "output_format": "webm" }),
            "video/webm",
            true,
        ),
        (json!({ "output_format": "mov" }), "video/quicktime", true),
        (json!({ "background": "black" }), "video/webm", false),
        (
            json!({ "background": "green", "output_format": "mov" }),
            "video/quicktime",
            false,
        ),
        (
            json!({ "background": "white", "output_format": "mp4" }),
            "video/mp4",
            false,
        ),
    ] {
        let (task, file) = made(&api, CUT_OUT, &film(&more)).await?;
        let output = &task["output"][0];
        ensure!(output["content_type"] == kind, "{more}: {output}");
        ensure!(output["duration_seconds"] == 3.0, "{more}: {output}");
        let is_clear = is_clear_webm(&file) || is_clear_mov(&file);
        ensure!(is_clear == clear, "{more}: {output}");
    }
    let settled = api.settled().await?;
    assert_eq!(settled.posted, (100 - 6 * 6) * 1_000_000);
    aio.finish().await
}

#[tokio::test]
async fn what_has_no_alpha_channel_is_refused_with_what_is_allowed() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    for more in [
        json!({ "output_format": "mp4" }),
        json!({ "background": "transparent", "output_format": "mp4" }),
    ] {
        let refused = api.post(CUT_OUT, &film(&more)).await?;
        let error = refused.error(400, "invalid_parameter")?;
        assert_eq!(error["param"], "output_format");
        assert_eq!(
            error["message"],
            "output_format must be webm or mov where background is transparent"
        );
    }
    // What makes films larger makes what plays everywhere, and says so.
    let body = json!({ "model": "video-upscale", "video": FILM, "max_seconds": 3 });
    let (task, file) = made(&api, LARGER, &body).await?;
    assert_eq!(task["output"][0]["content_type"], "video/mp4");
    ensure!(!is_clear_webm(&file) && !is_clear_mov(&file), "{task}");
    let settled = api.settled().await?;
    assert_eq!((settled.posted, settled.open_holds), (85_000_000, 0));
    aio.finish().await
}
