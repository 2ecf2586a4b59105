//! What became of a task's runs so far, for whoever asks the next provider.

use std::collections::HashSet;

use upstream::Class;

use super::{Candidate, most_attempts, runs};
use crate::{
    Error, Media,
    store::attempt::{Outcome, Run},
    task::Task,
};

/// What another try at the same provider may mend.
const PASSING: [Class; 3] = [Class::RateLimited, Class::Overloaded, Class::NotSent];

/// Who had a task before, or would not have it.
#[derive(Debug, Default)]
pub(crate) struct Before {
    /// Those that had it, and failed it.
    failed: HashSet<String>,
    /// Those that have refused it for what does not pass, the last time they were asked.
    refused: HashSet<String>,
    /// Whether somebody has failed it for what it asks for, and nobody for anything else.
    is_wrong: bool,
    /// Whether somebody would not have it for what it asks for.
    is_refused_as_wrong: bool,
}

// === impl Before ===

impl Before {
    /// Of this task.
    pub(crate) async fn of(media: &Media, task: &Task) -> Result<Self, Error> {
        if task.attempts <= 1 {
            return Ok(Self::default());
        }
        let left = most_attempts(media, task).saturating_sub(task.attempts);
        Ok(Self::read(&runs(media, task).await?, left))
    }

    /// `left`: how many attempts there are after this one. Behind the last, whoever was busy counts as one that refuses it.
    fn read(runs: &[Run], left: i64) -> Self {
        let passing = PASSING.map(Class::as_str);
        let is_passing = |reason: &str| {
            reason == Class::RateLimited.as_str() || left >= 0 && passing.contains(&reason)
        };
        let (mut before, mut is_another_reason) = (Self::default(), false);
        for run in runs {
            if run.has_failed() {
                before.failed.insert(run.provider.clone());
                let is_wrong = run.reason == Class::Invalid.as_str();
                before.is_wrong |= is_wrong;
                is_another_reason |= !is_wrong;
            } else if run.outcome == Outcome::Refused.as_str() {
                before.is_refused_as_wrong |= run.reason == Class::Invalid.as_str();
                if is_passing(&run.reason) {
                    before.refused.remove(&run.provider);
                } else {
                    before.refused.insert(run.provider.clone());
                }
            }
        }
        before.is_wrong &= !is_another_reason;
        before
    }

    /// Whether this provider had it, and failed it. None is asked a second time.
    pub(crate) fn has_failed(&self, provider: &str) -> bool {
        self.failed.contains(provider)
    }

    /// Whether somebody had it, and failed it.
    pub(super) fn has_failures(&self) -> bool {
        !self.failed.is_empty()
    }

    /// Whether all that had it have failed it for what it asks for.
    pub(super) const fn is_wrong(&self) -> bool {
        self.is_wrong
    }

    /// Whether somebody has found something wrong with it, without having had it.
    pub(super) const fn is_refused_as_wrong(&self) -> bool {
        self.is_refused_as_wrong
    }

    /// Whether who costs more than he brings may be asked: what was the matter so far was nothing of the task's own. A job that failed may have failed
    /// for what it was given, whatever was said.
    fn may_cost(&self) -> bool {
        !self.has_failures() && !self.is_refused_as_wrong
    }

    /// Those that are asked now. Of those that have refused it, none is as long as somebody else is left: it would say the same again.
    pub(super) fn left<'a>(&self, mut all: Vec<Candidate<'a>>) -> Vec<Candidate<'a>> {
        let provider = |candidate: &Candidate<'a>| candidate.route.provider.as_str();
        all.retain(|candidate| !self.failed.contains(provider(candidate)));
        all.retain(|candidate| !candidate.route.costly || self.may_cost());
        let has_refused = |candidate: &Candidate<'a>| self.refused.contains(provider(candidate));
        if !all.iter().all(has_refused) {
            all.retain(|candidate| !has_refused(candidate));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(provider: &str, outcome: Outcome, class: Class) -> Run {
        Run {
            number: 1,
            provider: provider.to_owned(),
            outcome: outcome.as_str().to_owned(),
            reason: class.as_str().to_owned(),
            submitted_at: 0,
            cost: None,
            looks: 0,
            stop: None,
        }
    }

    #[test]
    fn who_has_refused_it_for_good_is_not_asked_while_others_are_left() {
        let refused = |provider, class| run(provider, Outcome::Refused, class);
        let runs = [
            refused("picky", Class::Invalid),
            refused("empty", Class::Balance),
            refused("busy", Class::Overloaded),
            refused("patient", Class::RateLimited),
            refused("mended", Class::Auth),
            refused("mended", Class::NotSent),
            run("broken", Outcome::Failed, Class::Overloaded),
        ];
        let names = |left| {
            let before = Before::read(&runs, left);
            assert!(before.has_failed("broken") && !before.has_failed("busy"));
            let mut names: Vec<String> = before.refused.into_iter().collect();
            names.sort();
            names
        };
        assert_eq!(names(0), ["empty", "picky"]);
        assert_eq!(names(-1), ["busy", "empty", "mended", "picky"]);
    }

    #[test]
    fn who_costs_more_than_he_brings_is_asked_where_nothing_is_wrong_with_the_task() {
        for (outcome, class, may_cost) in [
            (Outcome::Refused, Class::Overloaded, true),
            (Outcome::Refused, Class::Balance, true),
            (Outcome::Refused, Class::Invalid, false),
            (Outcome::Failed, Class::Invalid, false),
            (Outcome::Failed, Class::Overloaded, false),
        ] {
            let runs = [
                run("one", outcome, class),
                run("other", Outcome::Refused, Class::NotSent),
            ];
            let before = Before::read(&runs, 1);
            assert_eq!(before.may_cost(), may_cost, "{outcome:?} {class}");
        }
        assert!(Before::default().may_cost());
    }

    #[test]
    fn only_what_nobody_failed_for_another_reason_is_wrong() {
        let wrong = run("one", Outcome::Failed, Class::Invalid);
        let other = run("other", Outcome::Failed, Class::Overloaded);
        let is_wrong = |runs: &[Run]| Before::read(runs, 1).is_wrong();
        assert!(is_wrong(std::slice::from_ref(&wrong)));
        assert!(!is_wrong(&[wrong.clone(), other.clone()]));
        assert!(!is_wrong(&[other, wrong]));
        assert!(!is_wrong(&[]));
    }
}
