//! What keeps something: every database of an installation, with the steps of its schema.

use db::Migration;

/// A service's database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Store {
    /// The service's name: its schema's, and its file's without `.db`.
    pub(crate) name: &'static str,
    /// The steps of its schema.
    pub(crate) migrations: &'static [Migration],
    /// Tables whose rows the service may add and read, and never change or delete.
    pub(crate) append_only: &'static [&'static str],
}

/// Those that are on PostgreSQL where the services are processes of their own.
pub(crate) const STORES: [Store; 5] = [
    Store {
        name: "billing",
        migrations: billing::MIGRATIONS,
        append_only: billing::APPEND_ONLY,
    },
    Store {
        name: "chat",
        migrations: chat::MIGRATIONS,
        append_only: &[],
    },
    Store {
        name: "media",
        migrations: media::MIGRATIONS,
        append_only: &[],
    },
    Store {
        name: "webhooks",
        migrations: webhooks::MIGRATIONS,
        append_only: &[],
    },
    Store {
        name: dashboard::SCHEMA,
        migrations: dashboard::MIGRATIONS,
        append_only: &[],
    },
];

/// The bill of the simulated providers: a file in every shape.
pub(crate) const SANDBOX: Store = Store {
    name: "sandbox",
    migrations: sandbox::MIGRATIONS,
    append_only: &[],
};

/// Every database of a data directory.
pub(crate) fn files() -> impl Iterator<Item = Store> {
    STORES.into_iter().chain([SANDBOX])
}

// === impl Store ===

impl Store {
    /// The name of its file.
    pub(crate) fn file(&self) -> String {
        format!("{}.db", self.name)
    }
}

#[cfg(test)]
mod tests;
