//! Every schema is brought from each of its earlier versions to this program's, with rows in it that were written at the time: they
//! are there afterwards, as they should be, and the program starts on them. On both engines.

mod rows;

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use axum::body::Body;
use chassis::{Tasks, clock::now_micros, config::Settings};
use db::{Db, Limits, Postgres, Schema};
use domain::Secret;
use http_body_util::BodyExt as _;
use prometheus_client::registry::Registry;
use serde_json::Value;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _, query_scalar};
use testkit::{PATIENCE, servers};
use tower::ServiceExt as _;

use self::rows::{
    BILLING, BILLING_TRUTHS, CHAT, CHAT_TRUTHS, DASHBOARD, DASHBOARD_TRUTHS, MEDIA, MEDIA_TRUTHS,
    Rows, Truths, WEBHOOKS, WEBHOOKS_TRUTHS,
};
use super::{STORES, Store};
use crate::{
    assemble::{Engines, Parts, Peers, Places},
    process::State,
};

fn of(store: &Store) -> (Rows, Truths) {
    match store.name {
        "billing" => (BILLING, BILLING_TRUTHS),
        "media" => (MEDIA, MEDIA_TRUTHS),
        "webhooks" => (WEBHOOKS, WEBHOOKS_TRUTHS),
        "chat" => (CHAT, CHAT_TRUTHS),
        _ => (DASHBOARD, DASHBOARD_TRUTHS),
    }
}

/// A store's database somewhere.
enum Place<'p> {
    File(&'p Path),
    /// The owner's URL, and a role of this database alone: roles belong to the whole server.
    Server(&'p str, String),
}

impl Place<'_> {
    /// Brings the store to the version that its first `steps` steps make, as an older program would.
    async fn raise(&self, store: &Store, steps: usize) -> Result<()> {
        let migrations = &store.migrations[..steps];
        match self {
            Self::File(folder) => {
                let path = folder.join(store.file());
                let tasks = Tasks::default();
                Db::open(&path, migrations, &Limits::default(), &tasks).await?;
                tasks.stop(PATIENCE).await;
            }
            Self::Server(url, role) => {
                let schema = Schema {
                    name: store.name,
                    role: role.clone(),
                    role_password: None,
                    migrations,
                    append_only: &[],
                };
                db::migrate(&self.schema(url, store), &schema).await?;
            }
        }
        Ok(())
    }

    fn schema(&self, url: &str, store: &Store) -> Postgres {
        Postgres {
            url: Secret::new(url),
            schema: store.name,
        }
    }

    async fn connect(&self, store: &Store) -> Result<AnyConnection> {
        sqlx::any::install_default_drivers();
        Ok(match self {
            Self::File(folder) => {
                let path = folder.join(store.file());
                AnyConnection::connect(&format!("sqlite://{}", path.display())).await?
            }
            Self::Server(url, _) => {
                let mut connection = AnyConnection::connect(url).await?;
                let path = format!("set search_path to {}", store.name);
                connection.execute(AssertSqlSafe(path)).await?;
                connection
            }
        })
    }

    /// A text for this engine: ids, moments, and how bytes are written.
    fn text(&self, text: &str) -> String {
        let id = |last: u64| {
            let digits = format!("0190000000007000800000000000{last:04x}");
            self.bytes(&digits)
        };
        let platform = |last: u64| self.bytes(&format!("{last:032x}"));
        let mut text = text
            .replace("{now}", &now_micros().to_string())
            .replace("{revenue}", &platform(1))
            .replace("{issued}", &platform(2));
        for last in 1..=9 {
            text = text.replace(&format!("{{{last}}}"), &id(last));
        }
        text
    }

    fn bytes(&self, digits: &str) -> String {
        match self {
            Self::File(_) => format!("x'{digits}'"),
            Self::Server(..) => format!(r"'\x{digits}'"),
        }
    }

    /// Brings the store to the version of its first `steps` steps with the rows of each version on the way.
    async fn grow(&self, store: &Store, steps: usize) -> Result<()> {
        let (rows, _) = of(store);
        for step in 1..=steps {
            let version = store.migrations[step - 1].version;
            let written = rows.iter().find(|(at, _)| *at == version);
            if written.is_none() && step < steps {
                continue;
            }
            self.raise(store, step).await?;
            if let Some((_, text)) = written {
                let mut connection = self.connect(store).await?;
                let text = AssertSqlSafe(self.text(text));
                connection
                    .execute(text)
                    .await
                    .with_context(|| format!("rows of {} {version}", store.name))?;
                connection.close().await?;
            }
        }
        Ok(())
    }

    /// That everything is there that was written on the way to `version`.
    async fn check(&self, store: &Store, version: i64) -> Result<()> {
        let (_, truths) = of(store);
        let mut connection = self.connect(store).await?;
        for (_, question, answer) in truths.iter().filter(|(since, ..)| *since <= version) {
            let asked = query_scalar(AssertSqlSafe((*question).to_owned()));
            let found: i64 = asked
                .fetch_one(&mut connection)
                .await
                .with_context(|| format!("{} from {version}: {question}", store.name))?;
            let name = store.name;
            ensure!(
                found == *answer,
                "{name} from {version}: {question}: {found}"
            );
        }
        connection.close().await?;
        Ok(())
    }
}

#[test]
fn rows_are_written_at_versions_that_there_are() {
    for store in &STORES {
        for (version, _) in of(store).0 {
            let there = store.migrations.iter().any(|step| step.version == *version);
            assert!(there, "{} has no version {version}", store.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_come_from_every_version_with_their_rows() -> Result<()> {
    for store in &STORES {
        for steps in 1..store.migrations.len() {
            let folder = tempfile::tempdir()?;
            let place = Place::File(folder.path());
            place.grow(store, steps).await?;
            place.raise(store, store.migrations.len()).await?;
            place
                .check(store, store.migrations[steps - 1].version)
                .await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemas_come_from_every_version_with_their_rows_and_billing_starts() -> Result<()> {
    let server = servers::Postgres::shared().await?;
    for back in 1..=STORES
        .iter()
        .map(|store| store.migrations.len())
        .max()
        .unwrap_or(1)
    {
        let url = server.database().await?;
        let name = url.rsplit('/').next().unwrap_or_default().to_owned();
        for store in &STORES {
            let Some(steps) = store
                .migrations
                .len()
                .checked_sub(back)
                .filter(|steps| *steps > 0)
            else {
                continue;
            };
            let place = Place::Server(&url, format!("{name}_{}", store.name));
            place.grow(store, steps).await?;
            place.raise(store, store.migrations.len()).await?;
            place
                .check(store, store.migrations[steps - 1].version)
                .await?;
        }
        if back > 1 {
            continue;
        }
        let parts = Parts::shared(&settings(&url), Path::new("."))?;
        assert_eq!(parts.engines, Engines::Shared);
        let billing = parts
            .billing(&Peers::nobody(), &mut Registry::default())
            .await?;
        let verdict = billing::verdict(&billing.audit().await?);
        assert_eq!(verdict, billing::Verdict::Kept);
        parts.core.stop(PATIENCE).await;
    }
    Ok(())
}

fn settings(url: &str) -> Settings {
    let secret = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    Settings::from_toml(&format!(
        "[database]\nurl = '{url}'\n[secrets]\nkey_mac = '{secret}'\ncontent_key = '{secret}'\nlink_key = '{secret}'"
    ))
}

/// All files of a data directory at the version before, and at their first with rows: everything starts, and the books are right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_starts_on_a_data_directory_of_an_older_one() -> Result<()> {
    for back in [1, usize::MAX] {
        let folder = tempfile::tempdir()?;
        let place = Place::File(folder.path());
        for store in &STORES {
            let first = of(store).0[0].0;
            let fewest = store
                .migrations
                .iter()
                .position(|step| step.version == first);
            let fewest = fewest.context("no such version")? + 1;
            let steps = store.migrations.len().saturating_sub(back).max(fewest);
            place.grow(store, steps).await?;
        }
        // The secrets of the older one.
        fs::write(
            folder.path().join("secrets.toml"),
            "key_mac = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='\ncontent_key = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='\nlink_key = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='\n",
        )?;
        let parts = Parts::embedded(&Settings::from_toml(""), folder.path())?;
        let places = Places {
            public_url: "http://127.0.0.1:1".to_owned(),
            sandbox_url: None,
        };
        let ready = State::default().ready();
        let house = Box::pin(parts.start(&places, ready, &mut Registry::default())).await?;
        let audit = http::Request::get("/api/v1/admin/ledger/audit")
            .header(http::header::HOST, "aio")
            .body(Body::empty())?;
        let answer = house.edge.operator_router().oneshot(audit).await?;
        let answer: Value =
            serde_json::from_slice(&answer.into_body().collect().await?.to_bytes())?;
        ensure!(answer["data"]["ok"] == true, "{back}: {answer:#}");
        // Its first start opens the operator's account beside what was there.
        let books = STORES.iter().find(|store| store.name == "billing");
        let books = books.context("no books")?;
        let mut connection = place.connect(books).await?;
        let kept = "select count(*) from balance where posted = 95000000 and held = 3000000";
        let kept: i64 = query_scalar(kept).fetch_one(&mut connection).await?;
        ensure!(kept == 1, "{back}: the old balance is another");
        connection.close().await?;
        parts.front.stop(PATIENCE).await;
        parts.core.stop(PATIENCE).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_newer_file_and_another_programs_are_refused_as_they_are() -> Result<()> {
    let [store, ..] = &STORES;
    let all = store.migrations.len();
    for (change, said) in [
        (
            "update _sqlx_migrations set checksum = x'00' where version = 3",
            "version 3 of schema billing was made by another program than this one: its text differs",
        ),
        (
            "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                 values (999, 'newer', 1, x'00', 0)",
            "schema billing is at version 999, and this program knows versions up to",
        ),
    ] {
        let folder = tempfile::tempdir()?;
        let place = Place::File(folder.path());
        // One step is missing: nothing is done about it either.
        place.raise(store, all - 1).await?;
        let mut connection = place.connect(store).await?;
        connection.execute(change).await?;
        let Err(refused) = place.raise(store, all).await else {
            anyhow::bail!("it was not refused");
        };
        assert!(refused.to_string().starts_with(said), "{refused:#}");
        let steps = "select count(*) from _sqlx_migrations where version < 999";
        let steps: i64 = query_scalar(steps).fetch_one(&mut connection).await?;
        assert_eq!(usize::try_from(steps)?, all - 1);
    }
    Ok(())
}
