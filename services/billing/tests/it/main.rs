//! Billing's tests: the pure ledger by tables and laws, then the service over real databases of both engines, then several
//! processes over one PostgreSQL, and what happens when it dies.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "test code"
)]

mod accounts;
mod alerts;
mod audit;
mod audit_log;
mod codes;
mod faults;
mod house;
mod key_changes;
mod key_desk;
mod key_rights;
mod key_secrets;
mod keys;
mod labels;
mod laws;
mod lots;
mod machine;
mod memory;
mod model;
mod money;
mod movements;
mod narrowed;
mod news;
mod orders;
mod overview;
mod payments;
mod place;
mod prices;
mod protocol;
mod proxy;
mod queue;
mod races;
mod replicas;
mod reversals;
mod shop;
mod store;
mod storm;
mod storms;
mod tables;
mod usage;
mod wire;
