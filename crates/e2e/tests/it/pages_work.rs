//! `/tasks` and `/webhooks` in a browser: what tasks made and how they went, and what endpoints are told.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use testkit::{Aio, Answer, Api, Browser, Sink, WebPage, eventually};

use crate::say::unique;

const PASSWORD: &str = "correct horse battery";

/// Somebody who has signed up, and a key of theirs in test mode.
async fn somebody(aio: &mut Aio, name: &str) -> Result<(Browser, Api)> {
    let mut web = aio.browser().await?;
    let name = unique(name);
    let email = format!("{name}@example.com");
    web.sign_up(&name, &email, PASSWORD).await?;
    let listed = aio.admin().get("/admin/accounts?limit=1000").await?;
    let listed = listed.data(200)?;
    let accounts = listed["items"].as_array().context("no accounts")?;
    let own = accounts
        .iter()
        .find(|account| account["name"] == name.as_str());
    let id = text(own.context("no account")?, "account_id")?;
    let scopes = json!(["inference", "read", "manage"]);
    let body = json!({ "name": "all", "mode": "test", "scopes": scopes });
    let path = format!("/admin/accounts/{id}/keys");
    let made = aio.admin().post(&path, &body).await?.data(201)?;
    let key = text(&made, "key")?;
    Ok((web, aio.api(Some(&key))))
}

fn text(value: &Value, name: &str) -> Result<String> {
    let text = value[name].as_str().with_context(|| format!("no {name}"));
    Ok(text?.to_owned())
}

/// Waits until a page says something.
async fn says(web: &mut Browser, path: &str, words: &str) -> Result<WebPage> {
    eventually(&format!("{path} says {words:?}"), async || {
        let page = web.get(path).await?;
        Ok(page.has(words).then_some(page))
    })
    .await
}

/// Where the first tag that begins so leads to.
fn source(page: &WebPage, tag: &str) -> Result<String> {
    let (_, behind) = page.text.split_once(tag).context("no such tag")?;
    let (_, behind) = behind.split_once("src=\"").context("no source")?;
    let (link, _) = behind.split_once('"').context("no end")?;
    Ok(link.replace("&amp;", "&").replace("&#38;", "&"))
}

/// Whether words stand on a page in this order.
fn in_order(page: &WebPage, words: &[&str]) -> Result<()> {
    let shown = page.shown();
    let mut rest = shown.as_str();
    for word in words {
        let found = rest.split_once(word);
        rest = found
            .with_context(|| format!("{word:?} comes not in its turn: {shown}"))?
            .1;
    }
    Ok(())
}

/// What was made is there to be seen until it is deleted, and how it went, in its order.
async fn a_picture(web: &mut Browser, api: &Api) -> Result<String> {
    let id = api
        .image(&json!({ "model": "flux-2", "prompt": "a <fox> in snow" }))
        .await?;
    let path = format!("/tasks/{id}");
    let page = says(web, &path, "credits charged").await?;
    in_order(
        &page,
        &[
            "State Completed",
            "Created",
            "Held",
            "Attempt 1",
            "Started",
            "Completed",
            "credits charged",
        ],
    )?;
    assert!(page.has("a <fox> in snow") && !page.text.contains("<fox>"));
    let receipt = page.link("Its receipt").context("no receipt")?;
    assert!(receipt.starts_with("/requests/op_"), "{receipt}");
    let link =
        source(&page, "<img src=").or_else(|_| source(&page, "<ul class=\"tk-outputs\">"))?;
    let picture = web.get(&link).await?;
    assert_eq!(picture.status, 200);
    assert!(picture.header("content-type").starts_with("image/"));
    let list = web.get("/tasks?kind=image&status=completed").await?;
    assert_eq!(source(&list, "<ul class=\"tk-cards\">")?, link);
    for none in [
        "/tasks?kind=video",
        "/tasks?status=failed",
        "/tasks?to=2020-01-31",
    ] {
        assert!(web.get(none).await?.has("No such tasks"), "{none}");
    }
    let state = web.get(&format!("{path}/state?after=0")).await?;
    let state: Value = serde_json::from_str(&state.text)?;
    assert!(text(&state["parts"], "now")?.contains("Completed"));
    let gone = web.post(&format!("{path}/outputs/0/delete"), &[]).await?;
    assert!(gone.has("Its files are kept no longer."), "{gone}");
    assert_eq!(web.get(&link).await?.status, 404);
    Ok(path)
}

#[tokio::test]
async fn tasks_are_seen_followed_and_cancelled_by_their_own_account_in_their_own_mode() -> Result<()>
{
    let mut aio = Aio::start().await?;
    let (mut web, api) = somebody(&mut aio, "Ann").await?;
    assert!(web.get("/tasks").await?.has("No tasks yet"));
    let done = a_picture(&mut web, &api).await?;

    let failing = json!({ "model": "flux-2", "prompt": "a fox [sandbox outcome=fail]" });
    let failed = format!("/tasks/{}", api.image(&failing).await?);
    let page = says(&mut web, &failed, "Nothing charged").await?;
    assert!(page.has("State Failed") && page.has("Cost free"), "{page}");
    assert!(
        page.has("which did not make it") || page.has("which did not take it"),
        "{page}"
    );
    let listed = web.get("/tasks?view=table&status=failed").await?;
    assert!(listed.text.contains(&failed) && !listed.text.contains(&done));

    let hanging = json!({ "model": "z-image", "prompt": "a fox [sandbox outcome=hang]" });
    let hanging = format!("/tasks/{}", api.image(&hanging).await?);
    says(&mut web, &hanging, "which has taken it").await?;
    let page = web.post(&format!("{hanging}/cancel"), &[]).await?;
    assert!(
        page.has("The task is cancelled.") && page.has("State Cancelled"),
        "{page}"
    );
    assert!(page.has("Attempt 1: fal which was stopped"), "{page}");
    let again = web.post(&format!("{failed}/cancel"), &[]).await?;
    assert!(
        again.status == 409 && again.has("the task has ended"),
        "{again}"
    );

    let (mut other, _) = somebody(&mut aio, "Bob").await?;
    let unknown = other.get("/tasks/task_01h455vb4pex5vsknk084sn02q").await?;
    assert_eq!(unknown.status, 404);
    for path in [&done, &format!("{failed}/state")] {
        let page = other.get(path).await?;
        assert_eq!(
            (page.status, page.shown()),
            (404, unknown.shown()),
            "{path}"
        );
    }
    assert_eq!(
        other.post(&format!("{hanging}/cancel"), &[]).await?.status,
        404
    );
    web.post("/mode", &[("mode", "live"), ("back", "/tasks")])
        .await?;
    assert_eq!(web.get(&done).await?.status, 404);
    assert!(web.get("/tasks").await?.has("No tasks yet"));
    aio.finish().await
}

/// Adds an endpoint with these fields: its page and its secret.
async fn added(web: &mut Browser, fields: &[(&str, &str)]) -> Result<(String, String)> {
    let page = web.post("/webhooks/new", fields).await?;
    ensure!(page.status == 200, "{page}");
    let back = page.link("Done").context("no way on")?;
    Ok((back, secret(&page)?))
}

/// The secret that a page shows.
fn secret(page: &WebPage) -> Result<String> {
    let shown = page.shown();
    let mut words = shown.split(' ');
    let secret = words.find(|word| word.starts_with("whsec_"));
    Ok(secret.context("no secret")?.to_owned())
}

/// A sample: where its delivery is.
async fn sample(web: &mut Browser, endpoint: &str) -> Result<String> {
    let page = web
        .post(&format!("{endpoint}/test"), &[("type", "task.failed")])
        .await?;
    ensure!(page.has("A sample is on its way."), "{page}");
    let (path, _) = page.path.split_once('?').context("no query")?;
    Ok(path.to_owned())
}

/// An endpoint that is gone is disabled, and told what it missed once it is back.
async fn comes_back(web: &mut Browser, endpoint: &str, sink: &Sink) -> Result<()> {
    sink.answer(Answer::Status(410));
    let lost = sample(web, endpoint).await?;
    let page = says(web, &lost, "State Given up").await?;
    assert!(page.has("answered 410"), "{page}");
    let page = says(web, endpoint, "it answered 410: gone").await?;
    assert!(page.has("Disabled"), "{page}");
    let refused = web.post(&format!("{lost}/replay"), &[]).await?;
    assert_eq!(refused.status, 409, "{refused}");
    sink.answer(Answer::Status(200));
    let enabled = web
        .post(&format!("{endpoint}/switch"), &[("disabled", "false")])
        .await?;
    assert!(enabled.has("The endpoint is enabled"), "{enabled}");
    let id = endpoint.rsplit('/').next().context("no id")?;
    let again = [("since", "2020-01-31"), ("endpoint", id)];
    let page = web.post("/webhooks/recover", &again).await?;
    assert!(page.has("1 delivery is sent again."), "{page}");
    says(web, &lost, "State Delivered").await?;
    Ok(())
}

async fn nobody_else_sees(aio: &mut Aio, endpoint: &str, delivery: &str) -> Result<()> {
    let (mut other, _) = somebody(aio, "Bob").await?;
    for path in [endpoint, delivery, &format!("{delivery}/state")] {
        assert_eq!(other.get(path).await?.status, 404, "{path}");
    }
    let overlap = [("overlap", "0s")];
    let rotate = format!("{endpoint}/rotate");
    assert_eq!(other.post(&rotate, &overlap).await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn an_endpoint_is_added_told_looked_at_rotated_and_mended() -> Result<()> {
    let mut aio = Aio::start().await?;
    let (mut web, api) = somebody(&mut aio, "Ann").await?;
    assert!(web.get("/webhooks").await?.has("No endpoints yet"));
    let wrong = web
        .post(
            "/webhooks/new",
            &[("url", "ftp://example.com"), ("description", "the <books>")],
        )
        .await?;
    assert!(
        wrong.status == 400 && wrong.has("url is refused"),
        "{wrong}"
    );
    assert_eq!(wrong.field("description").as_deref(), Some("the <books>"));

    let sink = Sink::start(Answer::Json(json!({ "said": "<script>alert(1)</script>" }))).await?;
    let url = sink.url("/hook");
    let fields = [
        ("url", url.as_str()),
        ("event", "task.completed"),
        ("headers", "X-Tenant: seven"),
    ];
    let (endpoint, first) = added(&mut web, &fields).await?;
    let page = web.get(&endpoint).await?;
    assert!(page.has(&url) && page.has("It has X-Tenant") && !page.text.contains("seven"));
    assert!(!page.text.contains(&first), "a secret is shown once");

    let task = api
        .image(&json!({ "model": "flux-2", "prompt": "a fox" }))
        .await?;
    let told = sink.wait_for(1).await?.remove(0);
    Webhook::new(&first)?.verify(&told.body, &told.headers)?;
    let page = says(&mut web, &format!("/tasks/{task}"), "Told by webhook").await?;
    let delivery = page.link("task.completed").context("no delivery")?;
    let page = web.get(&delivery).await?;
    assert!(
        page.has("State Delivered") && page.has(told.header("webhook-id")),
        "{page}"
    );
    assert!(page.has("<script>alert(1)</script>") && !page.text.contains("<script>alert"));
    assert!(page.has(&format!("\"task_id\":\"{task}\"")), "{page}");

    let overlap = [("overlap", "1h")];
    let rotated = web.post(&format!("{endpoint}/rotate"), &overlap).await?;
    let second = secret(&rotated)?;
    let page = web.post(&format!("{delivery}/replay"), &[]).await?;
    assert!(
        page.has("The event is sent again, with the same id."),
        "{page}"
    );
    let again = sink.wait_for(2).await?.remove(1);
    assert_eq!(again.header("webhook-id"), told.header("webhook-id"));
    assert_eq!(
        (again.body.clone(), again.header("x-tenant")),
        (told.body, "seven")
    );
    for secret in [&first, &second] {
        Webhook::new(secret)?.verify(&again.body, &again.headers)?;
    }
    says(&mut web, &delivery, "sent anew 1 ×").await?;
    comes_back(&mut web, &endpoint, &sink).await?;

    let overlap = [("overlap", "0s")];
    nobody_else_sees(&mut aio, &endpoint, &delivery).await?;
    let callbacks = web.post("/webhooks/secret", &[]).await?;
    let rotated = web.post("/webhooks/secret/rotate", &overlap).await?;
    assert_ne!(secret(&callbacks)?, secret(&rotated)?);
    let page = web.post(&format!("{endpoint}/delete"), &[]).await?;
    assert!(
        page.has("The endpoint is removed.") && page.has("No endpoints yet"),
        "{page}"
    );
    aio.finish().await
}
