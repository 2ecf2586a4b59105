//! The audit log.

use domain::{AccountId, EventId, Mode};
use sqlx::{AnyConnection, AssertSqlSafe, Row as _, any::AnyRow};

use super::row::{self, AuditLogRow};
use crate::Error;

pub(crate) async fn insert(
    connection: &mut AnyConnection,
    entry: &AuditLogRow,
) -> Result<(), Error> {
    sqlx::query(
        "insert into audit_log (id, account, mode, actor, request, action, subject, detail, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(entry.id.to_vec())
    .bind(entry.account.map(AccountId::to_vec))
    .bind(entry.mode.map(Mode::as_str))
    .bind(entry.actor.clone())
    .bind(entry.request.clone())
    .bind(entry.action.clone())
    .bind(entry.subject.clone())
    .bind(entry.detail.clone())
    .bind(entry.created_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// A page, the newest first: of everybody or of an account; of an account also of one mode, with what is of the account itself.
pub(crate) async fn page(
    connection: &mut AnyConnection,
    (account, mode): (Option<AccountId>, Option<Mode>),
    before: Option<EventId>,
    limit: i64,
) -> Result<Vec<AuditLogRow>, Error> {
    let whose = match (account, mode) {
        (None, _) => "",
        (Some(_), None) => "and account = $3",
        (Some(_), Some(_)) => "and account = $3 and (mode is null or mode = $4)",
    };
    let sql = format!(
        "select id, account, mode, actor, request, action, subject, detail, created_at from audit_log
         where id < $1 {whose} order by id desc limit $2"
    );
    // Ids begin with the time they were made.
    let before = before.map_or_else(|| vec![u8::MAX; 16], EventId::to_vec);
    let mut query = sqlx::query(AssertSqlSafe(sql)).bind(before).bind(limit);
    if let Some(account) = account {
        query = query.bind(account.to_vec());
        if let Some(mode) = mode {
            query = query.bind(mode.as_str());
        }
    }
    let rows = query.fetch_all(connection).await?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<AuditLogRow, Error> {
    let account: Option<Vec<u8>> = row.try_get("account")?;
    let account = account
        .map(|bytes| AccountId::from_slice(&bytes).ok_or(Error::Corrupt("an id is not 16 bytes")));
    let mode: Option<String> = row.try_get("mode")?;
    Ok(AuditLogRow {
        id: row::id(row, "id")?,
        account: account.transpose()?,
        mode: mode.as_deref().map(row::mode_of).transpose()?,
        actor: row.try_get("actor")?,
        request: row.try_get("request")?,
        action: row.try_get("action")?,
        subject: row.try_get("subject")?,
        detail: row.try_get("detail")?,
        created_at: row.try_get("created_at")?,
    })
}
