//! A process: configuration, telemetry, tasks, the HTTP listener, calls between services, secrets, the clock.
//! Nothing here knows what a service does.

pub mod clock;
pub mod config;
pub mod failpoint;
pub mod http;
mod link;
mod overload;
pub mod rpc;
pub mod secrets;
mod tasks;
pub mod telemetry;

pub use clock::mint;
pub use link::{LinkClaim, LinkSigner};
pub use overload::{Begun, Overload, OverloadLimits};
pub use tasks::Tasks;
