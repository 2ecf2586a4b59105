//! The pages of home, usage and requests, beside what the API says of the same.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Aio, Api, Browser, Role, Shape, WebPage, eventually, micros};

use crate::{
    receipts::operations,
    say::{IMAGE, chat, image},
};

const PASSWORD: &str = "a sentence is good";

/// A key of whoever signed up under this name, by what operators may do.
async fn key_of(aio: &Aio, name: &str) -> Result<Api> {
    let operator = aio.admin();
    let accounts = operator
        .get("/admin/accounts?limit=1000")
        .await?
        .data(200)?;
    let accounts = accounts["items"].as_array().context("no list")?;
    let own = accounts.iter().find(|account| account["name"] == name);
    let id = own.context("no account")?["account_id"].as_str();
    let path = format!("/admin/accounts/{}/keys", id.context("no id")?);
    let scopes = ["inference", "read", "manage"];
    let body = json!({ "name": "=shop", "mode": "test", "scopes": scopes });
    let made = operator.post(&path, &body).await?.data(201)?;
    Ok(aio.api(Some(made["key"].as_str().context("no key")?)))
}

/// Credits as pages write them.
fn credits(micros: i64) -> String {
    let (whole, rest) = (micros / 1_000_000, micros % 1_000_000);
    let digits = whole.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if rest > 0 {
        text.push_str(format!(".{rest:06}").trim_end_matches('0'));
    }
    text
}

fn has(page: &WebPage, words: &str) -> Result<()> {
    ensure!(
        page.status == 200 && page.has(words),
        "no {words:?}: {page}"
    );
    Ok(())
}

/// Two chats, an image, and two that fail: what all of it cost.
async fn work(api: &Api) -> Result<i64> {
    let mut consumed = 0;
    for text in [
        "Hello [sandbox tokens=20 delay=0ms]",
        "Hello [sandbox tokens=7 delay=0ms]",
    ] {
        let mut body = chat(text);
        body["user"] = json!("ann");
        let reply = api.post("/chat/completions", &body).await?;
        consumed += micros(&reply.json()?["credits_consumed"])?;
    }
    let fails = chat("Hello [sandbox outcome=fail delay=0ms]");
    let failed = api.post("/chat/completions", &fails).await?;
    ensure!(failed.status >= 400, "a chat that was to fail did not");
    for (prompt, cost) in [
        ("a fox [sandbox delay=10ms]", IMAGE),
        ("a fox [sandbox outcome=fail delay=10ms]", 0),
    ] {
        let task = api.ended(&api.image(&image(prompt)).await?).await?;
        assert_eq!(task["consumed_microcredits"], cost);
        consumed += cost;
    }
    Ok(consumed)
}

#[tokio::test]
async fn pages_tell_what_the_api_tells() -> Result<()> {
    let mut aio = Aio::start().await?;
    let mut web = aio.browser().await?;
    let home = web
        .sign_up("Usage Ann", "ann@usage.example", PASSWORD)
        .await?;
    for words in [
        "First steps",
        "Nothing spent yet",
        "No requests yet",
        "Webhooks Answers",
    ] {
        has(&home, words)?;
    }
    let api = key_of(&aio, "Usage Ann").await?;
    let consumed = work(&api).await?;
    let listed = operations(&api, 5).await?;
    let left = api.settled().await?;
    let spent = credits(consumed);

    let home = web.get("/home").await?;
    for words in [
        &format!("Available {}", credits(left.available)),
        "Held 0",
        &format!("Spent in 30 days {spent} credits"),
        "Failed since yesterday 40 % 2 of 5 requests cost nothing",
        "Chat Answers Media tasks Answers",
        "Run something in the playground Done.",
    ] {
        has(&home, words)?;
    }
    usage(&mut web, &api, consumed).await?;
    requests(&mut web, &listed).await?;
    without_media(&mut aio, &web).await?;

    // Nobody else's, in the other mode nothing, and nothing for who is not signed in.
    let id = listed[0]["operation_id"].as_str().context("no id")?;
    let path = format!("/requests/{id}");
    let mut other = aio.browser().await?;
    other
        .sign_up("Usage Bob", "bob@usage.example", PASSWORD)
        .await?;
    assert_eq!(other.get(&path).await?.status, 404);
    has(&other.get("/requests").await?, "No requests yet")?;
    web.post("/mode", &[("mode", "live"), ("back", "/usage")])
        .await?;
    assert_eq!(web.get(&path).await?.status, 404);
    has(&web.get("/usage").await?, "Nothing was used here")?;
    for path in [path.as_str(), "/home", "/usage", "/usage.csv", "/requests"] {
        assert_eq!(aio.browser().await?.get(path).await?.status, 303, "{path}");
    }
    aio.finish().await
}

/// The page, its file, and `GET /usage`.
async fn usage(web: &mut Browser, api: &Api, consumed: i64) -> Result<()> {
    let page = web.get("/usage").await?;
    has(
        &page,
        &format!("Spent {} credits Requests 5", credits(consumed)),
    )?;
    let told = api.get("/usage?group_by=day,model").await?.data(200)?;
    let told = told["items"].as_array().context("no list")?;
    let file = web.get("/usage.csv").await?;
    assert_eq!(file.header("content-type"), "text/csv; charset=utf-8");
    let mut rows = file.text.lines();
    let head = "day,model,operations,free_operations,credits,input_tokens,output_tokens";
    assert_eq!(rows.next(), Some(head));
    let rows: Vec<&str> = rows.collect();
    assert_eq!(rows.len(), told.len(), "{}", file.text);
    for (row, item) in rows.iter().zip(told) {
        let number = |name: &str| item[name].as_i64().unwrap_or_default();
        let (day, model) = (item["day"].as_str(), item["model"].as_str());
        let (day, model) = (day.unwrap_or_default(), model.unwrap_or_default());
        let cost = credits(number("microcredits"));
        let cells = [
            number("operations"),
            number("free_operations"),
            number("input_tokens"),
            number("output_tokens"),
        ];
        let [all, free, input, output] = cells;
        assert_eq!(
            *row,
            format!("{day},{model},{all},{free},{cost},{input},{output}")
        );
        let shown = format!("{day} {model} {all} {free} {input} {output} {cost}");
        has(&page, &shown)?;
    }
    // A key's name is no formula, a label narrows, and what is wrong is said.
    let file = web.get("/usage.csv?by=key&label=user%3Dann").await?;
    ensure!(file.text.contains(",\"'=shop\",2,0,"), "{}", file.text);
    has(
        &web.get("/usage?model=flux-2").await?,
        "Spent 5 credits Requests 2",
    )?;
    for path in [
        "/usage?from=never",
        "/usage.csv?from=never",
        "/requests?key=shop",
    ] {
        assert_eq!(web.get(path).await?.status, 400, "{path}");
    }
    Ok(())
}

/// The list, its filters, and every receipt: it adds up to what was charged.
async fn requests(web: &mut Browser, listed: &[Value]) -> Result<()> {
    for (query, count) in [
        ("", 5),
        ("?outcome=captured", 3),
        ("?outcome=released", 2),
        ("?outcome=released&model=gemini", 1),
        ("?label=user%3Dann", 2),
        ("?to=2024-10-04", 0),
    ] {
        let page = web.get(&format!("/requests{query}")).await?;
        assert_eq!(
            page.text.matches("<th scope=\"row\"><a ").count(),
            count,
            "{query}"
        );
    }
    for operation in listed {
        let id = operation["operation_id"].as_str().context("no id")?;
        let charged = operation["charged_microcredits"]
            .as_i64()
            .unwrap_or_default();
        let page = web.get(&format!("/requests/{id}")).await?;
        has(
            &page,
            &format!(") {} Checked here: it adds up.", credits(charged)),
        )?;
        if operation["model"] == "flux-2" {
            let task = id.replacen("op_", "task_", 1);
            assert_eq!(page.link("Open its task"), Some(format!("/tasks/{task}")));
            assert_eq!(web.get(&format!("/requests/{task}")).await?.status, 200);
        }
    }
    Ok(())
}

/// The pages say less while others are away, and they are there. In one process all are away, or nobody.
async fn without_media(aio: &mut Aio, web: &Browser) -> Result<()> {
    if Shape::of_this_run()? == Shape::Embedded {
        return Ok(());
    }
    aio.kill_role(Role::Media)?;
    eventually("the page says who is away", async || {
        let home = web.clone().get("/home").await?;
        let told = home.has("Media tasks Does not answer")
            && home.has("Tasks cannot be read at the moment.")
            && home.has("Money and keys Answers");
        Ok((home.status == 200 && told).then_some(()))
    })
    .await?;
    aio.restart_role(Role::Media).await
}
