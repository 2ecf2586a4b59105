//! The operator's routes about tasks: what media is asked, and for whom.

use domain::Scope;
use serde_json::json;

use crate::house::{House, read, refusal};

#[tokio::test]
async fn tasks_are_looked_for() {
    let house = House::start().await;
    let admin = house.key(&[Scope::Admin]);
    let account = house.account;
    let path = format!(
        "/v1/admin/tasks?status=processing&model=flux-2&provider=fal&account_id={account}&older_than=10m&limit=1"
    );
    let before = chassis::clock::now_micros();
    let (status, found) = read(house.get(&path, &admin)).await;
    assert_eq!(status, 200, "{found}");
    let id = domain::TaskId::from_slice(&[3; 16]).unwrap().to_string();
    assert_eq!(
        found["data"],
        json!({ "items": [{ "task_id": id }], "next_cursor": id })
    );
    let search = house.operators.asked().searches.pop().unwrap();
    assert_eq!(
        (
            search.status.as_str(),
            search.model.as_str(),
            search.provider.as_str(),
            search.limit
        ),
        ("processing", "flux-2", "fal", 1)
    );
    assert_eq!(search.account_id, account.to_vec());
    let age = before - search.created_until;
    assert!((590_000_000..=600_000_000).contains(&age), "{age}");
    read(house.get(&format!("/v1/admin/tasks?cursor={id}"), &admin)).await;
    let next = house.operators.asked().searches.pop().unwrap();
    assert_eq!((next.before.as_ref(), next.limit), (&[3; 16][..], 100));
    for (query, param) in [
        ("status=done", "status"),
        ("older_than=long", "older_than"),
        ("account_id=acct_1", "account_id"),
        ("colour=red", "colour"),
    ] {
        let (status, error) = read(house.get(&format!("/v1/admin/tasks?{query}"), &admin)).await;
        assert_eq!((status, &error["error"]["param"]), (400, &json!(param)));
    }
}

#[tokio::test]
async fn who_does_something_to_a_task_is_told() {
    let house = House::start().await;
    let (admin, key) = house.key_with(&[Scope::Admin], |_| {});
    let id = house.task().to_string();
    let path = |verb: &str| format!("/v1/admin/tasks/{id}/{verb}");
    for (body, force) in [("", false), ("{}", false), (r#"{"force":true}"#, true)] {
        let (status, story) = read(house.post(&path("requeue"), &admin, body)).await;
        assert_eq!((status, &story["data"]["task_id"]), (200, &json!(id)));
        let asked = house.operators.asked().requeues.pop().unwrap();
        assert_eq!(asked.force, force, "{body}");
        let by = asked.by.unwrap();
        assert_eq!(by.name, key.to_string());
        assert!(by.request_id.starts_with("req_"));
    }
    let wrong = house.post(&path("requeue"), &admin, r#"{"force":"yes"}"#);
    assert_eq!(refusal(wrong).await, (400, "invalid_parameter".into()));
    read(house.post(&path("cancel"), &admin, "")).await;
    let asked = house.operators.asked().stops.pop().unwrap();
    assert_eq!(asked.by.unwrap().name, key.to_string());
    let nothing = house.get("/v1/admin/tasks/task_1", &admin);
    assert_eq!(refusal(nothing).await, (404, "not_found".into()));
}

#[tokio::test]
async fn an_output_is_deleted() {
    let house = House::start().await;
    let id = house.task();
    let delete = |n: &str| {
        let path = format!("/v1/tasks/{id}/files/{n}");
        let request = house.request(reqwest::Method::DELETE, &path);
        request.bearer_auth(house.usual_key())
    };
    let (status, task) = read(delete("0")).await;
    assert_eq!((status, &task["message"]), (200, &json!("success")));
    for n in ["1", "x", "-1"] {
        assert_eq!(refusal(delete(n)).await, (404, "not_found".into()), "{n}");
    }
}
