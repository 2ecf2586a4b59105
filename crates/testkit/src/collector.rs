//! A collector of traces on loopback: OTLP over HTTP, as operators run one. It remembers every span.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, Result};
use axum::{Router, extract::State, http::StatusCode, routing::post};
use bytes::Bytes;
use chassis::Tasks;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1,
};
use prost::Message as _;
use tokio::net::TcpListener;

use crate::eventually;

/// One span, as it was exported.
#[derive(Clone, Debug)]
pub struct TraceSpan {
    /// What it is called.
    pub name: String,
    /// The process that exported it: its `service.name`.
    pub service: String,
    /// 32 hex digits.
    pub trace: String,
    /// 16 hex digits.
    pub id: String,
    /// The span above it; empty where the trace begins.
    pub parent: String,
    /// Its attributes, as text.
    pub fields: BTreeMap<String, String>,
}

/// The collector.
#[derive(Clone, Debug)]
pub struct Collector {
    address: SocketAddr,
    memory: Arc<Mutex<Memory>>,
}

#[derive(Debug, Default)]
struct Memory {
    spans: Vec<TraceSpan>,
    /// Everything that came, byte for byte.
    bodies: Vec<Bytes>,
}

// === impl Collector ===

impl Collector {
    /// Starts a collector.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let collector = Self {
            address: listener.local_addr()?,
            memory: Arc::default(),
        };
        let router = Router::new()
            .route("/v1/traces", post(take))
            .with_state(collector.clone());
        let tasks = Tasks::default();
        let limits = chassis::http::Limits::default();
        let serving = chassis::http::serve(listener, router, limits, tasks.clone());
        tasks.spawn_detached(tracing::Span::none(), serving);
        Ok(collector)
    }

    /// What makes the program export here, and soon: environment variables.
    pub fn settings(&self) -> [(&'static str, String); 2] {
        [
            (
                "AIO_TELEMETRY__OTLP_ENDPOINT",
                format!("http://{}", self.address),
            ),
            ("AIO_TELEMETRY__EXPORT_INTERVAL", "100ms".to_owned()),
        ]
    }

    /// Waits until the trace that a request's `traceparent` named has a span of each of these names and hangs together: each
    /// span's parent is there, or is the request's sender. Gives its spans.
    ///
    /// # Errors
    /// When that does not come about; says what came.
    pub async fn trace(&self, traceparent: &str, names: &[&str]) -> Result<Vec<TraceSpan>> {
        let mut parts = traceparent.split('-').skip(1);
        let trace = parts.next().context("no trace")?;
        let sender = parts.next().context("no sender")?;
        let here = || {
            let spans = self.memory().spans.clone();
            let spans = spans.into_iter().filter(|span| span.trace == trace);
            spans.collect::<Vec<_>>()
        };
        let found = eventually("the spans of a trace", async || {
            let spans = here();
            let named = |name: &&str| spans.iter().any(|span| span.name == **name);
            let is_there = |id: &str| id == sender || spans.iter().any(|span| span.id == id);
            let whole = spans.iter().all(|span| is_there(&span.parent));
            Ok((whole && names.iter().all(named)).then_some(spans))
        });
        found
            .await
            .with_context(|| format!("of {names:?} there came {:#?}", here()))
    }

    /// Everything that came, byte for byte.
    pub fn bodies(&self) -> Vec<Bytes> {
        self.memory().bodies.clone()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn take(State(collector): State<Collector>, body: Bytes) -> StatusCode {
    let Ok(request) = ExportTraceServiceRequest::decode(body.clone()) else {
        return StatusCode::BAD_REQUEST;
    };
    let mut memory = collector.memory();
    memory.bodies.push(body);
    for resource in request.resource_spans {
        let about = resource.resource.map(|about| about.attributes);
        let service = fields(about.unwrap_or_default()).remove("service.name");
        let service = service.unwrap_or_default();
        let spans = resource
            .scope_spans
            .into_iter()
            .flat_map(|scope| scope.spans);
        let read = spans.map(|span| TraceSpan::read(&service, span));
        memory.spans.extend(read);
    }
    StatusCode::OK
}

fn fields(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        other => format!("{other:?}"),
    };
    let read = attributes
        .into_iter()
        .map(|attribute| (attribute.key, text(attribute.value)));
    read.collect()
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

// === impl TraceSpan ===

impl TraceSpan {
    fn read(service: &str, span: v1::Span) -> Self {
        Self {
            name: span.name,
            service: service.to_owned(),
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            fields: fields(span.attributes),
        }
    }

    /// One attribute; empty when absent.
    pub fn field(&self, name: &str) -> &str {
        self.fields
            .get(name)
            .map(String::as_str)
            .unwrap_or_default()
    }
}
