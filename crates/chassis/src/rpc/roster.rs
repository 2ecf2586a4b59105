//! The connections of one channel that are ready for calls, and the choice among them.

use std::{sync::Arc, time::Duration};

use rand::seq::IndexedRandom as _;
use tokio::{sync::watch, time::timeout};

use super::connection::Connection;

/// The connections that are ready. Clones are the same list.
#[derive(Clone, Debug)]
pub(super) struct Roster(Arc<watch::Sender<Vec<Connection>>>);

// === impl Roster ===

impl Roster {
    pub(super) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Vec::new())))
    }

    /// Calls may be sent on it from now on.
    pub(super) fn add(&self, connection: Connection) {
        self.0.send_modify(|ready| ready.push(connection));
    }

    /// No new call is sent on it; open ones go on.
    pub(super) fn remove(&self, connection: &Connection) {
        self.0
            .send_modify(|ready| ready.retain(|other| !other.is(connection)));
    }

    /// The one with fewer open calls of two chosen by chance: near the best choice, without all callers rushing to the same.
    /// With none ready, waits up to `patience`.
    pub(super) async fn pick(&self, patience: Duration) -> Option<Connection> {
        if let Some(connection) = self.pick_now() {
            return Some(connection);
        }
        let mut ready = self.0.subscribe();
        let found = async {
            loop {
                if let Some(connection) = self.pick_now() {
                    return Some(connection);
                }
                ready.changed().await.ok()?;
            }
        };
        timeout(patience, found).await.ok().flatten()
    }

    fn pick_now(&self) -> Option<Connection> {
        let ready = self.0.borrow();
        let two = ready.sample(&mut rand::rng(), 2);
        two.min_by_key(|connection| (connection.is_closed(), connection.open_calls()))
            .filter(|connection| !connection.is_closed())
            .or_else(|| ready.iter().find(|connection| !connection.is_closed()))
            .cloned()
    }
}
