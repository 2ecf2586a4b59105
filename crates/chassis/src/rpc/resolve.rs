//! From the name of a host to its addresses.

use std::{io, net::SocketAddr};

use async_trait::async_trait;

/// Finds the addresses of a host. One implementation asks the system; tests bring their own.
#[async_trait]
pub trait Resolve: Send + Sync + 'static {
    /// All addresses of `host`, each with `port`.
    ///
    /// # Errors
    /// When the name is unknown or nobody answers. Then the addresses known before stay in use.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// Asks the system's resolver.
#[derive(Clone, Copy, Debug)]
pub struct SystemResolver;

// === impl SystemResolver ===

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}
