//! `cargo xtask bench`: builds the program and the benchmarks as they are shipped, then hands over to `bench`.

use crate::command::{cargo, run};
use cargo_metadata::MetadataCommand;
use std::{fs, process::ExitCode};

/// The benchmark that needs a build without the ledger, and the feature that makes one.
const UNBILLED: &str = "unbilled";

/// What to measure, and how to print it.
#[derive(clap::Args)]
pub(crate) struct Choice {
    /// Which benchmarks to run (`chat`, `unbilled`, `hanging`, `split`, `media`, `webhooks`, `polls`, `open`, `ledger`, `usage`, `pages`, `growth`, `peers`); all of them when none is named.
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
    let target = MetadataCommand::new().no_deps().exec()?.target_directory;
    let release = target.join("release");
    if choice.names.is_empty() || choice.names.iter().any(|name| name == UNBILLED) {
        cargo(&[
            "build",
            "--release",
            "--package",
            "aio",
            "--features",
            UNBILLED,
            // Nowhere near the program that is shipped.
            "--target-dir",
            target.join(UNBILLED).as_str(),
        ])?;
        fs::create_dir_all(&release)?;
        let unbilled = target.join(UNBILLED).join("release/aio");
        fs::copy(unbilled, release.join("aio-unbilled"))?;
    }
    // By itself, as the README has it built: beside others it would have their features, and be built anew.
    cargo(&["build", "--release", "--package", "aio"])?;
    // The benchmarks, and what makes the databases of `usage` and `pages`.
    cargo(
        &[
            &["build", "--release"][..],
            &["--package", "bench", "--bin", "bench"],
            &["--package", "billing", "--example", "operations"],
            &["--package", "media", "--example", "tasks"],
        ]
        .concat(),
    )?;
    let flags = [("--quick", choice.quick), ("--json", choice.json)];
    let flags = flags.into_iter().filter(|(_, on)| *on);
    let flags = flags.map(|(flag, _)| flag.to_owned());
    let args: Vec<_> = choice.names.into_iter().chain(flags).collect();
    run(release.join("bench").as_str(), &args)
}
