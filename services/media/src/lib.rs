//! One media task: submit, run, finish. The task's row in SQL is the truth; the queue is a doorbell, `live` a copy to look at.
//!
//! Invariants:
//! - Once `submit` has answered, the task is on disk and its price is held.
//! - A paid submit is written down as `unknown` before it is made, and never made again while it is.
//! - The first terminal state wins; the same transaction writes what billing and webhooks are told.
//! - Every step may run twice and stop at any line: a sweep follows.
//!
//! | file | what |
//! |---|---|
//! | `submit.rs`, `cancel.rs`, `read.rs` | the use cases of customers |
//! | `worker.rs` | takes tasks when the bell rings or a look is due, and hands them to `execute.rs` |
//! | `execute.rs` | one step of one task |
//! | `moves.rs` | every change of a task, in one transaction, fenced |
//! | `finish.rs` | the end of a task, whichever |
//! | `sweep.rs` | repairs what a crash left |
//! | `tell.rs` | the outbox: the queue, billing, webhooks |
//! | `state.rs`, `task.rs`, `view.rs` | the rules, the thing, and how customers see it |
//! | `outputs.rs` | files: fetched, kept, read |
//! | `providers/` | the wire protocols |
//! | `store/` | the SQL |
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod cancel;
mod config;
mod error;
mod execute;
mod finish;
mod metrics;
mod moves;
mod outputs;
mod providers;
mod read;
mod rpc;
mod shared;
mod state;
mod store;
mod submit;
mod sweep;
mod task;
mod tell;
mod view;
mod worker;

use std::{path::PathBuf, sync::Arc};

use chassis::{Tasks, config::Settings, rpc::Channel, secrets::Secrets};
use db::{Db, Migration, Relay};
use domain::Catalogue;
use live::SharedLive;
use prometheus_client::registry::Registry;
use proto::{
    billing::v1::billing_client::BillingClient, media::v1::media_server::MediaServer,
    webhooks::v1::webhooks_client::WebhooksClient,
};
use queue::SharedQueue;
use upstream::{GuardedClient, ProviderClient};

pub use config::Config;
pub use error::Error;

use crate::{
    metrics::Metrics,
    outputs::Outputs,
    providers::Accesses,
    shared::{Peers, Shared},
    view::Viewer,
};

/// The schema of media, in order, for [`Db::open`].
pub const MIGRATIONS: &[Migration] = &[
    db::outbox::MIGRATION,
    Migration {
        version: 2,
        name: "media",
        sql: include_str!("../migrations/0002_media.sql"),
    },
];

/// What media is made of.
pub struct Deps {
    /// Its own database, opened with [`MIGRATIONS`].
    pub db: Db,
    /// Where it keeps outputs.
    pub outputs: PathBuf,
    /// Everything configured.
    pub settings: Settings,
    /// The models.
    pub catalogue: Arc<Catalogue>,
    /// The installation's secrets.
    pub secrets: Secrets,
    /// Where customers reach us, without a slash at the end.
    pub public_url: String,
    /// Where the sandbox listens.
    pub sandbox_url: String,
    /// The way to billing.
    pub billing: Channel,
    /// The way to webhooks.
    pub webhooks: Channel,
    /// The doorbell.
    pub queue: SharedQueue,
    /// How tasks stand, for those who look.
    pub live: SharedLive,
    /// What runs, and the word to stop.
    pub tasks: Tasks,
}

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Media(Arc<Shared>);

// === impl Media ===

impl Media {
    /// Repairs what the last process left, and starts the workers.
    ///
    /// # Errors
    /// When a setting is wrong or the database fails.
    pub async fn start(deps: Deps, registry: &mut Registry) -> Result<Self, Error> {
        let section = |error: chassis::config::Error| Error::Setting(error.to_string());
        let settings = &deps.settings;
        let config: Config = settings.section("limits.media").map_err(section)?;
        config.check().map_err(Error::Setting)?;
        let relay = Relay::new(
            deps.db.clone(),
            settings.section("limits.outbox").map_err(section)?,
            &tell::TOPICS,
        );
        let client = ProviderClient::new(&settings.section("limits.upstream").map_err(section)?)?;
        let guard = GuardedClient::new(&settings.section("egress").map_err(section)?)?;
        let media = Self(Arc::new(Shared {
            relay,
            accesses: Accesses::read(settings, &deps.catalogue, &deps.sandbox_url)?,
            providers: providers::all(&client),
            outputs: Outputs::open(&deps.outputs, guard.clone(), &config.outputs)?,
            viewer: Viewer::new(&deps.public_url, deps.secrets.links().clone()),
            metrics: Metrics::register(registry),
            db: deps.db,
            config,
            catalogue: deps.catalogue,
            secrets: deps.secrets,
            guard,
            peers: Peers {
                billing: BillingClient::new(deps.billing),
                webhooks: WebhooksClient::new(deps.webhooks),
                queue: deps.queue,
                live: deps.live,
                tasks: deps.tasks,
            },
        }));
        media.forget_the_dead().await?;
        media.run();
        Ok(media)
    }

    /// The service as others call it.
    pub fn rpc_server(&self) -> MediaServer<Self> {
        MediaServer::new(self.clone())
    }

    fn run(&self) {
        let tasks = &self.0.peers.tasks;
        self.0.relay.run(tasks, &self.teller());
        worker::start(self, tasks);
        sweep::start(self, tasks);
    }
}

impl std::ops::Deref for Media {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
