//! Calls between services, over real sockets.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod balancing;
mod both_shapes;
mod fake;
mod lifetimes;
mod plain_client;
mod server;
mod tokens;
