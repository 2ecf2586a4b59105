//! Makes a database of billing with any number of operations of one account, as the projection would have made them: for the
//! benchmark `usage`. `operations FILE COUNT`. And gives an account of a database that is there as many, up to today, with what they
//! moved in its books: for the benchmark `pages`. `operations FILE COUNT ACCOUNT MODE`; nothing may run there.

use std::path::Path;

use anyhow::Context as _;
use chassis::{Tasks, clock, config::Settings};
use db::Db;
use domain::AccountId;

/// The account that has everything.
const ACCOUNT: [u8; 16] = [7; 16];
/// Days that the operations are spread over, and the last of them (since 1970).
const DAYS: i64 = 365;
const LAST_DAY: i64 = 20_700;

/// The operations: the keys are twenty, the models ten.
const OPERATIONS: &str = "
    with recursive n (i) as (select 0 union all select i + 1 from n where i + 1 < $1)
    insert into operation (id, account, mode, key, route, model, provider, outcome, held, charged, written_off, input_tokens,
                           output_tokens, price_version, created_at, ended_at, ending)
    select unhex(printf('%032x', i)), $2, $5, unhex(printf('%032x', i % 20)), 'chat/completions',
           'model-' || (i % 10), 'provider', case when i % 9 = 0 then 'released' else 'captured' end, 5000,
           case when i % 9 = 0 then 0 else i % 4000 end, 0, i % 900, i % 700, 'version',
           ($3 + i * $4 / $1) * 86400000000, ($3 + i * $4 / $1) * 86400000000 + 1000000, i
    from n";
/// Their sums.
const SUMS: &str = "
    insert into usage_day (account, mode, day, key, model, route, operations, free, charged, input_tokens, output_tokens)
    select account, mode, ended_at / 86400000000, key, model, route, count(*), sum(charged = 0), sum(charged),
           sum(input_tokens), sum(output_tokens)
    from operation where price_version = 'version' group by 1, 2, 3, 4, 5, 6";
/// What was given, so that it could be spent.
const GIFT: &str = "
    insert into entry (cause, kind, account, mode, amount, created_at)
    select unhex(printf('%032x', 0)), 'top_up', $1, $2, sum(charged), min(created_at) - 1
    from operation where account = $1 and mode = $2 and price_version = 'version'";
/// And what was spent.
const SPENT: &str = "
    insert into entry (cause, kind, account, mode, amount, created_at)
    select id, 'capture', account, mode, -charged, ended_at
    from operation where account = $1 and mode = $2 and price_version = 'version' and charged > 0 order by id";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().context("operations FILE COUNT")?;
    let count: i64 = arguments.next().context("operations FILE COUNT")?.parse()?;
    let whose = match (arguments.next(), arguments.next()) {
        (Some(account), Some(mode)) => {
            let account = AccountId::parse(&account).context("ACCOUNT is no id")?;
            Some((account, mode))
        }
        _ => None,
    };
    let (settings, tasks) = (Settings::from_toml(""), Tasks::default());
    let limits: db::Limits = settings.section("database")?;
    let db = Db::open(Path::new(&file), billing::MIGRATIONS, &limits, &tasks).await?;
    let filled: Result<(), db::Error> = db
        .write(move |connection| {
            Box::pin(async move {
                let last = whose.as_ref().map_or(LAST_DAY, |_| today());
                let owner = whose
                    .clone()
                    .map(|(account, mode)| (account.to_vec(), mode));
                let (account, mode) =
                    owner.unwrap_or_else(|| (ACCOUNT.to_vec(), "live".to_owned()));
                sqlx::query(OPERATIONS)
                    .bind(count)
                    .bind(account.clone())
                    .bind(last - DAYS)
                    .bind(DAYS)
                    .bind(mode.clone())
                    .execute(&mut *connection)
                    .await?;
                sqlx::query(SUMS).execute(&mut *connection).await?;
                if whose.is_some() {
                    for statement in [GIFT, SPENT] {
                        sqlx::query(statement)
                            .bind(account.clone())
                            .bind(mode.clone())
                            .execute(&mut *connection)
                            .await?;
                    }
                }
                Ok(())
            })
        })
        .await;
    Ok(filled?)
}

fn today() -> i64 {
    clock::now_micros() / (24 * 60 * 60 * 1_000_000)
}
