//! Customers who ask for everything, all the time, as an SDK does: their connections are kept open, and nothing is asked twice. What came of
//! each request is remembered, and compared with the books at the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::{Context as _, Result, ensure};
use futures::future::{join, join_all};
use serde_json::{Value, json};

use crate::{Answer, Api, Reply, Sink, eventually, micros};

/// What an image costs, in micro-credits.
const IMAGE: i64 = 5_000_000;
/// How many customers do each thing: whole chats, short streams, long ones where there are any, images.
const CHATS: usize = 3;
const STREAMS: usize = 3;
const LONG_STREAMS: usize = 2;
const IMAGES: usize = 2;
/// Failures that are shown.
const SHOWN: usize = 5;

/// The customers.
pub struct Traffic {
    api: Api,
    /// Where they are told how their images ended.
    sink: Sink,
    /// How many of them ask for long streams.
    long: usize,
    seen: Mutex<Seen>,
    is_over: AtomicBool,
}

/// What came of their requests.
#[derive(Debug, Default)]
struct Seen {
    chats: u64,
    /// Streams that were told to their end.
    streams: u64,
    /// Those that ended with an error event.
    broken_off: u64,
    polls: u64,
    tasks: Vec<String>,
    /// Micro-credits that whole answers and streams said they cost.
    paid: i64,
    /// Requests that nobody answered as they should be.
    failures: Vec<String>,
}

// === impl Traffic ===

impl Traffic {
    /// Customers with one key.
    ///
    /// # Errors
    /// When there is no port for their endpoint.
    pub async fn new(api: Api) -> Result<Self> {
        Ok(Self {
            api,
            sink: Sink::start(Answer::Status(200)).await?,
            long: 0,
            seen: Mutex::default(),
            is_over: AtomicBool::new(false),
        })
    }

    /// Some of them ask for streams of eight seconds, which may be told that the process has to end.
    #[must_use]
    pub const fn with_long_streams(mut self) -> Self {
        self.long = LONG_STREAMS;
        self
    }

    /// They ask from before this work until after it.
    ///
    /// # Errors
    /// What the work says, and when they never get anything.
    pub async fn during<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let work = async {
            self.all_are_served().await?;
            let done = work.await?;
            self.all_are_served().await?;
            Ok(done)
        };
        let work = async {
            let done = work.await;
            self.is_over.store(true, Ordering::Relaxed);
            done
        };
        let asking = async {
            tokio::join!(
                join_all((0..CHATS).map(|_| self.chats())),
                join_all((0..STREAMS).map(|_| self.streams("tokens=20 chunk_delay=50ms"))),
                join_all((0..self.long).map(|_| self.streams("tokens=40 chunk_delay=200ms"))),
                join_all((0..IMAGES).map(|worker| self.images(worker))),
            )
        };
        join(work, asking).await.0
    }

    /// Waits until more of everything was served.
    async fn all_are_served(&self) -> Result<()> {
        let counts = || {
            let seen = self.seen();
            [
                seen.chats,
                seen.streams,
                seen.polls,
                u64::try_from(seen.tasks.len()).unwrap_or_default(),
            ]
        };
        let before = counts();
        eventually("everything is served", async || {
            let more = before
                .iter()
                .zip(counts())
                .all(|(before, now)| now > *before);
            Ok(more.then_some(()))
        })
        .await
    }

    /// No request failed, every task completed and was told, and together they cost what the balance lost. A stream that was broken off is
    /// free. Says how many there were.
    ///
    /// # Errors
    /// Whichever of these is not so.
    pub async fn check(&self, credit: i64) -> Result<String> {
        let Seen {
            chats,
            streams,
            broken_off,
            polls,
            tasks,
            paid,
            failures,
        } = std::mem::take(&mut *self.seen());
        let shown: Vec<_> = failures.iter().take(SHOWN).collect();
        let requests = chats.saturating_add(streams).saturating_add(polls);
        ensure!(
            failures.is_empty(),
            "{} failures beside {requests} good answers: {shown:#?}",
            failures.len()
        );
        let mut ends = BTreeMap::new();
        for id in &tasks {
            let task = self.api.ended(id).await?;
            ensure!(task["status"] == "completed", "{task}");
            ends.insert(id.clone(), task);
        }
        let credits = self.api.settled().await?;
        let images = IMAGE.saturating_mul(i64::try_from(tasks.len())?);
        let lost = credit.saturating_sub(credits.posted);
        ensure!(
            lost == paid.saturating_add(images),
            "{lost} were charged, for {paid} of chats and {images} of images; {broken_off} streams were broken off"
        );
        self.was_told(&ends).await?;
        Ok(format!(
            "0 failed of {chats} chats, {streams} streams ({broken_off} more ended with an error event), {polls} polls and {} images, all completed, told and charged once",
            tasks.len()
        ))
    }

    /// Every end was told, in one event, as it is.
    async fn was_told(&self, ends: &BTreeMap<String, Value>) -> Result<()> {
        let told = eventually("every end is told", async || {
            let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for received in self.sink.received() {
                let event = received.json()?;
                let id = event["data"]["task_id"].as_str().context("no task_id")?;
                ensure!(
                    ends.get(id) == Some(&event["data"]),
                    "told otherwise: {event}"
                );
                let event = received.header("webhook-id").to_owned();
                told.entry(id.to_owned()).or_default().insert(event);
            }
            Ok((told.len() == ends.len()).then_some(told))
        });
        let once = told.await?.values().all(|events| events.len() == 1);
        ensure!(once, "an end was told in two events");
        Ok(())
    }

    async fn chats(&self) {
        while !self.is_over() {
            let body = chat("Hello [sandbox delay=200ms tokens=8]");
            let reply = self.api.post("/chat/completions", &body).await;
            let cost = self.good(200, reply).and_then(|reply| cost(&reply).ok());
            if let Some(cost) = cost {
                let mut seen = self.seen();
                seen.chats = seen.chats.saturating_add(1);
                seen.paid = seen.paid.saturating_add(cost);
            }
        }
    }

    async fn streams(&self, directive: &str) {
        while !self.is_over() {
            match self.stream(directive).await {
                Ok(Some(cost)) => {
                    let mut seen = self.seen();
                    seen.streams = seen.streams.saturating_add(1);
                    seen.paid = seen.paid.saturating_add(cost);
                }
                Ok(None) => {
                    let mut seen = self.seen();
                    seen.broken_off = seen.broken_off.saturating_add(1);
                }
                Err(error) => self.failed(format!("a stream: {error:#}")),
            }
        }
    }

    /// What a stream said it cost; nothing if it ended with an error event.
    async fn stream(&self, directive: &str) -> Result<Option<i64>> {
        let mut body = chat(&format!("Hello [sandbox {directive}]"));
        body["stream_options"] = json!({ "include_usage": true });
        let events = self.api.stream(&body).await?.rest().await?;
        let last = events.last().context("an empty stream")?;
        if last.data != "[DONE]" {
            let error = last.json()?["error"]["code"].clone();
            ensure!(error.is_string(), "it ends with {}", last.data);
            return Ok(None);
        }
        let costs = events.iter().rev().filter_map(|event| event.json().ok());
        let mut costs = costs.filter_map(|event| micros(event.get("credits_consumed")?).ok());
        Ok(Some(costs.next().context("it does not say what it cost")?))
    }

    /// Asks for one image after another, and how each stands until it has ended.
    async fn images(&self, worker: usize) {
        let mut count = 0_u32;
        while !self.is_over() {
            count = count.saturating_add(1);
            let body = json!({
                "model": "flux-2",
                "prompt": format!("fox {worker} {count} [sandbox delay=700ms]"),
                "callback_url": self.sink.url("/"),
            });
            let reply = self.api.post("/images/generations", &body).await;
            let accepted = self.good(202, reply).and_then(|reply| reply.data(202).ok());
            let id = accepted.and_then(|data| Some(data["task_id"].as_str()?.to_owned()));
            let Some(id) = id else { continue };
            self.seen().tasks.push(id.clone());
            self.follow(&id).await;
        }
    }

    async fn follow(&self, id: &str) {
        while !self.is_over() {
            let reply = self.api.get(&format!("/tasks/{id}")).await;
            let Some(task) = self.good(200, reply).and_then(|reply| reply.data(200).ok()) else {
                return;
            };
            let polls = self.seen().polls.saturating_add(1);
            self.seen().polls = polls;
            if matches!(task["status"].as_str(), Some("completed" | "failed")) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    /// The reply, if it has this status; else it is a failure.
    fn good(&self, status: u16, reply: Result<Reply>) -> Option<Reply> {
        match reply {
            Ok(reply) if reply.status == status => return Some(reply),
            Ok(reply) => self.failed(format!("not {status}: {reply}")),
            Err(error) => self.failed(format!("{error:#}")),
        }
        None
    }

    fn failed(&self, how: String) {
        self.seen().failures.push(how);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn chat(text: &str) -> Value {
    json!({
        "model": "gemini",
        "max_tokens": 256,
        "messages": [{ "role": "user", "content": text }],
    })
}

/// What an answer says it cost.
fn cost(reply: &Reply) -> Result<i64> {
    micros(&reply.json()?["credits_consumed"])
}
