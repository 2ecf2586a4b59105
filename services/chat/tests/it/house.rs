//! Processes of the service on one database, which can be killed or frozen, and the customer in front of them.

use std::{
    fmt::Debug,
    sync::Arc,
    time::{Duration, Instant},
};

use chassis::{Tasks, config::Settings, mint, rpc, secrets::Secrets};
use chat::{Chat, Deps};
use db::{Db, Engine};
use domain::{AccountId, Mode, ids};
use prometheus_client::registry::Registry;
use proto::{
    Fault,
    billing::v1::{billing_server::BillingServer, prices_server::PricesServer},
    chat::v1::{CompleteEvent, CompleteRequest, chat_client::ChatClient},
    common::v1::Context,
};
use sqlx::Row as _;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::{OnceCell, oneshot},
    task::JoinHandle,
};
use tonic::Streaming;

use crate::{
    app::{App, Collected, PATIENCE, compatible},
    billing::FakeBilling,
    database::Database,
    provider::{Provider, Reply},
};

/// Quick steps, so that tests do not wait.
const SETTINGS: &str = "
    [database]
    readers = 3
    writers = 8
    acquire_timeout = '10s'
    write_acquire_timeout = '10s'
    [limits.chat]
    buffered_events = 64
    [limits.chat.billing]
    hold_try = '5s'
    hold_window = '10s'
    settle_try = '5s'
    [limits.chat.replay]
    lease = '2s'
    wait = '100ms'
    sweep = '50ms'
    [providers.gemini]
    api_key = 'k'
";
/// Plenty.
const CREDIT: i64 = 1_000_000_000;

/// What outlives a process. Clones share it.
#[derive(Clone)]
pub(crate) struct House {
    pub(crate) database: Arc<Database>,
    pub(crate) provider: Provider,
    pub(crate) billing: FakeBilling,
    secrets: Secrets,
    settings: String,
    account: AccountId,
    /// The database, without a service.
    eyes: Arc<OnceCell<Db>>,
}

/// One process: threads of its own.
pub(crate) struct Process {
    client: ChatClient<rpc::Channel>,
    tasks: Tasks,
    threads: Handle,
    runtime: Option<Runtime>,
    account: AccountId,
}

/// A process that stands still until this is dropped.
pub(crate) struct Frozen {
    _thaw: std::sync::mpsc::Sender<()>,
}

/// The rows are locked until this is dropped.
pub(crate) struct Locked {
    _unlock: oneshot::Sender<()>,
}

/// How a request stands: a row of `replay`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) state: String,
    pub(crate) answer: Option<Vec<u8>>,
    pub(crate) key_hash: Vec<u8>,
}

/// An answer for equal requests: a row of `cached`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cached {
    pub(crate) operation: Vec<u8>,
    pub(crate) request_mac: Vec<u8>,
    pub(crate) answer: Vec<u8>,
}

/// What one request brought: its whole answer, or its refusal.
pub(crate) type Outcome = Result<Collected, Fault>;

// === impl House ===

impl House {
    pub(crate) async fn new(engine: Engine) -> Self {
        Self::on(Database::new(engine).await).await
    }

    pub(crate) async fn on(database: Database) -> Self {
        let provider = Provider::start(&Tasks::default()).await;
        let billing = FakeBilling::default();
        billing.books().available = CREDIT;
        let base_url = format!("base_url = '{}/v1/'", provider.origin);
        Self {
            database: Arc::new(database),
            settings: format!("{SETTINGS}\n{base_url}"),
            provider,
            billing,
            secrets: Secrets::random(),
            account: mint::<ids::Account>(),
            eyes: Arc::default(),
        }
    }

    /// Another setting in the place of one.
    pub(crate) fn with(mut self, setting: &str, other: &str) -> Self {
        assert!(self.settings.contains(setting), "{setting}");
        self.settings = self.settings.replace(setting, other);
        self
    }

    /// Another content key: what was sealed before does not open any more.
    pub(crate) fn with_other_secrets(mut self) -> Self {
        self.secrets = Secrets::random();
        self
    }

    /// The house as another account sees it.
    pub(crate) fn stranger(&self) -> Self {
        Self {
            account: mint::<ids::Account>(),
            ..self.clone()
        }
    }

    pub(crate) async fn process(&self) -> Process {
        // One thread, so that it can be frozen.
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let house = self.clone();
        let handle = runtime.handle().clone();
        let started = runtime.spawn_blocking(move || handle.block_on(house.start()));
        let (client, tasks) = started.await.unwrap();
        Process {
            client,
            tasks,
            threads: runtime.handle().clone(),
            runtime: Some(runtime),
            account: self.account,
        }
    }

    async fn start(&self) -> (ChatClient<rpc::Channel>, Tasks) {
        let settings = Settings::from_toml(&self.settings);
        let tasks = Tasks::default();
        let deps = Deps {
            db: self.database.open(&settings, &tasks).await,
            settings,
            secrets: self.secrets.clone(),
            catalogue: Arc::new(compatible()),
            billing: rpc::in_process(
                tonic::service::Routes::new(BillingServer::new(self.billing.clone()))
                    .add_service(PricesServer::new(self.billing.clone())),
            ),
            media: rpc::nobody(),
            sandbox_url: Some(self.provider.origin.clone()),
            tasks: tasks.clone(),
        };
        let chat = Chat::start(deps, &mut Registry::default()).await.unwrap();
        let client = ChatClient::new(rpc::in_process(chat.rpc_server()));
        (client, tasks)
    }

    async fn look(&self) -> Db {
        let open = async || {
            let settings = Settings::from_toml(&self.settings);
            self.database.open(&settings, &Tasks::default()).await
        };
        self.eyes.get_or_init(open).await.clone()
    }

    /// Every row.
    pub(crate) async fn rows(&self) -> Vec<Row> {
        let db = self.look().await;
        let rows = sqlx::query("select state, answer, key_hash from replay order by created_at")
            .fetch_all(db.reader())
            .await
            .unwrap();
        let read = |row: &sqlx::any::AnyRow| Row {
            state: row.get("state"),
            answer: row.get("answer"),
            key_hash: row.get("key_hash"),
        };
        rows.iter().map(read).collect()
    }

    /// What is kept of responses, as it stands in the database: conversation and object; `None`: deleted.
    pub(crate) async fn responses(&self) -> Vec<[Option<Vec<u8>>; 2]> {
        let db = self.look().await;
        let rows = sqlx::query("select conversation, object from response order by created_at")
            .fetch_all(db.reader())
            .await
            .unwrap();
        let read = |row: &sqlx::any::AnyRow| [row.get("conversation"), row.get("object")];
        rows.iter().map(read).collect()
    }

    /// Every answer for equal requests, and how many bytes of them each account and mode is known to keep.
    pub(crate) async fn cached(&self) -> (Vec<Cached>, Vec<i64>) {
        let db = self.look().await;
        let rows =
            sqlx::query("select operation, request_mac, answer from cached order by created_at")
                .fetch_all(db.reader())
                .await
                .unwrap();
        let read = |row: &sqlx::any::AnyRow| Cached {
            operation: row.get("operation"),
            request_mac: row.get("request_mac"),
            answer: row.get("answer"),
        };
        let rooms = sqlx::query_scalar("select bytes from cached_room order by account, mode");
        let rooms: Vec<i64> = rooms.fetch_all(db.reader()).await.unwrap();
        (rows.iter().map(read).collect(), rooms)
    }

    /// Waits until so many answers are kept for equal requests.
    pub(crate) async fn caches(&self, count: usize) {
        eventually(&format!("{count} answers are cached"), async || {
            self.cached().await.0.len() == count
        })
        .await;
    }

    /// Makes all of them so much older.
    pub(crate) async fn ages(&self, seconds: i64) {
        let written: Result<(), db::Error> = self
            .look()
            .await
            .write(move |connection| {
                Box::pin(async move {
                    let sql = "update cached set created_at = created_at - $1, expires_at = expires_at - $1";
                    sqlx::query(sql)
                        .bind(seconds * 1_000_000)
                        .execute(connection)
                        .await?;
                    Ok(())
                })
            })
            .await;
        written.unwrap();
    }

    /// The states of all rows.
    pub(crate) async fn states(&self) -> Vec<String> {
        self.rows().await.into_iter().map(|row| row.state).collect()
    }

    /// Waits until the states of all rows are these.
    pub(crate) async fn reaches(&self, states: &[&str]) {
        eventually(&format!("rows are {states:?}"), async || {
            self.states().await == states
        })
        .await;
    }

    /// Keeps everybody from writing the rows.
    pub(crate) async fn lock(&self) -> Locked {
        let db = self.look().await;
        let (unlock, unlocked) = oneshot::channel::<()>();
        let (held, hold) = oneshot::channel();
        Tasks::default().spawn_detached(tracing::Span::none(), async move {
            let written: Result<(), db::Error> = db
                .write(move |connection| {
                    Box::pin(async move {
                        if Engine::of(connection) == Engine::Postgres {
                            // It stands idle, with the locks.
                            sqlx::query("set local idle_in_transaction_session_timeout to 0")
                                .execute(&mut *connection)
                                .await?;
                            sqlx::query("lock table cached in share row exclusive mode")
                                .execute(&mut *connection)
                                .await?;
                        }
                        sqlx::query("update replay set state = state")
                            .execute(connection)
                            .await?;
                        held.send(()).unwrap();
                        let _ = unlocked.await;
                        Ok(())
                    })
                })
                .await;
            written.unwrap();
        });
        hold.await.unwrap();
        Locked { _unlock: unlock }
    }

    /// What must hold after any story: no hold is open, there was never more than one at once, and this is all that was charged.
    pub(crate) async fn charged(&self, charges: &[i64]) {
        eventually("every hold has ended", async || {
            self.billing.books().open.is_empty()
        })
        .await;
        let books = self.billing.books();
        assert_eq!(books.charges(), charges);
        assert!(books.most_open <= 1, "{} at once", books.most_open);
        let spent: i64 = charges.iter().sum();
        assert_eq!(books.available, CREDIT - spent);
    }
}

// === impl Process ===

impl Process {
    pub(crate) fn request(&self, body: &str, key: &str, mode: Mode) -> CompleteRequest {
        let mut request = App::request(body, mode, &[]);
        request.idempotency_key = key.to_owned();
        if let Some(context) = &mut request.context {
            context.account_id = self.account.to_vec().into();
        }
        request
    }

    /// A client of its own, and who asks.
    pub(crate) fn caller(&self, mode: Mode) -> (ChatClient<rpc::Channel>, Option<Context>) {
        (self.client.clone(), self.request("", "", mode).context)
    }

    /// As another account.
    pub(crate) fn of(&self, house: &House) -> Self {
        Self {
            client: self.client.clone(),
            tasks: self.tasks.clone(),
            threads: self.threads.clone(),
            runtime: None,
            account: house.account,
        }
    }

    /// Sends a request, and reads its answer; on the process's own threads.
    pub(crate) fn send(&self, body: &str, key: &str) -> JoinHandle<Outcome> {
        let opened = self.opening(body, key, Mode::Test);
        self.spawn(async move { Ok(Collected::of(opened.await?).await) })
    }

    /// Sends any request, and reads its answer.
    pub(crate) async fn outcome(&self, request: CompleteRequest) -> Outcome {
        let mut client = self.client.clone();
        let asked = self.spawn(async move {
            let answer = client.complete(rpc::request(request, PATIENCE)).await;
            let answer = answer.map_err(Fault::from)?;
            Ok(Collected::of(answer.into_inner()).await)
        });
        asked.await.unwrap()
    }

    pub(crate) async fn ask(&self, body: &str, key: &str) -> Outcome {
        self.send(body, key).await.unwrap()
    }

    pub(crate) async fn ask_live(&self, body: &str, key: &str) -> Outcome {
        let opened = self.opening(body, key, Mode::Live);
        let asked = self.spawn(async move { Ok(Collected::of(opened.await?).await) });
        asked.await.unwrap()
    }

    /// Asks until it is no longer told that the first request is still running.
    pub(crate) async fn insist(&self, body: &str, key: &str) -> Outcome {
        let begun = Instant::now();
        loop {
            match self.ask(body, key).await {
                Err(fault) if fault.code == proto::code::IDEMPOTENCY_IN_PROGRESS => {
                    assert!(fault.retry_after.is_some());
                    assert!(begun.elapsed() < PATIENCE, "still running");
                }
                outcome => return outcome,
            }
        }
    }

    /// Opens an answer, and reads nothing of it.
    pub(crate) async fn open(&self, body: &str, key: &str) -> Streaming<CompleteEvent> {
        let opened = self.spawn(self.opening(body, key, Mode::Test));
        opened.await.unwrap().unwrap()
    }

    fn opening(
        &self,
        body: &str,
        key: &str,
        mode: Mode,
    ) -> impl Future<Output = Result<Streaming<CompleteEvent>, Fault>> + Send + 'static {
        let request = rpc::request(self.request(body, key, mode), PATIENCE);
        let mut client = self.client.clone();
        async move {
            let answer = client.complete(request).await;
            Ok(answer.map_err(Fault::from)?.into_inner())
        }
    }

    pub(crate) fn spawn<T, F>(&self, work: F) -> JoinHandle<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.threads.spawn(work)
    }

    /// At once, whatever it is at.
    pub(crate) fn kill(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }

    /// As SIGSTOP does: its one thread stands still.
    pub(crate) async fn freeze(&self) -> Frozen {
        let (thaw, thawed) = std::sync::mpsc::channel::<()>();
        let (stands, stand) = oneshot::channel();
        self.spawn(async move {
            stands.send(()).unwrap();
            let _ = thawed.recv();
        });
        stand.await.unwrap();
        Frozen { _thaw: thaw }
    }

    /// Lets its work end.
    pub(crate) async fn stops(&self) {
        assert!(self.tasks.stop(PATIENCE).await, "work goes on");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The refusal of a request that must be refused.
pub(crate) fn refusal<T: Debug>(outcome: Result<T, Fault>) -> Fault {
    outcome.expect_err("a refusal")
}

/// A provider's answer of which the test says when it ends.
pub(crate) fn when_told(reply: Reply) -> Reply {
    Reply {
        end: crate::provider::End::Told,
        ..reply
    }
}

/// Waits for a condition.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < PATIENCE, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
