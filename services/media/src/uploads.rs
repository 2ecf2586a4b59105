//! The bytes of uploaded files, in the store that outputs are in.

use std::{
    collections::HashMap,
    ops::Range,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use domain::FileId;
use futures::stream::BoxStream;
use object_store::{ObjectStore, ObjectStoreExt as _, WriteMultipart, path::Path as Key};
use prost::bytes::Bytes;
use proto::{Fault, code};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Error, config::FileLimits, files::Owner, outputs};

/// Their place in the store.
const FOLDER: &str = "uploads";
/// Bytes that are written at once: a disk needs no more, and so much stays in memory of each upload.
const PIECE: usize = 256 * 1024;
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
    store: Arc<dyn ObjectStore>,
    directory: PathBuf,
}

/// The place of an upload that is under way, given back when it is dropped.
pub(crate) struct Place {
    owner: Owner,
    coming: Arc<Mutex<HashMap<Owner, usize>>>,
    _among_all: OwnedSemaphorePermit,
}

// === impl Uploads ===

impl Uploads {
    /// In a store, and the directory that it is.
    pub(crate) fn new(
        (store, directory): (Arc<dyn ObjectStore>, PathBuf),
        limits: FileLimits,
    ) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.at_once)),
            coming: Arc::default(),
            limits,
            store,
            directory,
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

    /// Begins to write a file, beside its place: nobody reads it before it is finished.
    pub(crate) async fn begin(&self, id: FileId) -> Result<WriteMultipart, Error> {
        let upload = self.store.put_multipart(&key(id)).await?;
        Ok(WriteMultipart::new_with_chunk_size(upload, PIECE))
    }

    /// A file's bytes, or some of them.
    pub(crate) async fn read(
        &self,
        id: FileId,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        outputs::read(&*self.store, &key(id), range).await
    }

    /// Deletes a file; one that is gone already is fine. What a process that died had written beside its place goes as well: the store
    /// itself does not know of it any more. A file is written once, so that is the first name that the store tries.
    pub(crate) async fn delete(&self, id: FileId) -> Result<(), Error> {
        outputs::delete(&*self.store, &key(id)).await?;
        let beside = self.directory.join(FOLDER).join(format!("{id}#1"));
        match tokio::fs::remove_file(&beside).await {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Error::Directory(beside.display().to_string(), error)),
        }
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

fn key(id: FileId) -> Key {
    Key::from(format!("{FOLDER}/{id}"))
}
