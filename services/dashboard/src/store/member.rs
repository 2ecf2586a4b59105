//! The tables `workspace` and `membership`: which accounts people use, and who may how much.

use domain::{AccountId, UserId};
use sqlx::{AnyConnection, AnyPool, Row as _};

use super::id;
use crate::{error::Error, people::Role};

/// An account that somebody may use: a row type.
#[derive(Clone, Debug)]
pub(crate) struct Used {
    pub(crate) account: AccountId,
    pub(crate) name: String,
    pub(crate) role: Role,
    /// Whether billing has it.
    pub(crate) opened: bool,
}

/// Somebody who may use an account: a row type.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) person: UserId,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) role: Role,
    pub(crate) created_at: i64,
}

/// Gives an account its name here. `opened`: when billing said that it has it.
pub(crate) async fn name_workspace(
    connection: &mut AnyConnection,
    account: AccountId,
    name: &str,
    (now, opened): (i64, Option<i64>),
) -> Result<(), Error> {
    sqlx::query(
        "insert into workspace (account_id, name, created_at, opened_at) values ($1, $2, $3, $4)
         on conflict (account_id) do nothing",
    )
    .bind(account.to_vec())
    .bind(name.to_owned())
    .bind(now)
    .bind(opened)
    .execute(connection)
    .await?;
    Ok(())
}

/// Gives an account another name.
pub(crate) async fn rename(
    connection: &mut AnyConnection,
    account: AccountId,
    name: &str,
) -> Result<(), Error> {
    sqlx::query("update workspace set name = $2 where account_id = $1")
        .bind(account.to_vec())
        .bind(name.to_owned())
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes that billing has an account.
pub(crate) async fn opened(
    connection: &mut AnyConnection,
    account: AccountId,
    now: i64,
) -> Result<(), Error> {
    sqlx::query("update workspace set opened_at = $2 where account_id = $1 and opened_at is null")
        .bind(account.to_vec())
        .bind(now)
        .execute(connection)
        .await?;
    Ok(())
}

/// Accounts that billing may not have, made before a moment, each with one of its people.
pub(crate) async fn unopened(
    reader: &AnyPool,
    before: i64,
    most: i64,
) -> Result<Vec<(AccountId, String, UserId)>, Error> {
    let rows = sqlx::query(
        "select account_id, name, (
             select person_id from membership where membership.account_id = workspace.account_id
             order by membership.created_at, membership.person_id limit 1) as person_id
         from workspace where opened_at is null and created_at < $1 limit $2",
    )
    .bind(before)
    .bind(most)
    .fetch_all(reader)
    .await?;
    let read = |row| {
        Ok((
            id(row, "account_id")?,
            row.try_get("name")?,
            id(row, "person_id")?,
        ))
    };
    rows.iter().map(read).collect()
}

/// Lets somebody use an account, or changes how much of it.
pub(crate) async fn join(
    connection: &mut AnyConnection,
    (account, person): (AccountId, UserId),
    role: Role,
    now: i64,
) -> Result<(), Error> {
    sqlx::query(
        "insert into membership (account_id, person_id, role, created_at) values ($1, $2, $3, $4)
         on conflict (account_id, person_id) do update set role = excluded.role",
    )
    .bind(account.to_vec())
    .bind(person.to_vec())
    .bind(role.as_str())
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// Lets somebody use an account no more; says whether they did.
pub(crate) async fn leave(
    connection: &mut AnyConnection,
    (account, person): (AccountId, UserId),
) -> Result<bool, Error> {
    let done = sqlx::query("delete from membership where account_id = $1 and person_id = $2")
        .bind(account.to_vec())
        .bind(person.to_vec())
        .execute(connection)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// How much of an account somebody may use.
pub(crate) async fn role(
    connection: &mut AnyConnection,
    (account, person): (AccountId, UserId),
) -> Result<Option<Role>, Error> {
    let row = sqlx::query("select role from membership where account_id = $1 and person_id = $2")
        .bind(account.to_vec())
        .bind(person.to_vec())
        .fetch_optional(connection)
        .await?;
    row.map(|row| {
        let role: String = row.try_get("role")?;
        Role::parse(&role).ok_or(Error::Damaged("a role"))
    })
    .transpose()
}

/// Keeps everybody else from changing who may use an account until this transaction has ended, and counts its owners.
pub(crate) async fn lock_owners(
    connection: &mut AnyConnection,
    account: AccountId,
) -> Result<i64, Error> {
    sqlx::query("update workspace set name = name where account_id = $1")
        .bind(account.to_vec())
        .execute(&mut *connection)
        .await?;
    let row = sqlx::query(
        "select count(*) as owners from membership where account_id = $1 and role = 'owner'",
    )
    .bind(account.to_vec())
    .fetch_one(connection)
    .await?;
    Ok(row.try_get("owners")?)
}

/// The accounts that somebody may use, the first one first.
pub(crate) async fn of_person(reader: &AnyPool, person: UserId) -> Result<Vec<Used>, Error> {
    let rows = sqlx::query(
        "select membership.account_id, membership.role, coalesce(workspace.name, '') as name, workspace.opened_at
         from membership left join workspace on workspace.account_id = membership.account_id
         where membership.person_id = $1 order by membership.created_at, membership.account_id",
    )
    .bind(person.to_vec())
    .fetch_all(reader)
    .await?;
    let read = |row: &sqlx::any::AnyRow| {
        let role: String = row.try_get("role")?;
        let opened: Option<i64> = row.try_get("opened_at")?;
        Ok(Used {
            account: id(row, "account_id")?,
            name: row.try_get("name")?,
            role: Role::parse(&role).ok_or(Error::Damaged("a role"))?,
            opened: opened.is_some(),
        })
    };
    rows.iter().map(read).collect()
}

/// Who may use an account, the first one first.
pub(crate) async fn of_account(reader: &AnyPool, account: AccountId) -> Result<Vec<Listed>, Error> {
    let rows = sqlx::query(
        "select membership.person_id, membership.role, membership.created_at, person.name, person.email
         from membership join person on person.id = membership.person_id
         where membership.account_id = $1 order by membership.created_at, membership.person_id",
    )
    .bind(account.to_vec())
    .fetch_all(reader)
    .await?;
    let read = |row: &sqlx::any::AnyRow| {
        let role: String = row.try_get("role")?;
        Ok(Listed {
            person: id(row, "person_id")?,
            name: row.try_get("name")?,
            email: row.try_get("email")?,
            role: Role::parse(&role).ok_or(Error::Damaged("a role"))?,
            created_at: row.try_get("created_at")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Forgets an account with all that is known of it here, and the people who may use no other, but for operators.
pub(crate) async fn forget(
    connection: &mut AnyConnection,
    account: AccountId,
) -> Result<(), Error> {
    // First those whom nothing is left for: what is deleted behind it says no more who they were.
    let alone = "select person_id from membership as here where account_id = $1 and not exists (
             select 1 from membership as other where other.person_id = here.person_id and other.account_id <> $1)";
    for sql in [
        format!("delete from session where person_id in ({alone})"),
        format!("delete from email_token where person_id in ({alone})"),
        format!(
            "delete from passkey where person_id in (select id from person where operator = 0 and id in ({alone}))"
        ),
        format!("delete from person where operator = 0 and id in ({alone})"),
        "delete from session where account_id = $1".to_owned(),
        "delete from invite where account_id = $1".to_owned(),
        "delete from act where account_id = $1".to_owned(),
        "delete from membership where account_id = $1".to_owned(),
        "delete from workspace where account_id = $1".to_owned(),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(account.to_vec())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// What an account is called here; empty: nothing.
pub(crate) async fn name(reader: &AnyPool, account: AccountId) -> Result<String, Error> {
    let row = sqlx::query("select name from workspace where account_id = $1")
        .bind(account.to_vec())
        .fetch_optional(reader)
        .await?;
    row.map_or_else(|| Ok(String::new()), |row| Ok(row.try_get("name")?))
}

/// Forgets somebody who may use no account any more, unless they are an operator: else they could neither come in nor sign up again.
pub(crate) async fn forget_alone(
    connection: &mut AnyConnection,
    person: UserId,
) -> Result<(), Error> {
    let done = sqlx::query(
        "delete from person where id = $1 and operator = 0
         and not exists (select 1 from membership where membership.person_id = $1)",
    )
    .bind(person.to_vec())
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(());
    }
    for sql in [
        "delete from session where person_id = $1",
        "delete from email_token where person_id = $1",
        "delete from passkey where person_id = $1",
    ] {
        sqlx::query(sql)
            .bind(person.to_vec())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}
