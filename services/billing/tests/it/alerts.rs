//! Low balances: told once each time one falls below what its customer named, and the change of it is on the record.

use billing::{HoldRequest, Life, ledger::BalanceId};
use db::Engine;
use domain::{Micros, Mode};
use proto::{
    Fault,
    billing::v1::{self as wire, billing_client::BillingClient},
    common::v1 as common,
};
use serde_json::{Value, json};
use sqlx::Row as _;

use crate::{
    house::{House, on_both_engines},
    key_desk::{ask, customer},
};

on_both_engines!(
    a_balance_that_falls_below_is_told_once,
    it_is_told_again_only_after_it_has_risen,
    what_is_held_is_not_spent,
    whoever_sets_it_on_a_low_balance_is_told_by_the_answer,
    each_mode_has_its_own_and_it_can_be_taken_away,
    what_is_no_amount_is_refused,
    a_change_is_on_the_record_and_a_repeat_is_none,
);

const CREDIT: i64 = 1_000_000;

fn context(id: BalanceId) -> Option<common::Context> {
    let mode = match id.mode {
        Mode::Test => common::Mode::Test,
        Mode::Live => common::Mode::Live,
    };
    customer(id.account, mode, &["manage"])
}

/// Sets it, and reads it back from the answer.
async fn set(house: &House, id: BalanceId, below: Option<i64>) -> Result<Option<i64>, Fault> {
    let mut billing = BillingClient::new(chassis::rpc::in_process(house.billing.routes()));
    let request = wire::SetAlertRequest {
        context: context(id),
        below,
    };
    let balance = billing.set_alert(ask(request)).await.map_err(Fault::from)?;
    Ok(balance.into_inner().alert_below)
}

/// Gives or takes.
async fn move_by(house: &House, id: BalanceId, amount: i64) {
    house.give(chassis::mint(), id, amount).await.unwrap();
}

async fn look(house: &House) -> usize {
    house.billing.look_at_alerts().await.unwrap()
}

/// What waits to be told, the oldest first. (Nobody is there to be told.)
async fn told(house: &House) -> Vec<Value> {
    let rows = sqlx::query("select payload from outbox where topic = 'alert' order by id")
        .fetch_all(house.db.reader())
        .await
        .unwrap();
    let bodies = rows.iter().map(|row| {
        let payload: Vec<u8> = row.get("payload");
        let mut told: Value = serde_json::from_slice(&payload).unwrap();
        told["body"].take()
    });
    bodies.collect()
}

async fn a_balance_that_falls_below_is_told_once(engine: Engine) {
    let house = House::open(engine).await;
    let id = house.account_with(10 * CREDIT).await;
    assert_eq!(
        set(&house, id, Some(5 * CREDIT)).await,
        Ok(Some(5 * CREDIT))
    );
    assert_eq!(look(&house).await, 0);

    move_by(&house, id, -5 * CREDIT).await;
    assert_eq!(look(&house).await, 0, "it is at, not below");
    move_by(&house, id, -1).await;
    let looks = futures::future::join_all((0..8).map(|_| look(&house))).await;
    assert_eq!(looks.iter().sum::<usize>(), 1, "{looks:?}");
    let mut bodies = told(&house).await;
    assert_eq!(bodies.len(), 1);
    assert!(bodies[0]["timestamp"].take().is_string());
    assert_eq!(
        bodies[0],
        json!({
            "type": "balance.low",
            "timestamp": null,
            "data": {
                "account_id": id.account.to_string(),
                "mode": "live",
                "below_credits": 5,
                "below_microcredits": 5_000_000,
                "available_credits": 4.999_999,
                "available_microcredits": 4_999_999,
                "held_credits": 0,
                "held_microcredits": 0,
                "posted_credits": 4.999_999,
                "posted_microcredits": 4_999_999,
            }
        })
    );
    // Another process over the same database knows.
    let house = house.reopen().await;
    assert_eq!(look(&house).await, 0);
    house.audit().await;
}

async fn it_is_told_again_only_after_it_has_risen(engine: Engine) {
    let house = House::open(engine).await;
    let id = house.account_with(5 * CREDIT).await;
    set(&house, id, Some(5 * CREDIT)).await.unwrap();
    move_by(&house, id, -1).await;
    assert_eq!(look(&house).await, 1);
    for (change, fallen) in [(-CREDIT, 0), (CREDIT, 0), (1, 0), (-1, 1), (-1, 0)] {
        move_by(&house, id, change).await;
        assert_eq!(look(&house).await, fallen, "{change}");
    }
    assert_eq!(told(&house).await.len(), 2);
}

async fn what_is_held_is_not_spent(engine: Engine) {
    let house = House::open(engine).await;
    let id = house.account_with(10 * CREDIT).await;
    set(&house, id, Some(5 * CREDIT)).await.unwrap();
    let hold = HoldRequest {
        hold: chassis::mint(),
        balance: id,
        amount: Micros::new(9 * CREDIT),
        floor: Micros::new(9 * CREDIT),
        life: Life::Media,
        key: None,
        price_version: String::new(),
    };
    house.billing.ledger().hold(hold).await.unwrap();
    assert_eq!(look(&house).await, 0);
}

async fn whoever_sets_it_on_a_low_balance_is_told_by_the_answer(engine: Engine) {
    let house = House::open(engine).await;
    let id = house.account_with(CREDIT).await;
    assert_eq!(
        set(&house, id, Some(5 * CREDIT)).await,
        Ok(Some(5 * CREDIT))
    );
    assert_eq!(look(&house).await, 0);
    // It is told when it falls, after it was above.
    move_by(&house, id, 5 * CREDIT).await;
    assert_eq!(look(&house).await, 0);
    move_by(&house, id, -2 * CREDIT).await;
    assert_eq!(look(&house).await, 1);
    // A lower one is armed anew; setting the same again changes nothing.
    set(&house, id, Some(2 * CREDIT)).await.unwrap();
    set(&house, id, Some(2 * CREDIT)).await.unwrap();
    move_by(&house, id, -3 * CREDIT).await;
    assert_eq!(look(&house).await, 1);
    set(&house, id, Some(2 * CREDIT)).await.unwrap();
    assert_eq!(look(&house).await, 0);
}

async fn each_mode_has_its_own_and_it_can_be_taken_away(engine: Engine) {
    let house = House::open(engine).await;
    let live = house.account_with(10 * CREDIT).await;
    let test = BalanceId {
        mode: Mode::Test,
        ..live
    };
    set(&house, live, Some(5 * CREDIT)).await.unwrap();
    assert_eq!(set(&house, test, None).await, Ok(None));
    move_by(&house, test, -9_999 * CREDIT).await;
    assert_eq!(look(&house).await, 0);
    assert_eq!(set(&house, live, None).await, Ok(None));
    move_by(&house, live, -9 * CREDIT).await;
    assert_eq!(look(&house).await, 0);
    assert!(told(&house).await.is_empty());
}

async fn what_is_no_amount_is_refused(engine: Engine) {
    let house = House::open(engine).await;
    let id = house.account_with(10 * CREDIT).await;
    for below in [0, -1, i64::MIN, i64::MAX] {
        let fault = set(&house, id, Some(below)).await.unwrap_err();
        assert_eq!(fault.code.word, "invalid_parameter", "{below}");
        assert_eq!(fault.param.as_deref(), Some("below_credits"), "{below}");
    }
    let nobody = BalanceId {
        account: chassis::mint(),
        mode: Mode::Live,
    };
    let fault = set(&house, nobody, Some(CREDIT)).await.unwrap_err();
    assert_eq!(fault.code.word, "not_found");
}

async fn a_change_is_on_the_record_and_a_repeat_is_none(engine: Engine) {
    let house = House::open(engine).await;
    let id = house.account_with(10 * CREDIT).await;
    for below in [Some(5 * CREDIT), Some(5 * CREDIT), None, None] {
        set(&house, id, below).await.unwrap();
    }
    let rows =
        sqlx::query("select detail from audit_log where action = 'credits.alert' order by id")
            .fetch_all(house.db.reader())
            .await
            .unwrap();
    let details: Vec<Value> = rows
        .iter()
        .map(|row| serde_json::from_str(row.get("detail")).unwrap())
        .collect();
    let change = |before: Value, after: Value| {
        json!({
            "before": { "below_microcredits": before },
            "after": { "below_microcredits": after },
        })
    };
    assert_eq!(
        details,
        [
            change(Value::Null, json!(5 * CREDIT)),
            change(json!(5 * CREDIT), Value::Null)
        ]
    );
}
