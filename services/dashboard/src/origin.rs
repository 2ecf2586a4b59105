//! Forms of other sites are refused before anybody looks at who sends them: by what the browser says of where a request comes from
//! (Fetch Metadata, W3C), or by its `Origin` where a browser is older than that.

use std::sync::Arc;

use axum::{
    body::{Body, to_bytes},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, Method, StatusCode, Uri, header};
use tokio::time::timeout;

use crate::{Site, refused::Refused};

/// The layer. What a form of ours says is there as a whole before anybody looks at who sends it: whoever may no more when its last byte
/// comes may not, and whoever sends none keeps no connection for long.
pub(crate) async fn own_only(
    State(site): State<Arc<Site>>,
    request: Request,
    next: Next,
) -> Response {
    let safe = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    if safe {
        return next.run(request).await;
    }
    if is_own(request.headers()) {
        return match whole(&site, request).await {
            Ok(request) => next.run(request).await,
            Err(refused) => refused.into_response(),
        };
    }
    let told =
        "This came from another site, or from no browser. Open the page here and send its form.";
    Refused::new(StatusCode::FORBIDDEN, told).into_response()
}

/// The request with all of its body.
async fn whole(site: &Site, request: Request) -> Result<Request, Refused> {
    let config = &site.config;
    // A request that is shown as code is written with up to three characters for a byte.
    let most = config.playground.code_bytes.saturating_mul(3);
    let most = most.saturating_add(config.door.limits.forms.bytes);
    let (head, body) = request.into_parts();
    match timeout(config.door.limits.forms.patience, to_bytes(body, most)).await {
        Ok(Ok(bytes)) => Ok(Request::from_parts(head, Body::from(bytes))),
        Ok(Err(_)) => {
            let told = "That is more than a form may say.";
            Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, told))
        }
        Err(_) => {
            let told = "The form did not arrive in time. Please send it again.";
            Err(Refused::new(StatusCode::REQUEST_TIMEOUT, told))
        }
    }
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
