//! What keys may spend: the caps are written here. What is spent and held, only the ledger's batches write.

use domain::{KeyId, Micros};
use sqlx::{AnyConnection, Row as _, any::AnyRow};

use super::row::KeyRow;
use crate::{
    Error,
    ledger::{Budget, Caps},
};

/// Writes a key's caps; what it has spent stays.
pub(crate) async fn put_caps(
    connection: &mut AnyConnection,
    key: &KeyRow,
    caps: Caps,
) -> Result<(), Error> {
    sqlx::query(
        "insert into budget (key, account, mode, cap_day, cap_month, cap_total) values ($1, $2, $3, $4, $5, $6)
         on conflict (key) do update set cap_day = excluded.cap_day, cap_month = excluded.cap_month,
                                         cap_total = excluded.cap_total",
    )
    .bind(key.id.to_vec())
    .bind(key.account.to_vec())
    .bind(key.mode.as_str())
    .bind(caps.day.map(Micros::get))
    .bind(caps.month.map(Micros::get))
    .bind(caps.total.map(Micros::get))
    .execute(connection)
    .await?;
    Ok(())
}

/// A key's budget, if it has had a cap.
pub(crate) async fn get(
    connection: &mut AnyConnection,
    key: KeyId,
) -> Result<Option<Budget>, Error> {
    let row = sqlx::query(
        "select cap_day, cap_month, cap_total, spent_day, spent_month, spent_total, held, day, month from budget where key = $1",
    )
    .bind(key.to_vec())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(read).transpose()
}

/// Reads a budget of a row that has all its columns.
pub(super) fn read(row: &AnyRow) -> Result<Budget, Error> {
    let cap = |column: &str| -> Result<Option<Micros>, Error> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(Micros::new))
    };
    let spent = |column: &str| -> Result<Micros, Error> { Ok(Micros::new(row.try_get(column)?)) };
    Ok(Budget {
        caps: Caps {
            day: cap("cap_day")?,
            month: cap("cap_month")?,
            total: cap("cap_total")?,
        },
        spent_day: spent("spent_day")?,
        spent_month: spent("spent_month")?,
        spent_total: spent("spent_total")?,
        held: spent("held")?,
        day: row.try_get("day")?,
        month: row.try_get("month")?,
    })
}
