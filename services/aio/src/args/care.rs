//! What keeps an installation well: backups, restores, a doctor; and what a shell and `man` are told of the program.

use std::{path::PathBuf, time::Duration};

use chassis::config::duration;
use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use clap_complete::Shell;

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Care {
    /// Copy the data directory while `aio up` runs on it, or while nothing does: all databases as of one moment, the files that are
    /// kept, and the secrets. (On PostgreSQL: docs/backup.md.)
    Backup(Backup),
    /// Make a data directory out of a backup, and start nothing.
    Restore(Restore),
    /// Look at every setting and everything that is needed, and say what is wrong and how to mend it; exit 0 only if nothing is.
    Doctor(Doctor),
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Backup {
    /// A directory that is not there yet, or a file that ends with .tar.
    #[arg(long, value_name = "PATH")]
    pub(crate) to: PathBuf,
    /// Leave something out: files, for who copies them by other means afterwards; secrets, for who keeps secrets.toml elsewhere.
    /// Without it a backup cannot be used.
    #[arg(long, value_name = "PART", value_enum)]
    pub(crate) without: Vec<Part>,
    /// How long the moment at which nobody writes is waited for.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = patience)]
    pub(crate) patience: Duration,
    /// Print JSON, for machines.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Restore {
    /// What `aio backup` made.
    #[arg(long, value_name = "PATH")]
    pub(crate) from: PathBuf,
    /// Print JSON, for machines.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct Doctor {
    /// Print JSON, for machines.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a backup can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// What customers uploaded and what tasks made.
    Files,
    /// The secrets in secrets.toml.
    Secrets,
}

/// What is told of the program itself; it asks nothing of its configuration.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Paper {
    /// Print what makes a shell complete the command line: `aio completions bash > /etc/bash_completion.d/aio`.
    Completions {
        /// Which one.
        shell: Shell,
    },
    /// Print the manual's page of the program.
    Man {
        /// Instead, write a page for every command into this directory: aio.1, aio-up.1, …
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
}

fn patience(text: &str) -> Result<Duration, String> {
    duration::parse(text).ok_or_else(|| "a duration is such as 1500ms, 5s or 2m".to_owned())
}
