//! Credit that expires: what is used of it, and what is taken back of it in the end.

use billing::{By, CreditsRequest, Error, ledger::BalanceId};
use db::Engine;
use domain::{Micros, OperationId};

use crate::house::{House, capture, code, on_both_engines};

on_both_engines!(
    what_expires_first_is_used_first,
    what_is_left_expires_and_nothing_else_does,
    what_is_held_when_it_expires_stays,
    a_gift_is_given_once_with_its_expiry,
    a_gift_for_good_does_not_begin_to_expire,
    a_note_without_its_gift_is_nothing,
    what_was_decided_before_a_crash_is_taken_once,
);

/// Long enough for any test.
const HOUR: i64 = 3_600_000_000;

async fn give(
    house: &House,
    transfer: OperationId,
    balance: BalanceId,
    (amount, expires_at): (i64, Option<i64>),
) -> Result<(), Error> {
    let request = CreditsRequest {
        transfer,
        balance,
        amount: Micros::new(amount),
        reason: "promotion".to_owned(),
        by: By::operator(),
        expires_at,
    };
    house.billing.add_credits(request).await
}

async fn spend(house: &House, balance: BalanceId, amount: i64) {
    let id = chassis::mint();
    house.hold(id, balance, amount).await.unwrap();
    house.settle(id, capture(amount)).await.unwrap();
}

/// Everything that was charged is counted. On PostgreSQL an entry is final a look after it was seen.
async fn counted(house: &House) {
    let newest: i64 = sqlx::query_scalar("select coalesce(max(seq), 0) from entry")
        .fetch_one(house.db.reader())
        .await
        .unwrap();
    testkit::eventually("all uses are counted", async || {
        house.billing.look_after_lots(0).await.unwrap();
        let upto: i64 = sqlx::query_scalar("select upto from progress where job = 'lots'")
            .fetch_one(house.db.reader())
            .await
            .unwrap();
        Ok((upto >= newest).then_some(()))
    })
    .await
    .unwrap();
}

/// Takes back what has expired by then.
async fn expire(house: &House, now: i64) {
    testkit::eventually("what had expired is taken back", async || {
        let done = house.billing.look_after_lots(now).await.unwrap();
        Ok(done.then_some(()))
    })
    .await
    .unwrap();
}

async fn left(house: &House, balance: BalanceId) -> Vec<i64> {
    let lots = house.billing.expiring(balance).await.unwrap();
    lots.iter().map(|lot| lot.left.get()).collect()
}

async fn what_expires_first_is_used_first(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(1_000).await;
    let now = house.db.now_micros();
    give(&house, chassis::mint(), alice, (100, Some(now + 2 * HOUR)))
        .await
        .unwrap();
    give(&house, chassis::mint(), alice, (50, Some(now + HOUR)))
        .await
        .unwrap();
    assert_eq!(left(&house, alice).await, [50, 100]);
    spend(&house, alice, 30).await;
    counted(&house).await;
    assert_eq!(left(&house, alice).await, [20, 100]);
    spend(&house, alice, 40).await;
    // What an operator takes away uses it up as well.
    house.give(chassis::mint(), alice, -10).await.unwrap();
    counted(&house).await;
    assert_eq!(left(&house, alice).await, [70]);
    spend(&house, alice, 500).await;
    counted(&house).await;
    assert!(left(&house, alice).await.is_empty());
    assert_eq!(house.figures(alice).await, (1_150 - 580, 0, 0));
    house.audit().await;
}

async fn what_is_left_expires_and_nothing_else_does(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(1_000).await;
    let bob = house.account_with(5).await;
    let end = house.db.now_micros() + HOUR;
    give(&house, chassis::mint(), alice, (100, Some(end)))
        .await
        .unwrap();
    give(&house, chassis::mint(), alice, (7, Some(end + HOUR)))
        .await
        .unwrap();
    give(&house, chassis::mint(), bob, (3, Some(end)))
        .await
        .unwrap();
    spend(&house, alice, 30).await;
    counted(&house).await;
    // Not yet: a batch may be on its way that was charged before.
    expire(&house, end).await;
    assert_eq!(house.figures(alice).await.0, 1_077);
    let late = end + HOUR / 2;
    for _ in 0..3 {
        expire(&house, late).await;
    }
    assert_eq!(house.figures(alice).await, (1_007, 0, 0));
    assert_eq!(house.figures(bob).await, (5, 0, 0));
    assert_eq!(left(&house, alice).await, [7]);
    // What was taken back has used no other lot.
    counted(&house).await;
    assert_eq!(left(&house, alice).await, [7]);
    house.audit().await;
}

async fn what_is_held_when_it_expires_stays(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(0).await;
    let end = house.db.now_micros() + HOUR;
    give(&house, chassis::mint(), alice, (100, Some(end)))
        .await
        .unwrap();
    let id = chassis::mint();
    house.hold(id, alice, 60).await.unwrap();
    counted(&house).await;
    expire(&house, end + HOUR).await;
    assert_eq!(house.figures(alice).await, (60, 60, 1));
    assert_eq!(house.settle(id, capture(60)).await.unwrap(), 60);
    // And credit that is given later is not touched.
    house.give(chassis::mint(), alice, 40).await.unwrap();
    expire(&house, end + HOUR).await;
    assert_eq!(house.figures(alice).await, (40, 0, 0));
    house.audit().await;
}

async fn a_gift_is_given_once_with_its_expiry(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(0).await;
    let end = house.db.now_micros() + HOUR;
    let id = chassis::mint();
    for _ in 0..2 {
        give(&house, id, alice, (100, Some(end))).await.unwrap();
    }
    for expires_at in [Some(end + 1), None] {
        let other = give(&house, id, alice, (100, expires_at)).await;
        assert_eq!(code(other), "idempotency_mismatch");
    }
    assert_eq!(house.figures(alice).await.0, 100);
    for (amount, expires_at) in [(5, 1), (-5, end)] {
        let refused = give(&house, chassis::mint(), alice, (amount, Some(expires_at))).await;
        assert_eq!(code(refused), "invalid_parameter");
    }
    // One whose credit was refused means nothing.
    let much = give(&house, chassis::mint(), alice, (i64::MAX, Some(end))).await;
    assert!(much.is_err());
    assert_eq!(left(&house, alice).await, [100]);
    expire(&house, end + HOUR).await;
    assert_eq!(house.figures(alice).await.0, 0);
    house.audit().await;
}

async fn a_gift_for_good_does_not_begin_to_expire(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(0).await;
    let (id, end) = (chassis::mint(), house.db.now_micros() + HOUR);
    for _ in 0..2 {
        give(&house, id, alice, (7, None)).await.unwrap();
    }
    let other = give(&house, id, alice, (7, Some(end))).await;
    assert_eq!(code(other), "idempotency_mismatch");
    expire(&house, end + HOUR).await;
    assert_eq!(house.figures(alice).await.0, 7);
}

/// Up to schema 10 the note was written first: what a crash left of it neither stands in the way nor makes a gift expire.
async fn a_note_without_its_gift_is_nothing(engine: Engine) {
    let house = House::open(engine).await;
    let balance = house.account_with(0).await;
    let later = house.db.now_micros() + HOUR;
    for (expires_at, expiring) in [(Some(later), 1), (None, 0)] {
        let gift: OperationId = chassis::mint();
        let written: Result<(), Error> = house
            .db
            .write(move |connection| {
                Box::pin(async move {
                    sqlx::query(
                        "insert into lot (id, account, mode, amount, created_at, expires_at) values ($1, $2, 'live', 7, 1, 2)",
                    )
                    .bind(gift.to_vec())
                    .bind(balance.account.to_vec())
                    .execute(connection)
                    .await?;
                    Ok(())
                })
            })
            .await;
        written.unwrap();
        for _ in 0..2 {
            give(&house, gift, balance, (10, expires_at)).await.unwrap();
        }
        let lots = house.billing.expiring(balance).await.unwrap();
        let of_gift = lots.iter().filter(|lot| lot.id == gift);
        assert_eq!(of_gift.count(), expiring);
    }
    assert_eq!(house.figures(balance).await.0, 20);
    house.audit().await;
}

async fn what_was_decided_before_a_crash_is_taken_once(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(0).await;
    let end = house.db.now_micros() + HOUR;
    let (id, taking): (OperationId, OperationId) = (chassis::mint(), chassis::mint());
    give(&house, id, alice, (100, Some(end))).await.unwrap();
    // A process that died right behind its decision, or right behind its booking.
    let decided: Result<(), db::Error> = house
        .db
        .write(move |connection| {
            Box::pin(async move {
                sqlx::query("update lot set taking = $1, taking_amount = 100 where id = $2")
                    .bind(taking.to_vec())
                    .bind(id.to_vec())
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
        .await;
    decided.unwrap();
    counted(&house).await;
    house.give(chassis::mint(), alice, 500).await.unwrap();
    expire(&house, end + HOUR).await;
    expire(&house, end + HOUR).await;
    assert_eq!(house.figures(alice).await.0, 500);
    let reasons: Vec<String> =
        sqlx::query_scalar("select reason from transfer where actor = 'expiry'")
            .fetch_all(house.db.reader())
            .await
            .unwrap();
    assert_eq!(reasons, [format!("what was left of {id} has expired")]);
    house.audit().await;
}
