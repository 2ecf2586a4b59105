//! Configuration: one TOML file, overridden by `AIO_<SECTION>__<FIELD>`, or `AIO_<SECTION>__<FIELD>_FILE` that names a file with the
//! value. The only place that reads the environment.
//! What a section holds, its service knows; here are only files, variables and how they lie over each other.

use std::{collections::BTreeMap, path::Path, time::Duration};

use domain::OutputLimit;
use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
    value::Dict,
};
use serde::{Deserialize, de::DeserializeOwned};

pub mod duration;
mod providers;
mod shown;

/// What a setting that is a secret is read as.
pub use domain::Secret;
pub use providers::{Access, Providers};
pub use shown::Shown;

/// How the name of a setting's variable begins.
const PREFIX: &str = "AIO_";
/// How the name of a variable ends that names a file with the value.
const OF_FILE: &str = "_FILE";

/// The payment provider's secrets by their customary names, and the settings they are.
const PAYMENT: [(&str, &str); 2] = [
    ("STRIPE_API_KEY", "orders.stripe.api_key"),
    ("STRIPE_WEBHOOK_SECRET", "orders.stripe.webhook_secret"),
];

/// Everything configured, not yet read by anyone.
#[derive(Clone, Debug)]
pub struct Settings(Figment);

/// How to reach one provider: the section `providers.<name>`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The operator's credential there; without one, live keys cannot use the provider.
    #[serde(default)]
    pub api_key: Option<Secret>,
    /// More of them: a list, or one text with commas or line ends between them. Chat shares its requests among all; media takes the
    /// first.
    #[serde(default, deserialize_with = "providers::secrets")]
    pub api_keys: Vec<Secret>,
    /// Where it is, instead of its usual place.
    #[serde(default)]
    pub base_url: Option<String>,
    /// The field of a limit of output that a customer did not name, instead of the usual one.
    #[serde(default)]
    pub output_limit: Option<OutputLimit>,
    /// Sent with each call, in the place of a header of ours with the same name.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// What it signs its callbacks with, where it signs them.
    #[serde(default)]
    pub callback_secret: Option<Secret>,
    /// When media looks how its jobs there stand; what is left out is as usual.
    #[serde(default)]
    pub poll: Poll,
    /// Media's jobs that may be open there at once, over all processes. Default 0: not limited.
    #[serde(default)]
    pub max_jobs: u32,
    /// Jobs that media may submit there in a minute, likewise. Default 0: not limited.
    #[serde(default)]
    pub submits_per_minute: u32,
    /// And in a second. Default 0: not limited.
    #[serde(default)]
    pub submits_per_second: u32,
    /// How often in a second media may look how jobs there stand, likewise; 0: not limited. Default 100.
    #[serde(default = "looks_per_second")]
    pub looks_per_second: u32,
}

/// When media looks how jobs stand: the section `providers.<name>.poll`. What is left out is as usual for the provider.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Poll {
    /// From submit to the first look.
    #[serde(with = "duration::maybe")]
    pub first: Option<Duration>,
    /// The longest wait between two looks.
    #[serde(with = "duration::maybe")]
    pub longest: Option<Duration>,
    /// Each wait is this much of the one before, 100 to 1 000.
    pub factor_percent: Option<u32>,
    /// Each wait is shorter or longer by up to this much of it, 0 to 50, so that looks spread.
    pub jitter_percent: Option<u32>,
}

const fn looks_per_second() -> u32 {
    100
}

/// What is wrong with the configuration, each setting with its name.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that was asked for is not there or cannot be read.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A setting has a wrong value, or a name nobody knows: all mistakes of a section, each with the setting's name.
    #[error("{0}")]
    Setting(String),
    /// A section that nobody reads.
    #[error("there is no section {name}; the sections are {known}")]
    Unknown {
        /// The section.
        name: String,
        /// Those that are read.
        known: String,
    },
}

// === impl Settings ===

impl Settings {
    /// Reads the file, if one is named, and the environment over it.
    ///
    /// # Errors
    /// When the file, or one that a variable names, cannot be read.
    pub fn load(file: Option<&Path>) -> Result<Self, Error> {
        let mut figment = Figment::new();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|source| Error::File {
                path: path.display().to_string(),
                source,
            })?;
            figment = figment.merge(Toml::string(&text));
        }
        for known in domain::PROVIDERS {
            if let Some(key) = secret_value(known.variable)? {
                let name = format!("providers.{}.api_key", known.name);
                figment = figment.merge(Serialized::default(&name, key.expose()));
            }
        }
        for (variable, name) in PAYMENT {
            if let Some(secret) = secret_value(variable)? {
                figment = figment.merge(Serialized::default(name, secret.expose()));
            }
        }
        let by_value = Env::prefixed(PREFIX)
            .filter(|name| is_set(name.as_str()) && !is_of_file(name.as_str()))
            .split("__");
        figment = figment.merge(by_value);
        let by_file =
            Env::prefixed(PREFIX).filter(|name| is_set(name.as_str()) && is_of_file(name.as_str()));
        for (name, path) in by_file.iter() {
            let name = name.as_str().to_lowercase().replace("__", ".");
            let name = name.strip_suffix("_file").unwrap_or(&name);
            figment = figment.merge(Serialized::default(name, content(&path)?));
        }
        Ok(Self(figment))
    }

    /// Reads settings from a text, without the environment: for tests.
    pub fn from_toml(text: &str) -> Self {
        Self(Figment::from(Toml::string(text)))
    }

    /// Lays one more setting over all others: `server.listen`.
    #[must_use]
    pub fn with(self, name: &str, value: &str) -> Self {
        Self(self.0.merge(Serialized::default(name, value)))
    }

    /// Reads one section. An absent section is an empty one, so that defaults are said in one place: its type.
    ///
    /// # Errors
    /// When a field has a wrong value or a name the section does not know.
    pub fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        let with_default = Figment::from(Serialized::default(name, Dict::new())).merge(&self.0);
        with_default
            .extract_inner(name)
            .map_err(|error| mistakes(name, error))
    }

    /// How to reach a provider.
    ///
    /// # Errors
    /// When the provider's section does not hold together.
    pub fn provider(&self, name: &str) -> Result<Provider, Error> {
        self.section(&format!("providers.{name}"))
    }

    /// Refuses sections that nobody reads: they are misspelt.
    ///
    /// # Errors
    /// When a section is set that is not among `known`.
    pub fn only_sections(&self, known: &[&str]) -> Result<(), Error> {
        let set: Dict = self.0.extract().map_err(|error| mistakes("", error))?;
        only(set, "", known)
    }

    /// Refuses what stands below one section and nobody reads: for a section that several read in part.
    ///
    /// # Errors
    /// When something is set below `section` that is not among `known`.
    pub fn only_below(&self, section: &str, known: &[&str]) -> Result<(), Error> {
        only(self.section(section)?, &format!("{section}."), known)
    }
}

fn only(set: Dict, above: &str, known: &[&str]) -> Result<(), Error> {
    let named = |name: &str| format!("{above}{name}");
    match set.keys().find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(Error::Unknown {
            name: named(name),
            known: known
                .iter()
                .map(|name| named(name))
                .collect::<Vec<_>>()
                .join(", "),
        }),
    }
}

/// What is wrong below a section, in words that name each setting and where it was set.
fn mistakes(section: &str, error: figment::Error) -> Error {
    let told = error.into_iter().map(|mistake| {
        let below = mistake
            .path
            .iter()
            .filter(|part| *part != section && !part.is_empty());
        let name: Vec<&str> = std::iter::once(section)
            .chain(below.map(String::as_str))
            .collect();
        let place = mistake
            .metadata
            .as_ref()
            .map(|place| format!(" ({})", place.name))
            .unwrap_or_default();
        format!(
            "{}: {}{place}",
            name.join(".").trim_matches('.'),
            mistake.kind
        )
    });
    Error::Setting(told.collect::<Vec<_>>().join("; "))
}

/// Whether a variable, without its prefix, is a setting with a value. An empty one is none: compose files write those.
fn is_set(name: &str) -> bool {
    let whole = || format!("{PREFIX}{}", name.to_uppercase());
    name.contains("__") && variable_value(&whole()).is_some()
}

/// Whether a variable names a file that holds the value, as container platforms hand out secrets.
fn is_of_file(name: &str) -> bool {
    let end = name.len().checked_sub(OF_FILE.len());
    end.and_then(|end| name.get(end..))
        .is_some_and(|end| end.eq_ignore_ascii_case(OF_FILE))
}

/// A secret out of its file, without the line's end that editors add.
fn content(path: &str) -> Result<String, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// A secret from the environment: `NAME`, or the content of the file that `NAME_FILE` names.
///
/// # Errors
/// When that file cannot be read.
pub fn secret_value(name: &str) -> Result<Option<Secret>, Error> {
    match variable_value(&format!("{name}{OF_FILE}")) {
        Some(path) => Ok(Some(Secret::new(content(&path)?))),
        None => Ok(variable_value(name).map(Secret::new)),
    }
}

/// One environment variable, unless absent or empty.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the environment"
)]
pub fn variable_value(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Limits {
        #[serde(default = "ten")]
        items: u32,
        #[serde(default = "minute", with = "duration")]
        wait: Duration,
    }

    fn ten() -> u32 {
        10
    }

    fn minute() -> Duration {
        Duration::from_secs(60)
    }

    #[test]
    fn an_absent_section_has_its_defaults() {
        let limits: Limits = Settings::from_toml("").section("limits").unwrap();
        assert_eq!(
            limits,
            Limits {
                items: 10,
                wait: minute()
            }
        );
    }

    #[test]
    fn a_file_and_a_flag_lie_over_defaults() {
        let settings = Settings::from_toml(
            "[limits]\nitems = 3\nwait = '1500ms'\n[providers.bfl]\napi_key = 'k'",
        );
        let limits: Limits = settings.section("limits").unwrap();
        assert_eq!(
            limits,
            Limits {
                items: 3,
                wait: Duration::from_millis(1500)
            }
        );
        let provider = settings
            .clone()
            .with("providers.bfl.base_url", "http://x")
            .provider("bfl")
            .unwrap();
        assert_eq!(provider.base_url.as_deref(), Some("http://x"));
        assert_eq!(provider.api_key.unwrap().expose(), "k");
    }

    #[test]
    fn a_misspelt_section_is_named_with_those_there_are() {
        let settings = Settings::from_toml("[server]\n[limits.rates]\nper_minute = 1");
        assert!(settings.only_sections(&["limits", "server"]).is_ok());
        assert_eq!(
            settings
                .only_sections(&["limits", "serve"])
                .unwrap_err()
                .to_string(),
            "there is no section server; the sections are limits, serve"
        );
        assert!(settings.only_below("limits", &["rates"]).is_ok());
        assert_eq!(
            settings
                .only_below("limits", &["bodies", "chat"])
                .unwrap_err()
                .to_string(),
            "there is no section limits.rates; the sections are limits.bodies, limits.chat"
        );
        assert!(settings.only_below("egress", &[]).is_ok());
    }

    #[test]
    fn a_mistake_names_the_setting() {
        let error = |text: &str| {
            Settings::from_toml(text)
                .section::<Limits>("limits")
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            error("[limits]\nitems = 'many'"),
            "limits.items: invalid type: found string \"many\", expected u32 (TOML source string)"
        );
        assert!(error("[limits]\nitem = 3").starts_with("limits.item: unknown field"));
        assert_eq!(
            error("[limits]\nwait = 'soon'"),
            "limits.wait: \"soon\" is not a duration: write 1500ms, 5s, 2m, 1h or 14d (TOML source string)"
        );
    }
}
