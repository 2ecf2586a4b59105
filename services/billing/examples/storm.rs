//! A storm on the ledger as a program: `cargo run --release -p billing --example storm -- ENGINE OPERATIONS [SEED]`, where the
//! engine is `sqlite` or `postgres`. Prints one line of JSON; exits with 1 if the books are off. `cargo xtask chaos` runs it.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "it is made of test code, and reports by panicking"
)]

#[expect(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "it serves the tests, too"
)]
#[path = "../tests/it/house.rs"]
mod house;
#[expect(dead_code, reason = "it serves the tests, too")]
#[path = "../tests/it/place.rs"]
mod place;
#[path = "../tests/it/storm.rs"]
mod storm;

use std::{error::Error, io::Write as _, process::ExitCode, time::Instant};

use db::Engine;
use serde_json::json;

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (engine, operations, seed) = match words.as_slice() {
        [engine, operations] => (*engine, *operations, "1"),
        [engine, operations, seed] => (*engine, *operations, *seed),
        _ => return Err("storm sqlite|postgres OPERATIONS [SEED]".into()),
    };
    let engine = match engine {
        "sqlite" => Engine::Sqlite,
        "postgres" => Engine::Postgres,
        other => return Err(format!("{other} is no engine: sqlite or postgres").into()),
    };
    let begun = Instant::now();
    let report = storm::storm(engine, operations.parse()?, seed.parse()?).await;
    let told = json!({
        "ok": report.is_good(),
        "operations": report.operations,
        "seconds": begun.elapsed().as_secs(),
        "sessions_killed": report.killed,
        "negative_balances": report.negative,
        "drift_microcredits": report.drift,
        "ids_granted_twice": report.twice,
        "audit_breaches": report.broken,
        "answers": report.answers,
    });
    writeln!(std::io::stdout(), "{told}")?;
    Ok(if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
