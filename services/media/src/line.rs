//! Tasks that wait for room at their providers. They stand in lines, one for each choice of providers; from a line the accounts are
//! served one after another, and the tasks of each in the order of their coming. Room is taken before a task is, so that one that finds
//! none stays queued, and nothing of it is written. What a line costs does not depend on how many stand in it.
//!
//! Any number of processes serve the lines. Two that look at once find the same tasks: both take one slot, which is called by the
//! task's id, and one of them the task.

use std::{collections::HashMap, time::Duration};

use domain::{AccountId, TaskId};
use tracing::info_span;

use crate::{
    Error, Media,
    store::{
        claim,
        line::{self as table, Ending},
    },
    task::Task,
    worker::Worker,
};

/// Tasks taken out of one line at once.
const AT_ONCE: u32 = 32;
/// How often it is looked whether other processes have put somebody in a line, where nobody stands.
const EMPTY: Duration = Duration::from_secs(1);

/// Starts the loop.
pub(crate) fn start(worker: &Worker) {
    let (worker, tasks) = (worker.clone(), worker.tasks.clone());
    tasks.spawn_loop(info_span!("lines"), move || {
        let worker = worker.clone();
        async move {
            let (served, pause) = (HashMap::new(), Duration::ZERO);
            let server = Server {
                worker,
                served,
                pause,
            };
            server.serve().await;
        }
    });
}

/// Serves the lines.
struct Server {
    worker: Worker,
    /// The account of each line that was served last.
    served: HashMap<String, AccountId>,
    /// Until the next look when there is no news: shorter as long as somebody stands in a line, since room that other processes give
    /// back is no news here.
    pause: Duration,
}

// === impl Server ===

impl Server {
    async fn serve(mut self) {
        let (media, tasks) = (self.worker.media.clone(), self.worker.tasks.clone());
        let mut backoff = media.backoff();
        while !tasks.is_stopping() {
            match self.serve_all().await {
                Ok(0) => backoff = media.backoff(),
                // There may be more, and more room.
                Ok(_) => continue,
                Err(failure) => {
                    self.worker.pause(&failure, &mut backoff).await;
                    continue;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(self.pause) => {}
                () = media.peers.pace.news() => {}
                () = tasks.stopping() => {}
            }
        }
    }

    /// Says how many tasks were taken.
    async fn serve_all(&mut self) -> Result<usize, Error> {
        let db = &self.worker.media.db;
        let lines = db.read(table::lines(db.reader())).await?;
        let config = &self.worker.media.config;
        self.pause = if lines.is_empty() { EMPTY } else { config.tick };
        self.served.retain(|line, _| lines.contains(line));
        let mut count = 0_usize;
        for line in lines {
            // Mostly a line is full: then its first task alone is looked at, and one step is kept for it.
            let first = self.serve_line(&line, 1).await?;
            count = count.saturating_add(first);
            if first > 0 {
                count = count.saturating_add(self.serve_line(&line, AT_ONCE).await?);
            }
        }
        Ok(count)
    }

    /// Takes up to so many tasks of a line.
    async fn serve_line(&mut self, line: &str, most: u32) -> Result<usize, Error> {
        let media = &self.worker.media;
        let steps = self.worker.free_steps(most).await?;
        let behind = self.served.get(line).copied();
        let mut ready = Vec::new();
        let (turns, last) = turns(media, line, behind, steps.len()).await?;
        if let (true, Some(last)) = (turns.is_empty(), last) {
            // All that these have must still wait: the next look is at those behind them.
            self.served.insert(line.to_owned(), last);
        }
        for (account, next) in turns {
            if !media.make_room(line, next).await {
                break;
            }
            self.served.insert(line.to_owned(), account);
            ready.push(next.task);
        }
        if ready.is_empty() {
            return Ok(0);
        }
        let mut taken = take(media, ready.clone()).await;
        let is_taken = |id: &TaskId| {
            let mut taken = taken.iter().flatten();
            taken.any(|task| task.id == *id)
        };
        let left: Vec<TaskId> = ready.iter().filter(|id| !is_taken(id)).copied().collect();
        // Those that were taken first: whatever fails now, they have somebody.
        let count = taken.as_ref().map_or(0, Vec::len);
        let tasks = taken.as_mut().map(std::mem::take).unwrap_or_default();
        for (task, step) in tasks.into_iter().zip(steps) {
            self.worker.begin(task, step).await;
        }
        for id in left {
            media.leave_room(line, id).await?;
        }
        taken.map(|_| count)
    }
}

/// Up to so many tasks of a line in the order in which they are served: from each account one, then from each the next; and the last
/// account that was looked at.
async fn turns(
    media: &Media,
    line: &str,
    behind: Option<AccountId>,
    count: usize,
) -> Result<(Vec<(AccountId, Ending)>, Option<AccountId>), Error> {
    let (db, now) = (&media.db, media.db.now_micros());
    let limit = i64::try_from(count).unwrap_or(i64::MAX);
    let behind = behind.map(AccountId::to_vec).unwrap_or_default();
    let mut accounts = db
        .read(table::accounts(db.reader(), line, &behind, limit))
        .await?;
    if accounts.len() < count && !behind.is_empty() {
        // From the beginning again, up to where we are.
        let first = db.read(table::accounts(db.reader(), line, &[], limit));
        for account in first.await? {
            if !accounts.contains(&account) {
                accounts.push(account);
            }
        }
    }
    let last = accounts.last().copied();
    let each = count.div_ceil(accounts.len().max(1));
    let each = (now, i64::try_from(each).unwrap_or(i64::MAX));
    let mut rounds: Vec<Vec<(AccountId, Ending)>> = Vec::new();
    for account in accounts {
        let waiting = db.read(table::turns(db.reader(), line, account, each));
        for (round, next) in waiting.await?.into_iter().enumerate() {
            if rounds.len() <= round {
                rounds.push(Vec::new());
            }
            if let Some(round) = rounds.get_mut(round) {
                round.push((account, next));
            }
        }
    }
    let turns = rounds.into_iter().flatten().take(count);
    Ok((turns.collect(), last))
}

/// Takes tasks out of their line, all in one commit.
async fn take(media: &Media, mut ids: Vec<TaskId>) -> Result<Vec<Task>, Error> {
    // In one order in every process, so that no two wait for each other.
    ids.sort_unstable();
    let (lease, sealer) = (media.lease(), media.secrets.content().clone());
    media
        .db
        .write(move |connection| {
            Box::pin(async move {
                let mut taken = Vec::with_capacity(ids.len());
                for id in ids {
                    taken.extend(claim::claim_in_line(connection, id, lease, &sealer).await?);
                }
                Ok(taken)
            })
        })
        .await
}
