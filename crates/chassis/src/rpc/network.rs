//! A channel over the network: each call goes out on one of several connections to each address of the peer.

use std::{
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use domain::Secret;
use http::{HeaderValue, Request, Response, Uri, uri::Authority};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Code, Status, body::Body};
use tower::{Service, util::BoxCloneSyncService};
use tracing::{Span, error};

use super::{
    Answer, Channel, ClientLimits, Error, Metrics, Resolve, SystemResolver,
    connection::{Dialer, Failure},
    keeper::Keeper,
    open, outgoing,
    roster::Roster,
};
use crate::Tasks;

/// How many connections may turn out to be closing before a call is given up. On none of them anything was sent.
const MOST_TRIES: usize = 8;
/// How often it is said that a peer does not accept our token, however many calls it refuses.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// Another service, and how to reach it.
pub struct Peer {
    name: &'static str,
    address: String,
    token: Secret,
    limits: ClientLimits,
    resolver: Arc<dyn Resolve>,
    metrics: Option<Metrics>,
}

/// A way to the service at `address` (`http://host:port`, several with commas between), showing `token`. Connecting begins
/// at once, in the background, and goes on until the channel is dropped, even while `tasks` stop: what ends last still
/// calls others.
///
/// # Errors
/// When the address is not one, or the token does not fit a header.
pub fn network(
    address: &str,
    token: Secret,
    limits: &ClientLimits,
    tasks: &Tasks,
) -> Result<Channel, Error> {
    Peer::new(address, token)
        .limits(limits.clone())
        .connect(tasks)
}

/// Chooses a connection for each call.
#[derive(Clone)]
struct Balanced {
    name: &'static str,
    roster: Roster,
    patience: Duration,
    metrics: Option<Metrics>,
    refused: Arc<Complaint>,
    /// With the last clone, the connections go.
    _kept: Arc<DropGuard>,
}

/// A complaint that is not repeated with every call: when it was made last.
#[derive(Default)]
struct Complaint(Mutex<Option<Instant>>);

// === impl Peer ===

impl Peer {
    /// The service at `address`, called with `token`.
    pub fn new(address: &str, token: Secret) -> Self {
        Self {
            name: "the peer",
            address: address.to_owned(),
            token,
            limits: ClientLimits::default(),
            resolver: Arc::new(SystemResolver),
            metrics: None,
        }
    }

    /// What it is called in logs and metrics.
    #[must_use]
    pub const fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// Other limits than the default ones.
    #[must_use]
    pub fn limits(mut self, limits: ClientLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Another resolver than the system's.
    #[must_use]
    pub fn resolver(mut self, resolver: Arc<dyn Resolve>) -> Self {
        self.resolver = resolver;
        self
    }

    /// Counts the calls.
    #[must_use]
    pub fn metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// Makes the channel; see [`network`].
    ///
    /// # Errors
    /// When the address is not one, or the token does not fit a header.
    pub fn connect(self, tasks: &Tasks) -> Result<Channel, Error> {
        let authorities: Option<Vec<Authority>> = self.address.split(',').map(authority).collect();
        let mut token = HeaderValue::try_from(format!("Bearer {}", self.token.expose()))
            .map_err(|_invalid| Error::Token)?;
        token.set_sensitive(true);
        let roster = Roster::new();
        let ended = CancellationToken::new();
        let balanced = Balanced {
            name: self.name,
            roster: roster.clone(),
            patience: self.limits.connect_timeout,
            metrics: self.metrics,
            refused: Arc::default(),
            _kept: Arc::new(ended.clone().drop_guard()),
        };
        let keeper = Keeper {
            peer: self.name,
            authorities: authorities.ok_or(Error::Address { peer: self.name })?,
            resolver: self.resolver,
            dialer: Dialer {
                limits: self.limits,
                token,
                tasks: tasks.clone(),
            },
            roster,
            ended,
        };
        tasks.spawn_detached(Span::none(), keeper.run());
        Ok(Channel::over(BoxCloneSyncService::new(outgoing(balanced))))
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peer {}", self.name)
    }
}

/// Host and port of one address; `None` when it has anything else.
fn authority(address: &str) -> Option<Authority> {
    let uri: Uri = address.trim().parse().ok()?;
    let authority = uri.authority()?;
    let plain = uri.scheme_str() == Some("http")
        && uri.path() == "/"
        && uri.query().is_none()
        && !authority.as_str().contains('@');
    (plain && authority.port_u16().is_some()).then(|| authority.clone())
}

// === impl Balanced ===

impl Balanced {
    async fn answer(self, mut request: Request<Body>) -> Response<Body> {
        for _ in 0..MOST_TRIES {
            let Some(connection) = self.roster.pick(self.patience).await else {
                break;
            };
            match connection.send(request).await {
                Ok(answer) => return answer,
                Err(Failure::Broken) => return open::broken().into_http(),
                // Closed since it was picked: from now on it is not.
                Err(Failure::NotSent(back)) => request = *back,
            }
        }
        Status::unavailable("no connection to the peer").into_http()
    }

    fn record(&self, answer: &Response<Body>, begun: Instant) {
        let headers = answer.headers();
        let code = headers
            .get(Status::GRPC_STATUS)
            .map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()));
        if matches!(code, Code::Unauthenticated | Code::PermissionDenied)
            && !headers.contains_key(Status::GRPC_STATUS_DETAILS)
            && self.refused.is_due(Instant::now())
        {
            error!(peer = self.name, "a peer does not accept our token");
        }
        if let Some(metrics) = &self.metrics {
            metrics.record(self.name, format!("{code:?}"), begun.elapsed());
        }
    }
}

// === impl Complaint ===

impl Complaint {
    /// Whether it is to be made now; if so, the next one is due a while later.
    fn is_due(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| now.saturating_duration_since(last) >= COMPLAIN_EVERY);
        if due {
            *last = Some(now);
        }
        due
    }
}

impl Service<Request<Body>> for Balanced {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let this = self.clone();
        Box::pin(async move {
            let begun = Instant::now();
            let answer = this.clone().answer(request).await;
            this.record(&answer, begun);
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_made_once_a_minute() {
        let (complaint, start) = (Complaint::default(), Instant::now());
        let made: Vec<_> = [0, 0, 1, 59, 60, 61, 119, 120]
            .into_iter()
            .filter(|second| complaint.is_due(start + Duration::from_secs(*second)))
            .collect();
        assert_eq!(made, [0, 60, 120]);
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (address, good) in [
            ("http://billing:9103", true),
            (" http://10.0.0.1:9103/", true),
            ("http://[::1]:9103", true),
            ("http://billing", false),
            ("https://billing:9103", false),
            ("billing:9103", false),
            ("http://user:password@billing:9103", false),
            ("http://billing:9103/path", false),
            ("http://billing:9103/?query", false),
            ("", false),
        ] {
            assert_eq!(authority(address).is_some(), good, "{address}");
        }
    }
}
