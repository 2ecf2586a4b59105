//! The one table of URLs, and the router made of it. Every page's Markdown has its path with `.md` behind it.

use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{MethodRouter, any, get, post},
};

use crate::{
    Site, app,
    around::around,
    origin,
    pages::{compare, docs, landing, lost, model, models, pricing, texts},
    refused, relay, sign,
};

/// A path, and who answers it.
pub(crate) type Row = (&'static str, fn() -> MethodRouter<Arc<Site>>);

/// Signing up, in and out.
const DOOR: [Row; 3] = [
    ("/sign-up", || get(sign::up_page).post(sign::up)),
    ("/sign-in", || get(sign::in_page).post(sign::r#in)),
    ("/sign-out", || post(sign::out)),
];

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
    for (path, serve) in DOOR.iter().chain(app::ROUTES.into_iter().flatten()) {
        private = private.route(path, serve());
    }
    let private = private
        .layer(middleware::from_fn(origin::own_only))
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
    if site.relay.is_some() {
        // Outside of what is around pages: an answer of the API has its own headers, and is not collected to be packed.
        for path in ["/api/{*rest}", "/v1/{*rest}"] {
            router = router.route(path, any(relay::relay));
        }
    }
    router.with_state(site)
}
