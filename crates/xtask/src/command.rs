//! Running cargo and what cargo has built, with the terminal handed through. It must not interpret any output.

use anyhow::Context;
use std::process::{Command, ExitCode, Stdio};

/// Runs `program` to its end with our standard streams and passes its exit code on.
pub(crate) fn run(program: &str, args: &[String]) -> anyhow::Result<ExitCode> {
    run_with(program, args, &[])
}

/// Runs `program` like [`run`], and tells it something by its environment.
pub(crate) fn run_with(
    program: &str,
    args: &[String],
    environment: &[(&str, &str)],
) -> anyhow::Result<ExitCode> {
    let status = Command::new(program)
        .args(args)
        .envs(environment.iter().copied())
        .status()
        .with_context(|| format!("cannot start {program}"))?;
    // A program that a signal has ended has no code of its own; any failure will do then.
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(code.unwrap_or(1)))
}

/// Runs cargo and turns a failure into an error, for steps that the next one needs.
pub(crate) fn cargo(args: &[&str]) -> anyhow::Result<()> {
    let status = cargo_command()
        .args(args)
        .status()
        .context("cannot start cargo")?;
    anyhow::ensure!(status.success(), "cargo {} failed", args.join(" "));
    Ok(())
}

/// Cargo, as somebody would start it at a prompt. What `cargo xtask` tells this program of its own package is kept from it: build scripts
/// of others look at that, and everything on them would be built anew whenever cargo is called the other way.
pub(crate) fn cargo_command() -> Command {
    let mut command = Command::new("cargo");
    for (name, _) in std::env::vars_os() {
        let of_a_package = name.to_str().is_some_and(|name| {
            name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")
        });
        if of_a_package {
            command.env_remove(name);
        }
    }
    command
}

/// Whether `cargo <subcommand>` is installed.
pub(crate) fn cargo_has(subcommand: &str) -> bool {
    Command::new("cargo")
        .args([subcommand, "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
