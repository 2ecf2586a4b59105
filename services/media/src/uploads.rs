//! The bytes of uploaded files, in the store that outputs are in.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use db::Db;
use domain::FileId;
use futures::{TryStreamExt as _, stream::BoxStream};
use prost::bytes::Bytes;
use proto::{Fault, code};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    Error,
    config::FileLimits,
    files::{File, Owner},
    measure::{self, HEAD_BYTES},
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
    places: Arc<Semaphore>,
    /// How many of whom are.
    coming: Arc<Mutex<HashMap<Owner, usize>>>,
    store: Store,
    db: Db,
}

/// The row of an upload, which keeps what leads to its parts.
struct Row {
    id: FileId,
    db: Db,
}

/// The place of an upload that is under way, given back when it is dropped.
pub(crate) struct Place {
    owner: Owner,
    coming: Arc<Mutex<HashMap<Owner, usize>>>,
    _among_all: OwnedSemaphorePermit,
}

// === impl Uploads ===

impl Uploads {
    /// In a store, with a row for each.
    pub(crate) fn new((store, db): (Store, Db), limits: FileLimits) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.at_once)),
            coming: Arc::default(),
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
        let mut coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner);
        let own = coming.get(&owner).copied().unwrap_or_default();
        let most = self.limits.at_once_per_account;
        if own >= most {
            let message = format!(
                "{most} files of this account are coming at the moment, which is as many as may at once"
            );
            return Err(Fault::new(code::OVERLOADED, message).retry_after(FULL_WAIT));
        }
        let among_all = Arc::clone(&self.places).try_acquire_owned();
        let among_all =
            among_all.map_err(|_full| Fault::of(code::OVERLOADED).retry_after(FULL_WAIT))?;
        coming.insert(owner, own.saturating_add(1));
        Ok(Place {
            owner,
            coming: Arc::clone(&self.coming),
            _among_all: among_all,
        })
    }

    /// Begins to write a file: nobody reads it before it is finished.
    pub(crate) async fn begin(&self, id: FileId) -> Result<Writer, Error> {
        let row = Row {
            id,
            db: self.db.clone(),
        };
        self.store.begin(&key(id), Arc::new(row)).await
    }

    /// A file's bytes, or some of them.
    pub(crate) async fn read(
        &self,
        id: FileId,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        self.store.read(&key(id), range).await
    }

    /// How long a sound or a film lasts, as far as it says.
    ///
    /// # Errors
    /// When it cannot be read where it is kept.
    pub(crate) async fn lasts(&self, file: &File) -> Result<Option<Duration>, Error> {
        let head = u64::try_from(HEAD_BYTES).unwrap_or(u64::MAX);
        let parts = self.read(file.id, 0..file.bytes.min(head)).await?;
        let parts: Vec<Bytes> = parts.try_collect().await?;
        let Some(content_type) = measure::content_type(&parts.concat()) else {
            return Ok(None);
        };
        let place = (key(file.id), file.bytes);
        let measures = measure::kept(&self.store, place, content_type).await?;
        Ok(measures.millis.map(Duration::from_millis))
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

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        let mut coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner);
        match coming.get_mut(&self.owner) {
            Some(own) if *own > 1 => *own = own.saturating_sub(1),
            Some(_) | None => {
                coming.remove(&self.owner);
            }
        }
    }
}

fn key(id: FileId) -> String {
    format!("{FOLDER}/{id}")
}
