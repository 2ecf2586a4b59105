//! Media that a request names by URL, fetched for providers that fetch none: through the guard, within limits of size, number and time.
//!
//! What is fetched is kept in memory, as base64, until its request has been answered or given up: so many requests may have
//! something fetched at once, and so much each.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::BytesMut;
use domain::Problem;
use futures::{StreamExt as _, future::try_join_all};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};
use upstream::{
    Caps, Class, EgressError, Failure, GuardedClient, Redirects, Refusal, Trust, Verdict,
};

use super::Urls;
use crate::InputLimits;

/// Fetches. Cheap to clone.
#[derive(Clone)]
pub(super) struct Inputs {
    guard: GuardedClient,
    limits: Arc<InputLimits>,
    room: Arc<Semaphore>,
}

/// A URL of a request.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Where it stands.
    pub(super) param: String,
    pub(super) url: String,
}

/// What a request's URLs led to.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    by_url: HashMap<String, Inline>,
    /// Its room among all that is kept.
    _room: Option<OwnedSemaphorePermit>,
}

/// One file.
#[derive(Debug)]
pub(super) struct Inline {
    pub(super) media_type: String,
    /// Base64.
    pub(super) data: String,
}

// === impl Inputs ===

impl Inputs {
    pub(super) fn new(guard: GuardedClient, limits: InputLimits) -> Self {
        Self {
            room: Arc::new(Semaphore::new(limits.at_once)),
            limits: Arc::new(limits),
            guard,
        }
    }

    /// Checks a URL as far as this is possible without calling anybody.
    ///
    /// # Errors
    /// Why it is refused.
    pub(super) fn check(&self, param: &str, (url, urls): (&str, Urls<'_>)) -> Result<(), Problem> {
        let checked = match urls {
            Urls::Shown => self.guard.check_form(url),
            Urls::Unfetched | Urls::Fetched(_) => self.guard.admit(url),
        };
        checked
            .map(drop)
            .map_err(|refusal| refused(param, &refusal))
    }

    /// Fetches all of them, at once.
    ///
    /// # Errors
    /// The first that cannot be fetched; or that there was no room in time.
    pub(super) async fn fetch(&self, wanted: Vec<Wanted>) -> Result<Fetched, Failure> {
        let wanted = counted(wanted);
        if wanted.is_empty() {
            return Ok(Fetched::default());
        }
        let most = self.limits.max_count;
        if wanted.len() > most {
            let message =
                format!("messages must name at most {most} different URLs for this model");
            return Err(Failure::unsupported("messages", &message));
        }
        let until = Instant::now() + self.limits.timeout;
        let room = Arc::clone(&self.room).acquire_owned();
        let Ok(Ok(room)) = timeout_at(until, room).await else {
            return Err(Failure::reported(Verdict::of(Class::RateLimited)));
        };
        // Waiting for room is not the fault of who is asked for a file.
        let until = Instant::now() + self.limits.timeout;
        let left = AtomicU64::new(self.limits.max_total_bytes);
        let all = wanted.iter().map(async |one| {
            let file = timeout_at(until, self.one(one, &left)).await;
            file.unwrap_or_else(|_| Err(unfetched(&one.0.param, &EgressError::TimedOut)))
        });
        let files = try_join_all(all).await;
        let files = files.map_err(|problem| failure(&problem))?;
        let urls = wanted.into_iter().map(|(one, _)| one.url);
        Ok(Fetched {
            by_url: urls.zip(files).collect(),
            _room: Some(room),
        })
    }

    async fn one(
        &self,
        (wanted, times): &(Wanted, u64),
        left: &AtomicU64,
    ) -> Result<Inline, Problem> {
        let param = wanted.param.as_str();
        let broken = |error: EgressError| unfetched(param, &error);
        let caps = Caps {
            timeout: self.limits.timeout,
            max_bytes: self.limits.max_bytes,
            redirects: Redirects::Follow,
        };
        let download = self.guard.get_to(&wanted.url, Trust::Public, &caps).await;
        let mut download = download.map_err(broken)?;
        let media_type = media_type(download.content_type().unwrap_or_default());
        if !self.limits.content_types.contains(&media_type) {
            let types = self.limits.content_types.join(", ");
            let allowed = format!("lead to a file of type {types} for this model");
            return Err(Problem::invalid(param, allowed));
        }
        let mut file = BytesMut::new();
        while let Some(piece) = download.next().await {
            let piece = piece.map_err(broken)?;
            // What is named twice is sent twice.
            let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
            let length = length.saturating_mul(*times);
            let took = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(length)
            });
            if took.is_err() {
                let most = self.limits.max_total_bytes;
                let allowed =
                    format!("lead to files of at most {most} bytes together with the others");
                return Err(Problem::invalid(param, allowed));
            }
            file.extend_from_slice(&piece);
        }
        if file.is_empty() {
            return Err(Problem::invalid(param, "lead to a file that is not empty"));
        }
        Ok(Inline {
            media_type,
            data: STANDARD.encode(&file),
        })
    }
}

// === impl Fetched ===

impl Fetched {
    pub(super) fn get(&self, url: &str) -> Option<&Inline> {
        self.by_url.get(url)
    }
}

/// Each URL once, with how often it is named.
fn counted(mut wanted: Vec<Wanted>) -> Vec<(Wanted, u64)> {
    wanted.sort_by(|one, other| one.url.cmp(&other.url));
    let mut counted: Vec<(Wanted, u64)> = Vec::with_capacity(wanted.len());
    for one in wanted {
        match counted.last_mut() {
            Some((last, times)) if last.url == one.url => *times = times.saturating_add(1),
            Some(_) | None => counted.push((one, 1)),
        }
    }
    counted
}

/// A media type as it is compared: without parameters, and by its usual name.
pub(super) fn media_type(text: &str) -> String {
    let plain = text.split(';').next().unwrap_or_default();
    let plain = plain.trim().to_ascii_lowercase();
    if plain == "image/jpg" {
        return "image/jpeg".to_owned();
    }
    plain
}

fn refused(param: &str, refusal: &Refusal) -> Problem {
    why(param, refusal)
}

/// Neither the URL nor where it led is said: what an inner network looks like is nobody's business.
fn unfetched(param: &str, error: &EgressError) -> Problem {
    match error {
        // These three alike: else a stranger learns which names there are inside.
        EgressError::Refused(Refusal::Resolved)
        | EgressError::Unresolved
        | EgressError::Connect(_) => why(param, &NOWHERE),
        EgressError::Refused(refusal) => refused(param, refusal),
        EgressError::TimedOut
        | EgressError::Interrupted(_)
        | EgressError::TooLarge { .. }
        | EgressError::Status { .. } => why(param, error),
    }
}

/// A host that cannot be reached from here, for whatever reason.
const NOWHERE: &str = "the URL's host cannot be reached, or leads to an address that is not public";

fn why(param: &str, reason: &dyn fmt::Display) -> Problem {
    Problem::invalid(param, format!("be a URL that can be fetched: {reason}"))
}

fn failure(problem: &Problem) -> Failure {
    Failure::unsupported(&problem.param, &problem.message)
}
