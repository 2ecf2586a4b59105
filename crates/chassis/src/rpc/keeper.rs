//! Keeps the connections of a channel: finds the addresses of its names, and holds so many connections to each.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use futures::future::join_all;
use http::uri::Authority;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{Span, debug, info, warn};

use super::{
    Resolve,
    connection::{Connection, Dialer, Target, pause},
    roster::Roster,
};
use crate::telemetry::causes;

/// How long one connection must have lived for the next to be made without a pause.
const GOOD_LIFE: Duration = Duration::from_secs(1);

/// What keeps the connections of one channel.
pub(super) struct Keeper {
    pub(super) peer: &'static str,
    pub(super) authorities: Vec<Authority>,
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) dialer: Dialer,
    pub(super) roster: Roster,
    /// Cancelled when nobody holds the channel any more.
    pub(super) ended: CancellationToken,
}

/// The addresses that are held, each until its guard is dropped.
type Held = HashMap<SocketAddr, DropGuard>;

// === impl Keeper ===

impl Keeper {
    /// Runs until nobody holds the channel any more.
    pub(super) async fn run(self) {
        let ended = self.ended.clone();
        ended.run_until_cancelled(self.keep()).await;
    }

    async fn keep(&self) {
        let mut found: Vec<Vec<SocketAddr>> = vec![Vec::new(); self.authorities.len()];
        let mut held = Held::new();
        loop {
            let names = self.authorities.iter().zip(&mut found);
            join_all(names.map(|(authority, addresses)| self.resolve(authority, addresses))).await;
            self.hold(&found, &mut held);
            sleep(self.dialer.limits.resolve_every).await;
        }
    }

    /// Asks for the addresses of a name; those known before stay when nobody can tell.
    async fn resolve(&self, authority: &Authority, addresses: &mut Vec<SocketAddr>) {
        let host = authority.host().trim_matches(['[', ']']);
        let port = authority.port_u16().unwrap_or(80);
        let answer = timeout(
            self.dialer.limits.resolve_every,
            self.resolver.resolve(host, port),
        );
        match answer.await {
            Ok(Ok(found)) if !found.is_empty() => *addresses = found,
            Ok(Ok(_none)) => debug!(peer = self.peer, host, "a name has no address"),
            Ok(Err(error)) => warn!(peer = self.peer, host, %error, "cannot resolve a name"),
            Err(_elapsed) => warn!(peer = self.peer, host, "resolving a name took too long"),
        }
    }

    /// Starts what is new and lets go of what is gone.
    fn hold(&self, found: &[Vec<SocketAddr>], held: &mut Held) {
        held.retain(|address, _guard| found.iter().flatten().any(|other| other == address));
        for (authority, addresses) in self.authorities.iter().zip(found) {
            for address in addresses {
                held.entry(*address).or_insert_with(|| {
                    let target = Target {
                        address: *address,
                        authority: authority.clone(),
                    };
                    self.start(&target)
                });
            }
        }
    }

    fn start(&self, target: &Target) -> DropGuard {
        let gone = self.ended.child_token();
        for _ in 0..self.dialer.limits.connections {
            let seat = Seat {
                peer: self.peer,
                target: target.clone(),
                dialer: self.dialer.clone(),
                roster: self.roster.clone(),
            };
            let gone = gone.clone();
            self.dialer
                .tasks
                .spawn_detached(Span::none(), seat.run(gone));
        }
        gone.drop_guard()
    }
}

/// The place of one connection: it is made again whenever it ends.
struct Seat {
    peer: &'static str,
    target: Target,
    dialer: Dialer,
    roster: Roster,
}

// === impl Seat ===

impl Seat {
    async fn run(self, gone: CancellationToken) {
        let mut failures = 0;
        while !gone.is_cancelled() {
            let begun = Instant::now();
            match gone
                .run_until_cancelled(self.dialer.dial(&self.target))
                .await
            {
                None => return,
                Some(Ok(connection)) => {
                    if failures > 0 {
                        info!(peer = self.peer, address = %self.target.address, "connected again");
                    }
                    self.roster.add(connection.clone());
                    gone.run_until_cancelled(self.watch(&connection)).await;
                    self.roster.remove(&connection);
                    if begun.elapsed() >= GOOD_LIFE {
                        failures = 0;
                        continue;
                    }
                }
                Some(Err(error)) if failures == 0 => {
                    warn!(peer = self.peer, address = %self.target.address, error = %causes(&error), "cannot connect");
                }
                Some(Err(_again)) => {}
            }
            let rest = pause(failures, self.dialer.limits.longest_pause);
            gone.run_until_cancelled(sleep(rest)).await;
            failures = failures.saturating_add(1);
        }
    }

    /// Until no more calls should be sent on it.
    async fn watch(&self, connection: &Connection) {
        loop {
            connection.doubted().await;
            if connection.is_closed() {
                return;
            }
            let patience = self.dialer.limits.keepalive_timeout;
            match timeout(patience, connection.check()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => {
                    warn!(peer = self.peer, address = %self.target.address, "a peer is not well; calls go elsewhere");
                    return;
                }
            }
        }
    }
}
