//! What this process remembers about keys: a few seconds, and not past a revocation it hears of. While billing cannot be asked, it is
//! believed for longer, so that customers see how their tasks stand; what costs money asks billing itself, and whoever may have missed a
//! revocation believes nothing.
//!
//! Keys are remembered by their SHA-256, never as text. Every revocation has a number; an entry remembers how many there
//! were when billing was asked, so an answer that was under way while its key was revoked is not believed.

use std::{
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use chassis::{Tasks, rpc};
use domain::{ApiKey, KeyId};
use futures::{StreamExt as _, stream::BoxStream};
use live::Notice;
use moka::future::{Cache, CacheBuilder};
use proto::{
    Fault, Kind,
    billing::v1::{AuthenticateRequest, billing_caller::BillingCaller},
    code,
};
use sha2::{Digest as _, Sha256};

use crate::{auth::Identity, config::KeyCache, error::ApiError, metrics::Metrics};

/// How often billing is asked again when a key is revoked, or changed, while it answers.
const ATTEMPTS: u32 = 3;
/// A revocation is remembered this many times as long as an entry lives, so that no entry outlives it.
const REVOCATION_LIVES: u32 = 4;

type Digest = [u8; 32];

/// What this process remembers about keys.
pub(crate) struct Keys {
    known: Cache<Digest, Arc<Entry>>,
    /// Those that were known lately, for as long as they may be believed while billing cannot be asked.
    lately: Cache<Digest, Arc<Entry>>,
    /// Whether billing could not be asked when somebody had to.
    unasked: AtomicBool,
    refused: Cache<Digest, ApiError>,
    revoked: Cache<KeyId, u64>,
    revocations: AtomicU64,
    /// The number under which everything was forgotten last.
    forgotten: AtomicU64,
    billing: BillingCaller,
    deadline: Duration,
    metrics: Metrics,
}

/// A good key.
struct Entry {
    identity: Arc<Identity>,
    /// How many revocations there had been when billing was asked.
    seen: u64,
}

// === impl Keys ===

impl Keys {
    /// Remembers nothing yet.
    pub(crate) fn new(
        config: &KeyCache,
        billing: BillingCaller,
        deadline: Duration,
        metrics: Metrics,
    ) -> Self {
        let longest = config.life.saturating_add(config.grace);
        Self {
            known: cache(config.entries, config.life),
            lately: cache(config.entries, config.grace),
            unasked: AtomicBool::new(false),
            refused: cache(config.entries, config.refused_life),
            revoked: cache(config.entries, longest.saturating_mul(REVOCATION_LIVES)),
            revocations: AtomicU64::new(0),
            forgotten: AtomicU64::new(0),
            billing,
            deadline,
            metrics,
        }
    }

    /// Who is behind a key. The checksum goes first: it refuses what was mistyped without any look-up.
    pub(crate) async fn identify(&self, text: &str) -> Result<Arc<Identity>, ApiError> {
        // Longer texts are not even read.
        if text.len() > ApiKey::MAX_LEN {
            return Err(malformed("it is longer than a key can be"));
        }
        let key = ApiKey::parse(text).map_err(|error| malformed(&error.to_string()))?;
        let digest: Digest = Sha256::digest(text).into();
        if let Some(entry) = self.known.get(&digest).await
            && self.is_fresh(&entry).await
        {
            self.metrics.key_hits.inc();
            return Ok(Arc::clone(&entry.identity));
        }
        if let Some(refusal) = self.refused.get(&digest).await {
            self.metrics.key_refusals.inc();
            return Err(refusal);
        }
        self.metrics.key_misses.inc();
        // Rare, and large: requests whose key is known need not carry it with them.
        Box::pin(self.ask(digest, &key)).await
    }

    /// Whether billing could not be asked when somebody had to: then its database may be away, and others' with it.
    pub(crate) fn is_billing_away(&self) -> bool {
        self.unasked.load(Ordering::Relaxed)
    }

    /// Forgets a key that was revoked or changed: from now on, nothing that billing said before counts.
    pub(crate) async fn forget(&self, key: KeyId) {
        // The number first: an answer that is under way now has seen fewer.
        let number = self.next_number();
        self.revoked.insert(key, number).await;
    }

    /// Forgets every key: any of them may have been revoked unheard.
    fn forget_all(&self) {
        let number = self.next_number();
        self.forgotten.fetch_max(number, Ordering::SeqCst);
    }

    fn next_number(&self) -> u64 {
        self.revocations
            .fetch_add(1, Ordering::SeqCst)
            .saturating_add(1)
    }

    /// Forgets keys as notices of them come, until told to stop.
    pub(crate) async fn follow(
        self: Arc<Self>,
        mut notices: BoxStream<'static, Notice>,
        tasks: Tasks,
    ) {
        loop {
            let notice = tokio::select! {
                notice = notices.next() => notice,
                () = tasks.stopping() => return,
            };
            match notice {
                Some(Notice::KeyChanged(key)) => self.forget(key).await,
                Some(Notice::Missed) => self.forget_all(),
                // The shared state is gone; what it would have told us, the short lives of entries make up for.
                None => return,
            }
        }
    }

    /// Asks billing, once for all who wait for the same key.
    async fn ask(&self, digest: Digest, key: &ApiKey) -> Result<Arc<Identity>, ApiError> {
        for _ in 0..ATTEMPTS {
            match self
                .known
                .try_get_with(digest, self.fetch(digest, key))
                .await
            {
                Ok(entry) if self.is_fresh(&entry).await => return Ok(Arc::clone(&entry.identity)),
                Ok(_stale) => self.known.invalidate(&digest).await,
                Err(error) => return self.do_without(digest, ApiError::clone(&error)).await,
            }
        }
        Err(ApiError::new(
            code::SERVICE_UNAVAILABLE,
            "the key is being changed; try again",
        ))
    }

    /// What is believed of a key that billing says no good of, or nothing.
    async fn do_without(&self, digest: Digest, error: ApiError) -> Result<Arc<Identity>, ApiError> {
        let kind = error.fault().kind();
        if kind == Kind::Authentication {
            self.lately.invalidate(&digest).await;
            self.refused.insert(digest, error.clone()).await;
        }
        if matches!(kind, Kind::Unavailable | Kind::Timeout) {
            self.unasked.store(true, Ordering::Relaxed);
            if let Some(entry) = self.lately.get(&digest).await
                && self.is_fresh(&entry).await
            {
                // For a few seconds nobody asks again, and nobody waits.
                self.known.insert(digest, Arc::clone(&entry)).await;
                self.metrics.key_graces.inc();
                return Ok(Arc::clone(&entry.identity));
            }
        }
        Err(error)
    }

    async fn fetch(&self, digest: Digest, key: &ApiKey) -> Result<Arc<Entry>, ApiError> {
        let seen = self.revocations.load(Ordering::SeqCst);
        let request = AuthenticateRequest {
            key: key.expose().to_owned(),
        };
        let answer = self
            .billing
            .clone()
            .authenticate(rpc::request(request, self.deadline))
            .await?;
        let entry = Arc::new(Entry {
            identity: Arc::new(Identity::from_wire(answer.into_inner())?),
            seen,
        });
        self.unasked.store(false, Ordering::Relaxed);
        self.lately.insert(digest, Arc::clone(&entry)).await;
        Ok(entry)
    }

    /// Whether billing was asked after the key's last revocation.
    async fn is_fresh(&self, entry: &Entry) -> bool {
        if entry.seen == self.revocations.load(Ordering::SeqCst) {
            return true;
        }
        if entry.seen < self.forgotten.load(Ordering::SeqCst) {
            return false;
        }
        let Some(key) = entry.identity.key else {
            return true;
        };
        let revoked = self.revoked.get(&key).await;
        revoked.is_none_or(|number| number <= entry.seen)
    }
}

/// A cache of so many entries that live so long.
fn cache<K, V>(entries: u64, life: Duration) -> Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    CacheBuilder::new(entries).time_to_live(life).build()
}

fn malformed(why: &str) -> ApiError {
    Fault::new(
        code::INVALID_KEY,
        format!("the API key is not valid: {why}"),
    )
    .into()
}
