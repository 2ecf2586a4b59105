//! A customer who remembers what was said: every request, its answer, what that cost, and what his endpoint was told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Aio, Answer, Api, Reply, Sink, eventually, micros};

/// What an image costs, in micro-credits.
const IMAGE: i64 = 5_000_000;

/// How many customers there have been: no two ask for the same image.
static CUSTOMERS: AtomicUsize = AtomicUsize::new(0);

/// One customer, from the first request to the bill.
pub(crate) struct Customer {
    api: Api,
    number: usize,
    /// Micro-credits that complete answers said they cost.
    paid: i64,
    /// Chats that were not answered to their end.
    broken: i64,
    /// How the last whole answer that was none was put.
    refusal: String,
    images: Vec<Image>,
    /// Images that were made, once that was checked.
    completed: usize,
    /// Where he is told how his images ended.
    sink: Sink,
}

/// An image that was asked for.
struct Image {
    /// Its `Idempotency-Key`.
    key: String,
    body: Value,
    /// Its task, once it is known.
    task: Option<String>,
}

/// A chat request that costs a little and takes a moment.
pub(crate) fn chat(text: &str) -> Value {
    json!({
        "model": "gemini",
        "max_tokens": 256,
        "messages": [{ "role": "user", "content": text }],
        "stream_options": { "include_usage": true },
    })
}

/// The most that one such chat can cost, in micro-credits: some 200 bytes at 50 a token of two, and 256 tokens at 300.
pub(crate) const DEAR: i64 = 100_000;

// === impl Customer ===

impl Customer {
    pub(crate) async fn new(api: Api) -> Result<Self> {
        Ok(Self {
            api,
            number: CUSTOMERS.fetch_add(1, Ordering::Relaxed),
            paid: 0,
            broken: 0,
            refusal: String::new(),
            images: Vec::new(),
            completed: 0,
            sink: Sink::start(Answer::Status(200)).await?,
        })
    }

    /// Chats so far that were not answered to their end.
    pub(crate) const fn broken(&self) -> i64 {
        self.broken
    }

    /// How the last whole answer that was none was put; empty: there was none.
    pub(crate) fn refusal(&self) -> &str {
        &self.refusal
    }

    /// Asks for a whole answer, a stream and an image, and says how long the slowest of the three took.
    pub(crate) async fn round(&mut self) -> Duration {
        let begun = Instant::now();
        self.chat().await;
        let chat = begun.elapsed();
        let begun = Instant::now();
        self.stream().await;
        let stream = begun.elapsed();
        let begun = Instant::now();
        self.image().await;
        chat.max(stream).max(begun.elapsed())
    }

    /// Asks for a whole answer.
    pub(crate) async fn chat(&mut self) {
        let mut body = chat("Hello [sandbox tokens=8]");
        if let Value::Object(fields) = &mut body {
            fields.remove("stream_options");
        }
        let reply = self.api.post("/chat/completions", &body).await;
        match &reply {
            Ok(reply) if reply.status != 200 => self.refusal = reply.to_string(),
            Ok(_) => {}
            Err(error) => self.refusal = format!("{error:#}"),
        }
        self.note(reply.ok().as_ref().and_then(cost));
    }

    /// Asks for a stream, and reads it to its end.
    pub(crate) async fn stream(&mut self) {
        let body = chat("Hello [sandbox tokens=8 chunk_delay=5ms]");
        let mut paid = None;
        if let Ok(mut events) = self.api.stream(&body).await {
            while let Ok(Some(event)) = events.next().await {
                let value = event.json().unwrap_or_default();
                if let Some(credits) = value.get("credits_consumed") {
                    paid = micros(credits).ok();
                }
            }
        }
        self.note(paid);
    }

    fn note(&mut self, paid: Option<i64>) {
        match paid {
            Some(paid) => self.paid = self.paid.saturating_add(paid),
            None => self.broken = self.broken.saturating_add(1),
        }
    }

    /// Asks for an image, once.
    pub(crate) async fn image(&mut self) {
        self.image_that_takes("50ms").await;
    }

    /// Asks for an image, once, that takes so long.
    pub(crate) async fn image_that_takes(&mut self, delay: &str) {
        let key = format!("image-{}", self.images.len());
        let body = json!({
            "model": "flux-2",
            // No two are alike, so that the provider's bill tells them apart.
            "prompt": format!("{key} of a fox for {} [sandbox delay={delay}]", self.number),
            "callback_url": self.sink.url("/"),
        });
        let task = self.submit(&key, &body).await.ok().flatten();
        self.images.push(Image { key, body, task });
    }

    /// How those of his images stand that were accepted.
    pub(crate) async fn tasks(&self) -> Result<Vec<Value>> {
        let ids = self.images.iter().filter_map(|image| image.task.as_ref());
        let mut tasks = Vec::new();
        for id in ids {
            tasks.push(self.api.task(id).await?);
        }
        Ok(tasks)
    }

    /// The task, if it was accepted.
    async fn submit(&self, key: &str, body: &Value) -> Result<Option<String>> {
        let headers = [("idempotency-key", key)];
        let reply = self.api.post_with("/images/generations", &headers, body);
        let reply = reply.await?;
        if reply.status != 202 {
            return Ok(None);
        }
        let data = reply.data(202)?;
        let id = data.get("task_id").and_then(Value::as_str);
        Ok(Some(id.context("no task_id")?.to_owned()))
    }

    /// Sends every image again with its key, waits for all to end, and compares the bill with what was said. `unheard`: the
    /// most that may be charged for a chat whose end the customer did not see.
    pub(crate) async fn check(&mut self, credit: i64, unheard: i64) -> Result<String> {
        let mut completed = 0_i64;
        let mut ends = BTreeMap::new();
        for image in &self.images {
            let again = eventually("a submit is answered", async || {
                self.submit(&image.key, &image.body).await
            });
            let id = again.await?;
            let same = image.task.as_ref().is_none_or(|task| *task == id);
            ensure!(same, "the same Idempotency-Key made another task");
            let task = self.api.ended(&id).await?;
            let spent = task.get("consumed_microcredits").and_then(Value::as_i64);
            let price = match task.get("status").and_then(Value::as_str) {
                Some("completed") => IMAGE,
                _ => 0,
            };
            ensure!(
                spent == Some(price),
                "a task costs what it should not: {task}"
            );
            completed = completed.saturating_add(i64::from(price > 0));
            ends.insert(id, task);
        }
        ensure!(ends.len() == self.images.len(), "two keys made one task");
        let credits = self.api.settled().await?;
        let told = self.paid.saturating_add(completed.saturating_mul(IMAGE));
        let beyond = credit.saturating_sub(told).saturating_sub(credits.posted);
        let most = self.broken.min(1).saturating_mul(unheard);
        ensure!(
            (0..=most).contains(&beyond),
            "{beyond} micro-credits were charged beyond the {told} that were told"
        );
        ensure!(
            credits.held == 0 && credits.available == credits.posted,
            "{credits:?}"
        );
        for (id, end) in &ends {
            let now = self.api.task(id).await?;
            ensure!(now == *end, "the first end is not the last: {end} {now}");
        }
        self.was_told(&ends).await?;
        self.completed = usize::try_from(completed)?;
        Ok(format!(
            "told {told}, charged {}; {} chats broken; {completed} of {} images completed",
            told.saturating_add(beyond),
            self.broken,
            ends.len(),
        ))
    }

    /// Every end was told, in one event, as it was.
    async fn was_told(&self, ends: &BTreeMap<String, Value>) -> Result<()> {
        let told = eventually("every end is told", async || {
            let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for received in self.sink.received() {
                let event = received.json()?;
                let data = event.get("data").context("no data")?;
                let id = data.get("task_id").and_then(Value::as_str);
                let id = id.context("no task_id")?.to_owned();
                ensure!(ends.get(&id) == Some(data), "told otherwise: {data}");
                let event = received.header("webhook-id").to_owned();
                told.entry(id).or_default().insert(event);
            }
            Ok((told.len() == ends.len()).then_some(told))
        });
        let once = told.await?.values().all(|events| events.len() == 1);
        ensure!(once, "an end was told in two events");
        Ok(())
    }

    /// No image was submitted twice, and none to a second provider: the simulated ones have each job on their bill. To be asked after
    /// [`Customer::check`].
    pub(crate) async fn submitted_once(&self, aio: &Aio) -> Result<String> {
        submitted_once(aio, std::slice::from_ref(self)).await
    }
}

/// The same of these customers, who are all there are.
pub(crate) async fn submitted_once(aio: &Aio, customers: &[Customer]) -> Result<String> {
    let jobs = aio.jobs().await?;
    let prompts: BTreeSet<_> = jobs.iter().map(|job| text(job, "prompt_hash")).collect();
    let elsewhere = jobs.iter().any(|job| text(job, "provider") != "bfl");
    ensure!(
        prompts.len() == jobs.len() && !elsewhere,
        "an image was submitted twice: {jobs:?}"
    );
    let sum = |of: fn(&Customer) -> usize| customers.iter().map(of).sum::<usize>();
    let (completed, asked) = (sum(|one| one.completed), sum(|one| one.images.len()));
    // An only one may be on no bill: media died between noting that it submits and submitting, and the task is free.
    let is_there = asked == 1 || !jobs.is_empty();
    ensure!(
        (completed..=asked).contains(&jobs.len()) && is_there,
        "{asked} images were asked for, {completed} made, and {} submitted",
        jobs.len()
    );
    Ok(format!("{} submits on the provider's bill", jobs.len()))
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// What an answer says it cost.
fn cost(reply: &Reply) -> Option<i64> {
    let body = reply.json().ok().filter(|_| reply.status == 200)?;
    micros(body.get("credits_consumed")?).ok()
}
