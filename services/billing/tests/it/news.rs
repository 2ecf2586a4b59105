//! What customers are told of their money besides a low balance: orders, refunds, and keys that have spent what they may. Each once.

use billing::{Caps, HoldRequest, NewKey, ledger::BalanceId};
use chassis::secrets::Secrets;
use db::Engine;
use domain::{KeyId, Micros, Mode};
use futures::future::join_all;
use proto::billing::v1 as wire;
use serde_json::{Value, json};
use sqlx::Row as _;

use crate::{
    house::{House, capture, code, media, on_both_engines},
    key_desk::update,
    orders::{COMPLETED, SMALL, bought, count, open},
    place::Place,
    shop::{id_of, of_payment, of_session},
};

on_both_engines!(
    an_order_that_is_paid_is_told_once,
    each_refund_is_told_once_with_its_share,
    a_refund_that_is_known_first_is_told_behind_its_payment,
    a_cap_that_is_spent_is_told_once,
    what_is_held_may_come_back_and_is_told_once_it_is_spent,
    what_older_processes_would_take_for_a_low_balance_they_do_not_see,
    a_new_day_and_another_cap_are_told_anew,
    processes_that_refuse_at_once_tell_it_once,
);

const CREDIT: i64 = 1_000_000;

/// What waits to be told to an account, the oldest first. (Nobody is there to be told.)
pub(crate) async fn told(house: &House, balance: BalanceId) -> Vec<Value> {
    let rows = sqlx::query(
        "select payload from outbox where topic = 'money' and subject = $1 order by id",
    )
    .bind(balance.account.to_vec())
    .fetch_all(house.db.reader())
    .await
    .unwrap();
    let bodies = rows.iter().map(|row| {
        let payload: Vec<u8> = row.get("payload");
        let mut told: Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(told["type"], told["body"]["type"], "{told}");
        assert_eq!(told["mode"], "live");
        told["body"].take()
    });
    bodies.collect()
}

/// Their types, and what was paid or given back.
async fn amounts(house: &House, balance: BalanceId) -> Vec<(String, i64, i64)> {
    let told = told(house, balance).await.into_iter();
    let read = told.map(|event| {
        let number = |name: &str| event["data"][name].as_i64().unwrap();
        let kind = event["type"].as_str().unwrap().to_owned();
        (kind, number("amount"), number("microcredits"))
    });
    read.collect()
}

async fn an_order_that_is_paid_is_told_once(engine: Engine) {
    let (house, shop, balance) = open(engine).await;
    let order = id_of(&house.order(balance, "small").await.unwrap());
    assert!(told(&house, balance).await.is_empty(), "nothing was paid");
    shop.pay(&order, 1_000, "usd");
    for event in ["evt_1", "evt_1", "evt_2", "evt_1"] {
        let paid = of_session(event, COMPLETED, &order);
        house.take(paid).await.unwrap();
    }
    let mut told = told(&house, balance).await;
    assert_eq!(told.len(), 1, "{told:?}");
    for moment in ["created_at", "updated_at"] {
        assert!(told[0]["data"]["order"][moment].take().is_string());
    }
    assert!(told[0]["timestamp"].take().is_string());
    assert_eq!(
        told[0],
        json!({
            "type": "order.paid",
            "timestamp": null,
            "data": {
                "account_id": balance.account.to_string(),
                "mode": "live",
                "order_id": order,
                "amount": 1_000,
                "currency": "usd",
                "credits": 1_000,
                "microcredits": SMALL,
                "order": {
                    "order_id": order,
                    "object": "order",
                    "status": "paid",
                    "pack": "small",
                    "name": "1,000 credits",
                    "credits": 1_000,
                    "price": 1_000,
                    "currency": "usd",
                    "credited_credits": 1_000,
                    "reversed_credits": 0,
                    "owed_credits": 0,
                    "created_at": null,
                    "updated_at": null,
                },
            }
        })
    );
}

async fn each_refund_is_told_once_with_its_share(engine: Engine) {
    let (house, shop, balance) = open(engine).await;
    let (_, payment) = bought(&house, &shop, balance).await;
    // Nearly everything is spent.
    house
        .give(chassis::mint(), balance, CREDIT - SMALL)
        .await
        .unwrap();
    let changed = async |event: &str| {
        let event = of_payment(event, "charge.refunded", &payment);
        house.take(event).await.unwrap();
    };
    shop.refund("re_1", &payment, 250, "succeeded");
    for event in ["evt_1", "evt_1", "evt_2"] {
        changed(event).await;
    }
    // Two of which one look tells, and a claim of the bank, which is no refund.
    shop.refund("re_2", &payment, 100, "pending");
    shop.refund("re_3", &payment, 150, "succeeded");
    shop.dispute("du_1", &payment, 500, "needs_response");
    changed("evt_3").await;
    // One that comes to nothing is none; nor is it told when it comes back.
    shop.refund("re_2", &payment, 100, "failed");
    shop.refund("re_4", &payment, 5, "failed");
    changed("evt_4").await;
    let refund = |amount: i64| ("refund.issued".to_owned(), amount, SMALL / 1_000 * amount);
    let told = told(&house, balance).await;
    let [paid, first, ..] = told.as_slice() else {
        panic!("{told:?}");
    };
    assert!(paid["data"].get("refund_id").is_none());
    let refunds = told.iter().skip(1).map(|event| {
        let word = |name: &str| event["data"][name].as_str().unwrap();
        (word("refund_id"), word("refund_status"))
    });
    assert_eq!(
        refunds.collect::<Vec<_>>(),
        [
            ("re_1", "succeeded"),
            ("re_2", "pending"),
            ("re_3", "succeeded")
        ]
    );
    let order = &first["data"]["order"];
    assert_eq!(order["status"], "partly_refunded");
    assert_eq!(order["reversed_credits"], 1, "what was left");
    assert_eq!(order["owed_credits"], 249);
    let paid = ("order.paid".to_owned(), 1_000, SMALL);
    let amounts = amounts(&house, balance).await;
    assert_eq!(amounts, [paid, refund(250), refund(100), refund(150)]);
    // Another process over the same database knows.
    let house = house.reopen().await;
    assert_eq!(self::amounts(&house, balance).await.len(), 4);
    house.audit().await;
}

async fn a_refund_that_is_known_first_is_told_behind_its_payment(engine: Engine) {
    let (house, shop, balance) = open(engine).await;
    let order = id_of(&house.order(balance, "small").await.unwrap());
    let payment = shop.pay(&order, 1_000, "usd");
    shop.refund("re_1", &payment, 1_000, "succeeded");
    let first = of_payment("evt_1", "charge.refunded", &payment);
    house.take(first).await.unwrap();
    let late = of_session("evt_2", COMPLETED, &order);
    house.take(late).await.unwrap();
    let amounts = amounts(&house, balance).await;
    let kinds = ["order.paid", "refund.issued"];
    assert_eq!(amounts, kinds.map(|kind| (kind.to_owned(), 1_000, SMALL)));
}

/// A live key with these caps, in credits.
async fn key(house: &House, balance: BalanceId, day: Option<i64>, total: Option<i64>) -> KeyId {
    let cap = |credits: Option<i64>| credits.map(|credits| Micros::new(credits * CREDIT));
    let wanted = NewKey {
        account: balance.account,
        name: "laptop".to_owned(),
        mode: Mode::Live,
        scopes: Vec::new(),
        models: Vec::new(),
        caps: Caps {
            day: cap(day),
            month: None,
            total: cap(total),
        },
        rpm: 0,
        concurrency: 0,
        max_open_tasks: 0,
        ip_allow: Vec::new(),
        expires_at: None,
    };
    house.billing.create_key(wanted).await.unwrap().id
}

/// Holds so many credits.
async fn hold(
    house: &House,
    balance: BalanceId,
    key: KeyId,
    credits: i64,
) -> Result<domain::OperationId, billing::Error> {
    let id = chassis::mint();
    let request = HoldRequest {
        key: Some(key),
        ..media(id, balance, credits * CREDIT)
    };
    house.billing.ledger().hold(request).await.map(|_| id)
}

async fn spend(house: &House, balance: BalanceId, key: KeyId, credits: i64) {
    let id = hold(house, balance, key, credits).await.unwrap();
    house.settle(id, capture(credits * CREDIT)).await.unwrap();
}

async fn refused(house: &House, balance: BalanceId, key: KeyId, credits: i64) {
    let refused = hold(house, balance, key, credits).await;
    assert_eq!(code(refused), "key_cap_exceeded");
}

async fn look(house: &House) -> usize {
    house.billing.look_at_caps().await.unwrap()
}

/// The caps that are told once this is refused.
async fn looked(house: &House, balance: BalanceId, key: KeyId, credits: i64) -> usize {
    refused(house, balance, key, credits).await;
    look(house).await
}

async fn a_cap_that_is_spent_is_told_once(engine: Engine) {
    let house = House::open(engine).await;
    let balance = house.account_with(100 * CREDIT).await;
    let key = key(&house, balance, None, Some(10)).await;
    spend(&house, balance, key, 9).await;
    assert_eq!(look(&house).await, 0, "nothing was refused");
    let noted = looked(&house, balance, key, 11).await;
    assert_eq!(noted, 0, "it never had room for that");
    for _ in 0..20 {
        refused(&house, balance, key, 2).await;
    }
    let looks = join_all((0..4).map(|_| look(&house))).await;
    assert_eq!(looks.iter().sum::<usize>(), 1, "{looks:?}");
    let noted = looked(&house, balance, key, 2).await;
    assert_eq!(noted, 0, "it was told");
    let mut told = told(&house, balance).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0]["timestamp"].take().is_string());
    assert_eq!(told[0], nine_of_ten(balance, key));
    another_process_knows(house, balance, key).await;
}

async fn another_process_knows(house: House, balance: BalanceId, key: KeyId) {
    let house = house.reopen().await;
    let noted = looked(&house, balance, key, 3).await;
    assert_eq!(noted, 0);
    house.audit().await;
}

/// What is told of a key that has spent nine credits of ten, but for the moment.
fn nine_of_ten(balance: BalanceId, key: KeyId) -> Value {
    json!({
        "type": "key.cap_reached",
        "timestamp": null,
        "data": {
            "account_id": balance.account.to_string(),
            "mode": "live",
            "key_id": key.to_string(),
            "name": "laptop",
            "cap": "total",
            "cap_credits": 10,
            "cap_microcredits": 10 * CREDIT,
            "spent_credits": 9,
            "spent_microcredits": 9 * CREDIT,
            "resets_at": null,
        }
    })
}

async fn what_is_held_may_come_back_and_is_told_once_it_is_spent(engine: Engine) {
    let house = House::open(engine).await;
    let balance = house.account_with(100 * CREDIT).await;
    let key = key(&house, balance, None, Some(10)).await;
    let open = hold(&house, balance, key, 9).await.unwrap();
    refused(&house, balance, key, 2).await;
    for _ in 0..3 {
        assert_eq!(look(&house).await, 0, "it is only held");
    }
    house.settle(open, capture(CREDIT)).await.unwrap();
    assert_eq!(look(&house).await, 0, "most of it came back");
    let open = hold(&house, balance, key, 8).await.unwrap();
    let noted = looked(&house, balance, key, 2).await;
    assert_eq!(noted, 0);
    house.settle(open, capture(8 * CREDIT)).await.unwrap();
    assert_eq!(look(&house).await, 1, "nobody has asked since");
    assert_eq!(look(&house).await, 0);
}

/// The processes of the version before take what is in `alert` for low balances, whatever it is.
async fn what_older_processes_would_take_for_a_low_balance_they_do_not_see(engine: Engine) {
    let (house, shop, balance) = open(engine).await;
    bought(&house, &shop, balance).await;
    let older = "select count(*) from outbox where topic = 'alert'";
    assert_eq!(count(&house, older).await, 0);
    assert_eq!(told(&house, balance).await.len(), 1);
}

/// Takes the cap of a day away, and raises that in all.
async fn raise(house: &House, key: KeyId, credits: i64) {
    let raised = wire::UpdateKeyRequest {
        key_id: key.to_vec().into(),
        cap_day: Some(wire::CapChange { amount: None }),
        cap_total: Some(wire::CapChange {
            amount: Some(credits * CREDIT),
        }),
        ..wire::UpdateKeyRequest::default()
    };
    update(house, raised).await.unwrap();
}

async fn a_new_day_and_another_cap_are_told_anew(engine: Engine) {
    let house = House::open(engine).await;
    let balance = house.account_with(100 * CREDIT).await;
    let key = key(&house, balance, Some(10), Some(10)).await;
    spend(&house, balance, key, 10).await;
    let noted = looked(&house, balance, key, 1).await;
    assert_eq!(noted, 2, "both are spent");
    for (days, told) in [
        // As if it had been told yesterday; the cap in all knows no days.
        ("update cap_told set span = span - 1 where cap = 'day'", 1),
        // Or by a process whose clock is ahead.
        ("update cap_told set span = span + 2 where cap = 'day'", 0),
    ] {
        house.run(days).await.unwrap();
        let noted = looked(&house, balance, key, 1).await;
        assert_eq!(noted, told, "{days}");
    }
    raise(&house, key, 12).await;
    spend(&house, balance, key, 2).await;
    let noted = looked(&house, balance, key, 1).await;
    assert_eq!(noted, 1);
    let told = told(&house, balance).await;
    let caps: Vec<_> = told.iter().map(|event| &event["data"]["cap"]).collect();
    assert_eq!(caps, ["day", "total", "day", "total"]);
    assert!(told[0]["data"]["resets_at"].is_string());
    assert_eq!(count(&house, "select count(*) from cap_told").await, 2);
}

async fn processes_that_refuse_at_once_tell_it_once(engine: Engine) {
    let (place, secrets) = (Place::fresh(engine).await, Secrets::random());
    let processes = match engine {
        Engine::Sqlite => 1,
        Engine::Postgres => 3,
    };
    let mut houses = Vec::new();
    for _ in 0..processes {
        houses.push(House::over(place.clone(), secrets.clone(), "").await);
    }
    let house = &houses[0];
    let balance = house.account_with(100 * CREDIT).await;
    let key = key(house, balance, None, Some(1)).await;
    spend(house, balance, key, 1).await;
    for house in &houses {
        refused(house, balance, key, 1).await;
    }
    let looks = join_all(houses.iter().map(look)).await;
    assert_eq!(looks.iter().sum::<usize>(), 1, "{looks:?}");
    assert_eq!(told(house, balance).await.len(), 1);
}
