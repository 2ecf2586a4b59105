//! Outputs: a picture that a decoder opens, by key and by link.

use std::io::Cursor;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::Method;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use testkit::{Aio, Api};

use crate::say::image;

#[tokio::test]
async fn the_output_is_a_picture_of_the_size_asked_for() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let cases = [("1:1", 1024, 1024), ("16:9", 1360, 768)];
    let mut ids = Vec::new();
    for (ratio, ..) in cases {
        let mut body = image("a fox [sandbox delay=0s]");
        body["aspect_ratio"] = ratio.into();
        ids.push(api.image(&body).await?);
    }
    for ((ratio, width, height), id) in cases.iter().zip(&ids) {
        let task = api.ended(id).await?;
        let output = &task["output"][0];
        let file = api.get(&format!("/tasks/{id}/files/0")).await?;
        assert_eq!(
            (file.status, file.header("content-type")),
            (200, "image/png")
        );
        assert_eq!(size(&file.body)?, (*width, *height), "{ratio}");
        assert_eq!(
            (&output["width"], &output["height"]),
            (&json!(width), &json!(height))
        );
        assert_eq!(output["bytes"], file.body.len());
        let hash: String = Sha256::digest(&file.body)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(output["sha256"], hash, "{ratio}");
    }
    aio.finish().await
}

/// Decodes every pixel.
fn size(picture: &[u8]) -> Result<(u32, u32)> {
    let mut reader = png::Decoder::new(Cursor::new(picture)).read_info()?;
    let mut pixels = vec![0; reader.output_buffer_size().context("too large")?];
    let frame = reader.next_frame(&mut pixels)?;
    ensure!(pixels.iter().any(|byte| *byte != pixels[0]), "one colour");
    Ok((frame.width, frame.height))
}

/// A finished task, its link, and its bytes.
async fn finished(api: &Api) -> Result<(String, String, Bytes)> {
    let id = api.image(&image("a fox [sandbox delay=0s]")).await?;
    let task = api.ended(&id).await?;
    let link = task["response"][0].as_str().context("no link")?.to_owned();
    let file = api.get(&format!("/tasks/{id}/files/0")).await?;
    Ok((id, link, file.body))
}

#[tokio::test]
async fn a_part_can_be_asked_for() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let (id, _, whole) = finished(&api).await?;
    let (path, length) = (format!("/tasks/{id}/files/0"), whole.len());
    let ask = async |range: &str| {
        let headers = [("range", range)];
        api.send(Method::GET, &path, &headers, Bytes::new()).await
    };
    for (range, from, to) in [
        ("bytes=0-9", 0, 10),
        ("bytes=10-", 10, length),
        ("bytes=-7", length - 7, length),
        ("bytes=5-999999999", 5, length),
    ] {
        let part = ask(range).await?;
        assert_eq!(part.status, 206, "{range}: {}", part.status);
        assert!(part.body == whole.slice(from..to), "{range}");
        let told = format!("bytes {from}-{}/{length}", to - 1);
        assert_eq!(part.header("content-range"), told, "{range}");
    }
    let beyond = ask("bytes=999999999-").await?;
    assert_eq!(
        (beyond.status, beyond.header("content-range")),
        (416, &*format!("bytes */{length}"))
    );
    let etag = api.get(&path).await?.header("etag").to_owned();
    let headers = [("if-none-match", etag.as_str())];
    let again = api.send(Method::GET, &path, &headers, Bytes::new()).await?;
    assert_eq!((again.status, again.body.len()), (304, 0));
    aio.finish().await
}

#[tokio::test]
async fn a_link_needs_no_key_and_cannot_be_changed() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let (id, link, whole) = finished(&api).await?;
    let (other, ..) = finished(&api).await?;
    let nobody = aio.api(None);
    let file = nobody.get(&link).await?;
    assert!(file.status == 200 && file.body == whole);
    assert_eq!(file.header("x-content-type-options"), "nosniff");
    let (place, query) = link.split_once('?').context("no query")?;
    let (expiry, signature) = query.split_once("&sig=").context("no signature")?;
    let expires: i64 = expiry.trim_start_matches("exp=").parse()?;
    let first = signature.chars().next().context("an empty signature")?;
    let tampered = signature.replacen(first, if first == 'A' { "B" } else { "A" }, 1);
    for (what, changed) in [
        (
            "another signature",
            format!("{place}?{expiry}&sig={tampered}"),
        ),
        ("no signature left", format!("{place}?{expiry}&sig=")),
        (
            "a later end",
            format!("{place}?exp={}&sig={signature}", expires + 1),
        ),
        (
            "an end in the past",
            format!("{place}?exp=1&sig={signature}"),
        ),
        ("another task", link.replace(&id, &other)),
        ("another file", link.replace("/files/0", "/files/1")),
    ] {
        let reply = nobody.get(&changed).await?;
        reply.error(404, "not_found").context(what)?;
    }
    let bare = nobody.get(place).await?;
    bare.error(401, "missing_key")?;
    aio.finish().await
}

#[tokio::test]
async fn a_link_ends_with_its_output() -> Result<()> {
    // Signed links live as long as the output is kept: three seconds here.
    let aio = Aio::with(&[("AIO_LIMITS__MEDIA__OUTPUTS__RETENTION", "3s")]).await?;
    let api = aio.account(100).await?.api;
    let id = api.image(&image("a fox [sandbox delay=0s]")).await?;
    let link = api.ended(&id).await?["response"][0].clone();
    let link = link.as_str().context("no link")?;
    let nobody = aio.api(None);
    let gone = testkit::eventually("the link ends", async || {
        let reply = nobody.get(link).await?;
        Ok((reply.status != 200).then_some(reply))
    });
    gone.await?.error(404, "not_found")?;
    let by_key = testkit::eventually("the output is deleted", async || {
        let reply = api.get(&format!("/tasks/{id}/files/0")).await?;
        Ok((reply.status != 200).then_some(reply))
    });
    by_key.await?.error(404, "not_found")?;
    assert_eq!(api.task(&id).await?["status"], "completed");
    aio.finish().await
}

#[tokio::test]
async fn files_that_are_not_there_are_not_found() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let stranger = aio.account(100).await?.api;
    let (id, ..) = finished(&api).await?;
    for path in [
        format!("/tasks/{id}/files/1"),
        format!("/tasks/{id}/files/x"),
    ] {
        api.get(&path).await?.error(404, "not_found")?;
    }
    let theirs = stranger.get(&format!("/tasks/{id}/files/0")).await?;
    theirs.error(404, "not_found")?;
    aio.finish().await
}
