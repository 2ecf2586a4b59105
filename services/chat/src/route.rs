//! Which providers can serve a model, in order. Settled once, at the start: a request only looks up.
//!
//! Live keys reach providers with the operator's credential. Test keys reach the sandbox, through the same adapters, with a
//! credential that is worth nothing; they never reach a provider, and live keys never the sandbox.

use std::{collections::HashMap, sync::Arc};

use chassis::config::{Provider, Settings};
use domain::{
    Catalogue, Mode,
    catalogue::{Category, Model, ProviderRoute, Resolved},
};
use http::{HeaderMap, HeaderValue, header};
use proto::{Fault, code};
use url::Url;

use crate::{
    Error,
    edit::Thoughts,
    providers::{Adapter, Adapters, Endpoint},
};

/// What the sandbox is told as a credential: it checks for presence only.
const SANDBOX_KEY: &str = "sandbox";
/// Where providers are when nobody says otherwise.
const BASE_URLS: [(&str, &str); 2] = [
    (
        "gemini",
        "https://generativelanguage.googleapis.com/v1beta/openai",
    ),
    ("openai", "https://api.openai.com/v1"),
];

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
    /// Who would serve live keys, with a credential.
    missing: String,
}

/// Builds candidates.
struct Builder<'a> {
    settings: &'a Settings,
    sandbox: Option<&'a str>,
    adapters: &'a Adapters,
}

// === impl Routes ===

impl Routes {
    /// Reads what is configured for every chat model.
    ///
    /// # Errors
    /// When a base URL or a credential cannot be used, or an adapter does not exist.
    pub(crate) fn build(
        catalogue: &Catalogue,
        settings: &Settings,
        sandbox: Option<&str>,
        adapters: &Adapters,
    ) -> Result<Self, Error> {
        let builder = Builder {
            settings,
            sandbox,
            adapters,
        };
        let chat = catalogue
            .models()
            .iter()
            .filter(|model| model.category == Category::Chat);
        let models = chat
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
            Some(_) | None => Err(no_provider(slug, mode, routes)),
        }
    }
}

fn no_provider(slug: &str, mode: Mode, routes: Option<&ModelRoutes>) -> Fault {
    let message = match (mode, routes) {
        (Mode::Test, _) => {
            "test keys are served by the sandbox, which does not run here".to_owned()
        }
        (Mode::Live, Some(routes)) => format!(
            "no provider is configured for {slug}: set {}",
            routes.missing
        ),
        (Mode::Live, None) => format!("no provider is configured for {slug}"),
    };
    Fault::new(code::NO_PROVIDER, message)
}

// === impl Builder ===

impl Builder<'_> {
    fn model(&self, model: &Model) -> Result<ModelRoutes, Error> {
        let (mut test, mut live, mut missing) = (Vec::new(), Vec::new(), Vec::new());
        for route in model.candidates(&Resolved::new()) {
            let adapter =
                self.adapters
                    .get(route.adapter.as_str())
                    .ok_or_else(|| Error::Adapter {
                        model: model.slug.clone(),
                        adapter: route.adapter.clone(),
                    })?;
            if let Some(origin) = self.sandbox {
                let base = format!("{}/{}/v1", origin.trim_end_matches('/'), route.provider);
                test.push(candidate(route, adapter, &base, SANDBOX_KEY)?);
            }
            let Provider { api_key, base_url } = self.settings.provider(&route.provider)?;
            let base = base_url.or_else(|| default_base_url(&route.provider));
            match (api_key, base) {
                (Some(key), Some(base)) => {
                    live.push(candidate(route, adapter, &base, key.expose())?);
                }
                (None, _) => missing.push(key_setting(&route.provider)),
                (Some(_), None) => missing.push(format!("providers.{}.base_url", route.provider)),
            }
        }
        Ok(ModelRoutes {
            test: test.into(),
            live: live.into(),
            missing: missing.join(", or "),
        })
    }
}

fn default_base_url(provider: &str) -> Option<String> {
    let row = BASE_URLS.iter().find(|(name, _)| *name == provider);
    row.map(|(_, url)| (*url).to_owned())
}

fn key_setting(provider: &str) -> String {
    let variable = provider.to_uppercase().replace('-', "_");
    format!("providers.{provider}.api_key (environment variable {variable}_API_KEY)")
}

fn candidate(
    route: &ProviderRoute,
    adapter: &Arc<dyn Adapter>,
    base: &str,
    key: &str,
) -> Result<Candidate, Error> {
    let address = format!("{}{}", base.trim_end_matches('/'), adapter.path());
    let url = Url::parse(&address)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| Error::BaseUrl {
            provider: route.provider.clone(),
        })?;
    let mut bearer =
        HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| Error::Credential {
            provider: route.provider.clone(),
        })?;
    bearer.set_sensitive(true);
    let headers = HeaderMap::from_iter([
        (header::AUTHORIZATION, bearer),
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
    ]);
    let thoughts = if route.provider == "gemini" {
        Thoughts::Google
    } else {
        Thoughts::Unknown
    };
    Ok(Candidate {
        provider: route.provider.clone(),
        adapter: Arc::clone(adapter),
        endpoint: Arc::new(Endpoint {
            url,
            headers,
            model: route.model.clone(),
            thoughts,
        }),
    })
}

#[cfg(test)]
mod tests {
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
