//! How connections to providers are made: TCP and TLS within one limit of time.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::{BoxError, Service};

use crate::config::{HttpVersions, UpstreamConfig};
use crate::{Error, tls};

/// After so long without a byte, a connection is asked whether its other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Makes connections. Every call has a clone, which therefore costs next to nothing.
#[derive(Clone)]
pub(super) struct Connector(Arc<Connecting>);

struct Connecting {
    https: HttpsConnector<HttpConnector>,
    within: Duration,
}

/// A connection was not made in time.
#[derive(Debug, thiserror::Error)]
#[error("no connection in time")]
struct TooLate;

// === impl Connector ===

impl Connector {
    /// # Errors
    /// When the TLS library refuses its settings.
    pub(super) fn new(config: &UpstreamConfig) -> Result<Self, Error> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        // Shared by a name's addresses: one that is dead leaves time for the next.
        tcp.set_connect_timeout(Some(config.connect_timeout));
        // What is offered in the handshake is set by the builder.
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client_config(&[])?)
            .https_or_http()
            .enable_http1();
        let https = match config.http_versions {
            HttpVersions::Http1 => https.wrap_connector(tcp),
            HttpVersions::Http2 => https.enable_http2().wrap_connector(tcp),
        };
        Ok(Self(Arc::new(Connecting {
            https,
            within: config.connect_timeout,
        })))
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        // A connector of hyper's is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let within = self.0.within;
        let connecting = self.0.https.clone().call(to);
        Box::pin(async move {
            timeout(within, connecting)
                .await
                .unwrap_or_else(|_| Err(TooLate.into()))
        })
    }
}
