//! Orders: credit that is bought or redeemed. The map:
//!
//! | file | what |
//! | --- | --- |
//! | `create.rs` | packs, orders, and the page at Stripe where one is paid |
//! | `webhook.rs` | an event of Stripe's: checked (`signature.rs`), read (`event.rs`), the payment looked at (`stripe.rs`), booked |
//! | `state.rs` | what a payment means for the books. Pure |
//! | `book.rs` | one transaction: event, facts, transfers, order; and taking what an account owes |
//! | `told.rs` | what webhooks tell of it, noted in that transaction |
//! | `collect.rs` | again and again: what is owed is taken when it is there |
//! | `codes.rs`, `redeem.rs` | redeem codes |
//! | `reset.rs` | the test balance back to its default |
//!
//! What is always true: an order's credit is booked once, whatever comes how often in whatever order; what was booked for a
//! refund or a dispute is what `state` says of all that Stripe was ever seen to say; and no reversal takes what is not there.

mod book;
mod codes;
mod collect;
mod config;
mod create;
mod error;
pub(crate) mod event;
mod metrics;
mod redeem;
mod reset;
mod rpc;
pub(crate) mod signature;
pub(crate) mod state;
mod stripe;
mod told;
mod webhook;

pub use config::{Codes as CodesConfig, Config as OrdersConfig, Pack, Stripe as StripeConfig};
pub use error::Refusal as OrderRefusal;
pub(crate) use {book::BY_ORDER, redeem::BY_CODE, reset::RESET};

use std::sync::Arc;

use chassis::{Tasks, config::Settings, secrets::KeyMac};
use db::Db;
use prometheus_client::registry::Registry;

use self::{metrics::Metrics, stripe::Stripe};
use crate::{Config, Error};

/// Orders, to be called. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Orders {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    db: Db,
    config: Arc<Config>,
    key_mac: KeyMac,
    /// Nothing, where no key is configured.
    stripe: Option<Stripe>,
    metrics: Metrics,
}

/// What orders are made of.
pub(crate) struct Parts<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) db: &'a Db,
    pub(crate) config: &'a Arc<Config>,
    pub(crate) key_mac: &'a KeyMac,
    pub(crate) tasks: &'a Tasks,
}

// === impl Orders ===

impl Orders {
    /// Starts the collector.
    ///
    /// # Errors
    /// When a setting is wrong.
    pub(crate) fn start(parts: &Parts<'_>, registry: &mut Registry) -> Result<Self, Error> {
        let limits = parts.settings.section("limits.upstream")?;
        let inner = Inner {
            db: parts.db.clone(),
            config: Arc::clone(parts.config),
            key_mac: parts.key_mac.clone(),
            stripe: Stripe::open(&parts.config.orders.stripe, &limits)?,
            metrics: Metrics::register(registry),
        };
        let orders = Self {
            inner: Arc::new(inner),
        };
        collect::run(&orders, parts.tasks);
        Ok(orders)
    }

    /// The way to Stripe.
    fn stripe(&self) -> Result<&Stripe, Error> {
        let missing = OrderRefusal::NotConfigured("orders.stripe.api_key", "STRIPE_API_KEY");
        Ok(self.inner.stripe.as_ref().ok_or(missing)?)
    }
}
