//! Claude, who speaks Anthropic's protocol behind OpenAI's.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::{Aio, micros};

fn body(text: &str) -> Value {
    json!({ "model": "claude-opus-5-5", "messages": [{ "role": "user", "content": text }] })
}

/// The price list of `claude-opus-5-5`: 400 and 2000 credits per million tokens.
fn cost(usage: &Value) -> Result<i64> {
    let tokens = |name: &str| usage[name].as_i64().with_context(|| format!("no {name}"));
    Ok(tokens("prompt_tokens")? * 400 + tokens("completion_tokens")? * 2000)
}

#[tokio::test]
async fn an_answer_has_openais_shape_and_costs_what_it_says() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let reply = api.post("/chat/completions", &body("Hello")).await?;
    assert_eq!(reply.status, 200, "{reply}");
    assert_eq!(reply.header("x-aio-provider"), "anthropic");
    let whole = reply.json()?;
    let choice = &whole["choices"][0];
    assert_eq!(choice["finish_reason"], "stop");
    let text = choice["message"]["content"].as_str().context("no text")?;
    assert!(text.contains("1 (user)"), "{text}");
    assert_eq!(micros(&whole["credits_consumed"])?, cost(&whole["usage"])?);
    let mut streamed = body("Hello");
    streamed["stream_options"] = json!({ "include_usage": true });
    let events = api.stream(&streamed).await?.rest().await?;
    let (done, events) = events.split_last().context("no events")?;
    assert_eq!(done.data, "[DONE]");
    let (usage, events) = events.split_last().context("no usage")?;
    let said: String = events
        .iter()
        .map(|event| event.content())
        .collect::<Result<_>>()?;
    assert_eq!(said, text);
    let usage = usage.json()?;
    assert_eq!(micros(&usage["credits_consumed"])?, cost(&usage["usage"])?);
    let spent = 2 * cost(&whole["usage"])?;
    assert_eq!(api.settled().await?.posted, 100_000_000 - spent);
    aio.finish().await
}

#[tokio::test]
async fn what_it_cannot_do_is_refused_by_name_for_free() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let mut logprobs = body("Hello");
    logprobs["logprobs"] = json!(true);
    let reply = api.post("/chat/completions", &logprobs).await?;
    let error = reply.error(400, "invalid_parameter")?;
    assert_eq!(error["param"], "logprobs");
    let busy = body("Hello [sandbox outcome=overloaded]");
    let reply = api.post("/chat/completions", &busy).await?;
    reply.error(503, "upstream_busy")?;
    assert_eq!(api.settled().await?.posted, 100_000_000);
    aio.finish().await
}
