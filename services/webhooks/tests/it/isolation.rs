//! An endpoint that does not answer costs itself, and nobody else.

use db::Engine;

use crate::{
    app::start,
    database::on_both_engines,
    sink::{Reply, Sink},
};

on_both_engines!(
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
    for event in futures::future::join_all(publishing).await {
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
