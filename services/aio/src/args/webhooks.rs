//! `aio webhooks`: the command line.

use clap::{Args, Subcommand};

use super::Reach;

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Webhooks {
    /// Endpoints that accounts have registered. Needs a running process, as all of these do.
    #[command(subcommand)]
    Endpoints(Endpoints),
    /// List deliveries of anybody, the newest first.
    Deliveries(Box<Deliveries>),
    /// Show a delivery with every attempt: when, how long, what was answered.
    Attempts {
        /// dlv_…
        delivery: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Send a delivery again that has ended: the same event, its schedule from the beginning.
    Replay {
        /// dlv_…
        delivery: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Send again what was given up, so many at a time: says how many, and whether there are more.
    Recover {
        /// Those made from then on, such as 2030-01-31T12:00:00Z.
        #[arg(long, value_name = "MOMENT")]
        since: String,
        /// Those made before then.
        #[arg(long, value_name = "MOMENT")]
        until: Option<String>,
        /// Only those for this endpoint: ep_…
        #[arg(long, value_name = "ENDPOINT")]
        endpoint: Option<String>,
        /// Only those of this account: acct_…
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Send a sample event to an endpoint.
    Test {
        /// ep_…
        endpoint: String,
        /// Of this type, such as task.completed; the first that the endpoint is told unless given.
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Give an endpoint another secret, and show it.
    RotateSecret {
        /// ep_…
        endpoint: String,
        /// How long the old one signs as well, such as 24h; 0s: not at all.
        #[arg(long, value_name = "DURATION")]
        overlap: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Show the secret that signs what you are told at webhooks.alert_url.
    AlertSecret(Reach),
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Endpoints {
    /// List them, the oldest first.
    List {
        /// Only those of this account: acct_…
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Show one.
    Show {
        /// ep_…
        endpoint: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Let a disabled one go on.
    Enable {
        /// ep_…
        endpoint: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Send nothing to it any more; what waits for it is given up, and can be sent again.
    Disable {
        /// ep_…
        endpoint: String,
        #[command(flatten)]
        reach: Reach,
    },
}

/// Which deliveries are listed.
#[derive(Clone, Debug, Args)]
pub(crate) struct Deliveries {
    /// Only those that are due, inflight, delivered or dead.
    #[arg(long, value_name = "STATE")]
    pub(crate) state: Option<String>,
    /// Only those of this type, such as task.completed.
    #[arg(long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// Only those of this task: task_…
    #[arg(long, value_name = "TASK")]
    pub(crate) task: Option<String>,
    /// Only those for this endpoint: ep_…
    #[arg(long, value_name = "ENDPOINT")]
    pub(crate) endpoint: Option<String>,
    /// Only those of this account: acct_…
    #[arg(long, value_name = "ACCOUNT")]
    pub(crate) account: Option<String>,
    /// Only those made from then on, such as 2030-01-31T12:00:00Z.
    #[arg(long, value_name = "MOMENT")]
    pub(crate) since: Option<String>,
    /// Only those made before then.
    #[arg(long, value_name = "MOMENT")]
    pub(crate) until: Option<String>,
    /// How many, at most 1000.
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) reach: Reach,
}
