//! Cancelling a task, where its model allows it: until a provider was asked, or until it is done, where the provider that has it can stop it.
//!
//! That a running task is to be cancelled is written down before its provider is told. So nothing is lost with an answer: the task goes on
//! being looked at, ends as cancelled if its provider has stopped it, and is never passed on to another one. A provider that has not
//! answered is asked again by whoever looks at the task next (`look.rs`).

use chassis::clock::micros;
use domain::{Caller, TaskId, catalogue::Cancel};
use proto::{Fault, code};
use tokio::time::{Instant, sleep};

use crate::{
    Error, Media,
    execute::{self, Candidate, ask},
    look::its_provider,
    pace::Call,
    providers::{Cancelled, Progress, has_made},
    read,
    state::State,
    stop::{Run, ask_to_stop, in_time},
    store::{
        self,
        attempt::{Finding, Outcome},
    },
    submit::SOON,
    task::{Output, Task},
};

/// Cancels a task and answers how it stands then.
pub(crate) async fn cancel(
    media: &Media,
    caller: &Caller,
    id: TaskId,
) -> Result<(Task, Vec<Output>), Error> {
    let (task, _) = read::get(media, caller, id).await?;
    let model = media.catalogue.find(&task.model);
    match model.map(|model| model.cancel) {
        Some(Cancel::Never) => {
            let why = format!("tasks of {} cannot be cancelled", task.model);
            return Err(Fault::new(code::NOT_CANCELLABLE, why).into());
        }
        Some(Cancel::Running) => Box::pin(stop(media, task)).await?,
        Some(Cancel::Queued) | None => drop(withdraw(media, task).await?),
    }
    let (task, outputs) = read::get(media, caller, id).await?;
    if is_cancelled(&task) {
        return Ok((task, outputs));
    }
    let why = if task.state.is_terminal() {
        format!("the task has ended: it is {}", task.state.public())
    } else {
        "a provider has started the task and has not stopped it; it is charged only if it succeeds"
            .to_owned()
    };
    Err(Fault::new(code::NOT_CANCELLABLE, why).into())
}

fn is_cancelled(task: &Task) -> bool {
    let error = task.error.as_ref();
    task.state == State::Failed && error.is_some_and(|error| error.code == code::CANCELLED.word)
}

/// Ends a task that no provider was asked for. `false`: one was, or the task has ended.
async fn withdraw(media: &Media, task: Task) -> Result<bool, Error> {
    Ok(task.state == State::Queued && media.withdraw(task).await?)
}

/// Ends a task wherever it is, as long as it can be stopped there.
async fn stop(media: &Media, mut task: Task) -> Result<(), Error> {
    let since = Instant::now();
    loop {
        match task.state {
            State::Queued => {
                if media.withdraw(task.clone()).await? {
                    return Ok(());
                }
            }
            // In a moment it is known who has it, or that nobody has.
            State::Starting => {}
            State::Running => return stop_at_its_provider(media, task, since).await,
            State::Reserving | State::Completed | State::Failed => return Ok(()),
        }
        if since.elapsed() >= media.config.poll.cancel.wait {
            return Ok(());
        }
        sleep(media.config.tick).await;
        task = again(media, task).await?;
    }
}

async fn stop_at_its_provider(media: &Media, task: Task, since: Instant) -> Result<(), Error> {
    let (Some(job), Some(candidate)) = (task.job.clone(), its_provider(media, &task)) else {
        return Ok(());
    };
    if has_made(&job) {
        // Who keeps that must not be told that the task is to be cancelled: it would be thrown away, and is paid.
        return Ok(());
    }
    let runs = execute::runs(media, &task).await?;
    let run = runs.iter().find(|run| run.number == task.attempts);
    match run.and_then(|run| run.stop) {
        // Who was told so did not come to end it.
        Some(Cancelled::Stopped) => return end(media, task, Finding::default()).await,
        // Asking again would cost a look of somebody's each time. What comes of the first, the looks tell.
        Some(Cancelled::Asked | Cancelled::TooLate | Cancelled::Impossible) => return Ok(()),
        None => {}
    }
    if !is_noted(media, &task, &job).await? {
        return was_noted_before(media, task).await;
    }
    if !media
        .may_ask(task.mode, &candidate.route.provider, since)
        .await
    {
        let why = "the provider is asked too much at this moment; it is asked to stop the task when it may be";
        return Err(busy(why));
    }
    let run = Run {
        task: &task,
        number: task.attempts,
        job: &job,
        time: media.config.poll.cancel.time_after(since.elapsed()),
    };
    match ask_to_stop(media, run, &candidate).await? {
        Ok(Cancelled::Stopped) => end(media, task, Finding::default()).await,
        Ok(Cancelled::Asked) => see_whether_it_stops(media, task, &candidate, since).await,
        Ok(Cancelled::TooLate | Cancelled::Impossible) => Ok(()),
        Err(_) => {
            let why = "the provider did not say whether it has stopped the task; look at the task, or cancel it again";
            Err(Fault::new(code::UPSTREAM_FAILED, why).into())
        }
    }
}

fn busy(why: &str) -> Error {
    Fault::new(code::UPSTREAM_BUSY, why)
        .retry_after(SOON)
        .into()
}

/// One look, as far as there is time and room for it. Where the job goes on, later ones tell how it ends.
async fn see_whether_it_stops(
    media: &Media,
    task: Task,
    candidate: &Candidate<'_>,
    since: Instant,
) -> Result<(), Error> {
    let provider = &candidate.route.provider;
    let Some(job) = task.job.clone() else {
        return Ok(());
    };
    if !media.may_ask(task.mode, provider, since).await {
        return Ok(());
    }
    let time = media.config.poll.cancel.time_after(since.elapsed());
    let checked = in_time(time, candidate.adapter.check(&candidate.access, &job));
    let over = Finding::from(Some(Outcome::Failed));
    match ask(media, "check", candidate.route, checked).await {
        Ok(Progress::Failed(_)) => end(media, task, over).await,
        Ok(Progress::Wasted(_, cost)) => end(media, task, Finding { cost, ..over }).await,
        Ok(
            Progress::Running { .. }
            | Progress::Done { .. }
            | Progress::Told { .. }
            | Progress::Missing,
        ) => Ok(()),
        Err(failure) => {
            media.heed(task.mode, provider, Call::Look, &failure);
            Ok(())
        }
    }
}

/// Writes down that the task is to be cancelled where it is now. `false`: that was done a moment ago, or it has left there, or ended.
async fn is_noted(media: &Media, task: &Task, job: &str) -> Result<bool, Error> {
    let (id, job, now) = (task.id, job.to_owned(), media.db.now_micros());
    let before = now.saturating_sub(micros(media.config.poll.cancel.timeout));
    media
        .db
        .write(move |connection| {
            Box::pin(async move {
                let at = (id, job.as_str());
                store::task::ask_to_cancel(connection, at, (now, before)).await
            })
        })
        .await
}

/// Where the task is as it was, whoever was to ask its provider has no answer yet.
async fn was_noted_before(media: &Media, task: Task) -> Result<(), Error> {
    let job = task.job.clone();
    let now = again(media, task).await?;
    if now.state != State::Running || now.job != job {
        return Ok(());
    }
    let why = "the provider was asked to stop the task a moment ago, and has not answered; look at the task, or cancel it again";
    Err(busy(why))
}

/// Its provider has stopped it. Whoever looks at it meanwhile may move it first: the first end counts.
async fn end(media: &Media, task: Task, found: Finding) -> Result<(), Error> {
    let job = task.job.clone();
    let mut task = again(media, task).await?;
    while task.state == State::Running && task.job == job {
        if media.withdraw_after(task.clone(), found).await? {
            return Ok(());
        }
        task = again(media, task).await?;
    }
    Ok(())
}

/// The task as it is now.
async fn again(media: &Media, task: Task) -> Result<Task, Error> {
    let found = store::task::get(media.db.reader(), task.id, media.secrets.content());
    Ok(media.db.read(found).await?.unwrap_or(task))
}
