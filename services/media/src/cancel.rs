//! Cancelling a task: possible until a provider was asked, where its model allows it.

use domain::{Caller, TaskId, catalogue::Cancel};
use proto::{Fault, code};

use crate::{
    Error, Media, read,
    state::State,
    task::{Output, Task},
};

/// Cancels a task and answers how it stands then.
pub(crate) async fn cancel(
    media: &Media,
    caller: &Caller,
    id: TaskId,
) -> Result<(Task, Vec<Output>), Error> {
    let (task, _) = read::get(media, caller, id).await?;
    let model = media.catalogue.find(&task.model);
    if model.is_some_and(|model| model.cancel == Cancel::Never) {
        let why = format!("tasks of {} cannot be cancelled", task.model);
        return Err(Fault::new(code::NOT_CANCELLABLE, why).into());
    }
    if task.state == State::Queued && media.withdraw(task).await? {
        return read::get(media, caller, id).await;
    }
    let (task, _) = read::get(media, caller, id).await?;
    let why = if task.state.is_terminal() {
        format!("the task has ended: it is {}", task.state.public())
    } else {
        "a provider has started the task and cannot cancel it; it is charged only if it succeeds"
            .to_owned()
    };
    Err(Fault::new(code::NOT_CANCELLABLE, why).into())
}
