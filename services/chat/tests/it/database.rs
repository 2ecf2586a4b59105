//! The database of a test, on either engine: what outlives the processes that work on it.

use chassis::{Tasks, config::Settings};
use db::{Db, Engine, Postgres, Schema, migrate};
use domain::Secret;
use tempfile::TempDir;
use testkit::servers;

const PASSWORD: &str = "secret";

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
    /// The role of chat there.
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

    /// On a server that the test may kill.
    pub(crate) async fn that_may_die() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            server: Some(Server::on(servers::Postgres::start().await.unwrap()).await),
        }
    }

    fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// As one process sees it.
    pub(crate) async fn open(&self, settings: &Settings, tasks: &Tasks) -> Db {
        let limits = settings.section("database").unwrap();
        let opened = match &self.server {
            None => {
                let path = self.directory().join("chat.db");
                Db::open(&path, chat::MIGRATIONS, &limits, tasks).await
            }
            Some(server) => Db::connect(&server.role, chat::MIGRATIONS, &limits, tasks).await,
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
        let owner = postgres.database().await.unwrap();
        let (_, name) = owner.rsplit_once('/').unwrap();
        let (_, address) = owner.rsplit_once('@').unwrap();
        // Roles belong to the whole server, so each test has its own.
        let role = format!("{name}_chat");
        let as_role = format!("postgres://{role}:{PASSWORD}@{address}");
        let server = |url: String| Postgres {
            url: Secret::new(url),
            schema: chat::SCHEMA,
        };
        let schema = Schema {
            name: chat::SCHEMA,
            role,
            role_password: Some(Secret::new(PASSWORD)),
            migrations: chat::MIGRATIONS,
            append_only: &[],
        };
        migrate(&server(owner.clone()), &schema).await.unwrap();
        Self {
            postgres: tokio::sync::Mutex::new(postgres),
            role: server(as_role),
        }
    }
}
