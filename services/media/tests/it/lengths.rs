//! How long what a task is given may last, where its seconds are paid for.

use std::{future::pending, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use db::Engine;
use domain::{Catalogue, TaskId};
use proto::code;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{
    database::on_both_engines,
    fakes::{FILM, PNG},
    files::{get as get_file, id, upload},
    house::{House, Running, eventually},
};

on_both_engines! {
    an_uploaded_film_that_is_too_long_is_refused_before_anything_is_held,
    a_file_is_measured_as_it_comes_in,
    what_a_live_url_leads_to_is_looked_at_before_a_provider_is_asked,
    a_film_is_looked_at_where_it_tells_its_length,
    a_slow_server_holds_up_nobody_else,
    for_a_test_key_nothing_is_fetched,
    a_sound_at_a_url_has_its_bounds_as_an_uploaded_one,
}

/// The tool that films are given to, served by the one provider there is, on the one route that this house has.
fn tool() -> Arc<Catalogue> {
    let text = include_str!("../../../../crates/domain/catalogue/video-bg-remover.toml");
    let (own, _) = text.split_once("[[providers]]").unwrap();
    let own = own.replace("videos/tools/bg-remover", "images/generations");
    let text = format!(
        "{own}[[providers]]\nadapter = \"bfl\"\nprovider = \"bfl\"\nmodel = \"film\"\n[providers.input]\nprompt = \"$video\"\n"
    );
    let own = ("film.toml".to_owned(), text);
    let without = ["video-bg-remover".to_owned()];
    Arc::new(Catalogue::with(&[own], &without).unwrap())
}

fn asks(film: &str, seconds: u64) -> Value {
    // The film that its provider makes has no alpha channel.
    json!({ "model": "video-bg-remover", "video": film, "background": "black", "max_seconds": seconds })
}

async fn house(engine: Engine) -> House {
    let house = House::new(engine, vec![]).await.with_catalogue(tool());
    house.provider.finish_with("film");
    house
}

/// A house whose provider live keys reach as well.
async fn live_house(engine: Engine) -> House {
    let house = house(engine).await;
    let access = format!(
        "api_key = 'k'\nbase_url = '{}/bfl/'",
        house.provider.origin()
    );
    house.with_provider(&access)
}

/// The task fails free because what it was given is too long, and nobody was asked for anything.
async fn is_too_long(house: &House, running: &Running, task: TaskId) {
    let view = running.reaches(task, "failed").await;
    assert_eq!(view["error"]["code"], code::INPUT_TOO_LONG.word);
    let message = view["error_message"].as_str().unwrap();
    let told = "video must last 2 seconds at most, which is max_seconds: it lasts 2.4.";
    assert!(message.starts_with(told), "{message}");
    assert_eq!(house.provider.submits(), Vec::<Value>::new());
    eventually("released", async || {
        house.billing.settled(&task.to_bytes()) == [0]
    })
    .await;
}

async fn an_uploaded_film_that_is_too_long_is_refused_before_anything_is_held(engine: Engine) {
    let house = house(engine).await;
    let running = house.start().await;
    let film = id(&upload(&running, FILM).await.unwrap()).to_string();
    let body = asks(&film, 2);
    let fault = running.submit(&body, "").await.unwrap_err();
    assert_eq!(
        (fault.code, fault.param.as_deref()),
        (code::INPUT_TOO_LONG, Some("video"))
    );
    let told = "video must last 2 seconds at most, which is max_seconds: it lasts 2.4.";
    assert!(fault.message.starts_with(told), "{}", fault.message);
    let quoted = running.quote(running.request(&body.to_string(), "")).await;
    assert_eq!(quoted.unwrap_err().message, fault.message);
    assert_eq!(house.billing.holds(), 0);
    let picture = id(&upload(&running, PNG).await.unwrap()).to_string();
    let fault = running.submit(&asks(&picture, 2), "").await.unwrap_err();
    assert_eq!(fault.code, code::INVALID_PARAMETER);
    assert!(
        fault.message.contains("must be a video"),
        "{}",
        fault.message
    );
    let task = running.accepted_with(&asks(&film, 3)).await;
    running.reaches(task, "completed").await;
}

async fn a_file_is_measured_as_it_comes_in(engine: Engine) {
    let house = House::new(engine, vec![]).await;
    let running = house.start().await;
    for (bytes, size, millis) in [
        (FILM, (96, 64), 2_400),
        (PNG, (1, 1), 0),
        (include_bytes!("../files/film.mkv"), (96, 64), 2_400),
        (include_bytes!("../files/picture.gif"), (40, 24), 0),
        (include_bytes!("../files/sound.mp3"), (0, 0), 1_584),
        (b"no film at all", (0, 0), 0),
    ] {
        let file = upload(&running, bytes).await.unwrap();
        let kept = get_file(&running, id(&file)).await.unwrap();
        assert_eq!(file, kept);
        let found = ((kept.width, kept.height), kept.duration_millis);
        assert_eq!(found, (size, millis), "{}", kept.content_type);
    }
}

async fn what_a_live_url_leads_to_is_looked_at_before_a_provider_is_asked(engine: Engine) {
    let house = live_house(engine).await;
    let running = house.start().await.live();
    let film = format!("{}/film", house.provider.origin());
    let task = running.accepted_with(&asks(&film, 2)).await;
    is_too_long(&house, &running, task).await;
    // What fits is given as it is, and so is what does not tell, or is not there.
    for (place, seconds) in [("film", 3), ("error.html", 2), ("nowhere", 2)] {
        let before = house.provider.submits().len();
        let url = format!("{}/{place}", house.provider.origin());
        running.accepted_with(&asks(&url, seconds)).await;
        eventually("the provider is asked", async || {
            house.provider.submits().len() > before
        })
        .await;
        assert_eq!(house.provider.submits()[before]["prompt"], url);
    }
}

/// A file as most servers give it: from a byte on, if that is asked for.
fn part(file: &'static [u8], headers: &HeaderMap) -> Response {
    let range = headers
        .get(header::RANGE)
        .map(|range| range.to_str().unwrap());
    match range {
        None => file.into_response(),
        Some(range) => {
            let from = range
                .strip_prefix("bytes=")
                .unwrap()
                .strip_suffix('-')
                .unwrap();
            let rest = &file[from.parse::<usize>().unwrap()..];
            (StatusCode::PARTIAL_CONTENT, Body::from(rest)).into_response()
        }
    }
}

/// A server of its own; says where it is.
async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's server ends with the test"
    )]
    tokio::spawn(async move { axum::serve(listener, router).await });
    origin
}

async fn a_film_is_looked_at_where_it_tells_its_length(engine: Engine) {
    let house = live_house(engine).await;
    let house = house.with_files("looks = { piece_bytes = 200, pieces = 6 }");
    let running = house.start().await.live();
    let router = Router::new()
        // What tells it stands behind the pictures here.
        .route(
            "/parts",
            get(async |headers: HeaderMap| part(FILM, &headers)),
        );
    let origin = serve(router).await;
    let task = running
        .accepted_with(&asks(&format!("{origin}/parts"), 2))
        .await;
    is_too_long(&house, &running, task).await;
}

async fn a_slow_server_holds_up_nobody_else(engine: Engine) {
    let house = live_house(engine)
        .await
        .with_files("looks = { at_once = 1, timeout = '60s' }");
    let running = house.start().await.live();
    let asked = Arc::new(Notify::new());
    let (tell, never) = (Arc::clone(&asked), pending::<()>);
    let slow = get(async move || {
        tell.notify_one();
        never().await;
    });
    let origin = serve(Router::new().route("/slow", slow)).await;
    running
        .accepted_with(&asks(&format!("{origin}/slow"), 2))
        .await;
    asked.notified().await;
    // It is too long, which shows when it is made: nobody waits to look at it before.
    let film = format!("{}/film", house.provider.origin());
    let task = running.accepted_with(&asks(&film, 2)).await;
    running.reaches(task, "failed").await;
    let submits = house.provider.submits();
    assert_eq!(submits.len(), 1);
    assert_eq!(submits[0]["prompt"], film);
}

async fn for_a_test_key_nothing_is_fetched(engine: Engine) {
    let house = house(engine).await;
    let running = house.start().await;
    let film = format!("{}/film", house.provider.origin());
    let task = running.accepted_with(&asks(&film, 2)).await;
    let view = running.reaches(task, "failed").await;
    // It shows in what was made of it.
    assert_eq!(view["error"]["code"], code::INPUT_TOO_LONG.word);
    assert_eq!(house.provider.submits().len(), 1);
}

/// A WAV of so many seconds, of eight bits, in which nothing is heard.
fn silence(seconds: u32) -> Vec<u8> {
    let size = seconds * 8_000;
    let head = [
        &b"RIFF"[..],
        &(36 + size).to_le_bytes(),
        b"WAVEfmt ",
        &16_u32.to_le_bytes(),
        &[1, 0, 1, 0],
        &8_000_u32.to_le_bytes(),
        &8_000_u32.to_le_bytes(),
        &[1, 0, 8, 0],
        b"data",
        &size.to_le_bytes(),
    ];
    let silence = vec![0x80; usize::try_from(size).unwrap()];
    [head.concat(), silence].concat()
}

async fn a_sound_at_a_url_has_its_bounds_as_an_uploaded_one(engine: Engine) {
    let text = include_str!("../../../../crates/domain/catalogue/suno-upload-cover.toml");
    let (own, _) = text.split_once("[[providers]]").unwrap();
    let own = own.replace("audio/music/upload-cover/generate", "images/generations");
    let text = format!(
        "{own}[[providers]]\nadapter = \"bfl\"\nprovider = \"bfl\"\nmodel = \"song\"\n[providers.input]\nprompt = \"$audio_id\"\n"
    );
    // It is meant by whoever names it: the route has a model of its own that is meant without.
    let text = text.replace("default = true\n", "");
    let own = ("song.toml".to_owned(), text);
    let without = ["suno-upload-cover".to_owned()];
    let catalogue = Arc::new(Catalogue::with(&[own], &without).unwrap());
    let house = live_house(engine).await.with_catalogue(catalogue);
    let running = house.start().await.live();
    let router = Router::new()
        .route("/5", get(async || silence(5)))
        .route("/7", get(async || silence(7)))
        .route("/61", get(async || silence(61)));
    let origin = serve(router).await;
    let asks = |seconds: u32| json!({ "model": "suno-upload-cover", "audio_id": format!("{origin}/{seconds}") });
    for seconds in [5, 61] {
        let task = running.accepted_with(&asks(seconds)).await;
        let view = running.reaches(task, "failed").await;
        assert_eq!(view["error"]["code"], code::INVALID_PARAMETER.word);
        let told = format!("audio_id must be a sound of 6 to 60 seconds: it lasts {seconds}");
        assert_eq!(view["error_message"], told);
        assert_eq!(view["consumed_microcredits"], 0);
        eventually("released", async || {
            house.billing.settled(&task.to_bytes()) == [0]
        })
        .await;
    }
    assert_eq!(house.provider.submits(), Vec::<Value>::new());
    running.accepted_with(&asks(7)).await;
    eventually("the provider is asked", async || {
        !house.provider.submits().is_empty()
    })
    .await;
    assert_eq!(house.provider.submits()[0]["prompt"], format!("{origin}/7"));
}
