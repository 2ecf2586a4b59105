//! Scripted webhooks.

use std::sync::{Arc, Mutex};

use proto::{common::v1::Mode, webhooks::v1 as webhooks};
use tonic::{Request, Response, Status};

/// Answers the same to everybody, and remembers what it was asked.
#[derive(Clone, Default)]
pub(crate) struct FakeWebhooks(Arc<Mutex<Vec<String>>>);

impl FakeWebhooks {
    /// What it was asked last, as Rust shows it.
    pub(crate) fn last(&self) -> String {
        self.0.lock().unwrap().last().cloned().unwrap_or_default()
    }

    fn hear<T: std::fmt::Debug>(&self, request: Request<T>) -> T {
        let request = request.into_inner();
        self.0.lock().unwrap().push(format!("{request:?}"));
        request
    }
}

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

    async fn list_deliveries(
        &self,
        _: Request<webhooks::ListDeliveriesRequest>,
    ) -> Result<Response<webhooks::ListDeliveriesReply>, Status> {
        let delivery = webhooks::Delivery {
            delivery_id: vec![6; 16].into(),
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

/// An endpoint, as it is told to whoever asks.
fn endpoint() -> webhooks::Endpoint {
    webhooks::Endpoint {
        endpoint_id: vec![6; 16].into(),
        account_id: vec![1; 16].into(),
        mode: Mode::Test.into(),
        url: "https://user.example.com:8443/hook?token=canary".to_owned(),
        header_names: vec!["x-token".to_owned()],
        signature: "v1".to_owned(),
        created_at: 1_500_000,
        ..webhooks::Endpoint::default()
    }
}

fn delivery() -> webhooks::FoundDelivery {
    webhooks::FoundDelivery {
        delivery_id: vec![8; 16].into(),
        event_id: vec![7; 16].into(),
        account_id: vec![1; 16].into(),
        mode: Mode::Test.into(),
        r#type: "balance.low".to_owned(),
        endpoint_id: vec![6; 16].into(),
        state: "dead".to_owned(),
        attempts: 1,
        last_status: 503,
        last_error: "answered 503".to_owned(),
        created_at: 1_500_000,
        ended_at: 2_500_000,
        ..webhooks::FoundDelivery::default()
    }
}

fn story() -> webhooks::DeliveryStory {
    webhooks::DeliveryStory {
        delivery: Some(delivery()),
        attempts: vec![webhooks::Attempt {
            number: 1,
            replay: 0,
            started_at: 1_500_000,
            ended_at: 1_512_345,
            status: 503,
            error: "answered 503".to_owned(),
            response: "later".to_owned(),
        }],
        payload: bytes::Bytes::new(),
    }
}

#[tonic::async_trait]
impl webhooks::manage_server::Manage for FakeWebhooks {
    async fn create_endpoint(
        &self,
        request: Request<webhooks::CreateEndpointRequest>,
    ) -> Result<Response<webhooks::EndpointWithSecret>, Status> {
        let request = self.hear(request);
        Ok(Response::new(webhooks::EndpointWithSecret {
            endpoint: Some(webhooks::Endpoint {
                url: request.url,
                events: request.events,
                ..endpoint()
            }),
            secret: "whsec_c2VjcmV0".into(),
        }))
    }

    async fn list_endpoints(
        &self,
        request: Request<webhooks::ListEndpointsRequest>,
    ) -> Result<Response<webhooks::ListEndpointsReply>, Status> {
        self.hear(request);
        Ok(Response::new(webhooks::ListEndpointsReply {
            endpoints: vec![endpoint()],
        }))
    }

    async fn get_endpoint(
        &self,
        request: Request<webhooks::EndpointRequest>,
    ) -> Result<Response<webhooks::Endpoint>, Status> {
        self.hear(request);
        Ok(Response::new(endpoint()))
    }

    async fn update_endpoint(
        &self,
        request: Request<webhooks::UpdateEndpointRequest>,
    ) -> Result<Response<webhooks::Endpoint>, Status> {
        self.hear(request);
        Ok(Response::new(endpoint()))
    }

    async fn delete_endpoint(
        &self,
        request: Request<webhooks::EndpointRequest>,
    ) -> Result<Response<webhooks::DeleteEndpointReply>, Status> {
        self.hear(request);
        Ok(Response::new(webhooks::DeleteEndpointReply {}))
    }

    async fn rotate_secret(
        &self,
        request: Request<webhooks::RotateSecretRequest>,
    ) -> Result<Response<webhooks::RotatedSecret>, Status> {
        self.hear(request);
        Ok(Response::new(webhooks::RotatedSecret {
            secret: "whsec_bmV3".into(),
            public_key: String::new(),
            old_secret_until: 2_500_000,
        }))
    }

    async fn test_endpoint(
        &self,
        request: Request<webhooks::TestEndpointRequest>,
    ) -> Result<Response<webhooks::TestEndpointReply>, Status> {
        let request = self.hear(request);
        Ok(Response::new(webhooks::TestEndpointReply {
            delivery_id: vec![8; 16].into(),
            event_id: vec![7; 16].into(),
            r#type: request.r#type,
        }))
    }

    async fn find_deliveries(
        &self,
        request: Request<webhooks::FindDeliveriesRequest>,
    ) -> Result<Response<webhooks::FindDeliveriesReply>, Status> {
        self.hear(request);
        Ok(Response::new(webhooks::FindDeliveriesReply {
            deliveries: vec![delivery()],
        }))
    }

    async fn get_delivery(
        &self,
        request: Request<webhooks::DeliveryRequest>,
    ) -> Result<Response<webhooks::DeliveryStory>, Status> {
        self.hear(request);
        Ok(Response::new(story()))
    }

    async fn replay_delivery(
        &self,
        request: Request<webhooks::DeliveryRequest>,
    ) -> Result<Response<webhooks::DeliveryStory>, Status> {
        self.hear(request);
        Ok(Response::new(story()))
    }

    async fn recover(
        &self,
        request: Request<webhooks::RecoverRequest>,
    ) -> Result<Response<webhooks::RecoverReply>, Status> {
        self.hear(request);
        Ok(Response::new(webhooks::RecoverReply {
            recovered: 3,
            more: true,
        }))
    }

    async fn get_alert_secret(
        &self,
        _: Request<webhooks::GetAlertSecretRequest>,
    ) -> Result<Response<webhooks::AlertSecret>, Status> {
        let secret = "whsec_c2VjcmV0".into();
        Ok(Response::new(webhooks::AlertSecret { secret }))
    }

    async fn get_overview(
        &self,
        _: Request<webhooks::GetOverviewRequest>,
    ) -> Result<Response<webhooks::Overview>, Status> {
        Ok(Response::new(webhooks::Overview::default()))
    }
}
