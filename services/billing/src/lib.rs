//! Billing: accounts, keys and the ledger. Owns every table in `migrations/`.
//!
//! What is always true: a balance's `posted - held` never falls below zero; a hold is closed once, and charges at most what
//! it set aside; every change of posted credit has two entries that sum to zero; whatever comes twice happens once.
//!
//! The map: `rpc` (wire) calls the use cases `authenticate`, `hold`, `settle`, `balance`, `credits`, `account`, `audit`, `usage`, and
//! those about keys below `key`; `audit_log` keeps who changed what; operations on the ledger go through `lane` (batches, one commit each) to `store::ledger` (load, decide, write), and what
//! happens is decided by the pure `ledger`. `sweep` ends chat holds that nobody settled. `resend` sends again what was cut off.
//! Behind the ledger (`job`), `project` sums up what customers look at (`usage`) and operators do (`overview`), `movements` numbers what moved each
//! balance, `lots` looks after credit that expires, `alert` notes who
//! runs low and `caps` whose key has spent what it may, `news` has webhooks tell what is noted, and `seal` chains the entries.
//!
//! Any number of processes may serve any account of one PostgreSQL database: the balances' row locks keep them in turn.
#![warn(clippy::arithmetic_side_effects)]

mod account;
mod alert;
mod audit;
mod audit_log;
mod authenticate;
mod balance;
mod caps;
mod config;
mod credits;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod hold;
mod job;
mod key;
mod lane;
pub mod ledger;
mod lots;
mod metrics;
mod movements;
mod news;
mod orders;
mod overview;
mod prices;
mod project;
mod resend;
mod rpc;
mod schema;
mod seal;
mod settle;
mod store;
mod sweep;
mod usage;

pub use account::{NewAccount, Standing};
pub use audit::{Check, Verdict, verdict};
pub use audit_log::By;
pub use authenticate::Identity;
pub use config::{Accounts, Audits, Config, Jobs, Limits};
pub use credits::CreditsRequest;
pub use error::{Denial, Error, Purse, StartError};
pub use hold::{Held, HoldRequest, Life};
pub use key::{CreatedKey, NewKey};
pub use lane::Ledger;
pub use ledger::Caps;
pub use movements::{Kind as MovementKind, Movement};
pub use orders::{CodesConfig, OrderRefusal, Orders, OrdersConfig, Pack, StripeConfig};
pub use prices::rpc::PricesRpc;
pub use schema::{APPEND_ONLY, MIGRATIONS};
pub use settle::{Outcome, SettleRequest};
pub use store::{
    AccountRow, AuditLogRow, LotRow, OpenHoldRow, OperationRow, Page, PriceListRow, TagId,
};
pub use usage::{Group, Span, Sum};

use std::sync::Arc;

use chassis::{Tasks, config::Settings, rpc::Channel, secrets::KeyMac};
use db::Db;
use domain::{AccountId, KeyId, OperationId, Secret};
use prometheus_client::registry::Registry;
use proto::billing::v1::{
    billing_caller, billing_server::BillingServer, keys_caller, keys_server::KeysServer,
    operators_caller, orders_caller, orders_server::OrdersServer, prices_caller,
    prices_server::PricesServer, usage_caller, usage_server::UsageServer,
};
use tonic::service::Routes;

use crate::{
    key::Asker,
    ledger::{Balance, BalanceId},
    lots::Lots,
    metrics::Metrics,
    movements::Movements,
    project::Projection,
};

/// What billing needs.
#[derive(Clone, Debug)]
pub struct Deps {
    /// The whole configuration; billing reads its own sections.
    pub settings: Settings,
    /// Billing's own database, at the version of [`MIGRATIONS`].
    pub db: Db,
    /// Computes the MACs under which keys are kept.
    pub key_mac: KeyMac,
    /// The way to webhooks, who tell customers what becomes of their money.
    pub webhooks: Channel,
    /// Where its workers run.
    pub tasks: Tasks,
}

/// The service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Billing {
    db: Db,
    key_mac: KeyMac,
    config: Arc<Config>,
    ledger: Ledger,
    projection: Arc<Projection>,
    lots: Arc<Lots>,
    movements: Arc<Movements>,
    orders: Orders,
    operator: AccountId,
}

// === impl Billing ===

impl Billing {
    /// Makes the operator's account if there is none, and starts the lanes and the sweeper.
    ///
    /// # Errors
    /// When a setting is wrong, or the database failed.
    pub async fn start(deps: Deps, registry: &mut Registry) -> Result<Self, Error> {
        let Deps {
            settings,
            db,
            key_mac,
            webhooks,
            tasks,
        } = deps;
        let config = Arc::new(Config::read(&settings)?);
        let metrics = Metrics::register(registry);
        let operator = account::operator_account(&db, &config).await?;
        let ledger = Ledger::start(&db, &Arc::new(config.limits.clone()), &metrics, &tasks);
        sweep::count_open(&db, &ledger).await?;
        sweep::run(&db, &ledger, &tasks);
        let projection = Arc::new(Projection::new(&db, &config.limits));
        project::run(Arc::clone(&projection), &config.limits, &tasks);
        seal::run(&db, &config.limits, &tasks);
        let lots = Arc::new(Lots::new(&db, &ledger));
        lots::run(Arc::clone(&lots), &config.limits, &tasks);
        let movements = Arc::new(Movements::new(&db, &config.limits));
        movements::run(Arc::clone(&movements), &config.limits, &tasks);
        news::forget_the_dead(&db).await?;
        let relay = news::run(&db, &config, webhooks, &tasks);
        alert::run(&db, &config.limits, relay.clone(), &tasks);
        let every = config.limits.jobs.alert_every;
        caps::run(ledger.refused(), &db, every, relay, &tasks);
        let parts = orders::Parts {
            settings: &settings,
            db: &db,
            config: &config,
            key_mac: &key_mac,
            tasks: &tasks,
        };
        let orders = Orders::start(&parts, registry)?;
        Ok(Self {
            db,
            key_mac,
            config,
            ledger,
            projection,
            lots,
            movements,
            orders,
            operator,
        })
    }

    /// Every service of billing, to be called in process or over the network.
    pub fn routes(&self) -> Routes {
        Routes::new(self.rpc_server())
            .add_service(self.keys_server())
            .add_service(self.orders_server())
            .add_service(self.prices_server())
            .add_service(self.usage_server())
            .add_service(self.operators_server())
            .prepare()
    }

    /// A way to every service of billing within this process.
    pub fn channel(&self) -> Channel {
        chassis::rpc::in_process(self.routes())
            .with(billing_caller::here(self.clone()))
            .with(keys_caller::here(self.clone()))
            .with(orders_caller::here(self.orders.clone()))
            .with(prices_caller::here(PricesRpc(self.clone())))
            .with(usage_caller::here(self.clone()))
            .with(operators_caller::here(self.clone()))
    }

    /// The service about what was used.
    pub fn usage_server(&self) -> UsageServer<Self> {
        UsageServer::new(self.clone())
            .max_decoding_message_size(self.config.limits.input.max_message_bytes)
    }

    /// The service about accounts and the ledger.
    pub fn rpc_server(&self) -> BillingServer<Self> {
        // What it answers is its own: a page of accounts is its longest message.
        BillingServer::new(self.clone())
            .max_decoding_message_size(self.config.limits.input.max_message_bytes)
    }

    /// The service about prices.
    pub fn prices_server(&self) -> PricesServer<PricesRpc> {
        PricesServer::new(PricesRpc(self.clone()))
            .max_decoding_message_size(self.config.limits.input.max_message_bytes)
    }

    /// The service about keys.
    pub fn keys_server(&self) -> KeysServer<Self> {
        KeysServer::new(self.clone())
            .max_decoding_message_size(self.config.limits.input.max_message_bytes)
    }

    /// The generated server of orders and codes.
    pub fn orders_server(&self) -> OrdersServer<Orders> {
        OrdersServer::new(self.orders.clone())
            .max_decoding_message_size(self.config.limits.input.max_message_bytes)
    }

    /// Orders and codes.
    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    /// The way to the ledger: `hold` and `settle`.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The operator's own account.
    pub fn operator(&self) -> AccountId {
        self.operator
    }

    /// Makes the value of `AIO_BOOTSTRAP_KEY` the operator's key, once; later changes are ignored with a warning.
    ///
    /// # Errors
    /// When the text is not a well-formed live key, or the database failed.
    pub async fn bootstrap(&self, key: &Secret) -> Result<(), Error> {
        account::bootstrap_key(&self.db, &self.key_mac, key).await
    }

    /// Says who is behind a key.
    ///
    /// # Errors
    /// When the key opens nothing, or the database failed.
    pub async fn authenticate(&self, key: &str) -> Result<Identity, Error> {
        authenticate::authenticate(&self.db, &self.key_mac, key).await
    }

    /// Looks at a balance.
    ///
    /// # Errors
    /// When there is no such account, or the database failed.
    pub async fn balance(&self, id: BalanceId) -> Result<Balance, Error> {
        balance::balance(&self.db, id).await
    }

    /// Lists accounts in the order they were made.
    ///
    /// # Errors
    /// When the database failed.
    pub async fn list_accounts(
        &self,
        after: Option<AccountId>,
        limit: u32,
    ) -> Result<Vec<AccountRow>, Error> {
        account::list_accounts(&self.db, after, limit).await
    }

    /// Gives or takes credit.
    ///
    /// # Errors
    /// When more would be taken than is available, the id was used for something else, a text is too long, or the database
    /// failed.
    pub async fn add_credits(&self, request: CreditsRequest) -> Result<(), Error> {
        credits::credits(&self.db, &self.config.limits, request).await
    }

    /// Makes a key, as an operator does.
    ///
    /// # Errors
    /// When there is no such account, a field has a value that is not allowed, or the database failed.
    pub async fn create_key(&self, wanted: NewKey) -> Result<CreatedKey, Error> {
        let limits = &self.config.limits;
        let asker = Asker::Operator(By::operator());
        key::create_key(&self.db, &self.key_mac, limits, &asker, wanted).await
    }

    /// Revokes a key, as an operator does.
    ///
    /// # Errors
    /// When there is no such key, or the database failed.
    pub async fn revoke_key(&self, id: KeyId) -> Result<(), Error> {
        key::revoke_key(&self.db, Asker::Operator(By::operator()), id).await
    }

    /// Replays every entry and checks the promises about money.
    ///
    /// # Errors
    /// When the database failed.
    pub async fn audit(&self) -> Result<Vec<Check>, Error> {
        audit::audit(&self.db, &self.ledger).await
    }

    /// Stops an account, or lets it go on: while it is stopped nothing new is held, in either mode; what is held ends as ever.
    ///
    /// # Errors
    /// When there is no such account, or the database failed.
    pub async fn set_standing(
        &self,
        account: AccountId,
        standing: Standing,
        by: By,
    ) -> Result<(), Error> {
        account::set_standing(&self.db, account, standing, by).await
    }

    /// Sums up what was used.
    ///
    /// # Errors
    /// When the database failed.
    pub async fn usage(&self, span: Span, groups: &[Group]) -> Result<Vec<Sum>, Error> {
        usage::usage(&self.db, span, groups).await
    }

    /// A page of operations that have ended, the newest first.
    ///
    /// # Errors
    /// When the database failed.
    pub async fn operations(&self, page: Page) -> Result<Vec<OperationRow>, Error> {
        usage::operations(&self.db, page).await
    }

    /// One operation that has ended, and its receipt as JSON; empty if nobody explained it.
    ///
    /// # Errors
    /// When there is no such operation of this balance, or the database failed.
    pub async fn receipt(
        &self,
        balance: BalanceId,
        operation: OperationId,
    ) -> Result<(OperationRow, String), Error> {
        usage::receipt(&self.db, balance, operation).await
    }

    /// Sums up what has ended by now, and says how much that was. The service does this by itself, again and again.
    ///
    /// # Errors
    /// When the database failed.
    pub async fn catch_up(&self) -> Result<usize, Error> {
        self.projection.catch_up().await
    }

    /// Notes which balances have fallen below what their customers named, and says how many; they are told then. The service does
    /// this by itself, again and again.
    ///
    /// # Errors
    /// When the database failed.
    pub async fn look_at_alerts(&self) -> Result<usize, Error> {
        alert::look(&self.db).await
    }

    /// Notes which keys have spent what they may, of those that were refused something, and says how many caps those were; they are told
    /// then. The service does this by itself, a while after each refusal.
    ///
    /// # Errors
    /// When the database failed.
    pub async fn look_at_caps(&self) -> Result<usize, Error> {
        self.ledger.refused().look(&self.db).await
    }

    /// Seals the entries that have come. The service does this by itself, again and again.
    ///
    /// # Errors
    /// When the database failed.
    pub async fn seal(&self) -> Result<i64, Error> {
        seal::Sealer::new(&self.db).seal().await
    }

    /// Ends chat holds that are past their moment at `now`, and says how many. The sweeper does this by itself.
    ///
    /// # Errors
    /// When the database failed or the ledger is away.
    pub async fn sweep(&self, now: i64) -> Result<u64, Error> {
        sweep::sweep(&self.db, &self.ledger, now).await
    }
}
