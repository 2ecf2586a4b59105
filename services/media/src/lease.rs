//! How long a task is this process's: a lease when it is taken, and signs of life as long as its step runs.

use std::convert::Infallible;

use chassis::{clock::micros, telemetry::causes};
use tracing::warn;

use crate::{
    Error, Media,
    store::claim::{self, Lease},
    task::Task,
};

impl Media {
    /// A lease from now on.
    pub(crate) fn lease(&self) -> Lease {
        let now = self.db.now_micros();
        Lease {
            now,
            until: now.saturating_add(micros(self.config.lease)),
        }
    }

    /// Gives signs of life for a task that this process has taken, as long as it has it. Never ends: it runs beside the step. One
    /// that finds out that it slept too long only stops, since the claim keeps its step from moving the task.
    pub(crate) async fn stay_alive(&self, task: &Task) -> Infallible {
        let (id, claims) = (task.id, task.claims);
        let third = self.config.lease.checked_div(3).unwrap_or_default();
        let mut held = true;
        while held {
            tokio::time::sleep(third).await;
            let until = self.lease().until;
            let renewed: Result<bool, Error> = self
                .db
                .write(move |connection| Box::pin(claim::renew(connection, id, claims, until)))
                .await;
            held = renewed.unwrap_or_else(|failure| {
                // Nobody else can take it either while the database is away.
                warn!(error = %causes(&failure), "cannot renew a lease");
                true
            });
        }
        std::future::pending().await
    }
}
