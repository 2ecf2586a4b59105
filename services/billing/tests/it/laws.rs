//! The ledger's laws over random operations: few accounts, few ids and small amounts, so that everything collides.

use billing::ledger::{BalanceId, Budget, Caps, Kind, Op, Terms, Transfer};
use domain::{KeyId, Micros, Mode};
use proptest::prelude::*;

use crate::{
    memory::{Memory, balance_id, key, operation},
    model::Model,
};

/// A day of the ledger's clock.
const DAY: i64 = 86_400_000_000;

/// Balances that exist; account 3 does not.
fn accounts() -> [BalanceId; 3] {
    [
        balance_id(1, Mode::Live),
        balance_id(1, Mode::Test),
        balance_id(2, Mode::Live),
    ]
}

fn any_balance() -> impl Strategy<Value = BalanceId> {
    (
        1..=3_u8,
        prop_oneof![4 => Just(Mode::Live), 1 => Just(Mode::Test)],
    )
        .prop_map(|(number, mode)| balance_id(number, mode))
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Media),
        (0..4_i64).prop_map(|expires_at| Kind::Chat { expires_at }),
    ]
}

pub(crate) fn any_op() -> impl Strategy<Value = Op> {
    let hold = (0..12_u8).prop_map(operation);
    let terms = (any_balance(), -1..8_i64, 0..8_i64, any_kind(), 0..4_u8).prop_map(
        |(balance, amount, floor, kind, number)| Terms {
            balance,
            amount: Micros::new(amount),
            floor: Micros::new(floor.min(amount)),
            kind,
            // A key spends one balance. Number 3 has no caps.
            key: (number > 0 && balance == balance_id(1, Mode::Live)).then(|| key(number)),
            price_version: "v1".to_owned(),
        },
    );
    let late =
        (hold.clone(), -1..9_i64, any_balance()).prop_map(|(hold, amount, balance)| Op::Late {
            hold,
            amount: Micros::new(amount),
            balance,
        });
    let transfer =
        (100..106_u8, any_balance(), -6..15_i64).prop_map(|(id, balance, amount)| Op::Transfer {
            id: operation(id),
            transfer: Transfer {
                balance,
                amount: Micros::new(amount),
                actor: "operator".to_owned(),
                reason: "test".to_owned(),
            },
        });
    prop_oneof![
        4 => (hold.clone(), terms).prop_map(|(hold, terms)| Op::Hold { hold, terms }),
        4 => (hold.clone(), -1..9_i64)
            .prop_map(|(hold, amount)| Op::Capture { hold, amount: Micros::new(amount) }),
        1 => late,
        1 => (hold.clone(), 0..6_i64).prop_map(|(hold, expires_at)| Op::Extend { hold, expires_at }),
        2 => hold.clone().prop_map(|hold| Op::Release { hold }),
        2 => (hold, 0..5_i64).prop_map(|(hold, now)| Op::Expire { hold, now }),
        2 => transfer,
    ]
}

fn any_ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(any_op(), 0..60)
}

fn fresh() -> Memory {
    let mut memory = Memory::default();
    for id in accounts() {
        memory.open(id);
    }
    for (key, caps) in caps() {
        let budget = Budget {
            caps,
            ..Budget::default()
        };
        memory.budgets.insert(key, budget);
    }
    memory
}

/// Keys with caps: small ones, so that they are reached.
fn caps() -> [(KeyId, Caps); 2] {
    let caps = |day: i64, month: Option<i64>, total: i64| Caps {
        day: Some(Micros::new(day)),
        month: month.map(Micros::new),
        total: Some(Micros::new(total)),
    };
    [(key(1), caps(6, Some(9), 20)), (key(2), caps(3, None, 9))]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn it_answers_like_the_naive_model(ops in any_ops(), days in prop::collection::vec(0..3_i64, 60)) {
        let (mut memory, mut model) = (fresh(), Model::new(&accounts()));
        model.caps = caps().into_iter().collect();
        // All within one month, which begins with the clock.
        let mut now = 0;
        for (op, days) in ops.iter().zip(days) {
            now = (now + days * DAY).min(30 * DAY);
            (memory.now, model.now) = (now, now);
            let answer = memory.apply(std::slice::from_ref(op));
            prop_assert_eq!(answer, vec![model.apply(op)], "{:?}", op);
            for budget in memory.budgets.values() {
                let at = budget.at(now);
                let total = at.spent_total.get() + at.held.get();
                prop_assert!(total <= at.caps.total.unwrap().get());
                prop_assert!(at.spent_day.get() + at.held.get() <= at.caps.day.unwrap().get());
            }
            for id in accounts() {
                prop_assert_eq!(memory.balances[&id].posted.get(), model.posted(id));
                prop_assert_eq!(memory.balances[&id].held.get(), model.held(id));
            }
        }
    }

    #[test]
    fn how_operations_are_batched_changes_nothing(ops in any_ops(), cut in 0..60_usize) {
        let (first, second) = ops.split_at(cut.min(ops.len()));
        let (mut whole, mut split, mut single) = (fresh(), fresh(), fresh());
        let answers = whole.apply(&ops);
        let parts = [split.apply(first), split.apply(second)].concat();
        prop_assert_eq!(&answers, &parts);
        prop_assert_eq!(&whole, &split);
        let each: Vec<_> = ops.iter().flat_map(|op| single.apply(std::slice::from_ref(op))).collect();
        prop_assert_eq!(&answers, &each);
        prop_assert_eq!(&whole, &single);
    }

    #[test]
    fn a_repeat_at_once_answers_alike_and_changes_nothing(ops in any_ops()) {
        let mut memory = fresh();
        for op in &ops {
            let first = memory.apply(std::slice::from_ref(op));
            let after = memory.clone();
            prop_assert_eq!(memory.apply(std::slice::from_ref(op)), first);
            prop_assert_eq!(&memory, &after);
        }
    }

    #[test]
    fn a_later_repeat_moves_no_money(ops in any_ops()) {
        let mut memory = fresh();
        let answers = memory.apply(&ops);
        let after = memory.clone();
        let done: Vec<Op> = ops.into_iter().zip(answers).filter(|(_, a)| a.is_ok()).map(|(op, _)| op).collect();
        memory.apply(&done);
        prop_assert_eq!(memory.balances, after.balances);
        prop_assert_eq!(memory.postings, after.postings);
    }

    #[test]
    fn operations_on_different_balances_do_not_see_each_other(ops in any_ops()) {
        let of = |op: &Op, memory: &Memory| match op {
            Op::Hold { terms, .. } => Some(terms.balance),
            Op::Transfer { transfer, .. } => Some(transfer.balance),
            Op::Capture { hold, .. }
            | Op::Late { hold, .. }
            | Op::Extend { hold, .. }
            | Op::Release { hold }
            | Op::Expire { hold, .. } => {
                match memory.holds.get(hold) {
                    Some(billing::ledger::Stored::Hold(hold)) => Some(hold.terms.balance),
                    _ => None,
                }
            }
        };
        let mut memory = fresh();
        for op in &ops {
            let touched = of(op, &memory);
            let before = memory.balances.clone();
            memory.apply(std::slice::from_ref(op));
            for id in accounts() {
                prop_assert!(Some(id) == touched || memory.balances[&id] == before[&id]);
            }
        }
    }
}
