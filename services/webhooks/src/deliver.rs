//! Use case: one attempt of one delivery, in three phases that are types: [`Prepared`], then [`Sent`], then recorded.
//!
//! The attempt was recorded as `inflight` before this begins. Dying anywhere in here leaves a lease that runs out, and then
//! another attempt with the same id.

use bytes::Bytes;
use chassis::clock::{MICROS_PER_SECOND, micros};
use domain::EventId;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_TYPE, USER_AGENT},
};
use rand::RngExt as _;
use tokio::time::Instant;
use tracing::{Span, debug, info, warn};
use upstream::{Caps, EgressError, Redirects};

use crate::{
    Error, Shared, headers,
    left::{Attempt, Effect, Left},
    redact,
    schedule::{self, Jitter, Next, Outcome},
    sign::{Signed, signatures},
    store::{
        self, attempt,
        delivery::{Ended, Held, State},
        due::Claimed,
        endpoint::Reason,
    },
    target::Target,
};

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const SENDER: HeaderValue = HeaderValue::from_static("aio-webhooks/1");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The longest kept reason of a failure, in characters.
const MAX_ERROR_CHARS: usize = 300;

/// Opened and signed: everything that goes over the wire.
struct Prepared {
    attempt: Attempt,
    target: Target,
    headers: HeaderMap,
    body: Bytes,
    /// Microseconds UTC.
    started_at: i64,
}

/// It has been tried, and this is how it ended.
struct Sent {
    attempt: Attempt,
    outcome: Outcome,
    /// Why it failed, in our words.
    error: Option<String>,
    /// `None`: nothing was sent.
    posted: Option<Posted>,
}

/// Something went over the wire, or would have.
struct Posted {
    /// Microseconds UTC.
    started_at: i64,
    ended_at: i64,
    /// How the answer's body begins; sealed.
    response: Option<Vec<u8>>,
    /// Of an endpoint, since when it fails and nothing else. Microseconds UTC.
    failing_since: Option<i64>,
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
        Err(error @ (Error::Removed | Error::Disabled)) => Sent {
            outcome: Outcome::Removed,
            ..Sent::failed(attempt, &error.to_string())
        },
        // The database is away: nothing can be recorded either. The lease runs out, and it is tried again.
        Err(error @ Error::Db(_)) => return Err(error),
        // Another content key, perhaps only until the operator puts back the right one.
        Err(error) => Sent::failed(attempt, &error.to_string()),
    };
    sent.record(shared).await
}

// === impl Prepared ===

impl Prepared {
    async fn prepare(shared: &Shared, attempt: Attempt, claimed: Claimed) -> Result<Self, Error> {
        let target = Target::of(shared, &claimed).await?;
        let event = claimed.event;
        let place = store::event::payload_place(event.id);
        let body = shared.secrets.content().open(&place, &event.payload)?;
        let started_at = shared.db.now_micros();
        let headers = request_headers(&target, event.id, started_at, &body)?;
        Ok(Self {
            attempt,
            target,
            headers,
            body: body.into(),
            started_at,
        })
    }

    async fn send(self, shared: &Shared) -> Sent {
        let begun = Instant::now();
        let caps = Caps {
            timeout: shared.config.timeout,
            max_bytes: shared.config.max_response_bytes,
            redirects: Redirects::Refuse,
        };
        let admitted = shared.client.policy().admit(self.target.url.expose());
        let headers = self.target.headers.iter().map(|(_, value)| value.as_str());
        let mut own = redact::of_headers(headers);
        let answer = match admitted.map_err(EgressError::Refused) {
            Ok(url) => {
                own.extend(redact::of_url(url.as_url().path(), url.as_url().query()));
                let post = shared.client.post(&url, self.headers, self.body, &caps);
                post.await
            }
            Err(refused) => Err(refused),
        };
        let took = begun.elapsed();
        shared.metrics.took(took);
        let posted = Posted {
            started_at: self.started_at,
            // By one clock alone: a step of the database's is no latency.
            ended_at: self.started_at.saturating_add(micros(took)),
            response: None,
            failing_since: self.target.failing_since,
        };
        match answer {
            Ok(answer) => {
                let response = kept(shared, self.attempt, &answer.body, &own);
                let posted = Posted { response, ..posted };
                Sent::answered(self.attempt, &answer, posted)
            }
            Err(error) => {
                if let EgressError::Refused(refusal) = &error {
                    shared.metrics.refused(refusal.reason());
                }
                Sent::unanswered(self.attempt, &error, posted)
            }
        }
    }
}

/// How an answer's body begins, sealed. What cannot be sealed is not kept.
fn kept(shared: &Shared, attempt: Attempt, body: &[u8], own: &[String]) -> Option<Vec<u8>> {
    let text = redact::response(body, shared.limits.kept_response_bytes, own)?;
    let place = attempt::response_place(attempt.delivery);
    let sealed = shared.secrets.content().seal(&place, text.as_bytes());
    sealed.ok()
}

/// The three headers of Standard Webhooks, who sends what, and what the customer has fixed. The id is the event's, the time this
/// attempt's.
fn request_headers(
    target: &Target,
    event: EventId,
    now: i64,
    body: &[u8],
) -> Result<HeaderMap, Error> {
    let id = event.to_string();
    let timestamp = now.div_euclid(MICROS_PER_SECOND);
    let signed = Signed {
        id: &id,
        timestamp,
        body,
    };
    let signature = signatures(&target.signing, signed)
        .map_err(|_| Error::Damaged("what signs is not as Standard Webhooks write it"))?;
    let value = |text: &str| {
        HeaderValue::from_str(text).map_err(|_| Error::Damaged("a header is not plain text"))
    };
    let mut request = HeaderMap::new();
    headers::put(&mut request, &target.headers);
    // Ours last: nothing that was said before stands in their place.
    request.extend([
        (WEBHOOK_ID, value(&id)?),
        (WEBHOOK_TIMESTAMP, HeaderValue::from(timestamp)),
        (WEBHOOK_SIGNATURE, value(&signature)?),
        (CONTENT_TYPE, JSON),
        (USER_AGENT, SENDER),
    ]);
    Ok(request)
}

// === impl Sent ===

impl Sent {
    fn answered(attempt: Attempt, answer: &upstream::Answer, posted: Posted) -> Self {
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
            posted: Some(posted),
        }
    }

    fn unanswered(attempt: Attempt, error: &EgressError, posted: Posted) -> Self {
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
        sent.posted = Some(posted);
        sent
    }

    fn failed(attempt: Attempt, why: &str) -> Self {
        Self {
            attempt,
            outcome: Outcome::Failed,
            error: Some(why.chars().take(MAX_ERROR_CHARS).collect()),
            posted: None,
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
        let left = self.left(shared, next);
        match left.record(shared).await? {
            Held::Yes => {
                shared.metrics.ended(next);
                self.log(next);
            }
            // Whoever has it now records its own end.
            Held::No => debug!("another attempt had begun, or this one's end was recorded before"),
        }
        Ok(next)
    }

    /// What is to be written down.
    fn left(&self, shared: &Shared, next: Next) -> Left {
        let attempt = self.attempt;
        let status = match self.outcome {
            Outcome::Answered { status, .. } => Some(status),
            Outcome::TimedOut | Outcome::Failed | Outcome::Removed => None,
        };
        let log = self.posted.as_ref().map(|posted| attempt::NewRow {
            delivery: attempt.delivery,
            started_at: posted.started_at,
            ended_at: posted.ended_at,
            status,
            error: self.error.clone(),
            response: posted.response.clone(),
        });
        Left {
            attempt,
            ended: Ended {
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
                last_status: status,
                last_error: self.error.clone(),
            },
            log,
            heard: self.outcome.heard(),
            effect: self.effect(shared, next),
            next,
        }
    }

    /// What its end says of the endpoint.
    fn effect(&self, shared: &Shared, next: Next) -> Effect {
        let Some(posted) = &self.posted else {
            return Effect::None;
        };
        let too_long = micros(shared.limits.disable_after);
        let before = shared.db.now_micros().saturating_sub(too_long);
        match next {
            Next::Delivered => Effect::Works,
            Next::Gone => Effect::Disables(Reason::Gone),
            Next::Retry(_) | Next::Exhausted => match posted.failing_since {
                Some(since) if since <= before => Effect::Disables(Reason::Failing(before)),
                Some(_) | None => Effect::Fails,
            },
        }
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
