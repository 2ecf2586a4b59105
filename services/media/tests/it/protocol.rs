//! The life of a task and its hold, in every order of events: a customer submits it, two processes take it, look at it and sweep it,
//! media and billing talk by calls that are late, lost and repeated; processes die, bells get lost, leases and deadlines end at any
//! moment. The checker visits every state that can come of it.
//!
//! What an event makes of a task is the real `src/state.rs`. The steps follow the code beside it (`protocol/steps.rs`), with one
//! hold of billing's ledger, which `billing/tests/it/protocol.rs` checks for itself.
//!
//! Then flaws are built in, one at a time, and the checker must find out: a checker that cannot fail proves nothing.
#![expect(
    clippy::wildcard_enum_match_arm,
    clippy::struct_excessive_bools,
    reason = "a model is small, and what may be true at once is what it is about"
)]

#[expect(
    dead_code,
    reason = "the words of SQL and of customers are not needed here"
)]
#[path = "../../src/state.rs"]
mod state;
mod steps;
mod world;

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model, Property};

use self::{
    state::State,
    world::{Event, Hold, Look, Told, World},
};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    Nothing,
    /// Whoever knows something of a task writes it down, whoever has the task now.
    NoFence,
    NobodySweeps,
    /// What a dead process was at gets its hold back, and stays as it is.
    SweepsTheHoldOnly,
    /// Billing is told to charge before the task is completed.
    SettlesFirst,
    /// A submit is made without being written down before.
    NotNoted,
    /// Whoever gives a task up, or finds it never accepted, does not release its hold.
    ForgetsTheHold,
    /// A release of a hold that has not come yet leaves nothing behind.
    NoTombstone,
    /// A task's hold ends by time.
    HoldsExpire,
    /// A call that asks for a hold can arrive a second time, long after it was answered.
    CallsComeTwice,
    /// A submit can arrive a second time, with the same id, after it was given up.
    SubmitsComeTwice,
    /// The bell of a new task is rung by the process that accepts it, if it lives that long.
    RingsWithoutOutbox,
}

struct Protocol {
    flaw: Flaw,
}

/// What must always be true.
mod promise {
    pub(super) const COVERED: &str = "what was accepted and not ended has its price set aside";
    pub(super) const SETTLED: &str = "charged is what completed, given back is what did not";
    pub(super) const FINAL: &str = "the first end is the last, and billing is told once how it was";
    pub(super) const KEPT: &str = "an accepted task stays";
    pub(super) const GONE: &str = "a refused task is nowhere";
    pub(super) const PAID: &str = "no provider is paid twice";
    pub(super) const RESTS: &str = "left alone, everything ends and nothing is left behind";
}

impl Model for Protocol {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        vec![World::new()]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        steps::possible(self.flaw, world, events);
    }

    fn next_state(&self, before: &World, event: Event) -> Option<World> {
        let mut world = *before;
        steps::happen(self.flaw, &mut world, event);
        world.simplify();
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(promise::COVERED, |_, world: &World| match world.state() {
                Some(State::Queued | State::Starting | State::Running) => world.hold == Hold::Open,
                _ => true,
            }),
            Property::always(promise::SETTLED, |_, world: &World| match world.hold {
                Hold::None | Hold::Open => true,
                Hold::Captured => world.state() == Some(State::Completed),
                Hold::Released | Hold::Tombstone => {
                    matches!(world.state(), None | Some(State::Failed))
                }
            }),
            Property::always(promise::FINAL, |_, world: &World| {
                let end = world.history.end;
                (end.is_none() || world.state() == end) && world.history.settlements <= 1
            }),
            Property::always(promise::KEPT, |_, world: &World| {
                let kept = world.task.is_some_and(|row| row.state != State::Reserving);
                world.told != Told::Accepted || kept
            }),
            Property::always(promise::GONE, |_, world: &World| {
                world.told != Told::Refused || world.task.is_none()
            }),
            Property::always(promise::PAID, |_, world: &World| world.history.jobs <= 1),
            Property::always(promise::RESTS, Protocol::rests),
        ]
    }
}

// === impl Protocol ===

impl Protocol {
    /// From here on nothing fails any more, and the customer only waits.
    fn rests(&self, world: &World) -> bool {
        let mut world = *world;
        let mut events = Vec::new();
        // Longer than any way there is.
        for _ in 0..100 {
            events.clear();
            steps::possible(self.flaw, &world, &mut events);
            let good = events.iter().filter(|event| is_sure(&world, **event));
            let mut next = good.filter_map(|event| self.next_state(&world, *event));
            match next.next() {
                Some(after) => world = after,
                None => return world.is_at_rest(),
            }
        }
        false
    }
}

/// What happens in the end, if nothing fails any more.
fn is_sure(world: &World, event: Event) -> bool {
    match event {
        Event::Cancel
        | Event::DeadlinePasses
        | Event::HoldExpires
        | Event::SubmitterDies
        | Event::Dies(_)
        | Event::BellIsLost
        | Event::ProviderTells(_, Look::Running) => false,
        // An old call that comes once more would be luck.
        Event::SettleArrives(_) => world.outbox.settle.is_some(),
        _ => true,
    }
}

fn keeps_every_promise(flaw: Flaw) {
    let checker = Protocol { flaw }.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    let states = checker.unique_state_count();
    assert!(states > 10_000, "only {states} states were visited");
}

/// The checker must find a way to break this promise.
fn breaks(flaw: Flaw, promise: &'static str) {
    let found = HasDiscoveries::AnyOf(BTreeSet::from([promise]));
    let model = Protocol { flaw };
    let checker = model.checker().threads(2).finish_when(found).spawn_bfs();
    let way = checker.join().discovery(promise);
    assert!(way.is_some(), "{flaw:?} was not found out");
}

#[test]
fn every_order_of_events_keeps_every_promise() {
    keeps_every_promise(Flaw::Nothing);
}

#[test]
fn a_move_of_whoever_lost_the_task() {
    breaks(Flaw::NoFence, promise::FINAL);
}

#[test]
fn tasks_that_nobody_sweeps() {
    breaks(Flaw::NobodySweeps, promise::RESTS);
}

#[test]
fn a_sweep_that_frees_the_hold_and_leaves_the_task() {
    breaks(Flaw::SweepsTheHoldOnly, promise::SETTLED);
}

#[test]
fn a_charge_before_the_end() {
    breaks(Flaw::SettlesFirst, promise::SETTLED);
}

#[test]
fn a_submit_that_was_not_written_down() {
    breaks(Flaw::NotNoted, promise::PAID);
}

#[test]
fn a_task_that_is_given_up_without_its_hold() {
    breaks(Flaw::ForgetsTheHold, promise::RESTS);
}

#[test]
fn a_release_that_leaves_no_tombstone() {
    breaks(Flaw::NoTombstone, promise::RESTS);
}

#[test]
fn a_hold_that_ends_by_time() {
    breaks(Flaw::HoldsExpire, promise::COVERED);
}

/// A refusal at the first try releases nothing: that rests on calls that arrive once at most, as gRPC's do.
#[test]
fn a_call_that_arrives_again_after_its_refusal() {
    breaks(Flaw::CallsComeTwice, promise::RESTS);
}

/// A release may be on its way that belongs to the first one: that rests on the edge, which sends a submit once.
#[test]
fn a_submit_that_arrives_again_after_it_was_given_up() {
    breaks(Flaw::SubmitsComeTwice, promise::COVERED);
}

/// The sweeper stands behind it.
#[test]
fn a_bell_that_dies_with_its_process_is_harmless() {
    keeps_every_promise(Flaw::RingsWithoutOutbox);
}
