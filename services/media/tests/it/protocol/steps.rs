//! What each event does, as the code does it: `submit.rs`, `worker.rs`, `execute.rs`, `moves.rs`, `finish.rs`, `sweep.rs`, `tell.rs`.

use super::{
    Flaw,
    state::{self, State},
    world::{
        Answer, Credit, Event, Hand, Hold, Left, Look, Network, Outbox, Row, Seen, Settle, Submit,
        Told, World,
    },
};

/// As many as the settings allow by default would only make the model larger.
const MAX_ATTEMPTS: u8 = 2;
/// How often the hold is asked for.
const HOLD_TRIES: u8 = 2;

/// Does what the event does.
pub(super) fn happen(flaw: Flaw, world: &mut World, event: Event) {
    match event {
        Event::WriteDown
        | Event::AskAgain
        | Event::TakeHold
        | Event::Forget
        | Event::GiveUp
        | Event::Accept
        | Event::TellCustomer => submit(flaw, world, event),
        Event::HoldArrives(credit) => hold_arrives(flaw, world, credit),
        Event::SettleArrives(settle) => settle_arrives(flaw, world, settle),
        Event::Ring => {
            world.outbox.run = false;
            world.bell = true;
        }
        Event::SendSettle => match world.outbox.settle {
            Some(Settle::Capture) => world.net.capture = true,
            Some(Settle::Release) => world.net.release = true,
            None => {}
        },
        Event::ForgetSettle => world.outbox.settle = None,
        Event::Hear(hand) => hear(world, hand),
        Event::TakeRunning(hand) => take(world, hand, Hand::Taken),
        Event::Note(hand) => note(flaw, world, hand),
        Event::ProviderAnswers(hand, answer) => provider_answers(world, hand, answer),
        Event::ProviderTells(hand, look) => {
            if let Hand::Taken(seen) = world.hands[hand] {
                world.hands[hand] = Hand::Looked(seen, look);
                if flaw == Flaw::SettlesFirst && look == Look::Done {
                    world.net.capture = true;
                }
            }
        }
        Event::Move(hand) => step(flaw, world, hand),
        Event::SweepUp(hand, left) => take(world, hand, |seen| Hand::Mending(seen, left)),
        Event::RingAgain => world.bell = true,
        Event::DropNeverAccepted => abandon(flaw, world),
        Event::Cancel => {
            if let Some(row) = world.task {
                make(flaw, world, row.seen(), state::Event::Cancelled);
            }
        }
        Event::LeaseEnds => change(world, |row| row.leased = false),
        Event::DeadlinePasses => change(world, |row| row.late = true),
        Event::HoldExpires => world.hold = Hold::Released,
        Event::SubmitterDies => {
            world.deaths -= 1;
            world.submit = Submit::Over;
        }
        Event::Dies(hand) => {
            world.deaths -= 1;
            world.hands[hand] = Hand::Free;
        }
        Event::BellIsLost => {
            world.deaths -= 1;
            world.bell = false;
        }
    }
}

fn change(world: &mut World, change: impl FnOnce(&mut Row)) {
    if let Some(row) = &mut world.task {
        change(row);
    }
}

fn submit(flaw: Flaw, world: &mut World, event: Event) {
    match event {
        Event::WriteDown => {
            world.task = Some(Row {
                state: State::Reserving,
                claims: 1,
                leased: false,
                attempts: 0,
                noted: false,
                late: false,
            });
            world.net.holds += 1;
            world.submit = Submit::Holding(1);
        }
        Event::AskAgain => {
            world.net.holds += 1;
            world.submit = Submit::Holding(HOLD_TRIES);
        }
        Event::TakeHold => world.submit = Submit::Held,
        // Nothing was held, and nothing will be.
        Event::Forget => {
            if world.state() == Some(State::Reserving) {
                world.task = None;
            }
            refuse(world);
        }
        Event::GiveUp => {
            abandon(flaw, world);
            refuse(world);
        }
        Event::Accept => match world.task {
            Some(row) if row.state == State::Reserving => {
                make(flaw, world, row.seen(), state::Event::Held);
                world.outbox.run = flaw != Flaw::RingsWithoutOutbox;
                world.submit = Submit::Accepted;
            }
            // A sweep took it for dead.
            _ => refuse(world),
        },
        _ => {
            world.told = Told::Accepted;
            world.submit = Submit::Over;
        }
    }
}

fn refuse(world: &mut World) {
    world.told = Told::Refused;
    world.submit = Submit::Over;
}

/// Forgets a task that was not accepted, and gives its hold back in case there is one.
fn abandon(flaw: Flaw, world: &mut World) {
    if world.state() == Some(State::Reserving) {
        world.task = None;
        if flaw != Flaw::ForgetsTheHold {
            settle(world, Settle::Release);
        }
    }
}

fn settle(world: &mut World, settle: Settle) {
    world.outbox.settle = Some(settle);
    world.net.settled = false;
    world.history.settlements += 1;
}

fn hold_arrives(flaw: Flaw, world: &mut World, credit: Credit) {
    if flaw != Flaw::CallsComeTwice {
        world.net.holds -= 1;
    }
    match (world.hold, credit) {
        (Hold::None, Credit::TooLittle) => world.net.insufficient = true,
        (Hold::None | Hold::Open, _) => {
            world.hold = Hold::Open;
            world.net.held = true;
        }
        (Hold::Captured | Hold::Released | Hold::Tombstone, _) => world.net.closed = true,
    }
}

fn settle_arrives(flaw: Flaw, world: &mut World, settle: Settle) {
    let (after, said_yes) = match (world.hold, settle) {
        (Hold::Open, Settle::Capture) => (Hold::Captured, true),
        (Hold::Open, Settle::Release) => (Hold::Released, true),
        (Hold::None, Settle::Release) if flaw == Flaw::NoTombstone => (Hold::None, true),
        (Hold::None, Settle::Release) => (Hold::Tombstone, true),
        // A hold that nobody knows, as after a restore: billing says yes, and the loss is ours.
        (Hold::None, Settle::Capture) => (Hold::None, true),
        (Hold::Captured, Settle::Capture) => (Hold::Captured, true),
        (Hold::Released | Hold::Tombstone, Settle::Release) => (world.hold, true),
        (Hold::Captured, Settle::Release) | (Hold::Released | Hold::Tombstone, Settle::Capture) => {
            (world.hold, false)
        }
    };
    world.hold = after;
    world.net.settled |= said_yes && world.outbox.settle == Some(settle);
}

/// Takes the task if it waits. The bell is settled with either way.
fn hear(world: &mut World, hand: usize) {
    world.bell = false;
    if let Some(row) = &mut world.task
        && !row.late
        && let (State::Queued, Some(state)) = (row.state, row.state.apply(state::Event::Claimed))
    {
        row.state = state;
        row.attempts = MAX_ATTEMPTS.min(row.attempts + 1);
        row.noted = false;
        row.take();
        world.hands[hand] = Hand::Taken(row.seen());
    }
}

fn take(world: &mut World, hand: usize, with: impl FnOnce(Seen) -> Hand) {
    if let Some(row) = &mut world.task {
        row.take();
        world.hands[hand] = with(row.seen());
    }
}

/// Written down before the submit, if the task is this hand's still.
fn note(flaw: Flaw, world: &mut World, hand: usize) {
    let Hand::Taken(seen) = world.hands[hand] else {
        return;
    };
    match &mut world.task {
        Some(row) if row.seen() == seen || flaw == Flaw::NoFence => {
            row.leased = true;
            row.noted = flaw != Flaw::NotNoted;
            world.hands[hand] = Hand::Submitting(seen);
        }
        _ => world.hands[hand] = Hand::Free,
    }
}

fn provider_answers(world: &mut World, hand: usize, answer: Answer) {
    if let Hand::Submitting(seen) = world.hands[hand] {
        // Without an answer the provider may have taken it: the worse of the two.
        if matches!(answer, Answer::Taken | Answer::Unknown) {
            world.history.jobs += 1;
        }
        world.hands[hand] = Hand::Submitted(seen, answer);
    }
}

/// Writes down what the hand knows, and lets go of the task.
fn step(flaw: Flaw, world: &mut World, hand: usize) {
    let attempts = world.task.map_or(0, |row| row.attempts);
    let (seen, event) = match world.hands[hand] {
        Hand::Submitted(seen, Answer::Taken) => (seen, Some(state::Event::Accepted)),
        Hand::Submitted(seen, Answer::Busy) if attempts < MAX_ATTEMPTS => {
            (seen, Some(state::Event::PutBack))
        }
        Hand::Submitted(seen, _) => (seen, Some(state::Event::Failed)),
        Hand::Looked(seen, Look::Done) => (seen, Some(state::Event::Succeeded)),
        Hand::Looked(seen, Look::Broken) if attempts < MAX_ATTEMPTS => {
            (seen, Some(state::Event::PassedOn))
        }
        Hand::Looked(seen, Look::Broken) => (seen, Some(state::Event::Failed)),
        Hand::Looked(seen, Look::Running) => (seen, None),
        Hand::Mending(seen, Left::Untouched) => (seen, Some(state::Event::PutBack)),
        Hand::Mending(seen, _) if flaw == Flaw::SweepsTheHoldOnly => {
            settle(world, Settle::Release);
            (seen, None)
        }
        Hand::Mending(seen, Left::Lost | Left::Late) => (seen, Some(state::Event::Failed)),
        Hand::Free | Hand::Taken(_) | Hand::Submitting(_) => return,
    };
    world.hands[hand] = Hand::Free;
    match event {
        Some(state::Event::PassedOn) => pass_on(flaw, world, hand, seen),
        Some(event) => make(flaw, world, seen, event),
        None => change(world, |row| row.leased &= row.seen() != seen),
    }
}

/// The provider failed for nothing, and this hand goes on to the next one.
fn pass_on(flaw: Flaw, world: &mut World, hand: usize, seen: Seen) {
    let before = world.state();
    make(flaw, world, seen, state::Event::PassedOn);
    if let Some(row) = &mut world.task
        && before == Some(State::Running)
        && row.state == State::Starting
    {
        row.attempts = MAX_ATTEMPTS.min(row.attempts + 1);
        row.noted = false;
        row.leased = true;
        world.history.jobs = world.history.jobs.saturating_sub(1);
        world.hands[hand] = Hand::Taken(row.seen());
    }
}

/// A move: the row, and with it whatever must be told. Somebody else's move in between makes it void.
fn make(flaw: Flaw, world: &mut World, seen: Seen, event: state::Event) {
    let (Some(row), Some(after)) = (&mut world.task, seen.state.apply(event)) else {
        return;
    };
    if row.seen() != seen && flaw != Flaw::NoFence {
        return;
    }
    row.state = after;
    row.leased = false;
    if after.is_terminal() {
        world.history.end = world.history.end.or(Some(after));
        settle(
            world,
            match after {
                State::Completed => Settle::Capture,
                _ => Settle::Release,
            },
        );
    }
}

/// What may happen now, faults last. The order is that of a good day: who always takes the first comes to the end.
pub(super) fn possible(flaw: Flaw, world: &World, events: &mut Vec<Event>) {
    submitter(flaw, world, events);
    let Network { holds, .. } = world.net;
    if holds > 0 {
        events.push(Event::HoldArrives(Credit::Enough));
        events.push(Event::HoldArrives(Credit::TooLittle));
    }
    for (sent, settle) in [
        (world.net.capture, Settle::Capture),
        (world.net.release, Settle::Release),
    ] {
        if sent {
            events.push(Event::SettleArrives(settle));
        }
    }
    let Outbox { run, settle } = world.outbox;
    if run {
        events.push(Event::Ring);
    }
    if settle.is_some() {
        if world.net.settled {
            events.push(Event::ForgetSettle);
        }
        events.push(Event::SendSettle);
    }
    for hand in 0..world.hands.len() {
        hands(world, hand, events);
    }
    if flaw != Flaw::NobodySweeps {
        sweeper(world, events);
    }
    if world.task.is_some_and(|row| row.leased) {
        events.push(Event::LeaseEnds);
    }
    if flaw != Flaw::NobodySweeps && world.state() == Some(State::Queued) && !world.bell {
        events.push(Event::RingAgain);
    }
    outside(flaw, world, events);
}

fn submitter(flaw: Flaw, world: &World, events: &mut Vec<Event>) {
    match world.submit {
        Submit::New => events.push(Event::WriteDown),
        Submit::Holding(tries) => {
            if world.net.held {
                events.push(Event::TakeHold);
            }
            if world.net.insufficient && tries == 1 {
                events.push(Event::Forget);
            }
            events.push(Event::GiveUp);
            if tries < HOLD_TRIES {
                events.push(Event::AskAgain);
            }
        }
        Submit::Held => events.push(Event::Accept),
        Submit::Accepted => events.push(Event::TellCustomer),
        Submit::Over if flaw == Flaw::SubmitsComeTwice && world.task.is_none() => {
            events.push(Event::WriteDown);
        }
        Submit::Over => {}
    }
}

fn hands(world: &World, hand: usize, events: &mut Vec<Event>) {
    match world.hands[hand] {
        Hand::Free => {
            if world.bell {
                events.push(Event::Hear(hand));
            }
            let due = |row: Row| row.state == State::Running && !row.leased && !row.late;
            if world.task.is_some_and(due) {
                events.push(Event::TakeRunning(hand));
            }
        }
        Hand::Taken(seen) => match seen.state.next() {
            state::Step::Start => events.push(Event::Note(hand)),
            state::Step::Check => {
                let looks = [Look::Done, Look::Broken, Look::Running];
                events.extend(looks.map(|look| Event::ProviderTells(hand, look)));
            }
            state::Step::Rest => {}
        },
        Hand::Submitting(_) => {
            let answers = [
                Answer::Taken,
                Answer::Busy,
                Answer::Refused,
                Answer::Unknown,
            ];
            events.extend(answers.map(|answer| Event::ProviderAnswers(hand, answer)));
        }
        Hand::Submitted(..) | Hand::Looked(..) | Hand::Mending(..) => {
            events.push(Event::Move(hand));
        }
    }
}

fn sweeper(world: &World, events: &mut Vec<Event>) {
    let Some(row) = world.task else { return };
    let free = |hand: &usize| world.hands[*hand] == Hand::Free;
    if let Some(hand) = (0..world.hands.len()).find(free) {
        let lefts = [Left::Untouched, Left::Lost, Left::Late];
        let lefts = lefts.into_iter().filter(|left| row.is_left(*left));
        events.extend(lefts.map(|left| Event::SweepUp(hand, left)));
    }
    if row.state == State::Reserving {
        events.push(Event::DropNeverAccepted);
    }
}

/// The customer, the deadline, and faults.
fn outside(flaw: Flaw, world: &World, events: &mut Vec<Event>) {
    if let Some(row) = world.task {
        if matches!(row.state, State::Queued | State::Running) {
            events.push(Event::Cancel);
        }
        if !row.late && row.state != State::Reserving && !row.state.is_terminal() {
            events.push(Event::DeadlinePasses);
        }
    }
    if flaw == Flaw::HoldsExpire && world.hold == Hold::Open {
        events.push(Event::HoldExpires);
    }
    if world.deaths > 0 {
        if !matches!(world.submit, Submit::New | Submit::Over) {
            events.push(Event::SubmitterDies);
        }
        let busy = |hand: &usize| world.hands[*hand] != Hand::Free;
        events.extend((0..world.hands.len()).filter(busy).map(Event::Dies));
        if world.bell {
            events.push(Event::BellIsLost);
        }
    }
}
