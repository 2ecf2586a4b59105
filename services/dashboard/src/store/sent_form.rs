//! The table `sent_form`: forms that make something, and what they were answered.

use sqlx::{AnyConnection, AnyPool, Row as _};

use super::session::Mac;
use crate::error::Error;

/// How a form stands that was sent before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It was not, or what it asked for was refused.
    Never,
    /// It is worked on, or whoever did so has died.
    Open,
    /// It was answered: what is sealed.
    Answered(Vec<u8>),
}

/// Writes down that a form is worked on, unless it was sent before; says whether it was not. Of one session so many are kept, the newest.
pub(crate) async fn begin(
    connection: &mut AnyConnection,
    (mac, session): (Mac, Mac),
    (now, ends_at): (i64, i64),
    most: i64,
) -> Result<bool, Error> {
    let done = sqlx::query(
        "insert into sent_form (mac, session, answer, ends_at) values ($1, $2, null, $3)
         on conflict (mac) do update set session = excluded.session, answer = null, ends_at = excluded.ends_at
         where sent_form.ends_at <= $4",
    )
    .bind(mac.to_vec())
    .bind(session.to_vec())
    .bind(ends_at)
    .bind(now)
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "delete from sent_form where session = $1 and mac not in
         (select mac from sent_form where session = $1 order by ends_at desc limit $2)",
    )
    .bind(session.to_vec())
    .bind(most)
    .execute(connection)
    .await?;
    Ok(true)
}

/// Keeps what a form was answered.
pub(crate) async fn answered(
    connection: &mut AnyConnection,
    mac: Mac,
    answer: Vec<u8>,
) -> Result<(), Error> {
    sqlx::query("update sent_form set answer = $2 where mac = $1")
        .bind(mac.to_vec())
        .bind(answer)
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets a form: it made nothing, and may be sent again.
pub(crate) async fn forget(connection: &mut AnyConnection, mac: Mac) -> Result<(), Error> {
    sqlx::query("delete from sent_form where mac = $1")
        .bind(mac.to_vec())
        .execute(connection)
        .await?;
    Ok(())
}

/// How a form stands.
pub(crate) async fn find(reader: &AnyPool, mac: Mac, now: i64) -> Result<Sent, Error> {
    let row = sqlx::query("select answer from sent_form where mac = $1 and ends_at > $2")
        .bind(mac.to_vec())
        .bind(now)
        .fetch_optional(reader)
        .await?;
    let Some(row) = row else {
        return Ok(Sent::Never);
    };
    let answer: Option<Vec<u8>> = row.try_get("answer")?;
    Ok(answer.map_or(Sent::Open, Sent::Answered))
}

/// Removes forms whose time is over.
pub(crate) async fn clear(connection: &mut AnyConnection, now: i64) -> Result<(), Error> {
    sqlx::query("delete from sent_form where ends_at <= $1")
        .bind(now)
        .execute(connection)
        .await?;
    Ok(())
}
