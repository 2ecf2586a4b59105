//! The fault matrix behind `cargo xtask chaos`: the program dies at every point where it can be told to, customers leave at every event
//! of a stream, a database stands still, and the ledger goes through a storm of random operations. After each the books must be exactly
//! what customers were told.
//!
//! It runs the program and the storm as processes, and knows of the inside only the names of the points. Exits 1 if a fault did harm.

mod bills;
mod case;
mod crash;
mod customer;
mod leave;
mod overload;
mod pay;
mod race;
mod report;
mod rolling;
mod stand_still;
mod storm;
mod zombie;

use std::{io::Write as _, process::ExitCode};

use clap::Parser;

use crate::{case::Case, report::Report};

#[derive(Parser)]
#[command(
    name = "chaos",
    about = "The fault matrix. Exits 1 if a fault did harm."
)]
struct Cli {
    /// Which faults: names of the report, or parts of them (`up/`, `billing.after_commit`, `storm`); all when none is named.
    names: Vec<String>,
    /// Each point once, and a short storm.
    #[arg(long)]
    quick: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// How much of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    Full,
    Quick,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let length = if cli.quick {
        Length::Quick
    } else {
        Length::Full
    };
    let cases = Case::chosen(length, &cli.names)?;
    let mut report = Report::default();
    for case in cases {
        let name = case.name();
        progress(&name);
        let ran = case.run().await;
        match &ran.outcome {
            Ok(seen) => progress(&format!("{name}: no harm: {seen}")),
            Err(error) => progress(&format!("{name}: HARM: {error:#}")),
        }
        report.add(&case, ran);
    }
    let text = if cli.json {
        report.json()?
    } else {
        report.table()
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Says on standard error what is happening now: standard output belongs to the report.
fn progress(line: &str) {
    let _ = writeln!(std::io::stderr(), "chaos: {line}");
}
