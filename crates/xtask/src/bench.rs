//! `cargo xtask bench`: builds the program and the benchmarks as they are shipped, then hands over to `bench`.

use crate::command::{cargo, run};
use cargo_metadata::MetadataCommand;
use std::process::ExitCode;

/// What to measure, and how to print it.
#[derive(clap::Args)]
pub(crate) struct Choice {
    /// Which benchmarks to run (`chat`, `hanging`, `split`, `ledger`, `usage`); all of them when none is named.
    names: Vec<String>,
    /// Short phases: for a look, not for a claim.
    #[arg(long)]
    quick: bool,
    /// Print `{name:{figure:value}}` instead of a table.
    #[arg(long)]
    json: bool,
}

/// Runs the chosen benchmarks. The exit code is that of `bench`: 1 below a floor.
pub(crate) fn bench(choice: Choice) -> anyhow::Result<ExitCode> {
    cargo(&[
        "build",
        "--release",
        "--package",
        "aio",
        "--package",
        "bench",
    ])?;
    // What makes the database of `usage`.
    cargo(&[
        "build",
        "--release",
        "--package",
        "billing",
        "--example",
        "operations",
    ])?;
    let target = MetadataCommand::new().no_deps().exec()?.target_directory;
    let flags = [("--quick", choice.quick), ("--json", choice.json)];
    let flags = flags.into_iter().filter(|(_, on)| *on);
    let flags = flags.map(|(flag, _)| flag.to_owned());
    let args: Vec<_> = choice.names.into_iter().chain(flags).collect();
    run(target.join("release/bench").as_str(), &args)
}
