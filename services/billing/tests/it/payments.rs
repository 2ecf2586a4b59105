//! The promise about payments: the same events a hundred times, in random order, side by side, with refunds: one credit, one
//! reversal.

use std::collections::HashMap;

use billing::ledger::BalanceId;
use chassis::secrets::Secrets;
use db::Engine;
use futures::future::join_all;
use proptest::{prelude::*, test_runner::TestRunner};
use proto::billing::v1::StripeEvent;

use crate::{
    house::House,
    news,
    place::Place,
    shop::{Shop, id_of, of_payment, of_session},
};

/// Micro-credits of the pack `small`, which costs 1 000 cents.
const SMALL: i64 = 1_000_000_000;
/// How often each event comes.
const COPIES: usize = 25;

/// What the provider does between two bursts of events.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Refund(i64),
    RefundFails,
    Dispute,
    DisputeWon,
}

#[test]
fn sqlite_credits_once_and_reverses_once() {
    compare(Engine::Sqlite, 12);
}

#[test]
fn postgres_credits_once_and_reverses_once() {
    compare(Engine::Postgres, 8);
}

fn compare(engine: Engine, cases: u32) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let shop = runtime.block_on(Shop::start());
    // On a server there are two processes, and events go to both.
    let houses = runtime.block_on(houses(engine, &shop));
    let deed = prop_oneof![
        3 => (1..400_i64).prop_map(Deed::Refund),
        1 => Just(Deed::RefundFails),
        1 => Just(Deed::Dispute),
        1 => Just(Deed::DisputeWon),
    ];
    let plan = (prop::collection::vec(deed, 0..4), any::<u64>());
    let mut runner = TestRunner::new(ProptestConfig {
        cases,
        max_shrink_iters: 16,
        ..ProptestConfig::default()
    });
    let outcome = runner.run(&plan, |(deeds, seed)| {
        runtime.block_on(play(&houses, &shop, &deeds, seed))
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    runtime.block_on(houses[0].audit());
}

async fn houses(engine: Engine, shop: &Shop) -> Vec<House> {
    let (place, secrets) = (Place::fresh(engine).await, Secrets::random());
    let count = match engine {
        Engine::Sqlite => 1,
        Engine::Postgres => 2,
    };
    let mut houses = Vec::new();
    for _ in 0..count {
        houses.push(House::over(place.clone(), secrets.clone(), &shop.settings()).await);
    }
    houses
}

async fn play(
    houses: &[House],
    shop: &Shop,
    deeds: &[Deed],
    seed: u64,
) -> Result<(), TestCaseError> {
    let house = &houses[0];
    let balance = house.account_with(0).await;
    let order = id_of(&house.order(balance, "small").await.unwrap());
    let payment = shop.pay(&order, 1_000, "usd");
    let name = |number: usize, kind: &str| format!("evt_{order}_{kind}_{number}");
    let mut events = vec![
        of_session(&name(0, "c"), "checkout.session.completed", &order),
        of_session(
            &name(0, "s"),
            "checkout.session.async_payment_succeeded",
            &order,
        ),
    ];
    let mut gone: HashMap<String, i64> = HashMap::new();
    let (mut moves, mut told) = (0, 0);
    for (number, deed) in deeds.iter().enumerate() {
        do_it(shop, *deed, (&order, &payment), &mut gone);
        let kind = match deed {
            Deed::Refund(_) | Deed::RefundFails => "charge.refunded",
            Deed::Dispute | Deed::DisputeWon => "charge.dispute.updated",
        };
        events.push(of_payment(&name(number, "p"), kind, &payment));
        // Half of the deeds are told before the next one happens.
        if seed >> number & 1 == 1 {
            moves += i64::from(told != taken(&gone));
            told = taken(&gone);
            burst(houses, &events, seed).await;
        }
    }
    burst(houses, &events, seed).await;
    moves += i64::from(told != taken(&gone));
    let reversed = SMALL / 1_000 * taken(&gone);
    let now = house.order_now(balance, &order).await;
    prop_assert_eq!((now.credited, now.reversed, now.owed), (SMALL, reversed, 0));
    prop_assert_eq!(house.figures(balance).await, (SMALL - reversed, 0, 0));
    let credits = booked(house, balance, "amount = 1000000000").await;
    prop_assert_eq!(credits, 1, "one credit");
    let reversals = booked(house, balance, "amount <> 1000000000").await;
    // What happened between two bursts is one movement, however often it was told.
    prop_assert_eq!(reversals, moves, "reversals");
    let told = news::told(house, balance).await;
    let told = |kind: &str| told.iter().filter(|event| event["type"] == kind).count();
    prop_assert_eq!(told("order.paid"), 1);
    let refunds = deeds.iter().filter(|deed| matches!(deed, Deed::Refund(_)));
    prop_assert!(told("refund.issued") <= refunds.count());
    Ok(())
}

/// Cents that are gone.
fn taken(gone: &HashMap<String, i64>) -> i64 {
    gone.values().sum::<i64>().min(1_000)
}

fn do_it(shop: &Shop, deed: Deed, (order, payment): (&str, &str), gone: &mut HashMap<String, i64>) {
    let refunds = gone.keys().filter(|id| id.starts_with("re")).count();
    let dispute = format!("du_{order}");
    match deed {
        Deed::Refund(amount) => {
            let id = format!("re_{order}_{refunds}");
            shop.refund(&id, payment, amount, "succeeded");
            gone.insert(id, amount);
        }
        Deed::RefundFails => {
            let id = format!("re_{order}_0");
            if let Some(amount) = gone.get_mut(&id) {
                shop.refund(&id, payment, *amount, "failed");
                *amount = 0;
            }
        }
        // A dispute that was won stays won.
        Deed::Dispute if !gone.contains_key(&dispute) => {
            shop.dispute(&dispute, payment, 600, "needs_response");
            gone.insert(dispute, 600);
        }
        Deed::DisputeWon if gone.contains_key(&dispute) => {
            shop.dispute(&dispute, payment, 600, "won");
            gone.insert(dispute, 0);
        }
        Deed::Dispute | Deed::DisputeWon => {}
    }
}

/// Sends every event many times, in another order each time, all at once, to one process and the other.
async fn burst(houses: &[House], events: &[StripeEvent], seed: u64) {
    let mut shuffled: Vec<(usize, &StripeEvent)> =
        (0..COPIES).flat_map(|_| events).enumerate().collect();
    // A cheap shuffle that the seed decides.
    shuffled.sort_by_key(|(place, _)| {
        let place = u64::try_from(*place).unwrap();
        (place ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    let sent = shuffled
        .into_iter()
        .map(|(place, event)| insist(&houses[place % houses.len()], event));
    join_all(sent).await;
}

/// Sends an event until it is taken, as the provider does. Only "too much at once" is a reason to come again.
async fn insist(house: &House, event: &StripeEvent) {
    testkit::eventually("the event is taken", async || {
        match house.take(event.clone()).await {
            Ok(()) => Ok(Some(())),
            Err(word) => {
                assert!(
                    ["overloaded", "billing_unavailable"].contains(&word.as_str()),
                    "{word}"
                );
                Ok(None)
            }
        }
    })
    .await
    .unwrap();
}

async fn booked(house: &House, balance: BalanceId, which: &str) -> i64 {
    let sql =
        format!("select count(*) from transfer where account = $1 and mode = 'live' and {which}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(balance.account.to_vec())
        .fetch_one(house.db.reader())
        .await
        .unwrap()
}
