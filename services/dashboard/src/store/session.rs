//! The table `session`.

use domain::{AccountId, Mode, UserId};
use sqlx::{AnyConnection, AnyPool, Row as _};

use super::{id, mode};
use crate::{
    error::Error,
    people::{Person, Role, SessionId, View},
};

/// What a browser's cookie is known by.
pub(crate) type Mac = [u8; 32];

/// A new one: a row type.
pub(crate) struct NewRow {
    pub(crate) mac: Mac,
    pub(crate) id: SessionId,
    pub(crate) person: UserId,
    pub(crate) account: AccountId,
    pub(crate) mode: Mode,
    /// The browser, in a few words.
    pub(crate) device: String,
    pub(crate) now: i64,
    pub(crate) ends_at: i64,
}

/// One of somebody's sessions: a row type.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) mac: Mac,
    pub(crate) id: SessionId,
    pub(crate) device: String,
    pub(crate) created_at: i64,
    pub(crate) seen_at: i64,
}

/// A session that was found: a row type.
pub(crate) struct Found {
    pub(crate) person: Person,
    pub(crate) seen_at: i64,
    pub(crate) ends_at: i64,
}

/// Writes one down.
pub(crate) async fn insert(connection: &mut AnyConnection, row: NewRow) -> Result<(), Error> {
    sqlx::query(
        "insert into session (mac, id, person_id, account_id, mode, device, created_at, seen_at, ends_at)
         values ($1, $2, $3, $4, $5, $6, $7, $7, $8)",
    )
    .bind(row.mac.to_vec())
    .bind(row.id.to_vec())
    .bind(row.person.to_vec())
    .bind(row.account.to_vec())
    .bind(row.mode.as_str())
    .bind(row.device)
    .bind(row.now)
    .bind(row.ends_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Who is signed in by this, and what they look at. Whoever may not use the account any more is not.
pub(crate) async fn find(reader: &AnyPool, mac: Mac) -> Result<Option<Found>, Error> {
    let row = sqlx::query(
        "select session.account_id, session.mode, session.seen_at, session.ends_at, person.id, person.email, person.name,
             person.confirmed_at, person.operator, membership.role, coalesce(workspace.name, '') as workspace
         from session
             join person on person.id = session.person_id
             join membership on membership.account_id = session.account_id and membership.person_id = session.person_id
             left join workspace on workspace.account_id = session.account_id
         where session.mac = $1",
    )
    .bind(mac.to_vec())
    .fetch_optional(reader)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let role: String = row.try_get("role")?;
    let confirmed: Option<i64> = row.try_get("confirmed_at")?;
    let operator: i64 = row.try_get("operator")?;
    Ok(Some(Found {
        person: Person {
            id: id(&row, "id")?,
            email: row.try_get("email")?,
            name: row.try_get("name")?,
            confirmed: confirmed.is_some(),
            operator: operator == 1,
            view: View {
                account: id(&row, "account_id")?,
                name: row.try_get("workspace")?,
                mode: mode(&row, "mode")?,
                role: Role::parse(&role).ok_or(Error::Damaged("a role"))?,
            },
        },
        seen_at: row.try_get("seen_at")?,
        ends_at: row.try_get("ends_at")?,
    }))
}

/// Notes that it is used.
pub(crate) async fn seen(connection: &mut AnyConnection, mac: Mac, now: i64) -> Result<(), Error> {
    sqlx::query("update session set seen_at = $2 where mac = $1 and seen_at < $2")
        .bind(mac.to_vec())
        .bind(now)
        .execute(connection)
        .await?;
    Ok(())
}

/// Looks at another balance, or at another account that the person may use.
pub(crate) async fn look_at(
    connection: &mut AnyConnection,
    mac: Mac,
    (account, mode): (AccountId, Mode),
) -> Result<bool, Error> {
    let done = sqlx::query(
        "update session set account_id = $2, mode = $3 where mac = $1 and exists (
             select 1 from membership where membership.account_id = $2 and membership.person_id = session.person_id)",
    )
    .bind(mac.to_vec())
    .bind(account.to_vec())
    .bind(mode.as_str())
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Signs a browser out.
pub(crate) async fn delete(connection: &mut AnyConnection, mac: Mac) -> Result<(), Error> {
    sqlx::query("delete from session where mac = $1")
        .bind(mac.to_vec())
        .execute(connection)
        .await?;
    Ok(())
}

/// Somebody's sessions that have not ended, the one used last first, at most `most`.
pub(crate) async fn of_person(
    reader: &AnyPool,
    person: UserId,
    (now, idle_since): (i64, i64),
    most: i64,
) -> Result<Vec<Listed>, Error> {
    let rows = sqlx::query(
        "select mac, id, device, created_at, seen_at from session
         where person_id = $1 and ends_at > $2 and seen_at > $3 order by seen_at desc, mac limit $4",
    )
    .bind(person.to_vec())
    .bind(now)
    .bind(idle_since)
    .bind(most)
    .fetch_all(reader)
    .await?;
    let read = |row| {
        let mac: Vec<u8> = sqlx::Row::try_get(row, "mac")?;
        Ok(Listed {
            mac: Mac::try_from(mac).map_err(|_| Error::Damaged("a session"))?,
            id: id(row, "id")?,
            device: row.try_get("device")?,
            created_at: row.try_get("created_at")?,
            seen_at: row.try_get("seen_at")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Ends one of somebody's sessions; says whether there was one.
pub(crate) async fn end(
    connection: &mut AnyConnection,
    person: UserId,
    session: SessionId,
) -> Result<bool, Error> {
    let done = sqlx::query("delete from session where person_id = $1 and id = $2")
        .bind(person.to_vec())
        .bind(session.to_vec())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Ends all of somebody's sessions, or all but this one.
pub(crate) async fn end_all(
    connection: &mut AnyConnection,
    person: UserId,
    but: Option<Mac>,
) -> Result<(), Error> {
    // No MAC is empty.
    let but = but.map(|mac| mac.to_vec()).unwrap_or_default();
    sqlx::query("delete from session where person_id = $1 and mac <> $2")
        .bind(person.to_vec())
        .bind(but)
        .execute(connection)
        .await?;
    Ok(())
}

/// Ends those of somebody that look at an account.
pub(crate) async fn end_at(
    connection: &mut AnyConnection,
    person: UserId,
    account: AccountId,
) -> Result<(), Error> {
    sqlx::query("delete from session where person_id = $1 and account_id = $2")
        .bind(person.to_vec())
        .bind(account.to_vec())
        .execute(connection)
        .await?;
    Ok(())
}

/// Removes those that ended, `most` at a time, and says how many.
pub(crate) async fn clear(
    connection: &mut AnyConnection,
    now: i64,
    idle_since: i64,
    most: i64,
) -> Result<u64, Error> {
    let done = sqlx::query(
        "delete from session where mac in (select mac from session where ends_at < $1 or seen_at < $2 limit $3)",
    )
    .bind(now)
    .bind(idle_since)
    .bind(most)
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
