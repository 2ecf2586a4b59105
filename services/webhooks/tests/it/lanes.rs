//! Who takes turns: each endpoint and each origin has its few places, whoever does not answer has one, and a rate is kept.

use std::{sync::Arc, time::Duration};

use chassis::mint;
use db::Engine;
use domain::AccountId;
use tokio::sync::Semaphore;

use crate::{
    app::{App, FAST, Home, event, start, three, until},
    database::on_both_engines,
    sink::{Reply, Sink},
};

on_both_engines!(
    an_endpoint_has_its_places_and_an_origin_more_over_all_of_its_endpoints,
    an_endpoint_that_timed_out_twice_has_one_place_until_it_answers,
    an_origin_that_timed_out_twice_has_one_place_for_everybody,
    an_attempt_that_takes_long_gives_its_place_back,
    an_event_goes_to_the_url_it_names_and_to_the_endpoints_that_want_it,
    a_lane_that_was_forgotten_is_found,
    who_is_always_told_more_is_told_meanwhile,
);

/// What hangs until it has a permit, but for the first so many, which hang for ever.
async fn held(hanging: usize) -> (Sink, Arc<Semaphore>) {
    let answer = Arc::new(Semaphore::new(0));
    let told = Arc::clone(&answer);
    let sink = Sink::start(move |before| {
        if before < hanging {
            Reply::Hang
        } else {
            Reply::Once(Arc::clone(&told), 200)
        }
    })
    .await;
    (sink, answer)
}

async fn tell(app: &App, account: AccountId, url: &str) {
    let one = event(url);
    app.publish_again(&crate::app::Published { account, ..one })
        .await;
}

async fn in_flight(app: &App) -> i64 {
    app.number("select count(*) from delivery where state = 'inflight'")
        .await
}

async fn delivered(app: &App, count: i64) {
    until("as many are delivered", async || {
        let sql = "select count(*) from delivery where state = 'delivered'";
        (app.number(sql).await == count).then_some(())
    })
    .await;
}

async fn an_endpoint_has_its_places_and_an_origin_more_over_all_of_its_endpoints(engine: Engine) {
    let (sink, answer) = held(0).await;
    let fine = Sink::start(|_| Reply::Status(200)).await;
    let (_home, app) = start(engine, FAST).await;
    let accounts: [AccountId; 3] = [mint(), mint(), mint()];
    for _ in 0..6 {
        tell(&app, accounts[0], &sink.url("/")).await;
    }
    sink.saw(4).await;
    for account in &accounts[1..] {
        app.register(*account, &sink.url("/registered")).await;
        for _ in 0..6 {
            tell(&app, *account, "").await;
        }
    }
    sink.saw(8).await;
    // Somebody else's turn comes all the same, and by then there are no more of these.
    for _ in 0..5 {
        let one = app.publish(&fine.url("/"), "{}").await.event;
        app.reaches(one, "delivered").await;
    }
    assert_eq!((sink.seen().len(), in_flight(&app).await), (8, 8));
    // Each end lets another one begin, if its lane has room: the oldest ends first, and may be of a lane that has nothing more.
    for ended in 1..=18 {
        answer.add_permits(1);
        delivered(&app, ended + 5).await;
        assert!(in_flight(&app).await <= 8);
    }
    assert_eq!(sink.seen().len(), 18);
}

/// The second and third settings keep what is fast from becoming slow by itself.
const TWICE: &str =
    "schedule = ['0s', '1h']\npenalty = '1h'\ntimeout = '1s'\nslow_after = '1m'\npoll = '5ms'";

async fn an_endpoint_that_timed_out_twice_has_one_place_until_it_answers(engine: Engine) {
    let (sink, answer) = held(2).await;
    let (_home, app) = start(engine, TWICE).await;
    let account = mint();
    app.register(account, &sink.url("/")).await;
    for _ in 0..2 {
        tell(&app, account, "").await;
    }
    until("two timeouts", async || {
        let slow = "select count(*) from lane where slow = 1 and endpoint_id is not null";
        (app.number(slow).await == 1).then_some(())
    })
    .await;
    for _ in 0..5 {
        tell(&app, account, "").await;
    }
    sink.saw(3).await;
    until("it is among the slow", async || {
        let slow = app.metrics().contains("aio_webhooks_attempts_slow 1");
        slow.then_some(())
    })
    .await;
    assert_eq!((sink.seen().len(), in_flight(&app).await), (3, 1));
    answer.add_permits(1);
    // It is fast again: all the others at once.
    sink.saw(7).await;
    until("nobody is slow", async || {
        let none = app.metrics().contains("aio_webhooks_attempts_slow 0");
        none.then_some(())
    })
    .await;
    answer.add_permits(4);
    delivered(&app, 5).await;
}

async fn an_origin_that_timed_out_twice_has_one_place_for_everybody(engine: Engine) {
    let (sink, answer) = held(2).await;
    let (_home, app) = start(engine, TWICE).await;
    // Of an account each, so that no lane has two.
    for _ in 0..2 {
        app.publish(&sink.url("/"), "{}").await;
    }
    until("two timeouts", async || {
        let slow = "select count(*) from lane where slow = 1 and id = origin";
        (app.number(slow).await == 1).then_some(())
    })
    .await;
    for _ in 0..5 {
        app.publish(&sink.url("/"), "{}").await;
    }
    sink.saw(3).await;
    let fine = Sink::start(|_| Reply::Status(200)).await;
    for _ in 0..5 {
        let one = app.publish(&fine.url("/"), "{}").await.event;
        app.reaches(one, "delivered").await;
    }
    assert_eq!((sink.seen().len(), in_flight(&app).await), (3, 1));
    answer.add_permits(1);
    sink.saw(7).await;
    answer.add_permits(4);
    delivered(&app, 10).await;
}

async fn an_attempt_that_takes_long_gives_its_place_back(engine: Engine) {
    let (sink, answer) = held(0).await;
    let (other, later) = held(0).await;
    let settings = "concurrency = 1\nslow_concurrency = 2\nslow_after = '20ms'\npoll = '5ms'";
    let (_home, app) = start(engine, settings).await;
    for _ in 0..4 {
        app.publish(&sink.url("/"), "{}").await;
    }
    sink.saw(2).await;
    until("two are slow", async || {
        let slow = app.metrics().contains("aio_webhooks_attempts_slow 2");
        slow.then_some(())
    })
    .await;
    // One of another origin, which keeps its place for want of room among the slow. Where that is short, nobody has a further place.
    app.publish(&other.url("/"), "{}").await;
    other.saw(1).await;
    assert_eq!((sink.seen().len(), in_flight(&app).await), (2, 3));
    answer.add_permits(4);
    later.add_permits(1);
    delivered(&app, 5).await;
}

async fn an_event_goes_to_the_url_it_names_and_to_the_endpoints_that_want_it(engine: Engine) {
    let sink = Sink::start(|_| Reply::Status(200)).await;
    let (_home, app) = start(engine, FAST).await;
    let account = mint();
    app.register(account, &sink.url("/registered")).await;
    tell(&app, account, &sink.url("/named")).await;
    delivered(&app, 2).await;
    let seen = sink.seen();
    let mut paths: Vec<_> = seen.iter().map(|seen| seen.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/named", "/registered"]);
    assert_eq!(seen[0].headers["webhook-id"], seen[1].headers["webhook-id"]);
    // Nobody wants it: nothing is written down.
    tell(&app, mint(), "").await;
    assert_eq!(app.number("select count(*) from event").await, 1);
}

/// As if its row had not come to the disk.
async fn a_lane_that_was_forgotten_is_found(engine: Engine) {
    let sink = Sink::start(|before| Reply::Status(if before == 0 { 500 } else { 200 })).await;
    let settings = "schedule = ['0s', '1s']\nsweep = '20ms'\nrepair = '20ms'";
    let (_home, app) = start(engine, settings).await;
    let one = app.publish(&sink.url("/"), "{}").await.event;
    until("a failure", async || {
        (app.delivery(one).await.attempts == 1).then_some(())
    })
    .await;
    app.change("delete from lane").await;
    app.reaches(one, "delivered").await;
    assert_eq!(sink.seen().len(), 2);
}

/// Each publisher has the lane for itself until its event is on disk, and there always is one.
async fn who_is_always_told_more_is_told_meanwhile(engine: Engine) {
    const EACH: usize = 15;
    let sink = Sink::start(|_| Reply::Status(200)).await;
    let (_home, app) = start(engine, FAST).await;
    let account = mint();
    let publisher = || async {
        for _ in 0..EACH {
            tell(&app, account, &sink.url("/")).await;
        }
    };
    futures::future::join_all((0..20).map(|_| publisher())).await;
    let meanwhile = sink.seen().len();
    // More than twice what it may have in flight.
    assert!(meanwhile > 8, "{meanwhile} told meanwhile");
    delivered(&app, 300).await;
    assert_eq!(sink.seen().len(), 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_is_kept_by_all_processes_together() {
    const EVENTS: usize = 25;
    let home = Home::new(Engine::Postgres).await;
    let apps = three(&home, FAST).await;
    let (sink, fine) = (
        Sink::start(|_| Reply::Status(200)).await,
        Sink::start(|_| Reply::Status(200)).await,
    );
    let account = mint();
    app_with_rate(&apps[0], account, &sink).await;
    let telling = (0..EVENTS).map(|n| tell(&apps[n % 3], account, ""));
    futures::future::join_all(telling).await;
    // Nobody else has to wait for that.
    let one = apps[1].publish(&fine.url("/"), "{}").await.event;
    apps[1].reaches(one, "delivered").await;
    assert!(sink.seen().len() < EVENTS);
    let seen = sink.saw(EVENTS).await;
    let took = seen[EVENTS - 1].at.duration_since(seen[0].at);
    // Ten in a second: 24 steps of a tenth, but for what the first was late.
    assert!(took > Duration::from_millis(2_000), "{took:?}");
    delivered(&apps[2], 26).await;
    assert_eq!(sink.seen().len(), EVENTS);
}

async fn app_with_rate(app: &App, account: AccountId, sink: &Sink) {
    app.register(account, &sink.url("/")).await;
    app.change("update endpoint set per_second = 10").await;
}
