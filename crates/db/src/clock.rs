//! The database's clock. A file has the clock of its process. A server has its own, and all who share it go by that one: it is
//! read now and then, and followed in between by this machine's monotonic clock, so that a step of its wall clock changes nothing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use chassis::{
    Tasks,
    clock::{micros, now_micros},
    telemetry::causes,
};
use sqlx::{AnyConnection, query_scalar};
use tracing::{info_span, warn};

use crate::{Error, reader::Reader};

/// Readings of which the quickest is believed: an answer that took long says little about when it was made.
const READINGS: usize = 3;

/// What time it is for the rows of a database. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    /// The process's.
    Process,
    /// A server's.
    Server(Arc<Anchor>),
}

/// A server's clock, as far as it is known here.
#[derive(Debug)]
pub(crate) struct Anchor {
    started: Instant,
    /// The server's time when this machine's monotonic clock stood at `started`, in microseconds.
    at_start: AtomicI64,
}

// === impl Clock ===

impl Clock {
    /// Follows a server's clock, which is read anew every `interval`.
    pub(crate) fn follow(
        anchor: Anchor,
        reader: &Reader,
        interval: Duration,
        tasks: &Tasks,
    ) -> Self {
        let anchor = Arc::new(anchor);
        let (follower, reader, stop) = (Arc::clone(&anchor), reader.clone(), tasks.clone());
        tasks.spawn_loop(info_span!("database_clock"), move || {
            let (anchor, reader, stop) = (Arc::clone(&follower), reader.clone(), stop.clone());
            async move { anchor.keep(&reader, interval, &stop).await }
        });
        Self::Server(anchor)
    }

    /// Now, in microseconds UTC.
    pub(crate) fn now_micros(&self) -> i64 {
        match self {
            Self::Process => now_micros(),
            Self::Server(anchor) => anchor.now_micros(),
        }
    }
}

// === impl Anchor ===

impl Anchor {
    /// Reads a server's clock for the first time.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(crate) async fn read_first(connection: &mut AnyConnection) -> Result<Self, Error> {
        let anchor = Self {
            started: Instant::now(),
            at_start: AtomicI64::new(0),
        };
        anchor.read(connection).await?;
        Ok(anchor)
    }

    fn now_micros(&self) -> i64 {
        let since = micros(self.started.elapsed());
        self.at_start.load(Ordering::Relaxed).saturating_add(since)
    }

    async fn keep(&self, reader: &Reader, interval: Duration, stop: &Tasks) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = stop.stopping() => return,
            }
            if let Err(error) = self.read_again(reader).await {
                // The monotonic clock goes on; quartz drifts by microseconds in a second.
                warn!(error = %causes(&error), "cannot read the database's clock");
            }
        }
    }

    async fn read_again(&self, reader: &Reader) -> Result<(), Error> {
        let reading = reader.read(async {
            let mut connection = reader.pool().acquire().await?;
            self.read(&mut connection).await
        });
        reading.await
    }

    /// Reads the server's clock. It is taken to have been read in the middle of the question's way there and back.
    async fn read(&self, connection: &mut AnyConnection) -> Result<(), Error> {
        let mut best: Option<(Duration, i64)> = None;
        for _ in 0..READINGS {
            let asked = self.started.elapsed();
            let server: i64 = query_scalar(
                "select cast(extract(epoch from clock_timestamp()) * 1000000 as bigint)",
            )
            .fetch_one(&mut *connection)
            .await?;
            let took = self.started.elapsed().saturating_sub(asked);
            let middle = micros(asked.saturating_add(took / 2));
            if best.is_none_or(|(quickest, _)| took < quickest) {
                best = Some((took, server.saturating_sub(middle)));
            }
        }
        if let Some((_, at_start)) = best {
            self.at_start.store(at_start, Ordering::Relaxed);
        }
        Ok(())
    }
}
