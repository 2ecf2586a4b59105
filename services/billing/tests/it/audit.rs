//! The audit finds what the ledger can never do: the books are tampered with behind its back.

use billing::{Life, Verdict};
use sqlx::AssertSqlSafe;

use crate::house::{House, capture, media};

/// Breaks the books with `sql`, and says which checks notice.
async fn noticed(sql: &str) -> Vec<&'static str> {
    let house = House::open().await;
    let alice = house.account_with(100).await;
    let (open, charged) = (chassis::mint(), chassis::mint());
    house.hold(open, alice, 30).await.unwrap();
    house.hold(charged, alice, 30).await.unwrap();
    house.settle(charged, capture(20)).await.unwrap();
    house.audit().await;
    let sql = format!("pragma ignore_check_constraints = on; {sql}");
    let tampered: Result<(), db::Error> = house
        .db
        .write(move |connection| {
            Box::pin(async move {
                sqlx::raw_sql(AssertSqlSafe(sql))
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
        .await;
    tampered.unwrap();
    let checks = house.billing.audit().await.unwrap();
    let broken = checks.iter().filter(|check| check.holds == Verdict::Broken);
    broken.map(|check| check.name).collect()
}

#[tokio::test]
async fn a_changed_balance_is_noticed() {
    let found = noticed("update balance set posted = posted + 1 where posted = 80").await;
    assert_eq!(found, ["balances_equal_entries"]);
}

#[tokio::test]
async fn a_negative_balance_is_noticed() {
    let found = noticed("update balance set posted = 20 where posted = 80").await;
    assert_eq!(found, ["balances_equal_entries", "no_negative_available"]);
}

#[tokio::test]
async fn a_changed_hold_is_noticed() {
    let found = noticed("update balance set held = held - 1 where posted = 80").await;
    assert_eq!(found, ["held_equals_open_holds"]);
    let found = noticed("update balance set open_holds = 0").await;
    assert_eq!(found, ["held_equals_open_holds"]);
    let found = noticed("delete from hold where state = 'open'").await;
    assert_eq!(found, ["held_equals_open_holds"]);
}

#[tokio::test]
async fn a_charge_above_its_hold_is_noticed() {
    let found = noticed("update hold set captured = 31 where state = 'captured'").await;
    assert_eq!(
        found,
        ["captures_within_holds", "captures_booked_exactly_once"]
    );
}

#[tokio::test]
async fn a_charge_booked_twice_is_noticed() {
    let found = noticed(
        "insert into entry (cause, kind, account, mode, amount, created_at)
         select cause, kind, account, mode, amount, created_at from entry where kind = 'capture';
         update balance set posted = posted - 20 where posted = 80",
    )
    .await;
    assert_eq!(found, ["captures_booked_exactly_once"]);
}

#[tokio::test]
async fn a_lost_entry_is_noticed() {
    let found = noticed(
        "drop trigger entry_is_not_deleted;
         delete from entry where kind = 'top_up' and amount = 100",
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

#[tokio::test]
async fn a_hold_of_nobody_is_noticed() {
    let found = noticed("update hold set account = zeroblob(16) where state = 'captured'").await;
    assert_eq!(found, ["no_hold_without_balance"]);
}

#[tokio::test]
async fn a_stuck_hold_is_noticed() {
    let house = House::with("stuck_after = '0s'").await;
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
    house
        .billing
        .sweep(chassis::clock::now_micros())
        .await
        .unwrap();
    house.audit().await;
}

#[tokio::test]
async fn figures_are_told_beside_the_checks() {
    let house = House::open().await;
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
    let figures = ["accounts", "holds", "open_holds", "entries", "receipts"].map(figure);
    assert_eq!(figures, [2, 1, 1, 6, 0]);
}
