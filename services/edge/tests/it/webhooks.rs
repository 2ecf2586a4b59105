//! Webhooks' routes: what is asked, for whom, and what is answered.

use domain::Scope;
use serde_json::json;

use crate::house::{House, read, refusal};

const ENDPOINT: &str = "ep_060r30c1g60r30c1g60r30c1g6";
const DELIVERY: &str = "dlv_0810421081042108104210810";

fn id<K: domain::ids::Kind>(byte: u8) -> String {
    domain::Id::<K>::from_slice(&[byte; 16])
        .unwrap()
        .to_string()
}

#[tokio::test]
async fn an_endpoint_is_registered_and_changed() {
    let house = House::start().await;
    let key = house.key(&[Scope::Manage]);
    let body = json!({
        "url": "https://example.com/", "events": ["balance.low"], "headers": { "x-token": "t" },
        "per_second": 5, "description": "d", "signature": "both",
    });
    let (status, made) = read(house.post("/v1/webhooks/endpoints", &key, body.to_string())).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["data"]["secret"], "whsec_c2VjcmV0");
    assert_eq!(made["data"]["header_names"], json!(["x-token"]));
    assert_eq!(made["data"]["disabled"], false);
    let asked = house.webhooks.last();
    for said in [
        "Header { name: \"x-token\", value: \"t\" }",
        "per_second: 5",
        "signature: \"both\"",
    ] {
        assert!(asked.contains(said), "{asked}");
    }
    let path = format!("/v1/webhooks/endpoints/{}", id::<domain::ids::Endpoint>(6));
    let (status, shown) = read(house.get(&path, &key)).await;
    assert_eq!((status, &shown["data"]["secret"]), (200, &json!(null)));
    assert_eq!(
        shown["data"]["url"],
        "https://user.example.com:8443/hook?token=canary"
    );
    let change = json!({ "disabled": false, "per_second": null });
    let patch = house
        .request(reqwest::Method::PATCH, &path)
        .bearer_auth(&key);
    let (status, _) = read(patch.body(change.to_string())).await;
    assert_eq!(status, 200);
    let asked = house.webhooks.last();
    assert!(asked.contains("disabled: Some(false)") && asked.contains("per_second: Some(0)"));
    assert!(asked.contains("Caller("), "{asked}");
    for (body, param) in [
        (
            json!({ "url": "https://e.com/", "headers": ["x"] }),
            "headers",
        ),
        (
            json!({ "url": "https://e.com/", "per_second": 0 }),
            "per_second",
        ),
        (
            json!({ "url": "https://e.com/", "signature": "v2" }),
            "signature",
        ),
        (
            json!({ "url": "https://e.com/", "disabled": true }),
            "disabled",
        ),
    ] {
        let (status, refused) =
            read(house.post("/v1/webhooks/endpoints", &key, body.to_string())).await;
        assert_eq!((status, &refused["error"]["param"]), (400, &json!(param)));
    }
}

#[tokio::test]
async fn a_rotation_says_how_long_both_sign() {
    let house = House::start().await;
    let key = house.key(&[Scope::Manage]);
    let endpoint = format!(
        "/v1/webhooks/endpoints/{}/rotate-secret",
        id::<domain::ids::Endpoint>(6)
    );
    for (path, body, overlap) in [
        (endpoint.as_str(), "", 86_400_000),
        (&endpoint, r#"{"overlap":"0s"}"#, 0),
        (
            "/v1/webhooks/secret/rotate",
            r#"{"overlap":"1h"}"#,
            3_600_000,
        ),
    ] {
        let asked = house.post(path, &key, body).send().await.unwrap();
        assert_eq!(asked.headers()["cache-control"], "no-store");
        let rotated = crate::house::json(asked).await;
        assert_eq!(rotated["data"]["secret"], "whsec_bmV3");
        assert_eq!(
            rotated["data"]["old_secret_until"],
            "1970-01-01T00:00:02.5Z"
        );
        let said = format!("overlap_ms: {overlap}");
        assert!(
            house.webhooks.last().contains(&said),
            "{}",
            house.webhooks.last()
        );
    }
}

#[tokio::test]
async fn deliveries_are_looked_for_looked_at_and_sent_again() {
    let house = House::start().await;
    let key = house.key(&[Scope::Manage]);
    let delivery = id::<domain::ids::Delivery>(8);
    let path =
        "/v1/webhooks/deliveries?state=dead&type=balance.low&limit=1&since=2030-01-31T12:00:00Z";
    let (status, found) = read(house.get(path, &key)).await;
    assert_eq!(status, 200, "{found}");
    assert_eq!(found["data"]["next_cursor"], delivery.as_str());
    let one = &found["data"]["items"][0];
    assert_eq!(
        (&one["delivery_id"], &one["state"]),
        (&json!(delivery), &json!("dead"))
    );
    assert!(one["history"].is_null());
    let (status, story) =
        read(house.get(&format!("/v1/webhooks/deliveries/{delivery}"), &key)).await;
    assert_eq!(status, 200);
    let attempt = json!({
        "number": 1, "replay": 0, "started_at": "1970-01-01T00:00:01.5Z", "latency_ms": 12,
        "status": 503, "error": "answered 503", "response": "later",
    });
    assert_eq!(story["data"]["history"], json!([attempt]));
    let replay = format!("/v1/webhooks/deliveries/{delivery}/replay");
    assert_eq!(read(house.post(&replay, &key, "")).await.0, 202);
    let since = r#"{"since":"2030-01-31T12:00:00Z"}"#;
    let (status, recovered) =
        read(house.post("/v1/webhooks/deliveries/recover", &key, since)).await;
    assert_eq!(
        (status, &recovered["data"]),
        (202, &json!({ "recovered": 3, "more": true }))
    );
    for (query, param) in [
        ("state=lost", "state"),
        ("type=task.ended", "type"),
        ("task_id=1", "task_id"),
        ("since=now", "since"),
        ("account_id=acct_1", "account_id"),
    ] {
        let (status, refused) =
            read(house.get(&format!("/v1/webhooks/deliveries?{query}"), &key)).await;
        assert_eq!((status, &refused["error"]["param"]), (400, &json!(param)));
    }
}

#[tokio::test]
async fn what_is_no_id_names_nothing() {
    let house = House::start().await;
    let key = house.key(&[Scope::Manage]);
    for path in [
        format!("/v1/webhooks/endpoints/{DELIVERY}"),
        format!("/v1/webhooks/deliveries/{ENDPOINT}"),
        "/v1/webhooks/endpoints/ep_1'%20or%201=1".to_owned(),
    ] {
        let refused = refusal(house.get(&path, &key)).await;
        assert_eq!(refused, (404, "not_found".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn operators_are_not_told_the_whole_of_a_url() {
    let house = House::start().await;
    let admin = house.key(&[Scope::Admin]);
    let (status, listed) = read(house.get("/v1/admin/webhooks/endpoints", &admin)).await;
    assert_eq!(status, 200, "{listed}");
    assert_eq!(
        listed["data"]["items"][0]["url"],
        "https://user.example.com:8443"
    );
    assert!(house.webhooks.last().contains("Operator("));
    let account = house.account;
    let path = format!("/v1/admin/webhooks/deliveries?account_id={account}");
    assert_eq!(read(house.get(&path, &admin)).await.0, 200);
    assert!(house.webhooks.last().contains("Operator("));
}
