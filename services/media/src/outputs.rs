//! Files that tasks made: fetched from providers through the guard, kept by us, read by customers. And the store that they are in.

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use chassis::clock::micros;
use db::Db;
use domain::TaskId;
use futures::{StreamExt as _, stream::BoxStream};
use prost::bytes::Bytes;
use proto::{Fault, code};
use sha2::{Digest as _, Sha256};
use upstream::{Caps, Download, EgressError, GuardedClient, Redirects, Trust};
use url::Url;

use crate::{
    Error, config,
    measure::{self, HEAD_BYTES, Measures},
    storage::{Note, Store, Writer},
    store::{
        claim,
        coming::{self, Kept, Left},
        output as table,
    },
    task::Output,
};

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
}

/// What is known of bytes that were written.
struct Written {
    content_type: &'static str,
    bytes: u64,
    sha256: String,
}

/// Where a file is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'a> {
    /// At this URL of its provider's, for a short while.
    Url(&'a str),
    /// Here: a text that its provider has answered.
    Text(&'a str),
}

/// A file to fetch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) task: TaskId,
    /// With which claim its task was taken.
    pub(crate) claims: i64,
    pub(crate) number: u32,
    pub(crate) place: Place<'a>,
    /// The provider's configured address, which the operator vouches for.
    pub(crate) origin: &'a Url,
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
            Place::Url(url) => {
                let trust = Trust::Origin(source.origin);
                Coming::File(Box::new(self.guard.get_to(url, trust, &caps).await?))
            }
        };
        let row = Row {
            file,
            db: self.db.clone(),
        };
        let mut writer = self.store.begin(&key(file), Arc::new(row)).await?;
        let written = async {
            let written = coming.write(&mut writer).await?;
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
            Coming::File(_) => {
                let place = (key(file), written.bytes);
                measure::kept(&self.store, place, written.content_type).await?
            }
            Coming::Text(_) => Measures::unknown(written.content_type),
        };
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
            Self::Text(text) => {
                let mut hash = Sha256::new();
                hash.update(text.as_bytes());
                writer.write(text.as_bytes()).await?;
                Ok(Written {
                    content_type: measure::JSON,
                    bytes: u64::try_from(text.len()).unwrap_or(u64::MAX),
                    sha256: hex(hash),
                })
            }
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

/// Writes a file as it comes; only what we know is worth keeping.
async fn write(download: &mut Download, writer: &mut Writer) -> Result<Written, Error> {
    let (mut hash, mut bytes, mut head) = (Sha256::new(), 0_u64, Vec::new());
    while let Some(part) = download.next().await.transpose()? {
        hash.update(&part);
        bytes = bytes.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
        head.extend(part.iter().take(HEAD_BYTES.saturating_sub(head.len())));
        writer.write(&part).await?;
    }
    Ok(Written {
        content_type: measure::content_type(&head).ok_or(Error::NotAnOutput)?,
        bytes,
        sha256: hex(hash),
    })
}

/// A hash as it is written.
pub(crate) fn hex(hash: Sha256) -> String {
    let hash = hash.finalize();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn key((task, number): (TaskId, u32)) -> String {
    format!("{task}/{number}")
}
