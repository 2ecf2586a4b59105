//! Who may do what, over every route of the table: a route without a row here fails the test.

use std::collections::BTreeSet;

use domain::{ApiKey, Mode, Scope};
use edge::router::{Access, Route, routes};
use live::Notice;
use reqwest::{Method, RequestBuilder};

use crate::house::{House, read, refusal, until};

/// A form with a file, whose boundary is `b`.
const FORM: &str = "--b\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nvision\r\n--b\r\n\
    content-disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nhi\r\n--b--\r\n";

/// A form with a recording.
const RECORDING: &str = "--b\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--b\r\n\
    content-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nhi\r\n--b--\r\n";

/// Since when deliveries are recovered.
const SINCE: &str = r#"{"since":"2030-01-31T12:00:00Z"}"#;

/// One call of every route: how the table writes it, and a body.
const CALLS: &[(&str, &str, &str)] = &[
    ("GET", "/", ""),
    ("GET", "/docs/errors.md", ""),
    ("GET", "/healthz", ""),
    ("GET", "/readyz", ""),
    ("POST", "/chat/completions", "{}"),
    ("POST", "/embeddings", "{}"),
    (
        "POST",
        "/messages/count_tokens",
        r#"{"model":"gemini","messages":[{"role":"user","content":"hi"}]}"#,
    ),
    (
        "POST",
        "/messages",
        r#"{"model":"gemini","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#,
    ),
    ("POST", "/responses", r#"{"model":"gemini","input":"hi"}"#),
    ("GET", "/responses/{id}", ""),
    ("DELETE", "/responses/{id}", ""),
    ("POST", "/files", FORM),
    ("GET", "/files", ""),
    ("GET", "/files/{id}", ""),
    ("GET", "/files/{id}/content", ""),
    ("DELETE", "/files/{id}", ""),
    ("POST", "/images/generations", "{}"),
    ("POST", "/videos/generations", "{}"),
    ("POST", "/audio/music", "{}"),
    ("GET", "/audio/music/feed", ""),
    ("POST", "/audio/music/extend", "{}"),
    ("POST", "/audio/music/cover/generate", "{}"),
    ("GET", "/audio/music/cover/status", ""),
    ("POST", "/audio/music/upload-cover/generate", "{}"),
    ("GET", "/audio/music/upload-cover/status", ""),
    ("POST", "/audio/music/timestamped-lyrics", "{}"),
    ("POST", "/audio/speech", "{}"),
    ("POST", "/audio/transcriptions", RECORDING),
    ("GET", "/audio/voices", ""),
    ("POST", "/images/tools/remove-bg", "{}"),
    ("POST", "/images/tools/upscale", "{}"),
    ("POST", "/images/tools/face-swap", "{}"),
    ("POST", "/videos/tools/bg-remover", "{}"),
    ("POST", "/videos/tools/upscale", "{}"),
    (
        "POST",
        "/quote",
        r#"{"route":"images/generations","body":{}}"#,
    ),
    ("GET", "/models", ""),
    ("GET", "/models/{*id}", ""),
    ("GET", "/openapi.json", ""),
    ("GET", "/docs", ""),
    ("GET", "/tasks", ""),
    ("GET", "/tasks/{id}", ""),
    ("POST", "/tasks/{id}/cancel", ""),
    ("GET", "/tasks/{id}/events", ""),
    ("GET", "/tasks/{id}/files/{n}", ""),
    ("DELETE", "/tasks/{id}/files/{n}", ""),
    ("GET", "/credits", ""),
    ("GET", "/usage", ""),
    ("GET", "/operations", ""),
    ("GET", "/operations/{id}/receipt", ""),
    ("GET", "/audit-log", ""),
    ("GET", "/orders/packs", ""),
    ("POST", "/orders", r#"{"pack":"small"}"#),
    ("GET", "/orders", ""),
    ("GET", "/orders/{id}", ""),
    ("POST", "/payments/stripe/webhook", "{}"),
    ("POST", "/callbacks/{token}", "{}"),
    ("POST", "/credits/redeem", r#"{"code":"AIO"}"#),
    ("POST", "/credits/test/reset", ""),
    (
        "POST",
        "/admin/redeem-codes",
        r#"{"credits":1,"mode":"live"}"#,
    ),
    ("GET", "/admin/redeem-codes", ""),
    ("DELETE", "/admin/redeem-codes/{id}", ""),
    ("GET", "/webhooks/secret", ""),
    ("POST", "/admin/accounts", r#"{"name":"a"}"#),
    ("GET", "/admin/accounts", ""),
    ("PATCH", "/admin/accounts/{id}", r#"{"price_factor":0.8}"#),
    ("GET", "/admin/price-lists/{version}", ""),
    (
        "POST",
        "/admin/accounts/{id}/credits",
        r#"{"credits":1,"mode":"test","reason":"r"}"#,
    ),
    ("POST", "/admin/accounts/{id}/freeze", ""),
    ("POST", "/admin/accounts/{id}/unfreeze", ""),
    ("GET", "/admin/accounts/{id}/retention", ""),
    (
        "PUT",
        "/admin/accounts/{id}/retention",
        r#"{"outputs":"30d"}"#,
    ),
    (
        "POST",
        "/admin/accounts/{id}/keys",
        r#"{"name":"k","mode":"test"}"#,
    ),
    ("GET", "/admin/accounts/{id}/keys", ""),
    ("POST", "/admin/keys/{id}/rotate", ""),
    ("PATCH", "/admin/keys/{id}", "{}"),
    ("DELETE", "/admin/keys/{id}", ""),
    ("GET", "/keys", ""),
    ("POST", "/keys", r#"{"name":"k"}"#),
    ("POST", "/keys/{id}/rotate", r#"{"overlap":"1h"}"#),
    ("PATCH", "/keys/{id}", r#"{"rpm":5}"#),
    ("DELETE", "/keys/{id}", ""),
    ("PUT", "/credits/alert", r#"{"below_credits":5}"#),
    ("GET", "/webhooks/endpoints", ""),
    (
        "POST",
        "/webhooks/endpoints",
        r#"{"url":"https://example.com/"}"#,
    ),
    ("GET", "/webhooks/endpoints/{id}", ""),
    ("PATCH", "/webhooks/endpoints/{id}", r#"{"disabled":false}"#),
    ("DELETE", "/webhooks/endpoints/{id}", ""),
    ("POST", "/webhooks/endpoints/{id}/rotate-secret", ""),
    ("POST", "/webhooks/endpoints/{id}/test", ""),
    ("POST", "/webhooks/endpoints/{id}/recover", SINCE),
    ("POST", "/webhooks/secret/rotate", ""),
    ("GET", "/webhooks/deliveries", ""),
    ("GET", "/webhooks/deliveries/{id}", ""),
    ("POST", "/webhooks/deliveries/{id}/replay", ""),
    ("POST", "/webhooks/deliveries/recover", SINCE),
    ("GET", "/admin/webhooks/endpoints", ""),
    ("GET", "/admin/webhooks/endpoints/{id}", ""),
    ("PATCH", "/admin/webhooks/endpoints/{id}", "{}"),
    ("POST", "/admin/webhooks/endpoints/{id}/rotate-secret", ""),
    ("POST", "/admin/webhooks/endpoints/{id}/test", ""),
    ("GET", "/admin/webhooks/deliveries", ""),
    ("GET", "/admin/webhooks/deliveries/{id}", ""),
    ("POST", "/admin/webhooks/deliveries/{id}/replay", ""),
    ("POST", "/admin/webhooks/deliveries/recover", SINCE),
    ("GET", "/admin/webhooks/alert-secret", ""),
    ("GET", "/admin/audit-log", ""),
    ("GET", "/admin/ledger/audit", ""),
    ("GET", "/admin/tasks", ""),
    ("GET", "/admin/tasks/{id}", ""),
    ("POST", "/admin/tasks/{id}/requeue", ""),
    ("POST", "/admin/tasks/{id}/cancel", ""),
    ("GET", "/admin/tasks/unknown", ""),
];

/// A served path, with ids in it that this house knows.
fn filled(house: &House, path: &str) -> String {
    let made_by = match path {
        "/audio/music/feed" => Some("audio/music"),
        "/audio/music/cover/status" => Some("audio/music/cover/generate"),
        "/audio/music/upload-cover/status" => Some("audio/music/upload-cover/generate"),
        _ => None,
    };
    if let Some(route) = made_by {
        return format!("{path}?task_id={}", house.songs(route));
    }
    let id = if path.starts_with("/models") {
        "gemini".to_owned()
    } else if path.starts_with("/tasks") || path.starts_with("/admin/tasks") {
        house.task().to_string()
    } else if path.starts_with("/files") {
        house.file()
    } else if path.starts_with("/responses") {
        house.response()
    } else if path.starts_with("/operations") {
        domain::OperationId::from_slice(&[5; 16])
            .unwrap()
            .to_string()
    } else if path.starts_with("/orders") {
        chassis::mint::<domain::ids::Order>().to_string()
    } else if path.starts_with("/admin/redeem-codes") {
        chassis::mint::<domain::ids::Code>().to_string()
    } else if path.contains("/webhooks/endpoints") {
        chassis::mint::<domain::ids::Endpoint>().to_string()
    } else if path.contains("/webhooks/deliveries") {
        chassis::mint::<domain::ids::Delivery>().to_string()
    } else if path.starts_with("/admin/keys") || path.starts_with("/keys") {
        chassis::mint::<domain::ids::Key>().to_string()
    } else {
        house.account.to_string()
    };
    let path = path.replace("{id}", &id).replace("{*id}", &id);
    path.replace("{n}", "0")
}

/// A call without a key.
fn call(house: &House, method: &Method, path: &str, body: &'static str) -> RequestBuilder {
    let request = house.request(method.clone(), path).body(body);
    if [FORM, RECORDING].contains(&body) {
        request.header("content-type", "multipart/form-data; boundary=b")
    } else {
        request
    }
}

#[tokio::test]
async fn the_table_of_routes_and_this_one_are_equal() {
    let listed: BTreeSet<(String, &str)> = routes()
        .iter()
        .map(|route| (route.method.to_string(), route.path))
        .collect();
    let called: BTreeSet<(String, &str)> = CALLS
        .iter()
        .map(|(method, path, _)| ((*method).to_owned(), *path))
        .collect();
    assert_eq!(listed, called);
}

/// Whether a route needs nothing; then it must answer, wherever it is served.
async fn answers_anybody(house: &House, route: &Route) -> bool {
    let prefixes = match route.access {
        Access::Open => &[""][..],
        Access::Public => &["/api/v1", "/v1"],
        Access::Key
        | Access::Scope(_)
        | Access::Either(..)
        | Access::Link
        | Access::LinkOr(..)
        | Access::Signed
        | Access::Capability => {
            return false;
        }
    };
    for prefix in prefixes {
        let path = format!("{prefix}{}", route.path);
        let asked = house.request(route.method.clone(), &path);
        let wanted = if route.path == "/docs" { 303 } else { 200 };
        assert_eq!(asked.send().await.unwrap().status(), wanted, "{path}");
    }
    true
}

/// How a made-up call is refused where no key is asked for.
fn without_a_key(access: Access) -> Option<(u16, &'static str)> {
    match access {
        Access::Signed => Some((400, "invalid_signature")),
        Access::Capability => Some((404, "unknown_route")),
        Access::Open
        | Access::Public
        | Access::Key
        | Access::Scope(_)
        | Access::Either(..)
        | Access::Link
        | Access::LinkOr(..) => None,
    }
}

#[tokio::test]
async fn every_route_demands_what_it_says() {
    let house = House::start().await;
    let nobody = ApiKey::from_random(Mode::Test, &[61; 36]);
    let typo = nobody
        .expose()
        .replace("aio_test_", "aio_test_1")
        .replace("_11", "_1");
    for route in routes() {
        let (_, _, body) = *CALLS
            .iter()
            .find(|(m, p, _)| *m == route.method.as_str() && *p == route.path)
            .unwrap();
        if answers_anybody(&house, route).await {
            continue;
        }
        for prefix in ["/api/v1", "/v1"] {
            let path = format!("{prefix}{}", filled(&house, route.path));
            let call = || call(&house, &route.method, &path, body);
            if let Some((status, code)) = without_a_key(route.access) {
                assert_eq!(refusal(call()).await, (status, code.to_owned()), "{path}");
                continue;
            }
            let asked = |key: &str| call().bearer_auth(key);
            assert_eq!(refusal(call()).await, (401, "missing_key".into()), "{path}");
            assert_eq!(
                refusal(asked("aio_x")).await,
                (401, "invalid_key".into()),
                "{path}"
            );
            assert_eq!(
                refusal(asked(&typo)).await,
                (401, "invalid_key".into()),
                "{path}"
            );
            assert_eq!(
                refusal(asked(nobody.expose())).await,
                (401, "invalid_key".into()),
                "{path}"
            );
            let needed = match route.access {
                Access::Open
                | Access::Public
                | Access::Key
                | Access::Signed
                | Access::Capability => vec![],
                Access::Scope(scope) => vec![scope],
                Access::Either(one, other) => vec![one, other],
                Access::LinkOr(one, other) => vec![one, other],
                Access::Link => vec![Scope::Read],
            };
            if !needed.is_empty() {
                let others = Scope::ALL.into_iter().filter(|s| !needed.contains(s));
                let others: Vec<Scope> = others.collect();
                let without = house.key(&others);
                assert_eq!(
                    refusal(asked(&without)).await,
                    (403, "missing_scope".into()),
                    "{path}"
                );
            }
            // One of several is enough.
            for one in needed.chunks(1).chain(needed.is_empty().then_some(&[][..])) {
                let answer = asked(&house.key(one)).send().await.unwrap();
                assert!(answer.status().is_success(), "{path}: {}", answer.status());
                let id = answer.headers()["x-request-id"].to_str().unwrap();
                assert!(id.starts_with("req_") && id.len() == 30, "{id}");
            }
        }
    }
}

#[tokio::test]
async fn no_route_opens_to_a_key_from_elsewhere_or_to_one_that_was_taken_away() {
    let house = House::start().await;
    let (elsewhere, _) = house.key_with(&Scope::ALL, |identity| {
        identity.ip_allow = vec!["10.0.0.0/8".into()];
    });
    // Billing says of keys that have expired what it says of those that were revoked.
    let (revoked, id) = house.key_with(&Scope::ALL, |_| {});
    let credits = || refusal(house.get("/api/v1/credits", &revoked));
    assert_eq!(credits().await.0, 200);
    house.world.identities.lock().unwrap().remove(&revoked);
    house.live.notify(Notice::KeyChanged(id)).await.unwrap();
    until("the key stops", async || credits().await.0 == 401).await;
    for route in routes() {
        let needs_a_key = without_a_key(route.access).is_none()
            && !matches!(route.access, Access::Open | Access::Public);
        if !needs_a_key {
            continue;
        }
        let (_, _, body) = *CALLS
            .iter()
            .find(|(m, p, _)| *m == route.method.as_str() && *p == route.path)
            .unwrap();
        let path = format!("/api/v1{}", filled(&house, route.path));
        for (key, expected) in [
            (&elsewhere, (403, "address_not_allowed".to_owned())),
            (&revoked, (401, "invalid_key".to_owned())),
        ] {
            let asked = call(&house, &route.method, &path, body).bearer_auth(key);
            assert_eq!(refusal(asked).await, expected, "{path}");
        }
    }
}

#[tokio::test]
async fn another_tenants_task_and_an_unknown_one_are_the_same() {
    let house = House::start().await;
    let mine = house.task();
    // The other has seen it, so it is in the shared state too.
    assert_eq!(
        read(house.get(&format!("/v1/tasks/{mine}"), &house.usual_key()))
            .await
            .0,
        200
    );
    let all = [Scope::Inference, Scope::Read];
    let stranger = house
        .key_with(&all, |identity| identity.account_id = vec![1; 16].into())
        .0;
    let live = house
        .key_with(&all, |identity| {
            identity.mode = proto::mode_to_wire(Mode::Live).into();
        })
        .0;
    let unknown = chassis::mint::<domain::ids::Task>().to_string();
    for (method, rest) in [
        (Method::GET, ""),
        (Method::POST, "/cancel"),
        (Method::GET, "/events"),
        (Method::GET, "/files/0"),
        (Method::DELETE, "/files/0"),
    ] {
        let mut answers = BTreeSet::new();
        for (key, id) in [
            (&stranger, mine.to_string()),
            (&live, mine.to_string()),
            (&stranger, unknown.clone()),
            (&stranger, "task_nonsense".to_owned()),
            (&stranger, "%ff".to_owned()),
            (&stranger, "'; drop table task".to_owned()),
        ] {
            let path = format!("/api/v1/tasks/{id}{rest}");
            let answer = house
                .request(method.clone(), &path)
                .bearer_auth(key)
                .send()
                .await
                .unwrap();
            let status = answer.status().as_u16();
            let request_id = answer.headers()["x-request-id"]
                .to_str()
                .unwrap()
                .to_owned();
            let text = answer.text().await.unwrap();
            answers.insert((status, text.replace(&request_id, "ID")));
        }
        assert_eq!(answers.len(), 1, "{rest}: {answers:?}");
        assert_eq!(answers.first().unwrap().0, 404);
    }
}

#[tokio::test]
async fn the_operators_door_has_only_the_operators_routes() {
    let house = House::start().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for route in routes() {
        let (_, _, body) = *CALLS
            .iter()
            .find(|(m, p, _)| *m == route.method.as_str() && *p == route.path)
            .unwrap();
        let prefix = if route.access == Access::Open {
            ""
        } else {
            "/api/v1"
        };
        let url = format!(
            "http://{}{prefix}{}",
            house.operator,
            filled(&house, route.path)
        );
        let answer = client
            .request(route.method.clone(), url)
            .body(body)
            .send()
            .await
            .unwrap();
        let behind =
            route.path.starts_with("/admin") || ["/healthz", "/readyz"].contains(&route.path);
        assert_eq!(
            answer.status().is_success(),
            behind,
            "{} {}",
            route.method,
            route.path
        );
        assert!(behind || answer.status() == 404, "{}", route.path);
    }
    let transfers = house.world.transfers.lock().unwrap();
    assert_eq!(
        transfers.first().unwrap().by.as_ref().unwrap().name,
        "operator"
    );
}
