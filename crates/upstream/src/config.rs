//! The limits of outgoing calls, each with its default. They are read once, at start, by whoever owns the configuration.
//!
//! Durations are written as `"5s"`, `"250ms"` or `"10m"`, and are more than zero; sizes are bytes. Every field may be left out; the one place
//! that says what it then is, is the `Default` of its struct.

mod format;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use chassis::config::duration;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use url::Url;

/// Limits of calls to configured providers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamConfig {
    /// Name resolution, TCP and TLS together. Default `"5s"`.
    #[serde(with = "duration::positive")]
    pub connect_timeout: Duration,
    /// From sending the request to the head of the answer; a call may ask for another. Default `"120s"`.
    #[serde(with = "duration::positive")]
    pub first_byte_timeout: Duration,
    /// The longest silence inside a body. Default `"60s"`.
    #[serde(with = "duration::positive")]
    pub idle_timeout: Duration,
    /// The whole call, body included. Default `"600s"`.
    #[serde(with = "duration::positive")]
    pub total_timeout: Duration,
    /// The largest reply, buffered or streamed. Default 32 MiB.
    pub max_response_bytes: u64,
    /// The largest reply that holds what was made, as a file in base64. Default 64 MiB: a picture of 4096 by 4096 points may be half of it.
    pub max_result_bytes: u64,
    /// How much of a refusal's body is read in order to classify it. Default 64 KiB.
    pub max_error_bytes: u64,
    /// The largest server-sent event. Default 8 MiB: some providers put an image into one event.
    pub max_event_bytes: usize,
    /// How long an unused connection is kept. Default `"90s"`.
    #[serde(with = "duration::positive")]
    pub pool_idle_timeout: Duration,
    /// How many unused connections are kept per host. Default 256.
    pub pool_max_idle_per_host: usize,
    /// Which protocol versions are offered. Default `"http1"`.
    pub http_versions: HttpVersions,
}

/// Protocol versions offered to providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HttpVersions {
    /// HTTP/1.1 only: one connection per call in flight. The client library opens a single HTTP/2 connection per host and
    /// queues behind the server's stream limit (often 100), which would cap concurrent chat streams per process.
    Http1,
    /// HTTP/2 where the server offers it, else HTTP/1.1: fewer connections, for hosts with a high stream limit.
    Http2,
}

/// The section `egress`: which URLs given by customers may be called, and within which limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EgressConfig {
    /// Address ranges that are open with `http` and `https` and on any port. A list, or one comma-separated string (which is
    /// what `AIO_EGRESS__ALLOW` gives). Default: none.
    #[serde(deserialize_with = "format::networks")]
    pub allow: Vec<IpNet>,
    /// Address ranges that stay closed even where `allow` or the address rule would open them. Default: none.
    #[serde(deserialize_with = "format::networks")]
    pub deny: Vec<IpNet>,
    /// Host names that are refused together with everything below them. Default: none (the reserved names are always refused).
    #[serde(deserialize_with = "format::list")]
    pub deny_hosts: Vec<String>,
    /// What is this installation itself.
    #[serde(flatten)]
    pub own: Own,
    /// Schemes accepted outside `allow`. Default `["https"]`.
    #[serde(deserialize_with = "format::list")]
    pub schemes: Vec<Scheme>,
    /// Ports accepted outside `allow`. Default `[443, 80]`.
    #[serde(deserialize_with = "format::list")]
    pub ports: Vec<u16>,
    /// The longest URL. Default 2 048.
    pub max_url_bytes: usize,
    /// Name servers to ask (`address:port`) in place of the system's. Default: none.
    #[serde(deserialize_with = "format::list")]
    pub nameservers: Vec<SocketAddr>,
    /// How long it may take.
    #[serde(flatten)]
    pub patience: Patience,
    /// The most addresses a name may have. Default 16.
    pub max_answers: usize,
    /// How many redirects a download may follow, where its caller lets it. Default 3.
    pub max_redirects: usize,
    /// A second guard of the operator's: an HTTP proxy (`host:port`) that is asked to `CONNECT` to each address, once this one has passed
    /// it. Default: none.
    pub proxy: Option<ProxyAddress>,
}

/// What customers' URLs may not lead to because it is ours: settings of the section `egress` as well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Own {
    /// Host names of this installation itself, at which customers' URLs may name the links of files that it gives and nothing else. The
    /// host of `server.public_url` is always among them. Default: none more.
    #[serde(deserialize_with = "format::list")]
    pub own_hosts: Vec<String>,
    /// Whether those may be called as any other host, wherever they lead. Default `false`: not even where they lead into `allow`.
    pub allow_own: bool,
}

/// How long the calls may take: settings of the section `egress` as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Patience {
    /// The longest wait for name servers. Default `"3s"`.
    #[serde(with = "duration::positive")]
    pub resolve_timeout: Duration,
    /// Name resolution, TCP and TLS together. Default `"5s"`.
    #[serde(with = "duration::positive")]
    pub connect_timeout: Duration,
    /// The longest silence before or inside an answer. Default `"30s"`.
    #[serde(with = "duration::positive")]
    pub idle_timeout: Duration,
    /// The slowest that a body may come: so many bytes a second, over every `idle_timeout` that is spent waiting for it. 0: as slow as it
    /// likes. Default 1 024.
    pub min_bytes_per_second: u64,
}

/// Where a proxy of the operator's is: `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProxyAddress {
    host: String,
    port: u16,
}

/// A URL scheme that can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

// === impl UpstreamConfig ===

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            first_byte_timeout: Duration::from_secs(120),
            idle_timeout: Duration::from_secs(60),
            total_timeout: Duration::from_secs(600),
            max_response_bytes: 32 * 1024 * 1024,
            max_result_bytes: 64 * 1024 * 1024,
            max_error_bytes: 64 * 1024,
            max_event_bytes: 8 * 1024 * 1024,
            pool_idle_timeout: Duration::from_secs(90),
            pool_max_idle_per_host: 256,
            http_versions: HttpVersions::Http1,
        }
    }
}

// === impl EgressConfig ===

impl Default for EgressConfig {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            deny: Vec::new(),
            deny_hosts: Vec::new(),
            own: Own::default(),
            schemes: vec![Scheme::Https],
            ports: vec![443, 80],
            max_url_bytes: 2_048,
            nameservers: Vec::new(),
            patience: Patience::default(),
            max_answers: 16,
            max_redirects: 3,
            proxy: None,
        }
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            resolve_timeout: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(30),
            min_bytes_per_second: 1_024,
        }
    }
}

impl EgressConfig {
    /// The loopback addresses, to which `localhost` leads where `allow` covers them.
    pub(crate) const LOOPBACK: [IpAddr; 2] = [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
    ];
}

// === impl ProxyAddress ===

impl ProxyAddress {
    /// What stands for an address that is none.
    const ALLOWED: &'static str =
        "not the address of a proxy: write host:port, such as smokescreen:4750";

    /// Its host, an IPv6 address without brackets, and its port.
    pub(crate) fn parts(&self) -> (&str, u16) {
        let plain = self.host.strip_prefix('[');
        let plain = plain.and_then(|host| host.strip_suffix(']'));
        (plain.unwrap_or(&self.host), self.port)
    }
}

impl TryFrom<String> for ProxyAddress {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        // Read as a URL's: nothing but a host and a port may be there.
        let url = Url::parse(&format!("http://{text}/")).map_err(|_| Self::ALLOWED)?;
        let port = text
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok());
        match (url.host_str(), port) {
            (Some(host), Some(port)) if port > 0 => {
                let plain = format!("{host}:{port}");
                if !text.eq_ignore_ascii_case(&plain) {
                    return Err(Self::ALLOWED);
                }
                Ok(Self {
                    host: host.to_owned(),
                    port,
                })
            }
            _ => Err(Self::ALLOWED),
        }
    }
}

impl From<ProxyAddress> for String {
    fn from(address: ProxyAddress) -> Self {
        format!("{}:{}", address.host, address.port)
    }
}

// === impl Scheme ===

impl Scheme {
    /// The scheme as it stands in a URL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The scheme of a parsed URL, if it is one that can be opened.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "http" => Some(Self::Http),
            "https" => Some(Self::Https),
            _ => None,
        }
    }
}

impl std::str::FromStr for Scheme {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or("not a scheme that can be opened: use http or https")
    }
}
