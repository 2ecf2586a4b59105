//! Private servers for tests: PostgreSQL, RabbitMQ, Redis. Each has free ports and a temporary folder of its own, runs as an
//! ordinary user, and is gone with its folder when the value is dropped or the test dies, however it dies. The machine's own
//! services are never touched.
//!
//! `cargo xtask test` starts one PostgreSQL and one RabbitMQ for a whole run and names them in `AIO_TEST_POSTGRES` and
//! `AIO_TEST_RABBITMQ`; `shared()` uses those and starts a private one where they are absent. A test that kills or wipes takes
//! a private one.

mod home;
mod postgres;
mod process;
pub mod programs;
mod rabbit;
mod redis;

pub use home::free_port;
pub use postgres::{Postgres, WITH_PASSWORD};
pub use rabbit::Rabbit;
pub use redis::Redis;

/// The variable that names the shared PostgreSQL by the URL of its superuser.
pub const SHARED_POSTGRES: &str = "AIO_TEST_POSTGRES";
/// The variable that names the shared RabbitMQ by its URL.
pub const SHARED_RABBITMQ: &str = "AIO_TEST_RABBITMQ";
