//! Writing an object as its bytes come. Of one that goes to a bucket, one part is in memory at a time, and the next bytes are taken when
//! that part has gone.

use std::sync::Arc;

use async_trait::async_trait;
use object_store::{
    MultipartUpload, ObjectStoreExt as _, PutPayloadMut, WriteMultipart,
    multipart::{MultipartStore as _, PartId},
};

use super::bucket::Writes;
use crate::Error;

/// Bytes that are written to a disk at once: it needs no more, and so much stays in memory of each file that comes. Of a part for a
/// bucket, as much is asked for at a time.
const PIECE: usize = 256 * 1024;

/// Who keeps what leads to the parts of an object that is being written.
#[async_trait]
pub(crate) trait Note: Send + Sync {
    /// Under which id they are, before the first of them goes; `None`: they are gone. A failure gives the object up.
    async fn parts_are(&self, id: Option<&str>) -> Result<(), Error>;
}

/// An object that is being written.
pub(crate) struct Writer(pub(super) Inner);

pub(super) enum Inner {
    Directory(WriteMultipart),
    Bucket(Box<Parts>),
}

/// An object on its way to a bucket.
pub(super) struct Parts {
    place: Writes,
    note: Arc<dyn Note>,
    waiting: PutPayloadMut,
    /// Under which id, once there is more than one part; and those that have gone.
    gone: Option<(String, Vec<PartId>)>,
}

fn empty() -> PutPayloadMut {
    PutPayloadMut::new().with_block_size(PIECE)
}

// === impl Inner ===

impl Inner {
    pub(super) fn directory(upload: Box<dyn MultipartUpload>) -> Self {
        Self::Directory(WriteMultipart::new_with_chunk_size(upload, PIECE))
    }

    pub(super) fn bucket(place: Writes, note: Arc<dyn Note>) -> Self {
        Self::Bucket(Box::new(Parts {
            place,
            note,
            waiting: empty(),
            gone: None,
        }))
    }
}

// === impl Writer ===

impl Writer {
    /// More of it.
    pub(crate) async fn write(&mut self, data: &[u8]) -> Result<(), Error> {
        match &mut self.0 {
            Inner::Directory(writer) => {
                writer.wait_for_capacity(1).await?;
                writer.write(data);
                Ok(())
            }
            Inner::Bucket(parts) => parts.write(data).await,
        }
    }

    /// All of it is there: it comes to its place.
    pub(crate) async fn finish(self) -> Result<(), Error> {
        match self.0 {
            Inner::Directory(writer) => Ok(writer.finish().await.map(drop)?),
            Inner::Bucket(parts) => parts.finish().await,
        }
    }

    /// It is not wanted any more.
    pub(crate) async fn abort(self) -> Result<(), Error> {
        match self.0 {
            Inner::Directory(writer) => Ok(writer.abort().await?),
            Inner::Bucket(parts) => parts.abort().await,
        }
    }
}

// === impl Parts ===

impl Parts {
    async fn write(&mut self, mut data: &[u8]) -> Result<(), Error> {
        while !data.is_empty() {
            // Only now: what fits into one part goes as a whole, and there is nothing to find again.
            if self.waiting.content_length() >= self.place.part {
                self.send().await?;
            }
            let room = self
                .place
                .part
                .saturating_sub(self.waiting.content_length());
            let (now, later) = data.split_at_checked(room).unwrap_or((data, &[]));
            self.waiting.extend_from_slice(now);
            data = later;
        }
        Ok(())
    }

    /// Sends what waits, as the next part.
    async fn send(&mut self) -> Result<(), Error> {
        let Writes { store, key, .. } = &self.place;
        if self.gone.is_none() {
            let id = store.create_multipart(key).await?;
            if let Err(error) = self.note.parts_are(Some(&id)).await {
                store.abort_multipart(key, &id).await?;
                return Err(error);
            }
            self.gone = Some((id, Vec::new()));
        }
        if let Some((id, parts)) = &mut self.gone {
            let part = std::mem::replace(&mut self.waiting, empty());
            parts.push(store.put_part(key, id, parts.len(), part.into()).await?);
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<(), Error> {
        if self.gone.is_none() {
            let whole = std::mem::replace(&mut self.waiting, empty());
            self.place.store.put(&self.place.key, whole.into()).await?;
            return Ok(());
        }
        if let Err(error) = self.complete().await {
            // What cannot be deleted now, whoever noted the id deletes.
            self.abort().await?;
            return Err(error);
        }
        Ok(())
    }

    async fn complete(&mut self) -> Result<(), Error> {
        if !self.waiting.is_empty() {
            self.send().await?;
        }
        let Writes { store, key, .. } = &self.place;
        if let Some((id, parts)) = &mut self.gone {
            let parts = std::mem::take(parts);
            store.complete_multipart(key, id, parts).await?;
        }
        Ok(())
    }

    async fn abort(self) -> Result<(), Error> {
        let Writes { store, key, .. } = &self.place;
        match &self.gone {
            Some((id, _)) => {
                store.abort_multipart(key, id).await?;
                self.note.parts_are(None).await
            }
            None => Ok(()),
        }
    }
}
