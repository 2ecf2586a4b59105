//! The tables `person`, `workspace` and `membership`.

use domain::{AccountId, UserId};
use sqlx::{AnyConnection, AnyPool, Row as _};

use super::id;
use crate::{error::Error, people::Role};

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
    let known = |row| {
        Ok(Known {
            id: id(&row, "id")?,
            password: row.try_get("password")?,
        })
    };
    row.map(known).transpose()
}

/// Gives an account its name here.
pub(crate) async fn name_workspace(
    connection: &mut AnyConnection,
    account: AccountId,
    name: &str,
    now: i64,
) -> Result<(), Error> {
    sqlx::query(
        "insert into workspace (account_id, name, created_at) values ($1, $2, $3)
         on conflict (account_id) do update set name = excluded.name",
    )
    .bind(account.to_vec())
    .bind(name.to_owned())
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
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

/// The accounts that somebody may use, with their names, the first one first.
pub(crate) async fn accounts(
    reader: &AnyPool,
    person: UserId,
) -> Result<Vec<(AccountId, String)>, Error> {
    let rows = sqlx::query(
        "select membership.account_id, coalesce(workspace.name, '') as name
         from membership left join workspace on workspace.account_id = membership.account_id
         where membership.person_id = $1 order by membership.created_at, membership.account_id",
    )
    .bind(person.to_vec())
    .fetch_all(reader)
    .await?;
    let read = |row| Ok((id(row, "account_id")?, row.try_get("name")?));
    rows.iter().map(read).collect()
}
