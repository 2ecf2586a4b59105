//! Several billing processes over one PostgreSQL: whoever is asked, the answer is that of one ledger.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use billing::{HoldRequest, Life, Outcome, ledger::BalanceId};
use chassis::secrets::Secrets;
use db::Engine;
use domain::{ApiKey, Mode, OperationId, Secret};
use futures::future::join_all;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

use crate::{
    house::{House, capture, code, media},
    place::Place,
};

/// Three processes over one database.
async fn three(settings: &str) -> [House; 3] {
    let place = Place::fresh(Engine::Postgres).await;
    let secrets = Secrets::random();
    let house = || House::over(place.clone(), secrets.clone(), settings);
    tokio::join!(house(), house(), house()).into()
}

/// How many rows a table has.
async fn rows(house: &House, counting: &'static str) -> i64 {
    sqlx::query_scalar(counting)
        .fetch_one(house.db.reader())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_that_start_at_once_make_one_operator_with_one_key() {
    let houses = three("").await;
    let operators = houses.each_ref().map(|house| house.billing.operator());
    assert!(operators.iter().all(|operator| *operator == operators[0]));
    let key = Secret::new(ApiKey::from_random(Mode::Live, &[7; 36]).expose());
    let made = houses.iter().map(|house| house.billing.bootstrap(&key));
    for made in join_all(made).await {
        made.unwrap();
    }
    let [house, ..] = &houses;
    assert_eq!(rows(house, "select count(*) from account").await, 1);
    assert_eq!(rows(house, "select count(*) from operator").await, 1);
    assert_eq!(rows(house, "select count(*) from api_key").await, 1);
    for house in &houses {
        let identity = house.billing.authenticate(key.expose()).await.unwrap();
        assert_eq!(identity.account, operators[0]);
    }
    house.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_thousand_ids_sent_eight_times_are_granted_once() {
    let houses = three("").await;
    let mut accounts = Vec::new();
    for _ in 0..3 {
        accounts.push(houses[0].account_with(200_000).await);
    }
    let mut random = StdRng::seed_from_u64(1);
    let plan: Vec<(OperationId, BalanceId, i64)> = (0..6_000)
        .map(|number| {
            let account = accounts[number % accounts.len()];
            (chassis::mint(), account, random.random_range(1..=900))
        })
        .collect();
    let granted: Mutex<HashMap<OperationId, i64>> = Mutex::default();
    let runs = (0..8_u64).map(|seed| {
        let (houses, granted, mut plan) = (&houses, &granted, plan.clone());
        plan.shuffle(&mut StdRng::seed_from_u64(seed));
        async move {
            for (round, ids) in plan.chunks(100).enumerate() {
                let house = &houses[(round + usize::try_from(seed).unwrap()) % houses.len()];
                let asked = ids
                    .iter()
                    .map(|(id, balance, amount)| house.hold(*id, *balance, *amount));
                for ((id, ..), answer) in ids.iter().zip(join_all(asked).await) {
                    match answer {
                        Ok(held) => {
                            let amount = held.granted.get();
                            let before = granted.lock().unwrap().insert(*id, amount);
                            assert!(before.is_none_or(|before| before == amount));
                        }
                        Err(refused) => {
                            assert_eq!(code::<()>(Err(refused)), "insufficient_credits");
                        }
                    }
                }
            }
        }
    });
    join_all(runs).await;
    let granted = granted.into_inner().unwrap();
    for balance in accounts {
        let of_balance = plan.iter().filter(|(_, of, _)| *of == balance);
        let held: i64 = of_balance.filter_map(|(id, ..)| granted.get(id)).sum();
        let (posted, set_aside, _) = houses[1].figures(balance).await;
        assert_eq!((posted, set_aside), (200_000, held));
        assert!(
            (199_000..=200_000).contains(&held),
            "as much as fits: {held}"
        );
    }
    houses[2].audit().await;
}

/// Every balance in random batches of every process, in every order: nobody may wait for ever. Nothing is sent again here, so a
/// deadlock that the server resolves would be seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_batches_over_many_accounts_never_lock_each_other() {
    let houses = three("lanes = 3\nresends = 0").await;
    let mut accounts = Vec::new();
    for _ in 0..12 {
        accounts.push(houses[0].account_with(500).await);
    }
    let ids: Vec<OperationId> = (0..400).map(|_| chassis::mint()).collect();
    let mut random = StdRng::seed_from_u64(2);
    for _ in 0..6 {
        let crowd = (0..1_000).map(|_| {
            let house = &houses[random.random_range(0..houses.len())];
            let balance = accounts[random.random_range(0..accounts.len())];
            let id = ids[random.random_range(0..ids.len())];
            let (what, amount) = (random.random_range(0..10), random.random_range(1..20));
            async move {
                match what {
                    0..4 => house.hold(id, balance, amount).await.map(drop),
                    4..7 => house.settle(id, capture(amount)).await.map(drop),
                    7..9 => house.settle(id, Outcome::Release).await.map(drop),
                    _ => house.give(chassis::mint(), balance, amount - 10).await,
                }
            }
        });
        for refused in join_all(crowd).await.into_iter().filter_map(Result::err) {
            let word = code::<()>(Err(refused));
            let answers = ["insufficient_credits", "hold_conflict", "invalid_parameter"];
            assert!(answers.contains(&word), "{word}");
        }
        houses[0].audit().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_that_races_its_hold_elsewhere_leaves_nothing_held() {
    let houses = three("").await;
    let alice = houses[0].account_with(10_000).await;
    let pairs = (0..600).map(|number| {
        let (here, there) = (&houses[number % 3], &houses[(number + 1) % 3]);
        let id = chassis::mint();
        async move {
            let (held, released) =
                tokio::join!(here.hold(id, alice, 10), there.settle(id, Outcome::Release));
            assert_eq!(released.unwrap(), 0);
            if let Err(refused) = held {
                assert_eq!(code::<()>(Err(refused)), "hold_conflict");
            }
            // It is closed now, whoever came first.
            assert_eq!(code(here.hold(id, alice, 10).await), "hold_conflict");
        }
    });
    join_all(pairs).await;
    assert_eq!(houses[0].figures(alice).await, (10_000, 0, 0));
    houses[0].audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn capture_release_and_expiry_elsewhere_have_one_winner() {
    let houses = three("").await;
    let alice = houses[0].account_with(1_000).await;
    let [one, two, three] = &houses;
    let mut paid = 0;
    for _ in 0..60 {
        let id = chassis::mint();
        let request = HoldRequest {
            life: Life::Chat(Duration::from_secs(1)),
            ..media(id, alice, 10)
        };
        one.billing.ledger().hold(request).await.unwrap();
        let later = one.db.now_micros() + 2_000_000;
        let (charged, freed, expired) = tokio::join!(
            one.settle(id, capture(7)),
            two.settle(id, Outcome::Release),
            three.billing.sweep(later)
        );
        // A release of what has expired says yes: it is free either way.
        assert_ne!(charged.is_ok(), freed.is_ok(), "one of them wins");
        assert!(expired.unwrap() <= u64::from(charged.is_err()));
        paid += if charged.is_ok() { 7 } else { 0 };
        assert_eq!(two.figures(alice).await, (1_000 - paid, 0, 0));
    }
    three.audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_past_their_moment_are_ended_once_by_whoever_sweeps() {
    let houses = three("sweep_every = '20ms'").await;
    let alice = houses[0].account_with(1_000).await;
    let holds = (0..200).map(|_| {
        let request = HoldRequest {
            life: Life::Chat(Duration::from_millis(1)),
            ..media(chassis::mint(), alice, 5)
        };
        houses[0].billing.ledger().hold(request)
    });
    for held in join_all(holds).await {
        held.unwrap();
    }
    let expired = || {
        houses.each_ref().map(|house| {
            let line = house.metric("aio_billing_holds_expired_total");
            let (_, count) = line.rsplit_once(' ').unwrap();
            count.parse::<u64>().unwrap()
        })
    };
    // A sweep counts when it is done with all it found, which is a moment after the last hold has ended.
    testkit::eventually("every hold expires and is counted", async || {
        let (_, held, _) = houses[1].figures(alice).await;
        let counted = expired().iter().sum::<u64>();
        Ok((held == 0 && counted >= 200).then_some(()))
    })
    .await
    .unwrap();
    let expired = expired();
    assert_eq!(expired.iter().sum::<u64>(), 200, "{expired:?}");
    houses[2].audit().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_process_tells_how_many_holds_are_open_anywhere() {
    let houses = Arc::new(three("sweep_every = '20ms'").await);
    let alice = houses[0].account_with(1_000).await;
    let ids: [OperationId; 3] = std::array::from_fn(|_| chassis::mint());
    for (house, id) in houses.iter().zip(ids) {
        house.hold(id, alice, 5).await.unwrap();
    }
    let everyone_tells = async |count: i64| {
        testkit::eventually("every process tells the same", async || {
            let line = format!("aio_billing_holds_open {count}");
            let told = |house: &House| house.metric("aio_billing_holds_open") == line;
            Ok(houses.iter().all(told).then_some(()))
        })
        .await
        .unwrap();
    };
    everyone_tells(3).await;
    // Ended by another process than the one that opened it.
    houses[2].settle(ids[0], capture(1)).await.unwrap();
    everyone_tells(2).await;
}
