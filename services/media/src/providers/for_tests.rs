//! What the tests of several adapters need: a provider that answers one thing, and outcomes as words to read.

use std::sync::{Arc, Mutex};

use axum::{Router, extract::Request, response::IntoResponse as _, routing::get};
use domain::{Dialect, Secret};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use upstream::{Failure, ProviderClient, UpstreamConfig};
use url::Url;

use super::{Access, Cancelled, Progress};

/// What a provider was asked: method and path with query, all headers, the body.
pub(super) type Asked = Arc<Mutex<Vec<(String, HeaderMap, Value)>>>;

/// What a provider was asked in another form: method and path with query, all headers, the body as a text.
pub(super) type AskedInText = Arc<Mutex<Vec<(String, HeaderMap, String)>>>;

/// An answer that is not JSON, or whose headers count.
#[derive(Clone)]
pub(super) struct Raw {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Raw {
    pub(super) fn of(status: StatusCode, content_type: &str, body: Vec<u8>) -> Self {
        let raw = Self {
            status,
            headers: HeaderMap::new(),
            body,
        };
        raw.with("content-type", content_type)
    }

    /// The same with a header.
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().unwrap());
        self
    }
}

pub(super) fn client() -> ProviderClient {
    ProviderClient::new(&UpstreamConfig::default()).unwrap()
}

/// A provider that answers everything so, below `/p/`.
pub(super) async fn answering(status: u16, body: &str) -> (Access, Asked) {
    answering_with(status, &[], body.as_bytes()).await
}

/// The same with these headers.
pub(super) async fn answering_with(
    status: u16,
    headers: &[(&'static str, &'static str)],
    body: &[u8],
) -> (Access, Asked) {
    let asked = Asked::default();
    let (noted, body) = (asked.clone(), body.to_owned());
    let status = StatusCode::from_u16(status).unwrap();
    let told = headers.iter().map(|(name, value)| {
        let name = HeaderName::from_static(name);
        (name, HeaderValue::from_static(value))
    });
    let told = HeaderMap::from_iter(told);
    let answer = move |request: Request| async move {
        let place = format!("{} {}", request.method(), request.uri());
        let headers = request.headers().clone();
        let sent = axum::body::to_bytes(request.into_body(), usize::MAX).await;
        let sent = serde_json::from_slice(&sent.unwrap()).unwrap_or_default();
        noted.lock().unwrap().push((place, headers, sent));
        let mut answer = (status, body).into_response();
        answer.headers_mut().extend(told);
        answer
    };
    (serve(Router::new().fallback(answer)).await, asked)
}

/// A provider that answers everything so, whatever its answers are.
pub(super) async fn raw(answer: Raw) -> (Access, AskedInText) {
    let asked = AskedInText::default();
    let noted = asked.clone();
    let answer = move |request: Request| async move {
        let place = format!("{} {}", request.method(), request.uri());
        let headers = request.headers().clone();
        let sent = axum::body::to_bytes(request.into_body(), usize::MAX).await;
        let sent = String::from_utf8_lossy(&sent.unwrap()).into_owned();
        noted.lock().unwrap().push((place, headers, sent));
        (answer.status, answer.headers, answer.body)
    };
    (serve(Router::new().fallback(answer)).await, asked)
}

/// A provider that answers each of these places so, and no other.
pub(super) async fn answering_by_place<const N: usize>(places: [(&str, u16, &str); N]) -> Access {
    let mut router = Router::new();
    for (place, status, body) in places {
        let (status, body) = (StatusCode::from_u16(status).unwrap(), body.to_owned());
        router = router.route(place, get(move || async move { (status, body) }));
    }
    serve(router).await
}

/// Serves as long as the test lasts.
async fn serve(router: Router) -> Access {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}/p/", listener.local_addr().unwrap());
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's server ends with the test"
    )]
    tokio::spawn(async move { axum::serve(listener, router).await });
    access(&origin)
}

/// A provider at this address, whose key is `k3y`.
pub(super) fn access(origin: &str) -> Access {
    Access {
        base_url: Url::parse(origin).unwrap(),
        key: Some(Secret::new("k3y")),
        dialect: Dialect::default(),
        headers: HeaderMap::new(),
        callback_secret: None,
    }
}

/// A class, and the words for the customer.
pub(super) fn told(failure: &Failure) -> String {
    match failure.detail() {
        Some(detail) => format!("{}: {detail}", failure.class()),
        None => failure.class().to_string(),
    }
}

/// `running 40% 2 before`, `done https://… 5000`, `done nothing`, `failed moderated: …`, `missing`, or the class of what came between.
pub(super) fn shown(outcome: &Result<Progress, Failure>) -> String {
    match outcome {
        Ok(Progress::Running {
            percent, position, ..
        }) => {
            let percent = percent.map_or_else(String::new, |percent| format!(" {percent}%"));
            let position = position.map_or_else(String::new, |jobs| format!(" {jobs} before"));
            format!("running{percent}{position}")
        }
        Ok(Progress::Done { files, cost, .. }) => {
            let cost = cost.map_or_else(String::new, |cost| format!(" {}", cost.micro_usd));
            let files = match files.as_slice() {
                [] => "nothing".to_owned(),
                files => files.join(" "),
            };
            format!("done {files}{cost}")
        }
        Ok(Progress::Told { text, .. }) => format!("told {text}"),
        Ok(Progress::Failed(failure)) => format!("failed {}", told(failure)),
        Ok(Progress::Wasted(failure, cost)) => {
            let cost = cost.map_or_else(String::new, |cost| format!(" {}", cost.micro_usd));
            format!("wasted{cost} {}", told(failure))
        }
        Ok(Progress::Missing) => "missing".to_owned(),
        Err(failure) => told(failure),
    }
}

/// What came of a cancel, in one word.
pub(super) fn stopped(outcome: &Result<Cancelled, Failure>) -> String {
    match outcome {
        Ok(Cancelled::Stopped) => "stopped".to_owned(),
        Ok(Cancelled::Asked) => "asked".to_owned(),
        Ok(Cancelled::TooLate) => "too late".to_owned(),
        Ok(Cancelled::Impossible) => "impossible".to_owned(),
        Err(failure) => told(failure),
    }
}
