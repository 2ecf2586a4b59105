//! Pages of a customer's tasks: the newest first, by how they stand, by model and by time; nobody else's.

use db::Engine;
use domain::TaskId;
use proto::{
    Fault, Kind,
    media::v1::{GetTaskRequest, ListTasksRequest, Run},
};
use serde_json::json;

use crate::{
    database::on_both_engines,
    fakes::Submit,
    house::{House, Running, eventually},
};

on_both_engines!(
    pages_lead_from_the_newest_task_to_the_oldest,
    only_what_is_asked_for_is_listed,
    whom_a_task_was_tried_with_is_told_its_owner,
    what_is_refused_is_in_no_list,
    a_list_goes_by_when_tasks_were_made,
);

fn page(limit: u32) -> ListTasksRequest {
    ListTasksRequest {
        limit,
        ..ListTasksRequest::default()
    }
}

/// Whom a task was tried with.
async fn runs(running: &Running, task: TaskId) -> Result<Vec<Run>, Fault> {
    let request = GetTaskRequest {
        context: Some((&running.caller).into()),
        task_id: task.to_vec().into(),
    };
    let listed = running.client.clone().list_runs(request).await;
    Ok(listed.map_err(Fault::from)?.into_inner().runs)
}

async fn pages_lead_from_the_newest_task_to_the_oldest(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    house.provider.answer_polls("Pending");
    let mut tasks = Vec::new();
    for _ in 0..5 {
        tasks.push(running.accepted().await);
    }
    let other = running.stranger();
    other.accepted().await;
    let newest_first: Vec<String> = tasks.iter().rev().map(ToString::to_string).collect();
    let (mut seen, mut before) = (Vec::new(), prost::bytes::Bytes::new());
    loop {
        let asked = ListTasksRequest { before, ..page(2) };
        let listed = running.list(asked).await.unwrap();
        assert!(listed.len() <= 2, "{listed:?}");
        let Some(last) = listed.last() else { break };
        before = TaskId::parse(last).unwrap().to_vec().into();
        seen.extend(listed);
    }
    assert_eq!(seen, newest_first);
    assert_eq!(running.list(page(0)).await.unwrap().len(), 1);
    assert_eq!(running.list(page(5000)).await.unwrap(), newest_first);
    assert_eq!(other.list(page(9)).await.unwrap().len(), 1);
    assert_eq!(running.live().list(page(9)).await.unwrap().len(), 0);
}

async fn only_what_is_asked_for_is_listed(engine: Engine) {
    let refusal = Submit::Refuse(422, json!({"detail": "no"}));
    let house = House::new(engine, vec![refusal]).await;
    let running = house.start().await;
    let failed = running.accepted().await;
    running.reaches(failed, "failed").await;
    let done = running.accepted().await;
    running.reaches(done, "completed").await;
    house.provider.answer_polls("Pending");
    let open = running.accepted().await;
    running.reaches(open, "processing").await;
    let ids = |tasks: &[TaskId]| tasks.iter().map(ToString::to_string).collect::<Vec<_>>();
    let of = async |status: &str, model: &str| {
        let asked = ListTasksRequest {
            status: status.to_owned(),
            models: model.split_whitespace().map(str::to_owned).collect(),
            ..page(9)
        };
        running.list(asked).await
    };
    assert_eq!(of("", "").await.unwrap(), ids(&[open, done, failed]));
    assert_eq!(of("processing", "flux-2").await.unwrap(), ids(&[open]));
    assert_eq!(of("completed", "").await.unwrap(), ids(&[done]));
    assert_eq!(of("failed", "flux-2").await.unwrap(), ids(&[failed]));
    assert_eq!(of("queued", "").await.unwrap(), ids(&[]));
    assert_eq!(of("", "flux-1").await.unwrap(), ids(&[]));
    let either = "flux-1 flux-2 flux-2";
    assert_eq!(of("", either).await.unwrap(), ids(&[open, done, failed]));
    assert_eq!(of("failed", either).await.unwrap(), ids(&[failed]));
}

async fn whom_a_task_was_tried_with_is_told_its_owner(engine: Engine) {
    let refusal = Submit::Refuse(422, json!({"detail": "no"}));
    let house = House::new(engine, vec![refusal]).await;
    let running = house.start().await;
    let failed = running.accepted().await;
    running.reaches(failed, "failed").await;
    house.provider.answer_polls("Pending");
    let open = running.accepted().await;
    eventually("the provider has it", async || {
        let tried = runs(&running, open).await.unwrap();
        tried
            .iter()
            .map(|run| run.outcome.as_str())
            .eq(["accepted"])
    })
    .await;
    let tried = runs(&running, failed).await.unwrap();
    assert_eq!(tried.len(), 1);
    let run = &tried[0];
    assert_eq!((run.number, run.outcome.as_str()), (1, "refused"));
    assert!(!run.provider.is_empty() && run.submitted_at > 0);
    let strangers = runs(&running.stranger(), open).await.unwrap_err();
    assert_eq!(strangers.kind(), Kind::NotFound);
}

async fn what_is_refused_is_in_no_list(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    running.submit(&json!({}), "").await.unwrap_err();
    assert_eq!(running.list(page(9)).await.unwrap().len(), 0);
    let unknown = ListTasksRequest {
        status: "done".to_owned(),
        ..page(9)
    };
    let fault = running.list(unknown).await.unwrap_err();
    assert_eq!(fault.param.as_deref(), Some("status"));
}

async fn a_list_goes_by_when_tasks_were_made(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    running.accepted().await;
    let since = |created_from, created_until| {
        running.list(ListTasksRequest {
            created_from,
            created_until,
            ..page(9)
        })
    };
    let now = running.db.now_micros();
    let hour = 3_600_000_000;
    assert_eq!(since(now - hour, now + hour).await.unwrap().len(), 1);
    assert_eq!(since(now + hour, 0).await.unwrap().len(), 0);
    assert_eq!(since(0, now - hour).await.unwrap().len(), 0);
}
