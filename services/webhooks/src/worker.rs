//! Starts what is due: as soon as it is rung, or by looking now and then. How many run at once is bounded here for this process,
//! and in the choice of what is due for each lane and origin, whichever process is at it.
//!
//! An attempt has a fast place. One that takes long gives it back and is one of the slow from then on, as long as there is room among
//! those; whoever is known to be slow begins there. So those who answer never wait for those who do not.

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use chassis::{
    Tasks,
    clock::micros,
    telemetry::{self, causes},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tracing::{field, info_span, warn};

use crate::{
    Error, Shared,
    deliver::deliver,
    store::due::{self, Ask, Claimed, Lease},
    turns::{Bounds, Rests, Room},
};

/// The one loop that starts attempts.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    tasks: Tasks,
    places: Places,
}

/// The places of this process.
#[derive(Clone)]
struct Places {
    fast: Arc<Semaphore>,
    slow: Arc<Semaphore>,
    /// Those among the slow that are for who is known to be.
    known_slow: Arc<Semaphore>,
}

/// Where an attempt has its place, until this is dropped.
struct Place {
    slow: bool,
    _held: Vec<OwnedSemaphorePermit>,
}

/// What a look found.
enum Found {
    /// There may be more.
    Something,
    /// Nothing until then, unless the bell rings.
    Nothing(Duration),
}

// === impl Worker ===

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, tasks: Tasks) -> Self {
        let config = &shared.config.places;
        let places = Places {
            fast: Arc::new(Semaphore::new(config.concurrency)),
            slow: Arc::new(Semaphore::new(config.slow_concurrency)),
            known_slow: Arc::new(Semaphore::new(config.known_slow())),
        };
        Self {
            shared,
            tasks,
            places,
        }
    }

    /// Starts attempts until told to stop. Attempts in flight then run to their end.
    pub(crate) fn run(self) {
        let worker = Arc::new(self);
        let tasks = worker.tasks.clone();
        tasks.spawn_loop(info_span!("webhooks"), move || {
            let worker = Arc::clone(&worker);
            async move { worker.work().await }
        });
    }

    async fn work(&self) {
        let mut backoff = self.shared.config.backoff();
        while !self.tasks.is_stopping() {
            let wait = match self.step().await {
                Ok(Found::Something) => continue,
                Ok(Found::Nothing(wait)) => {
                    backoff = self.shared.config.backoff();
                    wait
                }
                Err(error) => {
                    warn!(error = %causes(&error), "cannot start deliveries");
                    backoff.next()
                }
            };
            tokio::select! {
                () = self.shared.bell.notified() => {}
                () = tokio::time::sleep(wait) => {}
                () = self.tasks.stopping() => {}
            }
        }
    }

    /// Starts what is due now and has a place.
    async fn step(&self) -> Result<Found, Error> {
        let (config, db) = (&self.shared.config, &self.shared.db);
        let room = self.places.room(config.batch);
        if room.is_none() {
            return Ok(Found::Nothing(config.poll));
        }
        // A look costs no commit and no lock where nothing is due.
        let soonest = db.read(due::soonest(db.reader(), room)).await?;
        let now = db.now_micros();
        let Some(at) = soonest else {
            return Ok(Found::Nothing(config.poll));
        };
        if at > now {
            let wait = Duration::from_micros(at.abs_diff(now));
            return Ok(Found::Nothing(wait.min(config.poll)));
        }
        let (ask, begun) = (self.ask(room, now), Instant::now());
        let taken = db
            .write(move |connection| Box::pin(due::take(connection, ask)))
            .await?;
        // Only this loop takes places at the start, and slow attempts take theirs in their turn: where one was faster, this attempt
        // begins without, and is one too many for a moment.
        for claimed in taken.fast {
            self.start(claimed, begun, self.places.fast());
        }
        for claimed in taken.slow {
            self.start(claimed, begun, self.places.known_slow());
        }
        Ok(match taken.looked {
            // Another process was faster.
            0 => Found::Nothing(config.poll),
            _ => Found::Something,
        })
    }

    fn ask(&self, room: Room, now: i64) -> Ask {
        let config = &self.shared.config;
        let mut bounds = Bounds {
            per_lane: i64::from(config.places.lane_concurrency),
            per_origin: i64::from(config.places.origin_concurrency),
        };
        if self.places.are_scarce(config.places.slow_concurrency) {
            // Many hang who are not known to: none of them is to have a second place before somebody else has a first.
            bounds = Bounds {
                per_lane: 1,
                per_origin: 1,
            };
        }
        Ask {
            bounds,
            room,
            rests: Rests {
                full: micros(config.sweep),
                held: micros(config.poll),
            },
            lease: Lease {
                now,
                until: now.saturating_add(micros(config.lease)),
            },
        }
    }

    fn start(&self, claimed: Claimed, begun: Instant, place: Place) {
        let (shared, places) = (Arc::clone(&self.shared), self.places.clone());
        // A client span, because the attempt is little more than its one request.
        let span = info_span!(
            "deliver",
            delivery.id = %claimed.id,
            otel.kind = "client",
            otel.status_code = field::Empty,
            http.request.method = "POST",
            http.response.status_code = field::Empty,
        );
        telemetry::adopt_text(&span, &claimed.event.trace);
        self.tasks.spawn(span, async move {
            let in_flight = shared.metrics.in_flight();
            let attempt = Box::pin(deliver(&shared, claimed, begun));
            if let Err(error) = places.hold(&shared, place, attempt).await {
                // The lease runs out, and it is tried again.
                warn!(error = %causes(&error), "cannot end a delivery");
            }
            drop(in_flight);
            // A place is free, and perhaps this lane's turn has come.
            shared.bell.notify_one();
        });
    }
}

// === impl Places ===

impl Places {
    /// How many may be started, `most` of each kind.
    fn room(&self, most: usize) -> Room {
        let slow = self.slow.available_permits();
        Room {
            fast: self.fast.available_permits().min(most),
            slow: self.known_slow.available_permits().min(slow).min(most),
        }
    }

    /// Whether more than half of the `all` slow places are taken.
    fn are_scarce(&self, all: usize) -> bool {
        self.slow.available_permits() < all / 2
    }

    fn fast(&self) -> Place {
        Place {
            slow: false,
            _held: taken([&self.fast]),
        }
    }

    fn known_slow(&self) -> Place {
        Place {
            slow: true,
            _held: taken([&self.known_slow, &self.slow]),
        }
    }

    /// Keeps an attempt's place for it while it lasts: a fast one for `slow_after`, and on until there is room among the slow.
    async fn hold<T>(&self, shared: &Shared, place: Place, attempt: impl Future<Output = T>) -> T {
        let mut attempt = pin!(attempt);
        if place.slow {
            let _slow = (shared.metrics.slow(), place);
            return attempt.await;
        }
        let room = async {
            tokio::time::sleep(shared.config.places.slow_after).await;
            Arc::clone(&self.slow).acquire_owned().await
        };
        let slow = tokio::select! {
            ended = &mut attempt => return ended,
            slow = room => slow,
        };
        let _slow = (shared.metrics.slow(), slow);
        drop(place);
        shared.bell.notify_one();
        attempt.await
    }
}

fn taken<'s>(places: impl IntoIterator<Item = &'s Arc<Semaphore>>) -> Vec<OwnedSemaphorePermit> {
    let places = places.into_iter();
    places
        .filter_map(|place| Arc::clone(place).try_acquire_owned().ok())
        .collect()
}
