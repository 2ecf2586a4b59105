//! One server on a runtime of its own, so that it can be killed as a process is.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use chassis::{
    Tasks,
    rpc::{self, Channel, ClientLimits, Peer, PeersConfig, Role, ServerLimits, Serving},
};
use domain::Secret;
use proto::{chat::v1::chat_server::ChatServer, webhooks::v1::webhooks_server::WebhooksServer};
use tokio::{net::TcpListener, runtime::Runtime};
use tonic::service::Routes;
use tracing::Span;

use crate::fake::Fake;

/// The edge may call the servers of these tests.
pub(crate) const EDGE: &str = "the-token-of-edge-0123456789abcdef";
/// Chat is one of us, but may not.
pub(crate) const CHAT: &str = "the-token-of-chat-0123456789abcdef";

/// Bytes of the largest message the servers of these tests take.
pub(crate) const LARGEST: usize = 16 * 1024;

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) fake: Fake,
    pub(crate) tasks: Tasks,
    runtime: Option<Runtime>,
}

// === impl Server ===

impl Server {
    pub(crate) async fn start(name: &str) -> Self {
        Self::start_with(Fake::new(name), "127.0.0.1:0", ServerLimits::default()).await
    }

    pub(crate) async fn start_with(fake: Fake, address: &str, limits: ServerLimits) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let peers = PeersConfig {
            tokens: BTreeMap::from([
                (Role::Edge, Secret::new(EDGE)),
                (Role::Chat, Secret::new(CHAT)),
            ]),
            ..PeersConfig::default()
        };
        let serving = Serving {
            callers: peers.callers(&[Role::Edge]).unwrap(),
            limits,
            descriptors: proto::DESCRIPTORS,
        };
        let routes =
            Routes::new(WebhooksServer::new(fake.clone()).max_decoding_message_size(LARGEST))
                .add_service(ChatServer::new(fake.clone()));
        let tasks = Tasks::default();
        let (served, address) = (tasks.clone(), address.to_owned());
        let started = runtime.spawn(async move {
            let listener = TcpListener::bind(address).await.unwrap();
            let address = listener.local_addr().unwrap();
            let serve = rpc::serve(listener, routes, serving, served.clone()).unwrap();
            served.spawn(Span::none(), serve);
            address
        });
        Self {
            address: started.await.unwrap(),
            fake,
            tasks,
            runtime: Some(runtime),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it between two instructions: nothing is said to anybody, and the system closes what was open.
    pub(crate) async fn kill(&mut self) {
        let runtime = self.runtime.take().unwrap();
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(5)))
            .await
            .unwrap();
    }

    /// Starts again where it was.
    pub(crate) async fn restart(&mut self) {
        let address = self.address.to_string();
        *self = Self::start_with(self.fake.clone(), &address, ServerLimits::default()).await;
    }

    /// A channel to it.
    pub(crate) fn channel(&self) -> Channel {
        connect(&self.url(), EDGE)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Limits at which tests need not wait long.
pub(crate) fn limits() -> ClientLimits {
    ClientLimits {
        resolve_every: Duration::from_millis(50),
        longest_pause: Duration::from_millis(200),
        ..ClientLimits::default()
    }
}

/// Limits at which a dead peer is found soon.
pub(crate) fn impatient() -> ClientLimits {
    ClientLimits {
        keepalive_interval: Duration::from_millis(500),
        keepalive_timeout: Duration::from_millis(500),
        ..limits()
    }
}

/// A channel to the servers at `address`.
pub(crate) fn connect(address: &str, token: &str) -> Channel {
    Peer::new(address, Secret::new(token))
        .named("fake")
        .limits(limits())
        .connect(&Tasks::default())
        .unwrap()
}
