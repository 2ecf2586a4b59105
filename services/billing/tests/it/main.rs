//! Billing's tests: the pure ledger by tables and laws, then the service over a real database.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "test code"
)]

mod accounts;
mod audit;
mod house;
mod keys;
mod laws;
mod memory;
mod model;
mod money;
mod races;
mod store;
mod tables;
mod wire;
