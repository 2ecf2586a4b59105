//! The rule for URLs and addresses. Pure, apart from reading this machine's own addresses once, when it is made.
//!
//! The URL is parsed once and only the parsed value is used afterwards, so that no two readers of its text can disagree.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use url::{Host, Url};

use super::address;
use super::refusal::Refusal;
use crate::config::{EgressConfig, Scheme};

/// Which URLs and addresses may be called.
#[derive(Debug, Clone)]
pub struct Policy {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    deny_hosts: Vec<String>,
    /// The names of this installation, whose files alone may be named; none where it may be called as any other.
    own_hosts: Vec<String>,
    /// The addresses of this machine's interfaces: calling ourselves is never meant.
    own: Vec<IpAddr>,
    schemes: Vec<Scheme>,
    ports: Vec<u16>,
    max_url_bytes: usize,
}

/// A URL that passed the policy by its form. Only a [`Policy`] makes one.
#[derive(Clone)]
pub struct GuardedUrl {
    url: Url,
    reach: Reach,
}

/// Which addresses a guarded URL may lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Public addresses, and those of `allow`.
    Public,
    /// Those of `allow` only.
    Allowed {
        /// The refusal that stands unless the name does lead into `allow`; `None` for `localhost` under an open loopback.
        unless: Option<Refusal>,
    },
}

/// Names that are never public, together with everything below them.
const RESERVED_NAMES: [&str; 9] = [
    "localhost",
    "localdomain",
    "local",
    "internal",
    "intranet",
    "svc",
    "cluster.local",
    "home.arpa",
    "onion",
];

// === impl Policy ===

impl Policy {
    /// The policy of a configuration.
    #[must_use]
    pub fn new(config: &EgressConfig) -> Self {
        let own = if_addrs::get_if_addrs().unwrap_or_default();
        Self {
            allow: config.allow.clone(),
            deny: config.deny.clone(),
            deny_hosts: names(&config.deny_hosts),
            own_hosts: if config.own.allow_own {
                Vec::new()
            } else {
                names(&config.own.own_hosts)
            },
            own: own.iter().map(if_addrs::Interface::ip).collect(),
            schemes: config.schemes.clone(),
            ports: config.ports.clone(),
            max_url_bytes: config.max_url_bytes,
        }
    }

    /// Checks a URL by its form alone, as test mode does. A name whose form only an allowed range could excuse is refused:
    /// without the network nobody knows where it leads.
    ///
    /// # Errors
    /// The first reason found.
    pub fn check_form(&self, text: &str) -> Result<GuardedUrl, Refusal> {
        let url = self.admit(text)?;
        match url.reach {
            Reach::Allowed {
                unless: Some(refusal),
            } => Err(refusal),
            Reach::Public | Reach::Allowed { unless: None } => Ok(url),
        }
    }

    /// Checks the form of a URL that is about to be called. Where ranges are allowed, a name with another scheme or port, or an
    /// internal name, is let through: the connector then demands that it leads into those ranges.
    ///
    /// # Errors
    /// The first reason found.
    pub fn admit(&self, text: &str) -> Result<GuardedUrl, Refusal> {
        let mut url = self.parse(text)?;
        let reach = match url.host() {
            Some(Host::Ipv4(v4)) => self.literal_reach(IpAddr::V4(v4), &url)?,
            Some(Host::Ipv6(v6)) => self.literal_reach(IpAddr::V6(v6), &url)?,
            Some(Host::Domain(name)) => {
                let name = name.strip_suffix('.').unwrap_or(name).to_owned();
                url.set_host(Some(&name)).map_err(|_| Refusal::Malformed)?;
                self.name_reach(&name, &url)?
            }
            None => return Err(Refusal::Malformed),
        };
        Ok(GuardedUrl { url, reach })
    }

    /// Whether a connection to `address` is permitted.
    pub(crate) fn permits(&self, address: IpAddr, reach: &Reach) -> bool {
        let allowed = contains(&self.allow, address) && !self.denied(address);
        match reach {
            Reach::Allowed { .. } => allowed,
            Reach::Public => allowed || self.public(address).is_ok(),
        }
    }

    /// Whether any range is allowed, so that a name may lead somewhere special.
    pub(crate) fn has_allowed_ranges(&self) -> bool {
        !self.allow.is_empty()
    }

    fn parse(&self, text: &str) -> Result<Url, Refusal> {
        if text.len() > self.max_url_bytes {
            return Err(Refusal::TooLong {
                max_bytes: self.max_url_bytes,
            });
        }
        // The parser drops tabs, line ends and outer spaces silently; a URL that has them is somebody's trick.
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(Refusal::Malformed);
        }
        let mut url = Url::parse(text).map_err(|_| Refusal::Malformed)?;
        if Scheme::parse(url.scheme()).is_none() {
            return Err(self.refused_scheme());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::Credentials);
        }
        if url.port() == Some(0) {
            return Err(self.refused_port(0));
        }
        url.set_fragment(None);
        Ok(url)
    }

    fn literal_reach(&self, address: IpAddr, url: &Url) -> Result<Reach, Refusal> {
        let allowed = Reach::Allowed { unless: None };
        if self.permits(address, &allowed) {
            // At a loopback address is whoever has the port, not we alone.
            if !address.to_canonical().is_loopback() {
                self.check_own(url)?;
            }
            return Ok(allowed);
        }
        self.public(address)
            .map_err(|what| Refusal::Literal { what })?;
        self.check_own(url)?;
        self.check_scheme_and_port(url)?;
        Ok(Reach::Public)
    }

    fn name_reach(&self, name: &str, url: &Url) -> Result<Reach, Refusal> {
        if name.is_empty() || name.ends_with('.') {
            return Err(Refusal::Malformed);
        }
        if self.deny_hosts.iter().any(|denied| is_below(name, denied)) {
            return Err(Refusal::Name);
        }
        if is_localhost(name) {
            let open = EgressConfig::LOOPBACK
                .iter()
                .any(|address| self.permits(*address, &Reach::Allowed { unless: None }));
            return if open {
                Ok(Reach::Allowed { unless: None })
            } else {
                Err(Refusal::Name)
            };
        }
        // Before what `allow` may excuse, also so that all URLs of an origin have the same reach.
        self.check_own(url)?;
        let internal =
            !name.contains('.') || RESERVED_NAMES.iter().any(|upper| is_below(name, upper));
        let form = if internal {
            Err(Refusal::Name)
        } else {
            self.check_scheme_and_port(url)
        };
        match form {
            Ok(()) => Ok(Reach::Public),
            Err(refusal) if self.has_allowed_ranges() => Ok(Reach::Allowed {
                unless: Some(refusal),
            }),
            Err(refusal) => Err(refusal),
        }
    }

    /// Calling ourselves is never meant, but for a file that we gave a link to.
    fn check_own(&self, url: &Url) -> Result<(), Refusal> {
        let host = url.host_str().unwrap_or_default();
        if self.own_hosts.iter().any(|own| own == host) && !is_file_link(url.path()) {
            return Err(Refusal::Own);
        }
        Ok(())
    }

    fn check_scheme_and_port(&self, url: &Url) -> Result<(), Refusal> {
        match Scheme::parse(url.scheme()) {
            Some(scheme) if self.schemes.contains(&scheme) => {}
            Some(_) | None => return Err(self.refused_scheme()),
        }
        match url.port_or_known_default() {
            Some(port) if self.ports.contains(&port) => Ok(()),
            Some(port) => Err(self.refused_port(port)),
            None => Err(Refusal::Malformed),
        }
    }

    /// The rule without `allow`: what stands against the address, if anything.
    fn public(&self, address: IpAddr) -> Result<(), &'static str> {
        if let Some(what) = address::special(address) {
            return Err(what);
        }
        if self.denied(address) {
            return Err("an address closed by the operator");
        }
        if self.own.contains(&address.to_canonical()) {
            return Err("an address of this service itself");
        }
        Ok(())
    }

    fn denied(&self, address: IpAddr) -> bool {
        contains(&self.deny, address.to_canonical())
    }

    fn refused_scheme(&self) -> Refusal {
        let names: Vec<&str> = self.schemes.iter().map(|scheme| scheme.as_str()).collect();
        Refusal::Scheme {
            allowed: names.join(", "),
        }
    }

    fn refused_port(&self, port: u16) -> Refusal {
        let ports: Vec<String> = self.ports.iter().map(ToString::to_string).collect();
        Refusal::Port {
            port,
            allowed: ports.join(", "),
        }
    }
}

// === impl GuardedUrl ===

impl GuardedUrl {
    /// The parsed URL, without fragment.
    #[must_use]
    pub fn as_url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn reach(&self) -> &Reach {
        &self.reach
    }
}

/// Without path and query, which may hold secrets.
impl fmt::Debug for GuardedUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "GuardedUrl({}://{}, {:?})",
            self.url.scheme(),
            self.url.host_str().unwrap_or_default(),
            self.reach
        )
    }
}

/// `localhost` and what stands below it, which never goes to a name server.
pub(crate) fn is_localhost(name: &str) -> bool {
    is_below(name, "localhost")
}

/// Whether `name` is `upper` or a name below it. Both are lower-case, as the URL parser leaves them.
fn is_below(name: &str, upper: &str) -> bool {
    match name.strip_suffix(upper) {
        Some(rest) => rest.is_empty() || rest.ends_with('.'),
        None => false,
    }
}

/// Names as the URL parser leaves them.
fn names(configured: &[String]) -> Vec<String> {
    configured
        .iter()
        .map(|name| name.trim_matches('.').to_ascii_lowercase())
        .filter(|name| !name.is_empty())
        .collect()
}

/// Whether a path can be that of a link that we give: of a file that a task made, or of one that was uploaded. What was made is the usual
/// input of what is made next. What stands before it is the path of `server.public_url`, which a proxy may take away.
fn is_file_link(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let is_link = matches!(
        parts.as_slice(),
        [.., "v1", "tasks", _, "files", _] | [.., "v1", "files", _, "content"]
    );
    is_link && parts.iter().all(|part| !part.is_empty())
}

fn contains(nets: &[IpNet], address: IpAddr) -> bool {
    nets.iter().any(|net| net.contains(&address))
}
