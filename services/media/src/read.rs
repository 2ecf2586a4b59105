//! Looking at a task, for its own customer alone: another's task does not exist.

use domain::{Caller, TaskId};
use proto::{Fault, code};

use crate::{
    Error, Media,
    store::{self, attempt::Run},
    task::{Output, Task},
};

/// A task and its files.
pub(crate) async fn get(
    media: &Media,
    caller: &Caller,
    id: TaskId,
) -> Result<(Task, Vec<Output>), Error> {
    let sealer = media.secrets.content();
    let task = store::task::get(media.db.reader(), id, sealer);
    let task = media
        .db
        .read(task)
        .await?
        .filter(|task| {
            Media::is_visible(task) && task.account == caller.account && task.mode == caller.mode
        })
        .ok_or_else(|| not_found(id))?;
    let outputs = outputs(media, id).await?;
    Ok((task, outputs))
}

/// Whom a task was tried with so far, in order.
pub(crate) async fn runs(media: &Media, caller: &Caller, id: TaskId) -> Result<Vec<Run>, Error> {
    get(media, caller, id).await?;
    let runs = store::attempt::of_task(media.db.reader(), id);
    media.db.read(runs).await
}

/// One file of a task. Without a caller, a signed link was the permission.
pub(crate) async fn output(
    media: &Media,
    caller: Option<&Caller>,
    id: TaskId,
    number: u32,
) -> Result<Output, Error> {
    let outputs = match caller {
        Some(caller) => get(media, caller, id).await?.1,
        None => outputs(media, id).await?,
    };
    let found = outputs.into_iter().find(|output| output.number == number);
    found.ok_or_else(|| no_file(id, number))
}

/// Deletes one file of a task, and answers how the task stands then. It is gone once that is written down; bytes that cannot be deleted
/// now, a sweep deletes.
pub(crate) async fn delete_output(
    media: &Media,
    caller: &Caller,
    (id, number): (TaskId, u32),
) -> Result<(Task, Vec<Output>), Error> {
    output(media, Some(caller), id, number).await?;
    let now = media.db.now_micros();
    let gone: Result<bool, Error> = media
        .db
        .write(move |connection| Box::pin(store::output::let_go(connection, id, number, now)))
        .await;
    if !gone? {
        return Err(no_file(id, number));
    }
    if let Err(failure) = media.kept.outputs.clear(id, number).await {
        tracing::warn!(task.id = %id, number, error = %chassis::telemetry::causes(&failure), "an output's bytes wait for the sweep");
    }
    let (task, outputs) = get(media, caller, id).await?;
    media.show(&task, &outputs).await;
    Ok((task, outputs))
}

/// Those that are kept still.
async fn outputs(media: &Media, id: TaskId) -> Result<Vec<Output>, Error> {
    let sealer = media.secrets.content();
    let outputs = store::output::of_task(media.db.reader(), id, sealer);
    let mut outputs = media.db.read(outputs).await?;
    let now = media.db.now_micros();
    outputs.retain(|output| output.expires_at > now);
    Ok(outputs)
}

fn no_file(id: TaskId, number: u32) -> Error {
    let message = format!(
        "{id} has no file {number}: it may not have ended, or its files are kept no longer"
    );
    Fault::new(code::NOT_FOUND, message).into()
}

/// The same words for an unknown task and for another's.
fn not_found(id: TaskId) -> Error {
    Fault::new(code::NOT_FOUND, format!("no task {id} for this key")).into()
}
