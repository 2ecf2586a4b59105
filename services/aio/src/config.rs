//! The section `server`: where the process listens, and how it stops. And what no section can check alone: that every section
//! is one somebody reads, and that settings of different services agree.

mod mistakes;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::ensure;
use chassis::{
    config::{Settings, duration},
    http::Limits,
};
use domain::Secret;
use serde::{Deserialize, de::IgnoredAny};
use upstream::EgressConfig;
use url::Url;

use crate::{args::Role, models};

pub(crate) use mistakes::mistakes;

/// Every section somebody reads.
const SECTIONS: &[&str] = &[
    "server",
    "database",
    "redis",
    "rabbitmq",
    "peers",
    "storage",
    "queue",
    "live",
    "sandbox",
    "providers",
    "models",
    "egress",
    "limits",
    "secrets",
    "accounts",
    "dashboard",
    "smtp",
    "orders",
    "webhooks",
    "telemetry",
];

/// Every section below `limits` somebody reads.
const LIMITS: &[&str] = &[
    "bodies",
    "recordings",
    "rates",
    "key_cache",
    "streams",
    "deadlines",
    "chat",
    "inputs",
    "responses",
    "cache",
    "declared",
    "files",
    "media",
    "billing",
    "webhooks",
    "upstream",
    "outbox",
    "overload",
    "dashboard",
    "door",
];

/// Bytes of a message between services beside the customer's body: who asks, and the key's list of models.
const ENVELOPE: usize = 64 * 1024;

/// The section `server`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where the process serves. Default: 127.0.0.1 and the port of `aio up` or of its role.
    #[serde(default)]
    pub(crate) listen: Option<SocketAddr>,
    /// How customers reach us, when it is not `http://` and the address above: in links, webhooks and the docs.
    #[serde(default)]
    pub(crate) public_url: Option<String>,
    /// Proxies in front of us: the edge and the dashboard read them.
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
    /// How long to go on serving after the word to stop, while `/readyz` says no already: for load balancers that take a moment
    /// to notice.
    #[serde(default, with = "duration")]
    pub(crate) drain_delay: Duration,
    /// Limits of both listeners.
    #[serde(default)]
    pub(crate) connections: Limits,
}

// === impl Config ===

impl Config {
    /// Where to listen.
    pub(crate) fn listen(&self, default_port: u16) -> SocketAddr {
        let usual = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), default_port);
        self.listen.unwrap_or(usual)
    }

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

/// Refuses sections that nobody reads: they are misspelt.
pub(crate) fn check_names(settings: &Settings) -> Result<(), chassis::config::Error> {
    settings.only_sections(SECTIONS)?;
    settings.only_below("limits", LIMITS)
}

/// Refuses settings of different services that contradict each other.
pub(crate) fn check_agreement(settings: &Settings) -> anyhow::Result<()> {
    let bodies = edge::Config::read(settings)?.limits.bodies;
    dashboard::Config::read(settings)?;
    let chat = chat::Config::read(settings)?;
    let billing = billing::Config::read(settings)?.limits;
    ensure!(
        bodies.payment_event.saturating_add(ENVELOPE) <= billing.input.max_message_bytes,
        "limits.billing.input.max_message_bytes ({}) must be at least limits.bodies.payment_event ({}) and {ENVELOPE}",
        billing.input.max_message_bytes,
        bodies.payment_event
    );
    ensure!(
        bodies.chat.saturating_add(ENVELOPE) <= chat.max_message_bytes,
        "limits.chat.max_message_bytes ({}) must be at least limits.bodies.chat ({}) and {ENVELOPE}",
        chat.max_message_bytes,
        bodies.chat
    );
    let kept = chat::ResponseLimits::read(settings)?.max_bytes;
    ensure!(
        kept.saturating_add(ENVELOPE) <= chat.max_message_bytes,
        "limits.chat.max_message_bytes ({}) must be at least limits.responses.max_bytes ({kept}) and {ENVELOPE}",
        chat.max_message_bytes
    );
    let media = media::Config::read(settings)?.limits.submit;
    ensure!(
        bodies.media.saturating_add(ENVELOPE) <= media.max_message_bytes,
        "limits.media.submit.max_message_bytes ({}) must be at least limits.bodies.media ({}) and {ENVELOPE}",
        media.max_message_bytes,
        bodies.media
    );
    let file = media::Config::read(settings)?.files.max_bytes;
    ensure!(
        u64::try_from(bodies.upload).unwrap_or(u64::MAX) > file,
        "limits.bodies.upload ({}) must be more than limits.files.max_bytes ({file})",
        bodies.upload
    );
    ensure!(
        chat.billing.hold_ttl <= billing.chat_life,
        "limits.chat.billing.hold_ttl ({:?}) must be at most limits.billing.chat_life ({:?})",
        chat.billing.hold_ttl,
        billing.chat_life
    );
    Ok(())
}

/// The settings, with the host of `server.public_url` among the names that the egress guard knows for our own.
pub(crate) fn with_own_host(settings: &Settings) -> anyhow::Result<Settings> {
    let server: Config = settings.section("server")?;
    let egress: EgressConfig = settings.section("egress")?;
    let url = server.public_url.and_then(|url| Url::parse(&url).ok());
    let host = url.as_ref().and_then(Url::host_str).map(str::to_owned);
    let own: Vec<String> = host.into_iter().chain(egress.own.own_hosts).collect();
    Ok(settings.clone().with("egress.own_hosts", &own.join(",")))
}

/// What works, and not as its operator may think.
pub(crate) fn warnings(settings: &Settings) -> anyhow::Result<Vec<String>> {
    let server: Config = settings.section("server")?;
    let public_url = server.public_url(server.listen(Role::Edge.port()));
    let cut_off = media::out_of_reach(settings, &models::read(settings)?, &public_url)?;
    let mut warnings = Vec::new();
    if !cut_off.is_empty() {
        let names = cut_off.join(", ");
        warnings.push(format!(
            "server.public_url ({public_url}) is no public https address: {names} cannot fetch the files that customers upload; set it, or limits.files.passed_as = \"inline\" with an inline_bytes of max_bytes or more"
        ));
    }
    Ok(warnings)
}

/// The operator's key for the first start, if one was given.
pub(crate) fn bootstrap_key() -> Result<Option<Secret>, chassis::config::Error> {
    chassis::config::secret_value("AIO_BOOTSTRAP_KEY")
}

/// The socket of a running `aio up`.
pub(crate) fn socket(data_dir: &Path) -> PathBuf {
    data_dir.join("aio.sock")
}

const fn default_admin_listen() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9900)
}

const fn default_grace() -> Duration {
    Duration::from_secs(30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_egress_guard_knows_the_name_that_customers_reach_us_by() {
        let own = |text: &str| {
            let settings = with_own_host(&Settings::from_toml(text)).unwrap();
            settings
                .section::<EgressConfig>("egress")
                .unwrap()
                .own
                .own_hosts
        };
        assert_eq!(own(""), [""; 0]);
        let named = "[server]\npublic_url = 'https://API.example.com:8443/v'\n";
        assert_eq!(own(named), ["api.example.com"]);
        let more = "[egress]\nown_hosts = ['b.example', 'c.example']";
        assert_eq!(own(more), ["b.example", "c.example"]);
        let both = format!("{named}{more}");
        assert_eq!(own(&both), ["api.example.com", "b.example", "c.example"]);
    }

    #[test]
    fn a_section_that_nobody_reads_is_named() {
        let refusal = |text: &str| check_names(&Settings::from_toml(text)).err();
        assert!(refusal("[server]\n[limits.outbox]\n[limits.chat.billing]").is_none());
        for (text, named) in [
            (
                "[sever]",
                "there is no section sever; the sections are server,",
            ),
            ("[rediss]", "there is no section rediss"),
            (
                "[limits.bodys]",
                "there is no section limits.bodys; the sections are limits.bodies,",
            ),
        ] {
            let message = refusal(text).unwrap().to_string();
            assert!(message.starts_with(named), "{message}");
        }
    }

    #[test]
    fn providers_that_cannot_fetch_files_are_named() {
        let told = |text: &str| warnings(&Settings::from_toml(text)).unwrap();
        let live = "[providers.fal]\napi_key = 'k'\n";
        let told_of = |more: &str| told(&format!("{live}{more}"));
        let warned = told_of("");
        assert_eq!(warned.len(), 1, "{warned:?}");
        let begin = "server.public_url (http://127.0.0.1:8080) is no public https address: fal cannot fetch";
        assert!(warned[0].starts_with(begin), "{warned:?}");
        for fine in [
            "[server]\npublic_url = 'https://api.aio-gateway.dev'",
            "[limits.files]\npassed_as = 'inline'\ninline_bytes = 67108864",
        ] {
            assert_eq!(told_of(fine), Vec::<String>::new(), "{fine}");
        }
        // The largest files go by links all the same.
        assert_eq!(told_of("[limits.files]\npassed_as = 'inline'"), warned);
        assert_eq!(told(""), Vec::<String>::new());
        let near = "[providers.fal]\napi_key = 'k'\nbase_url = 'http://10.0.0.7/'";
        assert_eq!(told(near), Vec::<String>::new());
    }

    #[test]
    fn settings_that_contradict_each_other_are_named() {
        let refusal = |text: &str| check_agreement(&Settings::from_toml(text)).err();
        assert!(refusal("").is_none());
        for (text, named) in [
            (
                "[limits.bodies]\nchat = 9437184",
                "limits.chat.max_message_bytes (9437184) must be at least limits.bodies.chat (9437184)",
            ),
            (
                "[limits.responses]\nmax_bytes = 9437184",
                "limits.chat.max_message_bytes (9437184) must be at least limits.responses.max_bytes (9437184)",
            ),
            (
                "[limits.bodies]\nmedia = 4194304",
                "limits.media.submit.max_message_bytes (4194304) must be at least limits.bodies.media (4194304)",
            ),
            (
                "[limits.bodies]\npayment_event = 1048576",
                "limits.billing.input.max_message_bytes (1048576) must be at least limits.bodies.payment_event (1048576)",
            ),
            (
                "[limits.bodies]\nupload = 67108864",
                "limits.bodies.upload (67108864) must be more than limits.files.max_bytes (67108864)",
            ),
            (
                "[limits.billing]\nchat_life = '14m'",
                "limits.chat.billing.hold_ttl (900s) must be at most limits.billing.chat_life (840s)",
            ),
        ] {
            let message = refusal(text).unwrap().to_string();
            assert!(message.starts_with(named), "{message}");
        }
    }
}
