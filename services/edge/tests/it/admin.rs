//! The operator's routes: exact shapes, exact amounts, exact complaints.

use domain::Scope;
use serde_json::json;

use crate::house::{House, read, refusal};

#[tokio::test]
async fn credits_are_written_exactly() {
    let house = House::start().await;
    let answer = house
        .get("/api/v1/credits", &house.usual_key())
        .send()
        .await
        .unwrap();
    let account = house.account;
    assert_eq!(
        answer.text().await.unwrap(),
        format!(
            r#"{{"code":200,"message":"success","data":{{"account_id":"{account}","mode":"test","available_credits":9.999999,"held_credits":0.500001,"posted_credits":10.5,"available_microcredits":9999999,"held_microcredits":500001,"posted_microcredits":10500000,"open_holds":2,"frozen":false,"expiring":[{{"credits":0.25,"expires_at":"1970-01-01T00:00:01.5Z"}}],"alert_below_credits":null}}}}"#
        )
    );
}

#[tokio::test]
async fn credits_are_added_once_per_idempotency_key() {
    let house = House::start().await;
    let admin = house.key(&[Scope::Admin]);
    let path = format!("/api/v1/admin/accounts/{}/credits", house.account);
    let add = |mode: &str, key: &str| {
        let body = format!(r#"{{"credits": 10.000001, "mode": "{mode}", "reason": "a gift"}}"#);
        let request = house.post(&path, &admin, body);
        if key.is_empty() {
            request
        } else {
            request.header("idempotency-key", key)
        }
    };
    for (mode, key) in [
        ("test", "a"),
        ("test", "a"),
        ("test", "b"),
        ("live", "a"),
        ("test", ""),
        ("test", ""),
    ] {
        let (status, body) = read(add(mode, key)).await;
        assert_eq!(
            (status, body["data"]["posted_microcredits"].as_i64()),
            (200, Some(10_500_000))
        );
    }
    let transfers = house.world.transfers.lock().unwrap().clone();
    assert!(
        transfers
            .iter()
            .all(|t| t.amount == 10_000_001 && t.reason == "a gift")
    );
    assert!(
        transfers
            .iter()
            .all(|t| t.by.as_ref().unwrap().name.starts_with("key_"))
    );
    let ids: Vec<_> = transfers.iter().map(|t| t.transfer_id.clone()).collect();
    assert_eq!(ids[0], ids[1]);
    let different: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!(different.len(), 5);
}

#[tokio::test]
async fn a_new_account_and_its_key() {
    let house = House::start().await;
    let admin = house.key(&[Scope::Admin]);
    let (status, body) =
        read(house.post("/api/v1/admin/accounts", &admin, r#"{"name":"Ada"}"#)).await;
    assert_eq!(status, 201);
    let account = body["data"]["account_id"].as_str().unwrap().to_owned();
    assert!(account.starts_with("acct_"), "{account}");
    assert_eq!(body["data"]["name"], "Ada");
    let path = format!("/api/v1/admin/accounts/{account}/keys");
    let answer = house
        .post(&path, &admin, r#"{"name":"k","mode":"live"}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(
        crate::house::json(answer).await["data"]["key"],
        "aio_shown_once"
    );
    let full = json!({
        "name": "k", "mode": "test", "scopes": ["admin"], "models": ["flux-2"], "rpm": 5, "concurrency": 6,
        "ip_allow": ["10.0.0.0/8", "::1"], "expires_at": "2100-01-01T00:00:00Z",
    });
    assert_eq!(
        read(house.post(&path, &admin, full.to_string())).await.0,
        201
    );
    let made = house.world.new_keys.lock().unwrap().clone();
    assert_eq!(made[0].scopes, [""; 0], "billing knows what is usual");
    assert!(made.iter().all(|made| made.context.is_none()));
    assert_eq!(
        (made[1].rpm, made[1].concurrency, made[1].expires_at),
        (5, 6, 4_102_444_800_000_000)
    );
    assert_eq!(made[1].ip_allow, ["10.0.0.0/8", "::1"]);
}

#[tokio::test]
async fn lists_and_audits_have_their_shapes() {
    let house = House::start().await;
    let admin = house.key(&[Scope::Admin]);
    let data = async |path: &str| {
        read(house.get(&format!("/api/v1/admin/{path}"), &admin))
            .await
            .1["data"]
            .clone()
    };
    assert_eq!(
        data("ledger/audit").await,
        json!({"ok": true, "checks": [{"name": "entries_sum", "ok": true, "figure": 0}]})
    );
    let one = data("accounts?limit=1").await;
    assert_eq!(one["items"][0]["created_at"], "1970-01-01T00:00:01.5Z");
    assert_eq!(one["next_cursor"], one["items"][0]["account_id"]);
    assert_eq!(data("accounts").await["next_cursor"], json!(null));
    assert_eq!(data("tasks/unknown").await["items"][0]["provider"], "bfl");
}

/// Where to send what, and the code and the field of the answer.
type Mistake = (Target, &'static str, &'static str, &'static str);

#[derive(Clone, Copy, Debug)]
enum Target {
    Accounts,
    Credits,
    Keys,
}

const MISTAKES: [Mistake; 14] = [
    (Target::Accounts, "{", "invalid_json", ""),
    (Target::Accounts, "[]", "invalid_json", ""),
    (
        Target::Accounts,
        r#"{"name":"a","nam":1}"#,
        "unknown_parameter",
        "nam",
    ),
    (Target::Accounts, "{}", "missing_parameter", "name"),
    (
        Target::Accounts,
        r#"{"name":7}"#,
        "invalid_parameter",
        "name",
    ),
    (
        Target::Accounts,
        r#"{"name":"a","test_credits":-1}"#,
        "invalid_parameter",
        "test_credits",
    ),
    (
        Target::Credits,
        r#"{"credits":1e-7,"mode":"test","reason":"r"}"#,
        "invalid_parameter",
        "credits",
    ),
    (
        Target::Credits,
        r#"{"credits":"1","mode":"test","reason":"r"}"#,
        "invalid_parameter",
        "credits",
    ),
    (
        Target::Credits,
        r#"{"credits":1,"mode":"play","reason":"r"}"#,
        "invalid_parameter",
        "mode",
    ),
    (
        Target::Keys,
        r#"{"name":"k","mode":"test","scopes":["all"]}"#,
        "invalid_parameter",
        "scopes",
    ),
    (
        Target::Keys,
        r#"{"name":"k","mode":"test","models":["gpt"]}"#,
        "invalid_parameter",
        "models",
    ),
    (
        Target::Keys,
        r#"{"name":"k","mode":"test","rpm":0}"#,
        "invalid_parameter",
        "rpm",
    ),
    (
        Target::Keys,
        r#"{"name":"k","mode":"test","ip_allow":["x"]}"#,
        "invalid_parameter",
        "ip_allow",
    ),
    (
        Target::Keys,
        r#"{"name":"k","mode":"test","expires_at":"2001-01-01T00:00:00Z"}"#,
        "invalid_parameter",
        "expires_at",
    ),
];

fn path(house: &House, target: Target) -> String {
    let accounts = "/api/v1/admin/accounts";
    match target {
        Target::Accounts => accounts.to_owned(),
        Target::Credits => format!("{accounts}/{}/credits", house.account),
        Target::Keys => format!("{accounts}/{}/keys", house.account),
    }
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let house = House::start().await;
    let admin = house.key(&[Scope::Admin]);
    for (target, body, code, param) in MISTAKES {
        let (status, answer) = read(house.post(&path(&house, target), &admin, body)).await;
        let error = &answer["error"];
        assert_eq!(
            (status, error["code"].as_str().unwrap()),
            (400, code),
            "{body}"
        );
        assert_eq!(error["param"].as_str().unwrap_or_default(), param, "{body}");
    }
    let credits = path(&house, Target::Credits);
    let (_, answer) = read(house.post(&credits, &admin, "{}")).await;
    let violations = answer["error"]["violations"].as_array().unwrap();
    assert_eq!(violations.len(), 3, "{answer}");
}

#[tokio::test]
async fn a_wrong_id_or_page_is_refused() {
    let house = House::start().await;
    let admin = house.key(&[Scope::Admin]);
    let gone = (404, "not_found".to_owned());
    let keys = house.post("/api/v1/admin/accounts/acct_x/keys", &admin, "{}");
    assert_eq!(refusal(keys).await, gone);
    let key = house.request(reqwest::Method::DELETE, "/api/v1/admin/keys/x");
    assert_eq!(refusal(key.bearer_auth(&admin)).await, gone);
    for (query, code) in [
        ("limit=0", "invalid_parameter"),
        ("limit=1001", "invalid_parameter"),
        ("limit=x", "invalid_parameter"),
        ("page=2", "unknown_parameter"),
        ("cursor=x", "invalid_parameter"),
    ] {
        let request = house.get(&format!("/api/v1/admin/accounts?{query}"), &admin);
        assert_eq!(refusal(request).await, (400, code.into()), "{query}");
    }
}
