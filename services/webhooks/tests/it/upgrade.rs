//! What the version before lanes left is delivered by this one.

use chassis::mint;
use db::Engine;

use crate::{
    app::{FAST, Home, LOOPBACK, until},
    database::{Database, on_both_engines},
    rows::{Row, write},
    sink::{Reply, Sink},
};

on_both_engines!(what_waited_before_there_were_lanes_is_delivered_and_waits_on,);

async fn what_waited_before_there_were_lanes_is_delivered_and_waits_on(engine: Engine) {
    const FUTURE: i64 = 9_000_000_000_000_000;
    let home = Home::on(Database::without_lanes(engine).await);
    let sink = Sink::start(|_| Reply::Status(200)).await;
    let account = mint();
    let row = |state, due_at| Row {
        event: mint(),
        account,
        state,
        due_at,
        url: sink.url("/"),
        origin: vec![7; 32],
    };
    let old = [
        ("due", 1),
        ("due", 2),
        ("inflight", 3),
        ("due", FUTURE),
        ("delivered", 4),
    ];
    let old = old.map(|(state, due_at)| row(state, due_at));
    let events = old.each_ref().map(|row| row.event);
    let db = home.database.open_without_lanes().await;
    write(&home.secrets, &db, old.into()).await;
    drop(db);
    home.database.upgrade().await;

    let settings = format!("{FAST}\ntimeout = '500ms'\nlease = '1s'\nrepair = '20ms'");
    let app = home.start(&settings, LOOPBACK).await;
    for event in &events[..3] {
        app.reaches(*event, "delivered").await;
    }
    assert_eq!(sink.seen().len(), 3);
    assert_eq!(app.delivery(events[3]).await.state, "due");
    let waits = "select count(*) from lane where next_at = 9000000000000000";
    assert_eq!(app.number(waits).await, 1);

    // A process of that version still runs beside this one, and knows nothing of lanes.
    let late = Row {
        account: mint(),
        ..row("due", 5)
    };
    let event = late.event;
    write(&home.secrets, &app.db, vec![late]).await;
    until("it is found", async || {
        (sink.seen().len() == 4).then_some(())
    })
    .await;
    app.reaches(event, "delivered").await;
}
