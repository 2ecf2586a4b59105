//! A submit that brings the Idempotency-Key of an earlier one: it gets what that one got.

use std::time::Duration;

use chassis::clock::micros;
use proto::{Fault, code};
use tokio::time::Instant;

use crate::{
    Error, Media,
    state::State,
    store::task::{self as table, Earlier, IdempotencyKey},
    submit::{Accepted, SOON},
};

/// The first pause between two looks at a request that is being accepted; it doubles.
const FIRST_LOOK: Duration = Duration::from_millis(20);

/// What an earlier request with this key made, if the key is guarded still. One that is being accepted right now is waited for, for
/// a moment.
pub(crate) async fn earlier(
    media: &Media,
    key: Option<&IdempotencyKey>,
    body_hash: [u8; 32],
) -> Result<Option<Earlier>, Error> {
    let Some(key) = key else { return Ok(None) };
    let limits = &media.config.submit;
    let until = Instant::now().checked_add(limits.wait);
    let mut pause = FIRST_LOOK;
    loop {
        let since = media
            .db
            .now_micros()
            .saturating_sub(micros(limits.idempotency));
        let found = async {
            let mut connection = media.db.reader().acquire().await?;
            table::by_key(&mut connection, key).await
        };
        let found = media.db.read(found).await?;
        let earlier = found.filter(|earlier| is_guarded(earlier, since));
        let in_progress = earlier.as_ref().is_some_and(|earlier| {
            earlier.state == State::Reserving && earlier.body_hash == body_hash
        });
        if !in_progress || until.is_none_or(|until| Instant::now() >= until) {
            return Ok(earlier);
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2);
    }
}

/// A key is guarded for a day; that of a task which is not accepted yet, until that is settled.
pub(crate) fn is_guarded(earlier: &Earlier, since: i64) -> bool {
    earlier.created_at >= since || earlier.state == State::Reserving
}

/// The answer to a repeat.
pub(crate) fn replay(earlier: &Earlier, body_hash: [u8; 32]) -> Result<Accepted, Error> {
    if earlier.body_hash != body_hash {
        let message =
            "this Idempotency-Key was used with another body; use a new key for a new request";
        return Err(Fault::new(code::IDEMPOTENCY_MISMATCH, message).into());
    }
    if earlier.state == State::Reserving {
        let message = "the first request with this Idempotency-Key is still running";
        return Err(Fault::new(code::IDEMPOTENCY_IN_PROGRESS, message)
            .retry_after(SOON)
            .into());
    }
    Ok(Accepted::Replayed(earlier.id))
}
