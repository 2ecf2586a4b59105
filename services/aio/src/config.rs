//! The section `server`: where the process listens, and how it stops.

use std::{net::SocketAddr, path::Path, time::Duration};

use chassis::{config::duration, http::Limits};
use domain::Secret;
use serde::{Deserialize, de::IgnoredAny};

/// The section `server`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where customers are served.
    #[serde(default = "default_listen")]
    pub(crate) listen: SocketAddr,
    /// How customers reach us, when it is not `http://` and the address above: in links, webhooks and the docs.
    #[serde(default)]
    pub(crate) public_url: Option<String>,
    /// Proxies in front of us: the edge reads them.
    #[serde(default)]
    #[expect(
        dead_code,
        reason = "named here so that a misspelt field of the section is refused"
    )]
    trusted_proxies: IgnoredAny,
    /// Where health and metrics are served.
    #[serde(default = "default_admin_listen")]
    pub(crate) admin_listen: SocketAddr,
    /// How long open requests may go on after the word to stop.
    #[serde(default = "default_grace", with = "duration")]
    pub(crate) shutdown_grace: Duration,
    /// Limits of both listeners.
    #[serde(default)]
    pub(crate) connections: Limits,
}

// === impl Config ===

impl Config {
    /// How customers reach us at `address`, without a slash at the end.
    pub(crate) fn public_url(&self, address: SocketAddr) -> String {
        let host = if address.ip().is_unspecified() {
            "localhost".to_owned()
        } else {
            host(address)
        };
        let here = format!("http://{host}:{}", address.port());
        self.public_url
            .as_deref()
            .unwrap_or(&here)
            .trim_end_matches('/')
            .to_owned()
    }
}

fn host(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    }
}

/// The operator's key for the first start, if one was given.
pub(crate) fn bootstrap_key() -> Option<Secret> {
    chassis::config::variable_value("AIO_BOOTSTRAP_KEY").map(Secret::new)
}

/// The socket of a running `aio up`.
pub(crate) fn socket(data_dir: &Path) -> std::path::PathBuf {
    data_dir.join("aio.sock")
}

const fn default_listen() -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080)
}

const fn default_admin_listen() -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9900)
}

const fn default_grace() -> Duration {
    Duration::from_secs(30)
}
