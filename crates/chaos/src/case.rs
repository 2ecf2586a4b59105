//! The matrix: which faults there are, and which were asked for.

use std::{
    pin::Pin,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use testkit::{Point, Shape, servers};

use crate::{
    Length, bills, calls, crash, kills, leave, overload, pay, poison, race, redis_clock, rolling,
    sick, skew, stand_still,
    storm::{self, Engine},
    ways, zombie,
};

/// One fault.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    fault: Fault,
    length: Length,
}

#[derive(Clone, Copy)]
enum Fault {
    /// The process dies when it comes to a point for so many times.
    Crash(Shape, Point, u32),
    /// Customers leave at every event of a stream.
    Leave(Shape),
    /// Customers cancel their tasks at about the time when these are done.
    Race(Shape),
    Storm(Engine),
    /// One that there is only once.
    Single(&'static Single),
}

/// A fault that there is only once.
struct Single {
    name: &'static str,
    /// What happens in it.
    what: &'static str,
    run: fn(Length) -> Running,
}

type Running = Pin<Box<dyn Future<Output = Result<String>>>>;

/// Those of the split shapes, which need servers.
const SPLIT: [Single; 14] = [
    Single::new(
        "split3/zombie",
        "F23: media sleeps past its lease, others complete its tasks, and it wakes up",
        |_| Box::pin(zombie::zombie()),
    ),
    Single::new(
        "split3/rolling",
        "D01-D03: every process of every role is told to stop and replaced, under load",
        |length| Box::pin(rolling::rolling(length)),
    ),
    Single::new(
        "split/stand_still",
        "F12: PostgreSQL stands still under load, and goes on",
        |length| Box::pin(stand_still::stand_still(length)),
    ),
    Single::new(
        "split/holes",
        "N01: on one way after another nothing passes, and nobody is told",
        |length| Box::pin(ways::wrong(ways::Wrong::Hole, length)),
    ),
    Single::new(
        "split/deaf",
        "N07: on one way after another questions pass and answers do not",
        |length| Box::pin(ways::wrong(ways::Wrong::Deaf, length)),
    ),
    Single::new(
        "split/crumbs",
        "N05: on one way after another bytes come in crumbs",
        |length| Box::pin(ways::wrong(ways::Wrong::Crumbs, length)),
    ),
    Single::new(
        "split/twice",
        "N03: every call to billing and webhooks is made twice",
        |length| Box::pin(calls::wrong(calls::Wrong::Twice, length)),
    ),
    Single::new(
        "split/lost_answers",
        "N02: answers of billing and webhooks are lost after the call was answered",
        |length| Box::pin(calls::wrong(calls::Wrong::Lost, length)),
    ),
    Single::new(
        "split/poison",
        "Q01, Q02: messages that are none of ours, and ours three times more, last first",
        |length| Box::pin(poison::poison(length)),
    ),
    Single::new(
        "split/sick_redis",
        "F28: Redis answers late, refuses to write, is full, forgets its scripts",
        |length| Box::pin(sick::redis(length)),
    ),
    Single::new(
        "split/full_disk",
        "F26: RabbitMQ has no room on its disk, and has it again",
        |length| Box::pin(sick::broker(length)),
    ),
    Single::new(
        "split/skew",
        "C01-C03: the clock of one role after another is wrong",
        |length| Box::pin(skew::skew(length)),
    ),
    Single::new(
        "split/redis_clock",
        "C05: the clock of Redis jumps by hours and a day, forwards and back",
        |length| Box::pin(redis_clock::jumps(length)),
    ),
    Single::new(
        "split/kills",
        "F30: one service after another is killed, again and again, under load",
        |length| Box::pin(kills::kills(length)),
    ),
];

/// Those that need nothing.
const UP: [Single; 2] = [
    Single::new(
        "up/bills",
        "no fault: every operation's receipt, its list, its sums and the balance agree",
        |length| Box::pin(bills::bills(length)),
    ),
    Single::new(
        "up/overload",
        "L07: three times as many chats as can be answered",
        |length| Box::pin(overload::overload(length)),
    ),
];

/// What came of one fault.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) took: Duration,
    /// What was seen; or what is wrong.
    pub(crate) outcome: Result<String>,
}

// === impl Case ===

impl Case {
    /// Those that these names, or parts of them, choose.
    pub(crate) fn chosen(length: Length, names: &[String]) -> Result<Vec<Self>> {
        let mut cases = Self::all(length);
        for name in names {
            let known = cases.iter().any(|case| case.is_named(name));
            ensure!(known, "there is no fault {name}");
        }
        cases.retain(|case| names.is_empty() || names.iter().any(|name| case.is_named(name)));
        Ok(cases)
    }

    /// The split shape takes part if the servers it needs are on this machine.
    fn all(length: Length) -> Vec<Self> {
        if servers::programs::missing().is_empty() {
            Self::of(length, &[Shape::Embedded, Shape::Split])
        } else {
            Self::of(length, &[Shape::Embedded])
        }
    }

    fn of(length: Length, shapes: &[Shape]) -> Vec<Self> {
        let times: &[u32] = match length {
            Length::Full => &[1, 2],
            Length::Quick => &[1],
        };
        let mut faults = Vec::new();
        for shape in shapes.iter().copied() {
            for point in Point::ALL {
                let crashes = times.iter().map(|time| Fault::Crash(shape, *point, *time));
                faults.extend(crashes);
            }
            faults.extend([Fault::Leave(shape), Fault::Race(shape)]);
        }
        if shapes.contains(&Shape::Split) {
            faults.extend(SPLIT.iter().map(Fault::Single));
        }
        faults.extend(UP.iter().map(Fault::Single));
        faults.extend([Fault::Storm(Engine::Sqlite), Fault::Storm(Engine::Postgres)]);
        let cases = faults.into_iter();
        cases.map(|fault| Self { fault, length }).collect()
    }

    fn is_named(&self, name: &str) -> bool {
        self.name().contains(name)
    }

    /// What it is called, here and in the report.
    pub(crate) fn name(&self) -> String {
        match self.fault {
            Fault::Crash(shape, point, time) => {
                format!("{}/{}:{time}", word(shape), point.as_str())
            }
            Fault::Leave(shape) => format!("{}/leave", word(shape)),
            Fault::Race(shape) => format!("{}/cancel_race", word(shape)),
            Fault::Storm(engine) => format!("storm/{}", engine.as_str()),
            Fault::Single(single) => single.name.to_owned(),
        }
    }

    /// What happens in it.
    pub(crate) const fn what(&self) -> &'static str {
        match self.fault {
            Fault::Crash(_, point, _) => about(point),
            Fault::Leave(_) => "F10: customers leave at every event of a stream",
            Fault::Race(_) => "F24: customers cancel tasks at about the time when they are done",
            Fault::Storm(Engine::Sqlite) => "R01-R05: random operations at once, many twice",
            Fault::Storm(Engine::Postgres) => {
                "F05, R12: the same through three processes, their sessions killed"
            }
            Fault::Single(single) => single.what,
        }
    }

    pub(crate) async fn run(&self) -> Ran {
        let begun = Instant::now();
        let outcome = match self.fault {
            Fault::Crash(shape, Point::BillingMidPayment, time) => {
                Box::pin(pay::crash(shape, time)).await
            }
            Fault::Crash(shape, point, time) => Box::pin(crash::crash(shape, point, time)).await,
            Fault::Leave(shape) => Box::pin(leave::leave(shape)).await,
            Fault::Race(shape) => Box::pin(race::cancel_race(shape, self.length)).await,
            Fault::Storm(engine) => storm::storm(engine, self.length).await,
            Fault::Single(single) => (single.run)(self.length).await,
        };
        Ran {
            took: begun.elapsed(),
            outcome,
        }
    }
}

/// What every case is called, whether it can run on this machine or not.
#[cfg(test)]
pub(crate) fn names(length: Length) -> Vec<String> {
    Case::of(length, &[Shape::Embedded, Shape::Split])
        .iter()
        .map(Case::name)
        .collect()
}

// === impl Single ===

impl Single {
    const fn new(name: &'static str, what: &'static str, run: fn(Length) -> Running) -> Self {
        Self { name, what, run }
    }
}

const fn word(shape: Shape) -> &'static str {
    match shape {
        Shape::Embedded => "up",
        Shape::Split => "split",
        Shape::Split3 => "split3",
    }
}

/// What dies, and where. A new point is told here, or this does not build.
const fn about(point: Point) -> &'static str {
    match point {
        Point::EdgeBeforeForward => "F01: the edge, before it forwards a chat",
        Point::BillingBeforeCommit => "F03: billing, before it commits a batch",
        Point::BillingAfterCommit => "F02, F04: billing, after its commit, before anybody knows",
        Point::BillingMidPayment => "F34: billing, between a payment's event and its credit",
        Point::ChatAfterHold => "F06: chat, after the hold, before a provider is asked",
        Point::ChatMidStream => "F07: chat, in the middle of a stream",
        Point::ChatBeforeCapture => "F08: chat, after the provider's end, before the charge",
        Point::ChatAfterCapture => "F09: chat, after the charge, before the last byte",
        Point::MediaBeforeTask => "F13: media, before a task is written down",
        Point::MediaAfterTask => "F13: media, between the task and its hold",
        Point::MediaAfterHold => "F13: media, after the hold, before the task is accepted",
        Point::MediaAfterAccept => "F13: media, after the task is accepted, before the reply",
        Point::MediaBeforeRing => "F15: media's relay, after its claim, before the bell",
        Point::MediaAfterRing => "F14: media's relay, after the bell, before it is marked",
        Point::MediaBeforeClaim => "F16: a worker of media, after the bell, before its claim",
        Point::MediaAfterClaim => "F17: a worker of media, after its claim, before the queue knows",
        Point::MediaBeforeSubmit => "F18: a worker of media, before the submit",
        Point::MediaAfterSubmit => {
            "F19: a worker of media, after the submit, before its answer is saved"
        }
        Point::MediaBeforeEnd => "F20: a worker of media, before the end is written down",
        Point::MediaMidEnd => "F21: media, in the transaction of a task's end",
        Point::MediaAfterEnd => "F22: media, after the end of a task, before its webhook",
    }
}
