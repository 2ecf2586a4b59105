//! Where the program is. Cargo tells tests only about binaries of their own package, so it is looked for beside the test, unless
//! whoever runs us names it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// The program that `AIO_TEST_BINARY` names; else that of the running test's profile. `cargo xtask test` has built it; otherwise it
/// is built here.
///
/// # Errors
/// When there is no such place, or it cannot be built.
pub fn binary() -> Result<PathBuf> {
    if let Some(named) = chassis::config::variable_value("AIO_TEST_BINARY") {
        return Ok(named.into());
    }
    let test = std::env::current_exe().context("who am I?")?;
    // target/<profile>/deps/it-0123456789abcdef
    let profile = test
        .ancestors()
        .find(|directory| directory.ends_with("deps"))
        .and_then(Path::parent)
        .context("the test is not in a target directory")?;
    let program = profile.join("aio");
    if !program.is_file() {
        build(profile)?;
    }
    ensure!(program.is_file(), "{} is not there", program.display());
    Ok(program)
}

fn build(profile: &Path) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--package", "aio"]);
    if profile.ends_with("release") {
        command.arg("--release");
    }
    let status = command.status().context("cannot run cargo")?;
    ensure!(status.success(), "aio does not build");
    Ok(())
}
