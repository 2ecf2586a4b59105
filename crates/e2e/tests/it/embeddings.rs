//! Embeddings, from outside.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testkit::{Aio, micros};

use crate::say::embedding;

fn numbers(answer: &Value) -> Result<Vec<f64>> {
    let numbers = answer["data"][0]["embedding"].as_array();
    let numbers = numbers.context("no vector")?.iter();
    numbers.map(|n| n.as_f64().context("no number")).collect()
}

#[tokio::test]
async fn a_text_becomes_the_same_vector_and_costs_its_tokens() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let reply = api
        .post("/embeddings", &embedding("a fox in the snow"))
        .await?;
    ensure!(reply.status == 200, "{reply}");
    assert_eq!(reply.header("x-aio-provider"), "openai");
    assert_eq!(reply.header("x-aio-cost-credits"), "0.00001");
    let operation = reply.header("x-aio-operation-id").to_owned();
    let answer = reply.json()?;
    assert_eq!(
        answer["usage"],
        json!({ "prompt_tokens": 5, "total_tokens": 5 })
    );
    assert_eq!(answer["credits_consumed"], 0.00001);
    let vector = numbers(&answer)?;
    let again = api
        .post("/embeddings", &embedding("a fox in the snow"))
        .await?
        .json()?;
    assert_eq!((vector.len(), numbers(&again)?), (8, vector));

    let quoted = json!({ "route": "embeddings", "body": embedding("a fox in the snow") });
    let quoted = api.post("/quote", &quoted).await?.data(200)?;
    assert!(micros(&quoted["max_credits"])? >= 10, "{quoted}");
    assert_eq!(api.settled().await?.posted, 100_000_000 - 2 * 10);
    let path = format!("/operations/{operation}/receipt");
    let receipt = testkit::eventually("a receipt", async || {
        let reply = api.get(&path).await?;
        Ok((reply.status == 200).then_some(reply))
    });
    let receipt = receipt.await?.data(200)?;
    assert_eq!(receipt["receipt"]["route"], "embeddings");
    aio.finish().await
}

#[tokio::test]
async fn a_repeat_with_the_same_key_is_not_charged_again() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let headers = [("idempotency-key", "one")];
    let first = api
        .post_with("/embeddings", &headers, &embedding("a fox"))
        .await?;
    let second = api
        .post_with("/embeddings", &headers, &embedding("a fox"))
        .await?;
    assert_eq!(second.header("idempotent-replayed"), "true");
    assert_eq!(first.body, second.body);
    // Chat's keys are others.
    let body = crate::say::chat("hello");
    let chat = api.post_with("/chat/completions", &headers, &body).await?;
    ensure!(chat.status == 200, "{chat}");
    let other = api
        .post_with("/embeddings", &headers, &embedding("a bear"))
        .await?;
    other.error(422, "idempotency_mismatch")?;
    aio.finish().await
}

#[tokio::test]
async fn what_the_provider_does_not_deliver_is_free() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    for (outcome, status, code) in [
        ("fail", 502, "upstream_failed"),
        ("malformed", 502, "upstream_failed"),
        ("moderated", 400, "content_moderated"),
        ("out_of_balance", 502, "upstream_failed"),
        ("overloaded", 503, "upstream_busy"),
    ] {
        let body = embedding(&format!("a fox [sandbox outcome={outcome}]"));
        let reply = api.post("/embeddings", &body).await?;
        reply.error(status, code).context(outcome)?;
    }
    assert_eq!(api.settled().await?.posted, 100_000_000);
    aio.finish().await
}
