//! `GET /`: a page for whoever opens the address in a browser, and the list of error codes. No key, no script, nothing from
//! elsewhere.

use std::sync::Arc;

use axum::{
    extract::State,
    response::{Html, IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};

use crate::{App, http::put};

const PAGE: &str = include_str!("welcome.html");
const ERRORS: &str = include_str!("../../../../docs/errors.md");
/// What the page says where the base URL belongs.
const BASE_URL: &str = "{{base_url}}";
/// Where the server is when a request does not say how it got here.
const USUAL: &str = "127.0.0.1:8080";

/// The page.
pub(crate) async fn page(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let public = app.config.server.public_url.as_deref();
    let origin = public.map_or_else(
        || of_request(&headers),
        |url| escape(url.trim_end_matches('/')),
    );
    let html = PAGE.replace(BASE_URL, &format!("{origin}/api/v1"));
    let mut response = Html(html).into_response();
    let headers = response.headers_mut();
    put(
        headers,
        "content-security-policy",
        &app.prepared.page_policy,
    );
    put(headers, "x-content-type-options", "nosniff");
    put(headers, "referrer-policy", "no-referrer");
    response
}

/// `GET /docs/errors.md`.
pub(crate) async fn errors() -> Response {
    (
        [(header::CONTENT_TYPE, "text/markdown; charset=utf-8")],
        ERRORS,
    )
        .into_response()
}

/// The policy under which a browser shows the page: its own style, and nothing else.
pub(crate) fn policy() -> String {
    let style = PAGE
        .split_once("<style>")
        .and_then(|(_, rest)| rest.split_once("</style>"))
        .map_or("", |(style, _)| style);
    let hash = BASE64.encode(Sha256::digest(style));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// The origin as the client wrote it.
pub(super) fn of_request(headers: &HeaderMap) -> String {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    // Letters, digits and the few marks that a host and a port have: nothing that means something in HTML.
    let plain = |host: &&str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b".:-_[]".contains(&byte);
        !host.is_empty() && host.len() < 256 && host.bytes().all(known)
    };
    format!("http://{}", host.filter(plain).unwrap_or(USUAL))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_host_that_is_not_one_stays_out_of_the_page() {
        let origin = |host: &'static str| {
            let value = HeaderValue::from_static(host);
            of_request(&HeaderMap::from_iter([(header::HOST, value)]))
        };
        assert_eq!(origin("api.example:8080"), "http://api.example:8080");
        assert_eq!(origin("[::1]:80"), "http://[::1]:80");
        assert_eq!(origin("<script>"), "http://127.0.0.1:8080");
        assert_eq!(of_request(&HeaderMap::new()), "http://127.0.0.1:8080");
    }

    #[test]
    fn the_page_has_one_style_and_no_script() {
        assert_eq!(PAGE.matches("<style>").count(), 1);
        assert!(!PAGE.contains("<script"));
        assert!(!PAGE.contains("style="));
        assert!(PAGE.contains(BASE_URL));
    }
}
