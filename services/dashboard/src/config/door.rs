//! Who may come in, and how often: the sections `limits.door`, `dashboard` and `smtp`.

use std::time::Duration;

use chassis::config::duration;
use domain::Secret;
use ipnet::IpNet;
use serde::Deserialize;

use super::DAY;

/// Who may come in, and how often.
#[derive(Clone, Debug, Default)]
pub struct Door {
    /// The section `limits.door`.
    pub limits: DoorLimits,
    /// `dashboard.sign_up`.
    pub sign_up: SignUp,
    /// `server.trusted_proxies`: whose `x-forwarded-for` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The section `smtp`.
    pub smtp: Smtp,
}

/// Who may sign up: `dashboard.sign_up`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignUp {
    /// Anybody. The default.
    #[default]
    Open,
    /// Whoever was invited to an account.
    Invited,
    /// Nobody.
    Closed,
}

/// How often somebody may try, and how long links live: the section `limits.door`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DoorLimits {
    /// Tries to sign in, or to use a link, a minute out of one network (an IPv4 address, or the first 64 bits of an IPv6 one); as many may
    /// come at once. Default 30.
    pub network_per_minute: u32,
    /// Tries to sign in with one e-mail address a minute; twice as many may come at once. Those that succeed do not count. Default 5.
    pub address_per_minute: u32,
    /// Sign-ups out of one network an hour, those that found their address taken among them; 0: not limited. Default 10.
    pub sign_ups_per_hour: u32,
    /// And a day. Default 30.
    pub sign_ups_per_day: u32,
    /// E-mails to one address a minute; three times as many may come at once. Default 1.
    pub mails_per_minute: u32,
    /// Forms.
    pub forms: FormLimits,
    /// People and open invitations of one account. Default 100.
    pub members: usize,
    /// Operations that are written into an export before it asks for further ones. Default 1 000.
    pub export_page: u32,
    /// How often what has ended is removed. Default `1m`.
    #[serde(with = "duration")]
    pub sweep_every: Duration,
    /// Passkeys.
    pub passkeys: PasskeyLimits,
    /// How long links live, and what people did is kept.
    pub lives: Lives,
}

/// Forms: the section `limits.door.forms`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FormLimits {
    /// Bytes of a form of signing in and of settings, and of an answer that is kept, packed. Default 64 KiB.
    pub bytes: usize,
    /// How long a form may take to arrive. Default `10s`.
    #[serde(with = "duration")]
    pub patience: Duration,
    /// Forms of one browser that are kept with their answers, so that one that is sent twice makes one thing. Default 20.
    pub kept: u32,
    /// How long they are kept: so long a form is answered the same when it is sent again. Default `10m`.
    #[serde(with = "duration")]
    pub life: Duration,
}

/// Passkeys: the section `limits.door.passkeys`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PasskeyLimits {
    /// How long a device may take to sign what it is asked to: what it signs is asked once. Default `5m`.
    #[serde(with = "duration")]
    pub challenge: Duration,
    /// Passkeys of one person. Default 20.
    pub most: u32,
}

/// How long links live, and what people did is kept: the section `limits.door.lives`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lives {
    /// A link that an operator made to sign in. Default `1d`.
    #[serde(with = "duration")]
    pub sign_in_link: Duration,
    /// A link that sets a new password. Default `1h`.
    #[serde(with = "duration")]
    pub reset: Duration,
    /// A link that confirms an address. Default `3d`.
    #[serde(with = "duration")]
    pub confirm: Duration,
    /// An invitation. Default `7d`.
    #[serde(with = "duration")]
    pub invite: Duration,
    /// What people did, in the audit log. Default `365d`.
    #[serde(with = "duration")]
    pub acts: Duration,
}

/// How e-mail is sent: the section `smtp`. Without `url` none is, and everything that needs none works.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Smtp {
    /// `smtps://user:password@host:465`, `smtp://user:password@host:587?tls=required`, or `smtp://host:25` without TLS.
    pub url: Option<Secret>,
    /// From whom: `API in One <no-reply@example.com>`.
    pub from: Option<String>,
    /// How long the server may take to answer. Default `10s`.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// E-mails that are sent at the same moment, at most. Default 4.
    pub at_once: usize,
}

/// The section `dashboard`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Pages {
    pub(super) sign_up: SignUp,
}

/// What the dashboard reads of the section `server`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Server {
    pub(super) trusted_proxies: Vec<IpNet>,
}

impl Default for DoorLimits {
    /// The defaults that the fields document.
    fn default() -> Self {
        Self {
            network_per_minute: 30,
            address_per_minute: 5,
            sign_ups_per_hour: 10,
            sign_ups_per_day: 30,
            mails_per_minute: 1,
            forms: FormLimits::default(),
            members: 100,
            export_page: 1_000,
            sweep_every: Duration::from_secs(60),
            passkeys: PasskeyLimits::default(),
            lives: Lives::default(),
        }
    }
}

impl Default for FormLimits {
    /// The defaults that the fields document.
    fn default() -> Self {
        Self {
            bytes: 64 * 1024,
            patience: Duration::from_secs(10),
            kept: 20,
            life: Duration::from_secs(10 * 60),
        }
    }
}

impl Default for PasskeyLimits {
    /// The defaults that the fields document.
    fn default() -> Self {
        Self {
            challenge: Duration::from_secs(5 * 60),
            most: 20,
        }
    }
}

impl Default for Lives {
    /// The defaults that the fields document.
    fn default() -> Self {
        Self {
            sign_in_link: Duration::from_secs(DAY),
            reset: Duration::from_secs(60 * 60),
            confirm: Duration::from_secs(3 * DAY),
            invite: Duration::from_secs(7 * DAY),
            acts: Duration::from_secs(365 * DAY),
        }
    }
}

impl Default for Smtp {
    /// The defaults that the fields document.
    fn default() -> Self {
        Self {
            url: None,
            from: None,
            timeout: Duration::from_secs(10),
            at_once: 4,
        }
    }
}
