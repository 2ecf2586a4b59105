//! `bench usage`: how long it takes to say what was used, when one account has ten million operations: sums by every group, and pages
//! of operations with and without filters. The database is made once and kept below `target`.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use billing::{Billing, Deps, Group, Page, Span, ledger::BalanceId};
use chassis::{Tasks, config::Settings, secrets::Secrets};
use db::Db;
use domain::{AccountId, KeyId, Mode, OperationId};
use prometheus_client::registry::Registry;
use tokio::time::Instant;

use crate::{Length, figures::Figures, load::percentile_us, progress};

/// The account that has everything.
const ACCOUNT: [u8; 16] = [7; 16];
/// Days that the operations are spread over, before this one (since 1970).
const DAYS: i64 = 365;
const LAST_DAY: i64 = 20_700;

/// Makes the operations, as the projection would have: the keys are twenty, the models ten.
const OPERATIONS: &str = "
    with recursive n (i) as (select 0 union all select i + 1 from n where i + 1 < $1)
    insert into operation (id, account, mode, key, route, model, provider, outcome, held, charged, written_off, input_tokens,
                           output_tokens, price_version, created_at, ended_at, ending)
    select unhex(printf('%032x', i)), $2, 'live', unhex(printf('%032x', i % 20)), 'chat/completions',
           'model-' || (i % 10), 'provider', case when i % 9 = 0 then 'released' else 'captured' end, 5000,
           case when i % 9 = 0 then 0 else i % 4000 end, 0, i % 900, i % 700, 'version',
           ($3 + i * $4 / $1) * 86400000000, ($3 + i * $4 / $1) * 86400000000 + 1000000, i
    from n";
/// Sums them up.
const DAYS_SUMMED: &str = "
    insert into usage_day (account, mode, day, key, model, route, operations, free, charged, input_tokens, output_tokens)
    select account, mode, ended_at / 86400000000, key, model, route, count(*), sum(charged = 0), sum(charged),
           sum(input_tokens), sum(output_tokens)
    from operation group by 1, 2, 3, 4, 5, 6";

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
        limit: 50,
    });
    Ok(pages.to_vec())
}

/// Billing over a file with so many operations.
async fn filled(count: i64) -> anyhow::Result<Billing> {
    let file = PathBuf::from(format!("target/bench/usage-{count}.db"));
    std::fs::create_dir_all("target/bench").context("cannot make target/bench")?;
    let (settings, tasks) = (
        Settings::from_toml(
            "[limits.billing.jobs]\nproject_every = '1h'\nlots_every = '1h'\nseal_every = '1h'",
        ),
        Tasks::default(),
    );
    let limits: db::Limits = settings.section("database")?;
    let db = Db::open(&file, billing::MIGRATIONS, &limits, &tasks).await?;
    let there: i64 = sqlx::query_scalar("select count(*) from usage_day")
        .fetch_one(db.reader())
        .await?;
    if there == 0 {
        progress(&format!("usage: making {count} operations, once"));
        fill(&db, count).await?;
    }
    let deps = Deps {
        db,
        key_mac: Secrets::random().key_mac().clone(),
        settings,
        tasks,
    };
    Ok(Billing::start(deps, &mut Registry::default()).await?)
}

async fn fill(db: &Db, count: i64) -> anyhow::Result<()> {
    let filled: Result<(), db::Error> = db
        .write(move |connection| {
            Box::pin(async move {
                sqlx::query(OPERATIONS)
                    .bind(count)
                    .bind(ACCOUNT.to_vec())
                    .bind(LAST_DAY - DAYS)
                    .bind(DAYS)
                    .execute(&mut *connection)
                    .await?;
                sqlx::query(DAYS_SUMMED).execute(connection).await?;
                Ok(())
            })
        })
        .await;
    Ok(filled?)
}
