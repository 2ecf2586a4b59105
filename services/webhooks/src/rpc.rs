//! The gRPC server: wire to domain, call, domain to wire. No decisions.

mod manage;

use std::sync::Arc;

use domain::{EndpointId, Secret};
use proto::{
    context_from_wire, id_from_wire, mode_from_wire,
    webhooks::v1::{self as wire, webhooks_server},
};
use tonic::{Request, Response, Status, async_trait};

use crate::{
    Shared,
    publish::{Event, publish},
    secret::secret,
    store::delivery::Told,
    told,
};

/// The server behind `aio.webhooks.v1.Webhooks` and `Manage`.
#[derive(Clone, Debug)]
pub struct Rpc {
    shared: Arc<Shared>,
}

// === impl Rpc ===

impl Rpc {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

#[async_trait]
impl webhooks_server::Webhooks for Rpc {
    async fn publish(
        &self,
        request: Request<wire::PublishRequest>,
    ) -> Result<Response<wire::PublishReply>, Status> {
        let request = request.into_inner();
        let event = Event {
            id: id_from_wire(&request.event_id)?,
            account: id_from_wire(&request.account_id)?,
            mode: mode_from_wire(request.mode)?,
            task: Some(&request.task_id)
                .filter(|id| !id.is_empty())
                .map(|id| id_from_wire(id))
                .transpose()?,
            kind: request.r#type,
            url: Some(request.url)
                .filter(|url| !url.is_empty())
                .map(Secret::new),
            payload: request.payload,
        };
        let _new_or_known = publish(&self.shared, event).await?;
        Ok(Response::new(wire::PublishReply {}))
    }

    async fn get_secret(
        &self,
        request: Request<wire::GetSecretRequest>,
    ) -> Result<Response<wire::Secret>, Status> {
        let caller = context_from_wire(request.into_inner().context)?;
        let secret = secret(&self.shared, caller.account, caller.mode).await?;
        Ok(Response::new(wire::Secret {
            secret: secret.expose().to_owned(),
        }))
    }

    async fn list_deliveries(
        &self,
        request: Request<wire::ListDeliveriesRequest>,
    ) -> Result<Response<wire::ListDeliveriesReply>, Status> {
        let task = id_from_wire(&request.into_inner().task_id)?;
        let told = told::of_task(&self.shared, task).await?;
        Ok(Response::new(wire::ListDeliveriesReply {
            deliveries: told.into_iter().map(wire::Delivery::from).collect(),
        }))
    }
}

impl From<Told> for wire::Delivery {
    fn from(told: Told) -> Self {
        let endpoint = told.endpoint.map(EndpointId::to_vec);
        Self {
            event_id: told.event.to_vec().into(),
            r#type: told.kind,
            endpoint_id: endpoint.unwrap_or_default().into(),
            state: told.state,
            attempts: u32::try_from(told.attempts).unwrap_or(u32::MAX),
            last_status: told.last_status.unwrap_or(0),
            last_error: told.last_error.unwrap_or_default(),
            created_at: told.created_at,
            due_at: told.due_at,
            ended_at: told.ended_at.unwrap_or(0),
            delivery_id: told.id.to_vec().into(),
        }
    }
}
