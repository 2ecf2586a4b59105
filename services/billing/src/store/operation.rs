//! Operations as customers look at them, and their sums by day. Made behind the ledger from its endings.

use std::{borrow::Cow, collections::BTreeMap};

use db::Engine;
use domain::{AccountId, KeyId, Micros, Mode, OperationId};
use sqlx::{
    Any, AnyConnection, AssertSqlSafe, Row as _,
    any::{AnyArguments, AnyRow},
    query::Query,
};

use super::{
    row::{self, Hex},
    tag::TagId,
};
use crate::{Error, ledger::BalanceId};

/// The job that makes them, in `progress`.
const JOB: &str = "operations";
/// Rows of one statement at most: databases take a limited number of values.
const ROWS: usize = 256;

/// A row of `operation`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRow {
    /// The hold's id.
    pub id: OperationId,
    /// Whose, and of which balance.
    pub balance: BalanceId,
    /// By which key, if by one.
    pub key: Option<KeyId>,
    /// Where it was asked for; empty if nobody said.
    pub route: String,
    /// The model's slug; empty if nobody said.
    pub model: String,
    /// Who served it; empty if nobody did.
    pub provider: String,
    /// How its hold ended: `captured`, `released`, `expired` or `late`.
    pub outcome: String,
    /// Set aside.
    pub held: Micros,
    /// Charged of it.
    pub charged: Micros,
    /// Our loss beyond it.
    pub written_off: Micros,
    /// Tokens read, where the model counts them.
    pub input_tokens: i64,
    /// Tokens written, reasoning included.
    pub output_tokens: i64,
    /// The version of the price list.
    pub price_version: String,
    /// When its credit was set aside, in microseconds UTC.
    pub created_at: i64,
    /// When it ended.
    pub ended_at: i64,
    /// The ending that explains it.
    pub(crate) ending: i64,
}

/// How a hold ended, as the ledger wrote it down.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub(crate) receipt: String,
    /// The operation, but for what its receipt says.
    pub(crate) operation: OperationRow,
}

/// Whose, when and with what: a row of `usage_day`, or of `usage_tag_day` if it is of a label, but for its sums. Every part is bytes as they stand in SQL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bucket {
    pub(crate) balance: BalanceId,
    pub(crate) tag: Option<TagId>,
    /// Days since 1970.
    pub(crate) day: i64,
    pub(crate) key: Option<KeyId>,
    pub(crate) model: String,
    pub(crate) route: String,
}

/// What is added to a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) operations: i64,
    pub(crate) free: i64,
    pub(crate) charged: i64,
    pub(crate) input_tokens: i64,
    pub(crate) output_tokens: i64,
}

/// Columns of `operation`, in the order in which rows are written and read.
const COLUMNS: &str = "id, account, mode, key, route, model, provider, outcome, held, charged, written_off, input_tokens,
    output_tokens, price_version, created_at, ended_at, ending";

/// How far the job has come.
pub(crate) async fn progress(connection: &mut AnyConnection) -> Result<i64, Error> {
    let upto = sqlx::query_scalar("select upto from progress where job = $1").bind(JOB);
    Ok(upto.fetch_one(connection).await?)
}

/// What [`endings`] reads: $1, $2: after which, up to which; $3: how many at most; $4: the key of what has none.
const ENDINGS: &str =
    "select hold.id as id, hold.account as account, hold.mode as mode, coalesce(hold.key, $4) as key,
            hold.state as outcome, hold.granted as held, hold.captured as charged, hold.written_off as written_off,
            hold.price_version as price_version, hold.created_at as created_at, ending.created_at as ended_at,
            ending.seq as ending, ending.receipt as receipt
     from ending join hold on hold.id = ending.hold
     where ending.seq > $1 and ending.seq <= $2 order by ending.seq limit $3";

/// The columns of [`ENDINGS`] as JSON.
type EndingJson<'a> = (
    (Hex, Hex, &'a str, Option<Hex>),
    (&'a str, i64, i64, i64, Cow<'a, str>),
    (i64, i64, i64, Cow<'a, str>),
);

/// Endings after one, up to another, in order.
pub(crate) async fn endings(
    connection: &mut AnyConnection,
    range: (i64, i64),
    limit: i64,
) -> Result<Vec<Ending>, Error> {
    match Engine::of(connection) {
        Engine::Sqlite => endings_as_one(connection, range, limit).await,
        Engine::Postgres => {
            let rows = endings_query(ENDINGS, range, limit).fetch_all(connection);
            rows.await?.iter().map(read_ending).collect()
        }
    }
}

/// The same in one row: on SQLite every row costs a trip between two threads.
async fn endings_as_one(
    connection: &mut AnyConnection,
    range: (i64, i64),
    limit: i64,
) -> Result<Vec<Ending>, Error> {
    let sql = format!(
        "select json_group_array(json_array(
             json_array(hex(id), hex(account), mode, nullif(hex(key), '')),
             json_array(outcome, held, charged, written_off, price_version),
             json_array(created_at, ended_at, ending, receipt)) order by ending)
         from ({ENDINGS}) as page"
    );
    let row = endings_query(&sql, range, limit)
        .fetch_one(connection)
        .await?;
    let text: String = row.try_get(0)?;
    let rows: Vec<EndingJson<'_>> = serde_json::from_str(&text)
        .map_err(|_| Error::Corrupt("an ending is not what was written"))?;
    rows.into_iter().map(listed_ending).collect()
}

fn endings_query(sql: &str, (after, upto): (i64, i64), limit: i64) -> Query<'_, Any, AnyArguments> {
    sqlx::query(AssertSqlSafe(sql))
        .bind(after)
        .bind(upto)
        .bind(limit)
        .bind(Vec::new())
}

fn listed_ending(row: EndingJson<'_>) -> Result<Ending, Error> {
    let (
        (id, account, mode, key),
        (outcome, held, charged, written_off, price_version),
        (created_at, ended_at, ending, receipt),
    ) = row;
    Ok(Ending {
        receipt: receipt.into_owned(),
        operation: OperationRow {
            id: id.into(),
            balance: row::balance_id(account, mode)?,
            key: key.map(Into::into),
            route: String::new(),
            model: String::new(),
            provider: String::new(),
            outcome: outcome.to_owned(),
            held: Micros::new(held),
            charged: Micros::new(charged),
            written_off: Micros::new(written_off),
            input_tokens: 0,
            output_tokens: 0,
            price_version: price_version.into_owned(),
            created_at,
            ended_at,
            ending,
        },
    })
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

/// Operations that are there already: those that ended before, and are charged late now.
pub(crate) async fn known(
    connection: &mut AnyConnection,
    ids: &[OperationId],
) -> Result<Vec<OperationRow>, Error> {
    let mut known = Vec::new();
    for ids in portions(ids) {
        let sql = format!(
            "select {COLUMNS} from operation where id in ({})",
            places(Engine::of(connection), 0, ids.len())
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for id in ids {
            query = query.bind(id.to_vec());
        }
        for row in &query.fetch_all(&mut *connection).await? {
            known.push(read(row)?);
        }
    }
    Ok(known)
}

/// Writes operations; one that is there is written anew.
pub(crate) async fn write(
    connection: &mut AnyConnection,
    operations: &[OperationRow],
) -> Result<(), Error> {
    for rows in portions(operations) {
        write_portion(connection, rows).await?;
    }
    Ok(())
}

async fn write_portion(
    connection: &mut AnyConnection,
    operations: &[OperationRow],
) -> Result<(), Error> {
    let sql = format!(
        "insert into operation ({COLUMNS}) values {} on conflict (id) do update set
           route = excluded.route, model = excluded.model, provider = excluded.provider, outcome = excluded.outcome,
           charged = excluded.charged, written_off = excluded.written_off, input_tokens = excluded.input_tokens,
           output_tokens = excluded.output_tokens, ended_at = excluded.ended_at, ending = excluded.ending",
        rows(Engine::of(connection), operations.len(), 17)
    );
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for row in operations {
        query = query
            .bind(row.id.to_vec())
            .bind(row.balance.account.to_vec())
            .bind(row.balance.mode.as_str())
            .bind(key_bytes(row.key))
            .bind(row.route.clone())
            .bind(row.model.clone())
            .bind(row.provider.clone())
            .bind(row.outcome.clone())
            .bind(row.held.get())
            .bind(row.charged.get())
            .bind(row.written_off.get())
            .bind(row.input_tokens)
            .bind(row.output_tokens)
            .bind(row.price_version.clone())
            .bind(row.created_at)
            .bind(row.ended_at)
            .bind(row.ending);
    }
    query.execute(connection).await?;
    Ok(())
}

/// Adds to the sums of days, and to those of days and labels.
pub(crate) async fn add(
    connection: &mut AnyConnection,
    sums: &BTreeMap<Bucket, Sums>,
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
    sums: &[(&Bucket, &Sums)],
) -> Result<(), Error> {
    let width = if tag.is_empty() { 11 } else { 12 };
    let sql = format!(
        "insert into {table} (account, mode, {tag}day, key, model, route, operations, free, charged, input_tokens, output_tokens)
         values {} on conflict (account, mode, {tag}day, key, model, route) do update set
           operations = {table}.operations + excluded.operations, free = {table}.free + excluded.free,
           charged = {table}.charged + excluded.charged, input_tokens = {table}.input_tokens + excluded.input_tokens,
           output_tokens = {table}.output_tokens + excluded.output_tokens",
        rows(Engine::of(connection), sums.len(), width)
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
            .bind(bucket.model.clone())
            .bind(bucket.route.clone())
            .bind(sums.operations)
            .bind(sums.free)
            .bind(sums.charged)
            .bind(sums.input_tokens)
            .bind(sums.output_tokens);
    }
    query.execute(connection).await?;
    Ok(())
}

/// What a page of operations holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Whose.
    pub balance: BalanceId,
    /// Only those older than this one.
    pub before: Option<OperationId>,
    /// Only those of this model.
    pub model: Option<String>,
    /// Only those of this key.
    pub key: Option<KeyId>,
    /// Only those with this label.
    pub tag: Option<TagId>,
    /// Rows wanted.
    pub limit: i64,
}

/// A page, the newest first.
pub(crate) async fn page(
    connection: &mut AnyConnection,
    page: &Page,
) -> Result<Vec<OperationRow>, Error> {
    // Ids begin with the time they were made.
    let before = page
        .before
        .map_or_else(|| vec![u8::MAX; 16], |id| id.to_vec());
    let filters = [
        page.model.is_some().then_some("model = "),
        page.key.is_some().then_some("key = "),
        page.tag.is_some().then_some("operation_tag.tag = "),
    ];
    let filters: String = (5..)
        .zip(filters.into_iter().flatten())
        .map(|(place, filter)| format!(" and {filter}${place}"))
        .collect();
    // With a label, its own index has the page in order.
    let (from, page_id, whose) = match page.tag {
        None => ("operation", "id", "account = $1 and mode = $2"),
        Some(_) => (
            "operation_tag join operation on operation.id = operation_tag.operation",
            "operation_tag.operation",
            "operation_tag.account = $1 and operation_tag.mode = $2",
        ),
    };
    let columns = COLUMNS.replace("account, mode", "operation.account, operation.mode");
    let sql = format!(
        "select {columns} from {from} where {whose} and {page_id} < $3{filters} order by {page_id} desc limit $4"
    );
    let mut query = sqlx::query(AssertSqlSafe(sql))
        .bind(page.balance.account.to_vec())
        .bind(page.balance.mode.as_str())
        .bind(before)
        .bind(page.limit);
    if let Some(model) = &page.model {
        query = query.bind(model.clone());
    }
    if let Some(key) = page.key {
        query = query.bind(key.to_vec());
    }
    if let Some(tag) = page.tag {
        query = query.bind(tag.to_vec());
    }
    let rows = query.fetch_all(connection).await?;
    rows.iter().map(read).collect()
}

/// One operation of this balance, and its receipt.
pub(crate) async fn with_receipt(
    connection: &mut AnyConnection,
    balance: BalanceId,
    id: OperationId,
) -> Result<Option<(OperationRow, String)>, Error> {
    let sql = format!(
        "select {COLUMNS}, (select receipt from ending where seq = operation.ending) as receipt
         from operation where id = $1 and account = $2 and mode = $3"
    );
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(id.to_vec())
        .bind(balance.account.to_vec())
        .bind(balance.mode.as_str())
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok((read(&row)?, row.try_get("receipt")?)))
        .transpose()
}

fn read_ending(row: &AnyRow) -> Result<Ending, Error> {
    Ok(Ending {
        receipt: row.try_get("receipt")?,
        operation: read_unexplained(row)?,
    })
}

fn read(row: &AnyRow) -> Result<OperationRow, Error> {
    Ok(OperationRow {
        route: row.try_get("route")?,
        model: row.try_get("model")?,
        provider: row.try_get("provider")?,
        input_tokens: row.try_get("input_tokens")?,
        output_tokens: row.try_get("output_tokens")?,
        ..read_unexplained(row)?
    })
}

/// An operation but for what its receipt says.
fn read_unexplained(row: &AnyRow) -> Result<OperationRow, Error> {
    let account: AccountId = row::id(row, "account")?;
    let mode: Mode = row::mode(row)?;
    Ok(OperationRow {
        id: row::id(row, "id")?,
        balance: BalanceId { account, mode },
        key: row::optional_id(row, "key")?,
        route: String::new(),
        model: String::new(),
        provider: String::new(),
        outcome: row.try_get("outcome")?,
        held: row::micros(row, "held")?,
        charged: row::micros(row, "charged")?,
        written_off: row::micros(row, "written_off")?,
        input_tokens: 0,
        output_tokens: 0,
        price_version: row.try_get("price_version")?,
        created_at: row.try_get("created_at")?,
        ended_at: row.try_get("ended_at")?,
        ending: row.try_get("ending")?,
    })
}

/// A key as it stands where nobody's is empty.
pub(super) fn key_bytes(key: Option<KeyId>) -> Vec<u8> {
    key.map(KeyId::to_vec).unwrap_or_default()
}

/// Rows in portions of a few sizes only, powers of two: a statement's text is made for its number of rows, and what a connection has
/// prepared once should serve again.
pub(super) fn portions<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = 1_usize.checked_shl(rows.len().checked_ilog2()?)?.min(ROWS);
        let (portion, rest) = rows.split_at_checked(size)?;
        rows = rest;
        Some(portion)
    })
}

/// `count` rows of `width` values each, as a statement names them: `($1, $2), ($3, $4)`.
pub(super) fn rows(engine: Engine, count: usize, width: usize) -> String {
    let row = |row: usize| format!("({})", places(engine, row.saturating_mul(width), width));
    (0..count).map(row).collect::<Vec<_>>().join(", ")
}

/// `count` values after `first`: `$1, $2`. SQLite is given no numbers: it keeps those as names, and goes through all of them for every
/// value that is bound (measured: with thousands of values that is most of what a statement costs).
fn places(engine: Engine, first: usize, count: usize) -> String {
    let place = |place: usize| match engine {
        Engine::Sqlite => "?".to_owned(),
        Engine::Postgres => format!("${}", first.saturating_add(place)),
    };
    (1..=count).map(place).collect::<Vec<_>>().join(", ")
}
