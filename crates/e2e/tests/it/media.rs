//! One image task, from submit to its end, as its customer sees it.

use anyhow::{Context as _, Result};
use http::Method;
use serde_json::{Value, json};
use testkit::{Aio, Event};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::say::{IMAGE, image};

const FULL: i64 = 100_000_000;

#[tokio::test]
async fn a_task_is_accepted_polled_and_completed() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let body = image("a fox [sandbox delay=1500ms]");
    let reply = api.post("/images/generations", &body).await?;
    let id = reply.json()?["data"]["task_id"].clone();
    let id = id.as_str().context("no task_id")?;
    let expected = json!({
        "code": 200, "message": "success", "data": { "task_id": id, "status": "IN_PROGRESS" },
    });
    assert_eq!((reply.status, reply.json()?), (202, expected));
    assert!(
        id.starts_with("task_") && id.len() == "task_".len() + 26,
        "{id}"
    );
    assert_eq!(
        reply.header("x-aio-operation-id"),
        id.replace("task_", "op_")
    );
    let open = api.task(id).await?;
    assert!(
        matches!(open["status"].as_str(), Some("queued" | "processing")),
        "{open}"
    );
    assert_eq!(
        (&open["response"], &open["output"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(open["held_microcredits"], IMAGE);
    let credits = api.credits().await?;
    assert_eq!(
        (credits.available, credits.held, credits.open_holds),
        (FULL - IMAGE, IMAGE, 1)
    );
    let done = api.ended(id).await?;
    check_completed(&done, id);
    let credits = api.settled().await?;
    assert_eq!(
        (credits.posted, credits.available),
        (FULL - IMAGE, FULL - IMAGE)
    );
    aio.finish().await
}

/// The task as docs/api.md describes it, field by field.
fn check_completed(task: &Value, id: &str) {
    let request = json!({
        "prompt": "a fox [sandbox delay=1500ms]", "aspect_ratio": "1:1", "type": "pro",
        "resolution": "1K", "output_format": "png",
    });
    for (name, value) in [
        ("task_id", json!(id)),
        ("object", json!("task")),
        ("type", json!("image")),
        ("route", json!("images/generations")),
        ("model", json!("flux-2")),
        ("mode", json!("test")),
        ("status", json!("completed")),
        ("progress", json!(100)),
        ("stage", Value::Null),
        ("request", request),
        ("error", Value::Null),
        ("error_message", Value::Null),
        ("held_microcredits", json!(0)),
        ("consumed_credits", json!(5)),
        ("consumed_microcredits", json!(IMAGE)),
        ("attempts", json!(1)),
        ("callback", Value::Null),
        ("response", json!([task["output"][0]["url"]])),
    ] {
        assert_eq!(task[name], value, "{name}");
    }
    let moment = |name: &str| task[name].as_str().unwrap_or_default().to_owned();
    let moments = ["created_at", "started_at", "completed_at", "deadline_at"].map(moment);
    assert!(
        moments.iter().all(|m| m.len() >= 20 && m.ends_with('Z')),
        "{moments:?}"
    );
    // As moments, not as texts: ends of fractions that are zeros are left out.
    let in_order = moments.each_ref().map(|moment| {
        let moment = OffsetDateTime::parse(moment, &Rfc3339);
        moment.unwrap_or(OffsetDateTime::UNIX_EPOCH)
    });
    assert!(
        in_order.is_sorted() && in_order[0] > OffsetDateTime::UNIX_EPOCH,
        "{moments:?}"
    );
    let output = &task["output"][0];
    assert_eq!(output["content_type"], "image/png");
    assert_eq!(
        (&output["width"], &output["height"]),
        (&json!(1024), &json!(1024))
    );
    assert!(
        output["expires_at"].is_string() && output["sha256"].is_string(),
        "{output}"
    );
}

#[tokio::test]
async fn whoever_prefers_to_wait_gets_the_finished_task_and_finds_it_in_the_list() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let submit = async |prompt: &str, prefer: &str| {
        let headers = [("prefer", prefer)];
        let body = image(prompt);
        api.post_with("/images/generations", &headers, &body).await
    };
    let long = submit("a fox [sandbox delay=1h]", "wait=1").await?;
    assert_eq!(long.header("preference-applied"), "wait=1");
    let long = long.data(202)?;
    let done = submit("a fox [sandbox delay=300ms]", "wait=60").await?;
    let done = done.data(200)?;
    assert_eq!(done["status"], "completed");
    let failed = submit("a fox [sandbox outcome=fail]", "respond-async, wait=60").await?;
    let failed = failed.data(200)?;
    assert_eq!(
        (&failed["status"], &failed["consumed_credits"]),
        (&json!("failed"), &json!(0))
    );

    let list = async |query: &str| api.get(&format!("/tasks{query}")).await?.data(200);
    let page = list("?limit=2").await?;
    assert_eq!(page["items"], json!([failed, done]));
    let cursor = page["next_cursor"].as_str().context("no cursor")?;
    assert_eq!(cursor, done["task_id"]);
    let rest = list(&format!("?limit=2&cursor={cursor}")).await?;
    let items = rest["items"].as_array().context("no items")?;
    assert_eq!((items.len(), &items[0]["task_id"]), (1, &long["task_id"]));
    assert_eq!(rest["next_cursor"], Value::Null);
    assert_eq!(
        list("?status=completed&model=flux-2").await?["items"],
        json!([done])
    );
    let stranger = aio.account(100).await?.api;
    assert_eq!(stranger.get("/tasks").await?.data(200)?["items"], json!([]));
    aio.finish().await
}

#[tokio::test]
async fn openais_shape_has_the_pictures_and_costs_what_the_task_costs() -> Result<()> {
    let aio = Aio::with(&[("AIO_LIMITS__BODIES__INLINE_PICTURES", "100")]).await?;
    let api = aio.account(100).await?.api;
    let ask = async |prompt: &str, more: Value| {
        let mut body = image(prompt);
        let fields = body.as_object_mut().context("no object")?;
        fields.extend(more.as_object().cloned().unwrap_or_default());
        api.post("/images/generations", &body).await
    };
    let linked = ask("a fox", json!({ "response_format": "url" })).await?;
    let pictures = linked.json()?;
    assert_eq!(
        (linked.status, &pictures["credits_consumed"]),
        (200, &json!(5))
    );
    assert!(pictures["created"].is_i64(), "{pictures}");
    let data = pictures["data"].as_array().context("no data")?;
    assert_eq!(data.len(), 1);
    let task = linked.header("x-aio-operation-id").replace("op_", "task_");
    assert_eq!(api.task(&task).await?["response"], json!([data[0]["url"]]));

    let failed = ask(
        "a fox [sandbox outcome=fail]",
        json!({ "response_format": "url" }),
    )
    .await?;
    failed.error(502, "upstream_failed")?;
    // It is there, paid for, and too large for JSON: nobody's program must ask for it again by itself.
    let large = ask(
        "a fox",
        json!({ "response_format": "b64_json", "resolution": "2K" }),
    )
    .await?;
    assert_eq!(
        (large.status, large.header("x-should-retry")),
        (504, "false")
    );
    let credits = api.settled().await?;
    assert_eq!(credits.posted, FULL - IMAGE - 7_000_000);
    aio.finish().await
}

#[tokio::test]
async fn prices_follow_the_parameters() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let mut spent = 0;
    for (extra, price) in [
        (json!({}), 5),
        (json!({ "resolution": "2K" }), 7),
        (json!({ "type": "flex" }), 14),
        (json!({ "type": "flex", "resolution": "2K" }), 24),
    ] {
        let mut body = image("a fox [sandbox delay=1h]");
        for (name, value) in extra.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let id = api.image(&body).await?;
        spent += price * 1_000_000;
        assert_eq!(api.task(&id).await?["held_microcredits"], price * 1_000_000);
        assert_eq!(api.credits().await?.held, spent);
    }
    aio.finish().await
}

#[tokio::test]
async fn events_tell_every_change_to_the_end() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let id = api.image(&image("a fox [sandbox delay=2s]")).await?;
    let path = format!("/tasks/{id}/events");
    let all = api
        .events(Method::GET, &path, &Value::Null)
        .await?
        .rest()
        .await?;
    let views: Vec<Value> = all.iter().map(Event::json).collect::<Result<_>>()?;
    let versions: Vec<i64> = all
        .iter()
        .map(|e| Ok(e.id.parse()?))
        .collect::<Result<_>>()?;
    assert!(all.iter().all(|event| event.name == "task"), "{all:?}");
    assert!(versions.is_sorted_by(|a, b| a < b), "{versions:?}");
    let rank = |view: &Value| {
        let order = ["queued", "processing", "completed"];
        order.iter().position(|word| view["status"] == *word)
    };
    let ranks: Vec<Option<usize>> = views.iter().map(rank).collect();
    assert!(
        ranks.is_sorted() && ranks.iter().all(Option::is_some),
        "{views:?}"
    );
    assert!(ranks.contains(&Some(1)), "{views:?}");
    assert_eq!(
        views.last(),
        Some(&api.task(&id).await?),
        "the last event is what a poll says"
    );
    assert_eq!(views.last().map(rank), Some(Some(2)));
    // Whoever comes late is told the end at once.
    let late = api
        .events(Method::GET, &path, &Value::Null)
        .await?
        .rest()
        .await?;
    assert_eq!(late.len(), 1, "{late:?}");
    aio.finish().await
}

#[tokio::test]
async fn what_fails_is_free_and_says_why() -> Result<()> {
    let aio = Aio::with(&[("AIO_LIMITS__MEDIA__POLL__SETTLE_IN", "1s")]).await?;
    let api = aio.account(100).await?.api;
    let cases = [
        ("fail", "upstream_failed"),
        ("moderated", "content_moderated"),
        ("out_of_balance", "upstream_failed"),
        ("vanish", "upstream_failed"),
    ];
    let mut ids = Vec::new();
    for (outcome, _) in cases {
        let prompt = format!("a fox [sandbox outcome={outcome} delay=100ms]");
        ids.push(api.image(&image(&prompt)).await?);
    }
    for ((outcome, code), id) in cases.iter().zip(&ids) {
        let task = api.ended(id).await?;
        assert_eq!(task["status"], "failed", "{outcome}");
        assert_eq!(task["error"]["code"], *code, "{outcome}: {task}");
        assert_eq!(task["error_message"], task["error"]["message"], "{outcome}");
        assert!(task["error"]["retryable"].is_boolean(), "{outcome}");
        let message = task["error_message"].as_str().unwrap_or_default();
        assert!(!message.is_empty(), "{outcome}");
        assert_eq!(
            (&task["consumed_microcredits"], &task["held_microcredits"]),
            (&json!(0), &json!(0))
        );
        assert_eq!(task["response"], json!([]), "{outcome}");
    }
    let credits = api.settled().await?;
    assert_eq!((credits.posted, credits.available), (FULL, FULL));
    aio.finish().await
}

#[tokio::test]
async fn what_a_provider_reports_changes_no_price() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let mut ids = Vec::new();
    for outcome in ["overreport", "duplicate_callback", "late_callback"] {
        let prompt = format!("a fox [sandbox outcome={outcome} delay=100ms]");
        ids.push(api.image(&image(&prompt)).await?);
    }
    for id in &ids {
        assert_eq!(api.ended(id).await?["consumed_microcredits"], IMAGE);
    }
    assert_eq!(api.settled().await?.posted, FULL - 3 * IMAGE);
    aio.finish().await
}

#[tokio::test]
async fn a_busy_provider_is_asked_again() -> Result<()> {
    let aio = Aio::with(&[("AIO_LIMITS__MEDIA__MAX_ATTEMPTS", "2")]).await?;
    let api = aio.account(100).await?.api;
    let id = api
        .image(&image("a fox [sandbox outcome=overloaded]"))
        .await?;
    let task = api.ended(&id).await?;
    // However few there may be, each of the model's two providers is asked, and some twice.
    assert_eq!(
        (&task["status"], &task["attempts"]),
        (&json!("failed"), &json!(4))
    );
    assert_eq!(task["error"]["code"], "upstream_busy", "{task}");
    assert_eq!(api.settled().await?.posted, FULL);
    aio.finish().await
}

#[tokio::test]
async fn an_ended_task_cannot_be_cancelled() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let running = api.image(&image("a fox [sandbox delay=1h]")).await?;
    api.reaches(&running, "processing").await?;
    let done = api.image(&image("a fox [sandbox delay=0s]")).await?;
    api.ended(&done).await?;
    for (id, word) in [(&running, "provider"), (&done, "completed")] {
        let reply = api
            .post(&format!("/tasks/{id}/cancel"), &Value::Null)
            .await?;
        let error = reply.error(409, "not_cancellable")?;
        assert!(
            error["message"].as_str().is_some_and(|m| m.contains(word)),
            "{error}"
        );
    }
    assert_eq!(api.task(&running).await?["status"], "processing");
    aio.finish().await
}
