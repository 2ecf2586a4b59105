//! One step of one task: submit it here, or look how it stands (`look.rs`). All the branching of a task's life at a provider is in these two.

mod before;
mod untaken;

use std::{collections::HashSet, time::Duration};

use chassis::{
    config::Access,
    failpoint::{Point, reach},
};
use domain::{
    FileId, Mode,
    catalogue::{ProviderRoute, Resolved},
    charge::Ending,
};
use proto::code;
use upstream::{Failure, Trust, Wait};

pub(crate) use self::before::Before;
use self::untaken::Untaken;
use crate::{
    Error, Media,
    finish::Failed,
    inputs::{self, Fetched, Filled, Unfilled},
    late, lengths,
    look::{self, Made},
    moves::Move,
    outputs::Place,
    pace::{Asker, Call, Wants},
    places,
    providers::{Answers, MediaProvider, Order, Started, Takes},
    state::{Event, Step},
    store::{
        self,
        attempt::{Finding, Outcome, Run},
    },
    task::Task,
};

/// A call that lasts as long as the work is not begun in this last part of a task's time: it would not end in it, and be paid for.
const LAST_PART: i64 = 10;

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
    let before = Before::of(media, &task).await?;
    if is_in_vain(media, &task, &before) {
        return untaken::come_again(media, task, Wants::Place).await;
    }
    match inputs::filled(media, &task).await? {
        Ok(filled) => Box::pin(submit(media, task, (filled, before))).await,
        Err(Unfilled::Full) => untaken::come_again(media, task, Wants::Bytes).await,
        Err(Unfilled::Gone(file)) => media.fail(task, Failed::gone(file), None).await.map(drop),
    }
}

/// Whether none can be asked now, whatever it would be given: each would need a place for a call that lasts, and there is none.
fn is_in_vain(media: &Media, task: &Task, before: &Before) -> bool {
    let asked = before.left(candidates(media, task));
    let is_long = |candidate: &Candidate<'_>| match candidate.answers() {
        Answers::AtOnce => true,
        Answers::Later => false,
    };
    let pace = &media.peers.pace;
    !asked.is_empty() && asked.iter().all(is_long) && !pace.has_place_for_a_call(&asker(task))
}

/// A task that wants something of this process.
fn asker(task: &Task) -> Asker {
    Asker {
        owner: inputs::owner(task),
        task: task.id,
        since: task.created_at,
    }
}

async fn submit(
    media: &Media,
    task: Task,
    (filled, before): (Filled, Before),
) -> Result<(), Error> {
    let mut task = task;
    reach(Point::MediaBeforeSubmit);
    let mut untaken = Untaken::default();
    for candidate in before.left(able(media, &task, filled.linked)) {
        let provider = candidate.route.provider.as_str();
        if untaken.passes_over(candidate.route) {
            continue;
        }
        note_refusal(media, &task, untaken.refusal()).await?;
        let Some(place) = Stay::of(media, &task, &candidate) else {
            untaken.note_crowded(provider);
            continue;
        };
        if !media.enter(&task, provider).await {
            untaken.note_full(provider);
            continue;
        }
        // They were looked at before anybody was asked.
        if untaken.refusal().is_none()
            && let Some(wrong) = lengths::of_urls(media, &task).await
        {
            media.leave_unused(&task).await;
            let why = Failed::unfit(wrong);
            return media.fail(task, why, None).await.map(drop);
        }
        let given = match given(media, &task, (&filled, &candidate)).await? {
            Ok(given) => given,
            Err(failure) => {
                media.leave_unused(&task).await;
                untaken.note_unfit(provider, failure);
                continue;
            }
        };
        if !place.has_time(media, &task) {
            media.leave_unused(&task).await;
            untaken.note_late(provider);
            continue;
        }
        if untaken.refusal().is_some() {
            task.attempts = task.attempts.saturating_add(1);
        }
        if !note_submit(media, &task, &candidate, untaken.refusal()).await? {
            // This worker slept past its lease, and another one has the task.
            return Ok(());
        }
        match call(media, &task, &candidate, given.parameters()).await {
            Ok(started) => {
                reach(Point::MediaAfterSubmit);
                // What the provider has, nobody has to keep in memory.
                drop(given);
                drop(filled);
                // What it has answered, somebody has, until it is kept.
                let kept = accepted(media, task, &candidate, started).await;
                drop(place);
                return kept;
            }
            Err(failure) if untaken::may_go_on(&failure) => {
                untaken.note_refusal(provider, failure);
            }
            Err(failure) => return untaken::refused(media, task, &failure).await,
        }
    }
    untaken::leave(media, task, (&filled, &before), untaken).await
}

/// How long a call to a provider lasts.
enum Stay {
    /// Until the provider has taken the task.
    Short,
    /// As long as the work, in a place that there is for it.
    Long { _place: places::Place },
}

/// What one provider is given.
enum Given<'a> {
    /// What any is.
    Filled(&'a Filled),
    /// The bytes in the place of every URL.
    Fetched(Fetched),
}

/// What this provider is given.
///
/// # Errors
/// The inner one: why it cannot be.
async fn given<'a>(
    media: &Media,
    task: &Task,
    (filled, candidate): (&'a Filled, &Candidate<'_>),
) -> Result<Result<Given<'a>, Failure>, Error> {
    match candidate.adapter.takes() {
        Takes::Links => Ok(Ok(Given::Filled(filled))),
        Takes::Bytes => {
            let fetched = Box::pin(inputs::fetched(media, task, filled.inside)).await?;
            Ok(fetched.map(Given::Fetched))
        }
    }
}

/// Submits it, once.
async fn call(
    media: &Media,
    task: &Task,
    candidate: &Candidate<'_>,
    parameters: &Resolved,
) -> Result<Started, Failure> {
    let (route, adapter) = (candidate.route, candidate.adapter);
    let callback = media.config.poll.callbacks.enabled;
    let callback = callback.then(|| media.viewer.callback(task)).flatten();
    let input = route.input(parameters);
    let order = Order {
        model: &route.model,
        parameters: &input,
        callback: callback.as_deref(),
    };
    let wait = longest_call(media, task, candidate.answers());
    let ear = media.peers.listeners.ear(task);
    let started = match &ear {
        Some(ear) => adapter.start_aloud(&candidate.access, &order, ear),
        None => adapter.start(&candidate.access, &order),
    };
    let answered = ask_within(("submit", wait), route, started).await;
    if let Err(failure) = &answered {
        upstream::report(&route.provider, "submit", failure);
        media.heed(task.mode, &route.provider, Call::Submit, failure);
    }
    answered
}

/// How long a submit may take.
fn longest_call(media: &Media, task: &Task, answers: Answers) -> Duration {
    match (answers, task.mode) {
        (Answers::Later, _) => media.config.call_timeout,
        // Whatever comes after the deadline is nobody's.
        (Answers::AtOnce, Mode::Live) => media.config.submit.result_timeout.min(left(media, task)),
        // Nothing is being made, and a process that stops waits for it.
        (Answers::AtOnce, Mode::Test) => media.config.call_timeout.min(left(media, task)),
    }
}

/// The time that a task still has.
pub(crate) fn left(media: &Media, task: &Task) -> Duration {
    let left = task.deadline_at.saturating_sub(media.db.now_micros());
    Duration::from_micros(u64::try_from(left).unwrap_or_default())
}

// === impl Candidate ===

impl Candidate<'_> {
    fn answers(&self) -> Answers {
        self.adapter.answers(&self.route.model)
    }
}

// === impl Given ===

impl Given<'_> {
    fn parameters(&self) -> &Resolved {
        match self {
            Self::Filled(filled) => &filled.parameters,
            Self::Fetched(fetched) => &fetched.parameters,
        }
    }
}

// === impl Stay ===

impl Stay {
    /// A call to this candidate; `None`: one that lasts as long as the work, for which there is no place.
    fn of(media: &Media, task: &Task, candidate: &Candidate<'_>) -> Option<Self> {
        match candidate.answers() {
            Answers::Later => Some(Self::Short),
            Answers::AtOnce => {
                let place = media.peers.pace.place_for_a_call(&asker(task));
                place.map(|place| Self::Long { _place: place })
            }
        }
    }

    /// Whether it may end in the time that its task still has.
    fn has_time(&self, media: &Media, task: &Task) -> bool {
        let least = match self {
            Self::Short => Duration::ZERO,
            Self::Long { .. } => {
                let all = task.deadline_at.saturating_sub(task.created_at);
                let part = all.checked_div(LAST_PART).unwrap_or_default();
                Duration::from_micros(u64::try_from(part).unwrap_or_default())
            }
        };
        left(media, task) > least
    }
}

pub(crate) async fn runs(media: &Media, task: &Task) -> Result<Vec<Run>, Error> {
    let runs = || {
        let runs = store::attempt::of_task(media.db.reader(), task.id);
        media.db.read(runs)
    };
    media.patiently("look at the runs of a task", runs).await
}

/// The providers that can be asked, in order. One that is no longer configured is passed over, and so is one whose credential is for others
/// of its models.
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
            adapter.can(&access, &route.model).then_some(())?;
            Some(Candidate {
                route,
                adapter: adapter.as_ref(),
                access,
            })
        })
        .collect()
}

/// How often a task may be submitted in all: so often that each of its providers, where it has several, is asked, and some twice.
pub(crate) fn most_attempts(media: &Media, task: &Task) -> i64 {
    let all = candidates(media, task);
    let providers: HashSet<&str> = all.iter().map(|one| one.route.provider.as_str()).collect();
    let set = media.config.max_attempts;
    match i64::try_from(providers.len()) {
        Ok(several) if several > 1 => set.max(several.saturating_add(2)),
        _ => set,
    }
}

/// Those of them that can fetch a file which is given by a link, if there is one.
pub(crate) fn able<'a>(
    media: &'a Media,
    task: &Task,
    linked: Option<FileId>,
) -> Vec<Candidate<'a>> {
    let mut able = candidates(media, task);
    able.retain(|candidate| {
        let is_given_none = linked.is_none() || candidate.adapter.takes() == Takes::Bytes;
        is_given_none || media.viewer.is_reached_from(&candidate.access.base_url)
    });
    able
}

/// Before another provider is asked, for which much may have to be waited: what the one said that was asked before in this step. If this
/// process dies meanwhile, it is known that nobody has the task.
async fn note_refusal(media: &Media, task: &Task, refusal: Option<&Failure>) -> Result<(), Error> {
    let Some(refusal) = refusal else {
        return Ok(());
    };
    let finding = Finding::failed(Outcome::Refused, refusal.class().as_str());
    let run = (task.id, task.attempts);
    let note = || {
        media.db.write(move |connection| {
            Box::pin(async move { store::attempt::note(connection, run, None, finding).await })
        })
    };
    media.patiently("note a refusal", note).await
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
    ask_within((what, media.config.call_timeout), route, call).await
}

async fn ask_within<T>(
    (what, wait): (&'static str, Duration),
    route: &ProviderRoute,
    call: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let in_time = async {
        tokio::time::timeout(wait, call)
            .await
            .unwrap_or_else(|_| Err(Failure::timed_out(Wait::End)))
    };
    upstream::traced(what, (&route.provider, &route.model), in_time).await
}

/// The provider has the job. Where it has answered with what it made, this worker goes on with that; if it dies before that is kept, it is
/// lost, and the task fails with the next look, unless the job's name leads to it.
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
    taken.after.due_at = match candidate.answers() {
        Answers::Later => media.first_look(&taken.after, provider),
        // It is over, however it ended.
        Answers::AtOnce => now,
    };
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
    if started.is_done() {
        taken.after.lease_until = media.lease().until;
    }
    let running = taken.after.clone();
    if !media.make(taken).await? {
        return late::leave(media, (task, provider.clone()), started).await;
    }
    if !started.is_done() {
        return Ok(());
    }
    let text = started.text.iter().map(|text| Place::Text(text));
    let files = started.files.iter().map(|url| Place::of(url));
    let headers = candidate.adapter.file_headers(&candidate.access);
    let made = Made {
        files: text.chain(files).collect(),
        about: Vec::new(),
        cost: started.cost,
        lasts: started.lasts,
        trust: Trust::Keyed(&candidate.access.base_url, &headers),
    };
    Box::pin(look::store_outputs(media, running, made)).await
}
