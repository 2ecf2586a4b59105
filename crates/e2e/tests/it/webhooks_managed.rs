//! Webhooks as customers and operators look after them: an endpoint that is gone, what it missed, a rotation, the commands.

use anyhow::{Context as _, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use testkit::{Aio, Answer, Api, Sink, eventually};

/// Waits until a delivery is in this state.
async fn reaches(api: &Api, id: &str, state: &str) -> Result<Value> {
    eventually(state, async || {
        let path = format!("/webhooks/deliveries/{id}");
        let story = api.get(&path).await?.data(200)?;
        Ok((story["state"] == state).then_some(story))
    })
    .await
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str> {
    value[name].as_str().with_context(|| format!("no {name}"))
}

/// An endpoint, and what it missed.
struct There {
    api: Api,
    sink: Sink,
    made: Value,
    delivery: String,
}

impl There {
    fn paths(&self) -> Result<(String, String)> {
        let endpoint = format!("/webhooks/endpoints/{}", text(&self.made, "endpoint_id")?);
        Ok((endpoint, format!("/webhooks/deliveries/{}", self.delivery)))
    }

    /// Lets it go on, and sends it what it missed, and that again by two secrets.
    async fn go_on(&self) -> Result<()> {
        let Self {
            api,
            sink,
            made,
            delivery,
        } = self;
        let (endpoint, path) = self.paths()?;
        let replay = format!("{path}/replay");
        sink.answer(Answer::Status(200));
        let change = json!({ "disabled": false }).to_string();
        let shown = api
            .send(Method::PATCH, &endpoint, &[], change)
            .await?
            .data(200)?;
        assert_eq!(shown["disabled"], false);
        let since = json!({ "since": "2020-01-31T12:00:00Z" });
        let recovered = api
            .post(&format!("{endpoint}/recover"), &since)
            .await?
            .data(202)?;
        assert_eq!(recovered, json!({ "recovered": 1, "more": false }));
        let story = reaches(api, delivery, "delivered").await?;
        assert_eq!(story["replays"], 1);
        let received = sink.wait_for(2).await?;
        let (first, again) = (&received[0], &received[1]);
        assert_eq!(first.header("webhook-id"), again.header("webhook-id"));
        assert_eq!(first.body, again.body);
        assert_eq!(again.header("x-tenant"), "seven");

        let rotate = format!("{endpoint}/rotate-secret");
        let overlap = json!({ "overlap": "1h" });
        let rotated = api.post(&rotate, &overlap).await?.data(200)?;
        api.post(&replay, &json!({})).await?.data(202)?;
        let last = sink.wait_for(3).await?.pop().context("nothing")?;
        for secret in [text(made, "secret")?, text(&rotated, "secret")?] {
            Webhook::new(secret)?.verify(&last.body, &last.headers)?;
        }
        reaches(api, delivery, "delivered").await?;
        let id = text(made, "endpoint_id")?;
        let path =
            format!("/webhooks/deliveries?endpoint_id={id}&state=delivered&type=balance.low");
        let listed = api.get(&path).await?.data(200)?;
        assert_eq!(listed["items"][0]["delivery_id"], delivery.as_str());
        Ok(())
    }

    /// What is another account's is not there.
    async fn is_nobody_elses(&self, stranger: &Api) -> Result<()> {
        let (endpoint, delivery) = self.paths()?;
        for path in [&endpoint, &delivery] {
            stranger.get(path).await?.error(404, "not_found")?;
        }
        let replay = format!("{delivery}/replay");
        let refused = stranger.post(&replay, &json!({})).await?;
        refused.error(404, "not_found")?;
        Ok(())
    }
}

#[tokio::test]
async fn what_an_endpoint_missed_while_it_was_gone_is_sent_again() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let sink = Sink::start(Answer::Status(410)).await?;
    let watching = Sink::start(Answer::Status(200)).await?;
    let wanted = json!({
        "url": sink.url("/hook"), "events": ["balance.low"], "headers": { "X-Tenant": "seven" },
        "description": "the books", "per_second": 50, "signature": "both",
    });
    let made = api.post("/webhooks/endpoints", &wanted).await?.data(201)?;
    assert_eq!(made["header_names"], json!(["X-Tenant"]));
    assert!(text(&made, "public_key")?.starts_with("whpk_"));
    let id = text(&made, "endpoint_id")?.to_owned();
    let endpoint = format!("/webhooks/endpoints/{id}");
    let others = json!({ "url": watching.url("/"), "events": ["webhook.disabled"] });
    api.post("/webhooks/endpoints", &others).await?.data(201)?;

    let sent = api
        .post(&format!("{endpoint}/test"), &json!({}))
        .await?
        .data(202)?;
    assert_eq!(sent["type"], "balance.low");
    let delivery = text(&sent, "delivery_id")?.to_owned();
    let dead = reaches(&api, &delivery, "dead").await?;
    assert_eq!(dead["history"][0]["status"], 410);
    let told = watching
        .wait_for(1)
        .await?
        .pop()
        .context("nothing")?
        .json()?;
    assert_eq!(told["data"]["endpoint_id"], id.as_str());
    let shown = api.get(&endpoint).await?.data(200)?;
    assert_eq!(
        (&shown["disabled"], &shown["disabled_reason"]),
        (&json!(true), &json!("gone"))
    );
    let replay = format!("/webhooks/deliveries/{delivery}/replay");
    api.post(&replay, &json!({}))
        .await?
        .error(409, "endpoint_unavailable")?;

    let there = There {
        api,
        sink,
        made,
        delivery,
    };
    there.go_on().await?;
    there.is_nobody_elses(&aio.account(1).await?.api).await?;
    aio.finish().await
}

#[tokio::test]
async fn operators_do_it_by_command() -> Result<()> {
    let aio = Aio::start().await?;
    let account = aio.account(100).await?;
    let api = &account.api;
    let sink = Sink::start(Answer::Status(200)).await?;
    let wanted = json!({ "url": sink.url("/secret-path"), "events": ["balance.low"] });
    let made = api.post("/webhooks/endpoints", &wanted).await?.data(201)?;
    let id = text(&made, "endpoint_id")?.to_owned();
    let run = async |words: &[&str]| -> Result<Value> {
        let words = [&["webhooks"], words, &["--json"]].concat();
        let output = aio.command(&words).await?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{words:?}: {said}");
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    let listed = run(&["endpoints", "list", "--account", &account.id]).await?;
    assert_eq!(listed["items"][0]["endpoint_id"], id.as_str());
    assert!(!listed.to_string().contains("secret-path"), "{listed}");
    assert_eq!(
        run(&["endpoints", "disable", &id]).await?["disabled_reason"],
        "owner"
    );
    assert_eq!(run(&["endpoints", "show", &id]).await?["disabled"], true);
    run(&["endpoints", "enable", &id]).await?;
    let sent = run(&["test", &id]).await?;
    let delivery = text(&sent, "delivery_id")?;
    reaches(api, delivery, "delivered").await?;
    let listed = run(&["deliveries", "--endpoint", &id, "--state", "delivered"]).await?;
    assert_eq!(listed["items"][0]["delivery_id"], delivery);
    assert_eq!(
        run(&["attempts", delivery]).await?["history"][0]["status"],
        200
    );
    assert_eq!(run(&["replay", delivery]).await?["replays"], 1);
    sink.wait_for(2).await?;
    let since = [
        "recover",
        "--since",
        "2020-01-31T12:00:00Z",
        "--account",
        &account.id,
    ];
    assert_eq!(run(&since).await?["recovered"], 0);
    let rotated = run(&["rotate-secret", &id, "--overlap", "0s"]).await?;
    assert!(text(&rotated, "secret")?.starts_with("whsec_"));
    assert!(text(&run(&["alert-secret"]).await?, "secret")?.starts_with("whsec_"));
    aio.finish().await
}
