//! What moved a balance, with the balance behind each; and what is held.

use billing::{Movement, MovementKind, Outcome, ledger::BalanceId};
use db::Engine;
use domain::Mode;
use futures::future::join_all;

use crate::house::{House, capture, on_both_engines};

on_both_engines!(
    every_movement_has_the_balance_behind_it,
    pages_go_on_where_the_one_before_ended,
    what_is_held_is_listed_until_it_ends,
);

/// Every entry is taken up. On PostgreSQL an entry is final a look after it was seen.
async fn taken_up(house: &House) {
    let newest: i64 = sqlx::query_scalar("select coalesce(max(seq), 0) from entry")
        .fetch_one(house.db.reader())
        .await
        .unwrap();
    testkit::eventually("all entries are taken up", async || {
        house.billing.take_up_movements().await.unwrap();
        let upto: i64 = sqlx::query_scalar("select upto from progress where job = 'movements'")
            .fetch_one(house.db.reader())
            .await
            .unwrap();
        Ok((upto >= newest).then_some(()))
    })
    .await
    .unwrap();
}

async fn page(house: &House, balance: BalanceId, before: Option<i64>, limit: u32) -> Vec<Movement> {
    let page = house.billing.movements(balance, before, limit).await;
    page.unwrap()
}

/// Number, kind, amount and balance of each.
fn figures(page: &[Movement]) -> Vec<(i64, MovementKind, i64, i64)> {
    page.iter()
        .map(|one| {
            let (amount, balance) = (one.amount().get(), one.balance().get());
            (one.number(), one.kind, amount, balance)
        })
        .collect()
}

async fn spend(house: &House, balance: BalanceId, outcome: Outcome) {
    let id = chassis::mint();
    house.hold(id, balance, 100).await.unwrap();
    house.settle(id, outcome).await.unwrap();
}

async fn every_movement_has_the_balance_behind_it(engine: Engine) {
    let house = House::with(engine, "jobs.movements_batch = 3").await;
    let alice = house.account_with(1_000).await;
    let bob = house.account_with(50).await;
    spend(&house, alice, capture(30)).await;
    house.give(chassis::mint(), bob, 7).await.unwrap();
    // What is free moves nothing.
    spend(&house, alice, Outcome::Release).await;
    taken_up(&house).await;
    house.give(chassis::mint(), alice, -20).await.unwrap();
    spend(&house, alice, capture(100)).await;
    // Any number at once: each entry counts once.
    let many = (0..4).map(|_| house.billing.take_up_movements());
    for outcome in join_all(many).await {
        outcome.unwrap();
    }
    taken_up(&house).await;

    let moved = page(&house, alice, None, 100).await;
    assert_eq!(
        figures(&moved),
        [
            (4, MovementKind::Charge, -100, 850),
            (3, MovementKind::Adjustment, -20, 950),
            (2, MovementKind::Charge, -30, 970),
            (1, MovementKind::Grant, 1_000, 1_000),
        ]
    );
    assert_eq!(house.figures(alice).await, (850, 0, 0));
    let test = BalanceId {
        mode: Mode::Test,
        ..alice
    };
    let welcome = (1, MovementKind::Welcome, 10_000_000_000, 10_000_000_000);
    assert_eq!(figures(&page(&house, test, None, 100).await), [welcome]);
    let moved = page(&house, bob, None, 100).await;
    assert_eq!(figures(&moved)[0], (2, MovementKind::Grant, 7, 57));
    assert_eq!(moved.len(), 2);
    house.audit().await;
}

async fn pages_go_on_where_the_one_before_ended(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(1_000).await;
    for _ in 0..4 {
        spend(&house, alice, capture(1)).await;
    }
    taken_up(&house).await;
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let some = page(&house, alice, before, 2).await;
        let Some(last) = some.last() else { break };
        before = Some(last.number());
        seen.extend(figures(&some));
    }
    assert_eq!(seen, figures(&page(&house, alice, None, 100).await));
    assert_eq!(seen.len(), 5);
}

async fn what_is_held_is_listed_until_it_ends(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(1_000).await;
    let bob = house.account_with(1_000).await;
    let (first, second) = (chassis::mint(), chassis::mint());
    house.hold(first, alice, 10).await.unwrap();
    house.hold(second, alice, 20).await.unwrap();
    house.hold(chassis::mint(), bob, 5).await.unwrap();
    let held = async || {
        let holds = house.billing.open_holds(alice, 100).await.unwrap();
        holds
            .iter()
            .map(|hold| (hold.id, hold.granted.get()))
            .collect::<Vec<_>>()
    };
    assert_eq!(held().await, [(second, 20), (first, 10)]);
    house.settle(second, capture(1)).await.unwrap();
    assert_eq!(held().await, [(first, 10)]);
}
