//! Many at once on one balance: exactly what there is can be spent, whoever comes first.

use std::{sync::Arc, time::Duration};

use billing::{HoldRequest, Life, Outcome, ledger::BalanceId};
use db::Engine;
use domain::OperationId;
use futures::future::join_all;
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};

use crate::house::{House, capture, code, media, on_both_engines};

on_both_engines!(threads:
    two_hundred_holds_on_a_balance_for_ten,
    the_same_ids_from_eight_tasks_happen_once,
    capture_and_release_race_for_one_ending,
    ten_thousand_holds_end_once_whoever_comes_first,
    a_random_crowd_leaves_the_books_straight,
);

async fn two_hundred_holds_on_a_balance_for_ten(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(10).await;
    let holds = (0..200).map(|_| house.hold(chassis::mint(), alice, 1));
    let answers = join_all(holds).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 10);
    for refused in answers.into_iter().filter(Result::is_err) {
        assert_eq!(code(refused), "insufficient_credits");
    }
    assert_eq!(house.figures(alice).await, (10, 10, 10));
    house.audit().await;
}

async fn the_same_ids_from_eight_tasks_happen_once(engine: Engine) {
    let house = Arc::new(House::open(engine).await);
    let alice = house.account_with(1_000).await;
    let ids: Arc<Vec<OperationId>> = Arc::new((0..50).map(|_| chassis::mint()).collect());
    let runs = (0..8_usize).map(|start| {
        let (house, ids) = (Arc::clone(&house), Arc::clone(&ids));
        async move {
            for step in 0..ids.len() {
                // Each task in another order.
                let id = ids[(start * 7 + step * 3) % ids.len()];
                let held = house.hold(id, alice, 10).await;
                assert!(
                    held.is_ok() || code(held) == "hold_conflict",
                    "closed by another"
                );
                assert_eq!(house.settle(id, capture(4)).await.unwrap(), 4);
            }
        }
    });
    join_all(runs).await;
    assert_eq!(house.figures(alice).await, (800, 0, 0));
    house.audit().await;
}

async fn capture_and_release_race_for_one_ending(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(1_000).await;
    for _ in 0..50 {
        let hold = chassis::mint();
        house.hold(hold, alice, 10).await.unwrap();
        let before = house.figures(alice).await;
        let (charged, freed) = tokio::join!(
            house.settle(hold, capture(10)),
            house.settle(hold, Outcome::Release)
        );
        assert_ne!(charged.is_ok(), freed.is_ok(), "one of them wins");
        let paid = if charged.is_ok() { 10 } else { 0 };
        assert_eq!(house.figures(alice).await, (before.0 - paid, 0, 0));
    }
    house.audit().await;
}

/// Capture, release and expiry of each, all at once.
async fn ten_thousand_holds_end_once_whoever_comes_first(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(100_000).await;
    let ids: Vec<OperationId> = (0..10_000).map(|_| chassis::mint()).collect();
    let (mut paid, mut expired) = (0, 0);
    for ids in ids.chunks(500) {
        let holds = ids.iter().map(|id| {
            let request = HoldRequest {
                life: Life::Chat(Duration::from_millis(1)),
                ..media(*id, alice, 10)
            };
            house.billing.ledger().hold(request)
        });
        for held in join_all(holds).await {
            held.unwrap();
        }
        let race = ids.iter().enumerate().map(|(place, id)| {
            let house = &house;
            async move {
                match place % 4 {
                    0 => tokio::join!(
                        house.settle(*id, capture(7)),
                        house.settle(*id, Outcome::Release)
                    ),
                    1 => {
                        let (freed, charged) = tokio::join!(
                            house.settle(*id, Outcome::Release),
                            house.settle(*id, capture(7))
                        );
                        (charged, freed)
                    }
                    2 => tokio::join!(house.settle(*id, capture(7)), house.settle(*id, capture(7))),
                    _ => (Ok(0), Ok(0)),
                }
            }
        });
        let later = house.db.now_micros() + 1_000_000;
        let sweeps = async {
            let mut swept = 0;
            while house.figures(alice).await.2 > 0 {
                swept += house.billing.sweep(later).await.unwrap();
            }
            swept
        };
        let (ends, swept) = tokio::join!(join_all(race), sweeps);
        expired += swept;
        for (place, (charged, freed)) in ends.into_iter().enumerate() {
            match place % 4 {
                // A release of what has expired says yes: it is free either way.
                0 | 1 => assert_ne!(charged.is_ok(), freed.is_ok(), "one of them wins"),
                2 => assert_eq!(charged.is_ok(), freed.is_ok(), "a repeat is answered alike"),
                _ => continue,
            }
            paid += i64::from(charged.is_ok());
        }
    }
    assert_eq!(house.figures(alice).await, (100_000 - 7 * paid, 0, 0));
    assert!(
        expired >= 2_500,
        "{expired}: at least those that nobody else ends"
    );
    house.audit().await;
}

/// What one of many does with one of few ids.
#[derive(Clone, Copy, Debug)]
enum Step {
    Hold(i64),
    Capture(i64),
    Release,
    Give(i64),
}

async fn a_random_crowd_leaves_the_books_straight(engine: Engine) {
    let house = House::open(engine).await;
    let accounts = [house.account_with(300).await, house.account_with(200).await];
    let ids: Vec<OperationId> = (0..300).map(|_| chassis::mint()).collect();
    let step = prop_oneof![
        4 => (1..12_i64).prop_map(Step::Hold),
        3 => (0..14_i64).prop_map(Step::Capture),
        2 => Just(Step::Release),
        1 => (-9..9_i64).prop_map(Step::Give),
    ];
    let mut runner = TestRunner::deterministic();
    let plan = prop::collection::vec((0..accounts.len(), 0..ids.len(), step), 4_000)
        .new_tree(&mut runner)
        .unwrap()
        .current();
    let run = |(account, id, step): (usize, usize, Step)| {
        let (house, balance, id): (&House, BalanceId, _) = (&house, accounts[account], ids[id]);
        async move {
            // Refusals are answers too; what counts is the audit.
            match step {
                Step::Hold(amount) => drop(house.hold(id, balance, amount).await),
                Step::Capture(amount) => drop(house.settle(id, capture(amount)).await),
                Step::Release => drop(house.settle(id, Outcome::Release).await),
                Step::Give(amount) => drop(house.give(id, balance, amount).await),
            }
        }
    };
    for crowd in plan.chunks(500) {
        join_all(crowd.iter().copied().map(run)).await;
        house.audit().await;
    }
}
