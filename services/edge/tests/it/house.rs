//! A running edge, and a client for it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use chassis::{Tasks, config::Settings, rpc, secrets::Secrets};
use domain::{AccountId, ApiKey, Catalogue, KeyId, Mode, Scope, TaskId, ids};
use edge::{Deps, Edge, Readiness};
use live::{SharedLive, memory::MemoryLive};
use prometheus_client::registry::Registry;
use proto::{
    billing::v1::{
        Identity, billing_server::BillingServer, keys_server::KeysServer,
        orders_server::OrdersServer, prices_server::PricesServer, usage_server::UsageServer,
    },
    chat::v1::{CompleteEvent, KeptResponse, chat_server::ChatServer, complete_event::Event},
    common::v1::Context,
    media::v1::{
        File, TaskSnapshot, files_server::FilesServer, media_server::MediaServer,
        operators_server::OperatorsServer,
    },
    mode_to_wire,
    webhooks::v1::{manage_server::ManageServer, webhooks_server::WebhooksServer},
};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::{Notify, mpsc},
};
use tonic::{Status, service::Routes};
use tracing::Span;

use crate::fake_files::FakeFiles;
use crate::fake_keys::FakeKeys;
use crate::fake_operators::FakeOperators;
use crate::fake_orders::FakeOrders;
use crate::fake_usage::FakeUsage;
use crate::fake_webhooks::FakeWebhooks;
use crate::fakes::{FakeBilling, FakeChat, FakeMedia, Plan, World, event};

/// A running edge.
pub(crate) struct House {
    pub(crate) address: SocketAddr,
    pub(crate) operator: SocketAddr,
    pub(crate) world: Arc<World>,
    pub(crate) files: FakeFiles,
    pub(crate) operators: FakeOperators,
    pub(crate) webhooks: FakeWebhooks,
    pub(crate) live: SharedLive,
    pub(crate) secrets: Secrets,
    pub(crate) registry: Registry,
    pub(crate) account: AccountId,
    client: reqwest::Client,
    made: AtomicU16,
    /// Held, so that the edge runs as long as the test.
    pub(crate) tasks: Tasks,
}

/// Chat's end of a conversation that a test leads.
pub(crate) type Script = mpsc::Sender<Result<CompleteEvent, Status>>;

// === impl House ===

impl House {
    pub(crate) async fn start() -> Self {
        Self::with("").await
    }

    /// Told otherwise than usual.
    pub(crate) async fn with(settings: &str) -> Self {
        let live = MemoryLive::new(&live::memory::Limits::default());
        Self::over(Arc::new(live), settings).await
    }

    /// With another shared state, and told otherwise.
    pub(crate) async fn over(live: SharedLive, settings: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let world = Arc::new(World::default());
        let files = FakeFiles::default();
        let operators = FakeOperators::default();
        let webhooks = FakeWebhooks::default();
        let secrets = Secrets::random();
        let tasks = Tasks::default();
        let mut registry = Registry::default();
        let chat = ChatServer::new(FakeChat(world.clone())).max_decoding_message_size(16 << 20);
        let deps = Deps {
            settings: Settings::from_toml(settings),
            billing: rpc::in_process(
                Routes::new(BillingServer::new(FakeBilling(world.clone())))
                    .add_service(KeysServer::new(FakeKeys(world.clone())))
                    .add_service(OrdersServer::new(FakeOrders(world.clone())))
                    .add_service(PricesServer::new(FakeBilling(world.clone())))
                    .add_service(UsageServer::new(FakeUsage(world.clone()))),
            ),
            chat: rpc::in_process(chat),
            media: rpc::in_process(
                Routes::new(MediaServer::new(FakeMedia(world.clone())))
                    .add_service(FilesServer::new(files.clone()))
                    .add_service(OperatorsServer::new(operators.clone())),
            ),
            webhooks: rpc::in_process(
                Routes::new(WebhooksServer::new(webhooks.clone()))
                    .add_service(ManageServer::new(webhooks.clone())),
            ),
            live: live.clone(),
            catalogue: Arc::new(Catalogue::built_in().unwrap()),
            links: secrets.links().clone(),
            ready: Arc::new(|| Readiness::Ready),
            tasks: tasks.clone(),
        };
        let edge = Edge::start(deps, &mut registry).unwrap();
        Self {
            address: listen(edge.router(), &tasks).await,
            operator: listen(edge.operator_router(), &tasks).await,
            world,
            files,
            operators,
            webhooks,
            live,
            secrets,
            registry,
            account: chassis::mint(),
            client: reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
            made: AtomicU16::new(0),
            tasks,
        }
    }

    /// A new key of the house's account.
    pub(crate) fn key(&self, scopes: &[Scope]) -> String {
        self.key_with(scopes, |_| {}).0
    }

    /// A key that may do what newcomers' keys may.
    pub(crate) fn usual_key(&self) -> String {
        self.key(&[Scope::Inference, Scope::Read])
    }

    /// A new key that is not like others.
    pub(crate) fn key_with(
        &self,
        scopes: &[Scope],
        change: impl FnOnce(&mut Identity),
    ) -> (String, KeyId) {
        let number = self.made.fetch_add(1, Ordering::SeqCst);
        let key = ApiKey::from_random(Mode::Test, &random(number));
        let id: KeyId = chassis::mint();
        let mut identity = Identity {
            account_id: self.account.to_vec().into(),
            mode: mode_to_wire(Mode::Test).into(),
            key_id: id.to_vec().into(),
            scopes: scopes
                .iter()
                .map(|scope| scope.as_str().to_owned())
                .collect(),
            ..Identity::default()
        };
        change(&mut identity);
        let text = key.expose().to_owned();
        self.world
            .identities
            .lock()
            .unwrap()
            .insert(text.clone(), identity);
        (text, id)
    }

    /// A task of the house's account that media knows.
    pub(crate) fn task(&self) -> TaskId {
        let id = chassis::mint::<ids::Task>();
        self.world
            .tasks
            .lock()
            .unwrap()
            .insert(id, self.snapshot(id));
        id
    }

    /// The id of a task of the house's account that makes songs, or something of them, submitted to this route.
    pub(crate) fn songs(&self, route: &str) -> TaskId {
        let id = chassis::mint::<ids::Task>();
        let view = serde_json::json!({
            "task_id": id.to_string(), "type": "music", "route": route, "model": "suno", "status": "queued", "stage": null,
            "request": {}, "response": [], "output": [], "error_message": null, "consumed_credits": 0, "created_at": "2030-01-31T12:00:00Z",
        });
        let snapshot = TaskSnapshot {
            view: view.to_string().into(),
            ..self.snapshot(id)
        };
        self.world.tasks.lock().unwrap().insert(id, snapshot);
        id
    }

    /// The id of a response of the house's account that chat keeps.
    pub(crate) fn response(&self) -> String {
        let operation = chassis::mint::<ids::Operation>();
        let place = (self.account.to_vec().into(), operation.to_vec().into());
        let kept = KeptResponse {
            conversation: "[]".into(),
            object: r#"{"object":"response"}"#.into(),
        };
        self.world.responses.lock().unwrap().insert(place, kept);
        operation.to_string().replacen("op_", "resp_", 1)
    }

    /// The id of a file of the house's account.
    pub(crate) fn file(&self) -> String {
        let id = chassis::mint::<ids::File>();
        let owner = Context {
            account_id: self.account.to_vec().into(),
            mode: mode_to_wire(Mode::Test).into(),
            ..Context::default()
        };
        let file = File {
            file_id: id.to_vec().into(),
            bytes: 2,
            content_type: "text/plain".into(),
            ..File::default()
        };
        self.files.put(owner, file, "hi".into());
        id.to_string()
    }

    /// How a task of the house's account stands at first.
    pub(crate) fn snapshot(&self, id: TaskId) -> TaskSnapshot {
        TaskSnapshot {
            task_id: id.to_vec().into(),
            account_id: self.account.to_vec().into(),
            mode: mode_to_wire(Mode::Test).into(),
            version: 1,
            terminal: false,
            view: r#"{"status": "queued"}"#.into(),
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client
            .request(method, format!("http://{}{path}", self.address))
    }

    pub(crate) fn get(&self, path: &str, key: &str) -> RequestBuilder {
        self.request(Method::GET, path).bearer_auth(key)
    }

    pub(crate) fn post(&self, path: &str, key: &str, body: impl Into<String>) -> RequestBuilder {
        self.request(Method::POST, path)
            .bearer_auth(key)
            .body(body.into())
    }

    pub(crate) fn chat(&self, key: &str, body: &str) -> RequestBuilder {
        self.post("/api/v1/chat/completions", key, body)
    }

    /// Lets the test lead the next conversation of chat, which begins at once.
    pub(crate) fn script(&self) -> Script {
        self.plan(None)
    }

    /// The same, but chat answers only when the gate is told.
    pub(crate) fn gated_script(&self) -> (Script, Arc<Notify>) {
        let gate = Arc::new(Notify::new());
        (self.plan(Some(gate.clone())), gate)
    }

    /// Lets chat refuse its next request.
    pub(crate) fn refuse(&self, gate: Option<Arc<Notify>>, fault: proto::Fault) {
        let answer = Err(fault);
        self.world
            .plans
            .lock()
            .unwrap()
            .push_back(Plan { gate, answer });
    }

    fn plan(&self, gate: Option<Arc<Notify>>) -> Script {
        let (sender, receiver) = mpsc::channel(16);
        let answer = Ok(receiver);
        self.world
            .plans
            .lock()
            .unwrap()
            .push_back(Plan { gate, answer });
        sender
    }
}

/// Says something in a conversation that the test leads.
pub(crate) async fn say(script: &Script, what: Event) {
    script.send(Ok(event(what))).await.unwrap();
}

/// The status and the JSON of an answer.
pub(crate) async fn read(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, json(response).await)
}

pub(crate) async fn json(response: Response) -> Value {
    let text = response.text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The status and the error code of an answer.
pub(crate) async fn refusal(request: RequestBuilder) -> (u16, String) {
    let (status, body) = read(request).await;
    let code = body.pointer("/error/code").and_then(Value::as_str);
    let code = code.unwrap_or_default().to_owned();
    (status, code)
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .expect(what);
}

/// Different for every number.
fn random(number: u16) -> [u8; 36] {
    let mut random = [1; 36];
    let digit = |value: u16| u8::try_from(value % 62).unwrap();
    random[0] = digit(number / 62 / 62);
    random[1] = digit(number / 62);
    random[2] = digit(number);
    random
}

async fn listen(router: axum::Router, tasks: &Tasks) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = Settings::from_toml("").section("http").unwrap();
    let serving = chassis::http::serve(listener, router, limits, tasks.clone());
    tasks.spawn(Span::none(), serving);
    address
}
