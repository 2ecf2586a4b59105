//! The connector of the guarded client: from the host of a URL to a TCP connection, and nowhere in between can anybody else decide where
//! it goes. Names are resolved and judged here, literal addresses judged once more, the connection is made to an address that has passed,
//! and whoever is at its other end is compared with it before TLS begins.
//!
//! With a proxy of the operator's, everything before is the same, and the proxy is asked for the address that has passed: two guards, either
//! of which suffices.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tower::{BoxError, Service, service_fn};

use super::policy::{Policy, Reach};
use super::refusal::Refusal;
use super::resolve::{ResolveError, Resolver};
use crate::config::{EgressConfig, ProxyAddress};
use crate::{Error, tls};

/// How a TCP connection is made. The guard's own is [`TcpStream::connect`]; a test's looks where connections go.
pub type Dial = Arc<dyn Fn(SocketAddr) -> BoxFuture<'static, io::Result<TcpStream>> + Send + Sync>;

/// Whose word a connection is made on.
#[derive(Debug, Clone)]
pub(super) enum Via {
    /// The policy's.
    Guard(Reach),
    /// The operator's: the host is one of his own configuration.
    Trust,
}

/// Makes connections with TLS where the URL says so, within one limit of time.
#[derive(Clone)]
pub(super) struct Connector(Arc<Connecting>);

struct Connecting {
    https: HttpsConnector<Dialer>,
    within: Duration,
}

/// Makes TCP connections.
#[derive(Clone)]
pub(super) struct Dialer(Arc<Dialing>);

struct Dialing {
    policy: Arc<Policy>,
    resolver: Resolver,
    via: Via,
    dial: Dial,
    proxy: Option<ProxyAddress>,
    within: Duration,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// The host leads nowhere, or where it may not.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// Somebody else is at the other end.
    #[error("the connection led to another address")]
    Elsewhere,
    /// No TCP connection.
    #[error("no TCP connection")]
    Io(#[from] io::Error),
    /// The proxy does not let it through.
    #[error("the proxy makes no connection")]
    Proxy(#[source] BoxError),
    /// Not within the limit.
    #[error("no connection in time")]
    TooLate,
}

/// The guard's own way.
pub(super) fn dial() -> Dial {
    Arc::new(|address| Box::pin(TcpStream::connect(address)))
}

// === impl Connector ===

impl Connector {
    /// # Errors
    /// When the TLS library refuses its settings.
    pub(super) fn new(
        config: &EgressConfig,
        (policy, resolver): (Arc<Policy>, Resolver),
        via: Via,
        dial: Dial,
    ) -> Result<Self, Error> {
        let within = config.patience.connect_timeout;
        // What the operator vouches for may be where his second guard lets nobody.
        let proxy = match &via {
            Via::Guard(_) => config.proxy.clone(),
            Via::Trust => None,
        };
        let dialer = Dialer(Arc::new(Dialing {
            policy,
            resolver,
            via,
            dial,
            proxy,
            within,
        }));
        let https = HttpsConnector::from((dialer, tls::client_config(&[b"http/1.1"])?));
        Ok(Self(Arc::new(Connecting { https, within })))
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let within = self.0.within;
        let connecting = self.0.https.clone().call(to);
        Box::pin(async move {
            timeout(within, connecting)
                .await
                .unwrap_or_else(|_| Err(DialError::TooLate.into()))
        })
    }
}

// === impl Dialer ===

impl Service<Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = DialError;
    type Future = BoxFuture<'static, Result<Self::Response, DialError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let dialing = Arc::clone(&self.0);
        Box::pin(async move { dialing.connect(&to).await })
    }
}

// === impl Dialing ===

impl Dialing {
    async fn connect(&self, to: &Uri) -> Result<TokioIo<TcpStream>, DialError> {
        let host = to.host().unwrap_or_default();
        let is_plain = to.scheme_str() == Some("http");
        let port = to.port_u16().unwrap_or(if is_plain { 80 } else { 443 });
        let addresses = self.addresses(host, port).await?;
        match &self.proxy {
            None => self.first(&addresses).await,
            Some(proxy) => self.by(proxy, &addresses).await,
        }
    }

    /// Where the host leads: one address at least, and all of them have passed.
    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let Via::Guard(reach) = &self.via else {
            return Ok(lookup_host((host, port)).await?.collect());
        };
        let found = match host.parse::<IpAddr>() {
            Ok(literal) if self.policy.permits(literal, reach) => vec![literal],
            Ok(_) => return Err(ResolveError::Refused(Refusal::Resolved).into()),
            Err(_) => self.resolver.resolve(host, reach).await?,
        };
        let with_port = found.into_iter().map(|ip| SocketAddr::new(ip, port));
        Ok(with_port.collect())
    }

    /// A connection to the first that can be reached. They share the time: one that is dead leaves some for the next.
    async fn first(&self, addresses: &[SocketAddr]) -> Result<TokioIo<TcpStream>, DialError> {
        let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
        let each = self.within.checked_div(count).unwrap_or(self.within);
        let mut failure = DialError::TooLate;
        for address in addresses {
            match timeout(each, (self.dial)(*address)).await {
                Ok(Ok(stream)) => return self.checked(stream, *address),
                Ok(Err(error)) => failure = error.into(),
                Err(_) => failure = DialError::TooLate,
            }
        }
        Err(failure)
    }

    /// The connection, if it is one to this address. Nothing has been sent on it yet.
    fn checked(
        &self,
        stream: TcpStream,
        address: SocketAddr,
    ) -> Result<TokioIo<TcpStream>, DialError> {
        let peer = stream.peer_addr()?;
        let is_it = peer.ip().to_canonical() == address.ip().to_canonical()
            && peer.port() == address.port();
        if matches!(self.via, Via::Guard(_)) && !is_it {
            return Err(DialError::Elsewhere);
        }
        stream.set_nodelay(true)?;
        Ok(TokioIo::new(stream))
    }

    /// A connection by the operator's proxy, which is given addresses: a name could lead elsewhere when it asks.
    async fn by(
        &self,
        proxy: &ProxyAddress,
        addresses: &[SocketAddr],
    ) -> Result<TokioIo<TcpStream>, DialError> {
        let to_proxy: Vec<SocketAddr> = lookup_host(proxy.parts()).await?.collect();
        let connect = service_fn(|_: Uri| {
            // Whoever calls it waits for it, but the tunnel wants what lives by itself.
            let (dial, to_proxy) = (Arc::clone(&self.dial), to_proxy.clone());
            async move {
                let mut failure = io::Error::from(io::ErrorKind::NotFound);
                for address in to_proxy {
                    match dial(address).await {
                        Ok(stream) => return Ok(TokioIo::new(stream)),
                        Err(error) => failure = error,
                    }
                }
                Err(failure)
            }
        });
        let mut failure = DialError::TooLate;
        for address in addresses {
            let to = format!("http://{address}").parse::<Uri>();
            let to = to.map_err(|error| DialError::Proxy(error.into()))?;
            let mut tunnel = Tunnel::new(Uri::from_static("http://proxy"), connect);
            match tunnel.call(to).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = DialError::Proxy(error.into()),
            }
        }
        Err(failure)
    }
}
