//! The admin routes of a gateway: an account, credits and a live key, so that every request of the load passes key check,
//! limits, a durable hold and a durable capture.

use crate::process::Process;
use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::time::{Instant, sleep};

/// A well-formed key that everybody knows: the program listens on the loopback interface of a benchmark only.
pub(crate) const ADMIN_KEY: &str = "aio_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4JxuOd";
/// How long a program may take to start.
pub(crate) const START: Duration = Duration::from_secs(30);
/// Between two looks whether it has.
pub(crate) const LOOK: Duration = Duration::from_millis(10);
/// More credits than any benchmark can spend.
const CREDITS: u64 = 100_000_000;
/// Limits that are checked on each request and never reached.
const REQUESTS_PER_MINUTE: u64 = 60_000_000;
const CONCURRENCY: u64 = 20_000;

/// A client with a key: the operator's, unless it is told another.
pub(crate) struct Admin {
    client: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    key: String,
}

/// What the envelope of an answer holds.
fn data(mut answer: Value) -> Value {
    answer.get_mut("data").map(Value::take).unwrap_or_default()
}

// === impl Admin ===

impl Admin {
    /// For the gateway at `address`.
    pub(crate) fn new(address: SocketAddr) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self {
            client,
            address,
            key: ADMIN_KEY.to_owned(),
        }
    }

    /// Waits until the program can serve, then makes an account with credits and a key that may spend them.
    pub(crate) async fn prepare(&self, process: &mut Process) -> anyhow::Result<String> {
        self.wait_until_ready(process).await?;
        let account = self.post("accounts", json!({"name": "bench"})).await?;
        let id = text(&account, "account_id")?;
        let credits = json!({"credits": CREDITS, "mode": "live", "reason": "benchmark"});
        self.post(&format!("accounts/{id}/credits"), credits)
            .await?;
        let key = json!({
            "name": "bench",
            "mode": "live",
            "scopes": ["inference", "read"],
            "rpm": REQUESTS_PER_MINUTE,
            "concurrency": CONCURRENCY,
        });
        let key = self.post(&format!("accounts/{id}/keys"), key).await?;
        Ok(text(&key, "key")?.to_owned())
    }

    /// Waits until the program can serve.
    pub(crate) async fn wait_until_ready(&self, process: &mut Process) -> anyhow::Result<()> {
        let deadline = Instant::now() + START;
        loop {
            // While nobody listens yet the request fails, which is no reason to stop waiting.
            if let Ok((StatusCode::OK, _)) = self.send(Method::GET, "/readyz", Bytes::new()).await {
                return Ok(());
            }
            ensure!(!process.has_ended(), "the gateway ended while starting");
            ensure!(
                Instant::now() < deadline,
                "the gateway was not ready after {START:?}"
            );
            sleep(LOOK).await;
        }
    }

    /// The same client with another key.
    pub(crate) fn with_key(&self, key: String) -> Self {
        Self {
            client: self.client.clone(),
            address: self.address,
            key,
        }
    }

    /// Posts to an admin route and returns the answer's `data`.
    pub(crate) async fn post(&self, route: &str, body: Value) -> anyhow::Result<Value> {
        Ok(data(self.ask(&format!("admin/{route}"), body).await?))
    }

    /// Gets from any route of the API and returns the answer's `data`.
    pub(crate) async fn get(&self, route: &str) -> anyhow::Result<Value> {
        let path = format!("/api/v1/{route}");
        let (status, body) = self.send(Method::GET, &path, Bytes::new()).await?;
        let said = String::from_utf8_lossy(&body);
        ensure!(status.is_success(), "GET {path}: {status} {said}");
        Ok(data(serde_json::from_slice(&body)?))
    }

    /// Posts to any route of the API and returns the answer.
    pub(crate) async fn ask(&self, route: &str, body: Value) -> anyhow::Result<Value> {
        let path = format!("/api/v1/{route}");
        let (status, body) = self
            .send(Method::POST, &path, body.to_string().into())
            .await?;
        let said = String::from_utf8_lossy(&body);
        ensure!(status.is_success(), "POST {path}: {status} {said}");
        Ok(serde_json::from_slice(&body)?)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        let response = self.client.request(request).await?;
        let status = response.status();
        Ok((status, response.into_body().collect().await?.to_bytes()))
    }
}

fn text<'v>(value: &'v Value, field: &str) -> anyhow::Result<&'v str> {
    let text = value.get(field).and_then(Value::as_str);
    text.with_context(|| format!("no {field} in {value}"))
}
