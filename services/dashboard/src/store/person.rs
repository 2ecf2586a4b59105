//! The table `person`.

use domain::UserId;
use sqlx::{AnyConnection, AnyPool, Row as _, any::AnyRow};

use super::id;
use crate::error::Error;

/// Somebody new: a row type.
pub(crate) struct NewRow {
    pub(crate) id: UserId,
    /// In lower case.
    pub(crate) email: String,
    pub(crate) name: String,
    /// As a PHC string writes it.
    pub(crate) password: Option<String>,
    pub(crate) operator: bool,
    pub(crate) created_at: i64,
}

/// What signing in needs to know: a row type.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) id: UserId,
    pub(crate) password: Option<String>,
}

/// Writes somebody down unless the address is taken; says whether it was free.
pub(crate) async fn insert(connection: &mut AnyConnection, row: NewRow) -> Result<bool, Error> {
    let done = sqlx::query(
        "insert into person (id, email, name, password, confirmed_at, operator, created_at)
         values ($1, $2, $3, $4, null, $5, $6) on conflict (email) do nothing",
    )
    .bind(row.id.to_vec())
    .bind(row.email)
    .bind(row.name)
    .bind(row.password)
    .bind(i64::from(row.operator))
    .bind(row.created_at)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Who has this address.
pub(crate) async fn by_email(reader: &AnyPool, email: &str) -> Result<Option<Known>, Error> {
    let row = sqlx::query("select id, password from person where email = $1")
        .bind(email.to_owned())
        .fetch_optional(reader)
        .await?;
    row.as_ref().map(known).transpose()
}

/// Somebody by their id.
pub(crate) async fn by_id(reader: &AnyPool, person: UserId) -> Result<Option<Known>, Error> {
    let row = sqlx::query("select id, password from person where id = $1")
        .bind(person.to_vec())
        .fetch_optional(reader)
        .await?;
    row.as_ref().map(known).transpose()
}

/// The first operator, if there is one.
pub(crate) async fn operator(reader: &AnyPool) -> Result<Option<UserId>, Error> {
    let row = sqlx::query(
        "select id from person where operator = 1 order by created_at, id limit 1",
    )
    .fetch_optional(reader)
    .await?;
    row.map(|row| id(&row, "id")).transpose()
}

/// Gives somebody another name.
pub(crate) async fn rename(
    connection: &mut AnyConnection,
    person: UserId,
    name: String,
) -> Result<(), Error> {
    sqlx::query("update person set name = $2 where id = $1")
        .bind(person.to_vec())
        .bind(name)
        .execute(connection)
        .await?;
    Ok(())
}

/// Gives somebody another address, unless it is taken; says whether it was free. It is not confirmed then.
pub(crate) async fn readdress(
    connection: &mut AnyConnection,
    person: UserId,
    email: &str,
) -> Result<bool, Error> {
    let done = sqlx::query(
        "update person set email = $2, confirmed_at = null where id = $1
         and not exists (select 1 from person as other where other.email = $2 and other.id <> $1)",
    )
    .bind(person.to_vec())
    .bind(email.to_owned())
    .execute(connection)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Notes that an address is somebody's, if it still is.
pub(crate) async fn confirm(
    connection: &mut AnyConnection,
    (person, email): (UserId, String),
    now: i64,
) -> Result<bool, Error> {
    let done = sqlx::query("update person set confirmed_at = $3 where id = $1 and email = $2")
        .bind(person.to_vec())
        .bind(email)
        .bind(now)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Gives somebody another password, as a PHC string writes it.
pub(crate) async fn set_password(
    connection: &mut AnyConnection,
    person: UserId,
    password: String,
) -> Result<(), Error> {
    sqlx::query("update person set password = $2 where id = $1")
        .bind(person.to_vec())
        .bind(password)
        .execute(connection)
        .await?;
    Ok(())
}

fn known(row: &AnyRow) -> Result<Known, Error> {
    Ok(Known {
        id: id(row, "id")?,
        password: row.try_get("password")?,
    })
}

/// Forgets somebody who was just written down.
pub(crate) async fn delete(connection: &mut AnyConnection, person: UserId) -> Result<(), Error> {
    sqlx::query("delete from person where id = $1")
        .bind(person.to_vec())
        .execute(connection)
        .await?;
    Ok(())
}
