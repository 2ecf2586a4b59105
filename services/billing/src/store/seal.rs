//! Seals: the chain of hashes over the entries.

use sqlx::{AnyConnection, Row as _, any::AnyRow};

use crate::Error;

/// A row of `seal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SealRow {
    pub(crate) n: i64,
    pub(crate) upto: i64,
    pub(crate) entries: i64,
    pub(crate) hash: String,
}

/// An entry as it is sealed.
#[derive(Clone, Debug)]
pub(crate) struct EntryRow {
    pub(crate) seq: i64,
    pub(crate) cause: Vec<u8>,
    pub(crate) kind: String,
    pub(crate) account: Vec<u8>,
    pub(crate) mode: String,
    pub(crate) amount: i64,
    pub(crate) created_at: i64,
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

/// Entries after one, up to another, in order.
pub(crate) async fn entries(
    connection: &mut AnyConnection,
    (after, upto): (i64, i64),
    limit: i64,
) -> Result<Vec<EntryRow>, Error> {
    let rows = sqlx::query(
        "select seq, cause, kind, account, mode, amount, created_at from entry where seq > $1 and seq <= $2
         order by seq limit $3",
    )
    .bind(after)
    .bind(upto)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(EntryRow {
                seq: row.try_get(0)?,
                cause: row.try_get(1)?,
                kind: row.try_get(2)?,
                account: row.try_get(3)?,
                mode: row.try_get(4)?,
                amount: row.try_get(5)?,
                created_at: row.try_get(6)?,
            })
        })
        .collect()
}

fn read(row: &AnyRow) -> Result<SealRow, Error> {
    Ok(SealRow {
        n: row.try_get(0)?,
        upto: row.try_get(1)?,
        entries: row.try_get(2)?,
        hash: row.try_get(3)?,
    })
}
