//! A dashboard of the models that are compiled in, and a small document of an API.

use std::sync::Arc;

use axum::{Router, body::Body};
use chassis::{Tasks, clock, config::Settings, mint, rpc, secrets::Secrets};
use dashboard::{Channels, Dashboard, Deps};
use db::Db;
use domain::{
    Catalogue,
    ids::{Account, User},
};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use live::memory::MemoryLive;
use prometheus_client::registry::Registry;
use serde_json::json;
use tower::ServiceExt as _;

/// How customers reach the API in these tests.
pub(crate) const ORIGIN: &str = "https://api.example.com";

/// The pages.
pub(crate) struct Site {
    router: Router,
    pub(crate) catalogue: Arc<Catalogue>,
    db: Db,
    secrets: Secrets,
    _home: tempfile::TempDir,
}

/// What was answered.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

// === impl Site ===

impl Site {
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    /// The same with settings.
    pub(crate) async fn with(settings: &str) -> Self {
        let (home, tasks) = (tempfile::tempdir().unwrap(), Tasks::default());
        let path = home.path().join("dashboard.db");
        let limits = db::Limits::default();
        let db = Db::open(&path, dashboard::MIGRATIONS, &limits, &tasks).await;
        let db = db.unwrap();
        let secrets = Secrets::random();
        let catalogue = Arc::new(Catalogue::built_in().unwrap());
        let deps = Deps {
            settings: Settings::from_toml(settings),
            catalogue: Arc::clone(&catalogue),
            public_url: ORIGIN.to_owned(),
            openapi: openapi().into(),
            db: db.clone(),
            secrets: secrets.clone(),
            live: Arc::new(MemoryLive::new(&live::memory::Limits::default())),
            channels: Channels {
                billing: rpc::nobody(),
                chat: rpc::nobody(),
                media: rpc::nobody(),
                webhooks: rpc::nobody(),
                edge: None,
            },
            tasks,
        };
        let dashboard = Dashboard::start(deps, &mut Registry::default()).unwrap();
        Self {
            router: dashboard.router(),
            catalogue,
            db,
            secrets,
            _home: home,
        }
    }

    /// The cookie of somebody who is signed in, and looks at the test mode of an account as this.
    pub(crate) async fn signed_in(&self, role: &str) -> String {
        let secret = format!("the secret of a {role}");
        let mac = self.secrets.key_mac();
        let mac = mac.mac(&format!("dashboard/session/{secret}")).to_vec();
        let (person, account) = (mint::<User>().to_vec(), mint::<Account>().to_vec());
        let role = role.to_owned();
        let write = self.db.write(move |connection| {
            Box::pin(async move {
                let now = clock::now_micros();
                sqlx::query(
                    "insert into person (id, email, name, operator, created_at) values ($1, $2, 'Ann', 0, $3)",
                )
                .bind(person.clone())
                .bind(format!("{role}@example.com"))
                .bind(now)
                .execute(&mut *connection)
                .await?;
                sqlx::query(
                    "insert into membership (account_id, person_id, role, created_at) values ($1, $2, $3, $4)",
                )
                .bind(account.clone())
                .bind(person.clone())
                .bind(role)
                .bind(now)
                .execute(&mut *connection)
                .await?;
                // Billing has it: nobody asks for it any more.
                sqlx::query("insert into workspace (account_id, name, created_at, opened_at) values ($1, 'Ann', $2, $2)")
                    .bind(account.clone())
                    .bind(now)
                    .execute(&mut *connection)
                    .await?;
                sqlx::query(
                    "insert into session (mac, id, person_id, account_id, mode, device, created_at, seen_at, ends_at)
                     values ($1, $2, $2, $3, 'test', '', $4, $4, $5)",
                )
                .bind(mac)
                .bind(person)
                .bind(account)
                .bind(now)
                .bind(i64::MAX)
                .execute(&mut *connection)
                .await?;
                Ok::<(), dashboard::Error>(())
            })
        });
        write.await.unwrap();
        // The name where pages are read over TLS.
        format!("__Host-aio={secret}")
    }

    /// What people did, by its word and subject, the first first.
    pub(crate) async fn acts(&self) -> Vec<(String, String)> {
        let rows = sqlx::query_as("select what, subject from act order by id");
        rows.fetch_all(self.db.reader()).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path)).await
    }

    pub(crate) async fn send(&self, request: http::request::Builder) -> Reply {
        self.answer(request.body(Body::empty()).unwrap()).await
    }

    /// The answer to a request with a body.
    pub(crate) async fn answer(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        Reply {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes().to_vec(),
        }
    }

    /// A page that is there, as text.
    pub(crate) async fn page(&self, path: &str) -> String {
        let reply = self.get(path).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}");
        reply.text()
    }
}

// === impl Reply ===

impl Reply {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

/// Two routes and two shapes, with every kind of thing that the reference reads.
fn openapi() -> Vec<u8> {
    let task = json!({"$ref": "#/components/schemas/Task"});
    let data = json!({"type": "object", "properties": {"code": {"type": "integer"}, "data": task}});
    let document = json!({
        "info": {"description": "All of it."},
        "tags": [{"name": "Tasks", "description": "Submit and look."}],
        "paths": {
            "/images/generations": {"post": {
                "tags": ["Tasks"], "summary": "Submits", "description": "Needs a key.",
                "parameters": [{"name": "Prefer", "in": "header", "description": "`wait=N` | more"}],
                "requestBody": {"content": {"application/json": {"schema": {"oneOf": [
                    {"$ref": "#/components/schemas/model.flux-2"},
                ]}}}},
                "responses": {"202": {"description": "Accepted.", "content": {"application/json": {"schema": data}}}},
            }},
            "/tasks/{id}": {"get": {
                "tags": ["Tasks"], "summary": "Looks", "description": "Needs a key.",
                "responses": {"200": {"description": "Done.", "content": {"application/json": {"schema": task}}}},
            }},
        },
        "components": {"schemas": {
            "Task": {"type": "object", "description": "A task.", "required": ["task_id"], "properties": {
                "task_id": {"type": "string", "description": "Its id."},
                "stage": {"oneOf": [{"$ref": "#/components/schemas/Stage"}, {"type": "null"}]},
            }},
            "Stage": {"type": "string", "enum": ["first", "text"]},
            "model.flux-2": {"type": "object", "properties": {}},
        }},
    });
    serde_json::to_vec(&document).unwrap()
}
