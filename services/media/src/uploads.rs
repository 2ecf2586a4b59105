//! The bytes of uploaded files, in the store that outputs are in.

use std::{ops::Range, path::PathBuf, sync::Arc};

use domain::FileId;
use futures::stream::BoxStream;
use object_store::{ObjectStore, ObjectStoreExt as _, WriteMultipart, path::Path as Key};
use prost::bytes::Bytes;
use tokio::sync::Semaphore;

use crate::{Error, config::FileLimits, outputs};

/// Their place in the store.
const FOLDER: &str = "uploads";
/// Bytes that are written at once: a disk needs no more, and so much stays in memory of each upload.
const PIECE: usize = 256 * 1024;

/// Keeps them.
#[derive(Clone)]
pub(crate) struct Uploads {
    pub(crate) limits: FileLimits,
    /// A place for each one that may be under way.
    pub(crate) places: Arc<Semaphore>,
    store: Arc<dyn ObjectStore>,
    directory: PathBuf,
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
            limits,
            store,
            directory,
        }
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

fn key(id: FileId) -> Key {
    Key::from(format!("{FOLDER}/{id}"))
}
