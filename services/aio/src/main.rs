//! `aio`: one program that runs everything in one process (`aio up`), and the operator's commands. Here are only the command
//! line and the order in which things start and stop.

mod args;
mod assemble;
mod config;
mod first_start;
mod operator;
mod say;
mod up;

use std::process::ExitCode;

use anyhow::Context as _;
use chassis::{config::Settings, telemetry};
use clap::Parser as _;

use crate::args::{Args, Command};

/// Much of a request is making and freeing small things, on one thread and another: glibc's allocator is slow at that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            say::failure(&error);
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    let args = Args::parse().with_environment();
    let settings = args.settings()?;
    config::check_names(&settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let command = args.command.clone().unwrap_or(Command::Up);
    match command {
        Command::Up => {
            start_logging(&settings)?;
            runtime.block_on(up::up(&settings, &args.data_dir()))
        }
        Command::Operator(command) => runtime.block_on(operator::run(&args, &settings, command)),
    }
}

fn start_logging(settings: &Settings) -> anyhow::Result<()> {
    telemetry::start(&settings.section("telemetry")?).context("cannot start logging")
}
