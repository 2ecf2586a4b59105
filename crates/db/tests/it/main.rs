//! The behaviour of this room: the same on a SQLite file and on a real PostgreSQL server, and what only a server does.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test helper fails by panicking"
)]

mod alone;
mod cancel;
mod house;
mod kill;
mod migrate;
mod outbox;
mod role;
mod rows;
mod server;
mod silence;
mod write;
