//! The tables `email_token` and `invite`: what links do once.

use domain::{AccountId, UserId};
use sqlx::{AnyConnection, AnyPool, Row as _, any::AnyRow};

use super::{id, session::Mac};
use crate::{
    error::Error,
    people::{InviteId, Role},
};

/// What a link of an e-mail does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Says that an address is its person's.
    Confirm,
    /// Sets a new password.
    Reset,
}

/// A new one: a row type.
pub(crate) struct NewRow {
    pub(crate) mac: Mac,
    pub(crate) purpose: Purpose,
    pub(crate) person: UserId,
    pub(crate) email: String,
    pub(crate) ends_at: i64,
}

/// An invitation: a row type.
#[derive(Debug)]
pub(crate) struct Invite {
    pub(crate) id: InviteId,
    pub(crate) account: AccountId,
    pub(crate) email: String,
    pub(crate) role: Role,
    pub(crate) ends_at: i64,
}

// === impl Purpose ===

impl Purpose {
    /// The word that is kept.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Confirm => "confirm",
            Self::Reset => "reset",
        }
    }
}

/// Writes one down, in the place of earlier ones of the same purpose.
pub(crate) async fn insert(connection: &mut AnyConnection, row: NewRow) -> Result<(), Error> {
    forget(connection, row.person, row.purpose).await?;
    sqlx::query(
        "insert into email_token (mac, purpose, person_id, email, ends_at) values ($1, $2, $3, $4, $5)",
    )
    .bind(row.mac.to_vec())
    .bind(row.purpose.as_str())
    .bind(row.person.to_vec())
    .bind(row.email)
    .bind(row.ends_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Whose it is, if it is still good.
pub(crate) async fn find(
    reader: &AnyPool,
    (mac, purpose): (Mac, Purpose),
    now: i64,
) -> Result<Option<UserId>, Error> {
    let row = sqlx::query(
        "select person_id from email_token where mac = $1 and purpose = $2 and ends_at > $3",
    )
    .bind(mac.to_vec())
    .bind(purpose.as_str())
    .bind(now)
    .fetch_optional(reader)
    .await?;
    row.map(|row| id(&row, "person_id")).transpose()
}

/// Uses one up: whose it was, and which address it was for. Of two who do so at once, one does.
pub(crate) async fn take(
    connection: &mut AnyConnection,
    (mac, purpose): (Mac, Purpose),
    now: i64,
) -> Result<Option<(UserId, String)>, Error> {
    let row = sqlx::query(
        "delete from email_token where mac = $1 and purpose = $2 and ends_at > $3 returning person_id, email",
    )
    .bind(mac.to_vec())
    .bind(purpose.as_str())
    .bind(now)
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((id(&row, "person_id")?, row.try_get("email")?)))
        .transpose()
}

/// Makes somebody's of one purpose useless.
pub(crate) async fn forget(
    connection: &mut AnyConnection,
    person: UserId,
    purpose: Purpose,
) -> Result<(), Error> {
    sqlx::query("delete from email_token where person_id = $1 and purpose = $2")
        .bind(person.to_vec())
        .bind(purpose.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes that a link of an operator's was used; says whether it was the first time.
pub(crate) async fn spend(
    connection: &mut AnyConnection,
    mac: Mac,
    ends_at: i64,
) -> Result<bool, Error> {
    let done = sqlx::query(
        "insert into email_token (mac, purpose, person_id, email, ends_at) values ($1, 'used', null, '', $2)
         on conflict (mac) do nothing",
    )
    .bind(mac.to_vec())
    .bind(ends_at)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Writes an invitation down, in the place of an earlier one to the same address.
pub(crate) async fn invite(
    connection: &mut AnyConnection,
    mac: Mac,
    invite: Invite,
    now: i64,
) -> Result<(), Error> {
    sqlx::query("delete from invite where account_id = $1 and email = $2")
        .bind(invite.account.to_vec())
        .bind(invite.email.clone())
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "insert into invite (mac, id, account_id, email, role, created_at, ends_at) values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(mac.to_vec())
    .bind(invite.id.to_vec())
    .bind(invite.account.to_vec())
    .bind(invite.email)
    .bind(invite.role.as_str())
    .bind(now)
    .bind(invite.ends_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// The invitation of a link, if it is still good.
pub(crate) async fn invited(
    reader: &AnyPool,
    mac: Mac,
    now: i64,
) -> Result<Option<Invite>, Error> {
    let row = sqlx::query(
        "select id, account_id, email, role, ends_at from invite where mac = $1 and ends_at > $2",
    )
    .bind(mac.to_vec())
    .bind(now)
    .fetch_optional(reader)
    .await?;
    row.as_ref().map(read).transpose()
}

/// Uses an invitation up, if it is to this address. Of two who do so at once, one does.
pub(crate) async fn take_invite(
    connection: &mut AnyConnection,
    (mac, email): (Mac, &str),
    now: i64,
) -> Result<Option<Invite>, Error> {
    let row = sqlx::query(
        "delete from invite where mac = $1 and email = $2 and ends_at > $3
         returning id, account_id, email, role, ends_at",
    )
    .bind(mac.to_vec())
    .bind(email.to_owned())
    .bind(now)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(read).transpose()
}

/// The invitations to an account that are still good, the newest first.
pub(crate) async fn invites(
    reader: &AnyPool,
    account: AccountId,
    now: i64,
) -> Result<Vec<Invite>, Error> {
    let rows = sqlx::query(
        "select id, account_id, email, role, ends_at from invite
         where account_id = $1 and ends_at > $2 order by created_at desc",
    )
    .bind(account.to_vec())
    .bind(now)
    .fetch_all(reader)
    .await?;
    rows.iter().map(read).collect()
}

/// Takes an invitation to an account back: whom it was to.
pub(crate) async fn uninvite(
    connection: &mut AnyConnection,
    account: AccountId,
    invite: InviteId,
) -> Result<Option<String>, Error> {
    let row = sqlx::query("delete from invite where account_id = $1 and id = $2 returning email")
        .bind(account.to_vec())
        .bind(invite.to_vec())
        .fetch_optional(connection)
        .await?;
    row.map(|row| Ok(row.try_get("email")?)).transpose()
}

/// Removes links and invitations that are good no more.
pub(crate) async fn clear(connection: &mut AnyConnection, now: i64) -> Result<u64, Error> {
    let mut gone = 0_u64;
    for sql in [
        "delete from email_token where ends_at <= $1",
        "delete from invite where ends_at <= $1",
    ] {
        let done = sqlx::query(sql).bind(now).execute(&mut *connection).await?;
        gone = gone.saturating_add(done.rows_affected());
    }
    Ok(gone)
}

fn read(row: &AnyRow) -> Result<Invite, Error> {
    let role: String = row.try_get("role")?;
    Ok(Invite {
        id: id(row, "id")?,
        account: id(row, "account_id")?,
        email: row.try_get("email")?,
        role: Role::parse(&role).ok_or(Error::Damaged("a role"))?,
        ends_at: row.try_get("ends_at")?,
    })
}
