//! Suno's further routes, as its customers know them: longer songs, pictures, uploads sung anew, timed lyrics; and what is told while songs are made.

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use serde_json::{Value, json};
use testkit::{Aio, Answer, Api, Sink};

use crate::{uploads::upload, webhooks::verify};

const SONGS: &str = "/audio/music";
const LONGER: &str = "/audio/music/extend";
const PICTURES: &str = "/audio/music/cover/generate";
const UPLOADED: &str = "/audio/music/upload-cover/generate";
const LYRICS: &str = "/audio/music/timestamped-lyrics";
/// Samples of a second of the sounds that are uploaded.
const RATE: u32 = 8_000;

/// Two songs.
pub(crate) async fn sung(api: &Api, words: &str) -> Result<Value> {
    let prompt = format!("a song of a fox [sandbox delay=10ms {words}]");
    done(api, SONGS, &json!({ "gpt_description_prompt": prompt })).await
}

/// A task that has ended.
async fn done(api: &Api, route: &str, body: &Value) -> Result<Value> {
    let accepted = api.post(route, body).await?.data(202);
    let accepted = accepted.with_context(|| body.to_string())?;
    let id = accepted["task_id"].as_str().context("no task_id")?;
    let task = api.ended(id).await?;
    ensure!(task["status"] == "completed", "{task}");
    Ok(task)
}

/// Silence: a WAV of eight bits.
pub(crate) fn silence(seconds: u32) -> Vec<u8> {
    let size = seconds * RATE;
    let mut file = Vec::new();
    file.extend(b"RIFF");
    file.extend((36 + size).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    // PCM, of one channel.
    file.extend([1, 0, 1, 0]);
    file.extend(RATE.to_le_bytes());
    file.extend(RATE.to_le_bytes());
    file.extend([1, 0, 8, 0]);
    file.extend(b"data");
    file.extend(size.to_le_bytes());
    file.extend((0..size).map(|_| 0x80_u8));
    file
}

/// The receipt says what the task cost.
async fn receipt(api: &Api, id: &Value, micros: i64) -> Result<()> {
    let id = id.as_str().context("no id")?;
    let what = format!("a receipt of {id}");
    let found = testkit::eventually(&what, async || {
        let found = api.get(&format!("/operations/{id}/receipt")).await?;
        Ok((found.status == 200).then_some(found))
    });
    let receipt = found.await?.data(200)?;
    ensure!(receipt["charged_microcredits"] == micros, "{receipt}");
    Ok(())
}

#[tokio::test]
async fn a_song_goes_on_at_the_price_of_its_model() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(1_000).await?.api;
    let song =
        json!({ "model": "chirp-v5", "gpt_description_prompt": "a fox [sandbox delay=10ms]" });
    let song = done(&api, SONGS, &song).await?;
    let body = json!({ "origin_task_id": song["task_id"], "extend_audio_index": 0 });
    let quote = json!({ "route": "audio/music/extend", "body": body });
    let quote = api.post("/quote", &quote).await?.data(200)?;
    ensure!(quote["max_microcredits"] == 12_000_000, "{quote}");
    let longer = done(&api, LONGER, &body).await?;
    ensure!(longer["consumed_microcredits"] == 12_000_000, "{longer}");
    ensure!(longer["request"]["model"] == "chirp-v5", "{longer}");
    receipt(&api, &longer["task_id"], 12_000_000).await?;
    let own = json!({
        "origin_task_id": longer["task_id"], "extend_audio_index": 1, "custom_mode": true, "style": "folk",
        "prompt": "la la [sandbox delay=10ms]", "extensionStartTime": 5.5, "tags": "slow",
    });
    let longest = done(&api, LONGER, &own).await?;
    let path = format!(
        "/audio/music/feed?task_id={}",
        longest["task_id"].as_str().unwrap_or_default()
    );
    let feed = api.get(&path).await?.data(200)?;
    ensure!(feed["type"] == "SUCCESS", "{feed}");
    ensure!(
        feed["response_data"].as_array().map(Vec::len) == Some(2),
        "{feed}"
    );
    ensure!(feed["request_body"]["custom_mode"] == true, "{feed}");

    let with = |name: &str, value: Value| {
        let mut body = body.clone();
        body[name] = value;
        body
    };
    for (body, param) in [
        (with("extend_audio_index", json!(2)), "extend_audio_index"),
        (with("prompt", json!("la")), "prompt"),
        (with("custom_mode", json!(true)), "prompt"),
        (with("extensionStartTime", json!(0)), "extensionStartTime"),
        (with("extensionStartTime", json!(100)), "extensionStartTime"),
    ] {
        let refused = api.post(LONGER, &body).await?;
        ensure!(refused.status == 400, "{body}: {refused}");
        ensure!(refused.json()?["error"]["param"] == param, "{refused}");
    }
    let stranger = aio.account(100).await?.api;
    for (api, id) in [
        (&stranger, &song["task_id"]),
        (&api, &json!("task_01h455vb4pex5vsknk084sn02q")),
    ] {
        let refused = api
            .post(LONGER, &with("origin_task_id", id.clone()))
            .await?;
        refused.error(404, "not_found")?;
    }
    let settled = api.settled().await?;
    assert_eq!(settled.posted, (1_000 - 12 - 12 - 12) * 1_000_000);
    aio.finish().await
}

#[tokio::test]
async fn a_song_has_its_pictures_once() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let song = sung(&api, "").await?;
    let body = json!({ "taskId": song["task_id"] });
    let replies = join_all((0..6).map(|_| api.post(PICTURES, &body))).await;
    let mut taken = Vec::new();
    for reply in replies {
        let reply = reply?;
        match reply.status {
            202 => taken.push(reply.json()?),
            400 => ensure!(reply.json()?["error"]["param"] == "task_id", "{reply}"),
            // The one that came first has no hold yet.
            409 => drop(reply.error(409, "idempotency_in_progress")?),
            _ => anyhow::bail!("{reply}"),
        }
    }
    let [taken] = taken.as_slice() else {
        anyhow::bail!("{taken:?}");
    };
    ensure!(taken["code"] == 200 && taken["msg"] == "success", "{taken}");
    let id = taken["data"]["taskId"].as_str().context("no taskId")?;
    let task = api.ended(id).await?;
    ensure!(
        task["type"] == "image" && task["consumed_credits"] == 1,
        "{task}"
    );
    let path = format!("/audio/music/cover/status?task_id={id}");
    let stood = api.get(&path).await?.json()?;
    ensure!(
        stood["msg"] == "success" && stood["data"]["status"] == "SUCCESS",
        "{stood}"
    );
    ensure!(stood["data"]["images"] == task["response"], "{stood}");
    ensure!(
        task["response"].as_array().map(Vec::len) == Some(2),
        "{task}"
    );
    api.post(PICTURES, &body)
        .await?
        .error(400, "invalid_parameter")?;

    // What shows something else is not there.
    let song = song["task_id"].as_str().context("no id")?;
    for path in [
        format!("/audio/music/cover/status?task_id={song}"),
        format!("/audio/music/upload-cover/status?task_id={id}"),
    ] {
        api.get(&path).await?.error(404, "not_found")?;
    }
    // Pictures that fail are free, and are said to have failed.
    let other = sung(&api, "then=fail").await?;
    let headers = [("prefer", "wait=30")];
    let body = json!({ "task_id": other["task_id"] });
    let failed = api.post_with(PICTURES, &headers, &body).await?;
    ensure!(failed.status == 200, "{failed}");
    let failed = failed.json()?;
    ensure!(
        failed["data"]["status"] == "FAILED" && failed["data"]["images"].is_null(),
        "{failed}"
    );
    ensure!(failed["data"]["error"].is_string(), "{failed}");
    let settled = api.settled().await?;
    assert_eq!(settled.posted, (100 - 5 - 1 - 5) * 1_000_000);
    aio.finish().await
}

#[tokio::test]
async fn timed_lyrics_come_at_once_and_cost_only_what_came() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let song = sung(&api, "").await?;
    let body = json!({ "task_id": song["task_id"], "audio_id": song["output"][0]["id"] });
    let headers = [("idempotency-key", "one")];
    let first = api.post_with(LYRICS, &headers, &body).await?;
    let lyrics = first.data(200)?;
    assert_eq!(first.header("x-aio-cost-credits"), "2");
    assert_eq!(
        lyrics["lyricParams"][0],
        json!({ "text": "[Verse 1]\n", "metadata": { "style": "Verse 1" }, "type": "segment_break" })
    );
    assert_eq!(lyrics["lyricParams"][1]["start"], 0.5);
    ensure!(
        lyrics["text"]
            .as_str()
            .is_some_and(|text| text.contains("A fox")),
        "{lyrics}"
    );
    ensure!(lyrics["waveform"].is_array(), "{lyrics}");
    let again = api.post_with(LYRICS, &headers, &body).await?;
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.body, first.body);
    let id = first
        .header("x-aio-operation-id")
        .replacen("op_", "task_", 1);
    ensure!(
        again.header("x-aio-operation-id").ends_with(&id[5..]),
        "another operation"
    );
    let task = api.task(&id).await?;
    ensure!(
        task["status"] == "completed" && task["consumed_credits"] == 2,
        "{task}"
    );
    receipt(&api, &task["task_id"], 2_000_000).await?;

    let mut other = body.clone();
    other["audio_id"] = json!("nobodys");
    let unknown = api.post(LYRICS, &other).await?.error(404, "not_found")?;
    assert_eq!(unknown["param"], "audio_id");
    for (outcome, status, code) in [
        ("moderated", 400, "content_moderated"),
        ("malformed", 502, "submit_outcome_unknown"),
    ] {
        let song = sung(&api, &format!("then={outcome}")).await?;
        let body = json!({ "task_id": song["task_id"], "audio_id": song["output"][1]["id"] });
        api.post(LYRICS, &body).await?.error(status, code)?;
    }
    let settled = api.settled().await?;
    assert_eq!(settled.posted, (100 - 5 - 2 - 5 - 5) * 1_000_000);
    aio.finish().await
}

#[tokio::test]
async fn a_sound_of_ones_own_is_sung_anew() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(100).await?.api;
    let sound = upload(&api, "a.wav", &silence(10)).await?;
    let body = json!({ "audio_id": sound });
    let task = done(&api, UPLOADED, &body).await?;
    ensure!(
        task["type"] == "music" && task["consumed_credits"] == 8,
        "{task}"
    );
    ensure!(task["request"]["audio_id"] == sound.as_str(), "{task}");
    let id = task["task_id"].as_str().context("no id")?;
    let path = format!("/audio/music/upload-cover/status?task_id={id}");
    let stood = api.get(&path).await?.data(200)?;
    ensure!(
        stood["task_id"] == id && stood["status"] == "SUCCESS",
        "{stood}"
    );
    ensure!(
        stood["response_data"][0]["audio_url"] == task["response"][0],
        "{stood}"
    );
    let own = json!({ "audio_id": sound, "custom_mode": true, "prompt": "la [sandbox delay=10ms]", "style": "folk" });
    let own = done(&api, UPLOADED, &own).await?;
    // It goes on as any song does, at its model's price.
    let body = json!({ "origin_task_id": own["task_id"], "extend_audio_index": 1 });
    let longer = done(&api, LONGER, &body).await?;
    ensure!(longer["consumed_credits"] == 8, "{longer}");

    // What is elsewhere is sung anew as well.
    let place = json!({ "audio_id": "https://example.com/fox.mp3?[sandbox%20delay=10ms]" });
    let elsewhere = done(&api, UPLOADED, &place).await?;
    ensure!(elsewhere["consumed_credits"] == 8, "{elsewhere}");
    receipt(&api, &elsewhere["task_id"], 8_000_000).await?;

    let brief = upload(&api, "b.wav", &silence(5)).await?;
    let long = upload(&api, "c.wav", &silence(61)).await?;
    let words = upload(&api, "d.txt", b"la la la").await?;
    for (file, told) in [
        (&brief, "lasts 5"),
        (&long, "lasts 61"),
        (&words, "must be a sound"),
        (&"file_01h455vb4pex5vsknk084sn02q".to_owned(), "there is no"),
        (&"a sound of mine".to_owned(), "the id of a file"),
    ] {
        let refused = api.post(UPLOADED, &json!({ "audio_id": file })).await?;
        let error = refused.error(400, "invalid_parameter")?;
        let message = error["message"].as_str().unwrap_or_default();
        ensure!(
            error["param"] == "audio_id" && message.contains(told),
            "{error}"
        );
    }
    let settled = api.settled().await?;
    assert_eq!((settled.posted, settled.held), ((100 - 32) * 1_000_000, 0));
    aio.finish().await
}

#[tokio::test]
async fn each_stage_of_a_song_is_told_once() -> Result<()> {
    let aio = Aio::with(&[
        ("AIO_LIMITS__MEDIA__POLL__FIRST", "100ms"),
        ("AIO_LIMITS__MEDIA__POLL__LONGEST", "300ms"),
    ])
    .await?;
    let api = aio.account(100).await?.api;
    let sink = Sink::start(Answer::Status(204)).await?;
    let body = json!({ "gpt_description_prompt": "a fox [sandbox delay=5s]", "callback_url": sink.url("/") });
    let accepted = api.post(SONGS, &body).await?.data(202)?;
    let id = accepted["task_id"].as_str().context("no id")?;
    let path = format!("/audio/music/feed?task_id={id}");
    let first = testkit::eventually("the words are there", async || {
        let feed = api.get(&path).await?.data(200)?;
        Ok((feed["response_data"] != json!([])).then_some(feed))
    })
    .await?;
    ensure!(first["type"] == "IN_PROGRESS", "{first}");
    let clip = &first["response_data"][1];
    ensure!(
        clip["status"] == "text" && clip["audio_url"].is_null(),
        "{first}"
    );
    ensure!(clip["title"] == "Sandbox song 2", "{first}");
    api.ended(id).await?;
    let mut told = Vec::new();
    let all = testkit::eventually("the end is told", async || {
        let all = sink.received();
        let ended = all.iter().any(|one| {
            one.json()
                .is_ok_and(|event| event["type"] == "task.completed")
        });
        Ok(ended.then_some(all))
    })
    .await?;
    for received in &all {
        told.push(verify(&api, received).await?);
    }
    told.sort_by_key(|event| event["data"]["sequence"].as_i64());
    let mut stages: Vec<&Value> = told.iter().map(|event| &event["data"]["stage"]).collect();
    ensure!(stages.contains(&&json!("first")), "{stages:?}");
    ensure!(stages.last() == Some(&&json!("complete")), "{stages:?}");
    let count = stages.len();
    stages.dedup();
    ensure!(stages.len() == count, "{stages:?}");
    for event in told.iter().take(count - 1) {
        ensure!(event["type"] == "task.processing", "{event}");
        ensure!(event["data"]["status"] == "processing", "{event}");
        ensure!(event["data"]["output"] == json!([]), "{event}");
    }
    aio.finish().await
}
