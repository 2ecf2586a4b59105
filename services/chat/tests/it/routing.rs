//! A model with several providers, and with several credentials: some hang, refuse or fail, and its requests are served all the same.

use std::time::Duration;

use domain::Mode;
use proto::{Fault, code};
use serde_json::json;

use crate::{
    app::{App, Collected, until},
    house::{eventually, when_told},
    provider::{End, Reply},
    shop::{ASK, GOOD_STREAM, OTHER, STREAM, Shop, good, with_header},
};

/// One failure is too many, and the next request tries it.
const AT_ONCE: &str = "[limits.chat.breaker]\nfailures = 1\npause = '0s'";

/// A request is told to come again within these seconds.
fn check_busy(fault: &Fault, least: u64, most: u64) {
    assert_eq!(fault.code, code::UPSTREAM_BUSY);
    let wait = fault.retry_after.unwrap();
    let allowed = Duration::from_secs(least)..=Duration::from_secs(most);
    assert!(allowed.contains(&wait), "{wait:?}");
}

#[tokio::test]
async fn one_of_three_hangs_and_its_models_requests_are_served_without_waiting_for_it() {
    let settings = "[limits.chat.failover]\nfirst_byte_patience = '200ms'\nwhole_answer_patience = '200ms'\n\
                    [limits.chat.breaker]\nfailures = 3\npause = '1h'\nlongest = '1h'";
    let shop = Shop::of(&["", "", ""], settings).await;
    // Nothing at all, and a head after which nothing comes.
    shop.will(1, Reply::silence());
    shop.will(1, Reply::stream("", End::Hang));
    shop.will(1, Reply::silence());
    for body in [ASK, STREAM, STREAM] {
        let reply = if body == ASK {
            good()
        } else {
            Reply::stream(GOOD_STREAM, End::Close)
        };
        shop.will(2, reply);
        assert_eq!(shop.served(body).await, "p2");
    }
    assert_eq!(shop.app.billing.books().charges().len(), 3);
    assert_eq!(
        shop.last_attempts(),
        json!([{"provider": "p1", "outcome": "unknown"}, {"provider": "p2", "outcome": "answered"}])
    );
    // What hangs is given up.
    until("its calls end", || shop.provider(1).stopped() == 3).await;
    assert_eq!(shop.failovers("unknown"), 3);
    assert_eq!(shop.state("p1"), 2);
    assert_eq!(
        shop.figure("breaker_trips_total", "p1", ",reason=\"failures\""),
        1
    );
    // From now on nobody waits for it, and it is not in the receipts.
    for round in 1..=10 {
        shop.will(2, good());
        assert_eq!(shop.served(ASK).await, "p2");
        assert_eq!(shop.figure("passed_over_total", "p1", ""), round);
    }
    assert_eq!((shop.asked(1), shop.asked(2), shop.asked(3)), (3, 13, 0));
    assert_eq!(
        shop.last_attempts(),
        json!([{"provider": "p2", "outcome": "answered"}])
    );
    shop.will(3, good());
    assert_eq!(shop.served(OTHER).await, "p3");
    shop.app.settled().await;
}

#[tokio::test]
async fn without_another_one_or_without_patience_a_slow_provider_has_its_time() {
    let settings = "[limits.chat]\nwhole_answer_timeout = '300ms'\n[limits.chat.failover]\n";
    let cases: [(&[&str], &str); 2] = [(&[""], "50ms"), (&["", ""], "0s")];
    for (rows, patience) in cases {
        let settings = format!("{settings}whole_answer_patience = '{patience}'");
        let shop = Shop::of(rows, &settings).await;
        shop.will(1, Reply::silence());
        let begun = std::time::Instant::now();
        assert_eq!(shop.refused(ASK).await.code, code::UPSTREAM_TIMEOUT);
        assert!(begun.elapsed() >= Duration::from_millis(300));
        assert_eq!(shop.asked(1), 1);
        assert!(rows.len() == 1 || shop.asked(2) == 0);
        shop.app.billing.released();
        shop.app.settled().await;
    }
}

#[tokio::test]
async fn a_provider_that_asks_to_slow_down_is_asked_last_and_never_refused() {
    let shop = Shop::of(&["", ""], "").await;
    shop.will(1, with_header(429, "retry-after", "40"));
    shop.will(2, good());
    assert_eq!(shop.served(ASK).await, "p2");
    // From now on the other one comes first.
    shop.will(2, good());
    assert_eq!(shop.served(ASK).await, "p2");
    assert_eq!((shop.asked(1), shop.asked(2)), (1, 2));
    shop.will(2, with_header(429, "retry-after", "20"));
    shop.will(1, good());
    assert_eq!(shop.served(ASK).await, "p1");
    // Both are asked to be spared: the last of them says when.
    shop.will(1, with_header(429, "retry-after", "30"));
    shop.will(2, with_header(429, "retry-after", "20"));
    check_busy(&shop.refused(ASK).await, 20, 20);
    // What was too much of one model, or of one customer, is nobody else's trouble.
    shop.will(2, good());
    assert_eq!(shop.served(OTHER).await, "p2");
    assert_eq!(
        shop.figure("breaker_trips_total", "p1", ",reason=\"rate_limited\""),
        1
    );
    shop.app.settled().await;
}

#[tokio::test]
async fn a_provider_that_said_when_is_asked_again_by_all() {
    let shop = Shop::of(&["", ""], "").await;
    shop.will(1, with_header(429, "retry-after-ms", "0"));
    shop.will(2, good());
    assert_eq!(shop.served(ASK).await, "p2");
    shop.will(1, when_told(good()));
    shop.will(1, good());
    let second = async {
        until("the first is asked", || shop.asked(1) == 2).await;
        let second = shop.served(ASK).await;
        shop.provider(1).tell();
        second
    };
    let (first, second) = tokio::join!(shop.served(ASK), second);
    assert_eq!((&*first, &*second), ("p1", "p1"));
    assert_eq!(shop.state("p1"), 0);
    shop.app.settled().await;
}

#[tokio::test]
async fn a_credential_that_is_empty_or_refused_passes_to_the_next_one() {
    for (status, reason) in [(402, "balance"), (401, "auth")] {
        let shop = Shop::of(&[""], "[providers.p1]\napi_keys = ['k1', 'second']").await;
        shop.will(1, Reply::whole(status, ""));
        for _ in 0..4 {
            shop.will(1, good());
            assert_eq!(shop.served(ASK).await, "p1");
        }
        let keys: Vec<String> = shop
            .provider(1)
            .asked()
            .into_iter()
            .map(|asked| asked.authorization)
            .collect();
        let second = "Bearer second";
        assert_eq!(keys, ["Bearer k1", second, second, second, second]);
        let more = format!(",reason=\"{reason}\"");
        assert_eq!(shop.figure("breaker_trips_total", "p1", &more), 1);
        assert_eq!(shop.failovers(reason), 1);
        // The second one too: nobody can serve, for a minute.
        shop.will(1, Reply::whole(status, ""));
        assert_eq!(shop.refused(ASK).await.code, code::UPSTREAM_FAILED);
        check_busy(&shop.refused(ASK).await, 30, 60);
        // With an Idempotency-Key too, which is not used up.
        let mut keyed = App::request(ASK, Mode::Live, &[]);
        keyed.idempotency_key = "again".to_owned();
        let keyed = shop.app.send(keyed).await.expect_err("a refusal");
        check_busy(&Fault::from(keyed), 30, 60);
        assert_eq!(shop.asked(1), 6);
        shop.app.settled().await;
    }
}

#[tokio::test]
async fn another_credential_is_asked_where_it_may_help_and_else_another_provider() {
    for (status, keys_asked) in [(429, 2), (402, 2), (500, 1), (503, 1), (404, 1)] {
        let shop = Shop::of(&["", ""], "[providers.p1]\napi_keys = ['b', 'c']").await;
        shop.will(1, Reply::whole(status, ""));
        shop.will(1, good());
        shop.will(2, good());
        let provider = if keys_asked == 2 { "p1" } else { "p2" };
        assert_eq!(shop.served(ASK).await, provider, "{status}");
        assert_eq!(shop.asked(1), keys_asked, "{status}");
        shop.app.settled().await;
    }
}

#[tokio::test]
async fn a_provider_that_hangs_with_all_its_credentials_does_not_take_every_call() {
    let settings = "[providers.p1]\napi_keys = ['b', 'c']\n[limits.chat.failover]\nfirst_byte_patience = '100ms'";
    let shop = Shop::of(&["", ""], settings).await;
    shop.will(1, Reply::silence());
    shop.will(2, Reply::stream(GOOD_STREAM, End::Close));
    assert_eq!(shop.served(STREAM).await, "p2");
    assert_eq!((shop.asked(1), shop.asked(2)), (1, 1));
    shop.app.settled().await;
}

#[tokio::test]
async fn credentials_take_turns() {
    let shop = Shop::of(&[""], "[providers.p1]\napi_keys = ['b', 'c']").await;
    for _ in 0..6 {
        shop.will(1, good());
        shop.served(ASK).await;
    }
    let asked = shop.provider(1).asked();
    let keys: Vec<&str> = asked
        .iter()
        .map(|asked| asked.authorization.trim_start_matches("Bearer "))
        .collect();
    assert_eq!(keys, ["k1", "b", "c", "k1", "b", "c"]);
    shop.app.settled().await;
}

#[tokio::test]
async fn equals_share_by_weight_and_a_conversation_stays_where_it_is() {
    let shop = Shop::of(&["order = 1\nweight = 2", "order = 1", ""], "").await;
    let mut served = Vec::new();
    for _ in 0..6 {
        shop.will(1, good());
        shop.will(2, good());
        served.push(shop.served(ASK).await);
    }
    assert_eq!(served, ["p1", "p1", "p2", "p1", "p1", "p2"]);
    let mut places = std::collections::BTreeSet::new();
    for key in 0..24 {
        // Both names of the same thing, and the first one counts.
        let body = ASK.replacen('{', &format!(r#"{{"prompt_cache_key":"{key}","#), 1);
        let with_user = body.replacen('{', r#"{"user":"u","#, 1);
        let account = App::request("", Mode::Live, &[]).context;
        let mut place = None;
        for body in [&body, &with_user, &body] {
            shop.will(1, good());
            shop.will(2, good());
            let mut request = App::request(body, Mode::Live, &[]);
            request.context.clone_from(&account);
            let events = shop.app.send(request).await.unwrap();
            let provider = Collected::of(events).await.head.unwrap().provider;
            assert_eq!(*place.get_or_insert_with(|| provider.clone()), provider);
            places.insert(provider);
        }
    }
    assert_eq!(places.len(), 2, "different conversations are spread");
    assert_eq!(shop.asked(3), 0);
    shop.app.settled().await;
}

#[tokio::test]
async fn a_provider_that_failed_too_often_is_tried_again_and_comes_back() {
    let settings = "[limits.chat.breaker]\nfailures = 2\npause = '20ms'";
    let shop = Shop::of(&["", ""], settings).await;
    for _ in 0..2 {
        shop.will(1, Reply::whole(500, ""));
        shop.will(2, good());
        assert_eq!(shop.served(ASK).await, "p2");
    }
    shop.will(1, good());
    eventually("the provider is asked again", async || {
        shop.will(2, good());
        shop.served(ASK).await == "p1"
    })
    .await;
    assert_eq!(shop.state("p1"), 0);
    // It serves as before: one failure is not too many.
    shop.will(1, Reply::whole(500, ""));
    shop.will(1, good());
    assert_eq!(shop.served(ASK).await, "p2");
    assert_eq!(shop.served(ASK).await, "p1");
    shop.app.settled().await;
}

#[tokio::test]
async fn one_request_tries_and_the_others_pass_over() {
    let shop = Shop::of(&["", ""], AT_ONCE).await;
    shop.will(1, Reply::whole(500, ""));
    shop.will(2, good());
    assert_eq!(shop.served(ASK).await, "p2");
    shop.will(1, when_told(good()));
    let others = async {
        until("it is tried", || shop.asked(1) == 2).await;
        for _ in 0..3 {
            shop.will(2, good());
            assert_eq!(shop.served(ASK).await, "p2");
        }
        assert_eq!(shop.state("p1"), 1);
        assert_eq!(shop.asked(1), 2);
        shop.provider(1).tell();
    };
    let (probe, ()) = tokio::join!(shop.served(ASK), others);
    assert_eq!(probe, "p1");
    assert_eq!(shop.state("p1"), 0);
    shop.will(1, good());
    assert_eq!(shop.served(ASK).await, "p1");
    shop.app.settled().await;
}

#[tokio::test]
async fn a_customer_who_leaves_while_trying_makes_room_for_the_next() {
    let shop = Shop::of(&["", ""], AT_ONCE).await;
    shop.will(1, Reply::whole(500, ""));
    shop.will(2, good());
    assert_eq!(shop.served(ASK).await, "p2");
    shop.will(1, Reply::silence());
    let leaves = until("it is tried", || shop.asked(1) == 2);
    tokio::select! {
        answer = shop.ask(ASK) => panic!("{answer:?}"),
        () = leaves => {}
    }
    until("the provider is stopped", || {
        shop.provider(1).stopped() == 1
    })
    .await;
    shop.will(1, good());
    assert_eq!(shop.served(ASK).await, "p1");
    shop.app.settled().await;
}

#[tokio::test]
async fn what_is_wrong_with_a_request_says_nothing_about_its_provider() {
    let shop = Shop::of(&[""], "[limits.chat.breaker]\nfailures = 1").await;
    for status in [400, 404, 413, 422, 451] {
        shop.will(1, Reply::whole(status, ""));
        shop.refused(ASK).await;
        assert_eq!(shop.state("p1"), 0, "{status}");
    }
    shop.will(1, good());
    assert_eq!(shop.served(ASK).await, "p1");
    shop.app.settled().await;
}

#[tokio::test]
async fn test_keys_always_reach_the_sandbox() {
    let app = App::start().await;
    for _ in 0..3 {
        app.provider.will(with_header(429, "retry-after", "30"));
        let fault = app.refused(ASK).await;
        assert_eq!(fault.retry_after, Some(Duration::from_secs(30)));
    }
    assert_eq!(app.provider.asked().len(), 3);
    app.settled().await;
}
