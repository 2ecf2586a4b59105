//! Every schema is brought from each of its earlier versions to this program's, with rows in it that were written at the time: they
//! are there afterwards, as they should be, and the program starts on them. On both engines.

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

use super::{STORES, Store};
use crate::{
    assemble::{Engines, Parts, Peers, Places},
    process::State,
};

/// The rows that a store is given: once it has come to a version, these statements. `{1}` stands for an id that ends with 1,
/// `{now}` for the moment.
type Rows = &'static [(i64, &'static str)];

/// What must be true at the end, if the store began with rows of this version or came past it: a question, and its answer.
type Truths = &'static [(i64, &'static str, i64)];

/// An account with a transfer, a charge, an open media hold and a hold that was released before it came; since there are budgets,
/// a key with one; since there are operations, the one of the charge; a lot, a code, a list of prices, somebody's act.
const BILLING: Rows = &[
    (
        2,
        "insert into account (id, name, created_at) values ({1}, 'A', {now});
         insert into balance (account, mode, posted, held, open_holds) values ({1}, 'test', 95000000, 3000000, 1);
         insert into balance (account, mode, posted, held, open_holds) values ({1}, 'live', 0, 0, 0);
         insert into transfer (id, account, mode, amount, actor, reason, created_at)
             values ({2}, {1}, 'test', 100000000, 'operator', 'a gift', {now});
         insert into entry (cause, kind, account, mode, amount, created_at) values
             ({2}, 'top_up', {1}, 'test', 100000000, {now}),
             ({2}, 'top_up', {issued}, 'test', -100000000, {now}),
             ({3}, 'capture', {1}, 'test', -5000000, {now}),
             ({3}, 'capture', {revenue}, 'test', 5000000, {now});
         insert into hold (id, account, mode, kind, state, amount, floor, granted, captured, price_version, created_at,
                           expires_at, closed_at) values
             ({3}, {1}, 'test', 'chat', 'captured', 8000000, 1, 8000000, 5000000, 'v', {now}, {now}, {now}),
             ({4}, {1}, 'test', 'media', 'open', 3000000, 3000000, 3000000, 0, 'v', {now}, null, null),
             ({5}, null, null, null, 'tombstone', 0, 0, 0, 0, '', {now}, null, {now});
         insert into api_key (id, account, mode, name, mac, last_four, scopes, models, ip_allow, rpm, concurrency, created_at,
                              expires_at, revoked_at)
             values ({6}, {1}, 'test', 'key', {6}, 'abcd', '[\"inference\"]', '[]', '[]', 0, 0, {now}, null, null);",
    ),
    (
        5,
        "insert into budget (key, account, mode, cap_day) values ({6}, {1}, 'test', 7000000);
         insert into operation (id, account, mode, key, route, model, provider, outcome, held, charged, written_off,
                                input_tokens, output_tokens, price_version, created_at, ended_at, ending)
             values ({3}, {1}, 'test', {6}, 'chat/completions', 'gemini', 'gemini', 'captured', 8000000, 5000000, 0, 1, 2, 'v',
                     {now}, {now}, 1);
         update progress set upto = 1 where job = 'operations';",
    ),
    (
        8,
        "insert into redeem_code (id, mac, last_four, mode, credits, max_uses, uses, actor, created_at)
             values ({7}, {7}, 'wxyz', 'live', 1000000, 3, 0, 'operator', {now});",
    ),
    (
        9,
        "insert into price_list (version, body, created_at) values ('v', 'body', {now});",
    ),
    (
        11,
        "insert into audit_log (id, account, mode, actor, request, action, subject, detail, created_at)
             values ({8}, {1}, 'test', 'operator', '', 'created', 'acct', '', {now});",
    ),
];

const BILLING_TRUTHS: Truths = &[
    (2, "select count(*) from entry", 4),
    (
        2,
        "select posted from balance where mode = 'test'",
        95_000_000,
    ),
    (2, "select held from balance where mode = 'test'", 3_000_000),
    (
        2,
        "select count(*) from hold where state = 'open' and granted = 3000000 and written_off = 0",
        1,
    ),
    (2, "select count(*) from hold where state = 'tombstone'", 1),
    // What had ended has its ending, and is not told twice.
    (2, "select count(*) from ending", 1),
    (2, "select price_factor from account", 1_000_000),
    (
        2,
        "select count(*) from api_key where previous_mac is null and max_open_tasks = 0",
        1,
    ),
    (5, "select cap_day from budget", 7_000_000),
    // Work that was known before hours were summed up is summed up.
    (
        5,
        "select charged from served_hour where model = 'gemini' and operations = 1",
        5_000_000,
    ),
    (8, "select max_uses from redeem_code", 3),
    (9, "select count(*) from price_list", 1),
    (11, "select count(*) from audit_log", 1),
];

/// A task that has completed, with its run and its file, and one that has failed; what waits to be told; since there are uploads,
/// a file of a customer's; since operators act, an intervention.
const MEDIA: Rows = &[
    (
        2,
        "insert into task (id, account, mode, route, model, state, version, request, body_hash, held, charged, price_version,
                           attempts, provider, job, due_at, created_at, started_at, completed_at, deadline_at) values
             ({1}, {9}, 'test', 'images/generations', 'flux-2', 'completed', 4, {9}, {9}, 5000000, 5000000, 'v', 1, 'bfl', 'j',
              {now}, {now}, {now}, {now}, {now}),
             ({2}, {9}, 'test', 'images/generations', 'flux-2', 'failed', 3, {9}, {8}, 5000000, 0, 'v', 0, null, null,
              {now}, {now}, null, {now}, {now});
         insert into attempt (task_id, number, provider, outcome, submitted_at) values ({1}, 1, 'bfl', 'succeeded', {now});
         insert into output (task_id, number, content_type, bytes, sha256, expires_at)
             values ({1}, 0, 'image/png', 70, 'ab', 4000000000000000);
         insert into output (task_id, number, content_type, bytes, sha256, expires_at)
             values ({1}, 1, 'image/png', 30, 'cd', 4000000000000000);
         insert into outbox (id, topic, subject, payload, created_at, due_at, attempts, claimed_until)
             values ({3}, 'a topic of nobody', {1}, {9}, {now}, {now}, 0, 0);",
    ),
    (
        7,
        "insert into upload (id, account, mode, state, filename, bytes, created_at, expires_at, due_at)
             values ({4}, {9}, 'live', 'kept', {9}, 12, {now}, 4000000000000000, 4000000000000000);
         insert into upload_room (account, mode, files, bytes) values ({9}, 'live', 1, 12);",
    ),
    (
        12,
        "insert into intervention (id, task_id, at, actor, request, action) values ({5}, {2}, {now}, 'operator', '', 'cancel');",
    ),
];

const MEDIA_TRUTHS: Truths = &[
    (
        2,
        "select count(*) from task where claims = 0 and price = '' and trace = '' and line = '' and key_id is null",
        2,
    ),
    (
        2,
        "select charged from task where state = 'completed'",
        5_000_000,
    ),
    (
        2,
        "select count(*) from attempt where looks = 0 and reason = '' and stop is null",
        1,
    ),
    (
        2,
        "select count(*) from output where duration_millis is null and about is null",
        2,
    ),
    (2, "select count(*) from outbox where trace = ''", 1),
    // Room that was taken before it was counted is counted.
    (
        2,
        "select bytes from output_room where mode = 'test' and files = 2",
        100,
    ),
    (
        7,
        "select bytes from upload where parts is null and width is null",
        12,
    ),
    (12, "select count(*) from intervention", 1),
];

/// An event and what became of it, a secret; since there are endpoints, one; since attempts are kept, one.
const WEBHOOKS: Rows = &[
    (
        1,
        "insert into event (id, account_id, mode, task_id, type, payload, created_at)
             values ({1}, {9}, 'test', {2}, 'task.completed', {9}, {now});
         insert into delivery (id, event_id, url, origin, state, attempts, claims, due_at, lease_until, last_status, created_at,
                               ended_at)
             values ({3}, {1}, {9}, {9}, 'delivered', 1, 1, {now}, 0, 200, {now}, {now});
         insert into callback_secret (account_id, mode, secret, created_at) values ({9}, 'test', {9}, {now});",
    ),
    (
        3,
        "insert into endpoint (id, account_id, mode, url, events, secret, created_at)
             values ({4}, {9}, 'live', {9}, '[]', {9}, {now});",
    ),
    (
        6,
        "insert into delivery_attempt (delivery_id, number, replay, started_at, ended_at, status)
             values ({3}, 1, 0, {now}, {now}, 200);",
    ),
];

const WEBHOOKS_TRUTHS: Truths = &[
    (1, "select count(*) from event where trace = ''", 1),
    (
        1,
        "select last_status from delivery where state = 'delivered' and replays = 0 and endpoint_id is null",
        200,
    ),
    (
        1,
        "select count(*) from callback_secret where old_until = 0",
        1,
    ),
    (
        3,
        "select count(*) from endpoint where signature = 'v1' and disabled_at is null and failures = 0",
        1,
    ),
    (6, "select status from delivery_attempt", 200),
];

const CHAT: Rows = &[
    (
        1,
        "insert into replay (account, mode, route, key_hash, body_hash, state, operation, locked_until, answer, charged,
                             created_at, expires_at)
             values ({9}, 'test', 'chat/completions', {1}, {1}, 'done', {2}, 0, {9}, 7, {now}, 4000000000000000);",
    ),
    (
        2,
        "insert into response (account, mode, operation, created_at, expires_at)
             values ({9}, 'test', {3}, {now}, 4000000000000000);
         insert into response_room (account, mode, bytes) values ({9}, 'test', 11);",
    ),
];

const CHAT_TRUTHS: Truths = &[
    (1, "select charged from replay where state = 'done'", 7),
    (2, "select count(*) from response", 1),
    (2, "select bytes from response_room", 11),
];

const DASHBOARD: Rows = &[(
    1,
    "insert into person (id, email, name, operator, created_at) values ({1}, 'a@b.example', 'A', 0, {now});
     insert into workspace (account_id, name, created_at, opened_at) values ({9}, 'A', {now}, {now});
     insert into membership (account_id, person_id, role, created_at) values ({9}, {1}, 'owner', {now});",
)];

const DASHBOARD_TRUTHS: Truths = &[
    (
        1,
        "select count(*) from person where email = 'a@b.example'",
        1,
    ),
    (1, "select count(*) from membership where role = 'owner'", 1),
];

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
        for store in &STORES {
            place.check(store, of(store).0[0].0).await?;
        }
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
