//! What operators ask for: wire to domain, one call, domain to wire. No decisions.

use db::Backlog;
use proto::{
    common::v1::Actor,
    id_from_wire,
    media::v1::{
        self as wire, FindTasksReply, FindTasksRequest, GetOverviewRequest, GetRetentionRequest,
        RequeueTaskRequest, SetRetentionRequest, ShowTaskRequest, ShownTask, StopTaskRequest,
        operators_server,
    },
};
use serde_json::Value;
use tonic::{Request, Response, Status};
use tracing::Span;

use super::{panicked, refuse};
use crate::{
    Error, Media,
    operator::{self, By, Doubt, Filter},
    overview::{self, Configured, Overview},
    providers::Cost,
    retention::{self, Retention},
    store::overview::RunSum,
};

#[tonic::async_trait]
impl operators_server::Operators for Media {
    async fn find_tasks(
        &self,
        request: Request<FindTasksRequest>,
    ) -> Result<Response<FindTasksReply>, Status> {
        let request = request.into_inner();
        let before = Some(&request.before).filter(|before| !before.is_empty());
        let account = Some(&request.account_id).filter(|account| !account.is_empty());
        let filter = Filter {
            limit: request.limit,
            before: before.map(|before| id_from_wire(before)).transpose()?,
            status: request.status,
            model: Some(request.model).filter(|model| !model.is_empty()),
            provider: Some(request.provider).filter(|provider| !provider.is_empty()),
            account: account.map(|account| id_from_wire(account)).transpose()?,
            created_until: request.created_until,
        };
        let found = operator::find(self, filter).await.map_err(refuse)?;
        let tasks = found.iter().map(written);
        Ok(Response::new(FindTasksReply {
            tasks: tasks.collect::<Result<_, _>>()?,
        }))
    }

    async fn show_task(
        &self,
        request: Request<ShowTaskRequest>,
    ) -> Result<Response<ShownTask>, Status> {
        let id = id_from_wire(&request.into_inner().task_id)?;
        shown(operator::show(self, id).await)
    }

    async fn requeue_task(
        &self,
        request: Request<RequeueTaskRequest>,
    ) -> Result<Response<ShownTask>, Status> {
        let request = request.into_inner();
        let id = id_from_wire(&request.task_id)?;
        let doubt = if request.force {
            Doubt::IsSettled
        } else {
            Doubt::Refuses
        };
        let (media, how) = (self.clone(), (by(request.by), doubt));
        let work = async move { operator::requeue(&media, id, how).await };
        let done = self.peers.tasks.run_to_end(Span::current(), work).await;
        shown(done.ok_or_else(panicked)?)
    }

    async fn stop_task(
        &self,
        request: Request<StopTaskRequest>,
    ) -> Result<Response<ShownTask>, Status> {
        let request = request.into_inner();
        let id = id_from_wire(&request.task_id)?;
        let (media, by) = (self.clone(), by(request.by));
        let work = Box::pin(async move { Box::pin(operator::stop(&media, id, by)).await });
        let done = self.peers.tasks.run_to_end(Span::current(), work).await;
        shown(done.ok_or_else(panicked)?)
    }

    async fn get_retention(
        &self,
        request: Request<GetRetentionRequest>,
    ) -> Result<Response<wire::Retention>, Status> {
        let account = id_from_wire(&request.into_inner().account_id)?;
        let said = retention::of(self, account).await.map_err(refuse)?;
        Ok(Response::new(said.into()))
    }

    async fn set_retention(
        &self,
        request: Request<SetRetentionRequest>,
    ) -> Result<Response<wire::Retention>, Status> {
        let request = request.into_inner();
        let account = id_from_wire(&request.account_id)?;
        let said = Retention::from(request.retention.unwrap_or_default());
        let by = by(request.by);
        retention::set(self, account, (said, by))
            .await
            .map_err(refuse)?;
        Ok(Response::new(said.into()))
    }

    async fn get_overview(
        &self,
        request: Request<GetOverviewRequest>,
    ) -> Result<Response<wire::Overview>, Status> {
        let since = request.into_inner().since;
        let seen = overview::overview(self, since).await.map_err(refuse)?;
        Ok(Response::new(seen.into()))
    }
}

impl From<Overview> for wire::Overview {
    fn from(seen: Overview) -> Self {
        let backlog = |waiting: Backlog| {
            Some(proto::common::v1::Backlog {
                count: waiting.count,
                more: waiting.more,
                oldest: waiting.oldest,
            })
        };
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            queued: backlog(seen.queued),
            processing: backlog(seen.processing),
            unknown: backlog(seen.unknown),
            outbox: backlog(seen.outbox),
            runs: seen.runs.into_iter().map(Into::into).collect(),
            cut: seen.cut,
            providers: seen.providers.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<RunSum> for wire::RunSum {
    fn from(sum: RunSum) -> Self {
        let cost = Cost {
            micro_usd: sum.micro_usd,
        };
        Self {
            mode: proto::mode_to_wire(sum.mode).into(),
            provider: sum.provider,
            outcome: sum.outcome,
            runs: sum.runs,
            known: sum.known,
            cost: cost.in_micros().get(),
        }
    }
}

impl From<Configured> for wire::ConfiguredProvider {
    fn from(configured: Configured) -> Self {
        Self {
            provider: configured.provider,
            host: configured.host,
            credentials: u32::try_from(configured.credentials).unwrap_or(u32::MAX),
        }
    }
}

// === impl Retention ===

impl From<wire::Retention> for Retention {
    fn from(said: wire::Retention) -> Self {
        let seconds = |seconds: u64| (seconds > 0).then_some(seconds);
        Self {
            outputs: seconds(said.outputs),
            uploads: seconds(said.files),
        }
    }
}

impl From<Retention> for wire::Retention {
    fn from(said: Retention) -> Self {
        Self {
            outputs: said.outputs.unwrap_or(0),
            files: said.uploads.unwrap_or(0),
        }
    }
}

fn by(actor: Option<Actor>) -> By {
    let actor = actor.unwrap_or_default();
    By {
        actor: actor.name,
        request: actor.request_id,
    }
}

fn shown(story: Result<Value, Error>) -> Result<Response<ShownTask>, Status> {
    let story = written(&story.map_err(refuse)?)?;
    Ok(Response::new(ShownTask { story }))
}

fn written(value: &Value) -> Result<prost::bytes::Bytes, Status> {
    let text = serde_json::to_vec(value).map_err(|error| refuse(error.into()))?;
    Ok(text.into())
}
