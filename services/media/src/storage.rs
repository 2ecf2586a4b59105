//! Where bytes are kept: a directory that all processes share, or a bucket. What is written comes to its place as a whole or not at all.
//!
//! A directory has what is being written beside its place. A bucket has the parts of a larger object under an id, which nobody finds
//! again who has not noted it: whoever writes is told it before the first part goes, and hands it to [`Store::abandon`] when he gives up
//! what a process that died had begun.

mod bucket;
mod config;
mod seek;
#[cfg(test)]
mod tests;
mod write;

use std::{
    io::{Read, Seek},
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use chassis::config::Settings;
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{
    GetOptions, ObjectStore, ObjectStoreExt as _, local::LocalFileSystem, path::Path as Key,
};
use prost::bytes::Bytes;
use proto::{Fault, code};
use tokio::runtime::Handle;

pub use self::config::{S3, StorageConfig};
pub(crate) use self::write::{Note, Writer};
use self::{bucket::Bucket, seek::Remote, write::Inner};
use crate::Error;

/// The store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Store(Arc<Place>);

enum Place {
    Directory {
        files: LocalFileSystem,
        root: PathBuf,
    },
    Bucket(Bucket),
}

/// Bytes that can be gone about in, on a thread that may wait.
pub(crate) trait Bytewise: Read + Seek + Send {}

impl<F: Read + Seek + Send> Bytewise for F {}

/// Looks whether the bucket that the settings name can be used; a directory is made when it is needed.
///
/// # Errors
/// A setting that is wrong, or does not lead to a bucket that can be written to.
pub async fn check_storage(settings: &Settings) -> Result<(), Error> {
    match StorageConfig::read(settings)?.s3 {
        Some(s3) => Bucket::open(&s3).await.map(drop),
        None => Ok(()),
    }
}

// === impl Store ===

impl Store {
    /// Opens the store; a bucket is tried, so that a wrong setting is found out at the start.
    ///
    /// # Errors
    /// A directory that cannot be made, a bucket that cannot be used.
    pub(crate) async fn open(config: &StorageConfig, usual: &Path) -> Result<Self, Error> {
        let place = match &config.s3 {
            Some(s3) => Place::Bucket(Bucket::open(s3).await?),
            None => {
                let root = config.directory.as_deref().unwrap_or(usual);
                std::fs::create_dir_all(root)
                    .map_err(|error| Error::Directory(root.display().to_string(), error))?;
                Place::Directory {
                    files: LocalFileSystem::new_with_prefix(root)?.with_fsync(true),
                    root: root.to_owned(),
                }
            }
        };
        Ok(Self(Arc::new(place)))
    }

    /// Begins to write: nobody reads it before it is finished. `note` keeps what leads to its parts.
    pub(crate) async fn begin(&self, key: &str, note: Arc<dyn Note>) -> Result<Writer, Error> {
        Ok(Writer(match &*self.0 {
            Place::Directory { files, .. } => {
                Inner::directory(files.put_multipart(&Key::from(key)).await?)
            }
            Place::Bucket(bucket) => Inner::bucket(bucket.writes(key), note),
        }))
    }

    /// Bytes of an object.
    pub(crate) async fn read(
        &self,
        key: &str,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let options = GetOptions {
            range: Some(range.into()),
            ..GetOptions::default()
        };
        match self.objects().get_opts(&self.key(key), options).await {
            Ok(found) => Ok(found.into_stream().map_err(Error::from).boxed()),
            // Deleted since we looked.
            Err(object_store::Error::NotFound { .. }) => Err(Fault::of(code::NOT_FOUND).into()),
            Err(error) => Err(error.into()),
        }
    }

    /// An object to go about in, which has so many bytes, of which so many are read at most where they must be fetched. To be opened and read
    /// where waiting is allowed.
    ///
    /// # Errors
    /// When it is not there.
    pub(crate) fn bytewise(
        &self,
        (key, bytes): (&str, u64),
        most: u64,
        waiter: Handle,
    ) -> std::io::Result<Box<dyn Bytewise>> {
        match &*self.0 {
            Place::Directory { root, .. } => Ok(Box::new(std::fs::File::open(root.join(key))?)),
            Place::Bucket(bucket) => Ok(Box::new(Remote::new(
                (bucket.store(), bucket.key(key), bytes),
                most,
                waiter,
            ))),
        }
    }

    /// Deletes an object; one that is gone already is fine.
    pub(crate) async fn delete(&self, key: &str) -> Result<(), Error> {
        match self.objects().delete(&self.key(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes what somebody who is not at it any more had written of an object that was not finished. The object itself stays, if
    /// there is one.
    pub(crate) async fn abandon(&self, key: &str, parts: Option<&str>) -> Result<(), Error> {
        match &*self.0 {
            // The store itself does not know of it any more. It is the first name that it tries, and we give each up before the next.
            Place::Directory { root, .. } => {
                let beside = root.join(format!("{key}#1"));
                match tokio::fs::remove_file(&beside).await {
                    Ok(()) => Ok(()),
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
                    Err(error) => Err(Error::Directory(beside.display().to_string(), error)),
                }
            }
            Place::Bucket(bucket) => match parts {
                Some(parts) => bucket.abandon(key, parts).await,
                None => Ok(()),
            },
        }
    }

    fn objects(&self) -> &dyn ObjectStore {
        match &*self.0 {
            Place::Directory { files, .. } => files,
            Place::Bucket(bucket) => bucket.objects(),
        }
    }

    fn key(&self, key: &str) -> Key {
        match &*self.0 {
            Place::Directory { .. } => Key::from(key),
            Place::Bucket(bucket) => bucket.key(key),
        }
    }
}
