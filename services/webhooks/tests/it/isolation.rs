//! An endpoint that does not answer costs itself, and nobody else.

use chassis::{Tasks, config::Settings, mint};
use db::Engine;
use futures::future::join_all;

use crate::{
    app::{App, Home, LOOPBACK, Published, event, start, three, until},
    database::on_both_engines,
    rows::{Row, write},
    sink::{Reply, Seen, Sink},
};

on_both_engines!(
    a_thousand_that_hang_delay_nobody_who_answers,
    a_hanging_origin_has_its_few_slots_and_delays_no_other,
    no_answer_in_time_is_a_failure_and_its_slot_is_free_again,
    many_events_to_many_origins_all_arrive_once,
);

async fn a_hanging_origin_has_its_few_slots_and_delays_no_other(engine: Engine) {
    let hanging = Sink::start(|_| Reply::Hang).await;
    let fine = Sink::start(|_| Reply::Status(200)).await;
    let (_home, app) = start(
        engine,
        "concurrency = 4\norigin_concurrency = 2\npoll = '5ms'\nbatch = 3",
    )
    .await;
    let mut stuck = Vec::new();
    for _ in 0..30 {
        stuck.push(app.publish(&hanging.url("/"), "{}").await.event);
    }
    hanging.saw(2).await;
    for _ in 0..30 {
        let event = app.publish(&fine.url("/"), "{}").await;
        app.reaches(event.event, "delivered").await;
    }
    assert_eq!(fine.seen().len(), 30);
    assert_eq!(hanging.seen().len(), 2);
    let mut waiting = 0;
    for event in stuck {
        let delivery = app.delivery(event).await;
        waiting += usize::from(delivery.state == "due" && delivery.claims == 0);
    }
    assert_eq!(waiting, 28);
}

async fn no_answer_in_time_is_a_failure_and_its_slot_is_free_again(engine: Engine) {
    let hanging = Sink::start(|_| Reply::Hang).await;
    let (_home, app) = start(engine, "schedule = ['0s', '5ms']\npenalty = '10ms'\ntimeout = '50ms'\norigin_concurrency = 1\npoll = '5ms'",
    )
    .await;
    let one = app.publish(&hanging.url("/"), "{}").await;
    let two = app.publish(&hanging.url("/"), "{}").await;
    for event in [one, two] {
        let dead = app.reaches(event.event, "dead").await;
        assert_eq!((dead.attempts, dead.status), (2, None));
        assert_eq!(dead.error.as_deref(), Some("no complete answer in time"));
    }
    assert_eq!(hanging.seen().len(), 4);
}

async fn many_events_to_many_origins_all_arrive_once(engine: Engine) {
    let mut sinks = Vec::new();
    for _ in 0..5 {
        sinks.push(Sink::start(|_| Reply::Status(200)).await);
    }
    let (_home, app) = start(engine, "concurrency = 8\npoll = '5ms'").await;
    let publishing = (0..200).map(|n| {
        let url = sinks[n % sinks.len()].url("/");
        let app = &app;
        async move { app.publish(&url, "{}").await.event }
    });
    for event in join_all(publishing).await {
        let delivery = app.reaches(event, "delivered").await;
        assert_eq!((delivery.attempts, delivery.claims), (1, 1));
    }
    for sink in sinks {
        let seen = sink.seen();
        let ids: std::collections::HashSet<_> = seen
            .iter()
            .map(|one| one.headers["webhook-id"].clone())
            .collect();
        assert_eq!((seen.len(), ids.len()), (40, 40));
    }
}

/// Nobody who hangs is given up while the test lasts.
const PATIENT: &str =
    "timeout = '60s'\nslow_after = '200ms'\nlease = '90s'\npoll = '50ms'\nsweep = '1s'";
const HANGING: u16 = 1_000;
const FINE: u16 = 500;

async fn a_thousand_that_hang_delay_nobody_who_answers(engine: Engine) {
    let (home, sink) = a_thousand_hang(engine).await;
    let apps = [home.start(PATIENT, LOOPBACK).await];
    nobody_waits_long(&apps, &sink).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_that_hang_delay_nobody_with_three_processes() {
    let (home, sink) = a_thousand_hang(Engine::Postgres).await;
    nobody_waits_long(&three(&home, PATIENT).await, &sink).await;
}

/// A thousand origins that hang, each with two events that are due.
async fn a_thousand_hang(engine: Engine) -> (Home, Sink) {
    let sink = Sink::everywhere(|seen: &Seen| match seen.path.as_str() {
        "/hang" => Reply::Hang,
        _ => Reply::Status(200),
    })
    .await;
    let home = Home::new(engine).await;
    let account = mint();
    let rows = (0..HANGING * 2).map(|n| Row {
        event: mint(),
        account,
        state: "due",
        due_at: 1,
        url: sink.url_at(n % HANGING, "/hang"),
        origin: (n % HANGING).to_be_bytes().to_vec(),
    });
    let (settings, tasks) = (Settings::from_toml(""), Tasks::default());
    let db = home.database.open(&settings, &tasks).await;
    write(&home.secrets, &db, rows.collect()).await;
    (home, sink)
}

/// Whoever comes now is told while all of those hang, which they do for longer than the test waits: none has given up its place by ending.
async fn nobody_waits_long(apps: &[App], sink: &Sink) {
    let fine = (0..FINE).map(|n| sink.url_at(HANGING + n, &format!("/{n}")));
    let fine: Vec<_> = fine.collect();
    let account = mint();
    for (round, some) in fine.chunks(20).enumerate() {
        let app = &apps[round % apps.len()];
        let publishing = some.iter().map(|url| async move {
            let event = Published {
                account,
                ..event(url)
            };
            app.publish_again(&event).await;
        });
        join_all(publishing).await;
    }
    let told = |hanging: bool| {
        let seen = sink.seen().into_iter();
        seen.filter(|seen| (seen.path == "/hang") == hanging)
            .count()
    };
    until("everybody who answers is told", async || {
        (told(false) >= usize::from(FINE)).then_some(())
    })
    .await;
    assert_eq!(told(false), usize::from(FINE));
    until("everybody who hangs is asked", async || {
        (told(true) >= usize::from(HANGING)).then_some(())
    })
    .await;
    let ended = "select count(*) from delivery where state <> 'delivered' and attempts > 0";
    assert_eq!(apps[0].number(ended).await, 0);
}
