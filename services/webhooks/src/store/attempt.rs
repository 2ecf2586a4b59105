//! The table `delivery_attempt`: how each attempt of a delivery ended. Times are microseconds UTC.

use domain::DeliveryId;
use sqlx::{AnyConnection, AnyPool, Row as _, any::AnyRow};

use crate::Error;

/// An attempt that ended: a row type.
#[derive(Clone)]
pub(crate) struct NewRow {
    pub(crate) delivery: DeliveryId,
    pub(crate) started_at: i64,
    pub(crate) ended_at: i64,
    pub(crate) status: Option<u16>,
    pub(crate) error: Option<String>,
    /// Sealed.
    pub(crate) response: Option<Vec<u8>>,
}

/// An attempt as it is shown: a row type.
pub(crate) struct Row {
    /// Counted from 1, over replays.
    pub(crate) number: i64,
    /// Which replay it belongs to; 0: the first time.
    pub(crate) replay: i64,
    pub(crate) started_at: i64,
    pub(crate) ended_at: i64,
    pub(crate) status: Option<i64>,
    pub(crate) error: Option<String>,
    /// Sealed.
    pub(crate) response: Option<Vec<u8>>,
}

/// Writes an attempt, in the transaction that records its delivery's end: the delivery's row is held, so numbers do not collide.
pub(crate) async fn insert(connection: &mut AnyConnection, row: NewRow) -> Result<(), Error> {
    sqlx::query(
        "insert into delivery_attempt (delivery_id, number, replay, started_at, ended_at, status, error, response)
         select delivery.id,
             (select coalesce(max(number), 0) + 1 from delivery_attempt where delivery_id = delivery.id),
             delivery.replays, $2, $3, $4, $5, $6
         from delivery where delivery.id = $1",
    )
    .bind(row.delivery.to_vec())
    .bind(row.started_at)
    .bind(row.ended_at)
    .bind(row.status.map(i64::from))
    .bind(row.error)
    .bind(row.response)
    .execute(connection)
    .await?;
    Ok(())
}

/// The attempts of a delivery, in their order.
pub(crate) async fn list(reader: &AnyPool, delivery: DeliveryId) -> Result<Vec<Row>, Error> {
    let rows = sqlx::query(
        "select number, replay, started_at, ended_at, status, error, response from delivery_attempt
         where delivery_id = $1 order by number",
    )
    .bind(delivery.to_vec())
    .fetch_all(reader)
    .await?;
    let read = |row: &AnyRow| {
        Ok(Row {
            number: row.try_get("number")?,
            replay: row.try_get("replay")?,
            started_at: row.try_get("started_at")?,
            ended_at: row.try_get("ended_at")?,
            status: row.try_get("status")?,
            error: row.try_get("error")?,
            response: row.try_get("response")?,
        })
    };
    rows.iter().map(read).collect()
}

/// The place a response is sealed for.
pub(crate) fn response_place(delivery: DeliveryId) -> Vec<u8> {
    format!("attempt/{delivery}/response").into_bytes()
}
