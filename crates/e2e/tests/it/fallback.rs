//! Several models in one request, and wishes for their providers, as customers see them.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::{Aio, Answer, Api, Reply, Sink, eventually, micros};

/// 50 and 300 credits per million tokens of `gemini`, 400 and 2 000 of `claude-opus-5-5`.
const GEMINI: (i64, i64) = (50, 300);
const CLAUDE: (i64, i64) = (400, 2_000);

fn body(models: &Value) -> Value {
    json!({ "models": models, "messages": [{ "role": "user", "content": "Hello" }] })
}

/// One that Claude has no words for.
fn odd(models: &Value) -> Value {
    let mut odd = body(models);
    odd["logprobs"] = json!(true);
    odd
}

fn cost(usage: &Value, (input, output): (i64, i64)) -> Result<i64> {
    let tokens = |name: &str| usage[name].as_i64().with_context(|| format!("no {name}"));
    Ok(tokens("prompt_tokens")? * input + tokens("completion_tokens")? * output)
}

/// The receipt of what was answered, once it is summed up; and that anybody can compute it again.
async fn receipt(aio: &Aio, api: &Api, reply: &Reply) -> Result<Value> {
    let path = format!("/operations/{}/receipt", reply.header("x-aio-operation-id"));
    let shown = eventually("the receipt is there", async || {
        let shown = api.get(&path).await?;
        Ok((shown.status == 200).then_some(shown))
    });
    let shown = shown.await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("receipt.json");
    std::fs::write(&file, &shown.body)?;
    let file = file.to_string_lossy().into_owned();
    let told = aio.command(&["receipt", "verify", &file]).await?;
    assert!(told.status.success(), "{told:?}");
    shown.data(200)
}

#[tokio::test]
async fn another_model_answers_and_is_charged_at_its_own_price() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let text = odd(&json!(["claude-opus-5-5", "gemini"]));
    let quoted = json!({ "route": "chat/completions", "body": text });
    let quoted = api.post("/quote", &quoted).await?.data(200)?;
    let reply = api.post("/chat/completions", &text).await?;
    assert_eq!(reply.status, 200, "{reply}");
    assert_eq!(
        (reply.header("x-aio-provider"), reply.header("x-aio-model")),
        ("gemini", "gemini")
    );
    let answer = reply.json()?;
    assert_eq!(answer["model"], "gemini");
    let charged = cost(&answer["usage"], GEMINI)?;
    assert_eq!(micros(&answer["credits_consumed"])?, charged);
    assert_eq!(api.settled().await?.posted, 100_000_000 - charged);
    let shown = receipt(&aio, &api, &reply).await?;
    assert_eq!(shown["held_microcredits"], quoted["max_microcredits"]);
    assert_eq!(shown["model"], "gemini");
    let told = &shown["receipt"];
    assert_eq!(told["requested_model"], "claude-opus-5-5");
    assert_eq!(
        told["attempts"],
        json!([
            { "provider": "anthropic", "model": "claude-opus-5-5", "outcome": "invalid" },
            { "provider": "gemini", "model": "gemini", "outcome": "answered" },
        ])
    );
    assert_eq!(told["total_microcredits"], charged);

    // What the first one has words for, it answers itself; in Anthropic's words too.
    let mut message = body(&json!(["claude-opus-5-5", "gemini"]));
    message["max_tokens"] = json!(64);
    let reply = api.post("/messages", &message).await?;
    assert_eq!(reply.status, 200, "{reply}");
    assert_eq!(reply.header("x-aio-model"), "claude-opus-5-5");
    assert_eq!(reply.json()?["model"], "claude-opus-5-5");
    let shown = receipt(&aio, &api, &reply).await?;
    assert_eq!(shown["receipt"]["requested_model"], "claude-opus-5-5");
    aio.finish().await
}

#[tokio::test]
async fn a_provider_that_fails_is_followed_by_another_model_of_another_provider() -> Result<()> {
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-5-5",
        "content": [{ "type": "text", "text": "Good day" }], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": { "input_tokens": 9, "output_tokens": 3 },
    });
    let (google, anthropic) = (
        Sink::start(Answer::Status(500)).await?,
        Sink::start(Answer::Json(message)).await?,
    );
    let (one, other) = (google.url("/v1"), anthropic.url("/v1"));
    let aio = Aio::with(&[
        ("GEMINI_API_KEY", "k"),
        ("AIO_PROVIDERS__GEMINI__BASE_URL", one.as_str()),
        ("ANTHROPIC_API_KEY", "k"),
        ("AIO_PROVIDERS__ANTHROPIC__BASE_URL", other.as_str()),
    ])
    .await?;
    let api = aio.account(0).await?.live(100).await?;
    let text = body(&json!(["gemini", "claude-opus-5-5"]));
    let reply = api.post("/chat/completions", &text).await?;
    assert_eq!(reply.status, 200, "{reply}");
    assert_eq!(reply.header("x-aio-model"), "claude-opus-5-5");
    let charged = cost(&reply.json()?["usage"], CLAUDE)?;
    assert_eq!(charged, 9 * 400 + 3 * 2_000);
    assert_eq!(api.settled().await?.posted, 100_000_000 - charged);
    let shown = receipt(&aio, &api, &reply).await?;
    assert_eq!(shown["receipt"]["attempts"][0]["outcome"], "overloaded");
    // Neither of them learns of the other.
    for received in google.received().iter().chain(&anthropic.received()) {
        let sent: Value = serde_json::from_slice(&received.body)?;
        let ours = ["models", "provider"].map(|name| sent.get(name));
        assert_eq!(ours, [None, None], "{sent}");
    }
    // Whoever wants no other is told what went wrong.
    let mut alone = text.clone();
    alone["provider"] = json!({ "only": ["gemini"] });
    let reply = api.post("/chat/completions", &alone).await?;
    reply.error(502, "upstream_failed")?;
    assert_eq!(api.settled().await?.posted, 100_000_000 - charged);
    aio.finish().await
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_refused_by_name() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(1).await?.api;
    let wish = |provider: Value| {
        let mut wish = body(&json!(["gemini"]));
        wish["provider"] = provider;
        wish
    };
    for (text, status, code, param) in [
        (
            body(&json!(["gemini", "gemimi"])),
            400,
            "unknown_model",
            "models[1]",
        ),
        (
            body(&json!(["gemini", "flux-2"])),
            400,
            "unknown_model",
            "models[1]",
        ),
        (body(&json!([])), 400, "invalid_parameter", "models"),
        (
            body(&json!(vec!["gemini"; 5])),
            400,
            "invalid_parameter",
            "models",
        ),
        (
            wish(json!({ "order": ["openai"] })),
            400,
            "invalid_parameter",
            "provider.order[0]",
        ),
        (
            wish(json!({ "sort": "price" })),
            400,
            "invalid_parameter",
            "provider.sort",
        ),
        (
            wish(json!({ "quantizations": [] })),
            400,
            "unknown_parameter",
            "provider.quantizations",
        ),
    ] {
        let reply = api.post("/chat/completions", &text).await?;
        let error = reply.error(status, code)?;
        assert_eq!(error["param"], param, "{error}");
    }
    assert_eq!(api.credits().await?.posted, 1_000_000);
    aio.finish().await
}
