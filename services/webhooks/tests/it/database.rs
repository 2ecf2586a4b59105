//! The database of a test, on either engine: what outlives the processes that work on it.

use chassis::{Tasks, config::Settings};
use db::{Db, Engine, Migration, Postgres, Schema, migrate};
use domain::Secret;
use tempfile::TempDir;
use testkit::servers;

const PASSWORD: &str = "secret";
/// The steps of the version before lanes.
const WITHOUT_LANES: &[Migration] = webhooks::MIGRATIONS.split_at(4).0;

/// Runs each test of a module on both engines.
macro_rules! on_both_engines {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(db::Engine::Sqlite).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(db::Engine::Postgres).await;
            })*
        }
    };
}
pub(crate) use on_both_engines;

/// A database, migrated.
pub(crate) struct Database {
    directory: TempDir,
    server: Option<Server>,
}

struct Server {
    postgres: tokio::sync::Mutex<servers::Postgres>,
    owner: Postgres,
    role_name: String,
    /// The role of webhooks there.
    role: Postgres,
}

impl Database {
    pub(crate) async fn new(engine: Engine) -> Self {
        let server = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(Server::on(servers::Postgres::shared().await.unwrap()).await),
        };
        Self {
            directory: tempfile::tempdir().unwrap(),
            server,
        }
    }

    /// As the version before lanes left it.
    pub(crate) async fn without_lanes(engine: Engine) -> Self {
        let server = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => {
                let postgres = servers::Postgres::shared().await.unwrap();
                Some(Server::at(postgres, WITHOUT_LANES).await)
            }
        };
        Self {
            directory: tempfile::tempdir().unwrap(),
            server,
        }
    }

    /// As the version before lanes saw it.
    pub(crate) async fn open_without_lanes(&self) -> Db {
        self.open_at(WITHOUT_LANES, &Settings::from_toml(""), &Tasks::default())
            .await
    }

    /// Brings a server to this version; a file is brought when it is opened.
    pub(crate) async fn upgrade(&self) {
        if let Some(server) = &self.server {
            server.migrate(webhooks::MIGRATIONS).await;
        }
    }

    /// On a server that the test may kill.
    pub(crate) async fn that_may_die() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            server: Some(Server::on(servers::Postgres::start().await.unwrap()).await),
        }
    }

    pub(crate) fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// As one process sees it.
    pub(crate) async fn open(&self, settings: &Settings, tasks: &Tasks) -> Db {
        self.open_at(webhooks::MIGRATIONS, settings, tasks).await
    }

    async fn open_at(
        &self,
        migrations: &'static [Migration],
        settings: &Settings,
        tasks: &Tasks,
    ) -> Db {
        let limits = settings.section("database").unwrap();
        let opened = match &self.server {
            None => {
                let path = self.directory().join("webhooks.db");
                Db::open(&path, migrations, &limits, tasks).await
            }
            Some(server) => Db::connect(&server.role, migrations, &limits, tasks).await,
        };
        opened.unwrap()
    }

    pub(crate) async fn kill(&self) {
        let server = self.server.as_ref().unwrap();
        server.postgres.lock().await.kill().unwrap();
    }

    pub(crate) async fn restart(&self) {
        let server = self.server.as_ref().unwrap();
        server.postgres.lock().await.restart().await.unwrap();
    }
}

impl Server {
    async fn on(postgres: servers::Postgres) -> Self {
        Self::at(postgres, webhooks::MIGRATIONS).await
    }

    async fn at(postgres: servers::Postgres, migrations: &'static [Migration]) -> Self {
        let owner = postgres.database().await.unwrap();
        let (_, name) = owner.rsplit_once('/').unwrap();
        let (_, address) = owner.rsplit_once('@').unwrap();
        // Roles belong to the whole server, so each test has its own.
        let role_name = format!("{name}_webhooks");
        let role = postgres_at(format!("postgres://{role_name}:{PASSWORD}@{address}"));
        let server = Self {
            postgres: tokio::sync::Mutex::new(postgres),
            owner: postgres_at(owner.clone()),
            role_name,
            role,
        };
        server.migrate(migrations).await;
        server
    }

    async fn migrate(&self, migrations: &'static [Migration]) {
        let schema = Schema {
            name: webhooks::SCHEMA,
            role: self.role_name.clone(),
            role_password: Some(Secret::new(PASSWORD)),
            migrations,
            append_only: &[],
        };
        migrate(&self.owner, &schema).await.unwrap();
    }
}

fn postgres_at(url: String) -> Postgres {
    Postgres {
        url: Secret::new(url),
        schema: webhooks::SCHEMA,
    }
}
