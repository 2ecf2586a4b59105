//! Webhooks, beside media.

use std::sync::{Arc, Mutex};

use proto::webhooks::v1::{self as webhooks, webhooks_server};
use tonic::{Request, Response as Reply, Status};

use crate::fakes::not_played;

/// Webhooks: writes down what it took over.
#[derive(Clone, Default)]
pub(crate) struct Webhooks(Arc<Mutex<Vec<webhooks::PublishRequest>>>);

impl Webhooks {
    pub(crate) fn published(&self) -> Vec<webhooks::PublishRequest> {
        self.0.lock().unwrap().clone()
    }
}

#[tonic::async_trait]
impl webhooks_server::Webhooks for Webhooks {
    async fn publish(
        &self,
        request: Request<webhooks::PublishRequest>,
    ) -> Result<Reply<webhooks::PublishReply>, Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(Reply::new(webhooks::PublishReply {}))
    }

    async fn get_secret(
        &self,
        _: Request<webhooks::GetSecretRequest>,
    ) -> Result<Reply<webhooks::Secret>, Status> {
        not_played()
    }

    async fn create_endpoint(
        &self,
        _: Request<webhooks::CreateEndpointRequest>,
    ) -> Result<Reply<webhooks::CreateEndpointReply>, Status> {
        not_played()
    }

    async fn list_endpoints(
        &self,
        _: Request<webhooks::ListEndpointsRequest>,
    ) -> Result<Reply<webhooks::ListEndpointsReply>, Status> {
        not_played()
    }

    async fn delete_endpoint(
        &self,
        _: Request<webhooks::DeleteEndpointRequest>,
    ) -> Result<Reply<webhooks::DeleteEndpointReply>, Status> {
        not_played()
    }

    async fn list_deliveries(
        &self,
        _: Request<webhooks::ListDeliveriesRequest>,
    ) -> Result<Reply<webhooks::ListDeliveriesReply>, Status> {
        not_played()
    }
}
