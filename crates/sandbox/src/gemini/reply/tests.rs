//! What is answered to a prompt.

use super::*;
use crate::{directive, gemini::request};

/// The answer to a prompt, with these extra fields in the request.
fn check(prompt: &str, extra: &Value) -> Reply {
    let mut body = json!({ "contents": [{ "role": "user", "parts": [{ "text": prompt }] }] });
    for (key, value) in extra.as_object().unwrap() {
        body[key] = value.clone();
    }
    let asked = request::read(body.to_string().as_bytes(), "gemini-3").unwrap();
    let bounds = directive::Bounds {
        max_delay: std::time::Duration::from_secs(1),
        max_tokens: 1_000,
    };
    let directive = directive::parse(prompt, &bounds);
    let identity = Identity {
        id: "r1".to_owned(),
        call_id: "c".to_owned(),
        signature: format!("{SIGNATURE}1"),
        model: "gemini-3".to_owned(),
    };
    Reply::plan(&asked, &directive, identity)
}

fn limit(tokens: u32) -> Value {
    json!({ "generationConfig": { "maxOutputTokens": tokens } })
}

#[test]
fn tokens_are_those_of_the_text_up_to_the_limit() {
    for (directive, most, output, finish) in [
        ("[sandbox tokens=20]", 500, json!(20), "STOP"),
        ("[sandbox tokens=20]", 20, json!(20), "STOP"),
        ("[sandbox tokens=20]", 5, json!(5), "MAX_TOKENS"),
        ("[sandbox tokens=0]", 5, Value::Null, "STOP"),
    ] {
        let reply = check(directive, &limit(most));
        let response = reply.response();
        assert_eq!(response["usageMetadata"]["candidatesTokenCount"], output);
        assert_eq!(response["candidates"][0]["finishReason"], finish);
        // A stream says the same, and reports the same at its end.
        let events = reply.events();
        let last = events.last().unwrap();
        assert_eq!(last["usageMetadata"], response["usageMetadata"]);
        let said = |response: &Value| {
            let text = &response["candidates"][0]["content"]["parts"][0]["text"];
            text.as_str().unwrap_or_default().to_owned()
        };
        let told: String = events.iter().map(said).collect();
        assert_eq!(told, said(&response));
    }
}

#[test]
fn thoughts_count_and_are_shown_as_asked() {
    for (thinking, shown) in [
        (json!({ "includeThoughts": true }), 1),
        (json!({ "thinkingLevel": "HIGH" }), 0),
    ] {
        let extra = json!({ "generationConfig": { "thinkingConfig": thinking } });
        let response = check("[sandbox tokens=20]", &extra).response();
        let parts = response["candidates"][0]["content"]["parts"]
            .as_array()
            .unwrap();
        assert_eq!(
            parts.iter().filter(|part| part["thought"] == true).count(),
            shown
        );
        assert_eq!(
            parts.last().unwrap()["thoughtSignature"],
            format!("{SIGNATURE}1")
        );
        assert_eq!(response["usageMetadata"]["thoughtsTokenCount"], 5);
        assert_eq!(response["usageMetadata"]["candidatesTokenCount"], 20);
    }
    let extra = json!({ "generationConfig": { "thinkingConfig": { "thinkingLevel": "MINIMAL" } } });
    let response = check("x", &extra).response();
    assert!(response["usageMetadata"]["thoughtsTokenCount"].is_null());
}

#[test]
fn calls_come_at_once_and_the_first_is_signed() {
    let declared = ["f", "g"].map(|name| json!({ "name": name }));
    let tools = json!([{ "functionDeclarations": declared }]);
    for (names, expected) in [(json!([]), vec!["f"]), (json!(["f", "g"]), vec!["f", "g"])] {
        let calling = json!({ "mode": "ANY", "allowedFunctionNames": names });
        let extra = json!({ "tools": tools, "toolConfig": { "functionCallingConfig": calling } });
        let response = check("x", &extra).response();
        let parts = response["candidates"][0]["content"]["parts"]
            .as_array()
            .unwrap();
        let called: Vec<_> = parts
            .iter()
            .map(|part| part["functionCall"]["name"].clone())
            .collect();
        assert_eq!(called, expected);
        let signed = parts
            .iter()
            .filter(|part| part["thoughtSignature"].is_string());
        assert_eq!(signed.count(), 1);
        assert!(parts[0]["thoughtSignature"].is_string());
    }
}

#[test]
fn the_outcomes_that_are_answers() {
    let blocked = check("[sandbox outcome=moderated]", &json!({})).response();
    let candidate = &blocked["candidates"][0];
    assert_eq!(
        (&candidate["content"]["parts"], &candidate["finishReason"]),
        (&json!([]), &json!("SAFETY"))
    );
    let late = check("[sandbox outcome=moderated tokens=3]", &json!({})).events();
    assert_eq!(late.len(), 3 + 1);
    assert_eq!(late[3]["candidates"][0]["finishReason"], "SAFETY");
    let over = check("[sandbox outcome=overreport]", &limit(100)).response();
    assert_eq!(over["usageMetadata"]["candidatesTokenCount"], 2_000);
    let extra = json!({ "generationConfig": { "responseMimeType": "application/json", "candidateCount": 2 } });
    let response = check("[sandbox tokens=40]", &extra).response();
    assert_eq!(response["candidates"].as_array().unwrap().len(), 2);
    assert_eq!(response["usageMetadata"]["candidatesTokenCount"], 80);
    let text = response["candidates"][1]["content"]["parts"][0]["text"]
        .as_str()
        .unwrap();
    assert!(serde_json::from_str::<Value>(text).unwrap()["sandbox"].is_string());
}
