//! Nobody sees what is not theirs. Every route of the pages is opened as nobody, as another tenant, as somebody who may only look, in the
//! other mode and as a customer where operators are; and every form that a tenant finds on its pages is sent by those whom it is not for.
//! What there is to open and to send comes from the table of routes and from the pages themselves, so that what is added is covered.

mod site;

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use dashboard::Readers;
use serde_json::{Value, json};
use testkit::{Browser, Routes, WebPage};

use crate::tenant::{Tenant, Town};
use site::Seen;

/// What names everything of the tenant, and what of it was made in each mode.
const CANARY: &str = "zeisig";
const IN_TEST: &str = "zeisig-test";
const IN_LIVE: &str = "zeisig-live";

/// What viewers may send: it is about themselves alone.
const THEIR_OWN: [&str; 4] = [
    "/mode",
    "/sign-out",
    "/settings/you/",
    "/settings/members/leave",
];

/// Nothing of the tenant's stands on it.
fn tells_nothing(page: &WebPage, tenant: &Tenant) -> Result<()> {
    // Who asks for a page of an id has said it himself.
    let text = page.text.replace(&page.path, "");
    let told = [CANARY, &tenant.account]
        .into_iter()
        .find(|word| text.contains(*word));
    ensure!(told.is_none(), "{told:?} stands on {page}");
    Ok(())
}

/// What anybody may read.
fn before_the_door() -> Vec<&'static str> {
    let public = dashboard::paths().filter(|route| route.readers != Readers::Members);
    public.map(|route| route.path).collect()
}

/// Whether a page says no more than that its reader is to sign in.
fn is_door(page: &WebPage) -> bool {
    let moved = page.status == 303 && page.header("location").starts_with("/sign-in");
    moved || page.path.starts_with("/sign-in") || matches!(page.status, 401 | 403 | 405)
}

/// What a tenant has, as the API says it, without what looking at it changes.
async fn possessions(tenant: &Tenant) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for api in [&tenant.test, &tenant.live] {
        for path in ["/keys", "/webhooks/endpoints", "/credits", "/orders"] {
            let mut found = api.get(path).await?.data(200).unwrap_or_default();
            let items = found["items"].as_array_mut();
            for item in items.into_iter().flatten().filter_map(Value::as_object_mut) {
                item.retain(|name, _| name != "last_used_at");
            }
            all.push(found);
        }
    }
    Ok(all)
}

/// Looks at the other balance.
async fn look_at(web: &mut Browser, mode: &str) -> Result<()> {
    let page = web.post("/mode", &[("mode", mode)]).await?;
    ensure!(page.status == 200, "{page}");
    Ok(())
}

/// What is behind the door asks who is there before it says anything; what is before it knows no tenant.
async fn nobody(town: &mut Town, routes: &Routes, tenant: &Tenant, seen: &Seen) -> Result<()> {
    let mut web = town.aio.browser().await?;
    let public = before_the_door();
    for route in routes.iter() {
        let known = seen
            .pages
            .keys()
            .find(|path| routes.of(path) == Some(route));
        let path = known
            .cloned()
            .unwrap_or_else(|| Routes::filled(route, &tenant.account));
        for page in [web.get(&path).await?, web.post(&path, &[]).await?] {
            tells_nothing(&page, tenant).context(route)?;
            ensure!(public.contains(&route) || is_door(&page), "open: {page}");
        }
    }
    for form in &seen.forms {
        let (status, path) = form.send(&mut web).await?;
        let refused = path.starts_with("/sign-in") || path == "/" || status >= 400;
        ensure!(refused, "nobody sends {form:?}: {status} {path}");
    }
    Ok(())
}

/// Whether what has an id in its path is not there; a list that is narrowed down to such an id is there, and has nothing.
fn is_unknown(path: &str, ids: &BTreeSet<String>, status: u16) -> bool {
    let place = path.split('?').next().unwrap_or_default();
    let named = ids.iter().any(|id| place.contains(id));
    status == if named { 404 } else { 200 }
}

/// What is another's is what is not there; no list has it; no form reaches it.
async fn a_stranger(
    stranger: &mut Tenant,
    routes: &Routes,
    tenant: &Tenant,
    seen: &[Seen],
) -> Result<()> {
    let ids: BTreeSet<String> = seen.iter().flat_map(|seen| seen.ids.clone()).collect();
    for mode in ["live", "test"] {
        look_at(&mut stranger.web, mode).await?;
        for route in routes.iter().filter(|route| !route.contains('{')) {
            let page = stranger.web.get(route).await?;
            tells_nothing(&page, tenant).context(mode)?;
        }
        for path in seen.iter().flat_map(|seen| seen.pages.keys()) {
            if ids.iter().any(|id| path.contains(id)) {
                let page = stranger.web.get(path).await?;
                tells_nothing(&page, tenant).context(mode)?;
                ensure!(
                    is_unknown(path, &ids, page.status),
                    "not 404 in {mode}: {page}"
                );
            }
        }
        for form in seen.iter().flat_map(|seen| &seen.forms) {
            if form.names(&ids) {
                let (status, path) = form.send(&mut stranger.web).await?;
                ensure!(status >= 400, "{form:?} in {mode}: {status} {path}");
            }
        }
    }
    Ok(())
}

/// A customer is no operator, whatever they ask for.
async fn a_customer(stranger: &mut Tenant, routes: &Routes, tenant: &Tenant) -> Result<()> {
    let operators = routes.iter().filter(|route| route.starts_with("/operator"));
    for route in operators {
        let path = Routes::filled(route, &tenant.account);
        for page in [
            stranger.web.get(&path).await?,
            stranger.web.post(&path, &[]).await?,
        ] {
            tells_nothing(&page, tenant).context(route)?;
            ensure!(matches!(page.status, 403 | 405), "not refused: {page}");
        }
    }
    Ok(())
}

/// What is of one mode is not there in the other.
async fn the_other_mode(tenant: &mut Tenant, test: &Seen, live: &Seen) -> Result<()> {
    for (mode, own, other, word) in [("live", live, test, IN_TEST), ("test", test, live, IN_LIVE)] {
        look_at(&mut tenant.web, mode).await?;
        // All that an account has is in its export.
        let pages = own.pages.iter();
        for (path, text) in pages.filter(|(path, _)| !path.ends_with("/export")) {
            ensure!(!text.contains(word), "{path} of {mode} tells of {word}");
        }
        let others = other.pages.keys();
        // What is linked to in both is of the account, or of nobody.
        for path in others.filter(|path| !own.pages.contains_key(*path)) {
            let Some(id) = other.ids.iter().find(|id| path.contains(*id)) else {
                continue;
            };
            if own.ids.contains(id) {
                continue;
            }
            let page = tenant.web.get(path).await?;
            ensure!(
                is_unknown(path, &other.ids, page.status),
                "not 404 in {mode}: {page}"
            );
            ensure!(!page.text.contains(word), "{word}: {page}");
        }
    }
    Ok(())
}

/// Who may only look changes nothing, by no form that is shown to those who may.
async fn a_viewer(viewer: &mut Browser, seen: &[Seen]) -> Result<()> {
    for (mode, seen) in ["test", "live"].into_iter().zip(seen) {
        look_at(viewer, mode).await?;
        for form in &seen.forms {
            if THEIR_OWN.iter().any(|own| form.action.starts_with(own)) {
                continue;
            }
            let (status, path) = form.send(viewer).await?;
            ensure!(status >= 400, "{form:?} in {mode}: {status} {path}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn no_page_tells_what_is_anothers() -> Result<()> {
    let routes = Routes::new(dashboard::paths().map(|route| route.path));
    let mut town = Town::of_this_run().await?;
    let mut tenant = town.settle(CANARY).await?;
    town.live_through(&tenant, CANARY).await?;
    tenant.keep_passkey(&format!("{CANARY} device")).await?;
    let mut stranger = town.settle("amsel").await?;
    let mut seen = Vec::new();
    for mode in ["test", "live"] {
        look_at(&mut tenant.web, mode).await?;
        let found = Seen::walk(&mut tenant.web, &routes, &before_the_door(), &["/home"]).await?;
        let text: String = found.pages.values().map(String::as_str).collect();
        let word = format!("{CANARY}-{mode}");
        ensure!(text.contains(&word), "the tenant does not see {word}");
        seen.push(found);
    }
    let has = possessions(&tenant).await?;
    let [test, live] = &seen[..] else {
        anyhow::bail!("two modes");
    };
    nobody(&mut town, &routes, &tenant, test).await?;
    a_stranger(&mut stranger, &routes, &tenant, &seen).await?;
    a_customer(&mut stranger, &routes, &tenant).await?;
    the_other_mode(&mut tenant, test, live).await?;
    let mut viewer = town.viewer(&mut tenant, "star").await?;
    a_viewer(&mut viewer, &seen).await?;
    assert_eq!(
        json!(possessions(&tenant).await?),
        json!(has),
        "nothing was done to it"
    );
    town.aio.finish().await
}
