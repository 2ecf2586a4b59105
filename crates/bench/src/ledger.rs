//! `bench ledger`: pairs of hold and capture per second on one hot account, through the real billing service with its SQLite
//! file. Every answer that is counted is on disk. 64 callers wait for their answers, so that batches of 64 form by themselves.
//! At the end the account must hold exactly what the captures left, and the audit must find nothing.

use crate::{Length, figures::Figures, load::percentile_us, process::ourselves, progress};
use anyhow::{Context as _, ensure};
use billing::Deps;
use bytes::Bytes;
use chassis::{Tasks, config::Settings, mint, secrets::Secrets};
use db::Db;
use domain::ids::{Key, Operation};
use futures::future::try_join_all;
use prometheus_client::registry::Registry;
use proto::{
    billing::v1::{
        AddCreditsRequest, AuditRequest, CreateAccountRequest, GetBalanceRequest, HoldKind,
        HoldRequest, Outcome, SettleRequest, billing_server::Billing,
    },
    common::v1::{Context, Mode},
};
use std::{io::Write, path::Path, time::Duration};
use tempfile::TempDir;
use tokio::time::Instant;
use tonic::Request;

/// Callers at once, and so the operations of a batch.
const CALLERS: usize = 64;
/// More than can be spent: a trillion captures.
const CREDIT: i64 = 1_000_000_000_000_000;
/// Micro-credits of each hold and each capture: a short chat.
const HELD: i64 = 76_800;
const CAPTURED: i64 = 1_000;
/// Life of a hold, in milliseconds: longer than the benchmark.
const LIFE: i64 = 600_000;

/// What one caller saw.
#[derive(Default)]
struct Seen {
    pairs: u64,
    holds: Vec<Duration>,
}

/// Runs billing on a fresh file and returns the figures.
pub(crate) async fn ledger(length: Length) -> anyhow::Result<Figures> {
    // Beside the program, not in the system's temporary directory: that one may be memory, where fsync costs nothing.
    let program = ourselves()?;
    let data = TempDir::with_prefix_in("bench-", program.parent().context("no folder")?)?;
    let seconds = match length {
        Length::Full => 10,
        Length::Quick => 2,
    };
    let commits = bare_commits(data.path())?;
    let mut figures = measure(&open(data.path()).await?, Duration::from_secs(seconds)).await?;
    figures.push(("bare_commits_per_s", commits));
    Ok(figures)
}

/// How often per second this disk can be made to keep a page: no ledger commits more often. One pair takes two commits,
/// shared by all callers.
fn bare_commits(data: &Path) -> anyhow::Result<f64> {
    const COMMITS: u32 = 200;
    progress("ledger: how fast the disk is");
    let mut file = std::fs::File::create(data.join("bare"))?;
    let start = Instant::now();
    for _ in 0..COMMITS {
        file.write_all(&[1; 4096])?;
        file.sync_data()?;
    }
    Ok(f64::from(COMMITS) / start.elapsed().as_secs_f64())
}

/// The service as `aio up` runs it, with the settings nobody changed.
async fn open(data: &Path) -> anyhow::Result<billing::Billing> {
    let (settings, tasks) = (Settings::from_toml(""), Tasks::default());
    let limits: db::Limits = settings.section("database")?;
    let file = data.join("billing.db");
    let deps = Deps {
        db: Db::open(&file, billing::MIGRATIONS, &limits, &tasks).await?,
        key_mac: Secrets::random().key_mac().clone(),
        config: billing::Config::read(&settings)?,
        metrics: billing::Metrics::register(&mut Registry::default()),
        tasks,
    };
    Ok(billing::Billing::open(deps).await?)
}

async fn measure<B: Billing>(billing: &B, window: Duration) -> anyhow::Result<Figures> {
    let context = account(billing).await?;
    progress("ledger: warming up");
    let warm = callers(billing, &context, Duration::from_secs(1)).await?;
    progress("ledger: 64 callers, one account");
    let start = Instant::now();
    let seen = callers(billing, &context, window).await?;
    let seconds = start.elapsed().as_secs_f64();
    progress("ledger: audit");
    check(billing, context, warm.pairs + seen.pairs).await?;
    let mut holds = seen.holds;
    holds.sort_unstable();
    Ok(vec![
        ("pairs_per_s", seen.pairs as f64 / seconds),
        ("hold_p50_us", percentile_us(&holds, 50)),
        ("hold_p99_us", percentile_us(&holds, 99)),
        ("pairs", seen.pairs as f64),
    ])
}

/// Makes the hot account and returns who asks.
async fn account<B: Billing>(billing: &B) -> anyhow::Result<Context> {
    let request = CreateAccountRequest {
        name: "bench".to_owned(),
        test_credits: None,
    };
    let account = billing
        .create_account(Request::new(request))
        .await?
        .into_inner();
    let request = AddCreditsRequest {
        account_id: account.account_id.clone(),
        mode: Mode::Live.into(),
        amount: CREDIT,
        reason: "benchmark".to_owned(),
        transfer_id: mint_bytes(),
        actor: "operator".to_owned(),
    };
    billing.add_credits(Request::new(request)).await?;
    Ok(Context {
        account_id: account.account_id,
        mode: Mode::Live.into(),
        key_id: mint::<Key>().to_vec().into(),
        scopes: vec!["inference".to_owned()],
        request_id: "bench".to_owned(),
    })
}

async fn callers<B: Billing>(
    billing: &B,
    context: &Context,
    window: Duration,
) -> anyhow::Result<Seen> {
    let until = Instant::now() + window;
    let callers = (0..CALLERS).map(|_| caller(billing, context, until));
    let mut all = Seen::default();
    for seen in try_join_all(callers).await? {
        all.pairs += seen.pairs;
        all.holds.extend(seen.holds);
    }
    Ok(all)
}

/// One pair after another.
async fn caller<B: Billing>(
    billing: &B,
    context: &Context,
    until: Instant,
) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    while Instant::now() < until {
        let hold_id = mint_bytes();
        let asked = Instant::now();
        let hold = HoldRequest {
            context: Some(context.clone()),
            hold_id: hold_id.clone(),
            kind: HoldKind::Chat.into(),
            amount: HELD,
            floor: HELD,
            ttl_ms: LIFE,
            price_version: "bench".to_owned(),
        };
        billing.hold(Request::new(hold)).await?;
        seen.holds.push(asked.elapsed());
        let settle = SettleRequest {
            hold_id,
            outcome: Outcome::Capture.into(),
            amount: CAPTURED,
            receipt: Bytes::from_static(b"{}"),
        };
        billing.settle(Request::new(settle)).await?;
        seen.pairs += 1;
    }
    Ok(seen)
}

/// Figures of a ledger that lost something would mean nothing.
async fn check<B: Billing>(billing: &B, context: Context, pairs: u64) -> anyhow::Result<()> {
    let request = GetBalanceRequest {
        context: Some(context),
    };
    let balance = billing
        .get_balance(Request::new(request))
        .await?
        .into_inner();
    let left = CREDIT - CAPTURED * i64::try_from(pairs)?;
    ensure!(
        balance.posted == left && balance.held == 0 && balance.open_holds == 0,
        "{pairs} pairs should leave {left}, but the account is {balance:?}"
    );
    let audit = billing
        .audit(Request::new(AuditRequest {}))
        .await?
        .into_inner();
    ensure!(audit.ok, "the audit found {:?}", audit.checks);
    Ok(())
}

fn mint_bytes() -> Bytes {
    mint::<Operation>().to_vec().into()
}
