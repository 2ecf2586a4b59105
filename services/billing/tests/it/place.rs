//! Where one test's database is: a SQLite file, or a database of its own on a PostgreSQL server, where billing signs in as the
//! role that `aio migrate` makes, with that role's rights and no more.

use std::sync::Arc;

use billing::{APPEND_ONLY, MIGRATIONS};
use chassis::{Tasks, config::Settings};
use db::{Db, Engine, Schema};
use domain::Secret;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _};
use tempfile::TempDir;
use testkit::servers::Postgres;

/// The schema, which is the service's name.
const SCHEMA: &str = "billing";
/// The password of billing's role.
const PASSWORD: &str = "of-this-test";
/// Takes away what keeps even the owner from spoiling the books.
const UNLOCK: &str = "
    do $$ declare found record; begin
      for found in select conrelid::regclass as owner, conname from pg_constraint
        where contype = 'c' and connamespace = 'billing'::regnamespace
      loop execute format('alter table %s drop constraint %I', found.owner, found.conname); end loop;
    end $$;
    alter table entry disable trigger user";

/// Where a database is. Cheap to clone; the last clone takes it away.
#[derive(Clone)]
pub(crate) enum Place {
    File(Arc<TempDir>),
    Server(Arc<Database>),
}

/// A database on a server.
pub(crate) struct Database {
    /// The server, its database, and billing's role.
    url: String,
    /// The same as the database's owner.
    pub(crate) owner: String,
    /// Kept for as long as the database is used; it may be this test's own.
    _server: Option<Arc<Postgres>>,
}

// === impl Place ===

impl Place {
    /// A fresh one, of this engine.
    pub(crate) async fn fresh(engine: Engine) -> Self {
        match engine {
            Engine::Sqlite => Self::File(Arc::new(tempfile::tempdir().unwrap())),
            Engine::Postgres => {
                let server = Postgres::shared().await.unwrap();
                let mut database = Database::on(&server).await;
                database._server = Some(Arc::new(server));
                Self::Server(Arc::new(database))
            }
        }
    }

    /// The database, as billing uses it.
    pub(crate) async fn open(&self, settings: &Settings, tasks: &Tasks) -> Db {
        let limits = settings.section("database").unwrap();
        let opened = match self {
            Self::File(directory) => {
                let path = directory.path().join("billing.db");
                Db::open(&path, MIGRATIONS, &limits, tasks).await
            }
            Self::Server(database) => {
                let server = schema(&database.url);
                Db::connect(&server, MIGRATIONS, &limits, tasks).await
            }
        };
        opened.unwrap()
    }

    /// Changes rows behind the ledger's back, with every constraint and trigger out of the way.
    pub(crate) async fn tamper(&self, db: &Db, sql: &str) {
        let sql = sql.to_owned();
        match self {
            Self::File(_) => {
                let sql = format!(
                    "pragma ignore_check_constraints = on; drop trigger entry_is_not_deleted; {sql}"
                );
                let done: Result<(), db::Error> = db
                    .write(move |connection| {
                        Box::pin(async move {
                            connection.execute(AssertSqlSafe(sql)).await?;
                            Ok(())
                        })
                    })
                    .await;
                done.unwrap();
            }
            Self::Server(database) => database.as_owner(&format!("{UNLOCK}; {sql}")).await,
        }
    }

    /// The database on the server.
    pub(crate) fn server(&self) -> &Database {
        match self {
            Self::Server(database) => database,
            Self::File(_) => panic!("this place is a file"),
        }
    }
}

// === impl Database ===

impl Database {
    /// A fresh one, migrated.
    pub(crate) async fn on(server: &Postgres) -> Self {
        let owner = server.database().await.unwrap();
        let (address, name) = owner
            .rsplit_once('@')
            .and_then(|(_, place)| Some((place, place.rsplit_once('/')?.1)))
            .unwrap();
        let role = format!("{name}_billing");
        let wanted = Schema {
            name: SCHEMA,
            role: role.clone(),
            role_password: Some(Secret::new(PASSWORD)),
            migrations: MIGRATIONS,
            append_only: APPEND_ONLY,
        };
        db::migrate(&schema(&owner), &wanted).await.unwrap();
        Self {
            url: format!("postgres://{role}:{PASSWORD}@{address}"),
            owner,
            _server: None,
        }
    }

    /// The same database, reached through another port.
    pub(crate) fn through(&self, port: u16) -> Self {
        let (before, after) = self.url.rsplit_once(':').unwrap();
        let (_, name) = after.split_once('/').unwrap();
        Self {
            url: format!("{before}:{port}/{name}"),
            owner: self.owner.clone(),
            _server: self._server.clone(),
        }
    }

    /// The server's port.
    pub(crate) fn port(&self) -> u16 {
        let (_, after) = self.url.rsplit_once(':').unwrap();
        after.split_once('/').unwrap().0.parse().unwrap()
    }

    /// Runs statements as the database's owner.
    pub(crate) async fn as_owner(&self, sql: &str) {
        let mut owner = self.connect_owner().await;
        let sql = AssertSqlSafe(sql.to_owned());
        owner.execute(sql).await.unwrap();
    }

    /// A connection of the database's owner.
    pub(crate) async fn connect_owner(&self) -> AnyConnection {
        let mut owner = AnyConnection::connect(&self.owner).await.unwrap();
        let path = format!("set search_path to {SCHEMA}");
        owner.execute(AssertSqlSafe(path)).await.unwrap();
        owner
    }
}

fn schema(url: &str) -> db::Postgres {
    db::Postgres {
        url: Secret::new(url),
        schema: SCHEMA,
    }
}
