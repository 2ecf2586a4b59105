//! Several processes on one PostgreSQL: none does what another has done, and each goes on where another died.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use db::Engine;
use domain::TaskId;
use futures::{StreamExt as _, future::join_all, stream};
use proto::code;
use queue::memory::MemoryQueue;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    apart::Apart,
    database::Database,
    fakes::Submit,
    house::{House, Running, eventually},
    life,
};

const TASKS: usize = 200;
const PRICE: i64 = 5_000_000;

async fn house(script: Vec<Submit>) -> House {
    on(Database::new(Engine::Postgres).await, script).await
}

async fn on(database: Database, script: Vec<Submit>) -> House {
    queued(database, script)
        .await
        .with_other("first_byte_timeout = '2s'", "first_byte_timeout = '60s'")
        .with_other("call_timeout = '20s'", "call_timeout = '60s'")
}

async fn queued(database: Database, script: Vec<Submit>) -> House {
    let queue = Arc::new(MemoryQueue::new(10_000));
    House::on(database, script).await.with_queue(queue)
}

/// A house where nobody dies.
async fn calm() -> House {
    let database = Database::new(Engine::Postgres).await;
    queued(database, vec![]).await.in_no_hurry()
}

async fn three(house: &House) -> [Apart; 3] {
    [
        house.start_apart().await,
        house.start_apart().await,
        house.start_apart().await,
    ]
}

/// Submits tasks whose prompts tell them apart, to each process in turn.
async fn submit(processes: &[Apart], count: usize) -> Vec<TaskId> {
    let submits = (0..count).map(|n| {
        let running = &processes[n % processes.len()].running;
        let body = json!({
            "model": "flux-2", "prompt": format!("fox {n}"), "callback_url": "http://127.0.0.1:1/hook",
        });
        async move { running.accepted_with(&body).await }
    });
    stream::iter(submits).buffer_unordered(20).collect().await
}

/// Waits until each task has ended, and says how.
async fn endings(running: &Running, tasks: &[TaskId]) -> Vec<Value> {
    let mut views = Vec::new();
    for task in tasks {
        let mut view = Value::Null;
        eventually(&format!("{task} ends"), async || {
            view = running.view(*task).await.unwrap();
            view["completed_at"] != Value::Null
        })
        .await;
        views.push(view);
    }
    views
}

/// Every prompt a provider was asked for, and how often.
fn asked(house: &House) -> HashMap<String, usize> {
    let mut asked = HashMap::new();
    for body in house.provider.submits() {
        *asked.entry(body["prompt"].to_string()).or_default() += 1;
    }
    asked
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_task_is_submitted_once_and_settled_once() {
    let house = calm().await;
    let processes = three(&house).await;
    let tasks = submit(&processes, TASKS).await;
    for view in endings(&processes[1].running, &tasks).await {
        assert_eq!(
            (&view["status"], &view["attempts"]),
            (&json!("completed"), &json!(1)),
            "{view}"
        );
    }
    let asked = asked(&house);
    assert_eq!(
        (asked.len(), house.provider.submits().len()),
        (TASKS, TASKS)
    );
    for task in &tasks {
        eventually("settled", async || {
            !house.billing.settled(&task.to_bytes()).is_empty()
        })
        .await;
        assert_eq!(house.billing.settled(&task.to_bytes()), [PRICE]);
    }
    eventually("published", async || {
        house.webhooks.published().len() >= TASKS
    })
    .await;
    let events: HashSet<_> = house
        .webhooks
        .published()
        .into_iter()
        .map(|event| event.event_id)
        .collect();
    assert_eq!(
        (events.len(), house.webhooks.published().len()),
        (TASKS, TASKS)
    );
    // What one process kept, another one serves.
    for process in &processes {
        assert_eq!(
            life::read(&process.running, tasks[0], None).await,
            crate::fakes::PNG
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_process_was_at_goes_on() {
    let house = house(vec![]).await;
    house.provider.answer_polls("Pending");
    let mut processes = three(&house).await;
    let tasks = submit(&processes, TASKS).await;
    eventually("many run", async || {
        house.provider.submits().len() >= TASKS / 2
    })
    .await;
    processes[0].kill();
    house.provider.finish();

    let mut unknown = 0;
    for view in endings(&processes[1].running, &tasks).await {
        if view["status"] == "failed" {
            // It was being submitted at that moment: nobody can know how that ended.
            assert_eq!(view["error"]["code"], code::SUBMIT_OUTCOME_UNKNOWN.word);
            unknown += 1;
        }
    }
    assert!(
        unknown <= 64,
        "{unknown}: more than one process does at once"
    );
    assert_eq!(processes[1].running.unknown_attempts().await.len(), unknown);
    let asked = asked(&house);
    assert!(
        asked.values().all(|times| *times == 1),
        "none was submitted twice"
    );
    assert!(asked.len() >= TASKS - unknown);
    for task in &tasks {
        eventually("settled", async || {
            !house.billing.settled(&task.to_bytes()).is_empty()
        })
        .await;
        // The dead one may have told billing, and not noted it: the same is said again, and changes nothing.
        let amounts: HashSet<i64> = house
            .billing
            .settled(&task.to_bytes())
            .into_iter()
            .collect();
        assert_eq!(amounts.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_submits_with_one_key_over_three_processes_are_one_task_and_one_hold() {
    let house = calm().await;
    let processes = three(&house).await;
    let body = json!({"model": "flux-2", "prompt": "a fox"});
    for round in 0..10 {
        let key = format!("k{round}");
        let submits = (0..50).map(|n| processes[n % 3].running.submit(&body, &key));
        let mut tasks = HashSet::new();
        for submit in join_all(submits).await {
            match submit {
                Ok(reply) => {
                    tasks.insert(reply.task_id);
                }
                Err(fault) => assert_eq!(fault.code, code::IDEMPOTENCY_IN_PROGRESS, "{fault}"),
            }
        }
        assert_eq!(tasks.len(), 1);
        assert_eq!(house.billing.holds(), round + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_slept_past_its_lease_changes_nothing() {
    let word = Arc::new(Notify::new());
    let house = house(vec![Submit::Late(Arc::clone(&word))]).await;
    let sleeper = house.start_apart().await;
    let task = sleeper
        .running
        .accepted_with(
            &json!({"model": "flux-2", "prompt": "a fox", "callback_url": "http://127.0.0.1:1/"}),
        )
        .await;
    eventually("submitted", async || house.provider.submits().len() == 1).await;
    let frozen = sleeper.freeze();

    let other = house.start_apart().await;
    let view = other.running.reaches(task, "failed").await;
    assert_eq!(view["error"]["code"], code::SUBMIT_OUTCOME_UNKNOWN.word);
    word.notify_one();
    drop(frozen);
    // Another task of the sleeper shows that it is awake, and that its answer has come and gone.
    let next = sleeper.running.accepted().await;
    sleeper.running.reaches(next, "completed").await;
    let view = other.running.view(task).await.unwrap();
    assert_eq!(view["error"]["code"], code::SUBMIT_OUTCOME_UNKNOWN.word);
    eventually("released", async || {
        house.billing.settled(&task.to_bytes()) == [0]
    })
    .await;
    eventually("published", async || {
        house.webhooks.published_of(task).len() == 1
    })
    .await;
    assert_eq!(house.provider.submits().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_slept_while_another_one_completed_its_task_changes_nothing() {
    let house = house(vec![]).await;
    house.provider.answer_polls("Pending");
    let sleeper = house.start_apart().await;
    let task = sleeper
        .running
        .accepted_with(
            &json!({"model": "flux-2", "prompt": "a fox", "callback_url": "http://127.0.0.1:1/"}),
        )
        .await;
    sleeper.running.reaches(task, "processing").await;
    let word = Arc::new(Notify::new());
    house.provider.hold_a_poll(&word);
    eventually("it looks", async || house.provider.holds_a_poll()).await;
    let frozen = sleeper.freeze();

    // It sleeps in the middle of a look, past its lease. Its answer waits for it, and says what the other one finds as well.
    house.provider.finish();
    word.notify_one();
    let other = house.start_apart().await;
    let view = other.running.reaches(task, "completed").await;
    eventually("published", async || {
        house.webhooks.published_of(task).len() == 1
    })
    .await;
    drop(frozen);
    // Another task of the sleeper shows that it is awake, and that its answer has come and gone.
    let next = sleeper.running.accepted().await;
    sleeper.running.reaches(next, "completed").await;
    assert_eq!(other.running.view(task).await.unwrap(), view);
    assert_eq!(
        life::read(&other.running, task, None).await,
        crate::fakes::PNG
    );
    eventually("settled", async || {
        !house.billing.settled(&task.to_bytes()).is_empty()
    })
    .await;
    assert_eq!(house.billing.settled(&task.to_bytes()), [PRICE]);
    assert_eq!(house.webhooks.published_of(task).len(), 1);
    assert_eq!(house.provider.submits().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_longer_than_its_lease_keeps_it() {
    let word = Arc::new(Notify::new());
    let house = house(vec![Submit::Late(Arc::clone(&word))]).await;
    let processes = three(&house).await;
    let task = processes[0].running.accepted().await;
    eventually("submitted", async || house.provider.submits().len() == 1).await;
    // More than two leases: each sweep of the others would take it, if it could.
    let until = Instant::now() + Duration::from_secs(7);
    eventually("time passes", async || Instant::now() >= until).await;
    word.notify_one();
    let view = processes[1].running.reaches(task, "completed").await;
    assert_eq!(view["attempts"], 1);
    assert_eq!(house.provider.submits().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_away_costs_time_and_nothing_else() {
    let word = Arc::new(Notify::new());
    let late = vec![Submit::Late(Arc::clone(&word))];
    let house = on(Database::that_may_die().await, late).await;
    house.provider.answer_polls("Pending");
    let processes = three(&house).await;
    let tasks = submit(&processes, 20).await;
    eventually("all are submitted", async || {
        house.provider.submits().len() == 20
    })
    .await;

    house.database.kill().await;
    let begun = Instant::now();
    let body = json!({"model": "flux-2", "prompt": "a fox"});
    let fault = processes[0].running.submit(&body, "k").await.unwrap_err();
    assert_eq!(fault.kind(), proto::Kind::Unavailable, "{fault}");
    assert!(fault.retry_after.is_some());
    assert!(begun.elapsed() < Duration::from_secs(10));
    // The provider answers while nothing can be written down; longer than a lease, so that all of them are over.
    word.notify_one();
    house.provider.finish();
    let until = Instant::now() + Duration::from_secs(4);
    eventually("time passes", async || Instant::now() >= until).await;
    house.database.restart().await;

    eventually("submits are taken again", async || {
        processes[1].running.submit(&body, "k").await.is_ok()
    })
    .await;
    eventually("looks work again", async || {
        processes[1].running.view(tasks[0]).await.is_ok()
    })
    .await;
    for view in endings(&processes[1].running, &tasks).await {
        assert_eq!(view["status"], "completed", "{view}");
    }
    assert_eq!(asked(&house).values().max(), Some(&1));
}

/// Looks that were counted before two processes stood still and are made afterwards: a burst of each.
const THAWED: usize = 8;

/// The most of these moments that lie within one second.
fn most_in_a_second(moments: &[Instant]) -> usize {
    let within = |first: &Instant| {
        let since = moments.iter().filter(|moment| *moment >= first);
        since
            .filter(|moment| moment.duration_since(*first) < Duration::from_secs(1))
            .count()
    };
    moments.iter().map(within).max().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn together_they_have_no_more_jobs_open_than_a_provider_takes() {
    let house = calm().await;
    let house = house.with_one_live().with_provider("max_jobs = 3");
    let processes = [house.start_apart().await, house.start_apart().await];
    let tasks = submit(&processes, 60).await;
    for view in endings(&processes[1].running, &tasks).await {
        assert_eq!(
            (&view["status"], &view["attempts"]),
            (&json!("completed"), &json!(1))
        );
    }
    assert_eq!(house.provider.submits().len(), 60);
    assert_eq!(house.provider.most_open(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn together_they_submit_no_more_in_a_second_than_a_provider_takes() {
    let house = calm().await;
    let house = house
        .with_one_live()
        .with_provider("submits_per_second = 20");
    let processes = [house.start_apart().await, house.start_apart().await];
    let tasks = submit(&processes, 50).await;
    for view in endings(&processes[1].running, &tasks).await {
        assert_eq!(view["attempts"], 1);
    }
    let most = most_in_a_second(&house.provider.submitted_at());
    assert!((10..=20).contains(&most), "{most} in a second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn together_they_look_no_more_often_than_a_provider_likes() {
    let house = house(vec![]).await;
    let house = house.with_one_live().with_provider("looks_per_second = 40");
    house.provider.answer_polls("Pending");
    let processes = [house.start_apart().await, house.start_apart().await];
    // Each of these would be looked at fifty times a second.
    let tasks = submit(&processes, 20).await;
    eventually("they are looked at for a while", async || {
        house.provider.polled_at().len() > 100
    })
    .await;
    let most = most_in_a_second(&house.provider.polled_at());
    assert!((20..=40).contains(&most), "{most} in a second");
    // Both stand still, and then everything is overdue at once.
    let frozen = processes.each_ref().map(Apart::freeze);
    let until = Instant::now() + Duration::from_secs(1);
    eventually("time passes", async || Instant::now() >= until).await;
    drop(frozen);
    eventually("they are looked at again", async || {
        house.provider.polled_at().len() > 180
    })
    .await;
    let most = most_in_a_second(&house.provider.polled_at());
    assert!(most <= 40 + THAWED, "{most} in a second");
    house.provider.finish();
    for view in endings(&processes[1].running, &tasks).await {
        assert_eq!(view["status"], "completed");
    }
}
