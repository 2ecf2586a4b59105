//! The section `peers`: where the other services are, what each role shows to be let in, and the limits of both ends.

use std::{collections::BTreeMap, fmt, time::Duration};

use domain::Secret;
use serde::Deserialize;

use super::{Callers, Channel, Error, Metrics, Peer};
use crate::{Tasks, config::duration};

/// Characters of the shortest token that is taken.
const SHORTEST_TOKEN: usize = 32;

/// One kind of process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// HTTP in, HTTP out.
    Edge,
    /// Chat requests.
    Chat,
    /// Media tasks.
    Media,
    /// Accounts, keys, the ledger.
    Billing,
    /// Telling customers.
    Webhooks,
    /// The web pages.
    Dashboard,
    /// Simulated providers.
    Sandbox,
}

/// The section `peers`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PeersConfig {
    /// Where billing is: `http://host:port`, several with commas between. A name may stand for many addresses: all are used.
    pub billing: String,
    /// Where chat is.
    pub chat: String,
    /// Where media is.
    pub media: String,
    /// Where webhooks is.
    pub webhooks: String,
    /// Where the sandbox is. It is called like a provider, not by gRPC.
    pub sandbox: String,
    /// Where the edge is, for the dashboard, which relays the API to it by HTTP. Empty: it does not.
    pub edge: String,
    /// What each role shows when it calls: at least 32 visible characters. A process needs its own, and those of the
    /// roles that may call it. None by default.
    pub tokens: BTreeMap<Role, Secret>,
    /// Limits of calling.
    pub client: ClientLimits,
    /// Limits of being called.
    pub server: ServerLimits,
}

/// Limits of calling another service.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientLimits {
    /// How long connecting may take, health check included; and how long a call waits for a peer to be there at all.
    /// Default `1s`.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// How long a connection may be silent before it is asked whether it lives, even when no call is open. Default `10s`.
    #[serde(with = "duration")]
    pub keepalive_interval: Duration,
    /// How long it may take to answer that, or a health check, before it is given up. Default `5s`.
    #[serde(with = "duration")]
    pub keepalive_timeout: Duration,
    /// Connections to each address. One connection is one TCP stream: a lost packet stops all calls on it. Default 2.
    pub connections: u32,
    /// How often names are resolved. Default `5s`.
    #[serde(with = "duration")]
    pub resolve_every: Duration,
    /// The longest pause between two tries to connect; the first is a sixteenth of it. Default `2s`.
    #[serde(with = "duration")]
    pub longest_pause: Duration,
    /// Bytes of one answer that may wait for its reader. Default 256 KiB.
    pub stream_window: u32,
    /// Bytes of all answers on one connection that may wait for their readers: so that slow ones do not stop the others,
    /// much more than one stream's. Default 128 MiB.
    pub connection_window: u32,
    /// Bytes of an answer's headers. Default 32 KiB.
    pub max_header_bytes: u32,
}

/// Limits of being called by other services.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerLimits {
    /// Open connections. Default 4096.
    pub max_connections: usize,
    /// Calls open at once, streams included; more are refused at once. Default 20000.
    pub max_calls: usize,
    /// Calls open at once on one connection. Default 10000.
    pub max_streams: u32,
    /// From accept to the first byte. Default `10s`.
    #[serde(with = "duration")]
    pub first_byte_timeout: Duration,
    /// How long what we sent may stay unread before the connection is cut (`TCP_USER_TIMEOUT`). Default `30s`.
    #[serde(with = "duration")]
    pub write_timeout: Duration,
    /// How long a connection may be silent before it is asked whether it lives. Default `20s`.
    #[serde(with = "duration")]
    pub keepalive_interval: Duration,
    /// How long it may take to answer that. Default `10s`.
    #[serde(with = "duration")]
    pub keepalive_timeout: Duration,
    /// How long connections live.
    pub age: ConnectionAge,
    /// Calls on one connection that were cancelled before they were taken up; more cut it, and all calls on it. Default
    /// 1000: when we are slow, callers that give up together are no attack.
    pub max_pending_resets: usize,
    /// Bytes of one request that may wait for its handler. Default 256 KiB.
    pub stream_window: u32,
    /// Bytes of all requests on one connection that may wait for their handlers. Default 16 MiB.
    pub connection_window: u32,
    /// Bytes of a request's headers. Default 32 KiB.
    pub max_header_bytes: u32,
}

/// How long a connection lives: callers come back, and so spread over replicas that were added since.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConnectionAge {
    /// After this time no new call is taken on it. Default `10m`.
    #[serde(with = "duration")]
    pub longest: Duration,
    /// At most this much is taken off, by chance, so that not all end together. Default `1m`.
    #[serde(with = "duration")]
    pub spread: Duration,
    /// How long open calls may go on after that. Default `20m`.
    #[serde(with = "duration")]
    pub grace: Duration,
}

// === impl Role ===

impl Role {
    /// The word of the command line and the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Chat => "chat",
            Self::Media => "media",
            Self::Billing => "billing",
            Self::Webhooks => "webhooks",
            Self::Dashboard => "dashboard",
            Self::Sandbox => "sandbox",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl PeersConfig ===

impl Default for PeersConfig {
    /// Everybody on this machine, each on the customary port.
    fn default() -> Self {
        let here = |port: u16| format!("http://127.0.0.1:{port}");
        Self {
            billing: here(9103),
            chat: here(9101),
            media: here(9102),
            webhooks: here(9104),
            sandbox: here(9105),
            edge: here(8080),
            tokens: BTreeMap::new(),
            client: ClientLimits::default(),
            server: ServerLimits::default(),
        }
    }
}

impl PeersConfig {
    /// A way for the role `own` to call `peer`. Connecting begins at once, in the background.
    ///
    /// # Errors
    /// When `peer` takes no calls, its address is not one, or our own token is missing or weak.
    pub fn channel(
        &self,
        own: Role,
        peer: Role,
        metrics: &Metrics,
        tasks: &Tasks,
    ) -> Result<Channel, Error> {
        let address = match peer {
            Role::Billing => &self.billing,
            Role::Chat => &self.chat,
            Role::Media => &self.media,
            Role::Webhooks => &self.webhooks,
            Role::Edge | Role::Dashboard | Role::Sandbox => {
                return Err(Error::NotCallable { role: peer });
            }
        };
        Peer::new(address, self.token(own)?.clone())
            .named(peer.as_str())
            .limits(self.client.clone())
            .metrics(metrics.clone())
            .connect(tasks)
    }

    /// Who may call a server that takes calls of `roles`.
    ///
    /// # Errors
    /// When the token of one of them is missing, or any token is weak.
    pub fn callers(&self, roles: &[Role]) -> Result<Callers, Error> {
        for role in roles.iter().chain(self.tokens.keys()) {
            self.token(*role)?;
        }
        Ok(Callers::new(&self.tokens, roles))
    }

    fn token(&self, role: Role) -> Result<&Secret, Error> {
        let token = self.tokens.get(&role).ok_or(Error::NoToken { role })?;
        let text = token.expose();
        if text.len() < SHORTEST_TOKEN || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::WeakToken { role });
        }
        Ok(token)
    }
}

// === impl ClientLimits ===

impl Default for ClientLimits {
    /// The defaults that the fields document.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            keepalive_interval: Duration::from_secs(10),
            keepalive_timeout: Duration::from_secs(5),
            connections: 2,
            resolve_every: Duration::from_secs(5),
            longest_pause: Duration::from_secs(2),
            stream_window: 256 << 10,
            connection_window: 128 << 20,
            max_header_bytes: 32 << 10,
        }
    }
}

// === impl ServerLimits ===

impl Default for ServerLimits {
    /// The defaults that the fields document.
    fn default() -> Self {
        Self {
            max_connections: 4096,
            max_calls: 20_000,
            max_streams: 10_000,
            first_byte_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(10),
            age: ConnectionAge::default(),
            max_pending_resets: 1000,
            stream_window: 256 << 10,
            connection_window: 16 << 20,
            max_header_bytes: 32 << 10,
        }
    }
}

// === impl ConnectionAge ===

impl Default for ConnectionAge {
    /// The defaults that the fields document.
    fn default() -> Self {
        Self {
            longest: Duration::from_secs(600),
            spread: Duration::from_secs(60),
            grace: Duration::from_secs(1200),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn peers(text: &str) -> PeersConfig {
        Settings::from_toml(text).section("peers").unwrap()
    }

    #[test]
    fn an_empty_section_means_this_machine() {
        let peers = peers("");
        assert_eq!(peers.billing, "http://127.0.0.1:9103");
        assert_eq!(peers.chat, "http://127.0.0.1:9101");
        assert_eq!(peers.client.connections, 2);
        assert!(matches!(
            peers.callers(&[Role::Edge]),
            Err(Error::NoToken { role: Role::Edge })
        ));
    }

    #[test]
    fn tokens_must_be_long_and_fit_a_header() {
        for (token, good) in [
            ("0123456789abcdef0123456789abcdef", true),
            ("0123456789abcdef0123456789abcde", false),
            ("0123456789abcdef 0123456789abcdef", false),
            ("0123456789abcdef0123456789abcdé", false),
        ] {
            let peers = peers(&format!("[peers.tokens]\nedge = '{token}'"));
            assert_eq!(peers.callers(&[Role::Edge]).is_ok(), good, "{token}");
        }
    }

    #[tokio::test]
    async fn a_channel_needs_our_own_token_and_a_peer_that_takes_calls() {
        let metrics = Metrics::register(&mut prometheus_client::registry::Registry::default());
        let peers = peers("[peers.tokens]\nedge = '0123456789abcdef0123456789abcdef'");
        let channel = |own, peer| peers.channel(own, peer, &metrics, &Tasks::default()).err();
        assert!(channel(Role::Edge, Role::Billing).is_none());
        assert!(matches!(
            channel(Role::Chat, Role::Billing),
            Some(Error::NoToken { role: Role::Chat })
        ));
        assert!(matches!(
            channel(Role::Edge, Role::Sandbox),
            Some(Error::NotCallable {
                role: Role::Sandbox
            })
        ));
    }

    #[test]
    fn an_unknown_role_is_a_mistake() {
        let settings = Settings::from_toml("[peers.tokens]\nsecurity = 'x'");
        let error = settings.section::<PeersConfig>("peers").unwrap_err();
        assert!(error.to_string().starts_with("peers.tokens"), "{error}");
    }
}
