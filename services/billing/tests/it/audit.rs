//! The audit finds what the ledger can never do: the books are tampered with behind its back.

use billing::{Life, Verdict};
use db::Engine;

use crate::house::{House, capture, media, on_both_engines};

on_both_engines!(
    a_changed_balance_is_noticed,
    a_negative_balance_is_noticed,
    a_changed_hold_is_noticed,
    a_charge_above_its_hold_is_noticed,
    a_charge_booked_twice_is_noticed,
    a_lost_entry_is_noticed,
    a_hold_of_nobody_is_noticed,
    a_stuck_hold_is_noticed,
    figures_are_told_beside_the_checks,
);

/// Breaks the books with `sql`, and says which checks notice.
async fn noticed(engine: Engine, sql: &str) -> Vec<&'static str> {
    let house = House::open(engine).await;
    let alice = house.account_with(100).await;
    let (open, charged) = (chassis::mint(), chassis::mint());
    house.hold(open, alice, 30).await.unwrap();
    house.hold(charged, alice, 30).await.unwrap();
    house.settle(charged, capture(20)).await.unwrap();
    house.audit().await;
    house.place.tamper(&house.db, sql).await;
    let checks = house.billing.audit().await.unwrap();
    let broken = checks.iter().filter(|check| check.holds == Verdict::Broken);
    let broken: Vec<_> = broken.map(|check| check.name).collect();
    assert_eq!(
        house.metric("aio_billing_audit_broken"),
        format!("aio_billing_audit_broken {}", broken.len())
    );
    assert_ne!(
        house.metric("aio_billing_audit_timestamp_seconds"),
        "aio_billing_audit_timestamp_seconds 0"
    );
    broken
}

async fn a_changed_balance_is_noticed(engine: Engine) {
    let found = noticed(
        engine,
        "update balance set posted = posted + 1 where posted = 80",
    )
    .await;
    assert_eq!(found, ["balances_equal_entries"]);
}

async fn a_negative_balance_is_noticed(engine: Engine) {
    let found = noticed(engine, "update balance set posted = 20 where posted = 80").await;
    assert_eq!(found, ["balances_equal_entries", "no_negative_available"]);
}

async fn a_changed_hold_is_noticed(engine: Engine) {
    let found = noticed(
        engine,
        "update balance set held = held - 1 where posted = 80",
    )
    .await;
    assert_eq!(found, ["held_equals_open_holds"]);
    let found = noticed(engine, "update balance set open_holds = 0").await;
    assert_eq!(found, ["held_equals_open_holds"]);
    let found = noticed(engine, "delete from hold where state = 'open'").await;
    assert_eq!(found, ["held_equals_open_holds"]);
}

async fn a_charge_above_its_hold_is_noticed(engine: Engine) {
    let found = noticed(
        engine,
        "update hold set captured = 31 where state = 'captured'",
    )
    .await;
    assert_eq!(
        found,
        ["captures_within_holds", "captures_booked_exactly_once"]
    );
}

async fn a_charge_booked_twice_is_noticed(engine: Engine) {
    let found = noticed(
        engine,
        "insert into entry (cause, kind, account, mode, amount, created_at)
         select cause, kind, account, mode, amount, created_at from entry where kind = 'capture';
         update balance set posted = posted - 20 where posted = 80",
    )
    .await;
    assert_eq!(found, ["captures_booked_exactly_once"]);
}

async fn a_lost_entry_is_noticed(engine: Engine) {
    let found = noticed(
        engine,
        "delete from entry where kind = 'top_up' and amount = 100",
    )
    .await;
    assert_eq!(
        found,
        [
            "entries_sum_to_zero",
            "entries_of_each_cause_sum_to_zero",
            "balances_equal_entries",
            "transfers_booked_exactly_once"
        ]
    );
}

async fn a_hold_of_nobody_is_noticed(engine: Engine) {
    let found = noticed(
        engine,
        "update hold set account = id where state = 'captured'",
    )
    .await;
    assert_eq!(found, ["no_hold_without_balance"]);
}

async fn a_stuck_hold_is_noticed(engine: Engine) {
    let house = House::with(engine, "audit.stuck_after = '0s'").await;
    let alice = house.account_with(100).await;
    let request = billing::HoldRequest {
        life: Life::Chat(std::time::Duration::from_millis(1)),
        ..media(chassis::mint(), alice, 5)
    };
    house.billing.ledger().hold(request).await.unwrap();
    let broken = async || {
        let checks = house.billing.audit().await.unwrap();
        let broken = checks
            .into_iter()
            .find(|check| check.holds == Verdict::Broken);
        broken.map(|check| (check.name, check.figure))
    };
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(5);
    while broken().await.is_none() && tokio::time::Instant::now() < deadline {
        tokio::task::yield_now().await;
    }
    assert_eq!(broken().await, Some(("no_stuck_holds", 1)));
    house.billing.sweep(house.db.now_micros()).await.unwrap();
    house.audit().await;
}

async fn figures_are_told_beside_the_checks(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(100).await;
    house.hold(chassis::mint(), alice, 30).await.unwrap();
    let checks = house.billing.audit().await.unwrap();
    let figure = |name| {
        checks
            .iter()
            .find(|check| check.name == name)
            .unwrap()
            .figure
    };
    // The operator and alice, their play money and her gift.
    let figures = ["accounts", "holds", "open_holds", "entries", "endings"].map(figure);
    assert_eq!(figures, [2, 1, 1, 6, 0]);
}
