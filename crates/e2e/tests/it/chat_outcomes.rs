//! What a chat costs, and says, when it does not go well.

use anyhow::{Context as _, Result};
use testkit::{Aio, Reply, eventually, micros};

use crate::say::{chat, image};

const FULL: i64 = 100_000_000;

/// Outcome, status, code: each of them free, and none of them the customer's own 401 or 402.
const REFUSALS: [(&str, u16, &str); 6] = [
    ("fail", 502, "upstream_failed"),
    ("rate_limited", 503, "upstream_busy"),
    ("overloaded", 503, "upstream_busy"),
    ("out_of_balance", 502, "upstream_failed"),
    ("malformed", 502, "upstream_failed"),
    ("vanish", 502, "upstream_failed"),
];

#[tokio::test]
async fn what_a_provider_refuses_is_free_and_said_in_our_words() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    for (outcome, status, code) in REFUSALS {
        for stream in [false, true] {
            let mut body = chat(&format!("Hello [sandbox outcome={outcome}]"));
            body["stream"] = stream.into();
            let reply = api.post("/chat/completions", &body).await?;
            let error = reply.error(status, code).context(outcome)?;
            let waits = reply.header("retry-after").parse::<u32>().is_ok();
            assert_eq!(waits, status == 503, "{outcome}: {reply}");
            let message = error["message"].as_str().unwrap_or_default();
            assert!(
                message.contains("nothing was charged"),
                "{outcome}: {message}"
            );
            let credits = api.credits().await?;
            assert_eq!((credits.posted, credits.open_holds), (FULL, 0), "{outcome}");
        }
    }
    let body = chat("Hello [sandbox outcome=cut]");
    let whole = api.post("/chat/completions", &body).await?;
    whole.error(502, "upstream_failed")?;
    assert_eq!(api.settled().await?.posted, FULL);
    aio.finish().await
}

#[tokio::test]
async fn a_moderated_answer_says_so() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let body = chat("Hello [sandbox outcome=moderated]");
    let answer = api.post("/chat/completions", &body).await?;
    assert_eq!(answer.status, 200, "{answer}");
    let answer = answer.json()?;
    assert_eq!(answer["choices"][0]["finish_reason"], "content_filter");
    // The provider read the prompt and counts it; nothing was written.
    let input = answer["usage"]["prompt_tokens"].as_i64();
    assert_eq!(
        Some(micros(&answer["credits_consumed"])?),
        input.map(|input| input * 50)
    );
    aio.finish().await
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_and_costs_what_came() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let body = chat("Hello [sandbox outcome=cut tokens=100]");
    let events = api.stream(&body).await?.rest().await?;
    let (last, before) = events.split_last().context("no events")?;
    let error = &last.json()?["error"];
    assert_eq!(error["code"], "upstream_failed", "{last:?}");
    assert!(before.iter().all(|event| event.data != "[DONE]"));
    let text: String = before
        .iter()
        .map(|event| event.content())
        .collect::<Result<_>>()?;
    let charged = FULL - api.settled().await?.posted;
    assert!(!text.is_empty());
    assert_eq!(
        charged,
        testkit::cut_cost(&body.to_string(), &text, (50, 300))?
    );
    let message = error["message"].as_str().context("no message")?;
    let told = message
        .split_whitespace()
        .find_map(|word| word.parse::<serde_json::Number>().ok());
    assert_eq!(
        told.map(|told| micros(&told.into())).transpose()?,
        Some(charged),
        "{message}"
    );
    aio.finish().await
}

#[tokio::test]
async fn a_provider_that_reports_too_much_gets_no_more_than_was_held() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let mut body = chat("Hello [sandbox outcome=overreport]");
    body["max_tokens"] = 10.into();
    // What is held: half a token a byte, and ten tokens of output.
    let bytes = i64::try_from(body.to_string().len())?;
    let held = (bytes + 1) / 2 * 50 + 10 * 300;
    let answer = api.post("/chat/completions", &body).await?.json()?;
    assert!(
        answer["usage"]["completion_tokens"].as_i64() > Some(10),
        "{answer}"
    );
    assert_eq!(micros(&answer["credits_consumed"])?, held);
    assert_eq!(api.credits().await?.posted, FULL - held);
    aio.finish().await
}

#[tokio::test]
async fn a_client_that_leaves_pays_what_came_and_no_more() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    // Ten minutes of answer, of which nobody reads more than the beginning.
    let body = chat("Hello [sandbox tokens=6000 chunk_delay=100ms]");
    let mut events = api.stream(&body).await?;
    let mut text = String::new();
    while text.len() < 12 {
        text += &events.next().await?.context("no event")?.content()?;
    }
    assert_eq!(api.credits().await?.open_holds, 1);
    drop(events);
    let charged = FULL - api.settled().await?.posted;
    // At least what was read, at four bytes a token; far less than all of it.
    assert!((3 * 300..1_000 * 300).contains(&charged), "{charged}");
    aio.finish().await
}

#[tokio::test]
async fn a_client_that_leaves_before_the_first_byte_pays_nothing() -> Result<()> {
    let aio = Aio::start().await?;
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
    assert_eq!(api.settled().await?.posted, FULL);
    aio.finish().await
}

#[tokio::test]
async fn live_keys_never_reach_the_sandbox() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.live(100).await?;
    for (path, body, setting, variable) in [
        (
            "/chat/completions",
            chat("Hello"),
            "providers.gemini.api_key",
            "GEMINI_API_KEY",
        ),
        (
            "/images/generations",
            image("a fox"),
            "providers.bfl.api_key",
            "BFL_API_KEY",
        ),
    ] {
        let reply: Reply = api.post(path, &body).await?;
        let error = reply.error(503, "no_provider")?;
        let message = error["message"].as_str().unwrap_or_default();
        assert!(
            message.contains(setting) && message.contains(variable),
            "{message}"
        );
    }
    let credits = api.credits().await?;
    assert_eq!((credits.posted, credits.open_holds), (FULL, 0));
    aio.finish().await
}
