//! Repairs, every second, what a crash or a lost message left behind. Takes no input, and may run twice: what it mends it takes
//! first, as a worker would. Of several processes one sweeps at a time.

use std::time::Duration;

use chassis::{
    Tasks,
    clock::micros,
    telemetry::{self, causes},
};
use domain::charge::Ending;
use futures::{StreamExt as _, stream};
use proto::code;
use tokio::time::Instant;
use tracing::{Instrument as _, debug_span, error, info_span, warn};

use crate::{
    Error, Media, files,
    finish::Failed,
    moves::Move,
    state::Event,
    store::{
        self,
        claim::{self, Find},
    },
    task::Task,
};

/// How often.
const EVERY: Duration = Duration::from_secs(1);
/// Tasks looked after at once, so that their commits are shared.
const AT_ONCE: usize = 64;

/// Starts the sweeper.
pub(crate) fn start(media: &Media, tasks: &Tasks) {
    let (media, stop) = (media.clone(), tasks.clone());
    tasks.spawn_loop(info_span!("sweep"), move || {
        let (media, stop) = (media.clone(), stop.clone());
        async move {
            let mut sweeper = Sweeper {
                media,
                steady: None,
                refused: None,
            };
            while !stop.is_stopping() {
                sweeper.sweep().await;
                tokio::select! {
                    () = tokio::time::sleep(EVERY) => {}
                    () = stop.stopping() => {}
                }
            }
        }
    });
}

/// Starts what deletes files that are kept no longer: by itself, since a store that does not answer must keep no task from its end.
pub(crate) fn start_clearing(media: &Media, tasks: &Tasks) {
    let (media, stop) = (media.clone(), tasks.clone());
    tasks.spawn_loop(info_span!("clear"), move || {
        let (media, stop) = (media.clone(), stop.clone());
        async move {
            while !stop.is_stopping() {
                let cleared = media.db.alone("media.clear", || media.clear()).await;
                if let Err(failure) = cleared {
                    warn!(error = %causes(&failure), "cannot clear what is kept no longer");
                }
                tokio::select! {
                    () = tokio::time::sleep(EVERY) => {}
                    () = stop.stopping() => {}
                }
            }
        }
    });
}

struct Sweeper {
    media: Media,
    /// Since when the database has answered each time.
    steady: Option<Instant>,
    /// Since when another process has said that it is sweeping.
    refused: Option<Instant>,
}

// === impl Sweeper ===

impl Sweeper {
    async fn sweep(&mut self) {
        let (media, lost) = (&self.media, self.may_give_up());
        let swept = media.db.alone("media.sweep", || media.sweep(lost)).await;
        match swept {
            Ok(ran) => {
                self.steady.get_or_insert_with(Instant::now);
                self.refused = match ran {
                    Some(()) => None,
                    None => Some(self.refused.unwrap_or_else(Instant::now)),
                };
            }
            Err(failure) => {
                self.steady = None;
                warn!(error = %causes(&failure), "cannot sweep");
            }
        }
        // Nobody sweeps that long: it was stopped in the middle, and holds the right to sweep as long as it stands still.
        let patience = self.media.config.lease;
        if self
            .refused
            .is_some_and(|since| since.elapsed() >= patience)
        {
            self.media.sweep(self.may_give_up()).await;
        }
    }

    /// While the database is away nobody can give a sign of life, and the answers of providers wait to be written down. Once it is
    /// back, those who live come first.
    fn may_give_up(&self) -> Lost {
        let steady = self
            .steady
            .is_some_and(|since| since.elapsed() >= self.media.config.lease);
        if steady || self.media.db.is_embedded() {
            Lost::GivenUp
        } else {
            Lost::Awaited
        }
    }
}

/// What happens to submits whose process seems to be dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    GivenUp,
    Awaited,
}

impl Media {
    /// At the start of a process that has the database for itself: what the last one was at, nobody is at now.
    pub(crate) async fn forget_the_dead(&self) -> Result<(), Error> {
        if !self.db.is_embedded() {
            return Ok(());
        }
        let forgotten: Result<(), Error> = self
            .db
            .write(|connection| {
                Box::pin(async move {
                    db::outbox::forget_claims(&mut *connection).await?;
                    store::upload::forget_leases(&mut *connection).await?;
                    claim::forget_leases(connection).await
                })
            })
            .await;
        forgotten?;
        // So that a customer who sends such a request again, with the same Idempotency-Key, need not wait.
        self.drop_never_accepted(self.db.now_micros()).await
    }

    /// Each part by itself: one that cannot be done does not keep the others from being done.
    async fn sweep(&self, lost: Lost) {
        let before = self
            .db
            .now_micros()
            .saturating_sub(micros(self.config.submit.reserve));
        note("drop", self.drop_never_accepted(before).await);
        note("take up", self.look_after(Find::Untouched).await);
        if lost == Lost::GivenUp {
            note("lost", self.look_after(Find::Lost).await);
        }
        note("late", self.look_after(Find::Late).await);
        note("ring", self.ring_for_queued().await);
    }

    async fn clear(&self) {
        note("outputs", self.kept.outputs.sweep().await);
        note("files", files::sweep(self).await);
    }

    /// Written down by that moment, and the process died before the hold was answered.
    async fn drop_never_accepted(&self, before: i64) -> Result<(), Error> {
        let found = store::task::never_accepted(self.db.reader(), before);
        for task in self.db.read(found).await? {
            warn!(task.id = %task, "dropping a task that was never accepted");
            self.abandon(task).await?;
        }
        Ok(())
    }

    async fn look_after(&self, what: Find) -> Result<(), Error> {
        // Looking costs no commit.
        let left = claim::any_left(self.db.reader(), what, self.db.now_micros());
        if !self.db.read(left).await? {
            return Ok(());
        }
        let (lease, sealer) = (self.lease(), self.secrets.content().clone());
        let found: Result<Vec<Task>, Error> = self
            .db
            .write(move |connection| {
                Box::pin(async move { claim::take_left(connection, what, lease, &sealer).await })
            })
            .await;
        let mended = stream::iter(found?)
            .map(|task| {
                let span = debug_span!("mend", task.id = %task.id, otel.kind = "internal");
                telemetry::adopt_text(&span, &task.trace);
                self.mend(what, task).instrument(span)
            })
            .buffer_unordered(AT_ONCE);
        mended
            .for_each(|mended| async move { note("mend", mended) })
            .await;
        Ok(())
    }

    async fn mend(&self, what: Find, task: Task) -> Result<(), Error> {
        match what {
            // The process died between taking a task and submitting it, or between two submits. Nobody has it: it waits in the queue
            // again.
            Find::Untouched => {
                warn!(task.id = %task.id, "taking up a task that nobody has");
                let Some(mut back) = Move::of(task, Event::PutBack) else {
                    return Ok(());
                };
                back.after.due_at = self.db.now_micros();
                self.make(back).await.map(drop)
            }
            // The process died between a paid submit and its answer. The provider may have it, and has no way to ask: the task
            // fails, free, and its attempt stays listed as unknown.
            Find::Lost => {
                warn!(task.id = %task.id, provider.name = task.provider, "a submit has an unknown outcome");
                if self
                    .fail(
                        task,
                        Failed::of(Ending::SubmitUnknown, code::SUBMIT_OUTCOME_UNKNOWN),
                        None,
                    )
                    .await?
                {
                    self.metrics.unknown_submits.inc();
                }
                Ok(())
            }
            Find::Late => self
                .fail(
                    task,
                    Failed::of(Ending::Deadline, code::DEADLINE_EXCEEDED),
                    None,
                )
                .await
                .map(drop),
        }
    }

    /// The bell was not heard, or a task that was put back is due.
    async fn ring_for_queued(&self) -> Result<(), Error> {
        let now = self.db.now_micros();
        let waiting = store::task::any_to_ring(self.db.reader(), now);
        // Nobody can be rung for now: the tasks keep their place.
        if !self.peers.queue.is_available() || !self.db.read(waiting).await? {
            return Ok(());
        }
        let again = now.saturating_add(micros(self.config.ring_again));
        let due: Result<Vec<_>, Error> = self
            .db
            .write(move |connection| {
                Box::pin(async move { store::task::ring_due(connection, now, again).await })
            })
            .await;
        for task in due? {
            match self.ring_for(task).await {
                // Enough bells are ringing, or none can be; these are rung for again.
                Err(Error::Queue(queue::Error::Full | queue::Error::Unavailable)) => return Ok(()),
                rung => rung?,
            }
        }
        Ok(())
    }
}

fn note(part: &str, outcome: Result<(), Error>) {
    if let Err(failure) = outcome {
        error!(error = %causes(&failure), part, "a sweep failed");
    }
}
