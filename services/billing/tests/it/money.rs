//! Holds, settlements and credit, one after another, over a real database.

use std::time::Duration;

use billing::{HoldRequest, Life, Outcome, SettleRequest};
use db::Engine;
use domain::{Micros, OperationId};
use sqlx::Row as _;

use crate::house::{House, capture, code, media, on_both_engines};

on_both_engines!(
    a_hold_is_captured_and_the_rest_is_free_again,
    a_refused_hold_says_what_is_available,
    repeats_are_answered_alike_and_other_arguments_are_a_conflict,
    a_provider_that_reports_too_much_is_our_loss_and_counted,
    a_capture_of_an_unknown_hold_charges_nothing_and_is_counted,
    a_release_that_overtakes_its_hold_wins,
    chat_holds_expire_and_media_holds_do_not,
    a_chat_hold_must_end_in_time,
    a_grant_is_cut_down_to_what_is_there_but_not_below_the_floor,
    an_adjustment_never_takes_what_is_not_there,
    large_amounts_are_kept_to_the_last_micro_credit,
    receipts_are_kept_with_what_took_effect,
    everything_is_there_after_reopening,
);

async fn a_hold_is_captured_and_the_rest_is_free_again(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(100).await;
    let hold: OperationId = chassis::mint();
    let held = house.hold(hold, alice, 60).await.unwrap();
    assert_eq!((held.granted.get(), held.available.get()), (60, 40));
    assert_eq!(house.figures(alice).await, (100, 60, 1));
    assert_eq!(house.settle(hold, capture(25)).await.unwrap(), 25);
    assert_eq!(house.figures(alice).await, (75, 0, 0));
    house.audit().await;
}

async fn a_refused_hold_says_what_is_available(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(2_500_000).await;
    let refused = house.hold(chassis::mint(), alice, 3_000_000).await;
    let fault = proto::Fault::from(refused.unwrap_err());
    assert_eq!(fault.code.word, "insufficient_credits");
    assert_eq!(fault.message, "this needs 3 credits; 2.5 are available");
    assert_eq!(house.figures(alice).await, (2_500_000, 0, 0));
    assert_eq!(
        house.metric("aio_billing_holds_refused_total"),
        "aio_billing_holds_refused_total 1"
    );
}

async fn repeats_are_answered_alike_and_other_arguments_are_a_conflict(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(100).await;
    let (hold, gift): (OperationId, OperationId) = (chassis::mint(), chassis::mint());
    for _ in 0..2 {
        house.give(gift, alice, 10).await.unwrap();
        assert_eq!(house.hold(hold, alice, 60).await.unwrap().granted.get(), 60);
    }
    assert_eq!(
        code(house.give(gift, alice, 11).await),
        "idempotency_mismatch"
    );
    assert_eq!(code(house.hold(hold, alice, 61).await), "hold_conflict");
    for _ in 0..2 {
        assert_eq!(house.settle(hold, capture(25)).await.unwrap(), 25);
    }
    assert_eq!(code(house.settle(hold, capture(26)).await), "hold_conflict");
    assert_eq!(
        code(house.settle(hold, Outcome::Release).await),
        "hold_conflict"
    );
    assert_eq!(code(house.hold(hold, alice, 60).await), "hold_conflict");
    assert_eq!(house.figures(alice).await, (85, 0, 0));
    house.audit().await;
}

async fn a_provider_that_reports_too_much_is_our_loss_and_counted(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(100).await;
    let hold = chassis::mint();
    house.hold(hold, alice, 60).await.unwrap();
    assert_eq!(house.settle(hold, capture(i64::MAX)).await.unwrap(), 60);
    assert_eq!(house.figures(alice).await, (40, 0, 0));
    assert_eq!(
        house.metric("aio_billing_captures_over_reported_total"),
        "aio_billing_captures_over_reported_total 1"
    );
    house.audit().await;
}

async fn a_capture_of_an_unknown_hold_charges_nothing_and_is_counted(engine: Engine) {
    let house = House::open(engine).await;
    assert_eq!(house.settle(chassis::mint(), capture(5)).await.unwrap(), 0);
    assert_eq!(
        house.metric("aio_billing_captures_unknown_total"),
        "aio_billing_captures_unknown_total 1"
    );
    house.audit().await;
}

async fn a_release_that_overtakes_its_hold_wins(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(100).await;
    let hold = chassis::mint();
    assert_eq!(house.settle(hold, Outcome::Release).await.unwrap(), 0);
    assert_eq!(code(house.hold(hold, alice, 60).await), "hold_conflict");
    assert_eq!(house.figures(alice).await, (100, 0, 0));
    house.audit().await;
}

async fn chat_holds_expire_and_media_holds_do_not(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(100).await;
    let (chat, task) = (chassis::mint(), chassis::mint());
    let request = HoldRequest {
        life: Life::Chat(Duration::from_secs(60)),
        ..media(chat, alice, 30)
    };
    house.billing.ledger().hold(request).await.unwrap();
    house.hold(task, alice, 20).await.unwrap();
    assert_eq!(house.billing.sweep(house.db.now_micros()).await.unwrap(), 0);
    let later = house.db.now_micros() + 61_000_000;
    assert_eq!(house.billing.sweep(later).await.unwrap(), 1);
    assert_eq!(house.billing.sweep(later).await.unwrap(), 0);
    assert_eq!(house.figures(alice).await, (100, 20, 1));
    assert_eq!(
        house.metric("aio_billing_holds_open"),
        "aio_billing_holds_open 1"
    );
    assert_eq!(code(house.settle(chat, capture(30)).await), "hold_conflict");
    house.audit().await;
    let an_hour_ago = "update hold set created_at = created_at - 3600000000 where state = 'open'";
    house.place.tamper(&house.db, an_hour_ago).await;
    house.billing.sweep(later).await.unwrap();
    let age = house.metric("aio_billing_hold_oldest_seconds ");
    let age: i64 = age.rsplit(' ').next().unwrap().parse().unwrap();
    assert!((3_600..3_700).contains(&age), "{age}");
    house.settle(task, capture(20)).await.unwrap();
    house.billing.sweep(later).await.unwrap();
    assert_eq!(
        house.metric("aio_billing_hold_oldest_seconds "),
        "aio_billing_hold_oldest_seconds 0"
    );
}

async fn a_chat_hold_must_end_in_time(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(100).await;
    for life in [Duration::ZERO, Duration::from_secs(901)] {
        let request = HoldRequest {
            life: Life::Chat(life),
            ..media(chassis::mint(), alice, 30)
        };
        let refused = house.billing.ledger().hold(request).await;
        assert_eq!(code(refused), "invalid_parameter");
    }
}

async fn a_grant_is_cut_down_to_what_is_there_but_not_below_the_floor(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(50).await;
    let with_floor = |floor| HoldRequest {
        floor: Micros::new(floor),
        ..media(chassis::mint(), alice, 80)
    };
    let ledger = house.billing.ledger();
    assert_eq!(
        code(ledger.hold(with_floor(51)).await),
        "insufficient_credits"
    );
    assert_eq!(ledger.hold(with_floor(50)).await.unwrap().granted.get(), 50);
}

async fn an_adjustment_never_takes_what_is_not_there(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(100).await;
    house.hold(chassis::mint(), alice, 60).await.unwrap();
    let refused = house.give(chassis::mint(), alice, -41).await;
    assert_eq!(code(refused), "insufficient_credits");
    house.give(chassis::mint(), alice, -40).await.unwrap();
    assert_eq!(house.figures(alice).await, (60, 60, 1));
    for amount in [0, i64::MIN, i64::MAX] {
        let refused = house.give(chassis::mint(), alice, amount).await;
        assert_eq!(code(refused), "invalid_parameter", "{amount}");
    }
    house.audit().await;
}

async fn large_amounts_are_kept_to_the_last_micro_credit(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(0).await;
    let most = 1_000_000_000_000_000;
    for _ in 0..40 {
        house.give(chassis::mint(), alice, most - 1).await.unwrap();
    }
    let all = 40 * (most - 1);
    let (spent, hold) = (all - 1, chassis::mint());
    house.hold(hold, alice, all).await.unwrap();
    assert_eq!(house.settle(hold, capture(spent)).await.unwrap(), spent);
    assert_eq!(house.figures(alice).await, (1, 0, 0));
    for amount in [most + 1, -most - 1] {
        let refused = house.give(chassis::mint(), alice, amount).await;
        assert_eq!(code(refused), "invalid_parameter");
    }
    house.audit().await;
}

async fn receipts_are_kept_with_what_took_effect(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(100).await;
    let (charged, free, unknown) = (chassis::mint(), chassis::mint(), chassis::mint());
    house.hold(charged, alice, 60).await.unwrap();
    house.hold(free, alice, 10).await.unwrap();
    house.settle(charged, capture(1)).await.unwrap();
    house.settle(free, Outcome::Release).await.unwrap();
    house.settle(unknown, capture(1)).await.unwrap();
    let long = SettleRequest {
        hold: chassis::mint(),
        outcome: Outcome::Release,
        payer: None,
        receipt: "x".repeat(70_000),
    };
    house.billing.ledger().settle(long).await.unwrap();
    // Again: an ending has one receipt, the first.
    house.settle(charged, capture(1)).await.unwrap();
    let rows = sqlx::query("select hold, receipt from ending order by seq")
        .fetch_all(house.db.reader())
        .await
        .unwrap();
    let kept: Vec<(Vec<u8>, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let expected = [charged, free].map(|id| (id.to_vec(), format!(r#"{{"of":"{id}"}}"#)));
    assert_eq!(kept, expected);
}

async fn everything_is_there_after_reopening(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(100).await;
    let (open, closed) = (chassis::mint(), chassis::mint());
    house.hold(open, alice, 60).await.unwrap();
    house.hold(closed, alice, 40).await.unwrap();
    house.settle(closed, capture(7)).await.unwrap();
    let operator = house.billing.operator();
    let house = house.reopen().await;
    assert_eq!(house.billing.operator(), operator);
    assert_eq!(house.figures(alice).await, (93, 60, 1));
    assert_eq!(house.settle(closed, capture(7)).await.unwrap(), 7);
    assert_eq!(house.settle(open, capture(60)).await.unwrap(), 60);
    assert_eq!(house.figures(alice).await, (33, 0, 0));
    house.audit().await;
}
