//! Every change of a task that was written down is a move: what it was, what it becomes, and all that is true with it, in one
//! transaction. A move whose task was moved or taken by somebody else meanwhile changes nothing.

use chassis::telemetry::causes;
use db::outbox::{self, NewRow};
use live::{TaskSnapshot, Terminal};
use tracing::warn;

use crate::{
    Error, Media,
    state::{Event, State},
    store::{self, attempt::Outcome},
    task::{Output, Task},
};

/// One change of a task.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    before: Task,
    /// What it becomes. Change its fields before the move is made; state and version are decided.
    pub(crate) after: Task,
    /// How its latest run at a provider stands now, unless that stays as it is.
    pub(crate) outcome: Option<Outcome>,
    /// The files it made.
    pub(crate) files: Vec<Output>,
    /// What must be told to others.
    pub(crate) tell: Vec<NewRow>,
}

// === impl Move ===

impl Move {
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
        change(&mut after);
        Self {
            before,
            after,
            outcome: None,
            files: Vec::new(),
            tell: Vec::new(),
        }
    }
}

impl Media {
    /// Makes a move. `false`: somebody else moved or took the task, and nothing was changed.
    pub(crate) async fn make(&self, change: Move) -> Result<bool, Error> {
        let sealer = self.secrets.content().clone();
        let (after, files) = (change.after.clone(), change.files.clone());
        let ring = !change.tell.is_empty();
        let made: bool = self
            .db
            .write(move |connection| {
                Box::pin(async move {
                    let Move {
                        before,
                        after,
                        outcome,
                        files,
                        tell,
                    } = change;
                    if !store::task::save(connection, &before, &after, &sealer).await? {
                        return Ok(false);
                    }
                    if let Some(outcome) = outcome {
                        store::attempt::note(connection, &after, outcome).await?;
                    }
                    for file in &files {
                        store::output::insert(connection, after.id, file).await?;
                    }
                    for row in tell {
                        outbox::enqueue(connection, row).await?;
                    }
                    Ok::<_, Error>(true)
                })
            })
            .await?;
        if made {
            if ring {
                self.relay.ring();
            }
            self.show(&after, &files).await;
        }
        Ok(made)
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
