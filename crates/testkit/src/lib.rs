//! What black-box tests are made with: the real program as a child process, a client for its API, an endpoint for its calls
//! to the outside, and patience. Never shipped, and knows nothing of the program but its commands and its HTTP.

#![expect(
    clippy::indexing_slicing,
    reason = "only JSON values are indexed, where what is absent is null"
)]

mod account;
mod aio;
mod api;
mod balancer;
mod binary;
mod browser;
mod bucket;
mod collector;
mod counted;
mod device;
mod events;
mod fuzzed;
mod openapi;
mod parrot;
mod providers;
mod routes;
pub mod servers;
mod sink;
mod traffic;
mod wait;

pub use account::Account;
pub use aio::{Aio, FirstStart, Role, Sandbox, Servers, Shape, Signal};
pub use api::{Api, Credits, Reply, micros};
pub use balancer::Balancer;
pub use binary::binary;
pub use browser::{Browser, WebPage};
pub use bucket::Bucket;
pub use chassis::failpoint::Point;
pub use collector::{Collector, TraceSpan};
pub use counted::{cut_cost, input_tokens, tokens, tokens_of};
pub use device::Device;
pub use events::{Event, Events};
pub use fuzzed::fuzzed;
pub use http::Method;
pub use parrot::Parrot;
pub use providers::every_provider;
pub use routes::{Routes, links};
pub use sink::{Answer, Received, Sink};
pub use traffic::Traffic;
pub use wait::{PATIENCE, eventually};
