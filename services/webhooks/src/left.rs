//! What an attempt leaves when it has ended, written in one transaction: where its delivery stands, how the attempt went, what that says
//! of the endpoint, and what its owner is told.

use std::time::Duration;

use chassis::telemetry::causes;
use domain::{AccountId, DeliveryId, EndpointId, EventId, Mode};
use sqlx::AnyConnection;
use tokio::time::Instant;
use tracing::warn;

use crate::{
    Error, Shared,
    notice::{self, Note},
    schedule::{Heard, Next},
    store::{
        attempt,
        delivery::{self, Ended, Held},
        due::Claimed,
        ended,
        endpoint::{self, Reason},
        lane,
    },
};

/// For how long after its lease the end of an attempt is kept for a database that is away.
const OUTAGE: Duration = Duration::from_secs(600);

/// Whose attempt it is.
#[derive(Clone, Copy)]
pub(crate) struct Attempt {
    pub(crate) delivery: DeliveryId,
    pub(crate) event: EventId,
    /// Whose event.
    pub(crate) owner: (AccountId, Mode),
    /// Which endpoint it is for; `None`: a URL that a request named.
    pub(crate) endpoint: Option<EndpointId>,
    pub(crate) claim: i64,
    /// How many ended before it.
    pub(crate) before: i64,
    /// Its lease counts from here.
    pub(crate) begun: Instant,
}

/// What the end of an attempt says of its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing new.
    None,
    /// It works again.
    Works,
    /// It has failed once more.
    Fails,
    /// It is not to be sent anything any more.
    Disables(Reason),
}

/// What is to be written down.
pub(crate) struct Left {
    pub(crate) attempt: Attempt,
    pub(crate) ended: Ended,
    /// `None`: nothing was sent.
    pub(crate) log: Option<attempt::NewRow>,
    /// What its lane is told.
    pub(crate) heard: Heard,
    pub(crate) effect: Effect,
    pub(crate) next: Next,
}

/// The same, ready for a transaction.
struct Writes {
    ended: Ended,
    log: Option<attempt::NewRow>,
    of_lane: (lane::Ended, lane::Rules),
    endpoint: Option<(EndpointId, Effect)>,
    /// What its owner, and the operator, are told of the delivery, and of the endpoint if this disables it.
    of_delivery: Vec<Note>,
    of_endpoint: Vec<Note>,
    /// When the attempt began, and when it is. Microseconds UTC.
    times: (i64, i64),
    /// How many deliveries are parked with it.
    at_once: u32,
}

// === impl Attempt ===

impl Attempt {
    pub(crate) fn of(claimed: &Claimed, begun: Instant) -> Self {
        Self {
            delivery: claimed.id,
            event: claimed.event.id,
            owner: (claimed.event.account, claimed.event.mode),
            endpoint: claimed.endpoint,
            claim: claimed.claim,
            before: claimed.attempts,
            begun,
        }
    }

    /// Which attempt it is, counted from 1.
    pub(crate) fn number(&self) -> usize {
        usize::try_from(self.before)
            .unwrap_or(usize::MAX)
            .saturating_add(1)
    }

    /// Whether its lease does not cover an attempt any more.
    pub(crate) fn is_late(&self, shared: &Shared) -> bool {
        self.begun.elapsed().saturating_add(shared.config.timeout) > shared.config.lease
    }
}

// === impl Left ===

impl Left {
    /// Writes it down. While the database is away this waits, and beyond the lease, as nobody can begin another attempt either:
    /// what has arrived must not be sent again only because nobody could write it down.
    pub(crate) async fn record(&self, shared: &Shared) -> Result<Held, Error> {
        let mut backoff = shared.config.backoff();
        loop {
            match self.write(shared).await {
                Err(Error::Db(failure))
                    if failure.is_retriable()
                        && self.attempt.begun.elapsed()
                            < shared.config.lease.saturating_add(OUTAGE) =>
                {
                    warn!(error = %causes(&failure), "the database is away; trying again");
                    tokio::time::sleep(backoff.next()).await;
                }
                done => return done,
            }
        }
    }

    async fn write(&self, shared: &Shared) -> Result<Held, Error> {
        let writes = self.writes(shared).await?;
        let (of_delivery, of_endpoint) = (writes.of_delivery.len(), writes.of_endpoint.len());
        let (held, disabled) = shared
            .db
            .write(move |connection| Box::pin(writes.run(connection)))
            .await?;
        if held == Held::No {
            return Ok(held);
        }
        if self.next == Next::Exhausted {
            shared.metrics.exhausted();
        }
        if let (true, Effect::Disables(reason), Some(id)) =
            (disabled, self.effect, self.attempt.endpoint)
        {
            shared.metrics.disabled(reason.as_str());
            warn!(endpoint.id = %id, reason = reason.as_str(), "an endpoint was disabled for how it answers");
        }
        if of_delivery > 0 || (disabled && of_endpoint > 0) {
            shared.bell.notify_one();
        }
        Ok(held)
    }

    async fn writes(&self, shared: &Shared) -> Result<Writes, Error> {
        let of_delivery = match self.next {
            Next::Exhausted => told(notice::exhausted(shared, self).await)?,
            Next::Delivered | Next::Retry(_) | Next::Gone => Vec::new(),
        };
        let of_endpoint = match (self.effect, self.attempt.endpoint) {
            (Effect::Disables(reason), Some(id)) => {
                told(notice::disabled(shared, self, id, reason).await)?
            }
            (Effect::Disables(_) | Effect::None | Effect::Works | Effect::Fails, _) => Vec::new(),
        };
        let now = shared.db.now_micros();
        Ok(Writes {
            ended: self.ended.clone(),
            log: self.log.clone(),
            of_lane: (self.ended.told(self.heard), shared.config.lane_rules()),
            endpoint: self.attempt.endpoint.map(|id| (id, self.effect)),
            of_delivery,
            of_endpoint,
            times: (self.log.as_ref().map_or(now, |log| log.started_at), now),
            at_once: shared.limits.at_once,
        })
    }
}

// === impl Writes ===

impl Writes {
    /// Whether the attempt was still the last one, and whether its endpoint was disabled by it. Lanes come last: whoever chooses what
    /// begins holds lanes, and waits for deliveries.
    async fn run(self, connection: &mut AnyConnection) -> Result<(Held, bool), Error> {
        let (began, now) = self.times;
        if delivery::end(connection, self.ended, now).await? == Held::No {
            return Ok((Held::No, false));
        }
        if let Some(log) = self.log {
            attempt::insert(connection, log).await?;
        }
        let disabled = match self.endpoint {
            Some((id, effect)) => take_effect(connection, id, effect, (began, now)).await?,
            None => false,
        };
        let mut notes = self.of_delivery;
        if disabled {
            ended::park(connection, now, self.at_once).await?;
            notes.extend(self.of_endpoint);
        }
        for note in notes {
            notice::insert(connection, note).await?;
        }
        let (told, rules) = self.of_lane;
        lane::ended(connection, told, rules, now).await?;
        Ok((Held::Yes, disabled))
    }
}

/// A notice that cannot be made, as when what is kept of another endpoint does not open, must not keep the end itself from being written.
fn told(notes: Result<Vec<Note>, Error>) -> Result<Vec<Note>, Error> {
    match notes {
        Err(error) if !matches!(error, Error::Db(_)) => {
            warn!(error = %causes(&error), "nobody is told of a delivery that was given up");
            Ok(Vec::new())
        }
        made => made,
    }
}

/// Writes down what an attempt says of its endpoint; says whether the endpoint was disabled by it.
async fn take_effect(
    connection: &mut AnyConnection,
    id: EndpointId,
    effect: Effect,
    (began, now): (i64, i64),
) -> Result<bool, Error> {
    match effect {
        Effect::None => Ok(false),
        Effect::Works => {
            endpoint::succeeded(connection, id).await?;
            Ok(false)
        }
        Effect::Fails => {
            endpoint::failed(connection, id, began, now).await?;
            Ok(false)
        }
        Effect::Disables(reason) => {
            endpoint::failed(connection, id, began, now).await?;
            endpoint::disable(connection, id, reason, (began, now)).await
        }
    }
}
