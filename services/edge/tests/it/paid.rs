//! Every paid route passes the limits. `paid.json` lists them with a request that costs something; the black-box suite reads the
//! same list and sees that each of them holds credit. A paid route that is not on it fails here.

use domain::Scope;
use edge::router::{Access, Route, routes};
use proto::chat::v1::{Head, complete_event::Event};
use reqwest::Method;
use serde_json::Value;

use crate::house::{House, read, refusal, say};

/// Each paid route, and a request to it.
fn paid() -> Vec<(String, String)> {
    let list: Value = serde_json::from_str(include_str!("paid.json")).unwrap();
    let text = |call: &Value| call["path"].as_str().unwrap().to_owned();
    let calls = list.as_array().unwrap().iter();
    calls
        .map(|call| (text(call), call["body"].to_string()))
        .collect()
}

/// What makes something, for credit: to cancel costs nothing, and to upload a file neither.
fn is_paid(route: &Route) -> bool {
    route.method == Method::POST
        && route.access == Access::Scope(Scope::Inference)
        && !route.path.ends_with("/cancel")
        && route.path != "/files"
}

/// Calls every paid route, and expects to be refused so.
async fn all_refuse(house: &House, key: &str, why: &str) {
    for (path, body) in paid() {
        let answer = refusal(house.post(&format!("/api/v1{path}"), key, body)).await;
        assert_eq!(answer, (429, why.to_owned()), "{path}");
    }
}

fn reached(house: &House) -> usize {
    house.world.completions.lock().unwrap().len() + house.world.submits.lock().unwrap().len()
}

#[test]
fn the_list_has_every_paid_route_and_no_other() {
    let mut table: Vec<&str> = routes()
        .iter()
        .filter(|route| is_paid(route))
        .map(|route| route.path)
        .collect();
    let mut listed: Vec<String> = paid().into_iter().map(|(path, _)| path).collect();
    table.sort_unstable();
    listed.sort_unstable();
    assert_eq!(table, listed);
}

#[tokio::test]
async fn a_key_or_an_account_at_its_rate_is_refused_on_every_paid_route() {
    let scopes = [Scope::Inference, Scope::Read];
    let house = House::start().await;
    let key = house.key_with(&scopes, |identity| identity.rpm = 1).0;
    assert_eq!(read(house.get("/api/v1/credits", &key)).await.0, 200);
    all_refuse(&house, &key, "rate_limited").await;

    let house = House::with("limits.rates.account_per_minute = 1").await;
    assert_eq!(
        read(house.get("/api/v1/credits", &house.key(&scopes)))
            .await
            .0,
        200
    );
    all_refuse(&house, &house.key(&scopes), "rate_limited").await;
    assert_eq!(reached(&house), 0);
}

#[tokio::test]
async fn a_key_or_an_account_with_all_its_requests_open_is_refused_on_every_paid_route() {
    let scopes = [Scope::Inference, Scope::Read];
    for (settings, own) in [("", 1), ("limits.rates.account_concurrency = 1", 0)] {
        let house = House::with(settings).await;
        let key = house
            .key_with(&scopes, |identity| identity.concurrency = own)
            .0;
        let script = house.script();
        let head = Head {
            provider: "gemini".into(),
            stream: true,
            ..Head::default()
        };
        say(&script, Event::Head(head)).await;
        let open = house.chat(&key, r#"{"stream":true}"#).send().await.unwrap();
        assert_eq!(open.status(), 200);
        all_refuse(&house, &key, "too_many_concurrent_requests").await;
        assert_eq!(reached(&house), 1);
    }
}
