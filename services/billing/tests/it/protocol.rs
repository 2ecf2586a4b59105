//! The life of a chat's money, in every order of events: two requests on a balance that does not cover both, while messages are
//! delayed, repeated, reordered and lost, the process that serves them dies, and holds expire at any moment, due or not. The
//! checker visits every state that can come of it.
//!
//! Billing's side is the real thing: each message is decided by `billing::ledger::decide`. (How messages are batched makes no
//! difference: `laws.rs`.) Chat's side follows `chat/src/billing.rs`, `complete.rs` and `open_hold.rs`.
//!
//! Then flaws are built in, one at a time, and the checker must find out: a checker that cannot fail proves nothing.

mod books;

use std::collections::BTreeSet;

use billing::ledger::{Refusal, Reply};
use stateright::{Checker, HasDiscoveries, Model, Property};

use self::books::Books;

/// What the customer has, in the beginning.
const BALANCE: i64 = 3;
/// What each request wants to have held, and what it makes do with.
const ASKED: i64 = 2;
const FLOOR: i64 = 1;
const REQUESTS: usize = 2;

/// What is wrong with billing, or with chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    Nothing,
    /// A hold does not look at the balance.
    NoBalanceCheck,
    /// A capture does not look whether the hold was captured before.
    ChargesAgain,
    /// A capture does not mind that the hold has expired, and its credit was given back.
    ChargesExpired,
    /// A release of a hold that has not come yet leaves nothing behind.
    NoTombstone,
    /// Nobody sweeps.
    NeverExpires,
    /// The last byte leaves before the charge is made.
    AnswersFirst,
    /// Whoever gives up does not say so to billing.
    ForgetsToRelease,
}

/// On its way between chat and billing, perhaps for ever. What was sent once can arrive any number of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    Hold,
    Held(i64),
    NotHeld,
    Capture(i64),
    Captured(i64),
    Release,
}

/// Everything that can be on its way for one request.
const MESSAGES: [Message; 10] = [
    Message::Hold,
    Message::Held(1),
    Message::Held(2),
    Message::NotHeld,
    Message::Capture(1),
    Message::Capture(2),
    Message::Captured(0),
    Message::Captured(1),
    Message::Captured(2),
    Message::Release,
];

/// A set of messages: a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Network(u16);

/// Where chat is with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Work {
    New,
    /// A hold was asked for.
    Holding,
    /// A provider is at it; so much was held.
    Running(i64),
    /// It is complete, or was cut, and the charge was asked for.
    Settling,
    Over,
}

/// What the customer knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Told {
    /// Nothing yet, or nothing ever: the process died.
    Nothing,
    /// It failed, and is free.
    Failed,
    /// It is answered to its last byte, or was cut and is told so, for this much.
    Answered(i64),
    /// Billing did not answer the charge for as long as chat waits.
    Unbilled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Request {
    work: Work,
    net: Network,
    /// What it came to, once that is known.
    cost: i64,
    /// Billing has confirmed a release.
    released: bool,
    told: Told,
}

#[derive(Clone, Debug, PartialEq, Hash)]
struct State {
    books: Books,
    requests: [Request; REQUESTS],
    /// How often the process may still die.
    deaths: u8,
}

/// One thing that happens. The number is the request's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// Billing gets a message.
    Arrives(usize, Message),
    Expires(usize),
    Chat(usize, Step),
    /// The process that serves all requests dies.
    Dies,
}

/// What chat does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    AskForHold,
    /// The hold was answered.
    Start(i64),
    /// The hold was refused, at the first try: there is nothing to release.
    Refuse,
    /// The hold was refused after a try without an answer, or not answered at all.
    GiveUp,
    ProviderFails,
    /// It is complete, or cut, and comes to so much.
    ProviderEnds(i64),
    Answer(i64),
    /// Nobody answered the charge.
    StopWaiting,
}

struct Protocol {
    flaw: Flaw,
}

/// What must always be true.
mod promise {
    pub(super) const SUMS: &str = "what was there is there, or was charged";
    pub(super) const COVERED: &str = "no more is held than is there";
    pub(super) const FREE: &str = "a failure is free";
    pub(super) const CHARGED: &str = "an answer is charged, once, as was told; what its expired hold no longer covers is written off";
    pub(super) const CLOSED: &str = "what was released stays closed";
    pub(super) const ENDS: &str = "if everybody dies, the sweeper frees every hold";
    /// Not a promise, but a fact.
    pub(super) const LIMIT: &str = "a charge is made, and no answer of it comes back in time";
}

// === impl Network ===

impl Network {
    fn bit(message: Message) -> u16 {
        let place = MESSAGES.iter().position(|known| *known == message);
        1 << place.unwrap()
    }

    fn send(&mut self, message: Message) {
        self.0 |= Self::bit(message);
    }

    fn has(self, message: Message) -> bool {
        self.0 & Self::bit(message) != 0
    }

    fn all(self) -> impl Iterator<Item = Message> {
        MESSAGES
            .into_iter()
            .filter(move |message| self.has(*message))
    }
}

// === impl Protocol ===

impl Protocol {
    /// Billing decides what has arrived, and answers.
    fn arrive(&self, state: &mut State, number: usize, message: Message) {
        let op = match message {
            Message::Hold => books::hold(number),
            Message::Capture(amount) => books::capture(number, amount),
            _ => books::release(number),
        };
        let answer = state.books.apply(number, &op, self.flaw);
        let request = &mut state.requests[number];
        match (message, answer) {
            (Message::Hold, Ok(Reply::Held { granted, .. })) => {
                request.net.send(Message::Held(granted.get()));
            }
            (Message::Hold, Err(_)) => request.net.send(Message::NotHeld),
            (Message::Capture(_), Ok(Reply::Captured { captured })) => {
                request.net.send(Message::Captured(captured.get()));
            }
            (Message::Release, Ok(Reply::Released)) => request.released = true,
            // It has ended otherwise: nobody waits for this answer any more.
            (Message::Capture(_) | Message::Release, Err(Refusal::Closed(_))) => {}
            (message, answer) => panic!("{message:?} was answered by {answer:?}"),
        }
    }

    /// What chat may do with a request now.
    fn steps(request: &Request, steps: &mut Vec<Step>) {
        match request.work {
            Work::New => steps.push(Step::AskForHold),
            Work::Holding => {
                for message in request.net.all() {
                    match message {
                        Message::Held(granted) => steps.push(Step::Start(granted)),
                        Message::NotHeld => steps.push(Step::Refuse),
                        _ => {}
                    }
                }
                steps.push(Step::GiveUp);
            }
            Work::Running(granted) => {
                steps.push(Step::ProviderFails);
                // The answer is bounded by what was granted.
                steps.extend((1..=granted).map(Step::ProviderEnds));
            }
            Work::Settling => {
                for message in request.net.all() {
                    if let Message::Captured(charged) = message {
                        steps.push(Step::Answer(charged));
                    }
                }
                steps.push(Step::StopWaiting);
            }
            Work::Over => {}
        }
    }

    fn step(&self, request: &mut Request, step: Step) {
        match step {
            Step::AskForHold => {
                request.net.send(Message::Hold);
                request.work = Work::Holding;
            }
            Step::Start(granted) => request.work = Work::Running(granted),
            Step::Refuse => Self::end(request, Told::Failed),
            Step::GiveUp | Step::ProviderFails => {
                self.release(request);
                Self::end(request, Told::Failed);
            }
            Step::ProviderEnds(cost) => {
                request.net.send(Message::Capture(cost));
                (request.work, request.cost) = (Work::Settling, cost);
                if self.flaw == Flaw::AnswersFirst {
                    request.told = Told::Answered(cost);
                }
            }
            Step::Answer(charged) => Self::end(request, Told::Answered(charged)),
            Step::StopWaiting => {
                self.release(request);
                Self::end(request, Told::Unbilled);
            }
        }
    }

    fn release(&self, request: &mut Request) {
        if self.flaw != Flaw::ForgetsToRelease {
            request.net.send(Message::Release);
        }
    }

    fn end(request: &mut Request, told: Told) {
        request.work = Work::Over;
        request.told = told;
    }

    fn sweep(&self, state: &mut State, number: usize) {
        if self.flaw != Flaw::NeverExpires {
            let _ = state.books.apply(number, &books::expire(number), self.flaw);
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Event;

    fn init_states(&self) -> Vec<State> {
        let request = Request {
            work: Work::New,
            net: Network::default(),
            cost: 0,
            released: false,
            told: Told::Nothing,
        };
        vec![State {
            books: Books::new(),
            requests: [request; REQUESTS],
            deaths: 1,
        }]
    }

    fn actions(&self, state: &State, events: &mut Vec<Event>) {
        let mut steps = Vec::new();
        for (number, request) in state.requests.iter().enumerate() {
            let heard = request.net.all().filter(|message| {
                matches!(
                    message,
                    Message::Hold | Message::Capture(_) | Message::Release
                )
            });
            events.extend(heard.map(|message| Event::Arrives(number, message)));
            if state.books.is_open(number) {
                events.push(Event::Expires(number));
            }
            steps.clear();
            Self::steps(request, &mut steps);
            events.extend(steps.iter().map(|step| Event::Chat(number, *step)));
        }
        if state.deaths > 0 {
            events.push(Event::Dies);
        }
    }

    fn next_state(&self, before: &State, event: Event) -> Option<State> {
        let mut state = before.clone();
        match event {
            Event::Arrives(number, message) => self.arrive(&mut state, number, message),
            Event::Expires(number) => self.sweep(&mut state, number),
            Event::Chat(number, step) => self.step(&mut state.requests[number], step),
            Event::Dies => {
                state.deaths -= 1;
                // What has not begun is served by another process.
                let begun = |request: &&mut Request| request.work != Work::New;
                for request in state.requests.iter_mut().filter(begun) {
                    request.work = Work::Over;
                }
            }
        }
        (state != *before).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(promise::SUMS, |_, state: &State| {
                let numbers = 0..REQUESTS;
                let charged: i64 = numbers.clone().map(|n| state.books.charged(n)).sum();
                let granted: i64 = numbers.map(|n| state.books.granted(n)).sum();
                state.books.posted() + charged == BALANCE && state.books.held() == granted
            }),
            Property::always(promise::COVERED, |_, state: &State| {
                state.books.held() <= state.books.posted()
            }),
            Property::always(promise::FREE, |_, state: &State| {
                state.all(|n, request| request.told != Told::Failed || state.books.charged(n) == 0)
            }),
            Property::always(promise::CHARGED, |_, state: &State| {
                state.all(|n, request| match request.told {
                    Told::Answered(told) => {
                        let charged = state.books.charged(n);
                        charged == told && charged + state.books.written_off(n) == request.cost
                    }
                    _ => true,
                })
            }),
            Property::always(promise::CLOSED, |_, state: &State| {
                state.all(|n, request| !request.released || !state.books.is_open(n))
            }),
            Property::always(promise::ENDS, |model: &Protocol, state: &State| {
                let mut state = state.clone();
                (0..REQUESTS).for_each(|n| model.sweep(&mut state, n));
                state.books.held() == 0
            }),
            Property::sometimes(promise::LIMIT, |_, state: &State| {
                !state
                    .all(|n, request| request.told != Told::Unbilled || state.books.charged(n) == 0)
            }),
        ]
    }
}

// === impl State ===

impl State {
    fn all(&self, is_right: impl Fn(usize, &Request) -> bool) -> bool {
        let mut requests = self.requests.iter().enumerate();
        requests.all(|(number, request)| is_right(number, request))
    }
}

/// Visits every state; each promise holds in each of them, and the limit is real.
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

/// Besides the promises this shows a limit: chat waits for the answer to a charge as long as `settle_window`. If the charge was
/// made, and every answer to it was lost all that time, the customer is told `billing_unavailable` and has paid: for a whole
/// answer too, which was not delivered. No time would be long enough; see `promise::LIMIT`.
#[test]
fn every_order_of_events_keeps_every_promise() {
    keeps_every_promise(Flaw::Nothing);
}

#[test]
fn a_hold_that_does_not_look_at_the_balance() {
    breaks(Flaw::NoBalanceCheck, promise::COVERED);
}

#[test]
fn a_capture_that_does_not_look_whether_it_was_made() {
    breaks(Flaw::ChargesAgain, promise::SUMS);
}

#[test]
fn a_capture_of_what_was_given_back() {
    breaks(Flaw::ChargesExpired, promise::COVERED);
}

#[test]
fn a_release_that_leaves_no_tombstone() {
    breaks(Flaw::NoTombstone, promise::CLOSED);
}

#[test]
fn a_ledger_that_nobody_sweeps() {
    breaks(Flaw::NeverExpires, promise::ENDS);
}

#[test]
fn an_answer_before_its_charge() {
    breaks(Flaw::AnswersFirst, promise::CHARGED);
}

/// The sweeper stands behind it.
#[test]
fn a_release_that_is_never_sent_is_harmless() {
    keeps_every_promise(Flaw::ForgetsToRelease);
}
