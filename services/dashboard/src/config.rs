//! What the pages are told: the sections `limits.dashboard` and those below it, `limits.door`, `dashboard` and `smtp`.

mod door;
mod parts;

use std::time::Duration;

use chassis::config::{Error, Settings, duration};
use serde::Deserialize;

use self::door::{Pages, Server};
pub use self::parts::OperatorLimits;
pub(crate) use self::{
    door::{Door, SignUp, Smtp},
    parts::{ModelsLimits, PasswordLimits, PlaygroundLimits, RelayLimits, Sessions, Usage, Work},
};

/// Seconds.
const DAY: u64 = 24 * 60 * 60;

/// Limits of the pages.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The pages of models.
    pub models: ModelsLimits,
    /// How long a browser or a proxy may show a page without asking again. Default `1m`.
    #[serde(with = "duration")]
    pub page_life: Duration,
    /// How long other services may take to answer a page. Default `5s`.
    #[serde(with = "duration")]
    pub patience: Duration,
    /// How long browsers stay signed in.
    pub sessions: Sessions,
    /// What passwords are like, and how many are looked at.
    pub passwords: PasswordLimits,
    /// What home, usage and requests show.
    pub usage: Usage,
    /// What the pages of tasks and webhooks show.
    pub work: Work,
    /// The playground.
    pub playground: PlaygroundLimits,
    /// The API on the pages' own origin.
    pub relay: RelayLimits,
    /// Who sells, in lines for invoices: name, address, tax number. Default: the installation's URL.
    pub invoice_from: String,
    /// What operators see.
    pub operator: OperatorLimits,
    /// Who may come in, and how often. From sections of their own.
    #[serde(skip)]
    pub door: Door,
}

// === impl Config ===

impl Config {
    /// Reads the sections.
    ///
    /// # Errors
    /// When a setting has a wrong value.
    pub fn read(settings: &Settings) -> Result<Self, Error> {
        let pages: Pages = settings.section("dashboard")?;
        let server: Server = settings.section("server")?;
        let limits: Self = settings.section("limits.dashboard")?;
        Ok(Self {
            door: Door {
                limits: settings.section("limits.door")?,
                sign_up: pages.sign_up,
                trusted_proxies: server.trusted_proxies,
                smtp: settings.section("smtp")?,
            },
            ..limits
        })
    }
}

impl Default for Config {
    /// The defaults that the fields document.
    fn default() -> Self {
        Self {
            models: ModelsLimits::default(),
            page_life: Duration::from_secs(60),
            patience: Duration::from_secs(5),
            sessions: Sessions::default(),
            passwords: PasswordLimits::default(),
            usage: Usage::default(),
            work: Work::default(),
            playground: PlaygroundLimits::default(),
            relay: RelayLimits::default(),
            invoice_from: String::new(),
            door: Door::default(),
            operator: OperatorLimits::default(),
        }
    }
}
