//! The end of a task, whichever: one transaction for its state, its files, its run, and what others are told.

use chassis::clock::now_micros;
use db::outbox;
use domain::Micros;
use live::{TaskSnapshot, Terminal};
use proto::Code;
use tracing::{info, warn};

use crate::{
    Error, Media,
    metrics::Ending,
    state::{Event, State},
    store::{self, attempt::Outcome},
    task::{Output, Task, TaskError},
    tell,
};

/// Who may end the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Only {
    /// Whoever comes first.
    First,
    /// Whoever comes first, while no worker has touched it.
    WhileQueued,
}

impl Media {
    /// The task succeeded: its files are stored. Charges its price.
    pub(crate) async fn complete(&self, task: Task, outputs: Vec<Output>) -> Result<bool, Error> {
        let Some(state) = task.state.apply(Event::Succeeded) else {
            return Ok(false);
        };
        let charged = task.held;
        let ended = Task {
            state,
            charged,
            error: None,
            completed_at: Some(now_micros()),
            ..task
        };
        self.end(ended, outputs, Some(Outcome::Succeeded), Only::First)
            .await
    }

    /// The task cannot succeed. Charges nothing. `outcome`: how its run stands, unless that is not known.
    pub(crate) async fn fail(
        &self,
        task: Task,
        error: TaskError,
        outcome: Option<Outcome>,
    ) -> Result<bool, Error> {
        let Some(state) = task.state.apply(Event::Failed) else {
            return Ok(false);
        };
        let ended = Task {
            state,
            charged: Micros::ZERO,
            error: Some(error),
            completed_at: Some(now_micros()),
            ..task
        };
        self.end(ended, Vec::new(), outcome, Only::First).await
    }

    /// The customer no longer wants the task. `false`: a worker was faster, or it is over.
    pub(crate) async fn withdraw(&self, task: Task, code: Code) -> Result<bool, Error> {
        let Some(state) = task.state.apply(Event::Cancelled) else {
            return Ok(false);
        };
        let error = Some(TaskError::of(code));
        let ended = Task {
            state,
            charged: Micros::ZERO,
            error,
            completed_at: Some(now_micros()),
            ..task
        };
        self.end(ended, Vec::new(), None, Only::WhileQueued).await
    }

    async fn end(
        &self,
        task: Task,
        outputs: Vec<Output>,
        outcome: Option<Outcome>,
        only: Only,
    ) -> Result<bool, Error> {
        let settle = tell::settle(&task)?;
        let told = task
            .request
            .callback_url
            .is_some()
            .then(|| tell::ended(task.id));
        let sealer = self.secrets.content().clone();
        let (row, files) = (task.clone(), outputs.clone());
        let ended: bool = self
            .db
            .write(move |connection| {
                Box::pin(async move {
                    if only == Only::WhileQueued
                        && !store::task::still_queued(connection, row.id).await?
                    {
                        return Ok(false);
                    }
                    if !store::task::end(connection, &row, &sealer).await? {
                        return Ok(false);
                    }
                    for file in &files {
                        store::output::insert(connection, row.id, file).await?;
                    }
                    if let Some(outcome) = outcome {
                        store::attempt::note(connection, &row, outcome).await?;
                    }
                    outbox::enqueue(connection, settle).await?;
                    if let Some(told) = told {
                        outbox::enqueue(connection, told).await?;
                    }
                    Ok::<_, Error>(true)
                })
            })
            .await?;
        if ended {
            self.relay.ring();
            self.ended(
                &Task {
                    version: task.version.saturating_add(1),
                    ..task
                },
                &outputs,
            )
            .await;
        }
        Ok(ended)
    }

    async fn ended(&self, task: &Task, outputs: &[Output]) {
        let outcome = task
            .error
            .as_ref()
            .map_or("completed", |error| error.code.as_str());
        info!(task.id = %task.id, outcome, attempts = task.attempts, "task ended");
        let ending = Ending {
            model: task.model.clone(),
            outcome: outcome.to_owned(),
        };
        self.metrics.ended.get_or_create(&ending).inc();
        self.show(task, outputs).await;
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
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = shown {
            warn!(error, "cannot show how a task stands");
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

    /// The state of a task that nobody has accepted is nobody's to see.
    pub(crate) fn is_visible(task: &Task) -> bool {
        task.state != State::Reserving
    }
}
