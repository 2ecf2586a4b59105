//! The behaviour of this room, against servers of our own on loopback.
#![expect(clippy::unwrap_used, reason = "a test helper fails by panicking")]

mod bounds;
mod client;
mod config;
mod dns;
mod form;
mod guarded;
mod inside;
mod names;
mod never;
mod process;
mod proxy;
mod server;
mod sse;
mod table;
mod told;
