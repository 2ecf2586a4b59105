//! What a collector gets, and what crosses a process.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Router, extract::State, routing::post};
use bytes::Bytes;
use http::HeaderMap;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest, trace::v1::Span as Exported,
};
use prost::Message as _;
use tokio::net::TcpListener;
use tracing::{Instrument as _, Span, debug_span, info, info_span, subscriber::DefaultGuard};

use super::*;
use crate::Tasks;

const OUTSIDE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A collector that keeps what it gets, and the subscriber of this thread that exports to it.
struct Tracing {
    spans: Arc<Mutex<Vec<Exported>>>,
    provider: SdkTracerProvider,
    _subscriber: DefaultGuard,
}

async fn collect(State(spans): State<Arc<Mutex<Vec<Exported>>>>, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let scopes = request
        .resource_spans
        .into_iter()
        .flat_map(|resource| resource.scope_spans);
    spans
        .lock()
        .unwrap()
        .extend(scopes.flat_map(|scope| scope.spans));
}

async fn collector(spans: Arc<Mutex<Vec<Exported>>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/v1/traces", post(collect))
        .with_state(spans);
    let tasks = Tasks::default();
    let serving = crate::http::serve(
        listener,
        router,
        crate::http::Limits::default(),
        tasks.clone(),
    );
    tasks.spawn_detached(Span::none(), serving);
    address
}

impl Tracing {
    async fn start(sample_ratio: f64) -> Self {
        let spans = Arc::default();
        let address = collector(Arc::clone(&spans)).await;
        let config = Config {
            otlp_endpoint: Some(format!("http://{address}")),
            sample_ratio,
            ..Config::default()
        };
        let provider = export::provider(&config, "aio-test", &Handle::current())
            .unwrap()
            .unwrap();
        let subscriber = tracing_subscriber::registry().with(traces(&provider));
        Self {
            spans,
            _subscriber: tracing::subscriber::set_default(subscriber),
            provider,
        }
    }

    /// What arrived, by name.
    fn end(self) -> Vec<(String, Exported)> {
        self.provider.shutdown().unwrap();
        let spans = std::mem::take(&mut *self.spans.lock().unwrap());
        let named = spans.into_iter().map(|span| (span.name.clone(), span));
        let mut named: Vec<_> = named.collect();
        named.sort_by(|(one, _), (other, _)| one.cmp(other));
        named
    }
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn headers(traceparent: &str) -> HeaderMap {
    let value = traceparent.parse().unwrap();
    HeaderMap::from_iter([(http::HeaderName::from_static("traceparent"), value)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_on_over_headers_and_rows() {
    let traced = Tracing::start(1.0).await;
    let request = debug_span!(parent: None, "request", otel.kind = "server", http.route = "/x");
    adopt_customers(&headers(OUTSIDE), &request);
    let (sent, kept) = request.in_scope(|| {
        let mut sent = HeaderMap::new();
        // A span that is for the log alone does not come between.
        info_span!("log only").in_scope(|| inject(&mut sent));
        (sent, traceparent())
    });
    assert!(kept.starts_with(&format!("00-{TRACE}-")), "{kept}");
    assert_eq!(sent, headers(&kept));

    let call = debug_span!(parent: None, "call", otel.kind = "server");
    adopt(&sent, &call);
    call.in_scope(|| info!("not exported"));
    let later = debug_span!(parent: None, "later", otel.kind = "consumer");
    adopt_text(&later, &kept);
    async {}.instrument(later.clone()).await;
    drop((request, call, later));

    let spans = traced.end();
    let names: Vec<&str> = spans.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["call", "later", "request"]);
    for (name, span) in &spans {
        assert_eq!(hex(&span.trace_id), TRACE, "{name}");
        assert!(span.events.is_empty(), "{name} has events");
    }
    let parent = |index: usize| hex(&spans[index].1.parent_span_id);
    let request = hex(&spans[2].1.span_id);
    assert_eq!((parent(0), parent(1)), (request.clone(), request));
    assert_eq!(parent(2), "b7ad6b7169203331");
    assert_eq!(spans[2].1.attributes[0].key, "http.route");
}

/// As sqlx does before each statement, to see whether it should be logged.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_whether_something_is_logged_leaves_no_trace_behind() {
    let traced = Tracing::start(1.0).await;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::sink);
    let both = tracing_subscriber::registry()
        .with(traces(&traced.provider))
        .with(lines.with_filter(EnvFilter::new("info")));
    tracing::subscriber::with_default(both, || {
        assert!(!tracing::enabled!(target: "sqlx::query", tracing::Level::DEBUG));
        drop(info_span!("step", otel.kind = "consumer"));
    });
    assert_eq!(traced.end().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_parent_a_trace_begins() {
    let traced = Tracing::start(1.0).await;
    for text in ["", "nonsense", "00-0-0-01"] {
        let span = debug_span!(parent: None, "root", otel.kind = "server");
        adopt_text(&span, text);
        span.in_scope(|| assert!(!traceparent().is_empty()));
    }
    let spans = traced.end();
    assert_eq!(spans.len(), 3);
    for (_, span) in spans {
        assert!(span.parent_span_id.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_house_decides_what_is_kept_and_everybody_behind_follows() {
    // The customer keeps it, the house keeps nothing.
    let traced = Tracing::start(0.0).await;
    let request = debug_span!(parent: None, "request", otel.kind = "server");
    adopt_customers(&headers(OUTSIDE), &request);
    let kept = request.in_scope(traceparent);
    assert!(kept.starts_with(&format!("00-{TRACE}-")), "{kept}");
    assert!(kept.ends_with("-00"), "{kept}");
    // Behind the door, the flag holds.
    let call = debug_span!(parent: None, "call", otel.kind = "server");
    adopt_text(&call, OUTSIDE);
    drop((request, call));
    let names: Vec<String> = traced.end().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["call"]);

    // The customer does not keep it, the house keeps everything.
    let traced = Tracing::start(1.0).await;
    let request = debug_span!(parent: None, "request", otel.kind = "server");
    adopt_customers(&headers(&OUTSIDE.replace("-01", "-00")), &request);
    drop(request);
    assert_eq!(traced.end().len(), 1);
}

#[test]
fn without_a_collector_there_is_no_trace() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let none = export::provider(&Config::default(), "aio", runtime.handle());
    assert!(none.unwrap().is_none());
    let span = debug_span!("request", otel.kind = "server");
    adopt_text(&span, OUTSIDE);
    span.in_scope(|| {
        let mut headers = HeaderMap::new();
        inject(&mut headers);
        assert!(headers.is_empty());
        assert_eq!(traceparent(), "");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_holds_nobody_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    // It takes connections and never answers.
    let config = Config {
        otlp_endpoint: Some(format!("http://{}", listener.local_addr().unwrap())),
        export_timeout: Duration::from_millis(200),
        ..Config::default()
    };
    let provider = export::provider(&config, "aio", &Handle::current())
        .unwrap()
        .unwrap();
    let exporting = Some((provider.clone(), config.export_timeout));
    let telemetry = Telemetry { exporting };
    let subscriber = tracing_subscriber::registry().with(traces(&provider));
    tracing::subscriber::with_default(subscriber, || {
        for _ in 0..config.export_queue * 2 {
            drop(debug_span!("x", otel.kind = "server"));
        }
    });
    let begun = std::time::Instant::now();
    drop(telemetry);
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[test]
fn wrong_settings_are_named() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let refused = |config: Config| {
        let error = export::provider(&config, "aio", runtime.handle()).unwrap_err();
        error.to_string()
    };
    let at = |endpoint: &str| Config {
        otlp_endpoint: Some(endpoint.to_owned()),
        ..Config::default()
    };
    for endpoint in ["collector:4318", "https://x:4318", "http://u:p@x:4318", "x"] {
        let error = refused(at(endpoint));
        assert!(error.starts_with("telemetry.otlp_endpoint"), "{error}");
        assert!(!error.contains(endpoint), "{error}");
    }
    let ratio = refused(Config {
        sample_ratio: 1.5,
        ..at("http://x")
    });
    assert!(ratio.starts_with("telemetry.sample_ratio"), "{ratio}");
    let batch = refused(Config {
        export_batch: 0,
        ..at("http://x")
    });
    assert!(batch.starts_with("telemetry.export_batch"), "{batch}");
}
