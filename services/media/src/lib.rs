//! One media task: submit, run, finish. The task's row in SQL is the truth; the queue is a doorbell, `live` a copy to look at.
//! And the files that customers upload, to be used as inputs.
//!
//! Invariants:
//! - Once `submit` has answered, the task is on disk and its price is held.
//! - A paid submit is written down as `unknown` before it is made, and never made again while it is.
//! - The first terminal state wins; the same transaction writes what billing and webhooks are told.
//! - Every step may run twice and stop at any line: a sweep follows.
//! - The bytes of an uploaded file have a row that leads to them from before the first of them until the last is deleted.
//! - Any number of processes work on the same tables. Whoever moves a task has taken it, and names the claim it took it with.
//!
//! | file | what |
//! |---|---|
//! | `submit.rs`, `quote.rs`, `cancel.rs`, `read.rs`, `list.rs` | the use cases of customers |
//! | `callback.rs` | providers that say that something has changed |
//! | `operator.rs` | what operators do to tasks of anybody |
//! | `hold.rs` | sets a task's price aside with billing |
//! | `repeat.rs` | a submit whose Idempotency-Key is known |
//! | `worker.rs` | takes tasks when the bell rings or a look is due, and hands them to `execute.rs` |
//! | `lease.rs` | how long a taken task is this process's |
//! | `execute.rs`, `look.rs` | one step of one task: a submit, or a look how it stands |
//! | `look/keep.rs` | what was made is fetched and kept, and only then the task a success |
//! | `heard.rs` | whether a recording was longer than what is paid for, by who heard it |
//! | `execute/before.rs` | who had a task before, or would not have it |
//! | `execute/untaken.rs` | what becomes of a task that no provider has taken |
//! | `listen.rs` | customers who hear a sound while it is made |
//! | `late.rs` | looks at jobs that nobody waits for any more |
//! | `stop.rs` | asks a provider to stop a job, for whoever wants it |
//! | `pace.rs`, `pace/calls.rs` | when jobs are looked at, and how much each provider is asked; how many calls last at once |
//! | `pace/waiting.rs` | whose turn it is among those that come again |
//! | `line.rs` | tasks that wait for room at their providers, and whose turn it is |
//! | `moves.rs` | every change of a task, in one transaction, fenced |
//! | `finish.rs` | the end of a task, whichever |
//! | `sweep.rs` | repairs what a crash left |
//! | `tell.rs` | the outbox: the queue, billing, webhooks |
//! | `state.rs`, `task.rs`, `view.rs` | the rules, the thing, and how customers see it |
//! | `json.rs` | a customer's body |
//! | `outputs.rs` | what tasks made: fetched, kept, read |
//! | `alpha.rs` | whether such a picture has an alpha channel, by how it begins. Pure |
//! | `measure.rs` | what such a file is, by its bytes, and how large and long |
//! | `upload.rs`, `files.rs` | files that customers upload: how one comes in; look, list, delete, sweep |
//! | `inputs.rs`, `lengths.rs` | such files as inputs of tasks, and the bytes of all inputs for who fetches nothing; how long what a task is given may last |
//! | `retention.rs` | how long files are kept, as everybody's or by an operator's word |
//! | `origin.rs` | the earlier task that a task goes on from |
//! | `kind.rs`, `uploads.rs` | what such a file is, by its bytes; where they are kept |
//! | `storage/` | the store of both: a directory, or a bucket |
//! | `providers/` | the wire protocols |
//! | `store/` | the SQL |
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]

mod alpha;
mod callback;
mod cancel;
mod config;
mod error;
mod execute;
mod files;
mod finish;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod heard;
mod hold;
mod inline_room;
mod inputs;
mod json;
mod kind;
mod late;
mod lease;
mod lengths;
mod line;
mod list;
mod listen;
mod look;
mod measure;
mod metrics;
mod moves;
mod operator;
mod origin;
mod outputs;
mod overview;
mod pace;
mod places;
mod providers;
mod quote;
mod read;
mod repeat;
mod retention;
mod room;
mod rpc;
mod shared;
mod state;
mod stop;
mod storage;
mod store;
mod submit;
mod sweep;
mod task;
mod tell;
mod upload;
mod uploads;
mod view;
mod worker;

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    sync::Arc,
};

use chassis::{
    Tasks,
    config::{Poll, Providers, Settings},
    rpc::Channel,
    secrets::Secrets,
};
use db::{Db, Migration, Relay};
use domain::{
    Catalogue, Mode,
    catalogue::{Category, ProviderRoute},
};
use live::SharedLive;
use prometheus_client::registry::Registry;
use proto::{
    billing::v1::{billing_caller::BillingCaller, prices_caller::PricesCaller},
    media::v1::{
        files_server::FilesServer, media_caller, media_server::MediaServer, operators_caller,
        operators_server::OperatorsServer,
    },
    webhooks::v1::webhooks_caller::WebhooksCaller,
};
use queue::SharedQueue;
use tokio::sync::OnceCell;
use tonic::service::Routes;
use tracing::warn;
use upstream::{GuardedClient, ProviderClient, Purpose};

pub use config::Config;
pub use error::Error;
pub use providers::{BUILT_IN as ADAPTERS, Declared, DeclaredLimits, Mistakes};
pub use storage::{S3, StorageConfig, check_storage};

use crate::{
    config::PassedAs,
    listen::Listeners,
    metrics::Metrics,
    outputs::Outputs,
    pace::Pace,
    shared::{Kept, Peers, Shared},
    storage::Store,
    uploads::Uploads,
    view::{Viewer, is_public},
};

/// The schema of media on a server: its name, for [`db::Postgres`] and [`db::Schema`].
pub const SCHEMA: &str = "media";
/// What its schema is made of, in order, for [`Db::open`], [`Db::connect`] and [`db::migrate`].
pub const MIGRATIONS: &[Migration] = &[
    db::outbox::MIGRATION,
    Migration::both(2, "media", include_str!("../migrations/0002_media.sql")),
    Migration::both(
        3,
        "replicas",
        include_str!("../migrations/0003_replicas.sql"),
    ),
    db::outbox::trace(4),
    Migration::both(
        5,
        "open_tasks",
        include_str!("../migrations/0005_open_tasks.sql"),
    ),
    Migration::both(6, "price", include_str!("../migrations/0006_price.sql")),
    Migration::both(7, "upload", include_str!("../migrations/0007_upload.sql")),
    Migration::both(
        8,
        "duration",
        include_str!("../migrations/0008_duration.sql"),
    ),
    Migration::both(9, "list", include_str!("../migrations/0009_list.sql")),
    Migration::both(
        10,
        "running",
        include_str!("../migrations/0010_running.sql"),
    ),
    Migration::both(11, "parts", include_str!("../migrations/0011_parts.sql")),
    Migration::both(
        12,
        "operator",
        include_str!("../migrations/0012_operator.sql"),
    ),
    Migration::both(13, "line", include_str!("../migrations/0013_line.sql")),
    Migration::both(14, "about", include_str!("../migrations/0014_about.sql")),
    Migration::both(15, "songs", include_str!("../migrations/0015_songs.sql")),
    Migration::both(16, "stops", include_str!("../migrations/0016_stops.sql")),
    Migration::both(17, "inputs", include_str!("../migrations/0017_inputs.sql")),
];
/// The topics of the doorbell, for the queue that is handed over.
pub const QUEUE_TOPICS: &[&str] = &[tell::RUN];

/// What media is made of.
pub struct Deps {
    /// Everything configured.
    pub settings: Settings,
    /// Its own database, made with [`MIGRATIONS`].
    pub db: Db,
    /// Where it keeps files, unless the section `storage` says where.
    pub outputs: PathBuf,
    /// The models, and the providers that files describe.
    pub models: Models,
    /// The installation's secrets.
    pub secrets: Secrets,
    /// Where customers reach us, without a slash at the end.
    pub public_url: String,
    /// Where the sandbox is: `http://127.0.0.1:9105`. `None`: test keys are not served.
    pub sandbox_url: Option<String>,
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

/// What can be made, and who makes it.
#[derive(Clone, Debug)]
pub struct Models {
    /// Every model.
    pub catalogue: Arc<Catalogue>,
    /// The providers that are no code of ours.
    pub declared: Declared,
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
        let config = Config::read(&deps.settings)?;
        let relay = Relay::new(deps.db.clone(), config.outbox, &tell::TOPICS);
        let client = ProviderClient::new(&config.upstream)?;
        let guard = GuardedClient::new(&config.egress)?.on_behalf_of(Purpose::Input);
        guard.register(registry, "aio_media_egress_refusals");
        let adapters = providers::all(&client, &deps.models.declared);
        deps.models.check()?;
        let providers = deps.models.polls();
        let live = Arc::clone(&deps.live);
        let pace = Pace::read(&deps.settings, &config.limits, &providers, live)?;
        let accesses = accesses(&deps.settings, &deps.models, deps.sandbox_url.as_deref())?;
        let cut_off = out_of_reach(&deps.settings, &deps.models, &deps.public_url)?;
        if !cut_off.is_empty() {
            warn!(
                providers = cut_off.join(" "),
                "server.public_url is no public https address: these cannot fetch files that customers upload, some of which they are given by links (limits.files.passed_as, inline_bytes)"
            );
        }
        let store = Store::open(&config.storage, &deps.outputs).await?;
        let place = (store.clone(), deps.db.clone());
        let kept = Kept {
            uploads: Uploads::new(place.clone(), config.files),
            outputs: Outputs::new(place, guard.on_behalf_of(Purpose::Output), &config.limits),
        };
        let media = Self(Arc::new(Shared {
            relay,
            accesses,
            providers: adapters,
            kept,
            viewer: Viewer::new(&deps.public_url, deps.secrets.links().clone()),
            metrics: Metrics::register(registry),
            db: deps.db,
            catalogue: deps.models.catalogue,
            secrets: deps.secrets,
            guard,
            peers: Peers {
                prices: PricesCaller::new(deps.billing.clone()),
                list_kept: OnceCell::new(),
                billing: BillingCaller::new(deps.billing),
                webhooks: WebhooksCaller::new(deps.webhooks),
                queue: deps.queue,
                live: deps.live,
                tasks: deps.tasks,
                pace,
                listeners: Listeners::new(&config.limits.outputs),
            },
            config: config.limits,
        }));
        media.forget_the_dead().await?;
        media.remember_jobs().await?;
        media.run();
        Ok(media)
    }

    /// What is called about tasks.
    fn rpc_server(&self) -> MediaServer<Self> {
        MediaServer::new(self.clone())
            .max_decoding_message_size(self.config.submit.max_message_bytes)
    }

    /// Everything that others call, together.
    pub fn routes(&self) -> Routes {
        Routes::new(self.rpc_server())
            .add_service(FilesServer::new(self.clone()))
            .add_service(OperatorsServer::new(self.clone()))
    }

    /// A way to all of it within this process.
    pub fn channel(&self) -> Channel {
        chassis::rpc::in_process(self.routes())
            .with(media_caller::here(self.clone()))
            .with(operators_caller::here(self.clone()))
    }

    fn run(&self) {
        let tasks = &self.0.peers.tasks;
        self.0.relay.run(tasks, &self.teller());
        worker::start(self, tasks);
        sweep::start(self, tasks);
        sweep::start_clearing(self, tasks);
        late::start(self, tasks);
    }
}

/// The providers of live keys that cannot fetch an uploaded file from where they are: they are given links to it, and nobody out in the
/// world reaches `public_url`.
///
/// # Errors
/// When a setting is wrong.
pub fn out_of_reach(
    settings: &Settings,
    models: &Models,
    public_url: &str,
) -> Result<Vec<String>, Error> {
    let files = Config::read(settings)?.files;
    let all_inline = files.passed_as == PassedAs::Inline && files.inline_bytes >= files.max_bytes;
    if all_inline || is_public(public_url) {
        return Ok(Vec::new());
    }
    let accesses = accesses(settings, models, None)?;
    let is_out_there = |name: &&str| {
        let access = accesses.access(Mode::Live, name);
        access.is_some_and(|access| is_public(access.base_url.as_str()))
    };
    let names: BTreeSet<&str> = routes(&models.catalogue)
        .filter(|(_, route)| !providers::GIVEN_BYTES.contains(&route.adapter.as_str()))
        .map(|(_, route)| route.provider.as_str())
        .filter(is_out_there)
        .collect();
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// The routes of every model that media serves.
fn routes(catalogue: &Catalogue) -> impl Iterator<Item = (&str, &ProviderRoute)> {
    let models = catalogue.models().iter();
    models
        .filter(|model| !matches!(model.category, Category::Chat | Category::Embedding))
        .flat_map(|model| {
            model
                .providers
                .iter()
                .map(|route| (model.slug.as_str(), route))
        })
}

/// Their providers; some come twice.
fn providers_of(catalogue: &Catalogue) -> impl Iterator<Item = &str> {
    routes(catalogue).map(|(_, route)| route.provider.as_str())
}

/// How to reach the providers of those routes.
fn accesses(
    settings: &Settings,
    models: &Models,
    sandbox: Option<&str>,
) -> Result<Providers, chassis::config::Error> {
    let names = providers_of(&models.catalogue);
    let mut accesses = Providers::read(settings, names, sandbox)?;
    for (_, route) in routes(&models.catalogue) {
        if let Some(wire) = models.declared.wire(&route.adapter) {
            accesses = accesses.speaking(&route.provider, wire);
        }
    }
    Ok(accesses)
}

// === impl Models ===

impl Models {
    /// The providers, with what their files say of when they want to be looked at.
    fn polls(&self) -> HashMap<&str, Poll> {
        let poll = |route: &ProviderRoute| self.declared.poll(&route.adapter).unwrap_or_default();
        routes(&self.catalogue)
            .map(|(_, route)| (route.provider.as_str(), poll(route)))
            .collect()
    }

    /// Refuses a model of media's that names an adapter which does not exist.
    ///
    /// # Errors
    /// When there is one.
    pub fn check(&self) -> Result<(), Error> {
        let has = |adapter: &str| {
            providers::BUILT_IN.contains(&adapter) || self.declared.wire(adapter).is_some()
        };
        let mut routes = routes(&self.catalogue);
        match routes.find(|(_, route)| !has(&route.adapter)) {
            None => Ok(()),
            Some((model, route)) => Err(Error::Setting(chassis::config::Error::Setting(format!(
                "the model {model} names the adapter {}, which does not exist",
                route.adapter
            )))),
        }
    }
}

impl std::ops::Deref for Media {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
