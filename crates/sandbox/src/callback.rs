//! Callbacks of simulated providers: only a job that was told to has any, and only the address that came with it is called. What the real ones
//! sign with secrets of their accounts, of which there are none here, is not signed. A sandbox that ends forgets those that it had not made.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use chassis::{Tasks, clock::now_micros};
use http::Uri;
use serde_json::Value;
use tokio::{sync::Semaphore, time::sleep};
use tracing::{info_span, warn};

use crate::{directive::Outcome, post::post, signer::Signature};

/// How long after its job is done a late callback comes: everybody has looked by then.
const LATE: Duration = Duration::from_secs(2);
/// How often a callback comes that comes more than once.
const COPIES: usize = 3;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// What an order says of its callbacks.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) outcome: Outcome,
    /// When the job is done, in microseconds UTC.
    pub(crate) due: i64,
    /// Where to call.
    pub(crate) url: Option<String>,
}

/// Who calls. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Callbacks that are waited with at once; more are not made.
    places: Arc<Semaphore>,
    tasks: Tasks,
}

// === impl Caller ===

impl Caller {
    pub(crate) fn new(places: usize, tasks: &Tasks) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
            tasks: tasks.clone(),
        }
    }

    /// Calls back when the job is done, if it is one that does.
    pub(crate) fn call_back(&self, order: Order, told: &Value) {
        self.call_back_signed(order, told, None);
    }

    /// As [`Caller::call_back`], with a signature.
    pub(crate) fn call_back_signed(&self, order: Order, told: &Value, with: Option<Signature>) {
        let (copies, later) = match order.outcome {
            Outcome::DuplicateCallback => (COPIES, Duration::ZERO),
            Outcome::LateCallback => (1, LATE),
            Outcome::Success
            | Outcome::Fail
            | Outcome::Moderated
            | Outcome::RateLimited
            | Outcome::Overloaded
            | Outcome::OutOfBalance
            | Outcome::Hang
            | Outcome::Malformed
            | Outcome::Vanish
            | Outcome::Overreport
            | Outcome::Cut => return,
        };
        let Some(url) = order.url else { return };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            warn!("too many callbacks wait; one is not made");
            return;
        };
        let wait = u64::try_from(order.due.saturating_sub(now_micros())).unwrap_or(0);
        let wait = Duration::from_micros(wait).saturating_add(later);
        let (tasks, body) = (self.tasks.clone(), Bytes::from(told.to_string()));
        self.tasks.spawn(info_span!("callback"), async move {
            let calls = async {
                sleep(wait).await;
                // One after the other, as a provider that did not hear the answer.
                for _ in 0..copies {
                    call(&url, &body, with.as_ref()).await;
                }
            };
            tokio::select! {
                () = calls => {}
                () = tasks.stopping() => {}
            }
            drop(place);
        });
    }
}

async fn call(url: &str, body: &Bytes, with: Option<&Signature>) {
    let address = url.parse::<Uri>();
    let path = address.as_ref().map_or("/", Uri::path);
    let headers = with.map(|with| with.headers(path, body));
    let headers = headers.unwrap_or_default();
    match tokio::time::timeout(PATIENCE, post(url, body, headers)).await {
        Ok(Ok(status)) if status.is_success() => {}
        Ok(Ok(status)) => warn!(%status, "a callback was not taken"),
        Ok(Err(error)) => warn!(%error, "a callback could not be made"),
        Err(_) => warn!("a callback was not answered"),
    }
}
