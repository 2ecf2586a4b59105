//! What is remembered about keys, revocation, addresses, rates and slots.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use domain::{ApiKey, Mode, Scope};
use live::Notice;
use proto::chat::v1::{Head, Tail, complete_event::Event};

use crate::house::{House, read, refusal, say, until};

const CREDITS: &str = "/api/v1/credits";

#[tokio::test]
async fn billing_is_asked_once_and_never_about_a_typo() {
    let house = House::start().await;
    let key = house.usual_key();
    for _ in 0..3 {
        assert_eq!(read(house.get(CREDITS, &key)).await.0, 200);
    }
    assert_eq!(house.world.authentications.load(Ordering::SeqCst), 1);
    let mut typo = key.clone();
    typo.replace_range(20..21, "!");
    for text in [typo.as_str(), "sk-x", &"x".repeat(5000)] {
        assert_eq!(
            refusal(house.get(CREDITS, text)).await,
            (401, "invalid_key".into())
        );
    }
    assert_eq!(house.world.authentications.load(Ordering::SeqCst), 1);
    let unknown = ApiKey::from_random(Mode::Live, &[60; 36]);
    for _ in 0..3 {
        let refused = refusal(house.get(CREDITS, unknown.expose())).await;
        assert_eq!(refused, (401, "invalid_key".into()));
    }
    assert_eq!(house.world.authentications.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_key_may_come_in_either_header() {
    let house = House::start().await;
    let key = house.usual_key();
    let request = house
        .request(reqwest::Method::GET, CREDITS)
        .header("x-api-key", &key);
    assert_eq!(read(request).await.0, 200);
}

#[tokio::test]
async fn a_revoked_key_stops_at_once() {
    let house = House::start().await;
    let admin = house.key(&[Scope::Admin]);
    let (key, id) = house.key_with(&[Scope::Read], |_| {});
    assert_eq!(read(house.get(CREDITS, &key)).await.0, 200);
    let path = format!("/api/v1/admin/keys/{id}");
    let revoked = read(
        house
            .request(reqwest::Method::DELETE, &path)
            .bearer_auth(&admin),
    )
    .await;
    assert_eq!(revoked.0, 200);
    assert_eq!(
        refusal(house.get(CREDITS, &key)).await,
        (401, "invalid_key".into())
    );
    assert_eq!(
        read(house.get("/api/v1/admin/accounts", &admin)).await.0,
        200
    );
}

#[tokio::test]
async fn a_notice_of_another_process_stops_a_key() {
    let house = House::start().await;
    let (key, id) = house.key_with(&[Scope::Read], |_| {});
    assert_eq!(read(house.get(CREDITS, &key)).await.0, 200);
    house.world.identities.lock().unwrap().clear();
    assert_eq!(read(house.get(CREDITS, &key)).await.0, 200);
    house.live.notify(Notice::KeyChanged(id)).await.unwrap();
    until("the key stops", async || {
        refusal(house.get(CREDITS, &key)).await == (401, "invalid_key".into())
    })
    .await;
}

#[tokio::test]
async fn a_changed_key_is_asked_about_again() {
    let house = House::start().await;
    let (key, id) = house.key_with(&[Scope::Read], |_| {});
    assert_eq!(read(house.get(CREDITS, &key)).await.0, 200);
    house
        .world
        .identities
        .lock()
        .unwrap()
        .get_mut(&key)
        .unwrap()
        .scopes
        .clear();
    house.live.notify(Notice::KeyChanged(id)).await.unwrap();
    until("the change is seen", async || {
        refusal(house.get(CREDITS, &key)).await == (403, "missing_scope".into())
    })
    .await;
}

#[tokio::test]
async fn a_key_is_refused_from_elsewhere() {
    let house = House::with("server.trusted_proxies = ['127.0.0.1/32']").await;
    let only = |networks: &[&str]| {
        let networks: Vec<String> = networks.iter().map(|n| (*n).to_owned()).collect();
        house
            .key_with(&[Scope::Read], |identity| identity.ip_allow = networks)
            .0
    };
    let away = (403, "address_not_allowed".to_owned());
    assert_eq!(
        refusal(house.get(CREDITS, &only(&["10.0.0.0/8"]))).await,
        away
    );
    assert_eq!(
        refusal(house.get(CREDITS, &only(&["nonsense"]))).await,
        away
    );
    assert_eq!(
        read(house.get(CREDITS, &only(&["10.0.0.0/8", "127.0.0.1"])))
            .await
            .0,
        200
    );
    let key = only(&["10.0.0.0/8"]);
    let forwarded = house
        .get(CREDITS, &key)
        .header("x-forwarded-for", "10.1.2.3");
    assert_eq!(read(forwarded).await.0, 200);
}

#[tokio::test]
async fn a_key_sends_as_often_as_it_may() {
    let house = House::start().await;
    let key = house
        .key_with(&[Scope::Read], |identity| identity.rpm = 2)
        .0;
    for remaining in ["1", "0"] {
        let answer = house.get(CREDITS, &key).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["x-ratelimit-limit-requests"], "2");
        assert_eq!(
            answer.headers()["x-ratelimit-remaining-requests"],
            remaining
        );
    }
    let answer = house.get(CREDITS, &key).send().await.unwrap();
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["x-ratelimit-remaining-requests"], "0");
    let wait: u64 = answer.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    assert_eq!(
        crate::house::json(answer).await["error"]["code"],
        "rate_limited"
    );
    // Another key has a rate of its own.
    assert_eq!(read(house.get(CREDITS, &house.usual_key())).await.0, 200);
}

#[tokio::test]
async fn a_slot_comes_back_when_the_answer_ends_or_the_client_leaves() {
    let house = House::start().await;
    let both = [Scope::Inference, Scope::Read];
    let key = house.key_with(&both, |identity| identity.concurrency = 1).0;
    let full = (429, "too_many_concurrent_requests".to_owned());

    // It ends.
    let script = house.script();
    let head = Head {
        provider: "gemini".into(),
        stream: true,
        ..Default::default()
    };
    say(&script, Event::Head(head.clone())).await;
    let answer = house.chat(&key, r#"{"stream":true}"#).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(refusal(house.get(CREDITS, &key)).await, full);
    say(&script, Event::Tail(Tail::default())).await;
    assert_eq!(answer.text().await.unwrap(), "data: [DONE]\n\n");
    assert_eq!(read(house.get(CREDITS, &key)).await.0, 200);

    // The client leaves; chat is told.
    let script = house.script();
    say(&script, Event::Head(head)).await;
    let answer = house.chat(&key, r#"{"stream":true}"#).send().await.unwrap();
    assert_eq!(refusal(house.get(CREDITS, &key)).await, full);
    drop(answer);
    tokio::time::timeout(Duration::from_secs(10), script.closed())
        .await
        .unwrap();
    until("the slot is free", async || {
        read(house.get(CREDITS, &key)).await.0 == 200
    })
    .await;

    // A client that asks one thing after the other never waits for itself.
    for _ in 0..50 {
        assert_eq!(read(house.get(CREDITS, &key)).await.0, 200);
    }
}

#[tokio::test]
async fn a_request_counts_as_open_for_as_long_as_it_is() {
    let life = Duration::from_secs(1);
    let house = House::with("limits.rates.slot_life = '1s'").await;
    let both = [Scope::Inference, Scope::Read];
    let key = house.key_with(&both, |identity| identity.concurrency = 1).0;
    let script = house.script();
    let head = Head {
        provider: "gemini".into(),
        stream: true,
        ..Default::default()
    };
    say(&script, Event::Head(head)).await;
    let answer = house.chat(&key, r#"{"stream":true}"#).send().await.unwrap();
    let begun = Instant::now();
    // Nothing else keeps it: every one of these is refused.
    while begun.elapsed() < 3 * life {
        assert_eq!(
            refusal(house.get(CREDITS, &key)).await,
            (429, "too_many_concurrent_requests".to_owned())
        );
    }
    say(&script, Event::Tail(Tail::default())).await;
    assert_eq!(answer.text().await.unwrap(), "data: [DONE]\n\n");
    assert_eq!(read(house.get(CREDITS, &key)).await.0, 200);
}
