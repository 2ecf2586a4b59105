//! The web pages, beside the API and alone. `aio up` has both on one address, and so has the role: it hands the API on to an edge.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::{Aio, Reply, Shape, micros};

fn text(reply: &Reply) -> String {
    String::from_utf8_lossy(&reply.body).into_owned()
}

#[tokio::test]
async fn the_api_and_the_pages_share_one_address() -> Result<()> {
    let mut aio = Aio::start().await?;
    let (base, nobody) = (aio.pages().await?, aio.api(None));
    for (path, begins) in [
        ("/", "<!doctype html>"),
        ("/models/kling-3", "<!doctype html>"),
        ("/docs/errors.md", "# Error codes"),
        ("/llms.txt", "# API in One"),
    ] {
        let reply = nobody.get(&format!("{base}{path}")).await?;
        assert_eq!(reply.status, 200, "{path}");
        assert!(text(&reply).starts_with(begins), "{path}");
    }
    let start = nobody.get(&format!("{base}/")).await?;
    assert!(text(&start).contains(&format!("curl {}/api/v1/chat/completions", aio.base())));
    let policy = start.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    let lost = nobody.get(&format!("{base}/nowhere")).await?;
    assert_eq!(
        (lost.status, lost.header("content-type")),
        (404, "text/html; charset=utf-8")
    );
    // Programs are answered in their own words, whatever they mistype.
    let edge = aio.base();
    for (place, path) in [
        (&base, "/api/v1/nowhere"),
        (&base, "/v1/nowhere"),
        (&edge, "/api"),
    ] {
        let reply = nobody.get(&format!("{place}{path}")).await?;
        reply.error(404, "unknown_route").context(path)?;
    }
    aio.finish().await
}

#[tokio::test]
async fn a_price_on_a_page_is_the_quote() -> Result<()> {
    let mut aio = Aio::start().await?;
    let base = aio.pages().await?;
    let api = aio.account(1_000).await?.api;
    for (slug, route, query, parameters) in [
        (
            "kling-3",
            "videos/generations",
            "mode=pro&sound=true&duration=7",
            json!({"prompt": "a fox", "mode": "pro", "sound": true, "duration": 7}),
        ),
        (
            "flux-2",
            "images/generations",
            "type=flex&resolution=2K",
            json!({"prompt": "a fox", "type": "flex", "resolution": "2K"}),
        ),
    ] {
        let mut body = parameters;
        body["model"] = json!(slug);
        let asked = json!({ "route": route, "body": body });
        let quote = api.post("/quote", &asked).await?.data(200)?;
        let credits = micros(&quote["max_credits"])?;
        let page = api.get(&format!("{base}/models/{slug}?{query}")).await?;
        let sum = format!(
            "<output class=\"sum\">{} credits</output>",
            credits / 1_000_000
        );
        assert_eq!(credits % 1_000_000, 0, "whole credits");
        assert!(text(&page).contains(&sum), "{slug}: {sum}");
    }
    aio.finish().await
}

#[tokio::test]
async fn the_reference_has_every_route_of_the_api() -> Result<()> {
    let mut aio = Aio::start().await?;
    let base = aio.pages().await?;
    let nobody = aio.api(None);
    let document: Value = nobody.get("/openapi.json").await?.json()?;
    let page = nobody.get(&format!("{base}/docs/api.md")).await?;
    let page = text(&page);
    let paths = document["paths"].as_object().context("no paths")?;
    for (path, item) in paths {
        for method in item.as_object().context("no methods")?.keys() {
            let title = format!("[`{} {path}`](/docs/api/", method.to_uppercase());
            assert!(page.contains(&title), "{title}");
        }
    }
    // Every part and every anchor that it names is there.
    let mut links = 0;
    for link in page.split("](/docs/api/").skip(1) {
        let link = link.split(')').next().unwrap_or_default();
        let (part, id) = link.split_once('#').unwrap_or((link, ""));
        let part = nobody.get(&format!("{base}/docs/api/{part}")).await?;
        let is_there = id.is_empty() || text(&part).contains(&format!(" id=\"{id}\""));
        assert!(part.status == 200 && is_there, "{link}");
        links += 1;
    }
    assert!(links > 60, "{links}");
    aio.finish().await
}

#[tokio::test]
async fn the_role_serves_the_pages_alone() -> Result<()> {
    let mut aio = Aio::private(Shape::Split).await?;
    let (api, pages) = (aio.base().to_owned(), aio.pages().await?);
    let nobody = aio.api(None);
    let start = nobody.get(&format!("{pages}/")).await?;
    assert_eq!(start.status, 200);
    assert!(text(&start).contains(&format!("curl {api}/api/v1/chat/completions")));
    let other = nobody.get(&format!("{pages}/api/v1/models")).await?;
    // The edge is elsewhere, and answers here too.
    other.error(401, "missing_key")?;
    aio.finish().await
}
