//! How to reach providers in both modes: live keys with the operator's credential, test keys the sandbox and nothing else.

use std::collections::HashMap;

use domain::{KnownProvider, Mode, Secret};
use url::Url;

use super::{Error, Settings};

/// What the sandbox is told as a credential: it checks for presence only.
const SANDBOX_KEY: &str = "sandbox";

/// Where one provider is, and our credential there.
#[derive(Clone, Debug)]
pub struct Access {
    /// Where it is; the path ends with a slash, so that paths can be joined.
    pub base_url: Url,
    /// Our credential there.
    pub key: Secret,
}

/// How to reach some providers. Settled once, at the start.
#[derive(Clone, Debug)]
pub struct Providers {
    live: HashMap<String, Access>,
    sandbox: Option<Url>,
}

// === impl Providers ===

impl Providers {
    /// Reads what is configured for these providers. `sandbox` is where the sandbox listens, if it runs.
    ///
    /// # Errors
    /// When a provider's section does not hold together, or a base URL is not one.
    pub fn read<'a>(
        settings: &Settings,
        names: impl IntoIterator<Item = &'a str>,
        sandbox: Option<&str>,
    ) -> Result<Self, Error> {
        let mut live = HashMap::new();
        for name in names {
            let configured = settings.provider(name)?;
            let usual = KnownProvider::find(name).map(|known| known.base_url);
            let place = configured.base_url.as_deref().or(usual);
            if let (Some(key), Some(place)) = (configured.api_key, place) {
                let base_url = base_url(place, &format!("providers.{name}.base_url"))?;
                live.insert(name.to_owned(), Access { base_url, key });
            }
        }
        let sandbox = sandbox.map(|place| base_url(place, "peers.sandbox"));
        Ok(Self {
            live,
            sandbox: sandbox.transpose()?,
        })
    }

    /// How to reach a provider for a key of this mode; `None` where nothing is configured. Live keys never reach the
    /// sandbox, test keys nothing else.
    pub fn access(&self, mode: Mode, name: &str) -> Option<Access> {
        match mode {
            Mode::Live => self.live.get(name).cloned(),
            Mode::Test => {
                let known = KnownProvider::find(name).map(|known| known.sandbox_path);
                let path = known.map_or_else(|| format!("{name}/v1/"), |path| format!("{path}/"));
                Some(Access {
                    base_url: self.sandbox.as_ref()?.join(&path).ok()?,
                    key: Secret::new(SANDBOX_KEY),
                })
            }
        }
    }

    /// Why none of these providers serves a model for a key of this mode, naming the settings to fill.
    pub fn missing(mode: Mode, model: &str, names: &[&str]) -> String {
        match mode {
            Mode::Test => "test keys are served by the sandbox, which does not run here".to_owned(),
            Mode::Live => {
                let settings: Vec<String> = names.iter().map(|name| setting(name)).collect();
                format!(
                    "no provider is configured for {model}: set {}",
                    settings.join(", or ")
                )
            }
        }
    }
}

/// What an operator sets to reach a provider.
fn setting(name: &str) -> String {
    match KnownProvider::find(name) {
        Some(known) => format!(
            "providers.{name}.api_key (environment variable {})",
            known.variable
        ),
        None => format!("providers.{name}.api_key and providers.{name}.base_url"),
    }
}

fn base_url(text: &str, setting: &str) -> Result<Url, Error> {
    let with_slash = format!("{}/", text.trim_end_matches('/'));
    Url::parse(&with_slash)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| Error::Setting(format!("{setting} is not an http(s) URL")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn providers(text: &str, sandbox: Option<&str>) -> Providers {
        let settings = Settings::from_toml(text);
        Providers::read(&settings, ["bfl", "gemini", "local"], sandbox).unwrap()
    }

    #[test]
    fn modes_do_not_mix() {
        let text = "[providers.bfl]\napi_key = 'k'\n\
                    [providers.local]\napi_key = 'l'\nbase_url = 'http://10.0.0.1/v1/'";
        let providers = providers(text, Some("http://127.0.0.1:9105"));
        for (mode, name, url, key) in [
            (Mode::Live, "bfl", "https://api.bfl.ai/", "k"),
            (Mode::Live, "local", "http://10.0.0.1/v1/", "l"),
            (Mode::Test, "bfl", "http://127.0.0.1:9105/bfl/", SANDBOX_KEY),
            (
                Mode::Test,
                "gemini",
                "http://127.0.0.1:9105/gemini/v1/",
                SANDBOX_KEY,
            ),
            (
                Mode::Test,
                "local",
                "http://127.0.0.1:9105/local/v1/",
                SANDBOX_KEY,
            ),
        ] {
            let access = providers.access(mode, name).unwrap();
            assert_eq!((access.base_url.as_str(), access.key.expose()), (url, key));
        }
        assert!(providers.access(Mode::Live, "gemini").is_none());
    }

    #[test]
    fn without_a_sandbox_test_keys_reach_nobody() {
        assert!(providers("", None).access(Mode::Test, "bfl").is_none());
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(
            Providers::missing(Mode::Live, "gemini", &["gemini", "local"]),
            "no provider is configured for gemini: set providers.gemini.api_key (environment variable GEMINI_API_KEY), or \
             providers.local.api_key and providers.local.base_url"
        );
    }

    #[test]
    fn a_base_url_that_is_none_is_named() {
        let settings = Settings::from_toml("[providers.bfl]\napi_key = 'k'\nbase_url = 'nowhere'");
        let error = Providers::read(&settings, ["bfl"], None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "providers.bfl.base_url is not an http(s) URL"
        );
    }
}
