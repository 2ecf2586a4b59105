//! Redis killed, restarted, paused, demoted, or swallowing everything: nobody waits for it, and it is found again.

use std::time::Duration;

use domain::Secret;
use futures::StreamExt as _;
use live::{Admission, Error, Live, Notice, Rate, SharedLive, redis::RedisLive};
use tokio::{net::TcpListener, time::Instant};

use crate::house::{House, LONG, enduring, id, open, shared, until, until_back};

const RATE: Rate = Rate {
    per_minute: 1,
    burst: 10,
};

async fn until_away(live: &RedisLive) {
    until("it is noticed that Redis is away", async || {
        live.get_task(id(1)).await.is_err()
    })
    .await;
}

/// How many calls are admitted until one is refused.
async fn admitted(live: &impl Live, key: &str) -> u32 {
    let mut count = 0;
    while let Admission::Allowed { .. } = live.admit(key, RATE).await.unwrap() {
        count += 1;
    }
    count
}

#[tokio::test]
async fn a_process_starts_without_redis_and_finds_it_later() {
    let mut house = House::start().await;
    house.server.kill().unwrap();
    let live = house.process().await;
    assert_eq!(live.get_task(id(1)).await, Err(Error::Unavailable));
    assert_eq!(
        live.wait_task(id(1), 0, LONG).await,
        Err(Error::Unavailable)
    );
    house.server.restart().await.unwrap();
    until_back(&live).await;
}

#[tokio::test]
async fn an_address_that_is_none_is_an_error() {
    let house = House::start().await;
    for url in ["", "localhost", "http://localhost", "redis://:x@/y/z"] {
        let (url, config) = (Secret::new(url), live::redis::Config::default());
        let sealer = house.secrets.content();
        let connected = RedisLive::connect(&url, &config, sealer, &house.tasks).await;
        assert_eq!(connected.err(), Some(Error::Address), "{}", url.expose());
    }
}

#[tokio::test]
async fn who_waits_is_sent_to_sql_when_redis_dies_and_hears_again_when_it_is_back() {
    let mut house = House::start().await;
    let live = shared(house.process().await);
    let other = house.process().await;
    let waiting = live.wait_task(id(1), 0, LONG);
    let dying = async {
        until("the process listens", async || {
            let clients: String = house.say(&["CLIENT", "LIST", "TYPE", "pubsub"]).await;
            clients.lines().count() == 1
        })
        .await;
        house.server.kill().unwrap();
    };
    let (waited, ()) = futures::join!(waiting, dying);
    assert_eq!(waited, Err(Error::Unavailable));

    house.server.restart().await.unwrap();
    until_back(&live).await;
    until_back(&other).await;
    let (seen, put) = futures::join!(live.wait_task(id(1), 0, LONG), other.put_task(open(1, 1)));
    assert_eq!((seen, put), (Ok(Some(open(1, 1))), Ok(true)));
}

#[tokio::test]
async fn after_a_break_listeners_know_that_they_may_have_missed_something() {
    let mut house = House::start().await;
    let (live, other) = (house.process().await, house.process().await);
    let mut notices = live.notices();
    assert_eq!(notices.next().await, Some(Notice::Missed));
    house.server.restart().await.unwrap();
    // Once for the break, once for what came between it and the new connection.
    assert_eq!(notices.next().await, Some(Notice::Missed));
    assert_eq!(notices.next().await, Some(Notice::Missed));
    until_back(&other).await;
    other.notify(Notice::KeyChanged(id(3))).await.unwrap();
    assert_eq!(notices.next().await, Some(Notice::KeyChanged(id(3))));
}

#[tokio::test]
async fn a_notice_is_heard_in_its_own_process_even_without_redis() {
    let mut house = House::start().await;
    house.server.kill().unwrap();
    let live = enduring(house.process().await, 1);
    let mut notices = live.notices();
    live.notify(Notice::KeyChanged(id(3))).await.unwrap();
    assert_eq!(notices.next().await, Some(Notice::KeyChanged(id(3))));
}

#[tokio::test]
async fn a_redis_that_is_slow_is_left_alone_until_it_answers() {
    let house = House::start().await;
    let live = house
        .process_with(|config| {
            config.response_timeout = Duration::from_millis(100);
            config.failures = 3;
        })
        .await;
    live.put_task(open(1, 1)).await.unwrap();
    let () = house.say(&["CLIENT", "PAUSE", "3600000", "ALL"]).await;
    for _ in 0..3 {
        assert_eq!(live.get_task(id(1)).await, Err(Error::Unavailable));
    }
    // From now on nobody waits: a thousand calls would take a hundred seconds.
    let started = Instant::now();
    for _ in 0..1_000 {
        assert_eq!(live.admit("key", RATE).await, Err(Error::Unavailable));
    }
    assert!(started.elapsed() < Duration::from_secs(50));
}

#[tokio::test]
async fn a_redis_that_was_slow_is_used_again() {
    let house = House::start().await;
    let live = house
        .process_with(|config| {
            config.response_timeout = Duration::from_millis(200);
            config.failures = 1;
        })
        .await;
    let () = house.say(&["CLIENT", "PAUSE", "1000", "ALL"]).await;
    until_away(&live).await;
    until_back(&live).await;
}

#[tokio::test]
async fn a_place_that_swallows_everything_holds_up_nobody() {
    let house = House::start().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}/0", silent.local_addr().unwrap());
    let live = house
        .connect(&url, |config| {
            config.connect_timeout = Duration::from_millis(100);
        })
        .await;
    let started = Instant::now();
    for _ in 0..1_000 {
        assert_eq!(live.admit("key", RATE).await, Err(Error::Unavailable));
    }
    assert!(started.elapsed() < Duration::from_secs(50));
}

#[tokio::test]
async fn a_replica_is_no_use_and_is_used_again_once_promoted() {
    let house = House::start().await;
    let live = house.process().await;
    live.put_task(open(1, 1)).await.unwrap();
    let () = house.say(&["REPLICAOF", "127.0.0.1", "1"]).await;
    assert_eq!(live.put_task(open(1, 2)).await, Err(Error::Unavailable));
    until_away(&live).await;
    let () = house.say(&["REPLICAOF", "NO", "ONE"]).await;
    until_back(&live).await;
    assert!(live.put_task(open(1, 2)).await.unwrap());
}

#[tokio::test]
async fn a_process_alone_grants_its_part_of_the_limits() {
    let mut house = House::start().await;
    let live = enduring(house.process().await, 3);
    assert_eq!(admitted(&live, "before").await, 10);
    house.server.kill().unwrap();
    assert_eq!(admitted(&live, "after").await, 3);
    for (limit, expected) in [(10, 3), (2, 1), (0, 0)] {
        let mut taken = 0_u32;
        let key = format!("limit {limit}");
        while live
            .take_slot(&key, u128::from(taken).to_be_bytes(), limit, LONG)
            .await
            .unwrap()
        {
            taken += 1;
        }
        assert_eq!(taken, expected);
    }
    let none = Rate {
        per_minute: 0,
        burst: 0,
    };
    assert!(matches!(
        live.admit("none", none).await,
        Ok(Admission::Refused { .. })
    ));
}

#[tokio::test]
async fn slots_are_given_back_where_they_were_taken() {
    let mut house = House::start().await;
    let live = enduring(house.process().await, 1);
    let take = async |slot: u8| live.take_slot("key", [slot; 16], 1, LONG).await.unwrap();
    house.server.kill().unwrap();
    assert!(take(1).await);
    assert!(!take(2).await, "this process alone counts too");
    house.server.restart().await.unwrap();
    until("Redis is back", async || take(3).await).await;
    // What was taken alone is given back alone.
    live.give_slot("key", [1; 16]).await.unwrap();
    assert!(!take(4).await, "slot 3 is taken still");
    live.give_slot("key", [3; 16]).await.unwrap();
    assert!(take(4).await);
    house.server.kill().unwrap();
    assert!(take(5).await, "slot 1 was given back");
}

#[tokio::test]
async fn a_slot_given_back_while_redis_is_away_is_free_when_it_is_back() {
    let house = House::start().await;
    let live = enduring(
        house
            .process_with(|config| {
                config.response_timeout = Duration::from_millis(200);
                config.failures = 1;
            })
            .await,
        1,
    );
    for slot in 0..10 {
        assert!(live.take_slot("key", [slot; 16], 10, LONG).await.unwrap());
    }
    // It forgets nothing, it only does not answer.
    let () = house.say(&["CLIENT", "PAUSE", "1000", "ALL"]).await;
    for slot in 0..10 {
        live.give_slot("key", [slot; 16]).await.unwrap();
    }
    until("the slots are free", async || {
        house.say::<i64>(&["EXISTS", "aio:slots:{key}"]).await == 0
    })
    .await;
}

#[tokio::test]
async fn what_redis_did_without_saying_so_is_undone_and_a_renewal_is_not() {
    let house = House::start().await;
    let live = house
        .process_with(|config| {
            config.response_timeout = Duration::from_millis(200);
            // It is slow for a moment and never given up.
            config.failures = u32::MAX;
        })
        .await;
    let take = async |slot: u8| live.take_slot("key", [slot; 16], 10, LONG).await;
    assert_eq!(take(1).await, Ok(true));
    let () = house.say(&["CLIENT", "PAUSE", "1000", "ALL"]).await;
    let renewed = live.renew_slot("key", [1; 16], 10, LONG).await;
    assert_eq!(renewed, Err(Error::Unavailable));
    assert_eq!(take(2).await, Err(Error::Unavailable));
    // Redis does one thing after the other: once it did this, it did that too.
    until("Redis answers", async || take(3).await.is_ok()).await;
    let taken = async || {
        let slots: Vec<Vec<u8>> = house.say(&["ZRANGE", "aio:slots:{key}", "0", "-1"]).await;
        slots
    };
    until("slot 2 is free", async || {
        !taken().await.contains(&vec![2; 16])
    })
    .await;
    assert!(taken().await.contains(&vec![1; 16]), "slot 1 is in use");
}

#[tokio::test]
async fn a_slot_is_renewed_where_it_was_taken() {
    let mut house = House::start().await;
    let live = enduring(house.process().await, 1);
    let take = async |slot: u8| live.take_slot("key", [slot; 16], 1, LONG).await.unwrap();
    let renew = async |slot: u8| live.renew_slot("key", [slot; 16], 1, LONG).await;
    assert!(take(1).await);
    house.server.kill().unwrap();
    assert_eq!(renew(1).await, Ok(true));
    assert!(take(2).await, "slot 1 is none of this process's own");
    house.server.restart().await.unwrap();
    until("Redis is back", async || {
        live.put_task(open(1, 1)).await.unwrap()
    })
    .await;
    assert_eq!(renew(2).await, Ok(true));
    assert_eq!(house.say::<i64>(&["EXISTS", "aio:slots:{key}"]).await, 0);
    // Redis has forgotten it, and has room.
    assert_eq!(renew(1).await, Ok(true));
    assert!(!take(3).await);
    live.give_slot("key", [1; 16]).await.unwrap();
    assert!(take(3).await);
}

#[tokio::test]
async fn without_redis_snapshots_are_absent_and_puts_are_soft() {
    let mut house = House::start().await;
    let live: SharedLive = shared(enduring(house.process().await, 1));
    assert_eq!(live.put_task(open(1, 1)).await, Ok(true));
    house.server.kill().unwrap();
    assert_eq!(live.get_task(id(1)).await, Ok(None));
    assert_eq!(live.put_task(open(1, 2)).await, Ok(false));
    assert_eq!(
        live.wait_task(id(1), 0, LONG).await,
        Err(Error::Unavailable)
    );
    assert_eq!(live.give_slot("key", [1; 16]).await, Ok(()));
    assert_eq!(live.notify(Notice::KeyChanged(id(1))).await, Ok(()));
}
