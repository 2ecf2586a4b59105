//! What operators do to tasks of anybody.

use chassis::mint;
use db::Engine;
use domain::{TaskId, ids};
use proto::{
    Fault, code,
    common::v1::Actor,
    media::v1::{
        FindTasksRequest, GetOverviewRequest, Overview, RequeueTaskRequest, ShowTaskRequest,
        ShownTask, StopTaskRequest,
    },
};
use serde_json::{Value, json};
use tonic::{Response, Status};

use crate::{
    database::on_both_engines,
    house::{House, Running, eventually},
};

on_both_engines! {
    a_task_is_found_shown_and_ended,
    a_task_that_a_provider_may_have_is_put_back_by_force_alone_and_charged_once,
    what_has_ended_or_never_was_is_left_alone,
    what_waits_and_how_providers_did_is_told,
}

const FOX: i64 = 5_000_000;

fn story(answer: Result<Response<ShownTask>, Status>) -> Result<Value, Fault> {
    let shown = answer.map_err(Fault::from)?.into_inner();
    Ok(serde_json::from_slice(&shown.story).unwrap())
}

pub(crate) async fn show(running: &Running, task: TaskId) -> Result<Value, Fault> {
    let request = ShowTaskRequest {
        task_id: task.to_vec().into(),
    };
    story(running.operators.clone().show_task(request).await)
}

fn by() -> Option<Actor> {
    Some(Actor {
        name: "operator".to_owned(),
        request_id: "req_1".to_owned(),
    })
}

pub(crate) async fn stop(running: &Running, task: TaskId) -> Result<Value, Fault> {
    let request = StopTaskRequest {
        task_id: task.to_vec().into(),
        by: by(),
    };
    story(running.operators.clone().stop_task(request).await)
}

async fn requeue(running: &Running, task: TaskId) -> Result<Value, Fault> {
    let request = RequeueTaskRequest {
        task_id: task.to_vec().into(),
        by: by(),
        force: false,
    };
    story(running.operators.clone().requeue_task(request).await)
}

pub(crate) async fn force(running: &Running, task: TaskId) -> Result<Value, Fault> {
    let request = RequeueTaskRequest {
        task_id: task.to_vec().into(),
        by: by(),
        force: true,
    };
    story(running.operators.clone().requeue_task(request).await)
}

async fn find(running: &Running, request: FindTasksRequest) -> Vec<String> {
    let request = FindTasksRequest {
        limit: 9,
        ..request
    };
    let found = running.operators.clone().find_tasks(request).await.unwrap();
    let id = |line: &prost::bytes::Bytes| {
        let line: Value = serde_json::from_slice(line).unwrap();
        line["task_id"].as_str().unwrap().to_owned()
    };
    found.into_inner().tasks.iter().map(id).collect()
}

/// A task that a provider has.
async fn running_task(house: &House, running: &Running) -> TaskId {
    house.provider.answer_polls("Pending");
    let task = running.accepted().await;
    eventually("the provider has it", async || {
        show(running, task).await.unwrap()["state"] == "running"
    })
    .await;
    task
}

async fn a_task_is_found_shown_and_ended(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    let task = running_task(&house, &running).await;
    let known = show(&running, task).await.unwrap();
    assert_eq!(
        (&known["hold"], &known["held_microcredits"], &known["job"]),
        (&json!("held"), &json!(FOX), &json!("v1/get_result?id=1"))
    );
    assert_eq!(known["runs"][0]["outcome"], "accepted");
    assert!(!known.to_string().contains("a fox"), "no content");
    let account = running.context().account_id;
    let of = |change: fn(&mut FindTasksRequest)| {
        let mut request = FindTasksRequest::default();
        change(&mut request);
        request
    };
    let own = FindTasksRequest {
        account_id: account,
        ..of(|_| {})
    };
    for (request, count) in [
        (of(|_| {}), 1),
        (of(|request| request.status = "processing".into()), 1),
        (of(|request| request.status = "failed".into()), 0),
        (of(|request| request.model = "flux-2".into()), 1),
        (of(|request| request.model = "kling-3".into()), 0),
        (of(|request| request.provider = "bfl".into()), 1),
        (of(|request| request.provider = "fal".into()), 0),
        (of(|request| request.account_id = vec![1; 16].into()), 0),
        (of(|request| request.created_until = 1_000), 0),
        (own.clone(), 1),
        (
            FindTasksRequest {
                status: "processing".into(),
                model: "flux-2".into(),
                provider: "bfl".into(),
                ..own
            },
            1,
        ),
    ] {
        let found = find(&running, request.clone()).await;
        assert_eq!(found, vec![task.to_string(); count], "{request:?}");
    }
    let ended = stop(&running, task).await.unwrap();
    assert_eq!(
        (&ended["state"], &ended["error_code"], &ended["hold"]),
        (&json!("failed"), &json!("cancelled"), &json!("released"))
    );
    let done = &ended["interventions"][0];
    assert_eq!(
        (&done["action"], &done["by"], &done["request_id"]),
        (&json!("cancel"), &json!("operator"), &json!("req_1"))
    );
    let view = running.view(task).await.unwrap();
    assert_eq!(view["error"]["code"], code::CANCELLED.word);
    eventually("released", async || {
        house.billing.settled(&task.to_bytes()) == [0]
    })
    .await;
}

async fn a_task_that_a_provider_may_have_is_put_back_by_force_alone_and_charged_once(
    engine: Engine,
) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    let task = running_task(&house, &running).await;
    let fault = requeue(&running, task).await.unwrap_err();
    assert_eq!(fault.code, code::MAY_RUN_TWICE);
    assert!(fault.message.contains("bfl"), "{}", fault.message);
    assert_eq!(house.provider.submits().len(), 1);
    force(&running, task).await.unwrap();
    eventually("it is submitted again", async || {
        house.provider.submits().len() == 2
    })
    .await;
    house.provider.finish();
    running.reaches(task, "completed").await;
    let known = show(&running, task).await.unwrap();
    assert_eq!(known["runs"].as_array().unwrap().len(), 2, "{known}");
    assert_eq!(known["interventions"][0]["action"], "force requeue");
    assert_eq!(known["hold"], "captured");
    eventually("charged once", async || {
        house.billing.settled(&task.to_bytes()) == [FOX]
    })
    .await;
}

async fn what_has_ended_or_never_was_is_left_alone(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    let task = running.accepted().await;
    running.reaches(task, "completed").await;
    for fault in [
        stop(&running, task).await.unwrap_err(),
        force(&running, task).await.unwrap_err(),
    ] {
        assert_eq!(fault.code, code::NOT_CANCELLABLE);
        assert!(fault.message.contains("completed"), "{}", fault.message);
    }
    let nobodys = mint::<ids::Task>();
    for fault in [
        show(&running, nobodys).await.unwrap_err(),
        stop(&running, nobodys).await.unwrap_err(),
        requeue(&running, nobodys).await.unwrap_err(),
    ] {
        assert_eq!(fault.code, code::NOT_FOUND);
    }
    assert_eq!(
        show(&running, task).await.unwrap()["interventions"],
        json!([])
    );
}

async fn what_waits_and_how_providers_did_is_told(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    let task = running_task(&house, &running).await;
    let overview = async |since| {
        let request = GetOverviewRequest { since };
        let seen = running.operators.clone().get_overview(request).await;
        seen.unwrap().into_inner()
    };
    let seen = overview(0).await;
    let processing = seen.processing.unwrap();
    assert_eq!((processing.count, processing.more), (1, false));
    assert!(processing.oldest > 0);
    assert_eq!(seen.queued.unwrap().count + seen.unknown.unwrap().count, 0);
    let runs = |seen: &Overview| {
        let runs = seen.runs.iter();
        runs.map(|sum| (sum.provider.clone(), sum.outcome.clone(), sum.runs))
            .collect::<Vec<_>>()
    };
    let one = |outcome: &str| vec![("bfl".to_owned(), outcome.to_owned(), 1)];
    assert_eq!(runs(&seen), one("accepted"));
    assert!(!seen.cut);
    house.provider.finish();
    running.reaches(task, "completed").await;
    let seen = overview(0).await;
    assert_eq!(seen.processing.unwrap().count, 0);
    assert_eq!(runs(&seen), one("succeeded"));
    // Of tasks made later there are no runs.
    let later = chassis::clock::now_micros() + 3_600_000_000;
    assert_eq!(runs(&overview(later).await), []);
}
