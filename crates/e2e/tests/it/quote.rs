//! Prices before and after: quotes, limits of a customer's own, what an account pays, and sums done again.

use anyhow::{Context as _, Result};
use http::Method;
use serde_json::{Value, json};
use testkit::{Account, Aio, Api, eventually, micros};

use crate::say::{IMAGE, chat, image};

const FULL: i64 = 100_000_000;

async fn quote(api: &Api, route: &str, body: &Value) -> Result<Value> {
    let body = json!({ "route": route, "body": body });
    api.post("/quote", &body).await?.data(200)
}

async fn limited(api: &Api, path: &str, most: &str, body: &Value) -> Result<testkit::Reply> {
    let headers = [("x-aio-max-cost-credits", most)];
    api.post_with(path, &headers, body).await
}

#[tokio::test]
async fn a_quote_is_what_is_held_and_charges_nothing() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let fox = image("a fox [sandbox delay=0s]");
    let quoted = quote(&api, "images/generations", &fox).await?;
    assert_eq!(
        (
            micros(&quoted["expected_credits"])?,
            micros(&quoted["max_credits"])?
        ),
        (IMAGE, IMAGE)
    );
    assert_eq!(
        (&quoted["affordable"], &quoted["price_factor"]),
        (&json!(true), &json!(1))
    );
    assert_eq!(quoted["resolved"]["resolution"], "1K");
    assert!(!quoted.to_string().contains("a fox"), "{quoted}");

    let hello = chat("Hello [sandbox outcome=hang]");
    let quoted = quote(&api, "chat/completions", &hello).await?;
    let most = micros(&quoted["max_credits"])?;
    assert!(
        (1..most).contains(&micros(&quoted["expected_credits"])?),
        "{quoted}"
    );
    let credits = api.credits().await?;
    assert_eq!((credits.posted, credits.open_holds), (FULL, 0));

    let asking = api.post("/chat/completions", &hello);
    let held = eventually("a hold", async || {
        let credits = api.credits().await?;
        Ok((credits.open_holds == 1).then_some(credits.held))
    });
    tokio::select! {
        reply = asking => anyhow::bail!("a provider that hangs answers {}", reply?),
        held = held => assert_eq!(held?, most),
    }
    api.settled().await?;
    let poor = aio.account(1).await?.api;
    let quoted = quote(&poor, "images/generations", &fox).await?;
    assert_eq!(quoted["affordable"], false);
    aio.finish().await
}

#[tokio::test]
async fn a_quote_is_refused_as_the_request_itself() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    for (path, body) in [
        ("/images/generations", json!({ "model": "flux-2" })),
        (
            "/images/generations",
            json!({ "model": "gemini", "prompt": "a fox" }),
        ),
        (
            "/images/generations",
            json!({ "model": "flux-2", "prompt": "a", "seed": 1.5, "x": 1 }),
        ),
        (
            "/chat/completions",
            json!({ "model": "nobody", "messages": [] }),
        ),
        (
            "/chat/completions",
            json!({ "model": "gemini", "messages": "hi", "n": 0 }),
        ),
    ] {
        let refused = api.post(path, &body).await?;
        let asked = json!({ "route": path.trim_start_matches('/'), "body": body });
        let quoted = api.post("/quote", &asked).await?;
        assert_eq!(quoted.status, refused.status, "{path} {body}");
        let without_id = |reply: &testkit::Reply| -> Result<Value> {
            let mut error = reply.json()?["error"].clone();
            error["request_id"] = Value::Null;
            Ok(error)
        };
        assert_eq!(without_id(&quoted)?, without_id(&refused)?, "{path} {body}");
    }
    let nowhere = json!({ "route": "credits", "body": {} });
    api.post("/quote", &nowhere)
        .await?
        .error(400, "invalid_parameter")?;
    aio.finish().await
}

#[tokio::test]
async fn nothing_costs_more_than_its_own_limit() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let fox = image("a fox [sandbox delay=0s]");
    let refused = limited(&api, "/images/generations", "4.999999", &fox).await?;
    refused.error(400, "max_cost_exceeded")?;
    let accepted = limited(&api, "/images/generations", "5", &fox)
        .await?
        .data(202)?;
    api.ended(accepted["task_id"].as_str().context("no task")?)
        .await?;

    // Enough for some 300 tokens, where the sandbox would send 5000.
    let long = chat("Hello [sandbox tokens=5000 chunk_delay=0ms]");
    let answer = limited(&api, "/chat/completions", "0.1", &long).await?;
    let cost = micros(&answer.json()?["credits_consumed"])?;
    assert!((1..=100_000).contains(&cost), "{answer}");
    let refused = limited(&api, "/chat/completions", "0.05", &long).await?;
    refused.error(400, "max_cost_exceeded")?;
    for path in ["/images/generations", "/chat/completions", "/quote"] {
        let refused = limited(&api, path, "cheap", &fox).await?;
        let error = refused.error(400, "invalid_parameter")?;
        assert_eq!(error["param"], "x-aio-max-cost-credits");
    }
    assert_eq!(api.settled().await?.posted, FULL - IMAGE - cost);
    aio.finish().await
}

/// Waits until what an account pays has come through to its keys.
async fn pays(account: &Account, factor: f64) -> Result<()> {
    let api = &account.api;
    api.everywhere("the factor counts", async || {
        let quoted = quote(api, "images/generations", &image("a fox")).await?;
        Ok(quoted["price_factor"] == json!(factor))
    })
    .await
}

#[tokio::test]
async fn an_account_pays_its_own_factor() -> Result<()> {
    let aio = Aio::start().await?;
    let account = aio.account(100).await?;
    let api = &account.api;
    let path = format!("/admin/accounts/{}", account.id);
    let before = api.image(&image("a fox [sandbox delay=3s]")).await?;
    let body = json!({ "price_factor": 0.8 }).to_string();
    let changed = aio
        .admin()
        .send(Method::PATCH, &path, &[], body)
        .await?
        .data(200)?;
    assert_eq!(changed["price_factor"], 0.8);
    pays(&account, 0.8).await?;
    let after = api.image(&image("a fox [sandbox delay=0s]")).await?;
    assert_eq!(api.ended(&after).await?["consumed_microcredits"], 4_000_000);
    let old = api.ended(&before).await?;
    assert_eq!(
        old["consumed_microcredits"], IMAGE,
        "it keeps what it was held with"
    );

    let told = aio
        .command(&["accounts", "update", &account.id, "--price-factor", "0.5"])
        .await?;
    assert!(told.status.success(), "{told:?}");
    pays(&account, 0.5).await?;
    let posted = api.settled().await?.posted;
    let answer = api
        .post("/chat/completions", &chat("Hello [sandbox tokens=7]"))
        .await?;
    let answer = answer.json()?;
    let usage = |name: &str| answer["usage"][name].as_i64().unwrap_or_default();
    let listed = usage("prompt_tokens") * 50 + usage("completion_tokens") * 300;
    let cost = micros(&answer["credits_consumed"])?;
    assert_eq!(cost, (listed + 1) / 2, "{answer}");
    assert_eq!(api.credits().await?.posted, posted - cost);
    for wrong in ["0", "-1", "11", "\"0.8\""] {
        let body = format!(r#"{{"price_factor":{wrong}}}"#);
        let refused = aio.admin().send(Method::PATCH, &path, &[], body).await?;
        refused.error(400, "invalid_parameter")?;
    }
    aio.finish().await
}

/// A receipt as it is answered: ten tokens in and four out.
fn receipt(version: &Value, total: i64) -> Value {
    let line = |class: &str, units: i64, each: i64| json!({"class": class, "units": units, "unit_microcredits": each, "microcredits": units * each});
    let receipt = json!({
        "receipt": 1, "route": "chat/completions", "kind": "chat_whole", "model": "gemini", "price_version": version,
        "priced_at": "2026-11-27T00:00:00Z", "unit": "token", "price_factor": 1_000_000, "parameters": {},
        "provider": "gemini", "attempts": [{"provider": "gemini", "outcome": "answered"}], "class": "completed",
        "charged": "in_full", "usage": {"input": 10, "cached": 0, "output": 4, "reasoning": 0}, "estimated": null,
        "lines": [line("input", 10, 50), line("output", 4, 300)], "cost_microcredits": 1_700,
        "held_microcredits": 5_000, "total_microcredits": total,
    });
    json!({"code": 200, "message": "success", "data": receipt})
}

#[tokio::test]
async fn a_receipt_is_computed_again_from_the_list_that_is_kept() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let fox = image("a fox [sandbox delay=0s]");
    let version = quote(&api, "images/generations", &fox).await?["price_version"].clone();
    // What something was held by is kept.
    let task = api.image(&fox).await?;
    api.ended(&task).await?;
    let path = format!(
        "/admin/price-lists/{}",
        version.as_str().context("no version")?
    );
    let list = aio.admin().get(&path).await?;
    assert_eq!(list.data(200)?["version"], version);
    let unknown = aio
        .admin()
        .get("/admin/price-lists/0000000000000000")
        .await?;
    unknown.error(404, "not_found")?;

    let folder = tempfile::tempdir()?;
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    std::fs::write(file("list.json"), &list.body)?;
    std::fs::write(file("good.json"), receipt(&version, 1_700).to_string())?;
    std::fs::write(file("bad.json"), receipt(&version, 1_701).to_string())?;
    let (lists, good, bad) = (file("list.json"), file("good.json"), file("bad.json"));
    for (arguments, fits, says) in [
        (vec![good.as_str()], true, "10 x 0.00005 = 0.0005"),
        (
            vec![good.as_str(), "--prices", lists.as_str()],
            true,
            "the receipt fits",
        ),
        (
            vec![bad.as_str(), "--prices", lists.as_str()],
            false,
            "total_microcredits is 1701",
        ),
    ] {
        let arguments = [&["receipt", "verify"][..], &arguments].concat();
        let told = aio.command(&arguments).await?;
        let text = String::from_utf8_lossy(&told.stdout);
        assert_eq!(told.status.success(), fits, "{told:?}");
        assert!(text.contains(says), "{text}");
    }
    aio.finish().await
}
