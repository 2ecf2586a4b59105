//! The tables `upload` and `upload_room`: one function per statement. A file is its account's, in its mode, and nobody else's.

use chassis::secrets::Sealer;
use domain::FileId;
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Row as _, any::AnyRow};
use tracing::error;

use crate::{
    Error,
    files::{File, Owner, Page},
};

/// Rows that a sweep looks after at once.
const BATCH: i64 = 500;

/// The columns of a [`File`].
const COLUMNS: &str = "id, filename, purpose, content_type, bytes, sha256, width, height, duration_millis, created_at, expires_at";

/// A file whose bytes are on their way.
#[derive(Clone, Debug)]
pub(crate) struct Coming {
    pub(crate) id: FileId,
    pub(crate) owner: Owner,
    pub(crate) filename: String,
    /// It has no more bytes than that.
    pub(crate) most_bytes: u64,
    pub(crate) created_at: i64,
    /// Until then its process is at it.
    pub(crate) due_at: i64,
}

/// What an account may have in a mode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// The place a sealed file name belongs to.
fn place(id: FileId) -> Vec<u8> {
    format!("upload/{id}/filename").into_bytes()
}

/// Writes a file down that is coming, if its account has room for it. `false`: it has not.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    coming: &Coming,
    room: Room,
    sealer: &Sealer,
) -> Result<bool, Error> {
    if !take_room(connection, coming, room).await? {
        return Ok(false);
    }
    sqlx::query(
        "insert into upload (id, account, mode, state, filename, bytes, created_at, expires_at, due_at)
         values ($1, $2, $3, 'coming', $4, $5, $6, $7, $7)",
    )
    .bind(coming.id.to_vec())
    .bind(coming.owner.account.to_vec())
    .bind(coming.owner.mode.as_str())
    .bind(sealer.seal(&place(coming.id), coming.filename.as_bytes())?)
    .bind(signed(coming.most_bytes))
    .bind(coming.created_at)
    .bind(coming.due_at)
    .execute(connection)
    .await?;
    Ok(true)
}

/// Takes the room of one more file.
async fn take_room(
    connection: &mut AnyConnection,
    coming: &Coming,
    room: Room,
) -> Result<bool, Error> {
    sqlx::query(
        "insert into upload_room (account, mode, files, bytes) values ($1, $2, 0, 0) on conflict do nothing",
    )
    .bind(coming.owner.account.to_vec())
    .bind(coming.owner.mode.as_str())
    .execute(&mut *connection)
    .await?;
    let done = sqlx::query(
        "update upload_room set files = files + 1, bytes = bytes + $3
         where account = $1 and mode = $2 and files < $4 and bytes + $3 <= $5",
    )
    .bind(coming.owner.account.to_vec())
    .bind(coming.owner.mode.as_str())
    .bind(signed(coming.most_bytes))
    .bind(signed(room.files))
    .bind(signed(room.bytes))
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives room back.
async fn give_room(
    connection: &mut AnyConnection,
    (account, mode): (&[u8], &str),
    (files, bytes): (i64, i64),
) -> Result<(), Error> {
    sqlx::query(
        "update upload_room set files = files - $3, bytes = bytes - $4 where account = $1 and mode = $2",
    )
    .bind(account)
    .bind(mode)
    .bind(files)
    .bind(bytes)
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes under which id the parts of a file that is coming are. `false`: it was given up meanwhile.
pub(crate) async fn note_parts(
    connection: &mut AnyConnection,
    id: FileId,
    parts: Option<&str>,
) -> Result<bool, Error> {
    let done = sqlx::query("update upload set parts = $2 where id = $1 and state = 'coming'")
        .bind(id.to_vec())
        .bind(parts)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Under which id the parts of a file are, if it came in parts and they may still be there.
pub(crate) async fn parts(pool: &AnyPool, id: FileId) -> Result<Option<String>, Error> {
    let parts: Option<Option<String>> =
        sqlx::query_scalar("select parts from upload where id = $1")
            .bind(id.to_vec())
            .fetch_optional(pool)
            .await?;
    Ok(parts.flatten())
}

/// Keeps a file that was coming and is whole; what it does not need of its room is free again. `false`: it was given up meanwhile.
pub(crate) async fn keep(
    connection: &mut AnyConnection,
    coming: &Coming,
    file: &File,
) -> Result<bool, Error> {
    let done = sqlx::query(
        "update upload set state = 'kept', purpose = $2, content_type = $3, sha256 = $4, bytes = $5, expires_at = $6, due_at = $6,
                width = $7, height = $8, duration_millis = $9, parts = null
         where id = $1 and state = 'coming'",
    )
    .bind(coming.id.to_vec())
    .bind(file.purpose.as_str())
    .bind(file.content_type.as_str())
    .bind(file.sha256.as_str())
    .bind(signed(file.bytes))
    .bind(file.expires_at)
    .bind(file.size.map(|(width, _)| i64::from(width)))
    .bind(file.size.map(|(_, height)| i64::from(height)))
    .bind(file.millis.and_then(|millis| i64::try_from(millis).ok()))
    .execute(&mut *connection)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    let owner = (&*coming.owner.account.to_vec(), coming.owner.mode.as_str());
    let unused = signed(coming.most_bytes.saturating_sub(file.bytes));
    give_room(connection, owner, (0, unused)).await?;
    Ok(true)
}

/// A file that is kept at `now`.
pub(crate) async fn get(
    pool: &AnyPool,
    (owner, id): (Owner, FileId),
    now: i64,
    sealer: &Sealer,
) -> Result<Option<File>, Error> {
    let row = sqlx::query(AssertSqlSafe(format!(
        "select {COLUMNS} from upload
         where id = $1 and account = $2 and mode = $3 and state = 'kept' and expires_at > $4"
    )))
    .bind(id.to_vec())
    .bind(owner.account.to_vec())
    .bind(owner.mode.as_str())
    .bind(now)
    .fetch_optional(pool)
    .await?;
    row.map(|row| read(&row, sealer)).transpose()
}

/// The same of whoever.
pub(crate) async fn by_id(
    pool: &AnyPool,
    id: FileId,
    now: i64,
    sealer: &Sealer,
) -> Result<Option<File>, Error> {
    let row = sqlx::query(AssertSqlSafe(format!(
        "select {COLUMNS} from upload where id = $1 and state = 'kept' and expires_at > $2"
    )))
    .bind(id.to_vec())
    .bind(now)
    .fetch_optional(pool)
    .await?;
    row.map(|row| read(&row, sealer)).transpose()
}

/// A page of the files that are kept at `now`.
pub(crate) async fn list(
    pool: &AnyPool,
    owner: Owner,
    page: &Page,
    now: i64,
    sealer: &Sealer,
) -> Result<Vec<File>, Error> {
    let (order, behind) = if page.oldest_first {
        ("asc", ">")
    } else {
        ("desc", "<")
    };
    let rows = sqlx::query(AssertSqlSafe(format!(
        "select {COLUMNS} from upload
         where account = $1 and mode = $2 and state = 'kept' and expires_at > $3
           and ($4 = '' or purpose = $4) and ($5 = 0 or id {behind} $6)
         order by id {order} limit $7"
    )))
    .bind(owner.account.to_vec())
    .bind(owner.mode.as_str())
    .bind(now)
    .bind(page.purpose.as_str())
    .bind(i64::from(page.after.is_some()))
    .bind(page.after.map(FileId::to_vec).unwrap_or_default())
    .bind(i64::from(page.limit))
    .fetch_all(pool)
    .await?;
    rows.iter().map(|row| read(row, sealer)).collect()
}

/// From now on nobody finds the file. `false`: nobody did before.
pub(crate) async fn let_go(
    connection: &mut AnyConnection,
    (owner, id): (Owner, FileId),
    now: i64,
) -> Result<bool, Error> {
    let done = sqlx::query(
        "update upload set state = 'going', due_at = $4
         where id = $1 and account = $2 and mode = $3 and state = 'kept' and expires_at > $4",
    )
    .bind(id.to_vec())
    .bind(owner.account.to_vec())
    .bind(owner.mode.as_str())
    .bind(now)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Gives up a file that was coming, by who was at it.
pub(crate) async fn give_up(connection: &mut AnyConnection, id: FileId) -> Result<(), Error> {
    sqlx::query("update upload set state = 'going' where id = $1 and state = 'coming'")
        .bind(id.to_vec())
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether the file is kept, for whoever cannot know how its write ended.
pub(crate) async fn is_kept(pool: &AnyPool, id: FileId) -> Result<bool, Error> {
    let found: Option<i64> =
        sqlx::query_scalar("select 1 from upload where id = $1 and state = 'kept'")
            .bind(id.to_vec())
            .fetch_optional(pool)
            .await?;
    Ok(found.is_some())
}

/// Files that a sweep should look after at `now`.
pub(crate) async fn due(pool: &AnyPool, now: i64) -> Result<Vec<FileId>, Error> {
    let rows = sqlx::query("select id from upload where due_at <= $1 order by due_at limit $2")
        .bind(now)
        .bind(BATCH)
        .fetch_all(pool)
        .await?;
    rows.iter().map(|row| super::task::id(row, "id")).collect()
}

/// Takes a file that is due at `now` out of everybody's sight. `false`: it is no longer due.
pub(crate) async fn take_due(
    connection: &mut AnyConnection,
    id: FileId,
    now: i64,
) -> Result<bool, Error> {
    let done = sqlx::query("update upload set state = 'going' where id = $1 and due_at <= $2")
        .bind(id.to_vec())
        .bind(now)
        .execute(connection)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// At the start of a process that has the database for itself: nobody is at what was coming.
pub(crate) async fn forget_leases(connection: &mut AnyConnection) -> Result<(), Error> {
    sqlx::query("update upload set due_at = 0 where state = 'coming'")
        .execute(connection)
        .await?;
    Ok(())
}

/// Forgets a file whose bytes are deleted; its room is free again.
pub(crate) async fn forget(connection: &mut AnyConnection, id: FileId) -> Result<(), Error> {
    let row = sqlx::query(
        "delete from upload where id = $1 and state = 'going' returning account, mode, bytes",
    )
    .bind(id.to_vec())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else {
        return Ok(());
    };
    let (account, mode): (Vec<u8>, String) = (row.try_get("account")?, row.try_get("mode")?);
    give_room(connection, (&account, &mode), (1, row.try_get("bytes")?)).await
}

/// Reads a row. A name that does not open is left out and logged: the file itself is as good as ever.
fn read(row: &AnyRow, sealer: &Sealer) -> Result<File, Error> {
    let id: FileId = super::task::id(row, "id")?;
    let sealed: Vec<u8> = row.try_get("filename")?;
    let opened = sealer.open(&place(id), &sealed).ok();
    let filename = opened.and_then(|plain| String::from_utf8(plain.to_vec()).ok());
    if filename.is_none() {
        error!(file.id = %id, "a stored file name does not open: was secrets.content_key changed?");
    }
    let width = super::output::pixels(row, "width")?;
    let height = super::output::pixels(row, "height")?;
    let millis: Option<i64> = row.try_get("duration_millis")?;
    Ok(File {
        id,
        filename: filename.unwrap_or_default(),
        purpose: row.try_get("purpose")?,
        content_type: row.try_get("content_type")?,
        bytes: u64::try_from(row.try_get::<i64, _>("bytes")?).unwrap_or(0),
        sha256: row.try_get("sha256")?,
        size: width.zip(height),
        millis: millis.and_then(|millis| u64::try_from(millis).ok()),
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
    })
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
