//! Every change of a task that was written down is a move: what it was, what it becomes, and all that is true with it, in one
//! transaction. A move whose task was moved or taken by somebody else meanwhile changes nothing.
//!
//! What a worker found out (a provider took the job, the files are here) must not be lost because the database is away for a while:
//! whoever has taken a task tries until its move is made or the task is another one's.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use chassis::{
    failpoint::{Point, reach},
    secrets::Sealer,
    telemetry::causes,
};
use db::outbox::{self, NewRow};
use live::{TaskSnapshot, Terminal};
use sqlx::AnyConnection;
use tracing::{debug, warn};

use crate::{
    Error, Media,
    state::{Event, State},
    store::{self, attempt::Finding, operator::Intervention},
    task::{Output, Task},
};

/// One change of a task.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    before: Task,
    /// What it becomes. Change its fields before the move is made; state and version are decided.
    pub(crate) after: Task,
    /// What was found out about its latest run at a provider.
    pub(crate) run: Option<Finding>,
    /// The files it made.
    pub(crate) files: Vec<Output>,
    /// What must be told to others.
    pub(crate) tell: Vec<NewRow>,
    /// Which operator makes it, if one does.
    pub(crate) by: Option<Intervention>,
}

/// Waits that double.
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
}

// === impl Backoff ===

impl Backoff {
    /// How long to wait now.
    pub(crate) fn next(&mut self) -> Duration {
        let now = self.next.min(self.longest);
        self.next = now.saturating_mul(2);
        now
    }
}

// === impl Move ===

impl Move {
    /// Writes everything that is true with the move, or nothing. `false`: the task was not as it was before.
    async fn write(
        self,
        connection: &mut AnyConnection,
        sealer: Sealer,
        now: i64,
    ) -> Result<bool, Error> {
        if !store::task::save(connection, &self.before, &self.after, &sealer).await? {
            return Ok(false);
        }
        if self.after.state.is_terminal() {
            reach(Point::MediaMidEnd);
        }
        if let Some(finding) = self.run {
            let run = (self.before.id, self.before.attempts);
            let job = self.after.job.as_deref();
            store::attempt::note(connection, run, job, finding).await?;
        }
        for file in &self.files {
            store::output::insert(connection, &self.after, file, &sealer).await?;
        }
        match self.after.state {
            State::Completed => store::coming::settle(connection, self.after.id).await?,
            State::Failed => store::coming::release(connection, self.after.id).await?,
            State::Reserving | State::Queued | State::Starting | State::Running => {}
        }
        if let Some(by) = &self.by {
            store::operator::note(connection, self.after.id, by).await?;
        }
        for row in self.tell {
            outbox::enqueue(connection, row, now).await?;
        }
        Ok(true)
    }

    /// The task as it was.
    pub(crate) const fn before(&self) -> &Task {
        &self.before
    }

    /// The task as it is after an event; `None` when the event comes too late or too early.
    pub(crate) fn of(before: Task, event: Event) -> Option<Self> {
        let state = before.state.apply(event)?;
        Some(Self::seen(before, |task| task.state = state))
    }

    /// A change that customers can see and that leaves the state as it is.
    pub(crate) fn seen(before: Task, change: impl FnOnce(&mut Task)) -> Self {
        let mut this = Self::unseen(before, change);
        this.after.version = this.after.version.saturating_add(1);
        this
    }

    /// A change that customers cannot see.
    pub(crate) fn unseen(before: Task, change: impl FnOnce(&mut Task)) -> Self {
        let mut after = before.clone();
        // Whoever has found something out lets go of the task, unless it goes on.
        after.lease_until = 0;
        change(&mut after);
        Self {
            before,
            after,
            run: None,
            files: Vec::new(),
            tell: Vec::new(),
            by: None,
        }
    }
}

impl Media {
    /// Makes a move. `false`: somebody else moved or took the task, and nothing was changed. For whoever has taken the task this
    /// waits while the database is away.
    pub(crate) async fn make(&self, change: Move) -> Result<bool, Error> {
        // One that is about to be accepted is nobody's, but its price is held already.
        let patient = change.before.lease_until > 0 || change.before.state == State::Reserving;
        let made = if patient {
            Box::pin(self.make_sure(&change)).await?
        } else {
            Box::pin(self.try_to_make(&change)).await?
        };
        if made {
            if !change.tell.is_empty() {
                self.relay.ring();
            }
            Box::pin(self.keep_pace(&change.before, &change.after)).await;
            self.show(&change.after, &change.files).await;
        } else {
            debug!(task.id = %change.after.id, "a move came too late: the task is another one's, or over");
        }
        Ok(made)
    }

    async fn make_sure(&self, change: &Move) -> Result<bool, Error> {
        let tries = AtomicU32::new(0);
        let made = self.patiently("make a move", || {
            tries.fetch_add(1, Ordering::Relaxed);
            self.try_to_make(change)
        });
        if made.await? {
            return Ok(true);
        }
        if change.before.state == State::Reserving {
            // Nobody else accepts a task; but once it is accepted, others take it at once and move it on.
            let accepted = || {
                let accepted = store::task::is_accepted(self.db.reader(), change.after.id);
                self.db.read(accepted)
            };
            return self
                .patiently("look whether a task is accepted", accepted)
                .await;
        }
        if tries.into_inner() == 1 {
            return Ok(false);
        }
        // An earlier try may have been made, and only its answer lost.
        let stands = || {
            let stands = store::task::stands(self.db.reader(), &change.after);
            self.db.read(stands)
        };
        self.patiently("look how a move ended", stands).await
    }

    async fn try_to_make(&self, change: &Move) -> Result<bool, Error> {
        let (change, sealer) = (change.clone(), self.secrets.content().clone());
        let now = self.db.now_micros();
        self.db
            .write(move |connection| Box::pin(change.write(connection, sealer, now)))
            .await
    }

    /// Tries again, later each time, as long as the database is away. `work` may be done twice.
    pub(crate) async fn patiently<T, F>(
        &self,
        what: &'static str,
        work: impl Fn() -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut backoff = self.backoff();
        loop {
            match work().await {
                Err(Error::Database(failure)) if failure.is_retriable() => {
                    warn!(error = %causes(&failure), what, "the database is away; trying again");
                    tokio::time::sleep(backoff.next()).await;
                }
                done => return done,
            }
        }
    }

    /// The waits between tries while the database is away.
    pub(crate) fn backoff(&self) -> Backoff {
        Backoff {
            next: self.config.tick,
            longest: self.config.max_backoff,
        }
    }

    /// Shows how a task stands to those who look. What is lost here, they read from SQL.
    pub(crate) async fn show(&self, task: &Task, outputs: &[Output]) {
        let shown = match self.snapshot(task, outputs) {
            Ok(snapshot) => self
                .peers
                .live
                .put_task(snapshot)
                .await
                .map(drop)
                .map_err(|error| causes(&error).to_string()),
            Err(error) => Err(causes(&error).to_string()),
        };
        if let Err(error) = shown {
            warn!(task.id = %task.id, error, "cannot show how a task stands");
        }
    }

    /// How a task stands, for those who look.
    pub(crate) fn snapshot(&self, task: &Task, outputs: &[Output]) -> Result<TaskSnapshot, Error> {
        Ok(TaskSnapshot {
            task: task.id,
            account: task.account,
            mode: task.mode,
            version: task.version,
            terminal: if task.state.is_terminal() {
                Terminal::Ended
            } else {
                Terminal::Open
            },
            view: self.viewer.view(task, outputs)?.into(),
        })
    }

    /// A task that was not accepted is nobody's to see.
    pub(crate) fn is_visible(task: &Task) -> bool {
        task.state != State::Reserving
    }
}
