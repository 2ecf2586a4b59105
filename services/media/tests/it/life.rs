//! The life of one task.

use db::Engine;
use proto::{
    code,
    media::v1::{OutputHead, OutputPart, ReadOutputRequest, output_part::Part},
};
use serde_json::{Value, json};

use crate::{
    database::on_both_engines,
    fakes::{FILM, PNG, Submit},
    house::{House, Running, eventually},
};

on_both_engines!(
    a_task_becomes_a_picture_a_charge_and_an_event,
    an_end_without_an_address_is_told_for_endpoints,
    a_busy_provider_is_asked_again,
    failures_are_free_and_have_their_codes,
    a_submit_without_an_answer_is_never_made_again,
    a_task_that_does_not_end_is_ended,
    anothers_task_does_not_exist,
    a_film_is_kept_with_its_size_and_its_length,
    what_nobody_can_use_is_not_charged_nor_kept,
);

const FOX: i64 = 5_000_000;

pub(crate) async fn read(
    running: &Running,
    task: domain::TaskId,
    range: Option<(u64, u64)>,
) -> Vec<u8> {
    let (head, bytes) = read_with_head(running, task, range).await;
    assert_eq!(
        (head.content_type.as_str(), head.bytes),
        ("image/png", u64::try_from(PNG.len()).unwrap())
    );
    bytes
}

pub(crate) async fn read_with_head(
    running: &Running,
    task: domain::TaskId,
    range: Option<(u64, u64)>,
) -> (OutputHead, Vec<u8>) {
    let request = ReadOutputRequest {
        context: None,
        task_id: task.to_vec().into(),
        index: 0,
        start: range.map(|range| range.0),
        end: range.map(|range| range.1),
    };
    let mut parts = running
        .client
        .clone()
        .read_output(request)
        .await
        .unwrap()
        .into_inner();
    let (mut first, mut bytes) = (None, Vec::new());
    while let Some(OutputPart { part: Some(part) }) = parts.message().await.unwrap() {
        match part {
            Part::Head(head) => first = Some(head),
            Part::Data(data) => bytes.extend_from_slice(&data),
        }
    }
    (first.unwrap(), bytes)
}

async fn a_task_becomes_a_picture_a_charge_and_an_event(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    let body =
        json!({"model": "flux-2", "prompt": "a fox", "callback_url": "http://127.0.0.1:1/hook"});
    let task = running.accepted_with(&body).await;
    let view = running.reaches(task, "completed").await;

    assert_eq!(view["consumed_microcredits"], FOX);
    assert_eq!(
        (&view["held_credits"], &view["progress"], &view["attempts"]),
        (&json!(0), &json!(100), &json!(1))
    );
    assert_eq!(
        (&view["output"][0]["width"], &view["output"][0]["height"]),
        (&json!(1), &json!(1))
    );
    let link = view["response"][0].as_str().unwrap();
    assert!(
        link.starts_with(&format!(
            "http://us.example/api/v1/tasks/{task}/files/0?exp="
        )),
        "{link}"
    );
    assert_eq!(read(&running, task, None).await, PNG);
    assert_eq!(read(&running, task, Some((1, 4))).await, b"PNG");

    assert_eq!(house.billing.held(&task.to_bytes()), Some(FOX));
    eventually("settled", async || {
        house.billing.settled(&task.to_bytes()) == [FOX]
    })
    .await;
    eventually("published", async || house.webhooks.published().len() == 1).await;
    let event = &house.webhooks.published()[0];
    let payload: Value = serde_json::from_slice(&event.payload).unwrap();
    assert_eq!(
        (event.r#type.as_str(), event.url.as_str()),
        ("task.completed", "http://127.0.0.1:1/hook")
    );
    assert_eq!(
        (&payload["type"], &payload["data"]),
        (&json!("task.completed"), &view)
    );
    assert_eq!(house.provider.submits().len(), 1);
    assert!(
        !house.billing.receipts()[0].to_string().contains("a fox"),
        "a receipt holds no content"
    );
}

async fn an_end_without_an_address_is_told_for_endpoints(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    for state in ["completed", "failed"] {
        if state == "failed" {
            house.provider.answer_polls("Error");
        }
        let task = running.accepted().await;
        let view = running.reaches(task, state).await;
        let told = || house.webhooks.published_of(task);
        eventually("published", async || !told().is_empty()).await;
        let told = told();
        let event = &told[0];
        assert_eq!(
            (told.len(), event.r#type.as_str(), event.url.as_str()),
            (1, format!("task.{state}").as_str(), "")
        );
        let payload: Value = serde_json::from_slice(&event.payload).unwrap();
        assert_eq!(payload["data"], view);
        assert_eq!(payload["data"]["callback"], Value::Null);
    }
}

async fn a_busy_provider_is_asked_again(engine: Engine) {
    let busy = Submit::Refuse(429, json!({"detail": "24 active tasks"}));
    let house = House::new(engine, vec![busy.clone(), busy]).await;
    let running = house.start().await;
    let task = running.accepted().await;
    let view = running.reaches(task, "completed").await;
    assert_eq!(view["attempts"], 3);
    assert_eq!(running.unknown_attempts().await, []);
}

async fn failures_are_free_and_have_their_codes(engine: Engine) {
    let refuse = |status, detail: Value| vec![Submit::Refuse(status, json!({ "detail": detail }))];
    let invalid = json!([{"loc": ["body"], "msg": "width is too small", "type": "x"}]);
    for (script, polled, code, message) in [
        (
            refuse(422, invalid),
            "",
            code::UPSTREAM_REFUSED,
            "width is too small",
        ),
        (
            refuse(403, json!("Not authenticated")),
            "",
            code::UPSTREAM_FAILED,
            code::UPSTREAM_FAILED.cause,
        ),
        (
            refuse(402, json!("Insufficient credits")),
            "",
            code::UPSTREAM_FAILED,
            code::UPSTREAM_FAILED.cause,
        ),
        (
            vec![],
            "Content Moderated",
            code::CONTENT_MODERATED,
            "the provider's content policy refused the result",
        ),
        (
            vec![],
            "Error",
            code::UPSTREAM_FAILED,
            code::UPSTREAM_FAILED.cause,
        ),
    ] {
        let house = House::new(engine, script).await;
        house.provider.answer_polls(polled);
        let running = house.start().await;
        let task = running.accepted().await;
        let view = running.reaches(task, "failed").await;
        assert_eq!(
            (&view["error"]["code"], &view["error_message"]),
            (&json!(code.word), &json!(message))
        );
        assert_eq!(
            (&view["consumed_credits"], &view["response"]),
            (&json!(0), &json!([]))
        );
        eventually("released", async || {
            house.billing.settled(&task.to_bytes()) == [0]
        })
        .await;
    }
}

async fn a_submit_without_an_answer_is_never_made_again(engine: Engine) {
    let broken = Submit::Refuse(500, json!({"detail": "oops"}));
    for script in [vec![Submit::Drop], vec![Submit::Silent], vec![broken]] {
        let house = House::new(engine, script).await;
        let running = house.start().await;
        let task = running.accepted().await;
        let view = running.reaches(task, "failed").await;
        assert_eq!(view["error"]["code"], code::SUBMIT_OUTCOME_UNKNOWN.word);
        let listed = running.unknown_attempts().await;
        assert_eq!(
            (listed.len(), listed[0].task_id.as_ref(), listed[0].number),
            (1, task.to_vec().as_slice(), 1)
        );
        assert_eq!(house.provider.submits().len(), 1);
    }
}

async fn a_task_that_does_not_end_is_ended(engine: Engine) {
    let house = House::new(engine, vec![]).await.with_deadline(1);
    house.provider.answer_polls("Pending");
    let running = house.start().await;
    let task = running.accepted().await;
    let view = running.reaches(task, "failed").await;
    assert_eq!(view["error"]["code"], code::DEADLINE_EXCEEDED.word);
    eventually("released", async || {
        house.billing.settled(&task.to_bytes()) == [0]
    })
    .await;
}

async fn anothers_task_does_not_exist(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    let task = running.accepted().await;
    let stranger = running.stranger();
    let fault = stranger.view(task).await.unwrap_err();
    assert_eq!(fault.code, code::NOT_FOUND);
    assert_eq!(
        stranger.cancel(task).await.unwrap_err().code,
        code::NOT_FOUND
    );
}

#[tokio::test]
async fn content_is_nowhere_in_the_file() {
    let house = House::new(Engine::Sqlite, vec![]).await;
    let running = house.start().await;
    let canary = "canary-7f3a91";
    let url = format!("http://127.0.0.1:1/{canary}");
    let task = running
        .accepted_with(&json!({"model": "flux-2", "prompt": canary, "callback_url": url}))
        .await;
    running.reaches(task, "completed").await;
    running.tasks.stop(std::time::Duration::from_secs(10)).await;
    for name in ["media.db", "media.db-wal"] {
        // The log may have been folded into the file when the process ended; the file itself must be there.
        let bytes = match std::fs::read(house.database.directory().join(name)) {
            Ok(bytes) => bytes,
            Err(error) => {
                assert!(name.ends_with("-wal"), "{name}: {error}");
                continue;
            }
        };
        assert!(
            !bytes
                .windows(canary.len())
                .any(|window| window == canary.as_bytes()),
            "{name} holds the prompt"
        );
    }
}

async fn a_film_is_kept_with_its_size_and_its_length(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    house.provider.finish_with("film");
    let running = house.start().await;
    let task = running.accepted().await;
    let view = running.reaches(task, "completed").await;
    let output = &view["output"][0];
    assert_eq!(
        (&output["content_type"], &output["bytes"]),
        (&json!("video/mp4"), &json!(FILM.len()))
    );
    assert_eq!(
        (&output["width"], &output["height"]),
        (&json!(96), &json!(64))
    );
    assert_eq!(output["duration_seconds"], 2.4);
    let (head, bytes) = read_with_head(&running, task, None).await;
    assert_eq!(
        (head.content_type.as_str(), bytes.as_slice()),
        ("video/mp4", FILM)
    );
}

async fn what_nobody_can_use_is_not_charged_nor_kept(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    house.provider.finish_badly();
    let running = house.start().await;
    let task = running.accepted().await;
    let view = running.reaches(task, "failed").await;
    assert_eq!(
        (&view["error"]["code"], &view["output"]),
        (&json!(code::UPSTREAM_FAILED.word), &json!([]))
    );
    eventually("released", async || {
        house.billing.settled(&task.to_bytes()) == [0]
    })
    .await;
    let outputs = house.database.directory().join("outputs");
    let folder = outputs.join(task.to_string());
    eventually("no part of it is left", async || {
        std::fs::read_dir(&folder).map_or(0, Iterator::count) == 0
    })
    .await;
}
