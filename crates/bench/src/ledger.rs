//! `bench ledger`: pairs of hold and capture per second on one hot account, through the real billing service: with its SQLite file,
//! and with its schema on PostgreSQL, in one lane. Every answer that is counted is on disk. 64 callers wait for their answers, so
//! that batches of 64 form by themselves. Then the same at half of that pace, for how long a hold takes, and over a thousand accounts. At
//! the end the accounts must hold exactly what the captures left, and the audit must find nothing.

use crate::{
    Length, engines::Postgres, figures::Figures, load::percentile_us, procfs::Processes, progress,
};
use anyhow::ensure;
use billing::Deps;
use bytes::Bytes;
use chassis::{Tasks, config::Settings, mint, secrets::Secrets};
use db::Db;
use domain::{
    Secret,
    ids::{Key, Operation},
};
use futures::{StreamExt as _, TryStreamExt as _, future::try_join_all, stream};
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
use tokio::time::{Instant, sleep_until};
use tonic::Request;

/// Callers at once, and so the operations of a batch.
const CALLERS: usize = 64;
/// Accounts of the second look: none of them is hot.
const ACCOUNTS: usize = 1_000;
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

/// How fast pairs are asked for, and how long.
#[derive(Clone, Copy)]
struct Plan {
    begun: Instant,
    until: Instant,
    /// From one pair of a caller to the next, as far as it keeps up; nothing: one after another.
    pause: Duration,
}

/// One measurement.
struct Run {
    name: &'static str,
    window: Duration,
    /// The process of the server, if there is one.
    server: Option<u32>,
}

/// Runs billing on a fresh file and returns the figures.
pub(crate) async fn sqlite(length: Length) -> anyhow::Result<Figures> {
    let data = TempDir::with_prefix("bench-")?;
    let commits = bare_commits(data.path())?;
    let billing = in_file(&data.path().join("billing.db")).await?;
    let mut figures = Run::new("ledger", length).measure(&billing).await?;
    figures.push(("bare_commits_per_s", commits));
    Ok(figures)
}

/// Runs billing on a fresh server and returns the figures.
pub(crate) async fn postgres(length: Length) -> anyhow::Result<Figures> {
    progress("ledger_postgres: starting PostgreSQL");
    let server = Postgres::start().await?;
    let billing = on_server(&server).await?;
    let run = Run {
        server: Some(server.process.pid),
        ..Run::new("ledger_postgres", length)
    };
    run.measure(&billing).await
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
async fn in_file(file: &Path) -> anyhow::Result<billing::Billing> {
    let (settings, tasks) = (Settings::from_toml(""), Tasks::default());
    let limits: db::Limits = settings.section("database")?;
    let db = Db::open(file, billing::MIGRATIONS, &limits, &tasks).await?;
    start(db, settings, tasks).await
}

/// The service as `aio migrate` and `aio billing` make it, with one lane: several wait for one another at a hot account.
async fn on_server(server: &Postgres) -> anyhow::Result<billing::Billing> {
    let settings = Settings::from_toml("[limits.billing]\nlanes = 1");
    let tasks = Tasks::default();
    let limits: db::Limits = settings.section("database")?;
    let as_user = |url: &str| db::Postgres {
        url: Secret::new(url),
        schema: "billing",
    };
    let schema = db::Schema {
        name: "billing",
        role: "aio_billing".to_owned(),
        role_password: None,
        migrations: billing::MIGRATIONS,
        append_only: billing::APPEND_ONLY,
    };
    db::migrate(&as_user(server.owner_url()), &schema).await?;
    let role = as_user(&server.url(&schema.role)?);
    let db = Db::connect(&role, billing::MIGRATIONS, &limits, &tasks).await?;
    start(db, settings, tasks).await
}

async fn start(db: Db, settings: Settings, tasks: Tasks) -> anyhow::Result<billing::Billing> {
    let deps = Deps {
        db,
        key_mac: Secrets::random().key_mac().clone(),
        webhooks: chassis::rpc::nobody(),
        settings,
        tasks,
    };
    Ok(billing::Billing::start(deps, &mut Registry::default()).await?)
}

/// Makes the hot account and returns who asks.
async fn account<B: Billing>(billing: &B) -> anyhow::Result<Context> {
    let request = CreateAccountRequest {
        name: "bench".to_owned(),
        test_credits: None,
        by: None,
        ..CreateAccountRequest::default()
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
        by: None,
        expires_at: 0,
    };
    billing.add_credits(Request::new(request)).await?;
    Ok(Context {
        account_id: account.account_id,
        mode: Mode::Live.into(),
        key_id: mint::<Key>().to_vec().into(),
        scopes: vec!["inference".to_owned()],
        request_id: "bench".to_owned(),
        ..Context::default()
    })
}

// === impl Plan ===

impl Plan {
    /// As fast as they are answered.
    fn fast(window: Duration) -> Self {
        let begun = Instant::now();
        Self {
            begun,
            until: begun + window,
            pause: Duration::ZERO,
        }
    }

    /// So many in a second, by all callers together.
    fn at(per_second: f64, window: Duration) -> Self {
        Self {
            pause: Duration::from_secs_f64(CALLERS as f64 / per_second.max(1.0)),
            ..Self::fast(window)
        }
    }
}

// === impl Run ===

impl Run {
    const fn new(name: &'static str, length: Length) -> Self {
        let seconds = match length {
            Length::Full => 10,
            Length::Quick => 2,
        };
        Self {
            name,
            window: Duration::from_secs(seconds),
            server: None,
        }
    }

    async fn measure<B: Billing>(&self, billing: &B) -> anyhow::Result<Figures> {
        let hot = [account(billing).await?];
        self.tell("warming up");
        let warm = callers(billing, &hot, Plan::fast(Duration::from_secs(1))).await?;
        self.tell("64 callers, one account");
        let (start, before) = (Instant::now(), self.cpu_us());
        let seen = callers(billing, &hot, Plan::fast(self.window)).await?;
        let (elapsed, after) = (start.elapsed(), self.cpu_us());
        self.tell("the same at half of that pace");
        let half = Plan::at(seen.pairs as f64 / elapsed.as_secs_f64() / 2.0, self.window);
        let mut calm = callers(billing, &hot, half).await?;
        calm.holds.sort_unstable();
        self.tell("64 callers, a thousand accounts");
        let many = try_join_all((0..ACCOUNTS).map(|_| account(billing))).await?;
        let spread_start = Instant::now();
        let spread = callers(billing, &many, Plan::fast(self.window)).await?;
        let spread_rate = spread.pairs as f64 / spread_start.elapsed().as_secs_f64();
        self.tell("audit");
        check(billing, &hot, warm.pairs + seen.pairs + calm.pairs).await?;
        check(billing, &many, spread.pairs).await?;
        audit(billing).await?;
        let mut holds = seen.holds;
        holds.sort_unstable();
        let pairs = seen.pairs as f64;
        let mut figures = vec![
            ("pairs_per_s", pairs / elapsed.as_secs_f64()),
            ("hold_p50_us", percentile_us(&holds, 50)),
            ("hold_p99_us", percentile_us(&holds, 99)),
            ("hold_p50_us_at_half", percentile_us(&calm.holds, 50)),
            ("hold_p99_us_at_half", percentile_us(&calm.holds, 99)),
            ("pairs", pairs),
            ("cpu_us_per_pair", (after.0 - before.0) / pairs),
            ("pairs_per_s_1000_accounts", spread_rate),
            (
                "ratio_1000_accounts",
                spread_rate * elapsed.as_secs_f64() / pairs,
            ),
        ];
        if self.server.is_some() {
            figures.push(("postgres_cpu_us_per_pair", (after.1 - before.1) / pairs));
        }
        Ok(figures)
    }

    /// What we, billing and its callers, have used so far, and what its server has.
    fn cpu_us(&self) -> (f64, f64) {
        let processes = Processes::look();
        let used = |pid| processes.family_cpu_ns(pid) as f64 / 1e3;
        let server = self.server.map_or(0.0, used);
        // The server is a child of ours.
        (used(std::process::id()) - server, server)
    }

    fn tell(&self, what: &str) {
        progress(&format!("{}: {what}", self.name));
    }
}

/// Pairs per second, and CPU microseconds for each, in SQLite, over so many accounts.
pub(crate) async fn over_accounts(
    length: Length,
    counts: &[usize],
) -> anyhow::Result<Vec<(usize, f64, f64)>> {
    let data = TempDir::with_prefix("bench-")?;
    let billing = in_file(&data.path().join("billing.db")).await?;
    let run = Run::new("growth", length);
    let mut accounts = Vec::new();
    let mut seen = Vec::new();
    for count in counts {
        run.tell(&format!("64 callers, {count} accounts"));
        let more = (accounts.len()..*count).map(|_| account(&billing));
        accounts.extend(
            stream::iter(more)
                .buffer_unordered(CALLERS)
                .try_collect::<Vec<_>>()
                .await?,
        );
        callers(&billing, &accounts, Plan::fast(Duration::from_secs(1))).await?;
        let (start, before) = (Instant::now(), run.cpu_us().0);
        let pairs = callers(&billing, &accounts, Plan::fast(run.window))
            .await?
            .pairs as f64;
        let cpu_us = (run.cpu_us().0 - before) / pairs;
        seen.push((*count, pairs / start.elapsed().as_secs_f64(), cpu_us));
    }
    audit(&billing).await?;
    Ok(seen)
}

async fn callers<B: Billing>(
    billing: &B,
    accounts: &[Context],
    plan: Plan,
) -> anyhow::Result<Seen> {
    let callers = (0..CALLERS).map(|place| caller(billing, accounts, (place, plan)));
    let mut all = Seen::default();
    for seen in try_join_all(callers).await? {
        all.pairs += seen.pairs;
        all.holds.extend(seen.holds);
    }
    Ok(all)
}

/// One pair after another, each of the next account, beginning at a place.
async fn caller<B: Billing>(
    billing: &B,
    accounts: &[Context],
    (place, plan): (usize, Plan),
) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut next = plan.begun + plan.pause.mul_f64(place as f64 / CALLERS as f64);
    for context in accounts.iter().cycle().skip(place) {
        if !plan.pause.is_zero() {
            sleep_until(next).await;
            next += plan.pause;
        }
        if Instant::now() >= plan.until {
            break;
        }
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
            context: None,
        };
        billing.settle(Request::new(settle)).await?;
        seen.pairs += 1;
    }
    Ok(seen)
}

/// Figures of a ledger that lost something would mean nothing.
async fn check<B: Billing>(billing: &B, accounts: &[Context], pairs: u64) -> anyhow::Result<()> {
    let mut posted: i128 = 0;
    for context in accounts {
        let request = GetBalanceRequest {
            context: Some(context.clone()),
        };
        let balance = billing.get_balance(Request::new(request)).await?;
        let balance = balance.into_inner();
        ensure!(
            balance.held == 0 && balance.open_holds == 0,
            "nothing should be held: {balance:?}"
        );
        posted += i128::from(balance.posted);
    }
    let given = i128::from(CREDIT) * i128::try_from(accounts.len())?;
    let left = given - i128::from(CAPTURED) * i128::from(pairs);
    ensure!(
        posted == left,
        "{pairs} pairs should leave {left}, but there are {posted}"
    );
    Ok(())
}

async fn audit<B: Billing>(billing: &B) -> anyhow::Result<()> {
    let audit = billing.audit(Request::new(AuditRequest {})).await?;
    let audit = audit.into_inner();
    ensure!(audit.ok, "the audit found {:?}", audit.checks);
    Ok(())
}

fn mint_bytes() -> Bytes {
    mint::<Operation>().to_vec().into()
}
