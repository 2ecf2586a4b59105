//! Tasks that Suno's hosts serve, before their simulator: songs with what is known of them, stage by stage; and films that are charged by
//! how long they became.

use std::sync::Arc;

use domain::{Catalogue, TaskId};
use proto::{code, media::v1::SubmitRequest};
use serde_json::{Value, json};

use crate::{house::eventually, sandboxed::Sandboxed};

const SUNO: &str = include_str!("../../../../crates/domain/catalogue/suno.toml");
const UPSCALER: &str = include_str!("../../../../crates/domain/catalogue/video-upscale.toml");

async fn sandboxed(text: &str) -> Sandboxed {
    let catalogue = Catalogue::parse(&[("a.toml", text)]).unwrap();
    Sandboxed::new(Arc::new(catalogue)).await
}

impl Sandboxed {
    async fn made(&self, route: &str, body: &Value) -> TaskId {
        let request = SubmitRequest {
            route: route.to_owned(),
            ..self.running.request(&body.to_string(), "")
        };
        let reply = self.running.send(request).await.unwrap();
        TaskId::from_slice(&reply.task_id).unwrap()
    }

    async fn sung(&self, words: &str) -> TaskId {
        let body = json!({"gpt_description_prompt": format!("a fox [sandbox {words}]")});
        self.made("audio/music", &body).await
    }

    async fn charged(&self, task: TaskId, amount: i64) {
        eventually("settled", async || {
            self.house.billing.settled(&task.to_bytes()) == [amount]
        })
        .await;
    }
}

#[tokio::test]
async fn two_songs_come_with_what_is_known_of_them() {
    let sandboxed = sandboxed(SUNO).await;
    let task = sandboxed.sung("delay=0ms").await;
    let view = sandboxed.running.reaches(task, "completed").await;
    assert_eq!(
        (&view["type"], &view["model"]),
        (&json!("music"), &json!("suno"))
    );
    assert_eq!(
        (&view["stage"], &view["progress"]),
        (&json!("complete"), &json!(100))
    );
    let output = view["output"].as_array().unwrap();
    assert_eq!(
        (output.len(), view["response"].as_array().unwrap().len()),
        (2, 2)
    );
    for (number, song) in output.iter().enumerate() {
        assert_eq!(song["content_type"], "audio/mpeg");
        assert!(
            (song["duration_seconds"].as_f64().unwrap() - 12.0).abs() < 0.1,
            "{song}"
        );
        assert_eq!(song["title"], format!("Sandbox song {}", number + 1));
        assert_eq!(
            (&song["tags"], &song["model_name"]),
            (&json!("sandbox"), &json!("chirp-v4"))
        );
        assert!(
            song["id"]
                .as_str()
                .unwrap()
                .ends_with(&format!("-{number}"))
        );
        // The picture is our own copy, behind the songs.
        let picture = song["image_url"].as_str().unwrap();
        assert!(
            picture.contains(&format!("/api/v1/tasks/{task}/files/{}?", number + 2)),
            "{picture}"
        );
        assert_eq!(view["response"][number], song["url"]);
    }
    sandboxed.charged(task, 5_000_000).await;
}

#[tokio::test]
async fn a_song_is_told_stage_by_stage() {
    let sandboxed = sandboxed(SUNO).await;
    let task = sandboxed.sung("delay=900ms").await;
    let mut stages = Vec::new();
    eventually("complete", async || {
        let view = sandboxed.running.view(task).await.unwrap();
        if stages.last() != Some(&view["stage"]) {
            stages.push(view["stage"].clone());
        }
        view["status"] == "completed"
    })
    .await;
    assert_eq!(
        stages,
        [
            Value::Null,
            json!("text"),
            json!("first"),
            json!("complete")
        ]
    );
}

#[tokio::test]
async fn what_fails_is_free() {
    let sandboxed = sandboxed(SUNO).await;
    for (words, code) in [
        ("outcome=fail", code::UPSTREAM_FAILED),
        ("outcome=moderated", code::CONTENT_MODERATED),
        ("outcome=moderated delay=20ms", code::CONTENT_MODERATED),
        ("outcome=vanish", code::UPSTREAM_FAILED),
    ] {
        let task = sandboxed.sung(words).await;
        sandboxed.fails(task, code).await;
    }
    // Both accounts are empty, and each host says so by a code of its own.
    let task = sandboxed.sung("outcome=out_of_balance").await;
    sandboxed.fails(task, code::UPSTREAM_FAILED).await;
}

#[tokio::test]
async fn a_film_costs_the_seconds_that_were_made() {
    let sandboxed = sandboxed(UPSCALER).await;
    let film = |seconds: u16, most: u16| {
        let film = format!("https://example.com/fox.mp4?seconds={seconds}&[sandbox%20delay=1ms]");
        json!({"model": "video-upscale", "video": film, "max_seconds": most})
    };
    let route = "videos/tools/upscale";
    let task = sandboxed.made(route, &film(7, 30)).await;
    assert_eq!(
        sandboxed.house.billing.held(&task.to_bytes()),
        Some(150_000_000)
    );
    let view = sandboxed.running.reaches(task, "completed").await;
    assert_eq!(view["consumed_microcredits"], 35_000_000);
    sandboxed.charged(task, 35_000_000).await;
    let receipts = sandboxed.house.billing.receipts();
    assert_eq!(receipts[0]["usage"], json!({"second": 7}));

    let task = sandboxed.made(route, &film(8, 7)).await;
    let view = sandboxed.fails(task, code::INPUT_TOO_LONG).await;
    let told = "what was given lasts 8 seconds, and this task is for 7 at most: raise max_seconds, or give a shorter one";
    assert_eq!(
        (&view["error"]["message"], &view["output"]),
        (&json!(told), &json!([]))
    );
}
