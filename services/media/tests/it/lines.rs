//! Tasks that wait for room at their provider.

use std::sync::Arc;

use db::Engine;
use domain::TaskId;
use queue::memory::MemoryQueue;
use serde_json::{Value, json};

use crate::{
    database::on_both_engines,
    house::{House, Running, eventually},
};

on_both_engines!(
    accounts_are_served_in_turn_and_the_tasks_of_each_in_order,
    jobs_have_their_room_after_a_restart_too,
    a_task_from_before_there_was_a_limit_waits_as_well,
    a_task_that_is_cancelled_or_late_leaves_the_line,
);

fn prompts(house: &House) -> Vec<String> {
    let submits = house.provider.submits();
    let prompt = |body: &Value| body["prompt"].as_str().unwrap().to_owned();
    submits.iter().map(prompt).collect()
}

async fn submit(running: &Running, prompt: &str) -> TaskId {
    let body = json!({"model": "flux-2", "prompt": prompt});
    running.accepted_with(&body).await
}

/// Waits until what is at the provider has been looked at a few times more: whatever could happen meanwhile has.
pub(crate) async fn a_while(house: &House) {
    let before = house.provider.polled_at().len();
    eventually("a few looks", async || {
        house.provider.polled_at().len() > before + 5
    })
    .await;
}

async fn accounts_are_served_in_turn_and_the_tasks_of_each_in_order(engine: Engine) {
    let house = House::new(engine, vec![])
        .await
        .with_provider("max_jobs = 1");
    house.provider.answer_polls("Pending");
    let many = house.start().await;
    let few = many.stranger();
    let mut tasks = Vec::new();
    for number in 0..20 {
        tasks.push(submit(&many, &format!("many {number}")).await);
    }
    let one = [submit(&few, "few 0").await, submit(&few, "few 1").await];
    eventually("the first is submitted", async || {
        !house.provider.submits().is_empty()
    })
    .await;
    a_while(&house).await;
    assert_eq!(prompts(&house), ["many 0"]);
    // Whoever waits is as if nobody had ever looked.
    for task in &tasks[1..] {
        let view = many.view(*task).await.unwrap();
        assert_eq!(
            (&view["status"], &view["attempts"]),
            (&json!("queued"), &json!(0))
        );
    }
    house.provider.finish();
    for task in one {
        few.reaches(task, "completed").await;
    }
    for task in &tasks {
        let view = many.reaches(*task, "completed").await;
        assert_eq!(view["attempts"], 1);
    }
    let order = prompts(&house);
    let of = |name: &str| -> Vec<&String> {
        order
            .iter()
            .filter(|prompt| prompt.starts_with(name))
            .collect()
    };
    let sorted: Vec<String> = (0..20).map(|number| format!("many {number}")).collect();
    assert_eq!(of("many"), sorted.iter().collect::<Vec<_>>());
    assert_eq!(of("few"), ["few 0", "few 1"]);
    let last = order.iter().position(|prompt| prompt == "few 1").unwrap();
    assert!(last <= 4, "{order:?}");
    assert_eq!(house.provider.most_open(), 1);
}

async fn jobs_have_their_room_after_a_restart_too(engine: Engine) {
    let house = House::new(engine, vec![])
        .await
        .with_provider("max_jobs = 1");
    house.provider.answer_polls("Pending");
    let first = house.start().await;
    let task = submit(&first, "first").await;
    first.reaches(task, "processing").await;
    eventually("it is looked at", async || {
        !house.provider.polled_at().is_empty()
    })
    .await;
    first.dies().await;
    let second = house.start().await.of(&first);
    let next = submit(&second, "second").await;
    a_while(&house).await;
    assert_eq!(prompts(&house), ["first"]);
    house.provider.finish();
    second.reaches(next, "completed").await;
    assert_eq!(prompts(&house), ["first", "second"]);
    assert_eq!(house.provider.most_open(), 1);
}

async fn a_task_from_before_there_was_a_limit_waits_as_well(engine: Engine) {
    // Nobody hears the bells of this one.
    let deaf: queue::SharedQueue = Arc::new(MemoryQueue::new(0));
    let house = House::new(engine, vec![]).await.with_queue(deaf);
    house.provider.answer_polls("Pending");
    let first = house.start().await;
    let tasks = [submit(&first, "fox 0").await, submit(&first, "fox 1").await];
    first.dies().await;
    let queue: queue::SharedQueue = Arc::new(MemoryQueue::new(10));
    let house = house.with_queue(queue).with_provider("max_jobs = 1");
    let second = house.start().await.of(&first);
    eventually("one is submitted", async || {
        house.provider.submits().len() == 1
    })
    .await;
    a_while(&house).await;
    assert_eq!(house.provider.submits().len(), 1);
    house.provider.finish();
    for task in tasks {
        let view = second.reaches(task, "completed").await;
        assert_eq!(view["attempts"], 1);
    }
    assert_eq!(house.provider.most_open(), 1);
}

async fn a_task_that_is_cancelled_or_late_leaves_the_line(engine: Engine) {
    let house = House::new(engine, vec![])
        .await
        .with_provider("max_jobs = 1");
    house.provider.answer_polls("Pending");
    let running = house.start().await;
    let first = submit(&running, "first").await;
    running.reaches(first, "processing").await;
    let cancelled = submit(&running, "cancelled").await;
    let next = submit(&running, "next").await;
    assert_eq!(running.cancel(cancelled).await.unwrap()["status"], "failed");
    // A deadline that is over.
    let late = submit(&running, "late").await;
    let id = late.to_vec();
    let done: Result<(), db::Error> = running
        .db
        .write(move |connection| {
            Box::pin(async move {
                sqlx::query("update task set deadline_at = 1 where id = $1")
                    .bind(id)
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
        .await;
    done.unwrap();
    let view = running.reaches(late, "failed").await;
    assert_eq!(view["error"]["code"], proto::code::DEADLINE_EXCEEDED.word);
    house.provider.finish();
    running.reaches(next, "completed").await;
    assert_eq!(prompts(&house), ["first", "next"]);
}
