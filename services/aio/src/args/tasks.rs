//! `aio tasks`: the command line.

use clap::Subcommand;

use super::Reach;

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Tasks {
    /// List tasks of anybody, the newest first. Needs a running process, as all of these do.
    List {
        /// Only those that are queued, processing, completed or failed.
        #[arg(long, value_name = "STATUS")]
        status: Option<String>,
        /// Only those of this model.
        #[arg(long, value_name = "MODEL")]
        model: Option<String>,
        /// Only those that this provider has.
        #[arg(long, value_name = "PROVIDER")]
        provider: Option<String>,
        /// Only those of this account: acct_…
        #[arg(long, value_name = "ACCOUNT")]
        account: Option<String>,
        /// Only those that were submitted longer ago than that, such as 10m.
        #[arg(long, value_name = "DURATION")]
        older_than: Option<String>,
        /// How many, at most 1000.
        #[arg(long, default_value_t = 100)]
        limit: u32,
        #[command(flatten)]
        reach: Reach,
    },
    /// Show what became of a task: its runs at providers, its hold, its files, what operators did, and what its customer was told.
    Show {
        /// task_…
        task: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Put an open task back into the queue. The customer is charged once at most, whatever happens.
    Requeue {
        /// task_…
        task: String,
        /// Also where a provider may have it: look there first, since it may then be paid twice.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        reach: Reach,
    },
    /// End an open task, whatever it is at; it costs its customer nothing.
    Cancel {
        /// task_…
        task: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// List paid submits whose outcome stayed unknown: the provider may have charged us; the customer was not charged.
    Unknown(Reach),
}
