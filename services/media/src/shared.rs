//! What the rooms of media share: made once in `lib.rs`, passed down.

use std::sync::Arc;

use chassis::{Tasks, config, secrets::Secrets};
use db::{Db, Relay};
use domain::Catalogue;
use live::SharedLive;
use proto::{
    billing::v1::{billing_caller::BillingCaller, prices_caller::PricesCaller},
    webhooks::v1::webhooks_caller::WebhooksCaller,
};
use queue::SharedQueue;
use tokio::sync::OnceCell;
use upstream::GuardedClient;

use crate::{
    config::Limits, listen::Listeners, metrics::Metrics, outputs::Outputs, pace::Pace,
    providers::Providers, uploads::Uploads, view::Viewer,
};

/// What every room of media needs.
pub struct Shared {
    pub(crate) db: Db,
    pub(crate) relay: Relay,
    pub(crate) config: Limits,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) secrets: Secrets,
    pub(crate) viewer: Viewer,
    pub(crate) providers: Providers,
    pub(crate) accesses: config::Providers,
    pub(crate) kept: Kept,
    pub(crate) guard: GuardedClient,
    pub(crate) peers: Peers,
    pub(crate) metrics: Metrics,
}

/// What media keeps beside its rows.
pub(crate) struct Kept {
    pub(crate) outputs: Outputs,
    pub(crate) uploads: Uploads,
}

/// Whom media talks to.
pub(crate) struct Peers {
    pub(crate) billing: BillingCaller,
    pub(crate) prices: PricesCaller,
    /// Whether billing keeps the catalogue's price list: any receipt can then be computed again.
    pub(crate) list_kept: OnceCell<()>,
    pub(crate) webhooks: WebhooksCaller,
    pub(crate) queue: SharedQueue,
    pub(crate) live: SharedLive,
    pub(crate) tasks: Tasks,
    /// How much of the providers is asked, and when.
    pub(crate) pace: Pace,
    /// Who listens.
    pub(crate) listeners: Listeners,
}
