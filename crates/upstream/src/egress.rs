//! The egress guard: calls to URLs that customers gave us reach only what the operator allows.
//!
//! The same [`Policy`] is asked twice, because a name checked yesterday may lead elsewhere today:
//!
//! 1. **by form**, without any network: length, scheme, credentials, port, reserved names, literal addresses;
//! 2. **by address**, inside the connector: every address a name resolves to must pass, and the connection is made to
//!    exactly those addresses, so that a second answer of the name server cannot win. (The HTTP library does not ask the
//!    resolver about literal addresses; therefore those are settled by form.)
//!
//! | file | what |
//! |---|---|
//! | `address.rs` | which addresses are public: pure |
//! | `refusal.rs` | why a URL is refused, in words for the customer |
//! | `policy.rs` | the rule for URLs and addresses: pure |
//! | `resolve.rs` | names to addresses, without search domains and hosts file |
//! | `guarded.rs`, `download.rs` | the client |
//!
//! No connection is ever reused, no redirect followed unasked, no proxy of the environment used, nothing decompressed.

mod address;
mod download;
mod guarded;
mod policy;
mod refusal;
mod resolve;

pub use self::download::Download;
pub use self::guarded::{Answer, Caps, EgressError, GuardedClient, Redirects, Trust};
pub use self::policy::{GuardedUrl, Policy};
pub use self::refusal::Refusal;
