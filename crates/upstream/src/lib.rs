//! upstream: everything about calling out, and no knowledge of any service.
//!
//! Two kinds of calls leave this program, and they are trusted differently:
//!
//! * to **configured providers**, by [`ProviderClient`]: pooled connections, streamed or bounded replies, and a
//!   [`Failure`] whose [`Class`] says what a caller may do about it;
//! * to **URLs that customers give us** (callbacks, input media, results), by [`GuardedClient`]: every URL passes the
//!   egress [`Policy`] by its form, and every address it resolves to passes it again inside the connector.
//!
//! | file | what |
//! |---|---|
//! | `bucket.rs` | the client for an object store of the operator's |
//! | `config.rs` | the limits, with their defaults |
//! | `client.rs`, `client/reply.rs` | calls to providers; the reply, buffered or streamed |
//! | `failure.rs` | what went wrong with a provider call, in classes |
//! | `fault.rs` | what of it a customer reads and an operator is told: one table |
//! | `fuzzing.rs` | what is promised about any bytes: for fuzzers and tests alone |
//! | `span.rs` | a call to a provider, as a trace tells of it |
//! | `sse.rs` | server-sent events out of byte chunks |
//! | `egress.rs`, `egress/` | the guard: address rule, URL rule, resolver, client |
//! | `tls.rs` | TLS with the ring provider and the system's certificates |
//!
//! What this room may not do: retry (schedules live in SQL, candidates in `chat`), follow the environment's proxies, know
//! a provider's name, or put a URL, a body or a key into a log line or an error.

mod bucket;
mod client;
mod config;
mod egress;
mod failure;
mod fault;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod span;
mod sse;
mod tls;

pub use crate::bucket::bucket_client;
pub use crate::client::{Call, ProviderClient, Reply, ReplyBody};
pub use crate::config::{
    EgressConfig, HttpVersions, Own, Patience, ProxyAddress, Scheme, UpstreamConfig,
};
pub use crate::egress::{
    Answer, Caps, Cause, Dial, Download, EgressError, GuardedClient, GuardedUrl, Policy, Purpose,
    Redirects, Refusal, Trust,
};
pub use crate::failure::{Class, Classify, Failure, ProviderAnswer, Verdict, Wait};
pub use crate::fault::{fault, report};
pub use crate::span::{CallSpan, traced};
pub use crate::sse::{Decoder, Event, EventTooLarge, Events};

/// Why a client could not be built. It happens at start only.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The TLS settings were not accepted by the library.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// The HTTP client was not accepted by the library.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}
