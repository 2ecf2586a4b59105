//! What a provider has made is fetched and kept: only then is the task a success.

use std::time::Duration;

use chassis::telemetry::causes;
use domain::charge::Ending;
use proto::code;
use tokio::time::Instant;
use tracing::{error, warn};
use upstream::{EgressError, Trust};

use super::look_failed;
use crate::{
    Error, Media,
    finish::Failed,
    heard,
    outputs::{Place, Source},
    providers::Cost,
    state::State,
    store::{
        self,
        attempt::{Finding, Outcome},
    },
    task::{About, Output, Task},
};

/// What a provider answers for a file that is not there, and after how many such answers in a row it never will be.
const GONE: [u16; 3] = [403, 404, 410];
const GONE_AFTER: i64 = 5;

/// What a provider has made.
pub(crate) struct Made<'a> {
    /// Where they are.
    pub(crate) files: Vec<Place<'a>>,
    /// What it knows of them.
    pub(crate) about: Vec<About>,
    /// What it says it billed.
    pub(crate) cost: Option<Cost>,
    /// How long at least what it heard lasts, where its text does not say it.
    pub(crate) lasts: Duration,
    /// Where the provider is, and what it is shown for a file.
    pub(crate) trust: Trust<'a>,
}

/// What became of a file.
enum Kept {
    /// It is ours.
    File(Box<Output>),
    /// It only belongs to another, and the task is what was paid for without it.
    LeftOut,
    /// It cannot be kept.
    Never,
    /// It may be kept later.
    NotYet,
}

/// Fetches what the provider made, as far as one task may keep files and until its deadline; only then is the task a success.
pub(crate) async fn store_outputs(media: &Media, task: Task, made: Made<'_>) -> Result<(), Error> {
    if let Some(why) = heard::longer(media, &task, &made) {
        return heard::waste(media, task, why, &made).await;
    }
    let (count, bounds) = (made.files.len(), &media.config.outputs);
    if count > bounds.max_files_per_task {
        error!(task.id = %task.id, count, "a provider made more files than a task may keep");
        return unusable(media, task, &[], made.cost).await;
    }
    let is_transparent = is_transparent(media, &task);
    let mut outputs: Vec<Output> = Vec::with_capacity(count);
    let (mut about, mut bytes) = (made.about.into_iter(), bounds.max_bytes_per_task);
    for (number, place) in (0_u32..).zip(made.files) {
        let left = task.deadline_at.saturating_sub(media.db.now_micros());
        let source = Source {
            task: task.id,
            claims: task.claims,
            number,
            place,
            is_transparent,
            trust: made.trust,
            bytes,
            time: Duration::from_micros(u64::try_from(left).unwrap_or_default()),
        };
        match keep(media, &task, source, about.next()).await {
            Kept::File(output) => {
                bytes = bytes.saturating_sub(output.bytes);
                outputs.push(*output);
            }
            Kept::LeftOut => {}
            Kept::Never => return unusable(media, task, &outputs, made.cost).await,
            Kept::NotYet => return look_failed(media, task, None).await,
        }
    }
    let id = task.id;
    if !Box::pin(media.complete(task, outputs, made.cost)).await? {
        drop_orphans(media, id, count).await?;
    }
    Ok(())
}

/// Whether what was asked for stands on nothing: a file that cannot show it is not what the customer pays for.
fn is_transparent(media: &Media, task: &Task) -> bool {
    let model = media.catalogue.find(&task.model);
    model.is_some_and(|model| model.is_transparent(&task.parameters()))
}

/// What a provider made cannot be kept: it may have billed it all the same.
async fn unusable(
    media: &Media,
    task: Task,
    outputs: &[Output],
    cost: Option<Cost>,
) -> Result<(), Error> {
    let (id, why) = (
        task.id,
        Failed::of(Ending::OutputUnusable, code::UPSTREAM_FAILED),
    );
    let found = Finding {
        outcome: Some(Outcome::Failed),
        cost,
        ..Finding::default()
    };
    // If it has ended otherwise meanwhile, files of the same names may belong to that end.
    if Box::pin(media.fail(task, why, found)).await? {
        for kept in outputs {
            media.kept.outputs.delete(id, kept.number).await?;
        }
    }
    Ok(())
}

/// Fetches one file.
async fn keep(media: &Media, task: &Task, source: Source<'_>, about: Option<About>) -> Kept {
    let kept = match source.place {
        Place::Url(_) => media.kept.outputs.keep(source, media.db.now_micros()).await,
        Place::Text(_) | Place::Base64(_) => keep_answered(media, source).await,
    };
    let error = match kept {
        Ok(output) => return Kept::File(Box::new(Output { about, ..output })),
        Err(error) => error,
    };
    let (is_final, is_part) = (
        is_final(&error, task),
        about.is_some_and(|about| about.is_part),
    );
    if is_final && !is_part {
        error!(task.id = %task.id, error = %causes(&error), "an output cannot be kept");
    } else {
        warn!(task.id = %task.id, is_part, error = %causes(&error), "cannot keep an output");
    }
    // What only belongs to a file is waited for once.
    if is_part && (is_final || task.poll_failures > 0) {
        Kept::LeftOut
    } else if is_final {
        Kept::Never
    } else {
        Kept::NotYet
    }
}

/// Keeps what came inside of an answer, which no later look could ask for again: tries as long as its task has time.
async fn keep_answered(media: &Media, source: Source<'_>) -> Result<Output, Error> {
    let (since, mut backoff) = (Instant::now(), media.backoff());
    loop {
        let error = match media.kept.outputs.keep(source, media.db.now_micros()).await {
            Ok(output) => return Ok(output),
            Err(error) => error,
        };
        let may_pass = matches!(
            error,
            Error::Database(_) | Error::Store(_) | Error::Directory(..)
        );
        if !may_pass || since.elapsed() >= source.time {
            return Err(error);
        }
        warn!(task.id = %source.task, error = %causes(&error), "cannot keep what was answered; trying again");
        tokio::time::sleep(backoff.next()).await;
    }
}

/// Whether a file can never be kept: it is none that we keep, it is too large or out of bounds, or its provider keeps saying that it is not
/// there, which in the first moments may only mean that it is not everywhere yet.
fn is_final(error: &Error, task: &Task) -> bool {
    let is_gone = |status: u16| GONE.contains(&status) && task.poll_failures >= GONE_AFTER;
    matches!(
        error,
        Error::NotAnOutput(_)
            | Error::Fetch(EgressError::TooLarge { .. } | EgressError::Refused(_))
    ) || matches!(error, Error::Fetch(EgressError::Status { status }) if is_gone(status.as_u16()))
}

/// Files of a task that failed meanwhile belong to nobody.
async fn drop_orphans(media: &Media, task: domain::TaskId, count: usize) -> Result<(), Error> {
    let look = || {
        let found = store::task::get(media.db.reader(), task, media.secrets.content());
        media.db.read(found)
    };
    let now = media.patiently("look for orphans", look).await?;
    if now.is_some_and(|task| task.state == State::Failed) {
        for (number, _) in (0_u32..).zip(0..count) {
            media.kept.outputs.delete(task, number).await?;
        }
    }
    Ok(())
}
