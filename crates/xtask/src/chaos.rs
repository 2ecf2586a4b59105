//! `cargo xtask chaos`: builds a program that can be told to die, in a place of its own, then hands over to `chaos`.

use crate::command::{cargo, run_with};
use cargo_metadata::MetadataCommand;
use std::process::ExitCode;

/// Which faults, and how to print what came of them.
#[derive(clap::Args)]
pub(crate) struct Choice {
    /// Which faults: names of the report, or parts of them (`up/`, `media.after_hold`, `leave`, `storm`); all when none is named.
    names: Vec<String>,
    /// Each point once, and a short storm.
    #[arg(long)]
    quick: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Runs the chosen faults. The exit code is that of `chaos`: 1 if a fault did harm.
pub(crate) fn chaos(choice: Choice) -> anyhow::Result<ExitCode> {
    let target = MetadataCommand::new().no_deps().exec()?.target_directory;
    // So that nobody ships such a build by mistake.
    let target = target.join("chaos");
    let packages = [
        "--package",
        "aio",
        "--package",
        "chaos",
        "--package",
        "billing",
    ];
    let what = [
        "--bins",
        "--example",
        "storm",
        "--features",
        "aio/failpoints",
    ];
    let place = ["--target-dir", target.as_str()];
    cargo(&[&["build"], &packages[..], &what[..], &place[..]].concat())?;
    let flags = [("--quick", choice.quick), ("--json", choice.json)];
    let flags = flags.into_iter().filter(|(_, on)| *on);
    let flags = flags.map(|(flag, _)| flag.to_owned());
    let args: Vec<_> = choice.names.into_iter().chain(flags).collect();
    let program = target.join("debug/aio");
    let environment = [("AIO_TEST_BINARY", program.as_str())];
    run_with(target.join("debug/chaos").as_str(), &args, &environment)
}
