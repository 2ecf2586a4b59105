//! What operators see of people: the tables `person`, `workspace` and `membership`.

use domain::{AccountId, UserId};
use sqlx::{AnyPool, Row as _};

use super::id;
use crate::error::Error;

/// Somebody who may use an account: a row type.
#[derive(Clone, Debug)]
pub(crate) struct Belongs {
    pub(crate) person: UserId,
    pub(crate) name: String,
    pub(crate) email: String,
    pub(crate) confirmed: bool,
    pub(crate) operator: bool,
    /// `owner`, `member` or `viewer`.
    pub(crate) role: String,
    pub(crate) since: i64,
}

/// Who may use an account, at most so many, the first one first.
pub(crate) async fn people(
    reader: &AnyPool,
    account: AccountId,
    most: i64,
) -> Result<Vec<Belongs>, Error> {
    let rows = sqlx::query(
        "select person.id, person.name, person.email, person.confirmed_at, person.operator, membership.role, membership.created_at
         from membership join person on person.id = membership.person_id
         where membership.account_id = $1 order by membership.created_at, person.id limit $2",
    )
    .bind(account.to_vec())
    .bind(most)
    .fetch_all(reader)
    .await?;
    let read = |row: &sqlx::any::AnyRow| {
        let confirmed: Option<i64> = row.try_get("confirmed_at")?;
        let operator: i64 = row.try_get("operator")?;
        Ok(Belongs {
            person: id(row, "id")?,
            name: row.try_get("name")?,
            email: row.try_get("email")?,
            confirmed: confirmed.is_some(),
            operator: operator == 1,
            role: row.try_get("role")?,
            since: row.try_get("created_at")?,
        })
    };
    rows.iter().map(read).collect()
}

/// The accounts of whoever has this address, at most so many.
pub(crate) async fn accounts_of_address(
    reader: &AnyPool,
    email: &str,
    most: i64,
) -> Result<Vec<AccountId>, Error> {
    let rows = sqlx::query(
        "select membership.account_id from person join membership on membership.person_id = person.id
         where person.email = $1 order by membership.created_at, membership.account_id limit $2",
    )
    .bind(email.to_owned())
    .bind(most)
    .fetch_all(reader)
    .await?;
    rows.iter().map(|row| id(row, "account_id")).collect()
}
