//! Slots that could not be given back because Redis was away, and such that it may have given although nobody heard of it.
//! Unless they are given back later, they count as taken to the end of their lives, and a key may be shut out that has
//! nothing open.

use std::{collections::VecDeque, sync::Mutex};

use redis::{RedisResult, aio::MultiplexedConnection};

use crate::locked;

/// More are not remembered; what is beyond ends by itself.
const MOST: usize = 100_000;
/// Given back in one go.
const BATCH: usize = 500;

/// Slots to be given back.
#[derive(Default)]
pub(super) struct Owed(Mutex<VecDeque<Debt>>);

/// One slot, and the key of Redis it was taken of.
struct Debt {
    key: String,
    slot: [u8; 16],
}

// === impl Owed ===

impl Owed {
    /// Remembers a slot.
    pub(super) fn add(&self, key: String, slot: [u8; 16]) {
        let mut debts = locked(&self.0);
        if debts.len() < MOST {
            debts.push_back(Debt { key, slot });
        }
    }

    /// Whether there is nothing to give back.
    pub(super) fn is_empty(&self) -> bool {
        locked(&self.0).is_empty()
    }

    /// Gives everything back. What fails is owed still.
    pub(super) async fn pay(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        loop {
            let batch: Vec<Debt> = {
                let mut debts = locked(&self.0);
                let most = debts.len().min(BATCH);
                debts.drain(..most).collect()
            };
            if batch.is_empty() {
                return Ok(());
            }
            let mut gives = redis::pipe();
            // A key that is not what it should be must not hold up the others.
            gives.ignore_errors();
            for debt in &batch {
                gives.cmd("ZREM").arg(&debt.key).arg(&debt.slot);
            }
            let paid: RedisResult<Vec<redis::Value>> = gives.query_async(connection).await;
            if let Err(error) = paid {
                locked(&self.0).extend(batch);
                return Err(error);
            }
        }
    }
}
