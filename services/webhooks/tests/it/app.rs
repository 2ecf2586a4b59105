//! One life of the service over a data directory, and a look into its tables.

use std::{path::Path, time::Duration};

use chassis::{Tasks, config::Settings, mint, rpc, secrets::Secrets};
use db::{Db, Engine};
use domain::{AccountId, EndpointId, EventId};
use prometheus_client::registry::Registry;
use proto::{
    common::v1::{Context, Mode},
    webhooks::v1::{
        CreateEndpointRequest, GetSecretRequest, PublishRequest, manage_client::ManageClient,
        webhooks_client::WebhooksClient,
    },
};
use sqlx::Row as _;
use standardwebhooks::Webhook;
use webhooks::{Deps, Webhooks};

use crate::{database::Database, sink::Seen};

/// How long a test waits for something that must happen.
const DEADLINE: Duration = Duration::from_secs(20);

/// Settings under which a test's retries come at once.
pub(crate) const FAST: &str = "schedule = ['0s', '20ms', '40ms', '60ms', '80ms']
    penalty = '50ms'
    poll = '5ms'
    sweep = '20ms'";

/// What outlives a process.
pub(crate) struct Home {
    pub(crate) database: Database,
    pub(crate) secrets: Secrets,
}

/// One life of the service.
pub(crate) struct App {
    pub(crate) db: Db,
    pub(crate) registry: Registry,
    pub(crate) client: WebhooksClient<rpc::Channel>,
    pub(crate) manage: ManageClient<rpc::Channel>,
}

/// A delivery as its table shows it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) state: String,
    pub(crate) attempts: i64,
    pub(crate) claims: i64,
    pub(crate) status: Option<i64>,
    pub(crate) error: Option<String>,
}

// === impl Home ===

impl Home {
    pub(crate) async fn new(engine: Engine) -> Self {
        Self::on(Database::new(engine).await)
    }

    pub(crate) fn on(database: Database) -> Self {
        Self {
            database,
            secrets: Secrets::random(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.database.directory()
    }

    /// Starts the service with these lines in the section `webhooks`; `allow` opens ranges of addresses.
    pub(crate) async fn start(&self, webhooks: &str, allow: &str) -> App {
        self.start_limited(webhooks, "", allow).await
    }

    /// The same, with these lines in the section `limits.webhooks`.
    pub(crate) async fn start_limited(&self, webhooks: &str, limits: &str, allow: &str) -> App {
        let settings = Settings::from_toml(&format!(
            "[webhooks]\n{webhooks}\n[limits.webhooks]\nmax_endpoints = 4\nmax_told = 2\n{limits}\n[egress]\nallow = '{allow}'\n
             [database]\nreaders = 3\nwriters = 4\nacquire_timeout = '5s'\nwrite_acquire_timeout = '5s'"
        ));
        let tasks = Tasks::default();
        let mut registry = Registry::default();
        let db = self.database.open(&settings, &tasks).await;
        let deps = Deps {
            settings,
            db: db.clone(),
            secrets: self.secrets.clone(),
            tasks,
        };
        let service = Webhooks::start(deps, &mut registry).await.unwrap();
        App {
            db,
            registry,
            client: WebhooksClient::new(rpc::in_process(service.routes())),
            manage: ManageClient::new(rpc::in_process(service.routes())),
        }
    }

    /// Every byte in the data directory.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let files = std::fs::read_dir(self.path()).unwrap();
        files
            .flat_map(|file| std::fs::read(file.unwrap().path()).unwrap())
            .collect()
    }
}

/// Everything a test's endpoints may be at.
pub(crate) const LOOPBACK: &str = "127.0.0.0/8";

/// An app that may call loopback, and its home.
pub(crate) async fn start(engine: Engine, webhooks: &str) -> (Home, App) {
    let home = Home::new(engine).await;
    let app = home.start(webhooks, LOOPBACK).await;
    (home, app)
}

/// Three apps of one home that may call loopback.
pub(crate) async fn three(home: &Home, webhooks: &str) -> [App; 3] {
    [
        home.start(webhooks, LOOPBACK).await,
        home.start(webhooks, LOOPBACK).await,
        home.start(webhooks, LOOPBACK).await,
    ]
}

// === impl App ===

impl App {
    /// Publishes a new event of a new account.
    pub(crate) async fn publish(&self, url: &str, payload: &str) -> Published {
        let event = Published {
            event: mint(),
            account: mint(),
            url: url.to_owned(),
            payload: payload.to_owned(),
        };
        self.publish_again(&event).await;
        event
    }

    pub(crate) async fn publish_again(&self, event: &Published) {
        self.try_to_publish(event).await.unwrap();
    }

    pub(crate) async fn try_to_publish(&self, event: &Published) -> Result<(), tonic::Status> {
        self.publish_in(event, Mode::Test).await
    }

    /// Publishes an event of live mode.
    pub(crate) async fn publish_live(&self, event: &Published) {
        self.publish_in(event, Mode::Live).await.unwrap();
    }

    async fn publish_in(&self, event: &Published, mode: Mode) -> Result<(), tonic::Status> {
        let request = PublishRequest {
            event_id: event.event.to_vec().into(),
            account_id: event.account.to_vec().into(),
            mode: mode.into(),
            task_id: mint::<domain::ids::Task>().to_vec().into(),
            r#type: "task.completed".to_owned(),
            url: event.url.clone(),
            payload: event.payload.clone().into(),
        };
        self.client.clone().publish(request).await.map(drop)
    }

    /// Registers a URL for all events of the account's test mode.
    pub(crate) async fn register(&self, account: AccountId, url: &str) -> EndpointId {
        let context = Context {
            account_id: account.to_vec().into(),
            mode: Mode::Test.into(),
            ..Context::default()
        };
        let request = CreateEndpointRequest {
            context: Some(context),
            url: url.to_owned(),
            ..CreateEndpointRequest::default()
        };
        let made = self.manage.clone().create_endpoint(request).await.unwrap();
        let made = made.into_inner().endpoint.unwrap();
        EndpointId::from_slice(&made.endpoint_id).unwrap()
    }

    /// Changes rows behind the service's back.
    pub(crate) async fn change(&self, sql: &'static str) {
        let changed: Result<(), webhooks::Error> = self
            .db
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query(sql).execute(connection).await?;
                    Ok(())
                })
            })
            .await;
        changed.unwrap();
    }

    /// Asks the database for a number.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        let asked = sqlx::query_scalar(sql).fetch_one(self.db.reader());
        asked.await.unwrap()
    }

    /// Publishes an event of no task to whatever endpoints the account has.
    pub(crate) async fn tell(&self, event: EventId, account: AccountId, mode: Mode) {
        let request = PublishRequest {
            event_id: event.to_vec().into(),
            account_id: account.to_vec().into(),
            mode: mode.into(),
            r#type: "balance.low".to_owned(),
            payload: format!("{{\"event\":\"{event}\"}}").into(),
            ..PublishRequest::default()
        };
        self.client.clone().publish(request).await.unwrap();
    }

    pub(crate) async fn secret(&self, account: AccountId, mode: Mode) -> String {
        let context = Context {
            account_id: account.to_vec().into(),
            mode: mode.into(),
            ..Context::default()
        };
        let request = GetSecretRequest {
            context: Some(context),
        };
        let reply = self.client.clone().get_secret(request).await.unwrap();
        reply.into_inner().secret
    }

    /// Whether an unmodified public library takes what an endpoint saw.
    pub(crate) async fn verifies(&self, event: &Published, seen: &Seen) -> bool {
        let secret = self.secret(event.account, Mode::Test).await;
        let library = Webhook::new(&secret).unwrap();
        library.verify(&seen.body, &seen.headers).is_ok()
    }

    pub(crate) async fn delivery(&self, event: EventId) -> Delivery {
        let rows = sqlx::query(
            "select state, attempts, claims, last_status, last_error from delivery where event_id = $1",
        )
        .bind(event.to_vec())
        .fetch_all(self.db.reader())
        .await
        .unwrap();
        let [row] = rows.as_slice() else {
            panic!("{} deliveries of one event", rows.len());
        };
        Delivery {
            state: row.get("state"),
            attempts: row.get("attempts"),
            claims: row.get("claims"),
            status: row.get("last_status"),
            error: row.get("last_error"),
        }
    }

    /// Waits until a delivery is in this state.
    pub(crate) async fn reaches(&self, event: EventId, state: &str) -> Delivery {
        until(state, async || {
            let delivery = self.delivery(event).await;
            (delivery.state == state).then_some(delivery)
        })
        .await
    }

    /// The metrics as Prometheus would read them.
    pub(crate) fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }
}

/// A new event of a new account, for an endpoint.
pub(crate) fn event(url: &str) -> Published {
    Published {
        event: mint(),
        account: mint(),
        url: url.to_owned(),
        payload: "{}".to_owned(),
    }
}

/// An event that was published.
pub(crate) struct Published {
    pub(crate) event: EventId,
    pub(crate) account: AccountId,
    pub(crate) url: String,
    pub(crate) payload: String,
}

/// Waits for a condition, or panics at the deadline.
pub(crate) async fn until<T>(what: &str, condition: impl AsyncFn() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    match tokio::time::timeout(DEADLINE, looking).await {
        Ok(value) => value,
        Err(_elapsed) => panic!("waited in vain: {what}"),
    }
}
