//! Images by URL: fetched through the guard for a provider that takes none, within limits, and for live keys only.

use domain::Mode;
use proto::{Fault, code};
use serde_json::{Value, json};

use crate::{
    app::{App, Collected},
    gemini::{answering, text, whole},
    provider::{Provider, Reply},
};

/// A request about what these URLs lead to.
fn about(urls: &[&str]) -> String {
    let parts: Vec<Value> = urls
        .iter()
        .map(|url| json!({"type": "image_url", "image_url": {"url": url}}))
        .collect();
    json!({"model": "gemini", "messages": [{"role": "user", "content": parts}]}).to_string()
}

/// An app that live keys may use, and a server of files on this machine.
async fn with_files(more: &str) -> (App, Provider) {
    let files = Provider::start(&chassis::Tasks::default()).await;
    let google = Provider::start(&chassis::Tasks::default()).await;
    let settings = format!(
        "[providers.gemini]\napi_key = 'k'\nbase_url = '{}/v1beta'\n{more}",
        google.origin
    );
    let mut app = App::native(&settings).await;
    app.provider = google;
    (app, files)
}

const OPEN: &str = "[egress]\nallow = ['127.0.0.1/32']\n";

fn file(content_type: &'static str, bytes: &str) -> Reply {
    Reply {
        headers: vec![("content-type", content_type)],
        ..Reply::whole(200, bytes)
    }
}

async fn send_live(app: &App, body: &str) -> Result<Collected, Fault> {
    let sent = app.send(App::request(body, Mode::Live, &[])).await;
    Ok(Collected::of(sent.map_err(Fault::from)?).await)
}

#[tokio::test]
async fn what_urls_lead_to_is_fetched_once_and_sent_along() {
    let (app, files) = with_files(OPEN).await;
    files.will(file("image/PNG; charset=x", "png!"));
    app.provider.will(whole(&text("A fox."), "STOP"));
    let url = format!("{}/a.png?secret", files.origin);
    send_live(&app, &about(&[&url, &url])).await.unwrap();
    let inline = json!({"inlineData": {"mimeType": "image/png", "data": "cG5nIQ=="}});
    assert_eq!(
        app.provider.body()["contents"][0]["parts"],
        json!([inline, inline])
    );
    assert_eq!(app.provider.asked()[0].headers["x-goog-api-key"], "k");
    assert_eq!(files.asked().len(), 1);
    // What is held is what a request of this length is held for: a picture is a part, however large.
    let held = app.billing.books().holds[0].amount;
    let quote = app
        .quote(App::request(&about(&[&url, &url]), Mode::Live, &[]))
        .await;
    assert_eq!(quote.unwrap().max, held);
    assert_eq!(files.asked().len(), 1, "a quote fetches nothing");
    app.settled().await;
}

#[tokio::test]
async fn a_test_key_fetches_nothing() {
    let app = answering(whole(&text("A fox."), "STOP")).await;
    let files = Provider::start(&chassis::Tasks::default()).await;
    app.collect(&about(&["https://example.com/a.png"])).await;
    let parts = app.provider.body()["contents"][0]["parts"].clone();
    assert_eq!(
        parts,
        json!([{"fileData": {"fileUri": "https://example.com/a.png"}}])
    );
    let fault = app
        .refused(&about(&[&format!("{}/a.png", files.origin)]))
        .await;
    assert_eq!(
        fault.param.as_deref(),
        Some("messages[0].content[0].image_url.url")
    );
    assert!(files.asked().is_empty());
    app.settled().await;
}

#[tokio::test]
async fn what_may_not_be_called_is_refused_by_its_place_and_nobody_is_asked() {
    let (app, files) = with_files("").await;
    let port = files.origin.rsplit_once(':').unwrap().1;
    for url in [
        format!("{}/a.png", files.origin),
        format!("http://localhost:{port}/a.png"),
        format!("http://[::ffff:127.0.0.1]:{port}/a.png"),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "https://10.0.0.1/a.png".to_owned(),
        "https://user:pa55@example.com/a.png".to_owned(),
        "https://router.local/a.png".to_owned(),
        "http://example.com/a.png".to_owned(),
    ] {
        let body = about(&["data:image/png;base64,AAAA", &url]);
        let quoted = app.quote(App::request(&body, Mode::Live, &[])).await;
        for fault in [
            quoted.unwrap_err(),
            send_live(&app, &body).await.err().unwrap(),
        ] {
            assert_eq!(
                (fault.code, fault.param.as_deref()),
                (
                    code::FORBIDDEN_URL,
                    Some("messages[0].content[1].image_url.url")
                ),
                "{url}"
            );
            assert!(
                !fault.message.contains("pa55") && !fault.message.contains(port),
                "{}",
                fault.message
            );
        }
        assert!(app.billing.books().holds.is_empty(), "{url}");
    }
    assert!(files.asked().is_empty() && app.provider.asked().is_empty());
    app.settled().await;
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_by_its_place() {
    let limits =
        "[limits.inputs]\nmax_bytes = 8\nmax_total_bytes = 12\nmax_count = 2\ntimeout = '1s'\n";
    let elsewhere = Reply {
        headers: vec![("location", "https://10.0.0.1/a.png")],
        ..Reply::whole(302, "")
    };
    let place = "messages[0].content[0].image_url";
    for (replies, count, says, param) in [
        (vec![file("image/png", "ninebytes")], 1, "8 bytes", place),
        (
            vec![file("image/png", "8 bytes!"), file("image/png", "8 bytes!")],
            2,
            "12 bytes",
            "",
        ),
        (vec![file("text/html", "<html>")], 1, "image/png", place),
        (vec![file("image/png", "")], 1, "not empty", place),
        (vec![Reply::whole(404, "secret")], 1, "404", place),
        (vec![elsewhere], 1, "only public addresses", place),
        (vec![Reply::silence()], 1, "in time", place),
        (vec![], 3, "at most 2", "messages"),
    ] {
        let (app, files) = with_files(&format!("{OPEN}{limits}")).await;
        replies.into_iter().for_each(|reply| files.will(reply));
        let urls: Vec<String> = (0..count)
            .map(|n| format!("{}/{n}.png", files.origin))
            .collect();
        let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
        let fault = send_live(&app, &about(&urls)).await.err().unwrap();
        assert_eq!(fault.code, code::INVALID_PARAMETER, "{says}");
        assert!(fault.message.contains(says), "{says}: {}", fault.message);
        assert!(!fault.message.contains("secret") && !fault.message.contains("10.0.0"));
        let named = fault.param.unwrap();
        assert!(
            named == param || param.is_empty() && named.starts_with("messages[0]"),
            "{named}"
        );
        assert!(app.provider.asked().is_empty());
        assert_eq!(app.billing.released()["attempts"], json!([]));
        app.settled().await;
    }
}

#[tokio::test]
async fn what_is_named_twice_is_sent_twice_and_counts_twice() {
    let limits = "[limits.inputs]\nmax_total_bytes = 12\n";
    let (app, files) = with_files(&format!("{OPEN}{limits}")).await;
    let url = format!("{}/a.png", files.origin);
    for (times, fits) in [(3, true), (4, false)] {
        files.will(file("image/png", "four"));
        app.provider.will(whole(&text("A fox."), "STOP"));
        let sent = send_live(&app, &about(&vec![url.as_str(); times])).await;
        assert_eq!(sent.is_ok(), fits, "{times}");
        if let Err(fault) = sent {
            assert!(fault.message.contains("12 bytes"), "{}", fault.message);
        }
    }
    assert_eq!((files.asked().len(), app.provider.asked().len()), (2, 1));
    app.settled().await;
}
