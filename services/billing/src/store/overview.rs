//! The house as a whole: sums over everybody's balances, orders, and work that has ended.

use domain::{Micros, Mode, TokenClass};
use sqlx::{AnyConnection, Row as _, any::AnyRow};

use super::row;
use crate::Error;

/// Rows of work that are told at most: models, providers and endings are few, so that this cuts nothing off.
const MOST_SUMS: i64 = 5_000;

/// All balances of a mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BalanceSum {
    /// Which.
    pub(crate) mode: Mode,
    /// How many there are: one of each account.
    pub(crate) accounts: i64,
    /// How many of them are stopped.
    pub(crate) frozen: i64,
    /// What they have, what is set aside of it, and for how many operations.
    pub(crate) posted: Micros,
    /// Set aside.
    pub(crate) held: Micros,
    /// By so many holds.
    pub(crate) open_holds: i64,
}

/// Operations that ended alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServedSum {
    /// Of which balances.
    pub(crate) mode: Mode,
    /// The model's slug; empty if no receipt says.
    pub(crate) model: String,
    /// Who served it; empty if nobody did.
    pub(crate) provider: String,
    /// How their holds ended.
    pub(crate) outcome: String,
    /// How the work did, in the words of receipts.
    pub(crate) class: String,
    /// How many.
    pub(crate) operations: i64,
    /// What they were charged.
    pub(crate) charged: Micros,
    /// Our loss beyond that.
    pub(crate) written_off: Micros,
    /// Of how many the tokens are known.
    pub(crate) counted: i64,
    /// What those were charged.
    pub(crate) counted_charged: Micros,
    /// Their tokens, in the order of [`TokenClass::ALL`](domain::TokenClass::ALL).
    pub(crate) tokens: [i64; 6],
}

/// Orders in a currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SoldSum {
    /// Three letters, lower case.
    pub(crate) currency: String,
    /// How many.
    pub(crate) orders: i64,
    /// Credit that was given for them, and taken back.
    pub(crate) credited: Micros,
    /// Taken back.
    pub(crate) reversed: Micros,
    /// Minor units of the currency: what was paid, and given back.
    pub(crate) received: i64,
    /// Given back.
    pub(crate) refunded: i64,
}

/// Every balance, by mode: one look at each.
pub(crate) async fn balances(connection: &mut AnyConnection) -> Result<Vec<BalanceSum>, Error> {
    let rows = sqlx::query(
        "select mode, count(*) as accounts, cast(sum(case when frozen_at is null then 0 else 1 end) as bigint) as frozen,
             cast(sum(posted) as bigint) as posted, cast(sum(held) as bigint) as held,
             cast(sum(open_holds) as bigint) as open_holds
         from balance group by mode order by mode",
    )
    .fetch_all(connection)
    .await?;
    let read = |row: &AnyRow| {
        let mode: String = row.try_get("mode")?;
        Ok(BalanceSum {
            mode: row::mode_of(&mode)?,
            accounts: row.try_get("accounts")?,
            frozen: row.try_get("frozen")?,
            posted: row::micros(row, "posted")?,
            held: row::micros(row, "held")?,
            open_holds: row.try_get("open_holds")?,
        })
    };
    rows.iter().map(read).collect()
}

/// When the oldest open hold was made; 0: none is open.
pub(crate) async fn oldest_hold(connection: &mut AnyConnection) -> Result<i64, Error> {
    let oldest = sqlx::query_scalar(
        "select cast(coalesce(min(created_at), 0) as bigint) from hold where state = 'open'",
    );
    Ok(oldest.fetch_one(connection).await?)
}

/// How work has ended since an hour.
pub(crate) async fn served(
    connection: &mut AnyConnection,
    since_hour: i64,
) -> Result<Vec<ServedSum>, Error> {
    let rows = sqlx::query(
        "select mode, model, provider, outcome, class, cast(sum(operations) as bigint) as operations,
             cast(sum(charged) as bigint) as charged, cast(sum(written_off) as bigint) as written_off,
             cast(sum(counted) as bigint) as counted, cast(sum(counted_charged) as bigint) as counted_charged,
             cast(sum(input_tokens) as bigint) as input,
             cast(sum(cached_tokens) as bigint) as cached, cast(sum(audio_input_tokens) as bigint) as audio_input,
             cast(sum(output_tokens) as bigint) as output, cast(sum(reasoning_tokens) as bigint) as reasoning,
             cast(sum(audio_output_tokens) as bigint) as audio_output
         from served_hour where hour >= $1 group by mode, model, provider, outcome, class
         having sum(operations) <> 0 order by mode, model, provider, outcome, class limit $2",
    )
    .bind(since_hour)
    .bind(MOST_SUMS)
    .fetch_all(connection)
    .await?;
    let read = |row: &AnyRow| {
        let mode: String = row.try_get("mode")?;
        let mut tokens = [0; 6];
        for (to, class) in tokens.iter_mut().zip(TokenClass::ALL) {
            *to = row.try_get(class.as_str())?;
        }
        Ok(ServedSum {
            mode: row::mode_of(&mode)?,
            model: row.try_get("model")?,
            provider: row.try_get("provider")?,
            outcome: row.try_get("outcome")?,
            class: row.try_get("class")?,
            operations: row.try_get("operations")?,
            charged: row::micros(row, "charged")?,
            written_off: row::micros(row, "written_off")?,
            counted: row.try_get("counted")?,
            counted_charged: row::micros(row, "counted_charged")?,
            tokens,
        })
    };
    rows.iter().map(read).collect()
}

/// Orders that were made from this id on, and paid.
pub(crate) async fn sold(
    connection: &mut AnyConnection,
    from: [u8; 16],
) -> Result<Vec<SoldSum>, Error> {
    let rows = sqlx::query(
        "select currency, count(*) as orders, cast(sum(credited) as bigint) as credited, cast(sum(reversed) as bigint) as reversed,
             cast(sum(received) as bigint) as received, cast(sum(refunded) as bigint) as refunded
         from purchase where id >= $1 and credited > 0 group by currency order by currency",
    )
    .bind(from.to_vec())
    .fetch_all(connection)
    .await?;
    let read = |row: &AnyRow| {
        Ok(SoldSum {
            currency: row.try_get("currency")?,
            orders: row.try_get("orders")?,
            credited: row::micros(row, "credited")?,
            reversed: row::micros(row, "reversed")?,
            received: row.try_get("received")?,
            refunded: row.try_get("refunded")?,
        })
    };
    rows.iter().map(read).collect()
}
