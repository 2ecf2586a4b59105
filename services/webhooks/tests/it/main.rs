//! The behaviour of this room over its gRPC interface, against endpoints of our own on loopback.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test helper fails by panicking"
)]

mod app;
mod deliver;
mod guard;
mod isolation;
mod resume;
mod secret;
mod sink;
