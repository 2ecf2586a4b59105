//! The gRPC server: wire to domain, call, domain to wire. No decisions.

use std::sync::Arc;

use domain::Secret;
use proto::{
    context_from_wire, id_from_wire, mode_from_wire,
    webhooks::v1::{self as wire, webhooks_server},
};
use tonic::{Request, Response, Status, async_trait};

use crate::{
    Shared,
    publish::{Event, publish},
    secret::secret,
};

/// The server behind `aio.webhooks.v1.Webhooks`.
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
            task: id_from_wire(&request.task_id)?,
            kind: request.r#type,
            url: Secret::new(request.url),
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
}
