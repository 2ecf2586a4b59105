//! Traces, as the operator's collector gets them: one from the request to the webhook, whatever processes it crosses.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testkit::{Aio, Answer, Api, Collector, Shape, Sink, TraceSpan, eventually, micros};

use crate::say::{chat, image_calling};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
/// What a customer sends who keeps no trace of it: what the operator keeps is not the customer's to say.
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

async fn traced() -> Result<(Collector, Aio)> {
    let collector = Collector::start().await?;
    let settings = collector.settings();
    let settings = settings
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    Ok((collector, Aio::with(&settings).await?))
}

async fn submit(api: &Api, path: &str, body: &Value) -> Result<Value> {
    let headers = [("traceparent", TRACEPARENT)];
    let reply = api.post_with(path, &headers, body).await?;
    ensure!(reply.status < 300, "{} {}", reply.status, reply.json()?);
    reply.json()
}

fn named<'a>(spans: &'a [TraceSpan], name: &str) -> Result<&'a TraceSpan> {
    let span = spans.iter().find(|span| span.name == name);
    span.with_context(|| format!("no span {name}"))
}

/// Which process did what: one for everything, or the role's own.
fn check_processes(spans: &[TraceSpan], roles: &[(&str, &str)]) -> Result<()> {
    let shape = Shape::of_this_run()?;
    for (name, role) in roles {
        let expected = match shape {
            Shape::Embedded => "aio".to_owned(),
            Shape::Split | Shape::Split3 => format!("aio-{role}"),
        };
        assert_eq!(named(spans, name)?.service, expected, "{name}");
    }
    Ok(())
}

/// Neither prompts nor keys nor customers' addresses.
fn check_secrecy(collector: &Collector) {
    for body in collector.bodies() {
        let text = String::from_utf8_lossy(&body);
        for word in [
            "[sandbox",
            "a fox",
            "aio_test_",
            "/hook",
            "mine=1",
            "whsec_",
        ] {
            assert!(!text.contains(word), "a span says {word:?}");
        }
    }
}

#[tokio::test]
async fn a_task_is_one_trace_from_the_request_to_the_webhook() -> Result<()> {
    let (collector, aio) = traced().await?;
    let api = aio.account(100).await?.api;
    let sink = Sink::start(Answer::Status(204)).await?;
    let body = image_calling("a fox [sandbox delay=100ms]", &sink.url("/hook?mine=1"));
    submit(&api, "/images/generations", &body).await?;
    let roles = [
        ("POST /api/v1/images/generations", "edge"),
        ("aio.media.v1.Media/Submit", "media"),
        ("aio.billing.v1.Billing/Hold", "billing"),
        ("tell run", "media"),
        ("step", "media"),
        ("tell settle", "media"),
        ("aio.billing.v1.Billing/Settle", "billing"),
        ("tell ended", "media"),
        ("aio.webhooks.v1.Webhooks/Publish", "webhooks"),
        ("deliver", "webhooks"),
    ];
    let names = roles.map(|(name, _)| name);
    let spans = collector.trace(TRACEPARENT, &names).await?;
    check_processes(&spans, &roles)?;
    let request = named(&spans, "POST /api/v1/images/generations")?;
    assert_eq!(request.parent, "00f067aa0ba902b7");
    assert_eq!(request.field("http.route"), "/api/v1/images/generations");
    assert_eq!(request.field("http.response.status_code"), "202");
    let deliver = named(&spans, "deliver")?;
    assert_eq!(deliver.field("http.response.status_code"), "204");
    let providers = |operation: &str| {
        let asked = spans
            .iter()
            .filter(|span| span.field("gen_ai.operation.name") == operation);
        asked
            .map(|span| span.field("gen_ai.provider.name").to_owned())
            .next()
    };
    assert_eq!(providers("submit").as_deref(), Some("bfl"));
    assert_eq!(providers("check").as_deref(), Some("bfl"));
    // The customer's endpoint learns nothing of it.
    for received in sink.wait_for(1).await? {
        assert_eq!(received.header("traceparent"), "");
    }
    let said = format!("\"trace_id\":\"{TRACE}\"");
    eventually("the log names the trace", async || {
        Ok(aio.stderr()?.contains(&said).then_some(()))
    })
    .await?;
    check_secrecy(&collector);
    aio.finish().await
}

#[tokio::test]
async fn a_chat_is_one_trace_from_the_request_to_the_charge() -> Result<()> {
    let (collector, aio) = traced().await?;
    let api = aio.account(100).await?.api;
    let answer = submit(&api, "/chat/completions", &chat("a fox")).await?;
    let roles = [
        ("POST /api/v1/chat/completions", "edge"),
        ("aio.chat.v1.Chat/Complete", "chat"),
        ("chat gemini", "chat"),
        ("chat gemini-3-flash", "chat"),
        ("aio.billing.v1.Billing/Hold", "billing"),
        ("aio.billing.v1.Billing/Settle", "billing"),
    ];
    let names = roles.map(|(name, _)| name);
    let spans = collector.trace(TRACEPARENT, &names).await?;
    check_processes(&spans, &roles)?;
    let (served, asked) = (
        named(&spans, "chat gemini")?,
        named(&spans, "chat gemini-3-flash")?,
    );
    assert_eq!(asked.parent, served.id);
    let usage = |name: &str| answer["usage"][name].to_string();
    let (read, written) = (usage("prompt_tokens"), usage("completion_tokens"));
    for span in [served, asked] {
        for (attribute, value) in [
            ("gen_ai.operation.name", "chat"),
            ("gen_ai.provider.name", "gcp.gemini"),
            ("gen_ai.usage.input_tokens", read.as_str()),
            ("gen_ai.usage.output_tokens", written.as_str()),
            ("error.type", ""),
        ] {
            assert_eq!(span.field(attribute), value, "{attribute} of {}", span.name);
        }
    }
    for (attribute, value) in [
        ("gen_ai.request.model", "gemini-3-flash"),
        ("gen_ai.request.max_tokens", "8192"),
        ("gen_ai.response.model", "gemini-3-flash"),
        ("gen_ai.response.finish_reasons", "[\"stop\"]"),
    ] {
        assert_eq!(asked.field(attribute), value, "{attribute}");
    }
    assert_eq!(served.field("gen_ai.request.model"), "gemini");
    let cost = micros(&answer["credits_consumed"])?.to_string();
    assert_eq!(served.field("aio.cost.microcredits"), cost);
    check_secrecy(&collector);
    aio.finish().await
}

/// Whether the cache had an answer stands in the request's own span.
#[tokio::test]
async fn what_the_cache_had_is_told() -> Result<()> {
    let (collector, aio) = traced().await?;
    let api = aio.account(100).await?.api;
    let mut traces = 0_u8;
    let mut asked = Vec::new();
    let hit = eventually("a hit", async || {
        traces = traces.saturating_add(1);
        let traceparent = TRACEPARENT.replacen("4bf9", &format!("{traces:04x}"), 1);
        let headers = [("traceparent", traceparent.as_str()), ("x-aio-cache", "on")];
        let reply = api
            .post_with("/chat/completions", &headers, &chat("a fox"))
            .await?;
        let is_hit = reply.header("x-aio-cache") == "hit";
        asked.push(traceparent);
        Ok(is_hit.then(|| asked.pop()).flatten())
    });
    let hit = hit.await?;
    let missed = asked.first().context("no miss")?;
    for (traceparent, word) in [(missed, "miss"), (&hit, "hit")] {
        let spans = collector.trace(traceparent, &["chat gemini"]).await?;
        let served = named(&spans, "chat gemini")?;
        assert_eq!(served.field("aio.cache"), word);
        let calls = named(&spans, "chat gemini-3-flash");
        assert_eq!(calls.is_ok(), word == "miss");
        let cost = served.field("aio.cost.microcredits");
        assert_eq!(cost == "0", word == "hit", "{cost}");
    }
    check_secrecy(&collector);
    aio.finish().await
}

/// A stream that breaks off, and a provider that refuses: both spans say why.
#[tokio::test]
async fn what_goes_wrong_is_told_where_it_does() -> Result<()> {
    let (collector, aio) = traced().await?;
    let api = aio.account(100).await?.api;
    for (trace, outcome, stream, why) in [
        ("1", "cut", true, ["upstream_cut", "upstream_cut"]),
        ("2", "overloaded", false, ["overloaded", "overloaded"]),
    ] {
        let traceparent = TRACEPARENT.replacen('4', trace, 1);
        let headers = [("traceparent", traceparent.as_str())];
        let mut body = chat(&format!("a fox [sandbox outcome={outcome}]"));
        body["stream"] = stream.into();
        api.post_with("/chat/completions", &headers, &body).await?;
        let names = ["chat gemini", "chat gemini-3-flash"];
        let spans = collector.trace(&traceparent, &names).await?;
        for (name, why) in names.into_iter().zip(why) {
            assert_eq!(named(&spans, name)?.field("error.type"), why, "{name}");
        }
    }
    check_secrecy(&collector);
    aio.finish().await
}

/// The last spans leave when the process stops, whatever the interval.
#[tokio::test]
async fn the_last_spans_are_exported_at_the_end() -> Result<()> {
    let (collector, mut aio) = {
        let collector = Collector::start().await?;
        let settings = collector.settings();
        let [(endpoint, address), (interval, _)] = &settings;
        let settings = [(*endpoint, address.as_str()), (*interval, "1h")];
        (collector, Aio::with(&settings).await?)
    };
    let api = aio.account(100).await?.api;
    submit(&api, "/chat/completions", &chat("a fox")).await?;
    assert!(collector.bodies().is_empty(), "it waits for more");
    assert!(aio.stop().await?.success());
    let names = ["POST /api/v1/chat/completions", "chat gemini"];
    collector.trace(TRACEPARENT, &names).await?;
    aio.finish().await
}

/// A collector that is away costs its spans and a line of the log, and nothing else.
#[tokio::test]
async fn a_collector_that_is_away_holds_nobody_up() -> Result<()> {
    let settings = [
        ("AIO_TELEMETRY__OTLP_ENDPOINT", "http://127.0.0.1:9"),
        ("AIO_TELEMETRY__EXPORT_INTERVAL", "50ms"),
    ];
    let aio = Aio::with(&settings).await?;
    let api = aio.account(100).await?.api;
    submit(&api, "/chat/completions", &chat("a fox")).await?;
    let said = "the collector takes no traces";
    eventually("the log says so", async || {
        Ok(aio.stderr()?.contains(said).then_some(()))
    })
    .await?;
    submit(&api, "/chat/completions", &chat("a fox")).await?;
    aio.finish().await
}
