//! A media service on a folder of its own, and the customer in front of it.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chassis::{Tasks, clock::mint, config::Settings, rpc, secrets::Secrets};
use db::{Db, Engine};
use domain::{Caller, Catalogue, Mode, Scope, TaskId};
use live::SharedLive;
use media::{Deps, Media};
use proto::{
    Fault,
    billing::v1::{billing_server::BillingServer, prices_server::PricesServer},
    common::v1::{Context, Quote},
    media::v1::{
        self as wire, files_client::FilesClient, media_client::MediaClient,
        operators_client::OperatorsClient,
    },
    webhooks::v1::webhooks_server::WebhooksServer,
};
use queue::{SharedQueue, memory::MemoryQueue};
use serde_json::{Value, json};

use crate::{
    database::Database,
    fake_webhooks::Webhooks,
    fakes::{Billing, Provider, Submit},
};

/// Quick steps, so that tests do not wait.
const SETTINGS: &str = "
    [database]
    readers = 3
    writers = 4
    acquire_timeout = '5s'
    write_acquire_timeout = '5s'
    [egress]
    allow = '127.0.0.1/32'
    [limits.media]
    tick = '5ms'
    lease = '3s'
    call_timeout = '20s'
    [limits.media.submit]
    hold_timeout = '1s'
    accept_timeout = '10s'
    [limits.media.poll]
    first = '5ms'
    longest = '20ms'
    [limits.outbox]
    poll = '5ms'
    [limits.upstream]
    first_byte_timeout = '2s'
";

/// What outlives a process.
#[derive(Clone)]
pub(crate) struct House {
    pub(crate) database: Arc<Database>,
    pub(crate) provider: Provider,
    pub(crate) billing: Billing,
    pub(crate) webhooks: Webhooks,
    secrets: Secrets,
    catalogue: Arc<Catalogue>,
    declared: media::Declared,
    settings: String,
    caller: Caller,
    /// One for all processes; else each has its own.
    queue: Option<SharedQueue>,
    /// Likewise.
    live: Option<SharedLive>,
}

/// A running process.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) client: MediaClient<rpc::Channel>,
    pub(crate) files: FilesClient<rpc::Channel>,
    pub(crate) operators: OperatorsClient<rpc::Channel>,
    /// Its way to the database.
    pub(crate) db: Db,
    pub(crate) caller: Caller,
    /// Work that was never told to stop just ends with the test, as if killed.
    pub(crate) tasks: Tasks,
}

impl House {
    pub(crate) async fn new(engine: Engine, script: Vec<Submit>) -> Self {
        Self::on(Database::new(engine).await, script).await
    }

    pub(crate) async fn on(database: Database, script: Vec<Submit>) -> Self {
        Self {
            database: Arc::new(database),
            provider: Provider::start(script).await,
            billing: Billing::default(),
            webhooks: Webhooks::default(),
            secrets: Secrets::random(),
            catalogue: of_its_maker(&flux_2()),
            declared: media::Declared::default(),
            settings: SETTINGS.to_owned(),
            caller: caller(Mode::Test),
            queue: None,
            live: None,
        }
    }

    /// One queue for all processes.
    pub(crate) fn with_queue(mut self, queue: SharedQueue) -> Self {
        self.queue = Some(queue);
        self
    }

    /// One shared state for all processes.
    pub(crate) fn with_one_live(mut self) -> Self {
        self.live = Some(own_live());
        self
    }

    /// Settings of the one provider there is.
    pub(crate) fn with_provider(mut self, settings: &str) -> Self {
        self.settings = format!("{}\n[providers.bfl]\n{settings}", self.settings);
        self
    }

    /// One more setting of `limits.media`.
    pub(crate) fn with_media(mut self, setting: &str) -> Self {
        self.settings = self
            .settings
            .replace("[limits.media]", &format!("[limits.media]\n{setting}"));
        self
    }

    /// One more setting of `limits.media.submit`.
    pub(crate) fn with_submit(mut self, setting: &str) -> Self {
        self.settings = self.settings.replace(
            "[limits.media.submit]",
            &format!("[limits.media.submit]\n{setting}"),
        );
        self
    }

    /// Settings of `limits.files`.
    pub(crate) fn with_files(mut self, settings: &str) -> Self {
        self.settings = format!("{}\n[limits.files]\n{settings}", self.settings);
        self
    }

    /// Settings of `limits.media.outputs`.
    pub(crate) fn with_outputs(mut self, settings: &str) -> Self {
        self.settings = format!("{}\n[limits.media.outputs]\n{settings}", self.settings);
        self
    }

    /// Files are kept in a bucket.
    pub(crate) fn with_bucket(mut self, bucket: &testkit::Bucket) -> Self {
        self.settings = format!("{}\n{}", self.settings, bucket.toml());
        self
    }

    /// Sections of their own: where providers are.
    pub(crate) fn with_sections(mut self, sections: &str) -> Self {
        self.settings = format!("{}\n{sections}", self.settings);
        self
    }

    /// Settings of `limits.media.fallback`.
    pub(crate) fn with_fallback(mut self, settings: &str) -> Self {
        self.settings = format!("{}\n[limits.media.fallback]\n{settings}", self.settings);
        self
    }

    /// Another content key: what was sealed before does not open any more.
    pub(crate) fn with_other_secrets(mut self) -> Self {
        self.secrets = Secrets::random();
        self
    }

    /// Another setting in the place of one: for the next process.
    /// Where nobody dies nor hangs, no time need run out: on a busy machine a process may well stand still for seconds.
    pub(crate) fn in_no_hurry(self) -> Self {
        self.with_other("lease = '3s'", "lease = '60s'")
            .with_other("first_byte_timeout = '2s'", "first_byte_timeout = '60s'")
            .with_other("call_timeout = '20s'", "call_timeout = '60s'")
            .with_other("hold_timeout = '1s'", "hold_timeout = '30s'")
            .with_other("accept_timeout = '10s'", "accept_timeout = '60s'")
            // Also that for writing.
            .with_other("acquire_timeout = '5s'", "acquire_timeout = '60s'")
    }
    pub(crate) fn with_other(mut self, setting: &str, other: &str) -> Self {
        assert!(self.settings.contains(setting));
        self.settings = self.settings.replace(setting, other);
        self
    }

    /// Tasks end after so many seconds.
    pub(crate) fn with_deadline(self, seconds: u32) -> Self {
        let line = format!("deadline_seconds = {seconds}");
        self.with_model("deadline_seconds = 300", &line)
    }

    /// The one model there is has another line in the place of one: for the next process.
    pub(crate) fn with_model(mut self, line: &str, other: &str) -> Self {
        let text = flux_2();
        assert!(text.contains(line));
        self.catalogue = of_its_maker(&text.replace(line, other));
        self
    }

    /// Providers that are described by files.
    pub(crate) fn with_declared(mut self, declared: media::Declared) -> Self {
        self.declared = declared;
        self
    }

    /// Another catalogue, for the next process.
    pub(crate) fn with_catalogue(mut self, catalogue: Arc<Catalogue>) -> Self {
        self.catalogue = catalogue;
        self
    }

    pub(crate) async fn start(&self) -> Running {
        let origin = self.provider.origin();
        self.start_with_sandbox(Some(origin)).await
    }

    pub(crate) async fn start_with_sandbox(&self, sandbox_url: Option<String>) -> Running {
        let settings = Settings::from_toml(&self.settings);
        let tasks = Tasks::default();
        let db = self.database.open(&settings, &tasks).await;
        let own_queue = || -> SharedQueue { Arc::new(MemoryQueue::new(1000)) };
        let deps = Deps {
            settings,
            db: db.clone(),
            outputs: self.database.directory().join("outputs"),
            models: media::Models {
                catalogue: Arc::clone(&self.catalogue),
                declared: self.declared.clone(),
            },
            secrets: self.secrets.clone(),
            public_url: "http://us.example".to_owned(),
            sandbox_url,
            billing: rpc::in_process(
                tonic::service::Routes::new(BillingServer::new(self.billing.clone()))
                    .add_service(PricesServer::new(self.billing.clone())),
            ),
            webhooks: rpc::in_process(WebhooksServer::new(self.webhooks.clone())),
            queue: self.queue.clone().unwrap_or_else(own_queue),
            live: self.live.clone().unwrap_or_else(own_live),
            tasks: tasks.clone(),
        };
        let media = Media::start(deps, &mut prometheus_client::registry::Registry::default())
            .await
            .unwrap();
        let channel = rpc::in_process(media.routes());
        Running {
            client: MediaClient::new(channel.clone()),
            files: FilesClient::new(channel.clone()),
            operators: OperatorsClient::new(channel),
            db,
            caller: self.caller.clone(),
            tasks,
        }
    }
}

impl Running {
    /// As another account.
    pub(crate) fn stranger(&self) -> Self {
        Self {
            caller: caller(Mode::Test),
            ..self.clone()
        }
    }

    /// The same account, in the other mode.
    pub(crate) fn live(&self) -> Self {
        Self {
            caller: Caller {
                mode: Mode::Live,
                ..self.caller.clone()
            },
            ..self.clone()
        }
    }

    /// As the account of another process.
    pub(crate) fn of(&self, other: &Self) -> Self {
        Self {
            caller: other.caller.clone(),
            ..self.clone()
        }
    }

    /// Who asks, as others are told.
    pub(crate) fn context(&self) -> Context {
        (&self.caller).into()
    }

    pub(crate) async fn submit(&self, body: &Value, key: &str) -> Result<wire::SubmitReply, Fault> {
        self.submit_text(&body.to_string(), key).await
    }

    pub(crate) async fn submit_text(
        &self,
        body: &str,
        key: &str,
    ) -> Result<wire::SubmitReply, Fault> {
        self.send(self.request(body, key)).await
    }

    /// What the edge would send.
    pub(crate) fn request(&self, body: &str, key: &str) -> wire::SubmitRequest {
        wire::SubmitRequest {
            context: Some((&self.caller).into()),
            task_id: mint::<domain::ids::Task>().to_vec().into(),
            route: "images/generations".to_owned(),
            body: body.to_owned().into(),
            idempotency_key: key.to_owned(),
            ..wire::SubmitRequest::default()
        }
    }

    pub(crate) async fn send(
        &self,
        request: wire::SubmitRequest,
    ) -> Result<wire::SubmitReply, Fault> {
        self.client
            .clone()
            .submit(request)
            .await
            .map(tonic::Response::into_inner)
            .map_err(Fault::from)
    }

    /// What a submit would cost.
    pub(crate) async fn quote(&self, submit: wire::SubmitRequest) -> Result<Quote, Fault> {
        let request = wire::QuoteRequest {
            context: submit.context,
            route: submit.route,
            body: submit.body,
            models: submit.models,
            max_cost: submit.max_cost,
        };
        let quote = self.client.clone().quote(request).await;
        quote.map(tonic::Response::into_inner).map_err(Fault::from)
    }

    /// Submits a fox and hands back its id.
    pub(crate) async fn accepted(&self) -> TaskId {
        self.accepted_with(&json!({"model": "flux-2", "prompt": "a fox"}))
            .await
    }

    pub(crate) async fn accepted_with(&self, body: &Value) -> TaskId {
        TaskId::from_slice(&self.submit(body, "").await.unwrap().task_id).unwrap()
    }

    pub(crate) async fn view(&self, task: TaskId) -> Result<Value, Fault> {
        let request = wire::GetTaskRequest {
            context: Some((&self.caller).into()),
            task_id: task.to_vec().into(),
        };
        let snapshot = self
            .client
            .clone()
            .get_task(request)
            .await
            .map_err(Fault::from)?
            .into_inner();
        Ok(serde_json::from_slice(&snapshot.view).unwrap())
    }

    /// The ids of a page, in its order.
    pub(crate) async fn list(&self, asked: wire::ListTasksRequest) -> Result<Vec<String>, Fault> {
        let request = wire::ListTasksRequest {
            context: Some((&self.caller).into()),
            ..asked
        };
        let listed = self.client.clone().list_tasks(request).await;
        let views = listed.map_err(Fault::from)?.into_inner().views;
        let id_of = |view: &prost::bytes::Bytes| {
            let view: Value = serde_json::from_slice(view).unwrap();
            view["task_id"].as_str().unwrap().to_owned()
        };
        Ok(views.iter().map(id_of).collect())
    }

    pub(crate) async fn cancel(&self, task: TaskId) -> Result<Value, Fault> {
        let request = wire::CancelTaskRequest {
            context: Some((&self.caller).into()),
            task_id: task.to_vec().into(),
        };
        let snapshot = self
            .client
            .clone()
            .cancel_task(request)
            .await
            .map_err(Fault::from)?
            .into_inner();
        Ok(serde_json::from_slice(&snapshot.view).unwrap())
    }

    /// What a provider would cause by calling the task's address.
    pub(crate) async fn hear(&self, task: TaskId) {
        self.hears(task, HashMap::new()).await.unwrap();
    }

    /// The same, with headers.
    pub(crate) async fn hears(
        &self,
        task: TaskId,
        headers: HashMap<String, String>,
    ) -> Result<(), Fault> {
        let request = wire::HearRequest {
            task_id: task.to_vec().into(),
            headers,
            ..wire::HearRequest::default()
        };
        let heard = self.client.clone().hear(request).await;
        heard.map(drop).map_err(Fault::from)
    }

    /// Ends its loops. One that lives on would ring its own bell, which nobody else hears, and so keep what is queued for itself.
    pub(crate) async fn dies(&self) {
        self.tasks.stop(Duration::from_secs(10)).await;
    }

    /// Waits until the task has this status.
    pub(crate) async fn reaches(&self, task: TaskId, status: &str) -> Value {
        let mut view = Value::Null;
        eventually(&format!("{task} {status}"), async || {
            view = self.view(task).await.unwrap();
            view["status"] == status
        })
        .await;
        view
    }

    pub(crate) async fn unknown_attempts(&self) -> Vec<wire::UnknownAttempt> {
        let request = wire::ListUnknownAttemptsRequest { limit: 100 };
        self.client
            .clone()
            .list_unknown_attempts(request)
            .await
            .unwrap()
            .into_inner()
            .attempts
    }
}

/// The model of most tests, served by its maker alone: nobody else is there to take over.
pub(crate) fn flux_2() -> String {
    let text = include_str!("../../../../crates/domain/catalogue/flux-2.toml");
    let (own, _) = text.split_once("# When the maker cannot").unwrap();
    own.to_owned()
}

/// The models, with this file for flux-2.
pub(crate) fn of_its_maker(text: &str) -> Arc<Catalogue> {
    let own = ("flux-2.toml".to_owned(), text.to_owned());
    let without = ["flux-2".to_owned()];
    Arc::new(Catalogue::with(&[own], &without).unwrap())
}

fn own_live() -> SharedLive {
    Arc::new(live::memory::MemoryLive::new(
        &live::memory::Limits::default(),
    ))
}

fn caller(mode: Mode) -> Caller {
    Caller {
        account: mint::<domain::ids::Account>(),
        mode,
        key: None,
        user: None,
        scopes: vec![Scope::Inference, Scope::Read],
        request_id: "req_test".to_owned(),
        price_factor: domain::PriceFactor::ONE,
    }
}

/// Waits for a condition; a minute is long enough on any machine.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "never happened: {what}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
