//! A customer of media: submits tasks that differ, and asks the studio what came of them.

use crate::studio::PATH;
use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::time::{Instant, sleep};

/// Between two looks at the studio.
const LOOK: Duration = Duration::from_millis(50);

/// The customer. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Customer {
    client: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    studio: SocketAddr,
    key: String,
}

/// Tasks to submit.
#[derive(Clone, Copy)]
pub(crate) struct Order {
    pub(crate) model: &'static str,
    /// What the job is to do.
    pub(crate) prompt: &'static str,
    /// The number of the first.
    pub(crate) first: u64,
    pub(crate) count: u64,
    pub(crate) pace: Pace,
}

/// How fast tasks are submitted.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// So many at once.
    AtOnce(usize),
    /// So many in a second.
    PerSecond(u32),
}

/// What the studio has seen.
pub(crate) struct Seen(Value);

// === impl Customer ===

impl Customer {
    /// With this key at the gateway; the studio is part of the mock upstream.
    pub(crate) fn new(address: SocketAddr, key: &str, studio: SocketAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            address,
            studio,
            key: key.to_owned(),
        }
    }

    /// Submits tasks, and hands over the id of the last.
    pub(crate) async fn submit(&self, order: Order) -> anyhow::Result<String> {
        let begun = Instant::now();
        let numbers = order.first..order.first + order.count;
        let at_once = match order.pace {
            Pace::AtOnce(at_once) => at_once,
            Pace::PerSecond(_) => 1_000,
        };
        let submits = numbers.map(|number| async move {
            if let Pace::PerSecond(rate) = order.pace {
                let turn = (number - order.first) as f64 / f64::from(rate);
                tokio::time::sleep_until(begun + Duration::from_secs_f64(turn)).await;
            }
            self.submit_one(&order, number).await
        });
        let mut submits = stream::iter(submits).buffer_unordered(at_once);
        let mut last = String::new();
        while let Some(id) = submits.next().await {
            last = id?;
        }
        Ok(last)
    }

    async fn submit_one(&self, order: &Order, number: u64) -> anyhow::Result<String> {
        let body = json!({
            "model": order.model,
            "prompt": format!("A harbour at night, with its lamps. @job={number}@ {}", order.prompt),
            "callback_url": format!("http://{}{PATH}/hook", self.studio),
        });
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{}/api/v1/images/generations", self.address))
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body.to_string())))?;
        let answer = self.client.request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        let said = String::from_utf8_lossy(&body);
        ensure!(status.is_success(), "a submit was answered {status} {said}");
        let answer: Value = serde_json::from_slice(&body)?;
        let id = answer.pointer("/data/task_id").and_then(Value::as_str);
        Ok(id.with_context(|| format!("no task in {said}"))?.to_owned())
    }

    /// Waits until the studio has heard the end of so many tasks.
    pub(crate) async fn hear(&self, count: f64, patience: Duration) -> anyhow::Result<Seen> {
        let until = Instant::now() + patience;
        loop {
            let seen = self.seen().await?;
            let ended = seen.number("completed") + seen.number("failed");
            if ended >= count {
                return Ok(seen);
            }
            if Instant::now() >= until {
                bail!("only {ended} of {count} tasks have ended after {patience:?}");
            }
            sleep(LOOK).await;
        }
    }

    /// What the studio has seen so far.
    pub(crate) async fn seen(&self) -> anyhow::Result<Seen> {
        Ok(Seen(self.ask_studio("stats").await?))
    }

    /// Has the studio forget what it has seen, but how many jobs there have been.
    pub(crate) async fn begin_anew(&self) -> anyhow::Result<()> {
        self.ask_studio("forget").await.map(drop)
    }

    async fn ask_studio(&self, what: &str) -> anyhow::Result<Value> {
        let uri = format!("http://{}{PATH}/{what}", self.studio);
        let request = Request::get(uri).body(Full::default())?;
        let answer = self.client.request(request).await?;
        Ok(serde_json::from_slice(
            &answer.into_body().collect().await?.to_bytes(),
        )?)
    }

    /// The whole request of a poll, head and all.
    pub(crate) fn poll(&self, task: &str) -> String {
        format!(
            "GET /api/v1/tasks/{task} HTTP/1.1\r\nhost: {}\r\naccept: */*\r\nauthorization: Bearer {}\r\n\r\n",
            self.address, self.key
        )
    }
}

// === impl Seen ===

impl Seen {
    /// A number the studio tells; not a number when it does not.
    pub(crate) fn number(&self, name: &str) -> f64 {
        self.0.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN)
    }
}
