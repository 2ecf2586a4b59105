//! What every answer passes on its way out: the headers under which a browser shows it, compression, and the count.

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use flate2::Compression;
use http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use tokio::time::Instant;

use crate::{
    Site,
    assets::{gzip, takes_gzip},
};

/// Nothing but our own style, script and pictures, and what tasks have made, from where the API is; no frame around us, no form that leads
/// elsewhere.
fn policy(public_url: &str) -> String {
    let files = origin(public_url);
    format!(
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' blob:{files}; media-src 'self' blob:{files}; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
}

/// A source of the policy, with a space before it; empty: the URL names none.
fn origin(url: &str) -> String {
    let uri: Uri = url.parse().unwrap_or_default();
    match (uri.scheme_str(), uri.authority()) {
        (Some(scheme), Some(authority)) => format!(" {scheme}://{authority}"),
        (Some(_) | None, Some(_) | None) => String::new(),
    }
}

/// Headers of every answer, beside the policy.
const HEADERS: [(&str, &str); 5] = [
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
    let policy = HeaderValue::from_str(&policy(&site.public_url));
    headers.extend(policy.map(|policy| (header::CONTENT_SECURITY_POLICY, policy)));
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
    site.wire.metrics.answered(route, status, began.elapsed());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_come_from_here_and_from_where_the_api_is() {
        for (url, files) in [
            ("https://api.example.com", " https://api.example.com"),
            ("http://127.0.0.1:8080/below", " http://127.0.0.1:8080"),
            ("", ""),
            ("/", ""),
        ] {
            assert_eq!(origin(url), files);
        }
        let policy = policy("https://api.example.com");
        assert!(policy.contains("img-src 'self' blob: https://api.example.com; media-src"));
        assert!(policy.contains("script-src 'self';"));
    }
}
