//! What becomes of a task that no provider has taken in a step, and why none has.

use std::time::Duration;

use chassis::clock::micros;
use domain::{catalogue::ProviderRoute, charge::Ending};
use proto::code;
use tracing::warn;
use upstream::{Class, Failure, Verdict};

use super::{Before, candidates, most_attempts};
use crate::{
    Error, Media,
    finish::Failed,
    inputs::Filled,
    moves::Move,
    pace::Wants,
    state::Event,
    store::attempt::{Finding, Outcome},
    task::Task,
};

/// Why none of the providers has taken a task.
#[derive(Default)]
pub(super) struct Untaken<'a> {
    /// What those said that refused it, in order.
    refusals: Vec<Failure>,
    /// Why one that fetches nothing could not be given it.
    unfit: Option<Failure>,
    /// Those that had no room.
    full: Vec<&'a str>,
    /// Those that would say the same again of whatever else they are asked for.
    settled: Vec<&'a str>,
    /// Those that could not be asked now, for whatever they are asked for: in the place of one model no other is.
    passed: Vec<&'a str>,
    /// What there is no room for here, so that one could not be asked.
    wants: Option<Wants>,
    /// Whether one could not be asked because it would not be done in time.
    is_late: bool,
}

/// What is known of the providers beside those that refused a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Others {
    /// None is left to be asked.
    Asked,
    /// One is left, which had no room.
    Full,
}

/// What becomes of a task that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coming {
    /// It comes again, after the pause that was asked for, if one was.
    Back(Option<Duration>),
    /// It fails.
    Never,
}

// === impl Untaken ===

impl<'a> Untaken<'a> {
    /// Whether a row is passed over in this step.
    pub(super) fn passes_over(&self, route: &ProviderRoute) -> bool {
        self.is_past(&route.provider) || route.costly && !self.is_outage()
    }

    /// Whether those that were to be asked can serve nobody now. None has found something wrong with the task, or asks only for patience.
    fn is_outage(&self) -> bool {
        let is_away = |failure: &Failure| {
            use Class::{Auth, Balance, Gone, NotSent, Overloaded};
            let class = failure.class();
            [Auth, Balance, Gone, NotSent, Overloaded].contains(&class)
        };
        let are_away = self.refusals.iter().all(is_away);
        are_away && self.unfit.is_none() && self.full.is_empty() && self.passed.is_empty()
    }

    /// Whether a provider is not asked again in this step.
    fn is_past(&self, provider: &str) -> bool {
        let past = [&self.full, &self.settled, &self.passed];
        past.into_iter().any(|names| names.contains(&provider))
    }

    /// What the last one said that refused it.
    pub(super) fn refusal(&self) -> Option<&Failure> {
        self.refusals.last()
    }

    /// A provider has refused it.
    pub(super) fn note_refusal(&mut self, provider: &'a str, failure: Failure) {
        // Another of its models may be there, or take what this one does not.
        if failure.class() != Class::Gone && failure.param().is_none() {
            self.settled.push(provider);
        }
        self.refusals.push(failure);
    }

    /// A provider has no room.
    pub(super) fn note_full(&mut self, provider: &'a str) {
        self.full.push(provider);
    }

    /// There is no room here for another call to a provider.
    pub(super) fn note_crowded(&mut self, provider: &'a str) {
        self.passed.push(provider);
        self.wants = Some(Wants::Place);
    }

    /// A provider would not be done in time.
    pub(super) fn note_late(&mut self, provider: &'a str) {
        self.passed.push(provider);
        self.is_late = true;
    }

    /// It could not be given to a provider.
    pub(super) fn note_unfit(&mut self, provider: &'a str, failure: Failure) {
        if failure.class() == Class::RateLimited {
            self.passed.push(provider);
            self.wants = self.wants.or(Some(Wants::Bytes));
        } else {
            self.unfit = Some(failure);
        }
    }
}

/// Whether another provider may be asked after this: it is certain that nobody has the task. What one finds wrong with it another may take, as
/// their limits differ; what is against the rules of one stays untaken.
pub(super) fn may_go_on(failure: &Failure) -> bool {
    failure.outcome_known() && failure.class() != Class::Moderated
}

/// Nobody has taken a task in this step.
pub(super) async fn leave(
    media: &Media,
    task: Task,
    (filled, before): (&Filled, &Before),
    untaken: Untaken<'_>,
) -> Result<(), Error> {
    let Untaken {
        refusals,
        unfit,
        full,
        wants,
        is_late,
        settled: _,
        passed: _,
    } = untaken;
    match (refusals.last(), wants, unfit) {
        (Some(last), ..) => {
            let others = if wants.is_some() || !full.is_empty() {
                Others::Full
            } else {
                Others::Asked
            };
            let why = why(&refusals, last, before);
            put_back_or_fail(media, task, (&refusals, others), why).await
        }
        (None, Some(wants), _) => come_again(media, task, wants).await,
        (None, ..) if !full.is_empty() => media.wait_for_room(task, &full).await,
        // Where others had it and failed, that is why.
        (None, _, Some(failure)) if !before.has_failures() => refused(media, task, &failure).await,
        (None, ..) if is_late => {
            let why = Failed::of(Ending::Deadline, code::DEADLINE_EXCEEDED);
            media.fail(task, why, None).await.map(drop)
        }
        (None, ..) => {
            let why = nobody(media, &task, (filled, before));
            media.fail(task, why, None).await.map(drop)
        }
    }
}

/// What the customer is told of several refusals: what the first finds wrong, in its own words before ours, else what the last says.
fn told<'f>(refusals: &'f [Failure], last: &'f Failure) -> &'f Failure {
    let mut wrong = refusals
        .iter()
        .filter(|failure| failure.class() == Class::Invalid);
    let first = wrong.clone().next();
    let in_its_own_words = wrong.find(|failure| failure.param().is_none());
    in_its_own_words.or(first).unwrap_or(last)
}

/// Why a task fails that these have refused.
fn why(refusals: &[Failure], last: &Failure, before: &Before) -> Failed {
    let told = told(refusals, last);
    if before.is_wrong() && told.class() != Class::Invalid && !told.retryable() {
        return wrong();
    }
    Failed::provider(told)
}

/// Why one fails that others have had, and found wrong. What they said is not kept.
fn wrong() -> Failed {
    Failed::provider(&Failure::reported(Verdict::of(Class::Invalid)))
}

/// Why nobody is asked.
fn nobody(media: &Media, task: &Task, (filled, before): (&Filled, &Before)) -> Failed {
    if before.is_wrong() {
        return wrong();
    }
    if !before.has_failures() && before.is_refused_as_wrong() {
        // Who is left costs more than he brings.
        return wrong();
    }
    if before.has_failures() {
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

/// A provider did not take the task, and none is asked after it. Busy ones are asked again later; what may have been taken is not submitted
/// twice.
pub(super) async fn refused(media: &Media, task: Task, failure: &Failure) -> Result<(), Error> {
    if failure.outcome_known() {
        let (refusals, why) = (std::slice::from_ref(failure), Failed::provider(failure));
        return put_back_or_fail(media, task, (refusals, Others::Asked), why).await;
    }
    let why = Failed::of(Ending::SubmitUnknown, code::SUBMIT_OUTCOME_UNKNOWN);
    if media.fail(task, why, None).await? {
        media.metrics.unknown_submits.inc();
    }
    Ok(())
}

/// Certainly nobody has the task. `why`: why it fails, if it does.
async fn put_back_or_fail(
    media: &Media,
    task: Task,
    (refusals, others): (&[Failure], Others),
    why: Failed,
) -> Result<(), Error> {
    let Some(last) = refusals.last() else {
        return Ok(());
    };
    let found = Finding::failed(Outcome::Refused, last.class().as_str());
    let left = most_attempts(media, &task).saturating_sub(task.attempts);
    match coming(refusals, others, left) {
        Coming::Back(asked) => put_back(media, task, asked, found).await,
        Coming::Never => media.fail(task, why, found).await.map(drop),
    }
}

/// What becomes of a task that was refused. `left`: how many attempts it has after this one.
fn coming(refusals: &[Failure], others: Others, left: i64) -> Coming {
    let busy = refusals.iter().rev().find(|one| one.retryable());
    let asked = busy.and_then(Failure::retry_after);
    // Who only asks for patience gets it, until the deadline; not for what another one has said.
    let is_patient = || {
        let mut all = refusals.iter();
        all.all(|one| one.class() == Class::RateLimited)
    };
    match others {
        Others::Full => Coming::Back(asked),
        Others::Asked if busy.is_some() && (left > 0 || is_patient()) => Coming::Back(asked),
        Others::Asked => Coming::Never,
    }
}

/// There is no room here for what the task needs: it comes again a little later, as if it had not been taken.
pub(super) async fn come_again(media: &Media, task: Task, wants: Wants) -> Result<(), Error> {
    media.leave_unused(&task).await;
    let now = media.db.now_micros();
    let wait = media.peers.pace.wait(super::asker(&task), wants);
    let Some(mut back) = Move::of(task, Event::PutBack) else {
        return Ok(());
    };
    back.after.attempts = back.after.attempts.saturating_sub(1);
    back.after.not_before = now.saturating_add(micros(wait));
    back.after.due_at = back.after.not_before;
    media.make(back).await.map(drop)
}

async fn put_back(
    media: &Media,
    task: Task,
    asked: Option<Duration>,
    found: Finding,
) -> Result<(), Error> {
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
    back.run = Some(found);
    media.make(back).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(class: Class) -> Failure {
        Failure::reported(Verdict::with_detail(class, "theirs"))
    }

    #[test]
    fn what_one_finds_wrong_another_may_take() {
        for (class, expected) in [
            (Class::Auth, true),
            (Class::Balance, true),
            (Class::RateLimited, true),
            (Class::Overloaded, true),
            (Class::Invalid, true),
            (Class::Gone, true),
            (Class::NotSent, true),
            (Class::Moderated, false),
            (Class::Unknown, false),
            (Class::Malformed, false),
        ] {
            assert_eq!(may_go_on(&refusal(class)), expected, "{class}");
        }
    }

    #[test]
    fn who_has_refused_is_asked_for_another_model_only_where_that_may_help() {
        let mut untaken = Untaken::default();
        untaken.note_refusal("busy", refusal(Class::Overloaded));
        untaken.note_refusal("picky", refusal(Class::Invalid));
        untaken.note_refusal("retired", refusal(Class::Gone));
        untaken.note_refusal("short", Failure::unsupported("prompt", "too long"));
        untaken.note_full("full");
        let past = ["busy", "picky", "retired", "short", "full"].map(|name| untaken.is_past(name));
        assert_eq!(past, [true, true, false, false, true]);
    }

    #[test]
    fn who_could_not_be_asked_is_not_asked_for_another_model_in_its_place() {
        let mut untaken = Untaken::default();
        untaken.note_crowded("crowded");
        untaken.note_late("late");
        untaken.note_unfit("no room", refusal(Class::RateLimited));
        untaken.note_unfit("unfit", Failure::unsupported("image", "too large"));
        let past = ["crowded", "late", "no room", "unfit"].map(|name| untaken.is_past(name));
        assert_eq!(past, [true, true, true, false]);
        assert!(untaken.full.is_empty(), "none is stood in line for");
    }

    #[test]
    fn who_costs_more_than_he_brings_is_asked_where_others_can_serve_nobody() {
        let may_cost = |note: fn(&mut Untaken<'static>)| {
            let mut untaken = Untaken::default();
            untaken.note_refusal("down", refusal(Class::Overloaded));
            untaken.note_refusal("empty", refusal(Class::Balance));
            note(&mut untaken);
            untaken.is_outage()
        };
        assert!(may_cost(|_| ()));
        assert!(may_cost(
            |untaken| untaken.note_refusal("away", refusal(Class::NotSent))
        ));
        assert!(!may_cost(
            |untaken| untaken.note_refusal("picky", refusal(Class::Invalid))
        ));
        assert!(!may_cost(
            |untaken| untaken.note_refusal("patient", refusal(Class::RateLimited))
        ));
        assert!(!may_cost(|untaken| untaken.note_unfit(
            "unfit",
            Failure::unsupported("image", "too large")
        )));
        assert!(!may_cost(|untaken| untaken.note_full("full")));
        assert!(!may_cost(|untaken| untaken.note_crowded("crowded")));
    }

    #[test]
    fn as_long_as_one_was_only_busy_it_comes_again() {
        use Class::{Auth, Balance, Invalid, Overloaded, RateLimited};
        for (classes, left, comes) in [
            (vec![Overloaded, Balance], 1, true),
            (vec![Overloaded, Balance], 0, false),
            (vec![RateLimited, Invalid], 1, true),
            (vec![RateLimited, Invalid], 0, false),
            (vec![Invalid, RateLimited], 0, false),
            (vec![RateLimited, RateLimited], -9, true),
            (vec![Overloaded], 0, false),
            (vec![Invalid, Auth], 9, false),
        ] {
            let refusals: Vec<Failure> = classes.iter().copied().map(refusal).collect();
            let expected = if comes {
                Coming::Back(None)
            } else {
                Coming::Never
            };
            assert_eq!(
                coming(&refusals, Others::Asked, left),
                expected,
                "{classes:?}"
            );
            assert_eq!(coming(&refusals, Others::Full, left), Coming::Back(None));
        }
        let pause = Some(Duration::from_secs(7));
        let busy = Failure::reported(Verdict::of(RateLimited).after(pause));
        let refusals = [busy, refusal(Balance)];
        assert_eq!(coming(&refusals, Others::Asked, 1), Coming::Back(pause));
    }

    #[test]
    fn the_first_that_finds_something_wrong_has_the_word() {
        let ours = || Failure::unsupported("prompt", "ours");
        let words = |refusals: &[Failure]| {
            let failure = told(refusals, refusals.last().unwrap());
            format!("{} {}", failure.class(), failure.detail().unwrap_or("-"))
        };
        let busy = refusal(Class::Overloaded);
        assert_eq!(words(&[refusal(Class::Auth), busy]), "overloaded -");
        let (wrong, later) = (refusal(Class::Invalid), refusal(Class::Auth));
        assert_eq!(words(&[wrong, later]), "invalid theirs");
        assert_eq!(words(&[ours(), refusal(Class::Auth)]), "invalid ours");
        assert_eq!(words(&[ours(), refusal(Class::Invalid)]), "invalid theirs");
    }
}
