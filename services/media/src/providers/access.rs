//! Where a provider is and with which credential: the configured one for live keys, the sandbox for test keys.

use std::collections::HashMap;

use chassis::config::Settings;
use domain::{Catalogue, Mode, Secret};
use proto::{Fault, code};
use url::Url;

use crate::Error;

/// Where each provider usually is.
const USUAL: &[(&str, &str)] = &[("bfl", "https://api.bfl.ai")];
/// The sandbox takes any credential.
const SANDBOX_KEY: &str = "sandbox";

/// How to reach one provider.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// Where it is; ends with a slash, so that paths can be joined.
    pub base_url: Url,
    /// Our credential there.
    pub key: Secret,
}

/// How to reach every provider of the catalogue, in both modes.
#[derive(Clone, Debug)]
pub(crate) struct Accesses {
    live: HashMap<String, Access>,
    sandbox: Url,
}

// === impl Accesses ===

impl Accesses {
    /// Reads the credentials of the catalogue's providers. `sandbox` is where the sandbox listens.
    ///
    /// # Errors
    /// When a base URL is not one.
    pub(crate) fn read(
        settings: &Settings,
        catalogue: &Catalogue,
        sandbox: &str,
    ) -> Result<Self, Error> {
        let mut live = HashMap::new();
        let names = catalogue
            .models()
            .iter()
            .flat_map(|model| &model.providers)
            .map(|route| &route.provider);
        for name in names {
            let configured = settings
                .provider(name)
                .map_err(|error| Error::Setting(error.to_string()))?;
            let usual = USUAL
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, url)| *url);
            let place = configured.base_url.as_deref().or(usual);
            let (Some(key), Some(place)) = (configured.api_key, place) else {
                continue;
            };
            let base_url = parse(place, &format!("providers.{name}.base_url"))?;
            live.insert(name.clone(), Access { base_url, key });
        }
        Ok(Self {
            live,
            sandbox: parse(sandbox, "the sandbox's address")?,
        })
    }

    /// How to reach `provider` for a key of this mode. Live keys never reach the sandbox, test keys nothing else.
    ///
    /// # Errors
    /// NO_PROVIDER, naming the setting to fill.
    pub(crate) fn of(&self, mode: Mode, provider: &str) -> Result<Access, Fault> {
        let found = match mode {
            Mode::Live => self.live.get(provider).cloned(),
            Mode::Test => self
                .sandbox
                .join(&format!("{provider}/"))
                .ok()
                .map(|base_url| Access {
                    base_url,
                    key: Secret::new(SANDBOX_KEY),
                }),
        };
        found.ok_or_else(|| {
            let message = format!(
                "no provider is configured for this model: the operator sets providers.{provider}.api_key \
                 (or {}_API_KEY); test keys work without",
                provider.to_uppercase()
            );
            Fault::new(code::NO_PROVIDER, message)
        })
    }
}

fn parse(text: &str, setting: &str) -> Result<Url, Error> {
    let with_slash = format!("{}/", text.trim_end_matches('/'));
    Url::parse(&with_slash)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| Error::Setting(format!("{setting} must be an http(s) URL")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accesses(text: &str) -> Accesses {
        let catalogue = Catalogue::built_in().unwrap();
        Accesses::read(
            &Settings::from_toml(text),
            &catalogue,
            "http://127.0.0.1:9105",
        )
        .unwrap()
    }

    #[test]
    fn modes_do_not_mix() {
        let accesses = accesses("[providers.bfl]\napi_key = 'k'");
        let live = accesses.of(Mode::Live, "bfl").unwrap();
        assert_eq!(
            (live.base_url.as_str(), live.key.expose()),
            ("https://api.bfl.ai/", "k")
        );
        let test = accesses.of(Mode::Test, "bfl").unwrap();
        assert_eq!(
            (test.base_url.as_str(), test.key.expose()),
            ("http://127.0.0.1:9105/bfl/", SANDBOX_KEY)
        );
    }

    #[test]
    fn without_a_credential_the_setting_is_named() {
        let fault = accesses("").of(Mode::Live, "bfl").unwrap_err();
        assert_eq!(fault.code, code::NO_PROVIDER);
        assert!(
            fault.message.contains("providers.bfl.api_key")
                && fault.message.contains("BFL_API_KEY")
        );
    }
}
