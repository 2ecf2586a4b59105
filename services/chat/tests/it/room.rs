//! What a provider that hangs, or that fails all the time, can take of us: so many requests, and so many extra calls, and no more.

use domain::Mode;
use proto::code;

use crate::{
    app::{App, Collected, compatible, until},
    house::when_told,
    provider::{End, Reply},
    shop::{ASK, OTHER, STREAM, Shop, good},
};

const FIRST: &str = r#"{"model":"first","messages":[{"role":"user","content":"foxes?"}]}"#;
/// Nothing but its room keeps a request from a provider that hangs.
const ROOM_FOR_TWO: &str = "[limits.chat.failover]\nfirst_byte_patience = '0s'\n[limits.chat.failover.in_flight]\nper_credential = 2\n\
     [limits.chat.breaker]\nfailures = 1000";

impl Shop {
    fn in_flight(&self, provider: &str) -> u64 {
        self.figure("in_flight", provider, "")
    }
}

#[tokio::test]
async fn a_provider_that_hangs_takes_so_many_requests_and_the_others_go_on() {
    let shop = Shop::of(&["", "", ""], ROOM_FOR_TWO).await;
    // One says nothing, the other one stops in the middle of its answer.
    shop.will(1, when_told(Reply::whole(200, "{\"choices\":[")));
    let begun = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n";
    shop.will(1, when_told(Reply::stream(begun, End::Close)));
    let others = async {
        until("two requests hang", || shop.asked(1) == 2).await;
        for round in 1..=20 {
            shop.will(2, good());
            assert_eq!(shop.served(ASK).await, "p2");
            assert_eq!(shop.figure("full_total", "p1", ""), round);
            shop.will(3, good());
            assert_eq!(shop.served(OTHER).await, "p3");
            assert_eq!(shop.in_flight("p1"), 2);
        }
        assert_eq!((shop.in_flight("p2"), shop.in_flight("p3")), (0, 0));
        // A model that nobody else serves is told to wait, and nothing is held for it.
        let held = shop.app.billing.books().holds.len();
        let busy = shop.refused(FIRST).await;
        assert_eq!(busy.code, code::UPSTREAM_BUSY);
        assert!(busy.retry_after.is_some(), "{busy:?}");
        assert_eq!(shop.app.billing.books().holds.len(), held);
        assert_eq!(shop.asked(1), 2);
        shop.provider(1).tell();
        shop.provider(1).tell();
    };
    let (whole, streamed, ()) = tokio::join!(shop.ask(ASK), shop.ask(STREAM), others);
    assert_eq!(whole.expect_err("a failure").code, code::UPSTREAM_FAILED);
    assert!(streamed.unwrap().failed.is_some(), "it broke off");
    // There is room again.
    assert_eq!(shop.in_flight("p1"), 0);
    shop.will(1, good());
    assert_eq!(shop.served(ASK).await, "p1");
    shop.app.settled().await;
}

#[tokio::test]
async fn a_customer_who_leaves_gives_up_the_room() {
    let shop = Shop::of(&[""], ROOM_FOR_TWO).await;
    let begun = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n";
    for round in 1..=4 {
        shop.will(1, Reply::stream(begun, End::Hang));
        let request = App::request(STREAM, Mode::Live, &[]);
        let mut events = shop.app.send(request).await.unwrap();
        while events.message().await.unwrap().unwrap().event.is_none() {}
        assert_eq!(shop.in_flight("p1"), 1);
        drop(events);
        until("its call ends", || shop.provider(1).stopped() == round).await;
        until("there is room", || shop.in_flight("p1") == 0).await;
    }
    shop.app.settled().await;
}

#[tokio::test]
async fn credentials_and_providers_have_limits_of_their_own() {
    let settings = "[providers.p1]\napi_keys = ['b', 'c']\n[limits.chat.failover]\nfirst_byte_patience = '0s'\n\
                    [limits.chat.failover.in_flight]\nper_credential = 1\nproviders = { p1 = 2 }";
    let shop = Shop::of(&["", ""], settings).await;
    let mut hanging: Vec<_> = Vec::new();
    for number in 1..=2 {
        shop.will(1, Reply::stream("", End::Hang));
        hanging.push(Box::pin(shop.ask(STREAM)));
        let arrived = until("it hangs", || shop.asked(1) == number);
        tokio::select! {
            _ = futures::future::select_all(&mut hanging) => panic!("it does not hang"),
            () = arrived => {}
        }
    }
    let keys: Vec<String> = shop
        .provider(1)
        .asked()
        .into_iter()
        .map(|asked| asked.authorization)
        .collect();
    assert_ne!(keys[0], keys[1]);
    // The third credential has room, and its provider has none.
    shop.will(2, good());
    assert_eq!(shop.served(ASK).await, "p2");
    drop(hanging);
    shop.app.settled().await;
}

#[tokio::test]
async fn the_sandbox_is_one_provider_with_room_of_its_own() {
    let settings = "[limits.chat.failover.in_flight.providers]\nsandbox = 1";
    let app = App::with(settings, compatible()).await;
    app.provider.will(when_told(good()));
    let others = async {
        until("one hangs", || app.provider.asked().len() == 1).await;
        assert_eq!(app.refused(ASK).await.code, code::UPSTREAM_BUSY);
        app.provider.tell();
    };
    let (first, ()) = tokio::join!(app.collect(ASK), others);
    assert!(first.tail.is_some());
    app.provider.will(good());
    let again: Collected = app.collect(ASK).await;
    assert!(again.tail.is_some());
    app.settled().await;
}

#[tokio::test]
async fn a_slow_provider_has_its_time_where_no_other_call_is_left() {
    let settings = "[limits.chat.breaker]\nfailures = 1000\n[limits.chat.failover]\nwhole_answer_patience = '100ms'\n\
                    [limits.chat.failover.extra]\npercent = 0\nreserve = 1";
    let shop = Shop::of(&["", ""], settings).await;
    shop.will(1, Reply::silence());
    shop.will(2, good());
    assert_eq!(shop.served(ASK).await, "p2");
    // Nobody could be asked in its place: it is not given up.
    shop.will(1, when_told(good()));
    let told = async {
        until("it is asked", || shop.asked(1) == 2).await;
        let begun = std::time::Instant::now();
        until("its patience has passed", || {
            begun.elapsed() > std::time::Duration::from_millis(200)
        })
        .await;
        shop.provider(1).tell();
    };
    let (served, ()) = tokio::join!(shop.served(ASK), told);
    assert_eq!((&*served, shop.asked(2)), ("p1", 1));
    shop.app.settled().await;
}

#[tokio::test]
async fn an_outage_does_not_multiply_the_calls() {
    let settings = "[limits.chat.breaker]\nfailures = 1000\n[limits.chat.failover.extra]\npercent = 20\nreserve = 3";
    let shop = Shop::of(&["", ""], settings).await;
    let (mut served, mut refused) = (0, 0);
    for _ in 0..50 {
        shop.will(1, Reply::whole(500, ""));
        shop.will(2, good());
        match shop.ask(ASK).await {
            Ok(_) => served += 1,
            Err(fault) => {
                // What the provider said, and not that somebody else was not asked.
                assert_eq!(fault.code, code::UPSTREAM_FAILED);
                refused += 1;
            }
        }
    }
    // The reserve, and a fifth of the requests.
    assert_eq!((served, shop.asked(1), shop.asked(2)), (12, 50, 12));
    assert_eq!(shop.app.counter("aio_chat_over_budget_total"), refused);
    // Who does not have the model is in no trouble, and another model is asked as often as it takes.
    for _ in 0..5 {
        shop.will(1, Reply::whole(404, ""));
        shop.will(2, good());
        assert_eq!(shop.served(ASK).await, "p2");
        shop.will(1, Reply::whole(500, ""));
        shop.will(2, good());
        let text = FIRST.replace("\"model\":\"first\"", "\"models\":[\"first\",\"dear\"]");
        assert_eq!(shop.served(&text).await, "p2");
    }
    // Another model has a budget of its own.
    shop.will(2, good());
    assert_eq!(shop.served(OTHER).await, "p2");
    shop.app.settled().await;
}
