//! What takes money back: refunds and disputes, as far as there is something to take, and what is owed meanwhile.

use billing::{Outcome, ledger::BalanceId};
use db::Engine;

use crate::{
    house::{House, capture, on_both_engines},
    orders::{COMPLETED, SMALL, bought, open, standing},
    shop::{Shop, id_of, of_payment, of_session},
};

on_both_engines!(
    refunds_are_taken_back_and_add_up,
    a_dispute_is_taken_back_until_it_is_won,
    what_was_spent_is_owed_and_taken_later,
    a_won_dispute_forgives_what_is_owed,
);

/// Tells billing that something about this payment has changed.
async fn tell(house: &House, event: &str, payment: &str) {
    let event = of_payment(event, "charge.refunded", payment);
    house.take(event).await.unwrap();
}

async fn refunds_are_taken_back_and_add_up(engine: Engine) {
    let (house, shop, balance) = open(engine).await;
    // The refund is told before the payment is.
    let order = id_of(&house.order(balance, "small").await.unwrap());
    let payment = shop.pay(&order, 1_000, "usd");
    shop.refund("re_1", &payment, 250, "succeeded");
    let partly = ("partly_refunded".to_owned(), [SMALL, SMALL / 4, 0]);
    tell(&house, "evt_1", &payment).await;
    assert_eq!(standing(&house, balance, &order).await, partly);
    let late = of_session("evt_2", COMPLETED, &order);
    house.take(late).await.unwrap();
    assert_eq!(standing(&house, balance, &order).await, partly);
    // More refunds than one page holds.
    for (number, amount) in [(2, 250), (3, 1), (4, 499)] {
        shop.refund(&format!("re_{number}"), &payment, amount, "pending");
    }
    tell(&house, "evt_1", &payment).await;
    let now = standing(&house, balance, &order).await;
    assert_eq!(now, partly, "that event was taken");
    tell(&house, "evt_3", &payment).await;
    let whole = ("refunded".to_owned(), [SMALL, SMALL, 0]);
    assert_eq!(standing(&house, balance, &order).await, whole);
    assert_eq!(house.figures(balance).await, (0, 0, 0));
    // A refund that the bank sends back is credit again.
    shop.refund("re_4", &payment, 499, "failed");
    tell(&house, "evt_4", &payment).await;
    let back = SMALL / 1_000 * 499;
    let now = standing(&house, balance, &order).await;
    assert_eq!(now.1, [SMALL, SMALL - back, 0]);
    assert_eq!(house.figures(balance).await, (back, 0, 0));
    house.audit().await;
}

async fn a_dispute_is_taken_back_until_it_is_won(engine: Engine) {
    let (house, shop, balance) = open(engine).await;
    let (order, payment) = bought(&house, &shop, balance).await;
    for (status, reversed) in [
        ("warning_needs_response", 0),
        ("needs_response", SMALL),
        ("under_review", SMALL),
        ("won", 0),
        // An old look that comes late.
        ("needs_response", 0),
    ] {
        shop.dispute("du_1", &payment, 1_000, status);
        tell(&house, &format!("evt_{status}_{reversed}"), &payment).await;
        let shown = if reversed > 0 { "disputed" } else { "paid" };
        let now = standing(&house, balance, &order).await;
        assert_eq!(now, (shown.to_owned(), [SMALL, reversed, 0]), "{status}");
    }
    shop.dispute("du_2", &payment, 400, "lost");
    tell(&house, "evt_lost", &payment).await;
    let lost = SMALL / 10 * 4;
    let now = standing(&house, balance, &order).await;
    assert_eq!(now, ("disputed".to_owned(), [SMALL, lost, 0]));
    assert_eq!(house.figures(balance).await.0, SMALL - lost);
    house.audit().await;
}

/// An order of which half was spent and a quarter is held when it is refunded; gives the order and the hold.
async fn refunded_too_late(
    house: &House,
    shop: &Shop,
    balance: BalanceId,
) -> (String, domain::OperationId) {
    let (order, payment) = bought(house, shop, balance).await;
    let (spent, held) = (chassis::mint(), chassis::mint());
    house.hold(spent, balance, SMALL / 2).await.unwrap();
    house.settle(spent, capture(SMALL / 2)).await.unwrap();
    house.hold(held, balance, SMALL / 4).await.unwrap();
    shop.refund("re_1", &payment, 1_000, "succeeded");
    tell(house, "evt_refunded", &payment).await;
    (order, held)
}

async fn what_was_spent_is_owed_and_taken_later(engine: Engine) {
    let (house, shop, balance) = open(engine).await;
    let (order, held) = refunded_too_late(&house, &shop, balance).await;
    let owes = async |owed: i64| {
        let expected = ("refunded".to_owned(), [SMALL, SMALL - owed, owed]);
        assert_eq!(standing(&house, balance, &order).await, expected);
    };
    let collect = async || house.billing.orders().collect().await.unwrap();
    // A quarter was there. Nothing that is held was touched.
    owes(SMALL / 4 * 3).await;
    assert_eq!(house.figures(balance).await, (SMALL / 4, SMALL / 4, 1));
    assert_eq!(collect().await, 0, "nothing is there");
    // The hold ends without a charge: the collector finds what is free again.
    house.settle(held, Outcome::Release).await.unwrap();
    assert_eq!(collect().await, 1);
    owes(SMALL / 2).await;
    // An operator's gift, and then another order, each as far as it goes.
    let gift = house.give(chassis::mint(), balance, SMALL / 8).await;
    gift.unwrap();
    assert_eq!(collect().await, 1);
    owes(SMALL / 8 * 3).await;
    let (next, _) = bought(&house, &shop, balance).await;
    owes(0).await;
    assert_eq!(standing(&house, balance, &next).await.1, [SMALL, 0, 0]);
    assert_eq!(house.figures(balance).await.0, SMALL / 8 * 5);
    assert_eq!(collect().await, 0);
    house.audit().await;
}

async fn a_won_dispute_forgives_what_is_owed(engine: Engine) {
    let (house, shop, balance) = open(engine).await;
    let (order, payment) = bought(&house, &shop, balance).await;
    let spent = chassis::mint();
    house.hold(spent, balance, SMALL / 4).await.unwrap();
    house.settle(spent, capture(SMALL / 4)).await.unwrap();
    shop.dispute("du_1", &payment, 1_000, "needs_response");
    tell(&house, "evt_1", &payment).await;
    let now = standing(&house, balance, &order).await;
    assert_eq!(now.1, [SMALL, SMALL / 4 * 3, SMALL / 4]);
    shop.dispute("du_1", &payment, 1_000, "won");
    tell(&house, "evt_2", &payment).await;
    // What was taken comes back, and no more.
    let now = standing(&house, balance, &order).await;
    assert_eq!(now, ("paid".to_owned(), [SMALL, 0, 0]));
    assert_eq!(house.figures(balance).await, (SMALL / 4 * 3, 0, 0));
    house.audit().await;
}
