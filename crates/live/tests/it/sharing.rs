//! Several processes, one shared state.

use std::time::Duration;

use futures::{StreamExt as _, future::join_all};
use live::{Admission, Live as _, Notice, Rate, Terminal};

use crate::house::{House, LONG, id, open, snapshot, until};

#[tokio::test]
async fn what_one_process_puts_the_other_sees_and_is_woken_by() {
    let house = House::start().await;
    let (one, other) = (house.process().await, house.process().await);
    one.put_task(open(1, 1)).await.unwrap();
    assert_eq!(other.get_task(id(1)).await.unwrap(), Some(open(1, 1)));
    assert!(!other.put_task(open(1, 1)).await.unwrap());
    let ended = snapshot(1, 2, Terminal::Ended);
    let waiting = other.wait_task(id(1), 1, LONG);
    let (seen, put) = futures::join!(waiting, one.put_task(ended.clone()));
    assert!(put.unwrap());
    assert_eq!(seen.unwrap(), Some(ended));
}

#[tokio::test]
async fn limits_hold_for_all_processes_together() {
    let house = House::start().await;
    let processes = [
        house.process().await,
        house.process().await,
        house.process().await,
    ];
    let rate = Rate {
        per_minute: 1,
        burst: 10,
    };
    let calls = (0..60_usize).map(|call| processes[call % 3].admit("key", rate));
    let said = join_all(calls).await.into_iter().map(Result::unwrap);
    let admitted = said.filter(|said| matches!(said, Admission::Allowed { .. }));
    assert_eq!(admitted.count(), 10);

    let slot = |number: u8| [number; 16];
    let takes = (0..60_u8)
        .map(|number| processes[usize::from(number % 3)].take_slot("key", slot(number), 7, LONG));
    let taken: Vec<bool> = join_all(takes)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(taken.iter().filter(|taken| **taken).count(), 7);
    // One process gives back what another took.
    let first = taken.iter().position(|taken| *taken).unwrap();
    let first = slot(u8::try_from(first).unwrap());
    processes[2].give_slot("key", first).await.unwrap();
    assert!(
        processes[0]
            .take_slot("key", slot(99), 7, LONG)
            .await
            .unwrap()
    );
    assert!(
        !processes[1]
            .take_slot("key", slot(98), 7, LONG)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn a_notice_reaches_other_processes_and_the_own_one() {
    let house = House::start().await;
    let (one, other) = (house.process().await, house.process().await);
    let (mut here, mut there) = (one.notices(), other.notices());
    // Whoever begins to listen is told that there may have been something.
    assert_eq!(there.next().await, Some(Notice::Missed));
    let revoked = Notice::KeyChanged(id(7));
    one.notify(revoked).await.unwrap();
    assert_eq!(there.next().await, Some(revoked));
    while here.next().await != Some(revoked) {}
}

#[tokio::test]
async fn thousands_wait_on_two_connections() {
    const WAITERS: u32 = 2_000;
    let house = House::start().await;
    // Only what is heard wakes anybody.
    let live = house.process_with(|config| config.poll = LONG).await;
    let media = house.process().await;
    let waits = join_all((0..WAITERS).map(|task| live.wait_task(id(task), 0, LONG)));
    let putting = async {
        until("the process listens", async || {
            let clients: String = house.say(&["CLIENT", "LIST", "TYPE", "pubsub"]).await;
            clients.lines().count() == 1
        })
        .await;
        let all: String = house.say(&["CLIENT", "LIST"]).await;
        // Two of the process that waits, one of the other, one of this question.
        assert_eq!(all.lines().count(), 4, "{all}");
        for task in 0..WAITERS {
            assert!(media.put_task(open(task, 1)).await.unwrap());
        }
    };
    let (seen, ()) = futures::join!(waits, putting);
    assert!(seen.into_iter().all(|seen| seen.unwrap().is_some()));
}

#[tokio::test]
async fn a_change_that_goes_unheard_is_found_by_looking() {
    let house = House::start().await;
    let live = house
        .process_with(|config| config.poll = Duration::from_millis(50))
        .await;
    let waiting = live.wait_task(id(1), 0, LONG);
    let unheard = async {
        until("the process listens", async || {
            let heard: Vec<(String, u32)> = house.say(&["PUBSUB", "NUMSUB", "aio:tasks"]).await;
            heard.iter().any(|(_, listeners)| *listeners == 1)
        })
        .await;
        // Sealed by the same house under another channel, then carried over: no message tells of it.
        let elsewhere = house
            .process_with(|config| config.prefix = "other".into())
            .await;
        elsewhere.put_task(open(1, 1)).await.unwrap();
        let task = open(1, 1).task;
        let names = ["other", "aio"].map(|prefix| format!("{prefix}:task:{{{task}}}"));
        let _: i64 = house.say(&["COPY", &names[0], &names[1]]).await;
    };
    let (seen, ()) = futures::join!(waiting, unheard);
    assert_eq!(seen.unwrap(), Some(open(1, 1)));
}
