//! Which providers can serve a model, in order. Settled once, at the start: a request only looks up.
//!
//! Live keys reach providers with the operator's credential. Test keys reach the sandbox, through the same adapters, with a
//! credential that is worth nothing; they never reach a provider, and live keys never the sandbox.

use std::{collections::HashMap, sync::Arc};

use chassis::config::{Access, Providers, Settings};
use domain::{
    Catalogue, KnownProvider, Mode,
    catalogue::{Category, Model, ProviderRoute, Resolved},
};
use proto::{Fault, code};

use crate::{
    Error,
    providers::{Adapter, Adapters, Endpoint, Unusable},
};

/// One provider that can be asked.
#[derive(Clone)]
pub(crate) struct Candidate {
    /// Its name, for receipts, metrics and the customer.
    pub(crate) provider: String,
    /// What it speaks.
    pub(crate) adapter: Arc<dyn Adapter>,
    /// Where it is.
    pub(crate) endpoint: Arc<Endpoint>,
}

/// Candidates of every chat model.
pub(crate) struct Routes {
    models: HashMap<String, ModelRoutes>,
}

/// Candidates of one model; none where nothing is configured.
struct ModelRoutes {
    test: Arc<[Candidate]>,
    live: Arc<[Candidate]>,
    /// Its providers, whether configured or not.
    providers: Vec<String>,
}

/// Builds candidates.
struct Builder<'a> {
    providers: Providers,
    adapters: &'a Adapters,
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
        sandbox: Option<&str>,
        adapters: &Adapters,
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
        };
        let models = chat
            .into_iter()
            .map(|model| Ok((model.slug.clone(), builder.model(model)?)))
            .collect::<Result<_, Error>>()?;
        Ok(Self { models })
    }

    /// Who can serve this model, in order; never empty.
    ///
    /// # Errors
    /// NO_PROVIDER, naming the setting to fill.
    pub(crate) fn candidates(&self, slug: &str, mode: Mode) -> Result<Arc<[Candidate]>, Fault> {
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
        let (mut test, mut live, mut providers) = (Vec::new(), Vec::new(), Vec::new());
        for route in model.candidates(&Resolved::new()) {
            let adapter =
                self.adapters
                    .get(route.adapter.as_str())
                    .ok_or_else(|| Error::Adapter {
                        model: model.slug.clone(),
                        adapter: route.adapter.clone(),
                    })?;
            for (mode, list) in [(Mode::Test, &mut test), (Mode::Live, &mut live)] {
                if let Some(access) = self.providers.access(mode, &route.provider) {
                    list.push(candidate(route, adapter, &access)?);
                }
            }
            providers.push(route.provider.clone());
        }
        Ok(ModelRoutes {
            test: test.into(),
            live: live.into(),
            providers,
        })
    }
}

fn candidate(
    route: &ProviderRoute,
    adapter: &Arc<dyn Adapter>,
    access: &Access,
) -> Result<Candidate, Error> {
    let dialect = KnownProvider::find(&route.provider).map(|known| known.dialect);
    let endpoint = adapter.endpoint(access, &route.model, dialect.unwrap_or_default());
    let endpoint = endpoint.map_err(|unusable| match unusable {
        Unusable::BaseUrl => Error::BaseUrl {
            provider: route.provider.clone(),
        },
        Unusable::Credential => Error::Credential {
            provider: route.provider.clone(),
        },
    })?;
    Ok(Candidate {
        provider: route.provider.clone(),
        adapter: Arc::clone(adapter),
        endpoint: Arc::new(endpoint),
    })
}

#[cfg(test)]
mod tests {
    use http::header;
    use upstream::{ProviderClient, UpstreamConfig};

    use super::*;
    use crate::{Config, providers};

    fn routes(settings: &str, sandbox: Option<&str>) -> Result<Routes, Error> {
        let settings = Settings::from_toml(settings);
        let client = ProviderClient::new(&UpstreamConfig::default()).unwrap();
        let adapters = providers::adapters(&client, &Config::read(&settings).unwrap());
        Routes::build(
            &Catalogue::built_in().unwrap(),
            &settings,
            sandbox,
            &adapters,
        )
    }

    #[test]
    fn test_keys_reach_the_sandbox_and_live_keys_the_provider() {
        let routes = routes(
            "[providers.gemini]\napi_key = 'k'",
            Some("http://127.0.0.1:9105/"),
        )
        .unwrap();
        let check = |mode, url, bearer| {
            let candidates = routes.candidates("gemini", mode).unwrap();
            assert_eq!(candidates.len(), 1);
            assert_eq!(candidates[0].endpoint.url.as_str(), url);
            assert_eq!(
                candidates[0].endpoint.headers[header::AUTHORIZATION],
                bearer
            );
        };
        check(
            Mode::Test,
            "http://127.0.0.1:9105/gemini/v1/chat/completions",
            "Bearer sandbox",
        );
        check(
            Mode::Live,
            "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions",
            "Bearer k",
        );
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
