//! The command line.

mod care;
mod keys;
mod tasks;
mod webhooks;

use std::path::PathBuf;

use chassis::{
    config::{Settings, variable_value},
    rpc,
};
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

pub(crate) use care::{Backup, Care, Doctor, Paper, Part, Restore};
pub(crate) use keys::{Keys, Limits};
pub(crate) use tasks::Tasks;
pub(crate) use webhooks::{Deliveries, Endpoints, Webhooks};

/// One key and one prepaid balance for every generative model.
#[derive(Clone, Debug, Parser)]
#[command(name = "aio", version, about, max_term_width = 100)]
pub(crate) struct Args {
    /// Configuration file (TOML). [env: AIO_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen. [env: AIO_LISTEN] [default: 127.0.0.1:8080; of a role, its own port on 127.0.0.1]
    #[arg(long, global = true, value_name = "ADDR")]
    listen: Option<String>,
    /// Where everything is kept. [env: AIO_DATA_DIR] [default: ./data]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in one process (the default).
    Up,
    #[command(flatten)]
    Role(Role),
    /// Tell customers: gRPC on port 9104. Needs PostgreSQL. With a command behind it: what operators do about who is told, and what
    /// became of it.
    Webhooks {
        #[command(subcommand)]
        command: Option<Webhooks>,
    },
    /// Bring the databases of the roles to this version, with the owner's `database.url`.
    Migrate,
    /// The configuration.
    #[command(subcommand)]
    Config(Config),
    /// Receipts.
    #[command(subcommand)]
    Receipt(Receipt),
    /// Ask the process that runs beside this one, at `server.admin_listen`, whether it serves; exit 0 only if it does. For container
    /// platforms, in an image that has nothing else to ask with.
    Health,
    /// Print a new key for AIO_BOOTSTRAP_KEY: the operator's, from the first start of billing on.
    OperatorKey,
    #[command(flatten)]
    Care(Care),
    #[command(flatten)]
    Paper(Paper),
    #[command(flatten)]
    Operator(Operator),
}

/// One service in a process of its own, with PostgreSQL, RabbitMQ and Redis; any number of each, but one sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Role {
    /// Serve customers: HTTP on port 8080. Needs the other roles and Redis.
    Edge,
    /// Serve chat requests: gRPC on port 9101. Needs billing.
    Chat,
    /// Run media tasks: gRPC on port 9102. Needs billing, webhooks, PostgreSQL, RabbitMQ and Redis.
    Media,
    /// Keep accounts, keys and the ledger: gRPC on port 9103. Needs PostgreSQL.
    Billing,
    /// Tell customers: gRPC on port 9104. Needs PostgreSQL. (On the command line: [`Command::Webhooks`] with nothing behind it.)
    #[command(skip)]
    Webhooks,
    /// Serve the web pages: HTTP on port 8081. Needs PostgreSQL, Redis and the other roles; the proxy in front sends it what is not the edge's.
    Dashboard,
    /// Play the providers for test keys: HTTP on port 9105. Keeps its bill in the data directory.
    Sandbox,
}

/// What operators do. Each talks to `--url`, or to the `aio up` that runs on the data directory. When nothing runs, those that
/// need billing alone open the data directory themselves; `tasks` needs a running process.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Operator {
    /// The ledger.
    #[command(subcommand)]
    Ledger(Ledger),
    /// Accounts.
    #[command(subcommand)]
    Accounts(Accounts),
    /// Credits.
    #[command(subcommand)]
    Credits(Credits),
    /// API keys.
    #[command(subcommand)]
    Keys(Keys),
    /// Media tasks.
    #[command(subcommand)]
    Tasks(Tasks),
    /// Webhooks. (On the command line: [`Command::Webhooks`].)
    #[command(skip)]
    Webhooks(Webhooks),
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Config {
    /// Read it, the models and the providers that files describe, start nothing, and say all that is wrong; exit 0 only if nothing is.
    Check,
    /// Print what is set and where, secrets masked; all else has its default.
    Print,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Receipt {
    /// Compute receipts again, offline, and print the arithmetic; exit 0 only if all fit.
    Verify {
        /// One receipt, as `GET /operations/{id}/receipt` answers it, or many one after another; - for standard input.
        file: PathBuf,
        /// Its price list, as `GET /admin/price-lists/{version}` answers it [default: this program's own].
        #[arg(long, value_name = "FILE")]
        prices: Option<PathBuf>,
        /// Print JSON, for machines.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Ledger {
    /// Replay every entry and check the promises about money; exit 0 only if all hold.
    Audit(Reach),
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Accounts {
    /// Make an account.
    Create {
        /// What people call it.
        name: String,
        /// Play money for test mode, in credits.
        #[arg(long, value_name = "CREDITS")]
        test_credits: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// List accounts.
    List(Reach),
    /// Stop an account: nothing new is accepted of it, in either mode; what is running goes on.
    Freeze {
        /// acct_…
        account: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Let a stopped account go on.
    Unfreeze {
        /// acct_…
        account: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Change an account.
    Update {
        /// acct_…
        account: String,
        /// What it pays of every price, within five seconds: above 0, at most 10, such as 0.8.
        #[arg(long, value_name = "FACTOR")]
        price_factor: String,
        #[command(flatten)]
        reach: Reach,
    },
    /// Show how long an account's files are kept, or say it: of what comes from now on. Needs a running process.
    Retention {
        /// acct_…
        account: String,
        /// What its tasks make, such as 30d; what is not named stays as it was said.
        #[arg(long, value_name = "DURATION")]
        outputs: Option<String>,
        /// What it uploads: such as 7d.
        #[arg(long, value_name = "DURATION")]
        files: Option<String>,
        /// Both as long as everybody's again.
        #[arg(long, conflicts_with_all = ["outputs", "files"])]
        reset: bool,
        #[command(flatten)]
        reach: Reach,
    },
    /// Print a link to the dashboard that is good once: it lets an operator in. It is made of the installation's secrets, whether
    /// anything runs or not.
    SignInLink {
        /// Instead, lets whoever has signed up with this address set a new password.
        #[arg(long, value_name = "ADDRESS")]
        email: Option<String>,
    },
    /// Who changed what: the newest changes of accounts, keys, codes and credits.
    Log {
        /// Only those of this account: acct_…
        account: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Credits {
    /// Add credits to an account; a negative number takes them away, never below zero.
    Add {
        /// acct_…
        account: String,
        /// Credits, up to six decimal places.
        #[arg(allow_hyphen_values = true)]
        credits: String,
        /// Which balance.
        #[arg(long, value_enum, default_value = "live")]
        mode: Mode,
        /// Why, for the ledger.
        #[arg(long, default_value = "added by the operator")]
        reason: String,
        /// When what is left of it expires, such as 2030-01-31T12:00:00Z; never unless given.
        #[arg(long, value_name = "MOMENT")]
        expires_at: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// Codes that customers redeem for credits.
    #[command(subcommand)]
    Codes(Codes),
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Codes {
    /// Make redeem codes; each is shown this once.
    Create {
        /// How many.
        #[arg(long, default_value_t = 1)]
        count: u32,
        /// What each is worth, in credits.
        #[arg(long, value_name = "CREDITS")]
        credits: String,
        /// For which balance.
        #[arg(long, value_enum, default_value = "live")]
        mode: Mode,
        /// How many accounts may redeem each.
        #[arg(long, default_value_t = 1)]
        max_uses: u32,
        /// Until when, such as 2030-01-31T12:00:00Z; for ever unless given.
        #[arg(long, value_name = "MOMENT")]
        expires: Option<String>,
        #[command(flatten)]
        reach: Reach,
    },
    /// List the newest redeem codes, without the codes themselves.
    List(Reach),
    /// Revoke a redeem code; what was redeemed stays redeemed.
    Revoke {
        /// code_…
        code: String,
        #[command(flatten)]
        reach: Reach,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Mode {
    /// Play money.
    Test,
    /// Real credit.
    Live,
}

/// Whom to talk to, and how to print what they say.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Reach {
    /// Print JSON, for machines.
    #[arg(long)]
    pub(crate) json: bool,
    /// A running installation elsewhere; takes the operator's key from AIO_OPERATOR_KEY.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}

// === impl Role ===

impl Role {
    /// The word for it among services.
    pub(crate) const fn rpc(self) -> rpc::Role {
        match self {
            Self::Edge => rpc::Role::Edge,
            Self::Chat => rpc::Role::Chat,
            Self::Media => rpc::Role::Media,
            Self::Billing => rpc::Role::Billing,
            Self::Webhooks => rpc::Role::Webhooks,
            Self::Dashboard => rpc::Role::Dashboard,
            Self::Sandbox => rpc::Role::Sandbox,
        }
    }

    /// Where it listens unless told otherwise.
    pub(crate) const fn port(self) -> u16 {
        match self {
            Self::Edge => 8080,
            Self::Chat => 9101,
            Self::Media => 9102,
            Self::Billing => 9103,
            Self::Webhooks => 9104,
            Self::Dashboard => 8081,
            Self::Sandbox => 9105,
        }
    }
}

// === impl Args ===

impl Args {
    /// Fills in from the environment what the command line leaves out.
    pub(crate) fn with_environment(self) -> Self {
        Self {
            config: self
                .config
                .or_else(|| variable_value("AIO_CONFIG").map(PathBuf::from)),
            listen: self.listen.or_else(|| variable_value("AIO_LISTEN")),
            data_dir: self
                .data_dir
                .or_else(|| variable_value("AIO_DATA_DIR").map(PathBuf::from)),
            command: self.command,
        }
    }

    /// Everything configured, the command line over all.
    pub(crate) fn settings(&self) -> Result<Settings, chassis::config::Error> {
        let settings = Settings::load(self.config.as_deref())?;
        Ok(match &self.listen {
            Some(listen) => settings.with("server.listen", listen),
            None => settings,
        })
    }

    /// Where everything is kept.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.data_dir
            .clone()
            .unwrap_or_else(|| PathBuf::from("data"))
    }
}

impl Mode {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Live => "live",
        }
    }
}
