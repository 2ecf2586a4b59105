//! The fault matrix behind `cargo xtask chaos`: the program dies at every point where it can be told to, customers leave at every event
//! of a stream, ways between processes swallow what is sent, calls come twice, servers are sick or stand still, clocks are wrong, and the
//! ledger goes through a storm of random operations. After each the books must be exactly what customers were told. `soak` runs everything
//! at once for an hour instead, and looks whether anything grows.
//!
//! It runs the program and the storm as processes, and knows of the inside only the names of the points. Exits 1 if a fault did harm.

mod bills;
mod calls;
mod case;
mod crash;
mod customer;
mod faketime;
mod kills;
mod leave;
mod link;
mod matrix;
mod overload;
mod pay;
mod poison;
mod race;
mod redis_clock;
mod relay;
mod report;
mod rolling;
mod sick;
mod skew;
mod soak;
mod stand_still;
mod storm;
mod ways;
mod zombie;

use std::{io::Write as _, process::ExitCode, time::Duration};

use clap::Parser;
use futures::{StreamExt as _, stream};
use testkit::Shape;

use crate::{
    case::{Case, Ran},
    report::Report,
};

#[derive(Parser)]
#[command(
    name = "chaos",
    about = "The fault matrix. Exits 1 if a fault did harm."
)]
struct Cli {
    /// Which faults: names of the report, or parts of them (`up/`, `billing.after_commit`, `storm`); all when none is named.
    names: Vec<String>,
    /// Each point once, and a short storm; of `soak`, three minutes.
    #[arg(long)]
    quick: bool,
    /// How long a `soak` takes.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// How many faults run beside one another; one, or three in the short form, unless this says otherwise.
    #[arg(long)]
    at_once: Option<usize>,
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
    if let Some(shapes) = soak::shapes(&cli.names) {
        return soaked(&cli, shapes).await;
    }
    let cases = Case::chosen(length, &cli.names)?;
    let mut report = Report::default();
    // Most of a case is waiting, and each has processes and servers of its own.
    let at_once = cli.at_once.unwrap_or(match length {
        Length::Full => 1,
        Length::Quick => 3,
    });
    let running = stream::iter(&cases).map(run).buffered(at_once.max(1));
    let mut running = std::pin::pin!(running);
    while let Some((case, ran)) = running.next().await {
        report.add(case, ran);
    }
    progress(&report.write(length)?);
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

/// Runs a case, and says what comes of it.
async fn run(case: &Case) -> (&Case, Ran) {
    let name = case.name();
    progress(&name);
    let ran = Box::pin(case.run()).await;
    match &ran.outcome {
        Ok(seen) => progress(&format!("{name}: no harm: {seen}")),
        Err(error) => progress(&format!("{name}: HARM: {error:#}")),
    }
    (case, ran)
}

/// Soaks one shape after another.
async fn soaked(cli: &Cli, shapes: Vec<Shape>) -> anyhow::Result<ExitCode> {
    let minutes = if cli.quick { 3 } else { cli.minutes };
    let mut code = ExitCode::SUCCESS;
    for shape in shapes {
        if !Box::pin(soak::soak(shape, Duration::from_mins(minutes))).await? {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

/// Says on standard error what is happening now: standard output belongs to the report.
fn progress(line: &str) {
    let _ = writeln!(std::io::stderr(), "chaos: {line}");
}
