//! Files that customers upload, and chats that name them: in all three words, at whatever provider.

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use testkit::{Aio, Answer, Api, Reply, Role, Shape, Sink};

use crate::say::chat;

pub(crate) const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
pub(crate) const PDF: &[u8] = b"%PDF-1.7\n";
const KIND: &str = "multipart/form-data; boundary=the-boundary";

/// Uploads a file as a form.
async fn send(api: &Api, name: &str, bytes: &[u8]) -> Result<Reply> {
    let mut form = Vec::new();
    let head =
        |about: &str| format!("--the-boundary\r\ncontent-disposition: form-data; {about}\r\n\r\n");
    form.extend(head("name=\"purpose\"").bytes());
    form.extend(b"user_data\r\n");
    form.extend(head(&format!("name=\"file\"; filename=\"{name}\"")).bytes());
    form.extend(bytes);
    form.extend(b"\r\n--the-boundary--\r\n");
    let headers = [("content-type", KIND)];
    api.send(Method::POST, "/files", &headers, form).await
}

pub(crate) async fn upload(api: &Api, name: &str, bytes: &[u8]) -> Result<String> {
    let reply = send(api, name, bytes).await?;
    ensure!(reply.status == 200, "{reply}");
    let file = reply.json()?;
    ensure!(file["bytes"] == bytes.len(), "{file}");
    Ok(file["id"].as_str().context("no id")?.to_owned())
}

fn asking(model: &str, parts: &Value) -> Value {
    json!({ "model": model, "max_tokens": 300, "messages": [{ "role": "user", "content": parts }] })
}

/// Both of them as chat names them.
fn both(image: &str, pdf: &str) -> Value {
    json!([
        { "type": "image_url", "image_url": { "url": image } },
        { "type": "file", "file": { "file_id": pdf } },
    ])
}

/// What the sandbox says of the parts that it was sent.
async fn seen(api: &Api, path: &str, body: &Value) -> Result<String> {
    let reply = api.post(path, body).await?;
    ensure!(reply.status == 200, "{path}: {reply}");
    Ok(reply.json()?.to_string())
}

#[tokio::test]
async fn a_chat_names_a_file_in_all_three_words_until_it_is_deleted() -> Result<()> {
    let mut aio = Aio::start().await?;
    let api = aio.account(1_000).await?.api;
    let image = upload(&api, "a.png", PNG).await?;
    let pdf = upload(&api, "a.pdf", PDF).await?;
    for (model, parts) in [
        ("gemini", "Parts: 2 (inlineData, inlineData)"),
        ("claude-sonnet-5-5", "Parts: 2 (image, document)"),
        ("gpt-6-1-sol", "Parts: 2 (image_url, file)"),
    ] {
        let asked = asking(model, &both(&image, &pdf));
        let said = seen(&api, "/chat/completions", &asked).await?;
        ensure!(said.contains(parts), "{model}: {said}");
        let source = |id: &str| json!({ "type": "file", "file_id": id });
        let blocks = json!([
            { "type": "image", "source": source(&image) },
            { "type": "document", "source": source(&pdf) },
        ]);
        let said = seen(&api, "/messages", &asking(model, &blocks)).await?;
        ensure!(said.contains(parts), "{model}: {said}");
        let items = json!([
            { "type": "input_image", "file_id": image },
            { "type": "input_file", "file_id": pdf },
        ]);
        let asked = json!({ "model": model, "input": [{ "role": "user", "content": items }] });
        let said = seen(&api, "/responses", &asked).await?;
        ensure!(said.contains(parts), "{model}: {said}");
    }
    // It is kept when everything starts again.
    let image_url = json!([{ "type": "image_url", "image_url": { "url": image } }]);
    aio.kill()?;
    aio.restart().await?;
    let content = api.get(&format!("/files/{image}/content")).await?;
    ensure!(content.body == PNG && content.header("content-type") == "image/png");
    seen(&api, "/chat/completions", &asking("gemini", &image_url)).await?;
    let listed = api.get("/files").await?.json()?;
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(2));

    let before = api.settled().await?;
    let path = format!("/files/{image}");
    let gone = api.send(Method::DELETE, &path, &[], Bytes::new()).await?;
    assert_eq!(
        gone.json()?,
        json!({ "id": image, "object": "file", "deleted": true })
    );
    for rest in ["", "/content"] {
        let reply = api.get(&format!("{path}{rest}")).await?;
        reply.error(404, "not_found")?;
    }
    let asked = asking("gemini", &image_url);
    let error = api.post("/chat/completions", &asked).await?;
    let error = error.error(400, "invalid_parameter")?;
    assert_eq!(error["param"], "messages[0].content[0].image_url.url");
    let items =
        json!([{ "role": "user", "content": [{ "type": "input_image", "file_id": image }] }]);
    let asked = json!({ "model": "gemini", "input": items });
    let error = api.post("/responses", &asked).await?;
    assert_eq!(error.error(400, "invalid_parameter")?["param"], "input");
    assert_eq!(
        api.settled().await?,
        before,
        "what is refused costs nothing"
    );
    aio.finish().await
}

#[tokio::test]
async fn a_provider_is_sent_the_bytes_and_no_id() -> Result<()> {
    let sinks = [
        Sink::start(Answer::Status(500)).await?,
        Sink::start(Answer::Status(500)).await?,
        Sink::start(Answer::Status(500)).await?,
    ];
    let [openai, claude, gemini] = &sinks;
    let aio = Aio::with(&[
        ("OPENAI_API_KEY", "k"),
        ("ANTHROPIC_API_KEY", "k"),
        ("GEMINI_API_KEY", "k"),
        ("AIO_PROVIDERS__OPENAI__BASE_URL", &openai.url("/v1")),
        ("AIO_PROVIDERS__ANTHROPIC__BASE_URL", &claude.url("/v1")),
        ("AIO_PROVIDERS__GEMINI__BASE_URL", &gemini.url("/v1beta")),
    ])
    .await?;
    let api = aio.account(0).await?.live(1_000).await?;
    let (image, pdf) = (
        upload(&api, "a.png", PNG).await?,
        upload(&api, "a.pdf", PDF).await?,
    );
    for model in ["gpt-6-1-sol", "claude-sonnet-5-5", "gemini"] {
        let failed = api
            .post("/chat/completions", &asking(model, &both(&image, &pdf)))
            .await?;
        ensure!(failed.status == 502, "{failed}");
    }
    let (png, pdf) = (STANDARD.encode(PNG), STANDARD.encode(PDF));
    let body = |sink: &Sink| sink.received().first().context("nobody was asked")?.json();
    let said = body(openai)?["messages"][0]["content"].clone();
    assert_eq!(
        said[0]["image_url"]["url"],
        format!("data:image/png;base64,{png}")
    );
    let file =
        json!({ "filename": "a.pdf", "file_data": format!("data:application/pdf;base64,{pdf}") });
    assert_eq!(said[1]["file"], file);
    let said = body(claude)?["messages"][0]["content"].clone();
    assert_eq!(said[0]["source"]["data"], png);
    assert_eq!(said[1]["source"]["data"], pdf);
    let said = body(gemini)?["contents"][0]["parts"].clone();
    assert_eq!(said[0]["inlineData"]["data"], png);
    assert_eq!(said[1]["inlineData"]["data"], pdf);
    for request in sinks.iter().flat_map(Sink::received) {
        ensure!(!String::from_utf8_lossy(&request.body).contains("file_0"));
    }
    assert_eq!(api.settled().await?.posted, 1_000_000_000);
    aio.finish().await
}

#[tokio::test]
async fn files_have_their_limits() -> Result<()> {
    let aio = Aio::with(&[
        ("AIO_LIMITS__FILES__MAX_BYTES", "1000"),
        ("AIO_LIMITS__FILES__MAX_FILES", "2"),
    ])
    .await?;
    let account = aio.account(100).await?;
    let (api, live) = (&account.api, account.live(1).await?);
    let large = [PNG, &[0; 1_000]].concat();
    send(api, "a", &large).await?.error(413, "body_too_large")?;
    let error = send(api, "a.png", b"PK\x03\x04 a picture, or so they say").await?;
    assert_eq!(error.error(400, "invalid_parameter")?["param"], "file");
    let first = upload(api, "a", PNG).await?;
    upload(api, "a", b"{}").await?;
    send(api, "a", PNG).await?.error(409, "file_room_full")?;
    // The other mode has room of its own, and sees nothing of it.
    live.get(&format!("/files/{first}"))
        .await?
        .error(404, "not_found")?;
    upload(&live, "a", PNG).await?;
    aio.finish().await
}

#[tokio::test]
async fn files_end_with_their_time() -> Result<()> {
    let aio = Aio::with(&[
        ("AIO_LIMITS__FILES__RETENTION", "3s"),
        ("AIO_LIMITS__FILES__MAX_FILES", "1"),
    ])
    .await?;
    let api = aio.account(100).await?.api;
    let first = upload(&api, "a", PNG).await?;
    testkit::eventually("it ends, and its room is free", async || {
        let reply = send(&api, "a", PNG).await?;
        Ok((reply.status == 200).then_some(()))
    })
    .await?;
    api.get(&format!("/files/{first}"))
        .await?
        .error(404, "not_found")?;
    aio.finish().await
}

#[tokio::test]
async fn without_media_a_chat_that_names_a_file_waits_and_others_go_on() -> Result<()> {
    let shape = match Shape::of_this_run()? {
        // There is no media to be taken away alone.
        Shape::Embedded => return Ok(()),
        shape @ (Shape::Split | Shape::Split3) => shape,
    };
    let mut aio = Aio::private(shape).await?;
    let api = aio.account(100).await?.api;
    let image = upload(&api, "a.png", PNG).await?;
    let asked = asking(
        "gemini",
        &json!([{ "type": "image_url", "image_url": { "url": image } }]),
    );
    seen(&api, "/chat/completions", &asked).await?;
    let before = api.settled().await?;
    aio.kill_role(Role::Media)?;
    let away = testkit::eventually("media is missed", async || {
        let reply = api.post("/chat/completions", &asked).await?;
        Ok((reply.status == 503).then_some(reply))
    });
    let away = away.await?;
    away.error(503, "service_unavailable")?;
    ensure!(!away.header("retry-after").is_empty());
    assert_eq!(api.settled().await?, before);
    send(&api, "b.png", PNG)
        .await?
        .error(503, "service_unavailable")?;
    seen(&api, "/chat/completions", &chat("Hello")).await?;
    aio.restart_role(Role::Media).await?;
    testkit::eventually("media is back", async || {
        let reply = api.post("/chat/completions", &asked).await?;
        Ok((reply.status == 200).then_some(()))
    })
    .await?;
    aio.finish().await
}
