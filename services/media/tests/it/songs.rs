//! What goes on from a song, before Suno's simulator: longer songs, pictures, timed lyrics. And what is told of songs while they are made.

use std::sync::Arc;

use domain::{Catalogue, TaskId};
use futures::StreamExt as _;
use proto::{
    Code, Fault, code,
    media::v1::{ReadOutputRequest, SubmitRequest, output_part::Part},
};
use serde_json::{Value, json};

use crate::{
    fakes::Holds,
    house::{House, Running, eventually},
    operator::{force, stop},
    sandboxed::Sandboxed,
};

const LONGER: &str = "audio/music/extend";
const PICTURES: &str = "audio/music/cover/generate";
const LYRICS: &str = "audio/music/timestamped-lyrics";

const FILES: [(&str, &str); 5] = [
    (
        "a.toml",
        include_str!("../../../../crates/domain/catalogue/suno.toml"),
    ),
    (
        "b.toml",
        include_str!("../../../../crates/domain/catalogue/suno-extend.toml"),
    ),
    (
        "c.toml",
        include_str!("../../../../crates/domain/catalogue/suno-upload-cover.toml"),
    ),
    (
        "d.toml",
        include_str!("../../../../crates/domain/catalogue/suno-cover.toml"),
    ),
    (
        "e.toml",
        include_str!("../../../../crates/domain/catalogue/suno-lyrics.toml"),
    ),
];

async fn sandboxed() -> Sandboxed {
    let catalogue = Catalogue::parse(&FILES).unwrap();
    Sandboxed::new(Arc::new(catalogue)).await
}

/// A number of a task's row.
async fn number(running: &Running, column: &str, task: TaskId) -> i64 {
    let sql = format!("select {column} from task where id = $1");
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql))
        .bind(task.to_vec())
        .fetch_one(running.db.reader())
        .await
        .unwrap()
}

/// Waits until a job has been looked at a few times more: whatever could happen meanwhile has.
async fn a_while(running: &Running, task: TaskId) {
    let before = number(running, "polls", task).await;
    eventually("a few looks", async || {
        number(running, "polls", task).await > before + 10
    })
    .await;
}

impl Sandboxed {
    fn asking(&self, route: &str, body: &Value) -> SubmitRequest {
        SubmitRequest {
            route: route.to_owned(),
            ..self.running.request(&body.to_string(), "")
        }
    }

    async fn ask(&self, route: &str, body: &Value) -> Result<TaskId, Fault> {
        let reply = self.running.send(self.asking(route, body)).await?;
        Ok(TaskId::from_slice(&reply.task_id).unwrap())
    }

    async fn refuses(&self, route: &str, body: &Value) -> (Code, String) {
        let fault = self.ask(route, body).await.unwrap_err();
        (fault.code, fault.param.unwrap_or_default())
    }

    /// A task that is completed, as it is shown then.
    async fn done(&self, route: &str, body: &Value) -> Value {
        let task = self.ask(route, body).await.unwrap();
        self.running.reaches(task, "completed").await
    }

    /// Two songs by a model.
    async fn song(&self, model: &str, words: &str) -> Value {
        let prompt = format!("a fox [sandbox {words}]");
        let body = json!({"model": model, "gpt_description_prompt": prompt});
        self.done("audio/music", &body).await
    }

    async fn text(&self, task: TaskId) -> Value {
        let request = ReadOutputRequest {
            context: Some(self.running.context()),
            task_id: task.to_vec().into(),
            ..ReadOutputRequest::default()
        };
        let parts = self.running.client.clone().read_output(request).await;
        let mut parts = parts.unwrap().into_inner();
        let mut text = Vec::new();
        while let Some(part) = parts.next().await {
            if let Some(Part::Data(data)) = part.unwrap().part {
                text.extend_from_slice(&data);
            }
        }
        serde_json::from_slice(&text).unwrap()
    }
}

fn id(view: &Value) -> TaskId {
    TaskId::parse(view["task_id"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn a_song_goes_on_where_it_was_made_at_its_models_price() {
    let sandboxed = sandboxed().await;
    let song = sandboxed.song("chirp-v4-5", "delay=1ms").await;
    let kie = sandboxed.bill("kie").await.jobs;
    let origin = &song["task_id"];
    let plain = json!({"origin_task_id": origin, "extend_audio_index": 1});
    let longer = sandboxed.done(LONGER, &plain).await;
    assert_eq!(
        (
            &longer["type"],
            &longer["model"],
            &longer["request"]["model"]
        ),
        (&json!("music"), &json!("suno-extend"), &json!("chirp-v4-5"))
    );
    assert_eq!(longer["output"].as_array().unwrap().len(), 2);
    assert_eq!(longer["consumed_microcredits"], 10_000_000);
    sandboxed.settles(id(&longer), &[10_000_000]).await;

    // One that was made longer goes on as well, by its own words.
    let own = json!({
        "origin_task_id": longer["task_id"], "extend_audio_index": "0", "custom_mode": true, "prompt": "la [sandbox delay=1ms]",
        "tags": "slow", "extensionStartTime": 11.5,
    });
    let longest = sandboxed.done(LONGER, &own).await;
    assert_eq!(longest["consumed_microcredits"], 10_000_000);
    assert_eq!(longest["request"]["model"], "chirp-v4-5");
    assert_eq!(sandboxed.bill("kie").await.jobs, kie + 2);
    assert_eq!(sandboxed.bill("suno").await.jobs, 0);
    let at = json!({"origin_task_id": origin, "extend_audio_index": 0, "extensionStartTime": 3});
    sandboxed.done(LONGER, &at).await;
}

#[tokio::test]
async fn a_song_waits_for_room_where_it_was_made_and_nowhere_else() {
    let catalogue = Catalogue::parse(&FILES).unwrap();
    let one_job = |house: House| house.with_sections("[providers.kie]\nmax_jobs = 1");
    let sandboxed = Sandboxed::of(Arc::new(catalogue), one_job).await;
    let running = &sandboxed.running;
    let song = sandboxed.song("suno", "delay=1ms").await;
    let long = json!({"gpt_description_prompt": "a fox [sandbox delay=1h]"});
    let long = sandboxed.ask("audio/music", &long).await.unwrap();
    running.reaches(long, "processing").await;
    let body = json!({"origin_task_id": song["task_id"], "extend_audio_index": 0});
    let longer = sandboxed.ask(LONGER, &body).await.unwrap();
    a_while(running, long).await;
    // The other host has room, which is of no use to it.
    assert_eq!(number(running, "claims", longer).await, 0);
    assert_eq!(running.view(longer).await.unwrap()["status"], "queued");
    stop(running, long).await.unwrap();
    running.reaches(longer, "completed").await;
    assert_eq!(sandboxed.bill("suno").await.jobs, 0);
}

#[tokio::test]
async fn a_style_and_tags_that_are_longer_together_than_they_may_be_are_cut() {
    let sandboxed = sandboxed().await;
    let song = sandboxed.song("chirp-v3-5", "delay=1ms").await;
    let body = json!({
        "origin_task_id": song["task_id"], "extend_audio_index": 0, "custom_mode": true, "prompt": "la",
        "style": "s".repeat(150), "tags": "t".repeat(200),
    });
    sandboxed.done(LONGER, &body).await;
}

#[tokio::test]
async fn what_cannot_go_on_is_refused() {
    let sandboxed = sandboxed().await;
    let song = sandboxed.song("suno", "delay=1ms").await;
    let origin = &song["task_id"];
    let failed = json!({"gpt_description_prompt": "a fox [sandbox outcome=fail]"});
    let failed = sandboxed.ask("audio/music", &failed).await.unwrap();
    sandboxed.running.reaches(failed, "failed").await;
    let open = json!({"gpt_description_prompt": "a fox [sandbox delay=1h]"});
    let open = sandboxed.ask("audio/music", &open).await.unwrap();
    let nobodys = TaskId::from_slice(&[7; 16]).unwrap();
    let longer = |origin: &str| json!({"origin_task_id": origin, "extend_audio_index": 0});
    for (task, code) in [
        (failed, code::INVALID_PARAMETER),
        (open, code::INVALID_PARAMETER),
        (nobodys, code::NOT_FOUND),
    ] {
        let told = sandboxed.refuses(LONGER, &longer(&task.to_string())).await;
        assert_eq!(told, (code, "origin_task_id".to_owned()));
    }
    let moment = |at: Value| json!({"origin_task_id": origin, "extend_audio_index": 0, "extensionStartTime": at});
    for at in [json!(0), json!(12.5), json!(400)] {
        let told = sandboxed.refuses(LONGER, &moment(at)).await;
        assert_eq!(told.1, "extensionStartTime");
    }
    let clip = json!({"task_id": origin, "audio_id": "nobodys"});
    let told = sandboxed.refuses(LYRICS, &clip).await;
    assert_eq!(told, (code::NOT_FOUND, "audio_id".to_owned()));
    let hummed =
        json!({"gpt_description_prompt": "a fox [sandbox delay=1ms]", "make_instrumental": true});
    let hummed = sandboxed.done("audio/music", &hummed).await;
    let clip = json!({"task_id": hummed["task_id"], "audio_id": hummed["output"][0]["id"]});
    let told = sandboxed.refuses(LYRICS, &clip).await;
    assert_eq!(told, (code::NOT_FOUND, "audio_id".to_owned()));
    let stranger = sandboxed.running.stranger();
    let request = SubmitRequest {
        route: LONGER.to_owned(),
        ..stranger.request(&longer(origin.as_str().unwrap()).to_string(), "")
    };
    assert_eq!(
        stranger.send(request).await.unwrap_err().code,
        code::NOT_FOUND
    );
}

#[tokio::test]
async fn pictures_of_a_song_are_made_once() {
    let sandboxed = sandboxed().await;
    let song = sandboxed.song("suno", "delay=1ms").await;
    let body = json!({"taskId": song["task_id"]});
    // Of many at once, one is taken.
    let all = futures::future::join_all((0..8).map(|_| sandboxed.ask(PICTURES, &body))).await;
    let (taken, refused): (Vec<_>, Vec<_>) = all.into_iter().partition(Result::is_ok);
    assert_eq!((taken.len(), refused.len()), (1, 7));
    let taken = taken.into_iter().next().unwrap().unwrap();
    for fault in refused {
        let fault = fault.unwrap_err();
        // Whoever comes while the price of the first is not held yet hears how that ends by asking again.
        let is_early = fault.code == code::IDEMPOTENCY_IN_PROGRESS && fault.retry_after.is_some();
        assert!(is_early || fault.code == code::INVALID_PARAMETER, "{fault}");
        assert_eq!(fault.param.as_deref(), Some("task_id"));
    }
    let view = sandboxed.running.reaches(taken, "completed").await;
    assert_eq!(
        (&view["type"], &view["consumed_microcredits"]),
        (&json!("image"), &json!(1_000_000))
    );
    for picture in view["output"].as_array().unwrap() {
        assert_eq!(picture["content_type"], "image/jpeg");
    }
    assert_eq!(view["output"].as_array().unwrap().len(), 2);
    let quote = sandboxed.running.quote(sandboxed.asking(PICTURES, &body));
    let told = quote.await.unwrap_err();
    assert_eq!(told.code, code::INVALID_PARAMETER);
    assert!(
        told.message.contains(&taken.to_string()),
        "{}",
        told.message
    );
    sandboxed.settles(taken, &[1_000_000]).await;
}

#[tokio::test]
async fn pictures_that_were_never_paid_for_stand_in_nobodys_way() {
    let sandboxed = sandboxed().await;
    let song = sandboxed.song("suno", "delay=1ms").await;
    let body = json!({"task_id": song["task_id"]});
    let billing = &sandboxed.house.billing;
    billing.answer_holds(Holds::Silent);
    let asked = billing.asked();
    let (first, second) = tokio::join!(sandboxed.ask(PICTURES, &body), async {
        eventually("the first asks for its hold", async || {
            billing.asked() > asked
        })
        .await;
        sandboxed.ask(PICTURES, &body).await
    });
    first.unwrap_err();
    let second = second.unwrap_err();
    assert_eq!(second.code, code::IDEMPOTENCY_IN_PROGRESS);
    assert!(second.retry_after.is_some());
    billing.answer_holds(Holds::Grant);
    sandboxed.done(PICTURES, &body).await;
}

#[tokio::test]
async fn pictures_that_were_not_made_are_ordered_again() {
    let sandboxed = sandboxed().await;
    let song = sandboxed.song("suno", "delay=1ms then=fail").await;
    let body = json!({"task_id": song["task_id"]});
    for _ in 0..2 {
        let task = sandboxed.ask(PICTURES, &body).await.unwrap();
        sandboxed.fails(task, code::UPSTREAM_FAILED).await;
    }
    // The host was asked twice, and made something once: the second order was told which that was.
    assert_eq!(sandboxed.bill("kie").await.jobs, 2);
}

#[tokio::test]
async fn lyrics_are_there_at_once_and_are_paid_for_if_they_are() {
    let sandboxed = sandboxed().await;
    let song = sandboxed.song("suno", "delay=1ms").await;
    let body = json!({"task_id": song["task_id"], "audio_id": song["output"][1]["id"]});
    let before = sandboxed.bill("kie").await.jobs;
    let view = sandboxed.done(LYRICS, &body).await;
    assert_eq!(
        (&view["type"], &view["consumed_microcredits"]),
        (&json!("tool"), &json!(2_000_000))
    );
    assert_eq!(view["output"][0]["content_type"], "application/json");
    let lyrics = sandboxed.text(id(&view)).await;
    assert_eq!(lyrics["text"], "[Verse 1]\nA fox ran\n[Chorus]\nla la la\n");
    let lines = lyrics["lyricParams"].as_array().unwrap();
    assert_eq!(
        lines[1],
        json!({"text": "A fox ran\n", "start": 0.5, "end": 2.5, "type": "lyric"})
    );
    assert_eq!(
        (lines.len(), &lines[2]["metadata"]["style"]),
        (4, &json!("Chorus"))
    );
    assert_eq!(sandboxed.bill("kie").await.jobs, before + 1);
    sandboxed.settles(id(&view), &[2_000_000]).await;

    let failing = [
        ("moderated", code::CONTENT_MODERATED),
        ("vanish", code::SUBMIT_OUTCOME_UNKNOWN),
        ("malformed", code::SUBMIT_OUTCOME_UNKNOWN),
        ("out_of_balance", code::UPSTREAM_FAILED),
    ];
    for (outcome, code) in failing {
        let song = sandboxed
            .song("suno", &format!("delay=1ms then={outcome}"))
            .await;
        let body = json!({"task_id": song["task_id"], "audio_id": song["output"][0]["id"]});
        let task = sandboxed.ask(LYRICS, &body).await.unwrap();
        let view = sandboxed.fails(task, code).await;
        assert_eq!(view["consumed_microcredits"], 0, "{outcome}");
    }
}

#[tokio::test]
async fn lyrics_that_cannot_be_kept_at_once_are_ordered_once() {
    let sandboxed = sandboxed().await;
    let running = &sandboxed.running;
    let song = sandboxed.song("suno", "delay=1ms").await;
    let other = json!({"gpt_description_prompt": "a fox [sandbox delay=1h]"});
    let other = sandboxed.ask("audio/music", &other).await.unwrap();
    running.reaches(other, "processing").await;
    a_while(running, other).await;
    let outputs = sandboxed.house.database.directory().join("outputs");
    let away = outputs.with_file_name("away");
    std::fs::rename(&outputs, &away).unwrap();
    std::fs::write(&outputs, "no folder").unwrap();
    let before = sandboxed.bill("kie").await.jobs;
    let body = json!({"task_id": song["task_id"], "audio_id": song["output"][0]["id"]});
    let task = sandboxed.ask(LYRICS, &body).await.unwrap();
    running.reaches(task, "processing").await;
    eventually("they are answered", async || {
        sandboxed.bill("kie").await.jobs > before
    })
    .await;
    a_while(running, other).await;
    assert_eq!(running.view(task).await.unwrap()["status"], "processing");
    std::fs::remove_file(&outputs).unwrap();
    std::fs::rename(&away, &outputs).unwrap();
    running.reaches(task, "completed").await;
    assert_eq!(sandboxed.bill("kie").await.jobs, before + 1);
    sandboxed.settles(task, &[2_000_000]).await;
}

#[tokio::test]
async fn what_is_known_of_songs_is_forgotten_with_their_job() {
    let sandboxed = sandboxed().await;
    let running = &sandboxed.running;
    let body = json!({"gpt_description_prompt": "a fox [sandbox delay=4s]"});
    let task = sandboxed.ask("audio/music", &body).await.unwrap();
    eventually("their words are there", async || {
        running.view(task).await.unwrap()["clips"].is_array()
    })
    .await;
    force(running, task).await.unwrap();
    assert_eq!(number(running, "clips is not null", task).await, 0);
    stop(running, task).await.unwrap();
}

#[tokio::test]
async fn stages_are_told_once_each_in_their_order() {
    let sandboxed = sandboxed().await;
    let body = json!({
        "gpt_description_prompt": "a fox [sandbox delay=4s]", "callback_url": "https://1.1.1.1/hook",
    });
    // Each is told as it was, although all are told when the task has ended.
    sandboxed.house.webhooks.leave();
    let task = sandboxed.ask("audio/music", &body).await.unwrap();
    let mut clips = Vec::new();
    eventually("done", async || {
        let view = sandboxed.running.view(task).await.unwrap();
        let stage = view["stage"].as_str().unwrap_or_default().to_owned();
        clips.push((stage, view["clips"].clone()));
        view["status"] == "completed"
    })
    .await;
    let at = |stage: &str| {
        let mut clips = clips.iter().filter(|(at, _)| at == stage);
        clips.next_back().unwrap().1.clone()
    };
    assert_eq!(at("complete"), Value::Null);
    let (text, first) = (at("text"), at("first"));
    assert_eq!(
        (&text[0]["status"], &text[0]["title"]),
        (&json!("text"), &json!("Sandbox song 1"))
    );
    assert_eq!(
        (&first[0]["status"], &first[1]["status"]),
        (&json!("first"), &json!("text"))
    );

    sandboxed.house.webhooks.come_back();
    eventually("told", async || {
        sandboxed.house.webhooks.published().len() == 3
    })
    .await;
    let mut told = sandboxed.house.webhooks.published();
    let data = |event: &[u8]| serde_json::from_slice::<Value>(event).unwrap()["data"].clone();
    told.sort_by_key(|event| data(&event.payload)["sequence"].as_i64());
    let types: Vec<&str> = told.iter().map(|event| event.r#type.as_str()).collect();
    assert_eq!(
        types,
        ["task.processing", "task.processing", "task.completed"]
    );
    let stages: Vec<Value> = told
        .iter()
        .map(|event| data(&event.payload)["stage"].clone())
        .collect();
    assert_eq!(stages, [json!("text"), json!("first"), json!("complete")]);
    let text = data(&told[0].payload);
    assert_eq!(
        (
            &text["status"],
            &text["output"],
            &text["consumed_credits"],
            &text["completed_at"]
        ),
        (&json!("processing"), &json!([]), &json!(0), &Value::Null)
    );
    assert_eq!(text["clips"][0]["status"], "text");
    assert_eq!(data(&told[1].payload)["clips"], first);
    assert_ne!(told[0].event_id, told[1].event_id);
    let kept = number(&sandboxed.running, "clips is not null", task).await;
    assert_eq!(
        kept, 0,
        "of what is done nothing is kept beside its outputs"
    );
}

#[tokio::test]
async fn stages_of_a_song_without_an_address_are_told_for_endpoints() {
    let sandboxed = sandboxed().await;
    let body = json!({ "gpt_description_prompt": "a fox [sandbox delay=4s]" });
    let task = sandboxed.ask("audio/music", &body).await.unwrap();
    let webhooks = &sandboxed.house.webhooks;
    eventually("told", async || webhooks.published_of(task).len() == 3).await;
    let told = webhooks.published_of(task);
    let mut types: Vec<_> = told.iter().map(|event| event.r#type.as_str()).collect();
    types.sort_unstable();
    assert_eq!(
        types,
        ["task.completed", "task.processing", "task.processing"]
    );
    assert!(told.iter().all(|event| event.url.is_empty()));
}
