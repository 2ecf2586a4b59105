//! One face in the place of another: what a provider's content policy refuses is told as that, costs nothing, and is asked of nobody else; and a key
//! can be kept from it.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use testkit::{Aio, eventually};

const SWAP: &str = "/images/tools/face-swap";

fn steered(words: &str) -> Value {
    let place = format!("https://example.com/fox.png?[sandbox%20{words}]");
    json!({ "model": "face-swap", "image": place, "face_image": "https://example.com/face.png" })
}

#[tokio::test]
async fn what_a_policy_refuses_is_told_as_that_and_free() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let refused = steered("outcome=moderated%20delay=20ms");
    let fine = "https://example.com/fox.png";
    let mut by_its_face = refused.clone();
    by_its_face["face_image"] = refused["image"].clone();
    by_its_face["image"] = json!(fine);
    // The scene, before the work and behind it, and the face.
    for body in [&steered("outcome=moderated"), &refused, &by_its_face] {
        let accepted = api.post(SWAP, body).await?.data(202)?;
        let id = accepted["task_id"].as_str().context("no task_id")?;
        let task = api.ended(id).await?;
        assert_eq!(task["error"]["code"], "content_moderated", "{task}");
        assert_eq!(task["error"]["retryable"], false, "{task}");
        assert_eq!(task["consumed_credits"], 0, "{task}");
        assert_eq!(task["output"], json!([]), "{task}");
        let receipt = eventually("a receipt", async || {
            let found = api.get(&format!("/operations/{id}/receipt")).await?;
            Ok((found.status == 200).then_some(found))
        });
        let receipt = receipt.await?.data(200)?;
        assert_eq!(receipt["charged_microcredits"], 0, "{receipt}");
        let attempts = receipt["receipt"]["attempts"].as_array();
        let told: Vec<&Value> = attempts
            .into_iter()
            .flatten()
            .map(|run| &run["outcome"])
            .collect();
        assert_eq!(told, ["moderated"], "{receipt}");
    }
    let settled = api.settled().await?;
    assert_eq!((settled.posted, settled.open_holds), (100_000_000, 0));
    aio.finish().await
}

#[tokio::test]
async fn a_key_that_does_not_name_the_tool_cannot_use_it() -> Result<()> {
    let aio = Aio::start().await?;
    let account = aio.account(100).await?;
    let path = format!("/admin/accounts/{}/keys", account.id);
    let body = json!({ "name": "pictures", "mode": "test", "models": ["flux-2"] });
    let made = aio.admin().post(&path, &body).await?.data(201)?;
    let key = made["key"].as_str().context("no key")?;
    let limited = account.api.with_key(Some(key));
    let refused = limited.post(SWAP, &steered("delay=1ms")).await?;
    refused.error(403, "model_not_allowed")?;
    aio.finish().await
}
