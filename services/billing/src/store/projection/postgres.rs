//! The projection on PostgreSQL: many rows in one statement.

use std::collections::BTreeMap;

use domain::KeyId;
use sqlx::{AnyConnection, AssertSqlSafe};

use super::{Bucket, ENDINGS, Ending, Explained, JOB, Served, ServedSums, Sums, others};
use crate::{
    Error,
    ledger::BalanceId,
    store::operation::{COLUMNS, OperationRow, read},
};

/// Rows of one statement at most: a statement takes a limited number of values.
const ROWS: usize = 256;

/// How far the job has come.
pub(crate) async fn progress(connection: &mut AnyConnection) -> Result<i64, Error> {
    let upto = sqlx::query_scalar("select upto from progress where job = $1").bind(JOB);
    Ok(upto.fetch_one(connection).await?)
}

/// Moves the job on, unless another process has: then nothing may be written.
pub(crate) async fn advance(
    connection: &mut AnyConnection,
    (from, to): (i64, i64),
) -> Result<bool, Error> {
    let moved = sqlx::query("update progress set upto = $1 where job = $2 and upto = $3")
        .bind(to)
        .bind(JOB)
        .bind(from)
        .execute(connection)
        .await?;
    Ok(moved.rows_affected() == 1)
}

/// Endings after one, up to another, in order.
pub(crate) async fn endings(
    connection: &mut AnyConnection,
    (after, upto): (i64, i64),
    limit: i64,
) -> Result<Vec<Ending>, Error> {
    let rows = sqlx::query(ENDINGS)
        .bind(after)
        .bind(upto)
        .bind(limit)
        .fetch_all(connection)
        .await?;
    rows.iter().map(Ending::read).collect()
}

/// Operations of these endings that are there already.
pub(crate) async fn known(
    connection: &mut AnyConnection,
    endings: &[Ending],
) -> Result<Vec<OperationRow>, Error> {
    let ids: Vec<_> = others(endings).collect();
    let mut known = Vec::new();
    for ids in portions(&ids) {
        let places = places(0, ids.len());
        let sql = format!("select {COLUMNS} from operation where id in ({places})");
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for id in ids {
            query = query.bind(id.0.to_vec());
        }
        for row in &query.fetch_all(&mut *connection).await? {
            known.push(read(row)?);
        }
    }
    Ok(known)
}

/// Writes operations; one that is there is written anew.
pub(crate) async fn write(connection: &mut AnyConnection, rows: &[Explained]) -> Result<(), Error> {
    for rows in portions(rows) {
        write_portion(connection, rows).await?;
    }
    Ok(())
}

async fn write_portion(connection: &mut AnyConnection, written: &[Explained]) -> Result<(), Error> {
    let sql = format!(
        "insert into operation ({COLUMNS}) values {} on conflict (id) do update set
           route = excluded.route, model = excluded.model, provider = excluded.provider, outcome = excluded.outcome,
           charged = excluded.charged, written_off = excluded.written_off, input_tokens = excluded.input_tokens,
           output_tokens = excluded.output_tokens, ended_at = excluded.ended_at, ending = excluded.ending",
        rows(written.len(), 17)
    );
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for Explained { operation, .. } in written {
        query = query
            .bind(operation.id.to_vec())
            .bind(operation.balance.account.to_vec())
            .bind(operation.balance.mode.as_str())
            .bind(key_bytes(operation.key))
            .bind(operation.route.clone())
            .bind(operation.model.clone())
            .bind(operation.provider.clone())
            .bind(operation.outcome.clone())
            .bind(operation.held.get())
            .bind(operation.charged.get())
            .bind(operation.written_off.get())
            .bind(operation.input_tokens)
            .bind(operation.output_tokens)
            .bind(operation.price_version.clone())
            .bind(operation.created_at)
            .bind(operation.ended_at)
            .bind(operation.ending);
    }
    query.execute(connection).await?;
    Ok(())
}

/// Notes which operations have labels. What is noted already stays.
pub(crate) async fn label(
    connection: &mut AnyConnection,
    explained: &[Explained],
) -> Result<(), Error> {
    let labels = explained.iter().flat_map(|row| {
        let operation = &row.operation;
        let of = (operation.balance, operation.id);
        row.tags.iter().map(move |tag| (of, *tag))
    });
    let labels: Vec<_> = labels.collect();
    for labels in portions(&labels) {
        let sql = format!(
            "insert into operation_tag (account, mode, tag, operation) values {} on conflict do nothing",
            rows(labels.len(), 4)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for ((BalanceId { account, mode }, operation), tag) in labels {
            query = query
                .bind(account.to_vec())
                .bind(mode.as_str())
                .bind(tag.to_vec())
                .bind(operation.to_vec());
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// Adds to the sums of days, and to those of days and labels.
pub(crate) async fn add(
    connection: &mut AnyConnection,
    sums: &BTreeMap<Bucket<'_>, Sums>,
) -> Result<(), Error> {
    let (tagged, all): (Vec<_>, Vec<_>) = sums.iter().partition(|(bucket, _)| bucket.tag.is_some());
    for rows in portions(&all) {
        add_to(connection, ("usage_day", ""), rows).await?;
    }
    for rows in portions(&tagged) {
        add_to(connection, ("usage_tag_day", "tag, "), rows).await?;
    }
    Ok(())
}

/// Adds to a table of sums; `tag` is the column that only one of them has.
async fn add_to(
    connection: &mut AnyConnection,
    (table, tag): (&str, &str),
    sums: &[(&Bucket<'_>, &Sums)],
) -> Result<(), Error> {
    let width = if tag.is_empty() { 11 } else { 12 };
    let sql = format!(
        "insert into {table} (account, mode, {tag}day, key, model, route, operations, free, charged, input_tokens, output_tokens)
         values {} on conflict (account, mode, {tag}day, key, model, route) do update set
           operations = {table}.operations + excluded.operations, free = {table}.free + excluded.free,
           charged = {table}.charged + excluded.charged, input_tokens = {table}.input_tokens + excluded.input_tokens,
           output_tokens = {table}.output_tokens + excluded.output_tokens",
        rows(sums.len(), width)
    );
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for (bucket, sums) in sums {
        query = query
            .bind(bucket.balance.account.to_vec())
            .bind(bucket.balance.mode.as_str());
        if let Some(tag) = bucket.tag {
            query = query.bind(tag.to_vec());
        }
        query = query
            .bind(bucket.day)
            .bind(key_bytes(bucket.key))
            .bind(bucket.model.to_owned())
            .bind(bucket.route.to_owned())
            .bind(sums.operations)
            .bind(sums.free)
            .bind(sums.charged)
            .bind(sums.input_tokens)
            .bind(sums.output_tokens);
    }
    query.execute(connection).await?;
    Ok(())
}

/// Adds to the sums of hours.
pub(crate) async fn serve(
    connection: &mut AnyConnection,
    sums: &BTreeMap<Served<'_>, ServedSums>,
) -> Result<(), Error> {
    let sums: Vec<_> = sums.iter().collect();
    for sums in portions(&sums) {
        let sql = format!(
            "insert into served_hour (hour, mode, model, provider, outcome, class, operations, charged, written_off, counted, counted_charged,
                                      input_tokens, cached_tokens, audio_input_tokens, output_tokens, reasoning_tokens, audio_output_tokens)
             values {} on conflict (hour, mode, model, provider, outcome, class) do update set
               operations = served_hour.operations + excluded.operations, charged = served_hour.charged + excluded.charged,
               written_off = served_hour.written_off + excluded.written_off, counted = served_hour.counted + excluded.counted,
               counted_charged = served_hour.counted_charged + excluded.counted_charged,
               input_tokens = served_hour.input_tokens + excluded.input_tokens,
               cached_tokens = served_hour.cached_tokens + excluded.cached_tokens,
               audio_input_tokens = served_hour.audio_input_tokens + excluded.audio_input_tokens,
               output_tokens = served_hour.output_tokens + excluded.output_tokens,
               reasoning_tokens = served_hour.reasoning_tokens + excluded.reasoning_tokens,
               audio_output_tokens = served_hour.audio_output_tokens + excluded.audio_output_tokens",
            rows(sums.len(), 17)
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for (of, sums) in sums {
            query = query
                .bind(of.hour)
                .bind(of.mode)
                .bind(of.model.to_owned())
                .bind(of.provider.to_owned())
                .bind(of.outcome.to_owned())
                .bind(of.class.to_owned())
                .bind(sums.operations)
                .bind(sums.charged)
                .bind(sums.written_off)
                .bind(sums.counted)
                .bind(sums.counted_charged);
            query = sums
                .tokens
                .into_iter()
                .fold(query, |query, tokens| query.bind(tokens));
        }
        query.execute(&mut *connection).await?;
    }
    Ok(())
}

/// A key as it stands where nobody's is empty.
fn key_bytes(key: Option<KeyId>) -> Vec<u8> {
    key.map(KeyId::to_vec).unwrap_or_default()
}

/// Rows in portions of a few sizes only, powers of two: a statement's text is made for its number of rows, and what a connection has
/// prepared once should serve again.
fn portions<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = 1_usize.checked_shl(rows.len().checked_ilog2()?)?.min(ROWS);
        let (portion, rest) = rows.split_at_checked(size)?;
        rows = rest;
        Some(portion)
    })
}

/// `count` rows of `width` values each, as a statement names them: `($1, $2), ($3, $4)`.
fn rows(count: usize, width: usize) -> String {
    let row = |row: usize| format!("({})", places(row.saturating_mul(width), width));
    (0..count).map(row).collect::<Vec<_>>().join(", ")
}

/// `count` values after `first`: `$1, $2`.
fn places(first: usize, count: usize) -> String {
    let place = |place: usize| format!("${}", first.saturating_add(place));
    (1..=count).map(place).collect::<Vec<_>>().join(", ")
}
