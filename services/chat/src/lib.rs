//! chat: one chat request, from the customer's JSON to the charged answer.
//!
//! | file | what |
//! |---|---|
//! | `rpc.rs` | wire to domain and back; no decisions |
//! | `complete.rs` | **the use case**: plan, hold, ask, meter, keep, charge, answer; all the branching |
//! | `keyed.rs` | before it, for a request with an Idempotency-Key: run it, replay it, wait for it, or take it over |
//! | `replay.rs` | what such a key stands for, and what to do when it comes again. Pure |
//! | `claim.rs`, `kept.rs` | a request's right to its key, under a lease; the answer as it is kept for it |
//! | `recall.rs` | before it as well, for a request that asks for the answer that an equal one was given: gives that, or runs it |
//! | `cache.rs`, `lasting.rs` | answers that are kept for equal requests, sealed; which may be given again, which is pure |
//! | `responses.rs` | responses that are kept, sealed, so that they can be continued |
//! | `store/` | the SQL: the tables `replay`, `response` and `cached` |
//! | `sweep.rs` | gives back what dead processes held; forgets what is kept no longer |
//! | `quote.rs` | what a request would cost: the same plan, and nothing held |
//! | `plan.rs` | what is settled before any money moves: request, candidates, bounds. Pure |
//! | `offer.rs` | the models a request names, and who is asked for them, by its wishes. Pure, but for whose turn it is |
//! | `surface.rs` | the routes served here: chat, by three names, and embeddings |
//! | `request.rs`, `request/` | the customer's JSON, read without a tree of it; all violations at once. Pure |
//! | `urls.rs` | the URLs that its messages name: none may lead inside |
//! | `edit.rs` | the provider's body: the customer's bytes with the fewest edits. Pure |
//! | `bound.rs` | how many tokens a request can use at most, and what the balance affords. Pure |
//! | `route.rs`, `candidate.rs`, `tiers.rs` | which providers can serve a model, with which credentials; whose turn it is |
//! | `health.rs`, `breaker.rs` | whether a credential is asked after failures: the rules, pure; the state that requests share |
//! | `speed.rs` | how soon a candidate answered lately, and whom that puts first. Pure |
//! | `bulkhead.rs`, `budget.rs` | how many requests may be open at a provider; how many calls beside the first an outage may cost |
//! | `billing.rs`, `open_hold.rs` | billing: keep the price list, set credit aside; capture or release it, exactly once |
//! | `files.rs` | files that customers uploaded: looked at before the hold, put into the request before a provider is asked |
//! | `attempt.rs` | one candidate after another, only before the first byte |
//! | `meter.rs` | hands the stream on and counts; keeps the last events back |
//! | `scan.rs`, `usage.rs`, `bill.rs` | what an event holds, what a provider reports, what it costs. Pure |
//! | `estimate.rs`, `text.rs`, `tokens/` | what was used where a provider reports nothing: our own tokenizer, and what it counts |
//! | `limit.rs` | how much output was allowed, whose limit that was, and what an answer says that reaches it. Pure |
//! | `reply.rs` | `credits_consumed` beside `usage`, the model by our name, and what else is added. Pure |
//! | `listener.rs` | the way back to whoever asked: bounded, patient for a while |
//! | `story.rs`, `figures.rs` | what traces and figures are told of a request: by OpenTelemetry's conventions for generative models |
//! | `providers.rs`, `providers/` | one file per wire protocol of a provider |
//! | `config.rs`, `error.rs`, `fault.rs`, `metrics.rs` | settings, errors of the start and of the database, failures that may leave the house, figures |
//!
//! Invariants:
//! * Nothing is asked of a provider before its highest price is held, and nothing is charged beyond the hold.
//! * The last bytes (usage event and `[DONE]`, or the JSON body) leave only after the charge is booked.
//! * After the hold the work lives in a task of its own: a caller that goes away stops the provider and pays for what came.
//! * A hold is settled exactly once: [`open_hold`] releases what nobody settled.
//! * With an Idempotency-Key: an answer is given only when billing says that its hold is captured, and a key goes to another run only
//!   when billing says that the hold of the run before has ended. A request without one touches no SQL, unless it
//!   asks the cache (`recall.rs`), or its answer is to be kept as a response (`responses.rs`): that is another call, behind the charge.
//! * What the cache gives costs nothing, and it is kept only behind the charge, when its reader has all of it.
//! * Customers' content is in no log, metric, receipt or error, and sealed in the database.

mod attempt;
mod bill;
mod billing;
mod bound;
mod breaker;
mod budget;
mod bulkhead;
mod cache;
mod candidate;
mod claim;
mod complete;
mod config;
mod edit;
mod error;
mod estimate;
mod fault;
mod figures;
mod files;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod kept;
mod keyed;
mod lasting;
mod limit;
mod listener;
mod meter;
mod metrics;
mod offer;
mod open_hold;
mod plan;
mod providers;
mod quote;
mod recall;
mod replay;
mod reply;
mod request;
mod responses;
mod route;
mod rpc;
mod scan;
mod speed;
mod store;
mod story;
mod surface;
mod sweep;
mod text;
mod tiers;
mod tokens;
mod urls;
mod usage;

use std::sync::Arc;

use chassis::{Tasks, config::Settings, rpc::Channel, secrets::Secrets};
use db::{Db, Migration};
use domain::Catalogue;
use prometheus_client::registry::Registry;
use proto::chat::v1::{
    chat_caller, chat_server::ChatServer, operators_caller, operators_server::OperatorsServer,
};
use upstream::{GuardedClient, ProviderClient, Purpose};

use crate::{
    billing::Billing,
    cache::Cache,
    claim::Replays,
    figures::Figures,
    files::Files,
    metrics::Metrics,
    responses::Responses,
    route::{Care, Routes},
};
pub use crate::{
    config::{
        BillingLimits, BreakerLimits, CacheLimits, CallLimits, Config, EstimateLimits, ExtraCalls,
        FailoverLimits, InFlightLimits, InputLimits, ReplayLimits, ResponseLimits, SpeedLimits,
    },
    error::{Error, StoreError},
    rpc::Rpc,
};

/// The schema of chat on a server: its name, for [`db::Postgres`] and [`db::Schema`].
pub const SCHEMA: &str = "chat";
/// What its schema is made of, in order, for [`Db::open`], [`Db::connect`] and [`db::migrate`].
pub const MIGRATIONS: &[Migration] = &[
    Migration::both(1, "replay", include_str!("../migrations/0001_replay.sql")),
    Migration::both(
        2,
        "response",
        include_str!("../migrations/0002_response.sql"),
    ),
    Migration::both(3, "cache", include_str!("../migrations/0003_cache.sql")),
];

/// What the service is made of.
pub struct Deps {
    /// Where `limits.chat`, `limits.inputs`, `limits.responses`, `limits.cache`, `limits.upstream`, `egress` and `providers.<name>` are read from.
    pub settings: Settings,
    /// Its own database, made with [`MIGRATIONS`].
    pub db: Db,
    /// The installation's secrets.
    pub secrets: Secrets,
    /// Every model; only those of category chat are served here.
    pub catalogue: Arc<Catalogue>,
    /// The way to billing.
    pub billing: Channel,
    /// The way to media, which keeps the files that customers upload.
    pub media: Channel,
    /// Where the sandbox is, without a path: `http://127.0.0.1:9105`. `None`: test keys are not served.
    pub sandbox_url: Option<String>,
    /// Where the work is spawned.
    pub tasks: Tasks,
}

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Chat {
    service: Arc<Service>,
}

/// What every request needs.
pub(crate) struct Service {
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) routes: Routes,
    pub(crate) billing: Arc<Billing>,
    pub(crate) replays: Arc<Replays>,
    pub(crate) responses: Responses,
    pub(crate) cache: Cache,
    pub(crate) files: Files,
    pub(crate) guard: GuardedClient,
    pub(crate) config: Config,
    pub(crate) tasks: Tasks,
    pub(crate) metrics: Metrics,
    pub(crate) figures: Figures,
}

// === impl Chat ===

impl Chat {
    /// Reads the settings, puts the service together and starts its sweeper. Each request brings its own task.
    ///
    /// # Errors
    /// When a setting is wrong, a chat model of the catalogue names an adapter that does not exist, or the database fails.
    pub async fn start(deps: Deps, registry: &mut Registry) -> Result<Self, Error> {
        let config = Config::read(&deps.settings)?;
        let kept = ResponseLimits::read(&deps.settings)?;
        let cache = CacheLimits::read(&deps.settings)?;
        let metrics = Metrics::register(registry);
        let figures = Figures::register(registry, &deps.catalogue);
        let client = ProviderClient::new(&config.calls.upstream).map_err(Error::Upstream)?;
        let guard = GuardedClient::new(&config.calls.egress).map_err(Error::Upstream)?;
        let guard = guard.on_behalf_of(Purpose::Input);
        guard.register(registry, "aio_chat_egress_refusals");
        let adapters = providers::adapters(&client, &guard, &config);
        let routes = Routes::build(
            &deps.catalogue,
            &deps.settings,
            (deps.sandbox_url.as_deref(), &adapters),
            Care {
                config: &config,
                metrics: &metrics,
            },
        )?;
        let billing = Billing::new(
            deps.billing,
            Arc::clone(&deps.catalogue),
            config.billing.clone(),
            deps.tasks.clone(),
            metrics.clone(),
        );
        let sealer = deps.secrets.content().clone();
        let responses = Responses::new(deps.db.clone(), sealer.clone(), kept);
        let mac = deps.secrets.key_mac().clone();
        let cache = Cache::new(deps.db.clone(), sealer.clone(), mac, cache);
        let replays = Replays::new(deps.db, sealer, config.replay.clone());
        let service = Arc::new(Service {
            catalogue: deps.catalogue,
            routes,
            billing: Arc::new(billing),
            replays: Arc::new(replays),
            responses,
            cache,
            files: Files::new(deps.media, config.calls.inputs.clone()),
            guard,
            config,
            tasks: deps.tasks,
            metrics,
            figures,
        });
        sweep::forget_the_dead(&service).await?;
        sweep::start(&service, &service.tasks);
        Ok(Self { service })
    }

    /// A way to it within this process.
    pub fn channel(&self) -> Channel {
        let here = || Rpc::new(Arc::clone(&self.service));
        chassis::rpc::in_process(self.routes())
            .with(chat_caller::here(here()))
            .with(operators_caller::here(here()))
    }

    /// Everything that others call, to be wrapped for calls in this process or over the network.
    pub fn routes(&self) -> tonic::service::Routes {
        let rpc = Rpc::new(Arc::clone(&self.service));
        tonic::service::Routes::new(self.rpc_server())
            .add_service(OperatorsServer::new(rpc))
            .prepare()
    }

    /// The server side of `aio.chat.v1.Chat`, to be wrapped by `chassis::rpc::in_process` or put on a listener.
    pub fn rpc_server(&self) -> ChatServer<Rpc> {
        ChatServer::new(Rpc::new(Arc::clone(&self.service)))
            .max_decoding_message_size(self.service.config.max_message_bytes)
    }
}
