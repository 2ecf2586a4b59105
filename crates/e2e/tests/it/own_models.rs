//! Models of the operator's own: a file and an address, and a server that speaks OpenAI's chat protocol.

use std::fs;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{Aio, Answer, Sink, micros};

const LLAMA: &str = r#"
slug = "meta/llama-4"
name = "Llama 4"
aliases = ["llama"]
owned_by = "meta"
category = "chat"
route = "chat/completions"

[chat]
default_output_bound = 1000
max_output = 4000
media_part = 1000

# Micro-credits per token.
[price]
unit = "token"
input = 7
cached = 1
output = 11

[[providers]]
adapter = "openai"
provider = "vllm"
model = "llama-4-instruct"
"#;

/// A directory with this one file.
fn models(text: &str) -> Result<TempDir> {
    let directory = tempfile::tempdir()?;
    fs::write(directory.path().join("llama.toml"), text)?;
    fs::write(directory.path().join("README"), "no model")?;
    Ok(directory)
}

fn answer() -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "llama-4-instruct",
        "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": "Hi" } }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5 },
    })
}

#[tokio::test]
async fn a_server_that_speaks_openais_protocol_needs_a_file_and_an_address() -> Result<()> {
    let server = Sink::start(Answer::Json(answer())).await?;
    let (directory, url) = (models(LLAMA)?, server.url("/v1"));
    let aio = Aio::with(&[
        (
            "AIO_MODELS__DIRECTORY",
            &directory.path().display().to_string(),
        ),
        ("AIO_MODELS__WITHOUT", "[flux-2]"),
        ("AIO_PROVIDERS__VLLM__BASE_URL", &url),
        ("AIO_PROVIDERS__VLLM__HEADERS", "{X-Team=ours}"),
    ])
    .await?;
    let account = aio.account(1).await?;
    let live = account.live(1).await?;
    let asked = json!({ "model": "llama", "messages": [{ "role": "user", "content": "Hello" }], "top_k": 5 });
    let reply = live.post("/chat/completions", &asked).await?;
    ensure!(reply.status == 200, "{reply}");
    assert_eq!(reply.header("x-aio-provider"), "vllm");
    assert_eq!(micros(&reply.json()?["credits_consumed"])?, 3 * 7 + 2 * 11);
    assert_eq!(live.settled().await?.posted, 1_000_000 - 43);

    let received = server.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].path, "/v1/chat/completions");
    assert_eq!(received[0].header("x-team"), "ours");
    assert!(!received[0].headers.contains_key("authorization"));
    let body: Value = serde_json::from_slice(&received[0].body)?;
    assert_eq!(
        body,
        json!({
            "model": "llama-4-instruct", "messages": asked["messages"], "top_k": 5, "max_tokens": 1000,
        })
    );

    let listed = live.get("/models/meta/llama-4").await?.json()?;
    assert_eq!(
        (&listed["id"], &listed["price"]["input"]),
        (&json!("meta/llama-4"), &json!(7))
    );
    let gone = live.get("/models/flux-2").await?;
    gone.error(404, "not_found")?;

    // A test key reaches the sandbox, and never the server.
    let reply = account.api.post("/chat/completions", &asked).await?;
    ensure!(reply.status == 200, "{reply}");
    assert_eq!(server.received().len(), 1);
    aio.finish().await
}

#[tokio::test]
async fn a_file_that_does_not_hold_together_is_named_at_the_start() -> Result<()> {
    for (text, told) in [
        (LLAMA.replace("input = 7", "input = -7"), "llama.toml"),
        (
            LLAMA.replace("\"llama\"", "\"gemini\""),
            "llama.toml: the name gemini is taken by another model",
        ),
        (
            LLAMA.replace("adapter = \"openai\"", "adapter = \"opnai\""),
            "the chat model meta/llama-4 names the adapter opnai, which does not exist",
        ),
    ] {
        let directory = models(&text)?;
        let path = directory.path().display().to_string();
        let Err(error) = Aio::with(&[("AIO_MODELS__DIRECTORY", &path)]).await else {
            anyhow::bail!("it started: {told}");
        };
        let said = format!("{error:#}");
        ensure!(said.contains(told), "{told}: {said}");
    }
    Ok(())
}
