//! Providers that call back: only an address that we made is heard, and only so often.

use reqwest::Method;
use serde_json::json;

use crate::house::House;

async fn call(house: &House, token: &str, body: &str) -> (u16, String) {
    let path = format!("/api/v1/callbacks/{token}");
    let request = house.request(Method::POST, &path).body(body.to_owned());
    let request = request
        .header("x-webhook-signature", "s")
        .header("webhook-id", "w")
        .header("bria-webhook-signature", "b")
        .header("date", "Tue, 06 May 2025 12:09:42 GMT")
        .header("authorization", "Bearer secret")
        .header("cookie", "secret");
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn what_comes_to_our_address_goes_on_to_media() {
    let house = House::start().await;
    let task = chassis::mint();
    let token = house.secrets.links().callback(task);
    let odd = "{ \"b\" : 1,\n \"a\": 1.0 }";
    let (status, body) = call(&house, &token, odd).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("\"received\":true"), "{body}");
    let heard = house.world.heard.lock().unwrap();
    let heard = heard.first().unwrap();
    assert_eq!(heard.task_id.as_ref(), task.to_vec());
    assert_eq!(heard.body.as_ref(), odd.as_bytes());
    let mut names: Vec<&str> = heard.headers.keys().map(String::as_str).collect();
    names.sort_unstable();
    let signed_in = [
        "bria-webhook-signature",
        "date",
        "webhook-id",
        "x-webhook-signature",
    ];
    assert_eq!(names, signed_in);
}

#[tokio::test]
async fn an_address_that_is_not_ours_is_no_address() {
    let house = House::start().await;
    let task = chassis::mint();
    let token = house.secrets.links().callback(task);
    let (_, mac) = token.split_once('.').unwrap();
    let other = chassis::mint::<domain::ids::Task>();
    let elsewhere = house.request(Method::POST, "/api/v1/nowhere").send().await;
    let unknown = elsewhere
        .unwrap()
        .json::<serde_json::Value>()
        .await
        .unwrap();
    for wrong in [
        format!("{other}.{mac}"),
        format!("{task}."),
        "x".to_owned(),
        mac.to_owned(),
    ] {
        let (status, body) = call(&house, &wrong, "{}").await;
        assert_eq!(status, 404, "{wrong}");
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["error"]["code"], "unknown_route");
        assert_eq!(body["error"]["message"], unknown["error"]["message"]);
    }
    assert!(
        house.world.heard.lock().unwrap().is_empty(),
        "nobody was asked"
    );
}

#[tokio::test]
async fn a_provider_that_calls_too_often_waits() {
    let house = House::with("[limits.rates]\ncallbacks_per_minute = 2").await;
    let token = house.secrets.links().callback(chassis::mint());
    for _ in 0..2 {
        assert_eq!(call(&house, &token, "{}").await.0, 200);
    }
    assert_eq!(call(&house, &token, "{}").await.0, 429);
    assert_eq!(house.world.heard.lock().unwrap().len(), 2);
    let other = house.secrets.links().callback(chassis::mint());
    assert_eq!(
        call(&house, &other, "{}").await.0,
        200,
        "each task has its own"
    );
}

#[tokio::test]
async fn a_body_that_is_too_large_is_not_taken() {
    let house = House::with("[limits.bodies]\nmedia = 100").await;
    let token = house.secrets.links().callback(chassis::mint());
    let large = json!({ "x": "y".repeat(200) }).to_string();
    assert_eq!(call(&house, &token, &large).await.0, 413);
    assert!(house.world.heard.lock().unwrap().is_empty());
}
