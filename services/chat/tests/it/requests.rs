//! Requests that cannot be served: refused before any money moves, with a code and a field each.

use domain::Mode;
use proto::{Code, Fault, code};

use crate::app::App;

const HI: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

async fn check(body: &str, expected: Code, param: Option<&str>, says: &str) {
    let app = App::start().await;
    let fault = app.refused(body).await;
    assert_eq!(fault.code, expected, "{body}: {fault}");
    assert_eq!(fault.param.as_deref(), param, "{body}");
    assert!(fault.message.contains(says), "{body}: {}", fault.message);
    assert!(app.billing.books().holds.is_empty());
    app.settled().await;
}

#[tokio::test]
async fn each_mistake_has_its_code_its_field_and_a_helpful_message() {
    check("{", code::INVALID_JSON, None, "not valid JSON").await;
    check("[]", code::INVALID_JSON, None, "one JSON object").await;
    check(
        "{}",
        code::MISSING_PARAMETER,
        Some("model"),
        "model is required",
    )
    .await;
    check(
        r#"{"model":"gemini"}"#,
        code::MISSING_PARAMETER,
        Some("messages"),
        "messages is required",
    )
    .await;
    check(
        &format!(r#"{{"model":7,{HI}}}"#),
        code::INVALID_PARAMETER,
        Some("model"),
        "must be a text",
    )
    .await;
    let no_role =
        r#"{"model":"gemini","messages":[{"role":"user","content":"a"},{"content":"b"}]}"#;
    check(
        no_role,
        code::MISSING_PARAMETER,
        Some("messages[1].role"),
        "is required",
    )
    .await;
    let too_much = format!(r#"{{"model":"gemini",{HI},"max_tokens":65537}}"#);
    check(
        &too_much,
        code::INVALID_PARAMETER,
        Some("max_tokens"),
        "at most 65536 for gemini",
    )
    .await;
    let stream = format!(r#"{{"model":"gemini",{HI},"stream":"yes"}}"#);
    check(
        &stream,
        code::INVALID_PARAMETER,
        Some("stream"),
        "true or false",
    )
    .await;
}

#[tokio::test]
async fn an_unknown_model_is_told_what_there_is() {
    let unknown = format!(r#"{{"model":"gpt-0",{HI}}}"#);
    check(
        &unknown,
        code::UNKNOWN_MODEL,
        Some("model"),
        "/api/v1/chat/completions serves gemini",
    )
    .await;
    let elsewhere = format!(r#"{{"model":"flux-2",{HI}}}"#);
    check(
        &elsewhere,
        code::UNKNOWN_MODEL,
        Some("model"),
        "/api/v1/images/generations",
    )
    .await;
}

#[tokio::test]
async fn several_mistakes_are_told_at_once() {
    let app = App::start().await;
    let fault = app.refused(r#"{"stream":1,"n":0}"#).await;
    let params: Vec<_> = fault
        .violations
        .iter()
        .map(|violation| violation.param.as_str())
        .collect();
    assert_eq!(params, ["model", "messages", "stream", "n"]);
}

#[tokio::test]
async fn a_key_uses_only_the_models_of_its_list() {
    let app = App::start().await;
    let body = format!(r#"{{"model":"gemini",{HI}}}"#);
    let ask = |models: &'static [&'static str]| app.send(App::request(&body, Mode::Test, models));
    let fault = Fault::from(ask(&["flux-2"]).await.err().unwrap());
    assert_eq!(
        (fault.code, fault.param.as_deref()),
        (code::MODEL_NOT_ALLOWED, Some("model"))
    );
    app.provider
        .will(crate::provider::Reply::whole(200, r#"{"choices":[]}"#));
    assert!(
        ask(&["flux-2", "gemini-3-flash"]).await.is_ok(),
        "an alias on the list is the model"
    );
}

#[tokio::test]
async fn a_live_key_without_a_provider_is_told_which_setting_is_missing() {
    let app = App::start().await;
    let body = format!(r#"{{"model":"gemini",{HI}}}"#);
    let fault = Fault::from(
        app.send(App::request(&body, Mode::Live, &[]))
            .await
            .err()
            .unwrap(),
    );
    assert_eq!(fault.code, code::NO_PROVIDER);
    assert!(
        fault.message.contains("providers.gemini.api_key"),
        "{}",
        fault.message
    );
    assert!(
        fault.message.contains("GEMINI_API_KEY"),
        "{}",
        fault.message
    );
}

#[tokio::test]
async fn a_malformed_message_of_a_peer_is_not_the_customers_fault() {
    let app = App::start().await;
    let mut request = App::request("{}", Mode::Test, &[]);
    request.operation_id = vec![1, 2, 3].into();
    let fault = Fault::from(app.send(request).await.err().unwrap());
    assert_eq!(fault.code, code::INTERNAL);
}

#[tokio::test]
async fn a_url_that_leads_inside_is_refused_wherever_it_is_named_and_whatever_stands_before_it() {
    let part = |before: &str| {
        format!(
            r#"{{"model":"gemini","messages":[{{"role":"user","content":[{{"type":"image_url",{before}"image_url":{{"url":"http://169.254.169.254/"}}}}]}}]}}"#
        )
    };
    let tool = format!(
        r#"{{"model":"gemini",{HI},"tools":[{{"type":"mcp","server_url":"https://10.0.0.1/"}}]}}"#
    );
    let url = "messages[0].content[0].image_url.url";
    check(&part(""), code::FORBIDDEN_URL, Some(url), "is refused").await;
    let server = Some("tools[0].server_url");
    check(&tool, code::FORBIDDEN_URL, server, "is refused").await;
    let deep = format!("{}{}", "[".repeat(130), "]".repeat(130));
    for odd in ["1e999", r#""\ud800""#, deep.as_str()] {
        let body = part(&format!(r#""a":{odd},"#));
        let place = Some("messages[0].content[0]");
        check(&body, code::INVALID_PARAMETER, place, "must be plain JSON").await;
    }
}
