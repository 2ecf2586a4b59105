//! Calls to configured providers: pooled connections, one attempt, a reply or a [`Failure`].
//!
//! It must not retry, follow redirects, use a proxy of the environment, or decompress; and it knows no provider: the
//! adapter brings the URL, the headers, the body and its own reading of refusals.

mod reply;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::time::{Instant, timeout};
use url::Url;

use crate::config::{HttpVersions, UpstreamConfig};
use crate::failure::{Classify, Failure, ProviderAnswer, Wait};
use crate::{Error, tls};

pub use self::reply::{Reply, ReplyBody};

/// One request to a provider.
#[derive(Clone)]
pub struct Call {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
    first_byte_timeout: Option<Duration>,
    refusal: Refusal,
}

/// How a refusal is read where the adapter says nothing.
#[derive(Clone, Copy)]
enum Refusal {
    /// By its status: see [`Class::of_status`](crate::Class::of_status).
    Plain,
    /// More carefully: see [`Class::of_submit_status`](crate::Class::of_submit_status).
    Submit,
}

/// The client for configured providers. Cheap to clone; all clones share one connection pool.
#[derive(Debug, Clone)]
pub struct ProviderClient {
    http: reqwest::Client,
    limits: Arc<UpstreamConfig>,
}

/// What the program calls itself.
pub(crate) const USER_AGENT: &str = concat!("aio/", env!("CARGO_PKG_VERSION"));

// === impl Call ===

impl Call {
    /// A `GET`.
    #[must_use]
    pub fn get(url: Url, headers: HeaderMap) -> Self {
        Self::new(Method::GET, url, headers, Bytes::new())
    }

    /// A `POST` of `body`; its `Content-Type` is the caller's.
    #[must_use]
    pub fn post(url: Url, headers: HeaderMap, body: Bytes) -> Self {
        Self::new(Method::POST, url, headers, body)
    }

    /// A `POST` that is paid once the provider accepts it, and therefore never made twice: a refusal that may come after the
    /// acceptance leaves its outcome unknown, unless the adapter knows better.
    #[must_use]
    pub fn submit(url: Url, headers: HeaderMap, body: Bytes) -> Self {
        Self {
            refusal: Refusal::Submit,
            ..Self::post(url, headers, body)
        }
    }

    /// Any method.
    #[must_use]
    pub fn new(method: Method, url: Url, headers: HeaderMap, body: Bytes) -> Self {
        Self {
            method,
            url,
            headers,
            body,
            first_byte_timeout: None,
            refusal: Refusal::Plain,
        }
    }

    /// Another wait for the head of the answer than `first_byte_timeout`: short for polls, long for synchronous images.
    #[must_use]
    pub fn first_byte_within(mut self, wait: Duration) -> Self {
        self.first_byte_timeout = Some(wait);
        self
    }

    fn into_request(self) -> reqwest::Request {
        let mut request = reqwest::Request::new(self.method, self.url);
        *request.headers_mut() = self.headers;
        if !self.body.is_empty() {
            *request.body_mut() = Some(self.body.into());
        }
        request
    }
}

// === impl ProviderClient ===

impl ProviderClient {
    /// Builds the client.
    ///
    /// # Errors
    /// When the TLS or HTTP library refuses its settings.
    pub fn new(config: &UpstreamConfig) -> Result<Self, Error> {
        let alpn: &[&[u8]] = match config.http_versions {
            HttpVersions::Http1 => &[b"http/1.1"],
            HttpVersions::Http2 => &[b"h2", b"http/1.1"],
        };
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client_config(alpn)?)
            .user_agent(USER_AGENT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(30))
            .connect_timeout(config.connect_timeout)
            .pool_idle_timeout(config.pool_idle_timeout)
            .pool_max_idle_per_host(config.pool_max_idle_per_host);
        let builder = match config.http_versions {
            HttpVersions::Http1 => builder.http1_only(),
            HttpVersions::Http2 => builder.http2_adaptive_window(true),
        };
        Ok(Self {
            http: builder.build().map_err(Error::Client)?,
            limits: Arc::new(config.clone()),
        })
    }

    /// Makes the call once. A 2xx answer is the reply, with its body still to be read; anything else is a failure, read
    /// by `classify` first.
    ///
    /// # Errors
    /// See [`Failure`]. Dropping the future aborts the call with unknown outcome.
    pub async fn send(&self, call: Call, classify: Classify) -> Result<Reply, Failure> {
        let deadline = Instant::now() + self.limits.total_timeout;
        let wait = call
            .first_byte_timeout
            .unwrap_or(self.limits.first_byte_timeout)
            .min(self.limits.total_timeout);
        let refusal = call.refusal;
        let response = timeout(wait, self.http.execute(call.into_request()))
            .await
            .map_err(|_| Failure::timed_out(Wait::FirstByte))?
            .map_err(Failure::sending)?;
        let reply = Reply::new(response, &self.limits, deadline);
        if reply.status().is_success() {
            return Ok(reply);
        }
        let (status, headers) = (reply.status(), reply.headers().clone());
        let body = reply.beginning(self.limits.max_error_bytes).await;
        let answer = ProviderAnswer {
            status,
            headers: &headers,
            body: &body,
        };
        Err(match refusal {
            Refusal::Plain => Failure::answered(&answer, classify),
            Refusal::Submit => Failure::answered_submit(&answer, classify),
        })
    }
}
