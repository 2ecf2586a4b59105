//! Asking a provider to stop a job: for a customer who cancels its task (`cancel.rs`), for one whose request died before it was passed on
//! (`look.rs`), and because nobody waits for the job any more (`late.rs`). What the provider answers is kept with the run, so that it is
//! asked again by whoever comes next as long as it has not answered, and no longer.

use std::time::Duration;

use domain::TaskId;
use upstream::{Failure, Wait};

use crate::{
    Error, Media,
    execute::{Candidate, ask},
    pace::Call,
    providers::Cancelled,
    store,
    task::Task,
};

/// A job at a provider, and which run of a task it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    pub(crate) task: &'a Task,
    pub(crate) number: i64,
    pub(crate) job: &'a str,
    /// How long its provider may take to answer.
    pub(crate) time: Duration,
}

/// Asks, and keeps the answer. That it may be asked now, [`Media::may_ask`] has said.
pub(crate) async fn ask_to_stop(
    media: &Media,
    run: Run<'_>,
    at: &Candidate<'_>,
) -> Result<Result<Cancelled, Failure>, Error> {
    let asked = at.adapter.cancel(&at.access, run.job);
    match ask(media, "cancel", at.route, in_time(run.time, asked)).await {
        Ok(told) => {
            keep(media, (run.task.id, run.number), told).await?;
            Ok(Ok(told))
        }
        Err(failure) => {
            upstream::report(&at.route.provider, "cancel", &failure);
            media.heed(run.task.mode, &at.route.provider, Call::Look, &failure);
            Ok(Err(failure))
        }
    }
}

/// Somebody waits for the answer to a call.
pub(crate) async fn in_time<T>(
    time: Duration,
    call: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::time::timeout(time, call)
        .await
        .unwrap_or_else(|_| Err(Failure::timed_out(Wait::End)))
}

async fn keep(media: &Media, run: (TaskId, i64), told: Cancelled) -> Result<(), Error> {
    let told = (told, media.db.now_micros());
    media
        .db
        .write(move |connection| {
            Box::pin(async move { store::attempt::answered(connection, run, told).await })
        })
        .await
}
