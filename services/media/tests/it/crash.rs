//! A process that dies, and another that starts on the same folder. Where a test does not say that it dies, the first one's work goes
//! on in the background, like that of a process that was only paused: it must not do harm either.

use std::sync::Arc;

use db::Engine;
use proto::code;
use serde_json::json;
use tokio::sync::Notify;

use crate::{
    database::on_both_engines,
    fakes::Submit,
    house::{House, eventually},
};

on_both_engines!(
    a_task_that_was_running_goes_on,
    a_task_that_was_taken_and_not_submitted_is_taken_up,
    a_task_that_was_refused_and_not_submitted_again_is_taken_up,
    a_task_whose_content_does_not_open_still_ends,
    what_was_queued_is_rung_for,
    cancelling_and_starting_have_one_winner,
);

async fn a_task_that_was_running_goes_on(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    house.provider.answer_polls("Pending");
    let dead = house.start().await;
    let task = dead.accepted().await;
    dead.reaches(task, "processing").await;
    eventually("submitted", async || house.provider.submits().len() == 1).await;
    dead.dies().await;

    let running = house.start().await;
    house.provider.finish();
    let view = running.reaches(task, "completed").await;
    assert_eq!(
        (&view["consumed_credits"], &view["attempts"]),
        (&json!(5), &json!(1))
    );
    eventually("settled", async || {
        !house.billing.settled(&task.to_bytes()).is_empty()
    })
    .await;
    assert!(
        house
            .billing
            .settled(&task.to_bytes())
            .iter()
            .all(|amount| *amount == 5_000_000)
    );
    assert_eq!(house.provider.submits().len(), 1, "submitted once");
}

#[tokio::test]
async fn a_submit_that_was_under_way_is_not_made_again() {
    let house = House::new(Engine::Sqlite, vec![Submit::Silent]).await;
    let dead = house.start().await;
    let task = dead.accepted().await;
    eventually("submitted", async || house.provider.submits().len() == 1).await;

    let running = house.start().await;
    let view = running.reaches(task, "failed").await;
    assert_eq!(view["error"]["code"], code::SUBMIT_OUTCOME_UNKNOWN.word);
    assert_eq!(running.unknown_attempts().await.len(), 1);
    eventually("released", async || {
        house.billing.settled(&task.to_bytes()) == [0]
    })
    .await;
    assert_eq!(house.provider.submits().len(), 1, "never a second time");
}

async fn a_task_that_was_taken_and_not_submitted_is_taken_up(engine: Engine) {
    let mut house = House::new(engine, vec![])
        .await
        .with_media("max_steps = 0\nring_again = '200ms'");
    let dead = house.start().await;
    let task = dead.accepted().await;
    // It died right behind the claim: no attempt was written down, so no provider can have the task.
    let taken: Result<(), media::Error> = dead
        .db
        .write(move |connection| {
            Box::pin(async move {
                let sql = "update task set state = 'starting', attempts = 1, claims = 1, lease_until = 1 where id = $1";
                sqlx::query(sql)
                    .bind(task.to_vec())
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
        .await;
    taken.unwrap();
    dead.dies().await;
    house = house.with_other("max_steps = 0", "max_steps = 4");
    let running = house.start().await;
    let view = running.reaches(task, "completed").await;
    assert_eq!(view["consumed_credits"], 5);
    assert_eq!(house.provider.submits().len(), 1);
    assert_eq!(running.unknown_attempts().await, []);
}

async fn a_task_that_was_refused_and_not_submitted_again_is_taken_up(engine: Engine) {
    let mut house = House::new(engine, vec![])
        .await
        .with_media("max_steps = 0\nring_again = '200ms'");
    let dead = house.start().await;
    let task = dead.accepted().await;
    // It died before another provider was asked: it is known that the first has not taken the task.
    let taken: Result<(), media::Error> = dead
        .db
        .write(move |connection| {
            Box::pin(async move {
                for sql in [
                    "update task set state = 'starting', attempts = 1, claims = 1, lease_until = 1 where id = $1",
                    "insert into attempt (task_id, number, provider, outcome, submitted_at) values ($1, 1, 'bfl', 'refused', 1)",
                ] {
                    sqlx::query(sql)
                        .bind(task.to_vec())
                        .execute(&mut *connection)
                        .await?;
                }
                Ok(())
            })
        })
        .await;
    taken.unwrap();
    dead.dies().await;
    house = house.with_other("max_steps = 0", "max_steps = 4");
    let running = house.start().await;
    let view = running.reaches(task, "completed").await;
    assert_eq!(view["attempts"], 2);
    assert_eq!(house.provider.submits().len(), 1);
}

#[tokio::test]
async fn a_late_answer_to_a_process_taken_for_dead_changes_nothing() {
    let word = Arc::new(Notify::new());
    let house = House::new(Engine::Sqlite, vec![Submit::Late(Arc::clone(&word))]).await;
    let paused = house.start().await;
    let task = paused.accepted().await;
    eventually("submitted", async || house.provider.submits().len() == 1).await;

    let running = house.start().await;
    running.reaches(task, "failed").await;
    word.notify_one();
    // Another task of the paused process shows that its answer has come and gone.
    let other = paused.accepted().await;
    paused.reaches(other, "completed").await;
    let view = running.view(task).await.unwrap();
    assert_eq!(view["error"]["code"], code::SUBMIT_OUTCOME_UNKNOWN.word);
    eventually("it is known that the provider took it", async || {
        running.unknown_attempts().await.is_empty()
    })
    .await;
    assert_eq!(house.billing.settled(&task.to_bytes()), [0]);
}

async fn a_task_whose_content_does_not_open_still_ends(engine: Engine) {
    let mut house = House::new(engine, vec![]).await.with_deadline(6);
    house.provider.answer_polls("Pending");
    let dead = house.start().await;
    let task = dead.accepted().await;
    dead.reaches(task, "processing").await;
    dead.dies().await;

    house = house.with_other_secrets();
    let running = house.start().await;
    let view = running.reaches(task, "failed").await;
    assert_eq!(
        (&view["request"], &view["consumed_credits"]),
        (&json!({}), &json!(0))
    );
    let next = running.accepted().await;
    house.provider.finish();
    running.reaches(next, "completed").await;
}

async fn what_was_queued_is_rung_for(engine: Engine) {
    // No steps: nothing is ever taken by the first process.
    let mut house = House::new(engine, vec![])
        .await
        .with_media("max_steps = 0\nring_again = '200ms'");
    let dead = house.start().await;
    let tasks = [
        dead.accepted().await,
        dead.accepted().await,
        dead.accepted().await,
    ];
    dead.dies().await;
    house = house.with_other("max_steps = 0", "max_steps = 4");
    let running = house.start().await;
    for task in tasks {
        running.reaches(task, "completed").await;
    }
}

async fn cancelling_and_starting_have_one_winner(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    let mut cancelled = 0;
    for _ in 0..100 {
        let task = running.accepted().await;
        let outcome = running.cancel(task).await;
        let (view, expected) = match outcome {
            Ok(view) => {
                cancelled += 1;
                assert_eq!(view["error"]["code"], code::CANCELLED.word);
                (view, 0)
            }
            Err(fault) => {
                assert_eq!(fault.code, code::NOT_CANCELLABLE);
                (running.reaches(task, "completed").await, 5_000_000)
            }
        };
        assert_eq!(view["consumed_microcredits"], expected);
        eventually("settled", async || {
            house.billing.settled(&task.to_bytes()) == [expected]
        })
        .await;
    }
    assert_eq!(
        house.provider.submits().len(),
        100 - cancelled,
        "a cancelled task was never submitted"
    );
}
