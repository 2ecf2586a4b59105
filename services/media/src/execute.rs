//! One step of one task: submit it here, or look how it stands (`look.rs`). All the branching of a task's life at a provider is in these two.

use std::{collections::HashSet, time::Duration};

use chassis::{
    clock::micros,
    config::Access,
    failpoint::{Point, reach},
};
use domain::{FileId, catalogue::ProviderRoute, charge::Ending};
use proto::code;
use tracing::warn;
use upstream::{Class, Failure, Wait};

use crate::{
    Error, Media,
    finish::Failed,
    inputs::{self, Filled, Unfilled},
    late, lengths,
    look::{self, Made},
    moves::Move,
    outputs::Place,
    pace::Call,
    providers::{MediaProvider, Order, Started},
    state::{Event, Step},
    store::{
        self,
        attempt::{Finding, Outcome, Run},
    },
    task::Task,
};

/// When a task comes again whose files found no room.
const ROOM_WAIT: Duration = Duration::from_millis(250);

/// Moves a task on that this worker has the lease of.
pub(crate) async fn execute(media: &Media, task: Task) -> Result<(), Error> {
    match task.state.next() {
        Step::Start => Box::pin(start(media, task)).await,
        Step::Check => Box::pin(look::look(media, task)).await,
        Step::Rest => Ok(()),
    }
}

/// A provider to use for a task.
pub(crate) struct Candidate<'a> {
    pub(crate) route: &'a ProviderRoute,
    pub(crate) adapter: &'a dyn MediaProvider,
    pub(crate) access: Access,
}

/// Submits a task to the first provider that does not certainly refuse it.
pub(crate) async fn start(media: &Media, task: Task) -> Result<(), Error> {
    if task.request.is_none() {
        let why = Failed::of(Ending::Internal, code::INTERNAL);
        return media.fail(task, why, None).await.map(drop);
    }
    match inputs::filled(media, &task).await? {
        Ok(filled) => Box::pin(submit(media, task, filled)).await,
        Err(Unfilled::Full) => come_again(media, task).await,
        Err(Unfilled::Gone(file)) => media.fail(task, Failed::gone(file), None).await.map(drop),
    }
}

async fn submit(media: &Media, task: Task, filled: Filled) -> Result<(), Error> {
    let mut task = task;
    reach(Point::MediaBeforeSubmit);
    let failed = failed_before(media, &task).await?;
    let (mut refusal, mut full): (Option<Failure>, Vec<&str>) = (None, Vec::new());
    for candidate in able(media, &task, filled.linked) {
        let provider = candidate.route.provider.as_str();
        if failed.contains(provider) || full.contains(&provider) {
            continue;
        }
        if !media.enter(&task, provider).await {
            full.push(provider);
            continue;
        }
        if let Some(words) = lengths::of_urls(media, &task).await {
            media.leave_unused(&task).await;
            let why = Failed::seen_too_long(words);
            return media.fail(task, why, None).await.map(drop);
        }
        if refusal.is_some() {
            task.attempts = task.attempts.saturating_add(1);
        }
        if !note_submit(media, &task, &candidate, refusal.as_ref()).await? {
            // This worker slept past its lease, and another one has the task.
            return Ok(());
        }
        match order(media, &task, &candidate, &filled).await {
            Ok(started) => {
                reach(Point::MediaAfterSubmit);
                // What the provider has, nobody has to keep in memory.
                drop(filled);
                return accepted(media, task, &candidate, started).await;
            }
            Err(failure) => {
                upstream::report(provider, "submit", &failure);
                media.heed(task.mode, provider, Call::Submit, &failure);
                if !failure.another_may_serve() {
                    return refused(media, task, &failure, Others::Asked).await;
                }
                refusal = Some(failure);
            }
        }
    }
    match refusal {
        Some(failure) if full.is_empty() => refused(media, task, &failure, Others::Asked).await,
        Some(failure) => refused(media, task, &failure, Others::Full).await,
        None if full.is_empty() => {
            let why = nobody(media, &task, (&filled, &failed));
            media.fail(task, why, None).await.map(drop)
        }
        None => media.wait_for_room(task, &full).await,
    }
}

/// Asks a provider to take a task.
async fn order(
    media: &Media,
    task: &Task,
    candidate: &Candidate<'_>,
    filled: &Filled,
) -> Result<Started, Failure> {
    let callback = media.config.poll.callbacks.enabled;
    let callback = callback.then(|| media.viewer.callback(task)).flatten();
    let input = candidate.route.input(&filled.parameters);
    let order = Order {
        model: &candidate.route.model,
        parameters: &input,
        callback: callback.as_deref(),
    };
    let started = candidate.adapter.start(&candidate.access, &order);
    ask(media, "submit", candidate.route, started).await
}

/// Why nobody is asked.
fn nobody(media: &Media, task: &Task, (filled, failed): (&Filled, &HashSet<String>)) -> Failed {
    if !failed.is_empty() {
        return Failed::of(Ending::Overloaded, code::UPSTREAM_FAILED);
    }
    match filled.linked {
        // It could be fetched when the task was accepted.
        Some(file) if !candidates(media, task).is_empty() => {
            warn!(
                task.id = %task.id,
                "no provider can fetch an uploaded file, which is given by a link: server.public_url is not public"
            );
            Failed::out_of_reach(file)
        }
        Some(_) | None => Failed::of(Ending::NoProvider, code::NO_PROVIDER),
    }
}

/// The providers that had the task before, and failed it. None is asked a second time.
pub(crate) async fn failed_before(media: &Media, task: &Task) -> Result<HashSet<String>, Error> {
    if task.attempts <= 1 {
        return Ok(HashSet::new());
    }
    let failed = runs(media, task).await?.into_iter().filter(Run::has_failed);
    Ok(failed.map(|run| run.provider).collect())
}

pub(crate) async fn runs(media: &Media, task: &Task) -> Result<Vec<Run>, Error> {
    let runs = || {
        let runs = store::attempt::of_task(media.db.reader(), task.id);
        media.db.read(runs)
    };
    media.patiently("look at the runs of a task", runs).await
}

/// The providers that can be asked, in order. One that is no longer configured is passed over.
pub(crate) fn candidates<'a>(media: &'a Media, task: &Task) -> Vec<Candidate<'a>> {
    let Some(model) = media.catalogue.find(&task.model) else {
        return Vec::new();
    };
    let parameters = task.parameters();
    model
        .candidates(&parameters)
        .filter(|route| task.is_for(&route.provider))
        .filter_map(|route| {
            let adapter = media.providers.get(route.adapter.as_str())?;
            let access = media.accesses.access(task.mode, &route.provider)?;
            Some(Candidate {
                route,
                adapter: adapter.as_ref(),
                access,
            })
        })
        .collect()
}

/// Those of them that can fetch a file which is given by a link, if there is one.
pub(crate) fn able<'a>(
    media: &'a Media,
    task: &Task,
    linked: Option<FileId>,
) -> Vec<Candidate<'a>> {
    let mut able = candidates(media, task);
    able.retain(|candidate| {
        linked.is_none() || media.viewer.is_reached_from(&candidate.access.base_url)
    });
    able
}

/// From here on the provider may have it. `before`: the refusal of the one that was asked before in this step. `false`: the task is no
/// longer this worker's.
async fn note_submit(
    media: &Media,
    task: &Task,
    candidate: &Candidate<'_>,
    before: Option<&Failure>,
) -> Result<bool, Error> {
    let refused = before.map(|failure| failure.class().as_str());
    let note = || {
        let (task, lease) = (task.clone(), media.lease());
        let provider = candidate.route.provider.clone();
        media.db.write(move |connection| {
            Box::pin(async move {
                store::attempt::begin(connection, &task, &provider, lease, refused).await
            })
        })
    };
    media.patiently("note a submit", note).await
}

/// A call to a provider must end some time.
pub(crate) async fn ask<T>(
    media: &Media,
    what: &'static str,
    route: &ProviderRoute,
    call: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let in_time = async {
        tokio::time::timeout(media.config.call_timeout, call)
            .await
            .unwrap_or_else(|_| Err(Failure::timed_out(Wait::End)))
    };
    upstream::traced(what, (&route.provider, &route.model), in_time).await
}

/// The provider has the job. Where it has answered with what it made, this worker goes on with that; if it dies before that is kept, it is
/// lost, and the task fails with the next look.
async fn accepted(
    media: &Media,
    task: Task,
    candidate: &Candidate<'_>,
    started: Started,
) -> Result<(), Error> {
    let now = media.db.now_micros();
    let Some(mut taken) = Move::of(task.clone(), Event::Accepted) else {
        return Ok(());
    };
    let provider = &candidate.route.provider;
    taken.after.due_at = media.first_look(&taken.after, provider);
    taken.after.provider = Some(provider.clone());
    taken.after.job = Some(started.job.clone());
    taken.after.polls = 0;
    taken.after.poll_failures = 0;
    taken.after.started_at = taken.after.started_at.or(Some(now));
    taken.run = Some(Finding {
        outcome: Some(Outcome::Accepted),
        cost: started.cost,
        ..Finding::default()
    });
    if started.text.is_some() {
        taken.after.lease_until = media.lease().until;
    }
    let running = taken.after.clone();
    if !media.make(taken).await? {
        return late::leave(media, (task, provider.clone()), started).await;
    }
    let Some(text) = &started.text else {
        return Ok(());
    };
    let made = Made {
        files: vec![Place::Text(text)],
        about: Vec::new(),
        cost: started.cost,
        origin: &candidate.access.base_url,
    };
    Box::pin(look::store_outputs(media, running, made)).await
}

/// What is known of the providers beside the one that refused a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Others {
    /// None is left to be asked.
    Asked,
    /// One is left, which had no room.
    Full,
}

/// No provider took the task. Busy ones are asked again later; what may have been taken is not submitted twice.
async fn refused(
    media: &Media,
    task: Task,
    failure: &Failure,
    others: Others,
) -> Result<(), Error> {
    if !failure.outcome_known() {
        if media
            .fail(
                task,
                Failed::of(Ending::SubmitUnknown, code::SUBMIT_OUTCOME_UNKNOWN),
                None,
            )
            .await?
        {
            media.metrics.unknown_submits.inc();
        }
        return Ok(());
    }
    // A provider that only asks for patience gets it, until the deadline.
    let patience =
        failure.class() == Class::RateLimited || task.attempts < media.config.max_attempts;
    if others == Others::Full || failure.retryable() && patience {
        return put_back(media, task, failure).await;
    }
    media
        .fail(
            task,
            Failed::provider(failure),
            Finding::failed(Outcome::Refused, failure.class().as_str()),
        )
        .await
        .map(drop)
}

/// There is no room for the task's files inside of a request: it comes again a little later, as if it had not been taken.
async fn come_again(media: &Media, task: Task) -> Result<(), Error> {
    media.leave_unused(&task).await;
    let Some(mut back) = Move::of(task, Event::PutBack) else {
        return Ok(());
    };
    back.after.attempts = back.after.attempts.saturating_sub(1);
    back.after.not_before = media.db.now_micros().saturating_add(micros(ROOM_WAIT));
    back.after.due_at = back.after.not_before;
    media.make(back).await.map(drop)
}

async fn put_back(media: &Media, task: Task, failure: &Failure) -> Result<(), Error> {
    let asked = failure.retry_after();
    let doublings = u32::try_from(task.attempts).unwrap_or(u32::MAX).min(5);
    let backoff = Duration::from_millis(250).saturating_mul(2_u32.saturating_pow(doublings));
    let Some(mut back) = Move::of(task, Event::PutBack) else {
        return Ok(());
    };
    back.after.not_before = media
        .db
        .now_micros()
        .saturating_add(micros(asked.unwrap_or(backoff)));
    back.after.due_at = back.after.not_before;
    back.run = Some(Finding::failed(Outcome::Refused, failure.class().as_str()));
    media.make(back).await.map(drop)
}
