//! An uploaded file as the input of a task: its provider fetches it.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use testkit::{Aio, Answer, Sink, eventually};

use crate::uploads::{PNG, upload};

#[tokio::test]
async fn a_provider_fetches_what_a_task_names_until_it_is_deleted() -> Result<()> {
    let provider = Sink::start(Answer::Status(400)).await?;
    let aio = Aio::with(&[
        ("BFL_API_KEY", "k"),
        ("AIO_PROVIDERS__BFL__BASE_URL", &provider.url("/")),
    ])
    .await?;
    let api = aio.account(0).await?.live(1_000).await?;
    let file = upload(&api, "a.png", PNG).await?;
    let body = json!({ "model": "flux-2", "prompt": "a fox", "input_urls": [file] });
    let task = api.image(&body).await?;
    let asked = eventually("the provider is asked", async || {
        Ok(provider.received().first().cloned())
    })
    .await?;
    let given = asked.json()?["input_image"].clone();
    let link = given.as_str().context("no link")?;
    let (_, path) = link.split_once("/api/v1").context("not ours")?;
    ensure!(
        path.starts_with(&format!("/files/{file}/content?exp=")),
        "{link}"
    );
    let nobody = aio.api(None);
    let fetched = nobody.get(path).await?;
    ensure!(fetched.status == 200 && fetched.body == PNG, "{fetched}");
    nobody
        .get(&path.replace("exp=", "exp=1"))
        .await?
        .error(404, "not_found")?;
    let failed = api.ended(&task).await?;
    ensure!(failed["request"]["input_urls"] == json!([file]), "{failed}");
    ensure!(failed["consumed_credits"] == 0, "{failed}");
    let own = format!("/files/{file}");
    api.send(Method::DELETE, &own, &[], Bytes::new()).await?;
    nobody.get(path).await?.error(404, "not_found")?;
    aio.finish().await
}

/// A film of 2.4 seconds, 96 by 64.
const FILM: &[u8] = include_bytes!("../../../../services/media/tests/files/film.mp4");

#[tokio::test]
async fn an_uploaded_film_is_measured_and_refused_where_it_is_too_long() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let film = upload(&api, "a.mp4", FILM).await?;
    let shown = api.get(&format!("/files/{film}")).await?.json()?;
    for (field, value) in [
        ("content_type", json!("video/mp4")),
        ("width", json!(96)),
        ("height", json!(64)),
        ("duration_seconds", json!(2.4)),
    ] {
        ensure!(shown[field] == value, "{shown}");
    }
    for (tool, model) in [
        ("bg-remover", "video-bg-remover"),
        ("upscale", "video-upscale"),
    ] {
        let route = format!("/videos/tools/{tool}");
        let body = |seconds: u64| json!({ "model": model, "video": film, "max_seconds": seconds });
        let refused = api.post(&route, &body(2)).await?;
        let error = refused.error(400, "input_too_long")?;
        ensure!(error["param"] == "video", "{error}");
        let message = error["message"].as_str().unwrap_or_default();
        let told = "video must last 2 seconds at most, which is max_seconds: it lasts 2.4";
        ensure!(message.starts_with(told), "{message}");
        let quoted = json!({ "route": route.trim_start_matches('/'), "body": body(2) });
        let quoted = api.post("/quote", &quoted).await?;
        quoted.error(400, "input_too_long")?;
        ensure!(api.credits().await?.open_holds == 0);
        let accepted = api.post(&route, &body(3)).await?.data(202)?;
        let id = accepted["task_id"].as_str().context("no id")?.to_owned();
        api.post(&format!("/tasks/{id}/cancel"), &Value::Null)
            .await?;
        api.ended(&id).await?;
    }
    api.settled().await?;
    aio.finish().await
}

#[tokio::test]
async fn the_sandbox_fetches_what_a_task_names_or_reads_what_comes_inline() -> Result<()> {
    for passed_as in ["link", "inline"] {
        let aio = Aio::with(&[("AIO_LIMITS__FILES__PASSED_AS", passed_as)]).await?;
        let api = aio.account(100).await?.api;
        let file = upload(&api, "a.png", PNG).await?;
        // This model's maker is given the bytes either way, and the sandbox what it would be for test keys.
        let own = json!({ "model": "nano-banana-pro", "prompt": "a fox", "input_urls": [file] });
        let task = api.image(&own).await?;
        let done = api.ended(&task).await?;
        ensure!(done["status"] == "completed", "{passed_as}: {done}");
        ensure!(done["request"]["input_urls"] == json!([file]), "{done}");
        // A link that leads nowhere fails there, as at a provider.
        let nowhere = format!("{}/api/v1/files/{file}/content", aio.base());
        let body =
            json!({ "model": "nano-banana-pro", "prompt": "a fox", "input_urls": [nowhere] });
        let task = api.image(&body).await?;
        let failed = api.ended(&task).await?;
        ensure!(failed["status"] == "failed", "{failed}");
        ensure!(failed["consumed_credits"] == 0, "{failed}");
        aio.finish().await?;
    }
    Ok(())
}
