//! The matrix: which faults there are, and which were asked for.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use testkit::{Point, Shape, servers};

use crate::{
    Length, bills, crash, leave, overload, pay, race, rolling, stand_still,
    storm::{self, Engine},
    zombie,
};

/// One fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    fault: Fault,
    length: Length,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The process dies when it comes to a point for so many times.
    Crash(Shape, Point, u32),
    /// Customers leave at every event of a stream.
    Leave(Shape),
    /// Customers cancel their tasks at about the time when these are done.
    Race(Shape),
    /// A process of media sleeps past its lease, and wakes up.
    Zombie,
    /// PostgreSQL stands still for a while.
    StandStill,
    /// Three times as much comes as can be answered.
    Overload,
    /// Every process of every role is replaced.
    Rolling,
    /// Many operations, each with its bill.
    Bills,
    Storm(Engine),
}

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
        let mut shapes = vec![Shape::Embedded];
        let has_servers = servers::programs::missing().is_empty();
        if has_servers {
            shapes.push(Shape::Split);
        }
        let times: &[u32] = match length {
            Length::Full => &[1, 2],
            Length::Quick => &[1],
        };
        let mut faults = Vec::new();
        for shape in shapes {
            for point in Point::ALL {
                let crashes = times.iter().map(|time| Fault::Crash(shape, *point, *time));
                faults.extend(crashes);
            }
            faults.extend([Fault::Leave(shape), Fault::Race(shape)]);
        }
        if has_servers {
            faults.extend([Fault::Zombie, Fault::StandStill, Fault::Rolling]);
        }
        faults.extend([Fault::Bills, Fault::Overload]);
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
            Fault::Zombie => "split3/zombie".to_owned(),
            Fault::StandStill => "split/stand_still".to_owned(),
            Fault::Rolling => "split3/rolling".to_owned(),
            Fault::Overload => "up/overload".to_owned(),
            Fault::Bills => "up/bills".to_owned(),
            Fault::Storm(engine) => format!("storm/{}", engine.as_str()),
        }
    }

    /// What happens in it.
    pub(crate) const fn what(&self) -> &'static str {
        match self.fault {
            Fault::Crash(_, point, _) => about(point),
            Fault::Leave(_) => "F10: customers leave at every event of a stream",
            Fault::Race(_) => "F24: customers cancel tasks at about the time when they are done",
            Fault::Zombie => {
                "F23: media sleeps past its lease, others complete its tasks, and it wakes up"
            }
            Fault::StandStill => "F12: PostgreSQL stands still under load, and goes on",
            Fault::Rolling => {
                "D01-D03: every process of every role is told to stop and replaced, under load"
            }
            Fault::Overload => "L07: three times as many chats as can be answered",
            Fault::Bills => {
                "no fault: every operation's receipt, its list, its sums and the balance agree"
            }
            Fault::Storm(Engine::Sqlite) => "R01-R05: random operations at once, many twice",
            Fault::Storm(Engine::Postgres) => {
                "F05, R12: the same through three processes, their sessions killed"
            }
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
            Fault::Zombie => Box::pin(zombie::zombie()).await,
            Fault::StandStill => Box::pin(stand_still::stand_still(self.length)).await,
            Fault::Rolling => Box::pin(rolling::rolling(self.length)).await,
            Fault::Overload => Box::pin(overload::overload(self.length)).await,
            Fault::Bills => Box::pin(bills::bills(self.length)).await,
            Fault::Storm(engine) => storm::storm(engine, self.length).await,
        };
        Ran {
            took: begun.elapsed(),
            outcome,
        }
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
