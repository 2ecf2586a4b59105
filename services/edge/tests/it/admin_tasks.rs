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
async fn what_a_customer_was_told_stands_beside_the_story() {
    let house = House::start().await;
    let admin = house.key(&[Scope::Admin]);
    let id = house.task().to_string();
    let event = domain::EventId::from_slice(&[7; 16]).unwrap().to_string();
    let told = json!([{
        "event_id": event, "type": "task.failed", "endpoint_id": null, "state": "due",
        "attempts": 2, "last_status": 503, "last_error": "it answers 503",
        "created_at": "1970-01-01T00:00:01.5Z", "next_at": "1970-01-01T00:00:02.5Z", "ended_at": null,
    }]);
    let path = |rest: &str| format!("/v1/admin/tasks/{id}{rest}");
    for request in [
        house.get(&path(""), &admin),
        house.post(&path("/requeue"), &admin, ""),
        house.post(&path("/cancel"), &admin, ""),
    ] {
        let (status, story) = read(request).await;
        assert_eq!((status, &story["data"]["task_id"]), (200, &json!(id)));
        assert_eq!(story["data"]["deliveries"], told);
    }
}

#[tokio::test]
async fn how_long_an_accounts_files_are_kept_is_said_by_name() {
    let house = House::start().await;
    let (admin, key) = house.key_with(&[Scope::Admin], |_| {});
    let path = format!("/v1/admin/accounts/{}/retention", house.account);
    let put = |body: &'static str| {
        let request = house.request(reqwest::Method::PUT, &path);
        request.bearer_auth(&admin).body(body)
    };
    let shown = |outputs: Option<u64>, files: Option<u64>| json!({ "account_id": house.account.to_string(), "outputs_seconds": outputs, "files_seconds": files });
    let (_, usual) = read(house.get(&path, &admin)).await;
    assert_eq!(usual["data"], shown(None, None));
    for (body, outputs, files) in [
        (
            r#"{"outputs":"30d","files":"90s"}"#,
            Some(30 * 24 * 3600),
            Some(90),
        ),
        (r#"{"files":"7s"}"#, Some(30 * 24 * 3600), Some(7)),
        (r#"{"outputs":"1h","files":null}"#, Some(3600), None),
        ("{}", Some(3600), None),
        (r#"{"outputs":null,"files":null}"#, None, None),
    ] {
        let (status, said) = read(put(body)).await;
        assert_eq!((status, &said["data"]), (200, &shown(outputs, files)));
        let asked = house.operators.asked().retentions.last().cloned().unwrap();
        assert_eq!(asked.account_id, house.account.to_vec());
        assert_eq!(asked.by.unwrap().name, key.to_string());
        let (_, now) = read(house.get(&path, &admin)).await;
        assert_eq!(now["data"], said["data"]);
    }
    for wrong in [
        r#"{"outputs":30}"#,
        r#"{"files":"0s"}"#,
        r#"{"files":"1500ms"}"#,
    ] {
        assert_eq!(
            refusal(put(wrong)).await,
            (400, "invalid_parameter".into()),
            "{wrong}"
        );
    }
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
