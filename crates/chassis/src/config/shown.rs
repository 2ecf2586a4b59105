//! The settings as people may look at them: what is set, where, and no secret.

use figment::{Figment, value::Value};

use super::{Error, Settings, mistakes};

/// What stands for a secret.
const MASK: &str = "••••••";
/// Words of a setting's name, and of what it stands in, that say that it is a secret.
const SECRETS: [&str; 12] = [
    "key",
    "keys",
    "secret",
    "secrets",
    "token",
    "tokens",
    "password",
    "passwords",
    "credential",
    "credentials",
    "headers",
    "mac",
];
/// Sections of numbers and words that are nobody's secret, whatever they are called: a limit of tokens, or of keys.
const OPEN: [&str; 2] = ["limits.", "models."];
/// Addresses whose path is a secret as well.
const WHOLE: [&str; 1] = ["webhooks.alert_url"];

/// Where settings come from.
const FILE: &str = "the file";
const ENVIRONMENT: &str = "the environment";
const ELSEWHERE: &str = "the environment or the command line";

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// `limits.chat.retry_after`.
    pub name: String,
    /// Its value as TOML writes it, without what is secret.
    pub value: String,
    /// Where it was set, in words.
    pub place: &'static str,
}

// === impl Settings ===

impl Settings {
    /// What is set, in the order of the names; all else has its default. Secrets are masked: what a name calls one, and what addresses
    /// hold of users, passwords and queries.
    ///
    /// # Errors
    /// When the configuration cannot be read.
    pub fn shown(&self) -> Result<Vec<Shown>, Error> {
        let set: figment::value::Dict = self.0.extract().map_err(|error| mistakes("", error))?;
        let mut shown = Vec::new();
        for (name, value) in set {
            walk(&self.0, name, &value, &mut shown);
        }
        shown.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(shown)
    }
}

fn walk(figment: &Figment, name: String, value: &Value, shown: &mut Vec<Shown>) {
    if let Value::Dict(_, fields) = value {
        for (field, value) in fields {
            walk(figment, format!("{name}.{field}"), value, shown);
        }
        return;
    }
    // An empty text is none: compose files write those, and so do we.
    if value.as_str() == Some("") {
        return;
    }
    let place = figment.find_metadata(&name).map(|place| &*place.name);
    shown.push(Shown {
        value: if is_secret(&name) {
            MASK.to_owned()
        } else {
            written(&name, value)
        },
        place: match place {
            Some(name) if name.contains("TOML") => FILE,
            Some(name) if name.contains("environment") => ENVIRONMENT,
            // A customary name of a credential, a file that a variable names, or an argument.
            _ => ELSEWHERE,
        },
        name,
    });
}

fn is_secret(name: &str) -> bool {
    let words = || name.split(['.', '_', '-']);
    !OPEN.iter().any(|open| name.starts_with(open))
        && words().any(|word| SECRETS.contains(&word.to_lowercase().as_str()))
}

/// A value as TOML writes it.
fn written(name: &str, value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("{:?}", addresses(name, text)),
        Value::Char(_, letter) => format!("{:?}", letter.to_string()),
        Value::Bool(_, yes) => yes.to_string(),
        Value::Num(_, number) => match (number.to_i128(), number.to_u128(), number.to_f64()) {
            (Some(whole), ..) => whole.to_string(),
            (_, Some(whole), _) => whole.to_string(),
            (.., part) => part.map(|part| part.to_string()).unwrap_or_default(),
        },
        Value::Empty(..) => "\"\"".to_owned(),
        Value::Dict(_, fields) => {
            let fields = fields.iter().map(|(field, value)| {
                let name = format!("{name}.{field}");
                let value = if is_secret(&name) {
                    MASK.to_owned()
                } else {
                    written(&name, value)
                };
                format!("{field} = {value}")
            });
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::Array(_, items) => {
            let items = items.iter().map(|item| written(name, item));
            format!("[{}]", items.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A text with what may be shown of the addresses in it.
fn addresses(name: &str, text: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in text.split(',') {
        match parts.last_mut() {
            // A comma may stand in a password: another address begins with its scheme.
            Some(last) if last.contains("://") && !part.contains("://") => {
                last.push(',');
                last.push_str(part);
            }
            _ => parts.push(part.to_owned()),
        }
    }
    let parts = parts.iter().map(|part| address(name, part));
    parts.collect::<Vec<_>>().join(",")
}

fn address(name: &str, text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let user = if user.is_empty() {
        String::new()
    } else {
        format!("{MASK}@")
    };
    let shown = path.split(['?', '#']).next().unwrap_or_default();
    let path = match (WHOLE.contains(&name), path) {
        (true, "" | "/") => path.to_owned(),
        (true, _) => format!("/{MASK}"),
        (false, _) if shown.len() < path.len() => format!("{shown}?{MASK}"),
        (false, _) => shown.to_owned(),
    };
    format!("{scheme}://{user}{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_shown_and_no_secret_is() {
        let settings = Settings::from_toml(
            "[server]
             listen = '127.0.0.1:8080'
             trusted_proxies = ['10.0.0.0/8']
             [database]
             url = 'postgres://aio_billing:hush@db:5432/aio?password=hush'
             passwords.billing = 'hush'
             [redis]
             url = 'redis://:hush,hush@redis/0'
             [webhooks]
             alert_url = 'https://alerts.example/hook/hush?t=hush'
             [peers]
             billing = 'http://a:9103,http://b:9103'
             tokens.edge = 'hush'
             [secrets]
             key_mac = 'hush'
             [providers.gemini]
             api_key = 'hush'
             api_keys = ['hush', 'hush']
             headers = { 'x-team' = 'hush' }
             base_url = 'https://hush:hush@proxy.example/v1'
             [storage.s3]
             access_key_id = 'hush'
             session_token = 12345678
             [limits.chat]
             max_tokens = 7
             [limits.key_cache]
             life = '1m'",
        );
        let settings = settings
            .with("egress.own_hosts", "")
            .with("server.public_url", "http://a");
        let shown = settings.shown().unwrap();
        let value = |name: &str| {
            let found = shown.iter().find(|shown| shown.name == name);
            found.map(|shown| shown.value.as_str())
        };
        for (name, expected) in [
            ("server.listen", "\"127.0.0.1:8080\""),
            ("server.trusted_proxies", "[\"10.0.0.0/8\"]"),
            ("database.url", "\"postgres://••••••@db:5432/aio?••••••\""),
            ("database.passwords.billing", MASK),
            ("redis.url", "\"redis://••••••@redis/0\""),
            ("webhooks.alert_url", "\"https://alerts.example/••••••\""),
            ("peers.billing", "\"http://a:9103,http://b:9103\""),
            ("providers.gemini.api_keys", MASK),
            (
                "providers.gemini.base_url",
                "\"https://••••••@proxy.example/v1\"",
            ),
            ("storage.s3.session_token", MASK),
            ("limits.chat.max_tokens", "7"),
            ("server.public_url", "\"http://a\""),
            ("limits.key_cache.life", "\"1m\""),
        ] {
            assert_eq!(value(name), Some(expected), "{name}");
        }
        assert_eq!(value("egress.own_hosts"), None);
        let place = |name: &str| {
            let found = shown.iter().find(|shown| shown.name == name);
            found.map(|shown| shown.place)
        };
        assert_eq!(place("server.listen"), Some(FILE));
        assert_eq!(place("server.public_url"), Some(ELSEWHERE));
        let all = format!("{shown:?}");
        assert!(!all.contains("hush") && !all.contains("12345678"), "{all}");
        assert!(shown.is_sorted_by(|one, other| one.name < other.name));
    }
}
