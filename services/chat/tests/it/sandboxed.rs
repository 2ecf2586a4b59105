//! Chat before a running sandbox, whose providers check what they are asked.

use chassis::{Tasks, config::Settings};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tracing::Span;

use crate::app::App;

/// A running sandbox, and chat before it.
pub(crate) struct Sandboxed {
    pub(crate) app: App,
    _home: TempDir,
}

impl Sandboxed {
    pub(crate) async fn new() -> Self {
        let settings = Settings::from_toml("[sandbox]\nchunk_delay = \"0s\"");
        let (home, tasks) = (tempfile::tempdir().unwrap(), Tasks::default());
        let deps = sandbox::Deps {
            config: settings.section("sandbox").unwrap(),
            path: home.path().join("sandbox.db"),
            database: settings.section("database").unwrap(),
            tasks: tasks.clone(),
        };
        let sandbox = sandbox::open(deps).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let limits = settings.section("server").unwrap();
        let serving = chassis::http::serve(listener, sandbox.router(), limits, tasks.clone());
        tasks.spawn_detached(Span::none(), async move {
            serving.await;
        });
        Self {
            app: App::before(origin).await,
            _home: home,
        }
    }

    pub(crate) async fn whole(&self, body: &Value) -> Value {
        let answer = self.app.collect(&body.to_string()).await;
        serde_json::from_str(&answer.end().0[0]).unwrap()
    }

    /// The events of the same request, streamed.
    pub(crate) async fn stream(&self, body: &Value) -> Vec<Value> {
        let mut body = body.clone();
        body["stream"] = json!(true);
        body["stream_options"] = json!({"include_usage": true});
        let answer = self.app.collect(&body.to_string()).await;
        let (tail, _) = answer.end();
        let events = answer.data.iter().chain(&tail);
        events
            .map(|event| serde_json::from_str(event).unwrap())
            .collect()
    }
}

/// What the deltas spell in a field.
pub(crate) fn spelled(events: &[Value], field: &str) -> String {
    let deltas = events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"][field].as_str());
    deltas.collect()
}
