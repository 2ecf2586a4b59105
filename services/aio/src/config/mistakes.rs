//! Everything that can be said to be wrong with a configuration before anything starts: each section on its own, all of them together,
//! and what their values must be to be used.

use anyhow::Context as _;
use chassis::{
    config::{Providers, Settings},
    rpc::PeersConfig,
    secrets::{self, Secrets},
    telemetry,
};
use domain::ApiKey;
use serde::de::DeserializeOwned;
use upstream::{GuardedClient, ProviderClient};

use super::{Config, bootstrap_key, check_agreement, check_names};
use crate::models;

/// All mistakes, each said once.
pub(crate) fn mistakes(settings: &Settings) -> Vec<String> {
    let checks = [
        check_names(settings).map_err(Into::into),
        read::<Config>(settings, "server"),
        read::<db::Config>(settings, "database"),
        rabbit(settings),
        redis(settings),
        peers(settings),
        secrets(settings),
        read::<queue::memory::Limits>(settings, "queue"),
        read::<sandbox::Config>(settings, "sandbox"),
        read::<telemetry::Config>(settings, "telemetry"),
        read::<webhooks::Limits>(settings, "limits.webhooks"),
        done(webhooks::Config::read(settings)),
        done(edge::Config::read(settings)),
        done(chat::Config::read(settings)),
        done(chat::ResponseLimits::read(settings)),
        done(billing::Config::read(settings)),
        done(media::Config::read(settings)),
        done(dashboard::Config::read(settings)),
        clients(settings),
        bootstrap(),
        check_agreement(settings),
        models::read(settings).and_then(|models| providers(settings, &models)),
    ];
    let mut said: Vec<String> = Vec::new();
    for error in checks.into_iter().filter_map(Result::err) {
        let mistake = format!("{error:#}");
        // Some sections are read by several.
        if !said.contains(&mistake) {
            said.push(mistake);
        }
    }
    said
}

fn done<T, E: Into<anyhow::Error>>(read: Result<T, E>) -> anyhow::Result<()> {
    read.map(drop).map_err(Into::into)
}

fn read<T: DeserializeOwned>(settings: &Settings, section: &str) -> anyhow::Result<()> {
    done(settings.section::<T>(section))
}

fn rabbit(settings: &Settings) -> anyhow::Result<()> {
    let config: queue::rabbit::Config = settings.section("rabbitmq")?;
    // Without an address nobody uses the rest.
    match config.url {
        None => Ok(()),
        Some(_) => done(config.validate()),
    }
}

fn redis(settings: &Settings) -> anyhow::Result<()> {
    done(live::Config::read(settings)?.redis.validate())
}

fn peers(settings: &Settings) -> anyhow::Result<()> {
    let config: PeersConfig = settings.section("peers")?;
    done(config.callers(&[]))
}

/// Those that are set. Whether they must be, the shape says.
fn secrets(settings: &Settings) -> anyhow::Result<()> {
    let told: secrets::Config = settings.section("secrets")?;
    match Secrets::configured(&told) {
        Ok(_) | Err(secrets::Error::Missing(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether the clients for calls to the outside can be made.
fn clients(settings: &Settings) -> anyhow::Result<()> {
    done(ProviderClient::new(&settings.section("limits.upstream")?))?;
    done(GuardedClient::new(&settings.section("egress")?))
}

fn bootstrap() -> anyhow::Result<()> {
    match bootstrap_key()? {
        None => Ok(()),
        Some(key) => done(ApiKey::parse(key.expose())).context("AIO_BOOTSTRAP_KEY"),
    }
}

/// Every provider that a model names can be reached as far as the settings tell.
fn providers(settings: &Settings, models: &media::Models) -> anyhow::Result<()> {
    let models = models.catalogue.models().iter();
    let routes = models.flat_map(|model| &model.providers);
    let names = routes.map(|route| route.provider.as_str());
    done(Providers::read(settings, names, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_section_has_its_mistakes_named_and_all_come_at_once() {
        let cases = [
            ("[server]\nlisten = 'here'", "server.listen"),
            ("[database]\nwriters = 'many'", "database"),
            (
                "[rabbitmq]\nurl = 'amqps://me:secret@broker'",
                "rabbitmq.url",
            ),
            ("[redis]\nurl = 'http://me:secret@redis'", "redis.url"),
            ("[peers.tokens]\nedge = 'short'", "peers.tokens.edge"),
            ("[secrets]\nkey_mac = 'c2hvcnQ='", "secrets.key_mac"),
            ("[queue]\ncapacity = 'x'", "queue.capacity"),
            ("[sandbox]\nmax_tokens = 'x'", "sandbox.max_tokens"),
            ("[telemetry]\nsample_ratio = 'x'", "telemetry.sample_ratio"),
            ("[webhooks]\nschedule = 'x'", "webhooks.schedule"),
            (
                "[limits.webhooks]\nat_once = 'x'",
                "limits.webhooks.at_once",
            ),
            ("[egress]\nallow = ['x']", "egress.allow"),
            ("[limits.upstream]\nx = 1", "limits.upstream"),
            ("[storage]\nx = 1", "storage"),
            ("[models]\nwithout = ['nobody']", "nobody"),
        ];
        for (text, named) in cases {
            let said = mistakes(&Settings::from_toml(text));
            assert!(
                said.len() == 1 && said[0].contains(named),
                "{text}: {said:?}"
            );
            assert!(!said[0].contains("secret@"), "{said:?}");
        }
        let all: Vec<&str> = cases.iter().map(|(text, _)| *text).collect();
        let said = mistakes(&Settings::from_toml(&all.join("\n")));
        // What is read behind another mistake is told once that one is mended.
        assert_eq!(said.len(), cases.len() - 3, "{said:#?}");
        assert_eq!(mistakes(&Settings::from_toml("")), [""; 0]);
    }
}
