//! Room for one more open task, of the key that submits it and of its account. Counted in the transaction that writes the task
//! down, before anything is held for it; on PostgreSQL behind a lock of the account, so that no two processes take the last room.

use std::time::Duration;

use domain::{Caller, KeyId};
use proto::{Fault, code};
use sqlx::AnyConnection;

use crate::{
    Error, Media,
    store::{open, output, task::NewTask},
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

/// Refuses a task of an account that keeps as much of what earlier ones made as it may. How much this one will make nobody knows: what is
/// under way comes on top.
pub(crate) async fn for_outputs(media: &Media, caller: &Caller) -> Result<(), Error> {
    let limits = &media.config.outputs;
    if limits.max_files == 0 && limits.max_total_bytes == 0 {
        return Ok(());
    }
    let kept = output::kept(media.db.reader(), (caller.account, caller.mode));
    let (files, bytes) = media.db.read(kept).await?;
    let full = |kept: u64, most: u64| most > 0 && kept >= most;
    if !full(files, limits.max_files) && !full(bytes, limits.max_total_bytes) {
        return Ok(());
    }
    let may = |most: u64, of: &str| (most > 0).then(|| format!("{most} {of}"));
    let may = [
        may(limits.max_files, "files"),
        may(limits.max_total_bytes, "bytes"),
    ];
    let may: Vec<String> = may.into_iter().flatten().collect();
    let message = format!(
        "this account keeps {files} outputs with {bytes} bytes in this mode, and may keep {}: delete some, or wait until some expire",
        may.join(" and ")
    );
    Err(Fault::new(code::OUTPUT_ROOM_FULL, message).into())
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
