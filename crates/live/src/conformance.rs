//! What every shared state must do. Each implementation calls [`run`] from its own tests.
//!
//! The cases are private and named once, in [`run`] or in the `run` of their theme: a case that is not listed is dead code
//! and does not build. Waiting is real where the clock is; under a paused clock it costs nothing.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a conformance suite reports by panicking"
)]

mod limiting;
mod tasks;

use std::{pin::pin, time::Duration};

use domain::{Id, ids::Kind};
use futures::{StreamExt, future::join_all, stream::BoxStream};
use tokio::time::timeout;

use crate::{Notice, SharedLive};

/// How long something that must happen may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long something that must not happen is given to happen.
const QUIET: Duration = Duration::from_millis(50);

/// Runs every case, each on a fresh shared state with room for at least 100 keys and tasks.
///
/// # Panics
/// When a promise is broken.
pub async fn run(fresh: impl AsyncFn() -> SharedLive) {
    tasks::run(&fresh).await;
    limiting::run(&fresh).await;
    a_notice_reaches_every_listener(fresh().await).await;
    a_notice_without_listeners_is_no_error(fresh().await).await;
    a_listener_that_left_does_not_disturb_the_others(fresh().await).await;
}

/// Runs the cases about limits alone.
///
/// # Panics
/// When a promise is broken.
pub async fn run_limits(fresh: impl AsyncFn() -> SharedLive) {
    limiting::run(&fresh).await;
}

async fn a_notice_reaches_every_listener(live: SharedLive) {
    let mut listeners = [live.notices(), live.notices(), live.notices()];
    let heard = join_all(listeners.iter_mut().map(next));
    let heard = repeat_until_heard(&live, revoked(1), heard).await;
    assert_eq!(heard, [Some(revoked(1)); 3]);
}

async fn a_notice_without_listeners_is_no_error(live: SharedLive) {
    live.notify(revoked(1)).await.expect("notify");
}

async fn a_listener_that_left_does_not_disturb_the_others(live: SharedLive) {
    let mut stays = live.notices();
    drop(live.notices());
    let heard = repeat_until_heard(&live, revoked(2), next(&mut stays)).await;
    assert_eq!(heard, Some(revoked(2)));
}

/// The next notice that names something: that some were missed may be said at any time.
async fn next(notices: &mut BoxStream<'static, Notice>) -> Option<Notice> {
    loop {
        match notices.next().await {
            Some(Notice::Missed) => {}
            named => return named,
        }
    }
}

/// A listener may need a moment until it listens, and a notice may be lost; so it is sent until it was heard.
async fn repeat_until_heard<T>(
    live: &SharedLive,
    notice: Notice,
    hearing: impl Future<Output = T>,
) -> T {
    let mut hearing = pin!(hearing);
    for _ in 0..100 {
        live.notify(notice).await.expect("notify");
        if let Ok(heard) = timeout(QUIET, hearing.as_mut()).await {
            return heard;
        }
    }
    panic!("a notice was sent a hundred times and not heard")
}

fn revoked(number: u8) -> Notice {
    Notice::KeyChanged(id(number))
}

/// An id that cases tell apart by a number.
fn id<K: Kind>(number: u8) -> Id<K> {
    Id::from_slice(&[number; 16]).expect("sixteen bytes")
}
