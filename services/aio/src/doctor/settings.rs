//! What is configured: whether it holds together, the secrets, the providers, and whether their names can be looked up.

use std::{collections::BTreeSet, os::unix::fs::PermissionsExt as _, time::Duration};

use chassis::{
    config::{Providers, Settings},
    secrets::{self, Secrets},
};
use domain::Mode;
use tokio::{net::lookup_host, time::timeout};

use super::{Patient, report::Report};
use crate::{assemble::Engines, config, models, stores};

/// How long a name server may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The file of the secrets in a data directory.
const SECRETS: &str = "secrets.toml";

/// Looks at what is configured.
pub(super) async fn look(patient: &Patient<'_>, report: &mut Report) {
    let settings = patient.settings;
    let mistakes = config::mistakes(settings);
    if mistakes.is_empty() {
        report.good("configuration", "holds together");
    }
    for mistake in mistakes {
        report.mistake("configuration", mistake);
    }
    for warning in config::warnings(settings).unwrap_or_default() {
        report.doubtful("configuration", warning, "see docs/operating.md");
    }
    secrets(patient, report);
    if let Err(error) = providers(settings, report).await {
        report.mistake("providers", format!("{error:#}"));
    }
    storage(settings, report).await;
}

/// Whether the secrets can be read, by their owner alone.
fn secrets(patient: &Patient<'_>, report: &mut Report) {
    let name = "secrets";
    let told: secrets::Config = match patient.settings.section("secrets") {
        Ok(told) => told,
        Err(error) => return report.mistake(name, error),
    };
    let file = patient.data_dir.join(SECRETS);
    let configured = Secrets::configured(&told);
    if patient.engines == Engines::Shared || configured.is_ok() {
        return match configured {
            Ok(_) => report.good(name, "are configured"),
            Err(error) => report.mistake(name, error),
        };
    }
    let shown = file.display();
    let Ok(metadata) = file.metadata() else {
        let mut there = stores::files().map(|store| patient.data_dir.join(store.file()));
        if there.any(|path| path.exists()) {
            return report.mistake(name, secrets::Error::Lost);
        }
        return report.good(name, "are made at the first start");
    };
    // The file is there, so nothing is made.
    if let Err(error) = Secrets::load_or_create(patient.data_dir, &told) {
        return report.mistake(name, error);
    }
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        report.good(name, format!("{shown}, mode {mode:04o}"));
    } else {
        report.bad(
            name,
            format!("{shown} has mode {mode:04o}, and others can read every secret"),
            format!("chmod 600 {shown}"),
        );
    }
}

/// Which providers live keys reach, by name, and whether their names lead anywhere.
async fn providers(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let models = models::read(settings)?;
    let routes = models.catalogue.models().iter();
    let names: BTreeSet<&str> = routes
        .flat_map(|model| &model.providers)
        .map(|route| route.provider.as_str())
        .collect();
    let configured = Providers::read(settings, names.iter().copied(), None)?;
    let mut places = BTreeSet::new();
    let mut told = Vec::new();
    for name in names {
        let accesses = configured.accesses(Mode::Live, name);
        match accesses.len() {
            0 => continue,
            1 => told.push(name.to_owned()),
            many => told.push(format!("{name} ({many} credentials)")),
        }
        for access in accesses {
            let port = access.base_url.port_or_known_default().unwrap_or(443);
            let host = access.base_url.host_str().unwrap_or_default();
            places.insert((host.to_owned(), port));
        }
    }
    if told.is_empty() {
        report.doubtful(
            "providers",
            "none has a credential: only test keys are served",
            "set one, such as GEMINI_API_KEY, or a provider's base_url",
        );
    } else {
        report.good("providers", format!("credentials of {}", told.join(", ")));
    }
    names_of(places, report).await;
    Ok(())
}

/// Whether hosts have addresses.
async fn names_of(places: BTreeSet<(String, u16)>, report: &mut Report) {
    let (mut found, mut lost) = (0_usize, Vec::new());
    for (host, port) in places {
        // An IPv6 address stands in brackets in a URL.
        let name = host.trim_matches(['[', ']']);
        let looked = timeout(PATIENCE, lookup_host((name, port))).await;
        let first = looked.ok().and_then(Result::ok);
        let is_found = first.is_some_and(|mut addresses| addresses.next().is_some());
        if is_found {
            found = found.saturating_add(1);
        } else {
            lost.push(host);
        }
    }
    if !lost.is_empty() {
        report.bad(
            "names",
            format!("no address is found for {}", lost.join(", ")),
            "see to the name server (/etc/resolv.conf), the network, or the provider's base_url",
        );
    } else if found > 0 {
        report.good(
            "names",
            format!("the hosts of all providers have addresses ({found})"),
        );
    }
}

/// Whether the bucket does what it should, if there is one.
async fn storage(settings: &Settings, report: &mut Report) {
    let Ok(config) = media::StorageConfig::read(settings) else {
        // The configuration's own mistake.
        return;
    };
    if config.s3.is_none() {
        return;
    }
    match media::check_storage(settings).await {
        Ok(()) => report.good("bucket", "takes, gives and deletes objects"),
        Err(error) => report.mistake("bucket", format!("{:#}", anyhow::Error::from(error))),
    }
}
