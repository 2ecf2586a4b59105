//! PostgreSQL dies, ends sessions, or does not come to answer: what was acknowledged is there, what was not is sent again until
//! it is known, and nothing happens twice.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use billing::{Error, Outcome, ledger::BalanceId};
use chassis::{Tasks, secrets::Secrets};
use db::Engine;
use domain::OperationId;
use futures::future::{join, join_all};
use testkit::{eventually, servers::Postgres};

use crate::{
    house::{House, capture, code},
    place::{Database, Place},
    proxy::{Loss, Proxy},
};

/// More than the tests can spend.
const CREDIT: i64 = 1_000_000_000;
/// Callers at once.
const CALLERS: usize = 48;

/// Pairs of hold and capture that were acknowledged, and the word to stop.
#[derive(Default)]
struct Load {
    pairs: AtomicI64,
    stop: AtomicBool,
}

// === impl Load ===

impl Load {
    /// One pair after another. What could not be had is asked for again, with the same ids.
    async fn run(&self, house: &House, balance: BalanceId) {
        while !self.stop.load(Ordering::SeqCst) {
            let id: OperationId = chassis::mint();
            let held = insist(async || house.hold(id, balance, 10).await).await;
            assert_eq!(held.granted.get(), 10);
            let charged = insist(async || house.settle(id, capture(7)).await).await;
            assert_eq!(charged, 7);
            self.pairs.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Waits until this many more pairs are acknowledged.
    async fn grow(&self, more: i64) {
        let before = self.pairs.load(Ordering::SeqCst);
        eventually("the load goes on", async || {
            let now = self.pairs.load(Ordering::SeqCst);
            Ok((now >= before + more).then_some(()))
        })
        .await
        .unwrap();
    }
}

/// Asks until there is an answer. Only "billing is away" and "too much at once" are none.
async fn insist<T>(mut ask: impl AsyncFnMut() -> Result<T, Error>) -> T {
    eventually("billing answers", async || match ask().await {
        Ok(answer) => Ok(Some(answer)),
        Err(error) => {
            let word = code::<()>(Err(error));
            assert!(
                ["billing_unavailable", "overloaded"].contains(&word),
                "{word}"
            );
            Ok(None)
        }
    })
    .await
    .unwrap()
}

/// Everything acknowledged is in the books, once.
async fn settled(house: &House, balance: BalanceId, load: &Load) {
    let pairs = load.pairs.load(Ordering::SeqCst);
    let left = insist(async || house.billing.balance(balance).await).await;
    assert_eq!(
        (left.posted.get(), left.held.get()),
        (CREDIT - 7 * pairs, 0)
    );
    let captured: i64 = sqlx::query_scalar("select count(*) from hold where state = 'captured'")
        .fetch_one(house.db.reader())
        .await
        .unwrap();
    assert_eq!(captured, pairs);
    house.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_under_load_loses_nothing_acknowledged() {
    let mut server = Postgres::start().await.unwrap();
    let place = Place::Server(Arc::new(Database::on(&server).await));
    let house = House::over(place, Secrets::random(), "").await;
    let balance = house.account_with(CREDIT).await;
    let load = Load::default();
    let faults = async {
        for _ in 0..3 {
            load.grow(300).await;
            server.kill().unwrap();
            server.restart().await.unwrap();
        }
        load.grow(300).await;
        load.stop.store(true, Ordering::SeqCst);
    };
    let callers = join_all((0..CALLERS).map(|_| load.run(&house, balance)));
    join(faults, callers).await;
    settled(&house, balance, &load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_are_ended_in_the_middle_of_a_batch_are_healed() {
    // So many that hardly a caller should notice.
    let settings = "resends = 8\nresend_after = '5ms'";
    let house = House::with(Engine::Postgres, settings).await;
    let balance = house.account_with(CREDIT).await;
    let load = Load::default();
    let mut owner = house.place.server().connect_owner().await;
    let faults = async {
        let mut ended: i64 = 0;
        for _ in 0..25 {
            load.grow(40).await;
            ended += sqlx::query_scalar::<_, i64>(
                "select count(pg_terminate_backend(pid)) from
                   (select pid from pg_stat_activity
                    where datname = current_database() and usename <> current_user and state <> 'idle'
                      and random() < 0.7 offset 0) as victims",
            )
            .fetch_one(&mut owner)
            .await
            .unwrap();
        }
        load.stop.store(true, Ordering::SeqCst);
        assert!(ended > 0, "no session was ended");
    };
    let callers = join_all((0..CALLERS).map(|_| load.run(&house, balance)));
    join(faults, callers).await;
    settled(&house, balance, &load).await;
}

/// Billing behind a way that loses commits, and the way.
async fn behind_a_proxy() -> (House, Proxy, Tasks) {
    let Place::Server(database) = Place::fresh(Engine::Postgres).await else {
        panic!("asked for a server");
    };
    let tasks = Tasks::default();
    let proxy = Proxy::to(database.port(), &tasks).await;
    let place = Place::Server(Arc::new(database.through(proxy.port())));
    let house = House::over(place, Secrets::random(), "resend_after = '5ms'").await;
    (house, proxy, tasks)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_recognised_and_happens_once() {
    let (house, proxy, _tasks) = behind_a_proxy().await;
    let alice = house.account_with(100).await;
    for loss in [Loss::Answer, Loss::Question] {
        let before = house.figures(alice).await.0;
        let (gift, charged, freed) = (chassis::mint(), chassis::mint(), chassis::mint());
        proxy.lose(&[loss]);
        house.give(gift, alice, 10).await.unwrap();
        proxy.lose(&[loss]);
        let held = house.hold(charged, alice, 30).await.unwrap();
        assert_eq!(
            (held.granted.get(), held.available.get()),
            (30, before - 20)
        );
        house.hold(freed, alice, 5).await.unwrap();
        proxy.lose(&[loss]);
        assert_eq!(house.settle(charged, capture(20)).await.unwrap(), 20);
        proxy.lose(&[loss]);
        assert_eq!(house.settle(freed, Outcome::Release).await.unwrap(), 0);
        proxy.lose(&[loss]);
        // A tombstone.
        assert_eq!(
            house
                .settle(chassis::mint(), Outcome::Release)
                .await
                .unwrap(),
            0
        );
        assert_eq!(proxy.to_be_lost(), 0, "every commit was lost once");
        assert_eq!(house.figures(alice).await, (before - 10, 0, 0));
    }
    house.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_lost_too_often_is_told_so_and_can_be_sent_again() {
    let (house, proxy, _tasks) = behind_a_proxy().await;
    let alice = house.account_with(100).await;
    let id = chassis::mint();
    proxy.lose(&[Loss::Question, Loss::Answer, Loss::Question, Loss::Question]);
    assert_eq!(code(house.hold(id, alice, 30).await), "billing_unavailable");
    assert_eq!(proxy.to_be_lost(), 0, "sent four times");
    // It is there all the same: the third was committed.
    assert_eq!(house.figures(alice).await, (100, 30, 1));
    assert_eq!(house.hold(id, alice, 30).await.unwrap().granted.get(), 30);
    assert_eq!(house.settle(id, capture(30)).await.unwrap(), 30);
    assert_eq!(house.figures(alice).await, (70, 0, 0));
    house.audit().await;
}
