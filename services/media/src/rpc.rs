//! The service as others call it: wire to domain, one call, domain to wire. No decisions.

mod files;
mod operator;

use std::pin::Pin;

use domain::{Caller, Micros, TaskId};
use futures::{Stream, StreamExt as _, stream};
use proto::{
    Fault, code,
    common::v1::Quote,
    context_from_wire, id_from_wire,
    media::v1::{
        CancelTaskRequest, DeleteOutputRequest, GetTaskRequest, HearReply, HearRequest, HeardPart,
        ListRunsReply, ListTasksReply, ListTasksRequest, ListUnknownAttemptsReply,
        ListUnknownAttemptsRequest, ListenRequest, OutputHead, OutputPart, QuoteRequest,
        ReadOutputRequest, Run, SubmitReply, SubmitRequest, TaskSnapshot, UnknownAttempt,
        media_server, output_part::Part,
    },
    mode_to_wire,
};
use tonic::{Request, Response, Status};
use tracing::{Span, info_span};

use crate::{
    Error, Media, callback, cancel,
    files::Owner,
    list::{self, Filter},
    listen::Wants,
    quote, read, store,
    submit::{self, Accepted, Submission},
    task::{Output, Task},
};

type Parts = Pin<Box<dyn Stream<Item = Result<OutputPart, Status>> + Send>>;
type Heard = Pin<Box<dyn Stream<Item = Result<HeardPart, Status>> + Send>>;

#[tonic::async_trait]
impl media_server::Media for Media {
    async fn submit(
        &self,
        request: Request<SubmitRequest>,
    ) -> Result<Response<SubmitReply>, Status> {
        let request = request.into_inner();
        let submission = Submission {
            caller: context_from_wire(request.context)?,
            task: id_from_wire(&request.task_id)?,
            route: request.route,
            body: request.body,
            idempotency_key: Some(request.idempotency_key).filter(|key| !key.is_empty()),
            models: request.models,
            max_open_tasks: request.max_open_tasks,
            max_cost: limit(request.max_cost),
            sent_hash: request.sent_hash.as_ref().try_into().ok(),
        };
        let span = info_span!(
            "submit",
            task.id = %submission.task,
            request.id = submission.caller.request_id,
            otel.kind = "internal",
        );
        // A customer who goes away must not leave a hold without a task.
        let media = self.clone();
        let accepted = self
            .peers
            .tasks
            .run_to_end(span, async move {
                Box::pin(submit::submit(&media, submission)).await
            })
            .await;
        let (task, replayed) = match accepted.ok_or_else(panicked)?.map_err(refuse)? {
            Accepted::New(task) => (task, false),
            Accepted::Replayed(task) => (task, true),
        };
        Ok(Response::new(SubmitReply {
            task_id: task.to_vec().into(),
            replayed,
        }))
    }

    async fn quote(&self, request: Request<QuoteRequest>) -> Result<Response<Quote>, Status> {
        let request = request.into_inner();
        let submission = Submission {
            caller: context_from_wire(request.context)?,
            task: chassis::mint(),
            route: request.route,
            body: request.body,
            idempotency_key: None,
            models: request.models,
            max_open_tasks: 0,
            max_cost: limit(request.max_cost),
            sent_hash: None,
        };
        let quote = quote::quote(self, submission).await.map_err(refuse)?;
        Ok(Response::new(quote))
    }

    async fn get_task(
        &self,
        request: Request<GetTaskRequest>,
    ) -> Result<Response<TaskSnapshot>, Status> {
        let request = request.into_inner();
        let (caller, id) = (
            context_from_wire(request.context)?,
            id_from_wire(&request.task_id)?,
        );
        let (task, outputs) = read::get(self, &caller, id).await.map_err(refuse)?;
        self.to_wire(&task, &outputs).map(Response::new)
    }

    async fn list_runs(
        &self,
        request: Request<GetTaskRequest>,
    ) -> Result<Response<ListRunsReply>, Status> {
        let request = request.into_inner();
        let (caller, id) = (
            context_from_wire(request.context)?,
            id_from_wire(&request.task_id)?,
        );
        let runs = read::runs(self, &caller, id).await.map_err(refuse)?;
        let runs = runs.into_iter().map(|run| Run {
            number: u32::try_from(run.number).unwrap_or(u32::MAX),
            provider: run.provider,
            outcome: run.outcome,
            reason: run.reason,
            submitted_at: run.submitted_at,
        });
        Ok(Response::new(ListRunsReply {
            runs: runs.collect(),
        }))
    }

    async fn list_tasks(
        &self,
        request: Request<ListTasksRequest>,
    ) -> Result<Response<ListTasksReply>, Status> {
        let request = request.into_inner();
        let caller = context_from_wire(request.context)?;
        let before = Some(&request.before).filter(|before| !before.is_empty());
        let filter = Filter {
            limit: request.limit,
            before: before.map(|before| id_from_wire(before)).transpose()?,
            status: request.status,
            models: request.models,
            created: (request.created_from, request.created_until),
        };
        let tasks = list::list(self, &caller, &filter).await.map_err(refuse)?;
        let views = tasks
            .iter()
            .map(|(task, outputs)| Ok(self.snapshot(task, outputs).map_err(refuse)?.view));
        Ok(Response::new(ListTasksReply {
            views: views.collect::<Result<_, Status>>()?,
        }))
    }

    async fn cancel_task(
        &self,
        request: Request<CancelTaskRequest>,
    ) -> Result<Response<TaskSnapshot>, Status> {
        let request = request.into_inner();
        let (caller, id): (Caller, TaskId) = (
            context_from_wire(request.context)?,
            id_from_wire(&request.task_id)?,
        );
        let media = self.clone();
        let cancelled = self
            .peers
            .tasks
            .run_to_end(Span::current(), async move {
                cancel::cancel(&media, &caller, id).await
            })
            .await;
        let (task, outputs) = cancelled.ok_or_else(panicked)?.map_err(refuse)?;
        self.to_wire(&task, &outputs).map(Response::new)
    }

    async fn delete_output(
        &self,
        request: Request<DeleteOutputRequest>,
    ) -> Result<Response<TaskSnapshot>, Status> {
        let request = request.into_inner();
        let (caller, id): (Caller, TaskId) = (
            context_from_wire(request.context)?,
            id_from_wire(&request.task_id)?,
        );
        let (media, number) = (self.clone(), request.index);
        let work = async move { read::delete_output(&media, &caller, (id, number)).await };
        let deleted = self.peers.tasks.run_to_end(Span::current(), work).await;
        let (task, outputs) = deleted.ok_or_else(panicked)?.map_err(refuse)?;
        self.to_wire(&task, &outputs).map(Response::new)
    }

    async fn hear(&self, request: Request<HearRequest>) -> Result<Response<HearReply>, Status> {
        let request = request.into_inner();
        let id = id_from_wire(&request.task_id)?;
        callback::hear(self, id, (&request.headers, &request.body))
            .await
            .map_err(refuse)?;
        Ok(Response::new(HearReply {}))
    }

    type ListenStream = Heard;

    async fn listen(&self, request: Request<ListenRequest>) -> Result<Response<Heard>, Status> {
        let request = request.into_inner();
        let caller = context_from_wire(request.context)?;
        let task = id_from_wire(&request.task_id)?;
        let wants = if request.samples {
            Wants::Samples
        } else {
            Wants::File
        };
        let listeners = &self.peers.listeners;
        let listening = listeners.listen(Owner::from(&caller), task, wants);
        let heard = stream::unfold(listening, |listening| async move {
            let mut listening = listening?;
            let part = listening.next().await;
            part.map(|part| (Ok(HeardPart { part: Some(part) }), Some(listening)))
        });
        // Who listens finds the rest in what is kept.
        let tasks = self.peers.tasks.clone();
        let heard = heard.take_until(async move { tasks.stopping().await });
        Ok(Response::new(Box::pin(heard)))
    }

    type ReadOutputStream = Parts;

    async fn read_output(
        &self,
        request: Request<ReadOutputRequest>,
    ) -> Result<Response<Parts>, Status> {
        let request = request.into_inner();
        let id = id_from_wire(&request.task_id)?;
        let caller = request
            .context
            .map(|context| context_from_wire(Some(context)))
            .transpose()?;
        let output = read::output(self, caller.as_ref(), id, request.index)
            .await
            .map_err(refuse)?;
        let end = request.end.unwrap_or(output.bytes).min(output.bytes);
        let start = request.start.unwrap_or(0).min(end);
        let head = OutputHead {
            content_type: output.content_type,
            bytes: output.bytes,
            sha256: output.sha256,
            start,
            end,
        };
        let head = stream::iter([Ok(OutputPart {
            part: Some(Part::Head(head)),
        })]);
        if start == end {
            return Ok(Response::new(Box::pin(head)));
        }
        let data = self
            .kept
            .outputs
            .read(id, request.index, start..end)
            .await
            .map_err(refuse)?;
        let data = data.map(|part| {
            Ok(OutputPart {
                part: Some(Part::Data(part.map_err(refuse)?)),
            })
        });
        Ok(Response::new(Box::pin(head.chain(data))))
    }

    async fn list_unknown_attempts(
        &self,
        request: Request<ListUnknownAttemptsRequest>,
    ) -> Result<Response<ListUnknownAttemptsReply>, Status> {
        let limit = i64::from(request.into_inner().limit.clamp(1, 1000));
        let found = store::attempt::unknown(self.db.reader(), limit);
        let found = self.db.read(found).await.map_err(refuse)?;
        let attempts = found
            .into_iter()
            .map(|attempt| UnknownAttempt {
                task_id: attempt.task.to_vec().into(),
                number: u32::try_from(attempt.number).unwrap_or(u32::MAX),
                provider: attempt.provider,
                submitted_at: attempt.submitted_at,
            })
            .collect();
        Ok(Response::new(ListUnknownAttemptsReply { attempts }))
    }
}

impl Media {
    fn to_wire(&self, task: &Task, outputs: &[Output]) -> Result<TaskSnapshot, Status> {
        let snapshot = self.snapshot(task, outputs).map_err(refuse)?;
        Ok(TaskSnapshot {
            task_id: task.id.to_vec().into(),
            account_id: task.account.to_vec().into(),
            mode: mode_to_wire(task.mode).into(),
            version: snapshot.version,
            terminal: task.state.is_terminal(),
            view: snapshot.view,
        })
    }
}

/// The customer's own limit of the cost, if there is one.
fn limit(micros: i64) -> Option<Micros> {
    (micros > 0).then(|| Micros::new(micros))
}

fn refuse(error: Error) -> Status {
    Fault::from(error).into()
}

fn panicked() -> Status {
    Fault::of(code::INTERNAL).into()
}
