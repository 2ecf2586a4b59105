//! The use case: a customer's file comes in. Its room is taken before its bytes come, and they are never all in memory.
//!
//! ```text
//! row 'coming', with its room ─> bytes, beside their place ─> bytes in their place ─> row 'kept' ─> answer
//! ```
//!
//! Whatever breaks this off, the row is there and leads to the bytes: who was at it gives both up, or a sweep, once the time is over that an
//! upload may take.

use std::time::Duration;

use chassis::{clock::micros, telemetry::causes};
use domain::{Caller, FileId};
use futures::{Stream, StreamExt as _};
use prost::bytes::Bytes;
use proto::{Fault, code};
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;
use tracing::warn;

use crate::{
    Error, Media,
    config::FileLimits,
    files::{self, File},
    kind::{self, Look, TEXT},
    measure::{self, Measures},
    outputs::hex,
    retention,
    storage::Writer,
    store::upload::{self as table, Coming, Room},
};

/// The shortest time that a file may be kept for, in seconds, as OpenAI has it.
const SHORTEST_LIFE: u64 = 3600;
/// The field that says for how long.
const EXPIRES_AFTER: &str = "expires_after[seconds]";
/// The field that the file is.
const FILE: &str = "file";

/// What comes first.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) caller: Caller,
    pub(crate) id: FileId,
    pub(crate) filename: String,
    /// It has no more bytes than that, if this is known.
    pub(crate) most_bytes: Option<u64>,
}

/// What comes then.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    Data(Bytes),
    End(End),
}

/// What comes last.
#[derive(Clone, Debug)]
pub(crate) struct End {
    pub(crate) purpose: String,
    pub(crate) life: Life,
}

/// How long a file is to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// As long as files are.
    Usual,
    /// As briefly as a file can be: one request alone wants it.
    Brief,
    /// So many seconds.
    Seconds(u64),
}

/// What is known of bytes that are in their place.
struct Written {
    content_type: &'static str,
    /// As what it is measured; `None`: there is nothing to measure.
    readable: Option<&'static str>,
    bytes: u64,
    sha256: String,
    end: End,
}

/// Takes a file in.
///
/// # Errors
/// No room, too many bytes, a type that is not taken, an end that does not come.
pub(crate) async fn upload<S>(media: &Media, head: Head, pieces: S) -> Result<File, Error>
where
    S: Stream<Item = Result<Piece, Error>> + Send + Unpin,
{
    let _place = media.kept.uploads.place((&head.caller).into())?;
    let coming = expect(media, head).await?;
    let taken = take(media, &coming, pieces).await;
    if taken.is_err() {
        // A keep whose outcome is unknown stands as it is: its row is not 'coming' any more, or will be swept.
        give_up(media, coming.id).await;
    }
    taken
}

/// Writes down that a file is coming.
async fn expect(media: &Media, head: Head) -> Result<Coming, Error> {
    let limits = &media.kept.uploads.limits;
    let now = media.db.now_micros();
    let longest = limits.coming.timeout.saturating_add(media.config.lease);
    let coming = Coming {
        id: head.id,
        owner: (&head.caller).into(),
        filename: head.filename,
        most_bytes: head.most_bytes.unwrap_or(u64::MAX).min(limits.max_bytes),
        created_at: now,
        due_at: now.saturating_add(micros(longest)),
    };
    let room = Room {
        files: limits.max_files,
        bytes: limits.max_total_bytes,
    };
    let (sealer, new) = (media.secrets.content().clone(), coming.clone());
    let has_room: Result<bool, Error> = media
        .db
        .write(move |connection| {
            Box::pin(async move { table::insert(connection, &new, room, &sealer).await })
        })
        .await;
    if has_room? {
        return Ok(coming);
    }
    let message = format!(
        "this account may keep {} files and {} bytes of them in a mode, and this one is more: delete some, or wait until some expire",
        room.files, room.bytes
    );
    Err(Fault::new(code::FILE_ROOM_FULL, message).into())
}

async fn take<S>(media: &Media, coming: &Coming, pieces: S) -> Result<File, Error>
where
    S: Stream<Item = Result<Piece, Error>> + Send + Unpin,
{
    let mut writer = media.kept.uploads.begin(coming.id).await?;
    let limits = &media.kept.uploads.limits;
    let written = timeout(
        limits.coming.timeout,
        write(limits, coming, pieces, &mut writer),
    )
    .await;
    let written = written.unwrap_or_else(|_elapsed| Err(too_slow(limits)));
    let longest = retention::of_uploads(media, coming.owner.account).await;
    let whole = written.and_then(|written| {
        let life = life(longest?, &written.end)?;
        Ok((written, life))
    });
    let (written, life) = match whole {
        Ok(whole) => whole,
        Err(error) => {
            writer.abort().await?;
            return Err(error);
        }
    };
    // Nothing gives this up: the bytes would come to their place when nobody expects them there.
    writer.finish().await?;
    let measures = measured(media, coming.id, &written).await;
    let file = File {
        id: coming.id,
        filename: coming.filename.clone(),
        purpose: written.end.purpose,
        content_type: written.content_type.to_owned(),
        bytes: written.bytes,
        sha256: written.sha256,
        size: measures.and_then(|measures| measures.size),
        millis: measures.and_then(|measures| measures.millis),
        created_at: coming.created_at,
        expires_at: coming.created_at.saturating_add(life),
    };
    let (coming, kept) = (coming.clone(), file.clone());
    let kept: Result<bool, Error> = media
        .db
        .write(move |connection| {
            Box::pin(async move { table::keep(connection, &coming, &kept).await })
        })
        .await;
    if kept? {
        media.metrics.uploads.inc();
        Ok(file)
    } else {
        Err(too_slow(&media.kept.uploads.limits))
    }
}

/// How large and how long a file is that is in its place, as far as that can be told now: its customer has sent all of it.
async fn measured(media: &Media, id: FileId, written: &Written) -> Option<Measures> {
    let about = (written.readable?, written.bytes);
    match media.kept.uploads.measure(id, about).await {
        Ok(measures) => Some(measures),
        Err(failure) => {
            warn!(file.id = %id, error = %causes(&failure), "a file is kept without its measures");
            None
        }
    }
}

/// Writes the bytes as they come, beside their place.
async fn write<S>(
    limits: &FileLimits,
    coming: &Coming,
    mut pieces: S,
    writer: &mut Writer,
) -> Result<Written, Error>
where
    S: Stream<Item = Result<Piece, Error>> + Send + Unpin,
{
    let (mut hash, mut look, mut bytes) = (Sha256::new(), Look::default(), 0_u64);
    let end = loop {
        let data = match pieces.next().await.transpose()? {
            Some(Piece::Data(data)) => data,
            Some(Piece::End(end)) => break end,
            None => return Err(cut()),
        };
        bytes = bytes.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        if bytes > coming.most_bytes {
            return Err(too_large(limits));
        }
        let was_open = look.early().is_none();
        look.at(&data);
        if let Some(kind) = look.early().filter(|_| was_open) {
            check_kind(kind, limits)?;
        }
        hash.update(&data);
        writer.write(&data).await?;
    };
    if bytes == 0 {
        return Err(invalid(FILE, "not be empty"));
    }
    let content_type = look.whole();
    check_kind(content_type, limits)?;
    Ok(Written {
        content_type,
        readable: measure::readable(look.head()).filter(|_| content_type != TEXT),
        bytes,
        sha256: hex(hash),
        end,
    })
}

/// Deletes what came of a file that is not kept. What cannot be deleted now, the sweep deletes.
async fn give_up(media: &Media, id: FileId) {
    let given_up: Result<(), Error> = media
        .db
        .write(move |connection| Box::pin(table::give_up(connection, id)))
        .await;
    let cleared = match given_up {
        // Where the row is kept after all, its bytes are.
        Ok(()) => clear_if_going(media, id).await,
        Err(failure) => Err(failure),
    };
    if let Err(failure) = cleared {
        warn!(file.id = %id, error = %causes(&failure), "what came of a file waits for the sweep");
    }
}

async fn clear_if_going(media: &Media, id: FileId) -> Result<(), Error> {
    let kept = table::is_kept(media.db.reader(), id);
    if media.db.read(kept).await? {
        return Ok(());
    }
    files::clear(media, id).await
}

fn check_kind(kind: &str, limits: &FileLimits) -> Result<(), Error> {
    if kind::is_among(kind, &limits.content_types) {
        return Ok(());
    }
    let allowed = limits.content_types.join(", ");
    let allowed = format!("be of one of the types {allowed}: by its bytes it is {kind}");
    Err(invalid(FILE, &allowed))
}

/// How long a file is kept, in microseconds, where files are kept so long at most.
fn life(longest: Duration, end: &End) -> Result<i64, Error> {
    let most = longest.as_secs();
    let shortest = SHORTEST_LIFE.min(most);
    match end.life {
        Life::Seconds(seconds) if seconds > most || seconds < shortest => {
            let allowed = format!("be from {shortest} to {most}");
            Err(invalid(EXPIRES_AFTER, &allowed))
        }
        Life::Seconds(seconds) => Ok(micros(Duration::from_secs(seconds))),
        Life::Brief => Ok(micros(Duration::from_secs(shortest))),
        Life::Usual => Ok(micros(longest)),
    }
}

fn invalid(param: &str, allowed: &str) -> Error {
    let message = format!("{param} must {allowed}");
    Fault::new(code::INVALID_PARAMETER, message)
        .param(param)
        .into()
}

fn too_large(limits: &FileLimits) -> Error {
    let message = format!("a file may have {} bytes", limits.max_bytes);
    Fault::new(code::BODY_TOO_LARGE, message).param(FILE).into()
}

fn too_slow(limits: &FileLimits) -> Error {
    let seconds = limits.coming.timeout.as_secs();
    let message = format!("the file did not come within {seconds} seconds");
    Fault::new(code::REQUEST_TIMEOUT, message).into()
}

/// Nobody is there to read this, mostly.
pub(crate) fn cut() -> Error {
    let message = "the file's bytes ended before all of them had come";
    Fault::new(code::INVALID_PARAMETER, message)
        .param(FILE)
        .into()
}
