//! Media that keeps its files in a bucket.

use std::pin::pin;

use chassis::mint;
use db::Engine;
use proto::media::v1::{UploadHead, UploadPart, upload_part::Part};
use sqlx::Row as _;
use testkit::Bucket;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    database::on_both_engines,
    fakes::FILM,
    files::{PNG, delete, id, read, rows, upload},
    files_left::set,
    house::{House, Running, eventually},
    life::read_with_head,
};

on_both_engines! {
    a_file_is_kept_read_and_deleted_in_a_bucket,
    a_film_is_kept_and_measured_in_a_bucket,
    a_file_that_would_have_to_be_fetched_as_a_whole_is_kept_unmeasured,
    what_a_process_was_at_when_it_died_is_found_again_in_a_bucket,
}

async fn nothing_is_left(bucket: &Bucket, running: &Running) {
    eventually("nothing is left of it", async || {
        rows(running).await == 0
            && bucket.objects().unwrap().is_empty()
            && bucket.unfinished().unwrap().is_empty()
    })
    .await;
}

async fn a_file_is_kept_read_and_deleted_in_a_bucket(engine: Engine) {
    let bucket = Bucket::start().await.unwrap();
    let house = House::new(engine, vec![]).await.with_bucket(&bucket);
    let running = house.start().await;
    let long: Vec<u8> = PNG.iter().copied().cycle().take(5_300_000).collect();
    let file = upload(&running, &long).await.unwrap();
    let whole = read(&running, id(&file), (None, None)).await.unwrap();
    assert!(whole == long);
    let part = read(&running, id(&file), (Some(5_242_870), Some(5_242_890))).await;
    assert!(part.unwrap() == long[5_242_870..5_242_890]);
    assert_eq!(
        bucket.objects().unwrap(),
        [format!("uploads/{}", id(&file))]
    );
    delete(&running, id(&file)).await.unwrap();
    nothing_is_left(&bucket, &running).await;
}

async fn a_film_is_kept_and_measured_in_a_bucket(engine: Engine) {
    let bucket = Bucket::start().await.unwrap();
    let house = House::new(engine, vec![]).await.with_bucket(&bucket);
    house.provider.finish_with("film");
    let running = house.start().await;
    let task = running.accepted().await;
    let view = running.reaches(task, "completed").await;
    assert_eq!(view["output"][0]["duration_seconds"], 2.4);
    assert_eq!(view["output"][0]["width"], 96);
    let (_, bytes) = read_with_head(&running, task, None).await;
    assert_eq!(bytes, FILM);
    assert_eq!(bucket.objects().unwrap(), [format!("{task}/0")]);
}

async fn a_file_that_would_have_to_be_fetched_as_a_whole_is_kept_unmeasured(engine: Engine) {
    let bucket = Bucket::start().await.unwrap();
    let house = House::new(engine, vec![]).await.with_bucket(&bucket);
    let running = house.start().await;
    // One box after another, each as long as what is fetched at once, and what tells the length behind them.
    let block = 256 * 1024_u32;
    let mut film = FILM[..32].to_vec();
    for _ in 0..70 {
        film.extend(block.to_be_bytes());
        film.extend(b"free");
        film.resize(film.len() + 256 * 1024 - 8, 0);
    }
    film.extend(&FILM[32..]);
    let file = upload(&running, &film).await.unwrap();
    assert_eq!(file.content_type, "video/mp4");
    assert_eq!((file.width, file.duration_millis), (0, 0));
    // A little less of it, and it is measured.
    film.drain(32..32 + 50 * 256 * 1024);
    let file = upload(&running, &film).await.unwrap();
    assert_eq!((file.width, file.duration_millis), (96, 2_400));
}

async fn what_a_process_was_at_when_it_died_is_found_again_in_a_bucket(engine: Engine) {
    let bucket = Bucket::start().await.unwrap();
    let house = House::new(engine, vec![]).await.with_bucket(&bucket);
    let mut apart = house.start_apart().await;
    let (sender, receiver) = mpsc::channel(99);
    let head = UploadHead {
        context: Some(apart.running.context()),
        file_id: mint::<domain::ids::File>().to_vec().into(),
        filename: "a film.mp4".to_owned(),
        most_bytes: 0,
    };
    let piece = vec![0; 200_000];
    let data = (0..60).map(|_| Part::Data(piece.clone().into()));
    let first = [Part::Head(head), Part::Data(PNG.into())];
    for part in first.into_iter().chain(data) {
        sender.send(UploadPart { part: Some(part) }).await.unwrap();
    }
    {
        let mut files = apart.running.files.clone();
        let mut call = pin!(files.upload(ReceiverStream::new(receiver)));
        eventually("two parts are there", async || {
            assert!(futures::poll!(call.as_mut()).is_pending());
            bucket.unfinished().unwrap().len() >= 3
        })
        .await;
        let noted = sqlx::query("select parts from upload");
        let noted = noted.fetch_one(apart.running.db.reader()).await.unwrap();
        assert!(noted.get::<Option<String>, _>("parts").is_some());
        apart.kill();
    }
    let running = house.start().await;
    if engine == Engine::Postgres {
        // Others may be at it, until its time is over.
        assert_eq!(rows(&running).await, 1);
        set(&running, "due_at = 1").await;
    }
    nothing_is_left(&bucket, &running).await;
    drop(sender);
}
