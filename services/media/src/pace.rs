//! How much of providers is asked, and when: each has its own schedule of looks, its own limits, and a line of tasks that wait for room.

mod calls;
mod room;
mod schedule;
mod waiting;

use std::{collections::HashMap, time::Duration};

use chassis::{
    clock::micros,
    config::{Poll, Settings},
};
use domain::{Mode, TaskId, catalogue::ProviderRoute};
use futures::{StreamExt as _, stream};
use live::SharedLive;
use tokio::time::{Instant, sleep};
use upstream::{Class, Failure};

use self::{
    calls::Calls,
    room::{Limits, Rooms, Submit, Taken},
    schedule::{Schedule, Turn},
};
pub(crate) use self::{
    calls::Wants,
    room::{Call, Place},
    waiting::Asker,
};
use crate::{
    Error, Media, config,
    moves::Move,
    places,
    state::{Event, State},
    store::line::{self as table, Ending},
    task::Task,
};

/// The pause that a provider is given which says that it is looked at too often, and not how long to wait.
const LOOKED_TOO_OFTEN: Duration = Duration::from_secs(1);
/// Slots asked for at once.
const AT_ONCE: usize = 32;
/// Both modes.
pub(crate) const MODES: [Mode; 2] = [Mode::Live, Mode::Test];

/// What was settled for each provider, and what is counted.
#[derive(Debug)]
pub(crate) struct Pace {
    rooms: Rooms,
    calls: Calls,
    schedules: HashMap<String, Schedule>,
    /// For jobs at a provider that is configured no longer.
    unknown: Schedule,
}

// === impl Pace ===

impl Pace {
    /// Reads what is configured for these providers; with each what counts where nothing is.
    ///
    /// # Errors
    /// When a provider's section does not hold together.
    pub(crate) fn read(
        settings: &Settings,
        all: &config::Limits,
        providers: &HashMap<&str, Poll>,
        live: SharedLive,
    ) -> Result<Self, chassis::config::Error> {
        let (mut schedules, mut limits) = (HashMap::new(), HashMap::new());
        let (calls, all) = (Calls::new(all), &all.poll);
        for (name, usual) in providers {
            let section = settings.provider(name)?;
            let own = Poll {
                first: section.poll.first.or(all.first).or(usual.first),
                longest: section.poll.longest.or(all.longest).or(usual.longest),
                ..section.poll
            };
            schedules.insert((*name).to_owned(), Schedule::of(name, own, all)?);
            limits.insert((*name).to_owned(), Limits::of(&section));
        }
        Ok(Self {
            rooms: Rooms::new(limits, live),
            calls,
            schedules,
            unknown: Schedule::of("", Poll::default(), all)?,
        })
    }

    fn schedule(&self, provider: &str) -> &Schedule {
        self.schedules.get(provider).unwrap_or(&self.unknown)
    }

    /// Ends when there may be room for somebody who stands in a line, or somebody has come.
    pub(crate) async fn news(&self) {
        self.rooms.room.notified().await;
    }

    /// How many of so many looks may be made now. Those are counted.
    pub(crate) async fn looks(&self, place: Place<'_>, wanted: usize) -> usize {
        self.rooms.looks(place, wanted).await
    }

    /// So many looks were not made after all.
    pub(crate) async fn unlook(&self, place: Place<'_>, count: usize) {
        self.rooms.unlook(place, count).await;
    }

    /// A place for a call that lasts as long as the work, for as long as what it answers is not kept; `None`: there is none for this task.
    pub(crate) fn place_for_a_call(&self, asker: &Asker) -> Option<places::Place> {
        self.calls.take(asker)
    }

    /// Whether there is one now.
    pub(crate) fn has_place_for_a_call(&self, asker: &Asker) -> bool {
        self.calls.has_place(asker)
    }

    /// How long a task waits, before it comes again, for what there is too little of in this process.
    pub(crate) fn wait(&self, asker: Asker, wants: Wants) -> Duration {
        self.calls.wait(asker, wants)
    }

    /// This process has ended its step of a task; another step, here or elsewhere, takes room afresh.
    pub(crate) fn done(&self, task: TaskId) {
        self.rooms.forget(task);
    }
}

/// The name of the line for room at any of these providers.
fn name(mode: Mode, providers: &[&str]) -> String {
    format!("{}/{}", mode.as_str(), providers.join(","))
}

/// The mode and the providers of a line.
fn read_name(line: &str) -> Option<(Mode, impl Iterator<Item = &str>)> {
    let (mode, providers) = line.split_once('/')?;
    Some((Mode::parse(mode)?, providers.split(',')))
}

// === impl Media: lines and room ===

impl Media {
    /// The line in which a new task stands: none if one of its providers takes as many as there are.
    pub(crate) fn line<'r>(
        &self,
        mode: Mode,
        routes: impl Iterator<Item = &'r ProviderRoute>,
    ) -> String {
        let providers = self.reached(mode, routes);
        let limited = |provider: &&str| self.peers.pace.rooms.limits_submits(provider);
        if providers.is_empty() || !providers.iter().all(limited) {
            return String::new();
        }
        name(mode, &providers)
    }

    /// The providers of these routes that can be asked, each once, in order.
    fn reached<'r>(
        &self,
        mode: Mode,
        routes: impl Iterator<Item = &'r ProviderRoute>,
    ) -> Vec<&'r str> {
        let mut providers: Vec<&str> = Vec::new();
        for provider in routes.map(|route| route.provider.as_str()) {
            let reached = self.accesses.access(mode, provider).is_some();
            if reached && !providers.contains(&provider) {
                providers.push(provider);
            }
        }
        providers
    }

    /// Takes room for a task at the head of a line, before it is taken out of it. `false`: there is none, for nobody in this line.
    pub(crate) async fn make_room(&self, line: &str, next: Ending) -> bool {
        let Some((mode, providers)) = read_name(line) else {
            // Nobody can say whose room it waits for: it may go on, and finds out.
            return true;
        };
        let mut reached = 0_u32;
        for provider in providers {
            if self.accesses.access(mode, provider).is_none() {
                continue;
            }
            reached = reached.saturating_add(1);
            let place = Place { mode, provider };
            let life = self.life(next.deadline_at);
            if self.peers.pace.rooms.take(place, next.task, life).await {
                return true;
            }
        }
        // Where nobody can be asked, the task goes on and fails.
        reached == 0
    }

    /// A task that room was taken for was not taken out of its line after all: somebody else has it, or it is over. In the first case
    /// the slot is that one's now.
    pub(crate) async fn leave_room(&self, line: &str, task: TaskId) -> Result<(), Error> {
        let (rooms, sealer) = (&self.peers.pace.rooms, self.secrets.content());
        let taken = rooms.taken(task);
        rooms.forget(task);
        let found = crate::store::task::get(self.db.reader(), task, sealer);
        let found = self.db.read(found).await?;
        if found.is_some_and(|task| !task.state.is_terminal()) {
            return Ok(());
        }
        if let (Some((mode, _)), Some(taken)) = (read_name(line), taken) {
            let provider = &taken.provider;
            rooms.untake(Place { mode, provider }, task).await;
        }
        Ok(())
    }

    /// Whether a task may be submitted to a provider now. From then on it has its slot there, and none at another one.
    pub(crate) async fn enter(&self, task: &Task, provider: &str) -> bool {
        let rooms = &self.peers.pace.rooms;
        let (mode, life) = (task.mode, self.life(task.deadline_at));
        let place = Place { mode, provider };
        let before = rooms.taken(task.id);
        let is_ahead =
            |taken: &Taken| *taken.provider == *provider && taken.submit == Submit::Ahead;
        let has_room = if before.as_ref().is_some_and(is_ahead) {
            // If it was taken long ago, the slot may have gone to somebody else since.
            rooms.keep(place, task.id, life).await
        } else {
            rooms.take(place, task.id, life).await
        };
        if !has_room {
            return false;
        }
        rooms.submits(task.id);
        if let Some(before) = before.filter(|before| *before.provider != *provider) {
            let provider = &before.provider;
            rooms.give(Place { mode, provider }, task.id).await;
        }
        true
    }

    /// Room that was taken for a task is not used now: it is as if it had not been taken.
    pub(crate) async fn leave_unused(&self, task: &Task) {
        let rooms = &self.peers.pace.rooms;
        if let Some(taken) = rooms.taken(task.id) {
            let (mode, provider) = (task.mode, taken.provider.as_ref());
            rooms.untake(Place { mode, provider }, task.id).await;
        }
    }

    /// None of the providers that can have a task, which was taken, has room for it: it stands in their line, as if it had not been.
    pub(crate) async fn wait_for_room(&self, task: Task, full: &[&str]) -> Result<(), Error> {
        let line = name(task.mode, full);
        let Some(mut back) = Move::of(task, Event::PutBack) else {
            return Ok(());
        };
        back.after.attempts = back.after.attempts.saturating_sub(1);
        back.after.not_before = back.after.created_at;
        back.after.line = line;
        self.make(back).await.map(drop)
    }

    /// What a move means for room: a task that leaves its provider gives its slot back, and one that stands in line is news.
    pub(crate) async fn keep_pace(&self, before: &Task, after: &Task) {
        let at_provider = |task: &Task| matches!(task.state, State::Starting | State::Running);
        let is_new = before.state == State::Reserving;
        let rooms = &self.peers.pace.rooms;
        if !is_new && !at_provider(after) {
            rooms.forget(after.id);
            let routes = self.catalogue.find(&after.model);
            let routes = routes.into_iter().flat_map(|model| &model.providers);
            for provider in self.reached(after.mode, routes) {
                let mode = after.mode;
                rooms.give(Place { mode, provider }, after.id).await;
            }
            rooms.room.notify_one();
        } else if after.state == State::Queued && !after.line.is_empty() {
            rooms.room.notify_one();
        }
    }

    /// Heeds a provider that asks for patience.
    pub(crate) fn heed(&self, mode: Mode, provider: &str, call: Call, failure: &Failure) {
        if failure.class() != Class::RateLimited {
            return;
        }
        let pause = match (failure.retry_after(), call) {
            (Some(pause), _) => pause,
            (None, Call::Look) => LOOKED_TOO_OFTEN,
            // Perhaps it has too many jobs of ours, and perhaps one of them has just ended: each task has a wait of its own.
            (None, Call::Submit) => return,
        };
        let rooms = &self.peers.pace.rooms;
        rooms.pause(Place { mode, provider }, call, pause);
    }

    /// Whether a job at a provider may be looked at now, or stopped there; it is counted then.
    pub(crate) async fn may_look(&self, mode: Mode, provider: &str) -> bool {
        self.peers.pace.looks(Place { mode, provider }, 1).await > 0
    }

    /// As [`Media::may_look`], for what can wait a little, and has since then.
    pub(crate) async fn may_ask(&self, mode: Mode, provider: &str, since: Instant) -> bool {
        while !self.may_look(mode, provider).await {
            if since.elapsed() >= self.config.poll.cancel.wait {
                return false;
            }
            sleep(self.config.tick).await;
        }
        true
    }

    /// Has those slots kept whose tasks are looked at: the shared state may have lost them.
    pub(crate) async fn keep_slots(&self, place: Place<'_>, tasks: &[Task]) {
        let rooms = &self.peers.pace.rooms;
        if rooms.max_jobs(place.provider) == 0 {
            return;
        }
        let keep = |task: &Task| rooms.keep(place, task.id, self.life(task.deadline_at));
        futures::future::join_all(tasks.iter().map(keep)).await;
    }

    /// At the start of a process, before anything is submitted: the jobs that run have their slots, whatever the shared state has
    /// forgotten.
    pub(crate) async fn remember_jobs(&self) -> Result<(), Error> {
        let rooms = &self.peers.pace.rooms;
        for mode in MODES {
            for provider in self.peers.pace.schedules.keys() {
                let most = i64::from(rooms.max_jobs(provider));
                if most == 0 {
                    continue;
                }
                let jobs = table::jobs(self.db.reader(), mode, provider, most);
                let jobs = self.db.read(jobs).await?;
                let place = Place { mode, provider };
                stream::iter(jobs)
                    .map(|job| rooms.keep(place, job.task, self.life(job.deadline_at)))
                    .buffer_unordered(AT_ONCE)
                    .for_each(|_| async {})
                    .await;
            }
        }
        Ok(())
    }

    /// How long a slot lives that nobody gives back: until nobody can be at the task any more.
    fn life(&self, deadline_at: i64) -> Duration {
        let left = deadline_at.saturating_sub(self.db.now_micros());
        Duration::from_micros(u64::try_from(left).unwrap_or_default())
            .saturating_add(self.config.lease)
    }
}

// === impl Media: the schedule ===

impl Media {
    /// When to look for the first time at a job that a provider took just now.
    pub(crate) fn first_look(&self, task: &Task, provider: &str) -> i64 {
        let schedule = self.peers.pace.schedule(provider);
        self.in_time(schedule.first(&self.turn(task, 0)))
    }

    /// When to look again at a job that is not done.
    pub(crate) fn next_look(&self, task: &Task) -> i64 {
        let schedule = self.schedule_of(task);
        self.in_time(schedule.next(&self.turn(task, 0)))
    }

    /// When to look again after a look that failed. `asked`: the pause that the provider wants.
    pub(crate) fn look_again(&self, task: &Task, asked: Option<Duration>) -> i64 {
        let schedule = self.schedule_of(task);
        let turn = self.turn(task, task.poll_failures.saturating_add(1));
        self.in_time(match asked {
            Some(asked) => schedule.after(asked, &turn),
            None => schedule.next(&turn),
        })
    }

    fn schedule_of(&self, task: &Task) -> &Schedule {
        let provider = task.provider.as_deref().unwrap_or_default();
        self.peers.pace.schedule(provider)
    }

    fn turn(&self, task: &Task, failures: i64) -> Turn {
        let usual = match task.mode {
            Mode::Live => self.catalogue.find(&task.model),
            // The sandbox is not slow for the sake of being like a provider.
            Mode::Test => None,
        };
        let usual = usual.and_then(|model| model.usual_seconds);
        Turn {
            task: task.id,
            looks: task.polls,
            failures,
            usual: usual.map(|seconds| Duration::from_secs(seconds.into())),
        }
    }

    fn in_time(&self, wait: Duration) -> i64 {
        self.db.now_micros().saturating_add(micros(wait))
    }
}
