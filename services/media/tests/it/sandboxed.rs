//! Media before a sandbox: tasks through the real adapters, to the simulators and back.

use std::sync::Arc;

use axum::{
    Router,
    body::{self, Body},
    http::Request,
};
use chassis::{Tasks, config::Settings};
use db::Engine;
use domain::{Catalogue, TaskId};
use proto::Code;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tower::ServiceExt as _;
use tracing::Span;

use crate::house::{House, Running, eventually};

/// A sandbox, and media before it.
pub(crate) struct Sandboxed {
    pub(crate) house: House,
    pub(crate) running: Running,
    sandbox: Router,
    _home: TempDir,
}

/// What a provider in the sandbox was asked, and what it would charge for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bill {
    pub(crate) jobs: i64,
    /// Micro-US-dollars.
    pub(crate) billed: i64,
}

impl Sandboxed {
    pub(crate) async fn new(catalogue: Arc<Catalogue>) -> Self {
        Self::with(catalogue, media::Declared::default()).await
    }

    pub(crate) async fn with(catalogue: Arc<Catalogue>, declared: media::Declared) -> Self {
        Self::of(catalogue, |house| house.with_declared(declared)).await
    }

    /// With a house that is changed so before it starts.
    pub(crate) async fn of(catalogue: Arc<Catalogue>, change: impl FnOnce(House) -> House) -> Self {
        let (origin, sandbox, home) = Self::sandbox().await;
        let house = change(Self::house(catalogue).await);
        Self {
            running: house.start_with_sandbox(Some(origin)).await,
            house,
            sandbox,
            _home: home,
        }
    }

    /// Live keys, and providers where these sections say: some of them in the sandbox, whose address they are given.
    pub(crate) async fn live(
        catalogue: Arc<Catalogue>,
        sections: impl FnOnce(&str) -> String,
    ) -> Self {
        Self::live_of(catalogue, |house, origin| {
            house.with_sections(&sections(origin))
        })
        .await
    }

    /// Live keys, and a house that is changed so before it starts.
    pub(crate) async fn live_of(
        catalogue: Arc<Catalogue>,
        change: impl FnOnce(House, &str) -> House,
    ) -> Self {
        let (origin, sandbox, home) = Self::sandbox().await;
        let house = change(Self::house(catalogue).await, &origin);
        Self {
            running: house.start_with_sandbox(None).await.live(),
            house,
            sandbox,
            _home: home,
        }
    }

    async fn house(catalogue: Arc<Catalogue>) -> House {
        House::new(Engine::Sqlite, vec![])
            .await
            .with_media("max_attempts = 2")
            .with_other("first = '5ms'", "first = '5ms'\nsettle_in = '10ms'")
            .with_catalogue(catalogue)
    }

    /// Where it is, itself, and its folder.
    async fn sandbox() -> (String, Router, TempDir) {
        let settings = Settings::from_toml("[sandbox]\ndefault_delay = \"0s\"");
        let (home, tasks) = (tempfile::tempdir().unwrap(), Tasks::default());
        let deps = sandbox::Deps {
            config: settings.section("sandbox").unwrap(),
            path: home.path().join("sandbox.db"),
            database: settings.section("database").unwrap(),
            tasks: tasks.clone(),
        };
        let sandbox = sandbox::open(deps).await.unwrap().router();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let limits = settings.section("server").unwrap();
        let serving = chassis::http::serve(listener, sandbox.clone(), limits, tasks.clone());
        tasks.spawn_detached(Span::none(), async move {
            serving.await;
        });
        (origin, sandbox, home)
    }

    /// A task of `flux-2`, whatever stands behind that name.
    pub(crate) async fn asked(&self, words: &str) -> TaskId {
        self.asked_of("flux-2", words).await
    }

    /// A task of a model with `flux-2`'s parameters.
    pub(crate) async fn asked_of(&self, model: &str, words: &str) -> TaskId {
        let body = json!({ "model": model, "prompt": format!("a fox [sandbox {words}]"), "resolution": "2K" });
        self.running.accepted_with(&body).await
    }

    /// It ends with this code, and costs nothing.
    pub(crate) async fn fails(&self, task: TaskId, code: Code) -> Value {
        let view = self.running.reaches(task, "failed").await;
        assert_eq!(view["error"]["code"], code.word, "{view}");
        self.settles(task, &[0]).await;
        view
    }

    /// Its hold ends with these charges.
    pub(crate) async fn settles(&self, task: TaskId, charges: &[i64]) {
        eventually("settled", async || {
            self.house.billing.settled(&task.to_bytes()) == charges
        })
        .await;
    }

    /// What this provider was asked so far.
    pub(crate) async fn bill(&self, provider: &str) -> Bill {
        let request = Request::get("/bill").body(Body::empty()).unwrap();
        let answer = self.sandbox.clone().oneshot(request).await.unwrap();
        let bill = body::to_bytes(answer.into_body(), usize::MAX)
            .await
            .unwrap();
        let bill: Value = serde_json::from_slice(&bill).unwrap();
        let row = &bill["by_provider"][provider];
        Bill {
            jobs: row["jobs"].as_i64().unwrap_or(0),
            billed: row["billed"].as_i64().unwrap_or(0),
        }
    }
}
