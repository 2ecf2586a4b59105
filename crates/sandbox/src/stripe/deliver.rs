//! Events on their way: signed as Stripe signs them, sent to one endpoint, again while it does not answer 2xx.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use chassis::Tasks;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderName, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use sha2::Sha256;
use tokio::time::sleep;
use tracing::{info_span, warn};

use super::{StripeConfig, wire};
use crate::post::{Undelivered, post};

/// How often an event is sent that is not taken. The real one goes on for three days.
const ATTEMPTS: u32 = 10;
/// The pause before the second attempt; twice as long before each further one.
const PAUSE: Duration = Duration::from_millis(50);
/// The most copies of one event.
const COPIES: u32 = 1_000;
/// How long one attempt may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who sends. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Courier {
    secret: Arc<str>,
    bag: Arc<Mutex<Bag>>,
    tasks: Tasks,
}

#[derive(Debug, Default)]
struct Bag {
    url: Option<String>,
    held: Vec<Value>,
}

/// How events are sent.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Delivery {
    /// How often each is sent, all at once. Default 1.
    copies: Option<u32>,
    /// Whether they are kept back, until `/stripe/simulate/events` is called.
    #[serde(default)]
    hold: bool,
    /// Whether the last one goes first.
    #[serde(default)]
    reverse: bool,
}

// === impl Courier ===

impl Courier {
    pub(super) fn new(config: &StripeConfig, tasks: &Tasks) -> Self {
        let bag = Bag {
            url: config.webhook_url.clone(),
            held: Vec::new(),
        };
        Self {
            secret: config.webhook_secret.as_str().into(),
            bag: Arc::new(Mutex::new(bag)),
            tasks: tasks.clone(),
        }
    }

    /// Sends events here from now on, and tells the secret that signs them.
    pub(super) fn point_to(&self, url: String) -> String {
        self.bag().url = Some(url);
        self.secret.to_string()
    }

    /// Sends events, or keeps them back.
    pub(super) fn send(&self, events: Vec<Value>, delivery: &Delivery) {
        if delivery.hold {
            self.bag().held.extend(events);
        } else {
            self.dispatch(events, delivery);
        }
    }

    /// Sends what was kept back, and says how many events that are.
    pub(super) fn send_held(&self, delivery: &Delivery) -> usize {
        let events = std::mem::take(&mut self.bag().held);
        let count = events.len();
        self.dispatch(events, delivery);
        count
    }

    /// One event after the other, the copies of one at once.
    fn dispatch(&self, mut events: Vec<Value>, delivery: &Delivery) {
        let Some(url) = self.bag().url.clone() else {
            return;
        };
        if delivery.reverse {
            events.reverse();
        }
        let (courier, copies) = (self.clone(), delivery.copies.unwrap_or(1).min(COPIES));
        self.tasks.spawn(info_span!("stripe.events"), async move {
            for event in events {
                let body = Bytes::from(event.to_string());
                let copies = (0..copies).map(|_| courier.insist(&url, &body));
                tokio::select! {
                    _ = futures::future::join_all(copies) => {}
                    () = courier.tasks.stopping() => return,
                }
            }
        });
    }

    async fn insist(&self, url: &str, body: &Bytes) {
        let mut pause = PAUSE;
        for _ in 0..ATTEMPTS {
            match tokio::time::timeout(PATIENCE, self.post(url, body)).await {
                Ok(Ok(status)) if status.is_success() => return,
                Ok(Ok(_)) | Ok(Err(_)) | Err(_) => {}
            }
            sleep(pause).await;
            pause = pause.saturating_mul(2);
        }
        warn!("an event of the simulated Stripe was not taken");
    }

    async fn post(&self, url: &str, body: &Bytes) -> Result<StatusCode, Undelivered> {
        let name = HeaderName::from_static("stripe-signature");
        post(url, body, vec![(name, self.sign(body))]).await
    }

    /// The header's value: HMAC takes keys of any length, so there always is one.
    fn sign(&self, body: &[u8]) -> String {
        let moment = wire::now();
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()) else {
            return String::new();
        };
        mac.update(format!("{moment}.").as_bytes());
        mac.update(body);
        let hash = mac.finalize().into_bytes();
        let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("t={moment},v1={digits}")
    }

    /// What is behind this lock is whole between any two statements.
    fn bag(&self) -> MutexGuard<'_, Bag> {
        self.bag.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
