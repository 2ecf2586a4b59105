//! The client for URLs that customers gave us.
//!
//! It has one HTTP client per reach, because the connector is told only the host: what that host may lead to must be settled before. It
//! must not retry, and a response never leads it anywhere its policy was not asked about.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use prometheus_client::registry::Registry;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::body::Body;
use super::dial::{Connector, Dial, Via, dial};
use super::download::Download;
use super::error::EgressError;
use super::pace::Pace;
use super::policy::{GuardedUrl, Policy, Reach};
use super::refusal::Refusal;
use super::resolve::{ResolveError, Resolver};
use super::told::{Purpose, Told};
use crate::Error;
use crate::client::NAME;
use crate::config::{EgressConfig, Patience};

/// The client. Cheap to clone; no connection is ever shared or reused.
#[derive(Clone)]
pub struct GuardedClient {
    inner: Arc<Inner>,
    purpose: Purpose,
}

struct Inner {
    policy: Arc<Policy>,
    resolver: Resolver,
    /// For names and literals that may lead to public and allowed addresses.
    public: OneShot,
    /// For those that may lead to allowed addresses only.
    allowed: OneShot,
    /// For URLs on the configured address of a provider, which the operator vouches for.
    trusted: OneShot,
    told: Told,
    config: EgressConfig,
}

/// Makes a connection for each request, and uses it once.
type OneShot = Client<Connector, Full<Bytes>>;

/// The bounds of one call.
#[derive(Debug, Clone, Copy)]
pub struct Caps {
    /// The whole call, body and redirects included.
    pub timeout: Duration,
    /// The largest body. [`GuardedClient::post`] cuts what is longer, [`GuardedClient::get_to`] fails on it.
    pub max_bytes: u64,
    /// Whether redirects are followed; never by [`GuardedClient::post`].
    pub redirects: Redirects,
}

/// What a download does with a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirects {
    /// A redirect is an answer like any other refusal.
    Refuse,
    /// Up to `max_redirects` are followed, each checked like the first URL, and never from `https` to `http`.
    Follow,
}

/// On whose word a URL may be fetched.
#[derive(Debug, Clone, Copy)]
pub enum Trust<'a> {
    /// Nobody's: the policy decides.
    Public,
    /// The operator's: a URL with the scheme, host and port of this configured provider address passes; others are as
    /// with [`Trust::Public`].
    Origin(&'a Url),
    /// The same, and that address is shown these headers, with the credential that it wants to see. Nobody else is, wherever it redirects to.
    Keyed(&'a Url, &'a HeaderMap),
}

/// What the other side answered to a `POST`.
#[derive(Clone)]
pub struct Answer {
    /// The status, whatever it is.
    pub status: StatusCode,
    /// The pause asked for, at most an hour.
    pub retry_after: Option<Duration>,
    /// The beginning of the body: what came within the caps.
    pub body: Bytes,
}

/// A request on its way: where to, and by which client.
pub(super) struct Target {
    pub(super) url: Url,
    via: Via,
}

// === impl Target ===

impl Target {
    /// Whether the operator vouches for it.
    pub(super) fn is_trusted(&self) -> bool {
        matches!(self.via, Via::Trust)
    }
}

// === impl GuardedClient ===

impl GuardedClient {
    /// Builds the client, for callbacks: see [`GuardedClient::on_behalf_of`].
    ///
    /// # Errors
    /// When the TLS library refuses its settings.
    pub fn new(config: &EgressConfig) -> Result<Self, Error> {
        Self::dialing(config, &dial())
    }

    /// As [`GuardedClient::new`], with another way to make TCP connections.
    ///
    /// # Errors
    /// As [`GuardedClient::new`].
    pub fn dialing(config: &EgressConfig, dial: &Dial) -> Result<Self, Error> {
        let policy = Arc::new(Policy::new(config));
        let resolver = Resolver::new(config, Arc::clone(&policy));
        let client = |via: Via| {
            let judges = (Arc::clone(&policy), resolver.clone());
            let connector = Connector::new(config, judges, via, Arc::clone(dial))?;
            let client = Client::builder(TokioExecutor::new())
                .timer(TokioTimer::new())
                .pool_max_idle_per_host(0)
                .retry_canceled_requests(false)
                .build(connector);
            Ok::<OneShot, Error>(client)
        };
        let inner = Inner {
            public: client(Via::Guard(Reach::Public))?,
            allowed: client(Via::Guard(Reach::Allowed { unless: None }))?,
            trusted: client(Via::Trust)?,
            policy,
            resolver,
            told: Told::default(),
            config: config.clone(),
        };
        Ok(Self {
            inner: Arc::new(inner),
            purpose: Purpose::Callback,
        })
    }

    /// The same client for URLs of another purpose, which is told with what is refused.
    #[must_use]
    pub fn on_behalf_of(&self, purpose: Purpose) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            purpose,
        }
    }

    /// Has refusals counted under this name, by `purpose` and `reason`, whatever they were for.
    pub fn register(&self, registry: &mut Registry, name: &'static str) {
        self.inner.told.register(registry, name);
    }

    /// The policy of this client.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.inner.policy
    }

    /// As [`Policy::admit`]; a refusal is told.
    ///
    /// # Errors
    /// Why the URL is refused.
    pub fn admit(&self, text: &str) -> Result<GuardedUrl, Refusal> {
        self.told(self.inner.policy.admit(text))
    }

    /// As [`Policy::check_form`]; a refusal is told.
    ///
    /// # Errors
    /// Why the URL is refused.
    pub fn check_form(&self, text: &str) -> Result<GuardedUrl, Refusal> {
        self.told(self.inner.policy.check_form(text))
    }

    /// The check at submit: form first, then where the name leads. A name that does not resolve is not refused: it may
    /// resolve by the time it is called.
    ///
    /// # Errors
    /// Why the URL is refused.
    pub async fn check(&self, text: &str) -> Result<GuardedUrl, Refusal> {
        let url = self.admit(text)?;
        self.check_resolves(&url).await?;
        Ok(url)
    }

    /// Where the name of a URL leads; a refusal is told. A literal address was settled by form.
    ///
    /// # Errors
    /// When an address is not allowed, or when the URL's form needs an allowed range and its name does not lead there.
    pub async fn check_resolves(&self, url: &GuardedUrl) -> Result<(), Refusal> {
        self.told(self.resolves(url).await)
    }

    async fn resolves(&self, url: &GuardedUrl) -> Result<(), Refusal> {
        let Some(name) = url.as_url().domain() else {
            return Ok(());
        };
        let outcome = self.inner.resolver.resolve(name, url.reach()).await;
        let Err(error) = outcome else {
            return Ok(());
        };
        if let Reach::Allowed {
            unless: Some(refusal),
        } = url.reach()
        {
            return Err(refusal.clone());
        }
        match error {
            ResolveError::Refused(refusal) => Err(refusal),
            ResolveError::Unresolved => Ok(()),
        }
    }

    /// Posts `body`, once, without following redirects. Whatever status comes back is an answer.
    ///
    /// # Errors
    /// See [`EgressError`]. After [`EgressError::TimedOut`] and [`EgressError::Interrupted`] the other side may have it.
    pub async fn post(
        &self,
        url: &GuardedUrl,
        headers: HeaderMap,
        body: Bytes,
        caps: &Caps,
    ) -> Result<Answer, EgressError> {
        let target = Target {
            url: url.as_url().clone(),
            via: Via::Guard(url.reach().clone()),
        };
        let deadline = Instant::now() + caps.timeout;
        let sent = self
            .exchange(&target, (Method::POST, headers, body), deadline)
            .await;
        let response = self.told_of(sent)?;
        let status = response.status();
        let retry_after = crate::failure::retry_after(response.headers());
        let body = self.body(response.into_body(), deadline);
        let body = beginning(body, caps.max_bytes).await;
        Ok(Answer {
            status,
            retry_after,
            body,
        })
    }

    /// Fetches `text`; the answer's body is then read from the [`Download`].
    ///
    /// # Errors
    /// See [`EgressError`]; any status but 2xx is [`EgressError::Status`].
    pub async fn get_to(
        &self,
        text: &str,
        trust: Trust<'_>,
        caps: &Caps,
    ) -> Result<Download, EgressError> {
        self.get_from(text, trust, caps, 0).await
    }

    /// As [`GuardedClient::get_to`], from a byte of it on, if the other side gives parts: [`Download::is_part`] says whether it did.
    ///
    /// # Errors
    /// As [`GuardedClient::get_to`].
    pub async fn get_from(
        &self,
        text: &str,
        trust: Trust<'_>,
        caps: &Caps,
        from: u64,
    ) -> Result<Download, EgressError> {
        self.told_of(Download::open((self, text), trust, caps, from).await)
    }

    /// Decides by which client `text` may be fetched.
    pub(super) fn target(&self, text: &str, trust: Trust<'_>) -> Result<Target, Refusal> {
        let base = match trust {
            Trust::Public => None,
            Trust::Origin(base) | Trust::Keyed(base, _) => Some(base),
        };
        if let Some(url) = base.and_then(|base| self.on_origin(text, base)) {
            return Ok(Target {
                url,
                via: Via::Trust,
            });
        }
        let guarded = self.inner.policy.admit(text)?;
        Ok(Target {
            url: guarded.as_url().clone(),
            via: Via::Guard(guarded.reach().clone()),
        })
    }

    /// Sends one request by the client of its target.
    pub(super) async fn exchange(
        &self,
        target: &Target,
        (method, headers, body): (Method, HeaderMap, Bytes),
        deadline: Instant,
    ) -> Result<Response<Incoming>, EgressError> {
        let client = match &target.via {
            Via::Guard(Reach::Public) => &self.inner.public,
            Via::Guard(Reach::Allowed { .. }) => &self.inner.allowed,
            Via::Trust => &self.inner.trusted,
        };
        let uri = target.url.as_str().parse::<Uri>();
        let uri = uri.map_err(|_| EgressError::Refused(Refusal::Malformed))?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        for (name, usual) in [(USER_AGENT, NAME), (ACCEPT, "*/*")] {
            let value = request.headers_mut().entry(name);
            value.or_insert(HeaderValue::from_static(usual));
        }
        let Patience {
            connect_timeout,
            idle_timeout,
            ..
        } = self.inner.config.patience;
        let patience = connect_timeout.saturating_add(idle_timeout);
        let until = deadline.min(Instant::now() + patience);
        timeout_at(until, client.request(request))
            .await
            .map_err(|_| EgressError::TimedOut)?
            .map_err(EgressError::from)
    }

    /// The body of an answer, within the limits.
    pub(super) fn body(&self, incoming: Incoming, deadline: Instant) -> Body {
        let Patience {
            idle_timeout,
            min_bytes_per_second,
            ..
        } = self.inner.config.patience;
        Body::new(
            incoming,
            Pace::new(idle_timeout, min_bytes_per_second),
            deadline,
        )
    }

    pub(super) fn max_redirects(&self) -> usize {
        self.inner.config.max_redirects
    }

    fn told<T>(&self, outcome: Result<T, Refusal>) -> Result<T, Refusal> {
        outcome.inspect_err(|refusal| self.inner.told.refused(self.purpose, refusal))
    }

    fn told_of<T>(&self, outcome: Result<T, EgressError>) -> Result<T, EgressError> {
        outcome.inspect_err(|error| {
            if let EgressError::Refused(refusal) = error {
                self.inner.told.refused(self.purpose, refusal);
            }
        })
    }

    /// The URL, if it lies on the origin of `base` and brings no credentials of its own.
    fn on_origin(&self, text: &str, base: &Url) -> Option<Url> {
        let url = Url::parse(text).ok()?;
        let plain = url.username().is_empty() && url.password().is_none();
        let same = url.origin().is_tuple() && url.origin() == base.origin();
        (plain && same).then_some(url)
    }
}

impl fmt::Debug for GuardedClient {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("GuardedClient")
            .field("policy", &self.inner.policy)
            .field("purpose", &self.purpose)
            .finish_non_exhaustive()
    }
}

/// What of the body comes within the caps. The head was the answer: a body that drips, breaks or never ends changes nothing.
async fn beginning(mut body: Body, max_bytes: u64) -> Bytes {
    let max = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    let mut start = BytesMut::new();
    while start.len() < max {
        let Some(Ok(chunk)) = poll_fn(|cx| body.poll_chunk(cx)).await else {
            break;
        };
        start.extend_from_slice(&chunk);
    }
    start.truncate(max);
    start.freeze()
}
