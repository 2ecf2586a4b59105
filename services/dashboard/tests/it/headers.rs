//! What every answer has around it.

use http::{Request, StatusCode};

use crate::site::Site;

#[tokio::test]
async fn every_answer_has_a_policy_that_lets_nothing_else_run() {
    let site = Site::new().await;
    for path in [
        "/",
        "/models",
        "/models/kling-3",
        "/docs/webhooks",
        "/nowhere",
        "/llms.txt",
    ] {
        let reply = site.get(path).await;
        let policy = reply.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none';"),
            "{path}: {policy}"
        );
        assert!(
            !policy.contains("unsafe") && !policy.contains('*'),
            "{path}"
        );
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(reply.header("set-cookie"), "", "{path} needs no cookie");
    }
}

#[tokio::test]
async fn whoever_reads_for_others_is_let_in() {
    let reply = Site::new().await.get("/robots.txt").await;
    assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
    assert!(reply.text().contains("Allow: /"), "{}", reply.text());
}

#[tokio::test]
async fn what_is_no_page_is_404_and_says_so_in_one() {
    let site = Site::new().await;
    for path in [
        "/nowhere",
        "/models/no-such-model",
        "/models/no-such-model.md",
        "/docs/nothing",
        "/assets/style-000000000000.css",
        "/api",
    ] {
        let reply = site.get(path).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
        assert!(reply.text().contains("There is no such page"), "{path}");
        assert_eq!(reply.header("cache-control"), "no-store", "{path}");
    }
    let reply = site.send(Request::post("/models")).await;
    assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
    assert!(reply.header("allow").contains("GET"));
    let reply = site.send(Request::head("/models")).await;
    assert_eq!((reply.status, reply.body.len()), (StatusCode::OK, 0));
}

#[tokio::test]
async fn style_and_script_are_kept_for_ever_and_pages_for_as_long_as_is_set() {
    let site = Site::with("[limits.dashboard]\npage_life = '5m'").await;
    let page = site.get("/").await;
    assert_eq!(page.header("cache-control"), "public, max-age=300");
    let text = page.text();
    let style = text.split("rel=\"stylesheet\" href=\"").nth(1).unwrap();
    let style = style.split('"').next().unwrap();
    let reply = site.get(style).await;
    assert_eq!(reply.header("content-type"), "text/css; charset=utf-8");
    let kept = "public, max-age=31536000, immutable";
    assert_eq!(reply.header("cache-control"), kept);
    assert_eq!(reply.header("vary"), "accept-encoding");
}
