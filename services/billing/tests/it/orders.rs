//! Orders over a payment provider that says what the test tells it: bought once, taken back once, whatever comes how often.

use billing::ledger::BalanceId;
use db::Engine;
use domain::Mode;
use futures::future::join_all;
use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::{
    house::{House, on_both_engines},
    news,
    shop::{
        SECRET, Shop, ask, context, event, id_of, of_payment, of_session, signed, signed_before,
        told,
    },
};
use proto::billing::v1 as wire;

on_both_engines!(
    a_pack_is_bought_once,
    what_cannot_be_bought_is_refused,
    a_repeated_request_is_the_same_order,
    a_key_stands_for_its_order_for_a_while,
    orders_are_listed_to_their_owner,
    what_was_not_asked_for_buys_nothing,
    what_is_none_of_ours_is_ignored,
    only_the_providers_events_are_taken,
    a_provider_that_fails_leaves_nothing_half_done,
    event_and_credit_are_one,
);

pub(crate) const COMPLETED: &str = "checkout.session.completed";
/// Micro-credits of the pack `small`, which costs 1 000 cents.
pub(crate) const SMALL: i64 = 1_000_000_000;

/// Billing over a provider, and an account without live credit.
pub(crate) async fn open(engine: Engine) -> (House, Shop, BalanceId) {
    let shop = Shop::start().await;
    let house = House::with(engine, &shop.settings()).await;
    let balance = house.account_with(0).await;
    (house, shop, balance)
}

/// An order that was paid, and its payment.
pub(crate) async fn bought(house: &House, shop: &Shop, balance: BalanceId) -> (String, String) {
    let order = id_of(&house.order(balance, "small").await.unwrap());
    let payment = shop.pay(&order, 1_000, "usd");
    let paid = of_session(&format!("evt_paid_{order}"), COMPLETED, &order);
    house.take(paid).await.unwrap();
    (order, payment)
}

pub(crate) async fn count(house: &House, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql)
        .fetch_one(house.db.reader())
        .await
        .unwrap()
}

/// Status, and micro-credits credited, reversed and owed.
pub(crate) async fn standing(house: &House, balance: BalanceId, order: &str) -> (String, [i64; 3]) {
    let order = house.order_now(balance, order).await;
    (order.status, [order.credited, order.reversed, order.owed])
}

async fn a_pack_is_bought_once(engine: Engine) {
    let (house, shop, balance) = open(engine).await;
    let order = house.order(balance, "small").await.unwrap();
    let id = id_of(&order);
    assert_eq!((order.status.as_str(), order.price), ("pending", 1_000));
    assert!(
        order
            .checkout_url
            .starts_with("https://checkout.example/cs_")
    );
    let (form, once) = shop.state.lock().unwrap().asked[0].clone();
    let back = format!("https://api.example/?order={id}");
    for (name, value) in [
        ("mode", "payment"),
        ("client_reference_id", id.as_str()),
        ("metadata[order_id]", id.as_str()),
        ("payment_intent_data[metadata][order_id]", id.as_str()),
        ("line_items[0][quantity]", "1"),
        ("line_items[0][price_data][currency]", "usd"),
        ("line_items[0][price_data][unit_amount]", "1000"),
        (
            "line_items[0][price_data][product_data][name]",
            "1,000 credits",
        ),
        ("success_url", back.as_str()),
        ("cancel_url", back.as_str()),
    ] {
        assert_eq!(form[name], value, "{name}");
    }
    assert_eq!(once, id);
    shop.pay(&id, 1_000, "usd");
    assert_eq!(
        house.figures(balance).await.0,
        0,
        "nothing before the event"
    );
    // The same event again and again, and other events of the same payment.
    for event in ["evt_1", "evt_1", "evt_2", "evt_1"] {
        house.take(of_session(event, COMPLETED, &id)).await.unwrap();
    }
    assert_eq!(house.figures(balance).await.0, SMALL);
    let order = house.order_now(balance, &id).await;
    assert_eq!(
        (order.status.as_str(), order.checkout_url.as_str()),
        ("paid", "")
    );
    // An event that comes late, about a page that has expired meanwhile.
    shop.session_is(&id, "status", json!("expired"));
    let late = of_session("evt_3", "checkout.session.expired", &id);
    house.take(late).await.unwrap();
    assert_eq!(
        standing(&house, balance, &id).await,
        ("paid".to_owned(), [SMALL, 0, 0])
    );
    assert_eq!(
        count(
            &house,
            "select count(*) from transfer where actor = 'stripe'"
        )
        .await,
        1
    );
    assert_eq!(count(&house, "select count(*) from payment_event").await, 3);
    house.audit().await;
}

async fn what_cannot_be_bought_is_refused(engine: Engine) {
    let (house, _shop, balance) = open(engine).await;
    let refused = house.order(balance, "huge").await.unwrap_err();
    assert_eq!(refused, "invalid_parameter");
    let test = BalanceId {
        mode: Mode::Test,
        ..balance
    };
    assert_eq!(
        house.order(test, "small").await.unwrap_err(),
        "live_key_needed"
    );
    assert_eq!(count(&house, "select count(*) from purchase").await, 0);
    let bare = House::open(engine).await;
    let balance = bare.account_with(0).await;
    let missing = "payments_not_configured";
    assert_eq!(bare.order(balance, "small").await.unwrap_err(), missing);
    let event = of_session("evt_1", COMPLETED, "ord_1");
    assert_eq!(bare.take(event).await.unwrap_err(), missing);
}

async fn a_repeated_request_is_the_same_order(engine: Engine) {
    let (house, shop, balance) = open(engine).await;
    let orders = (0..8).map(|_| house.order_with(balance, "small", "one"));
    let orders: Vec<_> = join_all(orders).await;
    let first = orders[0].clone().unwrap();
    assert!(orders.iter().all(|order| *order == Ok(first.clone())));
    let other = house.order_with(balance, "large", "one").await;
    assert_eq!(other.unwrap_err(), "idempotency_mismatch");
    let second = house.order_with(balance, "small", "two").await.unwrap();
    assert_ne!(second.order_id, first.order_id);
    // Another account's key is another key.
    let stranger = house.account_with(0).await;
    let theirs = house.order_with(stranger, "small", "one").await.unwrap();
    assert_ne!(theirs.order_id, first.order_id);
    let asked = shop.state.lock().unwrap().asked.clone();
    let ids: std::collections::HashSet<_> = asked.iter().map(|(_, once)| once).collect();
    assert_eq!(ids.len(), 3);
}

async fn a_key_stands_for_its_order_for_a_while(engine: Engine) {
    let shop = Shop::start().await;
    let at_once = shop
        .settings()
        .replace("[orders]\n", "[orders]\nidempotency = '0s'\n");
    let house = House::with(engine, &at_once).await;
    let balance = house.account_with(0).await;
    let first = house.order_with(balance, "small", "one").await.unwrap();
    let later = house.order_with(balance, "large", "one").await.unwrap();
    assert_ne!(later.order_id, first.order_id);
    // What was ordered stays ordered.
    let id = id_of(&first);
    shop.pay(&id, 1_000, "usd");
    house
        .take(of_session("evt_1", COMPLETED, &id))
        .await
        .unwrap();
    assert_eq!(house.figures(balance).await.0, SMALL);
}

async fn orders_are_listed_to_their_owner(engine: Engine) {
    let (house, _shop, balance) = open(engine).await;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(house.order(balance, "small").await.unwrap());
    }
    made.reverse();
    let list = async |balance: BalanceId, limit: u32, before: &[u8]| {
        let request = wire::ListOrdersRequest {
            context: context(balance),
            limit,
            before: before.to_vec().into(),
        };
        let listed = told(house.orders().list_orders(ask(request)).await).unwrap();
        listed.orders
    };
    assert_eq!(list(balance, 10, &[]).await, made);
    assert_eq!(list(balance, 2, &[]).await, made[..2]);
    assert_eq!(list(balance, 2, &made[1].order_id).await, made[2..]);
    let stranger = house.account_with(0).await;
    assert_eq!(list(stranger, 10, &[]).await, []);
    let test = BalanceId {
        mode: Mode::Test,
        ..balance
    };
    assert_eq!(list(test, 10, &[]).await, []);
    for nobody in [stranger, test] {
        let request = wire::GetOrderRequest {
            context: context(nobody),
            order_id: made[0].order_id.clone(),
        };
        let gone = told(house.orders().get_order(ask(request)).await);
        assert_eq!(gone.unwrap_err(), "not_found");
    }
}

async fn what_was_not_asked_for_buys_nothing(engine: Engine) {
    let (house, shop, balance) = open(engine).await;
    for (number, amount, currency) in [(1, 999, "usd"), (2, 1_001, "usd"), (3, 1_000, "idr")] {
        let order = id_of(&house.order(balance, "small").await.unwrap());
        shop.pay(&order, amount, currency);
        // The event claims what should have been paid; it is not asked.
        let id = order.replace("ord", "cs");
        let claim =
            json!({ "id": id, "amount_total": 1_000, "currency": "usd", "payment_status": "paid" });
        let event = event(&format!("evt_{number}"), COMPLETED, claim);
        house.take(event).await.unwrap();
        let standing = standing(&house, balance, &order).await;
        assert_eq!(
            standing,
            ("review".to_owned(), [0, 0, 0]),
            "{amount} {currency}"
        );
    }
    // A second payment for an order that is paid.
    let (order, _) = bought(&house, &shop, balance).await;
    let second = json!({
        "id": "pi_second", "status": "succeeded", "amount_received": 1_000, "currency": "usd",
        "metadata": { "order_id": order },
    });
    shop.payment_is("pi_second", second);
    let event = of_payment("evt_9", "charge.refund.updated", "pi_second");
    house.take(event).await.unwrap();
    assert_eq!(house.figures(balance).await.0, SMALL);
    let reviews = house.metric("aio_billing_payments_to_review_total");
    assert_eq!(reviews, "aio_billing_payments_to_review_total 4");
    house.audit().await;
}

async fn what_is_none_of_ours_is_ignored(engine: Engine) {
    let (house, shop, balance) = open(engine).await;
    let (order, payment) = bought(&house, &shop, balance).await;
    let foreign = |metadata: Value| json!({ "id": "pi_x", "status": "succeeded", "amount_received": 5, "currency": "usd", "metadata": metadata });
    let calls = shop.state.lock().unwrap().calls;
    for kind in [
        "customer.created",
        "invoice.paid",
        "payment_intent.succeeded",
        "ping",
    ] {
        house
            .take(of_payment("evt_1", kind, &payment))
            .await
            .unwrap();
    }
    house
        .take(event("evt_1", "charge.refunded", json!({ "id": "ch_1" })))
        .await
        .unwrap();
    assert_eq!(shop.state.lock().unwrap().calls, calls, "nobody was asked");
    let unknown = chassis::mint::<domain::ids::Order>().to_string();
    for metadata in [
        Value::Null,
        json!({}),
        json!({ "order_id": "7" }),
        json!({ "order_id": unknown }),
    ] {
        shop.payment_is("pi_x", foreign(metadata));
        house
            .take(of_payment("evt_2", "charge.refunded", "pi_x"))
            .await
            .unwrap();
    }
    assert_eq!(count(&house, "select count(*) from payment_event").await, 1);
    assert_eq!(standing(&house, balance, &order).await.0, "paid");
    let ignored = house.metric("aio_billing_payment_events_ignored_total");
    assert_eq!(ignored, "aio_billing_payment_events_ignored_total 9");
}

async fn only_the_providers_events_are_taken(engine: Engine) {
    let (house, shop, balance) = open(engine).await;
    let order = id_of(&house.order(balance, "small").await.unwrap());
    shop.pay(&order, 1_000, "usd");
    let good = of_session("evt_1", COMPLETED, &order);
    let text = String::from_utf8(good.payload.to_vec()).unwrap();
    let again: Value = serde_json::from_str(&text).unwrap();
    let stranger = signed(&text, "whsec_of_somebody_else");
    let [stale, early] = [-3_600, 3_600].map(|seconds| signed_before(&text, SECRET, -seconds));
    let (_, wrong) = stranger.signature.split_once(',').unwrap();
    let calls = shop.state.lock().unwrap().calls;
    for (payload, signature) in [
        (text.clone(), stranger.signature.clone()),
        (text.clone(), stale.signature),
        (text.clone(), early.signature),
        // Two that are wrong, and a right one of another algorithm beside one.
        (text.clone(), format!("{},{wrong}", stranger.signature)),
        (
            text.clone(),
            format!("{},{wrong}", good.signature.replace("v1=", "v0=")),
        ),
        (format!("{text} "), good.signature.clone()),
        (format!("{again:#}"), good.signature.clone()),
        (text.clone(), String::new()),
        (text.clone(), good.signature.replace("v1=", "v0=")),
        (text.clone(), good.signature.replace("t=1", "t=0")),
    ] {
        let forged = wire::StripeEvent {
            payload: payload.into(),
            signature,
        };
        assert_eq!(house.take(forged).await.unwrap_err(), "invalid_signature");
    }
    let unread = signed("not an event", SECRET);
    assert_eq!(house.take(unread).await.unwrap_err(), "invalid_json");
    assert_eq!(shop.state.lock().unwrap().calls, calls, "nobody was asked");
    assert_eq!(house.figures(balance).await.0, 0);
    // While a secret is being replaced, there are two.
    let (moment, right) = good.signature.split_once(',').unwrap();
    let both = wire::StripeEvent {
        signature: format!("{moment},{wrong},{right}"),
        ..good.clone()
    };
    for event in [both, good] {
        house.take(event).await.unwrap();
        assert_eq!(house.figures(balance).await.0, SMALL);
    }
    let forged = house.metric("aio_billing_payment_events_forged_total");
    assert_eq!(forged, "aio_billing_payment_events_forged_total 10");
}

async fn a_provider_that_fails_leaves_nothing_half_done(engine: Engine) {
    let (house, shop, balance) = open(engine).await;
    let fails = |status: Option<u16>| shop.state.lock().unwrap().broken = status;
    let failed = "payment_provider_failed";
    for status in [400, 401, 403, 429, 500, 503] {
        fails(Some(status));
        assert_eq!(
            house.order(balance, "small").await.unwrap_err(),
            failed,
            "{status}"
        );
        assert_eq!(
            house.order_with(balance, "small", "one").await.unwrap_err(),
            failed
        );
    }
    fails(None);
    let order = house.order_with(balance, "small", "one").await.unwrap();
    assert_eq!(order.status, "pending");
    assert_eq!(
        count(
            &house,
            "select count(*) from purchase where progress = 'failed'"
        )
        .await,
        6
    );
    let id = id_of(&order);
    shop.pay(&id, 1_000, "usd");
    fails(Some(500));
    let paid = of_session("evt_1", COMPLETED, &id);
    assert_eq!(house.take(paid.clone()).await.unwrap_err(), failed);
    assert_eq!(count(&house, "select count(*) from payment_event").await, 0);
    fails(None);
    house.take(paid).await.unwrap();
    assert_eq!(house.figures(balance).await.0, SMALL);
    // The money that was on its way, came or not.
    for (status, expected) in [
        ("processing", "processing"),
        ("canceled", "failed"),
        ("succeeded", "paid"),
    ] {
        let payment = json!({ "id": "pi_slow", "status": status, "amount_received": 1_000, "currency": "usd" });
        shop.payment_is("pi_slow", payment);
        let order = id_of(&house.order_with(balance, "small", "slow").await.unwrap());
        shop.session_is(&order, "status", json!("complete"));
        shop.session_is(&order, "payment_intent", json!("pi_slow"));
        let event = of_session(&format!("evt_{status}"), COMPLETED, &order);
        house.take(event).await.unwrap();
        assert_eq!(standing(&house, balance, &order).await.0, expected);
    }
    house.audit().await;
}

/// Runs this as whoever may change the schema.
async fn change(house: &House, [sqlite, postgres]: [&'static str; 2]) {
    match house.db.engine() {
        Engine::Sqlite => {
            let done: Result<(), db::Error> = house
                .db
                .write(move |connection| {
                    Box::pin(async move {
                        connection.execute(sqlite).await?;
                        Ok(())
                    })
                })
                .await;
            done.unwrap();
        }
        Engine::Postgres => house.place.server().as_owner(postgres).await,
    }
}

/// Makes every transfer fail: the statement that is among the last of its transaction.
const BREAK: [&str; 2] = [
    "create trigger boom before insert on transfer begin select raise(abort, 'boom'); end",
    "create function boom() returns trigger language plpgsql as $$ begin raise 'boom'; end $$;
     create trigger boom before insert on transfer for each row execute function boom()",
];
/// Or no longer.
const MEND: [&str; 2] = [
    "drop trigger boom",
    "drop trigger boom on transfer; drop function boom()",
];

async fn event_and_credit_are_one(engine: Engine) {
    let (house, shop, balance) = open(engine).await;
    let order = id_of(&house.order(balance, "small").await.unwrap());
    let payment = shop.pay(&order, 1_000, "usd");
    let nothing = async || {
        assert_eq!(count(&house, "select count(*) from payment_event").await, 0);
        assert_eq!(
            count(&house, "select count(*) from payment_reversal").await,
            0
        );
        assert_eq!(
            count(
                &house,
                "select count(*) from transfer where actor = 'stripe'"
            )
            .await,
            0
        );
        assert_eq!(
            standing(&house, balance, &order).await,
            ("pending".to_owned(), [0, 0, 0])
        );
        assert_eq!(house.figures(balance).await, (0, 0, 0));
        assert!(news::told(&house, balance).await.is_empty());
    };
    shop.refund("re_1", &payment, 100, "succeeded");
    change(&house, BREAK).await;
    let paid = of_session("evt_1", COMPLETED, &order);
    assert_eq!(
        house.take(paid.clone()).await.unwrap_err(),
        "billing_unavailable"
    );
    nothing().await;
    change(&house, MEND).await;
    house.take(paid).await.unwrap();
    assert_eq!(
        standing(&house, balance, &order).await.1,
        [SMALL, SMALL / 10, 0]
    );
    assert_eq!(count(&house, "select count(*) from payment_event").await, 1);
    assert_eq!(news::told(&house, balance).await.len(), 2);
    house.audit().await;
}
