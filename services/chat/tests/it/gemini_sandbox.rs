//! Chat before the sandbox's Gemini, which checks a request as strictly as Google does.

use proto::code;
use serde_json::{Value, json};

use crate::sandboxed::{Sandboxed, spelled};

fn body(text: &str) -> Value {
    json!({"model": "gemini", "messages": [{"role": "user", "content": text}]})
}

fn tool(name: &str) -> Value {
    let parameters = json!({"type": "object", "properties": {}});
    json!({"type": "function", "function": {"name": name, "parameters": parameters}})
}

#[tokio::test]
async fn a_stream_and_a_whole_answer_say_and_cost_the_same() {
    let house = Sandboxed::new().await;
    let mut body = body("Hello [sandbox tokens=60]");
    body["include_thoughts"] = json!(true);
    let whole = house.whole(&body).await;
    let events = house.stream(&body).await;
    let message = &whole["choices"][0]["message"];
    for field in ["content", "reasoning_content"] {
        let said = message[field].as_str().unwrap();
        assert!(!said.is_empty());
        assert_eq!(spelled(&events, field), said);
    }
    let signature = |of: &Value| of["extra_content"]["google"]["thought_signature"].is_string();
    assert!(signature(message));
    let signed = events
        .iter()
        .filter(|event| signature(&event["choices"][0]["delta"]));
    assert_eq!(signed.count(), 1);
    let last = events.last().unwrap();
    assert_eq!(last["usage"], whole["usage"]);
    assert_eq!(last["credits_consumed"], whole["credits_consumed"]);
    // 60 of text and 5 of thoughts.
    let prompt = whole["usage"]["prompt_tokens"].as_i64().unwrap();
    assert_eq!(whole["usage"]["completion_tokens"], 65);
    assert_eq!(
        whole["usage"]["completion_tokens_details"]["reasoning_tokens"],
        5
    );
    let charged = house.app.billing.books().settles[0].amount;
    assert_eq!(charged, prompt * 50 + 65 * 300);
    house.app.settled().await;
}

/// A conversation after its calls were answered.
fn answered(body: &Value, message: &Value) -> Value {
    let mut body = body.clone();
    let mut messages = vec![body["messages"][0].clone(), message.clone()];
    for call in message["tool_calls"].as_array().unwrap() {
        messages.push(json!({"role": "tool", "tool_call_id": call["id"], "content": "sunny"}));
    }
    body["messages"] = messages.into();
    body["tool_choice"] = json!("auto");
    body
}

#[tokio::test]
async fn a_tools_result_goes_back_with_the_signature_of_its_call() {
    let house = Sandboxed::new().await;
    let mut body = body("Weather?");
    body["tools"] = json!([tool("weather")]);
    body["tool_choice"] = json!("required");
    let whole = house.whole(&body).await;
    let choice = &whole["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    let message = &choice["message"];
    let call = &message["tool_calls"][0];
    assert_eq!(
        call["function"],
        json!({"name": "weather", "arguments": "{}"})
    );
    let signature = &call["extra_content"]["google"]["thought_signature"];
    assert!(signature.as_str().unwrap().starts_with("c2FuZGJveC"));
    let answer = house.whole(&answered(&body, message)).await;
    let said = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(
        said.contains(
            "Messages: 3 (user, model, user). Parts: 3 (text, functionCall, functionResponse)."
        ),
        "{said}"
    );
    // A customer whose client drops what it does not know is served as well.
    let mut bare = answered(&body, message);
    bare["messages"][1]["tool_calls"][0]
        .as_object_mut()
        .unwrap()
        .remove("extra_content");
    house.whole(&bare).await;
    // A signature that was tampered with is the customer's to mend.
    let mut forged = answered(&body, message);
    forged["messages"][1]["tool_calls"][0]["extra_content"]["google"]["thought_signature"] =
        json!("mine");
    let fault = house.app.refused(&forged.to_string()).await;
    assert_eq!(fault.code, code::UPSTREAM_REFUSED);
    assert!(fault.message.contains("signature"), "{}", fault.message);
    // Who answers one of two calls is told so.
    let mut missing = answered(&body, message);
    missing["messages"].as_array_mut().unwrap().pop();
    missing["messages"]
        .as_array_mut()
        .unwrap()
        .push(json!({"role": "user", "content": "?"}));
    let fault = house.app.refused(&missing.to_string()).await;
    assert_eq!(fault.code, code::UPSTREAM_REFUSED);
    house.app.settled().await;
}

#[tokio::test]
async fn calls_at_once_come_and_go_together() {
    let house = Sandboxed::new().await;
    let mut body = body("Weather and time?");
    body["tools"] = json!([tool("weather"), tool("time"), tool("other")]);
    let both = json!([tool("weather"), tool("time")]);
    body["tool_choice"] =
        json!({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": both}});
    let whole = house.whole(&body).await;
    let message = &whole["choices"][0]["message"];
    let calls = message["tool_calls"].as_array().unwrap();
    let names: Vec<_> = calls.iter().map(|call| &call["function"]["name"]).collect();
    assert_eq!(names, ["weather", "time"]);
    assert_ne!(calls[0]["id"], calls[1]["id"]);
    assert!(calls[1].get("extra_content").is_none());
    // In a stream each has its index, and all of it comes at once.
    let events = house.stream(&body).await;
    let deltas: Vec<&Value> = events
        .iter()
        .map(|event| &event["choices"][0]["delta"]["tool_calls"][0])
        .filter(|call| call.is_object())
        .collect();
    assert_eq!(deltas.len(), 2);
    for (place, (delta, call)) in deltas.into_iter().zip(calls).enumerate() {
        assert_eq!(
            (&delta["index"], &delta["function"]),
            (&json!(place), &call["function"])
        );
    }
    let finish = events
        .iter()
        .find_map(|event| event["choices"][0]["finish_reason"].as_str());
    assert_eq!(finish, Some("tool_calls"));
    // Who wants one at a time gets the first.
    let mut serial = body.clone();
    serial["parallel_tool_calls"] = json!(false);
    let one = house.whole(&serial).await;
    let called = &one["choices"][0]["message"]["tool_calls"];
    assert_eq!(called.as_array().unwrap().len(), 1);
    assert_eq!(called[0]["function"]["name"], "weather");
    serial["tool_choice"] = json!("auto");
    house
        .whole(&answered(&serial, &one["choices"][0]["message"]))
        .await;
    body["tool_choice"] = json!("auto");
    let answer = house.whole(&answered(&body, message)).await;
    let said = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(
        said.contains("(text, functionCall, functionCall, functionResponse, functionResponse)"),
        "{said}"
    );
    house.app.settled().await;
}

#[tokio::test]
async fn everything_at_once_is_understood() {
    let house = Sandboxed::new().await;
    let image =
        |url: &str| json!({"type": "image_url", "image_url": {"url": url, "detail": "low"}});
    let pdf = json!({"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"});
    let sound = json!({"data": "AAAA", "format": "wav"});
    let schema = json!({"name": "s", "strict": true, "schema": {"type": "object"}});
    let mut function = tool("f");
    function["function"]["strict"] = json!(true);
    function["function"]["description"] = json!("d");
    let harm = json!({"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH"});
    let body = json!({
        "model": "gemini", "temperature": 1.5, "top_p": 0.9, "top_k": 40, "stop": ["x", "y"], "user": "u", "metadata": {"team": "red"},
        "seed": 7, "presence_penalty": 0.5, "frequency_penalty": -0.5, "n": 2, "max_completion_tokens": 900, "logprobs": true,
        "top_logprobs": 1, "reasoning_effort": "minimal", "include_thoughts": false, "parallel_tool_calls": true, "store": false,
        "response_format": {"type": "json_schema", "json_schema": schema}, "tools": [function], "tool_choice": "auto",
        "safety_settings": [harm],
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "developer", "content": [{"type": "text", "text": "be kind"}]},
            {"role": "user", "content": [
                {"type": "text", "text": "see"}, image("data:image/png;base64,AAAA"), image("https://example.com/a.jpg"),
                {"type": "file", "file": pdf}, {"type": "input_audio", "input_audio": sound},
            ]},
            {"role": "assistant", "content": "I see."},
            {"role": "user", "content": "And?"},
        ],
    });
    let whole = house.whole(&body).await;
    let choices = whole["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 2);
    let said = choices[1]["message"]["content"].as_str().unwrap();
    let said: Value = serde_json::from_str(said).unwrap();
    assert_eq!(
        said["sandbox"],
        "Sandbox reply. Model: gemini-3-flash. Messages: 3 (user, model, user). \
         Parts: 7 (text, inlineData, fileData, inlineData, inlineData, text, text). System: 2 (text, text). \
         Tools: 1 (f). Output format: application/json."
    );
    let token = &choices[0]["logprobs"]["content"][0];
    assert_eq!(
        (&token["logprob"], &token["token"]),
        (&json!(-0.5), &json!("{\"sa"))
    );
    assert_eq!(token["top_logprobs"][0]["bytes"], json!(b"{\"sa"));
    // Two choices in one stream.
    let events = house.stream(&body).await;
    for index in [0, 1] {
        let of = |event: &&Value| event["choices"][0]["index"] == index;
        let one: Vec<Value> = events.iter().filter(of).cloned().collect();
        assert_eq!(
            spelled(&one, "content"),
            choices[0]["message"]["content"].as_str().unwrap()
        );
        let ends = one
            .iter()
            .filter(|event| event["choices"][0]["finish_reason"] == "stop");
        assert_eq!(ends.count(), 1);
    }
    house.app.settled().await;
}

#[tokio::test]
async fn every_outcome_has_its_code_and_is_free() {
    let house = Sandboxed::new().await;
    for (outcome, expected) in [
        ("fail", code::UPSTREAM_FAILED),
        ("rate_limited", code::UPSTREAM_BUSY),
        ("overloaded", code::UPSTREAM_BUSY),
        ("out_of_balance", code::UPSTREAM_FAILED),
        ("malformed", code::UPSTREAM_FAILED),
        ("vanish", code::UPSTREAM_FAILED),
    ] {
        for stream in [false, true] {
            let mut body = body(&format!("Hello [sandbox outcome={outcome}]"));
            body["stream"] = json!(stream);
            let fault = house.app.refused(&body.to_string()).await;
            assert_eq!(fault.code, expected, "{outcome} {stream}");
            if outcome == "rate_limited" {
                assert_eq!(fault.retry_after, Some(std::time::Duration::from_secs(1)));
            }
            house.app.billing.released();
            house.app.billing.books().settles.clear();
            house.app.billing.books().holds.clear();
        }
    }
    house.app.settled().await;
}

#[tokio::test]
async fn outcomes_that_are_answers_are_charged() {
    let house = Sandboxed::new().await;
    let blocked = house
        .whole(&body("Hello [sandbox outcome=moderated]"))
        .await;
    let choice = &blocked["choices"][0];
    assert_eq!(choice["finish_reason"], "content_filter");
    assert_eq!(choice["message"]["refusal"], "The sandbox blocks.");
    // What had been said before the filter noticed is there.
    let late = house
        .stream(&body("Hello [sandbox outcome=moderated tokens=4]"))
        .await;
    assert_eq!(spelled(&late, "content").len(), 16);
    let reasons: Vec<&str> = late
        .iter()
        .filter_map(|event| event["choices"][0]["finish_reason"].as_str())
        .collect();
    assert_eq!(reasons, ["content_filter"]);
    assert_eq!(late.last().unwrap()["usage"]["completion_tokens"], 4);
    let mut over = body("Hello [sandbox outcome=overreport]");
    over["max_tokens"] = json!(10);
    let over = house.whole(&over).await;
    assert_eq!(over["usage"]["completion_tokens"], 1_100);
    let mut cut = body("Hello [sandbox outcome=cut tokens=40]");
    cut["stream"] = json!(true);
    let cut = house.app.collect(&cut.to_string()).await;
    assert_eq!(cut.failed.unwrap().code, code::UPSTREAM_FAILED);
    {
        let books = house.app.billing.books();
        let held = books.holds[2].amount;
        assert_eq!(books.settles[2].amount, held, "no more than was held");
        assert!(books.settles[3].amount > 0);
    }
    house.app.settled().await;
}
