//! How to reach providers in both modes: live keys with the operator's credential, test keys the sandbox and nothing else.

use std::{collections::HashMap, fmt};

use domain::{Dialect, KnownProvider, Mode, Secret};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::de::{Deserializer, SeqAccess, Visitor};
use url::Url;

use super::{Error, Provider, Settings};

/// What the sandbox is told as a credential: it checks for presence only.
const SANDBOX_KEY: &str = "sandbox";

/// Headers that say how a message is carried.
const OURS: [HeaderName; 4] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
];

/// Where one provider is, and our credential there.
#[derive(Clone, Debug)]
pub struct Access {
    /// Where it is; the path ends with a slash, so that paths can be joined.
    pub base_url: Url,
    /// Our credential there; `None` for a server that asks for none.
    pub key: Option<Secret>,
    /// What it spells its own way.
    pub dialect: Dialect,
    /// The operator's own headers: they stand in the place of ours.
    pub headers: HeaderMap,
    /// What its callbacks are signed with; `None`: they are not checked.
    pub callback_secret: Option<Secret>,
}

/// How to reach some providers. Settled once, at the start.
#[derive(Clone, Debug)]
pub struct Providers {
    /// One for each credential; never none.
    live: HashMap<String, Vec<Access>>,
    sandbox: Option<Url>,
    /// Whose wire in the sandbox is spoken to providers that we do not know by name; `None`: the sandbox plays nobody like them.
    wires: HashMap<String, Option<String>>,
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
            live.insert(
                name.to_owned(),
                configured(name, &settings.provider(name)?)?,
            );
        }
        live.retain(|_, accesses: &mut Vec<Access>| !accesses.is_empty());
        let sandbox = sandbox.map(|place| base_url(place, "peers.sandbox"));
        Ok(Self {
            live,
            sandbox: sandbox.transpose()?,
            wires: HashMap::new(),
        })
    }

    /// The same, where this provider is spoken to by a wire that the sandbox plays under another name, or not at all. What we know by
    /// name, the sandbox plays under that name.
    #[must_use]
    pub fn speaking(mut self, name: &str, wire: Option<&str>) -> Self {
        self.wires.insert(name.to_owned(), wire.map(str::to_owned));
        self
    }

    /// How to reach a provider for a key of this mode, with the first of its credentials; `None` where nothing is configured.
    /// Live keys never reach the sandbox, test keys nothing else.
    pub fn access(&self, mode: Mode, name: &str) -> Option<Access> {
        match mode {
            Mode::Live => self.live.get(name)?.first().cloned(),
            Mode::Test => self.simulated(name),
        }
    }

    /// As [`Providers::access`], with each of its credentials; none where nothing is configured.
    pub fn accesses(&self, mode: Mode, name: &str) -> Vec<Access> {
        match mode {
            Mode::Live => self.live.get(name).cloned().unwrap_or_default(),
            Mode::Test => self.simulated(name).into_iter().collect(),
        }
    }

    fn simulated(&self, name: &str) -> Option<Access> {
        let known = KnownProvider::find(name);
        let path = match (known, self.wires.get(name)) {
            (Some(known), _) => format!("{}/", known.sandbox_path),
            (None, Some(wire)) => format!("{}/", wire.as_deref()?),
            (None, None) => format!("{name}/v1/"),
        };
        Some(Access {
            base_url: self.sandbox.as_ref()?.join(&path).ok()?,
            key: Some(Secret::new(SANDBOX_KEY)),
            dialect: known.map(|known| known.dialect).unwrap_or_default(),
            headers: HeaderMap::new(),
            callback_secret: None,
        })
    }

    /// Why none of these providers serves a model for a key of this mode, naming the settings to fill.
    pub fn missing(mode: Mode, model: &str, names: &[&str]) -> String {
        match mode {
            Mode::Test => format!(
                "test keys are served by the sandbox, which does not run here, or plays no provider of {model}"
            ),
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

/// The ways to one provider: one for each credential. A server that we know by its address alone may ask for none.
fn configured(name: &str, section: &Provider) -> Result<Vec<Access>, Error> {
    let known = KnownProvider::find(name);
    let usual = known.map(|known| known.base_url);
    let Some(place) = section.base_url.as_deref().or(usual) else {
        return Ok(Vec::new());
    };
    let mut keys: Vec<Option<Secret>> = keys(section).into_iter().map(Some).collect();
    if keys.is_empty() && known.is_none() {
        keys.push(None);
    }
    let base_url = base_url(place, &format!("providers.{name}.base_url"))?;
    let mut dialect = known.map(|known| known.dialect).unwrap_or_default();
    dialect.output_limit = section.output_limit.unwrap_or(dialect.output_limit);
    let headers = headers(name, section)?;
    let access = |key| Access {
        base_url: base_url.clone(),
        key,
        dialect,
        headers: headers.clone(),
        callback_secret: section.callback_secret.clone(),
    };
    Ok(keys.into_iter().map(access).collect())
}

/// The operator's own headers. Their values may be credentials.
fn headers(provider: &str, section: &Provider) -> Result<HeaderMap, Error> {
    let header = |(name, value): (&String, &Secret)| {
        let setting = format!("providers.{provider}.headers.{name}");
        let wrong = |why| Error::Setting(format!("{setting} {why}"));
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| wrong("is not the name of a header"))?;
        if OURS.contains(&name) {
            return Err(wrong("is a header that only we can set"));
        }
        let mut value =
            HeaderValue::from_str(value.expose()).map_err(|_| wrong("cannot stand in a header"))?;
        value.set_sensitive(true);
        Ok((name, value))
    };
    section.headers.iter().map(header).collect()
}

/// Every credential once, in order: one that stood there twice would count as two.
fn keys(provider: &Provider) -> Vec<Secret> {
    let mut keys: Vec<Secret> = Vec::new();
    for key in provider.api_key.iter().chain(&provider.api_keys) {
        if keys.iter().all(|known| known.expose() != key.expose()) {
            keys.push(key.clone());
        }
    }
    keys
}

/// Several secrets: a list, or one text, which is all that a variable or a file can hold. What is neither is refused without being
/// shown.
pub(super) fn secrets<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<Secret>, D::Error> {
    input.deserialize_any(Secrets)
}

/// Reads several secrets.
struct Secrets;

// === impl Secrets ===

impl<'de> Visitor<'de> for Secrets {
    type Value = Vec<Secret>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of texts, or one text with commas between them")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        let keys = text.split(|c: char| c == ',' || c.is_whitespace());
        Ok(keys
            .filter(|key| !key.is_empty())
            .map(Secret::new)
            .collect())
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Self::Value, E> {
        Err(no_list())
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Self::Value, E> {
        Err(no_list())
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Self::Value, E> {
        Err(no_list())
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Self::Value, E> {
        Err(no_list())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut keys = Vec::new();
        while let Some(key) = items.next_element()? {
            keys.push(key);
        }
        Ok(keys)
    }
}

/// The value would be shown by serde's own message.
fn no_list<E: serde::de::Error>() -> E {
    E::custom("secrets must be a list of texts, or one text with commas between them")
}

/// What an operator sets to reach a provider.
fn setting(name: &str) -> String {
    match KnownProvider::find(name) {
        Some(known) => format!(
            "providers.{name}.api_key (environment variable {})",
            known.variable
        ),
        None => {
            format!("providers.{name}.base_url, and providers.{name}.api_key if it asks for one")
        }
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
        Providers::read(&settings, ["bfl", "fal", "gemini", "local"], sandbox).unwrap()
    }

    fn shown(access: &Access) -> &str {
        access.key.as_ref().map_or("", Secret::expose)
    }

    #[test]
    fn a_server_known_by_its_address_alone_needs_no_credential() {
        let text = "[providers.local]\nbase_url = 'http://10.0.0.1/v1'\noutput_limit = 'max_completion_tokens'\n\
                    headers = { Api-Key = 'k', X-Title = 'we' }\n[providers.bfl]\nbase_url = 'http://10.0.0.1'";
        let providers = providers(text, None);
        let local = providers.access(Mode::Live, "local").unwrap();
        assert!(local.key.is_none());
        assert_eq!(
            local.dialect.output_limit,
            domain::OutputLimit::MaxCompletionTokens
        );
        assert_eq!(local.headers["api-key"], "k");
        assert!(local.headers["api-key"].is_sensitive());
        assert!(providers.access(Mode::Live, "bfl").is_none());
    }

    #[test]
    fn a_header_that_cannot_be_sent_is_named_and_not_shown() {
        for (header, told) in [
            ("Host = 'x'", "Host is a header that only we can set"),
            ("'a b' = 'x'", "a b is not the name of a header"),
            ("X-Key = \"s3cret\\n\"", "X-Key cannot stand in a header"),
        ] {
            let text =
                format!("[providers.local]\nbase_url = 'http://x'\nheaders = {{ {header} }}");
            let settings = Settings::from_toml(&text);
            let error = Providers::read(&settings, ["local"], None).unwrap_err();
            assert_eq!(error.to_string(), format!("providers.local.headers.{told}"));
        }
    }

    #[test]
    fn modes_do_not_mix() {
        let text = "[providers.bfl]\napi_key = 'k'\n[providers.fal]\napi_key = 'f'\n\
                    [providers.local]\napi_key = 'l'\nbase_url = 'http://10.0.0.1/v1/'";
        let providers = providers(text, Some("http://127.0.0.1:9105"));
        for (mode, name, url, key) in [
            (Mode::Live, "bfl", "https://api.bfl.ai/", "k"),
            (Mode::Live, "fal", "https://queue.fal.run/", "f"),
            (Mode::Live, "local", "http://10.0.0.1/v1/", "l"),
            (Mode::Test, "bfl", "http://127.0.0.1:9105/bfl/", SANDBOX_KEY),
            (Mode::Test, "fal", "http://127.0.0.1:9105/fal/", SANDBOX_KEY),
            (Mode::Test, "kie", "http://127.0.0.1:9105/kie/", SANDBOX_KEY),
            (
                Mode::Test,
                "replicate",
                "http://127.0.0.1:9105/replicate/",
                SANDBOX_KEY,
            ),
            (
                Mode::Test,
                "gemini",
                "http://127.0.0.1:9105/gemini/v1beta/",
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
            assert_eq!((access.base_url.as_str(), shown(&access)), (url, key));
        }
        assert!(providers.access(Mode::Live, "gemini").is_none());
    }

    #[test]
    fn a_provider_may_have_several_credentials() {
        for (text, keys) in [
            ("api_keys = ['a', 'b']", vec!["a", "b"]),
            ("api_keys = 'a'", vec!["a"]),
            ("api_keys = \"a, b\\nc\\n\"", vec!["a", "b", "c"]),
            ("api_key = 'a'\napi_keys = ['b', 'a']", vec!["a", "b"]),
            ("api_keys = []", vec![]),
        ] {
            let providers = providers(&format!("[providers.bfl]\n{text}"), None);
            let accesses = providers.accesses(Mode::Live, "bfl");
            let found: Vec<&str> = accesses.iter().map(shown).collect();
            assert_eq!(found, keys, "{text}");
            let first = providers.access(Mode::Live, "bfl");
            let first = first.as_ref().map(shown);
            assert_eq!(first, keys.first().copied(), "{text}");
        }
        let sandbox = providers("[providers.bfl]\napi_keys = ['a', 'b']", Some("http://x"));
        assert_eq!(sandbox.accesses(Mode::Test, "bfl").len(), 1);
    }

    #[test]
    fn a_list_of_credentials_that_is_none_is_not_shown() {
        for text in ["api_keys = 4711", "api_keys = [4711]"] {
            let settings = Settings::from_toml(&format!("[providers.bfl]\n{text}"));
            let error = Providers::read(&settings, ["bfl"], None).unwrap_err();
            let error = error.to_string();
            assert!(
                error.contains("api_keys") && !error.contains("4711"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_provider_that_is_described_by_a_file_has_the_wire_that_it_names() {
        let all = providers("", Some("http://x"));
        for (name, wire, expected) in [
            ("local", Some("rest"), Some("http://x/rest/")),
            ("local", None, None),
            ("bfl", Some("rest"), Some("http://x/bfl/")),
        ] {
            let access = all.clone().speaking(name, wire).access(Mode::Test, name);
            let url = access.map(|access| access.base_url.to_string());
            assert_eq!(url.as_deref(), expected, "{name}");
        }
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
             providers.local.base_url, and providers.local.api_key if it asks for one"
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
