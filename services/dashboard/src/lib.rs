//! The dashboard: the web pages. Those that anybody may read: what this is, the models with their prices, the docs; and, behind the door,
//! what customers and operators see of what is theirs.
//!
//! It keeps people and their sessions; all else it asks other services for, as whoever reads. What a public page says of a model, a price, a charge or an error comes from the catalogue, from the
//! table of charges, from `docs/` and from the document that the API gives of itself; nothing of it is written down a second time.
//! Every page is made on the server, works without its script, asks no other origin for anything, and is there as Markdown too.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `router.rs` | the one table of URLs |
//! | `around.rs` | what every answer passes: headers, compression, figures |
//! | `pages/` | a page each: what it is asked for, and what its template is given |
//! | `view.rs`, `rules.rs`, `prices.rs` | a model, its rules and its prices in words |
//! | `calculator.rs`, `request.rs`, `examples.rs` | what a request costs, a request that can be sent, and it in four languages |
//! | `docs.rs`, `markdown.rs`, `reference.rs` | the docs: which there are, how they become pages, the API's own document as one |
//! | `people.rs`, `session.rs`, `sign.rs`, `who.rs` | who people are, browsers that are signed in, the door, and who asks, in a handler's signature |
//! | `passkey.rs` | keys of people's devices: what these are asked to sign, and whether they have |
//! | `app.rs`, `app/` | the pages behind the door, a file for each part |
//! | `peers.rs`, `refused.rs` | the other services, and what they refuse as a page |
//! | `origin.rs`, `once.rs` | forms of other sites, and forms that are sent twice |
//! | `mail.rs`, `sweep.rs` | letters, and what ends by itself |
//! | `chart.rs`, `days.rs` | charts as SVG, and UTC days |
//! | `relay.rs` | the API on the pages' own origin, where they are a process of their own |
//! | `store.rs` | all SQL |
//! | `assets.rs`, `layout.rs` | style, script and mark; what stands around every page |

mod app;
mod around;
mod assets;
mod calculator;
mod chart;
mod config;
mod days;
mod docs;
mod error;
mod examples;
mod layout;
mod mail;
mod markdown;
mod metrics;
mod once;
mod origin;
mod page;
mod pages;
mod passkey;
mod peers;
mod people;
mod prices;
mod reference;
mod refused;
mod relay;
mod request;
mod router;
mod rules;
mod session;
mod show;
mod sign;
mod store;
mod sweep;
mod view;
mod who;

use std::{sync::Arc, time::Duration};

use axum::Router;
use bytes::Bytes;
use chassis::{Tasks, clock, config::Settings, secrets::Secrets};
use db::{Db, Migration};
use domain::{Catalogue, Moment, catalogue::Model};
use prometheus_client::registry::Registry;

use live::SharedLive;

use self::{
    app::operator::Desk,
    assets::Assets,
    docs::Docs,
    mail::Mail,
    metrics::Metrics,
    passkey::Passkeys,
    peers::Peers,
    relay::Relay,
    sign::{Door, Passwords},
};
pub use self::{
    calculator::Calculator,
    config::{Config, OperatorLimits},
    error::Error,
    peers::Channels,
    router::{Path, Readers, paths},
};

/// The schema of the dashboard on a server: its name, for [`db::Postgres`] and [`db::Schema`].
pub const SCHEMA: &str = "dashboard";
/// What its schema is made of, oldest step first, for [`Db::open`], [`Db::connect`] and [`db::migrate`].
pub const MIGRATIONS: &[Migration] = &[
    Migration::both(1, "people", include_str!("../migrations/0001_people.sql")),
    Migration::both(
        2,
        "playground",
        include_str!("../migrations/0002_playground.sql"),
    ),
    Migration::both(
        3,
        "passkeys",
        include_str!("../migrations/0003_passkeys.sql"),
    ),
    Migration::both(
        4,
        "sent_form",
        include_str!("../migrations/0004_sent_form.sql"),
    ),
];

/// What the dashboard is made of.
pub struct Deps {
    /// What it was told: [`Config`].
    pub settings: Settings,
    /// The models.
    pub catalogue: Arc<Catalogue>,
    /// How customers reach the API, without a slash at the end.
    pub public_url: String,
    /// What the API says of itself, as OpenAPI 3.1. It is handed over, and not asked for: the program that holds the dashboard holds the
    /// code of the edge as well, so that the docs are there, and right, while no edge is.
    pub openapi: Bytes,
    /// Its own database, made with [`MIGRATIONS`].
    pub db: Db,
    /// What sessions are known by, and what is sealed.
    pub secrets: Secrets,
    /// Limits that all processes keep together.
    pub live: SharedLive,
    /// The other services.
    pub channels: Channels,
    /// Where its work runs.
    pub tasks: Tasks,
}

/// The dashboard.
#[derive(Clone)]
pub struct Dashboard {
    site: Arc<Site>,
}

/// What every page may use.
struct Site {
    catalogue: Arc<Catalogue>,
    public_url: String,
    texts: Texts,
    wire: Wire,
    config: Config,
    db: Db,
    secrets: Secrets,
    live: SharedLive,
    tasks: Tasks,
    peers: Peers,
    door: Door,
    desk: Desk,
}

/// What was written before anybody asked.
struct Texts {
    docs: Docs,
    assets: Assets,
}

/// What stands between pages and those who read them.
struct Wire {
    metrics: Metrics,
    /// `None`: something else serves the API on this origin.
    relay: Option<Relay>,
}

// === impl Dashboard ===

impl Dashboard {
    /// Reads the docs and makes what all pages share.
    ///
    /// # Errors
    /// When a setting has a wrong value, or the API's document is none.
    pub fn start(deps: Deps, registry: &mut Registry) -> Result<Self, Error> {
        let openapi = serde_json::from_slice(&deps.openapi).map_err(Error::OpenApi)?;
        let config = Config::read(&deps.settings)?;
        let edge = deps.channels.edge.as_deref();
        let relay = edge.map(|edge| Relay::new(edge, &config.relay));
        let site = Site {
            wire: Wire {
                metrics: Metrics::register(registry),
                relay: relay.transpose()?,
            },
            peers: Peers::new(deps.channels, config.patience),
            door: Door {
                passwords: Passwords::new(config.passwords.at_once)?,
                mail: Mail::new(&config.door.smtp, deps.tasks.clone())?,
                passkeys: Passkeys::new(&deps.public_url, config.door.limits.passkeys.challenge)?,
            },
            desk: Desk::new(&deps.settings, deps.tasks.clone())?,
            db: deps.db,
            secrets: deps.secrets,
            live: deps.live,
            tasks: deps.tasks.clone(),
            texts: Texts {
                docs: Docs::new(&openapi, &deps.public_url),
                assets: Assets::new()?,
            },
            config,
            catalogue: deps.catalogue,
            public_url: deps.public_url,
        };
        let site = Arc::new(site);
        sweep::start(&site, &deps.tasks);
        Ok(Self { site })
    }

    /// A link that lets an operator in, unless one has come in before: what a first start prints.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn first_link(&self) -> Result<Option<String>, Error> {
        let site = &self.site;
        let known = store::person::operator(site.db.reader());
        if site.db.read(known).await?.is_some() {
            return Ok(None);
        }
        let life = site.config.door.limits.lives.sign_in_link;
        Ok(Some(sign::first::printed(
            &site.secrets,
            &site.public_url,
            life,
        )))
    }

    /// Every page.
    pub fn router(&self) -> Router {
        router::router(Arc::clone(&self.site))
    }
}

/// A link that is good once, for `life`: it lets an operator in, or whoever has this address set a new password. It is made of the
/// installation's secrets alone, whether anything runs or not.
pub fn sign_in_link(secrets: &Secrets, public_url: &str, email: &str, life: Duration) -> String {
    sign::first::link(secrets, public_url, email, life)
}

impl std::fmt::Debug for Dashboard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dashboard").finish_non_exhaustive()
    }
}

// === impl Site ===

impl Site {
    /// Below which the API's routes stand.
    fn base_url(&self) -> String {
        format!("{}/api/v1", self.public_url)
    }

    /// The model with exactly this slug; of a succeeded one too, which [`Catalogue::find`] passes over.
    fn model(&self, slug: &str) -> Option<&Model> {
        self.catalogue
            .models()
            .iter()
            .find(|model| model.slug == slug)
    }
}

/// By whose prices a page is made.
fn now() -> Moment {
    Moment::from_micros(clock::now_micros())
}
