//! Answers that are kept for equal requests: sealed, for a while, and only for the account and mode that paid for them. Whose request is
//! equal is told by a keyed MAC; neither the request nor a plain hash of it is written down.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use chassis::{
    clock::micros,
    secrets::{KeyMac, Sealer},
};
use db::Db;
use domain::{AccountId, Micros, Mode, OperationId};
use proto::{Fault, code};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tracing::error;

use crate::{
    StoreError,
    config::CacheLimits,
    kept::Kept,
    plan::Submission,
    store::cache::{self as table, Row},
};

/// The header by which a request asks.
const HEADER: &str = "x-aio-cache";

/// What is kept, with its limits.
pub(crate) struct Cache {
    db: Db,
    sealer: Sealer,
    mac: KeyMac,
    pub(crate) limits: CacheLimits,
    /// Those of answers that are being kept.
    pub(crate) places: Semaphore,
}

/// Which answers serve a request: whose, and a MAC of all that makes one request another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) account: AccountId,
    pub(crate) mode: Mode,
    pub(crate) mac: [u8; 32],
}

/// What a request asks of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    key: Key,
    /// How old an answer may be, and how long this one's is kept.
    max_age: Duration,
}

/// An answer that may be given.
#[derive(Debug)]
pub(crate) struct Hit {
    /// What made it, and was charged for it.
    pub(crate) operation: OperationId,
    /// Seconds since it was kept.
    pub(crate) age: i64,
    pub(crate) kept: Kept,
}

/// What became of an answer that was to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Kept,
    /// It is too long.
    TooLong,
    /// Its account keeps as much as it may.
    Full,
    /// It is none to be given again.
    NotWhole,
    /// The database is away.
    Failed,
    /// Too many others are being kept.
    Busy,
}

// === impl Cache ===

impl Cache {
    pub(crate) fn new(db: Db, sealer: Sealer, mac: KeyMac, limits: CacheLimits) -> Self {
        Self {
            db,
            sealer,
            mac,
            places: Semaphore::new(limits.keeping_at_once),
            limits,
        }
    }

    /// What a request asks for, if it asks.
    ///
    /// # Errors
    /// INVALID_PARAMETER: an age that nobody may ask for.
    pub(crate) fn wish(&self, submission: &Submission) -> Result<Option<Box<Wish>>, Fault> {
        let Some(seconds) = submission.cache_max_age else {
            return Ok(None);
        };
        let max_age = match u64::try_from(seconds) {
            Ok(0) => self.limits.usual_age,
            Ok(seconds) if seconds <= self.limits.max_age.as_secs() => Duration::from_secs(seconds),
            Ok(_) | Err(_) => return Err(too_old(self.limits.max_age)),
        };
        let key = self.key(submission);
        Ok(Some(Box::new(Wish { key, max_age })))
    }

    fn key(&self, submission: &Submission) -> Key {
        let (account, mode) = (submission.caller.account, submission.caller.mode);
        let limit = submission.max_cost.map_or(0, Micros::get);
        let body = BASE64.encode(Sha256::digest(&submission.body));
        let (route, word) = (submission.surface.route(), mode.as_str());
        // None of the parts holds a colon.
        let text = format!("cache:{account}:{word}:{route}:{limit}:{body}");
        Key {
            account,
            mode,
            mac: self.mac.mac(&text),
        }
    }

    /// An answer to an equal request that is young enough.
    pub(crate) async fn find(&self, wish: &Wish) -> Result<Option<Hit>, StoreError> {
        let now = self.db.now_micros();
        let oldest = now.saturating_sub(micros(wish.max_age));
        let found = table::find(self.db.reader(), &wish.key, (oldest, now));
        let Some(row) = self.db.read(found).await? else {
            return Ok(None);
        };
        let place = wish.key.place(row.operation);
        let opened = self.sealer.open(&place, &row.answer).ok();
        let Some(kept) = opened.and_then(|plain| Kept::decode(&plain)) else {
            error!(operation = %row.operation, "a cached answer does not open: was secrets.content_key changed?");
            return Ok(None);
        };
        Ok(Some(Hit {
            operation: row.operation,
            age: seconds_between(row.created_at, now),
            kept,
        }))
    }

    /// Keeps the answer that an operation made for a request.
    pub(crate) async fn keep(
        &self,
        wish: &Wish,
        operation: OperationId,
        answer: Kept,
    ) -> Result<Outcome, StoreError> {
        let Some(plain) = answer.encode(self.limits.max_bytes) else {
            return Ok(Outcome::TooLong);
        };
        let now = self.db.now_micros();
        let (key, expires_at) = (wish.key, now.saturating_add(micros(wish.max_age)));
        let most = i64::try_from(self.limits.max_total_bytes).unwrap_or(i64::MAX);
        let row = Row {
            operation,
            answer: self.sealer.seal(&key.place(operation), &plain)?,
            created_at: now,
        };
        let write: Result<bool, StoreError> = self
            .db
            .write(move |connection| {
                Box::pin(async move { table::put(connection, &key, row, expires_at, most).await })
            })
            .await;
        Ok(if write? { Outcome::Kept } else { Outcome::Full })
    }
}

// === impl Key ===

impl Key {
    /// The place that a sealed answer belongs to.
    fn place(&self, operation: OperationId) -> Vec<u8> {
        let (mode, request) = (self.mode.as_str(), BASE64.encode(self.mac));
        format!(
            "cached/{}/{mode}/{request}/{operation}/answer",
            self.account
        )
        .into_bytes()
    }
}

// === impl Outcome ===

impl Outcome {
    /// The metrics' word.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::TooLong => "too_long",
            Self::Full => "full",
            Self::NotWhole => "not_whole",
            Self::Failed => "failed",
            Self::Busy => "busy",
        }
    }
}

/// Whole seconds, of microseconds.
fn seconds_between(earlier: i64, later: i64) -> i64 {
    later.saturating_sub(earlier).max(0) / 1_000_000
}

fn too_old(most: Duration) -> Fault {
    let most = most.as_secs();
    let message =
        format!("{HEADER} must be max-age=<seconds> with 1 to {most} seconds, on, or no-store");
    Fault::new(code::INVALID_PARAMETER, message).param(HEADER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_whole_seconds() {
        for (earlier, later, age) in [
            (0, 999_999, 0),
            (0, 1_000_000, 1),
            (5_000_000, 65_900_000, 60),
            // Two processes' clocks.
            (2_000_000, 1_000_000, 0),
        ] {
            assert_eq!(seconds_between(earlier, later), age);
        }
    }
}
