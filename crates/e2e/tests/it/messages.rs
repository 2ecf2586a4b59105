//! The Messages API, from outside: the same models, the same money, Anthropic's words.

use anyhow::{Context as _, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use testkit::Aio;

fn ask(text: &str) -> Value {
    json!({ "model": "gemini", "max_tokens": 256, "messages": [{ "role": "user", "content": text }] })
}

#[tokio::test]
async fn a_message_is_answered_and_charged_as_chat_is() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let reply = api
        .post("/messages", &ask("Hello [sandbox tokens=20]"))
        .await?;
    ensure!(reply.status == 200, "{reply}");
    let message = reply.json()?;
    assert_eq!(
        (&message["type"], &message["role"]),
        (&json!("message"), &json!("assistant"))
    );
    assert_eq!(message["stop_reason"], "end_turn");
    assert_eq!(message["usage"]["output_tokens"], 20);
    let tokens = |name: &str| message["usage"][name].as_i64().context("no usage");
    let cost = tokens("input_tokens")? * 50 + tokens("output_tokens")? * 300;
    assert_eq!(api.settled().await?.posted, 100_000_000 - cost);
    let operation = reply.header("x-aio-operation-id");
    assert_eq!(message["id"], operation.replacen("op_", "msg_", 1));
    let listed = testkit::eventually("the operation", async || {
        let listed = api.get("/operations").await?.data(200)?;
        Ok(listed["items"]
            .as_array()
            .and_then(|all| all.first().cloned()))
    });
    assert_eq!(listed.await?["route"], "messages");
    aio.finish().await
}

#[tokio::test]
async fn a_tool_is_called_and_its_result_taken() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let mut body = ask("What is the weather?");
    body["tools"] =
        json!([{ "name": "get_weather", "input_schema": { "type": "object", "properties": {} } }]);
    body["tool_choice"] = json!({ "type": "any" });
    let called = api.post("/messages", &body).await?.json()?;
    assert_eq!(called["stop_reason"], "tool_use");
    let block = called["content"].as_array().context("no content")?;
    let block = block
        .iter()
        .find(|block| block["type"] == "tool_use")
        .context("no call")?;
    assert_eq!(block["name"], "get_weather");
    ensure!(block["input"].is_object(), "{block}");

    let mut more = ask("What is the weather?");
    let result = json!([{ "type": "tool_result", "tool_use_id": block["id"], "content": "sunny" }]);
    let messages = more["messages"].as_array_mut().context("no messages")?;
    messages.push(json!({ "role": "assistant", "content": called["content"] }));
    messages.push(json!({ "role": "user", "content": result }));
    let answered = api.post("/messages", &more).await?.json()?;
    let text = answered["content"][0]["text"].as_str().context("no text")?;
    ensure!(text.contains("Messages: 3 (user, model, user)"), "{text}");
    aio.finish().await
}

#[tokio::test]
async fn a_stream_ends_with_what_it_cost() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let mut body = ask("Hello [sandbox tokens=5 chunk_delay=1ms]");
    body["stream"] = json!(true);
    let reply = api
        .send(Method::POST, "/messages", &[], body.to_string())
        .await?;
    ensure!(reply.status == 200, "{reply}");
    let text = String::from_utf8(reply.body.to_vec())?;
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Value> = data.map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(events.first().context("nothing")?["type"], "message_start");
    assert_eq!(events.last().context("nothing")?["type"], "message_stop");
    let end = events.iter().find(|event| event["type"] == "message_delta");
    let end = end.context("no end")?;
    assert_eq!(end["usage"]["output_tokens"], 5);
    ensure!(end["credits_consumed"].is_number(), "{end}");

    // A provider that breaks off is told within.
    let mut body = ask("Hello [sandbox outcome=cut tokens=8]");
    body["stream"] = json!(true);
    let reply = api
        .send(Method::POST, "/messages", &[], body.to_string())
        .await?;
    let text = String::from_utf8(reply.body.to_vec())?;
    ensure!(
        text.contains("event: error\ndata: {\"type\":\"error\""),
        "{text}"
    );
    aio.finish().await
}
