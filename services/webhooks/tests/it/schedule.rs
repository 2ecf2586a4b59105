//! The published schedule, attempt by attempt, by the database's own times: nobody waits for three days.

use std::time::Duration;

use db::Engine;
use sqlx::Row as _;

use crate::{
    app::{App, Published, start, until},
    database::on_both_engines,
    sink::{Reply, Sink},
};

on_both_engines!(ten_attempts_come_at_the_published_offsets_and_then_no_more,);

/// How long after one attempt the next comes, in seconds: `docs/api.md`.
const STEPS: [u64; 9] = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];

async fn ten_attempts_come_at_the_published_offsets_and_then_no_more(engine: Engine) {
    let sink = Sink::start(|_| Reply::Status(500)).await;
    let (_home, app) = start(engine, "").await;
    let event = app.publish(&sink.url("/"), "{}").await;
    let mut all = Duration::ZERO;
    for (before, step) in STEPS.into_iter().enumerate() {
        let sent = sink.saw(before + 1).await[before].at;
        let due_at = waits(&app, &event, before + 1).await;
        // From the end of the attempt, which is somewhere between when it was sent and now.
        let now = app.db.now_micros();
        let (earliest, latest) = (now - micros(sent.elapsed()), now);
        let step = Duration::from_secs(step);
        assert!(due_at >= earliest + micros(step.mul_f64(0.8)), "{step:?}");
        assert!(due_at <= latest + micros(step.mul_f64(1.2)), "{step:?}");
        all += step;
        app.change("update delivery set due_at = 1").await;
        app.change("update lane set next_at = 1").await;
    }
    let dead = app.reaches(event.event, "dead").await;
    assert_eq!(
        (dead.attempts, dead.claims, dead.status),
        (10, 10, Some(500))
    );
    assert_eq!(sink.seen().len(), 10);
    assert_eq!(all, Duration::from_secs((75 * 60 + 35) * 60 + 5));
}

/// When it is due again after so many attempts.
async fn waits(app: &App, event: &Published, attempts: usize) -> i64 {
    let attempts = i64::try_from(attempts).unwrap();
    until("it waits", async || {
        let row = sqlx::query(
            "select due_at from delivery where event_id = $1 and attempts = $2 and state = 'due'",
        )
        .bind(event.event.to_vec())
        .bind(attempts)
        .fetch_optional(app.db.reader());
        row.await.unwrap().map(|row| row.get("due_at"))
    })
    .await
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap()
}
