//! Room at providers: how many jobs may be open at one at once, how often it is asked, and the pauses it wants. What several processes
//! have together is counted in the shared state; a pause is kept to by the process that was asked for it.
//!
//! A task has its slot from before its submit until it leaves the provider. The slot is called by the task's id, so that it may be taken
//! and given back twice, by whichever process; one that nobody gives back ends with the task's deadline.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chassis::config::Provider;
use domain::{Mode, TaskId};
use futures::future::join_all;
use live::{Admission, Rate, SharedLive};
use tokio::{sync::Notify, time::Instant};
use tracing::warn;

/// From this limit on, calls may come in bursts of a tenth of it.
const BURSTS_FROM: u32 = 10;
/// What is kept back of a limit: for the burst, and as much again for calls that come to the provider later than they were counted.
const FIFTH: u32 = 5;
const SECONDS_OF_A_MINUTE: u32 = 60;

/// What is asked of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    /// To take a job.
    Submit,
    /// How a job stands.
    Look,
}

/// A provider, as keys of one mode reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place<'p> {
    pub(crate) mode: Mode,
    pub(crate) provider: &'p str,
}

/// How much a provider may be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    /// Jobs open at once; 0: not limited.
    max_jobs: u32,
    /// Jobs in a time, and what each count is called.
    submits: Vec<(&'static str, Rate)>,
    looks: Option<Rate>,
}

/// What is counted, and who waits.
pub(super) struct Rooms {
    limits: HashMap<String, Limits>,
    unknown: Limits,
    live: SharedLive,
    /// Until when a provider wants a pause of this call.
    pauses: Mutex<HashMap<Paused, Instant>>,
    /// Where this process has taken room for a task that it is at or is about to take.
    taken: Mutex<HashMap<TaskId, Taken>>,
    /// There may be room again.
    pub(super) room: Notify,
}

/// What a provider wants a pause of.
type Paused = (Mode, Call, Box<str>);

/// Room that was taken for a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) provider: Box<str>,
    pub(super) submit: Submit,
}

/// The submit that room was taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Submit {
    /// It is counted, and yet to be made.
    Ahead,
    /// It is made: the next one counts anew.
    Made,
}

// === impl Limits ===

impl Limits {
    pub(super) fn of(section: &Provider) -> Self {
        let submits = [
            (
                "minute",
                even(section.submits_per_minute, section.submits_per_minute),
            ),
            (
                "second",
                even(
                    section.submits_per_second,
                    section
                        .submits_per_second
                        .saturating_mul(SECONDS_OF_A_MINUTE),
                ),
            ),
        ];
        let looks = section.looks_per_second;
        Self {
            max_jobs: section.max_jobs,
            submits: submits
                .into_iter()
                .filter_map(|(name, rate)| Some((name, rate?)))
                .collect(),
            looks: even(looks, looks.saturating_mul(SECONDS_OF_A_MINUTE)),
        }
    }

    /// Whether a task may have to wait before it is submitted.
    fn limits_submits(&self) -> bool {
        self.max_jobs > 0 || !self.submits.is_empty()
    }
}

/// A rate by which no window of a limit's length sees more calls than the limit, even if some come late.
/// `None`: not limited.
fn even(limit: u32, per_minute: u32) -> Option<Rate> {
    if limit == 0 {
        return None;
    }
    let burst = limit.checked_div(BURSTS_FROM).unwrap_or_default().max(1);
    let kept_back = match per_minute {
        ..BURSTS_FROM => 0,
        _ => per_minute.div_ceil(FIFTH),
    };
    Some(Rate {
        per_minute: per_minute.saturating_sub(kept_back),
        burst,
    })
}

// === impl Place ===

impl Place<'_> {
    fn key(&self, what: &str) -> String {
        format!("media:{}:{}:{what}", self.mode.as_str(), self.provider)
    }
}

// === impl Rooms ===

impl Rooms {
    pub(super) fn new(limits: HashMap<String, Limits>, live: SharedLive) -> Self {
        Self {
            limits,
            unknown: Limits::default(),
            live,
            pauses: Mutex::default(),
            taken: Mutex::default(),
            room: Notify::new(),
        }
    }

    /// Whether a task may have to wait before it is submitted there.
    pub(super) fn limits_submits(&self, provider: &str) -> bool {
        self.of(provider).limits_submits()
    }

    /// Jobs that may be open there at once; 0: not limited.
    pub(super) fn max_jobs(&self, provider: &str) -> u32 {
        self.of(provider).max_jobs
    }

    /// Takes room for one submit of a task, for so long at most.
    pub(super) async fn take(&self, place: Place<'_>, task: TaskId, life: Duration) -> bool {
        if self.pauses(place, Call::Submit) {
            return false;
        }
        let limits = self.of(place.provider);
        for (number, (name, rate)) in limits.submits.iter().enumerate() {
            if self.admits(&place.key(name), *rate).await {
                continue;
            }
            self.take_all_back(place, number).await;
            return false;
        }
        // Last, because it is never given back here: another process that looks at the same task may have it by now, under the same name.
        if !self.take_slot(place, task, life).await {
            self.take_all_back(place, limits.submits.len()).await;
            return false;
        }
        let (provider, submit) = (place.provider.into(), Submit::Ahead);
        locked(&self.taken).insert(task, Taken { provider, submit });
        true
    }

    /// Takes the first of the rates that were counted for a submit back.
    async fn take_all_back(&self, place: Place<'_>, count: usize) {
        for (name, rate) in self.of(place.provider).submits.iter().take(count) {
            self.take_back(&place.key(name), *rate).await;
        }
    }

    /// Gives back what was taken for a submit that is not made.
    pub(super) async fn untake(&self, place: Place<'_>, task: TaskId) {
        self.take_all_back(place, usize::MAX).await;
        self.forget(task);
        self.give(place, task).await;
    }

    /// Keeps, or takes again, the slot of a task that has one or should. `false`: there is no room for it.
    pub(super) async fn keep(&self, place: Place<'_>, task: TaskId, life: Duration) -> bool {
        let most = self.of(place.provider).max_jobs;
        if most == 0 {
            return true;
        }
        let (key, slot) = (place.key("jobs"), task.to_bytes());
        let kept = self.live.renew_slot(&key, slot, most, life).await;
        kept.unwrap_or_else(|error| {
            warn!(%error, "cannot count the jobs of a provider");
            false
        })
    }

    async fn take_slot(&self, place: Place<'_>, task: TaskId, life: Duration) -> bool {
        let most = self.of(place.provider).max_jobs;
        if most == 0 {
            return true;
        }
        let (key, slot) = (place.key("jobs"), task.to_bytes());
        let taken = self.live.take_slot(&key, slot, most, life).await;
        taken.unwrap_or_else(|error| {
            warn!(%error, "cannot count the jobs of a provider");
            false
        })
    }

    /// The task has left the provider, or never came there.
    pub(super) async fn give(&self, place: Place<'_>, task: TaskId) {
        if self.of(place.provider).max_jobs == 0 {
            return;
        }
        let (key, slot) = (place.key("jobs"), task.to_bytes());
        if let Err(error) = self.live.give_slot(&key, slot).await {
            // It ends by itself with the task's deadline.
            warn!(%error, "cannot give back the slot of a job");
        }
    }

    /// Where this process has taken room for a task, if it has.
    pub(super) fn taken(&self, task: TaskId) -> Option<Taken> {
        locked(&self.taken).get(&task).cloned()
    }

    /// The submit that room was taken for is made now.
    pub(super) fn submits(&self, task: TaskId) {
        if let Some(taken) = locked(&self.taken).get_mut(&task) {
            taken.submit = Submit::Made;
        }
    }

    /// This process has ended its step of the task; another step, here or elsewhere, takes room afresh.
    pub(super) fn forget(&self, task: TaskId) {
        locked(&self.taken).remove(&task);
    }

    /// How many of so many looks may be made now. Those are counted.
    pub(super) async fn looks(&self, place: Place<'_>, wanted: usize) -> usize {
        if self.pauses(place, Call::Look) {
            return 0;
        }
        let Some(rate) = self.of(place.provider).looks else {
            return wanted;
        };
        let burst = usize::try_from(rate.burst).unwrap_or(usize::MAX);
        let key = place.key("looks");
        let asked = join_all((0..wanted.min(burst)).map(|_| self.admits(&key, rate))).await;
        asked.into_iter().filter(|admitted| *admitted).count()
    }

    /// So many looks were not made after all.
    pub(super) async fn unlook(&self, place: Place<'_>, count: usize) {
        if let Some(rate) = self.of(place.provider).looks {
            let key = place.key("looks");
            join_all((0..count).map(|_| self.take_back(&key, rate))).await;
        }
    }

    /// The provider wants a pause.
    pub(super) fn pause(&self, place: Place<'_>, call: Call, pause: Duration) {
        let until = Instant::now()
            .checked_add(pause)
            .unwrap_or_else(Instant::now);
        let mut pauses = locked(&self.pauses);
        let known = pauses
            .entry((place.mode, call, place.provider.into()))
            .or_insert(until);
        *known = until.max(*known);
    }

    fn pauses(&self, place: Place<'_>, call: Call) -> bool {
        let pauses = locked(&self.pauses);
        let until = pauses.get(&(place.mode, call, place.provider.into()));
        until.is_some_and(|until| *until > Instant::now())
    }

    async fn admits(&self, key: &str, rate: Rate) -> bool {
        match self.live.admit(key, rate).await {
            Ok(Admission::Allowed { .. }) => true,
            Ok(Admission::Refused { .. }) => false,
            Err(error) => {
                warn!(%error, "cannot count the calls to a provider");
                false
            }
        }
    }

    async fn take_back(&self, key: &str, rate: Rate) {
        if let Err(error) = self.live.uncount(key, rate).await {
            // A call too many is counted: the provider is asked a little less.
            warn!(%error, "cannot take back a call to a provider");
        }
    }

    fn of(&self, provider: &str) -> &Limits {
        self.limits.get(provider).unwrap_or(&self.unknown)
    }
}

impl std::fmt::Debug for Rooms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rooms")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// What is behind these locks is whole between any two statements, so a panic elsewhere does not spoil it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chassis::{clock::mint, config::Settings};
    use live::memory::MemoryLive;

    use super::*;

    const PLACE: Place<'_> = Place {
        mode: Mode::Live,
        provider: "bfl",
    };
    const LIFE: Duration = Duration::from_secs(60);

    /// Room at one provider.
    fn rooms(section: &str) -> Rooms {
        let settings = Settings::from_toml(&format!("[providers.bfl]\n{section}"));
        let limits = Limits::of(&settings.provider("bfl").unwrap());
        let live = Arc::new(MemoryLive::new(&live::memory::Limits::default()));
        Rooms::new([("bfl".to_owned(), limits)].into(), live)
    }

    #[tokio::test]
    async fn a_provider_that_wants_a_pause_has_it() {
        let rooms = rooms("");
        rooms.pause(PLACE, Call::Look, Duration::from_secs(10));
        rooms.pause(PLACE, Call::Look, Duration::from_secs(5));
        assert_eq!(rooms.looks(PLACE, 3).await, 0);
        // Other calls, keys of the other mode, and other providers are not meant.
        let task = mint();
        assert!(rooms.take(PLACE, task, LIFE).await);
        let test = Place {
            mode: Mode::Test,
            ..PLACE
        };
        assert_eq!(rooms.looks(test, 3).await, 3);
        rooms.pause(PLACE, Call::Submit, Duration::ZERO);
        assert!(rooms.take(PLACE, task, LIFE).await);
        rooms.pause(PLACE, Call::Submit, Duration::from_secs(20));
        assert!(!rooms.take(PLACE, task, LIFE).await);
    }

    #[tokio::test]
    async fn what_finds_no_room_takes_none() {
        let rooms = rooms("max_jobs = 2\nsubmits_per_minute = 1");
        let (first, second) = (mint(), mint());
        assert!(rooms.take(PLACE, first, LIFE).await);
        // The minute is used up; the slot and what is counted by the second are given back.
        assert!(!rooms.take(PLACE, second, LIFE).await);
        assert_eq!(rooms.taken(second), None);
        rooms.untake(PLACE, first).await;
        assert!(rooms.take(PLACE, second, LIFE).await);
    }

    #[tokio::test]
    async fn a_slot_that_nobody_gives_back_ends() {
        let rooms = rooms("max_jobs = 1");
        assert!(rooms.take(PLACE, mint(), Duration::ZERO).await);
        assert!(rooms.take(PLACE, mint(), LIFE).await);
        assert!(!rooms.take(PLACE, mint(), LIFE).await);
    }

    #[tokio::test]
    async fn a_slot_lost_is_taken_again_if_there_is_room() {
        let rooms = rooms("max_jobs = 1");
        let (first, second) = (mint(), mint());
        assert!(rooms.keep(PLACE, first, LIFE).await);
        assert!(!rooms.keep(PLACE, second, LIFE).await);
        assert!(!rooms.take(PLACE, second, LIFE).await);
        rooms.give(PLACE, first).await;
        assert!(rooms.take(PLACE, second, LIFE).await);
    }

    #[tokio::test]
    async fn looks_not_made_are_not_counted() {
        let rooms = rooms("looks_per_second = 20");
        assert_eq!(rooms.looks(PLACE, 5).await, 2);
        assert_eq!(rooms.looks(PLACE, 5).await, 0);
        rooms.unlook(PLACE, 1).await;
        assert_eq!(rooms.looks(PLACE, 5).await, 1);
        let unlimited = Place {
            provider: "another",
            ..PLACE
        };
        assert_eq!(rooms.looks(unlimited, 5).await, 5);
    }

    /// Calls that a rate admits within a window at most, its ends included: a burst, and one for each interval.
    fn most(rate: Rate, seconds: u32) -> u32 {
        let interval = 60_000_000_000_u64.div_ceil(rate.per_minute.into());
        let window = u64::from(seconds) * 1_000_000_000;
        rate.burst + u32::try_from(window / interval).unwrap()
    }

    #[test]
    fn no_window_sees_more_than_the_limit() {
        for limit in (1..200).chain([500, 1_000, 6_000, 60_000]) {
            let rate = even(limit, limit * 60).unwrap();
            assert!(most(rate, 1) <= limit, "{limit} a second: {rate:?}");
            // And nearly as many as it may.
            assert!(limit < 10 || most(rate, 1) >= limit * 8 / 10, "{rate:?}");
            // With room for some that come late.
            assert!(
                limit < 20 || most(rate, 1) <= limit - limit / 20,
                "{rate:?}"
            );
        }
        for limit in (10..200).chain([600, 6_000]) {
            let rate = even(limit, limit).unwrap();
            assert!(most(rate, 60) <= limit, "{limit} a minute: {rate:?}");
        }
        // Few a minute are as far from each other as they can be.
        let few = even(4, 4).unwrap();
        assert_eq!((few.per_minute, few.burst), (4, 1));
        assert_eq!(even(0, 0), None);
    }
}
