//! Names to addresses: our own resolver, without search domains and hosts file, and with the policy applied to every
//! answer before anybody can connect to it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ProtocolConfig, ResolveHosts,
    ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::system_conf::read_system_conf;
use tokio::time::timeout;

use super::policy::{Policy, Reach, is_localhost};
use super::refusal::Refusal;
use crate::config::EgressConfig;

/// Resolves and judges names. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Resolver {
    /// `None` on a machine without name servers, on which no name resolves.
    dns: Option<TokioResolver>,
    policy: Arc<Policy>,
    timeout: Duration,
    max_answers: usize,
}

/// Why a name gives no address to connect to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResolveError {
    /// It leads where it may not.
    #[error("the name leads to an address that is not allowed")]
    Refused(#[source] Refusal),
    /// It leads nowhere, or no name server answered in time.
    #[error("the name does not resolve")]
    Unresolved,
}

// === impl Resolver ===

impl Resolver {
    pub(crate) fn new(config: &EgressConfig, policy: Arc<Policy>) -> Self {
        Self {
            dns: dns_client(config),
            policy,
            timeout: config.patience.resolve_timeout,
            max_answers: config.max_answers,
        }
    }

    /// The addresses of `name`, if every one of them passes.
    pub(crate) async fn resolve(
        &self,
        name: &str,
        reach: &Reach,
    ) -> Result<Vec<IpAddr>, ResolveError> {
        if is_localhost(name) {
            return self.localhost(reach);
        }
        let dns = self.dns.as_ref().ok_or(ResolveError::Unresolved)?;
        // The final dot keeps search domains out.
        let answer = timeout(self.timeout, dns.lookup_ip(format!("{name}.")))
            .await
            .map_err(|_| ResolveError::Unresolved)?
            .map_err(|_| ResolveError::Unresolved)?;
        let addresses: Vec<IpAddr> = answer.iter().collect();
        self.judge(addresses, reach)
    }

    fn judge(&self, addresses: Vec<IpAddr>, reach: &Reach) -> Result<Vec<IpAddr>, ResolveError> {
        if addresses.is_empty() {
            return Err(ResolveError::Unresolved);
        }
        if addresses.len() > self.max_answers {
            let max = self.max_answers;
            return Err(ResolveError::Refused(Refusal::TooManyAddresses { max }));
        }
        // One bad answer refuses all: whoever mixes public and internal addresses is up to something.
        if addresses
            .iter()
            .all(|address| self.policy.permits(*address, reach))
        {
            Ok(addresses)
        } else {
            Err(ResolveError::Refused(Refusal::Resolved))
        }
    }

    /// `localhost` is the loopback addresses that are allowed, whatever a name server or hosts file says.
    fn localhost(&self, reach: &Reach) -> Result<Vec<IpAddr>, ResolveError> {
        let addresses: Vec<IpAddr> = EgressConfig::LOOPBACK
            .into_iter()
            .filter(|address| self.policy.permits(*address, reach))
            .collect();
        if addresses.is_empty() {
            return Err(ResolveError::Refused(Refusal::Name));
        }
        Ok(addresses)
    }
}

/// The DNS client, or `None` where there is nobody to ask.
fn dns_client(config: &EgressConfig) -> Option<TokioResolver> {
    let servers = if config.nameservers.is_empty() {
        match read_system_conf() {
            Ok((system, _)) => system.name_servers,
            Err(error) => {
                tracing::warn!(%error, "no name servers found: host names in customers' URLs will not resolve");
                return None;
            }
        }
    } else {
        config
            .nameservers
            .iter()
            .copied()
            .map(name_server)
            .collect()
    };
    let mut options = ResolverOpts::default();
    options.ndots = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.timeout = config.patience.resolve_timeout;
    options.attempts = 1;
    // Answers are judged whenever they are used, so remembering them is safe; a name that was just mended must not stay broken.
    options.positive_max_ttl = Some(Duration::from_secs(60));
    options.negative_max_ttl = Some(Duration::from_secs(5));
    let built = TokioResolver::builder_with_config(
        ResolverConfig::from_parts(None, Vec::new(), servers),
        TokioRuntimeProvider::default(),
    )
    .with_options(options)
    .build();
    match built {
        Ok(resolver) => Some(resolver),
        Err(error) => {
            tracing::warn!(%error, "the resolver cannot be set up: host names in customers' URLs will not resolve");
            None
        }
    }
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp]
        .into_iter()
        .map(|protocol| {
            let mut connection = ConnectionConfig::new(protocol);
            connection.port = address.port();
            connection
        })
        .collect();
    NameServerConfig::new(address.ip(), true, connections)
}
