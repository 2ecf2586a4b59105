//! Every model that makes something: it is asked for as the docs show it, makes a file of its kind, and costs what its price says; what
//! fails is free. With test keys the sandbox speaks each provider's own wire, so that every adapter is in it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};
use testkit::{Aio, Api, eventually};
use tokio::process::Command;

const PICTURES: &str = "/images/generations";
const FILMS: &str = "/videos/generations";
const MUSIC: &str = "/audio/music";
const SPEECH: &str = "/audio/speech";

/// A sound without an index is as long as its bytes make it.
const SLACK: Duration = Duration::from_millis(300);

/// What a model is asked on its route, and what that costs, in credits.
type Asked = (&'static str, Value, i64);

const FOX: &str = "https://example.com/fox.png";
/// The sandbox makes of it what lasts so many seconds.
const FILM: &str = "https://example.com/fox.mp4?seconds=7";

/// One request for each model, and for some of their parts.
fn asked() -> Vec<Asked> {
    [pictures(), films(), tools(), sounds()].concat()
}

fn pictures() -> Vec<Asked> {
    vec![
        (PICTURES, json!({ "model": "flux-2", "type": "flex" }), 14),
        (PICTURES, json!({ "model": "gpt-image-1-5" }), 10),
        (
            PICTURES,
            json!({ "model": "gpt-image-1.5", "quality": "high" }),
            28,
        ),
        (PICTURES, json!({ "model": "ideogram-v3" }), 8),
        (PICTURES, json!({ "model": "ideogram-v3-quality" }), 20),
        (PICTURES, json!({ "model": "ideogram-v4" }), 12),
        (PICTURES, json!({ "model": "imagen-4" }), 8),
        (
            PICTURES,
            json!({ "model": "imagen4-ultra", "num_images": 3 }),
            36,
        ),
        (PICTURES, json!({ "model": "seedream-4-5" }), 12),
        (
            PICTURES,
            json!({ "model": "seedream/4.5-edit", "image_urls": [FOX] }),
            12,
        ),
        (PICTURES, json!({ "model": "grok-imagine" }), 5),
        (
            PICTURES,
            json!({ "model": "kling-image-o1", "images": [FOX] }),
            6,
        ),
        (
            PICTURES,
            json!({ "model": "nano-banana-pro", "resolution": "4k" }),
            24,
        ),
        (PICTURES, json!({ "model": "qwen-image" }), 4),
        (PICTURES, json!({ "model": "z-image" }), 1),
    ]
}

fn films() -> Vec<Asked> {
    vec![
        (FILMS, json!({ "model": "kling-3" }), 300),
        (
            FILMS,
            json!({ "model": "kling-3", "mode": "pro", "duration": "15" }),
            1_200,
        ),
        (
            FILMS,
            json!({ "model": "hailuo-2-3", "image": FOX, "duration": 10 }),
            45,
        ),
        (
            FILMS,
            json!({ "model": "wan-2-6", "duration": "5", "resolution": "720p" }),
            80,
        ),
        (
            FILMS,
            json!({ "model": "vidu-q3", "generate_audio": false, "resolution": "540p" }),
            13,
        ),
        (FILMS, json!({ "model": "pixverse-5-6" }), 90),
        (FILMS, json!({ "model": "seedance-1-5-pro" }), 28),
        (FILMS, json!({ "model": "grok-video" }), 24),
        (FILMS, json!({ "model": "veo-3-1" }), 64),
    ]
}

fn tools() -> Vec<Asked> {
    vec![
        (
            "/images/tools/remove-bg",
            json!({ "model": "bg-remover", "image": FOX }),
            1,
        ),
        (
            "/images/tools/upscale",
            json!({ "model": "image-upscale", "image": FOX }),
            1,
        ),
        (
            "/images/tools/face-swap",
            json!({ "model": "face-swap", "image": FOX, "face_image": FOX }),
            4,
        ),
        (
            "/videos/tools/bg-remover",
            json!({ "model": "video-bg-remover", "video": FILM }),
            14,
        ),
        (
            "/videos/tools/bg-remover",
            json!({ "model": "video-bg-remover", "video": FILM, "output_format": "mov", "max_seconds": 7 }),
            14,
        ),
        (
            "/videos/tools/upscale",
            json!({ "model": "video-upscale", "video": FILM }),
            35,
        ),
        (
            "/videos/tools/upscale",
            json!({ "model": "video-upscale", "video": FILM, "factor": 4 }),
            70,
        ),
    ]
}

fn sounds() -> Vec<Asked> {
    vec![
        (
            SPEECH,
            json!({ "model": "elevenlabs-v3", "dialogue": [{ "text": "Hi", "voice": "narrator" }] }),
            1,
        ),
        (
            MUSIC,
            json!({ "model": "minimax-music", "lyrics": "la la", "bitrate": 60_000 }),
            30,
        ),
        (MUSIC, json!({ "model": "minimax-music" }), 30),
        (MUSIC, json!({ "model": "suno" }), 5),
        (MUSIC, json!({ "model": "suno-v4-5" }), 10),
        (
            MUSIC,
            json!({ "model": "chirp-v5-5", "style": "folk", "title": "Fox" }),
            12,
        ),
        (MUSIC, json!({ "gpt_description_prompt": "a song" }), 5),
    ]
}

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

#[tokio::test]
async fn every_model_makes_its_files_at_its_price() -> Result<()> {
    let aio = Aio::start().await?;
    let api = aio.account(10_000).await?.api;
    let listed = api.get("/models").await?.json()?;
    let listed = listed["data"].as_array().context("no models")?.iter();
    // What goes on from a song, or is made of an upload, is in `songs.rs`.
    let is_of_a_song = |model: &&Value| {
        let route = model["route"].as_str().unwrap_or_default();
        route.starts_with("audio/music/")
    };
    for model in listed
        .filter(|model| model["category"] != "chat" && model["category"] != "embedding")
        .filter(|model| !is_of_a_song(model))
    {
        let names = [&model["id"]]
            .into_iter()
            .chain(model["aliases"].as_array().into_iter().flatten());
        let names: Vec<&Value> = names.collect();
        let is_asked = asked()
            .iter()
            .any(|(_, body, _)| names.contains(&&body["model"]));
        assert!(is_asked, "nobody asks {model}");
    }
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
        let file = api.get(&format!("/tasks/{id}/files/{number}")).await?.body;
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
async fn probe(file: &[u8], lasts: Option<f64>) -> Result<()> {
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
    let api = aio.account(10_000).await?.api;
    let failed = asked().into_iter().map(async |(route, body, _)| {
        let task = submit(
            &api,
            route,
            &steered(route, &body, "outcome=fail delay=10ms"),
        )
        .await?;
        ensure!(
            task["status"] == "failed" && task["consumed_microcredits"] == 0,
            "{body}: {task}"
        );
        Ok(())
    });
    try_join_all(failed).await?;
    let settled = api.settled().await?;
    assert_eq!(
        (settled.posted, settled.held, settled.open_holds),
        (10_000_000_000, 0, 0)
    );
    aio.finish().await
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
