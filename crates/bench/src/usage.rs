//! `bench usage`: how long it takes to say what was used, when one account has ten million operations: sums by every group, and pages
//! of operations with and without filters. The database is made once and kept below `target`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use billing::{Billing, Deps, Group, Page, Span, ledger::BalanceId};
use chassis::{Tasks, config::Settings, secrets::Secrets};
use db::Db;
use domain::{AccountId, KeyId, Mode, OperationId};
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::{Length, figures::Figures, load::percentile_us, progress};

/// The account that has everything, and the last of its days (since 1970): as `billing/examples/operations.rs` makes them.
const ACCOUNT: [u8; 16] = [7; 16];
const DAYS: i64 = 365;
const LAST_DAY: i64 = 20_700;

/// Times the questions.
pub(crate) async fn usage(length: Length) -> anyhow::Result<Figures> {
    let (count, rounds) = match length {
        Length::Full => (10_000_000, 200),
        Length::Quick => (200_000, 20),
    };
    let billing = filled(count).await?;
    progress(&format!("usage: asking {rounds} times each"));
    let (mut sums, mut pages) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        for groups in [
            &Group::ALL[..0],
            &Group::ALL[..1],
            &Group::ALL[1..3],
            &Group::ALL,
        ] {
            let asked = Instant::now();
            let found = billing.usage(span(round), groups).await?;
            sums.push(asked.elapsed());
            anyhow::ensure!(!found.is_empty(), "nothing was used");
        }
        for page in wanted(round, count)? {
            let asked = Instant::now();
            let found = billing.operations(page).await?;
            pages.push(asked.elapsed());
            anyhow::ensure!(!found.is_empty(), "an empty page");
        }
    }
    Ok([
        ("usage_p50_us", "usage_p99_us", sums),
        ("page_p50_us", "page_p99_us", pages),
    ]
    .into_iter()
    .flat_map(figures)
    .chain([("operations", count as f64)])
    .collect())
}

fn figures(
    (half, most, mut times): (&'static str, &'static str, Vec<Duration>),
) -> [(&'static str, f64); 2] {
    times.sort_unstable();
    [
        (half, percentile_us(&times, 50)),
        (most, percentile_us(&times, 99)),
    ]
}

fn balance() -> BalanceId {
    BalanceId {
        account: AccountId::from_slice(&ACCOUNT).unwrap_or(AccountId::NIL),
        mode: Mode::Live,
    }
}

/// A month, or everything.
fn span(round: i64) -> Span {
    let first = if round % 2 == 0 {
        LAST_DAY - DAYS
    } else {
        LAST_DAY - 30
    };
    Span {
        balance: balance(),
        first,
        last: LAST_DAY,
        tag: None,
        model: None,
        key: None,
    }
}

/// Pages from somewhere within: of everything, of a model, of a key, and of both.
fn wanted(round: i64, count: i64) -> anyhow::Result<Vec<Page>> {
    let id = |n: i64| -> anyhow::Result<[u8; 16]> { Ok(u128::try_from(n)?.to_be_bytes()) };
    let before = count - round * (count / 1_000) - 1;
    let before = OperationId::from_slice(&id(before)?);
    // A key and a model that go together.
    let key = KeyId::from_slice(&id(round % 20)?);
    let model = format!("model-{}", round % 10);
    let filters = [
        (None, None),
        (Some(model.clone()), None),
        (None, key),
        (Some(model), key),
    ];
    let pages = filters.map(|(model, key)| Page {
        balance: balance(),
        before,
        model,
        key,
        tag: None,
        outcome: None,
        since: 0,
        until: 0,
        limit: 50,
    });
    Ok(pages.to_vec())
}

/// Billing over a file with so many operations.
async fn filled(count: i64) -> anyhow::Result<Billing> {
    let file = PathBuf::from(format!("target/bench/usage-{count}.db"));
    if !file.exists() {
        make(&file, count).await?;
    }
    let jobs = "[limits.billing.jobs]\nproject_every = '1h'\nlots_every = '1h'\nseal_every = '1h'";
    let (settings, tasks) = (Settings::from_toml(jobs), Tasks::default());
    let limits: db::Limits = settings.section("database")?;
    let db = Db::open(&file, billing::MIGRATIONS, &limits, &tasks).await?;
    let deps = Deps {
        db,
        key_mac: Secrets::random().key_mac().clone(),
        webhooks: chassis::rpc::nobody(),
        settings,
        tasks,
    };
    Ok(Billing::start(deps, &mut Registry::default()).await?)
}

/// Has the file made beside its place, so that one that was cut off is not taken for whole. The program lies beside this one.
async fn make(file: &Path, count: i64) -> anyhow::Result<()> {
    progress(&format!("usage: making {count} operations, once"));
    std::fs::create_dir_all("target/bench").context("cannot make target/bench")?;
    let half = file.with_extension("half");
    let here = std::env::current_exe()?;
    let program = here.with_file_name("examples").join("operations");
    let made = tokio::process::Command::new(program)
        .arg(&half)
        .arg(count.to_string())
        .kill_on_drop(true)
        .status()
        .await?;
    anyhow::ensure!(made.success(), "the operations could not be made");
    Ok(std::fs::rename(&half, file)?)
}
