//! Use case: what became of the events of a task, for operators. Neither what was told nor where to is in it.

use domain::TaskId;

use crate::{
    Error, Shared,
    store::delivery::{self, Told},
};

/// The deliveries of a task, the oldest first, so many at most.
///
/// # Errors
/// When the database failed.
pub(crate) async fn of_task(shared: &Shared, task: TaskId) -> Result<Vec<Told>, Error> {
    let most = shared.limits.max_told;
    let told = delivery::of_task(shared.db.reader(), task, i64::from(most));
    shared.db.read(told).await
}
