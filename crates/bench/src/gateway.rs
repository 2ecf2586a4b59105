//! The program under test: `aio up` on a fresh data directory, with an account, credits and a live key made through its own
//! admin routes, so that every request passes key check, limits, a durable hold and a durable capture.

use crate::process::{Core, Process, ourselves, pinned};
use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, StatusCode};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use std::{
    net::{SocketAddr, TcpListener},
    process::Stdio,
    time::Duration,
};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

/// A well-formed key that everybody knows: the program listens on the loopback interface of a benchmark only.
const ADMIN_KEY: &str = "aio_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ4JxuOd";
/// More credits than any benchmark can spend.
const CREDITS: u64 = 100_000_000;
/// Limits that are checked on each request and never reached.
const REQUESTS_PER_MINUTE: u64 = 60_000_000;
const CONCURRENCY: u64 = 10_000;
/// How long the program may take to start.
const START: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(10);

/// A running `aio up`. Dropping it kills the program and removes its data.
pub(crate) struct Gateway {
    // Before the directory, so that it is dead when its files go.
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    /// A live key that may spend.
    pub(crate) key: String,
    _data: TempDir,
}

struct Admin {
    client: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
}

// === impl Gateway ===

impl Gateway {
    /// Starts the program with `upstream` as the provider of `gemini`, and makes the key.
    pub(crate) async fn start(upstream: SocketAddr) -> anyhow::Result<Self> {
        let program = ourselves()?.with_file_name("aio");
        ensure!(
            program.exists(),
            "build aio first: {} is missing",
            program.display()
        );
        // Beside the programs, not in the system's temporary directory: that one may be memory, where fsync costs nothing.
        let data = TempDir::with_prefix_in("bench-", program.parent().context("no folder")?)?;
        let address = free_address()?;
        let log = data.path().join("aio.log");
        let mut command = pinned(Core::UnderTest, &program);
        let settings = std::env::vars_os().map(|(name, _)| name);
        for name in settings.filter(|name| name.to_string_lossy().starts_with("AIO_")) {
            command.env_remove(name);
        }
        command
            .args(["up", "--listen", &address.to_string(), "--data-dir"])
            .arg(data.path().join("data"))
            .env("AIO_SERVER__ADMIN_LISTEN", "127.0.0.1:0")
            .env("AIO_BOOTSTRAP_KEY", ADMIN_KEY)
            .env(
                "AIO_PROVIDERS__GEMINI__BASE_URL",
                format!("http://{upstream}/v1"),
            )
            .env("AIO_PROVIDERS__GEMINI__API_KEY", "bench")
            .current_dir(data.path())
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&log)?)
            .stderr(std::fs::File::options().append(true).open(&log)?);
        let mut process = Process::start(&mut command)?;
        let admin = Admin::new(address);
        let key = match admin.prepare(&mut process).await {
            Ok(key) => key,
            Err(e) => {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(e.context(format!("aio up said:\n{said}")));
            }
        };
        Ok(Self {
            process,
            address,
            key,
            _data: data,
        })
    }
}

/// A port that was free a moment ago.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

// === impl Admin ===

impl Admin {
    fn new(address: SocketAddr) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, address }
    }

    /// Waits until the program can serve, then makes an account with credits and a key.
    async fn prepare(&self, process: &mut Process) -> anyhow::Result<String> {
        self.wait_until_ready(process).await?;
        let account = self.post("accounts", json!({"name": "bench"})).await?;
        let id = text(&account, "account_id")?;
        let credits = json!({"credits": CREDITS, "mode": "live", "reason": "benchmark"});
        self.post(&format!("accounts/{id}/credits"), credits)
            .await?;
        let key = json!({
            "name": "bench",
            "mode": "live",
            "scopes": ["inference"],
            "rpm": REQUESTS_PER_MINUTE,
            "concurrency": CONCURRENCY,
        });
        let key = self.post(&format!("accounts/{id}/keys"), key).await?;
        Ok(text(&key, "key")?.to_owned())
    }

    async fn wait_until_ready(&self, process: &mut Process) -> anyhow::Result<()> {
        let deadline = Instant::now() + START;
        loop {
            // While nobody listens yet the request fails, which is no reason to stop waiting.
            if let Ok((StatusCode::OK, _)) = self.send(Method::GET, "/readyz", Bytes::new()).await {
                return Ok(());
            }
            ensure!(!process.has_ended(), "aio up ended while starting");
            ensure!(
                Instant::now() < deadline,
                "aio up was not ready after {START:?}"
            );
            sleep(LOOK).await;
        }
    }

    /// Posts to an admin route and returns the answer's `data`.
    async fn post(&self, route: &str, body: Value) -> anyhow::Result<Value> {
        let path = format!("/api/v1/admin/{route}");
        let (status, body) = self
            .send(Method::POST, &path, body.to_string().into())
            .await?;
        let said = String::from_utf8_lossy(&body);
        ensure!(status.is_success(), "POST {path}: {status} {said}");
        let mut answer: Value = serde_json::from_slice(&body)?;
        Ok(answer.get_mut("data").map(Value::take).unwrap_or_default())
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
            .header("authorization", format!("Bearer {ADMIN_KEY}"))
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
