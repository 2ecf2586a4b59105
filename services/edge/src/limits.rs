//! How much one key may do: requests per minute (GCRA) and open requests. Both are counted in the shared state; where that
//! fails, requests are let through and a metric says so, because money is guarded elsewhere.

use std::{sync::Arc, time::Duration};

use futures::FutureExt as _;
use live::{Admission, Rate, SharedLive};
use proto::{Fault, code};
use tracing::Span;

use crate::{
    App,
    auth::Identity,
    error::ApiError,
    ticket::{RateState, Ticket},
};

/// How long a key with too many open requests is told to wait: nobody knows when one of them ends.
const OPEN_REQUESTS_WAIT: Duration = Duration::from_secs(1);

/// One of a key's open requests; given back when dropped.
pub(crate) struct Slot {
    live: SharedLive,
    tasks: chassis::Tasks,
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
        live: Arc::clone(&app.live),
        tasks: app.tasks.clone(),
        identity: Arc::clone(identity),
        slot: ticket.bytes,
    };
    let taken = app
        .live
        .take_slot(&identity.limit_key, ticket.bytes, limit, rates.slot_life)
        .await;
    match taken {
        Ok(true) => {
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

// === impl Slot ===

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let live = Arc::clone(&self.live);
        let identity = Arc::clone(&self.identity);
        let slot = self.slot;
        let mut giving = Box::pin(async move {
            if let Err(error) = live.give_slot(&identity.limit_key, slot).await {
                tracing::debug!(%error, "cannot give back a slot; it ends by itself");
            }
        });
        // In one process this is done at once, so that the key's next request finds the slot free.
        if giving.as_mut().now_or_never().is_none() {
            self.tasks.spawn_detached(Span::none(), giving);
        }
    }
}
