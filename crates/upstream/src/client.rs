//! Calls to configured providers: pooled connections, one attempt, a reply or a [`Failure`].
//!
//! It must not retry, follow redirects, use a proxy of the environment, or decompress; and it knows no provider: the
//! adapter brings the URL, the headers, the body and its own reading of refusals.

mod connector;
mod reply;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, timeout};
use url::Url;

use crate::Error;
use crate::config::UpstreamConfig;
use crate::failure::{Failure, ProviderAnswer, Verdict, Wait};

use self::connector::Connector;
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
    holds: Holds,
}

/// What an answer holds.
#[derive(Clone, Copy)]
enum Holds {
    /// What there is to say.
    Words,
    /// What was made, as a file.
    Result,
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
    http: Client<Connector, Full<Bytes>>,
    limits: Arc<UpstreamConfig>,
}

/// What the program calls itself.
pub(crate) const NAME: &str = concat!("aio/", env!("CARGO_PKG_VERSION"));

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
        Self::post(url, headers, body).as_submit()
    }

    /// The same call, paid once the provider accepts it: see [`Call::submit`].
    #[must_use]
    pub fn as_submit(mut self) -> Self {
        self.refusal = Refusal::Submit;
        self
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
            holds: Holds::Words,
        }
    }

    /// The same call, whose answer holds what was made, as a file: it may have `max_result_bytes`.
    #[must_use]
    pub fn for_a_result(mut self) -> Self {
        self.holds = Holds::Result;
        self
    }

    /// Another wait for the head of the answer than `first_byte_timeout`: short for polls, long for synchronous images.
    #[must_use]
    pub fn first_byte_within(mut self, wait: Duration) -> Self {
        self.first_byte_timeout = Some(wait);
        self
    }

    /// # Errors
    /// [`Class::NotSent`](crate::Class::NotSent) when the URL is none that can be called.
    fn into_request(self) -> Result<Request<Full<Bytes>>, Failure> {
        let uri: Uri = self.url.as_str().parse().map_err(Failure::unsendable)?;
        let mut request = Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = uri;
        let mut headers = self.headers;
        for (name, usual) in [(USER_AGENT, NAME), (ACCEPT, "*/*")] {
            let value = headers.entry(name);
            value.or_insert(HeaderValue::from_static(usual));
        }
        *request.headers_mut() = headers;
        Ok(request)
    }
}

// === impl ProviderClient ===

impl ProviderClient {
    /// Builds the client.
    ///
    /// # Errors
    /// When the TLS library refuses its settings.
    pub fn new(config: &UpstreamConfig) -> Result<Self, Error> {
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(config.pool_idle_timeout)
            .pool_max_idle_per_host(config.pool_max_idle_per_host)
            .http2_adaptive_window(true);
        Ok(Self {
            http: builder.build(Connector::new(config)?),
            limits: Arc::new(config.clone()),
        })
    }

    /// Makes the call once. A 2xx answer is the reply, with its body still to be read; anything else is a failure, read
    /// by `classify` first.
    ///
    /// # Errors
    /// See [`Failure`]. Dropping the future aborts the call with unknown outcome.
    pub async fn send(
        &self,
        call: Call,
        classify: impl Fn(&ProviderAnswer<'_>) -> Option<Verdict>,
    ) -> Result<Reply, Failure> {
        let deadline = Instant::now() + self.limits.total_timeout;
        let wait = call
            .first_byte_timeout
            .unwrap_or(self.limits.first_byte_timeout)
            .min(self.limits.total_timeout);
        let refusal = call.refusal;
        let max_bytes = match call.holds {
            Holds::Words => self.limits.max_response_bytes,
            Holds::Result => self.limits.max_result_bytes,
        };
        let response = timeout(wait, self.http.request(call.into_request()?))
            .await
            .map_err(|_| Failure::timed_out(Wait::FirstByte))?
            .map_err(Failure::sending)?;
        let reply = Reply::new(response, &self.limits, (deadline, max_bytes));
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
