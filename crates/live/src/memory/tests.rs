//! What is particular to the shared state in memory: its clock, its bounds, and that it leaves nothing behind.

use std::sync::Arc;

use bytes::Bytes;
use domain::{Id, Mode, ids::Kind};
use futures::{FutureExt, StreamExt, future::join_all};
use tokio::{task::JoinSet, time::advance};

use super::*;
use crate::{SharedLive, Terminal, conformance};

const DEADLINE: Duration = Duration::from_secs(10);
const KEY: &str = "key";

async fn fresh() -> SharedLive {
    Arc::new(MemoryLive::new(&Limits::default()))
}

fn id<K: Kind>(number: u32) -> Id<K> {
    Id::from_slice(&u128::from(number).to_be_bytes()).unwrap()
}

fn snapshot(task: u32, version: i64, terminal: Terminal) -> TaskSnapshot {
    TaskSnapshot {
        task: id(task),
        account: id(1),
        mode: Mode::Test,
        version,
        terminal,
        view: Bytes::from_static(b"prompt"),
    }
}

#[tokio::test(start_paused = true)]
async fn conforms() {
    conformance::run(fresh).await;
}

/// The conditions of a conformance run against a server: time passes by itself.
#[tokio::test]
async fn conforms_in_real_time() {
    conformance::run(fresh).await;
}

#[tokio::test(start_paused = true)]
async fn waiting_leaves_nothing_behind() {
    let live = MemoryLive::new(&Limits::default());
    let waits = || join_all((0..3).map(|_| live.wait_task(id(1), 0, DEADLINE)));

    // Woken.
    let (seen, _put) = futures::join!(waits(), live.put_task(snapshot(1, 1, Terminal::Open)));
    assert!(seen.iter().all(|seen| seen.as_ref().unwrap().is_some()));
    assert_eq!(live.waiters.tasks(), 0);

    // Out of time.
    assert_eq!(live.wait_task(id(2), 0, DEADLINE).await, Ok(None));
    assert_eq!(live.waiters.tasks(), 0);

    // Cancelled, one by one.
    let mut first = live.wait_task(id(3), 0, DEADLINE);
    let mut second = live.wait_task(id(3), 0, DEADLINE);
    assert!((&mut first).now_or_never().is_none());
    assert!((&mut second).now_or_never().is_none());
    drop(first);
    assert_eq!(live.waiters.tasks(), 1);
    drop(second);
    assert_eq!(live.waiters.tasks(), 0);
}

/// Watchers on several threads follow a task from its first version to its last.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_version_goes_unheard_between_threads() {
    const LAST: i64 = 2_000;
    let live = fresh().await;
    let mut watchers = JoinSet::new();
    for _ in 0..8 {
        watchers.spawn(watch(Arc::clone(&live), LAST));
    }
    for version in 1..=LAST {
        let put = live.put_task(snapshot(1, version, Terminal::Open));
        assert_eq!(put.await, Ok(true));
        if version % 7 == 0 {
            tokio::task::yield_now().await;
        }
    }
    while let Some(watched) = watchers.join_next().await {
        assert!(watched.unwrap(), "a version was missed");
    }
}

/// Whether every wait was ended by a put.
async fn watch(live: SharedLive, last: i64) -> bool {
    let mut version = 0;
    while version < last {
        match live.wait_task(id(1), version, DEADLINE).await.unwrap() {
            Some(seen) => version = seen.version,
            None => return false,
        }
    }
    true
}

/// The cache has a clock of its own, so this test waits in real time.
#[tokio::test]
async fn snapshots_of_ended_and_open_tasks_live_as_long_as_the_limits_say() {
    let live = MemoryLive::new(&Limits {
        ended_life: Duration::from_millis(10),
        ..Limits::default()
    });
    for (task, terminal) in [(1, Terminal::Ended), (2, Terminal::Open)] {
        live.put_task(snapshot(task, 1, terminal)).await.unwrap();
    }
    // It was open for long; now that it ends it has the shorter life.
    live.put_task(snapshot(3, 1, Terminal::Open)).await.unwrap();
    live.put_task(snapshot(3, 2, Terminal::Ended))
        .await
        .unwrap();
    for ended in [1, 3] {
        let gone = async {
            while live.get_task(id(ended)).await.unwrap().is_some() {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, gone).await.unwrap();
    }
    assert!(live.get_task(id(2)).await.unwrap().is_some());
}

#[tokio::test]
async fn snapshots_take_no_more_than_their_bytes_and_the_newest_stay() {
    let live = MemoryLive::new(&Limits {
        snapshot_bytes: 100_000,
        ..Limits::default()
    });
    for task in 0..1_000 {
        live.put_task(snapshot(task, 1, Terminal::Open))
            .await
            .unwrap();
    }
    live.snapshots.run_pending_tasks().await;
    assert!(live.snapshots.weighted_size() <= 100_000);
    assert!(live.get_task(id(999)).await.unwrap().is_some());
    assert!(live.get_task(id(0)).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_exact_to_the_nanosecond() {
    let live = MemoryLive::new(&Limits::default());
    let rate = Rate {
        per_minute: 7,
        burst: 1,
    };
    let interval = Duration::from_nanos(8_571_428_572);
    let allowed = Ok(Admission::Allowed { remaining: 0 });
    let refused = |retry_after| Ok(Admission::Refused { retry_after });
    assert_eq!(live.admit(KEY, rate).await, allowed);
    assert_eq!(live.admit(KEY, rate).await, refused(interval));
    advance(interval - Duration::from_nanos(1)).await;
    assert_eq!(
        live.admit(KEY, rate).await,
        refused(Duration::from_nanos(1))
    );
    advance(Duration::from_nanos(1)).await;
    assert_eq!(live.admit(KEY, rate).await, allowed);
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_refused_rather_than_a_known_one_forgotten() {
    let live = MemoryLive::new(&Limits {
        keys: 2,
        ..Limits::default()
    });
    let rate = Rate {
        per_minute: 60,
        burst: 1,
    };
    for key in ["a", "b"] {
        live.admit(key, rate).await.unwrap();
        assert!(live.take_slot(key, [1; 16], 1, DEADLINE).await.unwrap());
    }
    assert_eq!(live.admit("c", rate).await, Err(Error::Full));
    assert_eq!(
        live.take_slot("c", [1; 16], 1, DEADLINE).await,
        Err(Error::Full)
    );

    live.give_slot("a", [1; 16]).await.unwrap();
    assert!(live.take_slot("c", [1; 16], 1, DEADLINE).await.unwrap());
    advance(Duration::from_secs(1)).await;
    let allowed = Ok(Admission::Allowed { remaining: 0 });
    assert_eq!(live.admit("c", rate).await, allowed);
}

#[tokio::test(start_paused = true)]
async fn a_life_without_end_is_no_overflow() {
    let live = MemoryLive::new(&Limits::default());
    let taken = live.take_slot(KEY, [1; 16], 1, Duration::MAX).await;
    assert_eq!(taken, Ok(true));
    live.put_task(snapshot(1, 1, Terminal::Open)).await.unwrap();
    let waited = live.wait_task(id(1), 0, Duration::MAX).await.unwrap();
    assert!(waited.is_some());
}

#[tokio::test]
async fn a_listener_hears_notices_sent_since_it_was_made_and_then_the_end() {
    let live = MemoryLive::new(&Limits::default());
    live.notify(Notice::KeyChanged(id(1))).await.unwrap();
    let notices = live.notices();
    live.notify(Notice::KeyChanged(id(2))).await.unwrap();
    live.notify(Notice::KeyChanged(id(3))).await.unwrap();
    drop(live);
    let heard: Vec<_> = notices.collect().await;
    assert_eq!(heard, [2, 3].map(|key| Notice::KeyChanged(id(key))));
}

#[tokio::test]
async fn a_slow_listener_is_told_that_it_missed_notices_and_goes_on() {
    let live = MemoryLive::new(&Limits {
        notices: 2,
        ..Limits::default()
    });
    let notices = live.notices();
    for key in 0..5 {
        live.notify(Notice::KeyChanged(id(key))).await.unwrap();
    }
    drop(live);
    let heard: Vec<_> = notices.collect().await;
    let kept = [3, 4].map(|key| Notice::KeyChanged(id(key)));
    assert_eq!(heard, [Notice::Missed, kept[0], kept[1]]);
}

#[test]
fn a_snapshot_does_not_print_its_view() {
    let printed = format!("{:?}", snapshot(1, 1, Terminal::Open));
    assert!(printed.contains("view_bytes: 6"), "{printed}");
    assert!(!printed.contains("prompt"), "{printed}");
    assert!(!printed.contains("112"), "{printed}");
}
