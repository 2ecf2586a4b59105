//! The dashboard: the web pages. So far those that anybody may read: what this is, the models with their prices, the docs.
//!
//! It keeps nothing and asks nobody. What a page says of a model, a price, a charge or an error comes from the catalogue, from the
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
//! | `assets.rs`, `layout.rs` | style, script and mark; what stands around every page |

mod around;
mod assets;
mod calculator;
mod config;
mod docs;
mod examples;
mod layout;
mod markdown;
mod metrics;
mod page;
mod pages;
mod prices;
mod reference;
mod request;
mod router;
mod rules;
mod view;

use std::sync::Arc;

use axum::Router;
use bytes::Bytes;
use chassis::{clock, config::Settings};
use domain::{Catalogue, Moment, catalogue::Model};
use prometheus_client::registry::Registry;

use self::{assets::Assets, docs::Docs, metrics::Metrics};
pub use self::{calculator::Calculator, config::Config};

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
}

/// Why the dashboard could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting has a wrong value.
    #[error(transparent)]
    Config(#[from] chassis::config::Error),
    /// What the API says of itself is not JSON.
    #[error("the OpenAPI document cannot be read")]
    OpenApi(#[source] serde_json::Error),
    /// Style or script cannot be packed.
    #[error("cannot pack the style or the script")]
    Assets(#[from] std::io::Error),
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
    docs: Docs,
    assets: Assets,
    metrics: Metrics,
    config: Config,
}

// === impl Dashboard ===

impl Dashboard {
    /// Reads the docs and makes what all pages share.
    ///
    /// # Errors
    /// When a setting has a wrong value, or the API's document is none.
    pub fn start(deps: Deps, registry: &mut Registry) -> Result<Self, Error> {
        let openapi = serde_json::from_slice(&deps.openapi).map_err(Error::OpenApi)?;
        let site = Site {
            docs: Docs::new(&openapi, &deps.public_url),
            assets: Assets::new()?,
            metrics: Metrics::register(registry),
            config: Config::read(&deps.settings)?,
            catalogue: deps.catalogue,
            public_url: deps.public_url,
        };
        Ok(Self {
            site: Arc::new(site),
        })
    }

    /// Every page.
    pub fn router(&self) -> Router {
        router::router(Arc::clone(&self.site))
    }
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
