//! A customer who remembers what was said: every request, its answer, and what that cost.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Api, Reply, eventually, micros};

/// What an image costs, in micro-credits.
const IMAGE: i64 = 5_000_000;

/// One customer, from the first request to the bill.
pub(crate) struct Customer {
    api: Api,
    /// Micro-credits that complete answers said they cost.
    paid: i64,
    /// Chats that were not answered to their end.
    broken: i64,
    images: Vec<Image>,
}

/// An image that was asked for.
struct Image {
    /// Its `Idempotency-Key`.
    key: String,
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
    pub(crate) const fn new(api: Api) -> Self {
        Self {
            api,
            paid: 0,
            broken: 0,
            images: Vec::new(),
        }
    }

    /// Asks for a whole answer.
    pub(crate) async fn chat(&mut self) {
        let mut body = chat("Hello [sandbox tokens=8]");
        if let Value::Object(fields) = &mut body {
            fields.remove("stream_options");
        }
        let reply = self.api.post("/chat/completions", &body).await.ok();
        self.note(reply.as_ref().and_then(cost));
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
        let key = format!("image-{}", self.images.len());
        let task = self.submit(&key).await.ok().flatten();
        self.images.push(Image { key, task });
    }

    /// The task, if it was accepted.
    async fn submit(&self, key: &str) -> Result<Option<String>> {
        let body = json!({ "model": "flux-2", "prompt": "a fox [sandbox delay=50ms]" });
        let headers = [("idempotency-key", key)];
        let reply = self.api.post_with("/images/generations", &headers, &body);
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
        let mut images = 0_i64;
        let mut completed = 0_i64;
        for image in &self.images {
            let again = eventually("a submit is answered", async || {
                self.submit(&image.key).await
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
            images = images.saturating_add(1);
            completed = completed.saturating_add(i64::from(price > 0));
        }
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
        Ok(format!(
            "told {told}, charged {}; {} chats broken; {completed} of {images} images completed",
            told.saturating_add(beyond),
            self.broken
        ))
    }
}

/// What an answer says it cost.
fn cost(reply: &Reply) -> Option<i64> {
    let body = reply.json().ok().filter(|_| reply.status == 200)?;
    micros(body.get("credits_consumed")?).ok()
}
