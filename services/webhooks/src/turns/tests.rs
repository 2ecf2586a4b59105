//! Who is chosen, by tables.

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
