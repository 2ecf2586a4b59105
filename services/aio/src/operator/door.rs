//! The ways to the admin routes: the socket of a running `aio up`, a URL with the operator's key, or, when nothing runs,
//! billing itself in this process.

use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use axum::{Router, body::Body};
use chassis::config::{Settings, secret_value};
use domain::Secret;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tower::ServiceExt as _;
use upstream::{Call, Class, Failure, ProviderAnswer, ProviderClient, Verdict};

use super::Needs;
use crate::{assemble::Parts, config, process::State, up};

/// Where the API's routes are.
const PREFIX: &str = "/api/v1";

/// A way to the admin routes.
pub(super) enum Door {
    /// A running `aio up` on this machine.
    Socket(UnixStream),
    /// A running installation elsewhere.
    Url {
        base: String,
        key: Secret,
        client: Box<ProviderClient>,
    },
    /// Nothing runs: billing in this process, which keeps others off the data directory.
    Here {
        router: Router,
        _lock: std::fs::File,
        _parts: Box<Parts>,
    },
}

// === impl Door ===

impl Door {
    pub(super) async fn open(
        data_dir: &Path,
        settings: &Settings,
        call: &super::Call,
    ) -> anyhow::Result<Self> {
        if let Some(url) = &call.reach.url {
            let key = secret_value("AIO_OPERATOR_KEY")?
                .context("--url needs the operator's key in AIO_OPERATOR_KEY")?;
            return Self::elsewhere(url, key, settings);
        }
        if let Ok(stream) = UnixStream::connect(config::socket(data_dir)).await {
            return Ok(Self::Socket(stream));
        }
        if !data_dir.is_dir() {
            bail!(
                "nothing is at {}: name the data directory by --data-dir, or an installation by --url",
                data_dir.display()
            );
        }
        if call.needs == Needs::Everything {
            bail!(
                "nothing runs on {}, and this command needs a running aio: start `aio up`, or name an installation by --url",
                data_dir.display()
            );
        }
        let lock = up::own(data_dir)?;
        let parts = Box::new(Parts::embedded(settings, data_dir)?);
        let house = parts.start_billing(State::default().ready()).await?;
        Ok(Self::Here {
            router: house.edge.operator_router(),
            _lock: lock,
            _parts: parts,
        })
    }

    fn elsewhere(url: &str, key: Secret, settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self::Url {
            base: url.trim_end_matches('/').to_owned(),
            key,
            client: Box::new(ProviderClient::new(&settings.section("limits.upstream")?)?),
        })
    }

    /// Makes one call and reads its answer; an error of the API becomes ours.
    pub(super) async fn call(
        self,
        method: &Method,
        path: &str,
        body: Option<String>,
    ) -> anyhow::Result<Value> {
        let path = format!("{PREFIX}{path}");
        let (status, text) = match self {
            Self::Socket(stream) => over_socket(stream, request(method, &path, body)?).await?,
            Self::Here { router, .. } => {
                read(router.oneshot(request(method, &path, body)?).await?).await?
            }
            Self::Url { base, key, client } => {
                let url = format!("{base}{path}")
                    .parse()
                    .context("--url is not a URL")?;
                let body = body.unwrap_or_default().into();
                let call = Call::new(method.clone(), url, headers(&key)?, body);
                let reply = client.send(call, verdict).await.map_err(|f| told(&f))?;
                let status = reply.status();
                (status, reply.bytes().await.map_err(|f| told(&f))?.to_vec())
            }
        };
        let answer: Value = serde_json::from_slice(&text).context("the answer is not JSON")?;
        if !status.is_success() {
            bail!("{} ({status})", reason(&answer));
        }
        Ok(answer)
    }
}

fn headers(key: &Secret) -> anyhow::Result<HeaderMap> {
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", key.expose()))?;
    bearer.set_sensitive(true);
    let json = HeaderValue::from_static("application/json");
    Ok(HeaderMap::from_iter([
        (header::AUTHORIZATION, bearer),
        (header::CONTENT_TYPE, json),
    ]))
}

/// What the API says is wrong.
fn reason(answer: &Value) -> &str {
    let message = answer.pointer("/error/message").and_then(Value::as_str);
    message.unwrap_or("no reason was given")
}

/// Keeps the API's own words of a refusal: they are meant for whoever reads this.
fn verdict(answer: &ProviderAnswer<'_>) -> Option<Verdict> {
    let body: Value = serde_json::from_slice(answer.body).ok()?;
    Some(Verdict::with_detail(Class::Invalid, reason(&body)))
}

/// A failed call, in the API's words if it answered.
fn told(failure: &Failure) -> anyhow::Error {
    match (failure.status(), failure.detail()) {
        (Some(status), Some(words)) => anyhow!("{words} ({status})"),
        (Some(status), None) => anyhow!("the answer is not the API's ({status})"),
        (None, _) => anyhow!("{}", failure.reason()),
    }
}

fn request(method: &Method, path: &str, body: Option<String>) -> anyhow::Result<Request<Body>> {
    Ok(Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "aio")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.unwrap_or_default()))?)
}

async fn over_socket(
    stream: UnixStream,
    request: Request<Body>,
) -> anyhow::Result<(http::StatusCode, Vec<u8>)> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let call = async {
        let answer = sender.send_request(request).await?;
        let (head, body) = answer.into_parts();
        anyhow::Ok((head.status, body.collect().await?.to_bytes().to_vec()))
    };
    tokio::select! {
        answered = call => answered,
        ended = connection => Err(ended.err().map_or_else(|| anyhow::anyhow!("the socket closed"), Into::into)),
    }
}

async fn read(answer: Response<Body>) -> anyhow::Result<(http::StatusCode, Vec<u8>)> {
    let (head, body) = answer.into_parts();
    Ok((head.status, body.collect().await?.to_bytes().to_vec()))
}

#[cfg(test)]
mod tests {
    use axum::{http::StatusCode, routing::get};
    use chassis::Tasks;
    use tokio::net::TcpListener;
    use tracing::Span;

    use super::*;

    /// A door to an installation that answers everything like this.
    async fn door(status: StatusCode, body: &'static str) -> (Door, Tasks) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let tasks = Tasks::default();
        let router = Router::new().route("/api/v1/x", get(move || async move { (status, body) }));
        let serving = chassis::http::serve(listener, router, Default::default(), tasks.clone());
        tasks.spawn(Span::none(), serving);
        let settings = Settings::from_toml("");
        let door = Door::elsewhere(&url, Secret::new("aio_k"), &settings).unwrap();
        (door, tasks)
    }

    #[tokio::test]
    async fn what_an_installation_elsewhere_says_is_shown() {
        let said = r#"{"error":{"message":"this key does not have the scope `admin`"}}"#;
        for (status, body, shown) in [
            (
                StatusCode::FORBIDDEN,
                said,
                "this key does not have the scope `admin` (403 Forbidden)",
            ),
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "<html>",
                "the answer is not the API's (503 Service Unavailable)",
            ),
        ] {
            let (door, _tasks) = door(status, body).await;
            let error = door.call(&Method::GET, "/x", None).await.unwrap_err();
            assert_eq!(error.to_string(), shown);
        }
        let (door, _tasks) = door(StatusCode::OK, r#"{"data":1}"#).await;
        let answer = door.call(&Method::GET, "/x", None).await.unwrap();
        assert_eq!(answer["data"], 1);
    }
}
