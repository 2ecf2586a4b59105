//! Errors of the edge itself, limits of bodies, the list of models, the page for browsers.

use std::time::Duration;

use reqwest::Method;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::house::{House, json, read, refusal};

#[tokio::test]
async fn what_is_not_there_is_an_error_object() {
    let house = House::start().await;
    for path in [
        "/nothing",
        "/api/v1/nothing",
        "/api/v2/models",
        "/api/v1/task",
    ] {
        let answer = house.request(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/json");
        let id = answer.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        let error = json(answer).await["error"].clone();
        assert_eq!(
            (error["type"].as_str(), error["code"].as_str()),
            (Some("not_found"), Some("unknown_route"))
        );
        assert_eq!(error["request_id"], *id);
        assert!(error["param"].is_null());
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let house = House::start().await;
    let answer = house
        .request(Method::PUT, "/api/v1/admin/accounts")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 405);
    let mut allowed: Vec<&str> = answer.headers()["allow"]
        .to_str()
        .unwrap()
        .split(',')
        .collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
    assert_eq!(json(answer).await["error"]["code"], "method_not_allowed");
}

#[tokio::test]
async fn a_body_may_be_as_large_as_its_route_takes() {
    let house = House::start().await;
    let key = house.key(&domain::Scope::ALL);
    for (path, limit) in [
        ("/api/v1/chat/completions", 8 << 20),
        ("/api/v1/images/generations", 2 << 20),
    ] {
        let answer = house
            .post(path, &key, "x".repeat(limit))
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let (status, body) = read(house.post(path, &key, "x".repeat(limit + 1))).await;
        assert_eq!(
            (status, body["error"]["code"].as_str()),
            (413, Some("body_too_large"))
        );
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains(&limit.to_string()), "{message}");
        // Without a length that was announced.
        let chunks = futures::stream::iter(
            (0..=limit / 65536).map(|_| Ok::<_, std::io::Error>("x".repeat(65536))),
        );
        let request = house
            .post(path, &key, "")
            .body(reqwest::Body::wrap_stream(chunks));
        assert_eq!(refusal(request).await, (413, "body_too_large".into()));
    }
    let request = house.post("/api/v1/admin/accounts", &key, "x".repeat((64 << 10) + 1));
    assert_eq!(refusal(request).await, (413, "body_too_large".into()));
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let house = House::with("limits.bodies.timeout = '50ms'").await;
    let key = house.usual_key();
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let head = format!(
        "POST /api/v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-length: 100\r\nconnection: close\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let reading = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), reading)
        .await
        .unwrap()
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert!(answer.contains(r#""code":"request_timeout""#), "{answer}");
}

#[tokio::test]
async fn a_huge_announced_body_is_refused_before_it_comes() {
    let house = House::start().await;
    let key = house.usual_key();
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    let head = format!(
        "POST /api/v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\nexpect: 100-continue\r\ncontent-length: 2147483648\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    tokio::time::timeout(Duration::from_secs(10), stream.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn models_are_listed_as_openai_does_it() {
    let house = House::start().await;
    let key = house.usual_key();
    let (status, body) = read(house.get("/api/v1/models", &key)).await;
    assert_eq!((status, body["object"].as_str()), (200, Some("list")));
    let ids: Vec<&str> = body["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["id"].as_str().unwrap())
        .collect();
    assert!(
        ids.contains(&"gemini") && ids.contains(&"flux-2"),
        "{ids:?}"
    );
    let (_, model) = read(house.get("/api/v1/models/gemini", &key)).await;
    assert_eq!(
        (model["id"].as_str(), model["object"].as_str()),
        (Some("gemini"), Some("model"))
    );
    assert_eq!(
        refusal(house.get("/api/v1/models/none", &key)).await,
        (404, "not_found".into())
    );
    let only = house
        .key_with(&[], |identity| identity.models = vec!["flux-2".into()])
        .0;
    let (_, body) = read(house.get("/api/v1/models", &only)).await;
    assert_eq!(body["data"].as_array().unwrap().len(), 1);
    assert_eq!(
        refusal(house.get("/api/v1/models/gemini", &only)).await,
        (404, "not_found".into())
    );
}

#[tokio::test]
async fn the_page_shows_where_it_was_asked() {
    let house = House::start().await;
    let answer = house.request(Method::GET, "/").send().await.unwrap();
    assert!(
        answer.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    let policy = answer.headers()["content-security-policy"]
        .to_str()
        .unwrap();
    assert!(
        policy.contains("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    let page = answer.text().await.unwrap();
    assert!(
        page.contains(&format!("http://{}/api/v1/chat/completions", house.address)),
        "{page}"
    );
    assert!(!page.contains("{{"));
}

#[tokio::test]
async fn health_and_metrics_are_told() {
    let house = House::start().await;
    let text = async |path: &str| {
        house
            .request(Method::GET, path)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    };
    assert_eq!(text("/healthz").await, "ok\n");
    assert_eq!(text("/readyz").await, "ready\n");
    assert!(
        text("/docs/errors.md")
            .await
            .contains("| `invalid_key` | 401 |")
    );
    let metrics = chassis::telemetry::metrics_text(&house.registry);
    let line = r#"aio_edge_requests_total{route="/healthz",status="2xx"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
    let (status, body) = read(house.get("/api/v1/credits", &house.usual_key())).await;
    assert_eq!(status, 200, "{body}");
    let metrics = chassis::telemetry::metrics_text(&house.registry);
    let line = r#"aio_edge_requests_total{route="/credits",status="2xx"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
    assert!(
        metrics.contains(r#"aio_edge_key_checks_total{result="miss"} 1"#),
        "{metrics}"
    );
}
