//! Tools for pictures: each of their providers, alone, makes what it is asked for at the tool's price; and what is cut out stands on nothing, or costs
//! nothing.

use std::sync::Arc;

use axum::{
    Json, Router,
    http::{
        HeaderMap, StatusCode,
        header::{CONTENT_TYPE, HOST},
    },
    routing::{get, post},
};
use domain::Catalogue;
use proto::code;
use serde_json::{Value, json};

use crate::{
    at_once::serve,
    life::read_with_head,
    natives::{NOBODY, section, submit},
    sandboxed::{Bill, Sandboxed},
};

const CUT_OUT: &str = include_str!("../../../../crates/domain/catalogue/bg-remover.toml");
const SWAP: &str = include_str!("../../../../crates/domain/catalogue/face-swap.toml");
const FILM: &str = include_str!("../../../../crates/domain/catalogue/video-bg-remover.toml");
const LARGER: &str = include_str!("../../../../crates/domain/catalogue/image-upscale.toml");
/// What stands before each of a model's providers.
const ROW: &str = "[[providers]]";
const FOX: &str = "https://example.com/fox.png";
const FACE: &str = "https://example.com/face.png";

/// The models, and this one with only this of its providers.
fn alone(text: &str, row: &str) -> Arc<Catalogue> {
    let (own, _) = text.split_once(ROW).unwrap();
    let slug = own.split('"').nth(1).unwrap().to_owned();
    let file = (format!("{slug}.toml"), format!("{own}{ROW}{row}"));
    Arc::new(Catalogue::with(&[file], &[slug]).unwrap())
}

/// One request, of one provider alone: what it says of the output, the file, and the provider's bill.
struct Asked {
    provider: String,
    output: Value,
    file: Vec<u8>,
    bill: Bill,
}

/// Asks each provider of a tool for what it is there for.
async fn each(text: &str, (route, more): (&str, Value), credits: i64) -> Vec<Asked> {
    let mut all = Vec::new();
    for row in text.split(ROW).skip(1) {
        let catalogue = alone(text, row);
        let slug = text.split('"').nth(1).unwrap();
        let only = catalogue.find(slug).unwrap().providers[0].clone();
        let sandboxed = Sandboxed::new(catalogue).await;
        let mut body = json!({ "model": slug, "image": FOX });
        let body_of = body.as_object_mut().unwrap();
        body_of.extend(more.as_object().unwrap().clone());
        body_of.extend(only.when);
        let task = submit(&sandboxed.running, route, &body).await.unwrap();
        let view = sandboxed.running.reaches(task, "completed").await;
        assert_eq!(view["attempts"], 1, "{view}");
        sandboxed.settles(task, &[credits * 1_000_000]).await;
        let (_, file) = read_with_head(&sandboxed.running, task, None).await;
        all.push(Asked {
            output: view["output"][0].clone(),
            file,
            bill: sandboxed.bill(&only.provider).await,
            provider: only.provider,
        });
    }
    all
}

/// How a PNG says that its colours are, and how opaque its pixels are where it says that.
fn decoded(file: &[u8]) -> (png::ColorType, Vec<u8>) {
    let decoder = png::Decoder::new(std::io::Cursor::new(file));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let alpha = if info.color_type == png::ColorType::Rgba {
        pixels.chunks_exact(4).map(|rgba| rgba[3]).collect()
    } else {
        Vec::new()
    };
    (info.color_type, alpha)
}

#[tokio::test]
async fn whoever_removes_a_background_leaves_nothing_in_its_place() {
    let asked = each(CUT_OUT, ("images/tools/remove-bg", json!({})), 1).await;
    let providers: Vec<&str> = asked.iter().map(|asked| &*asked.provider).collect();
    assert_eq!(
        providers,
        ["kie", "fal", "piapi", "bria", "photoroom", "removebg"]
    );
    for asked in &asked {
        let whose = &asked.provider;
        assert_eq!(asked.output["content_type"], "image/png", "{whose}");
        assert_eq!(asked.output["bytes"], asked.file.len(), "{whose}");
        let (colours, alpha) = decoded(&asked.file);
        assert_eq!(colours, png::ColorType::Rgba, "{whose}");
        assert!(
            alpha.contains(&0) && alpha.contains(&u8::MAX),
            "{whose} has made nothing that can be seen through"
        );
        assert_eq!(asked.bill.jobs, 1, "{whose}");
    }
}

#[tokio::test]
async fn whoever_swaps_faces_does_so_at_the_price_of_the_tool() {
    let more = json!({ "face_image": FACE, "target_index": 3 });
    let asked = each(SWAP, ("images/tools/face-swap", more), 4).await;
    let told: Vec<(&str, &str, i64)> = asked
        .iter()
        .map(|asked| {
            let kind = asked.output["content_type"].as_str().unwrap();
            (&*asked.provider, kind, asked.bill.billed)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("piapi", "image/png", 10_000),
            ("piapi", "image/png", 20_000),
            ("replicate", "image/png", 3_000),
            ("fal", "image/png", 10_000),
            ("segmind", "image/png", 50_000),
        ]
    );
}

#[tokio::test]
async fn a_format_is_kept_by_who_can_be_told_one() {
    let (_, row) = SWAP.rsplit_once(ROW).unwrap();
    let sandboxed = Sandboxed::new(alone(SWAP, row)).await;
    for (format, kind) in [("jpg", "image/jpeg"), ("webp", "image/webp")] {
        let body = json!({ "model": "face-swap", "image": FOX, "face_image": FACE, "output_format": format });
        let task = submit(&sandboxed.running, "images/tools/face-swap", &body);
        let task = task.await.unwrap();
        let view = sandboxed.running.reaches(task, "completed").await;
        assert_eq!(view["output"][0]["content_type"], kind, "{view}");
    }
}

#[tokio::test]
async fn whoever_enlarges_a_picture_does_so_at_the_price_of_the_tool() {
    let asked = each(LARGER, ("images/tools/upscale", json!({})), 1).await;
    let providers: Vec<&str> = asked.iter().map(|asked| &*asked.provider).collect();
    assert_eq!(providers, ["kie", "fal", "piapi", "bria", "topaz"]);
    for asked in &asked {
        assert_eq!(asked.output["content_type"], "image/png");
        assert_eq!(asked.bill.jobs, 1, "{}", asked.provider);
    }
}

/// A picture of one pixel: red, with this alpha channel or none.
fn pixel(alpha: Option<u8>) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 1, 1);
    encoder.set_color(match alpha {
        Some(_) => png::ColorType::Rgba,
        None => png::ColorType::Rgb,
    });
    let mut writer = encoder.write_header().unwrap();
    let pixel: Vec<u8> = [255, 0, 0].into_iter().chain(alpha).collect();
    writer.write_image_data(&pixel).unwrap();
    writer.finish().unwrap();
    file
}

/// A provider of either kind: it answers with this picture at once, or has it as what its task made.
async fn maker(picture: Vec<u8>) -> String {
    let there = {
        let picture = picture.clone();
        move || async move { ([(CONTENT_TYPE, "image/png")], picture) }
    };
    let at_once = move || async move { ([(CONTENT_TYPE, "image/png")], picture) };
    let fine = |task: Value| Json(json!({ "code": 200, "message": "success", "data": task }));
    let taken = move || async move { fine(json!({ "task_id": "9", "status": "pending" })) };
    let done = move |headers: HeaderMap| async move {
        let host = headers[HOST].to_str().unwrap();
        let output = json!({ "image_url": format!("http://{host}/made.png") });
        fine(json!({ "task_id": "9", "status": "completed", "output": output }))
    };
    let router = Router::new()
        .route("/removebg", post(at_once))
        .route("/made.png", get(there))
        .route("/api/v1/task", post(taken))
        .route("/api/v1/task/9", get(done));
    serve(router).await
}

#[tokio::test]
async fn what_has_no_alpha_channel_is_not_what_was_asked_for_and_costs_nothing() {
    for (provider, alpha, is_charged) in [
        ("removebg", None, false),
        ("piapi", None, false),
        ("removebg", Some(0), true),
        ("piapi", Some(0), true),
        // What is all of the picture may be what was to be cut out.
        ("removebg", Some(255), true),
    ] {
        let maker = maker(pixel(alpha)).await;
        // Whoever else has the tool is not asked: the one who failed has billed it.
        let sections = |sandbox: &str| {
            let other = section("kie", &format!("{sandbox}/kie"));
            format!("{}{other}", section(provider, &maker))
        };
        let only = CUT_OUT.split(ROW).skip(1);
        let mut only = only.filter(|row| row.contains(&format!("provider = \"{provider}\"")));
        let behind = CUT_OUT.split(ROW).nth(1).unwrap();
        let only = only.next().unwrap().replace("costly = true\n", "");
        let rows = format!("{only}\n{ROW}{behind}");
        let sandboxed = Sandboxed::live(alone(CUT_OUT, &rows), sections).await;
        let body = json!({ "model": "bg-remover", "image": FOX });
        let task = submit(&sandboxed.running, "images/tools/remove-bg", &body);
        let task = task.await.unwrap();
        if is_charged {
            let view = sandboxed.running.reaches(task, "completed").await;
            assert_eq!(view["output"][0]["content_type"], "image/png", "{view}");
            sandboxed.settles(task, &[1_000_000]).await;
            let (_, file) = read_with_head(&sandboxed.running, task, None).await;
            assert_eq!(file, pixel(alpha), "stored as it came");
        } else {
            let view = sandboxed.fails(task, code::UPSTREAM_FAILED).await;
            assert_eq!(view["attempts"], 1, "{view}");
            assert_eq!(view["output"], json!([]), "{view}");
        }
        assert_eq!(sandboxed.bill("kie").await, Bill::default());
    }
}

#[tokio::test]
async fn a_film_whose_index_stands_behind_its_pictures_is_looked_at_too() {
    // H.264, as ffmpeg writes it.
    let film = include_bytes!("../files/film.mov").to_vec();
    let maker = maker(film).await;
    let row = "\nadapter = \"piapi\"\nprovider = \"piapi\"\nmodel = \"films/clear\"\n";
    for (background, is_charged) in [("transparent", false), ("black", true)] {
        let sections = |_: &str| section("piapi", &maker);
        let sandboxed = Sandboxed::live(alone(FILM, row), sections).await;
        let video = format!("{maker}/made.png");
        let body = json!({ "model": "video-bg-remover", "video": video, "background": background, "output_format": "mov" });
        let task = submit(&sandboxed.running, "videos/tools/bg-remover", &body);
        let task = task.await.unwrap();
        if is_charged {
            let view = sandboxed.running.reaches(task, "completed").await;
            assert_eq!(view["output"][0]["content_type"], "video/quicktime");
        } else {
            sandboxed.fails(task, code::UPSTREAM_FAILED).await;
        }
        let kept = sandboxed.house.database.directory().join("outputs");
        let kept = kept.join(task.to_string()).join("0");
        assert_eq!(kept.exists(), is_charged, "{background}");
    }
}

#[tokio::test]
async fn a_face_other_than_the_first_is_for_who_can_be_told_which() {
    let body = json!({ "model": "face-swap", "image": FOX, "face_image": FACE, "target_index": 2 });
    let route = "images/tools/face-swap";
    let catalogue = || Arc::new(Catalogue::built_in().unwrap());
    let others = |sandbox: &str| {
        ["fal", "replicate", "segmind"]
            .map(|name| {
                let path = if name == "segmind" {
                    "segmind/v1"
                } else {
                    name
                };
                section(name, &format!("{sandbox}/{path}"))
            })
            .concat()
    };
    let sandboxed = Sandboxed::live(catalogue(), others).await;
    let refused = submit(&sandboxed.running, route, &body).await.unwrap_err();
    assert_eq!(refused.code, code::NO_PROVIDER);
    let all = |sandbox: &str| {
        let own = section("piapi", &format!("{sandbox}/piapi"));
        format!("{own}{}", others(sandbox))
    };
    let sandboxed = Sandboxed::live(catalogue(), all).await;
    let task = submit(&sandboxed.running, route, &body).await.unwrap();
    sandboxed.running.reaches(task, "completed").await;
    sandboxed.settles(task, &[4_000_000]).await;
    let of_many = Bill {
        jobs: 1,
        billed: 20_000,
    };
    assert_eq!(sandboxed.bill("piapi").await, of_many);
}

#[tokio::test]
async fn one_that_cannot_be_asked_is_followed_at_one_charge() {
    // It is not there, the next one's account is empty, and the third can be asked.
    let empty = || async { (StatusCode::PAYMENT_REQUIRED, "no credits") };
    let replicate = serve(Router::new().fallback(empty)).await;
    let sections = |sandbox: &str| {
        [
            section("piapi", NOBODY),
            section("replicate", &replicate),
            section("fal", &format!("{sandbox}/fal")),
            section("segmind", &format!("{sandbox}/segmind/v1")),
        ]
        .concat()
    };
    let catalogue = Arc::new(Catalogue::built_in().unwrap());
    let sandboxed = Sandboxed::live(catalogue, sections).await;
    let body =
        json!({ "model": "face-swap", "image": FOX, "face_image": FACE, "output_format": "jpg" });
    let task = submit(&sandboxed.running, "images/tools/face-swap", &body);
    let task = task.await.unwrap();
    let view = sandboxed.running.reaches(task, "completed").await;
    assert_eq!(view["attempts"], 3, "{view}");
    sandboxed.settles(task, &[4_000_000]).await;
    let once = Bill {
        jobs: 1,
        billed: 10_000,
    };
    assert_eq!(sandboxed.bill("fal").await, once);
}
