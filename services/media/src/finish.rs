//! The end of a task, whichever: what it costs, and what billing and the customer are told, with the move that ends it.

use domain::Micros;
use proto::code;
use tracing::info;

use crate::{
    Error, Media,
    metrics::Ending,
    moves::Move,
    state::Event,
    store::attempt::Outcome,
    task::{Output, Task, TaskError},
    tell,
};

impl Media {
    /// The task succeeded: its files are stored. Charges its price.
    pub(crate) async fn complete(&self, task: Task, files: Vec<Output>) -> Result<bool, Error> {
        let Some(mut end) = Move::of(task, Event::Succeeded) else {
            return Ok(false);
        };
        end.after.charged = end.after.held;
        end.after.progress = Some(100);
        end.outcome = Some(Outcome::Succeeded);
        end.files = files;
        self.end(end).await
    }

    /// The task cannot succeed. Charges nothing. `outcome`: how its run stands, unless that is not known.
    pub(crate) async fn fail(
        &self,
        task: Task,
        error: TaskError,
        outcome: Option<Outcome>,
    ) -> Result<bool, Error> {
        let Some(mut end) = Move::of(task, Event::Failed) else {
            return Ok(false);
        };
        end.after.error = Some(error);
        end.outcome = outcome;
        self.end(end).await
    }

    /// The customer no longer wants the task. `false`: a worker was faster, or it is over.
    pub(crate) async fn withdraw(&self, task: Task) -> Result<bool, Error> {
        let Some(mut end) = Move::of(task, Event::Cancelled) else {
            return Ok(false);
        };
        end.after.error = Some(TaskError::of(code::CANCELLED));
        self.end(end).await
    }

    async fn end(&self, mut end: Move) -> Result<bool, Error> {
        end.after.completed_at = Some(self.db.now_micros());
        if end.after.error.is_some() {
            end.after.charged = Micros::ZERO;
        }
        end.tell.push(tell::settle(&end.after, &self.catalogue)?);
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
            let ending = Ending {
                model: task.model.clone(),
                outcome: outcome.to_owned(),
            };
            self.metrics.ended.get_or_create(&ending).inc();
        }
        Ok(ended)
    }
}
