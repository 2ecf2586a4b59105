//! Billing and media cannot read their databases: who was known is known for a while, what was shown is shown, and it is said that it may be
//! old. And the edge itself goes away.

use std::{sync::atomic::Ordering, time::Duration};

use domain::{KeyId, Scope};
use live::Notice;
use proto::chat::v1::{Head, complete_event::Event};
use serde_json::{Value, json};

use crate::house::{House, read, refusal, say, until};

const STREAM: &str = r#"{"model":"gemini","stream":true,"messages":[]}"#;
/// Keys are asked about with nearly every request.
const FORGETFUL: &str = "limits.key_cache.life = '1ms'";

fn go_away(house: &House) {
    house.world.is_away.store(true, Ordering::SeqCst);
}

fn unavailable() -> (u16, String) {
    (503, "service_unavailable".into())
}

#[tokio::test]
async fn who_was_known_sees_his_tasks_and_whether_that_may_be_old() {
    let house = House::with(FORGETFUL).await;
    let key = house.usual_key();
    let (open, ended) = (house.task(), house.task());
    house
        .world
        .tasks
        .lock()
        .unwrap()
        .get_mut(&ended)
        .unwrap()
        .terminal = true;
    let told = async |task| {
        let (status, body) = read(house.get(&format!("/v1/tasks/{task}"), &key)).await;
        assert_eq!(status, 200);
        body.get("data").cloned().unwrap_or_default()
    };
    let (now, old) = (
        json!({ "status": "queued" }),
        json!({ "status": "queued", "stale": true }),
    );
    assert_eq!(
        (told(open).await, told(ended).await),
        (now.clone(), now.clone())
    );
    go_away(&house);
    until("an open task may be old", async || told(open).await == old).await;
    assert_eq!(told(ended).await, now, "an end is final");
    let looks = house.world.looks.load(Ordering::SeqCst);
    assert!(looks > 2, "media was asked");
    let stranger = house.usual_key();
    assert_eq!(
        refusal(house.get(&format!("/v1/tasks/{open}"), &stranger)).await,
        unavailable()
    );
    house.world.is_away.store(false, Ordering::SeqCst);
    until("media answers again", async || told(open).await == now).await;
}

/// A key that was known when billing went away, and whether it opens anything now.
async fn known(house: &House) -> (String, KeyId) {
    let known = house.key_with(&[Scope::Read], |_| {});
    let task = house.task();
    assert_eq!(
        read(house.get(&format!("/v1/tasks/{task}"), &known.0))
            .await
            .0,
        200
    );
    known
}

async fn until_it_opens_nothing(house: &House, key: &str) {
    let (path, refused) = (format!("/v1/tasks/{}", house.task()), unavailable());
    until("it opens nothing", async || {
        refusal(house.get(&path, key)).await == refused
    })
    .await;
}

#[tokio::test]
async fn a_revocation_that_was_heard_or_missed_ends_the_grace() {
    let house = House::with(FORGETFUL).await;
    let [(revoked, id), (other, _)] = [known(&house).await, known(&house).await];
    let task = house.task();
    let path = format!("/v1/tasks/{task}");
    assert_eq!(read(house.get(&path, &other)).await.0, 200);
    go_away(&house);
    house.live.notify(Notice::KeyChanged(id)).await.unwrap();
    until_it_opens_nothing(&house, &revoked).await;
    assert_eq!(read(house.get(&path, &other)).await.0, 200);
    house.live.notify(Notice::Missed).await.unwrap();
    until_it_opens_nothing(&house, &other).await;
}

#[tokio::test]
async fn without_grace_nobody_is_known_for_longer() {
    let house = House::with(&format!("{FORGETFUL}\nlimits.key_cache.grace = '0s'")).await;
    let (key, _id) = known(&house).await;
    go_away(&house);
    until_it_opens_nothing(&house, &key).await;
}

#[tokio::test]
async fn a_stream_that_outlasts_the_grace_of_stopping_ends_with_an_error() {
    let house = House::start().await;
    let script = house.script();
    let asking = house.chat(&house.usual_key(), STREAM).send();
    let head = Head {
        stream: true,
        ..Head::default()
    };
    let speaking = async {
        say(&script, Event::Head(head)).await;
        say(&script, Event::Data("{}".into())).await;
    };
    let (answer, ()) = tokio::join!(asking, speaking);
    let stopping = house.tasks.stop(Duration::from_secs(2));
    let (stopped, text) = tokio::join!(stopping, answer.unwrap().text());
    let text = text.unwrap();
    assert!(stopped && text.starts_with("data: {}\n\n"), "{text}");
    let last = text.trim_end().rsplit("data: ").next().unwrap_or_default();
    let last: Value = serde_json::from_str(last).unwrap();
    let code = last.pointer("/error/code");
    assert_eq!(code, Some(&json!("service_unavailable")), "{text}");
    assert!(!script.is_closed(), "chat was told that the customer left");
}
