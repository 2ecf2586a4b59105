//! Where a callback may not lead. Nothing of this list may ever be connected to.

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::{Aio, Answer, Sink};

use crate::say::{image, image_calling};

/// Addresses that are not public, in many spellings, and URLs that are none.
const FORBIDDEN: [&str; 61] = [
    // this machine
    "http://127.0.0.1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://0/",
    "http://0.0.0.0/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0177.0.0.1/",
    "http://127.000.000.001/",
    "http://127.0.0.1./",
    "http:\\\\127.0.0.1\\",
    "http:///127.0.0.1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://127。0。0。1/",
    "http://127.0.0.1#@evil.example/",
    "http://localhost/",
    "http://LOCALHOST./",
    "http://localhost.localdomain/",
    "http://redis:6379/",
    "http://postgres.prod.svc.cluster.local/",
    "http://metadata.google.internal/",
    // somebody before the host
    "https://127.0.0.1:80@evil.example/",
    "https://evil.example@127.0.0.1/",
    "https://user:pass@example.com/",
    "https://example.com%2f@127.0.0.1/",
    // version 6
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2001:0:7f00:1::]/",
    "http://[fe80::1]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[ff02::1]/",
    "http://[100::1]/",
    "http://[2001:db8::1]/",
    // clouds
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://169.254.170.2/",
    "http://168.63.129.16/",
    "http://100.100.100.200/",
    "http://192.0.0.192/",
    // private and special
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    // ports, schemes, nonsense
    "https://1.1.1.1:22/",
    "ftp://1.1.1.1/",
    "file:///etc/passwd",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "https://exa mple.com/",
    "nonsense",
    "",
];

#[tokio::test]
async fn a_callback_into_a_private_place_is_refused_at_submit() -> Result<()> {
    let aio = Aio::with(&[("AIO_EGRESS__ALLOW", "")]).await?;
    let api = aio.account(100).await?.api;
    let long = format!("https://1.1.1.1/{}", "x".repeat(10_000));
    for url in FORBIDDEN.iter().copied().chain([long.as_str()]) {
        let reply = api
            .post("/images/generations", &image_calling("a fox", url))
            .await?;
        let error = reply
            .error(400, "forbidden_url")
            .with_context(|| url.to_owned())?;
        assert_eq!(error["param"], "callback_url", "{url}");
        let message = error["message"].as_str().unwrap_or_default();
        assert!(
            message.starts_with("callback_url is refused: "),
            "{url}: {message}"
        );
    }
    for body in [json!(7), json!(["https://1.1.1.1/"])] {
        let mut request = image("a fox");
        request["callback_url"] = body;
        let reply = api.post("/images/generations", &request).await?;
        assert_eq!(
            reply.error(400, "invalid_parameter")?["param"],
            "callback_url"
        );
    }
    let credits = api.credits().await?;
    assert_eq!((credits.available, credits.open_holds), (100_000_000, 0));
    aio.finish().await
}

#[tokio::test]
async fn inputs_are_looked_at_as_well_and_all_are_named() -> Result<()> {
    let aio = Aio::with(&[("AIO_EGRESS__ALLOW", "")]).await?;
    let api = aio.account(100).await?.api;
    let mut body = image_calling("a fox", "http://10.0.0.1/");
    body["input_urls"] = json!(["https://1.1.1.1/a.png", "http://169.254.169.254/b.png"]);
    let error = api
        .post("/images/generations", &body)
        .await?
        .error(400, "forbidden_url")?;
    let violations = error["violations"].as_array().cloned().unwrap_or_default();
    let params: Vec<_> = violations.iter().map(|v| v["param"].as_str()).collect();
    assert_eq!(
        params,
        [Some("callback_url"), Some("input_urls[1]")],
        "{error}"
    );
    aio.finish().await
}

#[tokio::test]
async fn an_open_range_opens_nothing_else_and_no_redirect_is_followed() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let victim = Sink::start(Answer::Status(200)).await?;
    let sink = Sink::start(Answer::Redirect(victim.url("/inside"))).await?;
    for url in [
        "http://127.0.0.2/",
        "http://10.0.0.1/",
        "http://169.254.169.254/",
    ] {
        let reply = api
            .post("/images/generations", &image_calling("a fox", url))
            .await?;
        reply.error(400, "forbidden_url").context(url)?;
    }
    let body = image_calling("a fox [sandbox delay=0s]", &sink.url("/hook"));
    let id = api.image(&body).await?;
    api.ended(&id).await?;
    sink.wait_for(2).await?;
    assert_eq!(victim.received().len(), 0, "a redirect was followed");
    aio.finish().await
}
