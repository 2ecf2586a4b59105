//! The client for URLs that customers gave us.
//!
//! It has one HTTP client per reach, because the resolver inside the connector is told only the name: what that name may lead
//! to must be settled before. It must not retry, and a response never leads it anywhere its policy was not asked about.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use super::download::Download;
use super::policy::{GuardedUrl, Policy, Reach};
use super::refusal::Refusal;
use super::resolve::{Connector, ResolveError, Resolver};
use crate::client::NAME;
use crate::config::EgressConfig;
use crate::{Error, tls};

/// The client. Cheap to clone; no connection is ever shared or reused.
#[derive(Clone)]
pub struct GuardedClient {
    policy: Arc<Policy>,
    resolver: Resolver,
    /// For names and literals that may lead to public and allowed addresses.
    public: reqwest::Client,
    /// For those that may lead to allowed addresses only.
    allowed: reqwest::Client,
    /// For URLs on the configured address of a provider, which the operator vouches for.
    trusted: reqwest::Client,
    pub(super) max_redirects: usize,
}

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

/// Why a guarded call gave no answer. None of these repeats the URL.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// The policy refused the URL, an address it leads to, or a redirect.
    #[error("the URL is refused: {0}")]
    Refused(#[source] Refusal),
    /// The name does not resolve.
    #[error("the host name does not resolve")]
    Unresolved,
    /// No connection, or no TLS session with a certificate for that name.
    #[error("no connection could be made")]
    Connect(#[source] reqwest::Error),
    /// A limit of time passed.
    #[error("no complete answer in time")]
    TimedOut,
    /// The connection broke.
    #[error("the connection broke")]
    Interrupted(#[source] reqwest::Error),
    /// The body is larger than the cap.
    #[error("the answer is larger than {max_bytes} bytes")]
    TooLarge {
        /// The cap, in bytes.
        max_bytes: u64,
    },
    /// A download was answered with something else than 2xx.
    #[error("the answer has status {}", status.as_u16())]
    Status {
        /// The status.
        status: StatusCode,
    },
}

/// A request on its way: where to, and by which client.
pub(super) struct Target {
    pub(super) url: Url,
    via: Via,
}

enum Via {
    Guard(Reach),
    Trust,
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
    /// Builds the client.
    ///
    /// # Errors
    /// When the TLS or HTTP library refuses its settings.
    pub fn new(config: &EgressConfig) -> Result<Self, Error> {
        let policy = Arc::new(Policy::new(config));
        let resolver = Resolver::new(config, Arc::clone(&policy));
        let guarded = |reach: Reach| {
            let connector = Connector {
                resolver: resolver.clone(),
                reach,
            };
            let builder = one_shot_client(config)?.dns_resolver(connector);
            builder.build().map_err(Error::Client)
        };
        Ok(Self {
            public: guarded(Reach::Public)?,
            allowed: guarded(Reach::Allowed { unless: None })?,
            trusted: one_shot_client(config)?.build().map_err(Error::Client)?,
            policy,
            resolver,
            max_redirects: config.max_redirects,
        })
    }

    /// The policy of this client.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The check at submit: form first, then where the name leads. A name that does not resolve is not refused: it may
    /// resolve by the time it is called.
    ///
    /// # Errors
    /// Why the URL is refused.
    pub async fn check(&self, text: &str) -> Result<GuardedUrl, Refusal> {
        let url = self.policy.admit(text)?;
        self.check_resolves(&url).await?;
        Ok(url)
    }

    /// Where the name of a URL leads. A literal address was settled by form.
    ///
    /// # Errors
    /// When an address is not allowed, or when the URL's form needs an allowed range and its name does not lead there.
    pub async fn check_resolves(&self, url: &GuardedUrl) -> Result<(), Refusal> {
        let Some(name) = url.as_url().domain() else {
            return Ok(());
        };
        let outcome = self.resolver.resolve(name, url.reach()).await;
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
        let mut request = reqwest::Request::new(Method::POST, target.url.clone());
        *request.headers_mut() = headers;
        *request.body_mut() = Some(body.into());
        *request.timeout_mut() = Some(caps.timeout);
        let response = self.exchange(&target, request).await?;
        let status = response.status();
        let retry_after = crate::failure::retry_after(response.headers());
        let body = beginning(response, caps.max_bytes).await;
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
        Download::open((self, text), trust, caps, 0).await
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
        Download::open((self, text), trust, caps, from).await
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
        let guarded = self.policy.admit(text)?;
        Ok(Target {
            url: guarded.as_url().clone(),
            via: Via::Guard(guarded.reach().clone()),
        })
    }

    /// Sends one request by the client of its target, and looks afterwards whom it reached.
    pub(super) async fn exchange(
        &self,
        target: &Target,
        request: reqwest::Request,
    ) -> Result<reqwest::Response, EgressError> {
        let client = match &target.via {
            Via::Guard(Reach::Public) => &self.public,
            Via::Guard(Reach::Allowed { .. }) => &self.allowed,
            Via::Trust => &self.trusted,
        };
        let response = client.execute(request).await.map_err(EgressError::from)?;
        // Defence in depth: the connector has checked the address already.
        if let (Via::Guard(reach), Some(peer)) = (&target.via, response.remote_addr())
            && !self.policy.permits(peer.ip(), reach)
        {
            return Err(EgressError::Refused(Refusal::Resolved));
        }
        Ok(response)
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
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// A client that makes a connection, uses it once, and trusts nothing of its surroundings.
fn one_shot_client(config: &EgressConfig) -> Result<reqwest::ClientBuilder, Error> {
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls::client_config(&[b"http/1.1"])?)
        .user_agent(NAME)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .http1_only()
        .tcp_nodelay(true)
        .pool_max_idle_per_host(0)
        .connect_timeout(config.connect_timeout)
        .read_timeout(config.idle_timeout))
}

/// What of the body comes within the caps. The head was the answer: a body that drips, breaks or never ends changes nothing.
async fn beginning(mut response: reqwest::Response, max_bytes: u64) -> Bytes {
    let max = usize::try_from(max_bytes).unwrap_or(usize::MAX);
    let mut body = BytesMut::new();
    while body.len() < max {
        let Ok(Some(chunk)) = response.chunk().await else {
            break;
        };
        body.extend_from_slice(&chunk);
    }
    body.truncate(max);
    body.freeze()
}

// === impl EgressError ===

impl From<reqwest::Error> for EgressError {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        if let Some(resolve) = find::<ResolveError>(&error) {
            return match resolve.clone() {
                ResolveError::Refused(refusal) => Self::Refused(refusal),
                ResolveError::Unresolved => Self::Unresolved,
            };
        }
        if error.is_connect() {
            Self::Connect(error)
        } else if error.is_timeout() {
            Self::TimedOut
        } else {
            Self::Interrupted(error)
        }
    }
}

/// The first cause of the given type.
fn find<'a, E: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a E> {
    let mut cause = Some(error);
    while let Some(current) = cause {
        if let Some(found) = current.downcast_ref::<E>() {
            return Some(found);
        }
        cause = current.source();
    }
    None
}
