//! What was used, what it cost, and why: for every operation of a mixed run the receipt, the list, the sums and the balance agree. And
//! accounts that are stopped, and credit that expires.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};
use testkit::{Aio, Api, eventually, micros};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::say::{UNHURRIED, chat, image};

/// Requests of each kind.
const OF_EACH: usize = 4;

/// Every operation that has ended, page by page, once there are so many.
pub(crate) async fn operations(api: &Api, count: usize) -> Result<Vec<Value>> {
    eventually("all operations are listed", async || {
        let mut found: Vec<Value> = Vec::new();
        let mut path = "/operations?limit=7".to_owned();
        loop {
            let page = api.get(&path).await?.data(200)?;
            found.extend(page["items"].as_array().context("no list")?.clone());
            match page["next_cursor"].as_str() {
                Some(cursor) => path = format!("/operations?limit=7&cursor={cursor}"),
                None => break,
            }
        }
        Ok((found.len() >= count).then_some(found))
    })
    .await
}

/// A chat that may fail.
async fn chats(api: &Api, text: &str) -> Result<i64> {
    let reply = api.post("/chat/completions", &chat(text)).await?;
    if reply.status != 200 {
        return Ok(0);
    }
    micros(&reply.json()?["credits_consumed"])
}

/// An image that may fail.
async fn images(api: &Api, prompt: &str) -> Result<i64> {
    let id = api.image(&image(prompt)).await?;
    let consumed = &api.ended(&id).await?["consumed_microcredits"];
    consumed.as_i64().context("no consumed_microcredits")
}

#[tokio::test]
async fn receipts_sums_and_the_balance_agree() -> Result<()> {
    let aio = Aio::with(&UNHURRIED).await?;
    let api = aio.account(1_000).await?.api;
    let mut consumed: i64 = 0;
    for text in [
        "Hello [sandbox tokens=20 delay=0ms]",
        "Hello [sandbox outcome=fail delay=0ms]",
        "Hello [sandbox outcome=overreport tokens=20 delay=0ms]",
    ] {
        let all = try_join_all((0..OF_EACH).map(|_| chats(&api, text))).await?;
        consumed += all.iter().sum::<i64>();
    }
    for prompt in [
        "a fox [sandbox delay=50ms]",
        "a fox [sandbox outcome=fail delay=50ms]",
        "a fox [sandbox outcome=moderated delay=50ms]",
    ] {
        let all = try_join_all((0..OF_EACH).map(|_| images(&api, prompt))).await?;
        consumed += all.iter().sum::<i64>();
    }
    let credits = api.settled().await?;
    ensure!(consumed > 0, "nothing was charged");
    assert_eq!(credits.posted, 1_000_000_000 - consumed);

    let listed = operations(&api, 6 * OF_EACH).await?;
    assert_eq!(listed.len(), 6 * OF_EACH);
    let mut sum = 0;
    for operation in &listed {
        sum += receipt_fits(&api, operation).await?;
    }
    assert_eq!(sum, consumed);

    let usage = api.get("/usage?group_by=model,route").await?.data(200)?;
    let items = usage["items"].as_array().context("no list")?;
    let of = |item: &Value, field: &str| item[field].as_i64().unwrap_or_default();
    let total = |field: &str| items.iter().map(|item| of(item, field)).sum::<i64>();
    assert_eq!(total("microcredits"), consumed, "{usage}");
    assert_eq!(total("operations"), i64::try_from(listed.len())?);
    let free = listed
        .iter()
        .filter(|operation| of(operation, "charged_microcredits") == 0);
    assert_eq!(total("free_operations"), i64::try_from(free.count())?);
    let models: Vec<_> = items.iter().map(|item| item["model"].as_str()).collect();
    assert_eq!(models, [Some("flux-2"), Some("gemini")]);

    labels(&api).await?;
    let other = aio.account(1).await?.api;
    let id = listed[0]["operation_id"].as_str().context("no id")?;
    let path = format!("/operations/{id}/receipt");
    other.get(&path).await?.error(404, "not_found")?;
    assert_eq!(
        other.get("/operations").await?.data(200)?["items"],
        json!([])
    );
    aio.finish().await
}

/// What has a label is found by it, on every paid route.
async fn labels(api: &Api) -> Result<()> {
    let (mut text, mut picture) = (chat("Hello [sandbox tokens=7]"), image("a fox"));
    for body in [&mut text, &mut picture] {
        body["user"] = json!("u-1");
        body["metadata"] = json!({"team": "red"});
    }
    let reply = api.post("/chat/completions", &text).await?;
    let chat_cost = micros(&reply.json()?["credits_consumed"])?;
    let task = api.ended(&api.image(&picture).await?).await?;
    assert_eq!(task["request"]["metadata"], json!({"team": "red"}));
    let cost = chat_cost + task["consumed_microcredits"].as_i64().unwrap_or_default();
    for filter in ["user=u-1", "metadata[team]=red"] {
        let found = eventually("both are summed up", async || {
            let list = api.get(&format!("/operations?{filter}")).await?.data(200)?;
            let items = list["items"].as_array().context("no list")?.clone();
            Ok((items.len() == 2).then_some(items))
        });
        for operation in found.await? {
            let id = operation["operation_id"].as_str().context("no id")?;
            let path = format!("/operations/{id}/receipt");
            let receipt = api.get(&path).await?.data(200)?["receipt"].clone();
            let tags = json!({"user": "u-1", "metadata": {"team": "red"}});
            assert_eq!(receipt["tags"], tags, "{receipt}");
        }
        let usage = api.get(&format!("/usage?group_by=&{filter}")).await?;
        assert_eq!(usage.data(200)?["items"][0]["microcredits"], cost);
    }
    let wrong = json!({"model": "flux-2", "prompt": "a", "user": 7, "metadata": "red"});
    let refused = api.post("/images/generations", &wrong).await?;
    let refused = refused.error(400, "invalid_parameter")?;
    let violations = refused["violations"].as_array().context("no violations")?;
    let params: Vec<_> = violations
        .iter()
        .map(|wrong| wrong["param"].as_str())
        .collect();
    assert_eq!(params, ["prompt", "user", "metadata"].map(Some));
    Ok(())
}

/// What the list, the operation and its receipt say is the same; how much it cost.
async fn receipt_fits(api: &Api, operation: &Value) -> Result<i64> {
    let id = operation["operation_id"].as_str().context("no id")?;
    let shown = api
        .get(&format!("/operations/{id}/receipt"))
        .await?
        .data(200)?;
    for (name, value) in operation.as_object().context("no object")? {
        assert_eq!(&shown[name], value, "{name} of {shown}");
    }
    let charged = operation["charged_microcredits"]
        .as_i64()
        .context("no charge")?;
    let held = operation["held_microcredits"].as_i64().context("no hold")?;
    ensure!((0..=held).contains(&charged), "{operation}");
    assert_eq!(micros(&operation["charged_credits"])?, charged);
    if charged > 0 {
        assert_eq!(shown["receipt"]["total_microcredits"], charged, "{shown}");
        assert_eq!(operation["outcome"], "captured");
    }
    Ok(charged)
}

#[tokio::test]
async fn a_stopped_account_gets_nothing_new_and_ends_what_runs() -> Result<()> {
    let aio = Aio::start().await?;
    let account = aio.account(100).await?;
    let (api, admin) = (&account.api, aio.admin());
    let running = api.image(&image("a fox [sandbox delay=300ms]")).await?;
    let set = async |verb: &str| {
        let path = format!("/admin/accounts/{}/{verb}", account.id);
        admin.post(&path, &json!({})).await?.data(200)
    };
    assert_eq!(set("freeze").await?["frozen"], true);
    let refused = api.post("/images/generations", &image("a fox")).await?;
    refused.error(403, "account_frozen")?;
    let refused = api.post("/chat/completions", &chat("Hello")).await?;
    refused.error(403, "account_frozen")?;
    assert_eq!(api.get("/credits").await?.data(200)?["frozen"], true);
    assert_eq!(api.ended(&running).await?["status"], "completed");
    assert_eq!(set("unfreeze").await?["frozen"], false);
    let next = api.image(&image("a fox [sandbox delay=0ms]")).await?;
    assert_eq!(api.ended(&next).await?["status"], "completed");
    aio.finish().await
}

#[tokio::test]
async fn credit_that_expires_is_told_and_taken_back() -> Result<()> {
    let soon = [
        ("AIO_LIMITS__BILLING__JOBS__LOTS_EVERY", "100ms"),
        ("AIO_LIMITS__BILLING__JOBS__LOT_GRACE", "100ms"),
    ];
    let aio = Aio::with(&soon).await?;
    let account = aio.account(10).await?;
    let path = format!("/admin/accounts/{}/credits", account.id);
    let expiry = OffsetDateTime::now_utc() + Duration::from_secs(3);
    let expiry = expiry.format(&Rfc3339)?;
    let gift = json!({ "credits": 5, "mode": "test", "reason": "welcome", "expires_at": expiry });
    aio.admin().post(&path, &gift).await?.data(200)?;
    let api = &account.api;
    let credits = api.get("/credits").await?.data(200)?;
    assert_eq!(credits["posted_microcredits"], 15_000_000);
    assert_eq!(credits["expiring"][0]["credits"], 5, "{credits}");
    eventually("the gift has expired", async || {
        let credits = api.get("/credits").await?.data(200)?;
        let gone = credits["posted_microcredits"] == 10_000_000;
        Ok((gone && credits["expiring"] == json!([])).then_some(()))
    })
    .await?;
    aio.finish().await
}
