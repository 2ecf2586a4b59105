//! The service put together for a test, and the oracle at its end.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chassis::{Tasks, config::Settings, mint, rpc, secrets::Secrets};
use chat::{Chat, Deps};
use db::Db;
use domain::{Catalogue, Mode, ids};
use prometheus_client::registry::Registry;
use proto::{
    Fault,
    billing::v1::{billing_server::BillingServer, prices_server::PricesServer},
    chat::v1::{
        CompleteEvent, CompleteRequest, Head, QuoteRequest, Tail, chat_client::ChatClient,
        complete_event::Event,
    },
    common::v1::{Context, Quote},
    media::v1::files_server::FilesServer,
    mode_to_wire,
};
use tempfile::TempDir;
use tonic::{Status, Streaming, service::Routes};

use crate::{
    billing::FakeBilling,
    fake_files::FakeFiles,
    provider::{Provider, Reply},
};

/// Longer than anything takes that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Plenty.
const CREDIT: i64 = 1_000_000_000;

pub(crate) struct App {
    pub(crate) billing: FakeBilling,
    pub(crate) provider: Provider,
    pub(crate) files: FakeFiles,
    client: ChatClient<rpc::Channel>,
    tasks: Tasks,
    registry: Registry,
    /// Declared last, so that it is deleted when nobody writes to it any more.
    _home: TempDir,
}

/// Everything one request brought.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub(crate) head: Option<Head>,
    /// The data events, in order.
    pub(crate) data: Vec<String>,
    pub(crate) tail: Option<Tail>,
    pub(crate) failed: Option<Fault>,
}

// === impl App ===

impl App {
    pub(crate) async fn start() -> Self {
        Self::with("", compatible()).await
    }

    pub(crate) async fn with(settings: &str, catalogue: Catalogue) -> Self {
        Self::put_together(settings, catalogue, None).await
    }

    /// One whose models are asked as they are.
    pub(crate) async fn native(settings: &str) -> Self {
        Self::put_together(settings, Catalogue::built_in().unwrap(), None).await
    }

    /// One whose test keys are served by this sandbox, and not by the scripted provider.
    pub(crate) async fn before(sandbox: String) -> Self {
        Self::put_together("", Catalogue::built_in().unwrap(), Some(sandbox)).await
    }

    async fn put_together(settings: &str, catalogue: Catalogue, sandbox: Option<String>) -> Self {
        let tasks = Tasks::default();
        let provider = Provider::start(&tasks).await;
        let billing = FakeBilling::default();
        let files = FakeFiles::default();
        billing.books().available = CREDIT;
        let mut registry = Registry::default();
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("chat.db");
        let limits = db::Limits::default();
        let deps = Deps {
            settings: Settings::from_toml(settings),
            db: Db::open(&path, chat::MIGRATIONS, &limits, &tasks)
                .await
                .unwrap(),
            secrets: Secrets::random(),
            catalogue: Arc::new(catalogue),
            billing: rpc::in_process(
                Routes::new(BillingServer::new(billing.clone()))
                    .add_service(PricesServer::new(billing.clone())),
            ),
            media: rpc::in_process(FilesServer::new(files.clone())),
            sandbox_url: sandbox.or_else(|| Some(provider.origin.clone())),
            tasks: tasks.clone(),
        };
        let chat = Chat::start(deps, &mut registry).await.unwrap();
        Self {
            billing,
            provider,
            files,
            client: ChatClient::new(rpc::in_process(chat.rpc_server())),
            tasks,
            registry,
            _home: home,
        }
    }

    /// An app whose provider will give this answer.
    pub(crate) async fn answering(reply: Reply) -> Self {
        let app = Self::start().await;
        app.provider.will(reply);
        app
    }

    pub(crate) fn request(body: &str, mode: Mode, models: &[&str]) -> CompleteRequest {
        CompleteRequest {
            context: Some(Context {
                account_id: mint::<ids::Account>().to_vec().into(),
                mode: mode_to_wire(mode).into(),
                key_id: mint::<ids::Key>().to_vec().into(),
                scopes: vec!["inference".to_owned()],
                request_id: "req_1".to_owned(),
                price_factor: 0,
                ..Context::default()
            }),
            operation_id: mint::<ids::Operation>().to_vec().into(),
            body: body.to_owned().into(),
            models: models.iter().map(|model| (*model).to_owned()).collect(),
            idempotency_key: String::new(),
            max_cost: 0,
            cache_max_age: None,
            route: String::new(),
        }
    }

    /// Sends a request with a test key.
    pub(crate) async fn ask(&self, body: &str) -> Result<Streaming<CompleteEvent>, Status> {
        self.send(Self::request(body, Mode::Test, &[])).await
    }

    /// What a request of this one's caller would cost.
    pub(crate) async fn quote(&self, request: CompleteRequest) -> Result<Quote, Fault> {
        let request = QuoteRequest {
            context: request.context,
            body: request.body,
            models: request.models,
            max_cost: request.max_cost,
            route: request.route,
        };
        let mut client = self.client.clone();
        let quote = client.quote(rpc::request(request, PATIENCE)).await;
        quote.map(tonic::Response::into_inner).map_err(Fault::from)
    }

    pub(crate) async fn send(
        &self,
        request: CompleteRequest,
    ) -> Result<Streaming<CompleteEvent>, Status> {
        let answer = self
            .client
            .clone()
            .complete(rpc::request(request, PATIENCE))
            .await;
        answer.map(tonic::Response::into_inner)
    }

    /// Sends a request and reads all of its answer.
    pub(crate) async fn collect(&self, body: &str) -> Collected {
        Collected::of(self.ask(body).await.unwrap()).await
    }

    /// Sends a request that fails before the first byte.
    pub(crate) async fn refused(&self, body: &str) -> Fault {
        Fault::from(self.ask(body).await.expect_err("a failure"))
    }

    /// All metrics, as they are told.
    pub(crate) fn metrics(&self) -> String {
        chassis::telemetry::metrics_text(&self.registry)
    }

    /// The value of a counter: `aio_chat_unbilled_total`.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let text = self.metrics();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0, |value| value.trim().parse().unwrap())
    }

    /// Waits until all work has ended, and checks what must hold after any story: every hold ended, and ended once.
    pub(crate) async fn settled(&self) {
        assert!(self.tasks.stop(PATIENCE).await, "work goes on");
        let books = self.billing.books();
        assert!(books.open.is_empty(), "open holds: {:?}", books.open);
        for hold in &books.holds {
            let ends = books
                .settles
                .iter()
                .filter(|settle| settle.hold_id == hold.hold_id)
                .count();
            assert_eq!(ends, 1, "a hold ends once");
        }
        drop(books);
        assert_eq!(self.counter("aio_chat_dropped_charges_total"), 0);
    }
}

// === impl Collected ===

impl Collected {
    pub(crate) async fn of(mut events: Streaming<CompleteEvent>) -> Self {
        let mut collected = Self::default();
        while let Some(event) = events.message().await.unwrap() {
            assert!(
                collected.tail.is_none() && collected.failed.is_none(),
                "nothing follows the end"
            );
            match event.event.unwrap() {
                Event::Head(head) => collected.head = Some(head),
                Event::Data(data) => collected.data.push(text(&data)),
                Event::Tail(tail) => collected.tail = Some(tail),
                Event::Failed(fault) => {
                    collected.failed = Some(Fault::from_wire(fault, proto::code::INTERNAL));
                }
            }
        }
        collected
    }

    /// The tail's events, and what was charged.
    pub(crate) fn end(&self) -> (Vec<String>, i64) {
        let tail = self.tail.as_ref().expect("a tail");
        (
            tail.data.iter().map(|data| text(data)).collect(),
            tail.charged,
        )
    }
}

/// Every model, where `gemini` stands for any model of a provider that speaks OpenAI's protocol.
pub(crate) fn compatible() -> Catalogue {
    let built_in = Catalogue::built_in().unwrap();
    Catalogue::from_list(&in_openais_words(built_in.list())).unwrap()
}

/// A model file of `gemini`, as if Google spoke OpenAI's protocol only.
pub(crate) fn in_openais_words(file: &str) -> String {
    file.replace("adapter = \"gemini\"", "adapter = \"openai\"")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Waits for a condition.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        tokio::task::yield_now().await;
    }
}
