//! Snapshots: the newest wins, and those who wait hear of it.

use std::time::Duration;

use bytes::Bytes;
use domain::Mode;
use futures::future::{join, join_all, pending};
use tokio::time::{Instant, timeout};

use super::{DEADLINE, QUIET, id};
use crate::{SharedLive, TaskSnapshot, Terminal};

/// Runs every case about tasks.
#[expect(
    clippy::cognitive_complexity,
    reason = "a list: every `.await` counts as a branch"
)]
pub(super) async fn run(fresh: &impl AsyncFn() -> SharedLive) {
    an_unknown_task_is_absent(fresh().await).await;
    what_was_put_is_got(fresh().await).await;
    a_newer_version_replaces(fresh().await).await;
    an_equal_or_older_version_is_refused(fresh().await).await;
    an_ended_task_stays_ended(fresh().await).await;
    the_newest_of_many_wins_in_any_order(fresh().await).await;
    tasks_are_separate(fresh().await).await;
    a_wait_returns_at_once_when_the_version_is_there(fresh().await).await;
    a_wait_ends_with_its_timeout(fresh().await).await;
    a_wait_without_time_looks_once(fresh().await).await;
    a_put_wakes_everyone_who_waits(fresh().await).await;
    a_put_that_was_refused_ends_no_wait(fresh().await).await;
    a_wait_passes_over_versions_that_are_not_new(fresh().await).await;
    a_put_of_another_task_ends_no_wait(fresh().await).await;
    no_put_is_missed_however_it_meets_the_wait(fresh().await).await;
    a_cancelled_wait_does_not_disturb_the_others(fresh().await).await;
}

async fn an_unknown_task_is_absent(live: SharedLive) {
    assert_eq!(get(&live, 1).await, None);
}

async fn what_was_put_is_got(live: SharedLive) {
    let view: Vec<u8> = (0..=255).collect();
    let full = TaskSnapshot {
        account: id(7),
        mode: Mode::Live,
        terminal: Terminal::Ended,
        view: Bytes::from(view),
        ..snapshot(1, i64::MAX)
    };
    assert!(put(&live, full.clone()).await);
    assert_eq!(get(&live, 1).await, Some(full));

    let empty = TaskSnapshot {
        view: Bytes::new(),
        ..snapshot(2, 1)
    };
    assert!(put(&live, empty.clone()).await);
    assert_eq!(get(&live, 2).await, Some(empty));
}

async fn a_newer_version_replaces(live: SharedLive) {
    assert!(put(&live, snapshot(1, 1)).await);
    assert!(put(&live, snapshot(1, 2)).await);
    assert!(put(&live, snapshot(1, 9)).await);
    assert_eq!(get(&live, 1).await, Some(snapshot(1, 9)));
}

async fn an_equal_or_older_version_is_refused(live: SharedLive) {
    let ended = TaskSnapshot {
        terminal: Terminal::Ended,
        ..snapshot(1, 5)
    };
    assert!(put(&live, ended.clone()).await);
    assert!(!put(&live, ended.clone()).await, "the same again");
    assert!(!put(&live, snapshot(1, 5)).await, "an equal version");
    assert!(!put(&live, snapshot(1, 4)).await, "an older version");
    assert_eq!(get(&live, 1).await, Some(ended), "a refused put changed it");
}

async fn an_ended_task_stays_ended(live: SharedLive) {
    let ended = |version| TaskSnapshot {
        terminal: Terminal::Ended,
        ..snapshot(1, version)
    };
    assert!(put(&live, ended(5)).await);
    assert!(!put(&live, snapshot(1, 6)).await, "it opened again");
    assert_eq!(get(&live, 1).await, Some(ended(5)));
    assert!(put(&live, ended(7)).await, "its end may be told anew");
    assert_eq!(get(&live, 1).await, Some(ended(7)));
}

async fn the_newest_of_many_wins_in_any_order(live: SharedLive) {
    // 37 and 101 have no common divisor, so this is every version from 0 to 100 in a stirred order.
    let puts = (0..101).map(|turn| put(&live, snapshot(1, turn * 37 % 101)));
    join_all(puts).await;
    assert_eq!(get(&live, 1).await, Some(snapshot(1, 100)));
}

async fn tasks_are_separate(live: SharedLive) {
    assert!(put(&live, snapshot(1, 5)).await);
    assert!(put(&live, snapshot(2, 1)).await);
    assert_eq!(get(&live, 1).await, Some(snapshot(1, 5)));
    assert_eq!(get(&live, 2).await, Some(snapshot(2, 1)));
    assert_eq!(get(&live, 3).await, None);
}

async fn a_wait_returns_at_once_when_the_version_is_there(live: SharedLive) {
    assert!(put(&live, snapshot(1, 3)).await);
    assert_eq!(wait(&live, 1, 2, DEADLINE).await, Some(snapshot(1, 3)));
    assert_eq!(wait(&live, 1, -1, DEADLINE).await, Some(snapshot(1, 3)));
}

async fn a_wait_ends_with_its_timeout(live: SharedLive) {
    assert!(put(&live, snapshot(1, 3)).await);
    let started = Instant::now();
    assert_eq!(wait(&live, 1, 3, QUIET).await, None, "an equal version");
    assert_eq!(wait(&live, 2, 0, QUIET).await, None, "an unknown task");
    assert!(started.elapsed() >= 2 * QUIET, "a wait ended early");
}

async fn a_wait_without_time_looks_once(live: SharedLive) {
    assert_eq!(wait(&live, 1, 0, Duration::ZERO).await, None);
}

async fn a_put_wakes_everyone_who_waits(live: SharedLive) {
    // `join` polls in order, so they all wait before the put; one of them waits for a task it knows.
    assert!(put(&live, snapshot(1, 1)).await);
    let waits = join_all([-1, 1, 1, 2, 2].map(|after| wait(&live, 1, after, DEADLINE)));
    let (seen, stored) = join(waits, put(&live, snapshot(1, 3))).await;
    assert!(stored);
    let versions: Vec<_> = seen.iter().flatten().map(|seen| seen.version).collect();
    assert_eq!(versions, [1, 3, 3, 3, 3]);
}

async fn a_put_that_was_refused_ends_no_wait(live: SharedLive) {
    assert!(put(&live, snapshot(1, 3)).await);
    let (seen, stored) = join(wait(&live, 1, 3, QUIET), put(&live, snapshot(1, 2))).await;
    assert_eq!((seen, stored), (None, false));
}

async fn a_wait_passes_over_versions_that_are_not_new(live: SharedLive) {
    let puts = async {
        for version in 1..=5 {
            assert!(put(&live, snapshot(1, version)).await);
            tokio::task::yield_now().await;
        }
    };
    let (seen, ()) = join(wait(&live, 1, 4, DEADLINE), puts).await;
    assert_eq!(seen, Some(snapshot(1, 5)));
}

async fn a_put_of_another_task_ends_no_wait(live: SharedLive) {
    let (seen, _stored) = join(wait(&live, 1, 0, QUIET), put(&live, snapshot(2, 1))).await;
    assert_eq!(seen, None);
}

/// Each follows the other's step as closely as it can; a version that goes unheard costs a deadline and fails.
async fn no_put_is_missed_however_it_meets_the_wait(live: SharedLive) {
    const VERSIONS: i64 = 100;
    let puts = async {
        for version in 1..=VERSIONS {
            for _ in 0..version % 4 {
                tokio::task::yield_now().await;
            }
            assert!(put(&live, snapshot(1, version)).await);
        }
    };
    let waits = async {
        let mut version = 0;
        while version < VERSIONS {
            let Some(seen) = wait(&live, 1, version, DEADLINE).await else {
                panic!("the version after {version} was missed");
            };
            assert!(seen.version > version, "an old version ended a wait");
            version = seen.version;
        }
    };
    join(waits, puts).await;
}

async fn a_cancelled_wait_does_not_disturb_the_others(live: SharedLive) {
    let cancelled = timeout(QUIET / 2, wait(&live, 1, 0, DEADLINE));
    let stays = wait(&live, 1, 0, DEADLINE);
    let later = async {
        let _ = timeout(QUIET, pending::<()>()).await;
        put(&live, snapshot(1, 1)).await
    };
    let (cancelled, (seen, stored)) = join(cancelled, join(stays, later)).await;
    assert!(cancelled.is_err(), "a wait ended without a put");
    assert_eq!((seen, stored), (Some(snapshot(1, 1)), true));
    let after = wait(&live, 1, 0, DEADLINE).await;
    assert_eq!(after, Some(snapshot(1, 1)));
}

/// An open task whose view says which version it is.
fn snapshot(task: u8, version: i64) -> TaskSnapshot {
    TaskSnapshot {
        task: id(task),
        account: id(100),
        mode: Mode::Test,
        version,
        terminal: Terminal::Open,
        view: Bytes::from(format!("version {version}")),
    }
}

async fn put(live: &SharedLive, snapshot: TaskSnapshot) -> bool {
    live.put_task(snapshot).await.expect("put_task")
}

async fn get(live: &SharedLive, task: u8) -> Option<TaskSnapshot> {
    live.get_task(id(task)).await.expect("get_task")
}

async fn wait(
    live: &SharedLive,
    task: u8,
    after_version: i64,
    patience: Duration,
) -> Option<TaskSnapshot> {
    let waited = live.wait_task(id(task), after_version, patience).await;
    waited.expect("wait_task")
}
