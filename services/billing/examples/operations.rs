//! Makes a database of billing with any number of operations of one account, as the projection would have made them: for the
//! benchmark `usage`. `operations FILE COUNT`.

use std::path::Path;

use anyhow::Context as _;
use chassis::{Tasks, config::Settings};
use db::Db;

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
    select unhex(printf('%032x', i)), $2, 'live', unhex(printf('%032x', i % 20)), 'chat/completions',
           'model-' || (i % 10), 'provider', case when i % 9 = 0 then 'released' else 'captured' end, 5000,
           case when i % 9 = 0 then 0 else i % 4000 end, 0, i % 900, i % 700, 'version',
           ($3 + i * $4 / $1) * 86400000000, ($3 + i * $4 / $1) * 86400000000 + 1000000, i
    from n";
/// Their sums.
const SUMS: &str = "
    insert into usage_day (account, mode, day, key, model, route, operations, free, charged, input_tokens, output_tokens)
    select account, mode, ended_at / 86400000000, key, model, route, count(*), sum(charged = 0), sum(charged),
           sum(input_tokens), sum(output_tokens)
    from operation group by 1, 2, 3, 4, 5, 6";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().context("operations FILE COUNT")?;
    let count: i64 = arguments.next().context("operations FILE COUNT")?.parse()?;
    let (settings, tasks) = (Settings::from_toml(""), Tasks::default());
    let limits: db::Limits = settings.section("database")?;
    let db = Db::open(Path::new(&file), billing::MIGRATIONS, &limits, &tasks).await?;
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
                sqlx::query(SUMS).execute(connection).await?;
                Ok(())
            })
        })
        .await;
    Ok(filled?)
}
