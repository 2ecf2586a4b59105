//! Every task of a service is spawned here, so that stopping can wait for it.

use std::{
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, Span, error, info, warn};

/// How long a loop that panicked stays away.
const LOOP_PAUSE: Duration = Duration::from_secs(1);
/// How long before the end of the grace what is still open is told to end, at most; it is a quarter of a shorter grace.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The running tasks of one service, and the words on its way to the end.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    words: Arc<Words>,
}

/// What the tasks are told, one after another.
#[derive(Debug, Default)]
struct Words {
    /// Everything is served still, but whoever comes again should go elsewhere.
    leaving: CancellationToken,
    /// Take nothing new.
    stopping: CancellationToken,
    /// What is open has to end now.
    ending: CancellationToken,
    /// The first and the last once more, for those who ask with every answer: a token's lock is one for all threads.
    leaves: AtomicBool,
    ends: AtomicBool,
}

// === impl Tasks ===

impl Tasks {
    /// Runs `work` to its end, even while stopping. Work that loops must watch [`Tasks::stopping`].
    #[expect(clippy::disallowed_methods, reason = "the one place that spawns")]
    pub fn spawn<F>(&self, span: Span, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // What a task of tokio's is made of is moved several times: let it be a pointer.
        let tracked = self.tracker.track_future(Box::pin(work).instrument(span));
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

    /// Runs work that blocks in a thread of its own. It may be cut at any instruction: stopping does not wait for it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn_thread<F>(&self, name: &str, work: F) -> io::Result<()>
    where
        F: FnOnce() + Send + 'static,
    {
        let named = thread::Builder::new().name(name.to_owned());
        named.spawn(work).map(drop)
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

    /// Keeps a worker's loop running: one that panics is logged and made again after a second, unless the service is
    /// stopping. It ends when the loop returns, which a loop does when it hears [`Tasks::stopping`].
    pub fn spawn_loop<F>(&self, span: Span, make: impl Fn() -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let tasks = self.clone();
        let inner = span.clone();
        self.spawn(span, async move {
            while tasks.run_to_end(inner.clone(), make()).await.is_none() {
                error!("a loop panicked; it starts again in a second");
                // Stopping ends the pause: then nothing more is started.
                if timeout(LOOP_PAUSE, tasks.stopping()).await.is_ok() {
                    return;
                }
            }
        });
    }

    /// Completes when whoever comes again should go elsewhere; everything is served still.
    pub async fn leaving(&self) {
        self.words.leaving.cancelled().await;
    }

    /// Whether whoever comes again should go elsewhere.
    pub fn is_leaving(&self) -> bool {
        self.words.leaves.load(Ordering::Relaxed)
    }

    /// Completes when the service should take no new work.
    pub async fn stopping(&self) {
        self.words.stopping.cancelled().await;
    }

    /// Whether the service should take no new work.
    pub fn is_stopping(&self) -> bool {
        self.words.stopping.is_cancelled()
    }

    /// Completes when what is still open has to end: there is just time to say so.
    pub async fn ending(&self) {
        self.words.ending.cancelled().await;
    }

    /// Whether what is still open has to end.
    pub fn is_ending(&self) -> bool {
        self.words.ends.load(Ordering::Relaxed)
    }

    /// How many tasks have not ended yet.
    pub fn running(&self) -> usize {
        self.tracker.len()
    }

    /// Says that the service will stop soon.
    pub fn leave(&self) {
        self.words.leaves.store(true, Ordering::Relaxed);
        self.words.leaving.cancel();
    }

    /// Says stop, waits for the tasks, tells those that last too long to end, and reports whether all ended within `grace`.
    pub async fn stop(&self, grace: Duration) -> bool {
        self.leave();
        self.words.stopping.cancel();
        self.tracker.close();
        let last = LAST_WORDS.min(grace / 4);
        let patience = grace.saturating_sub(last);
        let mut finished = timeout(patience, self.tracker.wait()).await.is_ok();
        if !finished {
            self.words.ends.store(true, Ordering::Relaxed);
            self.words.ending.cancel();
            finished = timeout(last, self.tracker.wait()).await.is_ok();
        }
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
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    /// A loop that panics on its first run and waits to be stopped on every later one.
    fn panics_once(tasks: &Tasks) -> Arc<AtomicUsize> {
        let runs = Arc::new(AtomicUsize::new(0));
        let (counted, told) = (Arc::clone(&runs), tasks.clone());
        tasks.spawn_loop(Span::none(), move || {
            let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
            let told = told.clone();
            async move {
                assert!(!first, "the panic of this test");
                told.stopping().await;
            }
        });
        runs
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_panics_is_started_again() {
        let tasks = Tasks::default();
        let runs = panics_once(&tasks);
        timeout(Duration::from_secs(5), async {
            while runs.load(Ordering::SeqCst) < 2 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap();
        assert!(tasks.stop(Duration::from_secs(1)).await);
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_panicked_is_not_started_again_while_stopping() {
        let tasks = Tasks::default();
        let runs = panics_once(&tasks);
        assert!(tasks.stop(Duration::from_secs(5)).await);
        assert_eq!(runs.load(Ordering::SeqCst), 1);
    }

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

    #[tokio::test(start_paused = true)]
    async fn what_lasts_too_long_is_told_to_end_and_may_still_say_so() {
        let tasks = Tasks::default();
        let told = tasks.clone();
        tasks.spawn(Span::none(), async move {
            told.leaving().await;
            assert!(!told.is_ending());
            told.ending().await;
            assert!(told.is_leaving() && told.is_stopping() && told.is_ending());
            tokio::time::sleep(Duration::from_secs(1)).await;
        });
        assert!(tasks.stop(Duration::from_secs(10)).await);
    }
}
