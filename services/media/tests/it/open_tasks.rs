//! How many tasks a key and its account may have open: refused before anything is held, and exact however many ask at once.

use db::Engine;
use domain::TaskId;
use futures::future::join_all;
use proto::{code, media::v1::SubmitRequest};
use serde_json::json;

use crate::{
    database::on_both_engines,
    house::{House, Running, eventually},
};

on_both_engines!(
    a_key_has_its_open_tasks_and_no_more,
    an_account_has_its_open_tasks_whatever_its_keys_may,
    exactly_as_many_as_may_be_open_are_accepted_at_once,
);

const KEY: [u8; 16] = [7; 16];
const OTHER_KEY: [u8; 16] = [8; 16];

/// A fox for one of the caller's keys, which may have so many tasks open.
fn fox(running: &Running, key: [u8; 16], most: u32, idempotency_key: &str) -> SubmitRequest {
    let body = json!({"model": "flux-2", "prompt": "a fox"}).to_string();
    let mut request = running.request(&body, idempotency_key);
    request.context.as_mut().unwrap().key_id = key.to_vec().into();
    request.max_open_tasks = most;
    request
}

/// One fox for each key; how many are accepted, and that the others are refused for their number.
async fn accepted(running: &[&Running], count: usize, most: u32) -> usize {
    let submits = (0..count).map(|n| {
        let running = running[n % running.len()];
        running.send(fox(running, KEY, most, ""))
    });
    let answers = join_all(submits).await;
    for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        assert_eq!(refused.code, code::TOO_MANY_OPEN_TASKS, "{refused}");
    }
    answers.iter().filter(|answer| answer.is_ok()).count()
}

async fn rows(running: &Running) -> i64 {
    sqlx::query_scalar("select count(*) from task")
        .fetch_one(running.db.reader())
        .await
        .unwrap()
}

async fn a_key_has_its_open_tasks_and_no_more(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    house.provider.answer_polls("Pending");
    let first = running.send(fox(&running, KEY, 2, "first")).await.unwrap();
    running.send(fox(&running, KEY, 2, "")).await.unwrap();
    let fault = running.send(fox(&running, KEY, 2, "k")).await.unwrap_err();
    assert_eq!(fault.code, code::TOO_MANY_OPEN_TASKS);
    assert_eq!(
        fault.message,
        "this key may have 2 tasks open at once, and has them"
    );
    assert!(fault.retry_after.is_some());
    // Nothing was held, and nothing is left.
    assert_eq!((house.billing.holds(), rows(&running).await), (2, 2));
    // A repeat is answered as before.
    let again = running.send(fox(&running, KEY, 2, "first")).await.unwrap();
    assert!(again.replayed && again.task_id == first.task_id);
    // Other keys, other modes' and other accounts' tasks are other matters, and so is a key without a limit.
    running.send(fox(&running, OTHER_KEY, 1, "")).await.unwrap();
    running.send(fox(&running, KEY, 0, "")).await.unwrap();
    let stranger = running.stranger();
    stranger.send(fox(&stranger, KEY, 1, "")).await.unwrap();

    house.provider.finish();
    running
        .reaches(TaskId::from_slice(&first.task_id).unwrap(), "completed")
        .await;
    eventually("there is room again", async || {
        running.send(fox(&running, KEY, 2, "k")).await.is_ok()
    })
    .await;
}

async fn an_account_has_its_open_tasks_whatever_its_keys_may(engine: Engine) {
    let house = House::new(engine, vec![])
        .await
        .with_submit("max_open_tasks = 3");
    let running = house.start().await;
    house.provider.answer_polls("Pending");
    for key in [KEY, OTHER_KEY, KEY] {
        running.send(fox(&running, key, 0, "")).await.unwrap();
    }
    for most in [0, 100] {
        let refused = running.send(fox(&running, OTHER_KEY, most, "")).await;
        assert_eq!(
            refused.unwrap_err().message,
            "this account may have 3 tasks open at once, and has them"
        );
    }
    assert_eq!(house.billing.holds(), 3);
    let stranger = running.stranger();
    stranger.send(fox(&stranger, KEY, 0, "")).await.unwrap();
}

async fn exactly_as_many_as_may_be_open_are_accepted_at_once(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    house.provider.answer_polls("Pending");
    assert_eq!(accepted(&[&running], 60, 7).await, 7);
    assert_eq!(house.billing.holds(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_processes_do_not_take_the_last_room_thrice() {
    for settings in ["max_open_tasks = 0", "max_open_tasks = 5"] {
        let house = House::new(Engine::Postgres, vec![])
            .await
            .with_submit(settings);
        house.provider.answer_polls("Pending");
        let processes = [
            house.start_apart().await,
            house.start_apart().await,
            house.start_apart().await,
        ];
        let running: Vec<&Running> = processes.iter().map(|process| &process.running).collect();
        let own = if settings.ends_with('0') { 5 } else { 0 };
        assert_eq!(accepted(&running, 60, own).await, 5, "{settings}");
        assert_eq!(house.billing.holds(), 5);
    }
}
