//! The table `act`.

use domain::{AccountId, UserId};
use sqlx::{AnyConnection, AnyPool, Row as _};

use super::id;
use crate::{error::Error, people::ActId};

/// Something that somebody did, as it is listed: a row type.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) id: ActId,
    pub(crate) person: UserId,
    /// What they are called; empty: they are not known any more.
    pub(crate) name: String,
    pub(crate) what: String,
    pub(crate) subject: String,
    pub(crate) created_at: i64,
}

/// Notes that somebody did something, in the transaction that does it.
pub(crate) async fn note(
    connection: &mut AnyConnection,
    (account, person): (AccountId, UserId),
    (what, subject): (&'static str, String),
    now: i64,
) -> Result<(), Error> {
    sqlx::query(
        "insert into act (id, account_id, person_id, what, subject, created_at) values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(chassis::mint::<crate::people::ActKind>().to_vec())
    .bind(account.to_vec())
    .bind(person.to_vec())
    .bind(what)
    .bind(subject)
    .bind(now)
    .execute(connection)
    .await?;
    Ok(())
}

/// What was done in an account, the newest first, older than `before`.
pub(crate) async fn of_account(
    reader: &AnyPool,
    account: AccountId,
    before: Option<ActId>,
    most: i64,
) -> Result<Vec<Listed>, Error> {
    // No id is greater than this one.
    let before = before.map_or_else(|| vec![0xff; 17], ActId::to_vec);
    let rows = sqlx::query(
        "select act.id, act.person_id, coalesce(person.name, '') as name, act.what, act.subject, act.created_at
         from act left join person on person.id = act.person_id
         where act.account_id = $1 and act.id < $2 order by act.id desc limit $3",
    )
    .bind(account.to_vec())
    .bind(before)
    .bind(most)
    .fetch_all(reader)
    .await?;
    let read = |row| {
        Ok(Listed {
            id: id(row, "id")?,
            person: id(row, "person_id")?,
            name: row.try_get("name")?,
            what: row.try_get("what")?,
            subject: row.try_get("subject")?,
            created_at: row.try_get("created_at")?,
        })
    };
    rows.iter().map(read).collect()
}

/// Removes what is older than a moment, `most` at a time, and says how much that was.
pub(crate) async fn clear(
    connection: &mut AnyConnection,
    before: i64,
    most: i64,
) -> Result<u64, Error> {
    let done = sqlx::query(
        "delete from act where id in (select id from act where created_at < $1 limit $2)",
    )
    .bind(before)
    .bind(most)
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
