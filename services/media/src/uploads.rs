//! The bytes of uploaded files, in the store that outputs are in.

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use db::Db;
use domain::FileId;
use futures::stream::BoxStream;
use prost::bytes::Bytes;
use proto::{Fault, code};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    Error,
    config::FileLimits,
    files::Owner,
    inline_room::{Holds, InlineRoom, InlineRooms, UNIT},
    measure::{self, By, Measures},
    places::{Full, Place, Places},
    storage::{Note, Store, Writer},
    store::upload as table,
};

/// Their place in the store.
const FOLDER: &str = "uploads";
/// When to come again where as many uploads are under way as may be.
const FULL_WAIT: Duration = Duration::from_secs(1);

/// Keeps them.
#[derive(Clone)]
pub(crate) struct Uploads {
    pub(crate) limits: FileLimits,
    /// A place for each one that may be under way.
    places: Places,
    /// A place for each task whose URLs are looked at.
    looks: Places,
    /// A place for each task whose URLs are fetched, apart from those: who fetches slowly keeps nobody from being looked at.
    fetches: Places,
    /// Room for files that travel inside of requests.
    inline: InlineRooms,
    /// So much of what live keys have of it, in units of [`UNIT`], may be for what is only being fetched.
    fetched: Arc<Semaphore>,
    store: Store,
    db: Db,
}

/// The row of an upload, which keeps what leads to its parts.
struct Row {
    id: FileId,
    db: Db,
}

// === impl Uploads ===

impl Uploads {
    /// In a store, with a row for each.
    pub(crate) fn new((store, db): (Store, Db), limits: FileLimits) -> Self {
        Self {
            places: Places::new(limits.coming.at_once, limits.coming.at_once_per_account),
            looks: Places::new(limits.looks.at_once, limits.looks.at_once_per_account),
            fetches: Places::new(limits.looks.at_once, limits.looks.at_once_per_account),
            inline: InlineRooms::new(&limits),
            fetched: Arc::new(Semaphore::new(units(fetched_at_once(&limits)))),
            limits,
            store,
            db,
        }
    }

    /// A place for an upload.
    ///
    /// # Errors
    /// OVERLOADED, where as many of this owner, or of all, are under way as may be.
    pub(crate) fn place(&self, owner: Owner) -> Result<Place, Fault> {
        self.places.take(owner).map_err(|full| {
            let fault = match full {
                Full::All => Fault::of(code::OVERLOADED),
                Full::Account => {
                    let most = self.limits.coming.at_once_per_account;
                    let message = format!(
                        "{most} files of this account are coming at the moment, which is as many as may at once"
                    );
                    Fault::new(code::OVERLOADED, message)
                }
            };
            fault.retry_after(FULL_WAIT)
        })
    }

    /// A place for a task whose URLs are looked at, if there is one.
    pub(crate) fn look(&self, owner: Owner) -> Option<Place> {
        self.looks.take(owner).ok()
    }

    /// A place for a task whose URLs are fetched, if there is one.
    pub(crate) fn fetch(&self, owner: Owner) -> Option<Place> {
        self.fetches.take(owner).ok()
    }

    /// Begins to write a file: nobody reads it before it is finished.
    pub(crate) async fn begin(&self, id: FileId) -> Result<Writer, Error> {
        let row = Row {
            id,
            db: self.db.clone(),
        };
        self.store.begin(&key(id), Arc::new(row)).await
    }

    /// How large and how long a file is that is in its place.
    pub(crate) async fn measure(
        &self,
        id: FileId,
        (content_type, bytes): (&'static str, u64),
    ) -> Result<Measures, Error> {
        measure::kept(&self.store, (key(id), bytes), content_type, By::Count).await
    }

    /// Room for bytes that travel inside of a request, among those of all requests, if there is some.
    pub(crate) fn inline_room(&self, owner: Owner, what: (Holds, u64)) -> Option<InlineRoom> {
        self.inline.take(owner, what)
    }

    /// The share in it of bytes that are only being fetched: slow servers leave half of the room to all others.
    pub(crate) fn fetch_room(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let most = units(fetched_at_once(&self.limits));
        let units = u32::try_from(units(bytes).min(most)).unwrap_or(u32::MAX);
        Arc::clone(&self.fetched).try_acquire_many_owned(units).ok()
    }

    /// A file's bytes, or some of them.
    pub(crate) async fn read(
        &self,
        id: FileId,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        self.store.read(&key(id), range).await
    }

    /// Deletes a file; one that is gone already is fine. What a process that died had written of it, in parts or beside its place, goes
    /// as well.
    pub(crate) async fn delete(&self, id: FileId, parts: Option<&str>) -> Result<(), Error> {
        self.store.delete(&key(id)).await?;
        self.store.abandon(&key(id), parts).await
    }
}

// === impl Row ===

#[async_trait]
impl Note for Row {
    async fn parts_are(&self, parts: Option<&str>) -> Result<(), Error> {
        let (id, parts) = (self.id, parts.map(str::to_owned));
        let noted: Result<bool, Error> = self
            .db
            .write(move |connection| {
                Box::pin(async move { table::note_parts(connection, id, parts.as_deref()).await })
            })
            .await;
        if noted? {
            return Ok(());
        }
        // A sweep took its process for dead.
        let message = "the file took too long to come and was given up";
        Err(Fault::new(code::REQUEST_TIMEOUT, message).into())
    }
}

/// How many bytes may be fetched at once: half of all, and as many as there may be in one request.
fn fetched_at_once(limits: &FileLimits) -> u64 {
    let half = limits.inline_total_bytes.checked_div(2).unwrap_or_default();
    half.max(limits.inline_bytes)
}

/// How many permits so many bytes are.
fn units(bytes: u64) -> usize {
    let units = usize::try_from(bytes.div_ceil(UNIT)).unwrap_or(usize::MAX);
    units.clamp(1, Semaphore::MAX_PERMITS)
}

fn key(id: FileId) -> String {
    format!("{FOLDER}/{id}")
}
