//! Use case: one attempt of one delivery, in three phases that are types: [`Prepared`], then [`Sent`], then recorded.
//!
//! The attempt was recorded as `inflight` before this begins. Dying anywhere in here leaves a lease that runs out, and then
//! another attempt with the same id.

use std::time::Duration;

use bytes::Bytes;
use chassis::{
    clock::{MICROS_PER_SECOND, micros},
    telemetry::causes,
};
use domain::{DeliveryId, EventId, Secret};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_TYPE, USER_AGENT},
};
use rand::RngExt as _;
use tokio::time::Instant;
use tracing::{Span, debug, info, warn};
use upstream::{Caps, EgressError, Redirects};

use crate::{
    Error, Shared,
    schedule::{self, Heard, Jitter, Next, Outcome},
    secret::{opened, secret},
    sign::sign,
    store::{
        self,
        delivery::{self, Ended, Held, State},
        due::Claimed,
        endpoint, lane,
    },
};

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const SENDER: HeaderValue = HeaderValue::from_static("aio-webhooks/1");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// For how long after its lease the end of an attempt is kept for a database that is away.
const OUTAGE: Duration = Duration::from_secs(600);

/// The longest kept reason of a failure, in characters.
const MAX_ERROR_CHARS: usize = 300;

/// Whose attempt it is.
#[derive(Clone, Copy)]
struct Attempt {
    delivery: DeliveryId,
    event: EventId,
    claim: i64,
    /// How many ended before it.
    before: i64,
    /// Its lease counts from here.
    begun: Instant,
}

/// Opened and signed: everything that goes over the wire.
struct Prepared {
    attempt: Attempt,
    url: Secret,
    headers: HeaderMap,
    body: Bytes,
}

/// It has been tried, and this is how it ended.
struct Sent {
    attempt: Attempt,
    outcome: Outcome,
    /// Why it failed, in our words.
    error: Option<String>,
}

/// Makes one attempt, whose lease began at `begun`. What the other side does is never an error here.
pub(crate) async fn deliver(
    shared: &Shared,
    claimed: Claimed,
    begun: Instant,
) -> Result<Next, Error> {
    let attempt = Attempt::of(&claimed, begun);
    let sent = match Prepared::prepare(shared, attempt, claimed).await {
        // This process slept: somebody else may send it before we would have an answer.
        Ok(_) if attempt.is_late(shared) => return Err(Error::Late),
        Ok(prepared) => prepared.send(shared).await,
        Err(Error::Removed) => Sent {
            outcome: Outcome::Removed,
            ..Sent::failed(attempt, &Error::Removed.to_string())
        },
        // The database is away: nothing can be recorded either. The lease runs out, and it is tried again.
        Err(error @ Error::Db(_)) => return Err(error),
        // Another content key, perhaps only until the operator puts back the right one.
        Err(error) => Sent::failed(attempt, &error.to_string()),
    };
    sent.record(shared).await
}

// === impl Attempt ===

impl Attempt {
    fn of(claimed: &Claimed, begun: Instant) -> Self {
        Self {
            delivery: claimed.id,
            event: claimed.event.id,
            claim: claimed.claim,
            before: claimed.attempts,
            begun,
        }
    }

    /// Which attempt it is, counted from 1.
    fn number(&self) -> usize {
        usize::try_from(self.before)
            .unwrap_or(usize::MAX)
            .saturating_add(1)
    }

    /// Records its end. While the database is away this waits, and beyond the lease, as nobody can begin another attempt either:
    /// what has arrived must not be sent again only because nobody could write it down.
    async fn end(&self, shared: &Shared, ended: Ended, heard: Heard) -> Result<Held, Error> {
        let rules = shared.config.lane_rules();
        let mut backoff = shared.config.backoff();
        loop {
            let (row, now) = (ended.clone(), shared.db.now_micros());
            let write = shared.db.write(move |connection| {
                Box::pin(async move {
                    let told = row.told(heard);
                    let held = delivery::end(connection, row, now).await?;
                    if held == Held::Yes {
                        lane::ended(connection, told, rules, now).await?;
                    }
                    Ok(held)
                })
            });
            match write.await {
                Err(Error::Db(failure))
                    if failure.is_retriable()
                        && self.begun.elapsed() < shared.config.lease.saturating_add(OUTAGE) =>
                {
                    warn!(error = %causes(&failure), "the database is away; trying again");
                    tokio::time::sleep(backoff.next()).await;
                }
                done => return done,
            }
        }
    }

    /// Whether its lease does not cover an attempt any more.
    fn is_late(&self, shared: &Shared) -> bool {
        self.begun.elapsed().saturating_add(shared.config.timeout) > shared.config.lease
    }
}

// === impl Prepared ===

impl Prepared {
    async fn prepare(shared: &Shared, attempt: Attempt, claimed: Claimed) -> Result<Self, Error> {
        let secret = signing(shared, &claimed).await?;
        let url = opened(shared, &delivery::url_place(claimed.id), &claimed.url)?;
        let event = claimed.event;
        let place = store::event::payload_place(event.id);
        let body = shared.secrets.content().open(&place, &event.payload)?;
        let now = shared.db.now_micros();
        let headers = headers(&secret, event.id, now, &body)?;
        Ok(Self {
            attempt,
            url,
            headers,
            body: body.into(),
        })
    }

    async fn send(self, shared: &Shared) -> Sent {
        let begun = Instant::now();
        let caps = Caps {
            timeout: shared.config.timeout,
            max_bytes: shared.config.max_response_bytes,
            redirects: Redirects::Refuse,
        };
        let admitted = shared.client.policy().admit(self.url.expose());
        let answer = match admitted.map_err(EgressError::Refused) {
            Ok(url) => {
                let post = shared.client.post(&url, self.headers, self.body, &caps);
                post.await
            }
            Err(refused) => Err(refused),
        };
        shared.metrics.took(begun.elapsed());
        match answer {
            Ok(answer) => Sent::answered(self.attempt, &answer),
            Err(error) => {
                if let EgressError::Refused(refusal) = &error {
                    shared.metrics.refused(refusal.reason());
                }
                Sent::unanswered(self.attempt, &error)
            }
        }
    }
}

/// What signs a delivery: the secret of its endpoint, or that of the account's callbacks. It came with the claim, unless there is none yet.
async fn signing(shared: &Shared, claimed: &Claimed) -> Result<Secret, Error> {
    let (account, mode) = (claimed.event.account, claimed.event.mode);
    let place = match claimed.endpoint {
        Some(id) => endpoint::secret_place(id),
        None => store::secret::place(account, mode),
    };
    match &claimed.secret {
        Some(sealed) => opened(shared, &place, sealed),
        None if claimed.endpoint.is_some() => Err(Error::Removed),
        None => secret(shared, account, mode).await,
    }
}

/// The three headers of Standard Webhooks, and who sends what. The id is the event's, the time this attempt's.
fn headers(secret: &Secret, event: EventId, now: i64, body: &[u8]) -> Result<HeaderMap, Error> {
    let id = event.to_string();
    let timestamp = now.div_euclid(MICROS_PER_SECOND);
    let signature = sign(secret, &id, timestamp, body)
        .map_err(|_| Error::Damaged("a secret is not whsec_ and base64"))?;
    let value = |text: &str| {
        HeaderValue::from_str(text).map_err(|_| Error::Damaged("a header is not plain text"))
    };
    Ok(HeaderMap::from_iter([
        (WEBHOOK_ID, value(&id)?),
        (WEBHOOK_TIMESTAMP, HeaderValue::from(timestamp)),
        (WEBHOOK_SIGNATURE, value(&signature)?),
        (CONTENT_TYPE, JSON),
        (USER_AGENT, SENDER),
    ]))
}

// === impl Sent ===

impl Sent {
    fn answered(attempt: Attempt, answer: &upstream::Answer) -> Self {
        let status = answer.status.as_u16();
        Span::current().record("http.response.status_code", status);
        let error = match status {
            200..=299 => None,
            300..=399 => Some(format!(
                "answered {status}; redirects of callbacks are not followed"
            )),
            _ => Some(format!("answered {status}")),
        };
        Self {
            attempt,
            outcome: Outcome::Answered {
                status,
                retry_after: answer.retry_after,
            },
            error,
        }
    }

    fn unanswered(attempt: Attempt, error: &EgressError) -> Self {
        let timed_out = match error {
            EgressError::TimedOut => true,
            EgressError::Connect(cause) | EgressError::Interrupted(cause) => cause.is_timeout(),
            EgressError::Refused(_)
            | EgressError::Unresolved
            | EgressError::TooLarge { .. }
            | EgressError::Status { .. } => false,
        };
        let mut sent = Self::failed(attempt, &error.to_string());
        if timed_out {
            sent.outcome = Outcome::TimedOut;
        }
        sent
    }

    fn failed(attempt: Attempt, why: &str) -> Self {
        Self {
            attempt,
            outcome: Outcome::Failed,
            error: Some(why.chars().take(MAX_ERROR_CHARS).collect()),
        }
    }

    async fn record(self, shared: &Shared) -> Result<Next, Error> {
        let attempt = self.attempt;
        if self.error.is_some() {
            Span::current().record("otel.status_code", "error");
        }
        let next = schedule::next(
            &shared.config,
            attempt.number(),
            self.outcome,
            jitter(shared.config.jitter_percent),
        );
        let ended = Ended {
            id: attempt.delivery,
            claim: attempt.claim,
            attempts: attempt.before,
            state: match next {
                Next::Delivered => State::Delivered,
                Next::Retry(wait) => {
                    State::Due(shared.db.now_micros().saturating_add(micros(wait)))
                }
                Next::Gone | Next::Exhausted => State::Dead,
            },
            last_status: match self.outcome {
                Outcome::Answered { status, .. } => Some(status),
                Outcome::TimedOut | Outcome::Failed | Outcome::Removed => None,
            },
            last_error: self.error.clone(),
        };
        match attempt.end(shared, ended, self.outcome.heard()).await? {
            Held::Yes => {
                shared.metrics.ended(next);
                self.log(next);
            }
            // Whoever has it now records its own end.
            Held::No => debug!("another attempt had begun, or this one's end was recorded before"),
        }
        Ok(next)
    }

    fn log(&self, next: Next) {
        let (event, number) = (self.attempt.event, self.attempt.number());
        let error = self.error.as_deref().unwrap_or_default();
        let follows = next.as_str();
        match next {
            Next::Delivered => debug!(%event, attempt = number, "delivered"),
            Next::Retry(wait) => {
                info!(%event, attempt = number, error, ?wait, "delivery failed");
            }
            // Nobody will be told any more: the operator should see it.
            Next::Gone | Next::Exhausted => {
                warn!(%event, attempt = number, error, follows, "delivery given up");
            }
        }
    }
}

/// A throw of the dice, within the configured part.
fn jitter(percent: u16) -> Jitter {
    let most = i32::from(percent) * 10;
    Jitter(rand::rng().random_range(-most..=most))
}
