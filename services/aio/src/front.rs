//! The public listener of `aio up`: the API and the pages on one origin, told apart by path. Of the roles a proxy does the same.

use axum::{Router, extract::Request};
use tower::{ServiceExt as _, service_fn};

/// What the edge serves: everything below these.
const PREFIXES: [&str; 2] = ["/api", "/v1"];
/// And these themselves.
const HEALTH: [&str; 2] = ["/healthz", "/readyz"];

/// Both behind one door.
pub(crate) fn router(edge: Router, pages: Option<Router>) -> Router {
    let pages = pages.unwrap_or_default();
    let split = service_fn(move |request: Request| {
        let router = if is_edges(request.uri().path()) {
            edge.clone()
        } else {
            pages.clone()
        };
        router.oneshot(request)
    });
    Router::new().fallback_service(split)
}

/// Whether a path is the edge's to answer, if only by 404: a program that mistypes a route is told so in its own words.
fn is_edges(path: &str) -> bool {
    let is_below = |prefix: &str| {
        let rest = path.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    PREFIXES.into_iter().any(is_below) || HEALTH.contains(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_reach_the_edge_and_people_the_pages() {
        for path in [
            "/api/v1/models",
            "/v1/models",
            "/api",
            "/v1/x/y",
            "/healthz",
            "/readyz",
        ] {
            assert!(is_edges(path), "{path}");
        }
        for path in [
            "/",
            "/models",
            "/docs/api",
            "/apis",
            "/v10",
            "/metrics",
            "/healthz/x",
        ] {
            assert!(!is_edges(path), "{path}");
        }
    }
}
