//! A database on either engine, with one small schema.

use chassis::Tasks;
use db::{Db, Error, Limits, Migration, Postgres, Schema, migrate};
use domain::Secret;
use sqlx::{AnyConnection, Connection as _};
use tempfile::TempDir;
use testkit::servers;

/// The tables of these tests. `entry` is append-only.
pub(crate) const THING: Migration = Migration::both(
    2,
    "thing",
    "create table thing (id bigint primary key, note text, body blob);
     create table entry (id bigint primary key)",
);
/// The schema of these tests.
pub(crate) const MIGRATIONS: &[Migration] = &[db::outbox::MIGRATION, THING, db::outbox::trace(3)];
/// The service's name, and the role's password.
const NAME: &str = "things";
const PASSWORD: &str = "o'pen$sesame";

/// Runs each test of a module on both engines.
macro_rules! on_both_engines {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::house::House::sqlite().await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::house::House::postgres().await).await;
            })*
        }
    };
}
pub(crate) use on_both_engines;

/// A database, open. What must not be dropped before it is kept here.
pub(crate) struct House {
    pub(crate) db: Db,
    pub(crate) tasks: Tasks,
    _file: Option<TempDir>,
    server: Option<Server>,
}

/// A schema on a server.
pub(crate) struct Server {
    pub(crate) postgres: servers::Postgres,
    /// The owner's URL.
    pub(crate) owner: String,
    /// The service's URL.
    pub(crate) url: String,
    /// The service's role: roles belong to the whole server, so each test has its own.
    pub(crate) role: String,
}

/// The limits of a test that is not about them, on a machine that has other things to do.
pub(crate) fn patient() -> Limits {
    Limits {
        acquire_timeout: testkit::PATIENCE,
        write_acquire_timeout: testkit::PATIENCE,
        write_timeout: testkit::PATIENCE,
        ..Limits::default()
    }
}

impl House {
    pub(crate) async fn sqlite() -> Self {
        let file = tempfile::tempdir().unwrap();
        let tasks = Tasks::default();
        let path = file.path().join("a.db");
        let db = Db::open(&path, MIGRATIONS, &patient(), &tasks).await;
        Self {
            db: db.unwrap(),
            tasks,
            _file: Some(file),
            server: None,
        }
    }

    pub(crate) async fn postgres() -> Self {
        Self::on(servers::Postgres::shared().await.unwrap()).await
    }

    /// On a server that the test may kill.
    pub(crate) async fn on(postgres: servers::Postgres) -> Self {
        let server = Server::new(postgres).await;
        migrate(&server.as_owner(), &server.schema(MIGRATIONS))
            .await
            .unwrap();
        let tasks = Tasks::default();
        Self {
            db: server.connect(&patient(), &tasks).await.unwrap(),
            tasks,
            _file: None,
            server: Some(server),
        }
    }

    /// As another process sees the same database. A file has only one process.
    pub(crate) async fn another(&self) -> Db {
        match &self.server {
            None => self.db.clone(),
            Some(server) => server.connect(&patient(), &self.tasks).await.unwrap(),
        }
    }

    pub(crate) fn server(&mut self) -> &mut Server {
        self.server.as_mut().unwrap()
    }
}

impl Server {
    /// A database with nothing in it.
    pub(crate) async fn new(postgres: servers::Postgres) -> Self {
        let owner = postgres.database().await.unwrap();
        let (_, name) = owner.rsplit_once('/').unwrap();
        let role = format!("{name}_things");
        let (_, address) = owner.rsplit_once('@').unwrap();
        // The password, as a URL writes it.
        let url = format!("postgres://{role}:o%27pen%24sesame@{address}");
        Self {
            postgres,
            owner,
            url,
            role,
        }
    }

    pub(crate) fn as_owner(&self) -> Postgres {
        Postgres {
            url: Secret::new(self.owner.clone()),
            schema: NAME,
        }
    }

    pub(crate) fn as_role(&self) -> Postgres {
        Postgres {
            url: Secret::new(self.url.clone()),
            schema: NAME,
        }
    }

    pub(crate) fn schema(&self, migrations: &'static [Migration]) -> Schema {
        Schema {
            name: NAME,
            role: self.role.clone(),
            role_password: Some(Secret::new(PASSWORD)),
            migrations,
            append_only: &["entry"],
        }
    }

    pub(crate) async fn connect(&self, limits: &Limits, tasks: &Tasks) -> Result<Db, Error> {
        Db::connect(&self.as_role(), MIGRATIONS, limits, tasks).await
    }

    /// A connection of the owner, who sees everything.
    pub(crate) async fn look(&self) -> AnyConnection {
        sqlx::any::install_default_drivers();
        AnyConnection::connect(&self.owner).await.unwrap()
    }
}

/// Adds one thing.
pub(crate) async fn insert(db: &Db, id: i64) -> Result<(), Error> {
    db.write(move |connection| {
        Box::pin(async move {
            sqlx::query("insert into thing (id, note, body) values ($1, $2, $3)")
                .bind(id)
                .bind(None::<String>)
                .bind(vec![1_u8, 2])
                .execute(connection)
                .await?;
            Ok(())
        })
    })
    .await
}

/// The things there are.
pub(crate) async fn ids(db: &Db) -> Vec<i64> {
    use sqlx::Row as _;
    let rows = sqlx::query("select id, note, body from thing order by id")
        .fetch_all(db.reader())
        .await
        .unwrap();
    for row in &rows {
        assert_eq!(row.get::<Option<String>, _>("note"), None);
        assert_eq!(row.get::<Vec<u8>, _>("body"), [1, 2]);
    }
    rows.iter().map(|row| row.get("id")).collect()
}
