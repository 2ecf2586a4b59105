//! Sounds that are heard while they are made: what a maker says reaches who listens at once, and what is kept is the same; whoever listens, and
//! however slowly, the task goes its own way.

use std::{
    io,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use domain::TaskId;
use futures::FutureExt as _;
use prost::bytes::Bytes;
use proto::{
    code,
    media::v1::{HeardHead, HeardPart, ListenRequest, SubmitRequest, heard_part::Part},
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::{
    at_once::serve,
    house::Running,
    life::read_with_head,
    natives::{NOBODY, built_in, resellers, section},
    sandboxed::Sandboxed,
};

const ROUTE: &str = "audio/speech";
const MPEG: &str = "audio/mpeg";
const SAMPLES: &str = "audio/pcm";

/// What a maker says next of a sound; nobody says anything more once it is dropped.
type Mouth = mpsc::Sender<io::Result<Bytes>>;

/// What somebody wants to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    File,
    Samples,
}

/// A maker that refuses a request with each of these statuses, and answers the next one with what is said by the mouth, as such a content.
async fn maker(content_type: &'static str, refusals: &[u16]) -> (String, Mouth) {
    let (mouth, says) = mpsc::channel(16);
    let turns: Vec<u16> = refusals.iter().rev().copied().collect();
    let script = Arc::new(Mutex::new((turns, Some(says))));
    let answer = move || async move {
        let mut script = script.lock().unwrap();
        if let Some(status) = script.0.pop() {
            let body = json!({ "error": { "message": "m", "type": "t" } }).to_string();
            return (StatusCode::from_u16(status).unwrap(), body).into_response();
        }
        let says = script.1.take().unwrap();
        let mut answer = Response::new(Body::from_stream(ReceiverStream::new(says)));
        let kind = content_type.parse().unwrap();
        answer.headers_mut().insert(CONTENT_TYPE, kind);
        answer
    };
    (serve(Router::new().fallback(answer)).await, mouth)
}

/// Media before this maker of the models of OpenAI, with these settings of what is kept.
async fn before(maker: &str, settings: &str) -> Sandboxed {
    Sandboxed::live_of(built_in(), |house, _| {
        let house = house.with_sections(&section("openai", maker));
        if settings.is_empty() {
            house
        } else {
            house.with_outputs(settings)
        }
    })
    .await
}

/// A text of this format.
fn text(format: &str) -> Value {
    json!({ "model": "tts-1", "input": "Hi", "response_format": format })
}

fn request(running: &Running, body: &Value) -> SubmitRequest {
    SubmitRequest {
        route: ROUTE.to_owned(),
        ..running.request(&body.to_string(), "")
    }
}

async fn listen(running: &Running, task: &Bytes, wants: Wants) -> Streaming<HeardPart> {
    let request = ListenRequest {
        context: Some(running.context()),
        task_id: task.clone(),
        samples: wants == Wants::Samples,
    };
    let heard = running.client.clone().listen(request).await;
    heard.unwrap().into_inner()
}

/// A task that is listened to from its beginning.
async fn asked(running: &Running, body: &Value, wants: Wants) -> (TaskId, Streaming<HeardPart>) {
    let request = request(running, body);
    let heard = listen(running, &request.task_id, wants).await;
    let reply = running.send(request).await.unwrap();
    (TaskId::from_slice(&reply.task_id).unwrap(), heard)
}

async fn say(mouth: &Mouth, piece: &'static [u8]) {
    mouth.send(Ok(Bytes::from_static(piece))).await.unwrap();
}

async fn head(heard: &mut Streaming<HeardPart>) -> HeardHead {
    let head = match heard.message().await.unwrap().unwrap().part.unwrap() {
        Part::Head(head) => Some(head),
        Part::Data(_) => None,
    };
    head.unwrap()
}

/// The next piece; `None` at the end.
async fn piece(heard: &mut Streaming<HeardPart>) -> Option<Bytes> {
    let piece = match heard.message().await.unwrap()?.part.unwrap() {
        Part::Data(piece) => Some(piece),
        Part::Head(_) => None,
    };
    Some(piece.unwrap())
}

/// Nothing was heard, and nobody hung up.
fn is_silent(heard: &mut Streaming<HeardPart>) -> bool {
    heard.message().now_or_never().is_none()
}

#[tokio::test]
async fn a_sound_is_heard_while_its_maker_says_it() {
    let (maker, mouth) = maker(MPEG, &[]).await;
    let sandboxed = before(&maker, "").await;
    let running = &sandboxed.running;
    let (task, mut heard) = asked(running, &text("mp3"), Wants::File).await;
    say(&mouth, b"ID3\x04 one").await;
    let told = head(&mut heard).await;
    assert_eq!(told.content_type, MPEG);
    assert_eq!(piece(&mut heard).await.unwrap(), "ID3\x04 one");
    say(&mouth, b" two").await;
    assert_eq!(piece(&mut heard).await.unwrap(), " two");
    let view = running.view(task).await.unwrap();
    assert_eq!(
        (&view["status"], &view["attempts"]),
        (&json!("processing"), &json!(told.attempt))
    );
    drop(mouth);
    assert_eq!(piece(&mut heard).await, None);
    running.reaches(task, "completed").await;
    let (kept, bytes) = read_with_head(running, task, None).await;
    assert_eq!(kept.content_type, MPEG);
    assert_eq!(bytes, b"ID3\x04 one two");
    sandboxed.settles(task, &[1_000_000]).await;
}

#[tokio::test]
async fn samples_are_heard_as_they_come_and_kept_as_a_file() {
    let (maker, mouth) = maker(SAMPLES, &[]).await;
    let sandboxed = before(&maker, "").await;
    let running = &sandboxed.running;
    let (task, mut heard) = asked(running, &text("wav"), Wants::Samples).await;
    say(&mouth, &[1]).await;
    assert_eq!(head(&mut heard).await.content_type, "");
    assert_eq!(piece(&mut heard).await.unwrap(), [1].as_slice());
    // Half a sample at the end is none.
    say(&mouth, &[2, 3]).await;
    assert_eq!(piece(&mut heard).await.unwrap(), [2, 3].as_slice());
    drop(mouth);
    assert_eq!(piece(&mut heard).await, None);
    running.reaches(task, "completed").await;
    let (_, bytes) = read_with_head(running, task, None).await;
    assert_eq!(bytes.get(44..), Some([1, 2].as_slice()));
}

#[tokio::test]
async fn who_wants_something_else_hears_nothing() {
    for (kind, format, wants, said) in [
        (MPEG, "mp3", Wants::Samples, b"ID3\x04 a sound".as_slice()),
        (SAMPLES, "wav", Wants::File, &[0; 100]),
        // They say that it is a sound, and it is a picture.
        (MPEG, "mp3", Wants::File, crate::files::PNG),
    ] {
        let (maker, mouth) = maker(kind, &[]).await;
        let sandboxed = before(&maker, "").await;
        let running = &sandboxed.running;
        let (task, mut heard) = asked(running, &text(format), wants).await;
        say(&mouth, said).await;
        drop(mouth);
        running.reaches(task, "completed").await;
        assert!(is_silent(&mut heard), "{format} {wants:?}");
    }
}

#[tokio::test]
async fn another_account_hears_nothing() {
    let (maker, mouth) = maker(MPEG, &[]).await;
    let sandboxed = before(&maker, "").await;
    let running = &sandboxed.running;
    let request = request(running, &text("mp3"));
    let stranger = running.stranger().live();
    let mut first = listen(&stranger, &request.task_id, Wants::File).await;
    let mut second = listen(running, &request.task_id, Wants::File).await;
    assert_eq!(piece(&mut second).await, None, "one listens already");
    let task = TaskId::from_slice(&request.task_id).unwrap();
    running.send(request).await.unwrap();
    say(&mouth, b"ID3\x04 a secret").await;
    drop(mouth);
    running.reaches(task, "completed").await;
    assert!(is_silent(&mut first));
}

#[tokio::test]
async fn what_breaks_off_is_free_whoever_has_heard_it() {
    let (maker, mouth) = maker(MPEG, &[]).await;
    let sandboxed = before(&maker, "").await;
    let running = &sandboxed.running;
    let (task, mut heard) = asked(running, &text("mp3"), Wants::File).await;
    say(&mouth, b"ID3\x04 half of").await;
    head(&mut heard).await;
    assert_eq!(piece(&mut heard).await.unwrap(), "ID3\x04 half of");
    let broken = io::Error::from(io::ErrorKind::ConnectionReset);
    mouth.send(Err(broken)).await.unwrap();
    assert_eq!(piece(&mut heard).await, None);
    sandboxed.fails(task, code::SUBMIT_OUTCOME_UNKNOWN).await;
}

#[tokio::test]
async fn the_attempt_that_is_heard_is_the_one_that_is_kept() {
    let (maker, mouth) = maker(MPEG, &[429]).await;
    let sandboxed = before(&maker, "").await;
    let running = &sandboxed.running;
    let (task, mut heard) = asked(running, &text("mp3"), Wants::File).await;
    say(&mouth, b"ID3\x04 a sound").await;
    let told = head(&mut heard).await;
    drop(mouth);
    let view = running.reaches(task, "completed").await;
    assert_eq!(view["attempts"], told.attempt);
    assert_eq!(piece(&mut heard).await.unwrap(), "ID3\x04 a sound");
    assert_eq!(piece(&mut heard).await, None);
}

#[tokio::test]
async fn who_resells_a_dialogue_is_not_heard_and_takes_over() {
    let nobody = section("elevenlabs", NOBODY);
    let sections = |sandbox: &str| format!("{nobody}{}", resellers(sandbox));
    let sandboxed = Sandboxed::live(built_in(), sections).await;
    let running = &sandboxed.running;
    let body = json!({ "model": "elevenlabs-v3", "dialogue": [{ "text": "Hi" }] });
    let (task, mut heard) = asked(running, &body, Wants::File).await;
    let view = running.reaches(task, "completed").await;
    assert_eq!(view["attempts"], 2, "{view}");
    assert!(is_silent(&mut heard));
}

#[tokio::test]
async fn its_maker_says_a_dialogue_piece_by_piece_to_who_listens() {
    let sandboxed = Sandboxed::new(built_in()).await;
    let running = &sandboxed.running;
    let said = "The quick brown fox jumps over [sandbox chunk_delay=1ms]";
    let price = 28_000 * i64::try_from(said.len()).unwrap();
    for (format, wants) in [
        ("mp3", Wants::File),
        ("opus", Wants::File),
        ("wav", Wants::Samples),
    ] {
        let line = json!([{ "text": said }]);
        let body = json!({ "model": "elevenlabs-v3", "dialogue": line, "response_format": format });
        let (task, mut heard) = asked(running, &body, wants).await;
        head(&mut heard).await;
        let mut pieces = Vec::new();
        while let Some(piece) = piece(&mut heard).await {
            pieces.push(piece);
        }
        assert!(pieces.len() > 1, "{format}");
        running.reaches(task, "completed").await;
        let (_, kept) = read_with_head(running, task, None).await;
        let kept = match wants {
            Wants::Samples => &kept[44..],
            Wants::File => &kept[..],
        };
        assert!(pieces.concat() == kept, "{format}");
        sandboxed.settles(task, &[price]).await;
    }
}

#[tokio::test]
async fn who_is_too_slow_or_one_too_many_keeps_nobody_waiting() {
    for settings in ["listener_bytes = 10", "listeners = 0"] {
        let (maker, mouth) = maker(MPEG, &[]).await;
        let sandboxed = before(&maker, settings).await;
        let running = &sandboxed.running;
        let (task, mut heard) = asked(running, &text("mp3"), Wants::File).await;
        say(&mouth, b"ID3\x04 more than ten bytes").await;
        say(&mouth, b" and some").await;
        drop(mouth);
        running.reaches(task, "completed").await;
        let mut pieces = 0;
        while let Some(part) = heard.message().await.unwrap() {
            pieces += usize::from(matches!(part.part, Some(Part::Data(_))));
        }
        assert_eq!(pieces, 0, "{settings}");
        let (_, bytes) = read_with_head(running, task, None).await;
        assert_eq!(bytes, b"ID3\x04 more than ten bytes and some");
        sandboxed.settles(task, &[1_000_000]).await;
    }
}

#[tokio::test]
async fn a_process_that_stops_lets_go_of_who_listens() {
    let (maker, _mouth) = maker(MPEG, &[]).await;
    let sandboxed = before(&maker, "").await;
    let running = &sandboxed.running;
    let request = request(running, &text("mp3"));
    let mut heard = listen(running, &request.task_id, Wants::File).await;
    running.dies().await;
    assert!(heard.message().await.unwrap().is_none());
}
