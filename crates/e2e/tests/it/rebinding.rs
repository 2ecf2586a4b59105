//! What passes at the submit and leads elsewhere when it is called: names that change their minds, and redirects. What is called is judged
//! anew each time, by the running program. Here 127.0.0.1 stands for the public, and what is inside is 127.0.0.2.

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Aio, Answer, Api, Sink, eventually};

use crate::{
    names::{Inside, Names},
    say::{SOON, image_calling},
};

/// Public at the first question, and then no more.
fn zones(name: &str, turn: usize) -> Vec<IpAddr> {
    let addresses: &[&str] = match name.split_once('.') {
        Some((_, "public.example")) => &["127.0.0.1"],
        Some((_, "inside.example" | "metadata.example" | "mixed.example")) if turn == 0 => {
            &["127.0.0.1"]
        }
        Some((_, "inside.example")) => &["127.0.0.2"],
        Some((_, "metadata.example")) => &["169.254.169.254"],
        Some((_, "mixed.example")) => &["127.0.0.1", "127.0.0.2"],
        _ => &[],
    };
    addresses.iter().filter_map(|ip| ip.parse().ok()).collect()
}

const TURNCOATS: [&str; 3] = ["inside", "metadata", "mixed"];

async fn start(names: &Names, inside: &Inside, google: &Sink) -> Result<Aio> {
    let (variable, address) = names.variable();
    let ports = format!("80,443,{}", inside.port);
    Aio::with(&[
        SOON,
        ("AIO_EGRESS__SCHEMES", "http,https"),
        ("AIO_EGRESS__PORTS", &ports),
        ("GEMINI_API_KEY", "a-test-s-own"),
        ("AIO_PROVIDERS__GEMINI__BASE_URL", &google.url("/")),
        (variable, &address),
    ])
    .await
}

/// Redirects of each kind that lead inside, or to where somebody else would say so.
fn redirects(port: u16) -> [String; 4] {
    [
        format!("http://127.0.0.2:{port}/"),
        format!("//127.0.0.2:{port}/"),
        format!("http://[::1]:{port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
    ]
}

#[tokio::test]
async fn a_callback_leads_nowhere_else_than_it_did_when_it_was_taken() -> Result<()> {
    let (names, inside) = (Names::start(zones).await?, Inside::open("127.0.0.2")?);
    let google = Sink::start(Answer::Status(500)).await?;
    let aio = start(&names, &inside, &google).await?;
    let api = aio.account(1_000).await?.api;
    for name in TURNCOATS {
        let url = format!("http://callback.{name}.example:{}/hook", inside.port);
        let body = image_calling("a fox [sandbox delay=0s]", &url);
        let id = api.image(&body).await?;
        let delivery = attempted(&api, &id).await?;
        let error = delivery["last_error"].as_str().unwrap_or_default();
        ensure!(error.contains("is refused"), "{delivery}");
        ensure!(!error.contains("127.0.0.2"), "{delivery}");
    }
    for to in redirects(inside.port) {
        let sink = Sink::start(Answer::Redirect(to)).await?;
        let url = sink.url("/hook").replace("127.0.0.1", "localhost");
        let id = api
            .image(&image_calling("a fox [sandbox delay=0s]", &url))
            .await?;
        sink.wait_for(1).await?;
        let delivery = attempted(&api, &id).await?;
        ensure!(delivery["last_status"] == 307, "{delivery}");
    }
    inside.is_untouched()?;
    aio.finish().await
}

/// How a task's callback stands, once it was tried.
async fn attempted(api: &Api, task: &str) -> Result<Value> {
    let path = format!("/webhooks/deliveries?task_id={task}");
    eventually("the callback is tried", async || {
        let listed = api.get(&path).await?.data(200)?;
        let mut tried = listed["items"].as_array().cloned().unwrap_or_default();
        tried.retain(|delivery| delivery["attempts"].as_i64().is_some_and(|count| count > 0));
        Ok(tried.pop())
    })
    .await
}

#[tokio::test]
async fn an_input_leads_nowhere_else_than_it_did_when_it_was_taken() -> Result<()> {
    let (names, inside) = (Names::start(zones).await?, Inside::open("127.0.0.2")?);
    let google = Sink::start(Answer::Status(500)).await?;
    let aio = start(&names, &inside, &google).await?;
    let live = aio.account(0).await?.live(1_000).await?;
    let mut sinks = Vec::new();
    for to in redirects(inside.port) {
        sinks.push(Sink::start(Answer::Redirect(to)).await?);
    }
    let turning = |of: &str| {
        let port = inside.port;
        let urls = TURNCOATS.map(|name| format!("http://{of}.{name}.example:{port}/a.png"));
        let redirecting = sinks.iter().map(|sink| sink.url("/a.png"));
        urls.into_iter().chain(redirecting).collect::<Vec<_>>()
    };
    // Who makes the pictures takes their bytes alone, so that media fetches them; and so does chat.
    for url in turning("task") {
        let body = json!({ "model": "nano-banana-pro", "prompt": "a fox", "input_urls": [url] });
        let id = live.image(&body).await?;
        let failed = live.ended(&id).await?;
        ensure!(failed["status"] == "failed", "{url}: {failed}");
        ensure!(failed["consumed_credits"] == 0, "{url}: {failed}");
        let told = failed["error"]["message"].as_str().context("no message")?;
        ensure!(
            told.contains("input_urls[0]") && !told.contains("127.0.0.2"),
            "{url}: {told}"
        );
    }
    for url in turning("chat") {
        let picture = json!({ "type": "image_url", "image_url": { "url": url } });
        let body =
            json!({ "model": "gemini", "messages": [{ "role": "user", "content": [picture] }] });
        let reply = live.post("/chat/completions", &body).await?;
        let error = reply.error(400, "invalid_parameter").context(url)?;
        let param = error["param"].as_str().unwrap_or_default();
        ensure!(
            param.starts_with("messages[0].content[0].image_url"),
            "{error}"
        );
    }
    ensure!(google.received().is_empty(), "somebody was asked");
    let credits = live.settled().await?;
    assert_eq!(credits.available, 1_000_000_000);
    inside.is_untouched()?;
    aio.finish().await
}
