//! What lies in Redis: nothing without an end, nothing that can be read, nothing that a script of ours cannot do again.

use std::time::Duration;

use live::{Admission, Error, Live as _, Notice, Rate, Terminal};

use crate::house::{CONTENT, House, LONG, id, open, snapshot};

const RATE: Rate = Rate {
    per_minute: 60,
    burst: 5,
};

/// Uses everything there is once.
async fn use_everything(house: &House) {
    let live = house.process().await;
    live.put_task(open(1, 1)).await.unwrap();
    live.put_task(snapshot(2, i64::MAX, Terminal::Ended))
        .await
        .unwrap();
    live.admit("key", RATE).await.unwrap();
    let fastest = Rate {
        per_minute: u32::MAX,
        burst: u32::MAX,
    };
    live.admit("fast", fastest).await.unwrap();
    let slowest = Rate {
        per_minute: 1,
        burst: u32::MAX,
    };
    live.admit("slow", slowest).await.unwrap();
    for (slot, life) in [(1, LONG), (2, Duration::from_secs(1)), (3, Duration::MAX)] {
        assert!(live.take_slot("key", [slot; 16], 9, life).await.unwrap());
    }
    live.give_slot("key", [1; 16]).await.unwrap();
    live.notify(Notice::KeyChanged(id(1))).await.unwrap();
}

#[tokio::test]
async fn every_key_has_a_life() {
    let house = House::start().await;
    use_everything(&house).await;
    let keys: Vec<String> = house.say(&["KEYS", "*"]).await;
    let of = |kind: &str| keys.iter().filter(|key| key.contains(kind)).count();
    assert_eq!(
        (of(":task:"), of(":slots:"), of(":probe")),
        (2, 1, 1),
        "{keys:?}"
    );
    assert!(of(":rate:") >= 2, "{keys:?}");
    for key in &keys {
        let left: i64 = house.say(&["PTTL", key]).await;
        // In its last millisecond nothing is left; -1 would be for ever, -2 is over.
        assert!(left >= 0 || left == -2, "{key} has no end: {left}");
        assert!(left <= 365 * 24 * 60 * 60 * 1000, "{key}: {left}");
    }
}

#[tokio::test]
async fn snapshots_live_as_long_as_the_configuration_says() {
    let house = House::start().await;
    use_everything(&house).await;
    for (task, most, least) in [(1, 30_000, 1), (2, 3_600_000, 3_000_000)] {
        let key = format!("aio:task:{{{}}}", open(task, 1).task);
        let left: i64 = house.say(&["PTTL", &key]).await;
        assert!((least..=most).contains(&left), "{key}: {left}");
    }
}

#[tokio::test]
async fn nothing_of_a_customers_content_can_be_read() {
    let house = House::start().await;
    use_everything(&house).await;
    let keys: Vec<String> = house.say(&["KEYS", "*"]).await;
    let mut bytes = 0;
    for key in &keys {
        let dump: Option<Vec<u8>> = house.say(&["DUMP", key]).await;
        let dump = dump.unwrap_or_default();
        bytes += dump.len();
        for hidden in [CONTENT, b"foxes", &id::<domain::ids::Account>(1).to_bytes()] {
            let shown = dump.windows(hidden.len()).any(|window| window == hidden);
            assert!(!shown, "{key} shows content");
        }
    }
    assert!(bytes > 300, "there was something to look at");
    // Another installation's key opens nothing.
    let mut other = house;
    other.secrets = chassis::secrets::Secrets::random();
    let live = other.process().await;
    assert_eq!(live.get_task(id(1)).await, Ok(None));
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_loaded_again() {
    let house = House::start().await;
    let live = house.process().await;
    for turn in 1..4 {
        let () = house.say(&["SCRIPT", "FLUSH"]).await;
        assert!(live.put_task(open(1, turn)).await.unwrap());
        live.admit("key", RATE).await.unwrap();
        assert!(live.take_slot("key", [1; 16], 1, LONG).await.unwrap());
    }
}

/// As if the clock had been an hour ahead when the key was used last.
#[tokio::test]
async fn a_clock_that_was_set_back_shuts_nobody_out() {
    const HOUR: u64 = 3_600;
    let house = House::start().await;
    let live = house.process().await;
    live.admit("key", RATE).await.unwrap();
    let life = Duration::from_millis(200);
    let (held, wanted) = ([b'a'; 16], [b'b'; 16]);
    assert!(live.take_slot("key", held, 1, life).await.unwrap());
    let time: Vec<u64> = house.say(&["TIME"]).await;
    let then = time[0] + HOUR;
    let () = house
        .say(&["SET", "aio:rate:{key}", &format!("{then}000000")])
        .await;
    let slot = "a".repeat(16);
    let _: i64 = house
        .say(&["ZADD", "aio:slots:{key}", &format!("{then}000"), &slot])
        .await;
    let _: i64 = house.say(&["PERSIST", "aio:slots:{key}"]).await;

    let mut served = 0;
    for _ in 0..50 {
        let answer = live.admit("key", RATE).await.unwrap();
        served += u32::from(matches!(answer, Admission::Allowed { .. }));
    }
    // A burst, and what comes back while it is asked for.
    assert!((5..50).contains(&served), "{served}");
    testkit::eventually("there is room", async || {
        let taken = live.take_slot("key", wanted, 1, life).await.unwrap();
        Ok(taken.then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_key_of_somebody_else_is_left_alone_and_harms_no_other() {
    let house = House::start().await;
    let live = house.process_with(|config| config.failures = 1).await;
    let task = open(1, 1).task;
    let () = house
        .say(&["SET", &format!("aio:task:{{{task}}}"), "x"])
        .await;
    let _: i64 = house.say(&["LPUSH", "aio:rate:{key}", "x"]).await;
    let () = house.say(&["SET", "aio:slots:{key}", "x"]).await;
    assert_eq!(live.put_task(open(1, 1)).await, Err(Error::Unavailable));
    assert_eq!(live.get_task(task).await, Err(Error::Unavailable));
    assert_eq!(live.admit("key", RATE).await, Err(Error::Unavailable));
    let taken = live.take_slot("key", [1; 16], 1, LONG).await;
    assert_eq!(taken, Err(Error::Unavailable));
    assert_eq!(
        live.give_slot("key", [1; 16]).await,
        Err(Error::Unavailable)
    );
    assert!(live.put_task(open(2, 1)).await.unwrap());
    assert!(live.admit("other", RATE).await.is_ok());
    let kept: String = house.say(&["GET", "aio:slots:{key}"]).await;
    assert_eq!(kept, "x");
}

#[tokio::test]
async fn everything_may_vanish_at_any_time() {
    let house = House::start().await;
    let live = house.process().await;
    live.put_task(open(1, 5)).await.unwrap();
    assert!(live.take_slot("key", [1; 16], 1, LONG).await.unwrap());
    house.server.flush().await.unwrap();
    assert_eq!(live.get_task(id(1)).await, Ok(None));
    live.give_slot("key", [1; 16]).await.unwrap();
    // What was forgotten may be put again, in the same version.
    assert!(live.put_task(open(1, 5)).await.unwrap());
    assert!(live.take_slot("key", [2; 16], 1, LONG).await.unwrap());
}
