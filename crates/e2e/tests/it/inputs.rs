//! An uploaded file as the input of a task: its provider fetches it.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::Method;
use serde_json::json;
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

#[tokio::test]
async fn the_sandbox_fetches_what_a_task_names_or_reads_what_comes_inline() -> Result<()> {
    for passed_as in ["link", "inline"] {
        let aio = Aio::with(&[("AIO_LIMITS__FILES__PASSED_AS", passed_as)]).await?;
        let api = aio.account(100).await?.api;
        let file = upload(&api, "a.png", PNG).await?;
        // Of the providers' wires, this model's carry what is inline as it is.
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
