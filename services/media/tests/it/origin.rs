//! Tasks that go on from an earlier one: of the same account, completed, and run by who can go on from it.

use std::sync::Arc;

use domain::{Catalogue, TaskId};
use proto::{Code, Fault, code, media::v1::SubmitRequest};
use serde_json::{Value, json};

use crate::{house::Running, sandboxed::Sandboxed};

const GROK: &str = include_str!("../../../../crates/domain/catalogue/grok-imagine.toml");

async fn submit(running: &Running, body: &Value) -> Result<TaskId, Fault> {
    let request = SubmitRequest {
        route: "images/generations".to_owned(),
        ..running.request(&body.to_string(), "")
    };
    let reply = running.send(request).await?;
    Ok(TaskId::from_slice(&reply.task_id).unwrap())
}

fn small(words: &str) -> Value {
    json!({"model": "grok-imagine", "prompt": format!("a fox [sandbox {words}]")})
}

fn larger(task: TaskId) -> Value {
    json!({"model": "grok-imagine/upscale", "task_id": task.to_string()})
}

async fn refused(running: &Running, task: TaskId) -> (Code, String) {
    let fault = submit(running, &larger(task)).await.unwrap_err();
    assert_eq!(fault.param.as_deref(), Some("task_id"));
    (fault.code, fault.message)
}

#[tokio::test]
async fn a_picture_is_made_larger_by_who_made_it() {
    let catalogue = Catalogue::parse(&[("a.toml", GROK)]).unwrap();
    let sandboxed = Sandboxed::new(Arc::new(catalogue)).await;
    let running = &sandboxed.running;
    let first = submit(running, &small("delay=1ms")).await.unwrap();
    running.reaches(first, "completed").await;
    let second = submit(running, &larger(first)).await.unwrap();
    let view = running.reaches(second, "completed").await;
    assert_eq!(view["consumed_microcredits"], 12_000_000);
    // The customer reads the task's id, never what its provider calls it.
    assert_eq!(view["request"]["task_id"], first.to_string());

    let unknown = "task_id must be the id of a task of grok-imagine that is this account's";
    let unknown = (code::NOT_FOUND, unknown.to_owned());
    let open = submit(running, &small("delay=1h")).await.unwrap();
    let failed = submit(running, &small("outcome=fail")).await.unwrap();
    running.reaches(failed, "failed").await;
    for (task, why) in [(open, "has not ended yet"), (failed, "has failed")] {
        let message = format!("task_id must be a task that has completed: this one {why}");
        let told = refused(running, task).await;
        assert_eq!(told, (code::INVALID_PARAMETER, message));
    }
    let nobodys = TaskId::from_slice(&[7; 16]).unwrap();
    assert_eq!(refused(running, nobodys).await, unknown);
    assert_eq!(refused(&running.stranger(), first).await, unknown);
}

#[tokio::test]
async fn nobody_goes_on_from_what_another_provider_made() {
    let row = "[[providers]]\nadapter = \"fal\"";
    let (head, _) = GROK.split_once("[[providers]]").unwrap();
    let (_, fal) = GROK.split_once(row).unwrap();
    let text = format!("{head}{row}{fal}");
    let catalogue = Catalogue::parse(&[("a.toml", &text)]).unwrap();
    let sandboxed = Sandboxed::new(Arc::new(catalogue)).await;
    let running = &sandboxed.running;
    let first = submit(running, &small("delay=1ms")).await.unwrap();
    running.reaches(first, "completed").await;
    let why = "task_id must be another task: fal, which made this one, cannot go on from it";
    let told = refused(running, first).await;
    assert_eq!(told, (code::INVALID_PARAMETER, why.to_owned()));
}
