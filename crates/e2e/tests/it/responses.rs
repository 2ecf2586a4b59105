//! The Responses API, from outside: the same models, the same money, and conversations that go on by an id.

use anyhow::{Context as _, Result, ensure};
use http::Method;
use serde_json::{Value, json};
use testkit::{Aio, Api};

/// What a token of input and one of output cost, in micro-credits.
const PRICE: (i64, i64) = (50, 300);

fn ask(text: &str) -> Value {
    json!({ "model": "gemini", "max_output_tokens": 256, "input": text })
}

fn cost(response: &Value) -> Result<i64> {
    let tokens = |name: &str| response["usage"][name].as_i64().context("no usage");
    Ok(tokens("input_tokens")? * PRICE.0 + tokens("output_tokens")? * PRICE.1)
}

fn text(response: &Value) -> Result<&str> {
    let output = response["output"].as_array().context("no output")?;
    let message = output.iter().find(|item| item["type"] == "message");
    message.context("no message")?["content"][0]["text"]
        .as_str()
        .context("no text")
}

async fn events(api: &Api, body: &Value) -> Result<Vec<Value>> {
    let reply = api
        .send(Method::POST, "/responses", &[], body.to_string())
        .await?;
    ensure!(reply.status == 200, "{reply}");
    let text = String::from_utf8(reply.body.to_vec())?;
    let mut events = Vec::new();
    for event in text
        .split("\n\n")
        .filter(|event| event.starts_with("event: "))
    {
        let (name, data) = event.split_once('\n').context("no data")?;
        let data: Value = serde_json::from_str(data.trim_start_matches("data: "))?;
        ensure!(
            data["type"] == name.trim_start_matches("event: "),
            "{event}"
        );
        ensure!(data["sequence_number"] == events.len(), "{event}");
        events.push(data);
    }
    Ok(events)
}

#[tokio::test]
async fn a_response_is_answered_charged_and_explained_as_chat_is() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let reply = api
        .post("/responses", &ask("Hello [sandbox tokens=20]"))
        .await?;
    ensure!(reply.status == 200, "{reply}");
    let response = reply.json()?;
    assert_eq!(
        (&response["object"], &response["status"]),
        (&json!("response"), &json!("completed"))
    );
    assert_eq!(response["usage"]["output_tokens"], 20);
    ensure!(text(&response)?.starts_with("Sandbox reply."), "{response}");
    let cost = cost(&response)?;
    assert_eq!(api.settled().await?.posted, 100_000_000 - cost);
    let operation = reply.header("x-aio-operation-id");
    assert_eq!(response["id"], operation.replacen("op_", "resp_", 1));
    let listed = testkit::eventually("the operation", async || {
        let listed = api.get("/operations").await?.data(200)?;
        Ok(listed["items"]
            .as_array()
            .and_then(|all| all.first().cloned()))
    });
    assert_eq!(listed.await?["route"], "responses");
    let receipt = api
        .get(&format!("/operations/{operation}/receipt"))
        .await?
        .data(200)?;
    assert_eq!(receipt["charged_microcredits"], cost, "{receipt}");

    // What it would cost is asked in the same words.
    let quote = json!({ "route": "responses", "body": ask("Hello") });
    let quote = api.post("/quote", &quote).await?.data(200)?;
    ensure!(quote["affordable"] == true, "{quote}");
    aio.finish().await
}

#[tokio::test]
async fn a_conversation_goes_on_by_the_id_of_its_last_response() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let mut body = ask("The first word is fox.");
    body["instructions"] = json!("be brief");
    let first = api.post("/responses", &body).await?.json()?;
    ensure!(text(&first)?.contains("System: 1"), "{first}");

    let mut body = ask("Which word was it?");
    body["previous_response_id"] = first["id"].clone();
    let second = api.post("/responses", &body).await?.json()?;
    // The instructions are no part of the conversation.
    let told = text(&second)?;
    ensure!(
        told.contains("Messages: 3 (user, model, user)") && !told.contains("System"),
        "{told}"
    );
    let tokens = |of: &Value| of["usage"]["input_tokens"].as_i64().context("no usage");
    ensure!(
        tokens(&second)? > tokens(&first)?,
        "all of it is charged: {second}"
    );

    // A stream goes on as well, and can be gone on from.
    body["stream"] = json!(true);
    body["previous_response_id"] = second["id"].clone();
    let told = events(&api, &body).await?;
    let third = &told.last().context("nothing")?["response"];
    assert_eq!(
        (&third["status"], &third["store"]),
        (&json!("completed"), &json!(true))
    );
    ensure!(text(third)?.contains("Messages: 5"), "{third}");
    let spent = cost(&first)? + cost(&second)? + cost(third)?;
    assert_eq!(api.settled().await?.posted, 100_000_000 - spent);

    // It is looked at, by its account alone, until it is deleted.
    let path = format!("/responses/{}", third["id"].as_str().context("no id")?);
    assert_eq!(&api.get(&path).await?.json()?, third);
    let stranger = aio.account(100).await?.api;
    let mut from_third = ask("And now?");
    from_third["previous_response_id"] = third["id"].clone();
    ensure!(stranger.get(&path).await?.status == 404);
    let refused = stranger.post("/responses", &from_third).await?;
    ensure!(refused.status == 404, "{refused}");
    assert_eq!(refused.json()?["error"]["param"], "previous_response_id");
    let deleted = api.send(Method::DELETE, &path, &[], String::new()).await?;
    ensure!(deleted.status == 200, "{deleted}");
    ensure!(api.get(&path).await?.status == 404);
    ensure!(api.post("/responses", &from_third).await?.status == 404);
    assert_eq!(stranger.settled().await?.posted, 100_000_000);
    aio.finish().await
}

#[tokio::test]
async fn a_tool_is_called_and_its_result_taken() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let mut body = ask("What is the weather?");
    body["tools"] = json!([{ "type": "function", "name": "get_weather",
        "parameters": { "type": "object", "properties": {} } }]);
    body["tool_choice"] = json!("required");
    let called = api.post("/responses", &body).await?.json()?;
    let output = called["output"].as_array().context("no output")?;
    let call = output.iter().find(|item| item["type"] == "function_call");
    let call = call.context("no call")?;
    assert_eq!(call["name"], "get_weather");
    serde_json::from_str::<Value>(call["arguments"].as_str().context("no arguments")?)?;
    let result =
        json!({ "type": "function_call_output", "call_id": call["call_id"], "output": "sunny" });

    // Once by its id, and once by a client that keeps the conversation itself.
    let mut by_id = ask("");
    by_id["input"] = json!([result]);
    by_id["previous_response_id"] = called["id"].clone();
    let mut by_hand = ask("");
    let mut input = vec![json!({ "role": "user", "content": "What is the weather?" })];
    input.extend(output.clone());
    input.push(result);
    by_hand["input"] = input.into();
    for body in [by_id, by_hand] {
        let answered = api.post("/responses", &body).await?.json()?;
        let told = text(&answered)?;
        ensure!(
            told.contains("Parts: 3 (text, functionCall, functionResponse)"),
            "{told}"
        );
    }
    aio.finish().await
}

#[tokio::test]
async fn a_stream_that_breaks_off_says_so_within() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let mut body = ask("Hello [sandbox tokens=5 chunk_delay=1ms]");
    body["stream"] = json!(true);
    let told = events(&api, &body).await?;
    assert_eq!(told.first().context("nothing")?["type"], "response.created");
    let last = told.last().context("nothing")?;
    assert_eq!(last["type"], "response.completed");
    assert_eq!(last["response"]["usage"]["output_tokens"], 5);
    ensure!(last["response"]["credits_consumed"].is_number(), "{last}");

    let mut body = ask("Hello [sandbox outcome=cut tokens=8]");
    body["stream"] = json!(true);
    let told = events(&api, &body).await?;
    let [.., failed, error] = told.as_slice() else {
        anyhow::bail!("{told:?}")
    };
    assert_eq!(failed["type"], "response.failed");
    assert_eq!(error["error"]["code"], "upstream_failed");
    let id = failed["response"]["id"].as_str().context("no id")?;
    ensure!(api.get(&format!("/responses/{id}")).await?.status == 404);
    aio.finish().await
}

#[tokio::test]
async fn a_repeat_is_the_same_response() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let key = [("idempotency-key", "k")];
    let body = ask("Hello").to_string();
    let send = async || {
        api.send(Method::POST, "/responses", &key, body.clone())
            .await
    };
    let first = send().await?;
    let response = first.json()?;
    let again = send().await?;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.json()?, response);
    // One that was deleted does not come back with it.
    let path = format!("/responses/{}", response["id"].as_str().context("no id")?);
    ensure!(
        api.send(Method::DELETE, &path, &[], String::new())
            .await?
            .status
            == 200
    );
    assert_eq!(send().await?.json()?["id"], response["id"]);
    ensure!(api.get(&path).await?.status == 404);
    assert_eq!(api.settled().await?.posted, 100_000_000 - cost(&response)?);
    aio.finish().await
}

#[tokio::test]
async fn what_claude_signed_goes_back_to_it() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let question = json!({ "role": "user", "content": "Weather?" });
    let tools = json!([{ "type": "function", "name": "weather", "parameters": { "type": "object", "properties": {} } }]);
    let body = |input: Value| {
        json!({ "model": "claude-sonnet-5-5", "input": input, "tools": tools, "max_output_tokens": 2_000,
                "reasoning": { "effort": "low", "summary": "auto" } })
    };
    let mut asked = body(json!([question]));
    asked["tool_choice"] = json!("required");
    let whole = api.post("/responses", &asked).await?;
    ensure!(whole.status == 200, "{whole}");
    asked["stream"] = json!(true);
    let told = events(&api, &asked).await?;
    let streamed = told.last().context("nothing")?["response"].clone();
    for called in [whole.json()?, streamed] {
        let output = called["output"].as_array().context("no output")?;
        let [thought, .., call] = output.as_slice() else {
            anyhow::bail!("{called}")
        };
        assert_eq!(thought["type"], "reasoning");
        ensure!(thought["summary"][0]["text"].is_string(), "{thought}");
        ensure!(thought["encrypted_content"].is_string(), "{thought}");
        let result = json!({ "type": "function_call_output", "call_id": call["call_id"], "output": "sunny" });
        let mut by_id = body(json!([result]));
        by_id["previous_response_id"] = called["id"].clone();
        let mut by_hand = vec![question.clone()];
        by_hand.extend(output.clone());
        by_hand.push(result.clone());
        let mut referring = vec![question.clone()];
        referring.extend(
            output
                .iter()
                .map(|item| json!({ "type": "item_reference", "id": item["id"] })),
        );
        referring.push(result.clone());
        for body in [by_id, body(by_hand.into()), body(referring.into())] {
            let answered = api.post("/responses", &body).await?;
            ensure!(answered.status == 200, "{answered}");
            let told = answered.json()?;
            // Anthropic's side: the thought comes back before the call.
            ensure!(
                text(&told)?.contains("Parts: 4 (text, thinking, tool_use, tool_result)"),
                "{told}"
            );
        }
    }
    aio.finish().await
}
