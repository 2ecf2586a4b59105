//! Hands spans to the collector: OTLP over HTTP, in batches, on a thread of its own, so that no request ever waits for it. A
//! collector that is away costs its spans, and a line of the log now and then.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header::HOST};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use opentelemetry::KeyValue;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider},
};
use tokio::{
    net::TcpStream,
    runtime::Handle,
    time::{Instant, timeout},
};
use tracing::warn;
use url::Url;

use super::{Config, Error, sampling::Sampling};

/// Where a collector takes spans, unless its address has a path.
const PATH: &str = "/v1/traces";
/// The port of OTLP over HTTP.
const PORT: u16 = 4318;
/// The largest answer that is read.
const MAX_ANSWER: usize = 64 * 1024;
/// How often the log may say that the collector is away.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// Posts to the collector, from the exporter's thread.
#[derive(Debug)]
struct Client {
    runtime: Handle,
    timeout: Duration,
    complained: Mutex<Option<Instant>>,
}

/// What makes spans and exports them; `None` when no collector is configured.
pub(super) fn provider(
    config: &Config,
    service: &str,
    runtime: &Handle,
) -> Result<Option<SdkTracerProvider>, Error> {
    let endpoint = config.otlp_endpoint.as_deref().unwrap_or_default().trim();
    if endpoint.is_empty() {
        return Ok(None);
    }
    config.check()?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Client {
            runtime: runtime.clone(),
            timeout: config.export_timeout,
            complained: Mutex::new(None),
        })
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(address(endpoint)?)
        .with_timeout(config.export_timeout)
        .build()
        .map_err(Error::Exporter)?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(config.export_queue)
        .with_max_export_batch_size(config.export_batch)
        .with_scheduled_delay(config.export_interval)
        .build();
    let batches = BatchSpanProcessor::builder(exporter)
        .with_batch_config(batches)
        .build();
    let service = config.service_name.as_deref().unwrap_or(service);
    Ok(Some(
        SdkTracerProvider::builder()
            .with_span_processor(batches)
            .with_sampler(Sampling::new(config.sample_ratio))
            .with_resource(resource(service))
            .build(),
    ))
}

/// Who speaks.
fn resource(service: &str) -> Resource {
    let instance = uuid::Uuid::now_v7().to_string();
    Resource::builder()
        .with_service_name(service.to_owned())
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", instance))
        .build()
}

/// The collector's address with its path.
fn address(endpoint: &str) -> Result<String, Error> {
    let mut url = Url::parse(endpoint).map_err(|_| Error::Endpoint)?;
    let nameless = url.username().is_empty() && url.password().is_none();
    if url.scheme() != "http" || url.host_str().is_none() || !nameless {
        return Err(Error::Endpoint);
    }
    if url.path() == "/" {
        url.set_path(PATH);
    }
    Ok(url.into())
}

/// One request on one connection: batches are few, and a collector may have moved since the last.
async fn post(request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let (mut head, body) = request.into_parts();
    let authority = head
        .uri
        .authority()
        .cloned()
        .ok_or("the address has no host")?;
    let host = authority.host().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(PORT))).await?;
    let path = head.uri.path_and_query().map_or(PATH, |path| path.as_str());
    head.uri = path.parse::<Uri>()?;
    head.headers
        .insert(HOST, HeaderValue::from_str(authority.as_str())?);
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async move {
        let request = Request::from_parts(head, Full::new(body));
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await?;
        Ok::<_, HttpError>(Response::from_parts(head, body.to_bytes()))
    };
    // The connection ends with its only sender, which the answer holds; what goes wrong with it, the answer says.
    let (answer, _ended) = tokio::join!(answer, connection);
    answer
}

// === impl Config ===

impl Config {
    fn check(&self) -> Result<(), Error> {
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            return Err(Error::Ratio);
        }
        let batch = (1..=self.export_queue).contains(&self.export_batch);
        if !batch || self.export_interval.is_zero() || self.export_timeout.is_zero() {
            return Err(Error::Batch);
        }
        Ok(())
    }
}

// === impl Client ===

impl Client {
    /// Says that spans are lost, unless that was said a moment ago.
    fn complain(&self, error: &str) {
        let mut complained = self
            .complained
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if complained.is_some_and(|at| at.elapsed() < COMPLAIN_EVERY) {
            return;
        }
        *complained = Some(Instant::now());
        drop(complained);
        warn!(error, "the collector takes no traces; they are dropped");
    }
}

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // The thread is the exporter's own, and waits for nothing else.
        let sent = self
            .runtime
            .block_on(async { timeout(self.timeout, post(request)).await });
        let answer = sent.unwrap_or_else(|_| Err("no answer in time".into()));
        match &answer {
            Ok(answer) if answer.status().is_success() => {}
            Ok(answer) => self.complain(&format!("it answered {}", answer.status())),
            Err(error) => self.complain(&error.to_string()),
        }
        answer
    }
}
