//! Nothing goes on at a provider that nobody waits for: jobs whose tasks have ended, were put back, or never heard of them are asked to stop,
//! until their providers have answered, and no more often than those like to be asked.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use db::Engine;
use domain::TaskId;
use futures::future::join_all;
use proto::code;
use serde_json::json;
use sqlx::Row as _;
use tokio::sync::Notify;

use crate::{
    database::on_both_engines,
    engine::Scene,
    fal::{Cancel, Jobs},
    house::{House, Running, eventually},
    operator::{force, show, stop},
};

on_both_engines!(
    a_job_that_was_taken_when_its_task_had_ended_is_stopped,
    what_a_forced_requeue_leaves_is_stopped_and_the_task_goes_on,
    what_an_operator_ends_is_stopped_at_once_and_he_is_told,
    a_cancel_that_was_noted_and_never_sent_is_sent_by_whoever_looks_next,
    a_provider_is_asked_to_stop_until_it_has_answered,
    a_provider_that_said_it_is_too_late_is_not_asked_again,
    a_customer_who_cancels_again_and_again_takes_no_looks_of_others,
    one_that_was_stopped_ends_as_cancelled_whoever_comes_first,
    a_cancel_ends_in_time_whatever_its_provider_does,
    a_provider_that_is_away_is_asked_when_it_is_back,
    a_job_that_its_provider_does_not_know_yet_is_stopped_when_it_does,
    a_job_that_was_lost_and_comes_back_is_stopped,
    a_callback_during_a_look_is_followed_by_another_look,
    a_callback_within_the_pause_is_heeded_after_it,
);

const PRICE: i64 = 5_000_000;

/// Of a task's first run: what its provider answered when it was asked to stop it, and how often it was looked at for nobody.
async fn first_run(running: &Running, task: TaskId) -> (Option<String>, i64) {
    let row =
        sqlx::query("select stop, looks from attempt where task_id = $1 order by number limit 1")
            .bind(task.to_vec())
            .fetch_one(running.db.reader())
            .await
            .unwrap();
    (row.get(0), row.get(1))
}

async fn a_job_that_was_taken_when_its_task_had_ended_is_stopped(engine: Engine) {
    let scene = Scene::new(engine, 300).await;
    scene.fal.answer_cancels(Cancel::StopsThis);
    let word = Arc::new(Notify::new());
    scene.fal.hold_a_submit(&word);
    let task = scene.running.accepted().await;
    eventually("it is submitted", async || scene.fal.submits() == 1).await;
    stop(&scene.running, task).await.unwrap();
    let view = scene.running.view(task).await.unwrap();
    assert_eq!(view["error"]["code"], code::CANCELLED.word);
    assert_eq!(scene.fal.cancels(), 0, "nobody knows what to stop yet");
    word.notify_one();
    eventually("it is asked to stop", async || scene.fal.cancels() > 0).await;
    eventually("it has stopped", async || {
        scene.attempts(task).await[0].1 == "failed"
    })
    .await;
    assert_eq!(scene.running.unknown_attempts().await, []);
    assert_eq!(scene.running.view(task).await.unwrap(), view);
    scene.settled(task, 0).await;
}

async fn what_a_forced_requeue_leaves_is_stopped_and_the_task_goes_on(engine: Engine) {
    let scene = Scene::new(engine, 300).await;
    scene.fal.answer_cancels(Cancel::StopsThis);
    let task = scene.runs().await;
    force(&scene.running, task).await.unwrap();
    eventually("it is submitted again", async || scene.fal.submits() == 2).await;
    eventually("the first job has stopped", async || {
        scene.attempts(task).await[0].1 == "failed"
    })
    .await;
    let (told, looks) = first_run(&scene.running, task).await;
    assert_eq!((told.as_deref(), looks > 0), (Some("asked"), true));
    let asked = scene.fal.cancels();
    // What was stopped did not fail the task: the same provider goes on with it.
    scene.fal.set_jobs(Jobs::Done);
    let view = scene.running.reaches(task, "completed").await;
    assert_eq!(view["attempts"], 2);
    scene.settled(task, PRICE).await;
    assert_eq!(scene.attempts(task).await[1].1, "succeeded");
    assert_eq!(scene.fal.cancels(), asked, "the second was left alone");
    assert!(scene.house.provider.submits().is_empty());
}

async fn what_an_operator_ends_is_stopped_at_once_and_he_is_told(engine: Engine) {
    let scene = Scene::new(engine, 300).await;
    scene.fal.answer_cancels(Cancel::StopsThis);
    let task = scene.runs().await;
    let ended = stop(&scene.running, task).await.unwrap();
    assert_eq!(ended["state"], "failed");
    let run = &ended["runs"][0];
    assert_eq!(run["stop"], json!(null), "{ended}");
    assert!(run["next_look_at"].is_string(), "{ended}");
    let timeline = ended["timeline"].to_string();
    assert!(timeline.contains("fal is looked at, and asked to stop"));
    eventually("it has stopped", async || {
        let story = show(&scene.running, task).await.unwrap();
        let run = &story["runs"][0];
        run["stop"] == "asked" && run["outcome"] == "failed" && run["next_look_at"].is_null()
    })
    .await;
    let story = show(&scene.running, task).await.unwrap();
    let timeline = story["timeline"].to_string();
    assert!(timeline.contains("asked to stop, fal answered: asked"));
    scene.settled(task, 0).await;
}

/// The process that was to ask for a customer died right behind this.
async fn is_to_be_cancelled(running: &Running, task: TaskId) {
    let noted: Result<(), media::Error> = running
        .db
        .write(move |connection| {
            Box::pin(async move {
                let sql = "update task set cancel_asked_at = 1, lease_until = 0, due_at = 1 where id = $1";
                sqlx::query(sql)
                    .bind(task.to_vec())
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
        .await;
    noted.unwrap();
}

async fn a_cancel_that_was_noted_and_never_sent_is_sent_by_whoever_looks_next(engine: Engine) {
    let scene = Scene::new(engine, 300).await;
    scene.fal.answer_cancels(Cancel::StopsThis);
    let task = scene.runs().await;
    is_to_be_cancelled(&scene.running, task).await;
    let view = scene.running.reaches(task, "failed").await;
    assert_eq!(view["error"]["code"], code::CANCELLED.word);
    assert_eq!(scene.fal.cancels(), 1, "its answer was kept");
    scene.settled(task, 0).await;
    assert!(scene.house.provider.submits().is_empty());
}

async fn a_provider_is_asked_to_stop_until_it_has_answered(engine: Engine) {
    let scene = Scene::new(engine, 300).await;
    scene.fal.answer_cancels(Cancel::Lost);
    let task = scene.runs().await;
    stop(&scene.running, task).await.unwrap();
    eventually("it is asked again and again", async || {
        scene.fal.cancels() >= 3
    })
    .await;
    scene.fal.answer_cancels(Cancel::TooLate);
    eventually("it has answered", async || {
        first_run(&scene.running, task).await.0.as_deref() == Some("too_late")
    })
    .await;
    let (asked, (_, looks)) = (scene.fal.cancels(), first_run(&scene.running, task).await);
    eventually("it is looked at again", async || {
        first_run(&scene.running, task).await.1 >= looks + 2
    })
    .await;
    assert_eq!(scene.fal.cancels(), asked, "and not asked any more");
    // What it completes all the same is noted, and nobody's.
    scene.fal.set_jobs(Jobs::Done);
    eventually("it is noted", async || {
        scene.attempts(task).await[0].1 == "succeeded"
    })
    .await;
    scene.settled(task, 0).await;
}

async fn a_provider_that_said_it_is_too_late_is_not_asked_again(engine: Engine) {
    let scene = Scene::new(engine, 300).await;
    scene.fal.answer_cancels(Cancel::TooLate);
    let task = scene.runs().await;
    for _ in 0..5 {
        let fault = scene.running.cancel(task).await.unwrap_err();
        assert_eq!(fault.code, code::NOT_CANCELLABLE);
    }
    assert_eq!(scene.fal.cancels(), 1);
    scene.fal.set_jobs(Jobs::Done);
    scene.running.reaches(task, "completed").await;
    scene.settled(task, PRICE).await;
}

async fn a_customer_who_cancels_again_and_again_takes_no_looks_of_others(engine: Engine) {
    let settings = "late = { first = '20ms', looks = 10 }\ncancel = { timeout = '1m' }";
    let scene = Scene::looking(engine, settings).await;
    let other = scene.running.stranger().live();
    let waits = other.accepted().await;
    let (unanswered, asked) = (scene.runs().await, scene.runs().await);
    scene.fal.answer_cancels(Cancel::Lost);
    let fault = scene.running.cancel(unanswered).await.unwrap_err();
    assert_eq!(fault.code, code::UPSTREAM_FAILED);
    scene.fal.answer_cancels(Cancel::Asked);
    let fault = scene.running.cancel(asked).await.unwrap_err();
    assert_eq!(fault.code, code::NOT_CANCELLABLE);
    for _ in 0..30 {
        let fault = scene.running.cancel(unanswered).await.unwrap_err();
        assert_eq!(fault.code, code::UPSTREAM_BUSY);
        assert!(fault.message.contains("a moment ago"), "{}", fault.message);
        let fault = scene.running.cancel(asked).await.unwrap_err();
        assert_eq!(fault.code, code::NOT_CANCELLABLE);
    }
    assert_eq!(scene.fal.cancels(), 2);
    scene.fal.set_jobs(Jobs::Done);
    other.reaches(waits, "completed").await;
}

/// The process that heard this answer to a cancel of the first run died right behind it.
async fn was_told(running: &Running, task: TaskId, told: &'static str) {
    let noted: Result<(), media::Error> = running
        .db
        .write(move |connection| {
            Box::pin(async move {
                sqlx::query("update attempt set stop = $1, stop_at = 1 where task_id = $2")
                    .bind(told)
                    .bind(task.to_vec())
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
        .await;
    noted.unwrap();
}

async fn one_that_was_stopped_ends_as_cancelled_whoever_comes_first(engine: Engine) {
    let scene = Scene::new(engine, 300).await;
    scene.fal.answer_cancels(Cancel::TooLate);
    let (by_customer, by_look) = (scene.runs().await, scene.runs().await);
    was_told(&scene.running, by_customer, "stopped").await;
    let view = scene.running.cancel(by_customer).await.unwrap();
    assert_eq!(view["error"]["code"], code::CANCELLED.word);
    was_told(&scene.running, by_look, "stopped").await;
    is_to_be_cancelled(&scene.running, by_look).await;
    let view = scene.running.reaches(by_look, "failed").await;
    assert_eq!(view["error"]["code"], code::CANCELLED.word);
    // Whether it is true, the looks see: what runs all the same is asked to stop again.
    eventually("both are asked to stop", async || scene.fal.cancels() >= 2).await;
    let (told, _) = first_run(&scene.running, by_look).await;
    assert_eq!(told.as_deref(), Some("stopped"));
    for task in [by_customer, by_look] {
        scene.settled(task, 0).await;
    }
}

async fn a_cancel_ends_in_time_whatever_its_provider_does(engine: Engine) {
    let settings = "late = { first = '20ms', looks = 1 }\ncancel = { wait = '100ms', timeout = '10m', within = '200ms' }";
    let scene = Scene::looking(engine, settings).await;
    scene.fal.answer_cancels(Cancel::Silent);
    let task = scene.runs().await;
    let cancel = scene.running.cancel(task);
    let answer = tokio::time::timeout(Duration::from_secs(60), cancel).await;
    assert_eq!(answer.unwrap().unwrap_err().code, code::UPSTREAM_FAILED);
}

/// One look alone is worth it, and no cancel waits.
const ONE_LOOK: &str = "late = { first = '20ms', looks = 1 }";

async fn has_stopped(running: &Running, task: TaskId) -> bool {
    let story = show(running, task).await.unwrap();
    let run = &story["runs"][0];
    run["stop"] == "asked" && run["next_look_at"].is_null()
}

async fn a_provider_that_is_away_is_asked_when_it_is_back(engine: Engine) {
    let scene = Scene::looking(engine, ONE_LOOK).await;
    scene.fal.answer_cancels(Cancel::StopsThis);
    let task = scene.runs().await;
    scene.fal.set_jobs(Jobs::Away);
    stop(&scene.running, task).await.unwrap();
    let asked = scene.fal.asked_at().len();
    eventually("it is looked at in vain", async || {
        scene.fal.asked_at().len() >= asked + 3
    })
    .await;
    assert_eq!(first_run(&scene.running, task).await, (None, 0));
    scene.fal.answer_cancels(Cancel::Lost);
    scene.fal.set_jobs(Jobs::Wait);
    eventually("it is asked in vain", async || scene.fal.cancels() >= 2).await;
    scene.fal.answer_cancels(Cancel::StopsThis);
    eventually("it is asked", async || {
        has_stopped(&scene.running, task).await
    })
    .await;
    assert_eq!(first_run(&scene.running, task).await.1, 1);
    scene.settled(task, 0).await;
}

async fn a_job_that_its_provider_does_not_know_yet_is_stopped_when_it_does(engine: Engine) {
    let scene = Scene::looking(engine, ONE_LOOK).await;
    scene.fal.answer_cancels(Cancel::StopsThis);
    let task = scene.runs().await;
    scene.fal.set_jobs(Jobs::Unknown);
    stop(&scene.running, task).await.unwrap();
    let asked = scene.fal.asked_at().len();
    eventually("it is looked at", async || {
        scene.fal.asked_at().len() > asked
    })
    .await;
    scene.fal.set_jobs(Jobs::Wait);
    eventually("it is asked", async || {
        has_stopped(&scene.running, task).await
    })
    .await;
    assert_eq!(scene.fal.cancels(), 1);
    scene.settled(task, 0).await;
}

async fn a_job_that_was_lost_and_comes_back_is_stopped(engine: Engine) {
    let settings = "settle_in = '100ms'\nlate = { first = '20ms', looks = 10 }";
    let scene = Scene::looking(engine, settings).await;
    scene.fal.answer_cancels(Cancel::StopsThis);
    let task = scene.runs().await;
    scene.fal.set_jobs(Jobs::Unknown);
    let view = scene.running.reaches(task, "failed").await;
    assert_eq!(view["error"]["code"], code::UPSTREAM_FAILED.word);
    scene.fal.set_jobs(Jobs::Wait);
    eventually("it is asked", async || {
        has_stopped(&scene.running, task).await
    })
    .await;
    assert_eq!(scene.attempts(task).await[0].1, "failed");
    scene.settled(task, 0).await;
}

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
async fn cancels_and_looks_for_nobody_count_as_looks() {
    let settings = "api_key = 'k'\nlooks_per_second = 20";
    let scene = Scene::with(Engine::Sqlite, 300, settings).await;
    scene.fal.answer_cancels(Cancel::Lost);
    let tasks = join_all((0..20).map(|_| scene.runs())).await;
    for _ in 0..2 {
        for answer in join_all(tasks.iter().map(|task| scene.running.cancel(*task))).await {
            let code = answer.unwrap_err().code;
            assert!(
                [code::UPSTREAM_FAILED, code::UPSTREAM_BUSY].contains(&code),
                "{code:?}"
            );
        }
    }
    let (asked, cancels) = (scene.fal.asked_at().len(), scene.fal.cancels());
    for task in &tasks {
        stop(&scene.running, *task).await.unwrap();
    }
    eventually("they are looked at for nobody", async || {
        scene.fal.asked_at().len() >= asked + 40 && scene.fal.cancels() >= cancels + 10
    })
    .await;
    let most = most_in_a_second(&scene.fal.asked_at());
    assert!((8..=20).contains(&most), "{most} in a second");
}

/// A house whose provider is looked at when it calls, and else hardly ever; and a task that it has.
async fn called(engine: Engine) -> (House, Running, TaskId) {
    let house = House::new(engine, vec![])
        .await
        .with_other("first = '5ms'", "first = '10m'")
        .with_other("longest = '20ms'", "longest = '10m'");
    house.provider.answer_polls("Pending");
    let running = house.start().await;
    let task = running.accepted().await;
    eventually("the provider has it", async || {
        show(&running, task).await.unwrap()["state"] == "running"
    })
    .await;
    (house, running, task)
}

async fn a_callback_during_a_look_is_followed_by_another_look(engine: Engine) {
    let (house, running, task) = called(engine).await;
    let word = Arc::new(Notify::new());
    house.provider.hold_a_poll(&word);
    running.hear(task).await;
    eventually("it looks", async || house.provider.holds_a_poll()).await;
    running.hear(task).await;
    word.notify_one();
    // The look that was under way saw nothing of what the callback was about.
    eventually("it has looked", async || {
        house.provider.polled_at().len() == 1
    })
    .await;
    house.provider.finish();
    running.reaches(task, "completed").await;
}

async fn a_callback_within_the_pause_is_heeded_after_it(engine: Engine) {
    let (house, running, task) = called(engine).await;
    running.hear(task).await;
    eventually("it has looked", async || {
        let looks = &show(&running, task).await.unwrap()["looks"];
        looks["made"] == 1
    })
    .await;
    house.provider.finish();
    running.hear(task).await;
    running.reaches(task, "completed").await;
    let polls = house.provider.polled_at();
    assert_eq!(polls.len(), 2);
    assert!(polls[1].duration_since(polls[0]) >= Duration::from_millis(500));
}
