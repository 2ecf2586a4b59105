//! What an operator is told of refusals: a figure and a line each, and nothing of the URL.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};
use upstream::Purpose;

use crate::dns::NameServer;
use crate::inside::Watch;
use crate::never::{fetch, post, zones};
use crate::server::{Server, answer};

/// The lines of the log, each with all of its fields.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, " {}={value:?}", field.name()).unwrap();
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("upstream")
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn a_refusal_is_counted_and_logged_once_without_anything_of_its_url() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let dns = NameServer::start(zones).await;
    let settings = json!({ "schemes": "http,https", "nameservers": dns.addr.to_string() });
    let client = Watch::default().client(settings);
    let mut registry = Registry::default();
    client.register(&mut registry, "egress_refusals");
    let (inputs, outputs) = (
        client.on_behalf_of(Purpose::Input),
        client.on_behalf_of(Purpose::Output),
    );
    let caps = upstream::Caps {
        timeout: std::time::Duration::from_secs(10),
        max_bytes: 1,
        redirects: upstream::Redirects::Refuse,
    };
    client
        .check("http://10.0.0.1/hook?s3cret")
        .await
        .unwrap_err();
    client.admit("https://s3cret:pw@example.com/").unwrap_err();
    inputs
        .check("http://metadata.example/s3cret")
        .await
        .unwrap_err();
    inputs.check_form("http://s3cret.internal/").unwrap_err();
    fetch(&outputs, "http://mixed.example/s3cret", &caps)
        .await
        .unwrap_err();
    let posted = post(&client, "http://crowd.example/s3cret").await;
    assert_eq!(crate::never::reason(posted), "too_many_addresses");
    // What leads nowhere is no refusal.
    fetch(&outputs, "http://missing.example/", &caps)
        .await
        .unwrap_err();
    let expected = [
        ("callback", "literal", "a private address"),
        ("callback", "credentials", "any"),
        ("input", "resolved", "a name"),
        ("input", "name", "an internal name"),
        ("output", "resolved", "a name"),
        ("callback", "too_many_addresses", "a name"),
    ];
    let logged = lines.0.lock().unwrap().clone();
    let line = |(purpose, reason, host): (&str, &str, &str)| {
        format!(
            "INFO message=the egress guard refused a URL purpose={purpose:?} reason={reason:?} host={host:?}"
        )
    };
    assert_eq!(logged, expected.map(line));
    let mut figures = String::new();
    encode(&mut figures, &registry).unwrap();
    for (purpose, reason, _) in expected {
        let figure =
            format!("egress_refusals_total{{purpose=\"{purpose}\",reason=\"{reason}\"}} 1\n");
        assert!(figures.contains(&figure), "{figure}{figures}");
    }
    assert!(
        !figures.contains("s3cret") && !figures.contains("example"),
        "{figures}"
    );
}

#[tokio::test]
async fn a_redirect_that_is_refused_is_told_once() {
    let server = Server::start_on(crate::never::PUBLIC, |_, _| {
        vec![answer(
            "302 Found",
            "location: http://169.254.169.254/s3cret\r\n",
            "",
        )]
    })
    .await;
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let client = Watch::default().client(json!({ "allow": crate::never::PUBLIC }));
    let caps = upstream::Caps {
        timeout: std::time::Duration::from_secs(10),
        max_bytes: 1,
        redirects: upstream::Redirects::Follow,
    };
    fetch(&client, &server.url("/"), &caps).await.unwrap_err();
    let logged = lines.0.lock().unwrap().clone();
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert!(
        logged[0].contains("a link-local address") && !logged[0].contains("s3cret"),
        "{logged:?}"
    );
}
