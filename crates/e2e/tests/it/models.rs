//! Every model that makes something: it is asked for as the docs show it, makes a file of its kind, and costs what its price says; what
//! fails is free. With test keys the sandbox speaks each provider's own wire, so that every adapter is in it.

mod asked;

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _, future::try_join_all, stream};
use serde_json::{Value, json};
use testkit::{Aio, Api, eventually};
use tokio::{process::Command, time::Instant};

use self::asked::{PICTURES, asked};

/// A sound without an index is as long as its bytes make it.
const SLACK: Duration = Duration::from_millis(300);
/// The hold of what failed is gone so soon; a machine that has other things to do may need more than one try.
const SOON: Duration = Duration::from_secs(1);
const TRIES: u32 = 3;
/// Accounts that fail at once.
const AT_ONCE: usize = 6;
/// What needs a task that went before: it has a test of its own.
const BUILDS_ON: &str = "grok-imagine/upscale";

/// The request, steered: by the prompt, or by the query of the picture or the film that a tool is given.
fn steered(route: &str, body: &Value, directive: &str) -> Value {
    let mut body = body.clone();
    let given = ["image", "video"]
        .into_iter()
        .find(|name| route.contains("/tools/") && body[*name].is_string());
    match given {
        Some(name) => {
            let address = body[name].as_str().unwrap_or_default();
            let between = if address.contains('?') { '&' } else { '?' };
            let steered = format!("{address}{between}[sandbox {directive}]").replace(' ', "%20");
            body[name] = json!(steered);
        }
        None => {
            let text = json!(format!("a fox [sandbox {directive}]"));
            let described = body["gpt_description_prompt"].is_string();
            let line = body.get_mut("dialogue");
            match line.and_then(|lines| lines.get_mut(0)) {
                Some(line) => line["text"] = text,
                None if described => body["gpt_description_prompt"] = text,
                None => body["prompt"] = text,
            }
        }
    }
    body
}

async fn submit(api: &Api, route: &str, body: &Value) -> Result<Value> {
    let accepted = api.post(route, body).await?;
    let accepted = accepted.data(202).with_context(|| body.to_string())?;
    let id = accepted["task_id"].as_str().context("no task_id")?;
    api.ended(id).await
}

/// Every model of tasks, and every model within one, is in the table.
async fn all_are_asked(api: &Api) -> Result<()> {
    let listed = api.get("/models").await?.json()?;
    let listed = listed["data"].as_array().context("no models")?.iter();
    // What goes on from a song, or is made of an upload, is in `songs.rs`.
    let is_of_a_song = |model: &&Value| {
        let route = model["route"].as_str().unwrap_or_default();
        route.starts_with("audio/music/")
    };
    // What is answered with the sound itself is in `speech.rs`.
    let is_a_sound = |model: &&Value| {
        let mut parameters = model["parameters"].as_array().into_iter().flatten();
        parameters.any(|parameter| parameter["name"] == "input")
    };
    for model in listed
        .filter(|model| model["category"] != "chat" && model["category"] != "embedding")
        // What is made of recordings is in `transcriptions.rs`.
        .filter(|model| model["category"] != "transcription")
        .filter(|model| !is_of_a_song(model) && !is_a_sound(model))
    {
        let is_asked = |names: &[&Value]| {
            let asked = asked();
            asked
                .iter()
                .any(|(_, body, _)| names.contains(&&body["model"]))
        };
        let names = [&model["id"]]
            .into_iter()
            .chain(model["aliases"].as_array().into_iter().flatten());
        let names: Vec<&Value> = names.collect();
        ensure!(is_asked(&names), "nobody asks {model}");
        let id = model["id"].as_str().context("no id")?;
        let page = api.get(&format!("/models/{id}")).await?.json()?;
        let mut parameters = page["parameters"].as_array().into_iter().flatten();
        let Some(within) = parameters.find(|parameter| parameter["name"] == "model") else {
            continue;
        };
        let also = within["also"].as_object();
        for word in within["values"].as_array().into_iter().flatten() {
            let others = also.into_iter().flatten();
            let others = others.filter(|(_, meant)| *meant == word);
            let others: Vec<Value> = others.map(|(other, _)| json!(other)).collect();
            let names: Vec<&Value> = others.iter().chain([word]).collect();
            let is_asked = is_asked(&names) || within["default"] == *word || word == BUILDS_ON;
            ensure!(is_asked, "nobody asks {word}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_model_makes_its_files_at_its_price() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(10_000).await?.api;
    all_are_asked(&api).await?;
    let made = asked().into_iter().map(async |(route, body, credits)| {
        let task = submit(&api, route, &steered(route, &body, "delay=10ms")).await?;
        check(&api, &task, credits)
            .await
            .with_context(|| format!("{body}: {task}"))
    });
    try_join_all(made).await?;
    let credits: i64 = asked().iter().map(|(_, _, credits)| credits).sum();
    let settled = api.settled().await?;
    assert_eq!(settled.posted, (10_000 - credits) * 1_000_000);
    aio.finish().await
}

/// The task is completed, has files of its kind, and its receipt says what was paid.
async fn check(api: &Api, task: &Value, credits: i64) -> Result<()> {
    ensure!(task["status"] == "completed", "it is not completed");
    ensure!(
        task["consumed_microcredits"] == credits * 1_000_000,
        "it does not cost {credits}"
    );
    let outputs = task["output"].as_array().context("no output")?;
    let usual = if task["model"] == "suno" { 2 } else { 1 };
    let count = task["request"]["num_images"].as_i64().unwrap_or(usual);
    ensure!(i64::try_from(outputs.len())? == count, "not {count} files");
    let id = task["task_id"].as_str().context("no id")?;
    for (number, output) in outputs.iter().enumerate() {
        let link = output["url"].as_str().context("no link")?;
        let (_, place) = link.split_once("/api/v1").context("not ours")?;
        ensure!(
            place.starts_with(&format!("/tasks/{id}/files/{number}?")),
            "{place}"
        );
        let file = api.with_key(None).get(place).await?.body;
        ensure!(output["bytes"] == file.len(), "not its length");
        look(task, output, &file).await?;
        if let Some(picture) = output["image_url"].as_str() {
            let (_, place) = picture.split_once("/api/v1").context("not ours")?;
            let picture = api.get(place).await?.body;
            ensure!(is_picture(&picture), "no picture of a song");
        }
    }
    let what = format!("a receipt of {id}");
    let receipt = eventually(&what, async || {
        let found = api.get(&format!("/operations/{id}/receipt")).await?;
        Ok((found.status == 200).then_some(found))
    });
    let receipt = receipt.await?.data(200)?;
    ensure!(
        receipt["charged_microcredits"] == credits * 1_000_000,
        "{receipt}"
    );
    Ok(())
}

/// A file is what its output says, by what it says itself.
async fn look(task: &Value, output: &Value, file: &[u8]) -> Result<()> {
    let kind = output["content_type"].as_str().context("no type")?;
    let route = task["route"].as_str().context("no route")?;
    let is_expected = match route.split('/').next() {
        Some("images") => kind.starts_with("image/") && is_picture(file),
        Some("videos") => kind.starts_with("video/") && is_film(file),
        Some("audio") => kind.starts_with("audio/"),
        _ => false,
    };
    ensure!(is_expected, "{route} made {kind}");
    let is_sized = output["width"].is_u64() && output["height"].is_u64();
    ensure!(is_sized != kind.starts_with("audio/"), "its size");
    if kind.starts_with("image/") {
        return probe(file, None).await;
    }
    let lasts = output["duration_seconds"].as_f64().context("no length")?;
    let asked = &task["request"]["duration"];
    let asked = asked.as_f64().or_else(|| asked.as_str()?.parse().ok());
    ensure!(asked.is_none_or(|asked| asked == lasts), "it lasts {lasts}");
    probe(file, Some(lasts)).await
}

/// A file as ffmpeg has it, which is none of ours: decoded to its end without a complaint, and as long as it is said to be.
pub(crate) async fn probe(file: &[u8], lasts: Option<f64>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("made");
    std::fs::write(&path, file)?;
    let path = path.to_str().context("no path")?;
    let decode = ["-nostdin", "-v", "error", "-xerror", "-i", path];
    run("ffmpeg", &[&decode[..], &["-f", "null", "-"]].concat()).await?;
    let Some(lasts) = lasts else {
        return Ok(());
    };
    let measure = ["-v", "error", "-show_entries", "format=duration"];
    let words = [&measure[..], &["-of", "csv=p=0", path]].concat();
    let seconds: f64 = run("ffprobe", &words).await?.trim().parse()?;
    ensure!(
        Duration::from_secs_f64(seconds).abs_diff(Duration::from_secs_f64(lasts)) < SLACK,
        "ffprobe: {seconds}, not {lasts}"
    );
    Ok(())
}

/// What a program says that has nothing to complain of.
async fn run(program: &str, words: &[&str]) -> Result<String> {
    let ran = Command::new(program).args(words).output().await;
    let ran = ran.with_context(|| format!("{program} is not installed"))?;
    let complaint = String::from_utf8_lossy(&ran.stderr).into_owned();
    ensure!(
        ran.status.success() && complaint.is_empty(),
        "{program}: {complaint}"
    );
    Ok(String::from_utf8(ran.stdout)?)
}

/// What begins as an MP4, a QuickTime film or a WebM does.
fn is_film(file: &[u8]) -> bool {
    file.get(4..8) == Some(b"ftyp") || file.starts_with(b"\x1a\x45\xdf\xa3")
}

/// A PNG that decodes to its last pixel, or what begins as a JPEG or a WebP does.
fn is_picture(file: &[u8]) -> bool {
    let png = || {
        let mut reader = png::Decoder::new(std::io::Cursor::new(file))
            .read_info()
            .ok()?;
        let mut pixels = vec![0; reader.output_buffer_size()?];
        reader.next_frame(&mut pixels).ok()
    };
    file.starts_with(b"\xff\xd8\xff") || file.get(8..12) == Some(b"WEBP") || png().is_some()
}

#[tokio::test]
async fn what_a_model_fails_to_make_is_free() -> Result<()> {
    let aio = Aio::start().await?;
    let failed = stream::iter(asked()).map(async |(route, body, _)| {
        // Whose hold is gone is known by the balance alone.
        let api = aio.account(2_000).await?.api;
        let steered = steered(route, &body, "outcome=fail delay=10ms");
        freed_soon(&api, route, &steered).await?;
        let settled = api.settled().await?;
        ensure!(
            (settled.posted, settled.held, settled.open_holds) == (2_000_000_000, 0, 0),
            "{body}"
        );
        Ok(())
    });
    let failed = failed.buffer_unordered(AT_ONCE);
    failed.try_collect::<()>().await?;
    aio.finish().await
}

/// What fails is free, and its hold is gone within a second.
async fn freed_soon(api: &Api, route: &str, body: &Value) -> Result<()> {
    for _ in 0..TRIES {
        let task = submit(api, route, body).await?;
        let ended = Instant::now();
        ensure!(
            task["status"] == "failed" && task["consumed_microcredits"] == 0,
            "{body}: {task}"
        );
        api.settled().await?;
        if ended.elapsed() < SOON {
            return Ok(());
        }
    }
    bail!("the hold of {body} stays for more than {SOON:?}")
}

#[tokio::test]
async fn a_picture_is_made_larger_by_who_made_it() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(1_000).await?.api;
    let grok = |more: Value| {
        let mut body = json!({ "model": "grok-imagine" });
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
            body.extend(more);
        }
        body
    };
    let small = submit(
        &api,
        PICTURES,
        &grok(json!({ "prompt": "a fox [sandbox delay=10ms]" })),
    )
    .await?;
    let id = &small["task_id"];
    let larger = |id: &Value| grok(json!({ "model": "grok-imagine/upscale", "task_id": id }));
    let large = submit(&api, PICTURES, &larger(id)).await?;
    check(&api, &large, 12)
        .await
        .with_context(|| large.to_string())?;
    assert_eq!(&large["request"]["task_id"], id);

    // Another account's, one that failed, one of another model, and none at all.
    let other = aio.account(1_000).await?.api;
    let failed = submit(
        &api,
        PICTURES,
        &grok(json!({ "prompt": "a fox [sandbox outcome=fail]" })),
    )
    .await?;
    let flux = json!({ "model": "flux-2", "prompt": "a fox [sandbox delay=10ms]" });
    let flux = submit(&api, PICTURES, &flux).await?;
    for (api, id, status, code) in [
        (&other, id, 404, "not_found"),
        (&api, &failed["task_id"], 400, "invalid_parameter"),
        (&api, &flux["task_id"], 404, "not_found"),
        (
            &api,
            &json!("task_01h455vb4pex5vsknk084sn02q"),
            404,
            "not_found",
        ),
    ] {
        let refused = api.post(PICTURES, &larger(id)).await?;
        let error = refused.error(status, code)?;
        assert_eq!(error["param"], "task_id");
    }
    let settled = api.settled().await?;
    assert_eq!(settled.posted, (1_000 - 5 - 12 - 5) * 1_000_000);
    aio.finish().await
}

#[tokio::test]
async fn a_film_that_is_longer_than_was_said_is_not_changed_and_costs_nothing() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(10_000).await?.api;
    for (tool, seconds, fits) in [
        ("video-bg-remover", 30, true),
        ("video-bg-remover", 31, false),
        ("video-upscale", 31, false),
    ] {
        let route = match tool {
            "video-upscale" => "/videos/tools/upscale",
            _ => "/videos/tools/bg-remover",
        };
        let film = format!("https://example.com/a.mp4?seconds={seconds}&[sandbox%20delay=10ms]");
        let body = json!({ "model": tool, "video": film });
        let task = submit(&api, route, &body).await?;
        if fits {
            ensure!(task["consumed_microcredits"] == 60_000_000, "{task}");
            continue;
        }
        ensure!(task["error"]["code"] == "input_too_long", "{task}");
        ensure!(
            task["consumed_microcredits"] == 0 && task["response"] == json!([]),
            "{task}"
        );
        let id = task["task_id"].as_str().context("no id")?;
        let file = api.get(&format!("/tasks/{id}/files/0")).await?;
        ensure!(file.status == 404, "{}", file.status);
    }
    let settled = api.settled().await?;
    assert_eq!(
        (settled.posted, settled.held, settled.open_holds),
        (9_940_000_000, 0, 0)
    );
    aio.finish().await
}
