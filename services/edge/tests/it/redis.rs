//! A real Redis behind the edge that dies and comes back: nobody outside notices more than a slower look.

use std::{sync::atomic::Ordering, time::Duration};

use chassis::{Tasks, config::Settings, secrets::Secrets};
use domain::Scope;
use live::SharedLive;
use prometheus_client::registry::Registry;
use testkit::servers::Redis;

use crate::house::{House, read, refusal, until};

/// An edge whose shared state is in this Redis.
async fn house(redis: &Redis, settings: &str) -> House {
    let told = format!(
        "redis.url = '{}'\nredis.response_timeout = '5s'\n",
        redis.url()
    );
    let config = live::Config::read(&Settings::from_toml(&told)).unwrap();
    let live: SharedLive = live::open(
        &config,
        Secrets::random().content(),
        &mut Registry::default(),
        &Tasks::default(),
    )
    .await
    .unwrap();
    House::over(live, settings).await
}

#[tokio::test]
async fn a_redis_that_dies_fails_no_request_and_is_used_again() {
    let mut redis = Redis::start().await.unwrap();
    let house = house(&redis, "").await;
    let key = house.key(&Scope::ALL);
    let task = house.task();
    let looks = || house.world.looks.load(Ordering::SeqCst);
    let look = async || read(house.get(&format!("/v1/tasks/{task}"), &key)).await.0;
    for _ in 0..3 {
        assert_eq!(look().await, 200);
    }
    assert_eq!(looks(), 1, "the snapshot is in Redis");

    redis.kill().unwrap();
    for _ in 0..3 {
        let before = looks();
        assert_eq!(look().await, 200);
        assert_eq!(looks(), before + 1, "media is asked");
        let answer = house.chat(&key, "{}").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.headers().contains_key("x-ratelimit-limit-requests"));
        let submit = house.post("/api/v1/images/generations", &key, "{}");
        assert_eq!(read(submit).await.0, 202);
        let cancel = house.post(&format!("/api/v1/tasks/{task}/cancel"), &key, "");
        assert_eq!(read(cancel).await.0, 200);
    }

    redis.restart().await.unwrap();
    until("Redis is used again", async || {
        let before = looks();
        assert_eq!(look().await, 200);
        looks() == before
    })
    .await;
}

#[tokio::test]
async fn limits_hold_without_redis() {
    let mut redis = Redis::start().await.unwrap();
    let house = house(&redis, "").await;
    redis.kill().unwrap();
    let (key, _id) = house.key_with(&[Scope::Read], |identity| identity.rpm = 2);
    for _ in 0..2 {
        assert_eq!(read(house.get("/api/v1/credits", &key)).await.0, 200);
    }
    let third = refusal(house.get("/api/v1/credits", &key)).await;
    assert_eq!(third, (429, "rate_limited".into()));
}

#[tokio::test]
async fn a_follower_hears_the_end_although_redis_died_meanwhile() {
    let mut redis = Redis::start().await.unwrap();
    let house = house(&redis, "limits.streams.poll = '20ms'").await;
    let task = house.task();
    let path = format!("/api/v1/tasks/{task}/events");
    let key = house.usual_key();
    let mut answer = house.get(&path, &key).send().await.unwrap();
    let first = answer.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"event: task\nid: 1\n"));
    redis.kill().unwrap();
    let mut ended = house.snapshot(task);
    (ended.version, ended.terminal) = (2, true);
    house.world.tasks.lock().unwrap().insert(task, ended);
    let rest = tokio::time::timeout(Duration::from_secs(60), answer.text());
    let rest = rest.await.unwrap().unwrap();
    assert!(rest.contains("event: task\nid: 2\n"), "{rest}");
}

#[tokio::test]
async fn a_revocation_that_nobody_could_hear_is_found_once_redis_is_back() {
    let mut redis = Redis::start().await.unwrap();
    let house = house(&redis, "limits.key_cache.life = '1h'").await;
    let (key, _id) = house.key_with(&[Scope::Read], |_| {});
    assert_eq!(read(house.get("/api/v1/credits", &key)).await.0, 200);
    // Another process revokes it while no notice can travel.
    house.world.identities.lock().unwrap().clear();
    redis.kill().unwrap();
    redis.restart().await.unwrap();
    until("the key stops", async || {
        refusal(house.get("/api/v1/credits", &key)).await == (401, "invalid_key".into())
    })
    .await;
}
