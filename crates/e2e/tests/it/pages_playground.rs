//! The playground: a form for every model, a key of minutes, and the API on the pages' own origin.

use anyhow::{Context as _, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use testkit::{Aio, Browser, eventually};

use crate::say::unique;

const PASSWORD: &str = "a lighthouse at dawn";

/// The key that the page's script is given, with what is said of it.
async fn key(web: &mut Browser) -> Result<Value> {
    let made = web.post("/playground/key", &[]).await?;
    ensure!(made.status == 200, "no key: {made}");
    assert!(made.header("cache-control").contains("no-store"));
    Ok(serde_json::from_str(&made.text)?)
}

fn text<'v>(value: &'v Value, name: &str) -> Result<&'v str> {
    value[name].as_str().with_context(|| format!("no {name}"))
}

/// The names of parameters, those of a list's fields behind it.
fn names(above: &str, parameters: &Value) -> Vec<String> {
    let mut all = Vec::new();
    for parameter in parameters.as_array().into_iter().flatten() {
        let name = format!("{above}{}", parameter["name"].as_str().unwrap_or_default());
        all.extend(names(&format!("{name}[]."), &parameter["fields"]));
        all.push(name);
    }
    all
}

#[tokio::test]
async fn a_form_has_every_parameter_and_its_page_calls_the_api_by_itself() -> Result<()> {
    let mut aio = Aio::start().await?;
    let mut web = aio.browser().await?;
    let email = format!("{}@example.com", unique("ann"));
    web.sign_up("Ann", &email, PASSWORD).await?;
    let first = key(&mut web).await?;
    assert_eq!(
        (&first["mode"], &first["scopes"], &first["expires_in"]),
        (&json!("test"), &json!(["inference", "read"]), &json!(900))
    );
    let api = aio.api(Some(text(&first, "key")?));
    let models = api.get("/models").await?.json()?;
    let start = web.get("/playground").await?;
    for model in models["data"].as_array().context("no models")? {
        let slug = text(model, "id")?;
        let path = format!("/playground/{slug}");
        assert!(start.text.contains(&format!("href=\"{path}\"")), "{slug}");
        let page = web.get(&path).await?;
        assert_eq!(page.status, 200, "{slug}");
        let listed = api.get(&format!("/models/{slug}")).await?.json()?;
        for name in names("", &listed["parameters"]) {
            let field = format!("data-param=\"{name}\"");
            assert!(page.text.contains(&field), "{slug} has no field for {name}");
        }
        for id in ["run", "stop", "price", "output", "cost"] {
            assert!(page.text.contains(&format!("id=\"{id}\"")), "{slug}: {id}");
        }
    }

    // One key of the account, whose secret is another one now; the one before still opens what it opened.
    let second = key(&mut web).await?;
    assert_ne!(first["key"], second["key"]);
    let credits = api.get("/credits").await?.data(200)?;
    api.get("/keys").await?.error(403, "missing_scope")?;
    let account = text(&credits, "account_id")?;
    let path = format!("/admin/accounts/{account}/keys");
    let keys = aio.admin().get(&path).await?.data(200)?;
    let own: Vec<&Value> = keys["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|key| key["name"] == "Playground")
        .collect();
    assert_eq!(own.len(), 1, "{keys:#}");
    assert_eq!(own[0]["scopes"], json!(["inference", "read"]));
    assert!(own[0]["expires_at"].is_string(), "{}", own[0]);
    // Revoked by its owner, it is made anew.
    let id = text(own[0], "key_id")?;
    let path = format!("/admin/keys/{id}");
    aio.admin()
        .send(Method::DELETE, &path, &[], "")
        .await?
        .data(200)?;
    let third = key(&mut web).await?;
    let api = api.with_key(Some(text(&third, "key")?));
    api.get("/credits").await?.data(200)?;

    // Another site gets none.
    let (cookie, url) = (web.cookie(), format!("{}/playground/key", web.base()));
    let headers = [
        ("cookie", cookie.as_str()),
        ("sec-fetch-site", "cross-site"),
    ];
    let refused = api.open(Method::POST, &url, &headers, "").await?;
    assert_eq!(refused.status(), 403);

    let body = json!({"model": "flux-2", "prompt": "it's a fox"});
    let fields = [("model", "flux-2"), ("body", &body.to_string())];
    let codes = web.post("/playground/code", &fields).await?;
    let codes: Value = serde_json::from_str(&codes.text)?;
    let languages = codes.as_array().context("no codes")?.iter();
    let languages: Vec<_> = languages.map(|code| code["language"].as_str()).collect();
    assert_eq!(languages, ["curl", "Python", "Node", "Java"].map(Some));
    assert!(text(&codes[0], "code")?.contains(r"it'\''s a fox"));

    relayed(&aio, web.base(), &third).await?;
    aio.finish().await
}

/// The API on the pages' own origin: as it is elsewhere, event by event.
async fn relayed(aio: &Aio, pages: &str, key: &Value) -> Result<()> {
    let api = aio.api(Some(text(key, "key")?));
    let words = "[sandbox tokens=20 after=5 outcome=hang] hello";
    let body = json!({"model": "gpt-6-1-sol", "stream": true,
                      "messages": [{"role": "user", "content": words}]});
    // It comes while the answer is being made, which this one is for ever.
    let url = format!("{pages}/api/v1/chat/completions");
    let mut events = api.events(Method::POST, &url, &body).await?;
    let event = events.next().await?.context("no event")?;
    assert!(event.data.contains("chat.completion.chunk"), "{event:?}");
    // Who leaves is noticed behind the pages too.
    drop(events);
    eventually("the hold ends", async || {
        let credits = api.credits().await?;
        Ok((credits.open_holds == 0).then_some(()))
    })
    .await?;
    let quote =
        json!({"route": "images/generations", "body": {"model": "z-image", "prompt": "a fox"}});
    let quoted = api.post(&format!("{pages}/v1/quote"), &quote).await?;
    assert_eq!(quoted.data(200)?["max_credits"], json!(1));
    let lost = api.get(&format!("{pages}/api/v1/nowhere")).await?;
    lost.error(404, "unknown_route")?;
    Ok(())
}
