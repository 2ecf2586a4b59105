//! `POST /audio/speech` in OpenAI's shape: a sound leaves while it is made, but for its last piece, and what arrives is the kept file or breaks off.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use domain::TaskId;
use live::Terminal;
use proto::media::v1::{HeardHead, HeardPart, heard_part::Part};
use reqwest::{Response, Version};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tonic::Status;

use crate::house::{House, until};

const SPEECH: &str = "/api/v1/audio/speech";
const MPEG: &str = "audio/mpeg";

/// What media hears, by the test's word.
type Mouth = mpsc::Sender<Result<HeardPart, Status>>;

/// A request that is on its way, and what media hears of its sound.
struct Spoken {
    house: House,
    mouth: Mouth,
    answer: tokio::task::JoinHandle<Response>,
    task: TaskId,
}

impl Spoken {
    /// Asks for a sound, with more in the request.
    async fn ask(more: &Value) -> Self {
        let spoken = Self::ask_of(House::start().await, more, Version::HTTP_11).await;
        let listens = spoken.house.world.listens.lock().unwrap();
        let listen = listens.first().cloned().unwrap();
        drop(listens);
        let account = spoken.house.account.to_vec();
        assert_eq!(listen.task_id, spoken.task.to_vec());
        assert_eq!(listen.context.unwrap().account_id, account);
        spoken
    }

    /// Asks this house for a sound, in this version of HTTP.
    async fn ask_of(house: House, more: &Value, version: Version) -> Self {
        let (mouth, sound) = mpsc::channel(16);
        house.world.sounds.lock().unwrap().push_back(sound);
        let mut body = json!({ "model": "tts-1", "input": "Hi" });
        let members = body.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        let request = house.post(SPEECH, &house.usual_key(), body.to_string());
        let request = request.version(version);
        #[expect(
            clippy::disallowed_methods,
            reason = "a request of the test ends with it"
        )]
        let answer = tokio::spawn(async move { request.send().await.unwrap() });
        until("it is submitted", async || {
            !house.world.submits.lock().unwrap().is_empty()
        })
        .await;
        let submit = house
            .world
            .submits
            .lock()
            .unwrap()
            .first()
            .cloned()
            .unwrap();
        Self {
            task: TaskId::from_slice(&submit.task_id).unwrap(),
            house,
            mouth,
            answer,
        }
    }

    async fn tell(&self, part: Part) {
        let part = HeardPart { part: Some(part) };
        self.mouth.send(Ok(part)).await.unwrap();
    }

    /// The provider has begun to answer, with a first attempt, and says this.
    async fn say(&self, pieces: &[&'static str]) {
        let head = HeardHead {
            content_type: MPEG.to_owned(),
            attempt: 1,
        };
        self.tell(Part::Head(head)).await;
        for piece in pieces {
            self.tell(Part::Data(Bytes::from_static(piece.as_bytes())))
                .await;
        }
    }

    /// Nothing more is heard.
    fn hang_up(&mut self) {
        self.mouth = mpsc::channel(1).0;
    }

    /// The task ends so, and this is kept.
    async fn ends(&self, view: &Value, kept: &[u8]) {
        let kind = if kept.starts_with(b"RIFF") {
            "audio/wav"
        } else {
            MPEG
        };
        *self.house.world.output.lock().unwrap() = Some((kind, kept.to_vec()));
        let wire = proto::media::v1::TaskSnapshot {
            version: 9,
            terminal: true,
            view: view.to_string().into(),
            ..self.house.snapshot(self.task)
        };
        let tasks = &self.house.world.tasks;
        tasks.lock().unwrap().insert(self.task, wire);
        let snapshot = live::TaskSnapshot {
            task: self.task,
            account: self.house.account,
            mode: domain::Mode::Test,
            version: 9,
            terminal: Terminal::Ended,
            view: view.to_string().into(),
        };
        self.house.live.put_task(snapshot).await.unwrap();
    }

    async fn completes(&self, kept: &[u8]) {
        self.ends(&completed(), kept).await;
    }
}

fn completed() -> Value {
    json!({ "error": null, "consumed_credits": 1.5, "attempts": 1 })
}

fn failed() -> Value {
    let error = json!({ "code": "upstream_failed", "message": "the provider broke" });
    json!({ "error": error, "consumed_credits": 0, "attempts": 1 })
}

async fn chunk(answer: &mut Response) -> Bytes {
    answer.chunk().await.unwrap().unwrap()
}

/// A file of samples.
fn wav(samples: &[u8]) -> Vec<u8> {
    let length = u32::try_from(samples.len()).unwrap();
    let parts: [&[u8]; 5] = [
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0",
        &[0; 16],
        b"data",
        &length.to_le_bytes(),
        samples,
    ];
    parts.concat()
}

#[tokio::test]
async fn pieces_leave_before_the_task_has_ended_but_for_the_last() {
    let mut spoken = Spoken::ask(&json!({})).await;
    spoken.say(&["one", " two"]).await;
    let mut answer = (&mut spoken.answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    let headers = answer.headers();
    assert_eq!(headers["content-type"], MPEG);
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert!(headers.contains_key("x-aio-operation-id"));
    for unknown in ["x-aio-cost-credits", "content-length", "etag"] {
        assert!(!headers.contains_key(unknown), "{unknown}");
    }
    assert_eq!(chunk(&mut answer).await, "one");
    spoken.tell(Part::Data(Bytes::from_static(b" three"))).await;
    assert_eq!(chunk(&mut answer).await, " two");
    // All was heard but the task's end.
    spoken.hang_up();
    spoken.completes(b"one two three").await;
    assert_eq!(answer.text().await.unwrap(), " three");
}

#[tokio::test]
async fn what_was_not_heard_comes_from_what_is_kept() {
    for lost in [None, Some(Status::unavailable("media is gone"))] {
        let mut spoken = Spoken::ask(&json!({})).await;
        spoken.say(&["one", " two", " three"]).await;
        if let Some(status) = lost {
            spoken.mouth.send(Err(status)).await.unwrap();
        }
        let answer = (&mut spoken.answer).await.unwrap();
        spoken.hang_up();
        spoken.completes(b"one two three four, and more").await;
        assert_eq!(answer.text().await.unwrap(), "one two three four, and more");
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_whole_breaks_off() {
    let other = json!({ "error": null, "consumed_credits": 1.5, "attempts": 2 });
    let unseen = json!({ "error": null, "consumed_credits": 1.5 });
    let kept = b"one two three".as_slice();
    for (view, kept, code) in [
        (failed(), kept, "upstream_failed"),
        (other, kept, "timeout"),
        (unseen, kept, "timeout"),
        (completed(), b"on", "timeout"),
    ] {
        for form in ["audio", "sse"] {
            let mut spoken = Spoken::ask(&json!({ "stream_format": form })).await;
            spoken.say(&["one", " two"]).await;
            let mut answer = (&mut spoken.answer).await.unwrap();
            assert_eq!(answer.status(), 200);
            let mut came = chunk(&mut answer).await.to_vec();
            spoken.hang_up();
            spoken.ends(&view, kept).await;
            let end = loop {
                match answer.chunk().await {
                    Ok(Some(piece)) => came.extend_from_slice(&piece),
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                }
            };
            let came = String::from_utf8(came).unwrap();
            if form == "audio" {
                assert!(end.is_err(), "{view}: {came}");
                assert_eq!(came, "one");
            } else {
                assert!(end.is_ok(), "{view}: {end:?}");
                let last = came.trim_end().rsplit("\n\n").next().unwrap();
                let last: Value =
                    serde_json::from_str(last.strip_prefix("data: ").unwrap()).unwrap();
                assert_eq!(last["error"]["code"], code, "{came}");
                assert!(!came.contains("speech.audio.done"), "{came}");
            }
        }
    }
}

#[tokio::test]
async fn events_are_told_while_the_sound_is_made() {
    let mut spoken = Spoken::ask(&json!({ "stream_format": "sse" })).await;
    spoken.say(&["one", " two"]).await;
    let mut answer = (&mut spoken.answer).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let delta = |base64: &str| {
        format!("data: {{\"type\":\"speech.audio.delta\",\"audio\":\"{base64}\"}}\n\n")
    };
    assert_eq!(chunk(&mut answer).await, delta("b25l"));
    spoken.hang_up();
    spoken.completes(b"one two").await;
    let rest = answer.text().await.unwrap();
    let (deltas, done) = rest
        .split_once("data: {\"type\":\"speech.audio.done\"")
        .unwrap();
    assert_eq!(deltas, delta("IHR3bw=="));
    assert!(done.contains("\"credits_consumed\":1.5"), "{done}");
}

#[tokio::test]
async fn samples_are_heard_without_the_header_of_their_file() {
    let mut spoken = Spoken::ask(&json!({ "response_format": "pcm" })).await;
    assert!(spoken.house.world.listens.lock().unwrap()[0].samples);
    spoken.say(&["ab", "cde"]).await;
    let mut answer = (&mut spoken.answer).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "audio/pcm");
    assert_eq!(chunk(&mut answer).await, "ab");
    spoken.hang_up();
    // Of half a sample nothing is kept.
    spoken.completes(&wav(b"abcd")).await;
    assert_eq!(answer.text().await.unwrap(), "cd");
}

#[tokio::test]
async fn where_nothing_has_left_the_answer_is_whole_or_an_error() {
    // One piece may be all of it.
    for pieces in [&[][..], &["one two"]] {
        let mut spoken = Spoken::ask(&json!({})).await;
        spoken.say(pieces).await;
        spoken.completes(b"one two").await;
        let answer = (&mut spoken.answer).await.unwrap();
        assert_eq!(answer.headers()["x-aio-cost-credits"], "1.5");
        assert_eq!(answer.headers()["content-length"], "7");
        assert_eq!(answer.text().await.unwrap(), "one two");

        let mut spoken = Spoken::ask(&json!({})).await;
        spoken.say(pieces).await;
        spoken.ends(&failed(), b"").await;
        let answer = (&mut spoken.answer).await.unwrap();
        assert_eq!(answer.status(), 502);
        let error: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(error["error"]["code"], "upstream_failed");
    }
}

#[tokio::test]
async fn who_would_not_see_a_sound_break_off_is_answered_once_it_is_made() {
    for form in ["audio", "sse"] {
        let more = json!({ "stream_format": form });
        for fails in [true, false] {
            let house = House::start().await;
            let mut spoken = Spoken::ask_of(house, &more, Version::HTTP_10).await;
            assert!(spoken.house.world.listens.lock().unwrap().is_empty());
            if fails {
                spoken.ends(&failed(), b"one two").await;
            } else {
                spoken.completes(b"one two").await;
            }
            let answer = (&mut spoken.answer).await.unwrap();
            assert_eq!(answer.version(), Version::HTTP_10);
            let status = answer.status();
            let said = answer.text().await.unwrap();
            if fails {
                assert_eq!(status, 502, "{said}");
                assert!(said.contains("upstream_failed"), "{said}");
            } else if form == "audio" {
                assert_eq!((status.as_u16(), said.as_str()), (200, "one two"));
            } else {
                assert!(said.contains("speech.audio.done"), "{said}");
            }
        }
    }
}

#[tokio::test]
async fn a_media_that_does_not_say_that_it_listens_is_not_waited_for() {
    let settings = "[limits.deadlines]\nmedia = '1h'\nlisten = '20ms'";
    let house = House::with(settings).await;
    house.world.is_deaf.store(true, Ordering::SeqCst);
    let mut spoken = Spoken::ask_of(house, &json!({}), Version::HTTP_11).await;
    assert_eq!(spoken.house.world.listens.lock().unwrap().len(), 1);
    spoken.completes(b"one two").await;
    let answer = (&mut spoken.answer).await.unwrap();
    assert_eq!(answer.headers()["content-length"], "7");
    assert_eq!(answer.text().await.unwrap(), "one two");
}

#[tokio::test]
async fn who_repeats_a_request_hears_what_is_kept() {
    let spoken = Spoken::ask(&json!({})).await;
    spoken.completes(b"one two").await;
    let house = &spoken.house;
    let again = house
        .post(
            SPEECH,
            &house.usual_key(),
            r#"{"model":"tts-1","input":"Hi"}"#,
        )
        .header("idempotency-key", "k");
    house.world.submits.lock().unwrap()[0].idempotency_key = "k".to_owned();
    let (mouth, sound) = mpsc::channel(16);
    house.world.sounds.lock().unwrap().push_back(sound);
    for piece in ["another", "sound"] {
        let part = Some(Part::Data(Bytes::from_static(piece.as_bytes())));
        mouth.send(Ok(HeardPart { part })).await.unwrap();
    }
    let answer = again.send().await.unwrap();
    assert_eq!(answer.headers()["idempotent-replayed"], "true");
    assert_eq!(answer.text().await.unwrap(), "one two");
    mouth.closed().await;
}

#[tokio::test]
async fn who_leaves_is_not_listened_for_any_more() {
    let mut spoken = Spoken::ask(&json!({})).await;
    spoken.say(&["one", " two"]).await;
    let mut answer = (&mut spoken.answer).await.unwrap();
    assert_eq!(chunk(&mut answer).await, "one");
    drop(answer);
    spoken.mouth.closed().await;
}
