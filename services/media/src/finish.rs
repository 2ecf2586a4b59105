//! The end of a task, whichever: what it costs, and what billing and the customer are told, with the move that ends it.

use std::time::Duration;

use chassis::{
    clock::micros,
    failpoint::{Point, reach},
};
use domain::{FileId, TaskId, charge::Ending};
use proto::{Code, code};
use tracing::{info, warn};
use upstream::Failure;

use crate::{
    Error, Media, inputs,
    metrics::{ByProvider, Ending as Counted},
    moves::Move,
    providers::Cost,
    retention,
    state::{Event, State},
    store::{
        self,
        attempt::{Finding, Outcome, Run},
        operator::Intervention,
    },
    task::{Output, Task, TaskError},
    tell,
};

/// Endings that leave a provider with a job that may still come to something.
const LEFT_BEHIND: [Ending; 3] = [Ending::Deadline, Ending::Cancelled, Ending::JobLost];

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
    pub(crate) fn of(ending: Ending, code: Code) -> Self {
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

    /// What the task was given was seen to last too long, or not long enough, before a provider was asked.
    pub(crate) fn unfit((why, message): (Code, String)) -> Self {
        let ending = if why == code::INPUT_TOO_LONG {
            Ending::TooLong
        } else {
            Ending::Invalid
        };
        Self {
            ending,
            error: TaskError::new(why, message),
        }
    }

    /// A file that the task needs is kept no longer.
    pub(crate) fn gone(file: FileId) -> Self {
        let message = format!("{file}, which the task needs, is kept no longer");
        Self {
            ending: Ending::Invalid,
            error: TaskError::new(code::NOT_FOUND, message),
        }
    }

    /// A file is given by a link that none of the providers can fetch from where they are.
    pub(crate) fn out_of_reach(file: FileId) -> Self {
        Self {
            ending: Ending::NoProvider,
            error: TaskError::new(code::NO_PROVIDER, inputs::out_of_reach(file)),
        }
    }

    /// A provider failed us, and has billed its work.
    pub(crate) fn wasted(failure: &Failure) -> Self {
        let failed = Self::provider(failure);
        if !failure.another_may_serve() {
            return failed;
        }
        let message = "the provider failed in the middle of its work, so that no other one was asked; nothing is charged";
        Self {
            error: TaskError::new(code::UPSTREAM_FAILED, message),
            ..failed
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
    fn charge(&mut self, ending: Ending, runs: Vec<Run>) -> Result<(), Error> {
        let latest = self.before().attempts;
        let reason = self.run.and_then(|found| found.reason);
        let listed = runs.into_iter().map(|run| {
            let is_latest = run.number == latest;
            let mut listed = run.listed();
            if is_latest {
                reason
                    .unwrap_or(ending.as_str())
                    .clone_into(&mut listed.outcome);
            }
            listed
        });
        let receipt = self.after.receipt(ending, &self.files, listed.collect())?;
        self.after.charged = receipt.total();
        self.tell.push(tell::settle(&self.after, &receipt)?);
        Ok(())
    }
}

impl Media {
    /// The task succeeded: its files are stored. Charges its price, whatever its provider says it billed. `false`: it has ended otherwise,
    /// and the files are nobody's.
    pub(crate) async fn complete(
        &self,
        task: Task,
        files: Vec<Output>,
        cost: Option<Cost>,
    ) -> Result<bool, Error> {
        let (made, most) = (task.made(&files), task.price.units);
        if made > most {
            // What it was given shows in what was made of it alone; more than was held is not charged, and not given away.
            let failed = self.fail(task, Failed::too_long(made, most), Some(Outcome::Failed));
            return Box::pin(failed).await.map(|_ended| false);
        }
        let files = self.keep_as_said(&task, files).await?;
        let Some(mut end) = Move::of(task, Event::Succeeded) else {
            return Ok(false);
        };
        end.after.progress = Some(100);
        end.run = Some(Finding {
            outcome: Some(Outcome::Succeeded),
            cost,
            ..Finding::default()
        });
        end.files = files;
        Box::pin(self.end(end, Ending::Completed)).await
    }

    /// The files, kept as long as an operator has said of their account's, if one has.
    async fn keep_as_said(
        &self,
        task: &Task,
        mut files: Vec<Output>,
    ) -> Result<Vec<Output>, Error> {
        let said = || retention::of(self, task.account);
        let said = self.patiently("look how long files are kept", said).await?;
        if let Some(seconds) = said.outputs {
            let until = micros(Duration::from_secs(seconds));
            let until = self.db.now_micros().saturating_add(until);
            files.iter_mut().for_each(|file| file.expires_at = until);
        }
        Ok(files)
    }

    /// The task cannot succeed. `run`: what was found out about its run, if anything was.
    pub(crate) async fn fail(
        &self,
        task: Task,
        why: Failed,
        run: impl Into<Finding> + Send,
    ) -> Result<bool, Error> {
        let Some(mut end) = Move::of(task, Event::Failed) else {
            return Ok(false);
        };
        end.after.error = Some(why.error);
        end.run = Some(run.into());
        Box::pin(self.end(end, why.ending)).await
    }

    /// The customer no longer wants the task. `false`: a worker was faster, or it is over.
    pub(crate) async fn withdraw(&self, task: Task) -> Result<bool, Error> {
        self.withdraw_after(task, Finding::default()).await
    }

    /// As [`Media::withdraw`], after something was found out about its run.
    pub(crate) async fn withdraw_after(&self, task: Task, run: Finding) -> Result<bool, Error> {
        let Some(mut end) = Move::of(task, Event::Cancelled) else {
            return Ok(false);
        };
        end.after.error = Some(TaskError::of(code::CANCELLED));
        end.run = Some(run);
        Box::pin(self.end(end, Ending::Cancelled)).await
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
        let now = self.db.now_micros();
        end.after.completed_at = Some(now);
        end.after.queue_position = None;
        // What was made says it itself, and what was not is nothing to tell of.
        end.after.clips = Vec::new();
        let mut found = end.run.unwrap_or_default();
        let is_lost = ending == Ending::JobLost;
        let ran = end.before().state == State::Running && (found.outcome.is_none() || is_lost);
        if ran && LEFT_BEHIND.contains(&ending) {
            let late = &self.config.poll.late;
            // What its customer has cancelled was stopped, as far as its provider says; what a provider has lost, it may find again.
            let is_stopped = ending == Ending::Cancelled && end.by.is_none();
            found.look_at = if is_stopped || is_lost {
                late.first_look(now)
            } else {
                late.at_once(now)
            };
            end.run = Some(found);
        }
        let id = end.after.id;
        let runs = || self.db.read(store::attempt::of_task(self.db.reader(), id));
        let runs = self.patiently("look at the runs of a task", runs).await?;
        let told = runs.last().and_then(|run| run.cost);
        let said = end.run.and_then(|found| found.cost).or(told);
        let cost = said.or_else(|| self.cost_by_row(&end.after, &end.files));
        if let (Some(found), Ending::Completed) = (&mut end.run, ending) {
            found.cost = cost;
        }
        end.charge(ending, runs)?;
        end.tell.push(tell::ended(end.after.id));
        let task = end.after.clone();
        reach(Point::MediaBeforeEnd);
        let ended = Box::pin(self.make(end)).await?;
        reach(Point::MediaAfterEnd);
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
            if let Some(cost) = cost.filter(|_| task.state == State::Completed) {
                self.compare(&task, cost);
            }
        }
        Ok(ended)
    }

    /// What a task has cost whose provider does not say it, as far as its row does.
    fn cost_by_row(&self, task: &Task, files: &[Output]) -> Option<Cost> {
        let (model, provider) = (self.catalogue.find(&task.model)?, task.provider.as_ref()?);
        let parameters = task.parameters();
        let mut rows = model.candidates(&parameters);
        let row = rows.find(|row| row.provider == *provider)?;
        let units = i64::try_from(task.made(files)).unwrap_or(i64::MAX);
        let micro_usd = row.bills_micro_usd?.saturating_mul(units);
        Some(Cost { micro_usd })
    }

    /// A provider that billed more than the customer pays is our loss. Somebody should know.
    fn compare(&self, task: &Task, cost: Cost) {
        if cost.in_micros() <= task.charged {
            return;
        }
        let provider = task.provider.clone().unwrap_or_default();
        warn!(
            task.id = %task.id,
            provider.name = provider,
            billed.micro_usd = cost.micro_usd,
            charged.microcredits = task.charged.get(),
            "a provider billed more than the customer pays"
        );
        let of = ByProvider { provider };
        self.metrics.overbilled.get_or_create(&of).inc();
    }

    /// So is a job that its provider billed and did not finish, unless we had it stopped.
    pub(crate) fn count_wasted(&self, task: TaskId, provider: String, cost: Option<Cost>) {
        warn!(
            task.id = %task,
            provider.name = provider,
            billed.micro_usd = cost.map(|cost| cost.micro_usd),
            "a provider billed a job that it did not finish"
        );
        let of = ByProvider { provider };
        self.metrics.wasted.get_or_create(&of).inc();
    }
}
