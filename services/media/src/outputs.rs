//! Files that tasks made: fetched from providers through the guard, kept by us, read by customers. And the store that they are in.

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chassis::clock::micros;
use db::Db;
use domain::TaskId;
use futures::{StreamExt as _, stream::BoxStream};
use prost::bytes::Bytes;
use proto::{Fault, code};
use sha2::{Digest as _, Sha256};
use upstream::{Caps, Download, EgressError, GuardedClient, Redirects, Trust};

use crate::{
    Error, alpha, config,
    measure::{self, By, HEAD_BYTES, Measures},
    providers::IN_BASE64,
    storage::{Note, Store, Writer},
    store::{
        claim,
        coming::{self, Kept, Left},
        output as table,
    },
    task::Output,
};

/// Letters of base64 that are decoded at once: whole fours.
const PIECE: usize = 1024 * 1024;
/// Why a file is none to keep.
const UNKNOWN: &str = "is no picture, video or sound of a kind we know";
const OPAQUE: &str = "has no alpha channel, and must have one";

/// Keeps files, each with a row from before its first byte until it is deleted: of a task that runs, and then of one that has ended.
#[derive(Clone)]
pub(crate) struct Outputs {
    store: Store,
    db: Db,
    guard: GuardedClient,
    caps: Caps,
    retention: Duration,
    /// How long a process may be at one.
    longest: Duration,
}

/// The row of a file that is coming, which keeps what leads to its parts.
struct Row {
    file: (TaskId, u32),
    db: Db,
}

/// A file on its way.
enum Coming<'a> {
    /// From its provider.
    File(Box<Download>),
    /// A text that its provider has given at once.
    Text(&'a str),
    /// A picture, a film or a sound that its provider has given at once, in base64.
    Base64(&'a str),
}

/// What is known of bytes that were written.
struct Written {
    content_type: &'static str,
    bytes: u64,
    sha256: String,
    /// Whether it certainly has no alpha channel.
    is_opaque: bool,
}

/// Where a file is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'a> {
    /// At this URL of its provider's, for a short while.
    Url(&'a str),
    /// Here: a text that its provider has answered.
    Text(&'a str),
    /// Here, in base64: a picture, a film or a sound that its provider has answered.
    Base64(&'a str),
}

// === impl Place ===

impl<'a> Place<'a> {
    /// Where a provider says that a file is that it has answered at once.
    pub(crate) fn of(url: &'a str) -> Self {
        match url.split_once(IN_BASE64) {
            Some((kind, bytes)) if kind.starts_with("data:") => Self::Base64(bytes),
            Some(_) | None => Self::Url(url),
        }
    }
}

/// A file to fetch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) task: TaskId,
    /// With which claim its task was taken.
    pub(crate) claims: i64,
    pub(crate) number: u32,
    pub(crate) place: Place<'a>,
    /// Whether it must have an alpha channel.
    pub(crate) is_transparent: bool,
    /// The provider's configured address, which the operator vouches for, and what it is shown.
    pub(crate) trust: Trust<'a>,
    /// What is left to its task: bytes, and time.
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
}

// === impl Outputs ===

impl Outputs {
    pub(crate) fn new(
        (store, db): (Store, Db),
        guard: GuardedClient,
        limits: &config::Limits,
    ) -> Self {
        let outputs = &limits.outputs;
        Self {
            store,
            db,
            guard,
            caps: Caps {
                timeout: outputs.timeout,
                max_bytes: outputs.max_bytes,
                redirects: Redirects::Follow,
            },
            retention: outputs.retention,
            longest: outputs.timeout.saturating_add(limits.lease),
        }
    }

    /// Fetches a file and keeps it, from `now` (microseconds UTC) on. It comes to its place when it is whole, so that nobody reads a
    /// part of it, and only as long as its task is still whose who fetches it: what another job made may have come there since. Between that
    /// look and the last step a task can still change hands: who finishes that late writes over the other's file, or leaves one behind that is
    /// deleted with its row.
    pub(crate) async fn keep(&self, source: Source<'_>, now: i64) -> Result<Output, Error> {
        let file = (source.task, source.number);
        self.check_is_ours(&source).await?;
        self.expect(file, now).await?;
        let caps = self.caps_of(&source);
        let mut coming = match source.place {
            Place::Text(text) => Coming::Text(within(text, caps.max_bytes)?),
            Place::Base64(text) => Coming::Base64(decodable(text, caps.max_bytes)?),
            Place::Url(url) => {
                let download = self.guard.get_to(url, source.trust, &caps).await?;
                Coming::File(Box::new(download))
            }
        };
        let row = Row {
            file,
            db: self.db.clone(),
        };
        let mut writer = self.store.begin(&key(file), Arc::new(row)).await?;
        let written = async {
            let written = coming.write(&mut writer).await?;
            if source.is_transparent && written.is_opaque {
                return Err(Error::NotAnOutput(OPAQUE));
            }
            self.check_is_ours(&source).await?;
            Ok(written)
        };
        let written: Result<Written, Error> = written.await;
        let written = match written {
            Ok(written) => written,
            Err(error) => {
                writer.abort().await?;
                return Err(error);
            }
        };
        writer.finish().await?;
        let measures = match coming {
            Coming::File(_) | Coming::Base64(_) => {
                let place = (key(file), written.bytes);
                measure::kept(&self.store, place, written.content_type, By::Head).await?
            }
            Coming::Text(_) => Measures::unknown(written.content_type),
        };
        if source.is_transparent && measures.is_opaque {
            self.store.delete(&key(file)).await?;
            return Err(Error::NotAnOutput(OPAQUE));
        }
        Ok(Output {
            number: source.number,
            content_type: measures.content_type.to_owned(),
            bytes: written.bytes,
            sha256: written.sha256,
            width: measures.size.map(|(width, _)| width),
            height: measures.size.map(|(_, height)| height),
            duration_millis: measures.millis,
            expires_at: now.saturating_add(micros(self.retention)),
            about: None,
        })
    }

    /// How large a file may be, and how long it may take to come.
    fn caps_of(&self, source: &Source<'_>) -> Caps {
        Caps {
            timeout: self.caps.timeout.min(source.time),
            max_bytes: self.caps.max_bytes.min(source.bytes),
            ..self.caps
        }
    }

    /// Refuses a file of a task that has ended, or was taken by somebody else.
    async fn check_is_ours(&self, source: &Source<'_>) -> Result<(), Error> {
        let held = claim::is_held(self.db.reader(), source.task, source.claims);
        if self.db.read(held).await? {
            return Ok(());
        }
        Err(Fault::of(code::NOT_FOUND).into())
    }

    /// Writes down that a file is coming, once what an earlier try has left is gone.
    async fn expect(&self, file: (TaskId, u32), now: i64) -> Result<(), Error> {
        let parts = self.db.read(coming::parts(self.db.reader(), file)).await?;
        self.store.abandon(&key(file), parts.as_deref()).await?;
        let due_at = now.saturating_add(micros(self.longest));
        self.db
            .write(move |connection| Box::pin(coming::expect(connection, file, due_at)))
            .await
    }

    /// A file's bytes, or some of them.
    pub(crate) async fn read(
        &self,
        task: TaskId,
        number: u32,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        self.store.read(&key((task, number)), range).await
    }

    /// Deletes a file; one that is gone already is fine.
    pub(crate) async fn delete(&self, task: TaskId, number: u32) -> Result<(), Error> {
        self.store.delete(&key((task, number))).await
    }

    /// Deletes what is kept no longer, and what no task has ended with.
    pub(crate) async fn sweep(&self) -> Result<(), Error> {
        let now = self.db.now_micros();
        let mut outcome = Ok(());
        let expired = table::expired(self.db.reader(), now);
        for (task, number) in self.db.read(expired).await? {
            // One that cannot be deleted does not keep the others.
            outcome = outcome.and(self.clear(task, number).await);
        }
        let left = coming::left(self.db.reader(), now);
        for left in self.db.read(left).await? {
            outcome = outcome.and(self.clear_left(&left).await);
        }
        outcome
    }

    /// Deletes the bytes of a file, and then its row, so that a crash in between leaves what leads to them.
    pub(crate) async fn clear(&self, task: TaskId, number: u32) -> Result<(), Error> {
        self.delete(task, number).await?;
        self.db
            .write(move |connection| Box::pin(table::forget(connection, task, number)))
            .await
    }

    async fn clear_left(&self, left: &Left) -> Result<(), Error> {
        let file = (left.task, left.number);
        if left.kept == Kept::No {
            self.store.delete(&key(file)).await?;
        }
        self.store
            .abandon(&key(file), left.parts.as_deref())
            .await?;
        self.db
            .write(move |connection| Box::pin(coming::forget(connection, file)))
            .await
    }
}

// === impl Row ===

#[async_trait]
impl Note for Row {
    async fn parts_are(&self, parts: Option<&str>) -> Result<(), Error> {
        let (file, parts) = (self.file, parts.map(str::to_owned));
        let noted: Result<bool, Error> = self
            .db
            .write(move |connection| {
                Box::pin(
                    async move { coming::note_parts(connection, file, parts.as_deref()).await },
                )
            })
            .await;
        if noted? {
            return Ok(());
        }
        // The task has ended meanwhile.
        Err(Fault::of(code::NOT_FOUND).into())
    }
}

// === impl Coming ===

impl Coming<'_> {
    async fn write(&mut self, writer: &mut Writer) -> Result<Written, Error> {
        match self {
            Self::File(download) => write(download, writer).await,
            Self::Text(text) => write_all(text.as_bytes(), measure::JSON, writer).await,
            Self::Base64(text) => write_decoded(text, writer).await,
        }
    }
}

/// A text that is not larger than it may be.
fn within(text: &str, max_bytes: u64) -> Result<&str, EgressError> {
    if u64::try_from(text.len()).is_ok_and(|bytes| bytes <= max_bytes) {
        Ok(text)
    } else {
        Err(EgressError::TooLarge { max_bytes })
    }
}

/// A file in base64 that is not larger than it may be.
fn decodable(text: &str, max_bytes: u64) -> Result<&str, EgressError> {
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    let bytes = text.len().saturating_sub(padding).saturating_mul(3);
    let bytes = bytes.checked_div(4).unwrap_or_default();
    if u64::try_from(bytes).is_ok_and(|bytes| bytes <= max_bytes) {
        Ok(text)
    } else {
        Err(EgressError::TooLarge { max_bytes })
    }
}

/// Writes a file that is there.
async fn write_all(
    bytes: &[u8],
    content_type: &'static str,
    writer: &mut Writer,
) -> Result<Written, Error> {
    let mut hash = Sha256::new();
    hash.update(bytes);
    writer.write(bytes).await?;
    Ok(Written {
        content_type,
        bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        sha256: hex(hash),
        is_opaque: false,
    })
}

/// What has been written of a file that comes in pieces.
#[derive(Default)]
struct Pieces {
    hash: Sha256,
    bytes: u64,
    head: Vec<u8>,
}

// === impl Pieces ===

impl Pieces {
    async fn write(&mut self, piece: &[u8], writer: &mut Writer) -> Result<(), Error> {
        self.hash.update(piece);
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(length);
        let missing = HEAD_BYTES.saturating_sub(self.head.len());
        self.head.extend(piece.iter().take(missing));
        writer.write(piece).await
    }

    /// Only what we know is worth keeping.
    fn written(self) -> Result<Written, Error> {
        Ok(Written {
            content_type: measure::content_type(&self.head).ok_or(Error::NotAnOutput(UNKNOWN))?,
            bytes: self.bytes,
            sha256: hex(self.hash),
            is_opaque: alpha::is_missing(&self.head),
        })
    }
}

/// Writes a file as it comes.
async fn write(download: &mut Download, writer: &mut Writer) -> Result<Written, Error> {
    let mut pieces = Pieces::default();
    while let Some(piece) = download.next().await.transpose()? {
        pieces.write(&piece, writer).await?;
    }
    pieces.written()
}

/// Writes a file that is there in base64: a piece at a time, so that there are not two of it.
async fn write_decoded(text: &str, writer: &mut Writer) -> Result<Written, Error> {
    let mut pieces = Pieces::default();
    let mut left = text.as_bytes().chunks(PIECE).peekable();
    while let Some(piece) = left.next() {
        let decoded = STANDARD
            .decode(piece)
            .map_err(|_| Error::NotAnOutput(UNKNOWN))?;
        // What is filled up ends there.
        if left.peek().is_some() && piece.ends_with(b"=") {
            return Err(Error::NotAnOutput(UNKNOWN));
        }
        pieces.write(&decoded, writer).await?;
    }
    pieces.written()
}

/// A hash as it is written.
pub(crate) fn hex(hash: Sha256) -> String {
    let hash = hash.finalize();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn key((task, number): (TaskId, u32)) -> String {
    format!("{task}/{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_base64_is_as_large_as_its_bytes() {
        for (text, bytes) in [
            ("", 0),
            ("QQ==", 1),
            ("QUI=", 2),
            ("QUJD", 3),
            ("QUJDRA==", 4),
        ] {
            assert!(decodable(text, bytes).is_ok(), "{text}");
            if bytes > 0 {
                assert!(decodable(text, bytes - 1).is_err(), "{text}");
            }
        }
    }
}
