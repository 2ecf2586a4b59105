//! The egress guard: calls to URLs that customers gave us reach only what the operator allows.
//!
//! The same [`Policy`] is asked twice, because a name checked yesterday may lead elsewhere today:
//!
//! 1. **by form**, without any network: length, scheme, credentials, port, reserved names, literal addresses;
//! 2. **by address**, inside the connector: every address a name resolves to must pass, and so must a literal one; the connection
//!    is made to exactly those addresses, so that a second answer of the name server cannot win, and who is at its other end is
//!    compared with it before a byte is sent.
//!
//! | file | what |
//! |---|---|
//! | `address.rs` | which addresses are public: pure |
//! | `refusal.rs` | why a URL is refused, in words for the customer |
//! | `told.rs` | refusals, counted and logged: for what, and why |
//! | `policy.rs` | the rule for URLs and addresses: pure |
//! | `resolve.rs` | names to addresses, without search domains and hosts file |
//! | `dial.rs` | the connector: addresses that passed, or the operator's proxy to them |
//! | `guarded.rs`, `download.rs`, `error.rs` | the client |
//! | `body.rs`, `pace.rs` | a body as it comes, and how slowly it may |
//!
//! No connection is ever reused, no redirect followed unasked, no proxy of the environment used, nothing decompressed.

mod address;
mod body;
mod dial;
mod download;
mod error;
mod guarded;
mod pace;
mod policy;
mod refusal;
mod resolve;
mod told;

pub use self::dial::Dial;
pub use self::download::Download;
pub use self::error::{Cause, EgressError};
pub use self::guarded::{Answer, Caps, GuardedClient, Redirects, Trust};
pub use self::policy::{GuardedUrl, Policy};
pub use self::refusal::Refusal;
pub use self::told::Purpose;
