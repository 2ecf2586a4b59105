//! What can go wrong with a database, and what a caller may conclude from it.

use std::{io, sync::Arc};

use sqlx::migrate::MigrateError;

/// SQL states of a server that is starting, stopping, ended a session, or is a standby: nothing can be done there now.
const AWAY: &[&str] = &[
    // The server shuts down, crashed, starts up, dropped the database, or ended a session that stood idle.
    "57P01", "57P02", "57P03", "57P04", "57P05", // A transaction stood idle.
    "25P03", // A standby takes no writes.
    "25006",
];

/// Classes of SQL states of which each is a server's that can do nothing now: a connection failed; too little of something, as of
/// disk, memory or connections; and an error of the system below it, as of a disk.
const AWAY_CLASSES: &[&str] = &["08", "53", "58"];

/// Primary result codes of a SQLite file that can do nothing now: busy, no memory, a disk that fails, a disk that is full, no more files.
const AWAY_FILE: &[u32] = &[5, 7, 10, 13, 14];

/// SQL states of a transaction that lost against another one, or was ended for taking too long.
const LOST: &[&str] = &["40001", "40P01", "55P03", "57014"];

/// Extended result codes of a SQLite file where a primary key, or another unique one, is there already.
const TAKEN: [i32; 2] = [1555, 2067];

/// What can go wrong with the database itself.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A statement, a commit or a connection failed. After a failed commit nobody knows whether it happened.
    #[error("database failed")]
    Sql(#[source] Arc<sqlx::Error>),
    /// The same on a connection that binds rows itself.
    #[error("database failed")]
    Rows(#[source] Arc<rusqlite::Error>),
    /// A thread to write in could not be started.
    #[error("no thread for the database")]
    Thread(#[source] Arc<io::Error>),
    /// The schema could not be brought to this version.
    #[error("migration failed")]
    Migrate(#[source] Arc<MigrateError>),
    /// The process is stopping.
    #[error("database closed")]
    Closed,
    /// A piece of work panicked; it was rolled back.
    #[error("a write panicked")]
    Panicked,
    /// The schema is older than this program, or is not there.
    #[error(
        "schema {schema} is at version {found}, and this program needs version {needed}: run aio migrate"
    )]
    Schema {
        /// The schema.
        schema: String,
        /// Its version; 0 when it is not there.
        found: i64,
        /// The version this program needs.
        needed: i64,
    },
    /// The schema is newer than this program.
    #[error(
        "schema {schema} is at version {found}, and this program knows versions up to {needed}: run a newer program"
    )]
    Newer {
        /// The schema.
        schema: String,
        /// Its version.
        found: i64,
        /// The newest version this program knows.
        needed: i64,
    },
    /// A step was applied with another text than this program has.
    #[error(
        "version {version} of schema {schema} was made by another program than this one: its text differs"
    )]
    Altered {
        /// The schema.
        schema: String,
        /// The step.
        version: i64,
    },
    /// A file is not sound, by SQLite's own check.
    #[error("{file} is damaged: {found}")]
    Damaged {
        /// The file.
        file: String,
        /// What was found first.
        found: String,
    },
    /// A setting cannot be used.
    #[error("{0}")]
    Setting(&'static str),
}

// === impl Error ===

impl Error {
    /// Whether too many were waiting for a connection: nothing is wrong but the moment.
    pub fn is_busy(&self) -> bool {
        matches!(self.sql(), Some(sqlx::Error::PoolTimedOut))
    }

    /// Whether the database cannot be reached, went away in the middle, or lacks what it needs, as space on its disk: then the
    /// outcome of a write is unknown.
    pub fn is_away(&self) -> bool {
        let connection_failed = matches!(
            self.sql(),
            Some(
                sqlx::Error::Io(_)
                    | sqlx::Error::Tls(_)
                    | sqlx::Error::Protocol(_)
                    | sqlx::Error::PoolTimedOut
                    | sqlx::Error::PoolClosed
                    | sqlx::Error::WorkerCrashed
                    | sqlx::Error::BeginFailed
            )
        );
        let no_thread = matches!(self, Self::Thread(_));
        connection_failed || no_thread || self.state().is_some_and(|state| says_away(&state))
    }

    /// Whether the same piece of work may succeed when it is sent again, which must then be safe to do twice.
    pub fn is_retriable(&self) -> bool {
        self.is_away()
            || self
                .state()
                .is_some_and(|state| LOST.contains(&state.as_str()))
    }

    /// Whether a row with this key is there already.
    pub fn is_conflict(&self) -> bool {
        if let Self::Rows(error) = self {
            let code = error.sqlite_error().map(|error| error.extended_code);
            return code.is_some_and(|code| TAKEN.contains(&code));
        }
        self.sql()
            .and_then(sqlx::Error::as_database_error)
            .is_some_and(|refused| refused.is_unique_violation())
    }

    /// PostgreSQL's SQL state, or SQLite's extended result code.
    pub(crate) fn state(&self) -> Option<String> {
        if let Self::Rows(error) = self {
            return Some(error.sqlite_error()?.extended_code.to_string());
        }
        let code = self.sql()?.as_database_error()?.code()?;
        Some(code.into_owned())
    }

    fn sql(&self) -> Option<&sqlx::Error> {
        if let Self::Sql(error) = self {
            return Some(error);
        }
        let Self::Migrate(error) = self else {
            return None;
        };
        if let MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) = &**error {
            return Some(error);
        }
        None
    }
}

/// Five letters or digits are a state of PostgreSQL. SQLite's codes are shorter, and their last byte is the primary one.
fn says_away(state: &str) -> bool {
    if state.len() == 5 {
        let of_class = |class: &&str| state.starts_with(*class);
        return AWAY.contains(&state) || AWAY_CLASSES.iter().any(of_class);
    }
    let code = state.parse::<u32>();
    code.is_ok_and(|code| AWAY_FILE.contains(&(code & 0xff)))
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(Arc::new(error))
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Rows(Arc::new(error))
    }
}

impl From<io::Error> for Error {
    /// The one thing of the system that is asked for here is a thread.
    fn from(error: io::Error) -> Self {
        Self::Thread(Arc::new(error))
    }
}

impl From<MigrateError> for Error {
    fn from(error: MigrateError) -> Self {
        Self::Migrate(Arc::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::says_away;

    #[test]
    fn what_lacks_something_is_away_and_what_is_wrong_is_not() {
        for state in [
            "53100", "53200", "53300", "53400", "58000", "58030", "08006", "57P01", "25P03",
        ] {
            assert!(says_away(state), "{state}");
        }
        // SQLite: busy, a snapshot that is too old, no memory, a disk that fails when it is asked to sync, a full one.
        for code in ["5", "517", "7", "10", "1034", "13"] {
            assert!(says_away(code), "{code}");
        }
        // A key that is there, a missing table, an unknown column; a refusal of SQLite that begins like a class of PostgreSQL.
        for other in ["23505", "42P01", "1", "19", "1555", "531", ""] {
            assert!(!says_away(other), "{other}");
        }
    }
}
