//! `aio migrate`: brings the databases of the roles to this version, as their owner. The roles themselves may not.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use chassis::config::Settings;
use db::{Migrated, Postgres, Schema};

use crate::{process::Word, say, stores::STORES};

/// Brings every schema to this version, one after another, each under a lock that keeps other migrations out.
pub(crate) async fn migrate(settings: &Settings) -> anyhow::Result<ExitCode> {
    let mut word = Word::listen()?;
    tokio::select! {
        migrated = all(settings) => migrated,
        // A step is one transaction: what was begun is as if it had not been.
        () = word.heard() => bail!("stopped; what was done stays done, and the rest can be done at any time"),
    }
}

async fn all(settings: &Settings) -> anyhow::Result<ExitCode> {
    let database: db::Config = settings.section("database")?;
    let url = database
        .url
        .context("database.url is not set: postgres://owner:password@host/name, as the owner of the database")?;
    for store in STORES {
        let name = store.name;
        let schema = Schema {
            name,
            role: format!("aio_{name}"),
            role_password: database.passwords.get(name).cloned(),
            migrations: store.migrations,
            append_only: store.append_only,
        };
        let place = Postgres {
            url: url.clone(),
            schema: name,
        };
        let Migrated { before, now } = db::migrate(&place, &schema)
            .await
            .with_context(|| format!("cannot migrate the schema {name}"))?;
        let done = if before == now {
            format!("is at version {now} already")
        } else {
            format!("went from version {before} to {now}")
        };
        say::line(format!("  {name:<9} {done}"));
    }
    say::line("migrated");
    Ok(ExitCode::SUCCESS)
}
