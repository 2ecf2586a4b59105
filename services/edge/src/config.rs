//! What the edge can be told: where it is seen from, and every limit it enforces. Nothing here acts.

use std::time::Duration;

use chassis::{
    OverloadLimits,
    config::{Error, Settings, duration},
};
use ipnet::IpNet;
use serde::Deserialize;

/// Everything the edge can be told.
#[derive(Clone, Debug)]
pub struct Config {
    /// How the outside reaches it.
    pub server: Server,
    /// What it lets through, and how long it waits.
    pub limits: Limits,
}

/// The fields of the section `server` that the edge reads.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Server {
    /// How customers reach us, such as `https://api.example.com`. Default: the address of each request.
    #[serde(default)]
    pub public_url: Option<String>,
    /// Proxies whose `x-forwarded-for` is believed. Default: none.
    #[serde(default)]
    pub trusted_proxies: Vec<IpNet>,
}

/// The section `limits`, as far as it is the edge's. What a field is when it is left out, its `Default` says, and nothing else.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// What a request's body may hold.
    pub bodies: Bodies,
    /// Recordings that come within a request.
    pub recordings: Recordings,
    /// What a key may do that sets no limits of its own, and what an account may.
    pub rates: Rates,
    /// What is remembered about keys.
    pub key_cache: KeyCache,
    /// Streamed answers.
    pub streams: Streams,
    /// How long other services may take.
    pub deadlines: Deadlines,
    /// Who is refused when there is more to do than can be done in time.
    pub overload: OverloadLimits,
}

/// `limits.recordings`: recordings that come within a request.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recordings {
    /// Bytes of one. Default 25 MiB less 64 KiB: OpenAI takes 25 MiB, the form around it among them.
    pub max_bytes: usize,
}

/// `limits.bodies`: what a request's body may hold.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bodies {
    /// Bytes of a chat request. Default 8 MiB.
    pub chat: usize,
    /// Responses to whose items one request may refer. Default 64.
    pub referred: usize,
    /// Bytes of a media request, and of what a provider calls back with about one. Default 2 MiB.
    pub media: usize,
    /// Bytes of an uploaded file with the form around it. Default 65 MiB.
    pub upload: usize,
    /// How long an upload may take; of any part of it, `timeout` is the longest silence. Default `10m`.
    #[serde(with = "duration")]
    pub upload_timeout: Duration,
    /// Bytes of an event of the payment provider. Default 256 KiB.
    pub payment_event: usize,
    /// Bytes of the pictures of an answer that has them within JSON (`b64_json`). Default 32 MiB.
    pub inline_pictures: usize,
    /// Answers with pictures in them that are put together at once. Default 8.
    pub inline_at_once: usize,
    /// Bytes of any other request. Default 64 KiB.
    pub other: usize,
    /// From the end of the head to the end of the body. Default `30s`.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Bytes of a body that is too large which are read and thrown away, so that the client sees our answer instead of a
    /// connection cut in the middle of its sending. Default 32 MiB.
    pub discard: usize,
    /// How long such a body is thrown away. Default `2s`.
    #[serde(with = "duration")]
    pub discard_time: Duration,
}

/// `limits.rates`: what a key may do that sets no limits of its own, and what an account may.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// Requests per minute; as many may come at once. Default 60 000.
    pub per_minute: u32,
    /// Open HTTP requests. Default 1 000.
    pub concurrency: u32,
    /// Requests per minute of an account, in each mode, whatever its keys may; as many may come at once. Default 0: not limited.
    pub account_per_minute: u32,
    /// Open HTTP requests of an account, in each mode. Default 0: not limited.
    pub account_concurrency: u32,
    /// Callbacks of a provider per minute and task; as many may come at once. Default 60.
    pub callbacks_per_minute: u32,
    /// How long a request counts as open without a word from the process that has it, which renews it three times as often:
    /// so a process that dies blocks no key for longer than this. Default `60s`.
    #[serde(with = "duration")]
    pub slot_life: Duration,
}

/// `limits.key_cache`: what is remembered about keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyCache {
    /// How long a good key is believed without asking billing; a revocation tells us sooner. Default `5s`.
    #[serde(with = "duration")]
    pub life: Duration,
    /// How long a good key is believed after that while billing cannot be asked, unless notices of revocations may have been missed:
    /// customers still see their tasks, and whatever costs money asks billing itself. Default `10m`; `0s`: not at all.
    #[serde(with = "duration")]
    pub grace: Duration,
    /// How long a refused key stays refused without asking billing. Default `2s`.
    #[serde(with = "duration")]
    pub refused_life: Duration,
    /// Good keys remembered, and refused ones as many. Default 10 000.
    pub entries: u64,
}

/// `limits.streams`: streamed answers.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Streams {
    /// The longest silence on an open stream. Default `10s`.
    #[serde(with = "duration")]
    pub heartbeat: Duration,
    /// How long a request for a stream waits for its first event before the head is sent all the same. Default `10s`.
    #[serde(with = "duration")]
    pub first_event_wait: Duration,
    /// The longest that `Prefer: wait` keeps a request for a task waiting. Default `60s`.
    #[serde(with = "duration")]
    pub longest_wait: Duration,
    /// How often a task that somebody follows is looked at while the shared state, which tells of changes, is away.
    /// Default `2s`.
    #[serde(with = "duration")]
    pub poll: Duration,
    /// The longest silence of the chat service within one answer. Default `5m`.
    #[serde(with = "duration")]
    pub chat_silence: Duration,
}

/// `limits.deadlines`: how long other services may take.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Deadlines {
    /// Billing: keys, balances, accounts. Default `2s`.
    #[serde(with = "duration")]
    pub billing: Duration,
    /// Billing: orders and payments, for which it asks the payment provider. Default `20s`.
    #[serde(with = "duration")]
    pub orders: Duration,
    /// Billing: the audit of the whole ledger. Default `5m`.
    #[serde(with = "duration")]
    pub audit: Duration,
    /// Chat: until its first message; of an answer that is not streamed, that is its end. Default 750 s.
    #[serde(with = "duration")]
    pub chat: Duration,
    /// Media: until a task is accepted. Default `10s`.
    #[serde(with = "duration")]
    pub submit: Duration,
    /// Media: looks, cancellations, the first byte of an output. Default `5s`.
    #[serde(with = "duration")]
    pub media: Duration,
    /// Media: until it listens for a customer who would hear a sound while it is made. Each such request waits for it, and goes on without after
    /// this. Default `1s`.
    #[serde(with = "duration")]
    pub listen: Duration,
    /// Chat: keeping a response, looking at one, deleting one. Default `5s`.
    #[serde(with = "duration")]
    pub responses: Duration,
    /// Webhooks. Default `2s`.
    #[serde(with = "duration")]
    pub webhooks: Duration,
}

// === impl Config ===

impl Config {
    /// Reads the edge's sections.
    ///
    /// # Errors
    /// When a setting has a wrong value.
    pub fn read(settings: &Settings) -> Result<Self, Error> {
        Ok(Self {
            server: settings.section("server")?,
            limits: settings.section("limits")?,
        })
    }
}

// === impl Default ===

impl Default for Recordings {
    fn default() -> Self {
        Self {
            max_bytes: (25 << 20) - (64 << 10),
        }
    }
}

impl Default for Bodies {
    fn default() -> Self {
        Self {
            chat: 8 * 1024 * 1024,
            referred: 64,
            media: 2 * 1024 * 1024,
            upload: 65 * 1024 * 1024,
            upload_timeout: Duration::from_secs(10 * 60),
            payment_event: 256 * 1024,
            inline_pictures: 32 << 20,
            inline_at_once: 8,
            other: 64 * 1024,
            timeout: Duration::from_secs(30),
            discard: 32 * 1024 * 1024,
            discard_time: Duration::from_secs(2),
        }
    }
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            per_minute: 60_000,
            concurrency: 1_000,
            account_per_minute: 0,
            account_concurrency: 0,
            callbacks_per_minute: 60,
            slot_life: Duration::from_secs(60),
        }
    }
}

impl Default for KeyCache {
    fn default() -> Self {
        Self {
            life: Duration::from_secs(5),
            grace: Duration::from_secs(10 * 60),
            refused_life: Duration::from_secs(2),
            entries: 10_000,
        }
    }
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(10),
            first_event_wait: Duration::from_secs(10),
            longest_wait: Duration::from_secs(60),
            poll: Duration::from_secs(2),
            chat_silence: Duration::from_secs(5 * 60),
        }
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            billing: Duration::from_secs(2),
            orders: Duration::from_secs(20),
            audit: Duration::from_secs(5 * 60),
            // A whole answer of a slow model, a second provider, and the time that booking it may take.
            chat: Duration::from_secs(750),
            submit: Duration::from_secs(10),
            media: Duration::from_secs(5),
            listen: Duration::from_secs(1),
            responses: Duration::from_secs(5),
            webhooks: Duration::from_secs(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_configured_is_the_documented_defaults() {
        let config = Config::read(&Settings::from_toml("")).unwrap();
        assert_eq!(config.limits.bodies.chat, 8 << 20);
        assert_eq!(config.limits.bodies.media, 2 << 20);
        assert_eq!(config.limits.bodies.other, 64 << 10);
        assert_eq!(config.limits.key_cache.life, Duration::from_secs(5));
        assert_eq!(config.limits.key_cache.grace, Duration::from_secs(600));
        assert_eq!(config.limits.rates.slot_life, Duration::from_secs(60));
        assert_eq!(config.limits.streams.heartbeat, Duration::from_secs(10));
        assert_eq!(config.limits.deadlines.listen, Duration::from_secs(1));
        assert_eq!(config.limits.overload.delay, Duration::from_millis(200));
        assert_eq!(config.limits.overload.least, 512);
        assert_eq!(config.server.public_url, None);
    }

    #[test]
    fn some_fields_may_be_configured() {
        let text = "[server]\nlisten = 'x'\ntrusted_proxies = ['10.0.0.0/8']\n\
                    [limits.bodies]\nchat = 10\n[limits.deadlines]\nchat = '1m'";
        let config = Config::read(&Settings::from_toml(text)).unwrap();
        assert_eq!(config.limits.bodies.chat, 10);
        assert_eq!(config.limits.bodies.media, 2 << 20);
        assert_eq!(config.limits.deadlines.chat, Duration::from_secs(60));
        assert_eq!(config.server.trusted_proxies.len(), 1);
    }
}
