//! Many requests with one Idempotency-Key at once, in one process and in several.

use db::Engine;
use futures::future::join_all;
use proto::code;

use crate::{
    app::until,
    billing::Plan,
    database::on_both_engines,
    house::{House, Outcome, Process, eventually, when_told},
    keyed::{ASK, STREAM, STREAM_PRICE, WHOLE_PRICE, stream, stream_when_told, whole},
    provider::Reply,
};

const AT_ONCE: usize = 50;

/// What becomes of those who are not the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Others {
    /// They are told to come again, all of them before the first has its answer.
    Refused,
    /// They wait, and get the same answer.
    Wait,
}

// === impl Others ===

impl Others {
    const ALL: [Self; 2] = [Self::Refused, Self::Wait];

    /// The setting.
    const fn wait(self) -> &'static str {
        match self {
            Self::Refused => "wait = '100ms'",
            Self::Wait => "wait = '20s'",
        }
    }
}

/// Fifty at once, in turn to each process.
async fn at_once(house: &House, processes: &[Process], others: Others) -> Vec<Outcome> {
    let turns = processes.iter().cycle().take(AT_ONCE);
    let asking: Vec<_> = turns.map(|process| process.send(STREAM, "one")).collect();
    until("the provider is asked", || {
        house.provider.asked().len() == 1
    })
    .await;
    if others == Others::Refused {
        let refused = || asking.iter().filter(|one| one.is_finished()).count();
        until("the others are told", || refused() == AT_ONCE - 1).await;
    }
    house.provider.tell();
    let outcomes = join_all(asking).await;
    outcomes.into_iter().map(Result::unwrap).collect()
}

async fn check(house: &House, processes: &[Process], others: Others) {
    house.provider.will(stream_when_told());
    let outcomes = at_once(house, processes, others).await;
    let (mut first, mut replays) = (0, 0);
    for outcome in outcomes {
        match outcome {
            Ok(answer) => {
                assert_eq!((answer.data.len(), answer.end().1), (4, STREAM_PRICE));
                if answer.head.unwrap().replayed {
                    replays += 1;
                } else {
                    first += 1;
                }
            }
            Err(fault) => {
                assert_eq!(fault.code, code::IDEMPOTENCY_IN_PROGRESS, "{fault}");
                assert!(fault.retry_after.is_some());
            }
        }
    }
    let expected = match others {
        Others::Refused => 0,
        Others::Wait => AT_ONCE - 1,
    };
    assert_eq!((first, replays), (1, expected));
    for process in processes {
        let answer = process.ask(STREAM, "one").await.unwrap();
        assert!(answer.head.unwrap().replayed);
    }
    assert_eq!(house.provider.asked().len(), 1);
    house.charged(&[STREAM_PRICE]).await;
}

async fn fifty_at_once_are_one_run_and_one_charge(engine: Engine) {
    for others in Others::ALL {
        let house = House::new(engine).await;
        let house = house.with("wait = '100ms'", others.wait());
        let processes = [house.process().await];
        check(&house, &processes, others).await;
    }
}

/// The first is stopped between the store and the charge: everybody who comes makes sure of the charge.
async fn whoever_finds_a_stored_answer_charges_it_and_one_charge_counts(engine: Engine) {
    let house = House::new(engine).await;
    let process = house.process().await;
    house.billing.books().settle_plans = [Plan::Stall, Plan::Answer].into();
    house.provider.will(stream());
    let first = process.send(STREAM, "one");
    house.reaches(&["stored"]).await;
    let asking = (0..20).map(|_| process.ask(STREAM, "one"));
    for outcome in join_all(asking).await {
        assert!(outcome.unwrap().head.unwrap().replayed);
    }
    // The first tries again, and finds its charge booked.
    assert_eq!(first.await.unwrap().unwrap().end().1, STREAM_PRICE);
    house.charged(&[STREAM_PRICE]).await;
}

/// A dead process left a key that many want: one of them gets it.
async fn a_key_is_taken_over_once(engine: Engine) {
    let house = House::new(engine).await;
    let mut dead = house.process().await;
    house.provider.will(Reply::silence());
    let asking = dead.send(ASK, "one");
    until("the provider is asked", || {
        house.provider.asked().len() == 1
    })
    .await;
    dead.kill();
    assert!(asking.await.is_err());
    house.provider.will(whole());
    let process = house.process().await;
    let outcomes = join_all((0..20).map(|_| process.insist(ASK, "one"))).await;
    let anew = outcomes
        .into_iter()
        .filter(|outcome| !outcome.as_ref().unwrap().head.as_ref().unwrap().replayed);
    assert_eq!(anew.count(), 1);
    assert_eq!(house.provider.asked().len(), 2);
    house.charged(&[WHOLE_PRICE]).await;
}

on_both_engines! {
    fifty_at_once_are_one_run_and_one_charge,
    whoever_finds_a_stored_answer_charges_it_and_one_charge_counts,
    a_key_is_taken_over_once,
}

#[tokio::test]
async fn fifty_at_once_at_two_processes_are_one_run_and_one_charge() {
    for others in Others::ALL {
        let house = House::new(Engine::Postgres).await;
        let house = house.with("wait = '100ms'", others.wait());
        let processes = [house.process().await, house.process().await];
        check(&house, &processes, others).await;
    }
}

/// A process stands still for longer than its lease, with the answer on its way; another one takes the key over. When it wakes up
/// it charges nothing.
#[tokio::test]
async fn who_slept_past_its_lease_charges_nothing() {
    for (body, told, reply, price) in [
        (ASK, when_told(whole()), whole(), WHOLE_PRICE),
        (STREAM, stream_when_told(), stream(), STREAM_PRICE),
    ] {
        let house = House::new(Engine::Postgres).await;
        let [sleeper, other] = [house.process().await, house.process().await];
        house.provider.will(told);
        let first = sleeper.send(body, "one");
        until("the provider is asked", || {
            house.provider.asked().len() == 1
        })
        .await;
        let frozen = sleeper.freeze().await;
        house.provider.will(reply);
        let answer = other.insist(body, "one").await.unwrap();
        assert!(!answer.head.as_ref().unwrap().replayed);
        house.provider.tell();
        drop(frozen);
        match first.await.unwrap() {
            Ok(cut) => assert_eq!(cut.failed.unwrap().code, code::OVERLOADED),
            Err(fault) => assert_eq!(fault.code, code::OVERLOADED),
        }
        let again = sleeper.ask(body, "one").await.unwrap();
        assert_eq!(
            (again.data.clone(), again.end()),
            (answer.data.clone(), answer.end())
        );
        house.charged(&[price]).await;
    }
}

/// The same while the charge is on its way, of an answer that is not kept, and for so long that the hold expires.
#[tokio::test]
async fn who_slept_past_its_hold_charges_nothing() {
    let house = House::new(Engine::Postgres).await.with(
        "[limits.chat.replay]",
        "[limits.chat.replay]\nmax_bytes = 1",
    );
    let [sleeper, other] = [house.process().await, house.process().await];
    house.billing.books().settle_plans = [Plan::Stall, Plan::Answer].into();
    house.provider.will(whole());
    let first = sleeper.send(ASK, "one");
    until("the charge is asked for", || {
        house.billing.settles_asked() == 1
    })
    .await;
    let frozen = sleeper.freeze().await;
    house.billing.expire_all();
    house.provider.will(whole());
    let answer = other.insist(ASK, "one").await.unwrap();
    assert_eq!(answer.end().1, WHOLE_PRICE);
    drop(frozen);
    let fault = first.await.unwrap().unwrap_err();
    assert_eq!(fault.code, code::BILLING_UNAVAILABLE);
    house.charged(&[WHOLE_PRICE]).await;
}

/// A generation longer than its lease keeps it.
#[tokio::test]
async fn who_lives_keeps_its_key() {
    let house = House::new(Engine::Postgres)
        .await
        .with("lease = '2s'", "lease = '4s'");
    let processes = [house.process().await, house.process().await];
    house.provider.will(stream_when_told());
    let first = processes[0].send(STREAM, "one");
    until("the provider is asked", || {
        house.provider.asked().len() == 1
    })
    .await;
    let begun = std::time::Instant::now();
    eventually("more than two leases pass", async || {
        let fault = processes[1].ask(STREAM, "one").await.unwrap_err();
        assert_eq!(fault.code, code::IDEMPOTENCY_IN_PROGRESS);
        begun.elapsed().as_millis() > 8500
    })
    .await;
    house.provider.tell();
    assert_eq!(first.await.unwrap().unwrap().end().1, STREAM_PRICE);
    processes[0].stops().await;
    house.charged(&[STREAM_PRICE]).await;
}
