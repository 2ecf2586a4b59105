//! How much one key may do, and one account: requests per minute (GCRA) and open requests. All are counted in the shared state; where that
//! fails, requests are let through and a metric says so, because money is guarded elsewhere.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chassis::{Overload, Tasks};
use futures::{FutureExt as _, StreamExt as _, future::join_all, stream};
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

/// How long who comes when there is too much to do is told to wait: it is caught up with within that time.
const OVERLOAD_WAIT: Duration = Duration::from_secs(1);

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
    /// What this process takes on at once.
    overload: Arc<Overload>,
}

/// Some of the open requests.
type Part = Mutex<HashMap<[u8; 16], Arc<Identity>>>;

/// One of the open requests of a key and its account; given back when dropped.
pub(crate) struct Slot {
    slots: Arc<Slots>,
    identity: Arc<Identity>,
    slot: [u8; 16],
}

/// How much of something a key or an account may do.
#[derive(Clone, Copy, Debug)]
struct Limit<'a> {
    /// The name under which it is counted.
    name: &'a str,
    whose: Whose,
    most: u32,
}

/// Whose limit it is.
#[derive(Clone, Copy, Debug)]
enum Whose {
    Key,
    Account,
}

/// A request that was counted, and how many more would have been let through then.
type Counted<'a> = (Limit<'a>, u32);

/// Takes a request on that costs work, whoever sent it, unless there is more to do than can be done in time. Asked before all else, so that
/// a refusal is worth little.
pub(crate) fn take_on(app: &App, ticket: &Ticket) -> Result<(), ApiError> {
    let Some(begun) = app.slots.overload.begin() else {
        app.metrics.overloaded.inc();
        let fault = Fault::of(code::OVERLOADED).retry_after(OVERLOAD_WAIT);
        return Err(fault.into());
    };
    let _ = ticket.begun.set(begun);
    Ok(())
}

/// Lets a request in, or says how long to wait. A request that is refused counts against nothing: whatever one limit took, the
/// refusal of another gives back.
pub(crate) async fn admit(
    app: &App,
    ticket: &Ticket,
    identity: &Arc<Identity>,
) -> Result<(), ApiError> {
    let counted = count(app, ticket, identity).await?;
    let taken = take_slot(app, ticket, identity).await;
    if taken.is_err() {
        give_back(app, &counted).await;
    }
    taken
}

/// Counts the request against the rates of the key and of its account.
async fn count<'a>(
    app: &App,
    ticket: &Ticket,
    identity: &'a Identity,
) -> Result<Vec<Counted<'a>>, ApiError> {
    let limits = rates(identity, &app.config.limits.rates);
    let answers = join_all(limits.map(|limit| async move {
        let rate = rate(limit);
        (limit, app.live.admit(limit.name, rate).await)
    }))
    .await;
    let mut counted: Vec<Counted<'a>> = Vec::with_capacity(answers.len());
    let mut refused: Option<(Limit<'a>, Duration)> = None;
    for (limit, answer) in answers {
        match answer {
            Ok(Admission::Allowed { remaining }) => counted.push((limit, remaining)),
            Ok(Admission::Refused { retry_after }) => {
                // The longer wait is the one that helps.
                if refused.is_none_or(|(_, wait)| wait < retry_after) {
                    refused = Some((limit, retry_after));
                }
            }
            Err(error) => uncounted(app, &error, "cannot count a request"),
        }
    }
    let Some((limit, retry_after)) = refused else {
        if let Some((limit, remaining)) = counted.iter().min_by_key(|(_, remaining)| *remaining) {
            let _ = ticket.rate.set(RateState {
                limit: limit.most,
                remaining: *remaining,
            });
        }
        return Ok(counted);
    };
    give_back(app, &counted).await;
    let _ = ticket.rate.set(RateState {
        limit: limit.most,
        remaining: 0,
    });
    let message = format!(
        "{} may send {} requests per minute, and has sent them",
        limit.whose.words(),
        limit.most
    );
    Err(Fault::new(code::RATE_LIMITED, message)
        .retry_after(retry_after)
        .into())
}

/// Takes back what was counted.
async fn give_back(app: &App, counted: &[Counted<'_>]) {
    for (limit, _) in counted {
        if let Err(error) = app.live.uncount(limit.name, rate(*limit)).await {
            tracing::debug!(%error, "cannot take back a request that was counted");
        }
    }
}

/// Takes one of the slots of the key and of its account until the answer's last byte.
async fn take_slot(app: &App, ticket: &Ticket, identity: &Arc<Identity>) -> Result<(), ApiError> {
    let rates = &app.config.limits.rates;
    // Made before the slot is taken, so that a client that leaves meanwhile keeps none.
    let slot = Slot {
        slots: Arc::clone(&app.slots),
        identity: Arc::clone(identity),
        slot: ticket.bytes,
    };
    let answers = join_all(open_requests(identity, rates).map(|limit| async move {
        let taken = app
            .live
            .take_slot(limit.name, ticket.bytes, limit.most, rates.slot_life);
        (limit, taken.await)
    }))
    .await;
    let mut is_taken = false;
    let mut full = None;
    for (limit, answer) in answers {
        match answer {
            Ok(true) => is_taken = true,
            Ok(false) => full = Some(limit),
            Err(error) => uncounted(app, &error, "cannot count an open request"),
        }
    }
    if let Some(limit) = full {
        if is_taken {
            // Before the answer, so that the next request finds it free.
            give(&app.live, identity, (ticket.bytes, rates)).await;
        }
        let message = format!(
            "{} may have {} requests open at once, and has them",
            limit.whose.words(),
            limit.most
        );
        return Err(Fault::new(code::TOO_MANY_CONCURRENT, message)
            .retry_after(OPEN_REQUESTS_WAIT)
            .into());
    }
    if is_taken {
        app.slots.add(ticket.bytes, Arc::clone(identity));
        let _ = ticket.slot.set(slot);
    }
    Ok(())
}

/// A limit that cannot be looked at lets through: money is guarded elsewhere.
fn uncounted(app: &App, error: &live::Error, what: &str) {
    tracing::debug!(%error, "{what}");
    app.metrics.uncounted.inc();
}

/// What the key may send per minute, and what its account may, if that is limited.
fn rates<'a>(identity: &'a Identity, rates: &Rates) -> impl Iterator<Item = Limit<'a>> + use<'a> {
    let key = chosen(identity.rpm, rates.per_minute);
    limits(identity, key, rates.account_per_minute)
}

/// How many requests the key may have open, and how many its account may, if that is limited.
fn open_requests<'a>(
    identity: &'a Identity,
    rates: &Rates,
) -> impl Iterator<Item = Limit<'a>> + use<'a> {
    let key = chosen(identity.concurrency, rates.concurrency);
    limits(identity, key, rates.account_concurrency)
}

/// Of an account, nothing means no limit.
fn limits(identity: &Identity, key: u32, account: u32) -> impl Iterator<Item = Limit<'_>> {
    let key = Limit {
        name: &identity.limit_key,
        whose: Whose::Key,
        most: key,
    };
    let account = (account > 0).then_some(Limit {
        name: &identity.limit_account,
        whose: Whose::Account,
        most: account,
    });
    [Some(key), account].into_iter().flatten()
}

/// As many at once as in a minute.
const fn rate(limit: Limit<'_>) -> Rate {
    Rate {
        per_minute: limit.most,
        burst: limit.most,
    }
}

/// A key's own limit, or the configured one when it has none.
const fn chosen(own: u32, configured: u32) -> u32 {
    if own == 0 { configured } else { own }
}

// === impl Whose ===

impl Whose {
    const fn words(self) -> &'static str {
        match self {
            Self::Key => "this key",
            Self::Account => "this account",
        }
    }
}

// === impl Slots ===

impl Slots {
    /// None are open yet.
    pub(crate) fn new(
        live: SharedLive,
        rates: Rates,
        overload: Arc<Overload>,
        tasks: Tasks,
    ) -> Arc<Self> {
        let open = (0..PARTS).map(|_| Mutex::default()).collect();
        Arc::new(Self {
            live,
            tasks,
            rates,
            open,
            overload,
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
        let life = self.rates.slot_life;
        for limit in open_requests(&identity, &self.rates) {
            let renewed = self.live.renew_slot(limit.name, slot, limit.most, life);
            if let Err(error) = renewed.await {
                tracing::debug!(%error, "cannot renew a slot");
            }
        }
        // It was given back meanwhile, and perhaps taken again by this.
        if !locked(part).contains_key(&slot) {
            give(&self.live, &identity, (slot, &self.rates)).await;
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

/// Gives a slot back wherever it may have been taken.
async fn give(live: &SharedLive, identity: &Identity, (slot, rates): ([u8; 16], &Rates)) {
    for limit in open_requests(identity, rates) {
        if let Err(error) = live.give_slot(limit.name, slot).await {
            tracing::debug!(%error, "cannot give back a slot; it ends by itself");
        }
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
        let mut giving = Box::pin(async move {
            give(&slots.live, &identity, (slot, &slots.rates)).await;
        });
        // In one process this is done at once, so that the key's next request finds the slot free. Otherwise stopping waits
        // for it: a slot that is not given back counts as open after the end.
        if giving.as_mut().now_or_never().is_none() {
            self.slots.tasks.spawn(Span::none(), giving);
        }
    }
}
