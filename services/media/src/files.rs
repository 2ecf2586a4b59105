//! Uploaded files: look at them, list them, delete them. Another account's file, or one of the other mode, does not exist.

use domain::{AccountId, Caller, FileId, Mode};
use proto::{Fault, code};

use crate::{Error, Media, store::upload as table};

/// A file that is kept: a row of `upload`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) id: FileId,
    pub(crate) filename: String,
    pub(crate) purpose: String,
    pub(crate) content_type: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    /// Width and height in pixels, as far as it says.
    pub(crate) size: Option<(u32, u32)>,
    /// How long it lasts, as far as it says.
    pub(crate) millis: Option<u64>,
    pub(crate) created_at: i64,
    pub(crate) expires_at: i64,
}

/// Whose a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    pub(crate) account: AccountId,
    pub(crate) mode: Mode,
}

/// Which files are listed.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    /// Empty: for whatever they are.
    pub(crate) purpose: String,
    /// The last one of the page before.
    pub(crate) after: Option<FileId>,
    pub(crate) limit: u32,
    pub(crate) oldest_first: bool,
}

// === impl Owner ===

impl From<&Caller> for Owner {
    fn from(caller: &Caller) -> Self {
        Self {
            account: caller.account,
            mode: caller.mode,
        }
    }
}

/// One file.
pub(crate) async fn get(media: &Media, owner: Owner, id: FileId) -> Result<File, Error> {
    let now = media.db.now_micros();
    let found = table::get(media.db.reader(), (owner, id), now, media.secrets.content());
    media.db.read(found).await?.ok_or_else(not_found)
}

/// One file of whoever: a signed link was the permission.
pub(crate) async fn linked(media: &Media, id: FileId) -> Result<File, Error> {
    let now = media.db.now_micros();
    let found = table::by_id(media.db.reader(), id, now, media.secrets.content());
    media.db.read(found).await?.ok_or_else(not_found)
}

/// A page of them.
pub(crate) async fn list(media: &Media, owner: Owner, page: Page) -> Result<Vec<File>, Error> {
    let (now, sealer) = (media.db.now_micros(), media.secrets.content());
    let found = table::list(media.db.reader(), owner, &page, now, sealer);
    media.db.read(found).await
}

/// Deletes one. It is gone once that is written down; bytes that cannot be deleted now, a sweep deletes.
pub(crate) async fn delete(media: &Media, owner: Owner, id: FileId) -> Result<(), Error> {
    let now = media.db.now_micros();
    let gone: Result<bool, Error> = media
        .db
        .write(move |connection| Box::pin(table::let_go(connection, (owner, id), now)))
        .await;
    if !gone? {
        return Err(not_found());
    }
    if let Err(failure) = clear(media, id).await {
        tracing::warn!(file.id = %id, error = %chassis::telemetry::causes(&failure), "a file's bytes wait for the sweep");
    }
    Ok(())
}

/// Deletes the bytes of a file that nobody finds any more, and then its row, so that a crash in between leaves what leads to them.
pub(crate) async fn clear(media: &Media, id: FileId) -> Result<(), Error> {
    let parts = table::parts(media.db.reader(), id);
    let parts = media.db.read(parts).await?;
    media.kept.uploads.delete(id, parts.as_deref()).await?;
    media
        .db
        .write(move |connection| Box::pin(table::forget(connection, id)))
        .await
}

/// Deletes what is kept no longer, and what processes that died left.
pub(crate) async fn sweep(media: &Media) -> Result<(), Error> {
    let now = media.db.now_micros();
    let due = table::due(media.db.reader(), now);
    let mut outcome = Ok(());
    for id in media.db.read(due).await? {
        let swept = sweep_one(media, id, now).await;
        // One that cannot be deleted does not keep the others.
        outcome = outcome.and(swept);
    }
    outcome
}

async fn sweep_one(media: &Media, id: FileId, now: i64) -> Result<(), Error> {
    let taken: Result<bool, Error> = media
        .db
        .write(move |connection| Box::pin(table::take_due(connection, id, now)))
        .await;
    if taken? {
        clear(media, id).await
    } else {
        Ok(())
    }
}

/// The same words for an unknown file and for another's.
pub(crate) fn not_found() -> Error {
    Fault::new(code::NOT_FOUND, "there is no such file for this key").into()
}
