//! Whose turn it is. Pure: what may be started of what is due, and when each lane is looked at again.
//!
//! Origins take turns: the first of each comes before the second of any, whoever has waited longest; within an origin, its lanes do. A
//! slow lane or origin, which has let attempts time out again and again, has one place, among the slow.

use std::collections::{HashMap, HashSet};

use domain::DeliveryId;

/// How many at most begin at once of what a rate allows in a second: a tenth, as looks come some milliseconds apart.
const BURSTS: i64 = 10;
const MICROS_PER_SECOND: i64 = chassis::clock::MICROS_PER_SECOND;

/// A lane that is due.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) id: Vec<u8>,
    pub(crate) origin: Vec<u8>,
    pub(crate) slow: Slow,
    /// In flight, of the lane and of its whole origin.
    pub(crate) busy: i64,
    pub(crate) origin_busy: i64,
    /// Attempts that may begin in a second. `None`: as many as come.
    pub(crate) per_second: Option<i64>,
    /// When that lets the next one begin.
    pub(crate) rate_at: i64,
    /// When it was to be looked at.
    pub(crate) next_at: i64,
    /// The first that are due: one more than may be in flight, if there are so many.
    pub(crate) heads: Vec<Head>,
    /// When the first of the others is.
    pub(crate) later: Option<i64>,
}

/// A delivery that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) id: DeliveryId,
    pub(crate) due_at: i64,
}

/// Who has let attempts time out again and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slow {
    pub(crate) lane: bool,
    pub(crate) origin: bool,
}

/// How many may be in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Of one lane that is not slow.
    pub(crate) per_lane: i64,
    /// Of one origin that is not slow.
    pub(crate) per_origin: i64,
}

/// How many this process may start now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) fast: usize,
    /// Of slow lanes and origins.
    pub(crate) slow: usize,
}

/// When lanes are looked at again whose turn has to wait, at the latest: microseconds from now. An end wakes them sooner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rests {
    /// The lane has its places taken.
    pub(crate) full: i64,
    /// Its origin has, or the slow ones of this process are.
    pub(crate) held: i64,
}

/// What begins, and what becomes of the lanes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Turns {
    pub(crate) fast: Vec<DeliveryId>,
    pub(crate) slow: Vec<DeliveryId>,
    pub(crate) after: Vec<After>,
}

/// What becomes of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct After {
    pub(crate) lane: Vec<u8>,
    /// When to look at it again. `None`: when something comes.
    pub(crate) next_at: Option<i64>,
    pub(crate) rate_at: i64,
    /// Something of it is in flight: others come first.
    pub(crate) busy: bool,
    pub(crate) blocked: Blocked,
}

/// Why what is due has to wait for an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// It has not to.
    No,
    /// The lane has its places taken.
    Full,
    /// Its origin has.
    Held,
}

/// A delivery in its queue.
#[derive(Clone, Copy)]
struct Waiting {
    /// Its lane, by number.
    lane: usize,
    /// Which one in flight it would be: of its lane, then of its origin.
    place: i64,
    head: Head,
}

/// How far a lane came.
#[derive(Clone, Copy, Default)]
struct Came {
    started: i64,
    /// Its origin has no place for more.
    held: bool,
    /// This process has none.
    cut: bool,
}

/// What a rate allows now.
#[derive(Clone, Copy)]
struct Pace {
    /// Counted from here.
    from: i64,
    /// Microseconds from one to the next.
    step: i64,
    /// How many may begin.
    open: i64,
}

/// Chooses among `lanes`, and says what becomes of each.
pub(crate) fn turns(
    lanes: &[Lane],
    bounds: Bounds,
    room: Room,
    (now, rests): (i64, Rests),
) -> Turns {
    let mut came = vec![Came::default(); lanes.len()];
    let mut queue = by_origin(lanes, bounds, &mut came, now);
    queue.sort_by_key(Waiting::order);
    let mut chosen = Turns::default();
    for waiting in queue {
        let (Some(lane), Some(came)) = (lanes.get(waiting.lane), came.get_mut(waiting.lane)) else {
            continue;
        };
        let (begun, most) = if lane.slow.any() {
            (&mut chosen.slow, room.slow)
        } else {
            (&mut chosen.fast, room.fast)
        };
        if begun.len() < most {
            begun.push(waiting.head.id);
            came.started += 1;
        } else {
            came.cut = true;
        }
    }
    let after = lanes.iter().zip(came);
    chosen.after = after
        .map(|(lane, came)| lane.after(came, bounds, now, rests))
        .collect();
    chosen
}

/// Parts lanes into those that have the first turn of their origin, and the others.
pub(crate) fn first_turns(lanes: Vec<Lane>) -> (Vec<Lane>, Vec<Lane>) {
    let mut origins = HashSet::new();
    lanes
        .into_iter()
        .partition(|lane| lane.origin_busy == 0 && origins.insert(lane.origin.clone()))
}

/// Those for whom lane, rate and origin have places, numbered by their origin's.
fn by_origin(lanes: &[Lane], bounds: Bounds, came: &mut [Came], now: i64) -> Vec<Waiting> {
    let mut queue: Vec<Waiting> = lanes
        .iter()
        .enumerate()
        .flat_map(|(number, lane)| lane.waiting(number, bounds, now))
        .collect();
    queue.sort_by_key(Waiting::order);
    let mut taken: HashMap<&[u8], i64> = HashMap::new();
    queue.retain_mut(|waiting| {
        let (Some(lane), Some(came)) = (lanes.get(waiting.lane), came.get_mut(waiting.lane)) else {
            return false;
        };
        let places = taken.entry(&lane.origin).or_insert(lane.origin_busy);
        if *places >= lane.origin_bound(bounds) {
            came.held = true;
            return false;
        }
        *places += 1;
        waiting.place = *places;
        true
    });
    queue
}

// === impl Slow ===

impl Slow {
    /// Whether its attempts have places among the slow.
    pub(crate) fn any(self) -> bool {
        self.lane || self.origin
    }
}

// === impl Room ===

impl Room {
    /// Whether nothing may be started.
    pub(crate) fn is_none(self) -> bool {
        self.fast == 0 && self.slow == 0
    }
}

// === impl Waiting ===

impl Waiting {
    fn order(&self) -> (i64, i64, DeliveryId) {
        (self.place, self.head.due_at, self.head.id)
    }
}

// === impl Lane ===

impl Lane {
    /// Has it come behind those whose origin has nothing in flight.
    pub(crate) fn later(&self) -> After {
        After {
            lane: self.id.clone(),
            next_at: Some(self.next_at),
            rate_at: self.rate_at,
            busy: true,
            blocked: Blocked::No,
        }
    }

    fn bound(&self, bounds: Bounds) -> i64 {
        if self.slow.lane { 1 } else { bounds.per_lane }
    }

    fn origin_bound(&self, bounds: Bounds) -> i64 {
        if self.slow.origin {
            1
        } else {
            bounds.per_origin
        }
    }

    /// Those of its heads for which it has a place.
    fn waiting(&self, number: usize, bounds: Bounds, now: i64) -> impl Iterator<Item = Waiting> {
        let free = self.bound(bounds).saturating_sub(self.busy);
        let open = self.pace(now).map_or(free, |pace| pace.open.min(free));
        let places = (1..=open).map(|more| self.busy.saturating_add(more));
        places.zip(&self.heads).map(move |(place, head)| Waiting {
            lane: number,
            place,
            head: *head,
        })
    }

    /// What its rate allows at `now`. After a pause it makes up for a tenth of a second at most.
    fn pace(&self, now: i64) -> Option<Pace> {
        let rate = self.per_second.filter(|rate| *rate > 0)?;
        let step = (MICROS_PER_SECOND / rate).max(1);
        let most = (rate / BURSTS).max(1);
        let from = self.rate_at.max(now - (most - 1) * step);
        let open = if from > now {
            0
        } else {
            (now - from) / step + 1
        };
        Some(Pace { from, step, open })
    }

    fn after(&self, came: Came, bounds: Bounds, now: i64, rests: Rests) -> After {
        let rate_at = self.pace(now).map_or(self.rate_at, |pace| {
            pace.from
                .saturating_add(pace.step.saturating_mul(came.started))
        });
        let started = usize::try_from(came.started).unwrap_or(usize::MAX);
        let (next_at, blocked) = if self.heads.len() <= started {
            (self.later, Blocked::No)
        } else if self.busy.saturating_add(came.started) >= self.bound(bounds) {
            (Some(now.saturating_add(rests.full)), Blocked::Full)
        } else if came.held {
            (Some(now.saturating_add(rests.held)), Blocked::Held)
        } else if came.cut && self.slow.any() {
            (Some(now.saturating_add(rests.held)), Blocked::No)
        } else if came.cut && came.started == 0 {
            // As soon as there is room: here, or in another process.
            (Some(self.next_at), Blocked::No)
        } else if came.cut {
            (Some(now), Blocked::No)
        } else {
            (Some(rate_at.max(now)), Blocked::No)
        };
        After {
            lane: self.id.clone(),
            next_at,
            rate_at: if self.per_second.is_some() {
                rate_at
            } else {
                self.rate_at
            },
            busy: self.busy.saturating_add(came.started) > 0,
            blocked,
        }
    }
}

#[cfg(test)]
mod tests;
