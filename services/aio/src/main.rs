//! `aio`: one program that runs everything in one process (`aio up`) or one service (`aio edge`, `aio chat`, …), and the operator's
//! commands. Here are only the command line and the order in which things start and stop.

mod args;
mod assemble;
mod backup;
mod config;
mod doctor;
mod first_start;
mod front;
mod health;
mod migrate;
mod models;
mod operator;
mod paper;
mod process;
mod receipt;
mod role;
mod say;
mod stores;
mod up;

use std::process::ExitCode;

use anyhow::Context as _;
use chassis::{
    config::Settings,
    telemetry::{self, Telemetry},
};
use clap::Parser as _;
use domain::{ApiKey, Mode};
use tokio::runtime::Runtime;

use crate::args::{Args, Care, Command, Operator, Role};

/// Much of a request is making and freeing small things, on one thread and another: glibc's allocator is slow at that.
/// It asks for no huge pages: with them, memory of many open streams is half as much again, and the time is the same.
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
    if let Some(Command::Paper(asked)) = &args.command {
        return paper::paper(asked);
    }
    let settings = args.settings()?;
    match &args.command {
        Some(Command::Config(args::Config::Check)) => return Ok(check(&settings)),
        Some(Command::Config(args::Config::Print)) => return print(&settings),
        Some(Command::Health) => return health::health(&settings),
        // Whatever is wrong with the configuration, it says itself.
        Some(Command::Care(Care::Doctor(asked))) => {
            let runtime = start_runtime()?;
            return Ok(runtime.block_on(doctor::doctor(&settings, &args.data_dir(), asked)));
        }
        _ => {}
    }
    config::check_names(&settings)?;
    let runtime = start_runtime()?;
    let command = args.command.clone().unwrap_or(Command::Up);
    match command {
        Command::Up => {
            let _telemetry = start_telemetry(&settings, "aio", &runtime)?;
            runtime.block_on(up::up(&settings, &args.data_dir()))
        }
        Command::Role(role) => serve(role, &settings, &args, &runtime),
        Command::Webhooks { command: None } => serve(Role::Webhooks, &settings, &args, &runtime),
        Command::Webhooks {
            command: Some(command),
        } => {
            let command = Operator::Webhooks(command);
            runtime.block_on(operator::run(&args, &settings, command))
        }
        Command::OperatorKey => {
            let key = ApiKey::from_random(Mode::Live, &rand::random());
            say::line(key.expose());
            Ok(ExitCode::SUCCESS)
        }
        Command::Config(args::Config::Check) => Ok(check(&settings)),
        Command::Config(args::Config::Print) => print(&settings),
        Command::Health => health::health(&settings),
        Command::Paper(asked) => paper::paper(&asked),
        Command::Care(Care::Backup(asked)) => backup::backup(&settings, &args.data_dir(), &asked),
        Command::Care(Care::Restore(asked)) => backup::restore(&settings, &args.data_dir(), &asked),
        Command::Care(Care::Doctor(asked)) => {
            Ok(runtime.block_on(doctor::doctor(&settings, &args.data_dir(), &asked)))
        }
        Command::Receipt(command) => receipt::run(&command),
        Command::Migrate => {
            let _telemetry = start_telemetry(&settings, "aio-migrate", &runtime)?;
            runtime.block_on(migrate::migrate(&settings))
        }
        Command::Operator(command) => runtime.block_on(operator::run(&args, &settings, command)),
    }
}

/// Runs one role.
fn serve(
    role: Role,
    settings: &Settings,
    args: &Args,
    runtime: &Runtime,
) -> anyhow::Result<ExitCode> {
    let _telemetry = start_telemetry(settings, &format!("aio-{}", role.rpc()), runtime)?;
    runtime.block_on(role::role(role, settings, &args.data_dir()))
}

/// Says all that is wrong with the configuration.
fn check(settings: &Settings) -> ExitCode {
    let mut mistakes = config::mistakes(settings);
    if mistakes.is_empty() {
        mistakes.extend(bucket(settings).err().map(|error| format!("{error:#}")));
    }
    if mistakes.is_empty() {
        for warning in config::warnings(settings).unwrap_or_default() {
            say::line(format!("warning: {warning}"));
        }
        say::line("the configuration holds together");
        return ExitCode::SUCCESS;
    }
    for mistake in mistakes {
        say::failure(&anyhow::anyhow!(mistake));
    }
    ExitCode::FAILURE
}

/// Says what is set.
fn print(settings: &Settings) -> anyhow::Result<ExitCode> {
    for shown in settings.shown()? {
        say::line(format!(
            "{} = {}  # {}",
            shown.name, shown.value, shown.place
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// The runtime of whatever serves. What is woken waits for its turn behind what was woken before, and does not run at once: so requests
/// that come together go from step to step together, bytes that leave together wake their readers once, and what is to be written is
/// written in longer batches. Measured with 64 connections: 7 % less CPU for a request, a quarter less for a chunk of a stream.
/// Tokio calls that unstable; a build without its flag, which `.cargo/config.toml` sets, does without.
fn start_runtime() -> anyhow::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    #[cfg(tokio_unstable)]
    builder.disable_lifo_slot();
    builder
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// Asks the bucket of `storage.s3`, if there is one.
fn bucket(settings: &Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    Ok(runtime.block_on(media::check_storage(settings))?)
}

/// Logs, and traces if a collector is configured, until what is returned is dropped.
fn start_telemetry(
    settings: &Settings,
    service: &str,
    runtime: &Runtime,
) -> anyhow::Result<Telemetry> {
    let config: telemetry::Config = settings.section("telemetry")?;
    telemetry::start(&config, service, runtime.handle()).context("cannot start telemetry")
}
