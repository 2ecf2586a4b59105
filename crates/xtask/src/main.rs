//! `cargo xtask`: the commands of whoever works on this repository. Each subcommand is one module; what the product does
//! for its operators belongs in `aio`, not here.

mod bench;
mod chaos;
mod command;
mod say;
mod test;
mod tidy;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Tests, checks, benchmarks and the fault matrix of this repository"
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
    /// Run the fault matrix: processes that die at every point, customers who leave, storms on the ledger. Exits 1 if a fault did harm.
    Chaos(chaos::Choice),
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().task {
        Task::Test(choice) => test::test(&choice),
        Task::Tidy => tidy::tidy(),
        Task::Bench(choice) => bench::bench(choice),
        Task::Chaos(choice) => chaos::chaos(choice),
    }
}
