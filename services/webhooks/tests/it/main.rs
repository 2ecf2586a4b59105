//! The behaviour of this room over its gRPC interface, against endpoints of our own on loopback.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test helper fails by panicking"
)]

mod app;
mod by_hand;
mod changes;
mod database;
mod deliver;
mod disabled;
mod endpoints;
mod guard;
mod history;
mod isolation;
mod lanes;
mod manage;
mod replicas;
mod resume;
mod rotation;
mod rows;
mod schedule;
mod secret;
mod sink;
mod told;
mod upgrade;
