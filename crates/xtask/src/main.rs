//! `cargo xtask`: the commands of whoever works on this repository. Each subcommand is one module; what the product does
//! for its operators belongs in `aio`, not here.

mod bench;
mod command;
mod say;
mod test;
mod tidy;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Tests, checks and benchmarks of this repository"
)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run the whole test suite, over every shape of the program. What stands after `--` goes to the test runner.
    Test(test::Choice),
    /// Check the rules of the house that no compiler checks: who may depend on whom, sizes, forbidden words.
    Tidy,
    /// Run the benchmarks in release mode. Exits 1 if a figure is below its floor.
    Bench(bench::Choice),
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().task {
        Task::Test(choice) => test::test(&choice),
        Task::Tidy => tidy::tidy(),
        Task::Bench(choice) => bench::bench(choice),
    }
}
