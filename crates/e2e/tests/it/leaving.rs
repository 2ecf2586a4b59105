//! A customer who leaves stops the provider at once, whatever the answer was to be: the provider sees its connection end.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::{Aio, Answer, Api, Sink};

/// A chat with a model behind OpenAI's protocol.
fn chat(text: &str) -> Value {
    let mut body = crate::say::chat(text);
    body["model"] = "gpt-6-1-sol".into();
    body
}

/// What a live provider has said before it goes on for ever.
const BEGUN: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"abcd\"},\"finish_reason\":null}]}\n\n";
/// How soon the provider is stopped.
const SOON: Duration = Duration::from_secs(1);
/// How often that is tried: on a machine that has other things to do, it is enough that it is so once.
const TIMES: usize = 5;

async fn live(provider: &Sink) -> Result<(Aio, Api)> {
    let url = provider.url("/v1");
    let env = [
        ("OPENAI_API_KEY", "canary-of-the-provider"),
        ("AIO_PROVIDERS__OPENAI__BASE_URL", url.as_str()),
    ];
    let aio = Aio::with(&env).await?;
    let api = aio.account(0).await?.live(100).await?;
    Ok((aio, api))
}

/// Leaves several times, and says how soon the provider saw the soonest.
async fn soonest(
    provider: &Sink,
    leave: impl AsyncFn(usize) -> Result<SystemTime>,
) -> Result<Duration> {
    let mut soonest = Duration::MAX;
    for count in 1..=TIMES {
        let left = leave(count).await?;
        let seen = provider.wait_for_left(count).await?;
        let seen = seen.last().context("nobody left")?;
        soonest = soonest.min(seen.duration_since(left).unwrap_or_default());
    }
    Ok(soonest)
}

#[tokio::test]
async fn a_provider_of_a_stream_is_stopped_within_a_second() -> Result<()> {
    let provider = Sink::start(Answer::Stream(BEGUN)).await?;
    let (aio, api) = live(&provider).await?;
    let leave = async |_| {
        let mut events = api.stream(&chat("Hello")).await?;
        let event = events.next().await?.context("no event")?;
        assert_eq!(event.content()?, "abcd");
        drop(events);
        Ok(SystemTime::now())
    };
    let took = soonest(&provider, leave).await?;
    ensure!(took < SOON, "{took:?}");
    // What was asked and what came, by a published tokenizer.
    let spent = 100_000_000 - api.settled().await?.posted;
    let mut body = chat("Hello");
    body["stream"] = true.into();
    let each = testkit::cut_cost(&body.to_string(), "abcd", (200, 1_000))?;
    assert_eq!(spent, each * i64::try_from(TIMES)?);
    aio.finish().await
}

#[tokio::test]
async fn a_provider_that_has_not_answered_is_stopped_within_a_second() -> Result<()> {
    let provider = Sink::start(Answer::Hang).await?;
    let (aio, api) = live(&provider).await?;
    let leave = async |count| {
        let body: Value = chat("Hello");
        tokio::select! {
            reply = api.post("/chat/completions", &body) => anyhow::bail!("nobody answers {}", reply?),
            asked = provider.wait_for(count) => drop(asked?),
        }
        Ok(SystemTime::now())
    };
    let took = soonest(&provider, leave).await?;
    ensure!(took < SOON, "{took:?}");
    assert_eq!(api.settled().await?.posted, 100_000_000);
    aio.finish().await
}
