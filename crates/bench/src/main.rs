//! The benchmarks behind `cargo xtask bench`. Absolute figures hold only for one run on one machine, so every benchmark
//! measures us beside something that cannot be faster, in the same run, under the same load.
//!
//! The upstream, the bare proxy and the load generator are hidden subcommands of this program, so that each of them runs
//! as a process of its own, on a core of its own where that helps.
#![expect(
    clippy::as_conversions,
    clippy::float_arithmetic,
    reason = "statistics: rates, ratios and percentiles are floats, and no money is computed here"
)]

mod admin;
mod benches;
mod body;
mod chat;
mod customer;
mod endure;
mod engines;
mod figures;
mod floors;
mod gateway;
mod growth;
mod hanging;
mod hooks;
mod house;
mod kept;
mod ledger;
mod load;
mod media;
mod mock;
mod open;
mod pages;
mod peers;
mod phases;
mod polls;
mod process;
mod procfs;
mod proxy;
mod serve;
mod split;
mod studio;
mod usage;
mod webhooks;
mod window;
mod written;

use ::report::Machine;
use benches::{BENCHES, Bench};
use clap::{Parser, Subcommand, builder::PossibleValuesParser};
use figures::Report;
use std::{io::Write, process::ExitCode};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(name = "bench", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    part: Option<Part>,
    /// Which benchmarks to run; all of them when none is named.
    #[arg(value_parser = PossibleValuesParser::new(benches::names()))]
    names: Vec<String>,
    /// Short phases: for a look, not for a claim.
    #[arg(long)]
    quick: bool,
    /// Print `{name:{figure:value}}` instead of a table.
    #[arg(long)]
    json: bool,
}

/// The processes a benchmark is made of.
#[derive(Subcommand)]
enum Part {
    #[command(hide = true)]
    Mock,
    #[command(hide = true)]
    Proxy(proxy::Arguments),
    #[command(hide = true)]
    Load(load::Arguments),
}

/// How much time a benchmark takes.
#[derive(Clone, Copy)]
pub(crate) enum Length {
    /// Long phases, each repeated until the rest of the machine is quiet.
    Full,
    /// One short look at each phase.
    Quick,
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    // One thread for each part: it has one core, and the single-threaded scheduler is the cheapest.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match cli.part {
        Some(Part::Mock) => runtime.block_on(mock::mock())?,
        Some(Part::Proxy(arguments)) => runtime.block_on(proxy::proxy(&arguments))?,
        Some(Part::Load(arguments)) => print(&load::load(&runtime, arguments)?)?,
        None => return runtime.block_on(benchmarks(&cli)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs what was asked for, unless a signal comes first. Either way every process that was started ends with us: each is
/// killed when its guard is dropped.
async fn benchmarks(cli: &Cli) -> anyhow::Result<ExitCode> {
    let mut terminate = signal(SignalKind::terminate())?;
    let report = tokio::select! {
        report = run(cli) => report?,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
        _ = terminate.recv() => anyhow::bail!("terminated"),
    };
    let text = if cli.json {
        report.json()
    } else {
        report.table()
    };
    print(&text)?;
    Ok(if report.meets_all_floors() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn run(cli: &Cli) -> anyhow::Result<Report> {
    process::keep_files_on_disk()?;
    if !process::have_room_for_connections() {
        progress("the limit of open files stays as it is: ten thousand streams may be too many");
    }
    let length = if cli.quick {
        Length::Quick
    } else {
        Length::Full
    };
    let machine = Machine::look();
    let mut report = Report::default();
    for Bench { name, command, .. } in &BENCHES {
        if !cli.names.is_empty() && !cli.names.iter().any(|wanted| wanted == command) {
            continue;
        }
        // One that breaks keeps no other from being measured.
        match Box::pin(benches::measure(name, length)).await {
            Ok(found) => {
                kept::keep(name, &machine.commit, length, &found)?;
                report.add(name, found);
            }
            Err(error) => {
                progress(&format!("{name}: {error:#}"));
                report.broke(format!("{name}: {error:#}"));
            }
        }
    }
    progress(&written::write(&machine)?);
    Ok(report)
}

fn print(text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{text}")
}

/// Says on standard error what is happening now: standard output belongs to the result.
pub(crate) fn progress(line: &str) {
    let _ = writeln!(std::io::stderr(), "bench: {line}");
}
