//! The tables `passkey` and `passkey_challenge`.

use domain::{AccountId, UserId};
use sqlx::{AnyConnection, AnyPool, Row as _, any::AnyRow};

use super::{id, session::Mac};
use crate::{error::Error, people::PasskeyId};

/// A new one: a row type.
pub(crate) struct NewRow {
    pub(crate) id: PasskeyId,
    /// What the device calls it.
    pub(crate) credential: Vec<u8>,
    pub(crate) person: UserId,
    pub(crate) name: String,
    /// What checks its signatures, as JSON.
    pub(crate) public_key: String,
    pub(crate) now: i64,
}

/// One of somebody's: a row type.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) id: PasskeyId,
    pub(crate) credential: Vec<u8>,
    pub(crate) person: UserId,
    pub(crate) name: String,
    pub(crate) created_at: i64,
    /// `None`: never.
    pub(crate) used_at: Option<i64>,
}

/// What signing in needs to know: a row type.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) id: PasskeyId,
    pub(crate) person: UserId,
    pub(crate) name: String,
    pub(crate) public_key: String,
}

/// What became of adding one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    Done,
    /// The device's key is here already.
    Known,
    /// They have as many as they may.
    TooMany,
    /// The person is not there any more.
    Nobody,
}

/// What became of removing one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Removed {
    /// It was called so.
    Done(String),
    /// There is none, or it is another's.
    Unknown,
    /// Its person could not come in without it.
    Last,
}

/// Writes what is asked of a device down, in the place of what was asked before.
pub(crate) async fn ask(
    connection: &mut AnyConnection,
    (mac, state): (Mac, String),
    ends_at: i64,
) -> Result<(), Error> {
    sqlx::query(
        "insert into passkey_challenge (mac, state, ends_at) values ($1, $2, $3)
         on conflict (mac) do update set state = excluded.state, ends_at = excluded.ends_at",
    )
    .bind(mac.to_vec())
    .bind(state)
    .bind(ends_at)
    .execute(connection)
    .await?;
    Ok(())
}

/// Uses up what was asked, if its time is not over. Of two who answer at once, one does.
pub(crate) async fn asked(
    connection: &mut AnyConnection,
    mac: Mac,
    now: i64,
) -> Result<Option<String>, Error> {
    let row = sqlx::query(
        "delete from passkey_challenge where mac = $1 and ends_at > $2 returning state",
    )
    .bind(mac.to_vec())
    .bind(now)
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok(row.try_get("state")?)).transpose()
}

/// Writes a passkey down, unless its person has `most` already.
pub(crate) async fn add(
    connection: &mut AnyConnection,
    row: NewRow,
    most: i64,
) -> Result<Added, Error> {
    if !lock(connection, row.person).await? {
        return Ok(Added::Nobody);
    }
    let count = sqlx::query("select count(*) as passkeys from passkey where person_id = $1")
        .bind(row.person.to_vec())
        .fetch_one(&mut *connection)
        .await?;
    let count: i64 = count.try_get("passkeys")?;
    if count >= most {
        return Ok(Added::TooMany);
    }
    let done = sqlx::query(
        "insert into passkey (id, credential_id, person_id, name, public_key, counter, created_at, used_at)
         values ($1, $2, $3, $4, $5, 0, $6, null) on conflict (credential_id) do nothing",
    )
    .bind(row.id.to_vec())
    .bind(row.credential)
    .bind(row.person.to_vec())
    .bind(row.name)
    .bind(row.public_key)
    .bind(row.now)
    .execute(connection)
    .await?;
    Ok(if done.rows_affected() > 0 {
        Added::Done
    } else {
        Added::Known
    })
}

/// Removes one of somebody's, unless they have no password and no other.
pub(crate) async fn remove(
    connection: &mut AnyConnection,
    person: UserId,
    passkey: PasskeyId,
) -> Result<Removed, Error> {
    // Of two that are removed at once, the second sees that the first has gone.
    lock(connection, person).await?;
    let row = sqlx::query(
        "delete from passkey where id = $1 and person_id = $2
         and (exists (select 1 from person where person.id = $2 and person.password is not null)
             or exists (select 1 from passkey as other where other.person_id = $2 and other.id <> $1))
         returning name",
    )
    .bind(passkey.to_vec())
    .bind(person.to_vec())
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(row) = row {
        return Ok(Removed::Done(row.try_get("name")?));
    }
    let there = sqlx::query("select 1 as one from passkey where id = $1 and person_id = $2")
        .bind(passkey.to_vec())
        .bind(person.to_vec())
        .fetch_optional(connection)
        .await?;
    Ok(if there.is_some() {
        Removed::Last
    } else {
        Removed::Unknown
    })
}

/// Keeps everybody else from changing somebody's passkeys until this transaction has ended; says whether they are there.
async fn lock(connection: &mut AnyConnection, person: UserId) -> Result<bool, Error> {
    let done = sqlx::query("update person set name = name where id = $1")
        .bind(person.to_vec())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// The one that a device calls so.
pub(crate) async fn find(reader: &AnyPool, credential: &[u8]) -> Result<Option<Found>, Error> {
    let row =
        sqlx::query("select id, person_id, name, public_key from passkey where credential_id = $1")
            .bind(credential.to_vec())
            .fetch_optional(reader)
            .await?;
    let read = |row: AnyRow| {
        Ok(Found {
            id: id(&row, "id")?,
            person: id(&row, "person_id")?,
            name: row.try_get("name")?,
            public_key: row.try_get("public_key")?,
        })
    };
    row.map(read).transpose()
}

/// Notes that one was used, and how often its device says that it has signed. False: that is no more often than is known, or the
/// passkey has gone.
pub(crate) async fn used(
    connection: &mut AnyConnection,
    passkey: PasskeyId,
    (public_key, counter): (String, i64),
    now: i64,
) -> Result<bool, Error> {
    let done = sqlx::query(
        "update passkey set public_key = $2, counter = $3, used_at = $4
         where id = $1 and (counter < $3 or counter = 0)",
    )
    .bind(passkey.to_vec())
    .bind(public_key)
    .bind(counter)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Somebody's, the first one first.
pub(crate) async fn of_person(reader: &AnyPool, person: UserId) -> Result<Vec<Listed>, Error> {
    let rows = sqlx::query(
        "select id, credential_id, person_id, name, created_at, used_at from passkey
         where person_id = $1 order by created_at, id",
    )
    .bind(person.to_vec())
    .fetch_all(reader)
    .await?;
    rows.iter().map(listed).collect()
}

/// Those of all who may use an account, the first one first.
pub(crate) async fn of_account(reader: &AnyPool, account: AccountId) -> Result<Vec<Listed>, Error> {
    let rows = sqlx::query(
        "select passkey.id, passkey.credential_id, passkey.person_id, passkey.name, passkey.created_at, passkey.used_at
         from passkey join membership on membership.person_id = passkey.person_id
         where membership.account_id = $1 order by passkey.created_at, passkey.id",
    )
    .bind(account.to_vec())
    .fetch_all(reader)
    .await?;
    rows.iter().map(listed).collect()
}

fn listed(row: &AnyRow) -> Result<Listed, Error> {
    Ok(Listed {
        id: id(row, "id")?,
        credential: row.try_get("credential_id")?,
        person: id(row, "person_id")?,
        name: row.try_get("name")?,
        created_at: row.try_get("created_at")?,
        used_at: row.try_get("used_at")?,
    })
}

/// Forgets what was asked and never answered.
pub(crate) async fn clear(connection: &mut AnyConnection, now: i64) -> Result<u64, Error> {
    let done = sqlx::query("delete from passkey_challenge where ends_at <= $1")
        .bind(now)
        .execute(connection)
        .await?;
    Ok(done.rows_affected())
}
