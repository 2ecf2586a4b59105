//! How much one key may do: requests per minute (GCRA) and open requests. Both are counted in the shared state; where that
//! fails, requests are let through and a metric says so, because money is guarded elsewhere.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chassis::Tasks;
use futures::{FutureExt as _, StreamExt as _, stream};
use live::{Admission, Rate, SharedLive};
use proto::{Fault, code};
use tokio::time::sleep;
use tracing::{Span, info_span};

use crate::{
    App, Rates,
    auth::Identity,
    error::ApiError,
    ticket::{RateState, Ticket},
};

/// How long a key with too many open requests is told to wait: nobody knows when one of them ends.
const OPEN_REQUESTS_WAIT: Duration = Duration::from_secs(1);

/// How often slots are renewed in the time after which they would be lost.
const RENEWALS: u32 = 3;
/// Parts that the open requests are kept in. Each is renewed at a time of its own: nobody waits long for one of these locks,
/// and renewals come evenly.
const PARTS: u8 = 16;
/// Renewals under way at once.
const RENEWED_AT_ONCE: usize = 32;

/// The slots of all open requests, which are renewed while they are open: in the shared state a slot lives only so long, so that
/// a process that dies blocks no key.
pub(crate) struct Slots {
    live: SharedLive,
    tasks: Tasks,
    rates: Rates,
    open: Vec<Part>,
}

/// Some of the open requests.
type Part = Mutex<HashMap<[u8; 16], Arc<Identity>>>;

/// One of a key's open requests; given back when dropped.
pub(crate) struct Slot {
    slots: Arc<Slots>,
    identity: Arc<Identity>,
    slot: [u8; 16],
}

/// Lets a request in, or says how long to wait.
pub(crate) async fn admit(
    app: &App,
    ticket: &Ticket,
    identity: &Arc<Identity>,
) -> Result<(), ApiError> {
    count(app, ticket, identity).await?;
    take_slot(app, ticket, identity).await
}

/// Counts the request against the key's rate.
async fn count(app: &App, ticket: &Ticket, identity: &Identity) -> Result<(), ApiError> {
    let limit = chosen(identity.rpm, app.config.limits.rates.per_minute);
    let rate = Rate {
        per_minute: limit,
        burst: limit,
    };
    let admission = match app.live.admit(&identity.limit_key, rate).await {
        Ok(admission) => admission,
        Err(error) => {
            tracing::debug!(%error, "cannot count a request");
            app.metrics.uncounted.inc();
            return Ok(());
        }
    };
    match admission {
        Admission::Allowed { remaining } => {
            let _ = ticket.rate.set(RateState { limit, remaining });
            Ok(())
        }
        Admission::Refused { retry_after } => {
            let _ = ticket.rate.set(RateState {
                limit,
                remaining: 0,
            });
            let message =
                format!("this key may send {limit} requests per minute, and has sent them");
            Err(Fault::new(code::RATE_LIMITED, message)
                .retry_after(retry_after)
                .into())
        }
    }
}

/// Takes one of the key's slots until the answer's last byte.
async fn take_slot(app: &App, ticket: &Ticket, identity: &Arc<Identity>) -> Result<(), ApiError> {
    let rates = &app.config.limits.rates;
    let limit = chosen(identity.concurrency, rates.concurrency);
    // Made before the slot is taken, so that a client that leaves meanwhile keeps none.
    let slot = Slot {
        slots: Arc::clone(&app.slots),
        identity: Arc::clone(identity),
        slot: ticket.bytes,
    };
    let taken = app
        .live
        .take_slot(&identity.limit_key, ticket.bytes, limit, rates.slot_life)
        .await;
    match taken {
        Ok(true) => {
            app.slots.add(ticket.bytes, Arc::clone(identity));
            let _ = ticket.slot.set(slot);
            Ok(())
        }
        Ok(false) => {
            let message = format!("this key may have {limit} requests open at once, and has them");
            Err(Fault::new(code::TOO_MANY_CONCURRENT, message)
                .retry_after(OPEN_REQUESTS_WAIT)
                .into())
        }
        Err(error) => {
            tracing::debug!(%error, "cannot count an open request");
            app.metrics.uncounted.inc();
            Ok(())
        }
    }
}

/// A key's own limit, or the configured one when it has none.
const fn chosen(own: u32, configured: u32) -> u32 {
    if own == 0 { configured } else { own }
}

// === impl Slots ===

impl Slots {
    /// None are open yet.
    pub(crate) fn new(live: SharedLive, rates: Rates, tasks: Tasks) -> Arc<Self> {
        let open = (0..PARTS).map(|_| Mutex::default()).collect();
        Arc::new(Self {
            live,
            tasks,
            rates,
            open,
        })
    }

    /// Renews what is open, until told to stop; what is open then has most of its life before it.
    pub(crate) fn keep(self: &Arc<Self>) {
        let slots = Arc::clone(self);
        self.tasks.spawn_loop(info_span!("slots"), move || {
            let slots = Arc::clone(&slots);
            async move {
                tokio::select! {
                    () = slots.renew_for_ever() => {}
                    () = slots.tasks.stopping() => {}
                }
            }
        });
    }

    async fn renew_for_ever(&self) {
        let parts = RENEWALS * u32::from(PARTS);
        let pause = (self.rates.slot_life / parts).max(Duration::from_millis(1));
        for part in self.open.iter().cycle() {
            sleep(pause).await;
            let open: Vec<_> = locked(part)
                .iter()
                .map(|(slot, identity)| (*slot, Arc::clone(identity)))
                .collect();
            let renew = |(slot, identity)| self.renew(part, slot, identity);
            let renewals = stream::iter(open).for_each_concurrent(RENEWED_AT_ONCE, renew);
            renewals.await;
        }
    }

    async fn renew(&self, part: &Part, slot: [u8; 16], identity: Arc<Identity>) {
        let key = &identity.limit_key;
        let limit = chosen(identity.concurrency, self.rates.concurrency);
        let life = self.rates.slot_life;
        if let Err(error) = self.live.renew_slot(key, slot, limit, life).await {
            tracing::debug!(%error, "cannot renew a slot");
        }
        // It was given back meanwhile, and perhaps taken again by this.
        if !locked(part).contains_key(&slot) {
            give(&self.live, &identity, slot).await;
        }
    }

    fn add(&self, slot: [u8; 16], identity: Arc<Identity>) {
        if let Some(part) = self.part(slot) {
            locked(part).insert(slot, identity);
        }
    }

    fn remove(&self, slot: [u8; 16]) {
        if let Some(part) = self.part(slot) {
            locked(part).remove(&slot);
        }
    }

    /// The last byte of an id is random.
    fn part(&self, slot: [u8; 16]) -> Option<&Part> {
        let [.., last] = slot;
        self.open.get(usize::from(last % PARTS))
    }
}

/// What is behind these locks is whole between any two statements.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn give(live: &SharedLive, identity: &Identity, slot: [u8; 16]) {
    if let Err(error) = live.give_slot(&identity.limit_key, slot).await {
        tracing::debug!(%error, "cannot give back a slot; it ends by itself");
    }
}

// === impl Slot ===

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let (slots, slot) = (Arc::clone(&self.slots), self.slot);
        let identity = Arc::clone(&self.identity);
        // First this, so that nobody renews it any more.
        slots.remove(slot);
        let mut giving = Box::pin(async move { give(&slots.live, &identity, slot).await });
        // In one process this is done at once, so that the key's next request finds the slot free. Otherwise stopping waits
        // for it: a slot that is not given back counts as open after the end.
        if giving.as_mut().now_or_never().is_none() {
            self.slots.tasks.spawn(Span::none(), giving);
        }
    }
}
