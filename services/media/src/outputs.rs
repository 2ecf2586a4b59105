//! Files that tasks made: fetched from providers through the guard, kept by us, read by customers. And the store that they are in.

use std::{
    fs::File,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use domain::TaskId;
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{
    ObjectStore, ObjectStoreExt as _, WriteMultipart, local::LocalFileSystem, path::Path as Key,
};
use prost::bytes::Bytes;
use proto::{Fault, code};
use sha2::{Digest as _, Sha256};
use tracing::warn;
use upstream::{Caps, GuardedClient, Redirects, Trust};
use url::Url;

use crate::{
    Error, config,
    measure::{self, HEAD_BYTES, Measures},
    task::Output,
};

/// Bytes that are written at once: a disk needs no more, and so much stays in memory of each file that comes.
const PIECE: usize = 256 * 1024;

/// Keeps files, in one directory that every process of media shares.
#[derive(Clone)]
pub(crate) struct Outputs {
    store: Arc<dyn ObjectStore>,
    directory: PathBuf,
    guard: GuardedClient,
    caps: Caps,
    retention: Duration,
}

/// A file to fetch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) task: TaskId,
    pub(crate) number: u32,
    /// Where it is, for a short while.
    pub(crate) url: &'a str,
    /// The provider's configured address, which the operator vouches for.
    pub(crate) origin: &'a Url,
}

impl Outputs {
    pub(crate) fn open(
        directory: &Path,
        guard: GuardedClient,
        limits: &config::Outputs,
    ) -> Result<Self, Error> {
        std::fs::create_dir_all(directory)
            .map_err(|error| Error::Directory(directory.display().to_string(), error))?;
        Ok(Self {
            store: Arc::new(LocalFileSystem::new_with_prefix(directory)?.with_fsync(true)),
            directory: directory.to_owned(),
            guard,
            caps: Caps {
                timeout: limits.timeout,
                max_bytes: limits.max_bytes,
                redirects: Redirects::Follow,
            },
            retention: limits.retention,
        })
    }

    /// Fetches a file and keeps it, from `now` (microseconds UTC) on. It is written beside its place and moved there when it is whole,
    /// so that nobody reads a part of it, and several that fetch it at once replace it by the same.
    pub(crate) async fn keep(&self, source: Source<'_>, now: i64) -> Result<Output, Error> {
        let mut download = self
            .guard
            .get_to(source.url, Trust::Origin(source.origin), &self.caps)
            .await?;
        let upload = self
            .store
            .put_multipart(&key(source.task, source.number))
            .await?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PIECE);
        let (mut hash, mut bytes, mut head) = (Sha256::new(), 0_u64, Vec::new());
        while let Some(part) = download.next().await {
            let part = match part {
                Ok(part) => part,
                Err(error) => {
                    upload.abort().await?;
                    return Err(error.into());
                }
            };
            hash.update(&part);
            bytes = bytes.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
            head.extend(part.iter().take(HEAD_BYTES.saturating_sub(head.len())));
            upload.wait_for_capacity(1).await?;
            upload.write(&part);
        }
        let Some(content_type) = measure::content_type(&head) else {
            upload.abort().await?;
            return Err(Error::NotAnOutput);
        };
        upload.finish().await?;
        let measures = self.measure(&source, content_type).await;
        Ok(Output {
            number: source.number,
            content_type: measures.content_type.to_owned(),
            bytes,
            sha256: hex(hash),
            width: measures.size.map(|(width, _)| width),
            height: measures.size.map(|(_, height)| height),
            duration_millis: measures.millis,
            expires_at: now.saturating_add(chassis::clock::micros(self.retention)),
            about: None,
        })
    }

    /// How large and how long a kept file is, as far as it can be read.
    async fn measure(&self, source: &Source<'_>, content_type: &'static str) -> Measures {
        let (task, number) = (source.task, source.number);
        let path = self
            .directory
            .join(task.to_string())
            .join(number.to_string());
        let measured = tokio::task::spawn_blocking(move || {
            File::open(path).map(|file| measure::measure(content_type, file))
        });
        match measured.await {
            Ok(Ok(measures)) => measures,
            // A file that a library stumbles over can be delivered all the same.
            Ok(Err(_)) | Err(_) => {
                warn!(task.id = %task, number, content_type, "an output cannot be measured");
                Measures::unknown(content_type)
            }
        }
    }

    /// A file's bytes, or some of them.
    pub(crate) async fn read(
        &self,
        task: TaskId,
        number: u32,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        read(&*self.store, &key(task, number), range).await
    }

    /// Deletes a file; one that is gone already is fine.
    pub(crate) async fn delete(&self, task: TaskId, number: u32) -> Result<(), Error> {
        delete(&*self.store, &key(task, number)).await
    }

    /// The store, for whatever else is kept there.
    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store)
    }
}

/// Bytes of an object.
pub(crate) async fn read(
    store: &dyn ObjectStore,
    key: &Key,
    range: Range<u64>,
) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
    let options = object_store::GetOptions {
        range: Some(range.into()),
        ..Default::default()
    };
    match store.get_opts(key, options).await {
        Ok(found) => Ok(found.into_stream().map_err(Error::from).boxed()),
        // Deleted since we looked.
        Err(object_store::Error::NotFound { .. }) => Err(Fault::of(code::NOT_FOUND).into()),
        Err(error) => Err(error.into()),
    }
}

/// Deletes an object; one that is gone already is fine.
pub(crate) async fn delete(store: &dyn ObjectStore, key: &Key) -> Result<(), Error> {
    match store.delete(key).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A hash as it is written.
pub(crate) fn hex(hash: Sha256) -> String {
    let hash = hash.finalize();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn key(task: TaskId, number: u32) -> Key {
    Key::from(format!("{task}/{number}"))
}
