//! Orders, events of the payment provider, redeem codes: exact shapes, and bytes that go on as they came.

use domain::Scope;
use serde_json::{Value, json};

use crate::house::{House, read, refusal};

#[tokio::test]
async fn an_order_is_written_as_it_is() {
    let house = House::start().await;
    let key = house.key(&[Scope::Manage, Scope::Read]);
    let packs = read(house.get("/api/v1/orders/packs", &key)).await;
    let pack = json!({ "id": "small", "name": "1,000 credits", "credits": 1000, "price": 1000, "currency": "usd" });
    assert_eq!(
        packs.1["data"],
        json!({ "items": [pack], "next_cursor": null })
    );
    let order = house.post("/api/v1/orders", &key, r#"{"pack":"small"}"#);
    let (status, body) = read(order.header("idempotency-key", "one")).await;
    let id = body["data"]["order_id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("ord_"), "{id}");
    let expected = json!({
        "order_id": id, "object": "order", "status": "pending", "pack": "small", "name": "1,000 credits",
        "credits": 1000, "price": 1000, "currency": "usd", "checkout_url": "https://pay.example/1",
        "credited_credits": 0, "reversed_credits": 0, "owed_credits": 0,
        "created_at": "1970-01-01T00:00:01.5Z", "updated_at": "1970-01-01T00:00:01.5Z",
    });
    assert_eq!((status, &body["data"]), (201, &expected));
    let again = read(house.get(&format!("/api/v1/orders/{id}"), &key)).await;
    assert_eq!(again, (200, body));
    let repeated = house.post("/api/v1/orders", &key, r#"{"pack":"small"}"#);
    let repeated = repeated.header("idempotency-key", "one").send().await;
    assert_eq!(repeated.unwrap().headers()["idempotent-replayed"], "true");
    let asked = house.world.orders.lock().unwrap().clone();
    assert_eq!(asked[0].request_key, "one");
    assert_eq!(asked[0].origin, format!("http://{}", house.address));
}

#[tokio::test]
async fn orders_are_listed_page_by_page() {
    let house = House::start().await;
    let key = house.key(&[Scope::Read]);
    let (_, first) = read(house.get("/v1/orders?limit=1", &key)).await;
    let cursor = first["data"]["next_cursor"].as_str().unwrap();
    let (_, next) = read(house.get(&format!("/v1/orders?limit=1&cursor={cursor}"), &key)).await;
    assert_ne!(first["data"]["items"], next["data"]["items"]);
    let (_, whole) = read(house.get("/v1/orders", &key)).await;
    assert_eq!(whole["data"]["next_cursor"], Value::Null);
    for path in ["/v1/orders?limit=0", "/v1/orders?cursor=acct_1"] {
        assert_eq!(refusal(house.get(path, &key)).await.0, 400, "{path}");
    }
    let gone = (404, "not_found".to_owned());
    assert_eq!(refusal(house.get("/v1/orders/ord_x", &key)).await, gone);
}

#[tokio::test]
async fn an_event_goes_on_as_it_came() {
    let house = House::with("[limits.bodies]\npayment_event = 100").await;
    let path = "/api/v1/payments/stripe/webhook";
    let send = |body: &str, signature: &str| {
        let request = house.request(reqwest::Method::POST, path);
        let request = request.body(body.to_owned());
        if signature.is_empty() {
            request
        } else {
            request.header("stripe-signature", signature)
        }
    };
    let odd = "{ \"b\" : 1,\n \"a\": 1.0 }\n";
    let (status, body) = read(send(odd, "t=1,v1=2")).await;
    assert_eq!((status, &body["data"]), (200, &json!({ "received": true })));
    let events = house.world.events.lock().unwrap().clone();
    assert_eq!(events[0].payload, odd.as_bytes());
    assert_eq!(events[0].signature, "t=1,v1=2");
    let unsigned = refusal(send(odd, "")).await;
    assert_eq!(unsigned, (400, "invalid_signature".to_owned()));
    let long = refusal(send(&"x".repeat(101), "t=1,v1=2")).await;
    assert_eq!(long, (413, "body_too_large".to_owned()));
}

#[tokio::test]
async fn codes_are_redeemed_made_and_listed() {
    let house = House::start().await;
    let key = house.key(&[Scope::Manage]);
    let redeem = |code: &str| {
        let body = json!({ "code": code }).to_string();
        house.post("/api/v1/credits/redeem", &key, body)
    };
    let (status, body) = read(redeem("AIO-1")).await;
    let data = &body["data"];
    assert_eq!((status, &data["redeemed_credits"]), (200, &json!(2.5)));
    assert_eq!(data["balance"]["posted_microcredits"], 2_500_000);
    assert_eq!(data["repeated"], false);
    let wrong = refusal(redeem("wrong")).await;
    assert_eq!(wrong, (400, "invalid_redeem_code".to_owned()));
    let admin = house.key(&[Scope::Admin]);
    let path = "/api/v1/admin/redeem-codes";
    let body = json!({ "count": 2, "credits": 2.5, "mode": "live", "max_uses": 3, "expires_at": "2100-01-01T00:00:00Z" });
    let answer = house
        .post(path, &admin, body.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let made = crate::house::json(answer).await["data"]["items"][0].clone();
    assert_eq!(made["code"], "AIO-shown-once");
    let asked = house.world.new_codes.lock().unwrap()[0].clone();
    assert_eq!(
        (asked.count, asked.credits, asked.max_uses),
        (2, 2_500_000, 3)
    );
    assert_eq!(asked.expires_at, 4_102_444_800_000_000);
    assert!(asked.by.unwrap().name.starts_with("key_"));
    let (_, listed) = read(house.get(path, &admin)).await;
    let listed = &listed["data"]["items"][0];
    assert_eq!(listed["code"], Value::Null, "a code is shown once");
    assert_eq!(
        (&listed["uses"], &listed["mode"]),
        (&json!(1), &json!("live"))
    );
    for body in [
        json!({ "mode": "live" }),
        json!({ "credits": 1 }),
        json!({ "credits": 1, "mode": "live", "count": 0 }),
        json!({ "credits": 1, "mode": "live", "expires_at": "2001-01-01T00:00:00Z" }),
        json!({ "credits": 1, "mode": "live", "code": "AIO" }),
    ] {
        let refused = refusal(house.post(path, &admin, body.to_string())).await;
        assert_eq!(refused.0, 400, "{body}");
    }
}
