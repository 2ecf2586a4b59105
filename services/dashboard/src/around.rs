//! What every answer passes on its way out: the headers under which a browser shows it, compression, and the count.

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use flate2::Compression;
use http::{HeaderName, HeaderValue, StatusCode, header};
use tokio::time::Instant;

use crate::{
    Site,
    assets::{gzip, takes_gzip},
};

/// Nothing but our own style, script and pictures, no frame around us, no form that leads elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' blob:; media-src 'self' blob:; \
                      connect-src 'self'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";

/// Headers of every answer.
const HEADERS: [(&str, &str); 6] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    (
        "permissions-policy",
        "camera=(), geolocation=(), microphone=()",
    ),
];

/// Answers shorter than this, in bytes, are not packed: they fit into one packet.
const SHORT: usize = 1024;

/// The layer.
pub(crate) async fn around(
    State(site): State<Arc<Site>>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let packs = takes_gzip(request.headers());
    let response = next.run(request).await;
    let status = response.status();
    let mut response = if packs {
        packed(response).await
    } else {
        response
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        let life = site.config.page_life.as_secs();
        let cached = format!("public, max-age={life}");
        let value = if status.is_success() {
            HeaderValue::from_str(&cached)
        } else {
            Ok(HeaderValue::from_static("no-store"))
        };
        headers.extend(value.map(|value| (header::CACHE_CONTROL, value)));
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    let route = path.as_ref().map(MatchedPath::as_str);
    site.metrics.answered(route, status, began.elapsed());
    response
}

/// The same answer, packed, unless it is already or is short.
async fn packed(response: Response) -> Response {
    if response.headers().contains_key(header::CONTENT_ENCODING) {
        return response;
    }
    let (mut head, body) = response.into_parts();
    // Pages are made in memory, so that all of it is there.
    let Ok(text) = to_bytes(body, usize::MAX).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    if text.len() < SHORT {
        return Response::from_parts(head, Body::from(text));
    }
    match gzip(&text, Compression::fast()) {
        Ok(packed) => {
            head.headers.remove(header::CONTENT_LENGTH);
            let gzip = HeaderValue::from_static("gzip");
            head.headers.insert(header::CONTENT_ENCODING, gzip);
            Response::from_parts(head, Body::from(packed))
        }
        Err(_) => Response::from_parts(head, Body::from(text)),
    }
}
