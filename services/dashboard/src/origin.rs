//! Forms of other sites are refused before anybody looks at who sends them: by what the browser says of where a request comes from
//! (Fetch Metadata, W3C), or by its `Origin` where a browser is older than that.

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, Method, StatusCode, Uri, header};

use crate::refused::Refused;

/// The layer.
pub(crate) async fn own_only(request: Request, next: Next) -> Response {
    let safe = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    if safe || is_own(request.headers()) {
        return next.run(request).await;
    }
    let told =
        "This came from another site, or from no browser. Open the page here and send its form.";
    Refused::new(StatusCode::FORBIDDEN, told).into_response()
}

/// Whether a request comes from a page of ours.
fn is_own(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("sec-fetch-site") {
        Some(site) => matches!(site, "same-origin" | "none"),
        None => {
            let host = text(header::HOST.as_str());
            let origin =
                text(header::ORIGIN.as_str()).and_then(|origin| origin.parse::<Uri>().ok());
            let origin = origin
                .as_ref()
                .and_then(Uri::authority)
                .map(|authority| authority.as_str());
            host.is_some() && origin == host
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_our_own_pages_send_forms() {
        for (site, origin, own) in [
            (Some("same-origin"), None, true),
            (Some("none"), None, true),
            (Some("same-site"), None, false),
            (Some("cross-site"), Some("http://here:1"), false),
            (None, Some("http://here:1"), true),
            (None, Some("http://there:1"), false),
            (None, Some("null"), false),
            (None, None, false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("host", HeaderValue::from_static("here:1"));
            headers.extend(site.map(|site| {
                (
                    http::HeaderName::from_static("sec-fetch-site"),
                    HeaderValue::from_static(site),
                )
            }));
            headers.extend(origin.map(|origin| (header::ORIGIN, HeaderValue::from_static(origin))));
            assert_eq!(is_own(&headers), own, "{site:?} {origin:?}");
        }
    }
}
