//! The process killed (SIGKILL) at three points of a chat: the customer pays for what reached its end, and nothing else.

use anyhow::{Context as _, Result};
use serde_json::json;
use testkit::{Aio, eventually, micros};

use crate::say::chat;

const FULL: i64 = 100_000_000;

/// Holds of a dead process end after 15 minutes. Here after 22 seconds, and whatever a hold must outlive is shorter.
pub(crate) const SHORT_HOLDS: [(&str, &str); 6] = [
    ("AIO_LIMITS__CHAT__BILLING__HOLD_TTL", "22s"),
    ("AIO_LIMITS__CHAT__BILLING__SETTLE_WINDOW", "2s"),
    ("AIO_LIMITS__CHAT__FAILOVER__WINDOW", "1s"),
    ("AIO_LIMITS__CHAT__SLOW_READER_TIMEOUT", "1s"),
    ("AIO_LIMITS__CHAT__REPLAY__STORE_WINDOW", "1s"),
    ("AIO_LIMITS__UPSTREAM__TOTAL_TIMEOUT", "15s"),
];

#[tokio::test]
async fn killed_behind_the_hold_before_the_first_byte() -> Result<()> {
    let mut aio = Aio::with(&SHORT_HOLDS).await?;
    let api = aio.account(100).await?.api;
    let body = chat("Hello [sandbox outcome=hang]");
    let asking = api.post("/chat/completions", &body);
    let held = eventually("a hold", async || {
        Ok((api.credits().await?.open_holds == 1).then_some(()))
    });
    tokio::select! {
        reply = asking => anyhow::bail!("a provider that hangs answers {}", reply?),
        held = held => held?,
    }
    aio.kill()?;
    assert_eq!(aio.audit().await?["ok"], true);
    aio.restart().await?;
    let credits = api.settled().await?;
    assert_eq!((credits.posted, credits.available), (FULL, FULL));
    aio.finish().await
}

#[tokio::test]
async fn killed_in_the_middle_of_a_stream() -> Result<()> {
    let mut aio = Aio::with(&SHORT_HOLDS).await?;
    let api = aio.account(100).await?.api;
    let body = chat("Hello [sandbox tokens=1000 chunk_delay=100ms]");
    let mut events = api.stream(&body).await?;
    for _ in 0..5 {
        events.next().await?.context("no event")?;
    }
    assert_eq!(api.credits().await?.open_holds, 1);
    aio.kill()?;
    // The connection is cut, which no client takes for an end: there is no [DONE].
    if let Ok(rest) = events.rest().await {
        assert!(rest.iter().all(|event| event.data != "[DONE]"));
    }
    assert_eq!(aio.audit().await?["ok"], true);
    aio.restart().await?;
    // Documented: what a process that dies had produced is our loss.
    let credits = api.settled().await?;
    assert_eq!((credits.posted, credits.available), (FULL, FULL));
    aio.finish().await
}

#[tokio::test]
async fn killed_right_behind_the_last_byte() -> Result<()> {
    let mut aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let mut spent = 0;
    for _ in 0..3 {
        let mut body = chat("Hello [sandbox tokens=20]");
        body["stream_options"] = json!({ "include_usage": true });
        let mut events = api.stream(&body).await?;
        let mut last = None;
        loop {
            let event = events.next().await?.context("it ends without [DONE]")?;
            if event.data == "[DONE]" {
                break;
            }
            last = Some(event);
        }
        aio.kill()?;
        let usage = last.context("no usage")?.json()?;
        spent += micros(&usage["credits_consumed"])?;
        aio.restart().await?;
        let credits = api.credits().await?;
        assert_eq!(
            (credits.posted, credits.open_holds),
            (FULL - spent, 0),
            "charged once"
        );
    }
    aio.finish().await
}

#[tokio::test]
async fn killed_right_behind_a_whole_answer() -> Result<()> {
    let mut aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let answer = api.post("/chat/completions", &chat("Hello")).await?;
    aio.kill()?;
    let spent = micros(&answer.json()?["credits_consumed"])?;
    assert_eq!(aio.audit().await?["ok"], true);
    aio.restart().await?;
    let credits = api.credits().await?;
    assert_eq!((credits.posted, credits.open_holds), (FULL - spent, 0));
    aio.finish().await
}
