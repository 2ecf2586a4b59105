//! Who can serve a model: its providers, with each of our credentials there. Settled once, at the start: a request only looks up.
//!
//! Live keys reach providers with the operator's credential. Test keys reach the sandbox, through the same adapters, with a
//! credential that is worth nothing; they never reach a provider, and live keys never the sandbox.
//!
//! Each live credential has one breaker, which all models share. The sandbox has none: it fails because a customer asked it to, and
//! the next customer's test has nothing to do with that.

use std::{cell::RefCell, collections::HashMap, sync::Arc, time::Duration};

use chassis::config::{Access, Providers, Settings};
use domain::{
    Catalogue, Mode,
    catalogue::{Category, Model, ProviderRoute},
};
use proto::{Fault, code};

use crate::{
    Error,
    breaker::{Breaker, Passage},
    config::BreakerLimits,
    metrics::{Credential, Metrics},
    providers::{Adapter, Adapters, Endpoint, Unusable},
    tiers::{Row, Tiers},
};

/// One provider that can be asked, with one of our credentials.
pub(crate) struct Candidate {
    /// Its name, for receipts, metrics and the customer.
    pub(crate) provider: String,
    /// What it speaks.
    pub(crate) adapter: Arc<dyn Adapter>,
    /// Where it is.
    pub(crate) endpoint: Endpoint,
    /// How its credential does; nobody looks after the sandbox.
    breaker: Option<Arc<Breaker>>,
}

/// Candidates of every chat model.
pub(crate) struct Routes {
    models: HashMap<String, ModelRoutes>,
}

/// Candidates of one model; none where nothing is configured.
struct ModelRoutes {
    test: Arc<Tiers<Candidate>>,
    live: Arc<Tiers<Candidate>>,
    /// Its providers, whether configured or not.
    providers: Vec<String>,
}

/// What breakers are made of.
pub(crate) struct Care<'a> {
    pub(crate) limits: &'a BreakerLimits,
    pub(crate) metrics: &'a Metrics,
}

/// Builds candidates.
struct Builder<'a> {
    providers: Providers,
    adapters: &'a Adapters,
    care: Care<'a>,
    /// By provider and the credential's place.
    breakers: RefCell<HashMap<(String, u32), Arc<Breaker>>>,
}

// === impl Candidate ===

impl Candidate {
    /// Whether a request could ask now.
    ///
    /// # Errors
    /// How long it must wait at least, where it could not.
    pub(crate) fn look(&self) -> Result<(), Duration> {
        self.breaker
            .as_ref()
            .map_or(Ok(()), |breaker| breaker.look())
    }

    /// Whether the provider asked us to slow down, and its moment has not come.
    pub(crate) fn is_limited(&self) -> bool {
        let breaker = self.breaker.as_ref();
        breaker.is_some_and(|breaker| breaker.is_limited())
    }

    /// A request goes past.
    pub(crate) fn pass_over(&self) {
        if let Some(breaker) = &self.breaker {
            breaker.pass_over();
        }
    }

    /// Lets a request ask, if it may.
    ///
    /// # Errors
    /// How long it must wait at least, where it may not.
    pub(crate) fn enter(&self) -> Result<Passage<'_>, Duration> {
        match &self.breaker {
            Some(breaker) => breaker.enter(),
            None => Ok(Passage::free()),
        }
    }
}

// === impl Routes ===

impl Routes {
    /// Reads what is configured for every chat model. `sandbox` is where the sandbox listens, if it runs.
    ///
    /// # Errors
    /// When a base URL or a credential cannot be used, or an adapter does not exist.
    pub(crate) fn build(
        catalogue: &Catalogue,
        settings: &Settings,
        (sandbox, adapters): (Option<&str>, &Adapters),
        care: Care<'_>,
    ) -> Result<Self, Error> {
        let of_chat =
            |model: &&Model| matches!(model.category, Category::Chat | Category::Embedding);
        let chat: Vec<&Model> = catalogue.models().iter().filter(of_chat).collect();
        let names = chat.iter().flat_map(|model| &model.providers);
        let builder = Builder {
            providers: Providers::read(
                settings,
                names.map(|route| route.provider.as_str()),
                sandbox,
            )?,
            adapters,
            care,
            breakers: RefCell::default(),
        };
        let models = chat
            .into_iter()
            .map(|model| Ok((model.slug.clone(), builder.model(model)?)))
            .collect::<Result<_, Error>>()?;
        Ok(Self { models })
    }

    /// Who can serve this model; never nobody.
    ///
    /// # Errors
    /// NO_PROVIDER, naming the setting to fill.
    pub(crate) fn candidates(
        &self,
        slug: &str,
        mode: Mode,
    ) -> Result<Arc<Tiers<Candidate>>, Fault> {
        let routes = self.models.get(slug);
        let found = routes.map(|routes| match mode {
            Mode::Test => &routes.test,
            Mode::Live => &routes.live,
        });
        match found {
            Some(candidates) if !candidates.is_empty() => Ok(Arc::clone(candidates)),
            Some(_) | None => {
                let names = routes.map(|routes| routes.providers.iter().map(String::as_str));
                let names: Vec<&str> = names.into_iter().flatten().collect();
                let message = Providers::missing(mode, slug, &names);
                Err(Fault::new(code::NO_PROVIDER, message))
            }
        }
    }
}

// === impl Builder ===

impl Builder<'_> {
    fn model(&self, model: &Model) -> Result<ModelRoutes, Error> {
        let providers = model.providers.iter();
        Ok(ModelRoutes {
            test: Arc::new(self.tiers(model, Mode::Test)?),
            live: Arc::new(self.tiers(model, Mode::Live)?),
            providers: providers.map(|route| route.provider.clone()).collect(),
        })
    }

    fn tiers(&self, model: &Model, mode: Mode) -> Result<Tiers<Candidate>, Error> {
        let row = |route: &ProviderRoute| self.row(model, route, mode);
        let tier = |routes: &[ProviderRoute]| routes.iter().map(row).collect();
        let tiers: Result<_, Error> = model.tiers().map(tier).collect();
        Ok(Tiers::new(tiers?))
    }

    /// One provider, once for each credential.
    fn row(
        &self,
        model: &Model,
        route: &ProviderRoute,
        mode: Mode,
    ) -> Result<Row<Candidate>, Error> {
        let adapter = self.adapters.get(route.adapter.as_str());
        let adapter = adapter.ok_or_else(|| Error::Adapter {
            model: model.slug.clone(),
            adapter: route.adapter.clone(),
        })?;
        let accesses = self.providers.accesses(mode, &route.provider);
        let member = |(place, access): (u32, Access)| {
            Ok(Candidate {
                provider: route.provider.clone(),
                adapter: Arc::clone(adapter),
                endpoint: endpoint(route, adapter, &access)?,
                breaker: match mode {
                    Mode::Live => Some(self.breaker(&route.provider, place)),
                    Mode::Test => None,
                },
            })
        };
        let members: Result<_, Error> = (1..).zip(accesses).map(member).collect();
        Ok(Row {
            weight: route.weight,
            members: members?,
        })
    }

    /// The one breaker of a credential.
    fn breaker(&self, provider: &str, credential: u32) -> Arc<Breaker> {
        let mut breakers = self.breakers.borrow_mut();
        let breaker = breakers
            .entry((provider.to_owned(), credential))
            .or_insert_with(|| {
                let credential = Credential {
                    provider: provider.to_owned(),
                    credential,
                };
                let Care { limits, metrics } = self.care;
                Arc::new(Breaker::new(credential, limits.clone(), metrics.clone()))
            });
        Arc::clone(breaker)
    }
}

fn endpoint(
    route: &ProviderRoute,
    adapter: &Arc<dyn Adapter>,
    access: &Access,
) -> Result<Endpoint, Error> {
    let endpoint = adapter.endpoint(access, &route.model);
    endpoint.map_err(|unusable| match unusable {
        Unusable::BaseUrl => Error::BaseUrl {
            provider: route.provider.clone(),
        },
        Unusable::Credential => Error::Credential {
            provider: route.provider.clone(),
        },
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use upstream::{EgressConfig, GuardedClient, ProviderClient, UpstreamConfig};

    use super::*;
    use crate::{Config, providers};

    fn routes(settings: &str, sandbox: Option<&str>) -> Result<Routes, Error> {
        let settings = Settings::from_toml(settings);
        let client = ProviderClient::new(&UpstreamConfig::default()).unwrap();
        let guard = GuardedClient::new(&EgressConfig::default()).unwrap();
        let config = Config::read(&settings).unwrap();
        let care = Care {
            limits: &config.breaker,
            metrics: &Metrics::default(),
        };
        let adapters = providers::adapters(&client, &guard, &config);
        let catalogue = Catalogue::built_in().unwrap();
        Routes::build(&catalogue, &settings, (sandbox, &adapters), care)
    }

    /// Where the only candidate is, and a header of its calls.
    fn place(routes: &Routes, (slug, mode): (&str, Mode), header: &str) -> (String, HeaderValue) {
        let tiers = routes.candidates(slug, mode).unwrap();
        let candidates = tiers.in_order(None);
        assert_eq!(candidates.len(), 1);
        let endpoint = &candidates[0].endpoint;
        (endpoint.url.to_string(), endpoint.headers[header].clone())
    }

    #[test]
    fn test_keys_reach_the_sandbox_and_live_keys_the_provider() {
        let routes = routes(
            "[providers.gemini]\napi_key = 'k'",
            Some("http://127.0.0.1:9105/"),
        )
        .unwrap();
        let google = "https://generativelanguage.googleapis.com/v1beta/";
        let sandbox = "http://127.0.0.1:9105/gemini/v1beta/";
        let (chat, embedding) = ("models/gemini-3-flash", "openai/embeddings");
        for (slug, mode, base, path, header, key) in [
            (
                "gemini",
                Mode::Test,
                sandbox,
                chat,
                "x-goog-api-key",
                "sandbox",
            ),
            ("gemini", Mode::Live, google, chat, "x-goog-api-key", "k"),
            (
                "gemini-embedding-001",
                Mode::Test,
                sandbox,
                embedding,
                "authorization",
                "Bearer sandbox",
            ),
            (
                "gemini-embedding-001",
                Mode::Live,
                google,
                embedding,
                "authorization",
                "Bearer k",
            ),
        ] {
            let (url, credential) = place(&routes, (slug, mode), header);
            assert_eq!(
                (url, credential),
                (format!("{base}{path}"), HeaderValue::from_static(key))
            );
        }
    }

    #[test]
    fn each_credential_is_a_candidate_and_the_sandbox_is_looked_after_by_nobody() {
        let settings = "[providers.gemini]\napi_keys = ['a', 'b']";
        let routes = routes(settings, Some("http://127.0.0.1:9105/")).unwrap();
        let tiers = routes.candidates("gemini", Mode::Live).unwrap();
        let live = tiers.in_order(None);
        let keys: Vec<_> = live
            .iter()
            .map(|candidate| candidate.endpoint.headers["x-goog-api-key"].clone())
            .collect();
        assert_eq!(keys, ["a", "b"]);
        assert!(live.iter().all(|candidate| candidate.breaker.is_some()));
        let tiers = routes.candidates("gemini", Mode::Test).unwrap();
        let test = tiers.in_order(None);
        assert!(test.len() == 1 && test[0].breaker.is_none());
    }

    #[test]
    fn without_a_credential_the_setting_is_named() {
        let routes = routes("", None).unwrap();
        let fault = |mode| routes.candidates("gemini", mode).err().unwrap();
        assert_eq!(fault(Mode::Live).code, code::NO_PROVIDER);
        assert_eq!(
            fault(Mode::Live).message,
            "no provider is configured for gemini: set providers.gemini.api_key (environment variable GEMINI_API_KEY)"
        );
        assert_eq!(fault(Mode::Test).code, code::NO_PROVIDER);
    }

    #[test]
    fn a_setting_that_cannot_be_used_is_named_at_the_start() {
        let error = |settings| routes(settings, None).err().unwrap().to_string();
        assert_eq!(
            error("[providers.gemini]\napi_key = 'k'\nbase_url = 'nowhere'"),
            "providers.gemini.base_url is not an http(s) URL"
        );
        assert!(
            error("[providers.gemini]\napi_key = \"k\\n\"").contains("providers.gemini.api_key")
        );
    }
}
