//! `/keys`: a key's life in a browser, and what the API says of it meanwhile.

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::{Aio, Api, Browser, WebPage, eventually};

use crate::say::unique;

const PASSWORD: &str = "correct horse battery";

/// An address that nobody has signed up with.
fn email(name: &str) -> String {
    format!("{}@example.com", unique(name))
}

/// The key that a page shows this once.
fn shown_key(page: &WebPage) -> Result<String> {
    assert!(
        page.has("This is the only time that it is shown."),
        "{page}"
    );
    let words = page.shown();
    let mut words = words.split(' ');
    let key = words.find(|word| word.starts_with("aio_test_"));
    Ok(key.context("no key is shown")?.to_owned())
}

async fn says_hello(api: &Api) -> Result<u16> {
    let body = json!({ "model": "gemini", "messages": [{ "role": "user", "content": "Hello" }] });
    Ok(api.post("/chat/completions", &body).await?.status)
}

/// Waits until the list of keys says so.
async fn lists(web: &mut Browser, words: &str) -> Result<WebPage> {
    eventually(&format!("/keys says {words:?}"), async || {
        let page = web.get("/keys").await?;
        Ok(page.has(words).then_some(page))
    })
    .await
}

/// The same form sent twice at once, and once more: one key, which every answer shows. Another form makes another key.
async fn a_double_click_makes_one_key(web: &mut Browser) -> Result<()> {
    let once = web.get("/keys/new").await?.field("once");
    let once = once.context("the form has no word of its own")?;
    let typed = [("once", once.as_str()), ("name", "twice")];
    let (mut first, mut second) = (web.clone(), web.clone());
    let (first, second) = tokio::join!(first.post("/keys", &typed), second.post("/keys", &typed));
    let key = shown_key(&first?)?;
    assert_eq!(shown_key(&second?)?, key);
    assert_eq!(shown_key(&web.post("/keys", &typed).await?)?, key);
    let another = web.post("/keys", &[typed[0], ("name", "another")]).await?;
    assert_ne!(shown_key(&another)?, key);
    let listed = web.get("/keys").await?;
    assert_eq!(listed.shown().matches(" twice ").count(), 1, "{listed}");
    // What was refused made nothing: it may be sent again, and is looked at again.
    let wrong = [typed[0], ("name", "third"), ("rpm", "many")];
    for _ in 0..2 {
        assert_eq!(web.post("/keys", &wrong).await?.status, 400);
    }
    Ok(())
}

#[tokio::test]
async fn a_key_is_made_used_limited_rotated_and_revoked() -> Result<()> {
    let mut aio = Aio::start().await?;
    let mut web = aio.browser().await?;
    web.sign_up("Ann", &email("ann"), PASSWORD).await?;
    assert!(web.get("/keys").await?.has("No keys yet"));
    // What is wrong stands beside its field, and what was typed is not lost.
    let wrong = [
        ("name", "website"),
        ("caps.day", "a lot"),
        ("ip_allow", "home"),
    ];
    let page = web.post("/keys", &wrong).await?;
    assert_eq!(page.status, 400, "{page}");
    assert!(page.has("such as 12.5"), "{page}");
    assert_eq!(page.field("caps.day").as_deref(), Some("a lot"));
    let page = web.post("/keys", &[wrong[0], wrong[2]]).await?;
    assert!(page.status == 400 && page.has("203.0.113.7"), "{page}");

    let typed = [("name", "website"), ("caps.day", "1,000"), ("rpm", "600")];
    let page = web.post("/keys", &typed).await?;
    let key = shown_key(&page)?;
    assert!(page.has(&format!("Bearer {key}")), "{page}");
    let old = aio.api(Some(&key));
    let page = lists(&mut web, "Last use never").await?;
    assert!(page.has("0 of 1,000 today") && page.has("600 requests a minute"));
    assert!(!page.text.contains(&key));
    assert_eq!(says_hello(&old).await?, 200);
    eventually("its last use is shown", async || {
        let page = web.get("/keys").await?;
        Ok((!page.has("Last use never")).then_some(()))
    })
    .await?;

    // Less than what it has spent: nothing more is to be had.
    let path = page.link("website").context("no link to the key")?;
    let typed = [("name", "web"), ("caps.day", "0.000001")];
    let page = web.post(&path, &typed).await?;
    assert!(
        page.has("The key is changed.") && page.has("cap reached"),
        "{page}"
    );
    assert!(page.has("of 0.000001 today") && !page.has("requests a minute"));
    assert_eq!(says_hello(&old).await?, 402);
    web.post(&path, &[("name", "web")]).await?;

    let page = web
        .post(&format!("{path}/rotate"), &[("overlap", "3600000")])
        .await?;
    assert!(page.has("The old secret works until"), "{page}");
    let new = aio.api(Some(&shown_key(&page)?));
    for key in [&old, &new] {
        assert_eq!(says_hello(key).await?, 200);
    }
    lists(&mut web, "rotating").await?;

    a_double_click_makes_one_key(&mut web).await?;
    strangers_see_nothing(&mut aio, &path).await?;
    no_model_is_lost(&mut web).await?;
    let page = web
        .post("/mode", &[("mode", "live"), ("back", "/keys")])
        .await?;
    assert!(page.has("Live keys need providers"), "{page}");
    assert_eq!(web.get(&path).await?.status, 404, "it is a test key");
    let back = [("mode", "test"), ("back", "/keys")];
    web.post("/mode", &back).await?;

    let page = web.post(&format!("{path}/revoke"), &[]).await?;
    assert!(page.has("The key is revoked."), "{page}");
    assert!(page.has("Revoked keys"), "{page}");
    assert_eq!(web.get(&path).await?.status, 404);
    for key in [&old, &new] {
        key.everywhere("a revoked key opens nothing", async || {
            Ok(key.get("/credits").await?.status == 401)
        })
        .await?;
    }
    aio.finish().await
}

/// A model within another has a box only where a key's list holds it: whoever saves the form does not thereby let the key use all.
async fn no_model_is_lost(web: &mut Browser) -> Result<()> {
    let model = ("models", "imagen4-ultra");
    web.post("/keys", &[("name", "pictures"), model]).await?;
    let page = lists(web, "pictures").await?;
    let path = page.link("pictures").context("no link to the key")?;
    let page = web.get(&path).await?;
    assert!(
        page.text.contains("value=\"imagen4-ultra\" checked"),
        "{page}"
    );
    let page = web.post(&path, &[("name", "paintings"), model]).await?;
    assert!(
        page.has("paintings") && page.has("Models imagen4-ultra"),
        "{page}"
    );
    Ok(())
}

/// Somebody else's key is as unknown as one that nobody has.
async fn strangers_see_nothing(aio: &mut Aio, path: &str) -> Result<()> {
    let mut nobody = aio.browser().await?;
    assert_eq!(nobody.get(path).await?.status, 303);
    let mut other = aio.browser().await?;
    other.sign_up("Bob", &email("bob"), PASSWORD).await?;
    assert_eq!(other.get(path).await?.status, 404);
    for act in ["", "/rotate", "/revoke"] {
        let page = other
            .post(&format!("{path}{act}"), &[("name", "mine")])
            .await?;
        assert_eq!(page.status, 404, "{act}: {page}");
    }
    Ok(())
}
