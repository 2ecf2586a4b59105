//! Everything there is in the model: what the databases of media and billing hold, what is on its way between them, and where each
//! process is. All of it is small and copied freely.

use super::state::State;

/// Where the work on a task may be at once: two processes, each of which takes tasks and sweeps.
pub(super) const HANDS: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// Media's row.
    pub(super) task: Option<Row>,
    /// Media's outbox.
    pub(super) outbox: Outbox,
    /// Billing's row.
    pub(super) hold: Hold,
    pub(super) net: Network,
    pub(super) submit: Submit,
    pub(super) hands: [Hand; HANDS],
    /// A worker is about to hear that a task waits.
    pub(super) bell: bool,
    pub(super) told: Told,
    /// How often a process may still die, or a bell get lost.
    pub(super) deaths: u8,
    pub(super) history: History,
}

/// The row of `task`, with what `attempt` says of its latest attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Row {
    pub(super) state: State,
    /// Raised by whoever takes the task: the fence. See [`World::simplify`].
    pub(super) claims: u8,
    /// The lease has not run out.
    pub(super) leased: bool,
    pub(super) attempts: u8,
    /// It is written down that the latest attempt is about to be submitted.
    pub(super) noted: bool,
    /// Its deadline has passed.
    pub(super) late: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Outbox {
    pub(super) run: bool,
    pub(super) settle: Option<Settle>,
}

/// How billing is told that a hold ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Settle {
    Capture,
    Release,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Hold {
    None,
    Open,
    Captured,
    Released,
    /// Released before it came.
    Tombstone,
}

/// What was sent and may arrive late, or never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Network {
    /// Calls that ask for the hold. A call arrives once at most: what makes it come twice is that it is made again.
    pub(super) holds: u8,
    pub(super) held: bool,
    pub(super) insufficient: bool,
    pub(super) closed: bool,
    /// Calls that settle, which may come any number of times.
    pub(super) capture: bool,
    pub(super) release: bool,
    /// Billing has said yes to the settlement in the outbox.
    pub(super) settled: bool,
}

/// Where the process is that accepts the task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Submit {
    /// Nothing is written down.
    New,
    /// It asked for the hold, so often.
    Holding(u8),
    Held,
    /// The task is queued, and its customer does not know yet.
    Accepted,
    /// It is done, or dead.
    Over,
}

/// What the customer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Told {
    Nothing,
    Accepted,
    Refused,
}

/// Who has read or taken a task has seen it so, and moves it only if it is so still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Seen {
    pub(super) state: State,
    pub(super) claims: u8,
}

/// Where a process is with the task it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Hand {
    Free,
    /// It took the task, and what it does next is what `State::next` says.
    Taken(Seen),
    /// It has written down that it submits.
    Submitting(Seen),
    /// The provider answered the submit.
    Submitted(Seen, Answer),
    /// The provider told how its job stands.
    Looked(Seen, Look),
    /// It swept the task up.
    Mending(Seen, Left),
}

/// How a submit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Answer {
    Taken,
    /// Certainly not taken, and may be later.
    Busy,
    /// Certainly not taken.
    Refused,
    /// There was no answer.
    Unknown,
}

/// How a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Look {
    Done,
    Broken,
    Running,
}

/// In which way a task was left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Left {
    Untouched,
    Lost,
    Late,
}

/// What has happened, for the promises that are about more than one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct History {
    /// Jobs a provider took, which it is paid for.
    pub(super) jobs: u8,
    /// The first end the task came to.
    pub(super) end: Option<State>,
    /// Settlements that were written down.
    pub(super) settlements: u8,
}

/// One thing that happens. The number is the hand's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The submitting process goes on: its one next step, or one of these.
    WriteDown,
    AskAgain,
    TakeHold,
    Forget,
    GiveUp,
    Accept,
    TellCustomer,
    /// Billing gets a call for the hold, and there is credit, or not.
    HoldArrives(Credit),
    SettleArrives(Settle),
    /// The relay: rings, tells billing, and forgets what billing has answered.
    Ring,
    SendSettle,
    ForgetSettle,
    /// A hand hears the bell.
    Hear(usize),
    /// A hand takes a running task.
    TakeRunning(usize),
    Note(usize),
    ProviderAnswers(usize, Answer),
    ProviderTells(usize, Look),
    /// A hand writes down what it knows.
    Move(usize),
    /// The sweeper.
    SweepUp(usize, Left),
    RingAgain,
    DropNeverAccepted,
    /// The customer.
    Cancel,
    /// Time.
    LeaseEnds,
    DeadlinePasses,
    /// A hold ends by time, in the flaw that lets it.
    HoldExpires,
    /// Faults.
    SubmitterDies,
    Dies(usize),
    BellIsLost,
}

/// Whether there is enough for the hold at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credit {
    Enough,
    TooLittle,
}

// === impl World ===

impl World {
    /// Before anything happened.
    pub(super) fn new() -> Self {
        Self {
            task: None,
            outbox: Outbox::default(),
            hold: Hold::None,
            net: Network::default(),
            submit: Submit::New,
            hands: [Hand::Free; HANDS],
            bell: false,
            told: Told::Nothing,
            deaths: 2,
            history: History::default(),
        }
    }

    /// Makes one state of those that differ in nothing that can matter any more; without this there would be no end of them.
    pub(super) fn simplify(&mut self) {
        // What counts of a claim is whether it is the last one.
        let last = self.task.map(|row| row.claims);
        for seen in self.hands.iter_mut().filter_map(Hand::seen) {
            seen.claims = u8::from(last == Some(seen.claims));
        }
        if let Some(row) = &mut self.task {
            row.claims = 1;
            row.noted &= row.state == State::Starting;
            if row.state.is_terminal() {
                (row.leased, row.late, row.attempts) = (false, false, 0);
            }
        }
        if self.submit == Submit::Over {
            let net = &mut self.net;
            (net.held, net.insufficient, net.closed) = (false, false, false);
        }
        // One process is like the other.
        self.hands.sort_by_key(Hand::rank);
    }

    pub(super) fn state(&self) -> Option<State> {
        self.task.map(|row| row.state)
    }

    /// Nobody has anything left to do, and nothing is left behind.
    pub(super) fn is_at_rest(&self) -> bool {
        let quiet = self.submit == Submit::Over
            && self.hands == [Hand::Free; HANDS]
            && self.outbox == Outbox::default();
        let settled = match self.state() {
            None => self.hold != Hold::Open && self.hold != Hold::Captured,
            Some(State::Completed) => self.hold == Hold::Captured,
            Some(State::Failed) => self.hold == Hold::Released,
            Some(_) => false,
        };
        quiet && settled
    }
}

// === impl Hand ===

impl Hand {
    fn seen(&mut self) -> Option<&mut Seen> {
        match self {
            Self::Free => None,
            Self::Taken(seen)
            | Self::Submitting(seen)
            | Self::Submitted(seen, _)
            | Self::Looked(seen, _)
            | Self::Mending(seen, _) => Some(seen),
        }
    }

    /// Any order, as long as it is one.
    fn rank(&self) -> impl Ord + use<> {
        let (place, seen, answer, look, left) = match *self {
            Self::Free => (0, None, None, None, None),
            Self::Taken(seen) => (1, Some(seen), None, None, None),
            Self::Submitting(seen) => (2, Some(seen), None, None, None),
            Self::Submitted(seen, answer) => (3, Some(seen), Some(answer), None, None),
            Self::Looked(seen, look) => (4, Some(seen), None, Some(look), None),
            Self::Mending(seen, left) => (5, Some(seen), None, None, Some(left)),
        };
        let seen = seen.map(|seen| (seen.claims, seen.state.as_str()));
        (place, seen, answer, look, left)
    }
}

// === impl Row ===

impl Row {
    pub(super) fn seen(&self) -> Seen {
        Seen {
            state: self.state,
            claims: self.claims,
        }
    }

    /// Nobody else takes it for a while, and nobody who had it before moves it.
    pub(super) fn take(&mut self) {
        self.claims += 1;
        self.leased = true;
    }

    /// Whether a sweep finds it, as `store/claim.rs` says.
    pub(super) fn is_left(&self, left: Left) -> bool {
        let found = match left {
            Left::Untouched => self.state == State::Starting && !self.noted,
            Left::Lost => self.state == State::Starting && self.noted,
            Left::Late => self.late && !self.state.is_terminal() && self.state != State::Reserving,
        };
        found && !self.leased
    }
}
