//! Orders by tables: what happened at Stripe, and what is booked for it. 1 000 credits for 1 000 cents, so both read alike.
#![expect(clippy::arithmetic_side_effects, reason = "test code")]

use proptest::prelude::*;

use super::*;

/// One thing that Stripe says.
#[derive(Clone, Copy, Debug)]
enum Say {
    Open,
    Processing,
    Expired,
    Failed,
    Pays(i64),
    PaysIn(&'static str),
    /// Number, cents, state.
    Refund(u8, i64, ReversalState),
    Dispute(u8, i64, ReversalState),
}

use ReversalState::{Returned, Taken, Watched};
use Say::{Dispute, Expired, Failed, Open, Pays, PaysIn, Processing, Refund};

fn terms() -> Terms {
    Terms {
        credits: Micros::new(1_000),
        price: 1_000,
        currency: "usd".to_owned(),
    }
}

fn look(say: Say) -> Look {
    let mut look = Look {
        progress: Progress::Open,
        received: None,
        reversals: BTreeMap::new(),
        pending: BTreeSet::new(),
    };
    let money = |amount, currency: &str| {
        Some(Received {
            amount,
            currency: currency.to_owned(),
        })
    };
    let mut reversal = |id: String, kind, amount, state| {
        let reversal = Reversal {
            kind,
            amount,
            state,
        };
        look.reversals.insert(id, reversal);
    };
    match say {
        Open => {}
        Processing => look.progress = Progress::Processing,
        Expired => look.progress = Progress::Expired,
        Failed => look.progress = Progress::Failed,
        Pays(cents) => look.received = money(cents, "usd"),
        PaysIn(currency) => look.received = money(1_000, currency),
        // Whoever sees a refund sees the payment.
        Refund(id, amount, state) => {
            reversal(format!("re_{id}"), ReversalKind::Refund, amount, state);
            look.received = money(1_000, "usd");
        }
        Dispute(id, amount, state) => {
            reversal(format!("du_{id}"), ReversalKind::Dispute, amount, state);
            look.received = money(1_000, "usd");
        }
    }
    look
}

fn nothing() -> Facts {
    Facts {
        progress: Progress::Open,
        received: 0,
        reversals: BTreeMap::new(),
    }
}

/// An order and a balance that has nothing else, after these; what is spent in between is `spent`.
#[derive(Debug, PartialEq, Eq)]
struct After {
    status: &'static str,
    credited: i64,
    reversed: i64,
    owed: i64,
    /// How much the balance was given and taken, a movement each.
    moves: Vec<i64>,
}

fn play(says: &[Say], spent: i64) -> After {
    let (terms, mut facts, mut booked) = (terms(), nothing(), Booked::default());
    let (mut available, mut to_spend, mut moves) = (0, spent, Vec::new());
    for say in says {
        facts.learn(&terms, &look(*say));
        let due = due(&terms, &facts, booked).unwrap();
        booked = due.booked;
        for given in [due.credit.get(), due.restore.get()] {
            if given > 0 {
                moves.push(given);
                available += given;
            }
        }
        let spends = to_spend.min(available);
        available -= spends;
        to_spend -= spends;
        let taken = booked.owed.get().min(available);
        if taken > 0 {
            moves.push(-taken);
            available -= taken;
            booked.reversed = booked.reversed.plus(Micros::new(taken)).unwrap();
            booked.owed = booked.owed.minus(Micros::new(taken)).unwrap();
        }
    }
    let shown = Shown {
        progress: facts.progress,
        received: facts.received,
        refunded: facts.taken_by(ReversalKind::Refund),
        disputed: facts.taken_by(ReversalKind::Dispute),
    };
    After {
        status: shown.status(),
        credited: booked.credited.get(),
        reversed: booked.reversed.get(),
        owed: booked.owed.get(),
        moves,
    }
}

/// What Stripe says, what the customer spends meanwhile; then status, credited, reversed, owed, and the movements.
type Row = (&'static [Say], i64, &'static str, [i64; 3], &'static [i64]);
const TABLE: [Row; 21] = [
    (&[], 0, "pending", [0, 0, 0], &[]),
    (&[Open, Open], 0, "pending", [0, 0, 0], &[]),
    (&[Processing], 0, "processing", [0, 0, 0], &[]),
    (
        &[Processing, Pays(1_000)],
        0,
        "paid",
        [1_000, 0, 0],
        &[1_000],
    ),
    (&[Processing, Failed], 0, "failed", [0, 0, 0], &[]),
    (&[Expired], 0, "expired", [0, 0, 0], &[]),
    (
        &[Pays(1_000), Expired, Open, Failed],
        0,
        "paid",
        [1_000, 0, 0],
        &[1_000],
    ),
    (&[Expired, Pays(1_000)], 0, "paid", [1_000, 0, 0], &[1_000]),
    (
        &[Pays(1_000), Pays(1_000)],
        0,
        "paid",
        [1_000, 0, 0],
        &[1_000],
    ),
    (&[Pays(999)], 0, "review", [0, 0, 0], &[]),
    (&[Pays(1_001)], 0, "review", [0, 0, 0], &[]),
    (&[PaysIn("eur")], 0, "review", [0, 0, 0], &[]),
    (
        &[Pays(1_000), Refund(1, 1_000, Taken)],
        0,
        "refunded",
        [1_000, 1_000, 0],
        &[1_000, -1_000],
    ),
    // The refund is told first.
    (
        &[Refund(1, 1_000, Taken), Pays(1_000)],
        0,
        "refunded",
        [1_000, 1_000, 0],
        &[1_000, -1_000],
    ),
    // Partial refunds add up, and each is counted once.
    (
        &[
            Pays(1_000),
            Refund(1, 300, Taken),
            Refund(1, 300, Taken),
            Refund(2, 200, Taken),
        ],
        0,
        "partly_refunded",
        [1_000, 500, 0],
        &[1_000, -300, -200],
    ),
    // A refund that the bank sends back.
    (
        &[
            Refund(1, 400, Taken),
            Refund(1, 400, Returned),
            Refund(1, 400, Taken),
        ],
        0,
        "paid",
        [1_000, 0, 0],
        &[1_000, -400, 400],
    ),
    // An inquiry moves nothing, a dispute takes, a won one gives back.
    (
        &[Pays(1_000), Dispute(1, 1_000, Watched)],
        0,
        "paid",
        [1_000, 0, 0],
        &[1_000],
    ),
    (
        &[Pays(1_000), Dispute(1, 1_000, Taken)],
        0,
        "disputed",
        [1_000, 1_000, 0],
        &[1_000, -1_000],
    ),
    (
        &[
            Pays(1_000),
            Dispute(1, 1_000, Taken),
            Dispute(1, 1_000, Returned),
            Dispute(1, 1_000, Taken),
        ],
        0,
        "paid",
        [1_000, 0, 0],
        &[1_000, -1_000, 1_000],
    ),
    // A dispute of what was refunded takes nothing twice.
    (
        &[Refund(1, 600, Taken), Dispute(1, 1_000, Taken)],
        0,
        "disputed",
        [1_000, 1_000, 0],
        &[1_000, -600, -400],
    ),
    // What was spent cannot be taken back, and is owed; a won dispute forgives it first.
    (
        &[
            Pays(1_000),
            Dispute(1, 1_000, Taken),
            Dispute(1, 1_000, Returned),
        ],
        700,
        "paid",
        [1_000, 0, 0],
        &[1_000, -300, 300],
    ),
];

#[test]
fn what_is_said_is_what_is_booked() {
    for (says, spent, status, [credited, reversed, owed], moves) in TABLE {
        let expected = After {
            status,
            credited,
            reversed,
            owed,
            moves: moves.to_vec(),
        };
        assert_eq!(play(says, spent), expected, "{says:?}, {spent} spent");
    }
}

#[test]
fn what_was_spent_is_owed() {
    let after = play(&[Pays(1_000), Refund(1, 1_000, Taken)], 700);
    assert_eq!((after.reversed, after.owed), (300, 700));
    assert_eq!(after.moves, [1_000, -300]);
}

#[test]
fn shares_are_rounded_down_and_add_up() {
    for (whole, part, all, expected) in [
        (10, 1, 3, 3),
        (10, 2, 3, 6),
        (10, 3, 3, 10),
        (10, 4, 3, 10),
        (10, -1, 3, 0),
        (10, 1, 0, 0),
        (i64::MAX, 7, 7, i64::MAX),
    ] {
        let part = share(Micros::new(whole), part, all).unwrap();
        assert_eq!(part.get(), expected, "{part} of {whole} by {all}");
    }
}

fn anything() -> impl Strategy<Value = Say> {
    let state = prop_oneof![Just(Watched), Just(Taken), Just(Returned)];
    let refund = prop_oneof![Just(Taken), Just(Returned)];
    prop_oneof![
        Just(Open),
        Just(Processing),
        Just(Expired),
        Just(Failed),
        Just(Pays(1_000)),
        (0..3_u8, refund).prop_map(|(id, state)| Refund(id, 300, state)),
        (0..2_u8, state).prop_map(|(id, state)| Dispute(id, 500, state)),
    ]
}

proptest! {
    #[test]
    fn order_and_repeats_do_not_matter(
        (says, shuffled) in prop::collection::vec(anything(), 0..12)
            .prop_flat_map(|says| {
                let twice = [says.clone(), says.clone()].concat();
                (Just(says), Just(twice).prop_shuffle())
            }),
    ) {
        let end = |says: &[Say]| {
            let mut facts = nothing();
            for say in says {
                facts.learn(&terms(), &look(*say));
            }
            facts
        };
        prop_assert_eq!(end(&says), end(&shuffled));
    }

    #[test]
    fn the_books_end_where_the_facts_are(says in prop::collection::vec(anything(), 0..12), spent in 0..1_500_i64) {
        let after = play(&says, spent);
        prop_assert!(after.credited == 0 || after.credited == 1_000);
        prop_assert!(after.reversed >= 0 && after.owed >= 0 && after.reversed + after.owed <= after.credited);
        // One credit; and what came and went is what the order says.
        prop_assert!(after.moves.iter().filter(|moved| **moved == 1_000).count() >= usize::from(after.credited > 0));
        prop_assert_eq!(after.moves.iter().sum::<i64>(), after.credited - after.reversed);
    }
}
