//! What a request may wish of a model's providers: which of them, in which order, or the fastest.

use proto::{Fault, code};

use crate::{
    app::until,
    house::when_told,
    provider::Reply,
    shop::{Shop, body, good},
};

/// One for `gemini`, with these wishes.
fn wishes(provider: &str) -> String {
    body(&format!(r#""model":"gemini","provider":{provider}"#))
}

#[tokio::test]
async fn a_request_may_say_which_providers_are_asked_and_in_which_order() {
    for (provider, calls) in [
        (r#"{}"#, "p1 p2 p3"),
        (r#"{"order":["p3"]}"#, "p3 p1 p2"),
        (
            r#"{"order":["p3","p2"],"allow_fallbacks":true}"#,
            "p3 p2 p1",
        ),
        (r#"{"order":["p3","p2"],"allow_fallbacks":false}"#, "p3 p2"),
        (r#"{"allow_fallbacks":false}"#, "p1"),
        (r#"{"only":["p3","p2"]}"#, "p2 p3"),
        (r#"{"ignore":["p1"],"only":null,"sort":null}"#, "p2 p3"),
        (r#"{"ignore":["p2"],"order":["p2","p3"]}"#, "p3 p1"),
        (r#"{"ignore":["p1"],"allow_fallbacks":false}"#, "p2"),
        (r#"{"sort":"latency"}"#, "p1 p2 p3"),
    ] {
        let shop = Shop::of(&["", "", ""], "").await;
        (1..=3).for_each(|place| shop.will(place, Reply::whole(500, "")));
        shop.refused(&wishes(provider)).await;
        let attempts = shop.last_attempts();
        let asked = attempts.as_array().unwrap().iter();
        let asked: Vec<&str> = asked.filter_map(|call| call["provider"].as_str()).collect();
        assert_eq!(asked.join(" "), calls, "{provider}");
        let first = asked.first().unwrap().trim_start_matches('p');
        let sent = shop.asked_for(first.parse().unwrap());
        assert!(sent.get("provider").is_none(), "{sent}");
        shop.app.settled().await;
    }
}

/// What is refused travels between services in a header: it must not grow with the request.
#[tokio::test]
async fn a_thousand_wishes_are_refused_in_few_words() {
    let shop = Shop::of(&["", ""], "").await;
    let many: Vec<String> = (0..900).map(|place| format!("\"a{place}\":1")).collect();
    let names = vec!["\"x\""; 64].join(",");
    let long = format!("\"{}\"", "x".repeat(20_000));
    for (provider, most) in [
        (format!("{{{}}}", many.join(",")), 16),
        (format!("{{\"order\":[{names}],\"only\":[{names}]}}"), 16),
        (format!("{{\"order\":[{long}]}}"), 1),
    ] {
        let refused: Fault = shop.refused(&wishes(&provider)).await;
        let told = refused.violations.len().max(1);
        assert!(told <= most, "{told}: {refused}");
        assert!(tonic::Status::from(refused).details().len() < 16 * 1024);
    }
}

#[tokio::test]
async fn a_wish_that_cannot_be_followed_is_refused_with_what_can() {
    let shop = Shop::of(&["", ""], "").await;
    let invalid = code::INVALID_PARAMETER;
    for (provider, code, param, told) in [
        (
            r#"{"order":["p1","px"]}"#,
            invalid,
            "provider.order[1]",
            "a provider of gemini: p1, p2",
        ),
        (r#"{"only":["P1"]}"#, invalid, "provider.only[0]", "p1, p2"),
        (
            r#"{"ignore":["p1","p2"]}"#,
            invalid,
            "provider",
            "leave a provider that serves gemini here: p1, p2",
        ),
        (r#"{"only":[]}"#, invalid, "provider.only", "1 to 64"),
        (r#"{"only":"p1"}"#, invalid, "provider.only", "be a list"),
        (
            r#"{"allow_fallbacks":1}"#,
            invalid,
            "provider.allow_fallbacks",
            "true or false",
        ),
        (
            r#"{"sort":"price"}"#,
            invalid,
            "provider.sort",
            "costs you the same whoever serves it",
        ),
        (
            r#"{"sort":"throughput"}"#,
            invalid,
            "provider.sort",
            "\"latency\"",
        ),
        (
            r#"{"zdr":true}"#,
            code::UNKNOWN_PARAMETER,
            "provider.zdr",
            "order, only, ignore, allow_fallbacks, sort",
        ),
        (
            r#""p1""#,
            invalid,
            "provider",
            "be an object of order, only",
        ),
    ] {
        let fault: Fault = shop.refused(&wishes(provider)).await;
        assert_eq!(
            (fault.code, fault.param.as_deref()),
            (code, Some(param)),
            "{provider}"
        );
        assert!(fault.message.contains(told), "{}", fault.message);
    }
    // Of several models, one may be left without providers.
    shop.will(2, good());
    let text = body(r#""models":["first","dear"],"provider":{"only":["p2"]}"#);
    assert_eq!(shop.served(&text).await, "p2");
    assert_eq!(shop.asked(1), 0);
    let text = body(r#""models":["first","dear"],"provider":{"only":["p3"]}"#);
    let told = shop.refused(&text).await.message;
    assert!(told.contains("a provider of first, dear: p1, p2"), "{told}");
    shop.app.settled().await;
}

#[tokio::test]
async fn an_operator_may_keep_the_choice() {
    let settings = "[limits.chat.failover]\ncustomers_choose = false";
    let shop = Shop::of(&["", ""], settings).await;
    let fault = shop.refused(&wishes(r#"{"order":["p2"]}"#)).await;
    assert_eq!(fault.code, code::UNKNOWN_PARAMETER);
    assert_eq!(fault.param.as_deref(), Some("provider"));
    for text in [
        body(r#""model":"gemini","provider":null"#),
        body(r#""models":["gemini","dear"]"#),
    ] {
        shop.will(1, good());
        assert_eq!(shop.served(&text).await, "p1");
    }
    shop.app.settled().await;
}

/// Lets the first provider take longer than all of some answers of the second, and says who is asked next.
async fn after_a_slow_answer(settings: &str, text: &str) -> (String, Shop) {
    let shop = Shop::of(&["order = 1", "order = 1"], settings).await;
    shop.will(1, when_told(good()));
    let meanwhile = async {
        until("the first is asked", || shop.asked(1) == 1).await;
        for _ in 0..8 {
            let around = body(r#""model":"gemini","provider":{"ignore":["p1"]}"#);
            shop.will(2, good());
            assert_eq!(shop.served(&around).await, "p2");
        }
        shop.provider(1).tell();
    };
    let first = body(r#""model":"gemini","provider":{"order":["p1"]}"#);
    let (first, ()) = tokio::join!(shop.served(&first), meanwhile);
    assert_eq!(first, "p1");
    (1..=2).for_each(|place| shop.will(place, good()));
    (shop.served(text).await, shop)
}

#[tokio::test]
async fn who_answered_soonest_is_asked_first_where_that_is_wished_for() {
    // Nine turns were taken: the tenth is the second one's.
    let even = body(r#""model":"gemini","provider":{"ignore":[]}"#)
        .replace(r#","provider":{"ignore":[]}"#, "");
    let (served, shop) = after_a_slow_answer("", &even).await;
    assert_eq!(served, "p2");
    shop.will(1, good());
    assert_eq!(shop.served(&even).await, "p1", "by turns");
    shop.app.settled().await;

    let settings = "[limits.chat.failover.speed]\nfastest = ['gemini']\nhalf_life = '1h'";
    let (served, shop) = after_a_slow_answer(settings, &even).await;
    assert_eq!(served, "p2");
    // A conversation stays where it is, whoever is faster.
    let mut places = std::collections::BTreeSet::new();
    for key in 0..16 {
        let text = body(&format!(r#""model":"gemini","user":"{key}""#));
        (1..=2).for_each(|place| shop.will(place, good()));
        places.insert(shop.served(&text).await);
    }
    assert_eq!(places.len(), 2);
    shop.app.settled().await;

    let sorted = wishes(r#"{"sort":"latency"}"#);
    let (served, shop) = after_a_slow_answer("", &sorted).await;
    assert_eq!(served, "p2");
    shop.app.settled().await;
}
