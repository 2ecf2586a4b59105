//! What was used, what it cost, and why; and accounts that are stopped.

use domain::{Id, KeyId, OperationId, Scope, TaskId};
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{House, json, read, refusal};

async fn get(house: &House, path: &str) -> Value {
    let key = house.key(&[Scope::Read]);
    let (status, mut body) = read(house.request(Method::GET, path).bearer_auth(&key)).await;
    assert_eq!(status, 200, "{path}: {body}");
    body.get_mut("data").unwrap().take()
}

#[tokio::test]
async fn usage_is_summed_up_by_what_is_asked_for() {
    let house = House::start().await;
    let path = "/api/v1/usage?from=2024-01-01&to=2024-01-31&group_by=key,day";
    let data = get(&house, path).await;
    let key: KeyId = Id::from_slice(&[8; 16]).unwrap();
    assert_eq!(
        data,
        json!({
            "from": "2024-01-01", "to": "2024-01-31",
            "items": [{
                "day": "2024-01-01", "key_id": key.to_string(), "operations": 3, "free_operations": 1,
                "credits": 1.500001, "microcredits": 1_500_001, "input_tokens": 40, "output_tokens": 50,
            }],
            "next_cursor": null,
        })
    );
    let asked = house.world.usages.lock().unwrap().pop().unwrap();
    assert_eq!((asked.first_day, asked.last_day), (19_723, 19_753));
    assert_eq!(asked.group_by, ["day", "key"]);

    // By model over thirty days, unless asked otherwise.
    let data = get(&house, "/api/v1/usage").await;
    assert_eq!(data["items"][0]["model"], "gemini");
    assert_eq!(data["items"][0]["day"], Value::Null);
    let asked = house.world.usages.lock().unwrap().pop().unwrap();
    assert_eq!(asked.last_day - asked.first_day, 29);
    get(&house, "/api/v1/usage?group_by=").await;
    assert!(
        house
            .world
            .usages
            .lock()
            .unwrap()
            .pop()
            .unwrap()
            .group_by
            .is_empty()
    );
}

#[tokio::test]
async fn usage_comes_as_csv_as_well() {
    let house = House::start().await;
    let key = house.key(&[Scope::Read]);
    let by_query = house
        .request(Method::GET, "/api/v1/usage?format=csv&group_by=model,route")
        .bearer_auth(&key);
    let by_header = house
        .request(Method::GET, "/api/v1/usage?group_by=model,route")
        .bearer_auth(&key)
        .header("accept", "text/csv");
    for request in [by_query, by_header] {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/csv; charset=utf-8");
        assert_eq!(
            answer.text().await.unwrap(),
            "day,key_id,model,route,operations,free_operations,credits,input_tokens,output_tokens\n\
             ,,gemini,chat/completions,3,1,1.500001,40,50\n"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_said() {
    let house = House::start().await;
    for (path, param) in [
        ("usage?from=yesterday", "from"),
        ("usage?to=2024-13-01", "to"),
        ("usage?from=2024-02-01&to=2024-01-01", "from"),
        ("usage?from=2000-01-01&to=2024-01-01", "from"),
        ("usage?group_by=week", "group_by"),
        ("usage?format=xml", "format"),
        ("usage?user=a&user=b", "user"),
        ("usage?user=a&metadata[b]=c", "metadata"),
        ("operations?limit=0", "limit"),
        ("operations?limit=1001", "limit"),
        ("operations?cursor=x", "cursor"),
        ("operations?key_id=x", "key_id"),
    ] {
        let key = house.key(&[Scope::Read]);
        let request = house.request(Method::GET, &format!("/api/v1/{path}"));
        let (status, body) = read(request.bearer_auth(&key)).await;
        assert_eq!(status, 400, "{path}");
        assert_eq!(body["error"]["param"], param, "{path}: {body}");
        assert_eq!(body["error"]["code"], "invalid_parameter", "{path}");
    }
}

#[tokio::test]
async fn operations_come_page_by_page() {
    let house = House::start().await;
    let key: KeyId = Id::from_slice(&[8; 16]).unwrap();
    let last: OperationId = Id::from_slice(&[5; 16]).unwrap();
    let path =
        format!("/api/v1/operations?limit=2&model=gemini-3-flash&key_id={key}&cursor={last}");
    let data = get(&house, &path).await;
    assert_eq!(data["items"].as_array().unwrap().len(), 2);
    assert_eq!(data["next_cursor"], last.to_string());
    let item = &data["items"][0];
    assert_eq!(
        (
            &item["charged_credits"],
            &item["charged_microcredits"],
            &item["outcome"]
        ),
        (&json!(0.001), &json!(1_000), &json!("captured"))
    );
    assert_eq!(item["ended_at"], "1970-01-01T00:00:02.5Z");
    let asked = house.world.pages.lock().unwrap().pop().unwrap();
    assert_eq!((asked.model.as_str(), asked.limit), ("gemini", 2));
    assert_eq!(
        (&asked.before[..], &asked.key_id[..]),
        (&[5; 16][..], &[8; 16][..])
    );
    assert_eq!(asked.tag, None);
    let data = get(&house, "/api/v1/operations?metadata[team]=red").await;
    let asked = house.world.pages.lock().unwrap().pop().unwrap();
    let tag = asked.tag.unwrap();
    assert_eq!((&*tag.name, &*tag.value), ("metadata.team", "red"));
    assert_eq!(data["next_cursor"], Value::Null);
}

#[tokio::test]
async fn a_receipt_is_found_by_the_operations_id_and_by_its_tasks() {
    let house = House::start().await;
    let operation: OperationId = Id::from_slice(&[5; 16]).unwrap();
    let task: TaskId = Id::from_slice(&[5; 16]).unwrap();
    for id in [operation.to_string(), task.to_string()] {
        let data = get(&house, &format!("/api/v1/operations/{id}/receipt")).await;
        assert_eq!(data["receipt"]["total_microcredits"], 1_000);
        assert_eq!(data["operation_id"], operation.to_string());
    }
    let other: OperationId = Id::from_slice(&[6; 16]).unwrap();
    for id in [other.to_string(), "x".to_owned()] {
        let key = house.key(&[Scope::Read]);
        let path = format!("/api/v1/operations/{id}/receipt");
        let request = house.request(Method::GET, &path).bearer_auth(&key);
        assert_eq!(refusal(request).await, (404, "not_found".to_owned()));
    }
}

#[tokio::test]
async fn an_operator_stops_an_account_and_lets_it_go_on() {
    let house = House::start().await;
    let account: domain::AccountId = Id::from_slice(&[7; 16]).unwrap();
    let key = house.key(&[Scope::Admin]);
    for (verb, frozen) in [("freeze", true), ("unfreeze", false)] {
        let path = format!("/api/v1/admin/accounts/{account}/{verb}");
        let answer = house.post(&path, &key, "").send().await.unwrap();
        assert_eq!(json(answer).await["data"]["frozen"], frozen);
        let told = house.world.frozen.lock().unwrap().pop().unwrap();
        assert_eq!((told.frozen, &told.account_id[..]), (frozen, &[7; 16][..]));
    }
}
