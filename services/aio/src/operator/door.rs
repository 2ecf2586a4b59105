//! The ways to the admin routes: the socket of a running `aio up`, a URL with the operator's key, or, when nothing runs,
//! billing itself in this process.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use axum::{Router, body::Body};
use chassis::config::{Settings, variable_value};
use domain::Secret;
use http::{HeaderValue, Method, Request, Response, header};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tower::ServiceExt as _;
use upstream::{Call, ProviderClient};

use crate::{assemble::Parts, config, up};

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
        client: ProviderClient,
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
        url: Option<&str>,
    ) -> anyhow::Result<Self> {
        if let Some(url) = url {
            let key = variable_value("AIO_OPERATOR_KEY")
                .context("--url needs the operator's key in AIO_OPERATOR_KEY")?;
            return Ok(Self::Url {
                base: url.trim_end_matches('/').to_owned(),
                key: Secret::new(key),
                client: ProviderClient::new(&settings.section("limits.upstream")?)?,
            });
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
        let lock = up::own(data_dir)?;
        let parts = Box::new(Parts::read(settings, data_dir)?);
        let house = parts.start_billing(up::ready(&Arc::default())).await?;
        Ok(Self::Here {
            router: house.edge.operator_router(),
            _lock: lock,
            _parts: parts,
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
                let mut headers = http::HeaderMap::new();
                let mut bearer = HeaderValue::from_str(&format!("Bearer {}", key.expose()))?;
                bearer.set_sensitive(true);
                headers.insert(header::AUTHORIZATION, bearer);
                headers.insert(
                    header::CONTENT_TYPE,
                    HeaderValue::from_static("application/json"),
                );
                let url = format!("{base}{path}")
                    .parse()
                    .context("--url is not a URL")?;
                let call = Call::new(
                    method.clone(),
                    url,
                    headers,
                    body.unwrap_or_default().into(),
                );
                let reply = client
                    .send(call, |_| None)
                    .await
                    .map_err(|failure| anyhow::anyhow!(failure.reason()))?;
                (
                    reply.status(),
                    reply
                        .bytes()
                        .await
                        .map_err(|failure| anyhow::anyhow!(failure.reason()))?
                        .to_vec(),
                )
            }
        };
        let answer: Value = serde_json::from_slice(&text).context("the answer is not JSON")?;
        if !status.is_success() {
            let message = answer
                .pointer("/error/message")
                .and_then(Value::as_str)
                .unwrap_or("no reason was given");
            bail!("{message} ({status})");
        }
        Ok(answer)
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
