//! What the schema of billing is made of.

use db::Migration;

/// The schema's steps. (There is no version 1: it was kept for the outbox, which came later.)
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 2,
        name: "billing",
        sqlite: include_str!("../migrations/0002_billing.sql"),
        postgres: include_str!("../migrations/postgres/0002_billing.sql"),
    },
    Migration {
        version: 3,
        name: "append_only",
        sqlite: include_str!("../migrations/0003_append_only.sql"),
        postgres: include_str!("../migrations/postgres/0003_append_only.sql"),
    },
    Migration::both(
        4,
        "hold_open",
        include_str!("../migrations/0004_hold_open.sql"),
    ),
    Migration {
        version: 5,
        name: "ledger",
        sqlite: include_str!("../migrations/0005_ledger.sql"),
        postgres: include_str!("../migrations/postgres/0005_ledger.sql"),
    },
    Migration {
        version: 6,
        name: "lots",
        sqlite: include_str!("../migrations/0006_lots.sql"),
        postgres: include_str!("../migrations/postgres/0006_lots.sql"),
    },
    Migration {
        version: 7,
        name: "keys",
        sqlite: include_str!("../migrations/0007_keys.sql"),
        postgres: include_str!("../migrations/postgres/0007_keys.sql"),
    },
    Migration {
        version: 8,
        name: "orders",
        sqlite: include_str!("../migrations/0008_orders.sql"),
        postgres: include_str!("../migrations/postgres/0008_orders.sql"),
    },
    Migration {
        version: 9,
        name: "prices",
        sqlite: include_str!("../migrations/0009_prices.sql"),
        postgres: include_str!("../migrations/postgres/0009_prices.sql"),
    },
    Migration {
        version: 10,
        name: "tags",
        sqlite: include_str!("../migrations/0010_tags.sql"),
        postgres: include_str!("../migrations/postgres/0010_tags.sql"),
    },
    Migration {
        version: 11,
        name: "audit_log",
        sqlite: include_str!("../migrations/0011_audit_log.sql"),
        postgres: include_str!("../migrations/postgres/0011_audit_log.sql"),
    },
    Migration {
        version: 12,
        ..db::outbox::MIGRATION
    },
    db::outbox::trace(13),
    Migration::both(14, "alert", include_str!("../migrations/0014_alert.sql")),
    Migration::both(
        15,
        "cap_told",
        include_str!("../migrations/0015_cap_told.sql"),
    ),
    Migration {
        version: 16,
        name: "movement",
        sqlite: include_str!("../migrations/0016_movement.sql"),
        postgres: include_str!("../migrations/postgres/0016_movement.sql"),
    },
    Migration::both(17, "served", include_str!("../migrations/0017_served.sql")),
    Migration::both(18, "ended", include_str!("../migrations/0018_ended.sql")),
    Migration::both(
        19,
        "served_tokens",
        include_str!("../migrations/0019_served_tokens.sql"),
    ),
];

/// Tables whose rows are never changed and never removed: on PostgreSQL this service's role has no right to.
pub const APPEND_ONLY: &[&str] = &[
    "entry",
    "transfer",
    "ending",
    "seal",
    "payment_event",
    "redemption",
    "price_list",
    "audit_log",
];
