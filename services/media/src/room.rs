//! Room for one more open task, of the key that submits it and of its account. Counted in the transaction that writes the task
//! down, before anything is held for it; on PostgreSQL behind a lock of the account, so that no two processes take the last room.

use std::time::Duration;

use domain::KeyId;
use proto::{Fault, code};
use sqlx::AnyConnection;

use crate::{
    Error, Media,
    store::{open, task::NewTask},
    submit::Submission,
};

/// When to come again: nobody knows when one of the open tasks ends.
const OPEN_TASKS_WAIT: Duration = Duration::from_secs(1);

/// How many tasks may be open at once; 0: as many as you like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) key: u32,
    pub(crate) account: u32,
}

/// The room that a submission is given.
pub(crate) fn of(media: &Media, submission: &Submission) -> Room {
    Room {
        key: submission.max_open_tasks,
        account: media.config.submit.max_open_tasks,
    }
}

/// Keeps other submits of the account waiting until this one is written down, where there is only so much room. Before anything is
/// looked for: a repeat that waits here finds its first.
pub(crate) async fn wait(connection: &mut AnyConnection, new: &NewTask) -> Result<(), Error> {
    if new.room != Room::default() {
        open::lock(connection, &new.task).await?;
    }
    Ok(())
}

/// Refuses a task for which there is no room.
pub(crate) async fn check(connection: &mut AnyConnection, new: &NewTask) -> Result<(), Error> {
    let limits: [(&str, u32, Option<KeyId>); 2] = [
        ("this key", new.room.key, new.key),
        ("this account", new.room.account, None),
    ];
    for (whose, most, key) in limits {
        if most > 0 && open::beside(connection, &new.task, key, most).await? >= most {
            let message = format!("{whose} may have {most} tasks open at once, and has them");
            return Err(Fault::new(code::TOO_MANY_OPEN_TASKS, message)
                .retry_after(OPEN_TASKS_WAIT)
                .into());
        }
    }
    Ok(())
}
