//! Stopping in order: what is open may end.

use anyhow::{Context as _, Result};
use testkit::{Aio, Signal, micros};

use crate::say::{chat, image};

#[tokio::test]
async fn told_to_stop_it_lets_an_open_stream_end() -> Result<()> {
    for signal in [Signal::Terminate, Signal::Interrupt] {
        let mut aio = Aio::start().await?;
        let api = aio.account(100).await?.api;
        let mut body = chat("Hello [sandbox tokens=40 chunk_delay=50ms]");
        body["stream_options"]["include_usage"] = true.into();
        let mut events = api.stream(&body).await?;
        let first = events.next().await?.context("no event")?;
        aio.signal(signal)?;
        let mut all = vec![first];
        all.extend(events.rest().await?);
        let [.., usage, done] = all.as_slice() else {
            anyhow::bail!("{signal:?}: {all:?}");
        };
        assert_eq!(done.data, "[DONE]", "{signal:?}");
        let consumed = micros(&usage.json()?["credits_consumed"])?;
        assert!(aio.exited().await?.success(), "{signal:?}");
        assert!(
            aio.stdout()?.trim_end().ends_with("stopped"),
            "{}",
            aio.stdout()?
        );
        aio.restart().await?;
        let credits = api.settled().await?;
        assert_eq!(credits.posted, 100_000_000 - consumed, "{signal:?}");
        aio.finish().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_task_goes_on_after_the_next_start() -> Result<()> {
    let mut aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let task = api.image(&image("a fox [sandbox delay=2s]")).await?;
    api.reaches(&task, "processing").await?;
    assert!(aio.stop().await?.success());
    aio.restart().await?;
    assert_eq!(api.ended(&task).await?["status"], "completed");
    assert_eq!(api.settled().await?.posted, 95_000_000);
    aio.finish().await
}

#[tokio::test]
async fn a_follower_of_a_task_does_not_keep_it_from_stopping() -> Result<()> {
    let mut aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let task = api.image(&image("a fox [sandbox delay=1h]")).await?;
    let path = format!("/tasks/{task}/events");
    let null = serde_json::Value::Null;
    let mut events = api.events(http::Method::GET, &path, &null).await?;
    events.next().await?.context("no event")?;
    assert!(aio.stop().await?.success());
    // The stream was ended in order, not cut.
    events.rest().await?;
    aio.finish().await
}
