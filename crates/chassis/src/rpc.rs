//! Calls between services: one channel type, whether the other side is in this process or behind the network.
//!
//! The same stack stands around both: the trace context, the deadline, panics (`rpc/trace.rs`, `rpc/deadline.rs`, `rpc/panics.rs`). In
//! this process, messages are handed over as they are (`rpc/direct.rs`). Over the network, [`network`] chooses a connection for each call, and [`serve`] lets callers in by their role's token. There is no TLS
//! here yet: between machines, the network must be one's own.
//!
//! What a service must know:
//! - A deadline bounds the time until an answer begins. A stream may go on after it; a peer that dies under it is noticed
//!   by the connection's keepalive.
//! - A handler is dropped when its deadline passes or its caller goes away, by its own will or because its [`Line`] was cut. What must not be cut runs in a task of its own
//!   ([`crate::Tasks::run_to_end`]), and is then free of the deadline too.
//! - A call that was sent is never sent again: after UNAVAILABLE, it may have been done. Only who knows that a second time
//!   does no harm may repeat it.

use std::{convert::Infallible, future::Future, pin::Pin, time::Duration};

use http::{Request, Response};
use tonic::body::Body;
use tower::{Service, util::BoxCloneSyncService};

mod callers;
mod config;
mod connection;
mod deadline;
mod direct;
mod keeper;
mod line;
mod metrics;
mod network;
mod open;
mod panics;
mod resolve;
mod roster;
mod server;
mod trace;

pub use callers::Callers;
pub use config::{ClientLimits, ConnectionAge, PeersConfig, Role, ServerLimits};
pub use deadline::time_left;
pub use direct::{Channel, call};
pub use line::Line;
pub use metrics::Metrics;
pub use network::{Peer, network};
pub use panics::panicked;
pub use resolve::{Resolve, SystemResolver};
pub use server::{Serving, serve};

/// The answer to a call. What goes wrong is a status in it.
type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// Why calls between services cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address is not of the form that is taken. It is not repeated here: it may hold a password.
    #[error(
        "the address of {peer} must be http://host:port, several with commas between, without a path or a password"
    )]
    Address {
        /// Whose.
        peer: &'static str,
    },
    /// A role has no token.
    #[error("peers.tokens.{role} is missing")]
    NoToken {
        /// Whose.
        role: Role,
    },
    /// A token is too short, or does not fit a header.
    #[error("peers.tokens.{role} must be at least 32 visible ASCII characters")]
    WeakToken {
        /// Whose.
        role: Role,
    },
    /// A token that was given without its role does not fit a header.
    #[error("the token must be visible ASCII characters")]
    Token,
    /// Nobody calls this role by gRPC.
    #[error("{role} takes no calls from other services")]
    NotCallable {
        /// Which.
        role: Role,
    },
    /// The descriptors of the services are not a `FileDescriptorSet`.
    #[error("the descriptors of the services cannot be read")]
    Descriptors(#[source] tonic_reflection::server::Error),
}

/// Wraps a generated server, so that calling it needs no socket; but every message is still written and read. Callers of what is given
/// to [`Channel::with`] are spared that.
pub fn in_process<S>(server: S) -> Channel
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    Channel::over(BoxCloneSyncService::new(outgoing(incoming(server))))
}

/// A way that leads to nobody: every call is answered UNAVAILABLE. For a process that runs only a part of the services.
pub fn nobody() -> Channel {
    let refuse = tower::service_fn(|_request: Request<Body>| async {
        Ok(tonic::Status::unavailable("this process does not run that service").into_http())
    });
    Channel::over(BoxCloneSyncService::new(refuse))
}

/// A request that must be answered within `budget`, or within what is left to the call being handled, if that is less. For
/// a stream, that is until it begins.
pub fn request<M>(message: M, budget: Duration) -> tonic::Request<M> {
    let mut request = tonic::Request::new(message);
    let budget = time_left().map_or(budget, |left| left.min(budget));
    request.extensions_mut().insert(deadline::Budget(budget));
    request
}

/// The stack around every call that leaves.
const fn outgoing<S>(inner: S) -> trace::Inject<deadline::Send<S>> {
    trace::Inject(deadline::Send(inner))
}

/// The stack around every call that arrives.
const fn incoming<S>(inner: S) -> trace::Adopt<deadline::Keep<panics::Catch<S>>> {
    trace::Adopt(deadline::Keep(panics::Catch(inner)))
}
