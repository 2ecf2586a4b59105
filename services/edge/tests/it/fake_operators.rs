//! Media's tasks, as operators ask for them: it writes down what it was asked.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use domain::TaskId;
use proto::media::v1::{
    FindTasksReply, FindTasksRequest, GetOverviewRequest, GetRetentionRequest, Overview,
    RequeueTaskRequest, Retention, SetRetentionRequest, ShowTaskRequest, ShownTask,
    StopTaskRequest, operators_server,
};
use tonic::{Request, Response, Status};

#[derive(Clone, Default)]
pub(crate) struct FakeOperators(Arc<Mutex<Asked>>);

#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) searches: Vec<FindTasksRequest>,
    pub(crate) requeues: Vec<RequeueTaskRequest>,
    pub(crate) stops: Vec<StopTaskRequest>,
    pub(crate) retentions: Vec<SetRetentionRequest>,
}

impl FakeOperators {
    pub(crate) fn asked(&self) -> std::sync::MutexGuard<'_, Asked> {
        self.0.lock().unwrap()
    }
}

fn story(task: &Bytes) -> Response<ShownTask> {
    let id = TaskId::from_slice(task).unwrap();
    let story = format!(r#"{{"task_id":"{id}"}}"#).into();
    Response::new(ShownTask { story })
}

#[tonic::async_trait]
impl operators_server::Operators for FakeOperators {
    async fn find_tasks(
        &self,
        request: Request<FindTasksRequest>,
    ) -> Result<Response<FindTasksReply>, Status> {
        self.asked().searches.push(request.into_inner());
        let id = TaskId::from_slice(&[3; 16]).unwrap();
        let line = format!(r#"{{"task_id":"{id}"}}"#);
        Ok(Response::new(FindTasksReply {
            tasks: vec![line.into()],
        }))
    }

    async fn show_task(
        &self,
        request: Request<ShowTaskRequest>,
    ) -> Result<Response<ShownTask>, Status> {
        Ok(story(&request.into_inner().task_id))
    }

    async fn requeue_task(
        &self,
        request: Request<RequeueTaskRequest>,
    ) -> Result<Response<ShownTask>, Status> {
        let request = request.into_inner();
        let answer = story(&request.task_id);
        self.asked().requeues.push(request);
        Ok(answer)
    }

    async fn stop_task(
        &self,
        request: Request<StopTaskRequest>,
    ) -> Result<Response<ShownTask>, Status> {
        let request = request.into_inner();
        let answer = story(&request.task_id);
        self.asked().stops.push(request);
        Ok(answer)
    }

    async fn get_retention(
        &self,
        _: Request<GetRetentionRequest>,
    ) -> Result<Response<Retention>, Status> {
        let said = self.asked().retentions.last().and_then(|set| set.retention);
        Ok(Response::new(said.unwrap_or_default()))
    }

    async fn set_retention(
        &self,
        request: Request<SetRetentionRequest>,
    ) -> Result<Response<Retention>, Status> {
        let request = request.into_inner();
        let said = request.retention.unwrap_or_default();
        self.asked().retentions.push(request);
        Ok(Response::new(said))
    }

    async fn get_overview(
        &self,
        _: Request<GetOverviewRequest>,
    ) -> Result<Response<Overview>, Status> {
        Ok(Response::new(Overview::default()))
    }
}
