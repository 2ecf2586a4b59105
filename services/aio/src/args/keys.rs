//! `aio keys`: the command line.

use clap::{Args, Subcommand};

use super::{Mode, Reach};

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Keys {
    /// Make a key; it is shown this once.
    Create {
        /// acct_…
        account: String,
        /// What people call it.
        #[arg(long, default_value = "key")]
        name: String,
        /// Which balance it spends.
        #[arg(long, value_enum, default_value = "live")]
        mode: Mode,
        /// What it may do; inference and read unless given.
        #[arg(long, value_delimiter = ',', value_name = "SCOPE,…")]
        scopes: Vec<String>,
        #[command(flatten)]
        limits: Box<Limits>,
        #[command(flatten)]
        reach: Reach,
    },
    /// List an account's keys that were not revoked.
    List {
        /// acct_…
        account: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Change what a key may do and spend; what is not given stays as it is, and `none` takes a limit away.
    Update {
        /// key_…
        key: String,
        /// What people call it.
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        limits: Box<Limits>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Give a key another secret, shown this once. It stays the same key: limits, caps and usage go on.
    Rotate {
        /// key_…
        key: String,
        /// How long the old secret stays alive, such as 24h; at most 30 days. It ends at once unless given.
        #[arg(long, value_name = "DURATION")]
        overlap: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Revoke a key, everywhere, within five seconds.
    Revoke {
        /// key_…
        key: String,
        #[command(flatten)]
        reach: Reach,
    },
}

/// What a key may do and spend. `none` instead of a value: no limit of its own.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Limits {
    /// Models it may use.
    #[arg(long, value_delimiter = ',', value_name = "MODEL,…")]
    pub(crate) models: Option<Vec<String>>,
    /// Addresses or networks it may be used from.
    #[arg(long, value_delimiter = ',', value_name = "NETWORK,…")]
    pub(crate) ip_allow: Option<Vec<String>>,
    /// Credits it may spend in a day (UTC).
    #[arg(long, value_name = "CREDITS")]
    pub(crate) cap_day: Option<String>,
    /// Credits it may spend in a month (UTC).
    #[arg(long, value_name = "CREDITS")]
    pub(crate) cap_month: Option<String>,
    /// Credits it may spend in all.
    #[arg(long, value_name = "CREDITS")]
    pub(crate) cap_total: Option<String>,
    /// Requests per minute.
    #[arg(long, value_name = "COUNT")]
    pub(crate) rpm: Option<String>,
    /// Open requests.
    #[arg(long, value_name = "COUNT")]
    pub(crate) concurrency: Option<String>,
    /// Open media tasks.
    #[arg(long, value_name = "COUNT")]
    pub(crate) max_open_tasks: Option<String>,
    /// When it ends, such as 2030-01-31T12:00:00Z.
    #[arg(long, value_name = "MOMENT")]
    pub(crate) expires_at: Option<String>,
}
