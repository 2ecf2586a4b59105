//! What operators see of a task's events.

use chassis::mint;
use db::Engine;
use domain::{TaskId, ids};
use proto::{
    common::v1::Mode,
    webhooks::v1::{Delivery, ListDeliveriesRequest, PublishRequest},
};

use crate::{
    app::{App, FAST, event, start, until},
    database::on_both_engines,
    sink::{Reply, Sink},
};

on_both_engines!(
    what_became_of_the_events_of_a_task_is_told_without_where_to,
    of_many_events_the_latest_are_told,
);

/// Publishes an event of a task.
async fn publish(app: &App, task: TaskId, url: &str, kind: &str) -> Vec<u8> {
    let event = event(url);
    let request = PublishRequest {
        event_id: event.event.to_vec().into(),
        account_id: event.account.to_vec().into(),
        mode: Mode::Test.into(),
        task_id: task.to_vec().into(),
        r#type: kind.to_owned(),
        url: url.to_owned(),
        payload: event.payload.into(),
    };
    app.client.clone().publish(request).await.unwrap();
    event.event.to_vec()
}

async fn told(app: &App, task: TaskId) -> Vec<Delivery> {
    let request = ListDeliveriesRequest {
        task_id: task.to_vec().into(),
    };
    let told = app.client.clone().list_deliveries(request).await;
    told.unwrap().into_inner().deliveries
}

async fn what_became_of_the_events_of_a_task_is_told_without_where_to(engine: Engine) {
    let good = Sink::start(|_| Reply::Status(204)).await;
    let bad = Sink::start(|_| Reply::Status(500)).await;
    let (_home, app) = start(engine, FAST).await;
    let (task, other) = (mint::<ids::Task>(), mint::<ids::Task>());
    let first = publish(&app, task, &bad.url("/canary"), "task.processing").await;
    let second = publish(&app, task, &good.url("/canary"), "task.completed").await;
    publish(&app, other, &good.url("/"), "task.failed").await;
    let ended = until("both have ended", async || {
        let told = told(&app, task).await;
        told.iter().all(|told| told.ended_at > 0).then_some(told)
    })
    .await;
    let [dead, delivered] = <[_; 2]>::try_from(ended).unwrap();
    assert!(!format!("{dead:?}{delivered:?}").contains("canary"));
    assert_eq!(
        (dead.event_id.to_vec(), delivered.event_id.to_vec()),
        (first, second)
    );
    assert_eq!(
        (
            dead.r#type.as_str(),
            dead.state.as_str(),
            dead.attempts,
            dead.last_status
        ),
        ("task.processing", "dead", 5, 500)
    );
    assert_eq!(dead.last_error, "answered 500");
    assert_eq!(
        (
            delivered.state.as_str(),
            delivered.attempts,
            delivered.last_status
        ),
        ("delivered", 1, 204)
    );
    assert!(delivered.endpoint_id.is_empty() && delivered.last_error.is_empty());
    assert!(delivered.ended_at >= delivered.created_at);
    assert_eq!(told(&app, mint::<ids::Task>()).await, Vec::new());
}

async fn of_many_events_the_latest_are_told(engine: Engine) {
    let good = Sink::start(|_| Reply::Status(204)).await;
    let (_home, app) = start(engine, FAST).await;
    let task = mint::<ids::Task>();
    for kind in ["task.processing", "task.queued", "task.completed"] {
        publish(&app, task, &good.url("/"), kind).await;
    }
    let told = told(&app, task).await;
    let kinds: Vec<&str> = told.iter().map(|told| told.r#type.as_str()).collect();
    assert_eq!(kinds, ["task.queued", "task.completed"]);
}
