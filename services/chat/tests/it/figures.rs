//! What the metrics say of requests: by OpenTelemetry's conventions for generative models, with labels of the catalogue alone.

use domain::{Catalogue, Mode};

use crate::{
    app::{App, Collected},
    provider::{End, Reply},
};

const STREAM: &str = r#"{"model":"gemini-3-flash","messages":[{"role":"user","content":"foxes?"}],"stream":true,"user":"somebody"}"#;
const EMBEDDING: &str = r#"{"model":"text-embedding-3-small","input":"foxes?"}"#;
const VECTOR: &str = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5]}],"model":"m","usage":{"prompt_tokens":3,"total_tokens":3}}"#;

/// A stream of these tokens, of which two are thoughts, and some of the input was in the cache.
fn tokens(count: usize) -> String {
    let text = "data: {\"model\":\"m-1\",\"choices\":[{\"delta\":{\"content\":\"abcd\"}}]}\n\n";
    let usage = "{\"prompt_tokens\":70,\"completion_tokens\":20,\"prompt_tokens_details\":{\"cached_tokens\":30},\
                 \"completion_tokens_details\":{\"reasoning_tokens\":2}}";
    format!(
        "{}data: {{\"choices\":[{{\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\n\
         data: {{\"choices\":[],\"usage\":{usage}}}\n\ndata: [DONE]\n\n",
        text.repeat(count)
    )
}

/// A series with these labels: what follows them on their line.
fn value(app: &App, series: &str) -> String {
    let text = app.metrics();
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.unwrap_or_else(|| panic!("no {series} in\n{text}"))
        .trim()
        .to_owned()
}

fn labels(operation: &str, provider: &str, model: &str, more: &str) -> String {
    format!(
        "{{gen_ai_operation_name=\"{operation}\",gen_ai_provider_name=\"{provider}\",gen_ai_request_model=\"{model}\"{more}}}"
    )
}

#[tokio::test]
async fn a_stream_is_counted_as_the_conventions_say() {
    let app = App::answering(Reply::stream(&tokens(3), End::Close)).await;
    app.collect(STREAM).await;
    app.settled().await;
    let asked = |more: &str| labels("chat", "gcp.gemini", "gemini-3-flash", more);
    let served = |more: &str| labels("chat", "gcp.gemini", "gemini", more);
    for (name, labels, expected) in [
        (
            "gen_ai_client_token_usage_sum",
            asked(",gen_ai_token_type=\"input\""),
            "70.0",
        ),
        (
            "gen_ai_client_token_usage_sum",
            asked(",gen_ai_token_type=\"output\""),
            "20.0",
        ),
        (
            "gen_ai_client_operation_duration_seconds_count",
            asked(",error_type=\"\""),
            "1",
        ),
        (
            "gen_ai_server_request_duration_seconds_count",
            served(",error_type=\"\""),
            "1",
        ),
        (
            "gen_ai_server_time_to_first_token_seconds_count",
            served(""),
            "1",
        ),
        (
            "gen_ai_server_time_per_output_token_seconds_count",
            served(""),
            "1",
        ),
        (
            "aio_chat_overhead_seconds_count",
            "{phase=\"before\"}".to_owned(),
            "1",
        ),
        (
            "aio_chat_overhead_seconds_count",
            "{phase=\"after\"}".to_owned(),
            "1",
        ),
    ] {
        assert_eq!(value(&app, &format!("{name}{labels}")), expected, "{name}");
    }
    let text = app.metrics();
    assert!(
        !text.contains("somebody") && !text.contains("m-1"),
        "{text}"
    );
}

#[tokio::test]
async fn failures_are_counted_by_why() {
    let broken = tokens(3);
    let (broken, _) = broken.split_once("data: [DONE]").unwrap();
    let broken = &broken[..broken.find("data: {\"choices\":[],").unwrap()];
    for (reply, why) in [
        (Reply::stream(broken, End::Break), "upstream_cut"),
        (Reply::whole(503, "{}"), "overloaded"),
    ] {
        let app = App::answering(reply).await;
        match app.ask(STREAM).await {
            Ok(events) => drop(Collected::of(events).await),
            Err(status) => drop(status),
        }
        app.settled().await;
        let error = format!(",error_type=\"{why}\"");
        let asked = labels("chat", "gcp.gemini", "gemini-3-flash", &error);
        let name = "gen_ai_client_operation_duration_seconds_count";
        assert_eq!(value(&app, &format!("{name}{asked}")), "1");
        let served = labels("chat", "gcp.gemini", "gemini", "");
        let name = "gen_ai_server_time_to_first_token_seconds_count";
        assert_eq!(value(&app, &format!("{name}{served}")), "0");
    }
}

#[tokio::test]
async fn embeddings_have_no_output() {
    let app = App::with("", Catalogue::built_in().unwrap()).await;
    app.provider.will(Reply::whole(200, VECTOR));
    let mut request = App::request(EMBEDDING, Mode::Test, &[]);
    request.route = "embeddings".to_owned();
    Collected::of(app.send(request).await.unwrap()).await;
    app.settled().await;
    let input = labels(
        "embeddings",
        "openai",
        "text-embedding-3-small",
        ",gen_ai_token_type=\"input\"",
    );
    assert_eq!(
        value(&app, &format!("gen_ai_client_token_usage_sum{input}")),
        "3.0"
    );
    let output = input.replace("\"input\"", "\"output\"");
    assert_eq!(
        value(&app, &format!("gen_ai_client_token_usage_count{output}")),
        "0"
    );
}
