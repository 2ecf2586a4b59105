//! Who can serve a model: its providers, with each of our credentials there. Settled once, at the start: a request only looks up.
//!
//! Live keys reach providers with the operator's credential. Test keys reach the sandbox, through the same adapters, with a
//! credential that is worth nothing; they never reach a provider, and live keys never the sandbox.
//!
//! Each live credential has one breaker, which all models share. The sandbox has none: it fails because a customer asked it to, and
//! the next customer's test has nothing to do with that.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use chassis::config::{Access, Providers, Settings};
use domain::{
    Catalogue, Mode,
    catalogue::{Category, Model, ProviderRoute},
};
use proto::{Fault, code};

use crate::{
    Config, Error,
    breaker::Breaker,
    budget::Budget,
    bulkhead::{Bulkhead, Room},
    candidate::Candidate,
    health::Standing,
    metrics::{Credential, Metrics},
    providers::{Adapter, Adapters, Endpoint, Unusable},
    request::Wanted,
    tiers::{Row, Tiers},
};

/// Who serves one model, and how they are chosen from.
pub(crate) struct Serving {
    tiers: Tiers<Candidate>,
    choose: Choose,
    /// How many calls its requests may make beside the first.
    pub(crate) budget: Budget,
}

/// How one of equals is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choose {
    /// Each has its share.
    Weighted,
    /// Whoever answered soonest lately.
    Fastest,
}

/// Candidates of every chat model.
pub(crate) struct Routes {
    models: HashMap<String, ModelRoutes>,
}

/// Candidates of one model; none where nothing is configured.
struct ModelRoutes {
    test: Arc<Serving>,
    live: Arc<Serving>,
    /// Its providers, whether configured or not.
    providers: Vec<String>,
}

/// A credential by provider and place, and how it stands.
pub(crate) type Seen = ((String, u32), Standing);

/// What those who look after candidates are made of.
pub(crate) struct Care<'a> {
    pub(crate) config: &'a Config,
    pub(crate) metrics: &'a Metrics,
}

/// Builds candidates.
struct Builder<'a> {
    providers: Providers,
    adapters: &'a Adapters,
    care: Care<'a>,
    /// By provider and the credential's place.
    breakers: RefCell<HashMap<(String, u32), Arc<Breaker>>>,
    /// The same; the sandbox's under a name of its own.
    bulkheads: RefCell<HashMap<(String, u32), Arc<Bulkhead>>>,
    rooms: RefCell<HashMap<String, Arc<Room>>>,
}

/// What the sandbox is called where room is counted: it is one provider, whatever it simulates.
const SANDBOX: &str = "sandbox";

// === impl Serving ===

impl Serving {
    /// Everybody, in no order that counts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Candidate> {
        self.tiers.iter()
    }

    /// Everybody, in the order of one request. `affinity` stands for the requests it belongs to, if it does.
    pub(crate) fn in_order(&self, affinity: Option<u64>, wanted: Wanted) -> Vec<&Candidate> {
        match (affinity, self.choose) {
            (None, Choose::Fastest) => self.tiers.ranked(|candidate| candidate.rank(wanted)),
            (Some(_), _) | (None, Choose::Weighted) => self.tiers.in_order(affinity),
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
        check_names(care.config, &chat)?;
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
            bulkheads: RefCell::default(),
            rooms: RefCell::default(),
        };
        let models = chat
            .into_iter()
            .map(|model| Ok((model.slug.clone(), builder.model(model)?)))
            .collect::<Result<_, Error>>()?;
        Ok(Self { models })
    }

    /// One candidate of each credential of live keys, by provider and by the credential's place.
    pub(crate) fn credentials(&self) -> impl Iterator<Item = (Seen, &Candidate)> {
        let candidates = self.models.values().flat_map(|routes| {
            let serving: &Serving = &routes.live;
            serving.iter()
        });
        let seen = candidates.filter_map(|candidate| {
            let (credential, standing) = candidate.breaker.as_ref()?.standing();
            let place = (credential.provider.clone(), credential.credential);
            Some((place, (standing, candidate)))
        });
        let seen: BTreeMap<_, _> = seen.collect();
        seen.into_iter()
            .map(|(place, (standing, candidate))| ((place, standing), candidate))
    }

    /// Who can serve this model; never nobody.
    ///
    /// # Errors
    /// NO_PROVIDER, naming the setting to fill.
    pub(crate) fn serving(&self, slug: &str, mode: Mode) -> Result<Arc<Serving>, Fault> {
        let routes = self.models.get(slug);
        let found = routes.map(|routes| match mode {
            Mode::Test => &routes.test,
            Mode::Live => &routes.live,
        });
        match found {
            Some(serving) if !serving.tiers.is_empty() => Ok(Arc::clone(serving)),
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
            test: Arc::new(self.serving(model, Mode::Test)?),
            live: Arc::new(self.serving(model, Mode::Live)?),
            providers: providers.map(|route| route.provider.clone()).collect(),
        })
    }

    fn serving(&self, model: &Model, mode: Mode) -> Result<Serving, Error> {
        let config = self.care.config;
        let fastest = &config.failover.speed.fastest;
        let is_named = |name: &str| fastest.iter().any(|listed| listed == name || listed == ALL);
        Ok(Serving {
            tiers: self.tiers(model, mode)?,
            choose: if model.names().any(is_named) {
                Choose::Fastest
            } else {
                Choose::Weighted
            },
            budget: match mode {
                Mode::Live => Budget::new(config.failover.extra),
                // The sandbox fails because a customer asked it to, and is in no trouble.
                Mode::Test => Budget::endless(),
            },
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
                bulkhead: match mode {
                    Mode::Live => self.bulkhead(&route.provider, place),
                    Mode::Test => self.bulkhead(SANDBOX, 1),
                },
                speeds: Default::default(),
                full_wait: self.care.config.retry_after,
                speed: self.care.config.failover.speed.clone(),
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
                let Care { config, metrics } = self.care;
                let limits = config.breaker.clone();
                Arc::new(Breaker::new(credential, limits, metrics.clone()))
            });
        Arc::clone(breaker)
    }

    /// The one bulkhead of a credential.
    fn bulkhead(&self, provider: &str, credential: u32) -> Arc<Bulkhead> {
        let limits = &self.care.config.failover.in_flight;
        let mut rooms = self.rooms.borrow_mut();
        let whole = rooms.entry(provider.to_owned()).or_insert_with(|| {
            let own = limits.providers.get(provider).copied();
            Arc::new(Room::new(own.unwrap_or(limits.per_provider)))
        });
        let mut bulkheads = self.bulkheads.borrow_mut();
        let bulkhead = bulkheads
            .entry((provider.to_owned(), credential))
            .or_insert_with(|| {
                let rooms = (Arc::clone(whole), Room::new(limits.per_credential));
                let credential = Credential {
                    provider: provider.to_owned(),
                    credential,
                };
                Bulkhead::new(rooms, credential, self.care.metrics.clone())
            });
        Arc::clone(bulkhead)
    }
}

/// What stands for every model in `limits.chat.failover.speed.fastest`.
const ALL: &str = "*";

/// That settings name models and providers that there are.
fn check_names(config: &Config, models: &[&Model]) -> Result<(), Error> {
    let wrong = |setting: &str, name: &str, what: &str| {
        let message = format!("{setting} names {name}, which is no {what} of chat or embeddings");
        Error::Config(chassis::config::Error::Setting(message))
    };
    for name in config
        .failover
        .speed
        .fastest
        .iter()
        .filter(|name| *name != ALL)
    {
        let is_it = |model: &&Model| model.names().any(|own| own == name);
        if !models.iter().any(is_it) {
            return Err(wrong("limits.chat.failover.speed.fastest", name, "model"));
        }
    }
    let routes = models.iter().flat_map(|model| &model.providers);
    for name in config.failover.in_flight.providers.keys() {
        if name != SANDBOX && !routes.clone().any(|route| route.provider == *name) {
            return Err(wrong(
                "limits.chat.failover.in_flight.providers",
                name,
                "provider",
            ));
        }
    }
    Ok(())
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
            config: &config,
            metrics: &Metrics::default(),
        };
        let adapters = providers::adapters(&client, &guard, &config);
        let catalogue = Catalogue::built_in().unwrap();
        Routes::build(&catalogue, &settings, (sandbox, &adapters), care)
    }

    /// Where the only candidate is, and a header of its calls.
    fn place(routes: &Routes, (slug, mode): (&str, Mode), header: &str) -> (String, HeaderValue) {
        let serving = routes.serving(slug, mode).unwrap();
        let candidates = serving.in_order(None, Wanted::Whole);
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
        let serving = routes.serving("gemini", Mode::Live).unwrap();
        let live = serving.in_order(None, Wanted::Whole);
        let keys: Vec<_> = live
            .iter()
            .map(|candidate| candidate.endpoint.headers["x-goog-api-key"].clone())
            .collect();
        assert_eq!(keys, ["a", "b"]);
        assert!(live.iter().all(|candidate| candidate.breaker.is_some()));
        let serving = routes.serving("gemini", Mode::Test).unwrap();
        let test = serving.in_order(None, Wanted::Whole);
        assert!(test.len() == 1 && test[0].breaker.is_none());
    }

    #[test]
    fn without_a_credential_the_setting_is_named() {
        let routes = routes("", None).unwrap();
        let fault = |mode| routes.serving("gemini", mode).err().unwrap();
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
        assert_eq!(
            error("[limits.chat.failover.speed]\nfastest = ['*', 'gemini', 'gemimi']"),
            "limits.chat.failover.speed.fastest names gemimi, which is no model of chat or embeddings"
        );
        assert_eq!(
            error("[limits.chat.failover.in_flight.providers]\nsandbox = 9\ngemini = 8\nbfl = 7"),
            "limits.chat.failover.in_flight.providers names bfl, which is no provider of chat or embeddings"
        );
    }
}
