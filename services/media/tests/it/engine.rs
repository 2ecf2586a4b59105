//! A task while a provider has it: it is cancelled there, passed on, told of in a queue, and looked at after its end.

use db::Engine;
use domain::TaskId;
use futures::future::join_all;
use proto::{Fault, code};
use serde_json::{Value, json};
use sqlx::Row as _;

use crate::{
    database::on_both_engines,
    fal::{Cancel, Fal, Jobs},
    house::{House, Running, eventually},
};

const PRICE: i64 = 5_000_000;
/// How often the jobs are looked at that nobody waits for.
const LATE: &str = "late = { first = '20ms', looks = 10 }";
/// Tasks that race at once.
const AT_ONCE: usize = 50;

on_both_engines!(
    a_task_that_runs_is_stopped_at_its_provider,
    one_that_is_too_far_goes_on_and_is_charged,
    a_cancel_whose_answer_is_lost_loses_nothing,
    a_job_that_goes_on_after_a_lost_cancel_is_charged,
    cancelling_and_completing_have_one_winner,
    a_job_that_fails_is_passed_on_under_the_same_hold,
    a_success_after_the_deadline_is_noted_and_not_charged,
    what_a_provider_billed_is_kept_with_its_run,
);

/// A model that fal serves, and then its maker.
pub(crate) struct Scene {
    pub(crate) house: House,
    pub(crate) fal: Fal,
    pub(crate) running: Running,
}

impl Scene {
    pub(crate) async fn new(engine: Engine, deadline: u32) -> Self {
        Self::with(engine, deadline, "api_key = 'k'").await
    }

    /// With these settings of fal, its key among them.
    pub(crate) async fn with(engine: Engine, deadline: u32, settings: &str) -> Self {
        let section = format!("[providers.fal]\n{settings}");
        Self::changed(engine, deadline, |house| {
            house.with_other("[providers.fal]\napi_key = 'k'", &section)
        })
        .await
    }

    /// With these settings of `limits.media.poll`, `late` among them.
    pub(crate) async fn looking(engine: Engine, settings: &str) -> Self {
        Self::changed(engine, 300, |house| house.with_other(LATE, settings)).await
    }

    async fn changed(engine: Engine, deadline: u32, change: impl FnOnce(House) -> House) -> Self {
        let fal = Fal::start().await;
        let settings = format!("first = '5ms'\n{LATE}");
        let house = House::new(engine, vec![]).await;
        let house = house.with_other("first = '5ms'", &settings);
        let house = change(fal.serving(house, deadline));
        let running = house.start_with_sandbox(None).await.live();
        Self {
            house,
            fal,
            running,
        }
    }

    /// A task that waits at fal.
    pub(crate) async fn runs(&self) -> TaskId {
        let task = self.running.accepted().await;
        let place = async || self.running.view(task).await.unwrap()["queue_position"] == 3;
        eventually("it waits at its provider", place).await;
        task
    }

    pub(crate) async fn settled(&self, task: TaskId, amount: i64) {
        eventually("settled", async || {
            !self.house.billing.settled(&task.to_bytes()).is_empty()
        })
        .await;
        assert_eq!(self.house.billing.settled(&task.to_bytes()), [amount]);
    }

    /// Whether it completed. What was answered, what is seen, and what is paid agree, and stay so.
    async fn has_one_end(&self, task: TaskId, answer: Result<Value, Fault>) -> bool {
        let mut view = Value::Null;
        eventually("it ends", async || {
            view = self.running.view(task).await.unwrap();
            view["completed_at"] != Value::Null
        })
        .await;
        let has_completed = view["status"] == "completed";
        if has_completed {
            assert_eq!(answer.unwrap_err().code, code::NOT_CANCELLABLE);
            assert_eq!(view["output"].as_array().unwrap().len(), 1);
        } else {
            assert_eq!(view["error"]["code"], "cancelled", "{view}");
            // Who is told that it goes on may hear later that it has stopped.
            match answer {
                Ok(told) => assert_eq!(told, view),
                Err(fault) => assert_eq!(fault.code, code::NOT_CANCELLABLE),
            }
            assert_eq!(view["output"], json!([]));
        }
        let amount = if has_completed { PRICE } else { 0 };
        self.settled(task, amount).await;
        assert_eq!(
            self.running.view(task).await.unwrap(),
            view,
            "the first end is the last"
        );
        has_completed
    }

    /// Each run: who, how it stands, why it failed, what it cost.
    pub(crate) async fn attempts(
        &self,
        task: TaskId,
    ) -> Vec<(String, String, String, Option<i64>)> {
        let rows = sqlx::query(
            "select provider, outcome, reason, cost from attempt where task_id = $1 order by number",
        )
        .bind(task.to_vec())
        .fetch_all(self.running.db.reader())
        .await
        .unwrap();
        let row = |row: &sqlx::any::AnyRow| (row.get(0), row.get(1), row.get(2), row.get(3));
        rows.iter().map(row).collect()
    }

    fn attempts_of_receipt(&self) -> Value {
        self.house.billing.receipts()[0]["attempts"].clone()
    }
}

async fn a_task_that_runs_is_stopped_at_its_provider(engine: Engine) {
    let scene = Scene::new(engine, 300).await;
    scene.fal.answer_cancels(Cancel::Stops);
    let task = scene.runs().await;
    let view = scene.running.cancel(task).await.unwrap();
    assert_eq!(
        (&view["status"], &view["error"]["code"]),
        (&json!("failed"), &json!("cancelled"))
    );
    assert_eq!(view["queue_position"], Value::Null);
    scene.settled(task, 0).await;
    let again = scene.running.cancel(task).await.unwrap();
    assert_eq!(again["version"], view["version"], "it is as it was");
    assert_eq!((scene.fal.submits(), scene.fal.cancels()), (1, 1));
    assert_eq!(
        scene.attempts_of_receipt(),
        json!([{ "provider": "fal", "outcome": "cancelled" }])
    );
    assert!(
        scene.house.provider.submits().is_empty(),
        "nobody else is asked"
    );
}

async fn one_that_is_too_far_goes_on_and_is_charged(engine: Engine) {
    let scene = Scene::new(engine, 300).await;
    scene.fal.answer_cancels(Cancel::TooLate);
    let task = scene.runs().await;
    let fault = scene.running.cancel(task).await.unwrap_err();
    assert_eq!(fault.code, code::NOT_CANCELLABLE);
    scene.fal.set_jobs(Jobs::Done);
    let view = scene.running.reaches(task, "completed").await;
    assert_eq!(view["consumed_microcredits"], PRICE);
    scene.settled(task, PRICE).await;
}

async fn a_cancel_whose_answer_is_lost_loses_nothing(engine: Engine) {
    let scene = Scene::new(engine, 300).await;
    scene.fal.answer_cancels(Cancel::LostAndStops);
    let task = scene.runs().await;
    let fault = scene.running.cancel(task).await.unwrap_err();
    assert_eq!(fault.code, code::UPSTREAM_FAILED);
    let view = scene.running.reaches(task, "failed").await;
    assert_eq!(view["error"]["code"], "cancelled");
    scene.settled(task, 0).await;
    assert!(
        scene.house.provider.submits().is_empty(),
        "nobody else is asked"
    );
}

async fn a_job_that_goes_on_after_a_lost_cancel_is_charged(engine: Engine) {
    let scene = Scene::new(engine, 300).await;
    scene.fal.answer_cancels(Cancel::Lost);
    let task = scene.runs().await;
    assert!(scene.running.cancel(task).await.is_err());
    scene.fal.set_jobs(Jobs::Done);
    scene.running.reaches(task, "completed").await;
    scene.settled(task, PRICE).await;
}

async fn cancelling_and_completing_have_one_winner(engine: Engine) {
    // All at once, for which a provider has no room usually.
    let settings = "[providers.fal]\napi_key = 'k'\nlooks_per_second = 0";
    let scene = Scene::changed(engine, 300, |house| {
        house
            .with_other("[providers.fal]\napi_key = 'k'", settings)
            .in_no_hurry()
    })
    .await;
    let waves = match engine {
        Engine::Sqlite => 20,
        // A server is asked over a socket, and it is the same code.
        Engine::Postgres => 5,
    };
    let (mut cancelled, mut completed) = (0, 0);
    for wave in 0..waves {
        scene.fal.set_jobs(Jobs::Wait);
        scene.fal.answer_cancels(Cancel::StopsThis);
        let body = json!({
            "model": "flux-2", "prompt": "a fox", "callback_url": "http://127.0.0.1:1/hook",
        });
        let submits = (0..AT_ONCE).map(|_| scene.running.accepted_with(&body));
        let tasks = join_all(submits).await;
        let submitted = (wave + 1) * AT_ONCE;
        eventually("submitted", async || scene.fal.submits() == submitted).await;
        // Those that are asked to stop and those that are done come at about the same time: in every other wave after half of them were asked.
        let half = scene.fal.cancels() + AT_ONCE / 2 * (wave % 2);
        let (answers, ()) = futures::join!(
            join_all(tasks.iter().map(|task| scene.running.cancel(*task))),
            async {
                for _ in 0..wave * 10 {
                    tokio::task::yield_now().await;
                }
                eventually("asked", async || scene.fal.cancels() >= half).await;
                scene.fal.answer_cancels(Cancel::Asked);
                scene.fal.set_jobs(Jobs::Done);
            }
        );
        for (task, answer) in tasks.into_iter().zip(answers) {
            if scene.has_one_end(task, answer).await {
                completed += 1;
            } else {
                cancelled += 1;
            }
        }
    }
    let races = waves * AT_ONCE;
    assert_eq!(cancelled + completed, races);
    assert!(cancelled > 0 && completed > 0, "{cancelled}, {completed}");
    eventually("published", async || {
        scene.house.webhooks.published().len() >= races
    })
    .await;
    assert_eq!(scene.house.webhooks.published().len(), races);
    assert_eq!(scene.house.billing.settlements(), races);
}

async fn a_job_that_fails_is_passed_on_under_the_same_hold(engine: Engine) {
    let scene = Scene::new(engine, 300).await;
    let task = scene.runs().await;
    scene.fal.set_jobs(Jobs::Stopped);
    let view = scene.running.reaches(task, "completed").await;
    assert_eq!(
        (&view["attempts"], &view["consumed_microcredits"]),
        (&json!(2), &json!(PRICE))
    );
    scene.settled(task, PRICE).await;
    assert_eq!(
        (scene.fal.submits(), scene.house.provider.submits().len()),
        (1, 1)
    );
    assert_eq!(scene.house.billing.holds(), 1);
    assert_eq!(
        scene.attempts_of_receipt(),
        json!([
            { "provider": "fal", "outcome": "overloaded" },
            { "provider": "bfl", "outcome": "completed" },
        ])
    );
}

async fn a_success_after_the_deadline_is_noted_and_not_charged(engine: Engine) {
    let scene = Scene::new(engine, 8).await;
    let task = scene.runs().await;
    let view = scene.running.reaches(task, "failed").await;
    assert_eq!(view["error"]["code"], code::DEADLINE_EXCEEDED.word);
    eventually("it is asked to stop", async || scene.fal.cancels() > 0).await;
    scene.fal.set_jobs(Jobs::Done);
    eventually("it is noted", async || {
        let attempts = scene.attempts(task).await;
        attempts.iter().any(|attempt| attempt.1 == "succeeded")
    })
    .await;
    assert_eq!(scene.running.view(task).await.unwrap(), view);
    scene.settled(task, 0).await;
}

async fn what_a_provider_billed_is_kept_with_its_run(engine: Engine) {
    let scene = Scene::new(engine, 300).await;
    let task = scene.runs().await;
    scene.fal.set_jobs(Jobs::Stopped);
    scene.running.reaches(task, "completed").await;
    let run = |provider: &str, outcome: &str, reason: &str, cost| {
        (
            provider.to_owned(),
            outcome.to_owned(),
            reason.to_owned(),
            cost,
        )
    };
    assert_eq!(
        scene.attempts(task).await,
        [
            run("fal", "failed", "overloaded", None),
            // Three of its credits, of a cent each.
            run("bfl", "succeeded", "", Some(30_000)),
        ]
    );
}
