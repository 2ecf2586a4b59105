//! `cargo xtask test`: the whole suite, on a fresh machine that has only Rust. No test needs a server of its own yet, so
//! there is nothing to install; the first one that does brings the list `NEEDS` of apt packages to this file.

use crate::{
    command::{cargo, cargo_has, run},
    say::say,
};
use std::process::ExitCode;

/// Builds the program that the end-to-end tests run, then runs every test and ends with the runner's own closing lines.
pub(crate) fn test(extra: &[String]) -> anyhow::Result<ExitCode> {
    // The black-box suite starts the real binary, which no dependency between crates would build.
    say("test: building aio");
    cargo(&["build", "--package", "aio"])?;
    run("cargo", &Runner::installed().arguments(extra))
}

/// The program that runs the tests.
#[derive(Clone, Copy)]
enum Runner {
    Nextest,
    CargoTest,
}

// === impl Runner ===

impl Runner {
    /// Nextest where it is installed: it is faster, and it stops a test that hangs.
    fn installed() -> Self {
        if cargo_has("nextest") {
            Self::Nextest
        } else {
            Self::CargoTest
        }
    }

    fn arguments(self, extra: &[String]) -> Vec<String> {
        let words: &[&str] = match self {
            Self::Nextest => &["nextest", "run", "--workspace"],
            Self::CargoTest => &["test", "--workspace"],
        };
        let words = words.iter().map(ToString::to_string);
        words.chain(extra.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Runner;

    #[test]
    fn the_callers_arguments_come_last() {
        let extra = ["ledger".to_owned()];
        let nextest = Runner::Nextest.arguments(&extra).join(" ");
        assert_eq!(nextest, "nextest run --workspace ledger");
        let cargo = Runner::CargoTest.arguments(&extra).join(" ");
        assert_eq!(cargo, "test --workspace ledger");
    }
}
