//! webhooks: tells customers what happened, and proves that it was us.
//!
//! Standard Webhooks 1.0.0: three headers, HMAC-SHA256, the same `webhook-id` on every attempt. What was published is kept
//! in SQL until it is delivered or given up, so that a crash costs at most one duplicate with the same id, and nothing else.
//!
//! Invariants:
//! * an event is published once, whoever repeats it, and delivered at least once or parked as `dead`;
//! * an attempt is recorded as `inflight`, with a lease, before its `POST`;
//! * every attempt passes the egress guard, and a redirect is never followed;
//! * an endpoint or an origin has its own few places, of all processes together; whoever takes long takes none from the others;
//! * any number of processes work on the same tables: an attempt belongs to who claimed it last;
//! * payloads, URLs and secrets are kept sealed, and are never logged.
//!
//! | file | what |
//! |---|---|
//! | `rpc.rs` | wire to domain and back |
//! | `publish.rs` | takes over one event |
//! | `endpoint.rs`, `headers.rs` | URLs that accounts register for events; what they fix of the requests there |
//! | `secret.rs` | the secret of an account and mode, and its rotation |
//! | `deliver.rs`, `target.rs`, `left.rs` | one attempt: prepare, send, record; where it goes; what it leaves |
//! | `redact.rs` | what of an answer is kept: pure |
//! | `notice.rs` | what owners and the operator are told of what could not be delivered |
//! | `sample.rs` | a sample event for an endpoint |
//! | `again.rs` | deliveries looked for, looked at and sent again |
//! | `whose.rs` | whose things a call is about |
//! | `overview.rs` | what operators see of all of them together |
//! | `told.rs` | what operators see of it |
//! | `worker.rs` | starts what is due, in fast places or slow ones |
//! | `turns.rs` | whose turn it is: pure |
//! | `sweep.rs` | ends leases that ran out, finds who was forgotten |
//! | `sign.rs` | the signature: pure |
//! | `schedule.rs` | what follows an attempt: pure |
//! | `store/` | the SQL, a file per table |
//!
//! What this room may not do: retry inside an attempt, read a payload, or know what a task is.

mod again;
mod config;
mod deliver;
mod endpoint;
mod error;
mod headers;
mod left;
mod metrics;
mod notice;
mod overview;
mod publish;
mod redact;
mod rpc;
mod sample;
mod schedule;
mod secret;
mod sign;
mod store;
mod sweep;
mod target;
mod told;
mod turns;
mod whose;
mod worker;

use std::{sync::Arc, time::Duration};

use chassis::{Tasks, clock::micros, config::Settings, rpc::Channel, secrets::Secrets};
use db::{Db, Migration};
use prometheus_client::registry::Registry;
use proto::webhooks::v1::{
    manage_caller, manage_server::ManageServer, webhooks_caller, webhooks_server::WebhooksServer,
};
use tokio::sync::Notify;
use tonic::service::Routes;
use upstream::GuardedClient;

pub use crate::config::{Config, Limits};
pub use crate::error::Error;
pub use crate::rpc::Rpc;

use crate::{metrics::Metrics, worker::Worker};

/// The schema of webhooks on a server: its name, for [`db::Postgres`] and [`db::Schema`].
pub const SCHEMA: &str = "webhooks";
/// What its schema is made of, oldest step first, for [`Db::open`], [`Db::connect`] and [`db::migrate`].
pub const MIGRATIONS: &[Migration] = &[
    Migration::both(
        1,
        "webhooks",
        include_str!("../migrations/0001_webhooks.sql"),
    ),
    Migration::both(2, "trace", include_str!("../migrations/0002_trace.sql")),
    Migration::both(
        3,
        "endpoint",
        include_str!("../migrations/0003_endpoint.sql"),
    ),
    Migration::both(4, "of_task", include_str!("../migrations/0004_of_task.sql")),
    Migration::both(5, "lane", include_str!("../migrations/0005_lane.sql")),
    Migration::both(6, "manage", include_str!("../migrations/0006_manage.sql")),
    Migration::both(7, "filters", include_str!("../migrations/0007_filters.sql")),
    Migration::both(
        8,
        "newest_dead",
        include_str!("../migrations/0008_newest_dead.sql"),
    ),
];

/// What the service is made of.
#[derive(Debug)]
pub struct Deps {
    /// Everything configured; it reads `webhooks`, `limits.webhooks` and `egress`.
    pub settings: Settings,
    /// Its own database, made with [`MIGRATIONS`].
    pub db: Db,
    /// Seals what is kept.
    pub secrets: Secrets,
    /// Where its work runs.
    pub tasks: Tasks,
}

/// The running service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Webhooks {
    shared: Arc<Shared>,
}

/// What the use cases work with: made once, passed down.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) db: Db,
    pub(crate) client: GuardedClient,
    pub(crate) secrets: Secrets,
    pub(crate) config: Config,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    /// Rung whenever there may be something to start.
    pub(crate) bell: Notify,
}

// === impl Webhooks ===

impl Webhooks {
    /// Starts the service: what a dead process left in flight is due again, at once if nobody else can be alive and else when its
    /// lease is over, and deliveries begin.
    ///
    /// # Errors
    /// When a setting cannot work, or the database fails.
    pub async fn start(deps: Deps, registry: &mut Registry) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            config: Config::read(&deps.settings)?,
            limits: deps.settings.section("limits.webhooks")?,
            client: GuardedClient::new(&deps.settings.section("egress")?)?,
            db: deps.db,
            secrets: deps.secrets,
            metrics: Metrics::register(registry),
            bell: Notify::new(),
        });
        sweep::end_all_leases(&shared).await?;
        sweep::repair(&shared).await?;
        Worker::new(Arc::clone(&shared), deps.tasks.clone()).run();
        sweep::run(Arc::clone(&shared), &deps.tasks);
        Ok(Self { shared })
    }

    /// A way to all of it within this process.
    pub fn channel(&self) -> Channel {
        let here = || Rpc::new(Arc::clone(&self.shared));
        chassis::rpc::in_process(self.routes())
            .with(webhooks_caller::here(here()))
            .with(manage_caller::here(here()))
    }

    /// Everything that others call, to be wrapped for calls in this process or over the network.
    pub fn routes(&self) -> Routes {
        let rpc = || Rpc::new(Arc::clone(&self.shared));
        let most = self.shared.config.max_message_bytes;
        Routes::new(WebhooksServer::new(rpc()).max_decoding_message_size(most))
            .add_service(ManageServer::new(rpc()).max_decoding_message_size(most))
    }
}

// === impl Shared ===

impl Shared {
    /// Until when a lane may wait on purpose that has something due: for an end, for room, or for its rate, of which the slowest is one in
    /// a second. Microseconds UTC.
    pub(crate) fn latest_look(&self) -> i64 {
        let longest = self
            .config
            .sweep
            .max(self.config.poll)
            .max(Duration::from_secs(1));
        self.db.now_micros().saturating_add(micros(longest))
    }
}
