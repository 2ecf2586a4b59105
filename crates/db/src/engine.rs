//! The two engines, and the steps of a schema with the text each engine takes. What differs between them in SQL is said here.

use sqlx::{
    AnyConnection, AssertSqlSafe, SqlSafeStr as _,
    migrate::{Migration as SqlxMigration, MigrationType},
};

/// What runs the SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// A file of this process alone, with one writer.
    Sqlite,
    /// A server that many processes write to at once.
    Postgres,
}

/// One step of a schema.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Rises by one.
    pub version: i64,
    /// What it is for.
    pub name: &'static str,
    /// The statements for SQLite.
    pub sqlite: &'static str,
    /// The statements for PostgreSQL. `blob` is a domain over `bytea` there.
    pub postgres: &'static str,
}

// === impl Engine ===

impl Engine {
    /// The engine behind a connection.
    pub fn of(connection: &AnyConnection) -> Self {
        match connection.backend_name() {
            "PostgreSQL" => Self::Postgres,
            _ => Self::Sqlite,
        }
    }

    /// The end of a `select` that takes rows nobody else is at. SQLite has one writer, so there is nobody else.
    pub const fn skip_locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " for update skip locked",
        }
    }
}

// === impl Migration ===

impl Migration {
    /// A step whose text both engines take.
    pub const fn both(version: i64, name: &'static str, sql: &'static str) -> Self {
        Self {
            version,
            name,
            sqlite: sql,
            postgres: sql,
        }
    }

    /// The step as sqlx takes it, with its checksum.
    pub(crate) fn step(&self, engine: Engine) -> SqlxMigration {
        let text = match engine {
            Engine::Sqlite => self.sqlite,
            Engine::Postgres => self.postgres,
        };
        SqlxMigration::new(
            self.version,
            self.name.into(),
            MigrationType::Simple,
            AssertSqlSafe(text).into_sql_str(),
            false,
        )
    }
}
