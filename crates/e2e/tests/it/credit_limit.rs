//! Answers that end where the credit does: which credit, whatever it was that set the limit, and in whose words it is said.

use anyhow::{Context as _, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use testkit::{Aio, Api, Reply};

use crate::{cuts::ways::Way, say::chat};

/// Longer than what is afforded here.
const LONG: &str = "Hello [sandbox tokens=3000 chunk_delay=0ms]";

/// What an answer says of its end: the reason, and the code.
fn end(answer: &Value) -> (Value, Value) {
    let delta = &answer["delta"];
    let reasons = [
        &answer["choices"][0]["finish_reason"],
        &answer["stop_reason"],
        &delta["stop_reason"],
    ];
    let reason = reasons.into_iter().find(|reason| !reason.is_null());
    (
        reason.cloned().unwrap_or_default(),
        answer["finish_code"].clone(),
    )
}

/// The same of a stream: of its only event that has a reason.
fn streamed(reply: &Reply) -> Result<(Value, Value)> {
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let events = events.filter(|data| *data != "[DONE]");
    let events: Vec<Value> = events.map(serde_json::from_str).collect::<Result<_, _>>()?;
    let codes = events
        .iter()
        .filter(|event| event.get("finish_code").is_some());
    ensure!(codes.count() <= 1, "{text}");
    let mut ends = events
        .iter()
        .map(end)
        .filter(|(reason, _)| !reason.is_null());
    ends.next_back().with_context(|| text.clone())
}

async fn said(api: &Api, way: Way, body: &Value, more: &[(&str, &str)]) -> Result<(Value, Value)> {
    let headers = [&[("content-type", "application/json")], more].concat();
    let send = api.send(Method::POST, way.path(), &headers, body.to_string());
    let reply = send.await?;
    ensure!(reply.status == 200, "{reply}");
    if body["stream"] == true {
        return streamed(&reply);
    }
    Ok(end(&reply.json()?))
}

#[tokio::test]
async fn an_answer_cut_short_by_the_balance_says_so_in_every_form() -> Result<()> {
    let aio = Aio::start().await?;
    for way in Way::ALL {
        let word = if way.is_messages() {
            "max_tokens"
        } else {
            "length"
        };
        for stream in [false, true] {
            let api = aio.account(json!(0.8)).await?.api;
            let mut body = way.body(LONG, "u");
            body["stream"] = json!(stream);
            body["max_tokens"] = json!(8_000);
            if !stream && let Some(fields) = body.as_object_mut() {
                fields.remove("stream_options");
            }
            let told = said(&api, way, &body, &[]).await?;
            let expected = (json!(word), json!("credit_limit_reached"));
            assert_eq!(told, expected, "{way:?} {stream}");
            // What the customer asked for themselves is no want of credit.
            let api = aio.account(10).await?.api;
            body["max_tokens"] = json!(300);
            let told = said(&api, way, &body, &[]).await?;
            assert_eq!(told, (json!(word), Value::Null), "{way:?} {stream}");
        }
    }
    aio.finish().await
}

#[tokio::test]
async fn a_cap_and_a_limit_of_the_cost_are_credit_too() -> Result<()> {
    let aio = Aio::start().await?;
    let account = aio.account(100).await?;
    let expected = (json!("length"), json!("credit_limit_reached"));
    let own = [("x-aio-max-cost-credits", "0.2")];
    let body = chat(LONG);
    let told = said(&account.api, Way::OpenAi, &body, &own).await?;
    assert_eq!(told, expected);
    let wanted = json!({ "name": "capped", "caps": { "total": 0.2 } });
    let made = account.api.post("/keys", &wanted).await?.data(201)?;
    let capped = account.api.with_key(made["key"].as_str());
    let told = said(&capped, Way::OpenAi, &body, &[]).await?;
    assert_eq!(told, expected);
    let told = said(&account.api, Way::OpenAi, &body, &[]).await?;
    assert_eq!(told, (json!("stop"), Value::Null));
    aio.finish().await
}
