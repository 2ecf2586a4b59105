//! The queue before the ledger: bounded, in order, and finished whoever goes away.

use std::time::Duration;

use db::Engine;
use futures::future::join_all;

use crate::house::{House, on_both_engines};

on_both_engines!(
    a_full_queue_refuses_and_loses_nothing,
    an_operation_outlives_its_caller,
    stopping_finishes_what_is_queued,
);

async fn a_full_queue_refuses_and_loses_nothing(engine: Engine) {
    let house = House::with(engine, "lanes = 1\nqueue = 3\nbatch = 2").await;
    let alice = house.account_with(100).await;
    // On one thread the lane gets its turn only after all have asked.
    let answers = join_all((0..10).map(|_| house.hold(chassis::mint(), alice, 1))).await;
    let (held, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((held.len(), refused.len()), (3, 7));
    for answer in refused {
        let fault = proto::Fault::from(answer.unwrap_err());
        assert_eq!(fault.code.word, "overloaded");
        assert_eq!(fault.retry_after, Some(Duration::from_secs(1)));
    }
    assert_eq!(house.figures(alice).await, (100, 3, 3));
    house.hold(chassis::mint(), alice, 1).await.unwrap();
    house.audit().await;
}

async fn an_operation_outlives_its_caller(engine: Engine) {
    let house = House::with(engine, "lanes = 1").await;
    let alice = house.account_with(100).await;
    for _ in 0..20 {
        let mut call = Box::pin(house.hold(chassis::mint(), alice, 1));
        // Asked once, so that it is queued; then the caller goes away.
        let _ = futures::poll!(&mut call);
    }
    // Asked after them, so answered after them.
    house.hold(chassis::mint(), alice, 1).await.unwrap();
    assert_eq!(house.figures(alice).await, (100, 21, 21));
    house.audit().await;
}

async fn stopping_finishes_what_is_queued(engine: Engine) {
    let house = House::open(engine).await;
    let alice = house.account_with(100).await;
    for _ in 0..20 {
        let mut call = Box::pin(house.hold(chassis::mint(), alice, 1));
        let _ = futures::poll!(&mut call);
    }
    let house = house.reopen().await;
    assert_eq!(house.figures(alice).await, (100, 20, 20));
}
