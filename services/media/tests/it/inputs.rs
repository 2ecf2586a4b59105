//! Uploaded files as inputs of tasks.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chassis::mint;
use db::Engine;
use domain::{FileId, TaskId, ids};
use proto::{
    Fault, code,
    media::v1::{ReadFileRequest, output_part},
};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    database::on_both_engines,
    fakes::Submit,
    files::{PNG, delete, id, upload},
    house::{House, Running, eventually, of_its_maker},
    lines::a_while,
};

on_both_engines! {
    a_file_is_given_by_a_link,
    a_file_is_given_by_its_bytes_where_it_is_small_enough,
    what_a_parameter_cannot_be_is_refused_before_anything_is_held,
    a_task_whose_file_is_gone_fails_free,
    files_inside_of_requests_wait_for_room,
    what_waits_for_room_until_its_deadline_fails_free,
    a_file_counts_as_often_as_it_is_named,
    a_link_that_no_provider_can_fetch_is_refused,
    nobody_waits_for_room_at_a_provider_that_cannot_fetch,
}

fn asks_with(files: &[FileId]) -> Value {
    let files: Vec<String> = files.iter().map(FileId::to_string).collect();
    json!({ "model": "flux-2", "prompt": "a fox", "input_urls": files })
}

/// A file's bytes for whoever has its link.
async fn linked(running: &Running, id: FileId) -> Result<Vec<u8>, Fault> {
    let request = ReadFileRequest {
        file_id: id.to_vec().into(),
        ..ReadFileRequest::default()
    };
    let mut parts = running.files.clone().read_file(request).await?.into_inner();
    let mut bytes = Vec::new();
    while let Some(part) = parts.message().await? {
        if let Some(output_part::Part::Data(data)) = part.part {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

async fn a_file_is_given_by_a_link(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    let file = id(&upload(&running, PNG).await.unwrap());
    let task = running.accepted_with(&asks_with(&[file])).await;
    let view = running.reaches(task, "completed").await;
    assert_eq!(view["request"]["input_urls"], json!([file.to_string()]));
    let given = house.provider.submits()[0]["input_image"].clone();
    let link = given.as_str().unwrap();
    let begin = format!("http://us.example/api/v1/files/{file}/content?exp=");
    assert!(link.starts_with(&begin), "{link}");
    assert!(link.contains("&sig="), "{link}");
    assert_eq!(linked(&running, file).await.unwrap(), PNG);
    delete(&running, file).await.unwrap();
    let gone = linked(&running, file).await.unwrap_err();
    assert_eq!(gone.code, code::NOT_FOUND);
}

async fn a_file_is_given_by_its_bytes_where_it_is_small_enough(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let house = house.with_files("passed_as = 'inline'\ninline_bytes = 100");
    let running = house.start().await;
    let small = id(&upload(&running, PNG).await.unwrap());
    let long = [PNG, &[0; 100]].concat();
    let long = id(&upload(&running, &long).await.unwrap());
    let task = running.accepted_with(&asks_with(&[small, long])).await;
    running.reaches(task, "completed").await;
    let submit = &house.provider.submits()[0];
    assert_eq!(submit["input_image"], STANDARD.encode(PNG));
    let link = submit["input_image_2"].as_str().unwrap();
    assert!(
        link.contains(&format!("/files/{long}/content?exp=")),
        "{link}"
    );
}

async fn what_a_parameter_cannot_be_is_refused_before_anything_is_held(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    let picture = id(&upload(&running, PNG).await.unwrap());
    let document = id(&upload(&running, b"%PDF-1.7\n").await.unwrap());
    let theirs = id(&upload(&running.stranger(), PNG).await.unwrap());
    let live = id(&upload(&running.live(), PNG).await.unwrap());
    let unknown = mint::<ids::File>();
    for (wrong, why) in [
        (document, "must be an image"),
        (theirs, "must be a file that is kept"),
        (live, "must be a file that is kept"),
        (unknown, "must be a file that is kept"),
    ] {
        let body = asks_with(&[picture, wrong]);
        let fault = running.submit(&body, "").await.unwrap_err();
        assert_eq!(
            (fault.code, fault.param.as_deref()),
            (code::INVALID_PARAMETER, Some("input_urls[1]"))
        );
        assert!(fault.message.contains(why), "{}", fault.message);
        let quoted = running.quote(running.request(&body.to_string(), "")).await;
        assert_eq!(quoted.unwrap_err().message, fault.message);
    }
    assert_eq!(house.billing.holds(), 0);
}

async fn a_task_whose_file_is_gone_fails_free(engine: Engine) {
    let busy = Submit::Refuse(429, json!({"detail": "24 active tasks"}));
    let house = House::new(engine, vec![busy; 50]).await;
    let running = house.start().await;
    let file = id(&upload(&running, PNG).await.unwrap());
    let task = running.accepted_with(&asks_with(&[file])).await;
    eventually("the provider is busy", async || {
        !house.provider.submits().is_empty()
    })
    .await;
    delete(&running, file).await.unwrap();
    let view = running.reaches(task, "failed").await;
    assert_eq!(view["error"]["code"], code::NOT_FOUND.word);
    let message = view["error_message"].as_str().unwrap();
    assert!(message.contains(&file.to_string()), "{message}");
    eventually("released", async || {
        house.billing.settled(&task.to_bytes()) == [0]
    })
    .await;
}

async fn files_inside_of_requests_wait_for_room(engine: Engine) {
    let word = Arc::new(Notify::new());
    let house = House::new(engine, vec![Submit::Late(Arc::clone(&word))]).await;
    let house =
        house.with_files("passed_as = 'inline'\ninline_bytes = 2048\ninline_total_bytes = 2048");
    let house = house.with_media("max_steps = 2");
    let running = house.start().await;
    let large = [PNG, &[0; 1_900]].concat();
    let file = id(&upload(&running, &large).await.unwrap());
    let first = running.accepted_with(&asks_with(&[file])).await;
    eventually("the first is on its way", async || {
        house.provider.submits().len() == 1
    })
    .await;
    // There is no room for a second. It is taken, and keeps the one step that is left from nobody.
    let second = running.accepted_with(&asks_with(&[file])).await;
    eventually("the second is taken", async || {
        claims(&running, second).await > 1
    })
    .await;
    let third = running.accepted().await;
    running.reaches(third, "completed").await;
    assert_eq!(house.provider.submits().len(), 2);
    assert_eq!(house.provider.submits()[1]["input_image"], Value::Null);
    word.notify_one();
    for task in [first, second] {
        let view = running.reaches(task, "completed").await;
        assert_eq!(view["attempts"], 1);
    }
    assert_eq!(
        house.provider.submits()[2]["input_image"],
        STANDARD.encode(&large)
    );
}

/// How often somebody has taken a task.
pub(crate) async fn claims(running: &Running, task: TaskId) -> i64 {
    sqlx::query_scalar("select claims from task where id = $1")
        .bind(task.to_vec())
        .fetch_one(running.db.reader())
        .await
        .unwrap()
}

async fn what_waits_for_room_until_its_deadline_fails_free(engine: Engine) {
    let house = House::new(engine, vec![Submit::Silent]).await;
    let house = house
        .with_files("passed_as = 'inline'\ninline_bytes = 2048\ninline_total_bytes = 2048")
        .with_deadline(1);
    let running = house.start().await;
    let large = [PNG, &[0; 1_900]].concat();
    let file = id(&upload(&running, &large).await.unwrap());
    running.accepted_with(&asks_with(&[file])).await;
    eventually("the first is on its way", async || {
        house.provider.submits().len() == 1
    })
    .await;
    let second = running.accepted_with(&asks_with(&[file])).await;
    let view = running.reaches(second, "failed").await;
    assert_eq!(view["error"]["code"], code::DEADLINE_EXCEEDED.word);
    assert_eq!(house.provider.submits().len(), 1);
    eventually("released", async || {
        house.billing.settled(&second.to_bytes()) == [0]
    })
    .await;
}

async fn a_file_counts_as_often_as_it_is_named(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let house = house.with_files("passed_as = 'inline'\ninline_bytes = 2048");
    let running = house.start().await;
    let file = [PNG, &[0; 1_000]].concat();
    let file = id(&upload(&running, &file).await.unwrap());
    for (times, is_inside) in [(1, true), (2, false)] {
        let task = running.accepted_with(&asks_with(&vec![file; times])).await;
        running.reaches(task, "completed").await;
        let submits = house.provider.submits();
        let given = submits[times - 1]["input_image"].as_str().unwrap();
        assert_eq!(!given.starts_with("http"), is_inside, "{times}");
    }
}

/// A provider out in the world, which nobody asks: this house has no address there.
const FAR: &str = "api_key = 'k'\nbase_url = 'https://api.bfl.ai/'";

async fn a_link_that_no_provider_can_fetch_is_refused(engine: Engine) {
    let house = House::new(engine, vec![]).await.with_provider(FAR);
    let running = house.start().await.live();
    let file = id(&upload(&running, PNG).await.unwrap());
    let body = asks_with(&[file]);
    let fault = running.submit(&body, "").await.unwrap_err();
    assert_eq!(fault.code, code::NO_PROVIDER);
    let told = format!("{file} cannot be fetched by this model's provider");
    assert!(fault.message.starts_with(&told), "{}", fault.message);
    let quoted = running.quote(running.request(&body.to_string(), "")).await;
    assert_eq!(quoted.unwrap_err().message, fault.message);
    assert_eq!(house.billing.holds(), 0);
}

async fn nobody_waits_for_room_at_a_provider_that_cannot_fetch(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let near = format!(
        "api_key = 'k'\nbase_url = '{}/bfl/'\nmax_jobs = 1",
        house.provider.origin()
    );
    let house = house
        .with_provider(&near)
        .with_sections("[providers.fal]\napi_key = 'k'\nmax_jobs = 1")
        .with_catalogue(of_its_maker(include_str!(
            "../../../../crates/domain/catalogue/flux-2.toml"
        )));
    house.provider.answer_polls("Pending");
    let running = house.start().await.live();
    let first = running.accepted().await;
    running.reaches(first, "processing").await;
    let file = id(&upload(&running, PNG).await.unwrap());
    let second = running.accepted_with(&asks_with(&[file])).await;
    a_while(&house).await;
    // Nobody takes it again and again, for a provider that cannot have it.
    assert_eq!(claims(&running, second).await, 0);
    let line: String = sqlx::query_scalar("select line from task where state = 'queued'")
        .fetch_one(running.db.reader())
        .await
        .unwrap();
    assert_eq!(line, "live/bfl");
    house.provider.finish();
    running.reaches(second, "completed").await;
    assert_eq!(house.provider.submits().len(), 2);
}
