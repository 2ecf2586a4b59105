//! Billing's settings. Every limit has its name and its default here.

use std::time::Duration;

use chassis::config::{Error, Settings, duration};
use db::RelayLimits;
use domain::Micros;
use serde::Deserialize;

use crate::orders::OrdersConfig;

/// Everything billing is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The section `accounts`.
    pub accounts: Accounts,
    /// The section `limits.billing`.
    pub limits: Limits,
    /// The section `orders`.
    pub orders: OrdersConfig,
    /// The section `limits.outbox`.
    pub outbox: RelayLimits,
}

/// What a new account gets: the section `accounts`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    /// Whole credits of play money in test mode. Default 10 000.
    #[serde(default = "default_test_credits")]
    pub test_credits: u32,
    /// Whole live credits as a welcome. Default 0.
    #[serde(default)]
    pub bonus: u32,
}

/// Limits of the ledger: the section `limits.billing`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// PostgreSQL: lanes that apply batches side by side; SQLite has one, as it has one writer. More than one pays when the
    /// server is far away and many accounts are busy. On one busy balance they wait for each other with smaller batches
    /// (measured: two lanes do two thirds to four fifths of what one does). Default 1.
    #[serde(default = "default_lanes")]
    pub lanes: usize,
    /// Operations that may wait for a lane; more are refused with `overloaded`. Default 4 096.
    #[serde(default = "default_queue")]
    pub queue: usize,
    /// Operations in one batch at most. Default 256.
    #[serde(default = "default_batch")]
    pub batch: usize,
    /// How often a batch is sent again when nobody knows what became of it, or when it lost against another one; then its
    /// callers are told that billing is away. Default 3.
    #[serde(default = "default_resends")]
    pub resends: u32,
    /// How long to wait, about, before it is sent again; twice as long each further time. Default 100 ms.
    #[serde(default = "default_resend_after", with = "duration")]
    pub resend_after: Duration,
    /// What a refused caller is told to wait. Default 1 s.
    #[serde(default = "default_retry_after", with = "duration")]
    pub retry_after: Duration,
    /// The longest life of a chat hold. Default 15 min.
    #[serde(default = "default_chat_life", with = "duration")]
    pub chat_life: Duration,
    /// How often to look for chat holds past their moment, and to count those that are open. Default 2 s.
    #[serde(default = "default_sweep_every", with = "duration")]
    pub sweep_every: Duration,
    /// Holds expired in one go. Default 500.
    #[serde(default = "default_sweep_batch")]
    pub sweep_batch: u32,
    /// The audit.
    #[serde(default)]
    pub audit: Audits,
    /// What is done behind the ledger.
    #[serde(default)]
    pub jobs: Jobs,
    /// What callers and operators may send.
    #[serde(default)]
    pub input: Input,
}

/// The section `limits.billing.audit`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audits {
    /// How long after its moment a chat hold may stay open before the audit calls it stuck. Default 15 min.
    #[serde(with = "duration")]
    pub stuck_after: Duration,
    /// PostgreSQL: how long one question of the audit, which reads everything there is, may take. Default 10 min.
    #[serde(with = "duration")]
    pub timeout: Duration,
}

/// What is done behind the ledger: the section `limits.billing.jobs`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Jobs {
    /// How often to sum up how holds ended, for customers to look at. Default 500 ms.
    #[serde(with = "duration")]
    pub project_every: Duration,
    /// PostgreSQL: the pause instead, while there is something to sum up. Many short turns leave its cores to requests, which wait behind
    /// one long turn (measured with 1 000 requests per second: 1 % of them for 16 ms and more, now for 6). Default 50 ms.
    #[serde(with = "duration")]
    pub project_again: Duration,
    /// Endings summed up in one transaction. Default 256.
    pub project_batch: u32,
    /// How often to take up entries into what customers read of their balance. Default 1 s.
    #[serde(with = "duration")]
    pub movements_every: Duration,
    /// Entries taken up in one transaction. Default 512.
    pub movements_batch: u32,
    /// How often to seal the entries that have come. Default 10 s.
    #[serde(with = "duration")]
    pub seal_every: Duration,
    /// How often to look after credit that expires. Default 10 s.
    #[serde(with = "duration")]
    pub lots_every: Duration,
    /// How long after its moment expired credit is taken back: no batch of the ledger may take longer. Default 1 min.
    #[serde(with = "duration")]
    pub lot_grace: Duration,
    /// How often to look how old the oldest open hold is, which reads all that are open. Default 30 s.
    #[serde(with = "duration")]
    pub age_every: Duration,
    /// How often to look for balances that have fallen below what their customers named; and how long after a hold was refused for a key's
    /// cap to look whether that is to be told. Default 2 s.
    #[serde(with = "duration")]
    pub alert_every: Duration,
}

/// How much may be sent at once: the section `limits.billing.input`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Bytes of a receipt; a longer one is not kept, but the charge is made. Default 65 536: a customer's
    /// labels may be 38 KB of it.
    #[serde(default = "default_receipt_bytes")]
    pub receipt_bytes: usize,
    /// Whole credits that one transfer may give or take. Default 1 000 000 000.
    #[serde(default = "default_transfer_credits")]
    pub transfer_credits: u32,
    /// Characters of a name or a reason. Default 200.
    #[serde(default = "default_text_chars")]
    pub text_chars: usize,
    /// Models or addresses on a key's lists. Default 100.
    #[serde(default = "default_list_items")]
    pub list_items: usize,
    /// How long the old secret of a rotated key may stay alive. Default 30 d.
    #[serde(default = "default_rotation_overlap", with = "duration")]
    pub rotation_overlap: Duration,
    /// Bytes of one message of a caller. Default 1 MiB.
    #[serde(default = "default_max_message_bytes")]
    pub max_message_bytes: usize,
}

// === impl Config ===

impl Config {
    /// Reads billing's sections.
    ///
    /// # Errors
    /// When a setting has a wrong value or an unknown name.
    pub fn read(settings: &Settings) -> Result<Self, Error> {
        Ok(Self {
            accounts: settings.section("accounts")?,
            limits: settings.section("limits.billing")?,
            orders: OrdersConfig::read(settings)?,
            outbox: settings.section("limits.outbox")?,
        })
    }
}

// === impl Accounts ===

impl Accounts {
    /// Play money of a new account.
    pub fn test_amount(&self) -> Micros {
        credits(self.test_credits)
    }

    /// The live welcome of a new account.
    pub fn bonus_amount(&self) -> Micros {
        credits(self.bonus)
    }
}

// === impl Input ===

impl Input {
    /// The most that one transfer may give or take. It keeps every sum of the books far within 64 bits.
    pub fn transfer_amount(&self) -> Micros {
        credits(self.transfer_credits)
    }
}

impl Default for Audits {
    fn default() -> Self {
        Self {
            stuck_after: Duration::from_secs(15 * 60),
            timeout: Duration::from_secs(10 * 60),
        }
    }
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            project_every: Duration::from_millis(500),
            project_again: Duration::from_millis(50),
            project_batch: 256,
            movements_every: Duration::from_secs(1),
            movements_batch: 512,
            seal_every: Duration::from_secs(10),
            lots_every: Duration::from_secs(10),
            lot_grace: Duration::from_secs(60),
            age_every: Duration::from_secs(30),
            alert_every: Duration::from_secs(2),
        }
    }
}

impl Default for Input {
    fn default() -> Self {
        Self {
            receipt_bytes: default_receipt_bytes(),
            transfer_credits: default_transfer_credits(),
            text_chars: default_text_chars(),
            list_items: default_list_items(),
            rotation_overlap: default_rotation_overlap(),
            max_message_bytes: default_max_message_bytes(),
        }
    }
}

/// 2^32 credits fit in 53 bits of micro-credits.
fn credits(count: u32) -> Micros {
    Micros::from_credits(1)
        .times(u64::from(count))
        .unwrap_or(Micros::ZERO)
}

const fn default_test_credits() -> u32 {
    10_000
}

const fn default_lanes() -> usize {
    1
}

const fn default_queue() -> usize {
    4_096
}

const fn default_batch() -> usize {
    256
}

const fn default_resends() -> u32 {
    3
}

const fn default_resend_after() -> Duration {
    Duration::from_millis(100)
}

const fn default_retry_after() -> Duration {
    Duration::from_secs(1)
}

const fn default_chat_life() -> Duration {
    Duration::from_secs(15 * 60)
}

const fn default_sweep_every() -> Duration {
    Duration::from_secs(2)
}

const fn default_sweep_batch() -> u32 {
    500
}

const fn default_receipt_bytes() -> usize {
    65_536
}

const fn default_transfer_credits() -> u32 {
    1_000_000_000
}

const fn default_text_chars() -> usize {
    200
}

const fn default_list_items() -> usize {
    100
}

const fn default_rotation_overlap() -> Duration {
    Duration::from_secs(30 * 24 * 3_600)
}

const fn default_max_message_bytes() -> usize {
    1 << 20
}
