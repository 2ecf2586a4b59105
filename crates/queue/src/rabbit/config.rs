//! The section `rabbitmq`: where the broker is, and the limits of what is kept there. Only says and checks; opens nothing.

use std::time::Duration;

use chassis::config::{Secret, duration};
use lapin::uri::{AMQPScheme, AMQPUri};
use serde::Deserialize;

use crate::Error;

/// The longest prefix: the names made from it, topics included, must fit the 255 bytes that AMQP gives a name.
const LONGEST_PREFIX: usize = 100;

/// The section `rabbitmq`. What a field is when it is left out, its `Default` says, and nothing else.
///
/// The arguments of a queue cannot be changed once it exists: after a change of `max_length`, `delivery_limit` or
/// `group_size`, either the queues are deleted or the prefix is changed; SQL knows what was in them.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `amqp://user:password@host:port/vhost`. TLS is not spoken, and `amqps://` is refused: where the network is not private,
    /// a tunnel belongs between. Required.
    pub url: Option<Secret>,
    /// What the names of all exchanges and queues begin with: lower-case letters, digits, `.`, `_` and `-`. The broker's user
    /// needs the right to configure, write and read `^PREFIX\.`. Default `aio`.
    pub prefix: String,
    /// Messages of a topic that a process holds unsettled, those that wait for its workers included: another process does
    /// not get them meanwhile, and those that waited for too long are given back, which counts as a delivery. So at least 1
    /// and less than `delivery_limit`, and more than 2 only for a topic with several receivers. Default 2.
    pub prefetch: u16,
    /// How long messages wait here for a receiver, at least, until they are given back for another process, and none are
    /// fetched before somebody receives again. Default 10 s.
    #[serde(with = "duration")]
    pub idle_hold: Duration,
    /// How long the broker may take to confirm a message, or to answer. Default 5 s.
    #[serde(with = "duration")]
    pub confirm_timeout: Duration,
    /// Between two signs of life on an idle connection, in whole seconds; after two without one the broker counts as away.
    /// Default 30 s.
    #[serde(with = "duration")]
    pub heartbeat: Duration,
    /// How long a connection may take until it can be used. Default 10 s.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// How often what must exist on the broker is looked after: deleted queues are made again, messages that found none are
    /// brought to theirs. Default 5 s.
    #[serde(with = "duration")]
    pub check_interval: Duration,
    /// Messages that may wait in a topic; the broker stops a little late. Default 200 000.
    pub max_length: u32,
    /// How often a message is delivered without being settled before it goes to the dead queue. Default 20.
    pub delivery_limit: u32,
    /// How many nodes of a cluster keep each queue; a smaller cluster keeps it on all. Odd, default 3.
    pub group_size: u32,
    /// The pauses between two attempts to connect.
    pub reconnect: Reconnect,
}

/// The pauses between two attempts: each twice as long as the one before, and shortened by chance so that many processes do
/// not come at once.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reconnect {
    /// The first. Default 200 ms.
    #[serde(with = "duration")]
    pub min: Duration,
    /// The longest. Default 10 s.
    #[serde(with = "duration")]
    pub max: Duration,
}

// === impl Config ===

impl Default for Config {
    fn default() -> Self {
        Self {
            url: None,
            prefix: "aio".to_owned(),
            prefetch: 2,
            idle_hold: Duration::from_secs(10),
            confirm_timeout: Duration::from_secs(5),
            heartbeat: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            check_interval: Duration::from_secs(5),
            max_length: 200_000,
            delivery_limit: 20,
            group_size: 3,
            reconnect: Reconnect::default(),
        }
    }
}

impl Config {
    /// Checks every field, and opens nothing.
    ///
    /// # Errors
    /// [`Error::Setting`], which names the field.
    pub fn validate(&self) -> Result<(), Error> {
        self.check().map(drop)
    }

    /// Checks every field, and reads the URL.
    pub(super) fn check(&self) -> Result<AMQPUri, Error> {
        let wrong = |what: &str| Err(Error::Setting(format!("rabbitmq.{what}")));
        if !is_name(&self.prefix) || self.prefix.len() > LONGEST_PREFIX {
            return wrong(
                "prefix must be 1 to 100 lower-case letters, digits, '.', '_' or '-', and begin and end with a letter or digit",
            );
        }
        if self.prefetch == 0 {
            return wrong("prefetch must be at least 1: 0 would be no limit");
        }
        if self.delivery_limit == 0 || self.max_length == 0 {
            return wrong("delivery_limit and rabbitmq.max_length must be at least 1");
        }
        if u32::from(self.prefetch) >= self.delivery_limit {
            return wrong(
                "prefetch must be less than rabbitmq.delivery_limit: a busy process gives back what waits, and so often that may happen",
            );
        }
        if self.group_size.is_multiple_of(2) {
            return wrong(
                "group_size must be odd: an even one survives no more nodes than one less",
            );
        }
        let waits = [
            ("idle_hold", self.idle_hold),
            ("confirm_timeout", self.confirm_timeout),
            ("heartbeat", self.heartbeat),
            ("connect_timeout", self.connect_timeout),
            ("check_interval", self.check_interval),
            ("reconnect.min", self.reconnect.min),
        ];
        if let Some((name, _)) = waits.iter().find(|(_, wait)| wait.is_zero()) {
            return wrong(&format!("{name} must be longer than nothing"));
        }
        if self.reconnect.max < self.reconnect.min {
            return wrong("reconnect.max must not be shorter than rabbitmq.reconnect.min");
        }
        self.uri()
    }

    fn uri(&self) -> Result<AMQPUri, Error> {
        // Why it does not parse is not said: the answer may quote the password.
        let malformed = || {
            Error::Setting("rabbitmq.url must be amqp://user:password@host:port/vhost, the host a name or an IPv4 address".to_owned())
        };
        let url = self.url.as_ref().ok_or_else(malformed)?.expose();
        // The parser takes an IPv6 address for a host that was left out.
        if url.contains('[') {
            return Err(malformed());
        }
        let mut uri: AMQPUri = url.parse().map_err(|_quotes_it| malformed())?;
        match uri.scheme {
            AMQPScheme::AMQP => {}
            // Without this, the client would speak in the clear, password and all.
            AMQPScheme::AMQPS => {
                return Err(Error::Setting("rabbitmq.url: this program speaks AMQP without TLS only and refuses amqps://; use amqp:// in a private network or through a TLS tunnel".to_owned()));
            }
        }
        let heartbeat = self.heartbeat.as_secs().max(1);
        uri.query.heartbeat = Some(u16::try_from(heartbeat).unwrap_or(u16::MAX));
        let timeout = self.connect_timeout.as_millis();
        uri.query.connection_timeout = u64::try_from(timeout).ok();
        Ok(uri)
    }
}

// === impl Reconnect ===

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            min: Duration::from_millis(200),
            max: Duration::from_secs(10),
        }
    }
}

/// Whether it can be part of a name and a routing key: nothing in it has a meaning in a topic exchange's pattern.
pub(super) fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(plain)
        && text.ends_with(plain)
        && !text.contains("..")
        && text.chars().all(|c| plain(c) || "._-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> Config {
        serde_json::from_str(json).unwrap()
    }

    fn mistake(json: &str) -> String {
        config(json).check().unwrap_err().to_string()
    }

    #[test]
    fn a_url_is_all_that_is_needed() {
        let config = config(r#"{"url":"amqp://me:secret@broker.example:5671/aio"}"#);
        let uri = config.check().unwrap();
        assert_eq!(uri.authority.host, "broker.example");
        assert_eq!(uri.vhost, "aio");
        assert_eq!(uri.query.heartbeat, Some(30));
        assert_eq!(uri.query.connection_timeout, Some(10_000));
        assert_eq!(config.prefix, "aio");
        assert_eq!((config.prefetch, config.delivery_limit), (2, 20));
        assert_eq!((config.max_length, config.group_size), (200_000, 3));
    }

    #[test]
    fn a_mistake_is_named_and_quotes_no_password() {
        assert!(mistake("{}").starts_with("rabbitmq.url must be"));
        for url in [
            "http://me:secret@broker",
            "me:secret",
            "amqp://me:secret@[::1]:5672",
            "amqp://me:secret@broker:port",
        ] {
            let said = mistake(&format!(r#"{{"url":"{url}"}}"#));
            assert!(said.starts_with("rabbitmq.url must be"), "{said}");
            assert!(!said.contains("secret"), "{said}");
        }
        let with = |field: &str| mistake(&format!(r#"{{"url":"amqp://broker",{field}}}"#));
        for (field, name) in [
            (r#""prefix":"""#, "rabbitmq.prefix"),
            (r#""prefix":"a*b""#, "rabbitmq.prefix"),
            (r#""prefetch":0"#, "rabbitmq.prefetch"),
            (r#""delivery_limit":0"#, "rabbitmq.delivery_limit"),
            (r#""prefetch":20"#, "rabbitmq.prefetch"),
            (r#""delivery_limit":2"#, "rabbitmq.prefetch"),
            (r#""max_length":0"#, "rabbitmq.max_length"),
            (r#""group_size":2"#, "rabbitmq.group_size"),
            (r#""confirm_timeout":"0s""#, "rabbitmq.confirm_timeout"),
            (r#""reconnect":{"max":"1ms"}"#, "rabbitmq.reconnect.max"),
        ] {
            let said = with(field);
            assert!(said.contains(name), "{field}: {said}");
        }
        assert!(serde_json::from_str::<Config>(r#"{"prefech":1}"#).is_err());
    }

    #[test]
    fn tls_is_not_promised() {
        let said = mistake(r#"{"url":"amqps://me:secret@broker.example:5671/aio"}"#);
        assert!(said.contains("without TLS"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }

    #[test]
    fn a_config_does_not_print_its_password() {
        let config = config(r#"{"url":"amqp://me:secret@broker"}"#);
        assert!(!format!("{config:?}").contains("secret@"));
    }
}
