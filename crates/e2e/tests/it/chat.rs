//! Chat as OpenAI's clients see it, and what it costs.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::{Aio, Event, micros};

use crate::say::chat;

#[tokio::test]
async fn a_whole_answer_has_openais_shape_and_costs_what_it_says() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let reply = api.post("/chat/completions", &chat("Hello")).await?;
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (200, "application/json")
    );
    let body = reply.json()?;
    assert_eq!(body["object"], "chat.completion");
    assert!(body["id"].is_string() && body["created"].is_i64() && body["model"].is_string());
    let choice = &body["choices"][0];
    assert_eq!(choice["index"], 0);
    assert_eq!(choice["message"]["role"], "assistant");
    assert_eq!(choice["finish_reason"], "stop");
    let text = choice["message"]["content"].as_str().context("no text")?;
    assert!(
        text.contains("1 (user)"),
        "the sandbox says what arrived: {text}"
    );
    let consumed = micros(&body["credits_consumed"])?;
    assert_eq!(consumed, cost(&body["usage"])?);
    for (name, prefix) in [("x-request-id", "req_"), ("x-aio-operation-id", "op_")] {
        assert!(reply.header(name).starts_with(prefix), "{name}");
    }
    assert_eq!(reply.header("x-aio-provider"), "gemini");
    let header: Value = serde_json::from_str(reply.header("x-aio-cost-credits"))?;
    assert_eq!(micros(&header)?, consumed);
    let credits = api.credits().await?;
    assert_eq!((credits.posted, credits.held), (100_000_000 - consumed, 0));
    aio.finish().await
}

/// The price list of `gemini`: 50 and 300 credits per million tokens.
fn cost(usage: &Value) -> Result<i64> {
    let tokens = |name: &str| usage[name].as_i64().with_context(|| format!("no {name}"));
    let (input, output) = (tokens("prompt_tokens")?, tokens("completion_tokens")?);
    assert!(input > 0 && output > 0);
    assert_eq!(tokens("total_tokens")?, input + output);
    Ok(input * 50 + output * 300)
}

/// The events before `[DONE]`, which must be the last.
fn chunks(events: &[Event]) -> Result<Vec<Value>> {
    let (last, before) = events.split_last().context("no events")?;
    assert_eq!(last.data, "[DONE]");
    before.iter().map(Event::json).collect()
}

#[tokio::test]
async fn a_stream_has_openais_events_and_is_paid_before_its_end() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let body = chat("Hello [sandbox tokens=12]");
    let chunks = chunks(&api.stream(&body).await?.rest().await?)?;
    // Read before anything else happens: what the last byte tells is already booked.
    let credits = api.credits().await?;
    assert_eq!((credits.open_holds, credits.held), (0, 0));
    let charged = 100_000_000 - credits.posted;
    assert!((12 * 300..100_000).contains(&charged), "{charged}");
    let (first, rest) = chunks.split_first().context("no chunks")?;
    assert_eq!(first["choices"][0]["delta"]["role"], "assistant");
    for chunk in &chunks {
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["id"], first["id"]);
        // Nobody asked for the usage: no event without choices, which older clients would trip over.
        assert_eq!(chunk["choices"][0]["index"], 0, "{chunk}");
    }
    let text = rest
        .iter()
        .filter_map(|c| c["choices"][0]["delta"]["content"].as_str());
    assert!(text.collect::<String>().starts_with("Sandbox reply"));
    let last = rest.last().context("no chunks")?;
    assert!(last["choices"][0]["finish_reason"].is_string(), "{last}");
    aio.finish().await
}

#[tokio::test]
async fn the_usage_event_comes_when_it_was_asked_for() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let mut body = chat("Hello [sandbox tokens=12]");
    body["stream_options"] = json!({ "include_usage": true });
    let chunks = chunks(&api.stream(&body).await?.rest().await?)?;
    let (usage, rest) = chunks.split_last().context("no chunks")?;
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"]["completion_tokens"], 12);
    let consumed = micros(&usage["credits_consumed"])?;
    assert_eq!(consumed, cost(&usage["usage"])?);
    assert_eq!(api.credits().await?.posted, 100_000_000 - consumed);
    for chunk in rest {
        assert!(
            chunk["usage"].is_null() && chunk["credits_consumed"].is_null(),
            "{chunk}"
        );
    }
    aio.finish().await
}

#[tokio::test]
async fn the_alias_of_the_tree_and_of_the_model_work() -> Result<()> {
    let aio = Aio::start().await?;
    let account = aio.account(100).await?;
    let mut body = chat("Hello");
    body["model"] = "gemini-3-flash".into();
    let url = format!("{}/v1/chat/completions", aio.base());
    let reply = account.api.post(&url, &body).await?;
    assert_eq!(reply.status, 200, "{reply}");
    let headers = [("x-api-key", account.key.as_str())];
    let by_header = aio.api(None).post_with(&url, &headers, &body).await?;
    assert_eq!(by_header.status, 200, "{by_header}");
    aio.finish().await
}

#[tokio::test]
async fn tools_and_parts_reach_the_provider() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let pixel = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let parts = json!([
        { "type": "text", "text": "What is this?" },
        { "type": "image_url", "image_url": { "url": pixel } },
    ]);
    let body = json!({
        "model": "gemini", "temperature": 0.3, "user": null,
        "messages": [{ "role": "system", "content": "Be brief." }, { "role": "user", "content": parts }],
    });
    let answer = api.post("/chat/completions", &body).await?.json()?;
    let text = answer["choices"][0]["message"]["content"].to_string();
    for word in ["System: 1", "user", "inlineData"] {
        assert!(text.contains(word), "{word}: {text}");
    }
    let function = json!({ "name": "look_up", "parameters": { "type": "object" } });
    let mut body = chat("Look it up");
    body["tools"] = json!([{ "type": "function", "function": function }]);
    body["tool_choice"] = json!({ "type": "function", "function": { "name": "look_up" } });
    let answer = api.post("/chat/completions", &body).await?.json()?;
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls", "{answer}");
    assert_eq!(
        choice["message"]["tool_calls"][0]["function"]["name"],
        "look_up"
    );
    aio.finish().await
}

#[tokio::test]
async fn models_are_listed_in_openais_shape() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(1).await?.api;
    let list = api.get("/models").await?.json()?;
    assert_eq!(list["object"], "list");
    let models = list["data"].as_array().context("no list")?;
    for slug in ["gemini", "flux-2"] {
        let model = models.iter().find(|model| model["id"] == slug);
        let model = model.with_context(|| format!("no {slug}"))?;
        assert_eq!(model["object"], "model");
        assert!(
            model["created"].is_i64() && model["owned_by"].is_string(),
            "{model}"
        );
        assert_eq!(&api.get(&format!("/models/{slug}")).await?.json()?, model);
    }
    api.get("/models/gpt-99").await?.error(404, "not_found")?;
    aio.finish().await
}
