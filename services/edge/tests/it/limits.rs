//! Limits of an account beside those of its keys: the tighter one counts, and whoever is refused has used up nothing.

use domain::{Mode, Scope};
use live::{Admission, Rate};
use proto::chat::v1::{Head, Tail, complete_event::Event};
use reqwest::Response;

use crate::house::{House, Script, read, refusal, say};

const CREDITS: &str = "/api/v1/credits";
const SCOPES: [Scope; 2] = [Scope::Inference, Scope::Read];

async fn asks(house: &House, key: &str) -> u16 {
    read(house.get(CREDITS, key)).await.0
}

/// Opens a stream, which lasts until its script ends it.
async fn opens(house: &House, key: &str) -> (Script, Response) {
    let script = house.script();
    let head = Head {
        provider: "gemini".into(),
        stream: true,
        ..Head::default()
    };
    say(&script, Event::Head(head)).await;
    let answer = house.chat(key, r#"{"stream":true}"#).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    (script, answer)
}

async fn closes((script, answer): (Script, Response)) {
    say(&script, Event::Tail(Tail::default())).await;
    assert_eq!(answer.text().await.unwrap(), "data: [DONE]\n\n");
}

#[tokio::test]
async fn the_rate_of_an_account_holds_for_all_its_keys_together_and_costs_them_nothing() {
    let house = House::with("limits.rates.account_per_minute = 2").await;
    let (one, id) = house.key_with(&SCOPES, |identity| identity.rpm = 5);
    let other = house.key(&SCOPES);
    let answer = house.get(CREDITS, &one).send().await.unwrap();
    // The tighter one is told.
    assert_eq!(answer.headers()["x-ratelimit-limit-requests"], "2");
    assert_eq!(answer.headers()["x-ratelimit-remaining-requests"], "1");
    assert_eq!(asks(&house, &other).await, 200);
    for _ in 0..10 {
        let answer = house.get(CREDITS, &one).send().await.unwrap();
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()["x-ratelimit-limit-requests"], "2");
        let error = crate::house::json(answer).await;
        let message = error["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("this account may send 2"), "{message}");
    }
    // The key has used one of its five.
    let rate = Rate {
        per_minute: 5,
        burst: 5,
    };
    let said = house.live.admit(&id.to_string(), rate).await.unwrap();
    assert_eq!(said, Admission::Allowed { remaining: 3 });
    // The other mode is another matter.
    let live = house
        .key_with(&SCOPES, |identity| {
            identity.mode = proto::mode_to_wire(Mode::Live).into();
        })
        .0;
    assert_eq!(asks(&house, &live).await, 200);
}

#[tokio::test]
async fn a_key_at_its_rate_costs_its_account_nothing() {
    let house = House::with("limits.rates.account_per_minute = 3").await;
    let slow = house.key_with(&SCOPES, |identity| identity.rpm = 1).0;
    let other = house.key(&SCOPES);
    let answer = house.get(CREDITS, &slow).send().await.unwrap();
    assert_eq!(answer.headers()["x-ratelimit-limit-requests"], "1");
    for _ in 0..10 {
        let answer = house.get(CREDITS, &slow).send().await.unwrap();
        assert_eq!(answer.status(), 429);
        assert_eq!(answer.headers()["x-ratelimit-limit-requests"], "1");
    }
    assert_eq!(asks(&house, &other).await, 200);
    assert_eq!(asks(&house, &other).await, 200);
    assert_eq!(asks(&house, &other).await, 429);
}

#[tokio::test]
async fn an_account_has_its_open_requests_whichever_keys_open_them() {
    let house = House::with("limits.rates.account_concurrency = 2").await;
    let full = (429, "too_many_concurrent_requests".to_owned());
    let narrow = house
        .key_with(&SCOPES, |identity| identity.concurrency = 1)
        .0;
    let wide = house.key(&SCOPES);

    // The key's refusals take nothing from the account.
    let first = opens(&house, &narrow).await;
    for _ in 0..5 {
        assert_eq!(refusal(house.get(CREDITS, &narrow)).await, full);
    }
    let second = opens(&house, &wide).await;
    // The account's refusals take nothing from the key.
    for _ in 0..5 {
        let answer = read(house.get(CREDITS, &wide)).await;
        let message = answer.1["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("this account may have 2"), "{message}");
    }
    closes(first).await;
    assert_eq!(asks(&house, &narrow).await, 200);
    closes(second).await;
    let third = opens(&house, &narrow).await;
    assert_eq!(asks(&house, &wide).await, 200);
    closes(third).await;
}

#[tokio::test]
async fn a_request_refused_for_too_many_open_ones_does_not_count_against_the_rate() {
    let house = House::start().await;
    let key = house
        .key_with(&SCOPES, |identity| {
            identity.rpm = 2;
            identity.concurrency = 1;
        })
        .0;
    let open = opens(&house, &key).await;
    for _ in 0..10 {
        assert_eq!(
            refusal(house.get(CREDITS, &key)).await,
            (429, "too_many_concurrent_requests".to_owned())
        );
    }
    closes(open).await;
    assert_eq!(asks(&house, &key).await, 200);
    assert_eq!(
        refusal(house.get(CREDITS, &key)).await,
        (429, "rate_limited".to_owned())
    );
}
