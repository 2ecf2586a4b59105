//! Chat before the sandbox's Anthropic, which checks a request as strictly as Anthropic does.

use proto::code;
use serde_json::{Value, json};

use crate::sandboxed::{Sandboxed, spelled};

fn body(text: &str) -> Value {
    json!({"model": "claude-sonnet-5-5", "messages": [{"role": "user", "content": text}]})
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
    let last = events.last().unwrap();
    assert_eq!(last["usage"], whole["usage"]);
    assert_eq!(last["credits_consumed"], whole["credits_consumed"]);
    // 60 of text and 5 of thinking.
    let prompt = whole["usage"]["prompt_tokens"].as_i64().unwrap();
    assert_eq!(whole["usage"]["completion_tokens"], 65);
    let charged = house.app.billing.books().settles[0].amount;
    assert_eq!(charged, prompt * 200 + 65 * 1000);
    house.app.settled().await;
}

#[tokio::test]
async fn a_tools_result_goes_back_with_the_thinking_before_it() {
    let house = Sandboxed::new().await;
    let mut body = body("Weather?");
    let function = json!({"name": "weather", "parameters": {"type": "object", "properties": {}}});
    body["tools"] = json!([{"type": "function", "function": function}]);
    body["tool_choice"] = json!("required");
    body["reasoning_effort"] = json!("low");
    let whole = house.whole(&body).await;
    let choice = &whole["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    let message = &choice["message"];
    let call = &message["tool_calls"][0];
    assert_eq!(
        call["function"],
        json!({"name": "weather", "arguments": "{}"})
    );
    let signature = message["reasoning_details"][0]["signature"]
        .as_str()
        .unwrap();
    assert!(!signature.is_empty() && message.get("reasoning_content").is_none());
    let events = house.stream(&body).await;
    let calls = events.iter().filter_map(|event| {
        event["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str()
    });
    assert_eq!(calls.collect::<String>(), "{}");
    let result = json!({"role": "tool", "tool_call_id": call["id"], "content": "sunny"});
    let question = body["messages"][0].clone();
    body["messages"] = json!([question, message, result]);
    body["tool_choice"] = json!("auto");
    let answer = house.whole(&body).await;
    let said = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(
        said.contains(
            "Messages: 3 (user, assistant, user). Parts: 4 (text, thinking, tool_use, tool_result)."
        ),
        "{said}"
    );
    // A signature that was tampered with is the customer's to mend.
    body["messages"][1]["reasoning_details"][0]["signature"] = json!("mine");
    let fault = house.app.refused(&body.to_string()).await;
    assert_eq!(fault.code, code::UPSTREAM_REFUSED);
    assert!(fault.message.contains("signature"), "{}", fault.message);
    house.app.settled().await;
}

#[tokio::test]
async fn everything_at_once_is_understood() {
    let house = Sandboxed::new().await;
    let image = |url: &str| json!({"type": "image_url", "image_url": {"url": url}});
    let pdf = json!({"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"});
    let schema = json!({"name": "s", "strict": true, "schema": {"type": "object"}});
    let function =
        json!({"name": "f", "description": "d", "strict": true, "parameters": {"type": "object"}});
    let body = json!({
        "model": "claude-opus-5-5", "temperature": 0.5, "top_p": 0.9, "stop": ["x"], "user": "u", "metadata": {"team": "red"}, "seed": 7,
        "reasoning_effort": "xhigh", "response_format": {"type": "json_schema", "json_schema": schema}, "parallel_tool_calls": false,
        "tools": [{"type": "function", "function": function}], "n": 1, "max_completion_tokens": 900,
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": [
                {"type": "text", "text": "see"}, image("data:image/png;base64,AAAA"), image("https://example.com/a.jpg"), {"type": "file", "file": pdf},
            ]},
        ],
    });
    let whole = house.whole(&body).await;
    let said = whole["choices"][0]["message"]["content"].as_str().unwrap();
    let said: Value = serde_json::from_str(said).unwrap();
    assert_eq!(
        said["sandbox"],
        "Sandbox reply. Model: claude-opus-5-5. Messages: 1 (user). Parts: 4 (text, image, image, document). System: 1 (text). \
         Tools: 1 (f). Output format: json_schema. Effort: xhigh."
    );
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
    let moderated = house
        .whole(&body("Hello [sandbox outcome=moderated]"))
        .await;
    let choice = &moderated["choices"][0];
    assert_eq!(choice["finish_reason"], "content_filter");
    assert_eq!(choice["message"]["refusal"], "The sandbox refuses.");
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
        let held = books.holds[1].amount;
        assert_eq!(books.settles[1].amount, held, "no more than was held");
        assert!(books.settles[2].amount > 0);
    }
    house.app.settled().await;
}
