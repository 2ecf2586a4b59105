//! The one table of URLs, and the router made of it. Every page's Markdown has its path with `.md` behind it.

use std::sync::Arc;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware,
    routing::{MethodRouter, any, get, post},
};

use crate::{
    Site, app,
    around::around,
    once, origin,
    pages::{compare, docs, landing, lost, model, models, pricing, texts},
    refused, relay,
    sign::{self, enter, first, invited, passkey, reset},
};

/// A path, and who answers it.
pub(crate) type Row = (&'static str, fn() -> MethodRouter<Arc<Site>>);

/// Signing up, in and out.
const DOOR: [Row; 10] = [
    ("/sign-up", || get(enter::page).post(enter::up)),
    ("/sign-in", || get(sign::in_page).post(sign::r#in)),
    ("/sign-in/passkey", || post(passkey::r#in)),
    ("/sign-in/passkey/begin", || post(passkey::begin)),
    ("/sign-in/first", || get(first::page).post(first::r#in)),
    ("/sign-out", || post(sign::out)),
    ("/forgot", || get(reset::forgot_page).post(reset::forgot)),
    ("/reset", || get(reset::page).post(reset::reset)),
    ("/confirm", || get(reset::confirm_page).post(reset::confirm)),
    ("/invite", || get(invited::page).post(invited::accept)),
];

/// Who may read a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Anybody, the same for all.
    Anybody,
    /// Anybody: it is at the door.
    Door,
    /// Those who are signed in.
    Members,
}

/// A path of the table, as axum writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Such as `/keys/{id}`.
    pub path: &'static str,
    /// Who may read it.
    pub readers: Readers,
}

/// Every path of the table: what is not there is no page. For tests that must miss none.
pub fn paths() -> impl Iterator<Item = Path> {
    let named = |readers| move |(path, _): &Row| Path { path, readers };
    let public = ROUTES.iter().map(named(Readers::Anybody));
    let door = DOOR.iter().map(named(Readers::Door));
    let members = app::ROUTES.into_iter().flatten();
    public
        .chain(door)
        .chain(members.map(named(Readers::Members)))
}

/// What anybody may read.
const ROUTES: [Row; 15] = [
    ("/", || get(landing::html)),
    ("/index.md", || get(landing::markdown)),
    ("/models", || get(models::html)),
    ("/models.md", || get(models::markdown)),
    ("/models/compare", || get(compare::html)),
    ("/models/compare.md", || get(compare::markdown)),
    ("/models/{*slug}", || get(model::page)),
    ("/pricing", || get(pricing::html)),
    ("/pricing.md", || get(pricing::markdown)),
    ("/docs", || get(docs::index)),
    ("/docs.md", || get(docs::index_markdown)),
    ("/docs/{*name}", || get(docs::page)),
    ("/llms.txt", || get(texts::llms)),
    ("/robots.txt", || get(texts::robots)),
    ("/assets/{name}", || get(texts::asset)),
];

/// Every page, and the one for what is none.
pub(crate) fn router(site: Arc<Site>) -> Router {
    let mut router = Router::new();
    for (path, serve) in ROUTES {
        router = router.route(path, serve());
    }
    // Pages for one reader: of those who are signed in, or about to be.
    let mut private = Router::new();
    let form_bytes = site.config.door.limits.forms.bytes;
    for (path, serve) in DOOR.iter().chain(app::settings::ROUTES) {
        let small = DefaultBodyLimit::max(form_bytes);
        private = private.route(path, serve().layer(small));
    }
    for (path, serve) in app::ROUTES.into_iter().flatten() {
        // The forms of settings are as small as those at the door: they are above.
        if !path.starts_with("/settings") {
            private = private.route(path, serve());
        }
    }
    let private = private
        .layer(middleware::from_fn_with_state(
            Arc::clone(&site),
            once::once,
        ))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&site),
            origin::own_only,
        ))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&site),
            refused::dressed,
        ))
        .layer(middleware::from_fn(sign::not_kept));
    router = router.merge(private);
    let mut router = router
        .fallback(lost::unknown)
        .method_not_allowed_fallback(lost::method)
        .layer(middleware::from_fn_with_state(Arc::clone(&site), around));
    if site.wire.relay.is_some() {
        // Outside of what is around pages: an answer of the API has its own headers, and is not collected to be packed.
        for path in ["/api/{*rest}", "/v1/{*rest}"] {
            router = router.route(path, any(relay::relay));
        }
    }
    router.with_state(site)
}
