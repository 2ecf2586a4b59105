//! `cargo xtask chaos`: builds a program that can be told to die, in a place of its own, then hands over to `chaos`. A soak is of the
//! program as it is shipped.

use crate::command::{cargo, run_with};
use cargo_metadata::MetadataCommand;
use std::process::ExitCode;

/// Which faults, and how to print what came of them.
#[derive(clap::Args)]
pub(crate) struct Choice {
    /// Which faults: names of the report, or parts of them (`up/`, `media.after_hold`, `split/holes`, `storm`); all when none is named.
    /// Or `soak` (`soak/up`, `soak/split`), which is none of them.
    names: Vec<String>,
    /// Each point once, and a short storm; of `soak`, three minutes.
    #[arg(long)]
    quick: bool,
    /// How many minutes a `soak` takes.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// How many faults run beside one another; one, or three in the short form, unless this says otherwise.
    #[arg(long)]
    at_once: Option<usize>,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Runs the chosen faults. The exit code is that of `chaos`: 1 if a fault did harm.
pub(crate) fn chaos(choice: Choice) -> anyhow::Result<ExitCode> {
    let target = MetadataCommand::new().no_deps().exec()?.target_directory;
    let place = if choice.names.iter().any(|name| name.starts_with("soak")) {
        for package in ["aio", "chaos"] {
            cargo(&["build", "--release", "--package", package])?;
        }
        target.join("release")
    } else {
        // So that nobody ships such a build by mistake.
        let target = target.join("chaos");
        mortal(target.as_str())?;
        target.join("debug")
    };
    let flags = [("--quick", choice.quick), ("--json", choice.json)];
    let flags = flags.into_iter().filter(|(_, on)| *on);
    let flags = flags.map(|(flag, _)| flag.to_owned());
    let minutes = format!("--minutes={}", choice.minutes);
    let at_once = choice.at_once.map(|count| format!("--at-once={count}"));
    let args: Vec<_> = choice
        .names
        .into_iter()
        .chain(flags)
        .chain([minutes])
        .chain(at_once)
        .collect();
    let program = place.join("aio");
    let environment = [("AIO_TEST_BINARY", program.as_str())];
    run_with(place.join("chaos").as_str(), &args, &environment)
}

/// Builds a program that can be told to die.
fn mortal(target: &str) -> anyhow::Result<()> {
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
    let place = ["--target-dir", target];
    cargo(&[&["build"], &packages[..], &what[..], &place[..]].concat())
}
