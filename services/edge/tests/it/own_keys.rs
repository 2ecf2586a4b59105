//! Keys through the API: what is read, what billing is told, what is answered, and what is forgotten.

use domain::Scope;
use proto::billing::v1::{CapChange, Caps, WordList};
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{House, read, refusal};

const KEYS: &str = "/api/v1/keys";

fn manager(house: &House) -> String {
    house.key(&[Scope::Manage])
}

fn any_id() -> String {
    chassis::mint::<domain::ids::Key>().to_string()
}

async fn send(house: &House, method: Method, path: &str, body: &Value) -> (u16, Value) {
    let request = house.request(method, path).bearer_auth(manager(house));
    read(request.body(body.to_string())).await
}

#[tokio::test]
async fn a_new_key_is_read_exactly_and_is_its_makers() {
    let house = House::start().await;
    let body = json!({
        "name": "ci", "scopes": ["read"], "models": ["flux-2"], "rpm": 5, "concurrency": 6, "max_open_tasks": 7,
        "caps": {"day": 10, "month": 0.000001}, "ip_allow": ["10.0.0.0/8"], "expires_at": "2100-01-01T00:00:00Z",
    });
    let (status, answer) = send(&house, Method::POST, KEYS, &body).await;
    assert_eq!(status, 201);
    assert_eq!(answer["data"]["key"], "aio_shown_once");
    let made = house.world.new_keys.lock().unwrap()[0].clone();
    let context = made.context.unwrap();
    assert_eq!(context.account_id, house.account.to_vec());
    assert_eq!(context.scopes, ["manage"]);
    assert!(made.account_id.is_empty(), "whose it is, the context says");
    assert_eq!((made.rpm, made.concurrency, made.max_open_tasks), (5, 6, 7));
    let caps = Caps {
        day: Some(10_000_000),
        month: Some(1),
        total: None,
    };
    assert_eq!(made.caps, Some(caps));
    let (status, answer) = send(
        &house,
        Method::POST,
        KEYS,
        &json!({"name": "k", "mode": "live"}),
    )
    .await;
    assert_eq!((status, &answer["error"]["param"]), (400, &json!("mode")));
}

#[tokio::test]
async fn a_list_shows_what_a_key_may_and_never_the_key() {
    let house = House::start().await;
    let manager = manager(&house);
    let text = house.get(KEYS, &manager).send().await.unwrap();
    let text = text.text().await.unwrap();
    let shown: Value = serde_json::from_str(&text).unwrap();
    let item = &shown["data"]["items"][0];
    assert_eq!(
        *item,
        json!({
            "key_id": item["key_id"], "name": "ci", "mode": "test", "last_four": "wxyz", "scopes": ["read"],
            "models": null, "caps": {"day": 1.5, "month": null, "total": null},
            "spent": {"day": 0, "month": 0.25, "total": 3}, "rpm": null, "concurrency": 2, "max_open_tasks": null,
            "ip_allow": ["10.0.0.0/8"], "created_at": "1970-01-01T00:00:01Z", "expires_at": null,
            "previous": {"last_four": "abcd", "expires_at": "1970-01-01T00:00:02Z"},
        })
    );
    let plain = &shown["data"]["items"][1];
    assert_eq!(
        plain["caps"],
        json!({"day": null, "month": null, "total": null})
    );
    assert_eq!(plain.get("spent"), None);
    assert!(text.contains(r#""day":1.5,"#), "{text}");
    assert_eq!(shown["data"]["next_cursor"], json!(null));
    let (_, page) = read(house.get(&format!("{KEYS}?limit=2"), &manager)).await;
    assert_eq!(
        page["data"]["next_cursor"],
        page["data"]["items"][1]["key_id"]
    );
    for (query, code) in [
        ("cursor=x", "invalid_parameter"),
        ("limit=0", "invalid_parameter"),
        ("mode=live", "unknown_parameter"),
    ] {
        let request = house.get(&format!("{KEYS}?{query}"), &manager);
        assert_eq!(refusal(request).await, (400, code.into()));
    }
    let asked = house.world.listed.lock().unwrap();
    assert!(asked.iter().all(|request| request.context.is_some()));
}

#[tokio::test]
async fn a_change_says_what_stays_what_goes_and_what_comes() {
    let house = House::start().await;
    let path = format!("{KEYS}/{}", any_id());
    for body in [
        json!({}),
        json!({"caps": {"day": 2, "total": null}, "rpm": null, "models": null, "expires_at": null}),
        json!({"caps": null, "name": "new", "models": ["gemini"], "max_open_tasks": 3}),
    ] {
        assert_eq!(send(&house, Method::PATCH, &path, &body).await.0, 200);
    }
    let changes = house.world.key_changes.lock().unwrap().clone();
    let nothing = &changes[0];
    assert_eq!(
        (&nothing.name, nothing.rpm, &nothing.models),
        (&None, None, &None)
    );
    assert_eq!((nothing.cap_day, nothing.expires_at), (None, None));
    let some = &changes[1];
    let gone = Some(CapChange { amount: None });
    let two = Some(CapChange {
        amount: Some(2_000_000),
    });
    assert_eq!(
        (some.cap_day, some.cap_month, some.cap_total),
        (two, None, gone)
    );
    assert_eq!(
        (some.rpm, some.concurrency, some.expires_at),
        (Some(0), None, Some(0))
    );
    assert_eq!(some.models, Some(WordList::default()));
    let last = &changes[2];
    assert_eq!(
        (last.cap_day, last.cap_month, last.cap_total),
        (gone, gone, gone)
    );
    assert_eq!(
        (last.name.as_deref(), last.max_open_tasks),
        (Some("new"), Some(3))
    );
    let (status, answer) = send(&house, Method::PATCH, &path, &json!({"scopes": ["admin"]})).await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (400, &json!("unknown_parameter"))
    );
    let (status, answer) = send(
        &house,
        Method::PATCH,
        &path,
        &json!({"caps": {"day": "x", "year": 1}}),
    )
    .await;
    assert_eq!(
        (status, &answer["error"]["param"]),
        (400, &json!("caps.day"))
    );
}

#[tokio::test]
async fn a_rotated_or_changed_key_is_asked_about_at_once() {
    let house = House::start().await;
    let (key, id) = house.key_with(&[Scope::Read], |_| {});
    assert_eq!(read(house.get("/api/v1/credits", &key)).await.0, 200);
    let change = |change: fn(&mut proto::billing::v1::Identity)| {
        change(
            house
                .world
                .identities
                .lock()
                .unwrap()
                .get_mut(&key)
                .unwrap(),
        );
    };
    change(|identity| identity.rpm = 1);
    let path = format!("{KEYS}/{id}");
    assert_eq!(send(&house, Method::PATCH, &path, &json!({})).await.0, 200);
    let answer = house.get("/api/v1/credits", &key).send().await.unwrap();
    assert_eq!(answer.headers()["x-ratelimit-limit-requests"], "1");

    house.world.identities.lock().unwrap().remove(&key);
    let rotate = format!("{KEYS}/{id}/rotate");
    let (status, answer) = send(&house, Method::POST, &rotate, &json!({"overlap": "24h"})).await;
    assert_eq!(status, 200);
    assert_eq!(
        answer["data"],
        json!({"key_id": id.to_string(), "key": "aio_rotated", "previous_expires_at": "1970-01-01T00:00:02Z"})
    );
    assert_eq!(
        refusal(house.get("/api/v1/credits", &key)).await,
        (401, "invalid_key".into())
    );
    let empty = house
        .request(Method::POST, &rotate)
        .bearer_auth(manager(&house));
    assert_eq!(read(empty).await.0, 200);
    let overlaps: Vec<u64> = house
        .world
        .rotations
        .lock()
        .unwrap()
        .iter()
        .map(|r| r.overlap_ms)
        .collect();
    assert_eq!(overlaps, [86_400_000, 0]);
    for wrong in [
        json!({"overlap": 5}),
        json!({"overlap": "soon"}),
        json!({"over": "1h"}),
    ] {
        assert_eq!(
            send(&house, Method::POST, &rotate, &wrong).await.0,
            400,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn what_is_no_id_is_no_key() {
    let house = House::start().await;
    for id in ["x", "key_x", "%ff", &house.account.to_string()] {
        for (method, rest) in [
            (Method::PATCH, ""),
            (Method::DELETE, ""),
            (Method::POST, "/rotate"),
        ] {
            for place in ["keys", "admin/keys"] {
                let path = format!("/api/v1/{place}/{id}{rest}");
                let key = house.key(&[Scope::Manage, Scope::Admin]);
                let request = house.request(method.clone(), &path).bearer_auth(key);
                let answer = refusal(request.body("{}")).await;
                assert_eq!(answer, (404, "not_found".into()), "{method} {path}");
            }
        }
    }
}
