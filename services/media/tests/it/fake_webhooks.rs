//! Webhooks, beside media.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use domain::TaskId;
use proto::webhooks::v1::{self as webhooks, webhooks_server};
use tonic::{Request, Response as Reply, Status};

use crate::fakes::not_played;

/// Webhooks: writes down what it took over.
#[derive(Clone, Default)]
pub(crate) struct Webhooks {
    published: Arc<Mutex<Vec<webhooks::PublishRequest>>>,
    is_away: Arc<AtomicBool>,
}

impl Webhooks {
    pub(crate) fn published(&self) -> Vec<webhooks::PublishRequest> {
        self.published.lock().unwrap().clone()
    }

    /// What it took over about a task.
    pub(crate) fn published_of(&self, task: TaskId) -> Vec<webhooks::PublishRequest> {
        let mut all = self.published();
        all.retain(|event| event.task_id == task.to_vec());
        all
    }

    /// From now on it takes over nothing.
    pub(crate) fn leave(&self) {
        self.is_away.store(true, Ordering::Relaxed);
    }

    /// It takes over again.
    pub(crate) fn come_back(&self) {
        self.is_away.store(false, Ordering::Relaxed);
    }
}

#[tonic::async_trait]
impl webhooks_server::Webhooks for Webhooks {
    async fn publish(
        &self,
        request: Request<webhooks::PublishRequest>,
    ) -> Result<Reply<webhooks::PublishReply>, Status> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err(Status::unavailable("away"));
        }
        self.published.lock().unwrap().push(request.into_inner());
        Ok(Reply::new(webhooks::PublishReply {}))
    }

    async fn get_secret(
        &self,
        _: Request<webhooks::GetSecretRequest>,
    ) -> Result<Reply<webhooks::Secret>, Status> {
        not_played()
    }

    async fn list_deliveries(
        &self,
        _: Request<webhooks::ListDeliveriesRequest>,
    ) -> Result<Reply<webhooks::ListDeliveriesReply>, Status> {
        not_played()
    }
}
