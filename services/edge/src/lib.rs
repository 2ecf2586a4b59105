//! The edge: HTTP in, HTTP out. It knows keys, limits, the shapes of requests, statuses and event streams; what a request
//! costs and what becomes of it, other services decide. It keeps nothing: it may be killed and replaced at any time.
//!
//! A request passes, in this order:
//!
//! 1. [`router`]: the one table of URLs.
//! 2. `observe`: the request's id, and at the end the answer's headers, its failure in words, and the count.
//! 3. `auth` (with `keys`, what is remembered of them): who asks. A handler's signature says what it needs.
//! 4. `limits`: requests per minute, open requests.
//! 5. `http/*`: one handler per route, with `body` to read and `sse` to stream.
//! 6. `error`: the only place where a failure becomes a status, by the table in `proto`.

mod anthropic;
mod auth;
mod body;
mod config;
mod error;
mod http;
mod keys;
mod limits;
mod metrics;
mod observe;
mod openapi;
mod responses;
pub mod router;
mod sse;
mod ticket;
mod translate;
mod wire;

use std::sync::Arc;

use axum::{Router, extract::FromRef};
use bytes::Bytes;
use chassis::{LinkSigner, Overload, Tasks, config::Settings, rpc::Channel};
use domain::Catalogue;
use live::SharedLive;
use prometheus_client::registry::Registry;
use proto::{
    billing::v1::{
        billing_caller::BillingCaller, keys_caller::KeysCaller, orders_caller::OrdersCaller,
        prices_caller::PricesCaller, usage_caller::UsageCaller,
    },
    chat::v1::chat_caller::ChatCaller,
    media::v1::{
        files_client::FilesClient, media_caller::MediaCaller, operators_caller::OperatorsCaller,
    },
    webhooks::v1::{manage_caller::ManageCaller, webhooks_caller::WebhooksCaller},
};
use tokio::sync::Semaphore;
use tracing::info_span;

use self::{
    auth::Identity,
    http::{doubt::Doubt, models::Listings},
    keys::Keys,
    limits::Slots,
    metrics::Metrics,
};
pub use self::{
    config::{Bodies, Config, Deadlines, KeyCache, Limits, Rates, Server, Streams},
    http::health::{MetricsText, Readiness, Ready, health_router},
};

/// Bytes of the largest message another service may answer with: a whole chat answer with pictures in it.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// What the edge is made of.
pub struct Deps {
    /// What it was told: [`Config`].
    pub settings: Settings,
    /// Billing.
    pub billing: Channel,
    /// Chat. Its server must take messages of [`Bodies::chat`] and a little more.
    pub chat: Channel,
    /// Media.
    pub media: Channel,
    /// Webhooks.
    pub webhooks: Channel,
    /// Snapshots of tasks, rates, slots, notices.
    pub live: SharedLive,
    /// The models.
    pub catalogue: Arc<Catalogue>,
    /// Checks links to outputs.
    pub links: LinkSigner,
    /// Whether the process can serve, for `/readyz`.
    pub ready: Ready,
    /// Where its work runs.
    pub tasks: Tasks,
}

/// Why the edge could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting has a wrong value.
    #[error(transparent)]
    Config(#[from] chassis::config::Error),
    /// A model cannot be written as JSON.
    #[error("cannot write the list of models")]
    Listing(#[from] serde_json::Error),
}

/// The edge.
#[derive(Clone)]
pub struct Edge {
    app: Arc<App>,
}

/// What every request may use.
struct App {
    clients: Clients,
    live: SharedLive,
    catalogue: Arc<Catalogue>,
    prepared: Prepared,
    links: LinkSigner,
    keys: Arc<Keys>,
    operator: Arc<Identity>,
    slots: Arc<Slots>,
    config: Config,
    metrics: Metrics,
    ready: Ready,
    tasks: Tasks,
}

/// What answers are made of and is the same in all of them.
struct Prepared {
    listings: Listings,
    /// `GET /openapi.json`.
    openapi: Bytes,
    page_policy: String,
    /// For answers with pictures in them, which are put together in memory.
    inline_places: Semaphore,
}

/// The other services. A call takes a caller of its own: cloning one costs next to nothing.
struct Clients {
    billing: BillingCaller,
    keys: KeysCaller,
    usage: UsageCaller,
    orders: OrdersCaller,
    prices: PricesCaller,
    chat: ChatCaller,
    media: MediaCaller,
    files: FilesClient<Channel>,
    operators: OperatorsCaller,
    webhooks: WebhooksCaller,
    manage: ManageCaller,
    /// Whether media is there, while billing is not.
    doubt: Doubt,
}

/// Which listener a request came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    /// Anybody's: a key says who asks.
    Public,
    /// The operator's socket: who can open it is the operator.
    Operator,
}

/// The state of a router.
#[derive(Clone)]
struct Gate {
    app: Arc<App>,
    door: Door,
}

/// What the API says of itself, as `GET /openapi.json` serves it: for whoever shows it to people.
///
/// # Errors
/// Never in practice; serde's signature has one.
pub fn openapi(catalogue: &Catalogue, public_url: &str) -> Result<Bytes, Error> {
    Ok(openapi::document(catalogue, Some(public_url))?)
}

// === impl Edge ===

impl Edge {
    /// Starts the edge, which follows revocations of keys until told to stop.
    ///
    /// # Errors
    /// When a setting has a wrong value, or the list of models cannot be written.
    pub fn start(deps: Deps, registry: &mut Registry) -> Result<Self, Error> {
        let config = Config::read(&deps.settings)?;
        let metrics = Metrics::register(registry);
        let usage =
            UsageCaller::new(deps.billing.clone()).max_decoding_message_size(LARGEST_ANSWER);
        let keys_client = KeysCaller::new(deps.billing.clone());
        let orders = OrdersCaller::new(deps.billing.clone());
        let prices =
            PricesCaller::new(deps.billing.clone()).max_decoding_message_size(LARGEST_ANSWER);
        let billing = BillingCaller::new(deps.billing).max_decoding_message_size(LARGEST_ANSWER);
        let limits = &config.limits;
        let keys = Arc::new(Keys::new(
            &limits.key_cache,
            billing.clone(),
            limits.deadlines.billing,
            metrics.clone(),
        ));
        let (follower, live, tasks) = (
            Arc::clone(&keys),
            Arc::clone(&deps.live),
            deps.tasks.clone(),
        );
        deps.tasks.spawn_loop(info_span!("revocations"), move || {
            Arc::clone(&follower).follow(live.notices(), tasks.clone())
        });
        let slots = Slots::new(
            Arc::clone(&deps.live),
            limits.rates.clone(),
            Overload::watch(limits.overload.clone(), &deps.tasks),
            deps.tasks.clone(),
        );
        slots.keep();
        let app = App {
            clients: Clients {
                billing,
                keys: keys_client.max_decoding_message_size(LARGEST_ANSWER),
                usage,
                orders,
                prices,
                chat: ChatCaller::new(deps.chat).max_decoding_message_size(LARGEST_ANSWER),
                operators: OperatorsCaller::new(deps.media.clone())
                    .max_decoding_message_size(LARGEST_ANSWER),
                files: FilesClient::new(deps.media.clone())
                    .max_decoding_message_size(LARGEST_ANSWER),
                media: MediaCaller::new(deps.media).max_decoding_message_size(LARGEST_ANSWER),
                manage: ManageCaller::new(deps.webhooks.clone())
                    .max_decoding_message_size(LARGEST_ANSWER),
                webhooks: WebhooksCaller::new(deps.webhooks),
                doubt: Doubt::default(),
            },
            live: deps.live,
            prepared: Prepared {
                listings: Listings::new(&deps.catalogue)?,
                openapi: openapi::document(&deps.catalogue, config.server.public_url.as_deref())?,
                page_policy: http::welcome::policy(),
                inline_places: Semaphore::new(limits.bodies.inline_at_once),
            },
            catalogue: deps.catalogue,
            links: deps.links,
            keys,
            operator: Arc::new(Identity::operator()),
            slots,
            config,
            metrics,
            ready: deps.ready,
            tasks: deps.tasks,
        };
        Ok(Self { app: Arc::new(app) })
    }

    /// Everything, for the public listener.
    pub fn router(&self) -> Router {
        self.behind(Door::Public)
    }

    /// The operator's routes, without a key: only for a socket that nobody but the operator can open.
    pub fn operator_router(&self) -> Router {
        self.behind(Door::Operator)
    }

    fn behind(&self, door: Door) -> Router {
        router::router(Gate {
            app: Arc::clone(&self.app),
            door,
        })
    }
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge").finish_non_exhaustive()
    }
}

// === impl Gate ===

impl FromRef<Gate> for Arc<App> {
    fn from_ref(gate: &Gate) -> Self {
        Self::clone(&gate.app)
    }
}
