//! Every task of a service is spawned here, so that stopping can wait for it.

use std::{future::Future, time::Duration};

use tokio::{sync::oneshot, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, Span, info, warn};

/// The running tasks of one service, and the word to stop.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stopping: CancellationToken,
}

// === impl Tasks ===

impl Tasks {
    /// Runs `work` to its end, even while stopping. Work that loops must watch [`Tasks::stopping`].
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn<F>(&self, span: Span, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let tracked = self.tracker.track_future(work.instrument(span));
        drop(tokio::spawn(tracked));
    }

    /// Runs work that may be cut at any instruction: stopping does not wait for it.
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn_detached<F>(&self, span: Span, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        drop(tokio::spawn(work.instrument(span)));
    }

    /// Runs `work` to its end even if the caller goes away, and hands over what it made. `None` only when it panicked.
    pub async fn run_to_end<T, F>(&self, span: Span, work: F) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        self.spawn(span, async move {
            // A caller that went away does not want it.
            let _ = sender.send(work.await);
        });
        receiver.await.ok()
    }

    /// Completes when the service should take no new work.
    pub async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// Whether the service should take no new work.
    pub fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// How many tasks have not ended yet.
    pub fn running(&self) -> usize {
        self.tracker.len()
    }

    /// Says stop, waits for the tasks, and reports whether all ended within `grace`.
    pub async fn stop(&self, grace: Duration) -> bool {
        self.stopping.cancel();
        self.tracker.close();
        let finished = timeout(grace, self.tracker.wait()).await.is_ok();
        if finished {
            info!("all tasks ended");
        } else {
            warn!(
                remaining = self.tracker.len(),
                "tasks still running after the grace period"
            );
        }
        finished
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stop_waits_for_a_task_and_gives_up_on_a_stuck_one() {
        let tasks = Tasks::default();
        let seen = tasks.clone();
        tasks.spawn(Span::none(), async move { seen.stopping().await });
        assert!(tasks.stop(Duration::from_secs(1)).await);

        let tasks = Tasks::default();
        tasks.spawn(Span::none(), std::future::pending());
        assert!(!tasks.stop(Duration::from_millis(10)).await);
    }
}
