//! Tables of what a request becomes.

use serde_json::{Value, json};
use upstream::{EgressConfig, GuardedClient};

use super::*;
use crate::{InputLimits, providers::Urls, request};

/// What Gemini is asked for a request with these members, beside the model and one message.
fn asked(extra: &Value) -> Result<Value, Problem> {
    asked_of("gemini-3-flash", extra)
}

fn asked_of(model: &str, extra: &Value) -> Result<Value, Problem> {
    let mut body = json!({"model": "gemini", "messages": [{"role": "user", "content": "hi"}]});
    for (name, value) in extra.as_object().unwrap() {
        body[name] = value.clone();
    }
    let body = Bytes::from(body.to_string());
    let request = request::parse(&body, 8).unwrap();
    let order = Order {
        body: &body,
        request: &request,
        max_output: 99,
        urls: Urls::Shown,
    };
    let guard = GuardedClient::new(&EgressConfig::default()).unwrap();
    let inputs = Inputs::new(guard, InputLimits::default());
    let asker = Asker {
        inputs: &inputs,
        model,
    };
    Ok(serde_json::from_slice(&asker.translate(order)?).unwrap())
}

/// Members of a request, and where in what Gemini is asked a value is expected.
fn check(rows: &[(Value, &str, Value)]) {
    for (extra, at, expected) in rows {
        let asked = asked(extra).unwrap();
        let found = asked.pointer(at).unwrap_or(&Value::Null);
        assert_eq!(found, expected, "{extra} {at}");
    }
}

/// Members of a request, their values, and the parameter that is named.
fn refused(rows: &[(&str, Value, &str)]) {
    for (name, value, param) in rows {
        let problem = asked(&json!({*name: value})).unwrap_err();
        assert_eq!(problem.param, *param, "{name}: {value}");
        assert!(
            !problem.message.contains("secret"),
            "no content in an error"
        );
    }
}

#[test]
fn the_smallest_request() {
    let hi = json!([{"role": "user", "parts": [{"text": "hi"}]}]);
    assert_eq!(
        asked(&json!({})).unwrap(),
        json!({"contents": hi, "generationConfig": {"maxOutputTokens": 99}})
    );
}

#[test]
fn each_parameter_in_geminis_words() {
    let config = |name: &str| format!("/generationConfig/{name}");
    for (extra, name, expected) in [
        (json!({"max_tokens": 5000}), "maxOutputTokens", json!(99)),
        (json!({"temperature": 1.25}), "temperature", json!(1.25)),
        (json!({"top_p": 1}), "topP", json!(1)),
        (json!({"top_k": 40}), "topK", json!(40)),
        (json!({"seed": -7}), "seed", json!(-7)),
        (json!({"n": 1}), "candidateCount", Value::Null),
        (json!({"n": 3}), "candidateCount", json!(3)),
        (
            json!({"presence_penalty": -2}),
            "presencePenalty",
            json!(-2),
        ),
        (
            json!({"frequency_penalty": 0.5}),
            "frequencyPenalty",
            json!(0.5),
        ),
        (json!({"stop": "a"}), "stopSequences", json!(["a"])),
        (
            json!({"stop": ["a", "b"]}),
            "stopSequences",
            json!(["a", "b"]),
        ),
        (json!({"stop": null}), "stopSequences", Value::Null),
    ] {
        check(&[(extra, &config(name), expected)]);
    }
}

#[test]
fn the_form_of_the_answer_in_geminis_words() {
    let schema = json!({"type": "object"});
    let harm = json!({"category": "HARM_CATEGORY_JAILBREAK", "threshold": "OFF"});
    let config = |name: &str| format!("/generationConfig/{name}");
    let format = json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}});
    for (extra, name, expected) in [
        (json!({"logprobs": true}), "responseLogprobs", json!(true)),
        (
            json!({"logprobs": false, "top_logprobs": 0}),
            "responseLogprobs",
            Value::Null,
        ),
        (
            json!({"logprobs": true, "top_logprobs": 3}),
            "logprobs",
            json!(3),
        ),
        (
            json!({"response_format": {"type": "text"}}),
            "responseMimeType",
            Value::Null,
        ),
        (
            json!({"response_format": {"type": "json_object"}}),
            "responseMimeType",
            json!("application/json"),
        ),
        (
            format.clone(),
            "responseMimeType",
            json!("application/json"),
        ),
        (format, "responseJsonSchema", schema),
    ] {
        check(&[(extra, &config(name), expected)]);
    }
    check(&[
        (
            json!({"safety_settings": [harm]}),
            "/safetySettings/0",
            harm.clone(),
        ),
        (
            json!({"extra_body": {"google": {"safety_settings": [harm]}}}),
            "/safetySettings/0",
            harm,
        ),
    ]);
    // Our own labels stay with us, and hints are left out.
    let hints = json!({"metadata": {"team": "red"}, "user": "u", "store": true, "service_tier": "priority", "verbosity": "low",
        "prompt_cache_key": "k", "logit_bias": {}, "modalities": ["text"], "audio": null, "functions": [], "function_call": null,
        "parallel_tool_calls": false});
    assert_eq!(asked(&hints).unwrap(), asked(&json!({})).unwrap());
}

#[test]
fn tools_in_geminis_words() {
    let tool = |name: &str, strict: bool| json!({"type": "function", "function": {"name": name, "description": "d", "parameters": {"z": 1, "a": 2}, "strict": strict}});
    let bare = json!({"type": "function", "function": {"name": "g", "parameters": null}});
    check(&[
        (
            json!({"tools": [tool("f", false), bare]}),
            "/tools",
            json!([{"functionDeclarations": [{"name": "f", "description": "d", "parametersJsonSchema": {"z": 1, "a": 2}}, {"name": "g"}]}]),
        ),
        (json!({"tools": [bare]}), "/toolConfig", Value::Null),
    ]);
    let named = json!({"type": "function", "function": {"name": "f"}});
    let of = |mode: &str| json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": [named]}});
    for (choice, strict, mode, names) in [
        (json!("auto"), false, json!("AUTO"), Value::Null),
        (json!("none"), false, json!("NONE"), Value::Null),
        (json!("required"), false, json!("ANY"), Value::Null),
        (named.clone(), false, json!("ANY"), json!(["f"])),
        (of("required"), false, json!("ANY"), json!(["f"])),
        (of("auto"), false, json!("VALIDATED"), json!(["f"])),
        // What has to be as declared.
        (Value::Null, true, json!("VALIDATED"), Value::Null),
        (json!("auto"), true, json!("VALIDATED"), Value::Null),
        (json!("required"), true, json!("ANY"), Value::Null),
    ] {
        let extra = json!({"tools": [tool("f", strict)], "tool_choice": choice});
        let calling = "/toolConfig/functionCallingConfig";
        check(&[
            (extra.clone(), &format!("{calling}/mode"), mode),
            (extra, &format!("{calling}/allowedFunctionNames"), names),
        ]);
    }
}

#[test]
fn the_bytes_of_a_schema_are_the_customers() {
    let body = Bytes::from_static(
        br#"{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"z":1.0,  "a":2}}}]}"#,
    );
    let request = request::parse(&body, 8).unwrap();
    let order = Order {
        body: &body,
        request: &request,
        max_output: 9,
        urls: Urls::Unfetched,
    };
    let guard = GuardedClient::new(&EgressConfig::default()).unwrap();
    let inputs = Inputs::new(guard, InputLimits::default());
    let asker = Asker {
        inputs: &inputs,
        model: "up",
    };
    let asked = asker.translate(order).unwrap();
    let asked = std::str::from_utf8(&asked).unwrap();
    assert!(
        asked.contains(r#""parametersJsonSchema":{"z":1.0,  "a":2}"#),
        "{asked}"
    );
}

#[test]
fn effort_and_thoughts() {
    let google = |config: Value| json!({"extra_body": {"google": {"thinking_config": config}}});
    for (extra, expected) in [
        (json!({}), Value::Null),
        (json!({"reasoning_effort": null}), Value::Null),
        (
            json!({"include_thoughts": true}),
            json!({"includeThoughts": true}),
        ),
        (
            json!({"reasoning_effort": "low"}),
            json!({"thinkingLevel": "LOW"}),
        ),
        (
            json!({"reasoning_effort": "max", "include_thoughts": true}),
            json!({"includeThoughts": true, "thinkingLevel": "HIGH"}),
        ),
        (
            google(json!({"thinking_budget": -1})),
            json!({"thinkingBudget": -1}),
        ),
        (
            google(json!({"thinking_level": "low", "include_thoughts": true})),
            json!({"includeThoughts": true, "thinkingLevel": "LOW"}),
        ),
    ] {
        check(&[(extra, "/generationConfig/thinkingConfig", expected)]);
    }
}

#[test]
fn what_cannot_be_said_is_refused_by_its_name() {
    refused(&[
        ("logit_bias", json!({"7": 1}), "logit_bias"),
        ("modalities", json!(["text", "audio"]), "modalities"),
        ("audio", json!({"voice": "x"}), "audio"),
        ("web_search_options", json!({}), "web_search_options"),
        ("functions", json!([{"name": "f"}]), "functions"),
        ("function_call", json!("auto"), "function_call"),
        ("temperature", json!(2.5), "temperature"),
        ("temperature", json!("hot"), "temperature"),
        ("top_p", json!(-0.1), "top_p"),
        ("top_k", json!(0), "top_k"),
        ("seed", json!(4_294_967_296_u64), "seed"),
        ("presence_penalty", json!(3), "presence_penalty"),
        ("frequency_penalty", json!(-3), "frequency_penalty"),
        ("stop", json!(7), "stop"),
        ("stop", json!(["a", "b", "c", "d", "e", "f"]), "stop"),
        ("top_logprobs", json!(3), "top_logprobs"),
        ("logprobs", json!("yes"), "logprobs"),
    ]);
}

#[test]
fn tools_and_what_is_googles_are_refused_by_their_names() {
    let tool = |name: &str| json!([{"type": "function", "function": {"name": name}}]);
    let google = |google: Value| json!({"google": google});
    refused(&[
        ("tools", json!({}), "tools"),
        (
            "tools",
            json!([{"type": "custom", "custom": {"name": "x"}}]),
            "tools[0]",
        ),
        ("tools", tool("1f"), "tools[0].function.name"),
        ("tools", tool("f g"), "tools[0].function.name"),
        ("tools", tool(&"f".repeat(129)), "tools[0].function.name"),
        ("tool_choice", json!("any"), "tool_choice"),
        (
            "tool_choice",
            json!({"type": "allowed_tools"}),
            "tool_choice",
        ),
        (
            "response_format",
            json!({"type": "json_schema"}),
            "response_format",
        ),
        (
            "response_format",
            json!({"type": "grammar"}),
            "response_format",
        ),
        ("reasoning_effort", json!("huge"), "reasoning_effort"),
        (
            "safety_settings",
            json!([{"category": "x", "threshold": "OFF"}]),
            "safety_settings[0].category",
        ),
        (
            "safety_settings",
            json!([{"category": "HARM_CATEGORY_JAILBREAK", "threshold": "x"}]),
            "safety_settings[0].threshold",
        ),
        ("safety_settings", json!("off"), "safety_settings"),
        (
            "extra_body",
            google(json!({"cached_content": "cachedContents/x"})),
            "extra_body",
        ),
        ("extra_body", json!({"other": 1}), "extra_body"),
        (
            "extra_body",
            google(json!({"thinking_config": {"thinking_level": "LOW", "thinking_budget": 1}})),
            "extra_body.google.thinking_config",
        ),
        (
            "extra_body",
            google(json!({"thinking_config": {"thinking_level": "much"}})),
            "extra_body.google.thinking_config.thinking_level",
        ),
    ]);
    let both = json!({"reasoning_effort": "low", "extra_body": {"google": {"thinking_config": {"thinking_budget": 1}}}});
    assert_eq!(asked(&both).unwrap_err().param, "reasoning_effort");
}

#[test]
fn messages_that_cannot_be_said_are_refused_by_their_place() {
    let call = |arguments: &str| {
        json!([{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}]}])
    };
    refused(&[
        (
            "messages",
            json!([{"role": "function", "name": "f", "content": "x"}]),
            "messages[0].role",
        ),
        (
            "messages",
            json!([{"role": "system", "content": "x"}]),
            "messages",
        ),
        (
            "messages",
            json!([{"role": "user", "content": ""}]),
            "messages",
        ),
        (
            "messages",
            json!([{"role": "tool", "content": "x"}]),
            "messages[0].tool_call_id",
        ),
        (
            "messages",
            json!([{"role": "tool", "tool_call_id": "c", "content": "x"}]),
            "messages[0].tool_call_id",
        ),
        (
            "messages",
            call("[1]"),
            "messages[1].tool_calls[0].function.arguments",
        ),
        (
            "messages",
            call("{secret"),
            "messages[1].tool_calls[0].function.arguments",
        ),
    ]);
}

#[test]
fn parts_that_cannot_be_said_are_refused_by_their_place() {
    let user =
        |part: Value| json!([{"role": "user", "content": [{"type": "text", "text": "x"}, part]}]);
    let image = |url: &str| user(json!({"type": "image_url", "image_url": {"url": url}}));
    let place = "messages[0].content[1].image_url";
    refused(&[
        ("messages", image("data:image/gif;base64,AAAA"), place),
        ("messages", image("data:application/pdf;base64,AAAA"), place),
        ("messages", image("data:image/png,AAAA"), place),
        ("messages", image("secret"), place),
        ("messages", image("ftp://example.com/secret"), place),
        ("messages", image("http://example.com/secret.png"), place),
        ("messages", image("https://127.0.0.1/secret.png"), place),
        (
            "messages",
            user(json!({"type": "video_url", "video_url": {"url": "x"}})),
            "messages[0].content[1].type",
        ),
        (
            "messages",
            user(json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "midi"}})),
            "messages[0].content[1].input_audio.format",
        ),
        (
            "messages",
            user(json!({"type": "file", "file": {"filename": "f"}})),
            "messages[0].content[1].file.file_data",
        ),
        (
            "messages",
            user(json!({"type": "file", "file": {"file_data": "data:video/mp4;base64,AAAA"}})),
            "messages[0].content[1].file.file_data",
        ),
    ]);
}

/// The turns of these messages, said to a model.
fn turns(model: &str, messages: &Value) -> Value {
    asked_of(model, &json!({"messages": messages})).unwrap()["contents"].clone()
}

#[test]
fn a_conversation_in_geminis_turns() {
    let call = |id: &str, name: &str, signature: Option<&str>| {
        let mut call = json!({"id": id, "type": "function", "function": {"name": name, "arguments": "{\"a\": 1}"}});
        if let Some(signature) = signature {
            call["extra_content"] = json!({"google": {"thought_signature": signature}});
        }
        call
    };
    let result =
        |id: &str, content: Value| json!({"role": "tool", "tool_call_id": id, "content": content});
    let sound = json!({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}});
    let messages = json!([
        {"role": "user", "content": "one"},
        {"role": "user", "content": [{"type": "text", "text": ""}, {"type": "text", "text": "two"}, sound,
            {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,BBBB"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,CCCC"}}]},
        {"role": "assistant", "content": "let me", "tool_calls": [call("c1", "f", Some("s1")), call("c2", "g", None)]},
        result("c2", json!("two")),
        result("c1", json!([{"type": "text", "text": "o"}, {"type": "text", "text": "ne"}])),
        {"role": "user", "content": "so?"},
        {"role": "assistant", "content": "text", "extra_content": {"google": {"thought_signature": "s2"}}},
        {"role": "user", "content": "and?"},
        {"role": "assistant", "content": null, "extra_content": {"google": {"thought_signature": "s3"}}},
        {"role": "user", "content": "ok"},
    ]);
    let function = |id: &str, name: &str| json!({"id": id, "name": name, "args": {"a": 1}});
    let output = |id: &str, name: &str, output: &str| json!({"functionResponse": {"id": id, "name": name, "response": {"output": output}}});
    let inline = |kind: &str, data: &str| json!({"inlineData": {"mimeType": kind, "data": data}});
    let said = |role: &str, text: &str| json!({"role": role, "parts": [{"text": text}]});
    assert_eq!(
        turns("gemini-3-flash", &messages),
        json!([
            {"role": "user", "parts": [{"text": "one"}, {"text": "two"}, inline("audio/mp3", "AAAA"), inline("image/jpeg", "BBBB"),
                inline("application/pdf", "CCCC")]},
            {"role": "model", "parts": [{"text": "let me"}, {"functionCall": function("c1", "f"), "thoughtSignature": "s1"},
                {"functionCall": function("c2", "g")}]},
            {"role": "user", "parts": [output("c2", "g", "two"), output("c1", "f", "one")]},
            said("user", "so?"),
            {"role": "model", "parts": [{"text": "text", "thoughtSignature": "s2"}]},
            said("user", "and?"),
            {"role": "model", "parts": [{"text": "", "thoughtSignature": "s3"}]},
            said("user", "ok"),
        ])
    );
}

#[test]
fn a_call_that_nobody_signed_is_said_to_be_unsigned_where_that_is_demanded() {
    let calls = json!([{"id": "c", "function": {"name": "f", "arguments": ""}, "extra_content": {"other": 1}},
        {"id": "d", "function": {"name": "f", "arguments": "{}"}}]);
    let messages =
        json!([{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": calls}]);
    for (model, signature) in [
        ("gemini-3-flash", json!("skip_thought_signature_validator")),
        ("gemini-2.5-pro", Value::Null),
    ] {
        let turns = turns(model, &messages);
        let parts = &turns[1]["parts"];
        assert_eq!(parts[0]["thoughtSignature"], signature, "{model}");
        assert_eq!(parts[0]["functionCall"]["args"], json!({}));
        assert!(parts[1].get("thoughtSignature").is_none());
    }
}

#[test]
fn the_system_is_told_apart() {
    let messages = json!([{"role": "system", "content": "a"}, {"role": "user", "content": "x"},
        {"role": "developer", "content": [{"type": "text", "text": "b"}]}]);
    let asked = asked(&json!({"messages": messages})).unwrap();
    assert_eq!(
        asked["systemInstruction"],
        json!({"parts": [{"text": "a"}, {"text": "b"}]})
    );
}
