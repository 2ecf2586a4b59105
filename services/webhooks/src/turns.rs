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
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000_000;
    const RESTS: Rests = Rests {
        full: 5_000_000,
        held: 500_000,
    };
    const BOUNDS: Bounds = Bounds {
        per_lane: 4,
        per_origin: 8,
    };
    const WIDE: Room = Room {
        fast: 100,
        slow: 100,
    };

    fn id(number: u8) -> DeliveryId {
        DeliveryId::from_slice(&[number; 16]).unwrap()
    }

    /// A lane of its own origin with so many due, whose ids begin at `first`.
    fn lane(number: u8, first: u8, count: u8) -> Lane {
        let heads = (first..first + count).map(|one| Head {
            id: id(one),
            due_at: NOW - 100 + i64::from(one),
        });
        Lane {
            id: vec![number],
            origin: vec![number],
            slow: Slow::default(),
            busy: 0,
            origin_busy: 0,
            per_second: None,
            rate_at: 0,
            next_at: NOW - 100,
            heads: heads.collect(),
            later: None,
        }
    }

    fn choose(lanes: &[Lane], room: Room) -> Turns {
        turns(lanes, BOUNDS, room, (NOW, RESTS))
    }

    fn after(turns: &Turns, lane: usize) -> (Option<i64>, Blocked) {
        (turns.after[lane].next_at, turns.after[lane].blocked)
    }

    #[test]
    fn the_first_of_each_origin_comes_before_the_second_of_any() {
        let lanes = [lane(1, 1, 3), lane(2, 10, 1), lane(3, 20, 2)];
        let chosen = choose(&lanes, Room { fast: 4, slow: 0 });
        assert_eq!(chosen.fast, [id(1), id(10), id(20), id(2)]);
        // The first lane has one more and the third has one: nobody has room here.
        assert_eq!(after(&chosen, 0), (Some(NOW), Blocked::No));
        assert_eq!(after(&chosen, 1), (None, Blocked::No));
        assert_eq!(after(&chosen, 2), (Some(NOW), Blocked::No));
    }

    #[test]
    fn who_is_in_flight_has_had_his_turn() {
        let busy = Lane {
            busy: 1,
            origin_busy: 1,
            ..lane(1, 1, 1)
        };
        let chosen = choose(&[busy, lane(2, 10, 1)], Room { fast: 1, slow: 0 });
        assert_eq!(chosen.fast, [id(10)]);
        // Not started, so it keeps its place in the queue.
        assert_eq!(after(&chosen, 0), (Some(NOW - 100), Blocked::No));
    }

    #[test]
    fn an_origin_has_one_first_turn() {
        let shared = |number, origin_busy| Lane {
            origin: vec![9],
            origin_busy,
            ..lane(number, 1, 1)
        };
        let numbers = |lanes: &[Lane]| lanes.iter().map(|lane| lane.id[0]).collect::<Vec<_>>();
        let (first, others) = first_turns(vec![shared(1, 0), lane(2, 1, 1), shared(3, 0)]);
        assert_eq!((numbers(&first), numbers(&others)), (vec![1, 2], vec![3]));
        let (first, others) = first_turns(vec![shared(1, 1), lane(2, 1, 1)]);
        assert_eq!((numbers(&first), numbers(&others)), (vec![2], vec![1]));
        let later = others[0].later();
        assert_eq!((later.next_at, later.busy), (Some(NOW - 100), true));
    }

    #[test]
    fn a_lane_has_its_few_places() {
        let chosen = choose(&[lane(1, 1, 5)], WIDE);
        assert_eq!(chosen.fast, [1, 2, 3, 4].map(id));
        assert_eq!(after(&chosen, 0), (Some(NOW + RESTS.full), Blocked::Full));
        let full = Lane {
            busy: 4,
            origin_busy: 4,
            ..lane(1, 1, 5)
        };
        assert_eq!(choose(&[full], WIDE).fast, []);
    }

    #[test]
    fn an_origin_has_its_places_over_all_its_lanes_which_take_turns() {
        let origin = vec![9];
        let lanes = [1, 2, 3].map(|number| Lane {
            origin: origin.clone(),
            origin_busy: 1,
            ..lane(number, number * 10, 4)
        });
        let chosen = choose(&lanes, WIDE);
        assert_eq!(chosen.fast, [10, 20, 30, 11, 21, 31, 12].map(id));
        for number in 0..3 {
            assert_eq!(
                after(&chosen, number),
                (Some(NOW + RESTS.held), Blocked::Held)
            );
        }
    }

    #[test]
    fn a_slow_lane_or_origin_has_one_place_and_never_a_fast_one() {
        let slow = |lane, origin| Slow { lane, origin };
        let lanes = [
            Lane {
                slow: slow(true, false),
                ..lane(1, 1, 3)
            },
            Lane {
                slow: slow(false, true),
                origin: vec![7],
                ..lane(2, 10, 3)
            },
            Lane {
                slow: slow(false, true),
                origin: vec![7],
                ..lane(3, 20, 3)
            },
            lane(4, 30, 1),
        ];
        let chosen = choose(&lanes, WIDE);
        assert_eq!(
            (chosen.fast.as_slice(), chosen.slow.as_slice()),
            ([id(30)].as_slice(), [id(1), id(10)].as_slice())
        );
        assert_eq!(after(&chosen, 0).1, Blocked::Full);
        assert_eq!(after(&chosen, 1).1, Blocked::Held);
        // Without room among the slow they wait, however much there is elsewhere.
        let chosen = choose(&lanes, Room { fast: 100, slow: 0 });
        assert_eq!(
            (chosen.fast.as_slice(), chosen.slow.as_slice()),
            ([id(30)].as_slice(), [].as_slice())
        );
        assert_eq!(after(&chosen, 0), (Some(NOW + RESTS.held), Blocked::No));
    }

    #[test]
    fn a_rate_is_kept_and_makes_up_for_a_tenth_of_a_second() {
        for (per_second, rate_at, begins, next) in [
            // One every half second: due now, not yet, and long ago.
            (2, NOW, 1, NOW + 500_000),
            (2, NOW + 1, 0, NOW + 1),
            (2, 0, 1, NOW + 500_000),
            // One every 25 ms: three may be made up for beside the one that is due.
            (40, 0, 4, NOW + 25_000),
            (40, NOW - 25_000, 2, NOW + 25_000),
        ] {
            let paced = Lane {
                per_second: Some(per_second),
                rate_at,
                ..lane(1, 1, 9)
            };
            let bounds = Bounds {
                per_lane: 8,
                per_origin: 8,
            };
            let chosen = turns(&[paced], bounds, WIDE, (NOW, RESTS));
            assert_eq!(
                (chosen.fast.len(), chosen.after[0].rate_at),
                (begins, next),
                "{per_second} {rate_at}"
            );
            assert_eq!(
                after(&chosen, 0),
                (Some(next), Blocked::No),
                "{per_second} {rate_at}"
            );
        }
    }

    #[test]
    fn a_lane_with_nothing_due_waits_for_what_is_later() {
        let idle = Lane {
            later: Some(NOW + 7),
            ..lane(1, 1, 0)
        };
        let chosen = choose(&[idle, lane(2, 1, 1)], WIDE);
        assert_eq!(after(&chosen, 0), (Some(NOW + 7), Blocked::No));
        assert_eq!(after(&chosen, 1), (None, Blocked::No));
    }
}
