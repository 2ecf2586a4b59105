//! The end of a task, whichever: what it costs, and what billing and the customer are told, with the move that ends it.

use std::time::Duration;

use domain::charge::Ending;
use proto::code;
use tracing::info;
use upstream::Failure;

use crate::{
    Error, Media,
    metrics::Ending as Counted,
    moves::Move,
    state::Event,
    store::{attempt::Outcome, operator::Intervention},
    task::{Output, Task, TaskError},
    tell,
};

/// Why a task fails.
pub(crate) struct Failed {
    /// What the table of charges calls it.
    pub(crate) ending: Ending,
    /// What the customer reads.
    pub(crate) error: TaskError,
}

// === impl Failed ===

impl Failed {
    /// A published code with the sentence that the docs have for it.
    pub(crate) fn of(ending: Ending, code: proto::Code) -> Self {
        Self {
            ending,
            error: TaskError::of(code),
        }
    }

    /// What the task was given lasts longer than it is for.
    fn too_long(seconds: u64, most: u64) -> Self {
        let message = format!(
            "what was given lasts {seconds} seconds, and this task is for {most} at most: raise max_seconds, or give a shorter one"
        );
        Self {
            ending: Ending::TooLong,
            error: TaskError::new(code::INPUT_TOO_LONG, message),
        }
    }

    /// A provider failed us. A task that has ended waits for nobody.
    pub(crate) fn provider(failure: &Failure) -> Self {
        let fault = upstream::fault(failure, Duration::ZERO);
        Self {
            ending: Ending::parse(failure.class().as_str()).unwrap_or(Ending::Internal),
            error: TaskError::new(fault.code, fault.message),
        }
    }
}

impl Move {
    /// What the end costs, and billing told of it.
    fn charge(&mut self, ending: Ending) -> Result<(), Error> {
        let receipt = self.after.receipt(ending, &self.files)?;
        self.after.charged = receipt.total();
        self.tell.push(tell::settle(&self.after, &receipt)?);
        Ok(())
    }
}

impl Media {
    /// The task succeeded: its files are stored. Charges its price. `false`: it has ended otherwise, and the files are nobody's.
    pub(crate) async fn complete(&self, task: Task, files: Vec<Output>) -> Result<bool, Error> {
        let (made, most) = (task.made(&files), task.price.units);
        if made > most {
            // What it was given shows in what was made of it alone; more than was held is not charged, and not given away.
            let failed = self.fail(task, Failed::too_long(made, most), Some(Outcome::Failed));
            return failed.await.map(|_ended| false);
        }
        let Some(mut end) = Move::of(task, Event::Succeeded) else {
            return Ok(false);
        };
        end.after.progress = Some(100);
        end.outcome = Some(Outcome::Succeeded);
        end.files = files;
        self.end(end, Ending::Completed).await
    }

    /// The task cannot succeed. `outcome`: how its run stands, unless that is not known.
    pub(crate) async fn fail(
        &self,
        task: Task,
        why: Failed,
        outcome: Option<Outcome>,
    ) -> Result<bool, Error> {
        let Some(mut end) = Move::of(task, Event::Failed) else {
            return Ok(false);
        };
        end.after.error = Some(why.error);
        end.outcome = outcome;
        self.end(end, why.ending).await
    }

    /// The customer no longer wants the task. `false`: a worker was faster, or it is over.
    pub(crate) async fn withdraw(&self, task: Task) -> Result<bool, Error> {
        let Some(mut end) = Move::of(task, Event::Cancelled) else {
            return Ok(false);
        };
        end.after.error = Some(TaskError::of(code::CANCELLED));
        self.end(end, Ending::Cancelled).await
    }

    /// An operator ends the task, whatever it is at. `false`: it is over.
    pub(crate) async fn stop(&self, task: Task, by: Intervention) -> Result<bool, Error> {
        let Some(mut end) = Move::of(task, Event::Failed) else {
            return Ok(false);
        };
        end.after.error = Some(TaskError::of(code::CANCELLED));
        end.by = Some(by);
        self.end(end, Ending::Cancelled).await
    }

    async fn end(&self, mut end: Move, ending: Ending) -> Result<bool, Error> {
        end.after.completed_at = Some(self.db.now_micros());
        end.charge(ending)?;
        if end.after.callback_url().is_some() {
            end.tell.push(tell::ended(end.after.id));
        }
        let task = end.after.clone();
        let ended = self.make(end).await?;
        if ended {
            let outcome = task
                .error
                .as_ref()
                .map_or("completed", |error| error.code.as_str());
            info!(task.id = %task.id, outcome, attempts = task.attempts, "task ended");
            let ending = Counted {
                model: task.model.clone(),
                outcome: outcome.to_owned(),
            };
            self.metrics.ended.get_or_create(&ending).inc();
        }
        Ok(ended)
    }
}
