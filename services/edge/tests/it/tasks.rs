//! Media tasks: submit, look, cancel, follow.

use std::sync::atomic::Ordering;

use domain::{Mode, TaskId};
use live::{TaskSnapshot, Terminal};

use crate::house::{House, read, refusal};

const IMAGES: &str = "/api/v1/images/generations";

#[tokio::test]
async fn an_accepted_task_is_answered_as_the_docs_say() {
    let house = House::start().await;
    let key = house.usual_key();
    let answer = house
        .post(IMAGES, &key, r#"{"prompt": "x"}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 202);
    assert!(!answer.headers().contains_key("idempotent-replayed"));
    let operation = answer.headers()["x-aio-operation-id"]
        .to_str()
        .unwrap()
        .to_owned();
    let submit = house.world.submits.lock().unwrap().first().unwrap().clone();
    let task = TaskId::from_slice(&submit.task_id).unwrap();
    assert_eq!(operation, task.cast::<domain::ids::Operation>().to_string());
    assert_eq!(
        answer.text().await.unwrap(),
        format!(
            r#"{{"code":200,"message":"success","data":{{"task_id":"{task}","status":"IN_PROGRESS"}}}}"#
        )
    );
    assert_eq!(
        (submit.route.as_str(), submit.body.as_ref()),
        ("images/generations", br#"{"prompt": "x"}"#.as_ref())
    );
}

#[tokio::test]
async fn a_repeat_with_the_same_idempotency_key_says_so() {
    let house = House::start().await;
    let key = house.usual_key();
    let submit = || {
        house
            .post(IMAGES, &key, "{}")
            .header("idempotency-key", "one")
    };
    let first = submit().send().await.unwrap().text().await.unwrap();
    let second = submit().send().await.unwrap();
    assert_eq!(second.headers()["idempotent-replayed"], "true");
    assert_eq!(second.text().await.unwrap(), first);
    for bad in ["", &"x".repeat(256)] {
        let request = house
            .post(IMAGES, &key, "{}")
            .header("idempotency-key", bad);
        assert_eq!(refusal(request).await, (400, "invalid_parameter".into()));
    }
    let longest = house
        .post(IMAGES, &key, "{}")
        .header("idempotency-key", "x".repeat(255));
    assert_eq!(longest.send().await.unwrap().status(), 202);
}

#[tokio::test]
async fn a_refusal_of_media_reaches_the_customer() {
    let house = House::start().await;
    let (status, body) = read(house.post(IMAGES, &house.usual_key(), "refuse")).await;
    assert_eq!(status, 402);
    assert_eq!(body["error"]["type"], "insufficient_credits");
    assert_eq!(body["error"]["message"], "the balance has 1 credit");
}

#[tokio::test]
async fn a_task_is_answered_byte_for_byte_and_kept() {
    let house = House::start().await;
    let key = house.usual_key();
    let task = house.task();
    for _ in 0..3 {
        let answer = house
            .get(&format!("/api/v1/tasks/{task}"), &key)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert_eq!(
            answer.text().await.unwrap(),
            r#"{"code":200,"message":"success","data":{"status": "queued"}}"#
        );
    }
    assert_eq!(house.world.looks.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn cancelling_answers_with_the_task_or_why_not() {
    let house = House::start().await;
    let key = house.usual_key();
    let task = house.task();
    let path = format!("/api/v1/tasks/{task}/cancel");
    let (status, body) = read(house.post(&path, &key, "")).await;
    assert_eq!(
        (status, body["data"]["status"].as_str()),
        (200, Some("queued"))
    );
    house
        .world
        .tasks
        .lock()
        .unwrap()
        .get_mut(&task)
        .unwrap()
        .terminal = true;
    assert_eq!(
        refusal(house.post(&path, &key, "")).await,
        (409, "not_cancellable".into())
    );
}

/// How a task of the house stands at a version.
fn stands(house: &House, task: TaskId, version: i64, terminal: Terminal) -> TaskSnapshot {
    TaskSnapshot {
        task,
        account: house.account,
        mode: Mode::Test,
        version,
        terminal,
        view: format!(r#"{{"v":{version}}}"#).into(),
    }
}

#[tokio::test]
async fn a_follower_sees_every_state_until_the_end() {
    let house = House::start().await;
    let task = house.task();
    let path = format!("/api/v1/tasks/{task}/events");
    let mut answer = house.get(&path, &house.usual_key()).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let first = "event: task\nid: 1\ndata: {\"status\": \"queued\"}\n\n";
    assert_eq!(answer.chunk().await.unwrap().unwrap(), first);
    house
        .live
        .put_task(stands(&house, task, 2, Terminal::Open))
        .await
        .unwrap();
    assert_eq!(
        answer.chunk().await.unwrap().unwrap(),
        "event: task\nid: 2\ndata: {\"v\":2}\n\n"
    );
    house
        .live
        .put_task(stands(&house, task, 3, Terminal::Ended))
        .await
        .unwrap();
    assert_eq!(
        answer.text().await.unwrap(),
        "event: task\nid: 3\ndata: {\"v\":3}\n\n"
    );
}

#[tokio::test]
async fn a_follower_who_comes_back_hears_only_what_is_newer() {
    let house = House::start().await;
    let task = house.task();
    let path = format!("/api/v1/tasks/{task}/events");
    let key = house.usual_key();
    let back = |heard: &str| house.get(&path, &key).header("last-event-id", heard).send();
    let put = |version, terminal| house.live.put_task(stands(&house, task, version, terminal));

    put(2, Terminal::Open).await.unwrap();
    let mut missed = back("1").await.unwrap();
    let newer = "event: task\nid: 2\ndata: {\"v\":2}\n\n";
    assert_eq!(missed.chunk().await.unwrap().unwrap(), newer);
    let mut nothing_new = back("2").await.unwrap();
    put(3, Terminal::Ended).await.unwrap();
    let end = "event: task\nid: 3\ndata: {\"v\":3}\n\n";
    assert_eq!(nothing_new.chunk().await.unwrap().unwrap(), end);
    assert_eq!(back("2").await.unwrap().text().await.unwrap(), end);

    let over = back("3").await.unwrap();
    assert_eq!(over.status(), 204, "a browser must not come back");
    for no_number in ["", "task_1", "9999999999999999999"] {
        assert_eq!(back(no_number).await.unwrap().text().await.unwrap(), end);
    }
}

#[tokio::test]
async fn a_follower_of_a_quiet_task_hears_a_heartbeat() {
    let house = House::with("limits.streams.heartbeat = '20ms'").await;
    let task = house.task();
    let path = format!("/api/v1/tasks/{task}/events");
    let mut answer = house.get(&path, &house.usual_key()).send().await.unwrap();
    answer.chunk().await.unwrap().unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), ": heartbeat\n\n");
    assert_eq!(answer.chunk().await.unwrap().unwrap(), ": heartbeat\n\n");
    // Stopping does not wait for followers.
    assert!(house.tasks.stop(std::time::Duration::from_secs(10)).await);
}

#[tokio::test]
async fn a_list_has_the_newest_tasks_and_leads_on() {
    let house = House::start().await;
    let key = house.usual_key();
    let list = async |query: &str| {
        let (status, body) = read(house.get(&format!("/v1/tasks{query}"), &key)).await;
        assert_eq!(status, 200, "{body}");
        let items = body["data"]["items"].as_array().unwrap().clone();
        (items, body["data"]["next_cursor"].clone())
    };
    let (items, next) = list("").await;
    assert_eq!((items.len(), &next), (3, &serde_json::Value::Null));
    assert_eq!(items[0]["status"], "queued");
    let (items, next) = list("?limit=2&status=processing&model=gemini-3-flash").await;
    assert_eq!((items.len(), &next), (2, &items[1]["task_id"]));
    let cursor = next.as_str().unwrap();
    list(&format!(
        "?cursor={cursor}&created_from=2026-01-01T00:00:00Z&created_until=2027-01-01T00:00:00Z"
    ))
    .await;
    let asked = house.world.task_lists.lock().unwrap().clone();
    let [first, second, third] = asked.as_slice() else {
        panic!("{asked:?}");
    };
    assert_eq!((first.limit, first.before.len()), (20, 0));
    assert_eq!(
        (second.limit, second.status.as_str(), &second.models),
        (2, "processing", &vec!["gemini".to_owned()])
    );
    assert!(first.models.is_empty());
    assert_eq!(third.before, TaskId::parse(cursor).unwrap().to_vec());
    assert_eq!(
        (third.created_from, third.created_until),
        (1_767_225_600_000_000, 1_798_761_600_000_000)
    );
}

#[tokio::test]
async fn what_a_list_cannot_mean_is_said_at_once() {
    let house = House::start().await;
    let path = "/v1/tasks?limit=101&status=done&created_from=today&page=2&cursor=op_1";
    let (status, body) = read(house.get(path, &house.usual_key())).await;
    assert_eq!(status, 400);
    let said: Vec<&str> = body["error"]["violations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|violation| violation["message"].as_str().unwrap())
        .collect();
    assert_eq!(
        said,
        [
            "limit must be a whole number from 1 to 100",
            "cursor must be the next_cursor of the page before",
            "status must be queued, processing, completed or failed",
            "created_from must be a moment in RFC 3339, such as 2030-01-31T12:00:00Z",
            "the query takes no page; it takes limit, cursor, status, model, created_from, created_until",
        ]
    );
}

#[tokio::test]
async fn whoever_would_wait_is_answered_with_the_ended_task() {
    let house = House::start().await;
    let key = house.usual_key();
    let submit = |body, wait: &str| house.post(IMAGES, &key, body).header("prefer", wait);
    // Media is away when it is asked: the task is accepted all the same.
    let answer = submit("{}", "wait=1").send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let answer = submit("known", "wait=0").send().await.unwrap();
    assert_eq!(answer.status(), 202);
    assert_eq!(answer.headers()["preference-applied"], "wait=0");
    let third = || house.world.submits.lock().unwrap().get(2).cloned();
    let ends = async {
        while third().is_none() {
            tokio::task::yield_now().await;
        }
        let task = TaskId::from_slice(&third().unwrap().task_id).unwrap();
        for (version, terminal) in [(2, Terminal::Open), (3, Terminal::Ended)] {
            let snapshot = stands(&house, task, version, terminal);
            house.live.put_task(snapshot).await.unwrap();
        }
        task
    };
    let (answer, task) = tokio::join!(submit("known", "wait=30").send(), ends);
    let answer = answer.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["preference-applied"], "wait=30");
    assert_eq!(
        answer.headers()["x-aio-operation-id"],
        task.cast::<domain::ids::Operation>().to_string()
    );
    assert_eq!(
        answer.text().await.unwrap(),
        r#"{"code":200,"message":"success","data":{"v":3}}"#
    );
}
