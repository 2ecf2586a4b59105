//! Redeem codes, found by the MAC of the code, never by the code; and who redeemed them.

use domain::{AccountId, Micros, Mode, OperationId, RedeemCodeId};
use sqlx::{AnyConnection, Row as _, any::AnyRow};

use super::row;
use crate::Error;

/// A row of `redeem_code`.
#[derive(Clone, Debug)]
pub(crate) struct CodeRow {
    pub(crate) id: RedeemCodeId,
    pub(crate) mac: Vec<u8>,
    pub(crate) last_four: String,
    pub(crate) mode: Mode,
    pub(crate) credits: Micros,
    pub(crate) max_uses: i64,
    pub(crate) uses: i64,
    pub(crate) actor: String,
    pub(crate) created_at: i64,
    pub(crate) expires_at: Option<i64>,
    pub(crate) revoked_at: Option<i64>,
}

pub(crate) async fn insert(connection: &mut AnyConnection, code: &CodeRow) -> Result<(), Error> {
    sqlx::query(
        "insert into redeem_code (id, mac, last_four, mode, credits, max_uses, uses, actor, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, 0, $7, $8, $9)",
    )
    .bind(code.id.to_vec())
    .bind(code.mac.clone())
    .bind(code.last_four.clone())
    .bind(code.mode.as_str())
    .bind(code.credits.get())
    .bind(code.max_uses)
    .bind(code.actor.clone())
    .bind(code.created_at)
    .bind(code.expires_at)
    .execute(connection)
    .await?;
    Ok(())
}

pub(crate) async fn by_mac(
    connection: &mut AnyConnection,
    mac: &[u8; 32],
) -> Result<Option<CodeRow>, Error> {
    let row = sqlx::query(
        "select id, mac, last_four, mode, credits, max_uses, uses, actor, created_at, expires_at, revoked_at
         from redeem_code where mac = $1",
    )
    .bind(mac.to_vec())
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(read).transpose()
}

/// A page of codes, the newest first.
pub(crate) async fn list(
    connection: &mut AnyConnection,
    before: Option<RedeemCodeId>,
    limit: i64,
) -> Result<Vec<CodeRow>, Error> {
    // Longer than any id, and so behind all of them.
    let before = before.map_or_else(|| vec![0xff; 17], RedeemCodeId::to_vec);
    let rows = sqlx::query(
        "select id, mac, last_four, mode, credits, max_uses, uses, actor, created_at, expires_at, revoked_at
         from redeem_code where id < $1 order by id desc limit $2",
    )
    .bind(before)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

/// What became of a code that was to be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revoked {
    Now,
    Before,
    Unknown,
}

/// Marks a code as revoked. The first moment stays.
pub(crate) async fn revoke(
    connection: &mut AnyConnection,
    id: RedeemCodeId,
    at: i64,
) -> Result<Revoked, Error> {
    let changed =
        sqlx::query("update redeem_code set revoked_at = $1 where id = $2 and revoked_at is null")
            .bind(at)
            .bind(id.to_vec())
            .execute(&mut *connection)
            .await?;
    if changed.rows_affected() > 0 {
        return Ok(Revoked::Now);
    }
    let known = sqlx::query("select 1 from redeem_code where id = $1")
        .bind(id.to_vec())
        .fetch_optional(connection)
        .await?;
    Ok(known.map_or(Revoked::Unknown, |_| Revoked::Before))
}

/// Whether this account redeemed this code before.
pub(crate) async fn was_redeemed(
    connection: &mut AnyConnection,
    code: RedeemCodeId,
    account: AccountId,
) -> Result<bool, Error> {
    let found = sqlx::query("select 1 from redemption where code = $1 and account = $2")
        .bind(code.to_vec())
        .bind(account.to_vec())
        .fetch_optional(connection)
        .await?;
    Ok(found.is_some())
}

/// Takes one of a code's uses, and says whether there was one to be taken at `now`.
pub(crate) async fn take_use(
    connection: &mut AnyConnection,
    code: RedeemCodeId,
    now: i64,
) -> Result<bool, Error> {
    let taken = sqlx::query(
        "update redeem_code set uses = uses + 1
         where id = $1 and uses < max_uses and revoked_at is null and (expires_at is null or expires_at > $2)",
    )
    .bind(code.to_vec())
    .bind(now)
    .execute(connection)
    .await?;
    Ok(taken.rows_affected() > 0)
}

/// Writes who redeemed a code.
pub(crate) async fn insert_redemption(
    connection: &mut AnyConnection,
    code: RedeemCodeId,
    account: AccountId,
    transfer: OperationId,
    at: i64,
) -> Result<(), Error> {
    sqlx::query(
        "insert into redemption (code, account, transfer, created_at) values ($1, $2, $3, $4)",
    )
    .bind(code.to_vec())
    .bind(account.to_vec())
    .bind(transfer.to_vec())
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}

fn read(row: &AnyRow) -> Result<CodeRow, Error> {
    Ok(CodeRow {
        id: row::id(row, "id")?,
        mac: row.try_get("mac")?,
        last_four: row.try_get("last_four")?,
        mode: row::mode(row)?,
        credits: row::micros(row, "credits")?,
        max_uses: row.try_get("max_uses")?,
        uses: row.try_get("uses")?,
        actor: row.try_get("actor")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        revoked_at: row.try_get("revoked_at")?,
    })
}
