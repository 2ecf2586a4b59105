//! A sound that is heard while it is made. Its pieces leave as media hears them of the provider, but for the last, which is held back until the task
//! has completed; then the rest leaves, out of what is kept. So what arrives whole is the kept file, and was paid for; where the task
//! fails, the answer breaks off.

use std::{mem, pin::pin, sync::Arc};

use axum::{body::Body, response::Response};
use bytes::Bytes;
use chassis::rpc;
use domain::TaskId;
use futures::{Stream, StreamExt as _, future, stream};
use proto::{
    common::v1::Context,
    direct::Messages,
    media::v1::{
        HeardHead, HeardPart, ListenRequest, OutputPart, ReadOutputRequest, heard_part::Part,
        output_part,
    },
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use super::{
    Asked, Content, Delivery, Form,
    answer::{self, OF_SAMPLES, Place, Said},
    not_yet,
};
use crate::{
    App,
    auth::{Inference, Scoped},
    error::ApiError,
    http::{ended::Ended, file, put, task},
};

/// What media hears of a sound while it is made.
pub(in crate::http) struct Heard(Messages<HeardPart>);

/// A sound that has begun to come.
struct Begun {
    head: HeardHead,
    first: Bytes,
    /// What may be the last piece.
    second: Bytes,
    parts: Messages<HeardPart>,
}

/// A sound of which something has left.
struct Live {
    spoken: Spoken,
    stage: Stage,
}

/// What it is, and how much of it has left.
struct Spoken {
    app: Arc<App>,
    caller: Scoped<Inference>,
    task: TaskId,
    content: Content,
    /// The attempt that is heard.
    attempt: u32,
    /// When the task must have ended.
    until: Instant,
    /// Bytes that have left.
    sent: u64,
}

/// Where what leaves next comes from.
enum Stage {
    /// The provider, as media hears it. The last piece is held back.
    Heard {
        parts: Messages<HeardPart>,
        held: Bytes,
    },
    /// What is kept, of which so many bytes are left, and what it cost.
    Kept {
        parts: Messages<OutputPart>,
        left: u64,
        credits: Box<RawValue>,
    },
    Over,
}

/// What is read of a completed task beside what it cost.
#[derive(Deserialize)]
struct Tried {
    attempts: u32,
}

/// The end of an answer that cannot be had whole.
#[derive(Debug, thiserror::Error)]
#[error("the sound breaks off")]
struct Broken;

impl App {
    /// Listens to a task that is not there yet, unless media takes too long. Without it the sound is answered once it is made.
    pub(in crate::http) async fn listen(
        &self,
        context: Context,
        task: TaskId,
        form: Form,
    ) -> Option<Heard> {
        let request = ListenRequest {
            context: Some(context),
            task_id: task.to_vec().into(),
            samples: form.content == Content::Samples,
        };
        let request = rpc::request(request, self.config.limits.deadlines.listen);
        let answer = self.clients.media.clone().listen(request).await;
        let answer = answer.inspect_err(|error| tracing::debug!(%error, "cannot listen to a task"));
        Some(Heard(answer.ok()?.into_inner()))
    }
}

/// Answers with the sound of a task: piece by piece, if it is heard before the task has ended, else once it has.
pub(in crate::http) async fn speak(
    app: &Arc<App>,
    caller: &Scoped<Inference>,
    (task, asked): (TaskId, &Asked),
    heard: Option<Heard>,
) -> Result<Response, ApiError> {
    let until = Instant::now() + asked.time;
    let mut ended = pin!(task::ended_within(app, caller, task, asked.time));
    let found = tokio::select! {
        biased;
        found = &mut ended => found,
        begun = begun(heard) => match begun {
            Some(begun) => {
                let spoken = Spoken {
                    app: Arc::clone(app),
                    caller: caller.again(),
                    task,
                    content: asked.form.content,
                    attempt: begun.head.attempt,
                    until,
                    sent: length(&begun.first),
                };
                return Ok(spoken.answer(asked.form, begun));
            }
            None => ended.await,
        },
    };
    let found = found.ok_or_else(|| not_yet(task))?;
    let place = Place {
        context: caller.context(),
        task,
        request_id: &caller.request_id,
    };
    app.sound(asked.form, place, &found.view).await
}

/// Waits for two pieces of a sound: of one alone nothing could leave. `None`: they do not come.
async fn begun(heard: Option<Heard>) -> Option<Begun> {
    let Heard(mut parts) = heard?;
    let Some(Part::Head(head)) = parts.message().await.ok()??.part else {
        return None;
    };
    let first = piece(&mut parts).await?;
    let second = piece(&mut parts).await?;
    Some(Begun {
        head,
        first,
        second,
        parts,
    })
}

/// The next piece that is heard; `None`: nothing more is, which does not say that there is nothing more.
async fn piece(parts: &mut Messages<HeardPart>) -> Option<Bytes> {
    match parts.message().await.ok()??.part? {
        Part::Data(piece) => Some(piece),
        Part::Head(_) => None,
    }
}

// === impl Spoken ===

impl Spoken {
    /// The answer, which begins with the first piece.
    fn answer(self, form: Form, begun: Begun) -> Response {
        let request_id = self.caller.request_id.clone();
        let live = Live {
            spoken: self,
            stage: Stage::Heard {
                parts: begun.parts,
                held: begun.second,
            },
        };
        let first = stream::once(future::ready(Ok(Said::Piece(begun.first))));
        let said = first.chain(live.rest());
        match form.delivery {
            Delivery::Events => answer::events(said, request_id),
            Delivery::Bytes => {
                let kind = match form.content {
                    Content::File => begun.head.content_type.as_str(),
                    Content::Samples => OF_SAMPLES,
                };
                let mut response = Response::new(Body::from_stream(bytes_of(said)));
                let headers = response.headers_mut();
                put(headers, "content-type", kind);
                file::fence(headers);
                response
            }
        }
    }

    /// Waits until the task has completed, and opens what is kept where what has left ends.
    ///
    /// # Errors
    /// Why the task failed. Else that what is kept is not what was heard, or cannot be read.
    async fn kept(&self) -> Result<Stage, ApiError> {
        let not_yet = || not_yet(self.task);
        let left = self.until.saturating_duration_since(Instant::now());
        let ended = task::ended_within(&self.app, &self.caller, self.task, left).await;
        let view = ended.ok_or_else(not_yet)?.view;
        let credits = Ended::paid(&view, not_yet)?;
        // What another attempt has made is another sound.
        let tried: Tried = serde_json::from_slice(&view).map_err(|_| not_yet())?;
        if tried.attempts != self.attempt {
            return Err(not_yet());
        }
        let request = file::output(Some(self.caller.context()), self.task, 0);
        let (start, end) = self.place(&request).await?;
        let request = ReadOutputRequest {
            start: Some(start),
            end,
            ..request
        };
        let read = file::read(&self.app, file::Asked::Output(request)).await;
        let file::Output { head, parts } = read.map_err(|_| not_yet())?;
        if head.start != start {
            // It is shorter than what has left.
            return Err(not_yet());
        }
        Ok(Stage::Kept {
            parts,
            left: head.end.saturating_sub(start),
            credits,
        })
    }

    /// Where in the file the rest begins, and where it ends, unless that is the end of the file.
    async fn place(&self, request: &ReadOutputRequest) -> Result<(u64, Option<u64>), ApiError> {
        match self.content {
            Content::File => Ok((self.sent, None)),
            Content::Samples => {
                let place = self.app.place_of_samples(request.clone()).await;
                let place = place.map_err(|_| not_yet(self.task))?;
                let start = place.start.saturating_add(self.sent);
                if start > place.end {
                    return Err(not_yet(self.task));
                }
                Ok((start, Some(place.end)))
            }
        }
    }
}

// === impl Live ===

impl Live {
    /// All that is said after the first piece.
    fn rest(self) -> impl Stream<Item = Result<Said, ApiError>> + Send {
        stream::unfold(self, |mut live| async move {
            let said = live.next().await?;
            if said.is_err() {
                live.stage = Stage::Over;
            }
            Some((said, live))
        })
    }

    /// What is said next; `None`: all was.
    async fn next(&mut self) -> Option<Result<Said, ApiError>> {
        if let Stage::Heard { parts, held } = &mut self.stage {
            // Who hears nothing more before the task's time is over finds it ended.
            if let Ok(Some(piece)) = timeout_at(self.spoken.until, piece(parts)).await {
                let ready = mem::replace(held, piece);
                let sent = &mut self.spoken.sent;
                *sent = sent.saturating_add(length(&ready));
                return Some(Ok(Said::Piece(ready)));
            }
            match self.spoken.kept().await {
                Ok(kept) => self.stage = kept,
                Err(error) => return Some(Err(error)),
            }
        }
        let broken = || Some(Err(not_yet(self.spoken.task)));
        match mem::replace(&mut self.stage, Stage::Over) {
            Stage::Kept {
                mut parts,
                left,
                credits,
            } => match parts.next().await {
                Some(Ok(part)) => {
                    let piece = data(part);
                    let left = left.saturating_sub(length(&piece));
                    self.stage = Stage::Kept {
                        parts,
                        left,
                        credits,
                    };
                    Some(Ok(Said::Piece(piece)))
                }
                None if left == 0 => Some(Ok(Said::Paid(credits))),
                None | Some(Err(_)) => broken(),
            },
            Stage::Heard { .. } | Stage::Over => None,
        }
    }
}

/// The bytes of a sound; an error, where it breaks off.
fn bytes_of(
    said: impl Stream<Item = Result<Said, ApiError>> + Send,
) -> impl Stream<Item = Result<Bytes, Broken>> + Send {
    said.filter_map(|said| {
        future::ready(match said {
            Ok(Said::Piece(piece)) => Some(Ok(piece)),
            Ok(Said::Paid(_)) => None,
            Err(_) => Some(Err(Broken)),
        })
    })
}

fn data(part: OutputPart) -> Bytes {
    match part.part {
        Some(output_part::Part::Data(data)) => data,
        Some(output_part::Part::Head(_)) | None => Bytes::new(),
    }
}

fn length(piece: &Bytes) -> u64 {
    u64::try_from(piece.len()).unwrap_or(u64::MAX)
}
