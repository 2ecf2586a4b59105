//! The one table of URLs, and the router made of it. Every page's Markdown has its path with `.md` behind it.

use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{MethodRouter, get},
};

use crate::{
    Site,
    around::around,
    pages::{compare, docs, landing, lost, model, models, pricing, texts},
};

/// A path, and who answers it.
type Row = (&'static str, fn() -> MethodRouter<Arc<Site>>);

/// The table.
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
    router
        .fallback(lost::unknown)
        .method_not_allowed_fallback(lost::method)
        .layer(middleware::from_fn_with_state(Arc::clone(&site), around))
        .with_state(site)
}
