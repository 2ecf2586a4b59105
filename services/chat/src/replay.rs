//! What an Idempotency-Key stands for, and what to do with a request that brings one which is known already. Pure.
//!
//! ```text
//! running ─> stored ─> done        what the customer pays is settled ─> booked
//!    └─> (no row)                  refused, failed, or cut: the key is free
//! ```
//!
//! Whatever process dies, the ledger decides: an answer is given only when billing says that its hold is captured, and a key is
//! given to another run only when billing says that the hold of the run before has ended. So there is one open hold and one
//! charge.

use domain::{AccountId, Caller, Mode, OperationId};
use sha2::{Digest as _, Sha256};

/// Whose key it is, and where it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) account: AccountId,
    pub(crate) mode: Mode,
    pub(crate) route: &'static str,
    /// sha256 of what the customer sent.
    pub(crate) hash: [u8; 32],
}

/// How far a request has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It runs, or its process died.
    Running,
    /// Its charge is settled, and perhaps not booked yet.
    Stored,
    /// Its charge is booked.
    Done,
}

/// An earlier request with the same key: a row of `replay`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Earlier {
    pub(crate) operation: OperationId,
    pub(crate) state: State,
    pub(crate) body_hash: Vec<u8>,
    /// Its process is at it until then, microseconds UTC.
    pub(crate) locked_until: i64,
    pub(crate) expires_at: i64,
    /// Its answer, sealed.
    pub(crate) answer: Option<Vec<u8>>,
    /// Micro-credits.
    pub(crate) charged: i64,
    pub(crate) receipt: String,
}

/// What to do with a request whose key is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Give the kept answer.
    Replay,
    /// Make sure that it is charged, then give it.
    Charge,
    /// It was charged, and there is nothing to give.
    NotKept,
    /// The key was used for something else.
    Mismatch,
    /// Somebody is at it.
    Wait,
    /// Nobody is at it, or it is long ago: end its hold, then run anew.
    TakeOver,
}

/// How a hold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Nothing was charged for it, and nothing ever will be.
    Released,
    /// It was charged.
    Captured,
}

/// What becomes of a row that nobody is at, when its hold has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Its key is free.
    Free,
    /// It is done, with what it has of an answer.
    Done,
}

// === impl Key ===

impl Key {
    /// Takes a customer's key.
    pub(crate) fn new(caller: &Caller, route: &'static str, key: &str) -> Self {
        Self {
            account: caller.account,
            mode: caller.mode,
            route,
            hash: Sha256::digest(key.as_bytes()).into(),
        }
    }

    /// What a body is told from others by.
    pub(crate) fn body_hash(&self, body: &[u8]) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.route)
            .chain_update([0])
            .chain_update(body)
            .finalize()
            .into()
    }
}

// === impl State ===

impl State {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stored => "stored",
            Self::Done => "done",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Running, Self::Stored, Self::Done]
            .into_iter()
            .find(|state| state.as_str() == word)
    }
}

// === impl Earlier ===

impl Earlier {
    /// What to do with a request that brings its key again, at `now`.
    pub(crate) fn verdict(&self, body_hash: &[u8], now: i64) -> Verdict {
        let alive = self.state != State::Done && self.locked_until > now;
        if !alive && self.is_expired(now) {
            return Verdict::TakeOver;
        }
        if self.body_hash != body_hash {
            return Verdict::Mismatch;
        }
        match (self.state, self.answer.is_some()) {
            (State::Done, true) => Verdict::Replay,
            (State::Done, false) => Verdict::NotKept,
            (State::Stored, true) => Verdict::Charge,
            (State::Running, _) | (State::Stored, false) if alive => Verdict::Wait,
            (State::Running, _) | (State::Stored, false) => Verdict::TakeOver,
        }
    }

    /// What becomes of it when nobody is at it and its hold has ended this way.
    pub(crate) fn fate(&self, ended: Ended, now: i64) -> Fate {
        match (self.state, ended) {
            _ if self.is_expired(now) => Fate::Free,
            (_, Ended::Released) => Fate::Free,
            // Charged without a settled answer: for what had come of a stream that was cut, which is no answer.
            (State::Running, Ended::Captured) => Fate::Free,
            (State::Stored | State::Done, Ended::Captured) => Fate::Done,
        }
    }

    /// Whether its answer is kept no longer.
    pub(crate) const fn is_expired(&self, now: i64) -> bool {
        self.expires_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000;
    const SAME: &[u8] = &[1];
    const OTHER: &[u8] = &[2];

    fn earlier(state: State, (answer, alive, expired): (bool, bool, bool)) -> Earlier {
        Earlier {
            operation: chassis::mint(),
            state,
            body_hash: SAME.to_vec(),
            locked_until: if alive { NOW + 1 } else { NOW },
            expires_at: if expired { NOW } else { NOW + 1 },
            answer: answer.then(Vec::new),
            charged: 0,
            receipt: String::new(),
        }
    }

    #[test]
    fn a_known_key_is_judged_by_how_far_its_request_has_come() {
        use State::{Done, Running, Stored};
        use Verdict::{Charge, Mismatch, NotKept, Replay, TakeOver, Wait};
        // state, answer, alive, expired -> the same body, another body
        for (state, answer, alive, expired, same, other) in [
            (Running, false, true, false, Wait, Mismatch),
            (Running, false, true, true, Wait, Mismatch),
            (Running, false, false, false, TakeOver, Mismatch),
            (Running, false, false, true, TakeOver, TakeOver),
            (Stored, true, true, false, Charge, Mismatch),
            (Stored, true, false, false, Charge, Mismatch),
            (Stored, true, false, true, TakeOver, TakeOver),
            (Stored, false, true, false, Wait, Mismatch),
            (Stored, false, false, false, TakeOver, Mismatch),
            (Done, true, false, false, Replay, Mismatch),
            (Done, true, true, true, TakeOver, TakeOver),
            (Done, false, false, false, NotKept, Mismatch),
            (Done, false, false, true, TakeOver, TakeOver),
        ] {
            let row = earlier(state, (answer, alive, expired));
            let case = format!("{state:?}, answer {answer}, alive {alive}, expired {expired}");
            assert_eq!(row.verdict(SAME, NOW), same, "{case}");
            assert_eq!(row.verdict(OTHER, NOW), other, "{case}, another body");
        }
    }

    #[test]
    fn what_was_charged_for_an_answer_is_never_run_again_while_its_key_counts() {
        for (state, ended, expired, fate) in [
            (State::Running, Ended::Released, false, Fate::Free),
            (State::Running, Ended::Captured, false, Fate::Free),
            (State::Stored, Ended::Released, false, Fate::Free),
            (State::Stored, Ended::Captured, false, Fate::Done),
            (State::Stored, Ended::Captured, true, Fate::Free),
            (State::Done, Ended::Captured, true, Fate::Free),
        ] {
            let row = earlier(state, (false, false, expired));
            assert_eq!(row.fate(ended, NOW), fate, "{state:?} {ended:?} {expired}");
        }
    }

    #[test]
    fn the_route_is_part_of_what_is_compared() {
        let key = |route| Key {
            account: chassis::mint(),
            mode: Mode::Test,
            route,
            hash: [0; 32],
        };
        assert_ne!(key("a").body_hash(b"bc"), key("ab").body_hash(b"c"));
    }
}
