//! Scripted webhooks.

use proto::webhooks::v1 as webhooks;
use tonic::{Request, Response, Status};

/// Answers the same to everybody.
pub(crate) struct FakeWebhooks;

#[tonic::async_trait]
impl webhooks::webhooks_server::Webhooks for FakeWebhooks {
    async fn publish(
        &self,
        _request: Request<webhooks::PublishRequest>,
    ) -> Result<Response<webhooks::PublishReply>, Status> {
        panic!("the edge does not publish")
    }

    async fn get_secret(
        &self,
        _request: Request<webhooks::GetSecretRequest>,
    ) -> Result<Response<webhooks::Secret>, Status> {
        let secret = "whsec_c2VjcmV0".into();
        Ok(Response::new(webhooks::Secret { secret }))
    }

    async fn create_endpoint(
        &self,
        request: Request<webhooks::CreateEndpointRequest>,
    ) -> Result<Response<webhooks::CreateEndpointReply>, Status> {
        let request = request.into_inner();
        Ok(Response::new(webhooks::CreateEndpointReply {
            endpoint: Some(webhooks::Endpoint {
                endpoint_id: vec![6; 16].into(),
                url: request.url,
                events: request.events,
                created_at: 1_500_000,
            }),
            secret: "whsec_c2VjcmV0".into(),
        }))
    }

    async fn list_endpoints(
        &self,
        _: Request<webhooks::ListEndpointsRequest>,
    ) -> Result<Response<webhooks::ListEndpointsReply>, Status> {
        Ok(Response::new(webhooks::ListEndpointsReply::default()))
    }

    async fn delete_endpoint(
        &self,
        _: Request<webhooks::DeleteEndpointRequest>,
    ) -> Result<Response<webhooks::DeleteEndpointReply>, Status> {
        Ok(Response::new(webhooks::DeleteEndpointReply {}))
    }

    async fn list_deliveries(
        &self,
        _: Request<webhooks::ListDeliveriesRequest>,
    ) -> Result<Response<webhooks::ListDeliveriesReply>, Status> {
        let delivery = webhooks::Delivery {
            event_id: vec![7; 16].into(),
            r#type: "task.failed".to_owned(),
            state: "due".to_owned(),
            attempts: 2,
            last_status: 503,
            last_error: "it answers 503".to_owned(),
            created_at: 1_500_000,
            due_at: 2_500_000,
            ..webhooks::Delivery::default()
        };
        Ok(Response::new(webhooks::ListDeliveriesReply {
            deliveries: vec![delivery],
        }))
    }
}
