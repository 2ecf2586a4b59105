//! The section `orders`: what can be bought, how Stripe is reached, and what redeem codes may hold.

use std::{collections::HashSet, time::Duration};

use chassis::config::{Error, Settings, duration};
use domain::{Micros, Secret};
use serde::Deserialize;
use url::Url;

/// The longest name of a pack, in characters.
const NAME_LEN: usize = 100;

/// The section `orders`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What can be bought. Default: 1 000, 5 000 and 20 000 credits, at a US cent each.
    #[serde(default = "default_packs")]
    pub packs: Vec<Pack>,
    /// Where a customer's browser goes who has paid; `{ORDER_ID}` stands for the order. Default: the installation's first page.
    #[serde(default)]
    pub success_url: Option<String>,
    /// Where it goes when they turn back. Default: as above.
    #[serde(default)]
    pub cancel_url: Option<String>,
    /// How often to look for accounts that owe credit of refunded orders. Default 1 min.
    #[serde(default = "default_collect_every", with = "duration")]
    pub collect_every: Duration,
    /// Accounts looked at in one go. Default 200.
    #[serde(default = "default_collect_batch")]
    pub collect_batch: u32,
    /// How long an `Idempotency-Key` stands for its order. Default 24 h.
    #[serde(default = "default_idempotency", with = "duration")]
    pub idempotency: Duration,
    /// The payment provider.
    #[serde(default)]
    pub stripe: Stripe,
    /// Redeem codes.
    #[serde(default)]
    pub codes: Codes,
}

/// Something that can be bought.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// By which it is ordered: lower-case letters, digits, `-` and `_`.
    pub id: String,
    /// What customers read, also at Stripe.
    pub name: String,
    /// Whole credits.
    pub credits: u32,
    /// Minor units of the currency: cents.
    pub price: u32,
    /// Three letters, lower case.
    pub currency: String,
}

/// How Stripe is reached: the section `orders.stripe`. Without an `api_key` nothing can be bought.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stripe {
    /// The secret or restricted key, also `STRIPE_API_KEY`.
    #[serde(default)]
    pub api_key: Option<Secret>,
    /// The signing secret of the webhook endpoint, also `STRIPE_WEBHOOK_SECRET`.
    #[serde(default)]
    pub webhook_secret: Option<Secret>,
    /// Where its API is. Default `https://api.stripe.com`.
    #[serde(default = "default_base_url")]
    pub base_url: String,
    /// How long one call may take to be answered. Default 10 s.
    #[serde(default = "default_timeout", with = "duration")]
    pub timeout: Duration,
    /// How old an event's signature may be. Default 5 min, as Stripe's own libraries have it.
    #[serde(default = "default_tolerance", with = "duration")]
    pub tolerance: Duration,
}

/// What redeem codes may hold: the section `orders.codes`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Codes {
    /// Codes made at once. Default 1 000.
    #[serde(default = "default_at_once")]
    pub at_once: u32,
    /// Whole credits of one code. Default 1 000 000.
    #[serde(default = "default_code_credits")]
    pub max_credits: u32,
    /// Accounts that may redeem one code. Default 1 000 000.
    #[serde(default = "default_max_uses")]
    pub max_uses: u32,
}

// === impl Config ===

impl Config {
    /// Reads the section.
    ///
    /// # Errors
    /// When a setting has a wrong value or an unknown name.
    pub(crate) fn read(settings: &Settings) -> Result<Self, Error> {
        let config: Self = settings.section("orders")?;
        let mut ids = HashSet::new();
        for pack in &config.packs {
            if let Some(problem) = pack.problem() {
                let message = format!("orders.packs: {} must {problem}", pack.id);
                return Err(Error::Setting(message));
            }
            if !ids.insert(&pack.id) {
                let message = format!("orders.packs: two packs have the id {:?}", pack.id);
                return Err(Error::Setting(message));
            }
        }
        config.stripe.place()?;
        let secret = config.stripe.webhook_secret.as_ref();
        if secret.is_some_and(|secret| secret.expose().trim().is_empty()) {
            // Anybody can sign with nothing.
            let message = "orders.stripe.webhook_secret must not be empty".to_owned();
            return Err(Error::Setting(message));
        }
        if config.collect_batch == 0 || config.collect_every.is_zero() {
            let message = "orders.collect_batch and orders.collect_every must be more than 0";
            return Err(Error::Setting(message.to_owned()));
        }
        Ok(config)
    }

    /// The pack of this id.
    pub(crate) fn pack(&self, id: &str) -> Option<&Pack> {
        self.packs.iter().find(|pack| pack.id == id)
    }
}

// === impl Pack ===

impl Pack {
    /// Its credit.
    pub(crate) fn amount(&self) -> Micros {
        // 2^32 credits fit in 53 bits of micro-credits.
        Micros::from_credits(1)
            .times(u64::from(self.credits))
            .unwrap_or(Micros::ZERO)
    }

    /// What is wrong with it: completes "must …".
    fn problem(&self) -> Option<&'static str> {
        let of_id =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        let named = |text: &str| {
            (1..=NAME_LEN).contains(&text.chars().count()) && !text.chars().any(char::is_control)
        };
        if !(1..=40).contains(&self.id.len()) || !self.id.bytes().all(of_id) {
            Some("have an id of 1 to 40 lower-case letters, digits, - and _")
        } else if !named(&self.name) {
            Some("have a name of 1 to 100 characters")
        } else if self.credits == 0 || self.price == 0 {
            Some("have credits and a price, both more than 0")
        } else if self.currency.len() != 3
            || !self.currency.bytes().all(|byte| byte.is_ascii_lowercase())
        {
            Some("have a currency of three lower-case letters, such as usd")
        } else {
            None
        }
    }
}

// === impl Stripe ===

impl Stripe {
    /// Where its API is.
    ///
    /// # Errors
    /// When that is no URL of a server.
    pub(crate) fn place(&self) -> Result<Url, Error> {
        Url::parse(&self.base_url)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
            .ok_or_else(|| {
                Error::Setting("orders.stripe.base_url is not an http(s) URL".to_owned())
            })
    }
}

// === impl Default ===

impl Default for Stripe {
    fn default() -> Self {
        Self {
            api_key: None,
            webhook_secret: None,
            base_url: default_base_url(),
            timeout: default_timeout(),
            tolerance: default_tolerance(),
        }
    }
}

impl Default for Codes {
    fn default() -> Self {
        Self {
            at_once: default_at_once(),
            max_credits: default_code_credits(),
            max_uses: default_max_uses(),
        }
    }
}

fn default_packs() -> Vec<Pack> {
    let pack = |id: &str, name: &str, credits| Pack {
        id: id.to_owned(),
        name: name.to_owned(),
        credits,
        // A credit is a cent.
        price: credits,
        currency: "usd".to_owned(),
    };
    vec![
        pack("small", "1,000 credits", 1_000),
        pack("medium", "5,000 credits", 5_000),
        pack("large", "20,000 credits", 20_000),
    ]
}

fn default_base_url() -> String {
    "https://api.stripe.com".to_owned()
}

const fn default_collect_every() -> Duration {
    Duration::from_secs(60)
}

const fn default_idempotency() -> Duration {
    Duration::from_secs(24 * 3_600)
}

const fn default_collect_batch() -> u32 {
    200
}

const fn default_timeout() -> Duration {
    Duration::from_secs(10)
}

const fn default_tolerance() -> Duration {
    Duration::from_secs(5 * 60)
}

const fn default_at_once() -> u32 {
    1_000
}

const fn default_code_credits() -> u32 {
    1_000_000
}

const fn default_max_uses() -> u32 {
    1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_configured_is_the_documented_defaults() {
        let config = Config::read(&Settings::from_toml("")).unwrap();
        let packs: Vec<_> = config
            .packs
            .iter()
            .map(|pack| (pack.id.as_str(), pack.credits, pack.price))
            .collect();
        assert_eq!(
            packs,
            [
                ("small", 1_000, 1_000),
                ("medium", 5_000, 5_000),
                ("large", 20_000, 20_000)
            ]
        );
        assert!(config.stripe.api_key.is_none());
        assert_eq!(
            config.stripe.place().unwrap().as_str(),
            "https://api.stripe.com/"
        );
    }

    #[test]
    fn a_pack_that_cannot_be_sold_is_named() {
        let pack = |id: &str, credits: u32, price: u32, currency: &str| {
            format!(
                "[[orders.packs]]\nid = '{id}'\nname = 'n'\ncredits = {credits}\nprice = {price}\ncurrency = '{currency}'\n"
            )
        };
        let refusal = |text: &str| {
            Config::read(&Settings::from_toml(text))
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default()
        };
        assert_eq!(refusal(&pack("a", 1, 1, "eur")), "");
        for (text, words) in [
            (pack("A", 1, 1, "eur"), "orders.packs: A must have an id"),
            (pack("a", 0, 1, "eur"), "orders.packs: a must have credits"),
            (pack("a", 1, 0, "eur"), "orders.packs: a must have credits"),
            (
                pack("a", 1, 1, "EUR"),
                "orders.packs: a must have a currency",
            ),
            (
                [pack("a", 1, 1, "eur"), pack("a", 2, 2, "eur")].concat(),
                "orders.packs: two packs have the id \"a\"",
            ),
            (
                "[orders.stripe]\nbase_url = 'nowhere'".to_owned(),
                "orders.stripe.base_url is not",
            ),
        ] {
            let message = refusal(&text);
            assert!(message.starts_with(words), "{message}");
        }
    }
}
