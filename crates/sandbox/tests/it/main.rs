//! The sandbox over a real listener, asked by a plain HTTP client.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod anthropic;
mod bfl;
mod bill;
mod bria;
mod chat;
mod fal;
mod films;
mod gemini;
mod kie;
mod natives;
mod replicate;
mod rest;
mod speech;
mod stripe;
mod suno;
mod tools;
mod transcripts;

use std::time::Duration;

use chassis::{Tasks, config::Settings};
use sandbox::{Deps, Sandbox};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tracing::Span;

/// The longest a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// No delays but those a directive asks for.
const QUICK: &str = "[sandbox]\ndefault_delay = \"0s\"\nchunk_delay = \"0s\"";

/// A running sandbox.
struct App {
    base: String,
    client: reqwest::Client,
    tasks: Tasks,
    dir: TempDir,
}

// === impl App ===

impl App {
    /// A fresh one.
    async fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap()).await
    }

    /// One on the data of another that was stopped, on another port.
    async fn restart(self) -> Self {
        assert!(self.tasks.stop(PATIENCE).await);
        Self::start_in(self.dir).await
    }

    async fn start_in(dir: TempDir) -> Self {
        // Only fails when another test installed it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let settings = Settings::from_toml(QUICK);
        let tasks = Tasks::default();
        let deps = Deps {
            config: settings.section("sandbox").unwrap(),
            path: dir.path().join("sandbox.db"),
            database: settings.section("database").unwrap(),
            tasks: tasks.clone(),
        };
        let sandbox: Sandbox = sandbox::open(deps).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let limits = settings.section("server").unwrap();
        let serving = chassis::http::serve(listener, sandbox.router(), limits, tasks.clone());
        tasks.spawn(Span::none(), serving);
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
        Self {
            base,
            client: client.build().unwrap(),
            tasks,
            dir,
        }
    }

    fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(format!("{}{path}", self.base))
    }

    fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.post(format!("{}{path}", self.base))
    }

    /// The JSON at a path that needs no key.
    async fn json(&self, path: &str) -> Value {
        let response = self.get(path).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    }

    /// Asks for the bill until it is as `ready` says.
    async fn bill_when(&self, ready: impl Fn(&Value) -> bool) -> Value {
        let asking = async {
            loop {
                let bill = self.json("/bill").await;
                if ready(&bill) {
                    return bill;
                }
            }
        };
        let bill = tokio::time::timeout(PATIENCE, asking).await;
        bill.expect("the bill never became ready")
    }
}
