//! A scripted media: it knows the tasks that a test gave it, and one output.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use domain::TaskId;
use futures::{StreamExt as _, future, stream};
use proto::{Fault, code, common::v1 as common, media::v1 as media};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::fakes::{FakeMedia, OUTPUT, Streamed, quote};

/// The ends of the routes whose tasks end at once, and what they make: a transcript as well.
const TIMED: [&str; 2] = ["/timestamped-lyrics", "/transcriptions"];
pub(crate) const LYRICS: &[u8] =
    br#"{"text":"la","lyricParams":[{"text":"la","start":1.5,"end":2,"type":"lyric"}],"waveform":[0.5]}"#;

/// What a request says whose result nobody can read, and one whose task does not say what was asked.
const UNREADABLE: &str = "unreadable";
const UNSEEN: &str = "unseen";

fn says(body: &[u8], word: &str) -> bool {
    String::from_utf8_lossy(body).contains(word)
}

fn ends_at_once(route: &str) -> bool {
    TIMED.iter().any(|end| route.ends_with(end))
}

impl FakeMedia {
    /// From now on there is the task that was submitted.
    fn know(&self, submit: &media::SubmitRequest) {
        let context = submit.context.clone().unwrap();
        let task = media::TaskSnapshot {
            task_id: submit.task_id.clone(),
            account_id: context.account_id,
            mode: context.mode,
            version: 1,
            terminal: ends_at_once(&submit.route),
            view: Bytes::from_static(if !ends_at_once(&submit.route) {
                br#"{"v":1}"#
            } else if says(&submit.body, UNREADABLE) {
                br#"{"consumed_credits":2,"error":null,"request":{"seconds":3}}"#
            } else if says(&submit.body, UNSEEN) {
                br#"{"error":null,"consumed_credits":2}"#
            } else {
                br#"{"error":null,"consumed_credits":2,"request":{"seconds":3}}"#
            }),
        };
        let id = TaskId::from_slice(&submit.task_id).unwrap();
        self.0.tasks.lock().unwrap().insert(id, task);
    }

    /// A task, if it is this caller's. What it says of unknown ones must not reach customers.
    fn owned(
        &self,
        task: &Bytes,
        context: Option<common::Context>,
    ) -> Result<media::TaskSnapshot, Status> {
        self.0.looks.fetch_add(1, Ordering::SeqCst);
        if self.0.is_away.load(Ordering::SeqCst) {
            return Err(Status::unavailable("no database"));
        }
        let id = TaskId::from_slice(task).unwrap();
        let found = self.0.tasks.lock().unwrap().get(&id).cloned();
        let unknown =
            || Fault::new(code::NOT_FOUND, format!("{id} is not in the table")).param("x");
        let task = found.ok_or_else(unknown)?;
        match context {
            Some(context) if context.account_id != task.account_id || context.mode != task.mode => {
                Err(Fault::new(code::NOT_FOUND, "it is another's").into())
            }
            Some(_) | None => Ok(task),
        }
    }
}

#[tonic::async_trait]
impl media::media_server::Media for FakeMedia {
    async fn submit(
        &self,
        request: Request<media::SubmitRequest>,
    ) -> Result<Response<media::SubmitReply>, Status> {
        let request = request.into_inner();
        if request.body.as_ref() == b"refuse" {
            let fault = Fault::new(code::INSUFFICIENT_CREDITS, "the balance has 1 credit");
            return Err(fault.into());
        }
        let mut submits = self.0.submits.lock().unwrap();
        let key = &request.idempotency_key;
        let before = submits
            .iter()
            .find(|s| !key.is_empty() && s.idempotency_key == *key);
        let reply = media::SubmitReply {
            task_id: before
                .map_or(&request.task_id, |before| &before.task_id)
                .clone(),
            replayed: before.is_some(),
        };
        if request.body.as_ref() == b"known" || ends_at_once(&request.route) {
            self.know(&request);
        }
        submits.push(request);
        Ok(Response::new(reply))
    }

    async fn quote(
        &self,
        request: Request<media::QuoteRequest>,
    ) -> Result<Response<common::Quote>, Status> {
        let request = request.into_inner();
        if request.body.as_ref() == br#""refuse""# {
            return Err(Fault::new(code::UNKNOWN_MODEL, "no such model")
                .param("model")
                .into());
        }
        self.0.media_quotes.lock().unwrap().push(request);
        Ok(Response::new(quote()))
    }

    async fn get_task(
        &self,
        request: Request<media::GetTaskRequest>,
    ) -> Result<Response<media::TaskSnapshot>, Status> {
        let request = request.into_inner();
        self.owned(&request.task_id, request.context)
            .map(Response::new)
    }

    async fn list_runs(
        &self,
        request: Request<media::GetTaskRequest>,
    ) -> Result<Response<media::ListRunsReply>, Status> {
        let request = request.into_inner();
        self.owned(&request.task_id, request.context)?;
        Ok(Response::new(media::ListRunsReply::default()))
    }

    async fn list_tasks(
        &self,
        request: Request<media::ListTasksRequest>,
    ) -> Result<Response<media::ListTasksReply>, Status> {
        let request = request.into_inner();
        let limit = usize::try_from(request.limit).unwrap();
        self.0.task_lists.lock().unwrap().push(request);
        let views = (0..limit.min(3)).map(|number| {
            let id = TaskId::from_slice(&[u8::try_from(number).unwrap(); 16]).unwrap();
            Bytes::from(format!(r#"{{"task_id":"{id}","status": "queued"}}"#))
        });
        Ok(Response::new(media::ListTasksReply {
            views: views.collect(),
        }))
    }

    async fn cancel_task(
        &self,
        request: Request<media::CancelTaskRequest>,
    ) -> Result<Response<media::TaskSnapshot>, Status> {
        let request = request.into_inner();
        let task = self.owned(&request.task_id, request.context)?;
        if task.terminal {
            return Err(Fault::new(code::NOT_CANCELLABLE, "the task has ended").into());
        }
        Ok(Response::new(task))
    }

    async fn delete_output(
        &self,
        request: Request<media::DeleteOutputRequest>,
    ) -> Result<Response<media::TaskSnapshot>, Status> {
        let request = request.into_inner();
        let task = self.owned(&request.task_id, request.context)?;
        if request.index > 0 {
            return Err(Fault::new(code::NOT_FOUND, "no such output").into());
        }
        Ok(Response::new(task))
    }

    async fn hear(
        &self,
        request: Request<media::HearRequest>,
    ) -> Result<Response<media::HearReply>, Status> {
        self.0.heard.lock().unwrap().push(request.into_inner());
        Ok(Response::new(media::HearReply {}))
    }

    type ListenStream = Streamed<media::HeardPart>;

    async fn listen(
        &self,
        request: Request<media::ListenRequest>,
    ) -> Result<Response<Self::ListenStream>, Status> {
        self.0.listens.lock().unwrap().push(request.into_inner());
        if self.0.is_deaf.load(Ordering::SeqCst) {
            return future::pending().await;
        }
        let sound = self.0.sounds.lock().unwrap().pop_front();
        Ok(Response::new(match sound {
            Some(sound) => Box::pin(ReceiverStream::new(sound)),
            None => Box::pin(stream::empty()),
        }))
    }

    type ReadOutputStream = Streamed<media::OutputPart>;

    async fn read_output(
        &self,
        request: Request<media::ReadOutputRequest>,
    ) -> Result<Response<Self::ReadOutputStream>, Status> {
        let request = request.into_inner();
        let task = self.owned(&request.task_id, request.context)?;
        if request.index > 0 {
            return Err(Fault::new(code::NOT_FOUND, "no such output").into());
        }
        let is_timed = task.view.as_ref().starts_with(br#"{"error":null"#);
        let usual = if is_timed { LYRICS } else { OUTPUT };
        let told = self.0.output.lock().unwrap().clone();
        let (content_type, output) = told.unwrap_or_else(|| ("image/png", usual.to_vec()));
        let size = u64::try_from(output.len()).unwrap();
        let end = request.end.unwrap_or(size).min(size);
        let start = request.start.unwrap_or(0).min(end);
        let bytes = output
            .get(usize::try_from(start).unwrap()..usize::try_from(end).unwrap())
            .unwrap()
            .to_vec();
        let head = media::output_part::Part::Head(media::OutputHead {
            content_type: content_type.into(),
            bytes: size,
            sha256: "abc".into(),
            start,
            end,
        });
        let data = bytes
            .chunks(4)
            .map(|chunk| media::output_part::Part::Data(chunk.to_vec().into()));
        let parts: Vec<_> = std::iter::once(head).chain(data).collect();
        let parts = stream::iter(parts).map(|part| Ok(media::OutputPart { part: Some(part) }));
        Ok(Response::new(Box::pin(parts)))
    }

    async fn list_unknown_attempts(
        &self,
        _request: Request<media::ListUnknownAttemptsRequest>,
    ) -> Result<Response<media::ListUnknownAttemptsReply>, Status> {
        let attempt = media::UnknownAttempt {
            task_id: vec![9; 16].into(),
            number: 1,
            provider: "bfl".into(),
            submitted_at: 0,
        };
        Ok(Response::new(media::ListUnknownAttemptsReply {
            attempts: vec![attempt],
        }))
    }
}
