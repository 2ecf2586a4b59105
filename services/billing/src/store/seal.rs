//! Seals: the chain of hashes over the entries.

use db::Engine;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _, any::AnyRow};

use crate::Error;

/// A row of `seal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SealRow {
    pub(crate) n: i64,
    pub(crate) upto: i64,
    pub(crate) entries: i64,
    pub(crate) hash: String,
}

/// A page of entries as they are sealed.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    /// How many entries.
    pub(crate) entries: i64,
    /// The last of them.
    pub(crate) last: i64,
    /// A line for each, with every column in it, and a line break between two.
    pub(crate) text: String,
}

/// The last seal.
pub(crate) async fn last(connection: &mut AnyConnection) -> Result<Option<SealRow>, Error> {
    let row = sqlx::query("select n, upto, entries, hash from seal order by n desc limit 1");
    row.fetch_optional(connection)
        .await?
        .as_ref()
        .map(read)
        .transpose()
}

/// Seals after one, in order.
pub(crate) async fn after(
    connection: &mut AnyConnection,
    n: i64,
    limit: i64,
) -> Result<Vec<SealRow>, Error> {
    let rows =
        sqlx::query("select n, upto, entries, hash from seal where n > $1 order by n limit $2")
            .bind(n)
            .bind(limit)
            .fetch_all(connection)
            .await?;
    rows.iter().map(read).collect()
}

/// Adds a seal. Of two that follow the same one, the second fails.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    seal: &SealRow,
    at: i64,
) -> Result<(), Error> {
    sqlx::query(
        "insert into seal (n, upto, entries, hash, created_at) values ($1, $2, $3, $4, $5)",
    )
    .bind(seal.n)
    .bind(seal.upto)
    .bind(seal.entries)
    .bind(seal.hash.clone())
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Entries after one, up to another, in order; `None`: there are none. The database writes the lines: many rows as one text cost a part
/// of what many rows cost, and nobody looks at a column of them.
pub(crate) async fn lines(
    connection: &mut AnyConnection,
    (after, upto): (i64, i64),
    limit: i64,
) -> Result<Option<Lines>, Error> {
    let engine = Engine::of(connection);
    let hex = |column| match engine {
        Engine::Sqlite => format!("lower(hex({column}))"),
        Engine::Postgres => format!("encode({column}, 'hex')"),
    };
    let sql = format!(
        "select count(*), coalesce(max(seq), 0), coalesce(string_agg(line, '\n' order by seq), '')
         from (select seq, concat(seq, ' ', {}, ' ', kind, ' ', {}, ' ', mode, ' ', amount, ' ', created_at) as line
               from entry where seq > $1 and seq <= $2 order by seq limit $3) as page",
        hex("cause"),
        hex("account"),
    );
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(after)
        .bind(upto)
        .bind(limit)
        .fetch_one(connection)
        .await?;
    let lines = Lines {
        entries: row.try_get(0)?,
        last: row.try_get(1)?,
        text: row.try_get(2)?,
    };
    Ok((lines.entries > 0).then_some(lines))
}

fn read(row: &AnyRow) -> Result<SealRow, Error> {
    Ok(SealRow {
        n: row.try_get(0)?,
        upto: row.try_get(1)?,
        entries: row.try_get(2)?,
        hash: row.try_get(3)?,
    })
}
